"""The file itself: in use, damaged, interrupted while it is read, and nothing drawn over a cell."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

import dfnb
from dfnb.errors import HubFormatError, HubInUseError
from dfnb.hub.file import interruptible, open_file
from dfnb.hub.hub import TaskHub


def test_a_file_that_another_process_has_open_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "hub.duckdb"
    dfnb.DurableApp(path).close()
    keep_open = "import duckdb, sys; kept = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", keep_open, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(HubInUseError) as error:
            dfnb.DurableApp(path)
        assert error.value.pid == other.pid
        other.communicate()


def test_a_damaged_file_is_told_from_one_in_use_wherever_the_damage_is(tmp_path: Path) -> None:
    """The word `lock` is in its path and in what DuckDB says of a bad block, and in neither does it mean one."""
    path = tmp_path / "clock.duckdb"
    dfnb.DurableApp(path).close()
    whole = path.read_bytes()
    dice = random.Random(1)
    told = set()
    for _ in range(30):
        at = dice.randrange(12, len(whole))
        path.write_bytes(whole[:at] + dice.randbytes(min(8_000, len(whole) - at)) + whole[at + 8_000 :])
        try:
            with dfnb.DurableApp(path) as app:
                app.client.counts()
        except HubFormatError as error:
            begin, _, rest = str(error).replace(str(path), "PATH").partition(" (")
            told.add((begin, rest.rpartition("). ")[2]))
    advice = (
        "Put an older copy in its place, or work on a copy of it, and of clock.duckdb.wal if there is one: DuckDB's own tool may "
        "still read some of its tables. The file was left as it is"
    )
    assert told == {("PATH cannot be opened as a dfnb hub: it is damaged", advice)}


@pytest.mark.parametrize("kept", [5_000, 20_000, 200_000])
def test_a_file_that_was_cut_is_damaged(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "hub.duckdb"
    dfnb.DurableApp(path).close()
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(HubFormatError, match="it is damaged"):
        dfnb.DurableApp(path)


@pytest.mark.parametrize("step", ["recover", "open_calls", "hub_key"])
def test_a_file_that_could_not_be_read_to_its_end_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def broken(*_: Any) -> Any:
        raise duckdb.IOException("Corrupt database file: so it is")

    path = tmp_path / "hub.duckdb"
    with monkeypatch.context() as patch:
        patch.setattr(*(("dfnb.hub.memory.recover", broken) if step == "recover" else (TaskHub, step, broken)))
        with pytest.raises((HubFormatError, duckdb.IOException)):
            dfnb.DurableApp(path)
    dfnb.DurableApp(path).close()


# interrupts


def query_interrupted(*_: Any) -> Any:
    raise RuntimeError("Query interrupted")  # what DuckDB makes of a Ctrl-C that it notices itself


def test_an_interrupt_that_duckdb_has_noticed_is_one_of_python() -> None:
    with pytest.raises(KeyboardInterrupt) as told, interruptible():
        query_interrupted()
    assert told.value.__suppress_context__
    with pytest.raises(RuntimeError, match="something else"), interruptible():
        raise RuntimeError("something else")


@pytest.mark.parametrize(
    ("reading", "call"),
    [
        ("dfnb.hub.reader.list_instances", lambda app: app.client.instances()),
        ("dfnb.hub.reader.relation", lambda app: app.sql("SELECT 1")),
    ],
    ids=["list", "sql"],
)
def test_an_interrupted_reader_is_told_so(monkeypatch: pytest.MonkeyPatch, reading: str, call: Any) -> None:
    with dfnb.DurableApp(":memory:") as app:
        monkeypatch.setattr(reading, query_interrupted)
        with pytest.raises(KeyboardInterrupt):
            call(app)


@pytest.mark.parametrize("reading", ["dfnb.hub.journal.check", "dfnb.hub.journal.migrate", "dfnb.hub.memory.recover"])
def test_an_interrupted_opening_leaves_the_file_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reading: str) -> None:
    path = tmp_path / "hub.duckdb"
    with monkeypatch.context() as patch:
        patch.setattr(reading, query_interrupted)
        with pytest.raises(KeyboardInterrupt):
            dfnb.DurableApp(path)
    dfnb.DurableApp(path).close()


# nothing is drawn

DRAWS = """
import sys
from dfnb.hub.file import open_file
asked = "SELECT current_setting('enable_progress_bar')"
connection = open_file(sys.argv[1], read_only=False)
print(connection.execute(asked).fetchall(), connection.cursor().execute(asked).fetchall())
"""


def test_duckdb_draws_no_progress_over_a_cell(tmp_path: Path) -> None:
    """Where `__main__` has no file, as in a notebook, it would for every statement that takes two seconds."""
    command = [sys.executable, "-c", DRAWS, str(tmp_path / "hub.duckdb")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[(False,)] [(False,)]\n"


def test_a_file_is_opened_twice_in_one_process_never(tmp_path: Path) -> None:
    path = str(tmp_path / "hub.duckdb")
    with open_file(path, read_only=False), pytest.raises(HubInUseError):
        open_file(path, read_only=True)
