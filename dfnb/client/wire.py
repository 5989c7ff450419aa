"""A history in the form the original's status API gives it (``showHistory``).

A completion absorbs the event that scheduled it, turn markers are left out, and event ids do not appear: the rules are those of
the Durable Functions extension's history clean-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from dfnb.client.wire_entities import EntityEvent, EntityMessages
from dfnb.client.wire_http import as_activity
from dfnb.records import payload
from dfnb.records.history import (
    CustomStatusSet,
    EventRaised,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    OrchestratorStarted,
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

_LEFT_OUT = (OrchestratorStarted, CustomStatusSet, TimerCanceled)


def moment(microseconds: int) -> str:
    """ISO 8601 in UTC with `Z` and the fraction of the second."""
    whole, fraction = divmod(microseconds, 1_000_000)
    text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction:06d}Z"


def history_events(history: Sequence[Recorded], *, show_input: bool, show_output: bool) -> list[dict[str, Any]]:
    """The compact event list of one generation."""
    entries: list[dict[str, Any] | None] = []
    scheduled: dict[int, tuple[int, Recorded]] = {}
    due: dict[int, str] = {}
    messages = EntityMessages()
    for given in history:
        if isinstance(given.event, _LEFT_OUT):
            continue
        row = given._replace(event=as_activity(given.event, show_input, show_output))
        if isinstance(row.event, EntityEvent):
            entries += [{**one, "Timestamp": moment(row.at)} for one in messages.entries(row.event, show_input)]
            continue
        messages.started(row)
        entry = _entry(row.event, show_input, show_output)
        if isinstance(row.event, TimerCreated):
            due[row.event.task] = entry["FireAt"]
        elif isinstance(row.event, TimerFired):
            entry["FireAt"] = due.get(row.event.task)
        entry["Timestamp"] = moment(row.at)
        if isinstance(row.event, TaskScheduled | SubOrchestrationInstanceCreated):
            scheduled[row.event.task] = (len(entries), row)
        elif isinstance(row.event, _ABSORBING) and row.event.task in scheduled:
            place, asked = scheduled.pop(row.event.task)
            entries[place] = None
            entry |= _absorbed(asked, show_input)
            if "Reason" in entry:
                entry["Reason"] = f"{_KIND[type(asked.event)]} function '{entry['FunctionName']}' failed: {entry['Reason']}"
        entries.append(entry)
    return [entry for entry in entries if entry is not None]


_KIND: dict[type, str] = {TaskScheduled: "Activity", SubOrchestrationInstanceCreated: "Orchestrator"}
_ABSORBING = (TaskCompleted, TaskFailed, SubOrchestrationInstanceCompleted, SubOrchestrationInstanceFailed)


def _absorbed(asked: Recorded, show_input: bool) -> dict[str, Any]:
    event: Any = asked.event
    gained = {"ScheduledTime": moment(asked.at), "FunctionName": event.name}
    return gained | {"Input": event.input} if show_input else gained


def _entry(event: HistoryEvent, show_input: bool, show_output: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"EventType": event.event_type}
    shown = {"Input": getattr(event, "input", None)} if show_input else {}
    if isinstance(event, ExecutionStarted):
        start = moment(event.start_at) if event.start_at is not None else None
        entry |= {"Correlation": None, "ScheduledStartTime": start, "Generation": None, "ParentTraceContext": None}
        entry |= {"FunctionName": event.name, **shown}
    elif isinstance(event, TaskScheduled):
        entry |= {"Name": event.name, "ParentTraceContext": None, **shown}
    elif isinstance(event, SubOrchestrationInstanceCreated):
        entry |= {"InstanceId": event.instance_id, "Name": event.name, "ClientSpanId": None, **shown}
    elif isinstance(event, TaskFailed | SubOrchestrationInstanceFailed):
        failure = event.failure
        entry |= {"Reason": failure.summary, "Details": failure.stack_trace or None, "FailureDetails": _failure(failure)}
    elif isinstance(event, TaskCompleted | SubOrchestrationInstanceCompleted):
        entry |= {"Result": payload.decode_plain(event.result)} if show_output else {}
    elif isinstance(event, TimerCreated):
        entry["FireAt"] = moment(event.fire_at)
    elif isinstance(event, EventRaised):
        entry |= {"Name": event.name, **shown}
    elif isinstance(event, ExecutionSuspended | ExecutionResumed | ExecutionRewound):
        entry["Reason"] = event.reason
    elif isinstance(event, ExecutionTerminated):
        entry |= {"Input": event.reason} if show_input else {}
    elif isinstance(event, ExecutionCompleted):
        entry["OrchestrationStatus"] = event.status
        entry |= {"Result": payload.decode_plain(event.result)} if show_output else {}
        entry["FailureDetails"] = _failure(event.failure) if event.failure is not None else None
    return entry


def _failure(failure: Any) -> dict[str, Any]:
    inner = _failure(failure.inner_failure) if failure.inner_failure is not None else None
    return {
        "ErrorType": failure.error_type, "ErrorMessage": failure.message, "StackTrace": failure.stack_trace or None,
        "InnerFailure": inner, "IsNonRetriable": False,
    }
