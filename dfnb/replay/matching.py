"""Whether the code asks for what the history has: the history turn by turn, and the comparison of one turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dfnb.errors import NonDeterminismError
from dfnb.records.history import (
    CustomStatusSet,
    ExecutionCompleted,
    ExecutionRewound,
    HistoryEvent,
    Recorded,
    SubOrchestrationInstanceCreated,
    TaskScheduled,
    TimerCanceled,
    TimerCreated,
)
from dfnb.replay.events import describe

OUTPUTS = (TaskScheduled, TimerCreated, SubOrchestrationInstanceCreated, TimerCanceled, CustomStatusSet, ExecutionCompleted)
COMPARED = (TaskScheduled, TimerCreated, SubOrchestrationInstanceCreated, ExecutionCompleted)


def turns(rows: Iterable[Recorded]) -> Iterator[list[Recorded]]:
    """The rows turn by turn; rows written down before a turn took them in belong to the next one, late ones to none."""
    group: list[Recorded] = []
    waiting: list[Recorded] = []
    turn = 0
    for row in rows:
        if row.turn < 0:
            continue
        if row.turn == 0:
            waiting.append(row)
            continue
        if row.turn != turn:
            if group:
                yield group
            group, waiting, turn = waiting, [], row.turn
        group.append(row)
    if group:
        yield group


def is_rewind(row: Recorded) -> bool:
    return isinstance(row.event, ExecutionRewound)


def compare(
    asked: Sequence[HistoryEvent], recorded: Sequence[Recorded], numbers: dict[int, int], after: int, *, loose: bool
) -> tuple[list[HistoryEvent], list[str]]:
    """Hold what the code asked for in a turn against what the history has of it.

    With `loose`, for turns before a rewind, what the code asks beyond the history is handed back: the history has it later, or
    not yet. Without, it raises NonDeterminismError. The second list warns of inputs that differ.
    """
    left: list[HistoryEvent] = []
    warnings: list[str] = []
    position = 0
    for event in asked:
        row = recorded[position] if position < len(recorded) else None
        if not isinstance(event, COMPARED):
            if isinstance(event, TimerCanceled) and any(getattr(other, "task", None) == event.task for other in left):
                left.append(event)
        elif row is not None and _agree(event, row.event):
            warnings += _input_warning(event, row.event, numbers[id(row)])
            position += 1
        elif loose:
            left.append(event)
        else:
            has = describe(row.event) if row is not None else "nothing more in that turn"
            raise NonDeterminismError(numbers[id(row)] if row is not None else after, has, describe(event))
    if position < len(recorded):
        row = recorded[position]
        raise NonDeterminismError(numbers[id(row)], describe(row.event), "nothing more in that turn")
    return left, warnings


def _agree(asked: HistoryEvent, recorded: HistoryEvent) -> bool:
    if type(asked) is not type(recorded):
        return False
    if isinstance(asked, ExecutionCompleted):
        return True
    if isinstance(asked, TimerCreated) and isinstance(recorded, TimerCreated):
        return asked.task == recorded.task and asked.retry == recorded.retry
    return (asked.task, asked.name) == (recorded.task, recorded.name)  # type: ignore[attr-defined]


def _input_warning(asked: HistoryEvent, recorded: HistoryEvent, number: int) -> list[str]:
    if not isinstance(asked, TaskScheduled) or not isinstance(recorded, TaskScheduled) or asked.input == recorded.input:
        return []
    return [
        f"activity {asked.name!r} (event {number}) was recorded with another input than the code gives now; "
        "the recorded result is used"
    ]
