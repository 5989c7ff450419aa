"""What a view shows of instances: a full picture as plain JSON values, and what changed since the last look.

Times are milliseconds since 1970, so that a browser can count them on by itself. A tracker is used by one thread at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from dfnb.client.http_log import state_of, status_words
from dfnb.client.status import DurableOrchestrationStatus, missing_definition
from dfnb.client.sync import DurableOrchestrationClient
from dfnb.client.timeline import Timeline
from dfnb.errors import DfnbError, HubClosedError, InstanceNotFoundError, RemoteUnavailableError
from dfnb.hub.http_state import CallSummary
from dfnb.notebook import actions, instance_parts, source
from dfnb.notebook.events import LONGEST_NOTE, event_line, subjects
from dfnb.notebook.inspector import BAD_STREAMS, Inspector, traces_of
from dfnb.notebook.texts import LONGEST_TEXT, cut, shown_json, shown_value
from dfnb.records.failure import FailureDetails
from dfnb.records.history import ExecutionCompleted, ExecutionSuspended, HttpCallScheduled
from dfnb.records.instance import InstanceRecord, Wait

Picture = dict[str, Any]

STOPPED = "the engine was stopped; what had not ended goes on when the hub is opened again"
EVENTS_KEPT = 50
LINES_KEPT = 8
CALLS_SHOWN = 10
ROWS_PUSHED = 300
TABS = ["timeline", "history", "http", "payloads", "logs", "code"]


class InstanceTracker:
    """Follows one instance."""

    kind = "instance"

    def __init__(self, client: DurableOrchestrationClient, instance_id: str, name: str = "") -> None:
        self.client = client
        self.id = instance_id
        self._key = -1
        self._picture: Picture = {
            "kind": "instance", "id": instance_id, "name": name, "status": "", "waits": [], "calls": [], "actions": [],
            "tabs": TABS, "where": client.where,
        }  # fmt: skip
        self._forget()
        self.restarted = False
        """Whether the last look found another instance under the id: the picture is all new then."""

    def _forget(self) -> None:
        self._position = self._exchange_position = -1
        self._names: dict[tuple[int, int], str] = {}
        self._events: list[Picture] = []
        self._events_seen = self._exchanges_seen = 0
        self._calls_http = False
        self._suspended_for = ""
        self._logs: list[Picture] = []
        self.timeline = Timeline()
        self._inspector = Inspector(self.client, self._record, self.timeline)

    @property
    def ids(self) -> frozenset[str] | None:
        """Which instances' changes matter; None for all."""
        return frozenset([self.id])

    @property
    def open_ids(self) -> list[str]:
        """Which instances have not ended."""
        return [] if self.is_over else [self.id]

    @property
    def is_over(self) -> bool:
        """Whether nothing more will change."""
        return bool(self._picture.get("over"))

    def full(self) -> Picture:
        """All a live view is told at once; older rows of the timeline are asked for."""
        rows = {str(row["i"]): dict(row) for row in self.timeline.rows[-ROWS_PUSHED:]}
        return {**self._picture, "rows": rows}

    def still(self) -> Picture:
        """What the static twin shows: the same with the latest events and printed lines."""
        return {**self.full(), "events": list(self._events), "logs": list(self._logs)}

    def whole(self) -> Picture:
        """What the static twin shows of an instance that is not live: also its timeline, history, exchanges, payloads, code."""
        try:
            parts = instance_parts.parts_of(self._inspector.answer, self.timeline.rows, time.time() * 1000)
        except DfnbError:  # purged, or the hub is closed: what was seen so far is all there is
            return self.still()
        return {**self.still(), "parts": parts}

    def look(self) -> Picture:
        """What changed since the last look: ``set`` has new values, ``rows`` those of the timeline. Empty if nothing did."""
        fresh = self._read()
        changed = {name: value for name, value in fresh.items() if self._picture.get(name) != value}
        self._picture |= changed
        rows = self.timeline.take_changed()
        latest = len(self.timeline.rows) - ROWS_PUSHED
        rows = {i: row for i, row in rows.items() if row["i"] >= latest}
        delta: Picture = {"set": changed} if changed else {}
        return {**delta, "rows": rows} if rows else delta

    def answer(self, question: Picture) -> Picture:
        """What a live view asks for; DfnbError or ValueError says why it cannot have it."""
        if question.get("ask") == "do":
            return actions.perform(self.client, self.id, question)
        return self._inspector.answer(question)

    def say(self, note: str) -> None:
        """Note why there will be no more news."""
        self._picture |= {"note": note, "over": True, "actions": []}

    def _record(self) -> InstanceRecord:
        return self.client.record(self.id)

    def _read(self) -> Picture:
        try:
            record = self._record()
            self._follow(record)
            self._take_events(record)
            return {**({"note": ""} if self._picture.get("note") else {}), **self._pictured(record)}
        except RemoteUnavailableError as error:  # it may come back, and then there is news
            return {"note": str(error)}
        except InstanceNotFoundError:
            purged = {"status": "Purged", "reason": "", "note": "purged: its history was deleted"}
            return {**purged, "waits": [], "actions": [], "over": True}
        except DfnbError as error:
            return {"note": why_no_news(error), "actions": [], "over": True}

    def _follow(self, record: InstanceRecord) -> None:
        self.restarted = self._key not in (-1, record.key)
        if self._key != record.key:
            self._key = record.key
            self._forget()

    def _take_events(self, record: InstanceRecord) -> None:
        news = self.client.history_after(record, self._position)
        if news:
            self._position = news[-1][0]
            self._names |= subjects(news)
            self._calls_http = self._calls_http or any(isinstance(row.event, HttpCallScheduled) for _, _, row in news)
        lines = [
            {"n": position, **event_line(row.at, row.event, self._names.get((generation, getattr(row.event, "task", 0)), ""))}
            for position, generation, row in news
            if row.event.event_type != "OrchestratorStarted"
        ]
        self._events_seen += len(lines)
        for _, _, row in news:
            if isinstance(row.event, ExecutionSuspended):
                self._suspended_for = row.event.reason or ""
        self._events = [*self._events, *lines[-EVENTS_KEPT:]][-EVENTS_KEPT:]
        self.timeline.feed(news)
        self.timeline.wait_for(record)
        if self._calls_http:
            self._take_exchanges(record)

    def _take_exchanges(self, record: InstanceRecord) -> None:
        lines = self.client.exchange_lines(record, self._exchange_position)
        if lines:
            self._exchange_position = lines[-1].pos
            self._exchanges_seen += len(lines)
            self.timeline.exchanged(lines)

    def _pictured(self, record: InstanceRecord) -> Picture:
        """What the view shows, but for its timeline. Over only once its end can be read."""
        lines = list(enumerate(self.client.logs(record.id)))
        self._logs = [
            {"n": n, "at": line.at / 1000, "bad": line.stream in BAD_STREAMS, "text": cut(line.text, LONGEST_NOTE)}
            for n, line in lines[-LINES_KEPT:]
        ]
        picture = row_of(self.client, record)
        for wait in picture["waits"]:
            self._say_what_was_asked(wait)
        picture |= {
            "calls": self._calls(record) if self._calls_http else [],
            "reason": cut(self._suspended_for, LONGEST_TEXT) if record.status == "Suspended" else "",
            "code": record.code or "",
            "codeNote": source.version_note(record, self.client.definition(record.name)) if not record.held else "",
            "parent": record.parent_id or "",
            "actions": actions.allowed(record.status),
            "counts": {
                "tasks": len(self.timeline.rows), "events": self._events_seen, "exchanges": self._exchanges_seen,
                "logs": len(lines),
            },
        }  # fmt: skip
        if record.is_terminal:
            ended = self.client.end_of(record)
            picture |= {"over": ended is not None, **(end_of(ended.end) if ended is not None else {})}
        return picture

    def _say_what_was_asked(self, wait: Picture) -> None:
        """How long the server wanted to be left alone, beside when the next request leaves."""
        if "next" in wait:
            asked = next((row["ra"] for row in reversed(self.timeline.rows) if row.get("x") == wait["next"] and "ra" in row), None)
            if asked is not None:
                wait["asked"] = asked

    def _calls(self, record: InstanceRecord) -> list[Picture]:
        """The latest HTTP calls that have sent a request, oldest first."""
        latest = self.client.calls(record, CALLS_SHOWN)
        return [call_line(call, self._names.get((call.generation, call.task), ""), record.is_terminal) for call in reversed(latest)]


def why_no_news(error: DfnbError) -> str:
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
    return {"output": cut(text or "", LONGEST_TEXT), "failure": "", "trace": ""}


def failure_of(failure: FailureDetails) -> Picture:
    return {"failure": cut(failure.summary, LONGEST_TEXT), "trace": cut(traces_of(failure), 4 * LONGEST_TEXT)}


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
        line["note"] = cut(note, LONGEST_NOTE)
    if call.due_at is not None and not over:
        line["next"] = call.due_at / 1000
    return line
