"""What a view is told of requests and their answers: lines of a list, one exchange as a whole, pages of its bodies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dfnb.client.http_log import HttpExchange, state_of, status_words
from dfnb.hub.http_state import ExchangeLine
from dfnb.notebook.questions import LARGEST_PAGE, place_in, window

Picture = dict[str, Any]


class Exchanges:
    """Answers a view's questions. `lines` gives all there are, oldest first; `whole` the one at a place among them."""

    def __init__(self, lines: Callable[[], Sequence[ExchangeLine]], whole: Callable[[int], HttpExchange]) -> None:
        self._lines = lines
        self._whole = whole

    def listed(self, question: Picture) -> Picture:
        """A window of the lines, or of those of one call."""
        lines = self._lines()
        chosen = [(i, line) for i, line in enumerate(lines) if _is_of(line, question)]
        return {"rows": [_row(i, line, lines) for i, line in chosen[window(question)]], "total": len(chosen)}

    def one(self, question: Picture) -> Picture:
        """Request and answer with their headers and the beginnings of their bodies."""
        found = self._at(question.get("i"))
        sent = _message(found.record.request_headers, found.request_body, found.request_text)
        sent["line"] = f"{found.method} {found.url}"
        if found.status is None:
            return {"request": sent, "response": None}
        came = _message(found.record.response_headers, found.response_body, found.response_text)
        return {"request": sent, "response": {"line": status_words(found.status), **came}}

    def body(self, of: Picture) -> str:
        """A whole body as text."""
        found = self._at(of.get("x"))
        return found.request_text if of.get("side") == "request" else found.response_text

    def _at(self, given: Any) -> HttpExchange:
        return self._whole(place_in(len(self._lines()), given))


def _is_of(line: ExchangeLine, question: Picture) -> bool:
    """Whether an exchange belongs to the call asked for; all do if none is."""
    task = question.get("task")
    return task is None or (line.task == task and line.generation == question.get("g", line.generation))


def _row(index: int, line: ExchangeLine, lines: Sequence[ExchangeLine]) -> Picture:
    row: Picture = {
        "i": index, "at": line.sent_at / 1000, "g": line.generation, "task": line.task, "attempt": line.attempt,
        "purpose": line.purpose, "method": line.method, "url": line.url, "status": line.status,
        "text": status_words(line.status), "state": state_of(line.status), "took": line.took / 1000,
        "bytes": line.response_bytes,
    }  # fmt: skip
    facts = {
        "asked": None if line.asked is None else line.asked / 1000,
        "waited": _waited(line, (lines[at] for at in range(index + 1, len(lines)))) if line.due_at is not None else None,
        "note": line.note,
        "error": line.error,
    }
    return row | {name: value for name, value in facts.items() if value is not None}


def _waited(line: ExchangeLine, later: Iterable[ExchangeLine]) -> float | None:
    """How long the call really waited before its next request."""
    following = next((one for one in later if (one.generation, one.task) == (line.generation, line.task)), None)
    return None if following is None else max(0, following.sent_at - line.sent_at - line.took) / 1000


def _message(headers: Any, body: bytes, text: str) -> Picture:
    binary = b"\0" in body[:LARGEST_PAGE]
    shown = "" if binary else text[:LARGEST_PAGE]
    more = {"more": True} if not binary and len(text) > LARGEST_PAGE else {}
    return {"headers": [list(pair) for pair in headers], "text": shown, "bytes": len(body), "binary": binary, **more}
