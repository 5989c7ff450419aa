"""What a client is told of entities, and the handle on one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dfnb.client import html, shown
from dfnb.client.wire import moment
from dfnb.errors import DfnbError
from dfnb.records import payload
from dfnb.records.entity import EntityRecord, OperationRecord
from dfnb.records.entity_id import EntityId
from dfnb.records.log import LogLine
from dfnb.records.short_repr import said_only
from dfnb.records.times import to_datetime, to_microseconds

if TYPE_CHECKING:
    from dfnb.client.entity_client import EntityClient

_OPERATIONS_SHOWN = 10
_LONGEST_CELL = 160
_LONGEST_STATE = 20_000


def entity_id_of(given: object) -> EntityId:
    """The id meant: an EntityId, or its text ``@name@key``."""
    if isinstance(given, EntityId):
        return given
    if isinstance(given, str):
        return EntityId.get_entity_id(given)
    raise TypeError(f"an entity is named by an EntityId or a text '@name@key', not {type(given).__name__}")


@dataclasses.dataclass(frozen=True, slots=True)
class EntityStateResponse:
    """Whether an entity has a state, and which."""

    entity_exists: bool = False
    entity_state: Any = None

    __repr__ = said_only


@dataclasses.dataclass(frozen=True, slots=True)
class CleanEntityStorageResult:
    """What a clean-up of the entities did."""

    empty_entities_removed: int
    orphaned_locks_released: int


@dataclasses.dataclass(frozen=True, slots=True)
class DurableEntityStatus:
    """The committed state of one entity. False in a boolean sense when the hub knows no such entity.

    `last_operation_time`: when it was last at work, or first asked for before any operation has run. `operations` have run,
    `waiting` have not; `locked_by` is the orchestration that holds its lock.
    """

    entity_id: EntityId
    last_operation_time: datetime | None = None
    state: Any = None
    created_time: datetime | None = None
    operations: int = 0
    waiting: int = 0
    locked_by: str | None = None
    waiting_for: str = ""

    def __bool__(self) -> bool:
        return self.created_time is not None

    def to_json(self) -> dict[str, Any]:
        """The original's JSON object for an entity in a list."""
        last = self.last_operation_time
        return {
            "entityId": {"name": self.entity_id.name, "key": self.entity_id.key},
            "lastOperationTime": None if last is None else moment(to_microseconds(last)),
            "state": self.state,
        }

    def __repr__(self) -> str:
        if not self:
            return f"<DurableEntityStatus {self.entity_id}: no such entity>"
        facts = (f"state {_cut(state_text(self.state))}", *self.facts())
        return f"<DurableEntityStatus {self.entity_id}: {', '.join(facts)}>"

    def facts(self) -> list[str]:
        """What there is to say of it besides its state, in words."""
        said = [f"{self.operations} {'operation' if self.operations == 1 else 'operations'}"]
        said += [f"{self.waiting} waiting"] if self.waiting else []
        said += [f"locked by {self.locked_by}"] if self.locked_by else []
        return [*said, self.waiting_for] if self.waiting_for else said

    def _repr_html_(self) -> str:
        return entity_html(self)


def status_of_entity(record: EntityRecord, is_defined: Callable[[str, str], bool]) -> DurableEntityStatus:
    """The status object for a record."""
    missing = record.waiting and not is_defined("entity", record.name)
    return DurableEntityStatus(
        EntityId.get_entity_id(record.id),
        to_datetime(record.updated_at),
        payload.decode_plain(record.state),
        to_datetime(record.created_at),
        record.operations,
        record.waiting,
        record.lock.id if record.lock is not None else None,
        f"waiting for the cell that defines {record.name}" if missing else "",
    )


class EntityPage(list[DurableEntityStatus]):
    """One page of a query. `continuation_token` asks for the next one; None on the last page."""

    titles = ("name", "key", "last operation", "operations", "waiting", "locked by", "state")

    def __init__(self, statuses: Iterable[DurableEntityStatus], continuation_token: str | None) -> None:
        super().__init__(statuses)
        self.continuation_token = continuation_token

    def __repr__(self) -> str:
        more = ", and there are more" if self.continuation_token is not None else ""
        return f"<EntityPage: {len(self)} {'entity' if len(self) == 1 else 'entities'}{more}>"

    def lines(self) -> list[tuple[str, ...]]:
        """A line of texts for each entity."""
        return [
            (
                one.entity_id.name, one.entity_id.key, clock(one.last_operation_time), str(one.operations), str(one.waiting or ""),
                one.locked_by or "", _cut(state_text(one.state)),
            )
            for one in self
        ]

    def _repr_html_(self) -> str:
        more = "there are more" if self.continuation_token is not None else ""
        foot = more if self else "no entities"
        return html.lines_table(self.titles, self.lines(), narrow=6) + (html.span("dfnb-quiet", foot) if foot else "")


class OperationTable(list[OperationRecord]):
    """Operations of one entity, newest first."""

    titles = ("number", "operation", "status", "sent by", "ran at", "took", "input", "result")

    def __repr__(self) -> str:
        return f"<OperationTable: {len(self)} {'operation' if len(self) == 1 else 'operations'}>"

    def lines(self) -> list[tuple[str, ...]]:
        """A line of texts for each operation."""
        return [_operation_line(one) for one in self]

    def _repr_html_(self) -> str:
        return html.lines_table(self.titles, self.lines(), narrow=6) or html.span("dfnb-quiet", "no operations")


def _operation_line(one: OperationRecord) -> tuple[str, ...]:
    return (
        str(one.number or ""),
        one.name or one.kind,
        one.status,
        one.caller or "a client",
        clock(None if one.ran_at is None else to_datetime(one.ran_at)),
        "" if one.took is None else shown.brief(one.took),
        _cut(one.input or ""),
        _cut(one.failure.summary if one.failure is not None else one.result or ""),
    )


class EntityHandle:
    """One entity, by its id. Cheap to make and to keep; everything it tells is asked of the hub when needed."""

    def __init__(self, client: EntityClient, id: EntityId) -> None:
        self._client = client
        self.id = id

    @property
    def client(self) -> EntityClient:
        return self._client

    @property
    def name(self) -> str:
        return self.id.name

    @property
    def key(self) -> str:
        return self.id.key

    # look

    @property
    def exists(self) -> bool:
        """Whether it has a state."""
        return self._client.read_entity_state(self.id).entity_exists

    @property
    def state(self) -> Any:
        """Its committed state; None if it has none."""
        return self._client.read_entity_state(self.id).entity_state

    def status(self) -> DurableEntityStatus:
        """All that is known of it; falsy when nothing is."""
        return self._client.entity_status(self.id)

    def operations(self, limit: int = 100) -> OperationTable:
        """Its latest operations, newest first, those that wait included."""
        return self._client.entity_operations(self.id, limit)

    def logs(self) -> list[LogLine]:
        """What its code printed and logged."""
        return self._client.entity_logs(self.id)

    # ask

    def signal(self, operation_name: str, input: Any = None, *, signal_time: datetime | None = None) -> None:
        """Send it an operation, without waiting for it to run."""
        self._client.signal_entity(self.id, operation_name, input, signal_time=signal_time)

    def delete(self) -> None:
        """Have its state removed, after the operations that were sent before."""
        self._client.delete_entity(self.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EntityHandle) and (self.id, self._client) == (other.id, other._client)

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<EntityHandle {self.id}>"

    def _repr_html_(self) -> str:
        try:
            return entity_html(self.status(), self.operations(_OPERATIONS_SHOWN))
        except DfnbError as error:  # the hub may be closed by the time the handle is shown
            return html.card("", _head(self.id), [html.row("note", html.span("", str(error)))])


# ---- how entities look


def clock(when: datetime | None) -> str:
    """A time in the local zone."""
    return "" if when is None else shown.date_and_time(when.timestamp() * 1000)


def state_text(state: Any, indent: int | None = None) -> str:
    """A state as JSON for people."""
    return json.dumps(state, indent=indent, ensure_ascii=False)


def entity_html(status: DurableEntityStatus, operations: OperationTable | None = None) -> str:
    """An entity as a card, without style of its own."""
    if not status:
        return html.card("", _head(status.entity_id), [html.row("note", "no such entity")])
    missing = status.waiting_for.removeprefix("waiting for ")
    state = html.pre(_cut(state_text(status.state, indent=2), _LONGEST_STATE))
    rows = [
        html.row("state", state if status.state is not None else html.span("dfnb-quiet", "none")),
        html.row("last operation", html.span("", f"{clock(status.last_operation_time)}, {status.operations} in all")),
        html.row("waiting", html.span("", str(status.waiting)) if status.waiting else ""),
        html.row("waits for", html.span("dfnb-missing", missing) if missing else ""),
        html.row("locked by", html.span("dfnb-id", status.locked_by or "") if status.locked_by else ""),
        html.row("operations", operations._repr_html_() if operations else ""),
    ]
    return html.card("Held" if status.waiting_for else "", _head(status.entity_id), rows)


def _head(id: EntityId) -> list[str]:
    return [html.span("dfnb-quiet", "entity"), html.span("dfnb-name", id.name), html.span("dfnb-id", id.key)]


def _cut(text: str, length: int = _LONGEST_CELL) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
