"""What a service writes to stderr: one readable line for each thing that happens."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from dfnb.client.sync import DurableOrchestrationClient

logger = logging.getLogger("dfnb")

MOST_LINES = 20
"""How many instances are told of one by one at a time; beyond it they are counted."""


def to_stderr(*, verbose: bool) -> logging.Handler:
    """Have dfnb's messages printed, those of its server too; what other libraries log is left to the program's own settings."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
    return handler


class InstanceLog:
    """Tells of instances that start and end. The hub only notes which have changed and calls `wake`; `tell` does the work."""

    def __init__(self, client: DurableOrchestrationClient, wake: Callable[[], None]) -> None:
        self._client = client
        self._wake = wake
        self._lock = threading.Lock()
        self._changed: set[str] = set()
        self._running: set[str] = set()
        self.end = client.watch(self._note)

    def _note(self, ids: frozenset[str]) -> None:
        with self._lock:
            is_first = not self._changed
            self._changed |= {id for id in ids if not id.startswith("@")}
            wake = is_first and bool(self._changed)
        if wake:
            self._wake()

    def tell(self) -> None:
        """Log what has started and ended since the last time."""
        with self._lock:
            ids, self._changed = self._changed, set()
        lines = [line for id in sorted(ids) if (line := self._line(id))]
        for level, text in lines[:MOST_LINES]:
            logger.log(level, "%s", text)
        if len(lines) > MOST_LINES:
            logger.info("and %d more instances started or ended", len(lines) - MOST_LINES)

    def _line(self, id: str) -> tuple[int, str] | None:
        record = self._client.peek(id)
        if record is None:
            return None
        if record.is_terminal:
            self._running.discard(id)
            return logging.WARNING if record.status == "Failed" else logging.INFO, f"{record.name} {id}: {record.status}"
        if id in self._running:
            return None
        self._running.add(id)
        return logging.INFO, f"{record.name} {id}: {record.status}"
