"""What is saved together: the order of rows, what counts when, and who may read."""

from __future__ import annotations

import gc
import random
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfnb.errors import HubClosedError, HubMovedError, HubUnavailableError
from dfnb.hub.journal import Batch, Journal, Row


def row(pos: int, data: str = "") -> Row:
    return (pos, 1, 0, 1, 12, None, None, pos, None, data)


def log(pos: int) -> Row:
    return (1, None, 1, pos, "stdout", "a line")


def make_journal(path: Path, level: str = "durable") -> Journal:
    journal = Journal(str(path), level=level, now=0, flush=lambda connection: None, on_problem=lambda problem: None)
    journal.start(-1)
    return journal


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = make_journal(tmp_path / "hub.duckdb")
    yield journal
    journal.close()


def positions(journal: Journal) -> list[int]:
    """In the order of the file, not sorted."""
    return [pos for (pos,) in journal.cursor().execute("SELECT pos FROM event").fetchall()]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=30), st.sampled_from(["durable", "relaxed"]))
def test_rows_of_any_batches_arrive_in_order_and_each_batch_is_released_once(
    batches: list[tuple[int, bool]], level: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        journal = make_journal(Path(folder, "hub.duckdb"), level)
        saved: list[int] = []
        released: list[int] = []
        at = 0
        for number, (count, with_logs) in enumerate(batches):
            rows = [row(pos) for pos in range(at, at + count)]
            logs = [log(number)] if with_logs else []
            at += count
            tables = {"event": rows, "log": logs}
            journal.submit(Batch(tables, lambda n=number: saved.append(n), lambda n=number: released.append(n)))  # type: ignore[misc]
        assert journal.drain()
        journal.run(lambda connection: None).result(5)
        assert positions(journal) == list(range(at))
        assert saved == released == list(range(len(batches)))
        logs_kept = journal.cursor().execute("SELECT count(*) FROM log").fetchone()
        assert logs_kept == (sum(with_logs for _, with_logs in batches),)
        journal.close()


def test_a_durable_batch_is_released_only_when_others_can_read_it(journal: Journal) -> None:
    seen: list[int] = []
    reader = journal.cursor()
    for pos in range(20):
        journal.submit(
            Batch(
                {"event": [row(pos)]}, lambda: None,
                lambda: seen.extend(reader.execute("SELECT count(*) FROM event").fetchone() or ()),
            )
        )
        assert journal.drain()
    journal.run(lambda connection: None).result(5)
    assert seen == sorted(seen)
    assert seen[-1] == 20
    assert all(count > number for number, count in enumerate(seen))


def test_a_relaxed_batch_is_released_at_once_and_on_disk_soon(tmp_path: Path) -> None:
    journal = make_journal(tmp_path / "hub.duckdb", "relaxed")
    released: list[str] = []
    journal.submit(Batch({"event": [row(0)]}, lambda: None, lambda: released.append(threading.current_thread().name)))
    assert released == [threading.current_thread().name]
    assert journal.drain()
    assert positions(journal) == [0]
    journal.close()


def test_batches_from_many_threads_share_commits_and_all_are_there(journal: Journal) -> None:
    lock = threading.Lock()
    count = iter(range(200))

    def submit() -> None:
        for _ in range(25):
            with lock:
                journal.submit(Batch({"event": [row(next(count))]}, lambda: None, lambda: None))

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert journal.drain()
    assert positions(journal) == list(range(200))


def test_a_job_runs_after_the_batches_before_it(journal: Journal) -> None:
    journal.submit(Batch({"event": [row(pos) for pos in range(9_000)]}, lambda: None, lambda: None))
    count = journal.run(lambda connection: connection.execute("SELECT count(*) FROM event").fetchone())
    assert count.result(10) == (9_000,)


def test_a_job_that_fails_leaves_the_journal_as_it_was(journal: Journal) -> None:
    def job(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("BEGIN")
        connection.execute("DELETE FROM hub")
        raise KeyError("mine")

    with pytest.raises(KeyError):
        journal.run(job).result(5)
    assert journal.run(lambda connection: connection.execute("SELECT count(*) FROM hub").fetchone()).result(5) == (1,)


def test_a_watcher_may_use_the_journal_from_its_own_thread(journal: Journal) -> None:
    """What is called after a commit may flush or wait without waiting for itself."""
    found: list[object] = []

    def watch() -> None:
        found.append(journal.run(lambda connection: connection.execute("SELECT count(*) FROM event").fetchone()).result(0))
        found.append(journal.drain())

    journal.submit(Batch({"event": [row(0)]}, lambda: None, watch))
    journal.run(lambda connection: None).result(5)
    assert found == [(1,), True]


def test_the_cursor_of_a_thread_that_ended_is_let_go(journal: Journal) -> None:
    kept: list[weakref.ref[duckdb.DuckDBPyConnection]] = []

    def read() -> None:
        cursor = journal.cursor()
        cursor.execute("SELECT 1").fetchall()
        kept.append(weakref.ref(cursor))

    for _ in range(10):
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    gc.collect()
    assert [reference() for reference in kept] == [None] * 10
    assert len(journal._cursors) == 0


def test_what_was_handed_over_before_close_is_on_disk_after_it(tmp_path: Path) -> None:
    journal = make_journal(tmp_path / "hub.duckdb", "relaxed")
    journal.submit(Batch({"event": [row(pos) for pos in range(5_000)]}, lambda: None, lambda: None))
    journal.close()
    with duckdb.connect(str(tmp_path / "hub.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM event").fetchone() == (5_000,)
    assert [path.name for path in tmp_path.iterdir()] == ["hub.duckdb"]


@pytest.mark.parametrize("use", [Journal.cursor, lambda journal: journal.run(lambda connection: None)])
def test_a_closed_journal_says_so(tmp_path: Path, use: Callable[[Journal], object]) -> None:
    journal = make_journal(tmp_path / "hub.duckdb")
    journal.close()
    with pytest.raises(HubClosedError):
        use(journal)


WATCHED = """
import os, sys
from pathlib import Path
from dfnb.hub.journal import Batch, Journal

os.umask(0o022)
folder = Path(sys.argv[1])
folder.mkdir(mode=0o755)

def mode(path):
    return oct(path.stat().st_mode & 0o777)

def too_late(path, wanted):
    if mode(path.parent) != "0o700":
        print("changed", path.name, mode(path))
    os.chmod(path, wanted)

Path.chmod = too_late

def save(pos, text):
    journal.submit(Batch({"event": [(pos, 1, 0, 1, 12, None, None, pos, None, text)]}, lambda: None, lambda: None))
    journal.drain()

def checkpoint():
    journal.run(lambda connection: connection.execute("CHECKPOINT")).result()

def big():
    save(3, "d" * 70_000_000)  # after which DuckDB makes a checkpoint of its own

def opened():
    pass

journal = Journal(str(folder / "hub.duckdb"), level="durable", now=0, flush=lambda connection: None, on_problem=print)
journal.start(-1)
steps = [
    opened, lambda: save(0, "a"), checkpoint, lambda: save(1, "b"), lambda: journal.run(journal.rewrite).result(),
    lambda: save(2, "c"), big, lambda: save(4, "e"),
]
for step in steps:
    step()
    for path in sorted(folder.iterdir()):
        print("is", path.name, mode(path))
os._exit(0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="this platform has no file modes")
def test_file_and_log_are_for_their_owner_only_from_the_moment_they_are_made(tmp_path: Path) -> None:
    """Looked at in a process of its own, with the usual umask; a mode that is changed later is changed too late."""
    folder = tmp_path / "open to all"
    done = subprocess.run([sys.executable, "-c", WATCHED, str(folder)], capture_output=True, text=True)
    assert done.stderr == ""
    told = done.stdout.splitlines()
    assert {line.rpartition(" ")[2] for line in told} == {"0o600"}
    assert {line.split()[1] for line in told} == {"hub.duckdb", "hub.duckdb.wal"}
    journal = make_journal(folder / "hub.duckdb")  # it reads the log that the other process has left
    assert positions(journal) == [0, 1, 2, 3, 4]
    journal.close()


@pytest.mark.skipif(sys.platform == "win32", reason="this platform has no file modes")
def test_a_log_that_everybody_may_read_is_made_private_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "hub.duckdb"
    make_journal(path).close()
    leave_a_log = "import duckdb, os, sys; hub = duckdb.connect(sys.argv[1]); hub.execute('CREATE VIEW a AS SELECT 1'); os._exit(0)"
    subprocess.run([sys.executable, "-c", leave_a_log, str(path)], check=True)
    log = Path(f"{path}.wal")
    log.chmod(0o644)
    journal = make_journal(path)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    journal.close()


def test_no_empty_log_is_left(tmp_path: Path, journal: Journal) -> None:
    journal.submit(Batch({"event": [row(0)]}, lambda: None, lambda: None))
    journal.run(lambda connection: connection.execute("CHECKPOINT")).result(5)
    journal.run(lambda connection: None).result(5)
    journal.close()
    assert [path.name for path in tmp_path.iterdir()] == ["hub.duckdb"]


# compaction


def test_compaction_shrinks_the_file_and_loses_nothing(tmp_path: Path, journal: Journal) -> None:
    dice = random.Random(1)
    rows = [row(pos, dice.randbytes(2_000).hex()) for pos in range(4_000)]
    journal.submit(Batch({"event": rows, "log": [log(1)]}, lambda: None, lambda: None))
    journal.run(lambda connection: connection.execute("CHECKPOINT")).result(10)
    journal.run(lambda connection: connection.execute("DELETE FROM event WHERE pos % 100 <> 0")).result(10)
    before, after = journal.run(journal.rewrite).result(20)
    assert after < before / 2
    assert (tmp_path / "hub.duckdb").stat().st_size == after
    journal.submit(Batch({"event": [row(4_000)]}, lambda: None, lambda: None))
    assert journal.drain()
    assert positions(journal) == [*range(0, 4_000, 100), 4_000]
    journal.close()
    with duckdb.connect(str(tmp_path / "hub.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM event").fetchone() == (41,)
        assert connection.execute("SELECT count(*) FROM log").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM duckdb_indexes()").fetchone() == (1,)
    assert [path.name for path in tmp_path.iterdir()] == ["hub.duckdb"]


def test_compaction_waits_for_a_query_and_writes_to_the_new_file_afterwards(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a query runs the old file stays open; the new one must not take its place under it."""
    monkeypatch.setattr("dfnb.hub.journal._PATIENCE_SECONDS", 0.05)
    journal.submit(Batch({"event": [row(0)]}, lambda: None, lambda: None))
    reader = journal.cursor()
    begun = threading.Event()
    ended: list[type] = []

    def query() -> None:
        begun.set()
        try:
            reader.execute("SELECT sum(random()) FROM range(1000000) a, range(1000000) b").fetchall()
        except duckdb.Error as error:
            ended.append(type(error))

    thread = threading.Thread(target=query)
    thread.start()
    begun.wait()
    journal.run(journal.rewrite).result(20)
    thread.join()
    assert ended[0] in (duckdb.InterruptException, duckdb.ConnectionException)
    journal.submit(Batch({"event": [row(1)]}, lambda: None, lambda: None))
    assert journal.drain()
    journal.close()
    with duckdb.connect(str(tmp_path / "hub.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT pos FROM event ORDER BY pos").fetchall() == [(0,), (1,)]


def test_what_a_killed_compaction_left_is_removed_at_the_next_opening(tmp_path: Path) -> None:
    make_journal(tmp_path / "hub.duckdb").close()
    (tmp_path / "hub.duckdb.compact").mkdir()
    for name in ("hub.duckdb.compact/hub.duckdb", "hub.duckdb.compact/hub.duckdb.wal"):
        (tmp_path / name).write_bytes(b"half of a copy")
    make_journal(tmp_path / "hub.duckdb").close()
    assert [path.name for path in tmp_path.iterdir()] == ["hub.duckdb"]


def test_what_an_older_version_left_of_a_compaction_is_removed_too(tmp_path: Path) -> None:
    make_journal(tmp_path / "hub.duckdb").close()
    for name in ("hub.duckdb.compact", "hub.duckdb.compact.wal"):
        (tmp_path / name).write_bytes(b"half of a copy")
    make_journal(tmp_path / "hub.duckdb").close()
    assert [path.name for path in tmp_path.iterdir()] == ["hub.duckdb"]


def test_a_hub_in_memory_has_nothing_to_compact(tmp_path: Path) -> None:
    journal = Journal(":memory:", level="memory", now=0, flush=lambda connection: None, on_problem=lambda problem: None)
    journal.start(-1)
    assert journal.run(journal.rewrite).result(5) == (0, 0)
    journal.close()


def test_everyone_is_refused_with_an_error_of_his_own(journal: Journal) -> None:
    """An error that is raised twice tells the second one of the first one's lines."""
    journal._refusal = "it is full"
    refused = []
    for _ in range(2):
        with pytest.raises(HubUnavailableError) as error:
            journal.run(lambda connection: None)
        refused.append(error.value)
    assert refused[0] is not refused[1]
    assert journal.problem is not journal.problem
    journal._refusal = None


# a file that is moved

_CAN_MOVE = pytest.mark.skipif(sys.platform == "win32", reason="this platform does not let an open file be moved")


@pytest.fixture
def told() -> SimpleQueue[HubUnavailableError | None]:
    return SimpleQueue()


@pytest.fixture
def watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: SimpleQueue[HubUnavailableError | None]
) -> Iterator[Journal]:
    monkeypatch.setattr("dfnb.hub.journal._IDLE_SECONDS", 0.01)
    journal = Journal(str(tmp_path / "hub.duckdb"), level="durable", now=0, flush=lambda connection: None, on_problem=told.put)
    journal.start(-1)
    journal.submit(Batch({"event": [row(0)]}, lambda: None, lambda: None))
    assert journal.drain()
    yield journal
    journal.close()


@_CAN_MOVE
def test_a_moved_file_has_all_that_was_acknowledged_and_nothing_new_is_begun_until_it_is_back(
    tmp_path: Path, watched: Journal, told: SimpleQueue[HubUnavailableError | None]
) -> None:
    moved = (tmp_path / "hub.duckdb").rename(tmp_path / "moved.duckdb")
    assert isinstance(told.get(timeout=20), HubMovedError)
    with pytest.raises(HubMovedError, match=r"was moved, deleted or replaced while it was open.*Nothing of this request was done"):
        watched.run(lambda connection: None)
    copy = tmp_path / "copy.duckdb"
    shutil.copy(moved, copy)  # without the log, as it would be after a crash
    with duckdb.connect(str(copy), read_only=True) as connection:
        assert connection.execute("SELECT pos FROM event").fetchall() == [(0,)]
    moved.rename(tmp_path / "hub.duckdb")
    assert told.get(timeout=20) is None
    watched.submit(Batch({"event": [row(1)]}, lambda: None, lambda: None))
    assert watched.drain()
    watched.close()
    with duckdb.connect(str(tmp_path / "hub.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT pos FROM event ORDER BY pos").fetchall() == [(0,), (1,)]


@_CAN_MOVE
def test_a_moved_file_is_whole_after_closing_and_no_new_one_takes_its_place(
    tmp_path: Path, watched: Journal, told: SimpleQueue[HubUnavailableError | None]
) -> None:
    (tmp_path / "hub.duckdb").rename(tmp_path / "moved.duckdb")
    assert isinstance(told.get(timeout=20), HubMovedError)
    watched.submit(Batch({"event": [row(1)]}, lambda: None, lambda: None))  # what was under way
    assert watched.drain()
    watched.close()
    assert [path.name for path in tmp_path.iterdir()] == ["moved.duckdb"]
    with duckdb.connect(str(tmp_path / "moved.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT pos FROM event ORDER BY pos").fetchall() == [(0,), (1,)]


@_CAN_MOVE
def test_another_file_in_its_place_is_not_written_to(
    tmp_path: Path, watched: Journal, told: SimpleQueue[HubUnavailableError | None]
) -> None:
    (tmp_path / "other").write_bytes(b"another")
    (tmp_path / "other").replace(tmp_path / "hub.duckdb")
    assert isinstance(told.get(timeout=20), HubMovedError)
    with pytest.raises(HubMovedError):
        watched._reconnect()
    watched.close()
    assert (tmp_path / "hub.duckdb").read_bytes() == b"another"


def test_a_compaction_is_no_move(watched: Journal, told: SimpleQueue[HubUnavailableError | None]) -> None:
    watched.run(watched.rewrite).result(20)
    watched.run(lambda connection: watched._settle(True)).result(20)
    assert told.empty()
    assert watched.problem is None
