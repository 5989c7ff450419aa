"""What a view shows of a URL that is being followed."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from dfnb.client.http_log import HttpExchange, state_of, status_words
from dfnb.client.remote.follow import Followed
from dfnb.client.remote.shapes import moment
from dfnb.client.timeline import Timeline
from dfnb.hub.http_state import ExchangeLine
from dfnb.notebook.exchanges import Exchanges
from dfnb.notebook.questions import page_of, window
from dfnb.notebook.texts import LONGEST_TEXT, cut, shown_value
from dfnb.records.history import ExecutionCompleted, HistoryEvent, HttpCallScheduled, Recorded
from dfnb.records.http import Exchange

Picture = dict[str, Any]

_EVENTS_SHOWN = 8
_GENERATION = _TASK = 0


class FollowedTracker:
    """Follows what is followed: the same picture as an instance's, as far as the answers tell one."""

    ids = None
    open_ids: tuple[str, ...] = ()

    def __init__(self, followed: Followed) -> None:
        self.client: Any = followed
        """Whom to watch."""
        self.restarted = False
        """Whether requests were forgotten at the last look, as of very many the first are: the picture is all new then."""
        self._picture: Picture = {}
        self._timeline = Timeline()
        self._timeline.feed([_event(followed.started_at, HttpCallScheduled(_TASK, f"GET {followed.url}", ""))])
        self._lines: list[ExchangeLine] = []
        self._log = followed.polls
        self._exchanges = Exchanges(lambda: self._lines, lambda index: self._log[index])

    @property
    def is_over(self) -> bool:
        """Whether nothing more will change."""
        return bool(self._picture.get("over"))

    def full(self) -> Picture:
        return {**self._picture, "rows": {str(row["i"]): dict(row) for row in self._timeline.rows}}

    def still(self) -> Picture:
        """What the static twin shows: the same with the latest requests."""
        return {**self.full(), "events": [_request_line(one) for one in self._log[-_EVENTS_SHOWN:]]}

    def look(self) -> Picture:
        """What changed since the last look. Empty if nothing did."""
        fresh = picture_of(self.client)
        self._take_exchanges()
        if fresh["over"] and not self.is_over:
            self._close_timeline()
        fresh["counts"] = {"tasks": 1, "exchanges": len(self._log)}
        changed = {name: value for name, value in fresh.items() if self._picture.get(name) != value}
        self._picture |= changed
        rows = self._timeline.take_changed()
        delta: Picture = {"set": changed} if changed else {}
        return {**delta, "rows": rows} if rows else delta

    def _take_exchanges(self) -> None:
        first, seen = (self._lines[0].attempt, self._lines[-1].attempt) if self._lines else (1, 0)
        self._log = self.client.polls
        self._lines = [_line(one.record) for one in self._log]
        self.restarted = bool(self._lines) and self._lines[0].attempt != first
        self._timeline.exchanged([line for line in self._lines if line.attempt > seen])

    def _close_timeline(self) -> None:
        at = self.client.ended_at or self.client.started_at
        end = self.client.end
        self._timeline.feed([_event(at, end if end is not None else ExecutionCompleted("Canceled", None, None))])

    def answer(self, question: Picture) -> Picture:
        """What the view asks for; ValueError says why it cannot have it."""
        match question.get("ask"):
            case "timeline":
                return {"rows": [dict(row) for row in self._timeline.rows[window(question)]]}
            case "http":
                return self._exchanges.listed(question)
            case "exchange":
                return self._exchanges.one(question)
            case "payload":
                of = question.get("of")
                return page_of(self._exchanges.body(of if isinstance(of, dict) else {}), question)
            case other:
                raise ValueError(f"there is nothing to say about {other!r}")

    def say(self, note: str) -> None:
        """Hubs that close are none of its business: it goes on."""


def _event(at: int, event: HistoryEvent) -> tuple[int, int, Recorded]:
    return (0, _GENERATION, Recorded(0, at, event))


def _line(one: Exchange) -> ExchangeLine:
    return ExchangeLine(
        one.attempt, one.generation, one.task, one.attempt, one.purpose, one.sent_at, one.took, one.method, one.url, one.status,
        len(one.response_body), one.asked, one.due_at, one.note, one.error,
    )  # fmt: skip


def picture_of(followed: Followed) -> Picture:
    """All there is to see now."""
    is_over = followed.is_over
    told = followed.json or {}
    created = moment(told.get("createdTime")) or followed.started_at
    due = followed.next_at
    wait: Picture = {"text": f"the answer of {followed.url}"}
    if due is not None:
        wait["next"] = due / 1000
        asked = followed.polls[-1].asked_wait
        if asked is not None:
            wait["asked"] = asked.total_seconds() * 1000
    return {
        "kind": "instance",
        "id": followed.id,
        "name": shown_value(told.get("name")),
        "status": followed.status,
        "created": created / 1000,
        "ended": followed.ended_at / 1000 if is_over and followed.ended_at is not None else None,
        "custom": shown_value(told.get("customStatus")),
        "waits": [] if is_over else [wait],
        "held": "",
        "calls": _calls(followed),
        "output": shown_value(told.get("output") if "runtimeStatus" in told else followed.json) if is_over else "",
        "failure": cut(followed.failure, LONGEST_TEXT),
        "actions": [],
        "tabs": ["timeline", "http"],
        "where": urlsplit(followed.url).netloc,
        "over": is_over,
    }


def _calls(followed: Followed) -> list[Picture]:
    """The one call there is, once it was answered."""
    if not followed.count:
        return []
    last = followed.polls[-1]
    line: Picture = {
        "name": f"GET {last.url}", "status": status_words(last.status), "state": state_of(last.status), "polls": followed.count - 1,
    }  # fmt: skip
    note = "; ".join(filter(None, [last.note, last.error]))
    if note:
        line["note"] = cut(note, LONGEST_TEXT)
    if followed.next_at is not None:
        line["next"] = followed.next_at / 1000
    return [line]


def _request_line(one: HttpExchange) -> Picture:
    return {
        "n": one.attempt, "at": one.record.sent_at / 1000, "kind": status_words(one.status), "name": f"{one.method} {one.url}",
        "took": one.record.took / 1000, "note": one.note or "",
    }  # fmt: skip
