"""What time it is, and how to wait for a time. Times are microseconds since 1970, UTC."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from dfnb.records.times import MICROSECOND, to_microseconds

_LONGEST_NAP = 60.0


class Clock(Protocol):
    """The time of the engine: the system's, or one a test moves by hand."""

    def now(self) -> int:
        """Microseconds since 1970, UTC; never less than what was told before."""

    def wait(self, condition: threading.Condition, until: int | None) -> None:
        """Return when the held `condition` is notified or the clock reaches `until`; like any wait, perhaps earlier."""


class SystemClock:
    """The machine's clock, kept from going backwards within this process."""

    def __init__(self) -> None:
        self._latest = 0

    def now(self) -> int:
        # without a lock: every thread asks all the time, and two threads in one microsecond may well get each other's
        now = time.time_ns() // 1000
        if now > self._latest:
            self._latest = now
        return self._latest

    def wait(self, condition: threading.Condition, until: int | None) -> None:
        if until is None:
            condition.wait()
            return
        while (left := (until - self.now()) / 1e6) > 0:
            # A nap, not the whole time: a condition does not notice that the machine slept or that its clock was set.
            if condition.wait(min(left, _LONGEST_NAP)):
                return


class FakeClock:
    """A clock that stands still until `advance` moves it."""

    def __init__(self, start: datetime | int = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._lock = threading.Lock()
        self._now = start if isinstance(start, int) else to_microseconds(start)
        self._waiting: list[threading.Condition] = []

    def now(self) -> int:
        with self._lock:
            return self._now

    def advance(self, by: timedelta | float) -> None:
        """Move on by a timedelta or by seconds, and wake everyone who waits."""
        span = by if isinstance(by, timedelta) else timedelta(seconds=by)
        if span < timedelta(0):
            raise ValueError("a clock cannot be advanced by less than nothing")
        with self._lock:
            self._now += span // MICROSECOND
            waiting = list(self._waiting)
        for condition in waiting:
            with condition:
                condition.notify_all()

    def wait(self, condition: threading.Condition, until: int | None) -> None:
        with self._lock:
            if until is not None and self._now >= until:
                return
            self._waiting.append(condition)
        try:
            condition.wait()  # `advance` needs the condition to notify it, so it cannot slip in before this line
        finally:
            with self._lock:
                self._waiting.remove(condition)
