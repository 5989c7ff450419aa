"""Is this file a hub, and of which schema version? Creates the tables of a new one; refuses what it does not know."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable

import duckdb

from dfnb.errors import HubFormatError
from dfnb.hub.sql import query, schema

SCHEMA_VERSION = 3



def _add_entities(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(schema("entities"))


def _add_http(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(schema("http", "views"))
    _make_key(connection)


def _make_key(connection: duckdb.DuckDBPyConnection) -> None:
    """The key that references to secrets in this hub are signed with."""
    connection.execute(query("save_hub_key"), ["secrets", secrets.token_bytes(32)])


_STEPS: dict[int, Callable[[duckdb.DuckDBPyConnection], None]] = {1: _add_entities, 2: _add_http}
"""Schema version -> what turns a hub of that version into one of the next."""


def check(connection: duckdb.DuckDBPyConnection, path: str) -> int | None:
    """The file's schema version, None for an empty file. Raises HubFormatError for anything that is not a hub; writes nothing."""
    tables = {row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    if not tables:
        return None
    if "hub" not in tables:
        raise HubFormatError(path, f"it is a DuckDB database with other tables ({', '.join(sorted(tables)[:3])})")
    try:
        row = connection.execute(query("hub_row")).fetchone()
    except (duckdb.BinderException, duckdb.CatalogException) as error:
        raise HubFormatError(path, "it is a DuckDB database whose table `hub` is not ours") from error
    if row is None or row[0] != "dfnb":
        raise HubFormatError(path, "it is a DuckDB database whose table `hub` is not ours")
    version = int(row[1])
    if version > SCHEMA_VERSION:
        raise HubFormatError(
            path, f"it was written by a newer dfnb (schema version {version}, this one knows {SCHEMA_VERSION}); upgrade dfnb"
        )
    return version


def migrate(connection: duckdb.DuckDBPyConnection, version: int | None, now: int) -> None:
    """Bring the file to the present schema, in one transaction."""
    if version == SCHEMA_VERSION:
        return
    connection.execute("BEGIN")
    try:
        if version is None:
            connection.execute(schema())
            connection.execute(query("create_hub"), [SCHEMA_VERSION, now])
            _make_key(connection)
        else:
            for step in range(version, SCHEMA_VERSION):
                _STEPS[step](connection)
            connection.execute("UPDATE hub SET schema_version = ?", [SCHEMA_VERSION])
    except BaseException:
        with contextlib.suppress(duckdb.Error):  # an interrupt may have ended the transaction already
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
