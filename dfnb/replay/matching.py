"""Whether the code asks for what the history has: the history turn by turn, and the comparison of one turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any

from dfnb.errors import NonDeterminismError
from dfnb.records.history import (
    CustomStatusSet,
    EntityLockRequested,
    EntityOperationCalled,
    EntityOperationSignaled,
    EntityUnlockSent,
    ExecutionCompleted,
    ExecutionRewound,
    HistoryEvent,
    HttpCallScheduled,
    Recorded,
    SubOrchestrationInstanceCreated,
    TaskScheduled,
    TimerCanceled,
    TimerCreated,
)
from dfnb.records.http_references import without_tags
from dfnb.replay.events import describe

_WHAT_COUNTS: dict[type[HistoryEvent], Callable[[Any], Any]] = {
    TaskScheduled: attrgetter("task", "name"),
    TimerCreated: attrgetter("task", "retry"),
    SubOrchestrationInstanceCreated: attrgetter("task", "name"),
    EntityOperationCalled: attrgetter("task", "entity", "name"),
    EntityOperationSignaled: attrgetter("task", "entity", "name"),
    EntityLockRequested: attrgetter("task", "entities"),
    HttpCallScheduled: attrgetter("task", "name"),
    # in its place too: released later than recorded, code would run unprotected; earlier, the locks would never come back
    EntityUnlockSent: attrgetter("task"),
    ExecutionCompleted: attrgetter("status"),
}
COMPARED: tuple[type[HistoryEvent], ...] = tuple(_WHAT_COUNTS)
OUTPUTS: tuple[type[HistoryEvent], ...] = (*COMPARED, TimerCanceled, CustomStatusSet)


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
    asked: Sequence[HistoryEvent], recorded: Sequence[Recorded], numbers: dict[int, int], after: int
) -> list[str]:
    """Hold what the code asked for in a turn against what the history has of it; NonDeterminismError where they differ.

    Returns a warning for each input that differs.
    """
    warnings: list[str] = []
    wanted = [event for event in asked if isinstance(event, COMPARED)]
    for event, row in zip(wanted, recorded, strict=False):
        if not _agree(event, row.event):
            raise NonDeterminismError(numbers[id(row)], describe(row.event), describe(event))
        warnings += _input_warning(event, row.event, numbers[id(row)])
    if len(recorded) > len(wanted):
        row = recorded[len(wanted)]
        raise NonDeterminismError(numbers[id(row)], describe(row.event), "nothing more in that turn")
    if len(wanted) > len(recorded):
        raise NonDeterminismError(after, "nothing more in that turn", describe(wanted[len(recorded)]))
    return warnings


def compare_before_rewind(
    asked: Sequence[HistoryEvent], recorded: Sequence[Recorded]
) -> tuple[list[HistoryEvent], frozenset[int]]:
    """The same for a turn that a rewind has reached into: what it undid may have led the code another way.

    Returns what the code asks beyond the history, which has it later or not yet, and the tasks that only the history has: they
    followed from what was undone, and are undone with it.
    """
    left: list[HistoryEvent] = []
    position = 0
    undone: set[int] = set()
    for event in asked:
        if not isinstance(event, COMPARED):
            if isinstance(event, TimerCanceled) and any(getattr(other, "task", None) == event.task for other in left):
                left.append(event)
            continue
        found = next((i for i in range(position, len(recorded)) if _agree(event, recorded[i].event)), None)
        if found is None:
            left.append(event)
        else:
            undone |= _tasks(recorded[position:found])
            position = found + 1
    return left, frozenset(undone | _tasks(recorded[position:]))


def _tasks(rows: Sequence[Recorded]) -> set[int]:
    """The tasks these rows began. The release of a lock begins none: it bears the number of the request, which may well count."""
    return {row.event.task for row in rows if not isinstance(row.event, ExecutionCompleted | EntityUnlockSent)}  # type: ignore[attr-defined]


def _agree(asked: HistoryEvent, recorded: HistoryEvent) -> bool:
    if type(asked) is not type(recorded):
        return False
    what_counts = _WHAT_COUNTS[type(asked)]
    return bool(what_counts(asked) == what_counts(recorded))


def _input_warning(asked: HistoryEvent, recorded: HistoryEvent, number: int) -> list[str]:
    if getattr(asked, "input", None) == getattr(recorded, "input", None) or isinstance(asked, SubOrchestrationInstanceCreated):
        return _request_warning(asked, recorded, number)  # the input of a sub-orchestration stands in the child's own history
    what = describe(asked).rpartition(" (")[0]
    stays = "signal stays as it was sent" if isinstance(asked, EntityOperationSignaled) else "result is used"
    return [f"{what} (event {number}) was recorded with another input than the code gives now; the recorded {stays}"]


def _request_warning(asked: HistoryEvent, recorded: HistoryEvent, number: int) -> list[str]:
    if not (isinstance(asked, HttpCallScheduled) and isinstance(recorded, HttpCallScheduled)):
        return []
    if asked.request == recorded.request or without_tags(asked.request) == without_tags(recorded.request):
        return []  # after a restart the same secrets may be signed with another key
    what = describe(asked).rpartition(" (")[0]
    return [f"{what} (event {number}) was recorded with another request than the code gives now; the recorded one counts"]
