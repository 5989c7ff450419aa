"""From the original's history JSON to our events, with positions that stay.

The JSON is a view: a completion has absorbed the event that scheduled it, and ids are left out. So what was scheduled is told from
its name and time, and since such a list may gain events in its middle, a position is the place at which an event was first seen.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dfnb.client.remote.shapes import details_of, failure_in, json_text, moment
from dfnb.records.failure import FailureDetails
from dfnb.records.history import (
    EntityOperationCalled,
    EntityOperationCompleted,
    EntityOperationFailed,
    EntityOperationSignaled,
    EventRaised,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    Recorded,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)

Entry = Mapping[str, Any]
Row = tuple[int, int, Recorded]
_Identity = tuple[Any, ...]

_SCHEDULED_BY = {
    "TaskCompleted": "TaskScheduled",
    "TaskFailed": "TaskScheduled",
    "SubOrchestrationInstanceCompleted": "SubOrchestrationInstanceCreated",
    "SubOrchestrationInstanceFailed": "SubOrchestrationInstanceCreated",
    "TimerFired": "TimerCreated",
}
_SCHEDULES = frozenset(_SCHEDULED_BY.values())


class HistoryReader:
    """Reads the history of one generation again and again, and numbers each event when it first comes."""

    def __init__(self, instance_id: str) -> None:
        self._instance_id = instance_id
        self._rows: list[Row] = []
        self._seen: Counter[_Identity] = Counter()
        self._open: dict[_Identity, list[int]] = {}
        self._tasks = 0
        self._requests: dict[str, int] = {}

    def read(self, entries: Iterable[Entry], after: int = -1) -> list[Row]:
        """Take in the whole list as it is now; the events behind a position."""
        given = list(entries)
        for entry in self._news(given):
            at = moment(entry.get("Timestamp"))
            for event in self._events(entry):
                self._rows.append((len(self._rows), 0, Recorded(0, at, event)))
        return self._rows[max(0, after + 1) :]

    def _news(self, entries: list[Entry]) -> list[Entry]:
        """The entries that were not there before, those that completions have absorbed put back, in the order of their times."""
        whole = [*_absorbed(entries), *entries]
        count: Counter[_Identity] = Counter()
        news = []
        for entry in whole:
            identity = _identity(entry)
            count[identity] += 1
            if count[identity] > self._seen[identity]:
                news.append(entry)
        self._seen |= count
        return sorted(news, key=_order)

    def _events(self, entry: Entry) -> list[HistoryEvent]:
        kind = entry.get("EventType")
        if kind in _SCHEDULES:
            self._tasks += 1
            self._open.setdefault(_ticket(entry), []).append(self._tasks)
            return [_SCHEDULING[kind](self._tasks, entry)]
        if kind in _SCHEDULED_BY:
            waiting = self._open.get(_ticket(entry))
            task = waiting.pop(0) if waiting else 0
            return [_COMPLETING[kind](task, entry)]
        if kind == "EventSent":
            return self._sent(entry)
        if kind == "EventRaised" and entry.get("Name") in self._requests:
            return [self._answered(entry)]
        make = _PLAIN.get(str(kind))
        return [make(self._instance_id, entry)] if make is not None else []

    def _sent(self, entry: Entry) -> list[HistoryEvent]:
        """A message to an entity is an operation; other messages and those about locks say nothing that we could show."""
        message, entity = _message(entry), str(entry.get("InstanceId") or "")
        name = message.get("op")
        if not entity.startswith("@") or not isinstance(name, str):
            return []
        self._tasks += 1
        input = message.get("input")
        text = input if isinstance(input, str) or input is None else json_text(input)
        if message.get("signal"):
            return [EntityOperationSignaled(self._tasks, entity, name, text, moment(message.get("due")) or None)]
        self._requests[str(message.get("id"))] = self._tasks
        return [EntityOperationCalled(self._tasks, entity, name, text)]

    def _answered(self, entry: Entry) -> HistoryEvent:
        message, task = _message(entry), self._requests[str(entry.get("Name"))]
        result = message.get("result")
        if message.get("exceptionType"):
            return EntityOperationFailed(task, FailureDetails(str(message["exceptionType"]), str(result or "")))
        return EntityOperationCompleted(task, result if isinstance(result, str) or result is None else json_text(result))


# ---- what tells events apart


def _absorbed(entries: list[Entry]) -> list[Entry]:
    """The scheduling events that the completions tell of."""
    return [
        {
            "EventType": _SCHEDULED_BY[entry["EventType"]], "Timestamp": entry["ScheduledTime"], "Name": entry.get("FunctionName"),
            "Input": entry.get("Input"),
        }
        for entry in entries
        if entry.get("EventType") in _SCHEDULED_BY and entry.get("ScheduledTime")
    ]


def _ticket(entry: Entry) -> _Identity:
    """What a completion and the event that scheduled it have in common."""
    kind = str(entry.get("EventType"))
    scheduled = _SCHEDULED_BY.get(kind, kind)
    if scheduled == "TimerCreated":
        return scheduled, entry.get("FireAt")
    if scheduled == kind:
        return scheduled, entry.get("Name"), moment(entry.get("Timestamp"))
    return scheduled, entry.get("FunctionName"), moment(entry.get("ScheduledTime"))


def _identity(entry: Entry) -> _Identity:
    """Events with the same are told apart by their number alone."""
    kind = entry.get("EventType")
    if kind in _SCHEDULES:
        return (*_ticket(entry), moment(entry.get("Timestamp")))
    about = (entry.get("Name"), entry.get("InstanceId"), entry.get("OrchestrationStatus"), entry.get("Reason"))
    return (kind, moment(entry.get("Timestamp")), *map(str, about), *(_ticket(entry) if kind in _SCHEDULED_BY else ()))


def _order(entry: Entry) -> tuple[int, int]:
    """By time; of one time, what schedules comes before what it leads to, and the end comes last."""
    kind = entry.get("EventType")
    rank = {"ExecutionStarted": 0, "ExecutionTerminated": 3, "ExecutionCompleted": 4}.get(str(kind), 1 if kind in _SCHEDULES else 2)
    return moment(entry.get("Timestamp")), rank


def _message(entry: Entry) -> Mapping[str, Any]:
    """What is inside a message to or from an entity."""
    try:
        told = json.loads(entry.get("Input") or "")
    except (ValueError, TypeError):
        return {}
    return told if isinstance(told, dict) else {}


# ---- one event


def _text(value: Any) -> str | None:
    """An input of the wire, which is JSON text already."""
    return value if isinstance(value, str) or value is None else json_text(value)


def _failure(entry: Entry) -> FailureDetails:
    details = entry.get("FailureDetails")
    if isinstance(details, dict):
        return details_of(details)
    found = failure_in(str(entry.get("Reason") or ""))
    return FailureDetails(found.error_type, found.message, str(entry.get("Details") or ""))


def _completed(_: str, entry: Entry) -> HistoryEvent:
    status, result = str(entry.get("OrchestrationStatus")), entry.get("Result")
    if status != "Failed":
        return ExecutionCompleted(status, result if status == "Terminated" and isinstance(result, str) else json_text(result))
    details = entry.get("FailureDetails")
    told = details_of(details) if isinstance(details, dict) else failure_in(str(result or ""))
    return ExecutionCompleted(status, None, told)


_SCHEDULING: dict[str, Callable[[int, Entry], HistoryEvent]] = {
    "TaskScheduled": lambda task, entry: TaskScheduled(task, str(entry.get("Name") or ""), _text(entry.get("Input"))),
    "SubOrchestrationInstanceCreated": lambda task, entry: SubOrchestrationInstanceCreated(
        task, str(entry.get("Name") or ""), str(entry.get("InstanceId") or ""), _text(entry.get("Input"))
    ),
    "TimerCreated": lambda task, entry: TimerCreated(task, moment(entry.get("FireAt"))),
}
_COMPLETING: dict[str, Callable[[int, Entry], HistoryEvent]] = {
    "TaskCompleted": lambda task, entry: TaskCompleted(task, json_text(entry.get("Result"))),
    "TaskFailed": lambda task, entry: TaskFailed(task, _failure(entry)),
    "SubOrchestrationInstanceCompleted": lambda task, entry: SubOrchestrationInstanceCompleted(
        task, json_text(entry.get("Result"))
    ),
    "SubOrchestrationInstanceFailed": lambda task, entry: SubOrchestrationInstanceFailed(task, _failure(entry)),
    "TimerFired": lambda task, entry: TimerFired(task),
}
_PLAIN: dict[str, Callable[[str, Entry], HistoryEvent]] = {
    "ExecutionStarted": lambda id, entry: ExecutionStarted(
        str(entry.get("FunctionName") or ""), id, _text(entry.get("Input")),
        start_at=moment(entry.get("ScheduledStartTime")) or None,
    ),
    "EventRaised": lambda id, entry: EventRaised(str(entry.get("Name") or ""), _text(entry.get("Input"))),
    "ExecutionSuspended": lambda id, entry: ExecutionSuspended(entry.get("Reason")),
    "ExecutionResumed": lambda id, entry: ExecutionResumed(entry.get("Reason")),
    "ExecutionTerminated": lambda id, entry: ExecutionTerminated(_text(entry.get("Input"))),
    "ExecutionCompleted": _completed,
}
