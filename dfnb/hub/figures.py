"""What the hub says of many instances at once. Times are microseconds since 1970, UTC."""

from __future__ import annotations

import msgspec

SECOND = 1_000_000


class OverTime(msgspec.Struct, frozen=True):
    """How many, by status, in each span of `step` microseconds from `start` on; every list is as long as the others."""

    start: int = 0
    step: int = SECOND
    series: dict[str, list[int]] = {}

    @property
    def length(self) -> int:
        return max(map(len, self.series.values()), default=0)


class Overview(msgspec.Struct, frozen=True):
    """What fits a question: how many by name and status, and when they were created.

    The counts leave out what the question says of name and status, so that one sees what another choice would give.
    """

    counts: dict[tuple[str, str], int]
    created: OverTime = OverTime()


class Durations(msgspec.Struct, frozen=True):
    """How the instances of one orchestrator did; times, in microseconds, are of those that completed."""

    name: str
    instances: int
    open: int
    failed: int
    mean: float | None = None
    median: float | None = None
    p95: float | None = None
    longest: int | None = None


class Figures(msgspec.Struct, frozen=True):
    """Counts by status, what was created and what ended when, and durations by orchestrator."""

    counts: dict[str, int]
    created: OverTime
    ended: OverTime
    durations: tuple[Durations, ...]
