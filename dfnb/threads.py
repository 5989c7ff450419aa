"""A thread with an event loop for what must not share one with anything else: a daemon, started when first needed."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")
_log = logging.getLogger("dfnb")


def guarded(action: Callable[[], Any]) -> None:
    """Run what must not end the thread it runs on; an error is told to the log."""
    try:
        action()
    except BaseException:
        _log.exception("an action on a helper thread failed")


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

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        """Run a coroutine on the loop; cancelling the future cancels it. RuntimeError once it is closed."""
        import asyncio

        with self._lock:
            if self._stopping:
                raise RuntimeError(f"the thread {self._name} is closed")
            return asyncio.run_coroutine_threadsafe(work(), self._started())

    def finish(self, work: Callable[[], Coroutine[Any, Any, None]], timeout: float) -> None:
        """Run a last coroutine on the loop, if there ever was one, and wait at most `timeout` seconds for it."""
        loop = self.loop
        if loop is None or self._stopping:
            return
        import asyncio

        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(work(), loop).result(max(timeout, 0.1))

    def leave(self, work: Callable[[], Coroutine[Any, Any, None]], timeout: float) -> None:
        """Have a last coroutine run on the loop, if there ever was one, for `timeout` seconds at most, and then the loop end."""
        with self._lock:
            was_stopping, self._stopping = self._stopping, True
            loop = self.loop
        if loop is None or was_stopping:
            return
        import asyncio

        async def last() -> None:
            try:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(work(), timeout)
            finally:
                loop.stop()

        asyncio.run_coroutine_threadsafe(last(), loop)

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
        guarded(loop.run_forever)  # at least once: what was asked for before an early end is begun, and told of that end
        while not self._stopping:  # a SystemExit from a task that user code started must not end everybody's loop
            guarded(loop.run_forever)
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
