"""What a live view is told of one instance when it asks: windows of its history, exchanges, logs, payloads, its code.

Everything is read when asked for and kept for the next question, so that a tab that is never opened costs nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from IPython.core.getipython import get_ipython

from dfnb.client.http_log import HttpExchange
from dfnb.client.sync import DurableOrchestrationClient
from dfnb.client.timeline import Timeline
from dfnb.errors import cells_named
from dfnb.hub.http_state import ExchangeLine
from dfnb.notebook import source
from dfnb.notebook.events import event_line, subjects
from dfnb.notebook.exchanges import Exchanges
from dfnb.notebook.questions import page_of, place_in, window
from dfnb.records.failure import FailureDetails
from dfnb.records.history import ExecutionCompleted, ExecutionStarted, HttpCallScheduled, OrchestratorStarted, Recorded
from dfnb.records.instance import InstanceRecord
from dfnb.records.log import LogLine

Picture = dict[str, Any]

_PAYLOADS_SHOWN = 2_000
BAD_STREAMS = frozenset({"stderr", "WARNING", "ERROR", "CRITICAL"})


class Inspector:
    """Answers the questions of one view about one instance."""

    def __init__(self, client: DurableOrchestrationClient, record: Callable[[], InstanceRecord], timeline: Timeline) -> None:
        self._client = client
        self._record = record
        self._timeline = timeline
        self._events: list[tuple[int, int, Recorded]] = []
        self._position = -1
        self._counts: Counter[int] = Counter()
        self._named: dict[tuple[int, int], str] = {}
        self._lines: list[ExchangeLine] = []
        self._exchanges = Exchanges(self._read_lines, self._whole_exchange)

    def answer(self, question: Picture) -> Picture:
        """The answer to one question; DfnbError or ValueError says why there is none."""
        handler = _QUESTIONS.get(str(question.get("ask")))
        if handler is None:
            raise ValueError(f"there is nothing to say about {question.get('ask')!r}")
        return handler(self, question)

    # windows

    def _timeline_rows(self, question: Picture) -> Picture:
        return {"rows": [dict(row) for row in self._timeline.rows[window(question)]]}

    def _history(self, question: Picture) -> Picture:
        events = self._read_events()
        chosen = window(question)
        rows = [self._event_row(i, *event) for i, event in enumerate(events[chosen], chosen.start)]
        return {"rows": rows, "total": len(events)}

    def _read_events(self) -> list[tuple[int, int, Recorded]]:
        """The events one sees: (number in its generation, generation, event). Those that are left out count, as in a replay."""
        news = self._client.history_after(self._record(), self._position)
        self._named |= subjects(news)
        for position, generation, row in news:
            self._position = position
            self._counts[generation] += 1
            if not isinstance(row.event, OrchestratorStarted):
                self._events.append((self._counts[generation], generation, row))
        return self._events

    def _event_row(self, index: int, number: int, generation: int, row: Recorded) -> Picture:
        name = self._named.get((generation, getattr(row.event, "task", 0)), "")
        texts = _texts_of(row)
        has = {"has": [what for what, text in texts.items() if text is not None]} if any(texts.values()) else {}
        return {"i": index, "n": number, **event_line(row.at, row.event, name), **has}

    def _logs(self, question: Picture) -> Picture:
        lines = self._client.logs(self._record().id)
        chosen = window(question)
        return {"rows": [_log_row(i, line) for i, line in enumerate(lines[chosen], chosen.start)], "total": len(lines)}

    # HTTP

    def _http(self, question: Picture) -> Picture:
        return self._exchanges.listed(question)

    def _exchange(self, question: Picture) -> Picture:
        return self._exchanges.one(question)

    def _read_lines(self) -> list[ExchangeLine]:
        after = self._lines[-1].pos if self._lines else -1
        self._lines += self._client.exchange_lines(self._record(), after)
        return self._lines

    def _whole_exchange(self, index: int) -> HttpExchange:
        found = self._client.exchange_at(self._record(), self._lines[index].pos)
        if found is None:
            raise ValueError("this exchange was deleted in the meantime")
        return found

    # payloads

    def _payloads(self, question: Picture) -> Picture:
        record = self._record()
        named = [("custom status", "custom", record.custom_status)]
        named += [(label, of, text) for label, of, text in self._own_texts() if text is not None]
        rows = [{"label": label, "of": of, "bytes": len(text)} for label, of, text in named if text is not None]
        events = self._read_events()
        for index, (_, generation, row) in enumerate(events[-_PAYLOADS_SHOWN:], max(0, len(events) - _PAYLOADS_SHOWN)):
            if isinstance(row.event, ExecutionStarted | ExecutionCompleted):
                continue
            name = self._named.get((generation, getattr(row.event, "task", 0)), "") or getattr(row.event, "name", "")
            for what, text in _texts_of(row).items():
                if text is not None:
                    of = {"i": index, "what": what}
                    task = {"g": generation, "task": getattr(row.event, "task", None)}
                    rows.append({"label": f"{what} of {name}", "of": of, "bytes": len(text), **task})
        return {"rows": rows}

    def _own_texts(self) -> list[tuple[str, str, str | None]]:
        """Input, output and failure of the instance itself, of its latest generation."""
        events = [row.event for _, _, row in self._read_events()]
        started = next((event for event in reversed(events) if isinstance(event, ExecutionStarted)), None)
        ended = next((event for event in reversed(events) if isinstance(event, ExecutionCompleted)), None)
        failure = ended.failure if ended is not None and self._record().is_terminal else None
        return [
            ("input", "input", started.input if started is not None else None),
            ("output", "output", ended.result if ended is not None and self._record().is_terminal else None),
            ("failure", "failure", failure.summary if failure is not None else None),
            ("traceback", "trace", traces_of(failure) or None if failure is not None else None),
        ]

    def _payload(self, question: Picture) -> Picture:
        return page_of(self._text(question.get("of")), question)

    def _text(self, of: Any) -> str:
        if isinstance(of, dict) and "x" in of:
            return self._exchanges.body(of)
        if isinstance(of, dict):
            events = self._read_events()
            return _texts_of(events[place_in(len(events), of.get("i"))][2]).get(str(of.get("what"))) or ""
        if of == "custom":
            return self._record().custom_status or ""
        return next((text for _, name, text in self._own_texts() if name == of), None) or ""

    def _code(self, question: Picture) -> Picture:
        return source.code_of(self._client, self._record())


_QUESTIONS: dict[str, Callable[[Inspector, Picture], Picture]] = {
    "timeline": Inspector._timeline_rows,
    "history": Inspector._history,
    "logs": Inspector._logs,
    "http": Inspector._http,
    "exchange": Inspector._exchange,
    "payloads": Inspector._payloads,
    "payload": Inspector._payload,
    "code": Inspector._code,
}


def _log_row(index: int, line: LogLine) -> Picture:
    return {
        "i": index, "at": line.at / 1000, "stream": line.stream, "bad": line.stream in BAD_STREAMS, "text": line.text,
        "task": line.task,
    }  # fmt: skip


def _texts_of(row: Recorded) -> dict[str, str | None]:
    """The texts an event carries: an input, a result. A failure's result is its traceback."""
    event: Any = row.event
    if isinstance(event, HttpCallScheduled):
        return {"input": event.request}
    failure = getattr(event, "failure", None)
    result = getattr(event, "result", None)
    if failure is not None:
        result = traces_of(failure) or failure.summary
    elif hasattr(event, "content"):
        result = json.dumps({"status": event.status, "headers": event.headers, "content": event.content}, ensure_ascii=False)
    return {"input": getattr(event, "input", None), "result": result}


def traces_of(failure: FailureDetails) -> str:
    """The tracebacks of a failure and its causes, the first cause first."""
    shell: Any = get_ipython()
    namer = shell.compile.format_code_name if shell is not None else None
    traces: list[str] = []
    inner: FailureDetails | None = failure
    while inner is not None:
        if inner.stack_trace:
            traces.insert(0, f"{cells_named(inner.stack_trace, namer)}\n{inner.summary}")
        inner = inner.inner_failure
    return "\n\n".join(traces)
