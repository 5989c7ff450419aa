"""Statuses, pages of them, answers and failures as HTML without style of its own, for whoever shows them outside a live view."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any

from dfnb.client import html
from dfnb.client.http_log import state_of, status_words
from dfnb.client.shown import date_and_time, span
from dfnb.records.failure import FailureDetails
from dfnb.records.http import DurableHttpResponse
from dfnb.records.short_repr import brief, cut

if TYPE_CHECKING:
    from dfnb.client.status import DurableOrchestrationStatus

_LONGEST = 2_000
_PAGE_TITLES = ("status", "name", "id", "created", "waiting for")


def status_card(status: DurableOrchestrationStatus) -> str:
    """One instance as a card."""
    if not status or status.runtime_status is None:
        return html.card("", [html.span("dfnb-quiet", "no such instance")], [])
    state = status.runtime_status.value
    head = [
        html.span("dfnb-pill", state), html.span("dfnb-name", status.name or ""), html.span("dfnb-id", status.instance_id or ""),
        html.span("dfnb-quiet", _times(status)),
    ]  # fmt: skip
    rows = [
        html.row("waits", escape(status.waiting_for)),
        html.row("custom status", _value(status.custom_status)),
        html.row("output", _value(status.output) if status.failure_details is None else ""),
        html.row("failure", failure_text(status.failure_details) if status.failure_details is not None else ""),
    ]
    return html.card(state, head, rows)


def _times(status: DurableOrchestrationStatus) -> str:
    if status.created_time is None or status.last_updated_time is None:
        return ""
    took = (status.last_updated_time - status.created_time).total_seconds() * 1000
    created = date_and_time(status.created_time.timestamp() * 1000)
    return f"{created}, {span(took)}" if status.is_terminal else f"since {created}"


def _value(value: Any) -> str:
    return "" if value is None else html.pre(cut(value if isinstance(value, str) else repr(value), _LONGEST))


def statuses_table(statuses: Iterable[DurableOrchestrationStatus]) -> str:
    """Instances as a table; nothing for none."""
    return html.lines_table(_PAGE_TITLES, map(_line, statuses), narrow=5)


def _line(status: DurableOrchestrationStatus) -> tuple[str, ...]:
    state = status.runtime_status.value if status.runtime_status is not None else "no such instance"
    created = date_and_time(status.created_time.timestamp() * 1000) if status.created_time is not None else ""
    return state, status.name or "", status.instance_id or "", created, status.waiting_for.removeprefix("waiting for ")


def response_card(response: DurableHttpResponse) -> str:
    """An answer of an HTTP call: status, address, headers, and the beginning of its body."""
    status = response.status_code
    head = [html.span("dfnb-pill", status_words(status)), html.span("dfnb-id", response.url)]
    headers = "\n".join(f"{name}: {brief(value)}" for name, value in response.headers.items())
    size = f"{len(response.content_bytes):,} bytes"
    body = html.pre(cut(response.content, _LONGEST)) if response.charset is not None else html.span("", f"{size} that are no text")
    rows = [
        html.row("note", escape(response.note)),
        html.row("headers", html.pre(headers) if headers else ""),
        html.row("body", body if response.content_bytes else ""),
    ]
    return html.card("Failed" if response.failed else state_of(status), head, rows)


def failure_card(failure: FailureDetails) -> str:
    """A failure with its traceback."""
    return html.card("Failed", [html.span("dfnb-pill", "Failed")], [html.row("failure", failure_text(failure))])


def failure_text(failure: FailureDetails) -> str:
    """Its summary, and the traceback behind a fold."""
    trace = html.pre(cut(failure.stack_trace, 4 * _LONGEST))
    fold = f"<details><summary>traceback</summary>{trace}</details>" if failure.stack_trace else ""
    return html.span("dfnb-bad", cut(failure.summary, _LONGEST)) + fold
