"""Where a remote client's requests run: a loop on a thread of its own, never the kernel's."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from dfnb.errors import RemoteError
from dfnb.threads import LoopThread

T = TypeVar("T")
_LOOK_SECONDS = 0.2
_CLOSE_SECONDS = 5.0


class RemoteLoop:
    """Runs coroutines for callers on other threads, until it is closed."""

    def __init__(self, name: str, address: str) -> None:
        self._thread = LoopThread(name)
        self._address = address
        self._closing = threading.Lock()
        self.is_closed = False

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns or raises. An interrupt of the caller cancels it."""
        if self._is_here():
            work.close()
            raise RuntimeError("a callback of watch() may not ask the client itself; hand the work to another thread")
        future = self.spawn(work)
        try:
            return _result(future)
        except KeyboardInterrupt:
            future.cancel()
            raise

    def spawn(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start the coroutine; its result is the future's."""
        try:
            return self._thread.run(lambda: work)
        except RuntimeError:
            work.close()
            raise RemoteError(self._address, "was disconnected from; connect again to go on") from None

    def _is_here(self) -> bool:
        import asyncio

        try:
            return asyncio.get_running_loop() is self._thread.loop
        except RuntimeError:
            return False

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run one coroutine more and end the thread. Calling it again does nothing."""
        with self._closing:
            if self.is_closed:
                return
            self.is_closed = True
        if not self._is_here():
            self._thread.finish(last, _CLOSE_SECONDS)
        with contextlib.suppress(RuntimeError):
            self._thread.close(_CLOSE_SECONDS)

    def leave(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """The same without waiting, for the garbage collector: whose thread ever it comes by on must not be held up."""
        if not self.is_closed:
            self.is_closed = True
            self._thread.leave(last, _CLOSE_SECONDS)


def _result(future: Future[T]) -> T:
    """Short waits in a row: an interrupt gets through everywhere."""
    while True:
        try:
            return future.result(_LOOK_SECONDS)
        except TimeoutError:
            if future.done():
                return future.result()
