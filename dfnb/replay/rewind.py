"""Which tasks a rewind of a failed instance runs again, and which part of its history still counts afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dfnb.errors import TaskFailedError
from dfnb.records.history import (
    ExecutionCompleted,
    ExecutionRewound,
    ExecutionTerminated,
    Recorded,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
)
from dfnb.replay.tasks import Task


def failed_tasks(error: BaseException | None, thrown: Mapping[int, Task]) -> tuple[int, ...]:
    """The tasks whose failure ended the code with `error`: what a rewind runs again.

    `thrown` has the tasks whose errors were raised in the code, by the identity of the error.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        task = thrown.get(id(error))
        if task is not None and task.result is error:
            return tuple(sorted({leaf.id for leaf in task.failed_leaves() if leaf.id is not None}))
        if isinstance(error, TaskFailedError):
            return (error.task_id,)
        error = error.__cause__ or error.__context__
    return ()


def effective(history: Sequence[Recorded]) -> list[Recorded]:
    """The history without what its rewinds have undone.

    A rewound activity or entity call loses all its events, so that the code asks for it anew. A rewound sub-orchestration loses
    only its last failure: the child itself is rewound and will answer again. What came late, after an end, never counts.
    """
    kept = [_UNDONE if row.turn < 0 else row for row in history]
    for index in [i for i, row in enumerate(kept) if isinstance(row.event, ExecutionRewound)]:
        marker = kept[index].event
        assert isinstance(marker, ExecutionRewound)
        _undo(kept, index, frozenset(marker.tasks))
    return [row for row in kept if row is not _UNDONE]


def failed_turn(history: Sequence[Recorded]) -> int | None:
    """The turn whose end the last rewind undid, if no turn has taken that rewind in yet: from it on the code runs anew."""
    markers = [i for i, row in enumerate(history) if isinstance(row.event, ExecutionRewound)]
    if not markers or any(row.turn > 0 for row in history[markers[-1] :]):
        return None
    ends = [row.turn for row in history[: markers[-1]] if isinstance(row.event, ExecutionCompleted)]
    return ends[-1] if ends else None


_UNDONE = Recorded(0, 0, ExecutionTerminated())


def _undo(rows: list[Recorded], end: int, tasks: frozenset[int]) -> None:
    children = {
        row.event.task for row in rows[:end] if isinstance(row.event, SubOrchestrationInstanceCreated) and row.event.task in tasks
    }
    last_failures = {
        row.event.task: i for i, row in enumerate(rows[:end]) if isinstance(row.event, SubOrchestrationInstanceFailed)
    }
    for i in range(end):
        event = rows[i].event
        task = getattr(event, "task", None)
        ended = isinstance(event, ExecutionCompleted) and event.status == "Failed"
        if ended or (task in tasks and (task not in children or last_failures.get(task) == i)):
            rows[i] = _UNDONE
