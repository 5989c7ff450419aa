"""The hub file itself: how it is looked at, opened, kept private and copied."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from shutil import disk_usage

import duckdb

from dfnb.errors import HubFormatError, HubInUseError
from dfnb.hub.migrate import check
from dfnb.hub.sql import schema
from dfnb.side_file import serving_address

_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    # DuckDB hands even a lone insert to a second thread where there is one, and a commit is a third slower for it
    "threads": 1,
    # of a new file: with the usual 256 KiB a small hub would be mostly empty blocks
    "default_block_size": 65_536,
}


_DAMAGE = re.compile("corrupt|checksum|replaying WAL|deserializ|read enough bytes", re.IGNORECASE)

_TABLES = (
    "hub", "hub_key", "event", "event_kind", "instance", "log", "definition", "operation", "entity", "http_exchange", "http_body",
)


def copy_database(connection: duckdb.DuckDBPyConnection, target: Path) -> None:
    """Write all tables of the connection's database into a new hub file, in a new directory that is its owner's alone."""
    target.parent.mkdir(mode=0o700)
    (source,) = connection.execute("SELECT current_database()").fetchall()[0]
    literal = str(target).replace("'", "''")
    connection.execute(f"ATTACH '{literal}' AS compacted")
    keep_private(target)
    try:
        connection.execute("USE compacted")
        connection.execute(schema())
        connection.execute("DELETE FROM event_kind")
        for table in _TABLES:
            connection.execute(f'INSERT INTO compacted.{table} SELECT * FROM "{source}".main.{table} ORDER BY ALL')
        connection.execute("CHECKPOINT compacted")
    finally:
        connection.execute(f'USE "{source}"')
        connection.execute("DETACH compacted")


def remains(path: str) -> Path:
    """The name of a compaction's copy, with what an earlier one may have left of it removed, and its directory too."""
    place = Path(f"{path}.compact")
    fresh = place / "hub.duckdb"
    is_place = place.is_dir() and not place.is_symlink()
    for file in (fresh, Path(f"{fresh}.wal")) if is_place else (place, Path(f"{place}.wal")):
        file.unlink(missing_ok=True)
    if is_place:
        place.rmdir()
    return fresh


def look(path: str) -> None:
    """Refuse a file that is not ours before it is opened for writing, which would fold its write-ahead log into it.

    Without such a log, opening changes nothing, and one look, after it, is enough.
    """
    file = Path(path)
    if path == ":memory:" or not file.exists() or file.stat().st_size == 0:
        return
    with file.open("rb") as begin:
        if begin.read(12)[8:] != b"DUCK":  # DuckDB itself would look for an extension that knows the file, on the net too
            raise HubFormatError(path, "it is not a DuckDB database")
    if Path(f"{path}.wal").exists():
        with open_file(path, read_only=True) as connection:
            check(connection, path)


def open_or_create(path: str) -> duckdb.DuckDBPyConnection:
    file = Path(path)
    if path != ":memory:" and file.exists() and file.stat().st_size == 0:
        file.unlink()  # what a crash at the very first moment leaves; DuckDB would not take it for a new file
    if path != ":memory:" and os.name == "posix" and not file.exists():
        _create(path)
    return open_file(path, read_only=False)


def _create(path: str) -> None:
    """A new file without tables, which nobody else can have opened before it was made private, as DuckDB's own could be."""
    with tempfile.TemporaryDirectory() as place:
        made = Path(place, "hub.duckdb")
        open_file(str(made), read_only=False).close()
        begin = made.read_bytes()
    try:
        with open(path, "xb", buffering=0, opener=_private) as file:
            file.write(begin)
            os.fsync(file)
    except FileExistsError:  # another process was faster
        return
    except OSError:
        Path(path).unlink(missing_ok=True)  # half of a file could not be opened again
        raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def keep_private(file: Path) -> None:
    if os.name == "posix" and file.exists():
        file.chmod(0o600)


def make_log(path: str) -> None:
    """Make the write-ahead log of an open hub before DuckDB does, which would let everybody read it: it takes an empty one."""
    log = f"{path}.wal"
    if path != ":memory:" and os.name == "posix" and not os.path.exists(log):
        open(log, "xb", opener=_private).close()


def remove_unused_log(path: str) -> None:
    """At closing an empty log would be left; there is nothing in it that is not in the file."""
    log = Path(f"{path}.wal")
    with contextlib.suppress(OSError):  # there is none; and one that cannot be removed does no harm
        if log.stat().st_size == 0:
            log.unlink()


def open_file(path: str, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    try:
        connection = duckdb.connect(path, read_only=read_only, config=_SETTINGS)
    except duckdb.Error as error:
        text = str(error)
        if "different configuration" in text:
            raise HubInUseError(path, os.getpid()) from None
        if "Could not set lock on file" in text or "being used by another process" in text:
            found = re.search(r"PID (\d+)", text)
            owner = int(found.group(1)) if found else None
            raise HubInUseError(path, owner, serving_address(path, owner)) from None
        raise unusable(path, error) from error
    except OSError as error:
        raise unusable(path, error) from error
    connection.execute("SET enable_progress_bar = false")  # in a notebook DuckDB would draw one; cursors never do
    return connection


def unusable(path: str, error: BaseException) -> HubFormatError:
    """Why a file cannot be opened, and for a damaged one what can be done."""
    said = first_line(error)
    if is_damage(error):
        said = (
            f"it is damaged ({said}). Put an older copy in its place, or work on a copy of it, and of {os.path.basename(path)}.wal "
            "if there is one: DuckDB's own tool may still read some of its tables"
        )
    return HubFormatError(path, said)


def is_damage(error: BaseException) -> bool:
    """Whether DuckDB means that what is in the file cannot be."""
    if isinstance(error, duckdb.SerializationException | duckdb.InternalException):
        return True
    return isinstance(error, duckdb.Error) and _DAMAGE.search(str(error)) is not None


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Around queries of a caller's own thread: DuckDB turns about every second Ctrl-C into an error of its own."""
    try:
        yield
    except RuntimeError as error:
        if str(error) != "Query interrupted":
            raise
        raise KeyboardInterrupt from None


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def free_bytes(path: str) -> int | None:
    """How much the disk of a hub can still take; None if it cannot be told."""
    try:
        return disk_usage(os.path.dirname(path)).free
    except OSError:
        return None


def identity(path: str) -> tuple[int, int] | None:
    """What tells a file from another that takes its place; None for one in memory. FileNotFoundError if there is none."""
    if path == ":memory:":
        return None
    facts = os.stat(path)
    return facts.st_dev, facts.st_ino


def is_in_place(path: str, known: tuple[int, int] | None) -> bool:
    """Whether the path still leads to the file with that identity, as far as can be told."""
    try:
        return identity(path) == known
    except FileNotFoundError:
        return False
    except OSError:
        return True
