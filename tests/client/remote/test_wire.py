"""Answers that no honest server gives: they end in time and in a sentence, and take no more memory than is allowed."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from dfnb.client.remote.client import RemoteOrchestrationClient
from dfnb.client.remote.connect import connect
from dfnb.errors import RemoteError, RemoteUnavailableError

GOOD = {
    "runtimeStatus": "Completed", "instanceId": "a", "name": "n", "createdTime": "2026-01-01T00:00:00Z",
    "lastUpdatedTime": "2026-01-01T00:00:00Z", "output": 1, "input": None, "customStatus": None,
}
DEEP = b"[" * 100_000 + b"]" * 100_000
Ask = Callable[[RemoteOrchestrationClient], Any]


class Endless(httpx.AsyncByteStream):
    """It goes on until it is closed."""

    def __init__(self, part: bytes) -> None:
        self.part = part
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while not self.is_closed:
            yield self.part

    async def aclose(self) -> None:
        self.is_closed = True


def answering(content: bytes, headers: dict[str, str] | None = None, status: int = 200) -> httpx.MockTransport:
    return httpx.MockTransport(lambda request: httpx.Response(status, headers=headers, stream=httpx.ByteStream(content)))


def asking(transport: httpx.AsyncBaseTransport, **options: Any) -> None:
    connect("http://fake", "KEY", transport=transport, **options).close()


def client_of(status: Any, listed: Any = ()) -> RemoteOrchestrationClient:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method != "GET":
            return httpx.Response(200, json={"nothing": 1})
        told = status if "/instances/" in request.url.path else list(listed)
        return httpx.Response(200, content=told if isinstance(told, bytes) else json.dumps(told).encode())

    return RemoteOrchestrationClient(connect_address(), httpx.MockTransport(answer))


def connect_address() -> Any:
    from dfnb.client.remote.address import read_address

    return read_address("http://fake", "KEY")


# ---- how long


@pytest.fixture
def place() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[", b" "), (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["body", "headers", "100 Continue"],
)  # fmt: skip
def test_an_answer_that_comes_in_drops_is_none_within_the_timeout(place: socket.socket, first: bytes, again: bytes) -> None:
    over = threading.Event()

    def serve() -> None:
        while True:
            try:
                connection, _ = place.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.sendall(first)
                while not over.wait(0.05):
                    connection.sendall(again)

    threading.Thread(target=serve, daemon=True).start()
    try:
        with pytest.raises(RemoteUnavailableError, match=r"no answer within 0\.5 s"):
            connect(f"http://127.0.0.1:{place.getsockname()[1]}", "KEY", timeout=0.5)
    finally:
        over.set()


# ---- how much


def test_an_endless_answer_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfnb.client.remote.wire._LONGEST", 3_000_000)
    endless = Endless(b" " * 100_000)
    with pytest.raises(RemoteError, match=r"more than 3 MB, and the rest was not read"):
        asking(httpx.MockTransport(lambda request: httpx.Response(200, stream=endless)))
    assert endless.is_closed


def test_what_unpacks_to_too_much_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfnb.client.remote.wire._LONGEST", 3_000_000)
    packed = gzip.compress(b" " * 4_000_000)
    with pytest.raises(RemoteError, match="more than 3 MB"):
        asking(answering(packed, {"Content-Encoding": "gzip"}))
    with pytest.raises(RemoteError, match=r"cannot be understood: the answer is packed more than once \(gzip, gzip\)"):
        asking(answering(gzip.compress(packed), {"Content-Encoding": "gzip, gzip"}))


def test_a_packed_answer_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    asking(answering(gzip.compress(b"[]"), {"Content-Encoding": "gzip"}))


def test_a_line_of_the_stream_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfnb.client.remote.wire._LONGEST_LINE", 1_000_000)
    endless = Endless(b"x" * 100_000)
    there = httpx.MockTransport(lambda request: httpx.Response(200, stream=endless))

    async def read() -> None:
        from dfnb.client.remote.wire import Wire

        wire = Wire(connect_address(), there, 5.0)
        try:
            async with wire.stream("changes") as response:
                async for _ in wire.lines(response):
                    pass
        finally:
            await wire.close()

    with pytest.raises(ValueError, match="longer than 1 MB"):
        asyncio.run(read())
    assert endless.is_closed


# ---- what it says


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (DEEP, "nested too deeply"), ({**GOOD, "runtimeStatus": 5}, "runtimeStatus is no text"),
        ({**GOOD, "instanceId": []}, "instanceId is no text"), ({**GOOD, "name": {}}, "name is no text"),
        ({**GOOD, "createdTime": 7}, "createdTime is no text"), ({**GOOD, "lastUpdatedTime": []}, "lastUpdatedTime is no text"),
        ({**GOOD, "historyEvents": [1]}, "historyEvents are no list"), ({**GOOD, "historyEvents": {}}, "historyEvents are no list"),
        ({**GOOD, "historyEvents": [{"EventType": {}}]}, "an event that cannot be read"),
        ({**GOOD, "historyEvents": [{"EventType": "TimerCreated", "FireAt": []}]}, "an event that cannot be read"),
    ],
    ids=["deep", "status", "id", "name", "created", "updated", "event", "events", "kind", "time"],
)  # fmt: skip
def test_a_status_in_a_form_of_its_own_is_said_to_be_one(status: Any, said: str) -> None:
    with client_of(status) as client, pytest.raises(RemoteError, match=f"does not say: .*{said}"):
        client.history("a")


def test_a_failure_with_details_of_another_kind_is_told_by_the_output() -> None:
    events = [{"EventType": "ExecutionCompleted", "FailureDetails": "no object"}]
    with client_of({**GOOD, "runtimeStatus": "Failed", "output": "ValueError: no", "historyEvents": events}) as client:
        failure = client.status("a").failure_details
        assert failure is not None
        assert (failure.error_type, failure.message) == ("ValueError", "no")


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda client: client.instances(), "a list of other things than objects"),
        (lambda client: client.entities(), "a list of other things than objects"),
        (lambda client: client.purge("a"), "a purge without the number of deleted instances"),
        (lambda client: client.purge_many(created_time_from=datetime(2026, 1, 1, tzinfo=UTC)), "a purge without the number"),
        (lambda client: client.restart("a"), "a restart without the id of the new instance"),
    ],
    ids=["instances", "entities", "purge", "purge_many", "restart"],
)  # fmt: skip
def test_an_answer_without_what_was_asked_for_is_said_to_be_one(ask: Ask, said: str) -> None:
    with client_of(GOOD, [1, None, "x"]) as client, pytest.raises(RemoteError, match=f"does not say: {said}"):
        ask(client)


def test_a_row_that_is_no_status_is_said_to_be_none() -> None:
    with client_of(GOOD, [{"a": 1}]) as client, pytest.raises(RemoteError, match="runtimeStatus is no text"):
        client.instances()


def test_deep_words_of_an_error_are_none() -> None:
    with pytest.raises(RemoteUnavailableError, match="it answers 503"):
        asking(answering(DEEP, status=503))


def test_what_is_asked_is_not_in_the_log_of_the_http_libraries(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    asking(answering(b"[]"))
    assert [record.name for record in caplog.records if record.name.startswith(("httpx", "httpcore"))] == []
