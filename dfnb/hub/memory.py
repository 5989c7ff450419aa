"""Which instance is ready next and what is pending: the live working set over the journal.

The lock (`changed`) guards inboxes, the ready queue, the timers and the index by id. What an instance's events say is changed
by the engine's thread alone; what clients see (`InstanceState.record`) is put there by the writer thread after the commit.
"""

from __future__ import annotations

import contextlib
import heapq
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import duckdb

from dfnb.errors import (
    HubClosedError,
    HubUnavailableError,
    InstanceConflictError,
    InstanceExistsError,
    InstanceFinishedError,
    InstanceNotFoundError,
)
from dfnb.hub import reader
from dfnb.hub.journal import Batch, Journal, Row
from dfnb.hub.protocol import Ended, InstanceQuery, StartRequest
from dfnb.hub.recovery import fold, id_hash, record_of, recover, row_of
from dfnb.hub.sql import placeholders, query
from dfnb.hub.state import Ack, InstanceState, Message, OpenTask
from dfnb.records.history import (
    EventRaised,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    Recorded,
    TimerCreated,
    TimerFired,
    parse_event,
)
from dfnb.records.instance import TERMINAL, InstanceRecord, Wait
from dfnb.records.log import LogLine

T = TypeVar("T")

_RECENT = 10_000
_RECENT_RESULT = 4_096

Relation = duckdb.DuckDBPyRelation
"""What `sql` returns, named for the rooms above, which do not know DuckDB."""

DURABILITY_LEVELS = ("durable", "relaxed", "memory")


class _Open:
    """The batch being made."""

    __slots__ = ("acks", "logs", "records", "replaced", "rows", "states", "timers")

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.logs: list[Row] = []
        self.states: dict[int, InstanceState] = {}
        self.records: dict[int, InstanceRecord] = {}
        self.acks: list[Ack] = []
        self.replaced: list[int] = []
        self.timers: list[tuple[int, int, int, int]] = []


class TaskHub:
    """A task hub in one DuckDB file (`:memory:` for none), both sides of it."""

    def __init__(self, path: str, *, durability: str = "durable", now: Callable[[], int]) -> None:
        if durability not in DURABILITY_LEVELS:
            raise ValueError(f"durability is one of {', '.join(DURABILITY_LEVELS)}, not {durability!r}")
        self.path = ":memory:" if durability == "memory" else path
        self.durability = durability
        self.changed = threading.Condition()
        self.now = now
        self._states: dict[int, InstanceState] = {}
        self._by_id: dict[str, InstanceState] = {}
        self._ready: deque[InstanceState] = deque()
        self._timers: list[tuple[int, int, int, int]] = []
        self._open = _Open()
        self._unsaved: dict[int, InstanceState] = {}
        self._in_flight: set[Ack] = set()
        self._dirty: dict[int, InstanceRecord] = {}
        self._flushed_pos = -1
        self._published_pos = -1
        self._ended: dict[str, InstanceRecord] = {}
        self._recent: OrderedDict[str, Ended] = OrderedDict()
        self._watchers: list[Callable[[frozenset[str]], None]] = []
        self._local = threading.local()
        self._closed = False
        self._journal = Journal(self.path, level=durability, now=now(), flush=self._flush, on_problem=self._on_problem)
        self._recover()
        self._journal.start(self._published_pos)

    # opening and closing

    def _recover(self) -> None:
        recovered = recover(self._journal.cursor())
        self._next_pos = recovered.next_pos
        self._next_key = recovered.next_key
        self._published_pos = recovered.next_pos - 1
        for state in recovered.changed:
            record = state.record = state.to_record()
            self._dirty[state.key] = record
        for state in recovered.states.values():
            if state.status == "ContinuedAsNew" or not state.is_terminal:
                self._states[state.key] = state
                self._by_id[state.id] = state
                self._rearm(state)
        for state in recovered.changed:
            if state.is_terminal:
                self._ended[state.id] = self._dirty[state.key]
            elif state.start_at is None or state.turn > 0:
                self.wake(state)
        self._drop_replaced()

    def _rearm(self, state: InstanceState) -> None:
        for task, entry in (state.open or {}).items():
            if entry.due is not None:
                heapq.heappush(self._timers, (entry.due, state.key, state.generation, task))
        if state.start_at is not None and state.turn == 0:
            heapq.heappush(self._timers, (state.start_at, state.key, state.generation, 0))
        elif state.pending:
            self.wake(state)

    def _drop_replaced(self) -> None:
        """Delete ended instances whose id was taken again: a crash may have come before that was done."""
        cursor = self._journal.cursor()
        keys = [key for (key,) in cursor.execute(query("replaced_instances")).fetchall()]
        newest = {record.id: record.key for record in sorted(self._dirty.values(), key=lambda record: record.key)}
        behind = [*self._dirty.values(), *_stored(cursor, list(newest))]
        keys += [record.key for record in behind if record.key < newest[record.id]]
        if keys:
            with contextlib.suppress(duckdb.Error):  # a full disk, at worst: the next opening does it
                self._delete(cursor, keys)

    @property
    def resumed(self) -> int:
        """How many instances are open."""
        return len(self._by_id)

    def open_activities(self) -> list[tuple[InstanceState, int, OpenTask]]:
        """Activities asked for and not answered: after a restart they are dispatched again."""
        return [
            (state, task, entry)
            for state in self._states.values()
            for task, entry in (state.open or {}).items()
            if entry.kind == "activity"
        ]

    def open_states(self) -> list[InstanceState]:
        with self.changed:
            return list(self._by_id.values())

    def close(self, *, abandon: bool = False) -> None:
        """Write everything and let the file go; with `abandon`, what is not yet committed is dropped, as by a crash."""
        with self.changed:
            self._closed = True
            self.changed.notify_all()
        self._journal.close(abandon=abandon)
        self._refuse_in_flight(HubClosedError())
        for state in list(self._states.values()):
            for waiter in state.waiters or ():
                if not waiter.done():
                    waiter.set_exception(HubClosedError())

    @property
    def problem(self) -> HubUnavailableError | None:
        return self._journal.problem

    def _check_open(self) -> None:
        if self._closed:
            raise HubClosedError
        if self._journal.problem is not None:
            raise self._journal.problem

    def _on_problem(self, problem: HubUnavailableError | None) -> None:
        """The disk has begun to refuse, or (None) to take writes again: the engine rests in between."""
        if problem is not None:
            self._refuse_in_flight(problem)
            return
        with self.changed:
            self.changed.notify_all()

    def _refuse_in_flight(self, error: Exception) -> None:
        """Nobody waits for ever: what is not acknowledged is answered with the reason."""
        with self.changed:
            acks, self._in_flight = self._in_flight, set()
        for ack in acks:
            ack.refuse(error)

    # client side

    def start_instances(self, requests: Sequence[StartRequest]) -> Future[None]:
        """Start all of them or, when an id is taken by a running instance, none. Done once they are on disk."""
        explicit = [request.id for request in requests if not request.fresh]
        replaced = [record.key for record in self._find_ended(explicit)] if explicit else []
        ack = Ack(len(requests))
        at = self.now()
        with self.changed:
            self._check_open()
            self._check_free(requests)
            self._in_flight.add(ack)
            for request in requests:
                self._admit(request, Message(_started(request), at, ack=ack))
            self.changed.notify_all()
        if replaced:
            ack.future.add_done_callback(lambda done: self._delete_replaced(done, replaced))
        if not requests:
            ack.future.set_result(None)
        return ack.future

    def _check_free(self, requests: Sequence[StartRequest]) -> None:
        taken = set()
        for request in requests:
            state = self._by_id.get(request.id)
            if state is not None:
                raise InstanceExistsError(request.id, _visible_status(state))
            if request.id in taken:
                raise InstanceExistsError(request.id, "asked for twice in this call")
            taken.add(request.id)

    def _admit(self, request: StartRequest, message: Message) -> InstanceState:
        state = InstanceState(self._next_key, request.id)
        self._next_key += 1
        state.name = request.name
        state.start_at = request.start_at
        state.fresh = request.fresh
        self._states[state.key] = state
        self._by_id[request.id] = state
        self._forget_end(request.id)
        self._put(state, message)
        return state

    def _delete_replaced(self, done: Future[None], keys: list[int]) -> None:
        if done.exception() is None:
            with contextlib.suppress(HubClosedError, HubUnavailableError):  # done at the next opening then
                self._journal.run(lambda connection: self._delete(connection, keys))

    def send(self, instance_id: str, event: HistoryEvent, operation: str) -> Future[None]:
        """Give a message to an instance. Raises when the instance's state does not allow the operation."""
        with self.changed:
            self._check_open()
            state = self._by_id.get(instance_id)
            if state is not None:
                _check_allowed(state, event, operation)
                ack = Ack(1)
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
            if self._by_id.setdefault(state.id, state) is not state:
                raise InstanceConflictError(state.id, "Running", "rewind", "another call has rewound it already")
            self._readmit(state)
            self._in_flight.add(ack)
            rewound = ExecutionRewound(_tasks_to_rewind(state), event.reason)
            self._put(state, Message(rewound, self.now(), internal=True, ack=ack))
            self._unsaved[state.key] = state
            self.changed.notify_all()
        return ack.future

    def look_up(self, instance_id: str) -> InstanceState | None:
        """An instance as it stands within the present batch: open, just ended, or made anew from the file."""
        with self.changed:
            state = self._by_id.get(instance_id)
        if state is not None:
            return state
        record = self.find(instance_id)
        return self._revive(record) if record is not None else None

    def rewind_child(self, state: InstanceState, reason: str | None, at: int) -> None:
        """Rewind a failed sub-orchestration, as `look_up` gave it, within the present batch."""
        with self.changed:
            self._by_id[state.id] = state
            self._readmit(state)
        self.post(state.id, Message(ExecutionRewound(_tasks_to_rewind(state), reason), at))

    def _revive(self, record: InstanceRecord) -> InstanceState:
        self._journal.drain(record.ended_pos if record.ended_pos is not None else -1)
        (state,) = self._read(lambda cursor: fold(cursor, [record.key]))
        state.record = record
        return state

    def _readmit(self, state: InstanceState) -> None:
        self._states[state.key] = state
        self._forget_end(state.id)
        self._rearm(state)

    def _recent_record(self, instance_id: str) -> InstanceRecord | None:
        recent = self._recent.get(instance_id)
        return recent.record if recent is not None else None

    def _forget_end(self, instance_id: str) -> None:
        self._ended.pop(instance_id, None)
        self._recent.pop(instance_id, None)

    def when_ended(self, instance_id: str) -> Future[Ended]:
        """A future of the instance's end. Raises InstanceNotFoundError."""
        future: Future[Ended] = Future()
        with self.changed:
            if self._closed:
                raise HubClosedError
            state = self._by_id.get(instance_id)
            if state is not None:
                state.waiters = [*(state.waiters or ()), future]
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

    def find(self, instance_id: str) -> InstanceRecord | None:
        """The latest committed state of an instance, or None."""
        with self.changed:
            state = self._by_id.get(instance_id)
            if state is not None:
                return state.record
            if instance_id in self._ended:
                return self._ended[instance_id]
            recent = self._recent_record(instance_id)
            if recent is not None:
                return recent
        found = self._find_ended([instance_id])
        return found[-1] if found else None

    def _find_ended(self, ids: Sequence[str]) -> list[InstanceRecord]:
        with self.changed:
            recent = [self._ended[id] for id in ids if id in self._ended]
        if len(recent) == len(ids):
            return recent
        newer = {record.id for record in recent}
        return [record for record in self._read(lambda cursor: _stored(cursor, ids)) if record.id not in newer] + recent

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
            last = (page[-1].created_at, page[-1].key)
            following = reader.next_page(wanted, last)
            page = self._read(lambda cursor, following=following: reader.list_instances(cursor, following))  # type: ignore[misc]
        return found

    def children(self, instance_id: str) -> list[InstanceRecord]:
        """The sub-orchestrations an instance has started."""
        self.flush()
        return self._read(lambda cursor: reader.children(cursor, instance_id))

    def counts(self) -> dict[str, int]:
        """How many instances there are by status."""
        self.flush()
        return dict(self._read(lambda cursor: cursor.execute(query("count_instances")).fetchall()))

    def payloads(self, records: Sequence[InstanceRecord]) -> dict[int, tuple[str | None, ExecutionCompleted | None]]:
        """Input and end of each instance, by key."""
        return self._read(lambda cursor: reader.payloads(cursor, records))

    def history(self, record: InstanceRecord, after: int = -1) -> list[tuple[int, int, Recorded]]:
        """(position, generation, event) of an instance, oldest first, those behind position `after`."""
        return self._read(lambda cursor: reader.history(cursor, record, after))

    def logs(self, record: InstanceRecord) -> list[LogLine]:
        return self._read(lambda cursor: reader.logs(cursor, record))

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
        self._tell(frozenset(record.id for record in records))
        return len(keys)

    def _delete(self, connection: duckdb.DuckDBPyConnection, keys: list[int]) -> None:
        delete(connection, keys)
        for key in keys:
            self._dirty.pop(key, None)

    def save_definition(self, kind: str, name: str, fingerprint: str, source: str) -> None:
        """Keep the source an instance was started with."""
        facts = [kind, name, fingerprint, source, self.now()]
        self._journal.run(lambda connection: connection.execute(query("save_definition"), facts))

    def definition_source(self, kind: str, name: str, fingerprint: str) -> str | None:
        row = self._read(lambda cursor: cursor.execute(query("definition_source"), [kind, name, fingerprint]).fetchone())
        return row[0] if row is not None else None

    def watch(self, callback: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        """Call back with the ids of changed instances after each commit, on the writer thread. Returns what ends it."""
        with self.changed:
            self._watchers = [*self._watchers, callback]

        def end() -> None:
            with self.changed:
                self._watchers = [watcher for watcher in self._watchers if watcher is not callback]

        return end

    def sql(self, statement: str, params: Sequence[Any] | None = None) -> duckdb.DuckDBPyRelation:
        """A relation over what is committed. Only statements that read."""
        self.flush()
        return reader.relation(self._cursor(), statement, params)

    def _read(self, look: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """What the file says. It holds all a client was told of, and a compaction or reopening under way does not show."""
        if self.durability == "relaxed":
            self._journal.drain()
        while True:
            epoch = self._journal.epoch
            try:
                return look(self._cursor())
            except duckdb.Error as error:
                if epoch == self._journal.epoch:
                    raise HubUnavailableError(self.path, str(error)) from error

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        """A cursor of the calling thread's own."""
        if self._closed:
            raise HubClosedError
        if getattr(self._local, "epoch", None) != self._journal.epoch:
            self._local.cursor = self._journal.cursor()
            self._local.epoch = self._journal.epoch
        cursor: duckdb.DuckDBPyConnection = self._local.cursor
        return cursor

    # worker side

    def has_ready(self, now: int) -> bool:
        if self._journal.problem is not None:
            return False
        return bool(self._ready) or bool(self._timers and self._timers[0][0] <= now)

    def next_due(self) -> int | None:
        return self._timers[0][0] if self._timers and self._journal.problem is None else None

    def take_ready(self, now: int, limit: int) -> list[tuple[InstanceState, list[Message]]]:
        """Instances with something to do and what has happened to them, at most about `limit` messages."""
        taken: list[tuple[InstanceState, list[Message]]] = []
        with self.changed:
            self._fire_timers(now)
            while self._ready and limit > 0 and self._journal.problem is None:
                state = self._ready.popleft()
                state.queued = False
                messages = state.inbox or []
                state.inbox = None
                if len(messages) > limit:
                    messages, state.inbox = messages[:limit], messages[limit:]
                    self.wake(state)
                else:
                    self._unsaved.pop(state.key, None)
                taken.append((state, messages))
                limit -= max(1, len(messages))
        return taken

    def _fire_timers(self, now: int) -> None:
        while self._timers and self._timers[0][0] <= now:
            due, key, generation, task = heapq.heappop(self._timers)
            state = self._states.get(key)
            if state is None or state.generation != generation:
                continue
            if task == 0:
                self.wake(state)
                continue
            entry = state.take_open(task)
            if entry is not None and entry.due == due:
                self._put(state, Message(TimerFired(task), now, generation))

    def wake(self, state: InstanceState) -> None:
        """Have the engine look at an instance."""
        with self.changed:
            if not state.queued:
                state.queued = True
                self._ready.append(state)
                self.changed.notify_all()

    def _put(self, state: InstanceState, message: Message) -> None:
        if state.inbox is None:
            state.inbox = []
        state.inbox.append(message)
        if not state.queued:
            state.queued = True
            self._ready.append(state)

    def deliver(self, results: Sequence[tuple[int, Message]]) -> None:
        """Results of activities, by instance key. From any thread. For instances that are gone they are dropped."""
        with self.changed:
            for key, message in results:
                state = self._states.get(key)
                if state is not None:
                    self._put(state, message)
            self.changed.notify_all()

    def start_children(self, requests: Sequence[StartRequest], at: int) -> list[InstanceExistsError | None]:
        """Start sub-orchestrations within the present batch: for each None, or why it cannot start."""
        asked = [request.id for request in requests if not request.fresh]
        if asked:
            self._open.replaced += [record.key for record in self._find_ended(asked)]
        return [self._start_child(request, at) for request in requests]

    def _start_child(self, request: StartRequest, at: int) -> InstanceExistsError | None:
        with self.changed:
            before = self._by_id.get(request.id)
            if before is not None and before.is_terminal:  # it ended so lately that its end is not on disk yet
                self._open.replaced.append(before.key)
                del self._by_id[request.id]
            try:
                self._check_free([request])
            except InstanceExistsError as error:
                return error
            state = self._admit(request, Message(_started(request), at, internal=True))
            self._unsaved[state.key] = state
            return None

    def continue_as_new(self, state: InstanceState, events: Sequence[HistoryEvent], at: int) -> None:
        """Have the next generation begin with these events, before anything else that waits in the inbox."""
        with self.changed:
            messages = [Message(event, at, internal=True) for event in events]
            state.inbox = messages + (state.inbox or [])
            self._unsaved[state.key] = state
            self.wake(state)

    def put_back(self, state: InstanceState, messages: Sequence[Message]) -> None:
        """Undo `take_ready` for one instance."""
        with self.changed:
            state.inbox = [*messages, *(state.inbox or ())]
            if any(message.internal for message in messages):
                self._unsaved[state.key] = state
            self._to_the_front(state)

    def _to_the_front(self, state: InstanceState) -> None:
        """What was loaded takes its turn before others can push it out of memory again."""
        if state.queued:
            self._ready.remove(state)
        state.queued = True
        self._ready.appendleft(state)

    def post(self, instance_id: str, message: Message) -> bool:
        """Hand a message to an open instance within the present batch. False if there is none."""
        message.internal = True
        with self.changed:
            state = self._by_id.get(instance_id)
            if state is None:
                return False
            self._put(state, message)
            self._unsaved[state.key] = state
            return True

    def record(self, state: InstanceState, events: Iterable[tuple[HistoryEvent, int]], turn: int) -> None:
        """Add events to an instance's history, within the present batch."""
        rows = self._open.rows
        for event, at in events:
            pos = self._next_pos
            self._next_pos += 1
            state.apply(event, pos, turn, at)
            kind, task, took, name, data = event.columns()
            rows.append((pos, state.key, state.generation, turn, kind, task, took, at, name, data))
            if kind == TimerCreated.kind:
                self._open.timers.append((event.fire_at, state.key, state.generation, event.task))  # type: ignore[attr-defined]
            elif kind == ExecutionStarted.kind and turn == 0 and state.start_at is not None:
                self._open.timers.append((state.start_at, state.key, state.generation, 0))

    def record_late(self, state: InstanceState, messages: Sequence[Message]) -> None:
        """Write down what came after the instance, or its generation, had ended; it changes nothing.

        A raised event is written like one that waits for a turn: should the instance be rewound, it is read after all.
        """
        for message in messages:
            kind, task, took, name, data = message.event.columns()
            generation = state.generation if message.generation is None else message.generation
            turn = 0 if kind == EventRaised.kind else -1
            self._open.rows.append((self._next_pos, state.key, generation, turn, kind, task, took, message.at, name, data))
            self._next_pos += 1
            if state.is_terminal and task is not None:
                self._stop_expecting(state, task)
        self._count_acks(messages)
        self.write_logs(state, [line for message in messages for line in message.logs])

    def _stop_expecting(self, state: InstanceState, task: int) -> None:
        """An ended instance with no activity out has nothing to wait for."""
        if state.open is not None:
            state.open.pop(task, None)
        with self.changed:
            if self._by_id.get(state.id) is not state and not _has_activities(state):
                self._states.pop(state.key, None)

    def finish_turn(self, state: InstanceState, waits: tuple[Wait, ...], messages: Sequence[Message] = ()) -> None:
        """Close an instance's turn: what it waits for now, and which messages it took in."""
        state.waits = waits
        self._open.states[state.key] = state
        self._open.records[state.key] = state.to_record()
        self._count_acks(messages)
        for message in messages:
            if message.logs:
                self.write_logs(state, message.logs)

    def _count_acks(self, messages: Sequence[Message]) -> None:
        self._open.acks += [message.ack for message in messages if message.ack is not None]

    def write_logs(self, state: InstanceState, lines: Sequence[LogLine]) -> None:
        self._open.logs += [(state.key, line.task, line.attempt, line.at, line.stream, line.text) for line in lines]

    @property
    def rows_open(self) -> int:
        return len(self._open.rows)

    def commit(self, after: Callable[[], None]) -> None:
        """Hand the present batch to the journal; `after` runs, on the writer thread, once it is on disk.

        Messages made within the batch and not yet taken in are saved with it.
        """
        self._save_unsaved()
        made, self._open = self._open, _Open()
        last = self._next_pos - 1
        self._journal.submit(
            Batch(made.rows, made.logs, lambda: self._saved(made, last), lambda: self._released(made, after))
        )

    def _save_unsaved(self) -> None:
        with self.changed:
            unsaved, self._unsaved = list(self._unsaved.values()), {}
            for state in unsaved:
                inner = [message for message in state.inbox or () if message.internal]
                state.inbox = [message for message in state.inbox or () if not message.internal] or None
                inner, late = state.split_late(inner)
                if state.is_terminal and not any(isinstance(message.event, ExecutionRewound) for message in inner):
                    inner, late = [], late + inner
                if late:
                    self.record_late(state, late)
                self.record(state, [(message.event, message.at) for message in inner], 0)
                state.pending = [*(state.pending or ()), *(message.event for message in inner)]
                self.finish_turn(state, state.waits, inner)

    def histories(self, states: Sequence[InstanceState]) -> dict[int, list[Recorded]]:
        """The histories of the present generations, none while the disk refuses. Call `commit` first: what is on disk is seen."""
        if not self._journal.drain(self._next_pos - 1):
            if self._closed:
                raise HubClosedError
            return {}
        found: dict[int, list[Recorded]] = {state.key: [] for state in states}
        generation = {state.key: state.generation for state in states}
        since = min(state.started_pos for state in states)
        for start in range(0, len(states), 1000):
            keys = [state.key for state in states[start : start + 1000]]
            sql = query("histories").format(placeholders(len(keys)))
            rows = self._read(lambda cursor, sql=sql, keys=keys: cursor.execute(sql, [*keys, since]).fetchall())  # type: ignore[misc]
            for key, gen, turn, at, *columns in rows:
                if gen == generation[key]:
                    found[key].append(Recorded(turn, at, parse_event(*columns)))
        return found

    # after a commit

    def _saved(self, made: _Open, last: int) -> None:
        """The batch is on disk (writer thread): its derived rows may follow."""
        self._dirty.update(made.records)
        self._published_pos = last

    def _released(self, made: _Open, after: Callable[[], None]) -> None:
        """The batch counts (on disk, or at the relaxed level handed over): clients see it and its effects leave."""
        ended: list[InstanceState] = []
        with self.changed:
            for timer in made.timers:
                heapq.heappush(self._timers, timer)
            for key, record in made.records.items():
                made.states[key].record = record
                if record.status in TERMINAL:
                    ended.append(made.states[key])
                    self._retire(made.states[key], record)
            if made.replaced:
                with contextlib.suppress(HubClosedError, HubUnavailableError):  # done at the next opening then
                    self._journal.run(lambda connection: self._delete(connection, made.replaced))
            complete = [ack for ack in made.acks if ack.one_saved()]
            self._in_flight.difference_update(complete)
            if made.timers:
                self.changed.notify_all()
        for ack in complete:
            ack.accept()
        self._answer_waiters(ended)
        after()
        self._tell(frozenset(record.id for record in made.records.values()))

    def _retire(self, state: InstanceState, record: InstanceRecord) -> None:
        """An ended instance leaves the working set; with activities still out it stays to write down their late results."""
        if self._by_id.get(state.id) is state:
            del self._by_id[state.id]
            self._ended[state.id] = record
            self._keep_end(record, state.result)
        if not _has_activities(state):
            self._states.pop(state.key, None)

    def _keep_end(self, record: InstanceRecord, end: ExecutionCompleted | None) -> None:
        """Keep how the latest instances ended: whoever starts many asks for their results right after."""
        if end is not None and len(end.result or "") <= _RECENT_RESULT:
            self._recent[record.id] = Ended(record, end)
            if len(self._recent) > _RECENT:
                self._recent.popitem(last=False)

    def _answer_waiters(self, ended: list[InstanceState]) -> None:
        for state in ended:
            with self.changed:
                waiters, state.waiters = state.waiters or [], None
            for waiter in waiters:
                if waiter.set_running_or_notify_cancel() and state.record is not None and state.result is not None:
                    waiter.set_result(Ended(state.record, state.result))

    def _tell(self, ids: frozenset[str]) -> None:
        for watcher in self._watchers:
            watcher(ids)

    def flush(self) -> None:
        """Bring the derived rows up to what is committed. While the disk refuses, they stay as they are."""
        with contextlib.suppress(HubUnavailableError):
            self._journal.run(self._flush).result()

    def _flush(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Upsert what has changed. Runs on the writer thread, which is also the only one to change `_dirty`."""
        pos = self._published_pos
        if not self._dirty and pos == self._flushed_pos:
            return
        records = list(self._dirty.values())
        connection.execute("BEGIN")
        if records:
            with connection.appender("instance", action="upsert") as appender:
                appender.append_rows([row_of(record) for record in records])
        connection.execute(query("set_watermark"), [pos])
        connection.execute("COMMIT")
        self._dirty.clear()
        self._flushed_pos = pos
        with self.changed:
            for record in records:
                if self._ended.get(record.id) is record:
                    del self._ended[record.id]

    def run(self, job: Callable[[duckdb.DuckDBPyConnection], Any]) -> Future[Any]:
        """Run maintenance on the writer thread."""
        return self._journal.run(job)

    def compact(self) -> tuple[int, int]:
        """Rewrite the file without the space that deleted rows left. Returns its size before and after, in bytes."""
        self.flush()
        return self._journal.run(self._journal.rewrite).result()


def _stored(cursor: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> list[InstanceRecord]:
    """What the file has under these ids, older ones first."""
    if len(ids) == 1:
        rows = cursor.execute(query("find_instance"), [id_hash(ids[0])]).fetchall()
    else:
        rows = cursor.execute(query("find_instances"), [list(map(id_hash, ids))]).fetchall()
    wanted = frozenset(ids)
    found = {record.key: record for record in map(record_of, rows) if record.id in wanted}
    return [found[key] for key in sorted(found)]


def _has_activities(state: InstanceState) -> bool:
    return any(entry.kind == "activity" for entry in (state.open or {}).values())


def delete(connection: duckdb.DuckDBPyConnection, keys: Sequence[int]) -> None:
    """Delete instances with all their rows, in one transaction."""
    connection.execute("BEGIN")
    for start in range(0, len(keys), 1000):
        part = list(keys[start : start + 1000])
        for statement in ("delete_events", "delete_logs", "delete_instances"):
            connection.execute(query(statement).format(placeholders(len(part))), part)
    connection.execute("COMMIT")


def _started(request: StartRequest) -> ExecutionStarted:
    return ExecutionStarted(
        request.name, request.id, request.input, request.code, request.start_at, request.parent, request.version
    )


def _tasks_to_rewind(state: InstanceState) -> tuple[int, ...]:
    """What failed, and the activities given up at the end: nobody would answer for those."""
    failed = state.result.failed_tasks if state.result is not None else ()
    given_up = [task for task, entry in (state.open or {}).items() if entry.kind == "activity"]
    return tuple(sorted({*failed, *given_up}))


def _visible_status(state: InstanceState) -> str:
    return state.record.status if state.record is not None else "Pending"


def _check_allowed(state: InstanceState, event: HistoryEvent, operation: str) -> None:
    if state.is_terminal:
        raise InstanceFinishedError(state.id, state.status, operation)
    status = "Suspended" if state.suspended else _visible_status(state)
    if isinstance(event, ExecutionSuspended) and state.suspended:
        raise InstanceConflictError(state.id, status, operation, "resume it first")
    if isinstance(event, ExecutionResumed) and not state.suspended:
        raise InstanceConflictError(state.id, status, operation, "only a suspended instance can be resumed")
    if isinstance(event, ExecutionRewound):
        raise InstanceConflictError(state.id, status, operation, "only a failed instance can be rewound")
    if not isinstance(event, EventRaised | ExecutionTerminated | ExecutionSuspended | ExecutionResumed):
        raise TypeError(f"{type(event).__name__} is nothing a client can send")
