"""The client side of the hub for entities: signal, read, list, clean up. Every method may be called from any thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

import duckdb

from dfnb.hub import entity_reader, reader
from dfnb.hub.entity_state import EntityState, OperationMessage
from dfnb.hub.memory import WorkingSet
from dfnb.hub.protocol import EntityQuery, SignalRequest
from dfnb.hub.sql import placeholders, query
from dfnb.hub.state import Ack
from dfnb.records.entity import EntityRecord, Operation, OperationRecord
from dfnb.records.log import LogLine

T = TypeVar("T")

_DELETED_AT_ONCE = 1_000
_LOOK_SECONDS = 0.2


class EntityClientSide(WorkingSet):
    """What clients ask of the hub about entities."""

    def signal_entities(self, requests: Sequence[SignalRequest]) -> Future[None]:
        """Send all of them. Done once they are on disk, which for what can run at once means: once they have run."""
        at = self.now()
        self._check_room(request.input for request in requests)
        messages = [(request.entity, _operation(request, at)) for request in requests]
        return self._send_operations(messages)

    def _send_operations(self, operations: Sequence[tuple[str, Operation]]) -> Future[None]:
        ack = Ack(len(operations), [entity_id for entity_id, _ in operations])
        if not operations:
            ack.accept()
            return ack.future
        with self.changed:
            self._check_open()
            self._in_flight.add(ack)
            for entity_id, operation in operations:
                self._put_operation(self._entity(entity_id), OperationMessage(operation, ack=ack))
            self.changed.notify_all()
        return ack.future

    def find_entity(self, entity_id: str) -> EntityRecord | None:
        """The latest committed state of an entity, or None if nobody ever asked for it."""
        with self.changed:
            entity = self._entity_by_id.get(entity_id)
            if entity is not None and entity.loaded:
                return entity.record
        return self._read(lambda cursor: entity_reader.by_id(cursor, [entity_id])).get(entity_id)

    def query_entities(self, wanted: EntityQuery) -> list[EntityRecord]:
        """The entities that fit, oldest first, at most `limit`."""
        self.flush()
        return self._read(lambda cursor: entity_reader.list_entities(cursor, wanted))

    def count_entities(self) -> dict[str, tuple[int, int]]:
        """How many entities have a state, and how many operations wait, by the name of the entities."""
        self.flush()
        rows = self._read(lambda cursor: cursor.execute(query("count_entities")).fetchall())
        return {name: (count, waiting) for name, count, waiting in rows}

    def entity_operations(self, record: EntityRecord, limit: int) -> list[OperationRecord]:
        """The latest operations of an entity, newest first."""
        return self._read(lambda cursor: entity_reader.operations(cursor, record, limit))

    def entity_logs(self, record: EntityRecord) -> list[LogLine]:
        """What the entity's code has printed and logged."""
        return self._read(lambda cursor: reader.logs(cursor, record))

    # cleaning up

    def clean_entities(self, *, remove_empty: bool, release_orphaned_locks: bool) -> tuple[int, int]:
        """Forget entities without a state, and take locks from orchestrations that are gone; how many of each."""
        released = self._release_orphaned() if release_orphaned_locks else 0
        if not remove_empty:
            return 0, released
        return self._as_chore(self._remove_empty), released

    def _as_chore(self, work: Callable[[], T]) -> T:
        """Have the engine's thread do it between two turns: nothing is brought to life there meanwhile."""
        done: Future[T] = Future()
        with self.changed:
            self._check_open()
            self._chores.append(lambda: _carry_out(work, done))
            self.changed.notify_all()
        while True:
            try:
                return done.result(_LOOK_SECONDS)
            except TimeoutError:
                problem = self.problem
                if problem is not None and done.cancel():
                    raise problem.for_request(kept=False) from None

    def _release_orphaned(self) -> int:
        locked = self.query_entities(EntityQuery(with_state=False, with_empty=True, locked=True, limit=1 << 62))
        orphaned = [(record.id, record.lock) for record in locked if record.lock is not None and not self._holds(record.lock)]
        at = self.now()
        self._send_operations([(id, Operation("unlock", "", None, at, lock)) for id, lock in orphaned]).result()
        return len(orphaned)

    def _remove_empty(self) -> int:
        self.flush()
        keys = [key for (key,) in self._read(lambda cursor: cursor.execute(query("empty_entities")).fetchall())]
        keys = [key for key in keys if self._forget(self._entities.get(key))]
        if keys:
            self._journal.run(lambda connection: _delete(connection, keys)).result()
        return len(keys)

    def _forget(self, entity: EntityState | None) -> bool:
        """Drop an entity from memory, unless it has something to do again."""
        if entity is None:
            return True
        with self.changed:
            if not entity.is_idle or entity.state is not None or entity.key in self._dirty_entities:
                return False
            del self._entity_by_id[entity.id]
            del self._entities[entity.key]
            return True


def _carry_out(work: Callable[[], T], done: Future[T]) -> None:
    if not done.set_running_or_notify_cancel():
        return
    try:
        done.set_result(work())
    except Exception as error:
        done.set_exception(error)


def _operation(request: SignalRequest, at: int) -> Operation:
    due_at = request.due_at if request.due_at is not None and request.due_at > at else None
    return Operation("signal", request.operation, request.input, at, None, due_at, (), request.destroy)


def _delete(connection: duckdb.DuckDBPyConnection, keys: list[int]) -> None:
    connection.execute("BEGIN")
    for start in range(0, len(keys), _DELETED_AT_ONCE):
        part = keys[start : start + _DELETED_AT_ONCE]
        for statement in ("delete_operations", "delete_logs", "delete_entities"):
            connection.execute(query(statement).format(placeholders(len(part))), part)
    connection.execute("COMMIT")
