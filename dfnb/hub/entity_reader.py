"""What the file says of entities: records by id, lists, operations. Each function works on the caller's own connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb
import msgspec

from dfnb.hub.entity_state import Change
from dfnb.hub.ids import id_hash
from dfnb.hub.protocol import EntityQuery
from dfnb.hub.sql import query
from dfnb.records.entity import Caller, EntityRecord, OperationRecord
from dfnb.records.failure import FailureDetails

_encode = msgspec.json.Encoder().encode
_decode_caller = msgspec.json.Decoder(Caller).decode
_decode_failure = msgspec.json.Decoder(FailureDetails).decode

_DONE = {Change.COMPLETED: "Completed", Change.FAILED: "Failed", Change.UNLOCKED: "Released", Change.CANCELED: "Canceled"}


def entity_row(record: EntityRecord) -> tuple[Any, ...]:
    """The row of `entity` that holds the record."""
    lock = _encode(record.lock).decode() if record.lock is not None else None
    return (
        record.key, record.id, id_hash(record.id), record.name, record.state, record.created_at, record.updated_at,
        record.arrived, record.operations, record.waiting, lock, record.lock_number, record.oldest_pos,
    )


def record_of(row: Sequence[Any]) -> EntityRecord:
    """The record in a row of `entity`, without its hash and name."""
    key, id, state, created_at, updated_at, arrived, operations, waiting, lock, lock_number, oldest_pos = row
    holder = _decode_caller(lock) if lock else None
    return EntityRecord(key, id, state, created_at, updated_at, arrived, operations, waiting, holder, lock_number, oldest_pos)


def by_id(connection: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> dict[str, EntityRecord]:
    """The entities of those ids that the file knows."""
    rows = connection.execute(query("find_entities"), [list(map(id_hash, ids))]).fetchall()
    wanted = frozenset(ids)
    return {record.id: record for record in map(record_of, rows) if record.id in wanted}


def list_entities(connection: duckdb.DuckDBPyConnection, wanted: EntityQuery) -> list[EntityRecord]:
    """The entities that fit, in the order in which they came to be."""
    where, values = _conditions(wanted)
    state = "state" if wanted.with_state else "NULL"
    sql = query("list_entities").format(state, where)
    return [record_of(row) for row in connection.execute(sql, [*values, wanted.limit]).fetchall()]


def _conditions(wanted: EntityQuery) -> tuple[str, list[Any]]:
    parts: list[tuple[str, list[Any]]] = [("TRUE", [])]
    if not wanted.with_empty:
        parts.append(("state IS NOT NULL", []))
    if wanted.locked:
        parts.append(("lock IS NOT NULL", []))
    if wanted.name is not None:
        parts.append(("name = ?", [wanted.name.lower()]))
    if wanted.id_prefix:
        parts.append(("starts_with(id, ?)", [wanted.id_prefix]))
    if wanted.updated_from is not None:
        parts.append(("updated_at >= ?", [wanted.updated_from]))
    if wanted.updated_to is not None:
        parts.append(("updated_at <= ?", [wanted.updated_to]))
    if wanted.after is not None:
        parts.append(("key > ?", [wanted.after]))
    return " AND ".join(sql for sql, _ in parts), [value for _, values in parts for value in values]


def operations(connection: duckdb.DuckDBPyConnection, record: EntityRecord, limit: int) -> list[OperationRecord]:
    """The latest operations of an entity, newest first."""
    rows = connection.execute(query("operations_of"), [record.key, limit]).fetchall()
    return [_operation_record(*row) for row in rows]


def _operation_record(
    number: int, last: int, mode: str, name: str, sent_at: int, ran_at: int | None, took: int | None, caller: str | None,
    input: str | None, data: str | None,
) -> OperationRecord:
    status = "Held" if last == Change.LOCKED else _DONE.get(Change(last), "Waiting")
    failure = _decode_failure(data) if status == "Failed" and data else None
    result = data if status == "Completed" else None
    return OperationRecord(number, mode, name, status, sent_at, ran_at, took, caller, input, result, failure)
