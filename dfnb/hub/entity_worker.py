"""The worker side of the hub for entities: which have something to do, and the rows their operations make.

Called from the engine's thread unless a method says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from dfnb.errors import HubClosedError
from dfnb.hub import entity_reader
from dfnb.hub.entity_state import Change, EntityState, OperationMessage, header_of
from dfnb.hub.memory import WorkingSet
from dfnb.hub.open_batch import OpenBatch
from dfnb.records.entity import Caller, Operation
from dfnb.records.log import LogLine

_KEPT = 10_000
"""So many entities stay in memory although they have nothing to do."""
_LOOKED_AT = 2_000


class EntityWorkerSide(WorkingSet):
    """What the engine asks of the hub about entities."""

    _batch: OpenBatch

    def take_ready_entities(self, limit: int) -> list[tuple[EntityState, list[OperationMessage]]]:
        """Entities with something to do and what they are newly asked for, at most about `limit` operations."""
        self._do_chores()
        taken: list[tuple[EntityState, list[OperationMessage]]] = []
        while not taken and self._load_ready(limit):
            taken = self._take(limit)
        return taken

    def _load_ready(self, limit: int) -> bool:
        """Look up in the file who is ready. They are taken only then: should the file not answer, nothing is lost."""
        with self.changed:
            ready = list(islice(self._ready_entities, limit)) if self._journal.problem is None else []
        unknown = [entity for entity in ready if not entity.loaded]
        if unknown:
            self._load(unknown)
            self._drop_idle()
        return bool(ready)

    def _take(self, limit: int) -> list[tuple[EntityState, list[OperationMessage]]]:
        taken: list[tuple[EntityState, list[OperationMessage]]] = []
        with self.changed:
            while self._ready_entities and self._ready_entities[0].loaded and limit > 0:
                entity = self._ready_entities.popleft()
                entity.queued = False
                messages = entity.inbox or []
                entity.inbox = None
                if len(messages) > limit:
                    messages, entity.inbox = messages[:limit], messages[limit:]
                    self.wake_entity(entity)
                else:
                    self._unsaved_entities.pop(entity.id, None)
                taken.append((entity, messages))
                limit -= max(1, len(messages))
        return taken

    def _do_chores(self) -> None:
        while self._chores:
            with self.changed:
                chore = self._chores.popleft() if self._chores else None
            if chore is not None:
                chore()

    def _load(self, entities: Sequence[EntityState]) -> None:
        """Look in the file for entities that are not in memory: one query for all."""
        if not entities:
            return
        ids = [entity.id for entity in entities]
        found = self._read(lambda cursor: entity_reader.by_id(cursor, ids))
        for entity in entities:
            record = found.get(entity.id)
            if record is not None:
                entity.restore(record)
                self._entities[entity.key] = entity
            entity.loaded = True

    def _drop_idle(self) -> None:
        """Let go of entities at rest, longest known ones first. Nobody may be between `_take` and `finish_entity`."""
        with self.changed:
            excess = len(self._entity_by_id) - _KEPT
            for entity in list(islice(self._entity_by_id.values(), max(0, min(excess, _LOOKED_AT)))):
                if entity.loaded and entity.is_idle and entity.key not in self._dirty_entities:
                    del self._entity_by_id[entity.id]
                    self._entities.pop(entity.key, None)
                else:
                    self._entity_by_id.move_to_end(entity.id)

    def waiting_entities(self, name: str) -> list[EntityState]:
        """The entities of that name (in lower case) with operations to run."""
        with self.changed:
            return [entity for entity in self._entity_by_id.values() if entity.name == name and not entity.is_idle]

    # within the present batch

    def post_operation(self, entity_id: str, operation: Operation) -> None:
        """Hand an operation to an entity, which need not exist."""
        with self.changed:
            self._put_operation(self._entity(entity_id), OperationMessage(operation, internal=True))

    def wants_lock(self, caller: Caller) -> bool:
        """Whether that orchestration still waits for the lock it asked for with that task."""
        with self.changed:
            state = self._by_id.get(caller.id)
        if state is None or state.key != caller.key or state.generation != caller.generation:
            return False
        if state.is_terminal or state.status == "ContinuedAsNew":
            return False
        entry = state.take_open(caller.task or 0)
        return entry is not None and entry.kind in ("lock", "relock", "relocking")

    def record_operation(
        self, entity: EntityState, change: Change, number: int, operation: Operation | None, at: int, *,
        took: int | None = None, text: str | None = None,
    ) -> None:
        """Add what happened to an entity to the present batch; `text` is a result, a failure or a state."""
        if self._closed:
            raise HubClosedError
        if entity.key == 0:
            self._create(entity, at)
        pos = self._next_pos
        self._next_pos += 1
        told = operation is None or (entity.saved is not None and number in entity.saved)
        entity.apply(change, number, operation, pos, at, text)
        row = (pos, entity.key, number, int(change), at, took, text)
        if told or operation is None:
            self._batch.operations.append((*row, None, None, None, None, None, None))
            return
        caller = operation.caller.id if operation.caller is not None else None
        facts = (operation.kind, operation.sent_at, operation.name, caller, operation.input, header_of(operation))
        self._batch.operations.append((*row, *facts))

    def _create(self, entity: EntityState, at: int) -> None:
        with self.changed:
            entity.key = self._next_key
            self._next_key += 1
            self._entities[entity.key] = entity
        pos = self._next_pos
        self._next_pos += 1
        entity.apply(Change.CREATED, 0, None, pos, at, None)
        self._batch.operations.append(
            (pos, entity.key, 0, int(Change.CREATED), at, None, None, None, None, entity.id, None, None, None)
        )

    def finish_entity(self, entity: EntityState, messages: Sequence[OperationMessage], at: int) -> None:
        """Close an entity's turn: what still waits is written down, and its state if that has changed."""
        withdrawn, entity.withdrawn = entity.withdrawn, ()
        for number in withdrawn:
            self.record_operation(entity, Change.CANCELED, number, None, at)
        for number, operation in entity.unsaved():
            self.record_operation(entity, Change.ARRIVED, number, operation, at)
            if operation.due_at is not None:
                self._batch.timers.append((operation.due_at, entity.key, 0, number))
        if entity.state != entity.saved_state:
            self.record_operation(entity, Change.STATE_SET, 0, None, at, text=entity.state)
        self._batch.acks += [message.ack for message in messages if message.ack is not None]
        if entity.key == 0:
            return  # nothing came of it, so that there is nothing to know of it
        if entity.key not in self._batch.entities:
            with self.changed:
                entity.flying += 1
            self._batch.entities[entity.key] = entity
        self._batch.entity_records[entity.key] = entity.to_record()

    def write_entity_logs(self, entity: EntityState, lines: Sequence[LogLine]) -> None:
        self._batch.logs += [(entity.key, line.task, line.attempt, line.at, line.stream, line.text) for line in lines]

    def _save_unsaved_entities(self) -> None:
        """What was made in this batch and could not run in it is saved with it, and goes on in the next."""
        with self.changed:
            unsaved = list(self._unsaved_entities.values())
        self._load([entity for entity in unsaved if not entity.loaded])
        self._unsaved_entities = {}
        for entity in unsaved:
            with self.changed:
                inner = [message for message in entity.inbox or () if message.internal]
                entity.inbox = [message for message in entity.inbox or () if not message.internal] or None
            now = self.now()
            entity.take_due(now)
            for message in inner:
                entity.admit(message.operation)
            self.finish_entity(entity, inner, now)

    # after a commit

    def _entities_saved(self, made: OpenBatch) -> None:
        """The batch is on disk (writer thread)."""
        self._dirty_entities.update(made.entity_records)
        if made.entities:
            with self.changed:
                for entity in made.entities.values():
                    entity.flying -= 1
