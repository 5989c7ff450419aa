"""News of instances for coroutines: one watcher of the hub, however many requests wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType

from dfnb.client.sync import DurableOrchestrationClient


class Ticket:
    """What one waiting request holds: told when its instance (None: any) has changed, or when the server is to stop."""

    def __init__(self, changes: Changes, instance_id: str | None) -> None:
        self._changes = changes
        self.instance_id = instance_id
        self.loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self.ids: set[str] = set()
        """Which instances have changed since the last look, for a ticket for all of them."""

    async def wait(self, seconds: float | None) -> bool:
        """Wait for news at most so long; False when there was none."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return True

    def tell(self, ids: frozenset[str]) -> None:
        """On the ticket's own loop."""
        if self.instance_id is None:
            self.ids |= ids
        self._news.set()

    def __enter__(self) -> Ticket:
        self._changes.add(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._changes.remove(self)


class Changes:
    """Hands what the hub's watcher says, on the hub's writer thread, to the loops of the requests that wait."""

    def __init__(self, client: DurableOrchestrationClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._tickets: dict[str | None, dict[Ticket, None]] = {}
        self._end: Callable[[], None] | None = None
        self.is_closing = False

    def ticket(self, instance_id: str | None) -> Ticket:
        """Use it as a context, and look at the instance inside before the first wait."""
        return Ticket(self, instance_id)

    def add(self, ticket: Ticket) -> None:
        with self._lock:
            self._tickets.setdefault(ticket.instance_id, {})[ticket] = None
            if self._end is None:
                self._end = self._client.watch(self._note)

    def remove(self, ticket: Ticket) -> None:
        with self._lock:
            tickets = self._tickets.get(ticket.instance_id, {})
            tickets.pop(ticket, None)
            if not tickets:
                self._tickets.pop(ticket.instance_id, None)
            end, self._end = (None, self._end) if self._tickets else (self._end, None)
        if end is not None:
            end()

    def close(self) -> None:
        """Have all who wait look again; nobody is to wait any more."""
        self.is_closing = True
        self.wake()

    def wake(self) -> None:
        """Have all who wait look again."""
        with self._lock:
            waiting = [ticket for tickets in self._tickets.values() for ticket in tickets]
        _tell(waiting, frozenset())

    def _note(self, ids: frozenset[str]) -> None:
        with self._lock:
            concerned = [id for id in self._tickets if id in ids] if len(self._tickets) < len(ids) else ids & self._tickets.keys()
            waiting = [ticket for id in (*concerned, None) for ticket in self._tickets.get(id, ())]
        _tell(waiting, ids)


def _tell(tickets: list[Ticket], ids: frozenset[str]) -> None:
    """With one wake-up for each loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Ticket]] = {}
    for ticket in tickets:
        by_loop.setdefault(ticket.loop, []).append(ticket)
    for loop, waiting in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_tell_all, waiting, ids)


def _tell_all(tickets: list[Ticket], ids: frozenset[str]) -> None:
    for ticket in tickets:
        ticket.tell(ids)
