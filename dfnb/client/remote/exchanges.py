"""The exchanges of one remote instance, fetched piece by piece: what has been told once is not asked for again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from dfnb.hub.http_state import ExchangeLine
from dfnb.records.http import Exchange

_FIRST = 20
_MORE = 10
_MOST = 10_000


class Exchanges:
    """What is known so far. An exchange's position is its place in the list."""

    def __init__(self) -> None:
        self.known: list[Exchange] = []

    async def refresh(self, fetch: Callable[[int], Awaitable[list[Exchange] | None]]) -> None:
        """Take in what is new; `fetch` gives the latest so many, or None from a server that does not tell."""
        latest = _FIRST if self.known else _MOST
        while True:
            found = await fetch(latest)
            if found is None:
                return
            if self._take(found) or latest >= _MOST:
                return
            latest *= _MORE

    def _take(self, found: list[Exchange]) -> bool:
        """Put the new ones behind those that are known; False if some in between may be missing."""
        if not self.known:
            self.known = found
            return True
        last = _key(self.known[-1])
        for place in range(len(found) - 1, -1, -1):
            if _key(found[place]) == last:
                self.known += found[place + 1 :]
                return True
        return False

    def lines(self, after: int) -> list[ExchangeLine]:
        """Those behind a position, without what they carried."""
        return [_line(pos, one) for pos, one in enumerate(self.known) if pos > after]


def _key(one: Exchange) -> tuple[int, int, int, str]:
    return one.generation, one.task, one.attempt, one.purpose


def _line(pos: int, one: Exchange) -> ExchangeLine:
    return ExchangeLine(
        pos, one.generation, one.task, one.attempt, one.purpose, one.sent_at, one.took, one.method, one.url, one.status,
        len(one.response_body), one.asked, one.due_at, one.note, one.error,
    )
