"""What an activity can learn about the try it is running in."""

from __future__ import annotations

import threading
from contextvars import ContextVar

import msgspec

from dfnb.errors import DfnbError


class ActivityCancelled(DfnbError):
    """Raised by `activity_info().raise_if_cancelled()`: nobody waits for this activity any longer, so it may stop."""


class CancelFlag:
    """A flag that is set once. Its event is made only for who waits: most activities are never cancelled."""

    __slots__ = ("_event", "is_set")

    _making = threading.Lock()

    def __init__(self) -> None:
        self.is_set = False
        self._event: threading.Event | None = None

    def set(self) -> None:
        with CancelFlag._making:
            self.is_set = True
            if self._event is not None:
                self._event.set()

    def wait(self, timeout: float | None) -> bool:
        with CancelFlag._making:
            if self._event is None:
                self._event = threading.Event()
            if self.is_set:
                self._event.set()
        return self._event.wait(timeout)


class ActivityInfo(msgspec.Struct, frozen=True, eq=False):
    """The try of an activity that is running now: for which instance and task, and whether anyone still wants its result."""

    instance_id: str
    task_id: int
    name: str
    attempt: int
    flag: CancelFlag

    @property
    def cancelled(self) -> bool:
        """Whether the instance ended, the time ran out or dfnb is closing. In another process always False."""
        return self.flag.is_set

    def raise_if_cancelled(self) -> None:
        """Raise `ActivityCancelled` if this try was asked to stop; call it at points where stopping is safe."""
        if self.flag.is_set:
            raise ActivityCancelled(f"activity {self.name!r} of instance {self.instance_id!r} was asked to stop")

    def wait_cancelled(self, timeout: float | None = None) -> bool:
        """Sleep up to `timeout` seconds, less if this try is asked to stop; True if it was."""
        return self.flag.wait(timeout)


current: ContextVar[ActivityInfo | None] = ContextVar("dfnb_activity", default=None)


def activity_info() -> ActivityInfo:
    """What is known of the running activity. RuntimeError outside of one."""
    info = current.get()
    if info is None:
        raise RuntimeError("activity_info() works only inside an activity that an orchestration called")
    return info
