"""The thread that answers what live views ask: apart from the publisher, whose news must not wait for a long read."""

from __future__ import annotations

import logging
import queue
import threading
from typing import Any, Protocol

logger = logging.getLogger("dfnb")

_IDLE_SECONDS = 60.0


class Asked(Protocol):
    """A view that was asked something."""

    def reply(self, message: dict[str, Any]) -> None: ...


class Answers:
    """Has each view reply to its messages, one after the other, on a daemon thread that is there while there are questions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[tuple[Asked, dict[str, Any]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def put(self, view: Asked, message: dict[str, Any]) -> None:
        """From any thread; returns at once."""
        with self._lock:
            self._queue.put((view, message))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="dfnb-answers", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Wait a moment for what is asked, and let the thread end."""
        with self._lock:
            thread = self._thread
            self._queue.put(None)
        if thread is not None:
            thread.join(1)

    def _run(self) -> None:
        while (item := self._next()) is not None:
            view, message = item
            try:
                view.reply(message)
            except Exception:  # a front end that is gone must not leave the other views without answers
                logger.debug("dfnb: a live view could not be answered", exc_info=True)

    def _next(self) -> tuple[Asked, dict[str, Any]] | None:
        """The next question; None when it is time to end."""
        try:
            item = self._queue.get(timeout=_IDLE_SECONDS)
        except queue.Empty:
            item = None
        if item is None:
            with self._lock:
                if not self._queue.empty():  # asked at the last moment
                    item = self._queue.get()
                if item is None:
                    self._thread = None
        return item
