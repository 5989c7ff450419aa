"""What clients read from the file: lists, histories, payloads, logs. Each function works on the caller's own connection."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import duckdb
import msgspec

from dfnb.errors import QueryError
from dfnb.hub import bodies
from dfnb.hub.protocol import InstanceQuery
from dfnb.hub.recovery import record_of
from dfnb.hub.sql import placeholders, query
from dfnb.records.entity import EntityRecord
from dfnb.records.history import ExecutionCompleted, ExecutionStarted, Recorded, parse_event
from dfnb.records.instance import InstanceRecord
from dfnb.records.log import LogLine

_ALL = 1 << 62
_MOST_BY_AGE = 10_000
"""Up to so many, the age of the last row is found first: sorting just those that are not older takes a quarter of the time."""

_EXPLAIN = re.compile(r"\s*explain(\s+analyze\b|\s*\([^)]*\))*", re.IGNORECASE)


def list_instances(connection: duckdb.DuckDBPyConnection, wanted: InstanceQuery) -> list[InstanceRecord]:
    where, values = conditions(wanted)
    if wanted.limit <= _MOST_BY_AGE and not wanted.include_entities:
        where, values = f"{where} AND {query('is_among_newest').format(wanted.limit, where)}", [*values, *values]
    sql = query("list_instances_and_entities" if wanted.include_entities else "list_instances").format(where)
    return [record_of(row) for row in connection.execute(sql, [*values, wanted.limit]).fetchall()]


def next_page(wanted: InstanceQuery, last: tuple[int, int]) -> InstanceQuery:
    return msgspec.structs.replace(wanted, after=last)


def conditions(wanted: InstanceQuery) -> tuple[str, list[Any]]:
    """The SQL condition of a query and its values."""
    parts: list[tuple[str, list[Any]]] = [("TRUE", [])]
    if wanted.created_from is not None:
        parts.append(("created_at >= ?", [wanted.created_from]))
    if wanted.created_to is not None:
        parts.append(("created_at <= ?", [wanted.created_to]))
    if wanted.statuses:
        parts.append((f"status IN ({placeholders(len(wanted.statuses))})", list(wanted.statuses)))
    if wanted.id_prefix:
        parts.append(("starts_with(id, ?)", [wanted.id_prefix]))
    if wanted.name:
        parts.append(("name = ?", [wanted.name]))
    if wanted.after is not None:
        parts.append(("(created_at < ? OR created_at = ? AND key < ?)", [wanted.after[0], *wanted.after]))
    return " AND ".join(sql for sql, _ in parts), [value for _, values in parts for value in values]


def payloads(
    connection: duckdb.DuckDBPyConnection, records: Sequence[InstanceRecord]
) -> dict[int, tuple[str | None, ExecutionCompleted | None]]:
    """Input text and end of each instance, by key."""
    wanted = [pos for record in records for pos in (record.started_pos, record.ended_pos) if pos is not None]
    if not wanted:
        return {}
    rows = connection.execute(query("payloads"), [wanted]).fetchall()
    events = {pos: parse_event(kind, 0, None, name, data) for pos, kind, name, data in rows}
    found: dict[int, tuple[str | None, ExecutionCompleted | None]] = {}
    for record in records:
        start, end = events.get(record.started_pos), events.get(record.ended_pos if record.ended_pos is not None else -1)
        found[record.key] = (
            start.input if isinstance(start, ExecutionStarted) else None,
            end if isinstance(end, ExecutionCompleted) else None,
        )
    return found


def end_of(connection: duckdb.DuckDBPyConnection, record: InstanceRecord) -> ExecutionCompleted:
    end = payloads(connection, [record])[record.key][1]
    return end if end is not None else ExecutionCompleted(record.status)


def history(connection: duckdb.DuckDBPyConnection, record: InstanceRecord, after: int) -> list[tuple[int, int, Recorded]]:
    rows = bodies.fill_in(connection, connection.execute(query("history_of"), [record.key, after]).fetchall(), 3)
    return [
        (pos, generation, Recorded(turn, at, parse_event(*columns))) for generation, turn, at, *columns, pos in rows
    ]


def logs(connection: duckdb.DuckDBPyConnection, record: InstanceRecord | EntityRecord) -> list[LogLine]:
    return [LogLine(*row) for row in connection.execute(query("logs_of"), [record.key]).fetchall()]


def children(connection: duckdb.DuckDBPyConnection, instance_id: str) -> list[InstanceRecord]:
    sql = query("list_instances").format("parent_id = ?")
    return [record_of(row) for row in connection.execute(sql, [instance_id, _ALL]).fetchall()]


def relation(connection: duckdb.DuckDBPyConnection, statement: str, params: Sequence[Any] | None) -> duckdb.DuckDBPyRelation:
    """The statement as a relation. QueryError for anything but one statement that reads."""
    try:
        if not _reads(connection, statement):
            raise QueryError("sql() takes one statement that reads, such as SELECT; the hub is written by its engine only")
        return connection.sql(statement, params=list(params) if params is not None else None)
    except duckdb.Error as error:
        raise QueryError(str(error).strip()) from None


def _reads(connection: duckdb.DuckDBPyConnection, statement: str) -> bool:
    parsed = connection.extract_statements(statement)
    if len(parsed) != 1:
        return False
    if parsed[0].type == duckdb.StatementType.EXPLAIN:  # EXPLAIN ANALYZE runs what it explains
        explained = _EXPLAIN.match(statement)
        return explained is not None and _reads(connection, statement[explained.end() :])
    return bool(parsed[0].type == duckdb.StatementType.SELECT)


def histories(connection: duckdb.DuckDBPyConnection, keys: Sequence[int], since: int) -> list[tuple[Any, ...]]:
    """The rows of these instances from position `since` on: key, generation, turn, time and the event's columns."""
    sql = query("histories").format(placeholders(len(keys)))
    return bodies.fill_in(connection, connection.execute(sql, [*keys, since]).fetchall(), 4)
