"""The events of an instance folded into steps: what a turn of the orchestrator asked for, and which turn had the results.

Pure: events in, steps out. A turn that asked for nothing new is no step of its own: what it received goes to the next that did.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from dfnb.records.history import (
    EntityLockGranted,
    EntityLockRequested,
    EntityOperationCalled,
    EntityOperationCompleted,
    EntityOperationFailed,
    EntityOperationSignaled,
    EventRaised,
    ExecutionCompleted,
    ExecutionRewound,
    ExecutionStarted,
    HttpCallCompleted,
    HttpCallFailed,
    HttpCallScheduled,
    Recorded,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCanceled,
    TimerCreated,
    TimerFired,
)

_ASKED = (
    TaskScheduled, SubOrchestrationInstanceCreated, TimerCreated, EntityOperationCalled, EntityOperationSignaled,
    EntityLockRequested, HttpCallScheduled,
)  # fmt: skip
_SUCCEEDED = (
    TaskCompleted, SubOrchestrationInstanceCompleted, EntityOperationCompleted, EntityLockGranted, TimerFired, HttpCallCompleted,
)  # fmt: skip
_FAILED = (TaskFailed, SubOrchestrationInstanceFailed, EntityOperationFailed, HttpCallFailed)
_FOLDED_FROM = 6
"""In a step of more groups than this, tasks of one name are one group whichever turn had their results."""


@dataclasses.dataclass(slots=True)
class Work:
    """One task, or one event that came. `step`: which asked for it; `into`: which had its result, None if none had."""

    kind: str
    name: str
    step: int
    state: str = "Running"
    tries: int = 1
    into: int | None = None
    child: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """Tasks of one kind and name that one step asked for."""

    kind: str
    name: str
    step: int
    into: int | None
    states: tuple[tuple[str, int], ...]
    tries: int
    child: str = ""

    @property
    def count(self) -> int:
        return sum(count for _, count in self.states)


@dataclasses.dataclass(frozen=True, slots=True)
class Steps:
    """An instance's latest generation: its groups in order, the number of steps, and how it ended, if it has."""

    name: str
    groups: tuple[Group, ...]
    steps: int
    outcome: str | None
    generation: int = 0


class _Fold:
    def __init__(self) -> None:
        self.begin("", 0)

    def begin(self, name: str, generation: int) -> None:
        self.name = name
        self.generation = generation
        self.works: list[Work] = []
        self.tasks: dict[int, Work] = {}
        self.arrived: list[Work] = []
        self.step = -1
        self.outcome: str | None = None
        self.asking = False

    def take(self, generation: int, event: Any) -> None:
        if isinstance(event, ExecutionStarted):
            self.begin(event.name, generation)
        elif isinstance(event, _ASKED):
            self._asked(event)
        elif isinstance(event, _SUCCEEDED):
            self._ended(event.task, "Failed" if getattr(event, "failed", False) else "Completed")
        elif isinstance(event, _FAILED):
            self._ended(event.task, "Failed")
        elif isinstance(event, TimerCanceled) and event.task in self.tasks:
            self.tasks[event.task].state = "Canceled"
        elif isinstance(event, EventRaised):
            self._came(event.name)
        elif isinstance(event, ExecutionCompleted):
            self._over(event.status)
        elif isinstance(event, ExecutionRewound):
            self.outcome = None
            self.arrived = [work for work in self.arrived if work.state != "Failed"]

    def _asked(self, event: Any) -> None:
        before = self.tasks.get(event.task)
        if before is not None:  # another try, or the pause before it
            self._again(before, is_pause=isinstance(event, TimerCreated))
            return
        self._next_step()
        kind, name = _kind_and_name(event)
        work = Work(kind, name, self.step, child=getattr(event, "instance_id", ""))
        if kind == "signal":
            work.state = "Completed"
        self.tasks[event.task] = work
        self.works.append(work)

    def _again(self, work: Work, *, is_pause: bool) -> None:
        self.arrived = [one for one in self.arrived if one is not work]
        work.into = None
        work.state = "Waiting" if is_pause else "Running"
        work.tries += 0 if is_pause else 1

    def _next_step(self) -> None:
        """What has arrived since the last step is what this one goes on from."""
        if self.asking:
            return
        self.step += 1
        self.asking = True
        for work in self.arrived:
            work.into = self.step
        self.arrived = []

    def _ended(self, task: int, state: str) -> None:
        work = self.tasks.get(task)
        if work is None or work.state == "Waiting":  # the pause before a try is over
            return
        work.state = state
        self.arrived.append(work)
        self.asking = False

    def _came(self, name: str) -> None:
        work = Work("event", name, max(self.step, 0), "Completed")
        self.step = max(self.step, 0)
        self.works.append(work)
        self.arrived.append(work)
        self.asking = False

    def _over(self, status: str) -> None:
        self.outcome = status
        self.asking = False
        self._next_step()
        for work in self.works:
            if work.state in ("Running", "Waiting"):
                work.state = "Canceled"


def steps_of(events: Iterable[tuple[int, int, Recorded]]) -> Steps:
    """Fold events as `history_after` gives them, oldest first."""
    fold = _Fold()
    for _, generation, row in events:
        fold.take(generation, row.event)
    by_step: dict[int, list[Work]] = {}
    for work in fold.works:
        by_step.setdefault(work.step, []).append(work)
    groups = [group for _, works in sorted(by_step.items()) for group in _groups(works)]
    return Steps(fold.name, tuple(groups), fold.step + 1, fold.outcome, fold.generation)


def _groups(works: list[Work]) -> list[Group]:
    """In the order in which they were asked for."""
    found: dict[Any, list[Work]] = {}
    for work in works:
        found.setdefault((work.kind, work.name, work.into), []).append(work)
    if len(found) > _FOLDED_FROM:
        found = {}
        for work in works:
            found.setdefault((work.kind, work.name), []).append(work)
    return [_group(same) for same in found.values()]


def _group(works: list[Work]) -> Group:
    counts: dict[str, int] = {}
    for work in works:
        counts[work.state] = counts.get(work.state, 0) + 1
    first = works[0]
    into = max((work.into for work in works if work.into is not None), default=None)
    child = first.child if len(works) == 1 else ""
    return Group(first.kind, first.name, first.step, into, tuple(sorted(counts.items())), max(work.tries for work in works), child)


def _kind_and_name(event: Any) -> tuple[str, str]:
    if isinstance(event, TaskScheduled):
        return "activity", event.name
    if isinstance(event, SubOrchestrationInstanceCreated):
        return "orchestration", event.name
    if isinstance(event, TimerCreated):
        return "timer", "timer"
    if isinstance(event, EntityOperationCalled | EntityOperationSignaled):
        return "entity" if isinstance(event, EntityOperationCalled) else "signal", f"{event.entity} {event.name}"
    return ("lock", ", ".join(event.entities)) if isinstance(event, EntityLockRequested) else ("http", event.name)
