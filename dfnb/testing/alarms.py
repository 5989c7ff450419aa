"""Waiting for a time of any clock without blocking an event loop: one thread waits for all."""

from __future__ import annotations

import asyncio
import heapq
import math
import threading
from itertools import count

from dfnb.engine.clock import Clock
from dfnb.threads import LoopThread


class Alarms:
    """Lets coroutines and threads wait until a clock, perhaps one moved by hand, has come to a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._heap: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()
        self._thread: LoopThread | None = None
        self._serving = False
        self._closed = False

    def due(self, seconds: float) -> int | None:
        """The time in so many seconds; None for never."""
        return None if math.isinf(seconds) else self._clock.now() + round(seconds * 1_000_000)

    def wait(self, due: int | None) -> None:
        """Block this thread until then, or until `close`."""
        with self._changed:
            while not self._closed and (due is None or self._clock.now() < due):
                self._clock.wait(self._changed, due)

    async def sleep(self, due: int | None) -> None:
        """Let this coroutine wait until then."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if due is not None:
            self._add(due, future)
        await future

    def close(self) -> None:
        """Let go of all who wait for a time, and end the thread that waits for them."""
        with self._changed:
            self._closed = True
            for _, _, future in self._heap:
                _wake(future)
            self._heap.clear()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.close(5.0)

    def _add(self, due: int, future: asyncio.Future[None]) -> None:
        with self._changed:
            heapq.heappush(self._heap, (due, next(self._order), future))
            self._changed.notify_all()
            if self._serving or self._closed:
                return
            self._serving = True
            if self._thread is None:
                self._thread = LoopThread("dfnb-fake-api-alarms")
        self._thread.post(self._serve)

    def _serve(self) -> None:
        """Wait for the earliest until none is left; only then is the thread's loop free for the next time."""
        with self._changed:
            while self._heap and not self._closed:
                due, _, future = self._heap[0]
                if self._clock.now() >= due:
                    heapq.heappop(self._heap)
                    _wake(future)
                else:
                    self._clock.wait(self._changed, due)
            self._serving = False


def _wake(future: asyncio.Future[None]) -> None:
    loop = future.get_loop()
    if not loop.is_closed():
        loop.call_soon_threadsafe(_done, future)


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
