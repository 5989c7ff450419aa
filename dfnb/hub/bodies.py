"""Large HTTP bodies: kept once by their hash, beside the rows that refer to them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import duckdb

from dfnb.hub.journal import Row
from dfnb.hub.sql import query
from dfnb.records.history import HttpCallCompleted, HttpCallFailed, join_content

INLINE = 1_024
"""A text of at most so many bytes stands in the row itself."""
_WITH_CONTENT = (HttpCallCompleted.kind, HttpCallFailed.kind)


def hash_of(body: bytes) -> str:
    """The name a body is kept under."""
    return hashlib.sha256(body).hexdigest()[:32]


def body_row(hash: str, body: bytes) -> Row:
    """The row of `http_body` that holds the body: as text, so that SQL can read it, wherever it is one."""
    text = as_text(body)
    return (hash, text, None) if text is not None else (hash, None, body)


def as_text(body: bytes) -> str | None:
    """The body as text; None if it is none that a column of text could hold exactly."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def load(connection: duckdb.DuckDBPyConnection, hashes: Sequence[str]) -> dict[str, bytes]:
    """Bodies by hash."""
    if not hashes:
        return {}
    rows = connection.execute(query("bodies"), [list(dict.fromkeys(hashes))]).fetchall()
    return {hash: text.encode() if text is not None else bytes(data) for hash, text, data in rows}


def fill_in(connection: duckdb.DuckDBPyConnection, rows: list[tuple[Any, ...]], kind_at: int) -> list[tuple[Any, ...]]:
    """Rows of events with the content that stands in `http_body` put back. The columns behind the kind: task, took, name, data."""
    name_at, data_at = kind_at + 3, kind_at + 4
    outside = [row[name_at] for row in rows if row[kind_at] in _WITH_CONTENT and row[name_at] is not None]
    if not outside:
        return rows
    bodies = load(connection, outside)
    filled = []
    for row in rows:
        if row[kind_at] in _WITH_CONTENT and row[name_at] is not None:
            data = join_content(row[data_at], bodies.get(row[name_at], b""))
            row = (*row[:name_at], None, data, *row[data_at + 1 :])
        filled.append(row)
    return filled
