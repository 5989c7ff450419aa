"""The events of a history as an orchestrator sees them in ``context.histories``."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime
from typing import Any

from dfnb.records.history import (
    EntityLockRequested,
    EntityOperationCalled,
    EntityOperationSignaled,
    EventRaised,
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    HttpCallCompleted,
    HttpCallScheduled,
    Recorded,
    SubOrchestrationInstanceCreated,
    TimerCreated,
)
from dfnb.records.http import DurableHttpResponse
from dfnb.records.http_wire import wire_form
from dfnb.records.times import to_datetime
from dfnb.replay.tasks import shortened


@dataclasses.dataclass(frozen=True, slots=True)
class HistoryEventView:
    """One event: `event_type`, its number, its time, and the fields the original shows under their original names."""

    event_type: str
    event_id: int
    timestamp: datetime
    is_played: bool
    Name: str | None = None
    Input: str | None = None
    Result: str | None = None
    InstanceId: str | None = None
    TaskScheduledId: int | None = None
    Reason: str | None = None
    Details: str | None = None
    FireAt: datetime | None = None


def view(number: int, recorded: Recorded, is_played: bool) -> HistoryEventView:
    """The event as a view; `number` is its place in the history, from 1."""
    moment = to_datetime(recorded.at)
    return HistoryEventView(recorded.event.event_type, number, moment, is_played, **_fields(recorded.event))


def _fields(event: HistoryEvent) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    task = getattr(event, "task", None)
    if task is not None:
        fields["TaskScheduledId"] = task
    for ours, theirs in (("name", "Name"), ("input", "Input"), ("result", "Result"), ("reason", "Reason")):
        value = getattr(event, ours, None)
        if isinstance(value, str):
            fields[theirs] = value
    failure = getattr(event, "failure", None)
    if failure is not None:
        fields |= {"Reason": failure.summary, "Details": failure.stack_trace}
    if isinstance(event, ExecutionStarted | SubOrchestrationInstanceCreated):
        fields["InstanceId"] = event.instance_id
    if isinstance(event, EntityOperationCalled | EntityOperationSignaled):
        fields["InstanceId"] = event.entity
    if isinstance(event, EntityLockRequested):
        fields["Input"] = ", ".join(event.entities)
    if isinstance(event, HttpCallScheduled):
        fields["Input"] = json.dumps(wire_form(event.request), ensure_ascii=False)
    if isinstance(event, HttpCallCompleted):
        fields["Result"] = json.dumps(DurableHttpResponse.of(event), ensure_ascii=False)
    if isinstance(event, TimerCreated):
        fields["FireAt"] = to_datetime(event.fire_at)
    return fields


def describe(event: HistoryEvent) -> str:
    """The event in words, for the sentence that says where code and history part."""
    kind = _WORDS.get(type(event).__name__, type(event).__name__)
    name = getattr(event, "name", None)
    task = getattr(event, "task", None)
    if isinstance(event, ExecutionCompleted):
        return f"the end ({event.status})"
    if isinstance(event, EventRaised):
        return f"event {event.name!r}"
    if isinstance(event, TimerCreated) and event.retry:
        kind = "a retry"
    named = f" {name!r}" if name else ""
    if isinstance(event, EntityOperationCalled | EntityOperationSignaled):
        named += f" of {event.entity}"
    if isinstance(event, EntityLockRequested):
        named = f" of {shortened(event.entities)}"
    return f"{kind}{named} (task {task})" if task is not None else f"{kind}{named}"


_WORDS = {
    "TaskScheduled": "activity",
    "TimerCreated": "a timer",
    "SubOrchestrationInstanceCreated": "sub-orchestration",
    "EntityOperationCalled": "operation",
    "EntityOperationSignaled": "a signal for operation",
    "EntityLockRequested": "the lock",
    "EntityUnlockSent": "the release of the lock",
    "HttpCallScheduled": "the HTTP call",
}
