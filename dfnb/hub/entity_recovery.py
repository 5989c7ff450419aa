"""The entities that have something to do, rebuilt from the file by three queries, whatever their number."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import duckdb

from dfnb.hub.entity_reader import record_of
from dfnb.hub.entity_state import Change, EntityState, operation_of
from dfnb.hub.sql import query


def recover_entities(connection: duckdb.DuckDBPyConnection, watermark: int) -> list[EntityState]:
    """Entities that hold a lock, that have operations waiting, or whose derived row is behind."""
    states: dict[int, EntityState] = {}
    oldest = watermark + 1
    for row in connection.execute(query("concerned_entities"), [watermark]).fetchall():
        record = record_of(row)
        state = states[record.key] = EntityState(record.id)
        state.restore(record)
        if record.oldest_pos is not None:
            oldest = min(oldest, record.oldest_pos)
    _fold(states, connection.execute(query("operations_since"), [oldest]).fetchall(), watermark)
    for state in states.values():
        state.settle()
    return list(states.values())


def _fold(states: dict[int, EntityState], rows: Iterable[tuple[Any, ...]], watermark: int) -> None:
    for pos, key, number, kind, at, data, mode, sent_at, name, caller, input, header in rows:
        change = Change(kind)
        if change is Change.CREATED and pos > watermark:
            state = states[key] = EntityState(name)
            state.key, state.loaded = key, True
        if key not in states:
            continue  # its row is up to date, and nothing of it waits
        state = states[key]
        operation = operation_of(mode, name, sent_at, caller, header, input) if mode is not None else None
        if change is Change.ARRIVED:
            state.take_due(at)  # what was due by then stands before it
        if pos > watermark:
            _happened(state, change, number, operation, pos, at, data)
        elif change is Change.ARRIVED and operation is not None:
            state.admit(operation, number)
            state.apply(change, number, operation, pos, at, data)
        else:
            state.forget_waiting(number)


def _happened(state: EntityState, change: Change, number: int, operation: Any, pos: int, at: int, data: str | None) -> None:
    """What the derived row does not yet account for."""
    if change is Change.ARRIVED:
        state.admit(operation, number)
    elif operation is None:
        operation = state.waiting_operation(number)
    if change not in (Change.ARRIVED, Change.CREATED, Change.STATE_SET, Change.UNLOCKED):
        state.arrived = max(state.arrived, number)
        state.take(number)
    state.apply(change, number, operation, pos, at, data)
