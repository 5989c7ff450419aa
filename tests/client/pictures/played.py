"""Histories as the engine writes them: an orchestrator is replayed turn by turn, and a script says which answer comes next."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Sequence
from typing import Any

import dfnb
from dfnb.engine.waited import with_length
from dfnb.records.history import (
    EventRaised,
    ExecutionStarted,
    HistoryEvent,
    Recorded,
    TaskCompleted,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from dfnb.records.instance import Wait
from dfnb.replay.orchestrator import OrchestrationReplay

from .conftest import SECOND

Orchestrator = Callable[[dfnb.DurableOrchestrationContext], Generator[Any, Any, Any]]


@dataclasses.dataclass
class Played:
    """What the history has, what is waited for, and the answers that may come next."""

    rows: list[tuple[int, int, Recorded]]
    waits: tuple[Wait, ...]
    answers: list[HistoryEvent]


def played(function: Orchestrator, choices: Sequence[int]) -> Played:
    """Each choice picks one of the answers that may come next; without any more answers it is over."""
    replay = OrchestrationReplay(function)
    found = Played([], (), [ExecutionStarted("trip", "t1")])
    for turn, choice in enumerate([0, *choices], 1):
        if not found.answers:
            break
        _turn(replay, found, turn, found.answers.pop(choice % len(found.answers)))
    return found


def _turn(replay: OrchestrationReplay, found: Played, turn: int, event: HistoryEvent) -> None:
    inputs = with_length([(event, turn * SECOND)], replay.waited_since)
    decision = replay.turn(turn * SECOND, [event])
    events = [*(one for one, _ in inputs), *decision.outputs]
    found.rows += [(len(found.rows) + at, 0, Recorded(turn, replay.now, one)) for at, one in enumerate(events)]
    found.waits = decision.waits
    tasks = [one for one in found.answers if not isinstance(one, EventRaised)]
    tasks += [TaskCompleted(one.task) for one in decision.outputs if isinstance(one, TaskScheduled)]
    tasks += [TimerFired(one.task) for one in decision.outputs if isinstance(one, TimerCreated)]
    names = [EventRaised(wait.name) for wait in decision.waits if wait.kind == "event"]
    found.answers = [] if decision.end is not None else [*tasks, *names]
