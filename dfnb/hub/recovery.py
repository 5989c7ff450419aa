"""The working set, rebuilt from the file by a few set queries."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import duckdb
import msgspec

from dfnb.hub import bodies
from dfnb.hub.entity_recovery import recover_entities
from dfnb.hub.entity_state import EntityState
from dfnb.hub.ids import id_hash
from dfnb.hub.sql import placeholders, query
from dfnb.hub.state import InstanceState, OpenTask
from dfnb.records.history import ExecutionRewound, ExecutionStarted, HistoryEvent, parse_event
from dfnb.records.instance import InstanceRecord, Wait

_encode_waits = msgspec.json.Encoder().encode
_decode_waits = msgspec.json.Decoder(tuple[Wait, ...]).decode

_REPEATED = [InstanceRecord.__struct_fields__.index(field) for field in ("name", "status", "code")]
_ROWS_AT_ONCE = 5_000
_OPEN_KINDS = {4: "activity", 7: "orchestration", 10: "timer", 43: "call", 47: "lock", 48: "locked", 50: "http"}


@dataclasses.dataclass(slots=True)
class Recovered:
    """What the file says: open instances, those whose derived row was behind, and where counting goes on."""

    states: dict[int, InstanceState]
    changed: list[InstanceState]
    entities: list[EntityState]
    next_pos: int
    next_key: int


def recover(connection: duckdb.DuckDBPyConnection) -> Recovered:
    row = connection.execute(query("hub_row")).fetchone()
    watermark = int(row[2]) if row is not None else -1
    counters = connection.execute(query("counters")).fetchone()
    assert counters is not None
    changed_keys = sorted(key for (key,) in connection.execute(query("changed_since"), [watermark]).fetchall())
    changed = fold(connection, changed_keys)
    states = _unchanged(connection, frozenset(changed_keys))
    states |= {state.key: state for state in changed}
    entities = recover_entities(connection, watermark)
    return Recovered(states, changed, entities, int(counters[0]) + 1, int(counters[1]) + 1)


def fold(connection: duckdb.DuckDBPyConnection, keys: Iterable[int]) -> list[InstanceState]:
    """The instances of those keys, made anew from all their events."""
    keys = list(keys)
    states: dict[int, InstanceState] = {}
    for start in range(0, len(keys), 1000):
        part = keys[start : start + 1000]
        rows = connection.execute(query("events_of").format(placeholders(len(part))), part).fetchall()
        rows = bodies.fill_in(connection, rows, 5)
        for key, pos, generation, turn, at, *columns in rows:
            _fold_row(states, key, pos, generation, turn, at, columns)
    return list(states.values())


def _fold_row(
    states: dict[int, InstanceState], key: int, pos: int, generation: int, turn: int, at: int, columns: list[Any]
) -> None:
    event = parse_event(*columns)
    state = states.get(key)
    if state is None:
        if not isinstance(event, ExecutionStarted):
            return  # the rest of an instance purged while a late result was on its way
        state = states[key] = InstanceState(key, event.instance_id)
    if generation < state.generation or turn < 0:
        return  # recorded late: it changed nothing
    state.apply(event, pos, turn, at)
    if turn == 0:
        state.pending = [*(state.pending or ()), event]
    else:
        state.pending = None


def _unchanged(connection: duckdb.DuckDBPyConnection, changed: frozenset[int]) -> dict[int, InstanceState]:
    states: dict[int, InstanceState] = {}
    for row in _rows(connection, query("open_instances")):
        record = record_of(row)
        if record.key not in changed:
            states[record.key] = _state_of(record)
    if not states:
        return states
    for key, name, data in _rows(connection, query("open_start_events")):
        if key in states:
            started = ExecutionStarted.parse(0, None, name, data)
            states[key].parent = started.parent
            states[key].start_at = started.start_at
    for key, task, kind, name, data, at, tries, asked in _rows(connection, query("open_tasks")):
        if key in states:
            _reopen(states[key], task, kind, name, data, at, tries, asked)
    for key, turn, kind, *columns in bodies.fill_in(connection, list(_rows(connection, query("open_pending"))), 2):
        if key in states:
            states[key].turn = turn
            if kind is not None:
                _set_aside(states[key], parse_event(kind, *columns))
    return states


def _rows(connection: duckdb.DuckDBPyConnection, statement: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a query, some at a time: all at once would take more memory than what is made of them."""
    result = connection.execute(statement)
    while part := result.fetchmany(_ROWS_AT_ONCE):
        yield from part


def _set_aside(state: InstanceState, event: HistoryEvent) -> None:
    state.pending = [*(state.pending or ()), event]
    if isinstance(event, ExecutionRewound):
        state.apply(event, -1, 0, state.updated_at)  # its tasks are not open any more: the code will ask for them anew


def _reopen(
    state: InstanceState, task: int, kind: int, name: str | None, data: str | None, at: int, tries: int, asked: str | None
) -> None:
    retry = kind == 10 and name == "retry"
    state.open = state.open if state.open is not None else {}
    name = "" if kind == 10 else asked or ""
    state.open[task] = OpenTask("retry" if retry else _OPEN_KINDS[kind], name, data, at, max(1, tries))
    if retry or tries > 1:
        state.failed_tries = {**(state.failed_tries or {}), task: tries if retry else tries - 1}


def _state_of(record: InstanceRecord) -> InstanceState:
    state = InstanceState(record.key, record.id)
    state.name = record.name
    state.suspended = record.status == "Suspended"
    state.status = "Running" if state.suspended else record.status
    state.generation = record.generation
    state.created_at = record.created_at
    state.updated_at = record.updated_at
    state.started_pos = record.started_pos
    state.custom_status = record.custom_status
    state.code = record.code
    state.waits = record.waits
    state.held = record.held
    state.record = record
    return state


def record_of(row: tuple[Any, ...]) -> InstanceRecord:
    """The record in a row of `instance`."""
    values = list(row)
    for place in _REPEATED:
        if values[place] is not None:
            values[place] = sys.intern(values[place])  # a hundred thousand instances have few names, states and codes
    values[-2] = _decode_waits(values[-2]) if values[-2] else ()
    return InstanceRecord(*values)


def row_of(record: InstanceRecord) -> tuple[Any, ...]:
    """The row of `instance` that holds the record."""
    waits = _encode_waits(record.waits).decode() if record.waits else None
    return (
        record.key, record.id, id_hash(record.id), record.name, record.status, record.generation, record.created_at,
        record.updated_at, record.started_pos, record.ended_pos, record.custom_status, record.parent_id, record.code, waits,
        record.held,
    )
