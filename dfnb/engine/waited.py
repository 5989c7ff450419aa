"""How long an event was waited for: known only in the turn that takes it in, so it is written down with the event."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dfnb.records.history import EventRaised, HistoryEvent

Row = tuple[HistoryEvent, int]
"""An event and when it came."""


def with_length(rows: Sequence[Row], waited_since: Callable[[str], list[int]]) -> list[Row]:
    """The rows as they are recorded: a raised event says how long it was waited for, nothing if nobody did."""
    begun: dict[str, list[int]] = {}
    told: list[Row] = []
    for event, at in rows:
        if type(event) is EventRaised:
            if event.name not in begun:
                begun[event.name] = waited_since(event.name)
            since = begun[event.name].pop(0) if begun[event.name] else None
            event = EventRaised(event.name, event.input, None if since is None else max(0, at - since))
        told.append((event, at))
    return told
