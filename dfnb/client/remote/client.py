"""The client of a remote hub: the same interface, over HTTP."""

from __future__ import annotations

import atexit
import functools
import time
import weakref
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from dfnb.client import html
from dfnb.client.http_log import HttpExchange, HttpLog, http_log
from dfnb.client.instance import Instance
from dfnb.client.links import Links, Scope
from dfnb.client.remote.address import Address
from dfnb.client.remote.api import Api, segment
from dfnb.client.remote.entities import RemoteEntityClient, done
from dfnb.client.remote.loop import RemoteLoop
from dfnb.client.remote.shapes import ENDED, is_over, iso, status_of
from dfnb.client.remote.tables import RemoteTables
from dfnb.client.remote.watching import Watching
from dfnb.client.remote.wire import Wire
from dfnb.client.status import DurableOrchestrationStatus, InstancePage, PurgeHistoryResult, Statuses, status_names
from dfnb.client.sync import DurableOrchestrationClient, check_instance_id, check_prefix_to_purge, new_instance_id
from dfnb.definitions import Registry, name_of
from dfnb.errors import InstanceConflictError, InstanceNotFoundError, RemoteError, RemoteUnavailableError
from dfnb.hub.http_state import CallSummary, ExchangeLine
from dfnb.hub.protocol import Ended, StartRequest
from dfnb.records import payload
from dfnb.records.history import (
    EventRaised,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    Recorded,
)
from dfnb.records.instance import InstanceRecord
from dfnb.records.log import LogLine

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
_LARGEST_PAGE = 1_000
_STARTS_AT_ONCE = 16
_LONG_AGO = "1970-01-01T00:00:00Z"
_WHAT = {ExecutionTerminated: "terminate", ExecutionSuspended: "suspend", ExecutionResumed: "resume", ExecutionRewound: "rewind"}


class RemoteOrchestrationClient(RemoteTables, RemoteEntityClient, DurableOrchestrationClient):
    """Starts, queries and manages the instances of a hub elsewhere: another kernel's, another process's, a Durable Functions app's.

    It is made by `dfnb.connect` and works like the client of one's own hub, with handles, tables and live views. What a Durable
    Functions app does not tell (what was printed, HTTP exchanges) is empty. Every method may be called from any thread.
    """

    def __init__(self, address: Address, transport: httpx.AsyncBaseTransport | None = None, timeout: float = 30.0) -> None:
        super().__init__(_Elsewhere(address.shown), Registry(), _now)
        self.where = address.shown
        self._wire = Wire(address, transport, timeout)
        self._api = Api(self._wire)
        self._loop = RemoteLoop("dfnb-remote", address.shown)
        self.links = Links(lambda: address.shown, functools.partial(_no_code, address.shown), _now)
        self._watching = Watching(self._api)
        weakref.finalize(self, self._loop.leave, functools.partial(_let_go, self._watching, self._wire)).atexit = False
        _open.add(self)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run(work)

    @property
    def address(self) -> str:
        """Where it asks, without the key."""
        return self._wire.address.shown

    @property
    def version(self) -> str | None:
        """The version of the dfnb there; None for another app, and before anything was asked."""
        return self._wire.version

    def check(self) -> None:
        """Ask once whether somebody is there who takes the key. RemoteUnavailableError, RemoteRefusedError, RemoteError."""
        self._run(self._api.probe())

    def check_proof(self, key: str) -> None:
        """Ask, without showing the key, whether who is there has it. RemoteError if not."""
        self._run(self._api.check_proof(key))

    def close(self) -> None:
        """Let the connections go; who still waits gets a RemoteError. What runs there goes on."""
        self._loop.close(functools.partial(_let_go, self._watching, self._wire))

    def __enter__(self) -> RemoteOrchestrationClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # start

    def request(
        self, orchestrator: str | Callable[..., Any], input: Any = None, *, instance_id: str | None = None,
        start_at: datetime | None = None, version: str | None = None,
    ) -> StartRequest:
        """A checked start, not yet sent. Whether the orchestrator is defined, the server says."""
        name = name_of("orchestrator", orchestrator)
        if start_at is not None or version is not None:
            raise self._not_offered("start an instance at a later time" if start_at is not None else "start a chosen version")
        if "/" in name:
            raise self._not_offered("start an orchestrator with '/' in its name")
        text = payload.encode(input, what=f"the input of {name!r}")
        id = new_instance_id() if instance_id is None else check_instance_id(instance_id)
        return StartRequest(name, id, text, fresh=instance_id is None)

    def start_many(
        self, orchestrator: str | Callable[..., Any], inputs: Iterable[Any], *, instance_ids: Sequence[str] | None = None
    ) -> list[Instance]:
        """Start one instance for each input, several at once. Unlike in one's own hub, those before a refused one have started."""
        values = list(inputs)
        ids: Sequence[str | None] = [None] * len(values) if instance_ids is None else list(instance_ids)
        if len(ids) != len(values):
            raise ValueError(f"{len(values)} inputs but {len(ids)} instance ids were given")
        requests = [self.request(orchestrator, value, instance_id=id) for value, id in zip(values, ids, strict=True)]
        self.submit(requests)
        return [Instance(self, request.id, request.name) for request in requests]

    def submit(self, requests: Sequence[StartRequest]) -> Future[None]:
        """Start what `request` has checked; the future is done when this returns."""
        return done(self._run(self._start_all(requests)))

    def submit_with_callback(self, request: StartRequest, url: str | None, source: str = "urn:dfnb") -> Future[None]:
        """Start what `request` has checked and have its end told to a URL, which only a dfnb server does."""
        if not self._wire.is_known:
            self.check()
        if not self._api.has_extras:
            raise self._not_offered("have the end of an instance told to a URL")
        return done(self._run(self._api.start(request, url)))

    async def _start_all(self, requests: Sequence[StartRequest]) -> None:
        import asyncio

        places = asyncio.Semaphore(_STARTS_AT_ONCE)

        async def start(request: StartRequest) -> None:
            async with places:
                await self._api.start(request)

        results = await asyncio.gather(*map(start, requests), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    # ask

    def status(
        self, instance_id: str, *, show_history: bool = False, show_history_output: bool = False, show_input: bool = True
    ) -> DurableOrchestrationStatus:
        """The instance's committed state; a falsy status when there is no such instance."""
        return self._run(self._status(instance_id, show_history, show_history_output, show_input))

    async def _status(self, instance_id: str, history: bool, output: bool, input: bool) -> DurableOrchestrationStatus:
        params = {"showInput": "true" if input else "false"}
        if history:
            params |= {"showHistory": "true", "showHistoryOutput": "true" if output else "false"}
        try:
            shown = await self._api.status(instance_id, params)
            if shown is None:
                return DurableOrchestrationStatus()
            if not self._api.has_extras:
                return status_of(shown)
            record = await self._api.record(instance_id)
            failure = (await self._api.end(record)).failure if record.status == "Failed" else None
        except InstanceNotFoundError:
            return DurableOrchestrationStatus()
        return status_of(shown, record, failure, "" if is_over(shown) else self.waiting_for(record))

    def instances(
        self, *, created_time_from: datetime | None = None, created_time_to: datetime | None = None,
        runtime_status: Statuses = None, instance_id_prefix: str | None = None, name: str | None = None, limit: int = 100,
        continuation_token: str | None = None, show_input: bool = True, include_entities: bool = False,
    ) -> InstancePage:
        """Instances that fit every condition given, a page at a time; a dfnb hub gives the newest first. Times are inclusive."""
        if limit < 1:
            raise ValueError("limit must be at least 1")
        params = {"showInput": "true" if show_input else "false", "includeEntities": "true" if include_entities else "false"}
        for parameter, when in (("createdTimeFrom", created_time_from), ("createdTimeTo", created_time_to)):
            if when is not None:
                params[parameter] = iso(when)
        statuses = status_names(runtime_status)
        if statuses:
            params["runtimeStatus"] = ",".join(statuses)
        if instance_id_prefix:
            params["instanceIdPrefix"] = instance_id_prefix

        def fits(one: dict[str, Any]) -> bool:
            is_entity = str(one.get("instanceId")).startswith("@")
            return (include_entities or not is_entity) and name in (None, one.get("name"))

        return self._run(self._listed(params, fits, limit, continuation_token))

    async def _listed(
        self, params: dict[str, str], fits: Callable[[dict[str, Any]], bool], limit: int, token: str | None
    ) -> InstancePage:
        """As many as are wanted: a page of the server may hold fewer, and none of those that fit."""
        found: list[DurableOrchestrationStatus] = []
        while True:
            page = await self._api.instances({**params, "top": str(min(limit - len(found), _LARGEST_PAGE))}, token)
            found += [status_of(one) for one in page.items if fits(one)]
            token = page.token
            if token is None or len(found) >= limit:
                return InstancePage(found, token)

    def counts(self) -> dict[str, int]:
        """How many instances there are by runtime status. It reads the whole list."""
        counted: dict[str, int] = {}
        token: str | None = None
        while True:
            page = self.instances(show_input=False, limit=_LARGEST_PAGE, continuation_token=token)
            for one in page:
                if one.runtime_status is not None:
                    counted[one.runtime_status.value] = counted.get(one.runtime_status.value, 0) + 1
            token = page.continuation_token
            if token is None:
                return counted

    def history(self, instance_id: str, *, generation: int | None = None) -> list[Recorded]:
        """The recorded events of an instance, oldest first; a Durable Functions app tells those of the latest generation."""
        rows = self.history_after(self.record(instance_id))
        return [row for _, of, row in rows if generation is None or of == generation]

    def logs(self, instance_id: str) -> list[LogLine]:
        """What the instance's code printed and logged, as far as the server tells."""
        return self._run(self._api.logs(instance_id))

    def http(self, instance_id: str, *, latest: int | None = None) -> HttpLog:
        """Every request that the instance's HTTP calls have sent, or the latest ones, as far as the server tells."""
        if latest is not None and latest < 1:
            raise ValueError("latest must be at least 1")
        exchanges = self._run(self._api.exchanges(instance_id, latest))
        return http_log(instance_id, exchanges) if exchanges is not None else _UntoldHttpLog()

    def calls(self, record: InstanceRecord, limit: int) -> list[CallSummary]:
        """How the latest HTTP calls of an instance stand, as far as the server tells."""
        return self._run(self._api.calls(record.id, limit))

    def exchange_lines(self, record: InstanceRecord, after: int = -1) -> list[ExchangeLine]:
        """The exchanges of an instance's HTTP calls behind a position, oldest first, as far as the server tells."""
        return self._run(self._api.exchange_lines(record, after))

    def exchange_at(self, record: InstanceRecord, pos: int) -> HttpExchange | None:
        """One exchange, whole; None if there is none at that position."""
        found = self._run(self._api.exchange_at(record, pos))
        return HttpExchange(record.id, found, None) if found is not None else None

    def children(self, instance_id: str) -> list[InstanceRecord]:
        """The sub-orchestrations an instance has started. RemoteError where the server does not tell."""
        found = self._run(self._api.children(instance_id))
        if found is None:
            raise self._not_offered("find the sub-orchestrations of an instance")
        return found

    def source_of(self, record: InstanceRecord) -> str | None:
        """The source of the orchestrator as the instance runs it; None when it is not told."""
        return self._run(self._api.source(record.id))

    def record(self, instance_id: str) -> InstanceRecord:
        return self._run(self._api.record(instance_id))

    def peek(self, instance_id: str) -> InstanceRecord | None:
        """None: nothing can be told without asking the server."""
        return None

    def end_of(self, record: InstanceRecord) -> Ended | None:
        """How the instance ended; None while it has not."""
        return Ended(record, self._run(self._api.end(record))) if record.is_terminal else None

    def history_after(self, record: InstanceRecord, position: int = -1) -> list[tuple[int, int, Recorded]]:
        """What was recorded behind a position, oldest first: (position, generation, event)."""
        return self._run(self._api.events(record, position))

    def when_ended(self, instance_id: str) -> Future[Ended]:
        """A future of the instance's end. The server may be away for two minutes without failing it."""
        future: Future[Ended] = Future()
        self._run(self._await_end(instance_id, future))
        return future

    async def _await_end(self, instance_id: str, future: Future[Ended]) -> None:
        try:
            if is_over(await self._api.known(instance_id, {"showInput": "false"})):
                future.set_result(await self._api.ended(instance_id))
                return
        except RemoteUnavailableError:  # so begins the time that it may be away
            if not self._wire.is_known:
                raise
        await self._watching.await_end(instance_id, future)

    def watch(self, callback: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        """Call back with the ids of instances that changed, from another thread. Returns what ends it.

        A dfnb server says so at once. Of a Durable Functions app the instances somebody waits for are asked every few seconds, and
        its list too.
        """
        self._learn_who_is_there()
        number = self._run(self._watching.watch(callback))

        def end() -> None:
            if not self._loop.is_closed:
                self._loop.spawn(self._watching.unwatch(number))

        return end

    def _learn_who_is_there(self) -> None:
        if not self._wire.is_known:
            try:
                self.check()
            except RemoteUnavailableError:
                return  # the watching itself will see when it comes back

    # signal

    def send(self, instance_id: str, event: HistoryEvent, operation: str) -> Future[None]:
        """Give a message to an instance; the future is done when this returns. `operation` names it in the errors."""
        if isinstance(event, EventRaised):
            if "/" in event.name:  # as a segment of a path it would be two
                raise self._not_offered("raise an event with '/' in its name")
            body = "null" if event.input is None else event.input
            return done(self._run(self._api.tell(instance_id, f"raiseEvent/{segment(event.name)}", operation, None, body)))
        what = _WHAT.get(type(event))
        if what is None:
            raise TypeError(f"{type(event).__name__} is nothing a client can send")
        reason: str | None = getattr(event, "reason", None)
        return done(self._run(self._api.tell(instance_id, what, operation, {"reason": reason} if reason else None)))

    def _end_children(self, instance_id: str, reason: str | None) -> None:
        for child in self.children(instance_id):
            if not child.is_terminal:
                self._end_quietly(child.id, reason)
            self._end_children(child.id, reason)

    def restart(self, instance_id: str, restart_with_new_instance_id: bool = True) -> Instance:
        """Start the same orchestrator with the same input, under a new id or again under this one (once it has ended)."""
        shown = self._run(self._api.known(instance_id, {"showInput": "false"}))
        id = self._run(self._api.restart(instance_id, restart_with_new_instance_id))
        return Instance(self, id, str(shown.get("name") or ""))

    # purge

    def purge(self, instance_id: str, *, force: bool = False) -> PurgeHistoryResult:
        """Delete an ended instance with its history; 0 deleted if there is none. One that has not ended only with `force`."""
        try:
            return PurgeHistoryResult(self._run(self._api.purge(instance_id, force)))
        except InstanceNotFoundError:
            return PurgeHistoryResult(0)

    def purge_many(
        self, *, created_time_from: datetime | None = None, created_time_to: datetime | None = None,
        runtime_status: Statuses = None, instance_id_prefix: str | None = None,
    ) -> PurgeHistoryResult:
        """Delete ended instances that fit every condition given (default: all ended ones). Running ones stay."""
        statuses = status_names(runtime_status)
        wrong = [status for status in statuses if status not in ENDED]
        if wrong or (runtime_status is not None and not statuses):
            given = ", ".join(wrong) or "nothing"
            raise ValueError(f"only ended instances can be purged; runtime_status takes {', '.join(ENDED)}, not {given}")
        check_prefix_to_purge(instance_id_prefix)
        if instance_id_prefix is not None:
            return self._purge_each(created_time_from, created_time_to, statuses or ENDED, instance_id_prefix)
        params = {"createdTimeFrom": iso(created_time_from) if created_time_from is not None else _LONG_AGO}
        if created_time_to is not None:
            params["createdTimeTo"] = iso(created_time_to)
        params["runtimeStatus"] = ",".join(statuses or ENDED)  # always: without it the original deletes running ones too
        return PurgeHistoryResult(self._run(self._api.purge_many(params)))

    def _purge_each(
        self, created_from: datetime | None, created_to: datetime | None, statuses: Sequence[str], prefix: str
    ) -> PurgeHistoryResult:
        """One by one: the original lists by prefix, but does not look at it when it purges, and would delete all."""
        ids: list[str] = []
        token: str | None = None
        while True:
            page = self.instances(
                created_time_from=created_from, created_time_to=created_to, runtime_status=list(statuses),
                instance_id_prefix=prefix, limit=_LARGEST_PAGE, continuation_token=token, show_input=False,
            )  # fmt: skip
            ids += [one.instance_id for one in page if one.instance_id]
            token = page.continuation_token
            if token is None:
                return PurgeHistoryResult(sum(map(self._purge_if_ended, ids)))

    def _purge_if_ended(self, instance_id: str) -> int:
        try:
            return self.purge(instance_id).instances_deleted
        except InstanceConflictError:  # its id was taken anew meanwhile
            return 0

    # how it looks

    def __repr__(self) -> str:
        return f"<RemoteOrchestrationClient {self.address}{' (closed)' if self._loop.is_closed else ''}>"

    def _repr_html_(self) -> str:
        what = f"dfnb {self.version}" if self.version is not None else "Durable Functions"
        head = [html.span("dfnb-quiet", "remote hub"), html.span("dfnb-id", self.address), html.span("dfnb-quiet", what)]
        only = self._wire.address.instance_id
        rows = [html.row("instance", html.span("dfnb-id", only))] if only is not None else []
        return html.card("", head, rows)


class _UntoldHttpLog(HttpLog):
    """The log of a server that does not tell its exchanges."""

    @property
    def foot(self) -> str:
        return "this server does not tell which requests its HTTP calls have sent; a dfnb hub does"


class _Elsewhere:
    """Stands where a hub of one's own would be: whatever is asked of it cannot be asked over HTTP."""

    def __init__(self, address: str) -> None:
        self._address = address

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the hub at {self._address} is elsewhere; it has no {name} here")


def _no_code(address: str, instance_id: str, scope: Scope) -> str | None:
    raise RemoteError(
        address, "makes the links of its instances itself; ask for them where the hub is open, or answer with a link of your own"
    )


def _now() -> int:
    return time.time_ns() // 1_000


async def _let_go(watching: Watching, wire: Wire) -> None:
    await watching.close()
    await wire.close()


_open: weakref.WeakSet[RemoteOrchestrationClient] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """No request is left half way when the interpreter ends."""
    for client in list(_open):
        client.close()


