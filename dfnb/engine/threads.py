"""The engine's helper threads: one that serves timers, one with an event loop. Daemons both, started when first needed."""

from __future__ import annotations

import contextlib
import heapq
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

_log = logging.getLogger("dfnb.engine")


def guarded(action: Callable[[], Any]) -> None:
    """Run what must not end the thread it runs on; an error is told to the log."""
    try:
        action()
    except BaseException:
        _log.exception("an action of the engine's activity threads failed")


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


class LoopThread:
    """An asyncio loop on a thread of its own, started when first needed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self.loop: asyncio.AbstractEventLoop | None = None

    def post(self, action: Callable[..., Any], *args: Any) -> None:
        """Run `action` on the loop soon. From any thread; nothing happens once it is closed."""
        if self._thread is threading.current_thread() and self.loop is not None:
            self.loop.call_soon(action, *args)
            return
        with self._lock:
            if self._stopping:
                return
            self._started().call_soon_threadsafe(action, *args)

    def finish(self, work: Callable[[], Coroutine[Any, Any, None]], timeout: float) -> None:
        """Run a last coroutine on the loop, if there ever was one, and wait at most `timeout` seconds for it."""
        loop = self.loop
        if loop is None or self._stopping:
            return
        import asyncio

        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(work(), loop).result(max(timeout, 0.1))

    def close(self, timeout: float) -> None:
        """Cancel what runs and end the loop, waiting at most `timeout` seconds for that."""
        with self._lock:
            if self._stopping or self.loop is None or self._thread is None:
                self._stopping = True
                return
            self._stopping = True
            self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(max(timeout, 0))

    def _started(self) -> asyncio.AbstractEventLoop:
        if self.loop is None:
            import asyncio  # with the first coroutine: most scripts run none, and would start 40 ms later

            self.loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._serve, args=(self.loop,), name=self._name, daemon=True)
            self._thread.start()
        return self.loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        import asyncio

        asyncio.set_event_loop(loop)
        while not self._stopping:
            guarded(loop.run_forever)  # a SystemExit from a task that user code started must not end everybody's loop
        guarded(lambda: loop.run_until_complete(_wind_down()))
        loop.close()


async def _wind_down() -> None:
    import asyncio

    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    if rest:
        await asyncio.wait(rest, timeout=1.0)
    await asyncio.get_running_loop().shutdown_asyncgens()
