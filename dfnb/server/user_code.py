"""Runs the functions of HTTP triggers where they can stop neither the server nor the exit of the program."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from dfnb.threads import LoopThread

_MOST_THREADS = 64
_IDLE_SECONDS = 30.0


class UserCode:
    """Coroutine functions run on one loop of their own, plain functions on some threads of theirs."""

    def __init__(self, most_threads: int = _MOST_THREADS) -> None:
        self._loop = LoopThread("dfnb-triggers")
        self._threads = DaemonThreads("dfnb-trigger", most_threads)

    def run(self, function: Callable[..., Any], arguments: tuple[Any, ...], *, is_async: bool) -> Future[Any]:
        """A future of what the function returns. Cancelling it cancels a coroutine; a plain function that began goes on."""
        if is_async:
            return self._loop.run(lambda: function(*arguments))
        return self._threads.submit(lambda: function(*arguments))

    def close(self, timeout: float) -> None:
        """Cancel coroutines and wait at most `timeout` seconds for that; plain functions end by themselves."""
        self._threads.close()
        self._loop.close(timeout)


class DaemonThreads:
    """At most so many threads, started when needed and gone when idle.

    Those of concurrent.futures are waited for when the program ends: a function that never returns would keep it for ever.
    """

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._changed = threading.Condition()
        self._queue: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._count = 0
        self._idle = 0
        self._closed = False

    def submit(self, work: Callable[[], Any]) -> Future[Any]:
        """A future of what `work` returns, once a thread is free. RuntimeError after `close`."""
        future: Future[Any] = Future()
        with self._changed:
            if self._closed:
                raise RuntimeError(f"the threads {self._name} are closed")
            self._queue.append((future, work))
            if self._idle >= len(self._queue):
                self._changed.notify()
            elif self._count < self._most:
                self._count += 1
                threading.Thread(target=self._serve, name=self._name, daemon=True).start()
        return future

    def close(self) -> None:
        """Let threads end with what they are doing; what has not begun is cancelled."""
        with self._changed:
            self._closed = True
            while self._queue:
                self._queue.popleft()[0].cancel()
            self._changed.notify_all()

    def _serve(self) -> None:
        while (item := self._next()) is not None:
            _do(*item)
            del item  # an idle thread must not keep the last answer alive

    def _next(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._queue or self._closed, _IDLE_SECONDS)
            self._idle -= 1
            if self._queue:
                return self._queue.popleft()
            self._count -= 1
            return None


def _do(future: Future[Any], work: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except StopIteration as error:  # no future of asyncio takes it, and whoever waits would do so for ever
        future.set_exception(RuntimeError("the function raised StopIteration").with_traceback(error.__traceback__))
    except BaseException as error:  # SystemExit too: whoever waits has to hear of it
        future.set_exception(error)
    else:
        future.set_result(result)
