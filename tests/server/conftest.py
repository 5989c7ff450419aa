"""A hub in memory with small definitions, its management API, and a caller that speaks ASGI to it without a socket."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest

import dfnb
from dfnb.client.keys import HubKeys
from dfnb.client.links import BASE_PATH
from dfnb.client.status import DurableOrchestrationStatus
from dfnb.engine.clock import FakeClock
from dfnb.server.app import ManagementApp
from dfnb.server.settings import ServerSettings

HOST = "127.0.0.1:7071"
_NOTHING: Any = object()


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    """Asks one server. `ask` takes a path behind the base path; the hub's key goes along unless `key` says otherwise."""

    def __init__(self, hub: dfnb.DurableApp, clock: FakeClock, settings: ServerSettings) -> None:
        self.hub = hub
        self.client = hub.client
        self.clock = clock
        self.keys = HubKeys(hub._hub)
        self.app = ManagementApp(hub.client, self.keys, settings, hub.registry, clock.now)
        self.received = 0
        """How many bytes of bodies the server has taken."""

    def ask(self, method: str, path: str, **facts: Any) -> Answer:
        """Ask and wait for the whole answer."""
        return asyncio.run(self.asking(method, path, **facts))

    async def asking(self, method: str, path: str, **facts: Any) -> Answer:
        pieces: list[bytes] = []
        head: dict[str, Any] = {}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                head.update(message)
            else:
                pieces.append(message.get("body", b""))

        scope, receive = self.request(method, path, **facts)
        await self.app(scope, receive, send)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head["headers"]}
        return Answer(head["status"], headers, b"".join(pieces))

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Any = (),
        body: bytes | Iterable[bytes] = b"",
        json: Any = _NOTHING,
        key: str | bool = True,
        host: str | None = HOST,
        at_base: bool = True,
        query: bytes | None = None,
        hangs_up: Any = None,
        root_path: str = "",
        scheme: str = "http",
    ) -> tuple[dict[str, Any], Callable[[], Any]]:
        """The two things an ASGI app is called with. `hangs_up`: an event of the caller's going away."""
        path, _, in_path = path.partition("?")
        pairs = [("host", host)] if host is not None else []
        pairs += [("x-functions-key", self.keys.system if key is True else key)] if key else []
        pairs += list(headers.items() if isinstance(headers, dict) else headers)
        if json is not _NOTHING:
            body = globals()["json"].dumps(json).encode()
            pairs.append(("content-type", "application/json"))
        scope = {
            "type": "http", "method": method, "scheme": scheme, "root_path": root_path, "server": ("127.0.0.1", 7071),
            "path": root_path + unquote(f"{BASE_PATH if at_base else ''}{path}"), "http_version": "1.1", "client": ("127.0.0.1", 1),
            "query_string": in_path.encode() if query is None else query,
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs],
            "asgi": {"version": "3.0", "spec_version": "2.3"},
        }  # fmt: skip
        return scope, self._receiver([body] if isinstance(body, bytes) else body, hangs_up)

    def _receiver(self, body: Iterable[bytes], hangs_up: Any) -> Callable[[], Any]:
        pieces, is_over = iter(body), False

        async def receive() -> Any:
            nonlocal is_over
            piece = next(pieces, None)
            if piece is not None:
                self.received += len(piece)
                return {"type": "http.request", "body": piece, "more_body": True}
            if not is_over:
                is_over = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await (hangs_up or asyncio.Event()).wait()
            return {"type": "http.disconnect"}

        return receive

    def reach(self, instance_id: str, *names: str, holds: Callable[[DurableOrchestrationStatus], bool] | None = None) -> None:
        """Wait, on the hub's own news, until the instance has one of these statuses, or is as wanted."""
        wanted = holds or (lambda status: status.runtime_status is not None and status.runtime_status.value in names)
        news = threading.Event()
        end = self.client.watch(lambda ids: news.set())
        try:
            while not wanted(status := self.client.status(instance_id)):
                assert news.wait(10), f"{instance_id} stays {status!r}"
                news.clear()
        finally:
            end()

    def bring(self, state: str, instance_id: str = "x") -> None:
        """Make an instance that is in this state."""
        if state == "missing":
            return
        if state == "Pending":
            self.client.start("waits", 1, instance_id=instance_id, start_at=datetime(2027, 1, 1, tzinfo=UTC))
            return
        self.client.start({"Completed": "echo", "Failed": "fails"}.get(state, "waits"), 1, instance_id=instance_id)
        if state in ("Running", "Suspended", "Terminated"):
            self.reach(instance_id, holds=lambda status: "event go" in status.waiting_for)
        if state == "Suspended":
            self.client.suspend(instance_id, "pause")
        if state == "Terminated":
            self.client.terminate(instance_id, "enough")
        self.reach(instance_id, state)


@pytest.fixture
def registry() -> dfnb.Registry:
    made = dfnb.Registry()

    @dfnb.activity(registry=made)
    def add_one(x: int) -> int:
        return x + 1

    @dfnb.orchestrator(registry=made)
    def echo(context: dfnb.DurableOrchestrationContext) -> Any:
        return context.get_input()

    @dfnb.orchestrator(registry=made)
    def Add(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        return (yield context.call_activity("add_one", context.get_input()))

    @dfnb.orchestrator(registry=made)
    def waits(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        context.set_custom_status("open")
        return (yield context.wait_for_external_event("go"))

    @dfnb.orchestrator(registry=made)
    def sleeps(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=context.get_input()))

    @dfnb.orchestrator(registry=made)
    def fails(context: dfnb.DurableOrchestrationContext) -> Any:
        raise ValueError("no luck")

    @dfnb.orchestrator(registry=made)
    def parent(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        return (yield context.call_sub_orchestrator("waits", None, f"{context.instance_id}-child"))

    @dfnb.entity(registry=made)
    def store(context: dfnb.DurableEntityContext) -> None:
        if context.operation_name in ("put", ""):
            context.set_state(context.get_input())
        if context.operation_name == "break":
            raise ValueError("broken")

    return made


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime(2026, 1, 1, 10, 20, 30, 999_999, tzinfo=UTC))


@pytest.fixture
def hub(registry: dfnb.Registry, clock: FakeClock) -> Generator[dfnb.DurableApp]:
    with dfnb.DurableApp(durability="memory", registry=registry, clock=clock) as opened:
        yield opened


@pytest.fixture
def serve(hub: dfnb.DurableApp, clock: FakeClock) -> Callable[..., Caller]:
    """A server of the hub with settings of one's own."""
    return lambda **options: Caller(hub, clock, ServerSettings(**options))


@pytest.fixture
def server(serve: Callable[..., Caller]) -> Caller:
    return serve()
