"""What is saved together: one writer thread, one transaction per group of batches.

Nothing else writes to the file. Batches that are ready while a commit is under way share the next one. A batch is released
(clients answered, effects let go) only after its commit; at the relaxed level when it is handed over. When the disk refuses,
the same rows are tried again every second; until then the journal has a `problem` and takes nothing new.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from dfnb.errors import HubClosedError, HubError, HubMovedError, HubUnavailableError
from dfnb.hub.file import (
    copy_database,
    first_line,
    identity,
    is_in_place,
    keep_private,
    look,
    make_log,
    open_file,
    open_or_create,
    remains,
    remove_unused_log,
    unusable,
)
from dfnb.hub.migrate import check, migrate
from dfnb.hub.sql import query

T = TypeVar("T")
Row = tuple[Any, ...]

_RETRY_SECONDS = 1.0
_IDLE_SECONDS = 0.3
"""After so long without a batch the derived rows are flushed."""
_BUSY_SECONDS = 2.0
"""Under load they are flushed as often: what a crash leaves to be derived again are the events of so long."""
_RELAXED_SECONDS = 0.01
_READERS_SECONDS = 0.01
_PATIENCE_SECONDS = 5.0
"""How long a compaction waits for running queries before it interrupts them."""
_GROUP_ROWS = 4_000
_BACKLOG_ROWS = 8_000
_CHECKPOINT_ROWS = 500


TABLES = ("event", "operation", "http_exchange", "http_body", "log")
"""What a commit may append to. The first column of the first three is the position."""
_WITH_POSITIONS = TABLES[:3]


class Batch:
    """Rows that must be saved together, by table, and what to do once they are."""

    __slots__ = ("on_released", "on_saved", "tables")

    def __init__(
        self, tables: Mapping[str, list[Row]], on_saved: Callable[[], None], on_released: Callable[[], None]
    ) -> None:
        self.tables = {table: rows for table, rows in tables.items() if rows}
        self.on_saved = on_saved
        self.on_released = on_released

    def __len__(self) -> int:
        return sum(map(len, self.tables.values()))

    @property
    def last_pos(self) -> int:
        """The position of its latest row, -1 if it has none."""
        return max((self.tables[table][-1][0] for table in _WITH_POSITIONS if table in self.tables), default=-1)


def _together(batches: Sequence[Batch]) -> Batch:
    """All rows that share a transaction."""
    if len(batches) == 1:
        return batches[0]
    tables = {table: [row for batch in batches for row in batch.tables.get(table, ())] for table in TABLES}
    return Batch(tables, lambda: None, lambda: None)


class Journal:
    """The one writer of a hub file."""

    def __init__(
        self, path: str, *, level: str, now: int, flush: Callable[[duckdb.DuckDBPyConnection], None],
        on_problem: Callable[[HubUnavailableError | None], None],
    ) -> None:
        self.path = path
        self._refusal: str | None = None
        self._moved = False
        self.epoch = 0
        """Counts how often the file was let go: cursors of an earlier epoch are dead."""
        self._level = level
        self._flush = flush
        self._on_problem = on_problem
        self._flushed_at = 0.0
        self._abandoned = False
        self._away = False
        self._wake = threading.Condition()
        self._batches: deque[Batch] = deque()
        self._jobs: deque[tuple[Callable[[duckdb.DuckDBPyConnection], Any], Future[Any]]] = deque()
        self._cursors: weakref.WeakSet[duckdb.DuckDBPyConnection] = weakref.WeakSet()
        self._backlog = 0
        self._last_pos = -1
        self._committed_pos = -1
        self._uncheckpointed = 0
        self._stopping = False
        self._connect(now)
        self._thread = threading.Thread(target=self._run, name="dfnb-journal", daemon=True)

    # for the other threads

    @property
    def problem(self) -> HubUnavailableError | None:
        """Why nothing can be written now, each time a new one: a traceback grows with everyone who raises the same."""
        if self._moved:
            return HubMovedError(self.path, "its file was moved")
        return HubUnavailableError(self.path, self._refusal) if self._refusal is not None else None

    def start(self, pos: int) -> None:
        """Begin to write; the file holds all events up to `pos`."""
        self._last_pos = self._committed_pos = pos
        self._thread.start()

    def submit(self, batch: Batch) -> None:
        """Hand over a batch; waits while too much is queued. Relaxed level: it counts as committed at once."""
        with self._wake:
            self._wake.wait_for(lambda: self._backlog <= _BACKLOG_ROWS or self._stopping or self._refusal is not None)
            if self._stopping:  # an engine that was left to itself comes back too late
                raise HubClosedError
            self._batches.append(batch)
            self._backlog += len(batch)
            self._last_pos = max(self._last_pos, batch.last_pos)
            self._wake.notify_all()
        if self._level == "relaxed":
            batch.on_released()

    def run(self, job: Callable[[duckdb.DuckDBPyConnection], T]) -> Future[T]:
        """Run something on the writer thread, after all batches handed over before, in a transaction of its own.

        Called from the writer thread itself, as watchers may, it runs at once.
        """
        future: Future[T] = Future()
        if threading.current_thread() is self._thread:
            self._do(job, future)
            return future
        with self._wake:
            if self._stopping:
                raise HubClosedError
            problem = self.problem
            if problem is not None:
                raise problem.for_request(kept=False)
            self._jobs.append((job, future))
            self._wake.notify_all()
        return future

    def drain(self, pos: int | None = None) -> bool:
        """Wait until the event at `pos` (default: the last one handed over) is on disk. False: the disk refuses it."""
        if threading.current_thread() is self._thread:
            return True  # a watcher looks: what it was called for is on disk, and waiting here would be for ever
        with self._wake:
            wanted = self._last_pos if pos is None else pos
            self._wake.wait_for(lambda: self._committed_pos >= wanted or self._stopping or self._refusal is not None)
            return self._committed_pos >= wanted

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own to the same database, for reading."""
        with self._wake:
            self._wake.wait_for(lambda: not self._away or self._stopping or self._refusal is not None)
            if self._away:
                raise self.problem or HubClosedError()
            cursor = self._database.cursor()
            self._cursors.add(cursor)
            return cursor

    def close(self, *, abandon: bool = False) -> None:
        """Write what is queued, flush, checkpoint, let the file go. `abandon`: as a crash would, without any of it."""
        with self._wake:
            if abandon:
                self._batches.clear()
                self._abandoned = True
            self._stopping = True
            self._wake.notify_all()
        if self._thread.is_alive():
            self._thread.join()
        elif self._thread.ident is None:  # it has never been started: the file could not be read to its end
            self._disconnect()
        self._refuse_jobs(HubClosedError)

    # the writer thread

    def _run(self) -> None:
        try:
            while True:
                batches, jobs = self._next()
                if batches:
                    self._save(batches)
                for job, future in jobs:
                    self._do(job, future)
                idle = not batches and not jobs
                if idle and self._stopping:
                    break
                if idle or time.monotonic() - self._flushed_at > _BUSY_SECONDS:
                    self._settle(idle)
            if not self._abandoned:
                self._settle(True)
        finally:
            self._disconnect()
            self._drop()
            with self._wake:
                self._stopping = True
                self._wake.notify_all()

    def _next(self) -> tuple[list[Batch], list[tuple[Callable[[duckdb.DuckDBPyConnection], Any], Future[Any]]]]:
        """What to do now; nothing after an idle while. Jobs come only when no batch is before them."""
        with self._wake:
            if not self._batches and not self._jobs and not self._stopping:
                self._wake.wait(_IDLE_SECONDS)
            if self._level == "relaxed" and self._batches and not self._jobs and not self._stopping:
                self._wake.wait_for(lambda: bool(self._jobs) or self._stopping, _RELAXED_SECONDS)
            taken: list[Batch] = []
            rows = 0
            while self._batches and rows < _GROUP_ROWS:
                batch = self._batches.popleft()
                taken.append(batch)
                rows += len(batch)
            jobs = []
            if not self._batches:
                jobs = list(self._jobs)
                self._jobs.clear()
            return taken, jobs

    def _save(self, batches: list[Batch]) -> None:
        rows = _together(batches)
        while not self._try_to_write(rows):
            if not self._wait_for_disk():
                return
        with self._wake:
            solved, self._refusal = self._refusal, None
            self._backlog -= len(rows)
            self._committed_pos = max(self._committed_pos, rows.last_pos)
            self._uncheckpointed += len(rows)
            self._wake.notify_all()
        if solved is not None:
            self._on_problem(None)
        for batch in batches:
            batch.on_saved()
            if self._level != "relaxed":
                batch.on_released()

    def _wait_for_disk(self) -> bool:
        """Nobody waits for the disk but the writer. False: the journal is closed, and what comes later must not be saved either."""
        why = self._refusal or ""
        self._refuse_jobs(lambda: HubUnavailableError(self.path, why, kept=False))
        with self._wake:
            self._wake.notify_all()
            self._wake.wait_for(lambda: self._stopping, _RETRY_SECONDS)
            if self._stopping:
                self._batches.clear()
                self._abandoned = True
            return not self._stopping

    def _refuse_jobs(self, error: Callable[[], Exception]) -> None:
        with self._wake:
            jobs, self._jobs = list(self._jobs), deque()
        for _, future in jobs:
            if future.set_running_or_notify_cancel():
                future.set_exception(error())

    def _try_to_write(self, rows: Batch) -> bool:
        try:
            if self._refusal is None or not self._recover(rows):
                self._write(rows)
        except (duckdb.Error, OSError, HubError) as error:
            self._clear()
            first = self._refusal is None
            self._refusal = first_line(error)
            self._moved = not is_in_place(self.path, self._identity)
            if first:
                self._on_problem(self.problem)
            return False
        return True

    def _write(self, rows: Batch) -> None:
        make_log(self.path)
        alone = len(rows.tables) == 1
        if not alone:
            self._database.execute("BEGIN")
        for table, part in rows.tables.items():
            self._appenders[table].append_rows(part)
            self._appenders[table].flush()
        if not alone:
            self._database.execute("COMMIT")

    def _recover(self, rows: Batch) -> bool:
        """After a failed write: take up the file again if it was lost. True: the rows are in it after all."""
        if not self._is_alive():
            self._reconnect()
        return self._side.execute(query("has_event"), [rows.last_pos]).fetchone() is not None

    def _is_alive(self) -> bool:
        """Whether DuckDB still answers: a failed checkpoint makes it hold the database for invalid."""
        try:
            self._side.execute("SELECT 1").fetchone()
        except duckdb.Error:
            return False
        return True

    def _clear(self) -> None:
        """Drop buffered rows and an open transaction, so that the next try starts clean."""
        for undo in (*(appender.clear for appender in self._appenders.values()), self._database.rollback):
            with contextlib.suppress(duckdb.Error):  # there may be nothing to undo, or the database is already invalid
                undo()

    def _do(self, job: Callable[[duckdb.DuckDBPyConnection], Any], future: Future[Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            make_log(self.path)
            result = job(self._side)
        except BaseException as error:
            self._undo()
            refused = isinstance(error, duckdb.Error | OSError)
            future.set_exception(HubUnavailableError(self.path, first_line(error)) if refused else error)
        else:
            future.set_result(result)

    def _settle(self, idle: bool) -> None:
        """Flush the derived rows, and when idle and much has gathered fold the write-ahead log into the file."""
        self._flushed_at = time.monotonic()
        self._look_for_file()
        try:
            make_log(self.path)
            self._flush(self._side)
            if idle and self._uncheckpointed >= _CHECKPOINT_ROWS:
                self._side.execute("CHECKPOINT")
                self._uncheckpointed = 0
        except (duckdb.Error, OSError):
            # derived rows can be had again from the events, and the next commit tells whether the disk takes writes
            self._undo()
            self._uncheckpointed = 0

    def _look_for_file(self) -> None:
        """Notice that the file has left its place, or is there again."""
        moved = not is_in_place(self.path, self._identity)
        if moved == self._moved:
            return
        self._moved = moved
        if moved:
            with contextlib.suppress(duckdb.Error):  # what stands in the log alone would not be found with the file
                self._side.execute("CHECKPOINT")
        with self._wake:
            self._wake.notify_all()
        self._on_problem(self.problem)

    def _undo(self) -> None:
        """After a failure on the side: end its transaction, and take the file up again if DuckDB has given it up."""
        with contextlib.suppress(duckdb.Error):
            self._side.rollback()
        if not self._is_alive():
            with contextlib.suppress(duckdb.Error, OSError, HubError):  # the next commit tells, and tries again
                self._reconnect()

    # the connection

    def _connect(self, now: int) -> None:
        try:
            look(self.path)
            self._database = open_or_create(self.path)
        except (duckdb.Error, OSError) as error:
            raise unusable(self.path, error) from error
        try:
            version = check(self._database, self.path)
            keep_private(Path(f"{self.path}.wal"))
            make_log(self.path)
            migrate(self._database, version, now)
            self._prepare()
            self._identity = identity(self.path)
        except (duckdb.Error, OSError) as error:
            self._database.close()
            raise unusable(self.path, error) from error
        except BaseException:
            self._database.close()
            raise
        if self.path != ":memory:":
            keep_private(Path(self.path))
            remains(self.path)

    def _prepare(self) -> None:
        self._side = self._database.cursor()
        # inserts gain nothing from the optimizer, and a lone commit is a fifth faster without it; it is this connection's alone
        self._database.execute("PRAGMA disable_optimizer")
        self._database.execute("SET checkpoint_threshold = '64MB'")
        self._appenders = {table: self._database.appender(table) for table in TABLES}
        with self._wake:
            self._away = False
            self._wake.notify_all()

    def _reconnect(self) -> None:
        """Open the file anew, as after a crash."""
        if not is_in_place(self.path, self._identity):  # opening would make a new one
            raise HubMovedError(self.path, "its file was moved")
        if not self._away:
            self._disconnect()
        self._database = open_file(self.path, read_only=False)
        self._prepare()

    def rewrite(self, connection: duckdb.DuckDBPyConnection) -> tuple[int, int]:
        """Copy the live rows into a new file and put it in the old one's place. Only as a job; sizes before and after."""
        if self.path == ":memory:":
            return 0, 0
        before = sum(file.stat().st_size for file in (Path(self.path), Path(f"{self.path}.wal")) if file.exists())
        fresh = remains(self.path)
        try:
            copy_database(connection, fresh)
            self._replace(fresh)
        except (duckdb.Error, OSError) as error:
            remains(self.path)
            raise HubUnavailableError(self.path, first_line(error)) from error
        return before, Path(self.path).stat().st_size

    def _replace(self, fresh: Path) -> None:
        """Put the copy in the file's place. Only a file with no write-ahead log may go: the log would be read into the copy."""
        if not is_in_place(self.path, self._identity):
            raise OSError("the file was moved or deleted meanwhile")
        self._disconnect(_PATIENCE_SECONDS)
        try:
            for file in (self.path, str(fresh)):
                if Path(f"{file}.wal").exists():
                    raise OSError(f"{file} could not be closed cleanly")
            os.replace(fresh, self.path)
            self._identity = identity(self.path)
            fresh.parent.rmdir()
        finally:
            self._reconnect()

    def _disconnect(self, patience: float = 0.0) -> None:
        """Let the file go. Queries that clients run have `patience` seconds to end, then they are interrupted."""
        for part in self._appenders.values():
            with contextlib.suppress(duckdb.Error):  # an invalid database has nothing left to save
                part.clear()
        remove_unused_log(self.path)
        deadline = time.monotonic() + patience
        with self._wake:
            self._away = True
            self.epoch += 1
            while not self._is_let_go():
                if time.monotonic() > deadline:
                    self._interrupt_readers()
                self._wake.wait(_READERS_SECONDS)

    def _drop(self) -> None:
        """Keep nothing of DuckDB: a thread that outlives the hub would, and DuckDB complains of that when the interpreter ends."""
        del self._appenders, self._side, self._database

    def _is_let_go(self) -> bool:
        """Close the database with all its cursors. False: a query is still running on one of them, which keeps it open."""
        try:
            self._database.close()
        except duckdb.ResourceInUseException:
            return False
        except duckdb.Error:  # the last checkpoint failed, which the next opening makes good
            return True
        return True

    def _interrupt_readers(self) -> None:
        for reader in list(self._cursors):
            with contextlib.suppress(duckdb.Error):  # it has just ended by itself
                reader.interrupt()
