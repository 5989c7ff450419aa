"""An HTTP call between two requests, as the working set holds it."""

from __future__ import annotations

from typing import NamedTuple

from dfnb.records.history import HistoryEvent
from dfnb.records.http import Exchange

CallKey = tuple[int, int, int]
"""Which call: the key of the instance, the generation, the task."""


class WaitingCall(NamedTuple):
    """A call that waits for its next request. `work`: its state as text, empty before the first; `attempt`: requests sent."""

    work: str
    due_at: int
    attempt: int
    why: str = ""
    """What it waits for, if not for its time alone."""


class CallStep(NamedTuple):
    """What came of a request: exchanges to write down, then the call's end (`event`) or how it goes on (`waiting`)."""

    call: CallKey
    attempt: int
    """Which try of the task it was for."""
    at: int
    exchanges: tuple[Exchange, ...] = ()
    event: HistoryEvent | None = None
    waiting: WaitingCall | None = None


class CallSummary(NamedTuple):
    """How a call stands: what its latest exchange was, and how many there were before."""

    generation: int
    task: int
    requests: int
    polls: int
    status: int | None
    due_at: int | None
    note: str | None
    error: str | None


class ExchangeLine(NamedTuple):
    """An exchange without what it carried: enough for a line in a list, or a mark on a time axis."""

    pos: int
    generation: int
    task: int
    attempt: int
    purpose: str
    sent_at: int
    took: int
    method: str
    url: str
    status: int | None
    response_bytes: int
    asked: int | None
    due_at: int | None
    note: str | None
    error: str | None
