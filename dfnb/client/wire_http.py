"""HTTP calls of an orchestration's history in the original's form: an activity of its own, which has no secret in it."""

from __future__ import annotations

import json
from typing import Any

from dfnb.durable_http.redaction import Redactor
from dfnb.records.history import (
    HistoryEvent,
    HttpCallCompleted,
    HttpCallFailed,
    HttpCallScheduled,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
)
from dfnb.records.http import DurableHttpResponse
from dfnb.records.http_wire import wire_form

HTTP_ACTIVITY = "BuiltIn::HttpActivity"


def as_activity(event: HistoryEvent, show_input: bool, show_output: bool) -> HistoryEvent:
    """The event of an activity that stands for one of an HTTP call; any other event as it is."""
    if isinstance(event, HttpCallScheduled):
        return TaskScheduled(event.task, HTTP_ACTIVITY, _request(event) if show_input else None)
    if isinstance(event, HttpCallCompleted):
        return TaskCompleted(event.task, _answer(event) if show_output else None)
    return TaskFailed(event.task, event.failure) if isinstance(event, HttpCallFailed) else event


def _request(event: HttpCallScheduled) -> str:
    wire, redactor = wire_form(event.request), Redactor()
    wire["uri"] = redactor.url(str(wire["uri"]))
    wire["headers"] = _redacted(wire["headers"], redactor)
    return json.dumps(wire, ensure_ascii=False)


def _answer(event: HttpCallCompleted) -> str:
    answer = DurableHttpResponse.of(event)
    shown = {"statusCode": answer.status_code, "headers": _redacted(answer.headers, Redactor()), "content": answer.content}
    return json.dumps(shown, ensure_ascii=False)


def _redacted(headers: dict[str, Any], redactor: Redactor) -> dict[str, Any]:
    return {
        name: [redactor.header(name, str(one)) for one in value] if isinstance(value, list) else redactor.header(name, str(value))
        for name, value in headers.items()
    }
