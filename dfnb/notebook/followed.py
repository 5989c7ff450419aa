"""What a view shows of a URL that is being followed."""

from __future__ import annotations

from typing import Any

from dfnb.client.http_log import HttpExchange, state_of, status_words
from dfnb.client.remote.follow import Followed
from dfnb.client.remote.shapes import moment
from dfnb.notebook.texts import LONGEST_TEXT, cut, shown_value

Picture = dict[str, Any]

_EVENTS_SHOWN = 8


class FollowedTracker:
    """Follows what is followed: the same picture as an instance's, as far as the answers tell one."""

    restarted = False
    ids = None
    open_ids: tuple[str, ...] = ()

    def __init__(self, followed: Followed) -> None:
        self.client: Any = followed
        """Whom to watch."""
        self._picture: Picture = {}

    @property
    def is_over(self) -> bool:
        """Whether nothing more will change."""
        return bool(self._picture.get("over"))

    def full(self) -> Picture:
        return {**self._picture, "rows": {}}

    def still(self) -> Picture:
        """What the static twin shows: the same with the latest requests."""
        return {**self.full(), "events": [_event(one) for one in self.client.polls[-_EVENTS_SHOWN:]]}

    def look(self) -> Picture:
        """What changed since the last look. Empty if nothing did."""
        fresh = picture_of(self.client)
        changed = {name: value for name, value in fresh.items() if self._picture.get(name) != value}
        self._picture |= changed
        return {"set": changed} if changed else {}

    def answer(self, question: Picture) -> Picture:
        """There is nothing more to ask."""
        raise ValueError(f"there is nothing to say about {question.get('ask')!r}")

    def say(self, note: str) -> None:
        """Hubs that close are none of its business: it goes on."""


def picture_of(followed: Followed) -> Picture:
    """All there is to see now."""
    is_over = followed.is_over
    told = followed.json or {}
    created = moment(told.get("createdTime")) or followed.started_at
    due = followed.next_at
    wait: Picture = {"text": f"the answer of {followed.url}"}
    return {
        "kind": "instance",
        "id": followed.id,
        "name": shown_value(told.get("name")),
        "status": followed.status,
        "created": created / 1000,
        "ended": followed.ended_at / 1000 if is_over and followed.ended_at is not None else None,
        "custom": shown_value(told.get("customStatus")),
        "waits": [] if is_over else [{**wait, "next": due / 1000} if due is not None else wait],
        "held": "",
        "calls": _calls(followed),
        "output": shown_value(told.get("output") if "runtimeStatus" in told else followed.json) if is_over else "",
        "failure": cut(followed.failure, LONGEST_TEXT),
        "actions": [],
        "tabs": [],
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


def _event(one: HttpExchange) -> Picture:
    return {
        "n": one.attempt, "at": one.record.sent_at / 1000, "kind": status_words(one.status), "name": f"{one.method} {one.url}",
        "took": one.record.took / 1000, "note": one.note or "",
    }  # fmt: skip
