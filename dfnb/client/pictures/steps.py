"""The events of an instance folded into steps: what a turn of the orchestrator asked for, and which turn had the results.

Pure: events in, steps out. A turn is a step when it asked for a task or began to wait for an event; what another one received
goes to the next step. Since when an event was waited for, the event or the instance's waits say; where neither does, it counts
as waited for once no task was open any more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
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
from dfnb.records.instance import Wait

_ASKED = (
    TaskScheduled, SubOrchestrationInstanceCreated, TimerCreated, EntityOperationCalled, EntityOperationSignaled,
    EntityLockRequested, HttpCallScheduled,
)  # fmt: skip
_SUCCEEDED = (
    TaskCompleted, SubOrchestrationInstanceCompleted, EntityOperationCompleted, EntityLockGranted, TimerFired, HttpCallCompleted,
)  # fmt: skip
_FAILED = (TaskFailed, SubOrchestrationInstanceFailed, EntityOperationFailed, HttpCallFailed)
_OPEN = ("Running", "Waiting")
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
    def __init__(self, since: frozenset[tuple[int, int]]) -> None:
        """`since`: generations and times of turns in which waiting for an event began."""
        self._since = since
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
        self.turn = self.now = 0
        self.waiting: dict[int, int] = {}

    def feed(self, generation: int, row: Recorded) -> None:
        """Take in a row; it may be the first of another turn, whose time is that of its latest row."""
        if row.turn != self.turn:
            self.turn_over()
            self.turn = row.turn
        if row.turn > 0:
            self.now = max(self.now, row.at)
        self.take(generation, row)

    def turn_over(self) -> None:
        if (self.generation, self.now) in self._since and self.outcome is None:
            self._next_step()
            self.waiting[self.now] = self.step

    def step_since(self, since: int | None) -> int:
        """The step that began to wait at that time; the latest if that is not known."""
        self.step = max(self.step, 0)
        return self.step if since is None else self.waiting.get(since, self.step)

    def take(self, generation: int, row: Recorded) -> None:
        event: Any = row.event
        if isinstance(event, ExecutionStarted):
            self.begin(event.name, generation)
            self.turn, self.now = row.turn, row.at
        elif isinstance(event, _ASKED):
            self._asked(event)
        elif isinstance(event, _SUCCEEDED):
            self._ended(event.task, "Failed" if getattr(event, "failed", False) else "Completed")
        elif isinstance(event, _FAILED):
            self._ended(event.task, "Failed")
        elif isinstance(event, TimerCanceled) and event.task in self.tasks:
            self.tasks[event.task].state = "Canceled"
        elif isinstance(event, EventRaised):
            self._came(event, row.at)
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

    def _came(self, event: EventRaised, at: int) -> None:
        if event.took is None and self.arrived and not any(work.state in _OPEN for work in self.works):
            self._next_step()
        step = self.step_since(None if event.took is None else at - event.took)
        work = Work("event", event.name, step, "Completed")
        self.works.append(work)
        self.arrived.append(work)
        self.asking = False

    def _over(self, status: str) -> None:
        self.outcome = status
        self.asking = False
        self._next_step()
        for work in self.works:
            if work.state in _OPEN:
                work.state = "Canceled"


def steps_of(events: Iterable[tuple[int, int, Recorded]], waits: Iterable[Wait] = ()) -> Steps:
    """Fold events as `history_after` gives them, oldest first, and the events that are still waited for."""
    rows, open_waits = list(events), [wait for wait in waits if wait.kind == "event"]
    fold = _Fold(_waited_since(rows, open_waits))
    for _, generation, row in rows:
        fold.feed(generation, row)
    fold.turn_over()
    if fold.outcome is None:
        fold.works += [Work("event", wait.name, fold.step_since(wait.since), "Waiting") for wait in open_waits]
    by_step: dict[int, list[Work]] = {}
    for work in fold.works:
        by_step.setdefault(work.step, []).append(work)
    groups = [group for _, works in sorted(by_step.items()) for group in _groups(works)]
    return Steps(fold.name, tuple(groups), fold.step + 1, fold.outcome, fold.generation)


def _waited_since(rows: Sequence[tuple[int, int, Recorded]], waits: Iterable[Wait]) -> frozenset[tuple[int, int]]:
    latest = rows[-1][1] if rows else 0
    told = [(at, row.at, row.event.took) for _, at, row in rows if isinstance(row.event, EventRaised)]
    came = {(generation, at - took) for generation, at, took in told if took is not None}
    return frozenset(came | {(latest, wait.since) for wait in waits if wait.since is not None})


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
