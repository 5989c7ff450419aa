"""Exchanges of a remote instance: fetched piece by piece, none missed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

import dfnb
from dfnb.client.remote.connect import connect
from dfnb.client.remote.exchanges import Exchanges
from dfnb.records.http import Exchange


def log(count: int) -> list[Exchange]:
    return [Exchange(0, 1, number, "poll", number, 5, "GET", "http://x", response_body=b"ab") for number in range(1, count + 1)]


class Server:
    """Tells the latest so many of a log that grows."""

    def __init__(self) -> None:
        self.count = 0
        self.asked: list[int] = []

    async def fetch(self, latest: int) -> list[Exchange] | None:
        self.asked.append(latest)
        return log(self.count)[-latest:]


@pytest.mark.parametrize("more", [0, 1, 19, 20, 500], ids=str)
def test_what_is_new_comes_behind_what_is_known(more: int) -> None:
    server, known = Server(), Exchanges()
    server.count = 30
    asyncio.run(known.refresh(server.fetch))
    server.count += more
    asyncio.run(known.refresh(server.fetch))
    assert known.known == log(30 + more)
    assert [(line.pos, line.attempt, line.response_bytes) for line in known.lines(28)][:1] == [(29, 30, 2)]
    assert server.asked[1] == 20


def test_a_server_that_does_not_tell_leaves_it_empty() -> None:
    async def nothing(latest: int) -> None:
        return None

    known = Exchanges()
    asyncio.run(known.refresh(nothing))
    assert known.lines(-1) == []


BODY = b"y" * 50_000


@pytest.fixture
def asking() -> Iterator[dfnb.DurableApp]:
    """A hub whose instance `x` has sent four requests with large answers."""
    registry = dfnb.Registry()
    left = [202, 202, 202, 200]

    def answer(request: httpx.Request) -> httpx.Response:
        headers = {"Location": "https://example.org/s", "Retry-After": "0"}
        return httpx.Response(left.pop(0), headers=headers, content=BODY)

    @dfnb.orchestrator(registry=registry)
    def asks(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        yield context.call_http("GET", "https://example.org/s")

    settings = dfnb.HttpSettings(client=lambda: httpx.MockTransport(answer), pace=dfnb.Pace(floor=0.0))
    with dfnb.DurableApp(durability="memory", registry=registry, http=settings) as app:
        app.client.start("asks", instance_id="x").wait(20)
        yield app


class Counting(httpx.AsyncHTTPTransport):
    """Counts the bytes that come; with `is_old`, leaves out what a server of an older version would not heed."""

    def __init__(self, is_old: bool = False) -> None:
        super().__init__()
        self.came = 0
        self._is_old = is_old

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._is_old:
            request.url = request.url.copy_with(query=re.sub(rb"&?(bodies|after|at)=[^&]*", b"", request.url.query))
        response = await super().handle_async_request(request)
        if "/exchanges" in request.url.path:
            await response.aread()
            self.came += len(response.content)
        return response


def test_lines_come_without_bodies_and_an_exchange_comes_alone(asking: dfnb.DurableApp) -> None:
    server = asking.serve(port=0)
    counting = Counting()
    with connect(server.url, server.key, transport=counting) as remote:
        here, there = asking.client.record("x"), remote.record("x")
        lines = remote.exchange_lines(there)
        assert lines == asking.client.exchange_lines(here)
        assert [line.response_bytes for line in lines] == [len(BODY)] * 4
        assert remote.exchange_lines(there, lines[1].pos) == lines[2:]
        assert counting.came < len(BODY)
        found = remote.exchange_at(there, lines[2].pos)
        assert found is not None
        assert (found.attempt, found.response_body) == (lines[2].attempt, BODY)
        assert counting.came < 2 * len(BODY)
        assert remote.exchange_at(there, lines[-1].pos + 99) is None


def test_an_older_server_tells_them_whole(asking: dfnb.DurableApp) -> None:
    server = asking.serve(port=0)
    with connect(server.url, server.key, transport=Counting(is_old=True)) as remote:
        there = remote.record("x")
        lines = remote.exchange_lines(there)
        assert [(line.attempt, line.response_bytes) for line in lines] == [
            (line.attempt, len(BODY)) for line in asking.client.exchange_lines(asking.client.record("x"))
        ]
        assert remote.exchange_lines(there, lines[1].pos) == lines[2:]
        found = remote.exchange_at(there, lines[2].pos)
        assert found is not None
        assert (found.attempt, found.response_body) == (lines[2].attempt, BODY)


def test_lines_come_a_page_at_a_time(asking: dfnb.DurableApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfnb.server.extras._MOST", 3)
    monkeypatch.setattr("dfnb.client.remote.api._LINES_AT_ONCE", 3)
    server = asking.serve(port=0)
    with connect(server.url, server.key) as remote:
        assert len(remote.exchange_lines(remote.record("x"))) == 4
