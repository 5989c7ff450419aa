"""Events as lines for people: their kind, whom they are about, and a word more where there is one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dfnb.client.http_log import status_words
from dfnb.notebook.texts import cut, shown_json
from dfnb.records.history import (
    CustomStatusSet,
    EntityLockRequested,
    EntityOperationCalled,
    EntityOperationFailed,
    EntityOperationSignaled,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionSuspended,
    ExecutionTerminated,
    HttpCallCompleted,
    HttpCallFailed,
    HttpCallScheduled,
    Recorded,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
)

Picture = dict[str, Any]

LONGEST_NOTE = 160

_NAMES_ITS_TASK = (
    TaskScheduled, SubOrchestrationInstanceCreated, EntityOperationCalled, EntityLockRequested, HttpCallScheduled,
)  # fmt: skip


def subjects(events: Iterable[tuple[int, int, Recorded]]) -> dict[tuple[int, int], str]:
    """Whom each task is about, by generation and number, as far as these events name it."""
    named = [(generation, row.event) for _, generation, row in events if isinstance(row.event, _NAMES_ITS_TASK)]
    return {(generation, event.task): subject_of(event) for generation, event in named}


def subject_of(event: Any) -> str:
    """Whom an event is about, as far as the event itself tells."""
    if isinstance(event, EntityOperationCalled | EntityOperationSignaled):
        return f"{event.entity} {event.name}"
    if isinstance(event, EntityLockRequested):
        return ", ".join(event.entities)
    return getattr(event, "name", None) or ""


def event_line(at: int, event: Any, task_name: str) -> Picture:
    """One event as a line: its kind, whom it is about, and a word more where there is one."""
    line: Picture = {"at": at / 1000, "kind": event.event_type, "name": task_name or subject_of(event)}
    note = _note_of(event)
    if note:
        line["note"] = cut(note, LONGEST_NOTE)
    if isinstance(event, TimerCreated):
        line["until"] = event.fire_at / 1000
    if isinstance(event, EntityOperationSignaled) and event.due_at is not None:
        line["until"] = event.due_at / 1000
    if isinstance(event, TaskCompleted) and event.took is not None:
        line["took"] = event.took / 1000
    return line


def _note_of(event: Any) -> str:
    if isinstance(event, TaskFailed | SubOrchestrationInstanceFailed | EntityOperationFailed | HttpCallFailed):
        return event.failure.summary
    if isinstance(event, HttpCallCompleted):
        return "; ".join(filter(None, [status_words(event.status), event.note]))
    if isinstance(event, ExecutionCompleted):
        return f"{event.status}: {event.failure.summary}" if event.failure is not None else event.status
    if isinstance(event, ExecutionTerminated | ExecutionSuspended | ExecutionResumed | ExecutionRewound):
        return event.reason or ""
    return shown_json(event.status) if isinstance(event, CustomStatusSet) else ""
