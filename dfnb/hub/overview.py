"""The hub at a glance: counts by name and status, when instances came and went, how long they took.

Each function works on the caller's own connection.
"""

from __future__ import annotations

import duckdb
import msgspec

from dfnb.hub.figures import SECOND, Durations, Figures, OverTime, Overview
from dfnb.hub.protocol import InstanceQuery
from dfnb.hub.reader import conditions
from dfnb.hub.sql import query

MOST_BUCKETS = 60
_MINUTE, _HOUR, _DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND
_STEPS = [
    *(SECOND * n for n in (1, 2, 5, 10, 15, 30)), *(_MINUTE * n for n in (1, 2, 5, 10, 15, 30)),
    *(_HOUR * n for n in (1, 2, 3, 6, 12)), *(_DAY * n for n in (1, 2, 7, 14, 30, 90, 365, 3_650)),
]  # fmt: skip


def overview(connection: duckdb.DuckDBPyConnection, wanted: InstanceQuery) -> Overview:
    """Counts and the chart for a question."""
    wide = msgspec.structs.replace(wanted, statuses=(), name=None, after=None)
    where, values = conditions(wide)
    rows = connection.execute(query("count_by_name").format(where), values).fetchall()
    counts = {(name, status): count for name, status, count, _, _ in rows}
    fitting = [
        row for row in rows if (not wanted.statuses or row[1] in wanted.statuses) and wanted.name in (None, "", row[0])
    ]
    if not fitting:
        return Overview(counts)
    start, step = buckets(min(row[3] for row in fitting), max(row[4] for row in fitting))
    return Overview(counts, _over_time(connection, "created_at", msgspec.structs.replace(wanted, after=None), start, step))


def figures(connection: duckdb.DuckDBPyConnection, wanted: InstanceQuery) -> Figures:
    """What the instances that fit did, all in all; created and ended have the same spans."""
    where, values = conditions(wanted)
    rows = connection.execute(query("durations").format(where), values).fetchall()
    counts: dict[str, int] = {}
    for _, status, count, *_ in connection.execute(query("count_by_name").format(where), values).fetchall():
        counts[status] = counts.get(status, 0) + count
    durations = tuple(Durations(*row[:8]) for row in rows)
    if not rows:
        return Figures(counts, OverTime(), OverTime(), durations)
    start, step = buckets(min(row[8] for row in rows), max(row[9] for row in rows))
    created = _over_time(connection, "created_at", wanted, start, step)
    ended = _over_time(connection, "updated_at", wanted, start, step, " AND ended_pos IS NOT NULL")
    return Figures(counts, created, ended, durations)


def buckets(first: int, last: int) -> tuple[int, int]:
    """Where the first span begins and how long each is, so that at most 60 hold both times."""
    step = next((step for step in _STEPS if last // step - first // step < MOST_BUCKETS), _STEPS[-1])
    return first // step * step, step


def _over_time(
    connection: duckdb.DuckDBPyConnection, column: str, wanted: InstanceQuery, start: int, step: int, more: str = ""
) -> OverTime:
    where, values = conditions(wanted)
    sql = query("over_time").format(column, where + more)
    rows = connection.execute(sql, [start, step, *values]).fetchall()
    length = max((at for at, _, _ in rows), default=-1) + 1
    series: dict[str, list[int]] = {}
    for at, status, count in rows:
        series.setdefault(status, [0] * length)[at] = count
    return OverTime(start, step, dict(sorted(series.items())))
