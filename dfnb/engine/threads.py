"""The engine's thread that serves timers: a daemon, started when first needed."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable

from dfnb.threads import guarded


class Timer:
    """One action due at one time; `cancel` forgets it."""

    __slots__ = ("action", "due")

    def __init__(self, due: float, action: Callable[[], None]) -> None:
        self.due = due
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        self.action = None

    def __lt__(self, other: Timer) -> bool:
        return self.due < other.due


class Timers:
    """Runs short actions when they are due, all on one thread that is started when first needed."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._heap: list[Timer] = []
        self._thread: threading.Thread | None = None
        self._closed = False

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        timer = Timer(time.monotonic() + seconds, action)
        with self._changed:
            if self._closed:
                return timer
            if len(self._heap) > 1_000:
                self._forget_cancelled()
            heapq.heappush(self._heap, timer)
            if self._heap[0] is timer:
                self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="dfnb-timers", daemon=True)
                self._thread.start()
        return timer

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._heap.clear()
            self._changed.notify()

    def _forget_cancelled(self) -> None:
        alive = [timer for timer in self._heap if timer.action is not None]
        if len(alive) < len(self._heap) // 2:
            heapq.heapify(alive)
            self._heap = alive

    def _serve(self) -> None:
        while (timer := self._next_due()) is not None:
            action = timer.action
            if action is not None:
                guarded(action)

    def _next_due(self) -> Timer | None:
        with self._changed:
            while not self._closed:
                left = self._heap[0].due - time.monotonic() if self._heap else None
                if left is not None and left <= 0:
                    return heapq.heappop(self._heap)
                self._changed.wait(left if left is None else min(left, threading.TIMEOUT_MAX))
        return None
