"""DurableApp: opens a hub, wires the rooms, starts and stops them. Nothing else wires."""

from __future__ import annotations

import atexit
import builtins
import dataclasses
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dfnb.client.aio import AsyncDurableOrchestrationClient
from dfnb.client.instance import Instance
from dfnb.client.keys import HubKeys
from dfnb.client.stats import HubStats
from dfnb.client.sync import DurableOrchestrationClient
from dfnb.client.tables import EntitiesTable, InstancesTable
from dfnb.definitions import DEFAULT, Definition, Registry, WithBuiltIns
from dfnb.durable_http.secrets import use_key
from dfnb.durable_http.tokens import as_token_source
from dfnb.engine.activities import ActivityOutcome, ActivityRunner
from dfnb.engine.batch import BatchEngine
from dfnb.engine.clock import Clock, SystemClock
from dfnb.engine.http import HttpCalls, HttpRunner, HttpSettings
from dfnb.engine.worker import Worker
from dfnb.errors import HubClosedError, HubError
from dfnb.hub.hub import TaskHub
from dfnb.hub.state import Message
from dfnb.records.http import understand
from dfnb.server.serving import Server, Serving
from dfnb.server.settings import ServerSettings

if TYPE_CHECKING:
    from dfnb.hub.client_side import Relation
    from dfnb.server.app import ManagementApp

logger = logging.getLogger("dfnb")

_CLOSE_SECONDS = 5.0
_TURN_SECONDS = 2.0
"""However little time there is to close, the batch under way has so much to end."""


def _checked_poll(poll: Any) -> Any:
    from dfnb.durable_http.dialects import checked  # with the first call: their descriptions take a while to make

    return checked(poll)


understand(token_source=as_token_source, poll=_checked_poll)


@dataclasses.dataclass(frozen=True, slots=True)
class EngineState:
    """What the engine is doing now. `problem` is a sentence when it cannot go on, else empty."""

    running: bool
    open_instances: int
    activities_running: int
    activities_queued: int
    activities_waiting: dict[str, int]
    """How many calls wait for the cell that defines an activity, by its name."""
    problem: str = ""


class DurableApp:
    """A hub with its engine and client.

    `path`: the DuckDB file (made if missing). `durability`: ``durable`` acknowledges after the commit's fsync, ``relaxed`` at once
    with the commit within about 10 ms, ``memory`` keeps nothing. `max_concurrent_activities` bounds how many run at once;
    `executor` runs plain activities in any `concurrent.futures.Executor`. `strict` fails what meets an unknown name instead of
    waiting for its cell. `http` says how HTTP calls are made. `restore_server` starts the server again that ran when the hub was
    last open, at the same address with the same key; if that fails, `server_problem` says why.

    Raises HubInUseError, HubFormatError.
    """

    def __init__(
        self, path: str | os.PathLike[str] = "dfnb.duckdb", *, registry: Registry = DEFAULT, durability: str = "durable",
        max_concurrent_activities: int = 64, executor: Executor | None = None, strict: bool = False, clock: Clock | None = None,
        sticky_instances: int = 4_096, batch_rows: int = 1_000, http: HttpSettings | None = None,
        restore_server: bool = False,
    ) -> None:
        self.path = ":memory:" if durability == "memory" or str(path) == ":memory:" else str(Path(path).resolve())
        self.registry = registry
        self._clock = clock if clock is not None else SystemClock()
        self._hub = TaskHub(self.path, durability="memory" if self.path == ":memory:" else durability, now=self._clock.now)
        try:
            self._wire(registry, max_concurrent_activities, executor, strict, sticky_instances, batch_rows, http)
        except BaseException:  # a damaged file, or an interrupt: nobody has the app to close it
            self._hub.close(abandon=True)
            raise
        self.server_problem = self._serving.restore() if restore_server else ""
        if self.server_problem:
            logger.info("dfnb: %s", self.server_problem)

    def _wire(
        self, registry: Registry, max_concurrent_activities: int, executor: Executor | None, strict: bool, sticky_instances: int,
        batch_rows: int, http: HttpSettings | None,
    ) -> None:
        known = WithBuiltIns(registry, self._built_ins)
        self.resumed = self._hub.resumed
        use_key(self._hub.hub_key())
        self._activities = ActivityRunner(
            known, self._deliver, self._clock, max_concurrent=max_concurrent_activities, executor=executor, strict=strict
        )
        self._http = HttpRunner(self._hub.deliver_call, self._clock, http if http is not None else HttpSettings())
        self._engine = BatchEngine(
            self._hub, known, self._clock, self._activities, HttpCalls(self._hub, self._http, self._clock),
            limit=batch_rows, sticky=sticky_instances, strict=strict,
        )
        self._worker = Worker(self._hub, self._engine, self._clock)
        self._hub.ask_engine = self._engine.own_code.slow
        self._client = DurableOrchestrationClient(self._hub, known, self._clock.now)
        self._serving = Serving(
            self._client, registry, lambda: HubKeys(self._hub), self._clock.now, None if self.path == ":memory:" else self.path
        )
        self._closing = threading.Lock()
        self._closed = False
        self._start()

    def _start(self) -> None:
        for definition in self.registry.all():
            self._on_definition(definition, "new")
        self._unsubscribe = self.registry.subscribe(self._on_definition)
        try:
            self._engine.dispatch_recovered()
        except BaseException:
            self._unsubscribe()
            self._activities.close(0.0)
            raise
        self._worker.start()
        self._at_exit = _close_at_exit(self)

    def _built_ins(self) -> list[Definition]:
        from dfnb.callbacks import definitions  # with the first callback: most hubs have none

        made = definitions(self._client, lambda: HubKeys(self._hub).callbacks, self._clock.now)
        for definition in made:
            self._keep_source(definition)
        return made

    def _on_definition(self, definition: Definition, outcome: str) -> None:
        if outcome != "unchanged":
            self._keep_source(definition)
        self._engine.definition_changed(definition, outcome)

    def _keep_source(self, definition: Definition) -> None:
        try:
            self._hub.save_definition(definition.kind, definition.name, definition.fingerprint, definition.source)
        except HubError as error:  # the cell's function works all the same; its source is kept at the next run
            logger.warning("dfnb: the source of %s %r was not stored: %s", definition.kind, definition.name, error)

    def _deliver(self, outcomes: Sequence[ActivityOutcome]) -> None:
        self._hub.deliver(
            [(o.call.key, Message(o.event, o.at, o.call.generation, o.call.attempt, logs=o.logs)) for o in outcomes]
        )

    # what it offers

    @property
    def client(self) -> DurableOrchestrationClient:
        """Starts, queries and manages instances."""
        return self._client

    @property
    def async_client(self) -> AsyncDurableOrchestrationClient:
        """The same as coroutines, with the method names of Azure's SDK."""
        return AsyncDurableOrchestrationClient(self._client)

    @property
    def state(self) -> EngineState:
        """What the engine is doing now."""
        problem = self._hub.problem or self._worker.failure or self._hub.slow_turn()
        return EngineState(
            running=self._worker.is_running and not self._closed,
            open_instances=self._hub.resumed,
            activities_running=self._activities.running,
            activities_queued=self._activities.queued,
            activities_waiting={name: len(calls) for name, calls in self._activities.missing().items()},
            problem=str(problem) if problem is not None else "",
        )

    @property
    def is_closed(self) -> bool:
        return self._closed

    @property
    def max_concurrent_activities(self) -> int:
        """How many activities may run at once; settable at any time."""
        return self._activities.max_concurrent

    @max_concurrent_activities.setter
    def max_concurrent_activities(self, bound: int) -> None:
        self._activities.max_concurrent = bound

    @property
    def http(self) -> HttpSettings:
        """How HTTP calls are made; setting it takes effect with the next request."""
        return self._http.settings

    @http.setter
    def http(self, settings: HttpSettings) -> None:
        self._http.settings = settings

    def sql(self, query: str, params: Sequence[Any] | None = None) -> Relation:
        """A DuckDB relation over the hub: the views `instances`, `history`, `activities`, `entities`, `entity_operations`,
        `http_exchanges`, `logs`, `definitions`.

        Everything acknowledged so far is in view; ``.df()``, ``.pl()``, ``.arrow()`` and all else of a relation work. Statements
        that would change the hub are refused.
        """
        return self._hub.sql(query, params)

    @property
    def callback_secret(self) -> str:
        """What receivers check the signatures of completion callbacks with (``whsec_...``); keep it to yourself and to them."""
        return HubKeys(self._hub).callback_secret()

    def rotate_callback_secret(self) -> str:
        """Sign callbacks with a new secret from now on, which every receiver has to be told; the old one is gone."""
        keys = HubKeys(self._hub)
        keys.rotate_callbacks()
        return keys.callback_secret()

    def compact(self) -> tuple[int, int]:
        """Rewrite the file without the space deleted rows left; its size before and after, in bytes."""
        return self._hub.compact()

    # the server

    def serve(self, settings: ServerSettings | None = None, **options: Any) -> Server:
        """Serve the management API and HTTP triggers; at once when it returns. Options are the fields of ServerSettings.

        A server that runs is returned as it is when nothing is said or nothing changes, else it is replaced by one at the same port
        unless another is given. Raises ServeError, of which PortInUseError is one.
        """
        if self._closed:
            raise HubClosedError()
        return self._serving.serve(settings, options)

    @property
    def server(self) -> Server | None:
        """The server that runs, or None."""
        return self._serving.server

    def stop_serving(self) -> bool:
        """Stop the server, if one runs: answers under way are finished, instances go on. Whether one ran."""
        return self._serving.stop()

    def asgi(self, settings: ServerSettings | None = None, **options: Any) -> ManagementApp:
        """What `serve` would serve, as an ASGI app to mount in a server of your own; `public_url` tells it where it is reached."""
        return self._serving.asgi(settings, options)

    # the end

    def close(self, timeout: float = _CLOSE_SECONDS) -> None:
        """Stop the engine, give running activities `timeout` seconds, write everything and let the file go.

        What had not ended goes on when the hub is opened again: also a turn of an orchestrator that does not come back within that
        time. A server is stopped first, and can be started again then.
        """
        self._shut(timeout, abandon=False)

    def abandon(self) -> None:
        """Drop everything not yet on disk and let the file go: what a crash leaves behind, for trying out recovery."""
        self._shut(0.0, abandon=True)

    def _shut(self, timeout: float, *, abandon: bool) -> None:
        with self._closing:
            if self._closed:
                return
            self._closed = True
        self._serving.shut(timeout)
        self._unsubscribe()
        atexit.unregister(self._at_exit)
        if abandon:
            self._hub.close(abandon=True)
        begun = time.monotonic()
        self._worker.stop(max(timeout, _TURN_SECONDS))
        left = max(0.0, timeout - (time.monotonic() - begun))
        self._activities.close(left)
        self._http.close(left)
        self._hub.close()

    def __enter__(self) -> DurableApp:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<DurableApp {self.path!r}{' (closed)' if self._closed else ''}>"

    def _repr_html_(self) -> str:
        from dfnb.client.hub_card import hub_card

        if self._closed:
            return hub_card(self.path, "closed")
        engine = "running" if self.state.running else "stopped"
        server = repr(self.server) if self.server is not None else None
        return hub_card(self.path, engine, self.client.counts(), server, self.state.problem)


@dataclasses.dataclass(frozen=True)
class DefinitionsTable:
    """What cells have defined, and what instances wait for somebody to define. A notebook shows it live."""

    app: DurableApp

    def __repr__(self) -> str:
        return f"<DefinitionsTable: {len(self.app.registry.all())} defined>"


def _close_at_exit(app: DurableApp) -> Callable[[], None]:
    """Close at the interpreter's polite end, without keeping the app alive until then."""
    reference = weakref.ref(app)

    def close() -> None:
        living = reference()
        if living is not None:
            living.close(timeout=0.5)

    atexit.register(close)
    return close


_current: list[DurableApp] = []


def current() -> DurableApp:
    """The app that `dfnb.start` and the magics use. HubClosedError when none is open."""
    if not _current or _current[-1].is_closed:
        raise HubClosedError("no hub is open: run `%load_ext dfnb`, or open one with `%dfnb open PATH` or dfnb.open(path)")
    return _current[-1]


def open(path: str | os.PathLike[str] = "dfnb.duckdb", **options: Any) -> DurableApp:
    """Open a hub and make it the current one; the current one before is closed. Options are those of DurableApp.

    In a cell, the server that ran when the hub was last open is started again unless ``restore_server=False``.
    """
    close()
    options.setdefault("restore_server", _in_a_cell())
    app = DurableApp(path, **options)
    _current[:] = [app]
    return app


def _in_a_cell() -> bool:
    return hasattr(builtins, "get_ipython")  # which IPython puts there while it runs a cell


def close() -> None:
    """Close the current app, if any."""
    while _current:
        _current.pop().close()


def start(
    orchestrator: str | Callable[..., Any], input: Any = None, *, instance_id: str | None = None, start_at: datetime | None = None
) -> Instance:
    """Start an instance in the current app; see `DurableOrchestrationClient.start`."""
    return current().client.start(orchestrator, input, instance_id=instance_id, start_at=start_at)


def start_many(orchestrator: str | Callable[..., Any], inputs: Iterable[Any]) -> list[Instance]:
    """Start one instance for each input, all or none, with one acknowledgement."""
    return current().client.start_many(orchestrator, inputs)


def instance(instance_id: str) -> Instance:
    """The handle on an existing instance of the current app."""
    return current().client.instance(instance_id)


def sql(query: str, params: Sequence[Any] | None = None) -> Relation:
    """A DuckDB relation over the current app's hub; see `DurableApp.sql`."""
    return current().sql(query, params)


def instances(
    *, runtime_status: Any = None, name: str | None = None, prefix: str | None = None, created_from: datetime | None = None,
    created_to: datetime | None = None, limit: int = 100,
) -> InstancesTable:
    """The newest instances of the current app that fit every condition given, as a table; live in a notebook."""
    return InstancesTable(current().client, None, runtime_status, name, prefix, created_from, created_to, limit)


def entities(*, name: str | None = None, prefix: str | None = None, limit: int = 100) -> EntitiesTable:
    """The entities of the current app that have a state, as a table; live in a notebook."""
    return EntitiesTable(current().client, name, prefix, limit)


def definitions() -> DefinitionsTable:
    """What cells have defined, and what instances wait for somebody to define, as a table; live in a notebook."""
    return DefinitionsTable(current())


def stats(
    *, created_time_from: datetime | None = None, created_time_to: datetime | None = None, name: str | None = None
) -> HubStats:
    """How the current app's instances did: counts, charts of created and ended over time, durations by orchestrator."""
    return current().client.stats(created_time_from=created_time_from, created_time_to=created_time_to, name=name)
