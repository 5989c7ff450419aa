"""The exchange log: every request an instance's HTTP calls have sent, and what came back, as a list that shows as a table."""

from __future__ import annotations

import dataclasses
import http
import importlib
import json
import os
from collections.abc import Iterable
from datetime import datetime, timedelta
from html import escape
from pathlib import Path
from typing import Any

from dfnb.client import html, test_mode
from dfnb.client.entities import clock
from dfnb.records.http import Exchange, Headers, response_text
from dfnb.records.times import to_datetime

_ROWS_SHOWN = 50
_LONGEST_BODY = 2_000
_LONGEST_CELL = 160
_NOT_YET = frozenset({201, 202})


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class HttpExchange:
    """One request of an HTTP call and what came back, secrets redacted. `status` is None when no answer came; `error` says why.

    `purpose`: first, start, poll, result, retry or cancel. `asked_wait`: how long the server wanted to be left alone. `wait`: how
    long until the next request was to be sent; None: there was to be none. `waited`: how long it really took until it was sent.
    """

    instance_id: str
    record: Exchange
    waited: timedelta | None = None

    @property
    def generation(self) -> int:
        return self.record.generation

    @property
    def task_id(self) -> int:
        return self.record.task

    @property
    def attempt(self) -> int:
        """The place of the exchange in its call, from 1."""
        return self.record.attempt

    @property
    def purpose(self) -> str:
        return self.record.purpose

    @property
    def timestamp(self) -> datetime:
        """When the request was sent, in UTC."""
        return to_datetime(self.record.sent_at)

    @property
    def duration(self) -> timedelta:
        """From sending to the end of the answer."""
        return timedelta(microseconds=self.record.took)

    @property
    def method(self) -> str:
        return self.record.method

    @property
    def url(self) -> str:
        return self.record.url

    @property
    def status(self) -> int | None:
        return self.record.status

    @property
    def request_headers(self) -> Headers:
        return Headers(self.record.request_headers)

    @property
    def request_body(self) -> bytes:
        """The body that was sent, with a name in place of each secret."""
        return self.record.request_body

    @property
    def request_text(self) -> str:
        """The same as text; bytes that are none are replaced."""
        return _text(self.request_body, self.request_headers)

    @property
    def response_headers(self) -> Headers:
        return Headers(self.record.response_headers)

    @property
    def response_body(self) -> bytes:
        return self.record.response_body

    @property
    def response_text(self) -> str:
        """The body that came as text; bytes that are none are replaced."""
        return _text(self.response_body, self.response_headers)

    def json(self) -> Any:
        """The body that came, as JSON. ValueError with its beginning if it is none."""
        try:
            return json.loads(self.response_body)
        except ValueError as error:
            begin = f"{self.response_text[:80]!r}" if self.response_body else "an empty body"
            raise ValueError(f"the answer ({self.status or 'none'}) from {self.url} is not JSON: {begin}") from error

    @property
    def asked_wait(self) -> timedelta | None:
        return _span(self.record.asked)

    @property
    def due_at(self) -> datetime | None:
        """When the next request was to be sent."""
        return None if self.record.due_at is None else to_datetime(self.record.due_at)

    @property
    def wait(self) -> timedelta | None:
        due = self.record.due_at
        return None if due is None else _span(due - self.record.sent_at - self.record.took)

    @property
    def note(self) -> str | None:
        return self.record.note

    @property
    def error(self) -> str | None:
        return self.record.error

    def __repr__(self) -> str:
        place = f"{self.task_id}/{self.attempt} {self.purpose}"
        return f"<HttpExchange {place}: {self.method} {_cut(self.url)} -> {status_words(self.status)}>"

    def _repr_html_(self) -> str:
        rows = [
            html.row("sent", escape(f"{clock(self.timestamp)}, took {_measured(self.duration)}")),
            html.row("asked wait", escape(_seconds(self.asked_wait))),
            html.row("real wait", escape(_real_wait(self))),
            html.row("note", escape(self.note or "")),
            html.row("error", html.span("dfnb-bad", self.error) if self.error else ""),
            *(html.row(part, html.pre(text)) for part, text in messages(self)),
        ]
        head = [
            _pill(self), html.span("dfnb-name", self.method), html.span("dfnb-id", self.url),
            html.span("dfnb-quiet", f"task {_call(self)}, {self.purpose}"),
        ]
        return html.card(state_of(self.status), head, rows)


class HttpLog(list[HttpExchange]):
    """All exchanges of one instance, in the order in which they were written down."""

    titles = ("time", "task", "purpose", "request", "status", "asked wait", "real wait", "bytes", "note")

    def __repr__(self) -> str:
        return f"<HttpLog: {len(self)} {'exchange' if len(self) == 1 else 'exchanges'}>"

    def lines(self) -> list[tuple[str, ...]]:
        """A line of texts for each of the latest exchanges."""
        return [tuple(_cells(one)) for one in self[-_ROWS_SHOWN:]]

    @property
    def foot(self) -> str:
        """What there is to say below the table."""
        if not self:
            return "no HTTP call has sent a request"
        left_out = len(self) - _ROWS_SHOWN
        return f"the latest {_ROWS_SHOWN} of {len(self)}; the list has them all" if left_out > 0 else ""

    def _repr_html_(self) -> str:
        rows = "".join(map(_row_html, self[-_ROWS_SHOWN:]))
        return html.table(self.titles, rows) + (html.span("dfnb-quiet", self.foot) if self.foot else "")

    def df(self) -> Any:
        """A pandas DataFrame with the columns of the view `http_exchanges`."""
        return _package("pandas", "df").DataFrame(self._columns())

    def pl(self) -> Any:
        """A polars DataFrame with the columns of the view `http_exchanges`."""
        return _package("polars", "pl").DataFrame(self._columns(), infer_schema_length=None)

    def _columns(self) -> dict[str, list[Any]]:
        return {
            "instance_id": [one.instance_id for one in self],
            "generation": [one.generation for one in self],
            "task_id": [one.task_id for one in self],
            "attempt": [one.attempt for one in self],
            "purpose": [one.purpose for one in self],
            "timestamp": [one.timestamp for one in self],
            "duration": [one.duration for one in self],
            "method": [one.method for one in self],
            "url": [one.url for one in self],
            "request_headers": [_json(one.record.request_headers) for one in self],
            "request_body": [one.request_text if one.request_body else None for one in self],
            "request_bytes": [len(one.request_body) for one in self],
            "status": [one.status for one in self],
            "response_headers": [_json(one.record.response_headers) for one in self],
            "response_body": [one.response_text if one.response_body else None for one in self],
            "response_bytes": [len(one.response_body) for one in self],
            "asked_wait": [one.asked_wait for one in self],
            "wait": [one.wait for one in self],
            "note": [one.note for one in self],
            "error": [one.error for one in self],
        }

    def har(self) -> dict[str, Any]:
        """The exchanges as an HTTP archive (HAR 1.2), which browsers' tools and `dfnb.testing.HarTransport` read."""
        from dfnb.client.har import archive  # here and not above: few ask for it

        return archive(self)

    def save_har(self, path: str | os.PathLike[str]) -> Path:
        """Write the archive to a file, for the file's owner alone, and return its path. It holds bodies as they came."""
        target = Path(path)
        text = json.dumps(self.har(), ensure_ascii=False, indent=1)
        with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        return target


def http_log(instance_id: str, records: Iterable[Exchange]) -> HttpLog:
    """The log of an instance: each exchange is told how long its call really waited before the next."""
    found = list(records)
    waited: list[timedelta | None] = [None] * len(found)
    latest: dict[tuple[int, int], int] = {}
    for at, record in enumerate(found):
        before = latest.get((record.generation, record.task))
        if before is not None and found[before].due_at is not None:
            waited[before] = _span(record.sent_at - found[before].sent_at - found[before].took)
        latest[record.generation, record.task] = at
    return HttpLog(HttpExchange(instance_id, record, wait) for record, wait in zip(found, waited, strict=True))


# ---- how an exchange looks


def status_words(status: int | None) -> str:
    """A status with its name, such as ``202 Accepted``."""
    if status is None:
        return "no answer"
    try:
        return f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def state_of(status: int | None) -> str:
    """Which state of an instance has the colour that suits a status."""
    if status is None or status >= 400:
        return "Held" if status in (429, 503) else "Failed"
    return "Running" if status in _NOT_YET or status >= 300 else "Completed"


def messages(one: HttpExchange) -> list[tuple[str, str]]:
    """Request and answer as text for people, each with a title; long bodies are cut here, and only here."""
    sent = ("request", _message(f"{one.method} {one.url}", one.record.request_headers, one.request_body, one.request_text))
    if one.status is None:
        return [sent]
    came = _message(status_words(one.status), one.record.response_headers, one.response_body, one.response_text)
    return [sent, ("answer", came)]


def _message(first: str, headers: Iterable[tuple[str, str]], body: bytes, text: str) -> str:
    lines = [first, *(f"{name}: {value}" for name, value in headers)]
    if body:
        lines += ["", f"({len(body):,} bytes that are no text)" if _is_binary(body) else _begin(text)]
    return "\n".join(lines)


def _is_binary(body: bytes) -> bool:
    return b"\0" in body[:_LONGEST_BODY]


def _begin(text: str) -> str:
    rest = len(text) - _LONGEST_BODY
    return f"{text[:_LONGEST_BODY]}\n… and {rest:,} more characters" if rest > 0 else text


def _cells(one: HttpExchange) -> list[str]:
    return [
        clock(one.timestamp),
        _call(one),
        one.purpose,
        _cut(f"{one.method} {one.url}"),
        status_words(one.status),
        _seconds(one.asked_wait),
        _real_wait(one),
        str(len(one.response_body)),
        _cut("; ".join(filter(None, [one.note, one.error]))),
    ]


def _call(one: HttpExchange) -> str:
    return f"{one.task_id}/{one.attempt}"


def _real_wait(one: HttpExchange) -> str:
    """How long it was left alone; while it still is, until when."""
    if one.waited is None and one.due_at is not None:
        return f"until {clock(one.due_at)}"
    return _measured(one.waited)


def _row_html(one: HttpExchange) -> str:
    texts = _cells(one)
    inside = "".join(html.pre(text) for _, text in messages(one))
    request = f'<td class="dfnb-mono"><details><summary>{escape(texts[3])}</summary>{inside}</details></td>'
    notes = " ".join(filter(None, [escape(one.note or ""), html.span("dfnb-bad", one.error) if one.error else ""]))
    times = "".join(html.cell("dfnb-time", text) for text in texts[:3])
    counts = "".join(html.cell("dfnb-time", text) for text in texts[5:8])
    return f'<tr data-state="{state_of(one.status)}">{times}{request}<td>{_pill(one)}</td>{counts}<td>{notes}</td></tr>'


def _pill(one: HttpExchange) -> str:
    return html.span("dfnb-pill", status_words(one.status))


def _seconds(span: timedelta | None) -> str:
    return "" if span is None else f"{span.total_seconds():.3g} s" if span < timedelta(seconds=100) else str(span).partition(".")[0]


def _measured(span: timedelta | None) -> str:
    """The same for what was measured, which test mode freezes."""
    return test_mode.LENGTH if test_mode.is_on() and span is not None else _seconds(span)


def _span(microseconds: int | None) -> timedelta | None:
    return None if microseconds is None else timedelta(microseconds=max(0, microseconds))


def _text(body: bytes, headers: Headers) -> str:
    text, charset = response_text(body, next(iter(headers.get_list("content-type")), None))
    return text if charset is not None else body.decode("utf-8", "replace")


def _json(pairs: Iterable[tuple[str, str]]) -> str | None:
    listed = list(pairs)
    return json.dumps(listed, ensure_ascii=False) if listed else None


def _cut(text: str, length: int = _LONGEST_CELL) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _package(name: str, method: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ModuleNotFoundError(f".{method}() needs {name}; install it with: pip install {name}", name=name) from None
