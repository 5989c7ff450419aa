"""The client side of the hub: start, send, ask, maintain. Every method may be called from any thread."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import duckdb

from dfnb.errors import (
    HubClosedError,
    HubUnavailableError,
    InstanceConflictError,
    InstanceFinishedError,
    InstanceNotFoundError,
)
from dfnb.hub import overview, reader
from dfnb.hub.figures import Figures, Overview
from dfnb.hub.file import interruptible
from dfnb.hub.http_client import HttpClientSide
from dfnb.hub.protocol import Ended, InstanceQuery, StartRequest
from dfnb.hub.sql import query
from dfnb.hub.state import Ack, InstanceState, Message
from dfnb.records.history import (
    EventRaised,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    Recorded,
)
from dfnb.records.instance import InstanceRecord
from dfnb.records.log import LogLine

if TYPE_CHECKING:  # at run time it would keep DuckDB's library alive in an interpreter that ends while threads still run
    Relation = duckdb.DuckDBPyRelation
"""What `sql` returns, named for the rooms above, which do not know DuckDB."""


class HubClientSide(HttpClientSide):
    """What clients ask of the hub."""

    # start and send

    def start_instances(self, requests: Sequence[StartRequest]) -> Future[None]:
        """Start all of them or, when an id is taken by a running instance, none. Done once they are on disk."""
        explicit = [request.id for request in requests if not request.fresh]
        replaced = [record.key for record in self._find_ended(explicit)] if explicit else []
        ack = Ack(len(requests), [request.id for request in requests], starts=True)
        at = self.now()
        self._check_room(request.input for request in requests)
        with self.changed:
            self._check_open()
            self._check_free(requests)
            ack.ended = [self._ended[id] for id in explicit if id in self._ended]
            self._in_flight.add(ack)
            for request in requests:
                self._admit(request, Message(request.event(), at, ack=ack))
            self.changed.notify_all()
        if replaced:
            ack.future.add_done_callback(lambda done: self._delete_replaced(done, replaced))
        if not requests:
            ack.future.set_result(None)
        return ack.future

    def _delete_replaced(self, done: Future[None], keys: list[int]) -> None:
        if done.exception() is None:
            with contextlib.suppress(HubClosedError, HubUnavailableError):  # done at the next opening then
                self._journal.run(lambda connection: self._delete(connection, keys))

    def send(self, instance_id: str, event: HistoryEvent, operation: str) -> Future[None]:
        """Give a message to an instance. Raises when the instance's state does not allow the operation."""
        if isinstance(event, EventRaised):
            self._check_room([event.input])
        with self.changed:
            self._check_open()
            state = self._by_id.get(instance_id)
            if state is not None:
                _check_allowed(state, event, operation)
                ack = Ack(1, (instance_id,))
                self._in_flight.add(ack)
                self._put(state, Message(event, self.now(), ack=ack))
                self.changed.notify_all()
                return ack.future
        record = self.find(instance_id)
        if record is None:
            raise InstanceNotFoundError(instance_id)
        if isinstance(event, ExecutionRewound) and record.status == "Failed":
            return self._rewind(record, event)
        raise InstanceFinishedError(instance_id, record.status, operation)

    def _rewind(self, record: InstanceRecord, event: ExecutionRewound) -> Future[None]:
        state = self._revive(record)
        ack = Ack(1)
        with self.changed:
            self._check_open()
            if self._by_id.setdefault(state.id, state) is not state:
                raise InstanceConflictError(state.id, "Running", "rewind", "another call has rewound it already")
            self._readmit(state)
            self._in_flight.add(ack)
            rewound = ExecutionRewound(state.tasks_to_rewind(), event.reason)
            self._put(state, Message(rewound, self.now(), internal=True, ack=ack))
            self.changed.notify_all()
        return ack.future

    # ask

    def when_ended(self, instance_id: str) -> Future[Ended]:
        """A future of the instance's end; a cancelled one is forgotten. Raises InstanceNotFoundError."""
        future: Future[Ended] = Future()
        with self.changed:
            if self._closed:
                raise HubClosedError
            state = self._by_id.get(instance_id)
            if state is not None:
                state.waiters = [*(state.waiters or ()), future]
                future.add_done_callback(functools.partial(self._forget_waiter, state.key))
                return future
            recent = self._recent.get(instance_id)
        if recent is not None:
            future.set_result(recent)
            return future
        record = self.find(instance_id)
        if record is None:
            raise InstanceNotFoundError(instance_id)
        future.set_result(Ended(record, self._read(lambda cursor: reader.end_of(cursor, record))))
        return future

    def _forget_waiter(self, key: int, future: Future[Ended]) -> None:
        if future.cancelled():
            with self.changed:
                state = self._states.get(key)
                if state is not None:
                    state.waiters = [waiter for waiter in state.waiters or () if waiter is not future]

    def query(self, wanted: InstanceQuery) -> list[InstanceRecord]:
        """The instances that fit, newest first, at most `limit`."""
        self.flush()
        return self._read(lambda cursor: reader.list_instances(cursor, wanted))

    def matching(self, wanted: InstanceQuery) -> list[InstanceRecord]:
        """All instances that fit, however many."""
        found: list[InstanceRecord] = []
        page = self.query(wanted)
        while page:
            found += page
            following = reader.next_page(wanted, (page[-1].created_at, page[-1].key))
            page = self._read(functools.partial(reader.list_instances, wanted=following))
        return found

    def children(self, instance_id: str) -> list[InstanceRecord]:
        """The sub-orchestrations an instance has started."""
        self.flush()
        return self._read(lambda cursor: reader.children(cursor, instance_id))

    def counts(self) -> dict[str, int]:
        """How many instances there are by status."""
        self.flush()
        return dict(self._read(lambda cursor: cursor.execute(query("count_instances")).fetchall()))

    def find_many(self, ids: Sequence[str]) -> dict[str, InstanceRecord]:
        """The latest committed state of those instances that there are, by id."""
        found = {id: record for id in ids if (record := self.peek(id)) is not None}
        missing = [id for id in ids if id not in found]
        return found | {record.id: record for record in (self._find_ended(missing) if missing else ())}

    def overview(self, wanted: InstanceQuery) -> Overview:
        """Counts and times of what fits a question."""
        self.flush()
        return self._read(lambda cursor: overview.overview(cursor, wanted))

    def figures(self, wanted: InstanceQuery) -> Figures:
        """What the instances that fit did, all in all."""
        self.flush()
        return self._read(lambda cursor: overview.figures(cursor, wanted))

    def payloads(self, records: Sequence[InstanceRecord]) -> dict[int, tuple[str | None, ExecutionCompleted | None]]:
        """Input and end of each instance, by key."""
        return self._read(lambda cursor: reader.payloads(cursor, records))

    def history(self, record: InstanceRecord, after: int = -1) -> list[tuple[int, int, Recorded]]:
        """(position, generation, event) of an instance, oldest first, those behind position `after`."""
        return self._read(lambda cursor: reader.history(cursor, record, after))

    def logs(self, record: InstanceRecord) -> list[LogLine]:
        return self._read(lambda cursor: reader.logs(cursor, record))

    def definition_source(self, kind: str, name: str, fingerprint: str) -> str | None:
        row = self._read(lambda cursor: cursor.execute(query("definition_source"), [kind, name, fingerprint]).fetchone())
        return row[0] if row is not None else None

    def sql(self, statement: str, params: Sequence[Any] | None = None) -> duckdb.DuckDBPyRelation:
        """A relation over what is committed. Only statements that read."""
        self.flush()
        with interruptible():
            return reader.relation(self._cursor(), statement, params)

    def watch(self, callback: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        """Call back with the ids of changed instances after each commit, on the writer thread. Returns what ends it."""
        with self.changed:
            self._watchers = [*self._watchers, callback]

        def end() -> None:
            with self.changed:
                self._watchers = [watcher for watcher in self._watchers if watcher is not callback]

        return end

    # maintain

    def save_definition(self, kind: str, name: str, fingerprint: str, source: str) -> None:
        """Keep the source an instance was started with."""
        facts = [kind, name, fingerprint, source, self.now()]
        self._journal.run(lambda connection: connection.execute(query("save_definition"), facts))

    def purge(self, records: Sequence[InstanceRecord]) -> int:
        """Delete ended instances with all their rows. Returns how many."""
        keys = [record.key for record in records if record.is_terminal]
        if not keys:
            return 0
        with self.changed:
            for record in records:
                self._states.pop(record.key, None)
                latest = self._ended.get(record.id) or self._recent_record(record.id)
                if latest is not None and latest.key == record.key:
                    self._forget_end(record.id)
        self._journal.run(lambda connection: self._delete(connection, keys)).result()
        self._tell(record.id for record in records)
        return len(keys)

    def run(self, job: Callable[[duckdb.DuckDBPyConnection], Any]) -> Future[Any]:
        """Run maintenance on the writer thread."""
        return self._journal.run(job)

    def compact(self) -> tuple[int, int]:
        """Rewrite the file without the space that deleted rows left. Returns its size before and after, in bytes."""
        self.flush()
        return self._journal.run(self._journal.rewrite).result()


def _check_allowed(state: InstanceState, event: HistoryEvent, operation: str) -> None:
    if state.is_terminal:
        raise InstanceFinishedError(state.id, state.status, operation)
    status = "Suspended" if state.suspended else state.visible_status
    if isinstance(event, ExecutionSuspended) and state.suspended:
        raise InstanceConflictError(state.id, status, operation, "resume it first")
    if isinstance(event, ExecutionResumed) and not state.suspended:
        raise InstanceConflictError(state.id, status, operation, "only a suspended instance can be resumed")
    if isinstance(event, ExecutionRewound):
        raise InstanceConflictError(state.id, status, operation, "only a failed instance can be rewound")
    if not isinstance(event, EventRaised | ExecutionTerminated | ExecutionSuspended | ExecutionResumed):
        raise TypeError(f"{type(event).__name__} is nothing a client can send")
