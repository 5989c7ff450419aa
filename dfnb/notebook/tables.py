"""What a view of many instances shows, and what changed since the last look.

A view is told the newest rows; it asks for older ones as it is scrolled. What changed is read again, row by row; counts, chart and
the newest rows take longer in a large hub, and are read at most a share of the time.
"""

from __future__ import annotations

import abc
import dataclasses
import threading
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from dfnb.client.status import as_microseconds, status_names
from dfnb.client.sync import DurableOrchestrationClient
from dfnb.errors import DfnbError, RemoteUnavailableError
from dfnb.hub.figures import OverTime
from dfnb.hub.protocol import InstanceQuery
from dfnb.notebook import actions
from dfnb.notebook.snapshot import Picture, row_of, why_no_news
from dfnb.records.instance import InstanceRecord

ROWS_SHOWN = 100
ROWS_AT_ONCE = 1_000
ROWS_KEPT = 10_000
_NAMES_SHOWN = 500
_CHANGES_AT_ONCE = 1_000
"""When more rows than these have changed, a view is told all anew, and asks again for what it needs."""

_PURGED: Picture = {"status": "", "waits": [], "note": "purged", "over": True, "created": None, "ended": None}


class TableTracker(abc.ABC):
    """Follows rows of which many may change; the kinds of tables say which."""

    kind = "table"
    rest = 10.0
    """Reading what takes long rests that many times as long as it took."""

    def __init__(self, client: DurableOrchestrationClient) -> None:
        self.client = client
        self.restarted = False
        self.again_in: float | None = None
        """In how many seconds a look is due though nothing changes; None for never."""
        self._lock = threading.RLock()
        self._noting = threading.Lock()
        self._noted: set[str] = set()
        self._rows: dict[str, Picture] = {}
        self._head: Picture = {}
        self._note = ""
        self._is_new = True
        self._is_due = False
        self._not_before = 0.0

    # what a view asks

    @property
    def ids(self) -> frozenset[str] | None:
        """Which instances' changes matter; None for all."""
        return None

    @property
    def open_ids(self) -> list[str]:
        """An instance that has not ended: whoever waits for its end hears of the hub's."""
        return [id for id, row in self._rows.items() if not row.get("over", True)][-1:]

    @property
    def is_over(self) -> bool:
        return bool(self._note)

    def full(self) -> Picture:
        """All a live view is told at once."""
        return {
            "kind": self.kind, "where": self.client.where, **self._head, "note": self._note, "order": list(self._rows),
            "rows": dict(self._rows),
        }  # fmt: skip

    def still(self) -> Picture:
        """What the static twin shows."""
        return self.full()

    def say(self, note: str) -> None:
        """Note why there will be no more news."""
        self._note = note

    def note(self, ids: Iterable[str]) -> None:
        """Remember what changed, for the next look; from any thread."""
        with self._noting:
            self._noted.update(id for id in ids if self._concerns(id))

    def look(self) -> Picture:
        """What changed: ``rows`` by id, ``set`` with other values of the picture. A row with ``out`` is no longer in it."""
        with self._lock:
            with self._noting:
                noted, self._noted = self._noted, set()
            self.restarted, self.again_in = False, None
            before, order = dict(self._head), list(self._rows)
            try:
                rows = self._take(noted)
            except RemoteUnavailableError as error:  # it may come back, and then there is news
                self.note(noted)
                self._head = {**before, "trouble": str(error)}
                return {"set": {"trouble": str(error)}}
            except DfnbError as error:
                self.say(why_no_news(error))
                return {"set": {"note": self._note}}
            delta: Picture = {"rows": rows} if rows else {}
            changed = {name: value for name, value in self._head.items() if before.get(name) != value}
            if order != list(self._rows):
                changed["order"] = list(self._rows)
            return {**delta, "set": changed} if changed else delta

    def answer(self, question: Picture) -> Picture:
        """What a live view asks for; DfnbError or ValueError says why it cannot have it."""
        asked = str(question.get("ask"))
        if asked == "do":
            return actions.perform_many(self.client, [str(id) for id in question.get("ids") or ()], question)
        with self._lock:
            if asked == "rows":
                return self._older(question.get("after"), min(int(question.get("count") or ROWS_AT_ONCE), ROWS_AT_ONCE))
            if asked == "question":
                self._ask(question)
                return {}
        raise ValueError(f"there is nothing to say about {asked!r}")

    # what the kinds of tables fill in

    def _concerns(self, id: str) -> bool:
        return not id.startswith("@")

    def _take(self, noted: set[str]) -> dict[str, Picture]:
        """Bring `_rows` and `_head` up to date; the rows a view is told."""
        rows = {} if self._is_new else self._read_changed(noted)
        self._is_due = self._is_due or self._is_new or bool(noted or rows)
        if self._is_due and not self._is_new and (wait := self._not_before - time.perf_counter()) > 0:
            self.again_in = wait
            return rows
        if self._is_due:
            began = time.perf_counter()
            if self._is_new:
                self._forget()
            rows |= self._read_head(noted)
            self.restarted, self._is_new, self._is_due = self._is_new, False, False
            took = time.perf_counter() - began
            self._not_before = began + took + self.rest * took
        return rows

    def _forget(self) -> None:
        self._rows = {}

    @abc.abstractmethod
    def _read_changed(self, noted: set[str]) -> dict[str, Picture]:
        """The rows that are other than before."""

    @abc.abstractmethod
    def _read_head(self, noted: set[str]) -> dict[str, Picture]:
        """Bring what stands above the rows up to date; rows that have come with it."""

    @abc.abstractmethod
    def _older(self, after: Any, count: int) -> Picture:
        """The rows behind the last one that is shown."""

    def _ask(self, question: Picture) -> None:
        raise ValueError("this table shows what it was given")

    def _row(self, record: InstanceRecord) -> Picture:
        row = row_of(self.client, record)
        row |= {"updated": record.updated_at / 1000, "o": record.key}
        return {**row, "parent": record.parent_id} if record.parent_id else row

    def _replace(self, rows: dict[str, Picture]) -> dict[str, Picture]:
        """Show those rows from now on; which of them are others than before."""
        before, self._rows = self._rows, rows
        return {id: row for id, row in rows.items() if before.get(id) != row}


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """Which instances a table is about, as a view shows it and asks it."""

    statuses: tuple[str, ...] = ()
    name: str = ""
    prefix: str = ""
    created_from: int | None = None
    created_to: int | None = None

    @classmethod
    def read(cls, asked: Picture) -> Question:
        """What a view asks; times in milliseconds."""
        since, until = (None if asked.get(side) is None else int(asked[side] * 1000) for side in ("from", "to"))
        name, prefix = str(asked.get("name") or ""), str(asked.get("prefix") or "")
        return cls(status_names(asked.get("status") or None), name, prefix, since, until)

    def picture(self) -> Picture:
        sides = (None if side is None else side / 1000 for side in (self.created_from, self.created_to))
        since, until = sides
        return {"status": list(self.statuses) or None, "name": self.name, "prefix": self.prefix, "from": since, "to": until}

    def query(self, limit: int = ROWS_SHOWN, after: tuple[int, int] | None = None) -> InstanceQuery:
        return InstanceQuery(
            self.created_from, self.created_to, self.statuses, self.prefix or None, self.name or None, limit, after
        )  # fmt: skip

    def fits(self, record: InstanceRecord) -> bool:
        return (
            (not self.statuses or record.status in self.statuses)
            and self.name in ("", record.name)
            and record.id.startswith(self.prefix)
            and (self.created_from is None or record.created_at >= self.created_from)
            and (self.created_to is None or record.created_at <= self.created_to)
        )


class InstancesTracker(TableTracker):
    """Follows the instances that fit a question, newest first."""

    def __init__(
        self, client: DurableOrchestrationClient, *, runtime_status: Any = None, name: str | None = None,
        prefix: str | None = None, created_from: datetime | None = None, created_to: datetime | None = None,
        limit: int = ROWS_SHOWN,
    ) -> None:
        super().__init__(client)
        self._question = Question(
            status_names(runtime_status), name or "", prefix or "", as_microseconds(created_from), as_microseconds(created_to)
        )
        self._limit = max(1, min(limit, ROWS_SHOWN))
        self._known: dict[str, tuple[int, int]] = {}
        """Where the rows that a view may have are in the list."""
        self._is_other = False
        """Whether the newest rows may be others."""

    def _ask(self, question: Picture) -> None:
        self._question = Question.read(question)
        self._is_new = True

    def _forget(self) -> None:
        super()._forget()
        self._known = {}

    def _read_changed(self, noted: set[str]) -> dict[str, Picture]:
        self._is_other = self._is_other or not noted <= self._known.keys()
        changed = noted & self._known.keys() | {id for id, row in self._rows.items() if _waits_for_a_cell(row)}
        if len(changed) > _CHANGES_AT_ONCE:
            self._is_new = True
            return {}
        found = self.client.find_many(list(changed)) if changed else {}
        rows: dict[str, Picture] = {}
        for id in changed:
            record = found.get(id)
            if record is None or not self._question.fits(record):
                del self._known[id]
                self._rows.pop(id, None)
                self._is_other = True
                rows[id] = {"id": id, "out": True}
                continue
            place = (record.created_at, record.key)
            self._is_other = self._is_other or place != self._known[id]  # started anew under its id
            self._known[id] = place
            if id not in self._rows:
                rows[id] = self._row(record)
            elif (row := self._row(record)) != self._rows[id]:
                rows[id] = self._rows[id] = row
        return rows

    def _read_head(self, noted: set[str]) -> dict[str, Picture]:
        rows = self._read_newest() if self._is_new or self._is_other or len(self._rows) < self._limit else {}
        overview = self.client.overview(self._question.query())
        question = self._question
        counts: dict[str, int] = {}
        for (name, status), count in overview.counts.items():
            if question.name in ("", name):
                counts[status] = counts.get(status, 0) + count
        total = sum(count for status, count in counts.items() if not question.statuses or status in question.statuses)
        names = sorted({name for name, _ in overview.counts})
        self._head = {
            "question": question.picture(), "counts": counts, "names": names[:_NAMES_SHOWN], "total": total,
            "more": max(0, total - len(self._rows)), "chart": chart_picture(overview.created), "live": True,
        }  # fmt: skip
        return rows

    def _read_newest(self) -> dict[str, Picture]:
        records = self.client.records(self._question.query(self._limit))
        if self._known and len(records) == self._limit and not any(record.id in self._known for record in records):
            self._forget()
            self._is_new = True  # more have come at once than are told: what a view has would have a hole
        self._is_other = False
        self._keep(records)
        return self._replace({record.id: self._row(record) for record in records})

    def _keep(self, records: Iterable[InstanceRecord]) -> None:
        self._known |= {record.id: (record.created_at, record.key) for record in records}
        if len(self._known) > 2 * ROWS_KEPT:
            newest = sorted(self._known, key=self._known.__getitem__, reverse=True)
            self._known = {id: self._known[id] for id in newest[:ROWS_KEPT]}

    def _older(self, after: Any, count: int) -> Picture:
        place = self._known.get(str(after)) or min(self._known.values(), default=None)
        records = self.client.records(self._question.query(count, place))
        self._keep(records)
        return {"rows": [self._row(record) for record in records], **({"end": True} if len(records) < count else {})}


class GivenTracker(TableTracker):
    """Follows the instances it was given, in their order."""

    def __init__(self, client: DurableOrchestrationClient, ids: Sequence[str]) -> None:
        super().__init__(client)
        self._places = {id: -place for place, id in enumerate(dict.fromkeys(ids))}
        self._ids = frozenset(self._places)
        self._statuses: dict[str, str] = {}
        self._open: dict[str, None] = {}

    @property
    def ids(self) -> frozenset[str]:
        return self._ids

    @property
    def open_ids(self) -> list[str]:
        return list(self._open)[-1:]

    @property
    def is_over(self) -> bool:
        return bool(self._note) or not (self._open or self._is_new)

    def _read_changed(self, noted: set[str]) -> dict[str, Picture]:
        # without news all that have not ended are read: whoever looks without a hub that tells wants to know
        changed = [id for id in (noted if noted else self._open) if id in self._places]
        return self._read(changed)

    def _read_head(self, noted: set[str]) -> dict[str, Picture]:
        rows = self._read(list(self._places)) if self._is_new else {}
        counts: dict[str, int] = {}
        for status in self._statuses.values():
            counts[status] = counts.get(status, 0) + 1
        total = len(self._places)
        self._head = {"counts": counts, "total": total, "more": total - len(self._rows), "live": True}
        return rows

    def _read(self, ids: list[str]) -> dict[str, Picture]:
        found = self.client.find_many(ids)
        rows: dict[str, Picture] = {}
        for id in sorted(ids, key=self._places.__getitem__, reverse=True):
            row = self._row_at(id, found.get(id))
            self._statuses[id] = row["status"] or "Purged"
            if row["over"]:
                self._open.pop(id, None)
            else:
                self._open[id] = None
            is_shown = -self._places[id] < ROWS_SHOWN
            if is_shown and self._rows.get(id) != row:
                self._rows[id] = rows[id] = row
            elif not is_shown and not self._is_new:
                rows[id] = row
        return rows

    def _row_at(self, id: str, record: InstanceRecord | None) -> Picture:
        row = {**_PURGED, "id": id, "name": ""} if record is None else self._row(record)
        return {**row, "o": self._places[id]}

    def _older(self, after: Any, count: int) -> Picture:
        order = list(self._places)
        begin = 1 - self._places.get(str(after), 1)
        ids = order[begin : begin + count]
        found = self.client.find_many(ids)
        rows = [self._row_at(id, found.get(id)) for id in ids]
        return {"rows": rows, **({"end": True} if begin + count >= len(order) else {})}


def chart_picture(chart: OverTime) -> Picture:
    """A chart for a view, in milliseconds; empty if there is nothing to count."""
    return {"from": chart.start / 1000, "step": chart.step / 1000, "series": chart.series} if chart.length else {}


def _waits_for_a_cell(row: Picture) -> bool:
    return any(wait.get("missing") for wait in row.get("waits", ()))
