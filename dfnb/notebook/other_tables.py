"""What a view of entities or of definitions shows."""

from __future__ import annotations

import json
from typing import Any

from dfnb.app import DurableApp
from dfnb.client.entities import DurableEntityStatus
from dfnb.client.sync import DurableOrchestrationClient
from dfnb.hub.protocol import InstanceQuery
from dfnb.notebook import display
from dfnb.notebook.snapshot import Picture
from dfnb.notebook.tables import ROWS_SHOWN, TableTracker
from dfnb.notebook.texts import LONGEST_TEXT, cut, shown_value
from dfnb.records.instance import TERMINAL
from dfnb.records.times import to_microseconds

_LONGEST_CELL = 160
_LONGEST_STATE = 64_000
_OPERATIONS_SHOWN = 20
_DISPATCHED_SECONDS = 1.0
"""What an activity waits for is known a moment after the commit that asks for it."""


class EntitiesTracker(TableTracker):
    """Follows the entities that have a state and fit a question, in the order in which they came to be."""

    kind = "entities"

    def __init__(
        self, client: DurableOrchestrationClient, name: str | None = None, prefix: str | None = None, limit: int = ROWS_SHOWN
    ) -> None:
        super().__init__(client)
        self._name, self._prefix = name or "", prefix or ""
        self._limit = max(1, min(limit, ROWS_SHOWN))
        self._known: dict[str, int] = {}
        self._tokens: dict[str, str | None] = {}
        """How the list goes on behind the last row of each page that was told."""

    @property
    def open_ids(self) -> list[str]:
        return []

    def _concerns(self, id: str) -> bool:
        return id.startswith("@")

    def _ask(self, question: Picture) -> None:
        self._name, self._prefix = str(question.get("name") or ""), str(question.get("prefix") or "")
        self._is_new = True

    def _forget(self) -> None:
        super()._forget()
        self._known, self._tokens = {}, {}

    def _read_changed(self, noted: set[str]) -> dict[str, Picture]:
        rows: dict[str, Picture] = {}
        for id in noted & self._known.keys():
            status = self.client.entity_status(id)
            if not status or status.state is None:
                del self._known[id]
                self._rows.pop(id, None)
                rows[id] = {"id": id, "out": True}
            elif (row := self._entity_row(status)) != self._rows.get(id):
                rows[id] = row
                if id in self._rows:
                    self._rows[id] = row
        return rows

    def _read_head(self, noted: set[str]) -> dict[str, Picture]:
        rows = self._read_first() if self._is_new or len(self._rows) < self._limit else {}
        counted = self.client.count_entities()
        total = sum(count for name, (count, _) in counted.items() if self._name.lower() in ("", name))
        self._head = {
            "question": {"name": self._name, "prefix": self._prefix}, "names": sorted(counted), "live": True,
            "total": total if not self._prefix else None, "more": max(0, total - len(self._rows)) if not self._prefix else 0,
        }  # fmt: skip
        return rows

    def _read_first(self) -> dict[str, Picture]:
        return self._replace({row["id"]: row for row in self._page(self._limit, None)})

    def _page(self, count: int, token: str | None) -> list[Picture]:
        page = self.client.entities(
            self._name or None, entity_id_prefix=self._prefix or None, limit=count, continuation_token=token
        )  # fmt: skip
        for status in page:
            self._known.setdefault(str(status.entity_id), len(self._known))
        if page:
            self._tokens[str(page[-1].entity_id)] = page.continuation_token
        return [self._entity_row(status) for status in page]

    def _older(self, after: Any, count: int) -> Picture:
        token = self._tokens.get(str(after))
        if token is None:
            return {"rows": [], "end": True}
        rows = self._page(count, token)
        return {"rows": rows, **({"end": True} if not rows or self._tokens[rows[-1]["id"]] is None else {})}

    def _entity_row(self, status: DurableEntityStatus) -> Picture:
        id = str(status.entity_id)
        last = status.last_operation_time
        return {
            "id": id, "name": status.entity_id.name, "key": status.entity_id.key, "o": -self._known.get(id, 0),
            "state": cut(shown_value(status.state), _LONGEST_CELL), "operations": status.operations, "waiting": status.waiting,
            "locked": status.locked_by or "", "last": to_microseconds(last) / 1000 if last is not None else None,
            "note": status.waiting_for,
        }  # fmt: skip

    def answer(self, question: Picture) -> Picture:
        """What a live view asks for: besides rows, ``look`` at one entity."""
        return {"text": self._text(str(question["row"]))} if question.get("ask") == "look" else super().answer(question)

    def _text(self, id: str) -> str:
        status, operations = self.client.entity_status(id), self.client.entity_operations(id, _OPERATIONS_SHOWN)
        state = json.dumps(status.state, indent=2, ensure_ascii=False, default=repr)
        latest = display.columns(operations.titles, operations.lines()) if operations else "no operations"
        return f"{cut(state, _LONGEST_STATE)}\n\n{latest}"


class DefinitionsTracker(TableTracker):
    """Follows what is defined in this process, what of it runs, and what instances wait for."""

    kind = "definitions"

    def __init__(self, app: DurableApp) -> None:
        super().__init__(app.client)
        self._app = app

    @property
    def open_ids(self) -> list[str]:
        return []

    def _take(self, noted: set[str]) -> dict[str, Picture]:
        self._is_due = True  # a cell that was run is no change of an instance
        rows = super()._take(noted)
        if noted and self.again_in is None:
            self.again_in = _DISPATCHED_SECONDS
        return rows

    def _concerns(self, id: str) -> bool:
        return True

    def _read_changed(self, noted: set[str]) -> dict[str, Picture]:
        return {}

    def _read_head(self, noted: set[str]) -> dict[str, Picture]:
        before = self._rows
        rows = {row["id"]: {**row, "o": -place} for place, row in enumerate(self._definition_rows())}
        self._head = {"total": len(rows), "more": 0, "live": True}
        gone = {id: {"id": id, "out": True} for id in before.keys() - rows.keys()}
        return gone | self._replace(rows)

    def _older(self, after: Any, count: int) -> Picture:
        return {"rows": [], "end": True}  # all of them are shown from the first moment

    def _definition_rows(self) -> list[Picture]:
        running, waiting = self._running(), self._waiting()
        defined = {(one.kind, one.name): one for one in self._app.registry.all()}
        missing = [key for key in waiting if key not in defined]
        return [
            *(_missing_row(kind, name, waiting[kind, name]) for kind, name in sorted(missing)),
            *(
                {
                    "id": f"{kind}:{name}", "kind": kind, "name": name, "version": one.fingerprint, "where": _where(one.function),
                    "running": running.get((kind, name), 0), "waiting": 0, "note": "",
                }
                for (kind, name), one in sorted(defined.items())
            ),
        ]  # fmt: skip

    def _running(self) -> dict[tuple[str, str], int]:
        """How many instances of each orchestrator are open, and how many entities of each name there are."""
        counts: dict[tuple[str, str], int] = {}
        for (name, status), count in self.client.overview(InstanceQuery()).counts.items():
            if status not in TERMINAL:
                counts["orchestrator", name] = counts.get(("orchestrator", name), 0) + count
        return counts | {("entity", name): count for name, (count, _) in self.client.count_entities().items() if count}

    def _waiting(self) -> dict[tuple[str, str], int]:
        """How much waits for a cell to be run, by what the cell defines."""
        calls = {("activity", name): count for name, count in self._app.state.activities_waiting.items()}
        operations = {("entity", name): waiting for name, (_, waiting) in self.client.count_entities().items() if waiting}
        instances = {key: count for key, count in self._running().items() if key[0] == "orchestrator"}
        return {key: count for key, count in (instances | calls | operations).items() if not self.client.is_defined(*key)}

    def answer(self, question: Picture) -> Picture:
        """What a live view asks for: ``look`` at one definition's source."""
        if question.get("ask") != "look":
            return super().answer(question)
        kind, _, name = str(question["row"]).partition(":")
        found = self._app.registry.get(kind, name)
        if found is None:
            raise ValueError(f"no cell has defined {kind} {name} yet; run the cell that does")
        return {"text": cut(found.source, 32 * LONGEST_TEXT)}


def _missing_row(kind: str, name: str, waiting: int) -> Picture:
    what = {"activity": "call", "entity": "operation"}.get(kind, "instance")
    note = f"{waiting:,} {what if waiting == 1 else f'{what}s'} {'waits' if waiting == 1 else 'wait'} for this cell"
    return {
        "id": f"{kind}:{name}", "kind": kind, "name": name, "version": "", "where": "", "running": 0, "waiting": waiting,
        "note": note,
    }  # fmt: skip


def _where(function: Any) -> str:
    """The module a definition stands in; empty for a cell."""
    module = str(getattr(function, "__module__", "") or "")
    return "" if module == "__main__" else module
