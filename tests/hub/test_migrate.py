"""Which files are taken for a hub. What is not one is refused with a sentence and stays as it is, to the byte."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dfnb.errors import HubFormatError, HubInUseError
from dfnb.hub import migrate
from dfnb.hub.hub import TaskHub

ROOT = Path(__file__).parent.parent.parent


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.is_file()}


def text_file(path: Path, make_hub: Callable[[], TaskHub]) -> None:
    path.write_text("a,b\n1,2\n" * 1000)


def short_file(path: Path, make_hub: Callable[[], TaskHub]) -> None:
    path.write_bytes(b"x")


def sqlite_file(path: Path, make_hub: Callable[[], TaskHub]) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (a)")
    connection.commit()
    connection.close()


def foreign_database(path: Path, make_hub: Callable[[], TaskHub]) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE sales (amount INTEGER)")


def foreign_table_hub(path: Path, make_hub: Callable[[], TaskHub]) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE hub (teeth INTEGER)")


def someone_elses_hub(path: Path, make_hub: Callable[[], TaskHub]) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE hub (application VARCHAR, schema_version INTEGER, created_at BIGINT, watermark BIGINT)")
        connection.execute("INSERT INTO hub VALUES ('other', 1, 0, 0)")


def newer_hub(path: Path, make_hub: Callable[[], TaskHub]) -> None:
    make_hub().close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE hub SET schema_version = 99")


def truncated_hub(path: Path, make_hub: Callable[[], TaskHub]) -> None:
    make_hub().close()
    os.truncate(path, 20_000)


def damaged_header(path: Path, make_hub: Callable[[], TaskHub]) -> None:
    make_hub().close()
    with path.open("r+b") as file:
        file.write(b"\0" * 10_000)


@pytest.fixture
def make_hub(tmp_path: Path) -> Callable[[], TaskHub]:
    return lambda: TaskHub(str(tmp_path / "hub.duckdb"), now=lambda: 1)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (text_file, "not a DuckDB database"),
        (short_file, ""),
        (sqlite_file, "not a DuckDB database"),
        (foreign_database, "other tables (sales)"),
        (foreign_table_hub, "`hub` is not ours"),
        (someone_elses_hub, "`hub` is not ours"),
        (newer_hub, "newer dfnb (schema version 99, this one knows"),
        (truncated_hub, ""),
        (damaged_header, ""),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_no_hub_is_refused_and_untouched(
    tmp_path: Path, make_hub: Callable[[], TaskHub], make: Callable[[Path, Callable[[], TaskHub]], None], reason: str
) -> None:
    path = tmp_path / "hub.duckdb"
    make(path, make_hub)
    before = digests(tmp_path)
    for _ in range(2):  # the first refusal must not change the second
        with pytest.raises(HubFormatError) as refusal:
            make_hub()
        assert reason in str(refusal.value)
        assert str(refusal.value).startswith(f"{path} cannot be opened as a dfnb hub: ")
        assert str(refusal.value).endswith("The file was left as it is")
    assert digests(tmp_path) == before


def killed_hub(path: Path) -> None:
    """A hub with a write-ahead log, as a killed process leaves it."""
    code = (
        "import os, sys; from dfnb.hub.hub import TaskHub; from dfnb.hub.journal import Batch\n"
        "hub = TaskHub(sys.argv[1], now=lambda: 1)\n"
        "for n in range(50):\n"
        "    rows = [(n, 1, 0, 1, 12, None, None, n, None, 'x' * 1000)]\n"
        "    hub._journal.submit(Batch({'event': rows}, lambda: None, lambda: None))\n"
        "    hub._journal.drain()\n"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, timeout=60)


def test_a_log_cut_short_loses_only_what_was_being_written(tmp_path: Path, make_hub: Callable[[], TaskHub]) -> None:
    """What a power failure in the middle of a write leaves: all whole commits before it count."""
    path = tmp_path / "hub.duckdb"
    killed_hub(path)
    log = Path(f"{path}.wal")
    os.truncate(log, log.stat().st_size - 700)
    hub = make_hub()
    assert hub.sql("SELECT pos FROM event ORDER BY pos").fetchall() == [(n,) for n in range(49)]
    hub.close()


def test_a_damaged_log_is_refused_and_untouched(tmp_path: Path, make_hub: Callable[[], TaskHub]) -> None:
    """Damage in the middle is no torn end: opening without the rest would lose what was acknowledged."""
    path = tmp_path / "hub.duckdb"
    killed_hub(path)
    log = Path(f"{path}.wal")
    with log.open("r+b") as file:
        file.seek(log.stat().st_size // 2)
        file.write(b"\xff" * 300)
    before = digests(tmp_path)
    with pytest.raises(HubFormatError):
        make_hub()
    assert digests(tmp_path) == before


def test_a_folder_in_the_files_place_is_refused(tmp_path: Path, make_hub: Callable[[], TaskHub]) -> None:
    (tmp_path / "hub.duckdb").mkdir()
    with pytest.raises(HubFormatError):
        make_hub()
    assert list((tmp_path / "hub.duckdb").iterdir()) == []


def test_a_missing_folder_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(HubFormatError):
        TaskHub(str(tmp_path / "missing" / "hub.duckdb"), now=lambda: 1)
    assert not (tmp_path / "missing").exists()


def test_an_empty_file_becomes_a_hub(tmp_path: Path, make_hub: Callable[[], TaskHub]) -> None:
    """A crash at the very first moment leaves one."""
    (tmp_path / "hub.duckdb").touch()
    make_hub().close()
    make_hub().close()


def test_a_database_without_tables_becomes_a_hub(tmp_path: Path, make_hub: Callable[[], TaskHub]) -> None:
    duckdb.connect(str(tmp_path / "hub.duckdb")).close()
    make_hub().close()


def test_an_older_hub_is_brought_up_step_by_step_or_not_at_all(
    tmp_path: Path, make_hub: Callable[[], TaskHub], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hub().close()
    present = migrate.SCHEMA_VERSION

    def fails(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("ALTER TABLE hub ADD COLUMN half INTEGER")
        raise duckdb.Error("no further")

    def adds(column: str) -> Callable[[duckdb.DuckDBPyConnection], object]:
        return lambda connection: connection.execute(f"ALTER TABLE hub ADD COLUMN {column} INTEGER")

    monkeypatch.setattr(migrate, "SCHEMA_VERSION", present + 2)
    monkeypatch.setitem(migrate._STEPS, present, adds("one"))
    monkeypatch.setitem(migrate._STEPS, present + 1, fails)
    with pytest.raises(HubFormatError, match="no further"):
        make_hub()
    monkeypatch.setitem(migrate._STEPS, present + 1, adds("two"))
    hub = make_hub()
    assert hub.sql("SELECT schema_version, one, two FROM hub").fetchall() == [(present + 2, None, None)]
    hub.close()


# one owner


def test_a_second_hub_in_this_process_is_refused(tmp_path: Path, make_hub: Callable[[], TaskHub]) -> None:
    hub = make_hub()
    with pytest.raises(HubInUseError) as refusal:
        make_hub()
    assert (refusal.value.pid, refusal.value.path) == (os.getpid(), str(tmp_path / "hub.duckdb"))
    assert hub.counts() == {}
    hub.close()
    make_hub().close()


_OPEN = """
import sys, dfnb
try:
    dfnb.DurableApp(sys.argv[1])
except dfnb.HubInUseError as error:
    print(error.pid, error)
"""


def test_a_second_process_is_told_who_owns_the_hub(tmp_path: Path, make_hub: Callable[[], TaskHub]) -> None:
    hub = make_hub()
    path = str(tmp_path / "hub.duckdb")
    answer: Any = subprocess.run(
        [sys.executable, "-c", _OPEN, path], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=60, check=False,
    )
    assert answer.returncode == 0, answer.stderr
    pid, _, sentence = answer.stdout.strip().partition(" ")
    assert (pid, answer.stderr) == (str(os.getpid()), "")
    assert sentence.startswith(f"the hub {path} is in use by process {os.getpid()}: ")
    assert hub.counts() == {}
    hub.close()
