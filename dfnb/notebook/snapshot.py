"""What a view shows of instances: a full picture as plain JSON values, and what changed since the last look.

Times are milliseconds since 1970, so that a browser can count them on by itself. A tracker is used by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from dfnb.client.http_log import state_of, status_words
from dfnb.client.status import DurableOrchestrationStatus, missing_definition
from dfnb.client.sync import DurableOrchestrationClient
from dfnb.errors import DfnbError, HubClosedError, InstanceNotFoundError
from dfnb.hub.http_state import CallSummary
from dfnb.records.failure import FailureDetails
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
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
)
from dfnb.records.instance import InstanceRecord, Wait

Picture = dict[str, Any]

STOPPED = "the engine was stopped; what had not ended goes on when the hub is opened again"
EVENTS_KEPT = 50
LINES_KEPT = 8
CALLS_SHOWN = 10
ROWS_SHOWN = 100
_LONGEST_TEXT = 2_000
_LONGEST_NOTE = 160
_BAD_STREAMS = frozenset({"stderr", "WARNING", "ERROR", "CRITICAL"})


class InstanceTracker:
    """Follows one instance."""

    def __init__(self, client: DurableOrchestrationClient, instance_id: str, name: str = "") -> None:
        self.client = client
        self.id = instance_id
        self._key = -1
        self._position = -1
        self._names: dict[tuple[int, int], str] = {}
        self._calls_http = False
        self._picture: Picture = {"kind": "instance", "id": instance_id, "name": name, "status": "", "waits": [], "logs": []}
        self._events: list[Picture] = []
        self.restarted = False
        """Whether the last look found another instance under the id: the picture is all new then."""

    @property
    def ids(self) -> frozenset[str] | None:
        """Which instances' changes matter; None for all."""
        return frozenset([self.id])

    @property
    def is_over(self) -> bool:
        """Whether nothing more will change."""
        return bool(self._picture.get("over"))

    def full(self) -> Picture:
        return {**self._picture, "events": list(self._events)}

    def look(self) -> Picture:
        """What changed since the last look: ``set`` has new values, ``events`` those that came. Empty if nothing did."""
        fresh, events = self._read()
        changed = {name: value for name, value in fresh.items() if self._picture.get(name) != value}
        self._picture |= changed
        self._events = [*self._events, *events][-EVENTS_KEPT:]
        delta: Picture = {"set": changed} if changed else {}
        return {**delta, "events": events} if events else delta

    def say(self, note: str) -> None:
        """Note why there will be no more news."""
        self._picture |= {"note": note, "over": True}

    def _read(self) -> tuple[Picture, list[Picture]]:
        try:
            record = self.client.record(self.id)
            self._follow(record)
            picture, events = picture_of(self.client, record), self._new_events(record)
            if self._calls_http:
                picture["calls"] = self._calls(record)
            return picture, events
        except InstanceNotFoundError:
            return {"note": "purged: its history was deleted", "waits": [], "over": True}, []
        except DfnbError as error:
            return {"note": _why_no_news(error), "over": True}, []

    def _follow(self, record: InstanceRecord) -> None:
        self.restarted = self._key not in (-1, record.key)
        if self._key != record.key:
            self._key, self._position = record.key, -1
            self._names.clear()
            self._events.clear()

    def _new_events(self, record: InstanceRecord) -> list[Picture]:
        news = self.client.history_after(record, self._position)
        if news:
            self._position = news[-1][0]
        for _, generation, row in news:
            self._calls_http = self._calls_http or isinstance(row.event, HttpCallScheduled)
            if isinstance(row.event, _NAMES_ITS_TASK):
                self._names[generation, row.event.task] = subject_of(row.event)
        return [
            {"n": position, **event_line(row.at, row.event, self._names.get((generation, getattr(row.event, "task", 0)), ""))}
            for position, generation, row in news[-EVENTS_KEPT:]
            if row.event.event_type != "OrchestratorStarted"
        ]


    def _calls(self, record: InstanceRecord) -> list[Picture]:
        """The latest HTTP calls that have sent a request, oldest first."""
        latest = self.client.calls(record, CALLS_SHOWN)
        return [call_line(call, self._names.get((call.generation, call.task), ""), record.is_terminal) for call in reversed(latest)]


class TableTracker:
    """Follows several instances: those given, or the newest that fit a question."""

    restarted = False

    def __init__(self, client: DurableOrchestrationClient, ids: Sequence[str] | None = None, **question: Any) -> None:
        self.client = client
        self._ids = list(ids[:ROWS_SHOWN]) if ids is not None else None
        self._more = max(0, len(ids) - ROWS_SHOWN) if ids is not None else 0
        self._question = question
        self._rows: dict[str, Picture] = {}
        self._note = ""

    @property
    def ids(self) -> frozenset[str] | None:
        return None if self._ids is None else frozenset(self._ids)

    @property
    def open_ids(self) -> list[str]:
        return [id for id, row in self._rows.items() if not row["over"]]

    @property
    def is_over(self) -> bool:
        return bool(self._note) or (self._ids is not None and not self.open_ids)

    def full(self) -> Picture:
        return {"kind": "table", "order": list(self._rows), "rows": dict(self._rows), "more": self._more, "note": self._note}

    def look(self) -> Picture:
        """What changed: ``rows`` by id, ``set`` with the order of all rows when that changed."""
        before = self._rows
        try:
            self._rows = {row["id"]: row for row in self._read()}
        except DfnbError as error:
            self.say(_why_no_news(error))
            return {"set": {"note": self._note}}
        rows = {id: row for id, row in self._rows.items() if before.get(id) != row}
        delta: Picture = {"rows": rows} if rows else {}
        if list(before) != list(self._rows):
            delta["set"] = {"order": list(self._rows), "more": self._more}
        return delta

    def say(self, note: str) -> None:
        self._note = note

    def _read(self) -> list[Picture]:
        if self._ids is None:
            page = self.client.instances(**self._question)
            self._more = 1 if page.continuation_token is not None else 0
            return [row_of(self.client, self.client.record(str(status.instance_id))) for status in page]
        return [self._row(id) for id in self._ids]

    def _row(self, id: str) -> Picture:
        known = self._rows.get(id)
        if known is not None and known["over"]:
            return known
        try:
            return row_of(self.client, self.client.record(id))
        except InstanceNotFoundError:
            return {"id": id, "name": "", "status": "", "waits": [], "note": "purged", "over": True}


Tracker = InstanceTracker | TableTracker


def _why_no_news(error: DfnbError) -> str:
    return STOPPED if isinstance(error, HubClosedError) else str(error)


# ---- from records to pictures


def row_of(client: DurableOrchestrationClient, record: InstanceRecord) -> Picture:
    """What a line of a table shows."""
    return {
        "id": record.id,
        "name": record.name,
        "status": record.status,
        "created": record.created_at / 1000,
        "ended": record.updated_at / 1000 if record.is_terminal else None,
        "custom": shown_json(record.custom_status),
        "waits": waits_of(record, client.is_defined),
        "held": record.held or "",
        "over": record.is_terminal,
    }


def picture_of(client: DurableOrchestrationClient, record: InstanceRecord) -> Picture:
    """What the view of one instance shows, but for its events. Over only once its end can be read."""
    lines = list(enumerate(client.logs(record.id)))
    picture = row_of(client, record)
    picture["logs"] = [
        {"n": number, "at": line.at / 1000, "bad": line.stream in _BAD_STREAMS, "text": _cut(line.text, _LONGEST_NOTE)}
        for number, line in lines[-LINES_KEPT:]
    ]
    if record.is_terminal:
        ended = client.end_of(record)
        picture |= {"over": ended is not None, **(end_of(ended.end) if ended is not None else {})}
    return picture


def picture_of_status(status: DurableOrchestrationStatus) -> Picture:
    """A status object as a picture; it knows no events."""
    if not status or status.created_time is None or status.last_updated_time is None or status.runtime_status is None:
        return {"kind": "instance", "id": "", "name": "", "status": "", "note": "no such instance", "waits": [], "over": True}
    over = status.is_terminal
    failure = failure_of(status.failure_details) if status.failure_details is not None else {}
    return {
        "kind": "instance",
        "id": status.instance_id,
        "name": status.name,
        "status": status.runtime_status.value,
        "created": status.created_time.timestamp() * 1000,
        "ended": status.last_updated_time.timestamp() * 1000 if over else None,
        "custom": shown_value(status.custom_status),
        "waits": [{"text": status.waiting_for.removeprefix("waiting for ")}] if status.waiting_for else [],
        "over": over,
        "output": shown_value(status.output) if over and not failure else "",
        **failure,
    }


def end_of(end: ExecutionCompleted) -> Picture:
    """How it ended: output, reason or failure."""
    if end.failure is not None:
        return {"output": "", **failure_of(end.failure)}
    text = end.result if end.status == "Terminated" else shown_json(end.result)
    return {"output": _cut(text or "", _LONGEST_TEXT), "failure": "", "trace": ""}


def failure_of(failure: FailureDetails) -> Picture:
    traces: list[str] = []
    inner: FailureDetails | None = failure
    while inner is not None:
        if inner.stack_trace:
            traces.insert(0, f"{inner.stack_trace}\n{inner.summary}")
        inner = inner.inner_failure
    return {"failure": _cut(failure.summary, _LONGEST_TEXT), "trace": _cut("\n\n".join(traces), 4 * _LONGEST_TEXT)}


def waits_of(record: InstanceRecord, is_defined: Callable[[str, str], bool]) -> list[Picture]:
    """What it waits for; `missing` when it waits for a cell to be run."""
    if record.is_terminal or record.held:
        return []
    return [_wait(wait, is_defined) for wait in record.waits]


def _wait(wait: Wait, is_defined: Callable[[str, str], bool]) -> Picture:
    missing = missing_definition(wait, is_defined)
    if missing is not None:
        wait = msgspec.structs.replace(wait, kind="definition", name=missing, until=None)
    shown: Picture = {"text": wait.sentence}
    if wait.kind == "http":
        return shown if wait.until is None else {**shown, "next": wait.until / 1000}
    if wait.until is not None:
        shown["until"] = wait.until / 1000
    elif wait.since is not None and wait.kind == "event":
        shown["since"] = wait.since / 1000
    if wait.kind == "definition":
        shown["missing"] = True
    return shown


def call_line(call: CallSummary, name: str, over: bool) -> Picture:
    """An HTTP call as a line: its latest answer, how often it has polled, when it goes on."""
    line: Picture = {"name": name, "status": status_words(call.status), "state": state_of(call.status), "polls": call.polls}
    note = "; ".join(filter(None, [call.note, call.error]))
    if note:
        line["note"] = _cut(note, _LONGEST_NOTE)
    if call.due_at is not None and not over:
        line["next"] = call.due_at / 1000
    return line


_NAMES_ITS_TASK = (
    TaskScheduled, SubOrchestrationInstanceCreated, EntityOperationCalled, EntityLockRequested, HttpCallScheduled,
)  # fmt: skip


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
        line["note"] = _cut(note, _LONGEST_NOTE)
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


def shown_json(text: str | None) -> str:
    """JSON text for people: a text without its quotes, nothing for null."""
    if text is None or text == "null":
        return ""
    try:
        return shown_value(msgspec.json.decode(text))
    except msgspec.DecodeError:
        return _cut(text, _LONGEST_TEXT)


def shown_value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return _cut(value, _LONGEST_TEXT)
    try:
        return _cut(msgspec.json.encode(value).decode(), _LONGEST_TEXT)
    except (TypeError, ValueError):  # an object of the user's own, decoded by its type
        return _cut(repr(value), _LONGEST_TEXT)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
