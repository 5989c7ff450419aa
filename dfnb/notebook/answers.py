"""The thread that answers what live views ask: apart from the publisher, whose news must not wait for a long read."""

from __future__ import annotations

import logging
import queue
import threading
from typing import Any, Protocol

logger = logging.getLogger("dfnb")


class Asked(Protocol):
    """A view that was asked something."""

    def reply(self, message: dict[str, Any]) -> None: ...


class Answers:
    """Has each view reply to its messages, one after the other, on a daemon thread started when first needed."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[Asked, dict[str, Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="dfnb-answers", daemon=True)
        self._thread.start()

    def put(self, view: Asked, message: dict[str, Any]) -> None:
        """From any thread; returns at once."""
        self._queue.put((view, message))

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join(1)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            view, message = item
            try:
                view.reply(message)
            except Exception:  # a front end that is gone must not leave the other views without answers
                logger.debug("dfnb: a live view could not be answered", exc_info=True)
