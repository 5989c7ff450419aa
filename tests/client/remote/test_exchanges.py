"""Exchanges of a remote instance: fetched piece by piece, none missed."""

from __future__ import annotations

import asyncio

import pytest

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
