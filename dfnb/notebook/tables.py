"""What a view of many instances shows, and what changed since the last look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dfnb.client.sync import DurableOrchestrationClient
from dfnb.errors import DfnbError, InstanceNotFoundError
from dfnb.notebook import actions
from dfnb.notebook.snapshot import Picture, row_of, why_no_news

ROWS_SHOWN = 100


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

    def still(self) -> Picture:
        """What the static twin shows."""
        return self.full()

    def answer(self, question: Picture) -> Picture:
        """What a live view asks for; DfnbError or ValueError says why it cannot have it."""
        if question.get("ask") == "do":
            return actions.perform_many(self.client, [str(id) for id in question.get("ids") or ()], question)
        raise ValueError(f"there is nothing to say about {question.get('ask')!r}")

    def look(self) -> Picture:
        """What changed: ``rows`` by id, ``set`` with the order of all rows when that changed."""
        before = self._rows
        try:
            self._rows = {row["id"]: row for row in self._read()}
        except DfnbError as error:
            self.say(why_no_news(error))
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
