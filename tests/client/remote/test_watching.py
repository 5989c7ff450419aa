"""Waiting for what happens elsewhere, when the news of it come late or not at all."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future

import httpx
import pytest

import dfnb
from dfnb.client.remote.connect import connect
from dfnb.client.sync import DurableOrchestrationClient

WAIT = 20


class Gate(httpx.AsyncHTTPTransport):
    """Keeps the stream of changes from being opened while it is shut, and tells how often the status of `b` was told."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = threading.Semaphore(0)
        self.shut: asyncio.Event | None = None
        self.loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        assert self.loop is not None
        assert self.shut is not None
        self.loop.call_soon_threadsafe(self.shut.set)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.loop = asyncio.get_running_loop()
        if self.shut is not None and request.url.path.endswith("/changes"):
            await self.shut.wait()
        response = await super().handle_async_request(request)
        if request.method == "GET" and request.url.path.endswith("/b"):
            await response.aread()
            self.looks.release()
        return response


def test_a_wait_does_not_rest_on_a_stream_that_was_let_go(app: dfnb.DurableApp, client: DurableOrchestrationClient) -> None:
    server = app.serve(port=0)
    gate = Gate()
    with connect(server.url, server.key, transport=gate) as remote:
        for id in ("a", "b"):
            remote.start("waits", instance_id=id)
        streaming = threading.Event()
        end = remote.watch(lambda ids: streaming.set())
        first = remote.when_ended("a")
        assert streaming.wait(WAIT)
        client.raise_event("a", "go", 1)
        assert first.result(WAIT).end.result == "1"
        end()
        gate.shut = asyncio.Event()
        second = remote.when_ended("b")
        for _ in ("to know it", "to follow it"):
            assert gate.looks.acquire(timeout=WAIT)
        client.raise_event("b", "go", 2)
        gate.open()
        assert second.result(WAIT).end.result == "2"


def test_who_stops_waiting_leaves_nothing_behind(app: dfnb.DurableApp, client: DurableOrchestrationClient) -> None:
    server = app.serve(port=0)
    with connect(server.url, server.key) as remote:
        run = remote.start("waits", instance_id="w")
        other = remote.when_ended("w")
        for _ in range(3):
            with pytest.raises(dfnb.WaitTimeoutError):
                run.wait(0)
        remote.counts()  # the loop has done what it was told before
        assert _waiting(remote) == [other]
        other.cancel()
        remote.counts()
        assert _waiting(remote) == []
        client.raise_event("w", "go", 1)
        assert run.result(WAIT) == 1


def _waiting(remote: object) -> list[Future[object]]:
    return [future for one in remote._watching._awaited.values() for future in one.futures]  # type: ignore[attr-defined]
