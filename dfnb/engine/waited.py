"""How long an event was waited for: known only in the turn that takes it in, so it is written down with the event."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from dfnb.records.history import EventRaised, HistoryEvent
from dfnb.records.instance import Wait

Row = tuple[HistoryEvent, int]
"""An event and when it came."""


def with_length(rows: Sequence[Row], waits: Callable[[], Iterable[Wait]]) -> list[Row]:
    """The rows as they are recorded: a raised event says how long it was among `waits`, nothing if it was in none."""
    if not any(type(event) is EventRaised for event, _ in rows):
        return list(rows)
    since: dict[str, list[int]] = {}
    for wait in waits():
        if wait.kind == "event" and wait.since is not None:
            since.setdefault(wait.name, []).append(wait.since)
    return [(_told(event, at, since), at) if type(event) is EventRaised else (event, at) for event, at in rows]


def _told(event: EventRaised, at: int, since: dict[str, list[int]]) -> EventRaised:
    """Each wait is over with the first event of its name."""
    begun = since.get(event.name)
    return EventRaised(event.name, event.input, max(0, at - begun.pop(0)) if begun else None)
