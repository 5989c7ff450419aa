"""The client side of the hub for HTTP calls: what was sent and received, and the hub's keys."""

from __future__ import annotations

import json
import secrets
from typing import Any

import duckdb

from dfnb.hub import bodies
from dfnb.hub.entity_client import EntityClientSide
from dfnb.hub.http_state import CallSummary, ExchangeLine
from dfnb.hub.sql import query
from dfnb.records.http import Exchange, Pairs
from dfnb.records.instance import InstanceRecord

_ALL = 1 << 62


class HttpClientSide(EntityClientSide):
    """What clients ask of the hub about HTTP calls."""

    def exchanges(self, record: InstanceRecord, latest: int | None = None) -> list[Exchange]:
        """All requests of an instance's HTTP calls with their answers, or the latest, in the order of writing."""
        return self._read(lambda cursor: _exchanges(cursor, record, _ALL if latest is None else latest))

    def exchange_lines(self, record: InstanceRecord, after: int = -1) -> list[ExchangeLine]:
        """The exchanges behind a position, oldest first, without what they carried."""
        rows = self._read(lambda cursor: cursor.execute(query("exchange_lines_of"), [record.key, after]).fetchall())
        return [ExchangeLine(*row) for row in rows]

    def exchange_at(self, record: InstanceRecord, pos: int) -> Exchange | None:
        """One exchange, whole; None if there is none at that position."""

        def look(cursor: duckdb.DuckDBPyConnection) -> list[Exchange]:
            return _filled_in(cursor, cursor.execute(query("exchange_at"), [record.key, pos]).fetchall())

        return next(iter(self._read(look)), None)

    def calls(self, record: InstanceRecord, limit: int) -> list[CallSummary]:
        """How an instance's latest HTTP calls stand: those with the newest exchanges first."""
        rows = self._read(lambda cursor: cursor.execute(query("calls_of"), [record.key, limit]).fetchall())
        return [CallSummary(*row) for row in rows]

    def hub_key(self, name: str = "secrets") -> bytes:
        """A random key of this hub alone, of 32 bytes, for one purpose; made when first asked for."""
        rows = self._read(lambda cursor: cursor.execute(query("hub_key"), [name]).fetchall())
        return bytes(rows[0][0]) if rows else self.renew_hub_key(name)

    def renew_hub_key(self, name: str) -> bytes:
        """Another key for a purpose; the one before is gone for good."""
        fresh = secrets.token_bytes(32)

        def renew(connection: duckdb.DuckDBPyConnection) -> None:
            connection.execute(query("forget_hub_key"), [name])
            connection.execute(query("save_hub_key"), [name, fresh])

        self._journal.run(renew).result()
        return fresh


def _exchanges(connection: duckdb.DuckDBPyConnection, record: InstanceRecord, limit: int) -> list[Exchange]:
    return _filled_in(connection, connection.execute(query("exchanges_of"), [record.key, limit]).fetchall())


def _filled_in(connection: duckdb.DuckDBPyConnection, rows: list[tuple[Any, ...]]) -> list[Exchange]:
    found = bodies.load(connection, [hash for row in rows for hash in (row[10], row[14]) if hash is not None])
    return [_exchange(found, *row) for row in rows]


def _exchange(
    found: dict[str, bytes], generation: int, task: int, attempt: int, purpose: str, sent_at: int, took: int, method: str,
    url: str, request_headers: str | None, request_body: str | None, request_hash: str | None, status: int | None,
    response_headers: str | None, response_body: str | None, response_hash: str | None, asked: int | None,
    due_at: int | None, note: str | None, error: str | None,
) -> Exchange:
    return Exchange(
        generation, task, attempt, purpose, sent_at, took, method, url, _pairs(request_headers),
        _body(found, request_body, request_hash), status, _pairs(response_headers),
        _body(found, response_body, response_hash), asked, due_at, note, error,
    )


def _pairs(text: str | None) -> Pairs:
    return tuple((name, value) for name, value in json.loads(text)) if text else ()


def _body(found: dict[str, bytes], text: str | None, hash: str | None) -> bytes:
    if hash is not None:
        return found.get(hash, b"")
    return text.encode() if text is not None else b""
