"""The live working set over the journal: open instances, who is ready, which timers run, and what the file says of the rest.

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
    EngineBusyError,
    HubClosedError,
    HubUnavailableError,
    InstanceExistsError,
    InstanceNotFoundError,
)
from dfnb.hub.entity_reader import entity_row
from dfnb.hub.entity_state import EntityState, OperationMessage
from dfnb.hub.file import free_bytes, interruptible, is_damage, unusable
from dfnb.hub.http_state import CallKey, CallStep, WaitingCall
from dfnb.hub.ids import id_hash
from dfnb.hub.journal import Journal, Row
from dfnb.hub.protocol import Ended, StartRequest
from dfnb.hub.recovery import fold, record_of, recover, row_of
from dfnb.hub.sql import placeholders, query
from dfnb.hub.state import Ack, InstanceState, Message
from dfnb.records.entity import Caller, EntityRecord, Operation
from dfnb.records.history import EntityLockGranted
from dfnb.records.instance import InstanceRecord

T = TypeVar("T")

DURABILITY_LEVELS = ("durable", "relaxed", "memory")

_LONG = 2.0
"""After so many seconds without an end a turn is worth a word."""
_TOO_LONG = 10.0
"""After so many nobody waits for it any longer."""
_LARGE = 100_000
"""What is smaller is not worth a look at the disk."""
_COPIES = 3
"""So many times a value is on disk at the same time: in the log, in the file, and as what a checkpoint puts aside."""


class WorkingSet:
    """What both sides of a hub share."""

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
        self._unsaved: dict[int, InstanceState] = {}  # with messages in the inbox that the present batch must save
        self._entities: dict[int, EntityState] = {}
        self._entity_by_id: OrderedDict[str, EntityState] = OrderedDict()
        self._ready_entities: deque[EntityState] = deque()
        self._unsaved_entities: dict[str, EntityState] = {}
        self._dirty_entities: dict[int, EntityRecord] = {}
        self._calls: dict[CallKey, WaitingCall] = {}  # HTTP calls between two requests
        self._due_calls: list[CallKey] = []
        self._call_steps: list[CallStep] = []
        self._planned: list[tuple[CallKey, WaitingCall]] = []  # cancel requests that the present batch decides on
        self._known_bodies: set[str] | None = None  # the hashes in `http_body`, once they are needed
        self._bodies_left = False  # whether instances were deleted whose bodies may still be there
        self._chores: deque[Callable[[], None]] = deque()  # for the engine's thread, between two turns
        self._in_flight: set[Ack] = set()
        self._dirty: dict[int, InstanceRecord] = {}
        self._flushed_pos = -1
        self._published_pos = -1
        self._ended: dict[str, InstanceRecord] = {}
        self._recent: OrderedDict[str, Ended] = OrderedDict()
        self._watchers: list[Callable[[frozenset[str]], None]] = []
        self._local = threading.local()
        self._closed = False
        self.ask_engine: Callable[[float], str] = lambda least: ""
        """Tells whose code the engine has been running for that many seconds or more; empty for nobody's."""
        with interruptible():
            self._journal = Journal(self.path, level=durability, now=now(), flush=self._flush, on_problem=self._on_problem)
            try:
                self._recover()
            except BaseException as error:
                self._journal.close(abandon=True)
                if isinstance(error, duckdb.Error):
                    raise unusable(self.path, error) from error
                raise
        self._journal.start(self._published_pos)

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
        for entity in recovered.entities:
            self._take_up_entity(entity)
            if entity.lock is not None and not self._holds(entity.lock) and not entity.is_being_released:
                self._take_back(entity, entity.lock)

    def _take_up_entity(self, entity: EntityState) -> None:
        self._entities[entity.key] = self._entity_by_id[entity.id] = entity
        record = entity.to_record()
        if record != entity.record:
            entity.record = self._dirty_entities[entity.key] = record
        for due, number in entity.later or ():
            heapq.heappush(self._timers, (due, entity.key, 0, number))
        if entity.queue or entity.own:
            self.wake_entity(entity)

    def _holds(self, lock: Caller) -> bool:
        """Whether there is an orchestration that will give the lock back."""
        with self.changed:
            state = self._by_id.get(lock.id)
            return (
                state is not None
                and state.key == lock.key
                and not state.is_terminal
                and state.generation == lock.generation
                and state.take_open(lock.task or 0) is not None
            )

    def _take_back(self, entity: EntityState, lock: Caller) -> None:
        """A rewound orchestration had taken the lock again, and the crash came before its code could: it will ask anew."""
        state = self._by_id.get(lock.id)
        if state is not None and state.pending:
            state.pending = [event for event in state.pending if event != EntityLockGranted(lock.task or 0)]
        self._put_operation(entity, OperationMessage(Operation("unlock", "", None, self.now(), lock), internal=True))

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

    def close(self, *, abandon: bool = False) -> None:
        """Write everything and let the file go; with `abandon`, what is not yet committed is dropped, as by a crash."""
        with self.changed:
            self._closed = True
            self.changed.notify_all()
        self._journal.close(abandon=abandon)
        self._local = threading.local()  # all threads' cursors
        self._refuse_in_flight(HubClosedError)
        with self.changed:
            chores, self._chores = self._chores, deque()
        for chore in chores:
            chore()  # finds the hub closed and says so to whoever waits for it
        for state in list(self._states.values()):
            waiters, state.waiters = state.waiters or [], None
            for waiter in waiters:
                if waiter.set_running_or_notify_cancel():
                    waiter.set_exception(HubClosedError())

    @property
    def problem(self) -> HubUnavailableError | None:
        """Why what a client asks cannot be done now; None when all is well."""
        return self._journal.problem or self._slow_turn(_TOO_LONG)

    def slow_turn(self) -> EngineBusyError | None:
        """Whose code keeps the engine from everything else, None while nobody's has for long."""
        return self._slow_turn(_LONG)

    def _slow_turn(self, least: float) -> EngineBusyError | None:
        slow = self.ask_engine(least)
        return EngineBusyError(self.path, slow) if slow else None

    def _check_open(self) -> None:
        if self._closed:
            raise HubClosedError
        problem = self._journal.problem
        if problem is not None:
            raise problem.for_request(kept=False)

    def _check_room(self, texts: Iterable[str | None]) -> None:
        """Refuse what the disk has no room for while nothing of it is done: once begun, it would hold up all that comes later."""
        size = sum(len(text) for text in texts if text is not None)
        free = free_bytes(self.path) if size >= _LARGE and self.path != ":memory:" else None
        if free is not None and free < _COPIES * size:
            why = f"it takes {_COPIES * size / 1e6:,.1f} MB for a while, and its disk has {free / 1e6:,.1f} MB free"
            raise HubUnavailableError(self.path, why, kept=False)

    def _on_problem(self, problem: HubUnavailableError | None) -> None:
        """The disk has begun to refuse, or (None) to take writes again: the engine rests in between."""
        if problem is not None:
            with self.changed:
                withdrawn = self._withdraw(self._in_flight)
                self._in_flight -= withdrawn
            for ack in withdrawn:
                ack.refuse(problem.for_request(kept=False))
            self._refuse_in_flight(lambda: problem.for_request(kept=True))
            return
        with self.changed:
            self.changed.notify_all()

    def _refuse_in_flight(self, error: Callable[[], Exception]) -> None:
        """Nobody waits for ever: what is not acknowledged is answered with the reason."""
        with self.changed:
            acks, self._in_flight = self._in_flight, set()
        for ack in acks:
            ack.refuse(error())

    # what is taken back

    def withdraw(self, future: Future[Any]) -> bool | None:
        """Undo a request nobody waits for any longer. False: the engine has begun with it; None: it is no request, or is over."""
        with self.changed:
            acks = {ack for ack in self._in_flight if ack.future is future and not future.done()}
            withdrawn = self._withdraw(acks)
            self._in_flight -= withdrawn
        return bool(withdrawn) if acks else None

    def _withdraw(self, acks: Iterable[Ack]) -> set[Ack]:
        """Those of the requests that the engine has not begun with, whose messages leave the inboxes. With the lock held."""
        withdrawn: set[Ack] = set()
        gone: set[InstanceState] = set()
        for ack in sorted(acks, key=lambda ack: ack.starts):  # what was sent to an instance first, then its start
            holders = {id: holder for id in ack.to if (holder := self._holder(id)) is not None}
            if not _all_there(ack, list(holders.values())):
                continue
            withdrawn.add(ack)
            for holder in holders.values():
                holder.inbox = [message for message in holder.inbox or () if message.ack is not ack] or None  # type: ignore[assignment]
            if ack.starts:
                gone.update(self._dismiss(ack))
        if gone:
            self._ready = deque(state for state in self._ready if state not in gone)
        return withdrawn

    def _holder(self, id: str) -> InstanceState | EntityState | None:
        return self._entity_by_id.get(id) if id.startswith("@") else self._by_id.get(id)

    def _dismiss(self, ack: Ack) -> list[InstanceState]:
        """The opposite of `_admit`: the instances were never started, and those whose ids they took are found again."""
        states = [self._by_id.pop(id) for id in ack.to]
        for state in states:
            del self._states[state.key]
            for waiter in state.waiters or ():
                if waiter.set_running_or_notify_cancel():
                    waiter.set_exception(InstanceNotFoundError(state.id))
        for record in ack.ended:
            if self._dirty.get(record.key) is record:  # else the file has it
                self._ended[record.id] = record
        return states

    # inboxes

    def open_states(self) -> list[InstanceState]:
        with self.changed:
            return list(self._by_id.values())

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
        if message.internal:
            self._unsaved[state.key] = state
        if not state.queued:
            state.queued = True
            self._ready.append(state)

    def _entity(self, entity_id: str) -> EntityState:
        """The entity's state in memory, not yet loaded if it was not there. With the lock held."""
        entity = self._entity_by_id.get(entity_id)
        if entity is None:
            entity = self._entity_by_id[entity_id] = EntityState(entity_id)
        return entity

    def _put_operation(self, entity: EntityState, message: OperationMessage) -> None:
        if entity.inbox is None:
            entity.inbox = []
        entity.inbox.append(message)
        if message.internal:
            self._unsaved_entities[entity.id] = entity
        if not entity.queued:
            entity.queued = True
            self._ready_entities.append(entity)

    def wake_entity(self, entity: EntityState) -> None:
        """Have the engine look at an entity."""
        with self.changed:
            if not entity.queued:
                entity.queued = True
                self._ready_entities.append(entity)
                self.changed.notify_all()

    def _admit(self, request: StartRequest, message: Message) -> None:
        state = InstanceState(self._next_key, request.id)
        self._next_key += 1
        state.name = request.name
        state.start_at = request.start_at
        state.fresh = request.fresh
        self._states[state.key] = state
        self._by_id[request.id] = state
        self._forget_end(request.id)
        self._put(state, message)

    def _check_free(self, requests: Sequence[StartRequest]) -> None:
        taken = set()
        for request in requests:
            state = self._by_id.get(request.id)
            if state is not None:
                raise InstanceExistsError(request.id, state.visible_status)
            if request.id in taken:
                raise InstanceExistsError(request.id, "asked for twice in this call")
            taken.add(request.id)

    def _revive(self, record: InstanceRecord) -> InstanceState:
        self._journal.drain(record.ended_pos if record.ended_pos is not None else -1)
        (state,) = self._read(lambda cursor: fold(cursor, [record.key]))
        state.record = record
        return state

    def _push_timer(self, timer: tuple[int, int, int, int]) -> None:
        heapq.heappush(self._timers, timer)

    def _readmit(self, state: InstanceState) -> None:
        self._states[state.key] = state
        self._forget_end(state.id)
        self._rearm(state)

    def _forget_end(self, instance_id: str) -> None:
        self._ended.pop(instance_id, None)
        self._recent.pop(instance_id, None)

    # the file

    def peek(self, instance_id: str) -> InstanceRecord | None:
        """The same as `find` if that can be told without the file, which it can of open and just ended instances; else None."""
        with self.changed:
            state = self._by_id.get(instance_id)
            if state is not None:
                return state.record
            return self._ended.get(instance_id) or self._recent_record(instance_id)

    def find(self, instance_id: str) -> InstanceRecord | None:
        """The latest committed state of an instance, or None."""
        record = self.peek(instance_id)
        if record is not None:
            return record
        found = self._find_ended([instance_id])
        return found[-1] if found else None

    def _recent_record(self, instance_id: str) -> InstanceRecord | None:
        recent = self._recent.get(instance_id)
        return recent.record if recent is not None else None

    def _find_ended(self, ids: Sequence[str]) -> list[InstanceRecord]:
        with self.changed:
            recent = [self._ended[id] for id in ids if id in self._ended]
        if len(recent) == len(ids):
            return recent
        newer = {record.id for record in recent}
        return [record for record in self._read(lambda cursor: _stored(cursor, ids)) if record.id not in newer] + recent

    def _read(self, look: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """What the file says. It holds all a client was told of, and a compaction or reopening under way does not show."""
        if self.durability == "relaxed":
            self._journal.drain()
        while True:
            epoch = self._journal.epoch
            try:
                with interruptible():
                    return look(self._cursor())
            except duckdb.Error as error:
                if is_damage(error):
                    raise unusable(self.path, error) from error
                if epoch == self._journal.epoch:
                    raise HubUnavailableError(self.path, str(error)) from error

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        """A cursor of the calling thread's own."""
        if self._closed:
            raise HubClosedError
        local = self._local  # another thread may close the hub, which puts an empty one in its place
        if getattr(local, "epoch", None) != self._journal.epoch:
            local.cursor = self._journal.cursor()
            local.epoch = self._journal.epoch
        cursor: duckdb.DuckDBPyConnection = local.cursor
        return cursor

    def flush(self) -> None:
        """Bring the derived rows up to what is committed. While the disk refuses, they stay as they are."""
        with contextlib.suppress(HubUnavailableError):
            self._journal.run(self._flush).result()

    def _flush(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Upsert what has changed. Runs on the writer thread, which is also the only one to change `_dirty`."""
        pos = self._published_pos
        if not self._dirty and not self._dirty_entities and pos == self._flushed_pos:
            return
        records = list(self._dirty.values())
        connection.execute("BEGIN")
        _upsert(connection, "instance", [row_of(record) for record in records])
        _upsert(connection, "entity", [entity_row(record) for record in self._dirty_entities.values()])
        connection.execute(query("set_watermark"), [pos])
        connection.execute("COMMIT")
        self._dirty.clear()
        self._dirty_entities.clear()
        self._flushed_pos = pos
        with self.changed:
            for record in records:
                if self._ended.get(record.id) is record:
                    del self._ended[record.id]

    def _delete(self, connection: duckdb.DuckDBPyConnection, keys: list[int]) -> None:
        delete(connection, keys)
        self._bodies_left = True
        for key in keys:
            self._dirty.pop(key, None)

    def _tell(self, ids: Iterable[str]) -> None:
        told = frozenset(ids) if self._watchers else frozenset()
        for watcher in self._watchers:
            watcher(told)


def _all_there(ack: Ack, holders: Sequence[InstanceState | EntityState]) -> bool:
    """Whether all messages of a request are still in the inboxes, and nobody else's with those that are to start something."""
    waiting = [message.ack for holder in holders for message in holder.inbox or ()]
    mine = waiting.count(ack)
    return 0 < mine == len(ack.to) and (mine == len(waiting) or not ack.starts)


def _upsert(connection: duckdb.DuckDBPyConnection, table: str, rows: list[Row]) -> None:
    if rows:
        with connection.appender(table, action="upsert") as appender:
            appender.append_rows(rows)


def _stored(cursor: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> list[InstanceRecord]:
    """What the file has under these ids, older ones first."""
    if len(ids) == 1:
        rows = cursor.execute(query("find_instance"), [id_hash(ids[0])]).fetchall()
    else:
        rows = cursor.execute(query("find_instances"), [list(map(id_hash, ids))]).fetchall()
    wanted = frozenset(ids)
    found = {record.key: record for record in map(record_of, rows) if record.id in wanted}
    return [found[key] for key in sorted(found)]


def delete(connection: duckdb.DuckDBPyConnection, keys: Sequence[int]) -> None:
    """Delete instances with all their rows, in one transaction."""
    connection.execute("BEGIN")
    for start in range(0, len(keys), 1000):
        part = list(keys[start : start + 1000])
        for statement in ("delete_events", "delete_logs", "delete_exchanges", "delete_instances"):
            connection.execute(query(statement).format(placeholders(len(part))), part)
    connection.execute("COMMIT")
