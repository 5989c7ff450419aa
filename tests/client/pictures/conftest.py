"""Histories for pictures: events one second apart."""

from __future__ import annotations

from dfnb.client.timeline import Row, Timeline
from dfnb.records.history import HistoryEvent, Recorded

SECOND = 1_000_000


def recorded(*events: HistoryEvent, generation: int = 0) -> list[tuple[int, int, Recorded]]:
    return [(at, generation, Recorded(1, at * SECOND, event)) for at, event in enumerate(events)]


def rows_of(*events: HistoryEvent) -> list[Row]:
    timeline = Timeline()
    timeline.feed(recorded(*events))
    return timeline.rows
