"""The turns of entities: operations in their order, one at a time, within the batch that their callers' turns belong to.

An operation's state, result and messages are saved by the same commit as the progress of whoever asked for it, so that it runs
once with respect to all of these.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import msgspec

from dfnb.definitions import Definition, Registry
from dfnb.engine import capture
from dfnb.engine.clock import Clock
from dfnb.engine.own_code import OwnCode
from dfnb.errors import NotRegisteredError
from dfnb.hub.entity_state import Change, EntityState, OperationMessage
from dfnb.hub.protocol import StartRequest, WorkerSide
from dfnb.hub.state import InstanceState, Message
from dfnb.records.entity import Caller, Operation
from dfnb.records.entity_id import EntityId
from dfnb.records.failure import FailureDetails
from dfnb.records.history import (
    EntityLockGranted,
    EntityLockRequested,
    EntityOperationCalled,
    EntityOperationCompleted,
    EntityOperationFailed,
    EntityOperationSignaled,
    EntityUnlockSent,
    HistoryEvent,
)
from dfnb.records.instance import Wait
from dfnb.records.log import LogLine
from dfnb.replay.entity import Outcome, run_operation

logger = logging.getLogger("dfnb")

_LONG = 1_000_000
_encode_failure = msgspec.json.Encoder().encode
_decode_ids = msgspec.json.Decoder(tuple[str, ...]).decode

ASKS = (EntityOperationCalled, EntityOperationSignaled, EntityLockRequested, EntityUnlockSent)
"""What an orchestrator's decision may ask of entities."""


class EntityEngine:
    """Runs the operations of one hub's entities, on the engine's thread."""

    def __init__(
        self, hub: WorkerSide, registry: Registry, clock: Clock, own_code: OwnCode, *, limit: int, strict: bool
    ) -> None:
        self._hub = hub
        self._registry = registry
        self._clock = clock
        self._own_code = own_code
        self._limit = limit
        self._strict = strict

    # what orchestrations ask

    def ask(self, state: InstanceState, event: HistoryEvent, at: int) -> None:
        """Send what an orchestrator's decision asks to the entities it is for."""
        if isinstance(event, EntityOperationCalled):
            caller = Caller(state.id, state.generation, event.task, state.key)
            self._hub.post_operation(event.entity, Operation("call", event.name, event.input, at, caller))
        elif isinstance(event, EntityOperationSignaled):
            due_at = event.due_at if event.due_at is not None and event.due_at > at else None
            caller = Caller(state.id, state.generation, None, state.key)
            self._hub.post_operation(event.entity, Operation("signal", event.name, event.input, at, caller, due_at))
        elif isinstance(event, EntityLockRequested):
            self._request_lock(state, event.task, event.entities, at)
        elif isinstance(event, EntityUnlockSent):
            self._give_back(state, event.task, event.entities, at)

    def must_lock_again(self, state: InstanceState, messages: Sequence[Message]) -> bool:
        """Whether a rewound instance waits, as its `waits` then say, for the locks it held when it failed.

        They were given back at its end, and its code will find itself within the critical section.
        """
        if not state.relocks:
            return False
        granted = {message.event.task for message in messages if isinstance(message.event, EntityLockGranted)}
        again = [(task, entry) for task, entry in state.locks("relock", "relocking") if task not in granted]
        waits = []
        for task, entry in again:
            entities = _decode_ids(entry.data or "[]")
            waits.append(Wait("lock", ", ".join(entities), task, None, entry.at))
            if entry.kind == "relock" and state.open is not None:
                state.open[task] = msgspec.structs.replace(entry, kind="relocking")
                self._request_lock(state, task, entities, self._clock.now())
        state.relocks = bool(waits)
        if waits:
            state.waits = tuple(waits)
        return state.relocks

    def release_locks(self, state: InstanceState, at: int) -> None:
        """An instance, or its generation, has ended: nobody may wait for its locks."""
        for task, entry in state.locks("lock", "locked", "relock", "relocking"):
            self._give_back(state, task, _decode_ids(entry.data or "[]"), at)

    def _request_lock(self, state: InstanceState, task: int, entities: tuple[str, ...], at: int) -> None:
        caller = Caller(state.id, state.generation, task, state.key)
        self._hub.post_operation(entities[0], Operation("lock", "", None, at, caller, None, entities))

    def _give_back(self, state: InstanceState, task: int, entities: tuple[str, ...], at: int) -> None:
        caller = Caller(state.id, state.generation, task, state.key)
        for entity in entities:
            self._hub.post_operation(entity, Operation("unlock", "", None, at, caller))

    # the turns

    def definition_changed(self, definition: Definition) -> None:
        """A cell was run: what waits for it may go on. From any thread."""
        for entity in self._hub.waiting_entities(definition.name.lower()):
            self._hub.wake_entity(entity)

    def run(self, ready: Sequence[tuple[EntityState, list[OperationMessage]]]) -> None:
        """Each entity's turn: take in what is new, run what may run."""
        for entity, messages in ready:
            now = self._clock.now()
            entity.take_due(now)
            for message in messages:
                entity.admit(message.operation)
            self._drain(entity)
            self._hub.finish_entity(entity, messages, now)

    def _drain(self, entity: EntityState) -> None:
        definition = self._registry.get("entity", entity.name)
        can_run = definition is not None or self._strict
        while (found := entity.next()) is not None:
            number, operation = found
            if self._hub.rows_open >= self._limit:
                self._hub.wake_entity(entity)
                return
            if operation.kind == "lock":
                self._lock(entity, number, operation)
            elif operation.kind == "unlock":
                self._unlock(entity, number, operation)
            elif can_run:
                self._operate(entity, number, operation, definition)
            elif operation.destroy:
                self._remove(entity, number, operation)
            else:
                return

    def _remove(self, entity: EntityState, number: int, operation: Operation) -> None:
        """Nobody knows any more how to delete it, and it shall go: its code has no say."""
        entity.take(number)
        entity.state = None
        self._hub.record_operation(entity, Change.COMPLETED, number, operation, self._clock.now())

    def _lock(self, entity: EntityState, number: int, request: Operation) -> None:
        entity.take(number)
        at = self._clock.now()
        if request.caller is None or not self._hub.wants_lock(request.caller):
            self._cancel(entity, number, at)
            return
        self._hub.record_operation(entity, Change.LOCKED, number, request, at)
        following = request.locks.index(entity.id) + 1
        if following < len(request.locks):
            self._hub.post_operation(request.locks[following], request)
        else:
            self._answer(request.caller, EntityLockGranted(request.caller.task or 0), at)

    def _unlock(self, entity: EntityState, number: int, release: Operation) -> None:
        entity.take(number)
        at = self._clock.now()
        self._cancel(entity, number, at)
        if entity.lock is not None and entity.lock == release.caller:
            self._hub.record_operation(entity, Change.UNLOCKED, entity.lock_number, None, at)

    def _cancel(self, entity: EntityState, number: int, at: int) -> None:
        """Nothing comes of it; only if it was written down as waiting is there something to write now."""
        if entity.saved is not None and number in entity.saved:
            self._hub.record_operation(entity, Change.CANCELED, number, None, at)

    def _operate(self, entity: EntityState, number: int, operation: Operation, definition: Definition | None) -> None:
        entity.take(number)
        at = self._clock.now()
        sink = capture.Sink(self._clock.now, number)
        begun = time.perf_counter_ns()
        with capture.to(sink), self._own_code.of("entity", operation.name, entity.id):
            outcome = self._outcome(entity, number, operation, definition, at)
        took = (time.perf_counter_ns() - begun) // 1000
        if outcome.failure is None:
            entity.state = outcome.state
            self._hub.record_operation(entity, Change.COMPLETED, number, operation, at, took=took, text=outcome.result)
            self._send(entity, outcome, at, sink)
        else:
            failure = _encode_failure(outcome.failure).decode()
            self._hub.record_operation(entity, Change.FAILED, number, operation, at, took=took, text=failure)
        if operation.destroy:
            entity.state = None
        if operation.kind == "call" and operation.caller is not None and operation.caller.task is not None:
            self._answer(operation.caller, _answer_of(operation.caller.task, outcome), at)
        self._write_lines(entity, number, operation, sink, took)

    def _outcome(
        self, entity: EntityState, number: int, operation: Operation, definition: Definition | None, at: int
    ) -> Outcome:
        if definition is None:
            error = NotRegisteredError("entity", entity.name, self._registry.names("entity"))
            return Outcome(entity.state, failure=FailureDetails.from_exception(error))
        caller = operation.caller.id if operation.caller is not None else None
        name, _, key = entity.id[1:].partition("@")
        return run_operation(
            definition.function, EntityId(name, key), entity.state, operation.name, operation.input,
            now=at, seed=f"{entity.id}:{number}:{at}", name=definition.name, caller=caller,
        )

    def _send(self, entity: EntityState, outcome: Outcome, at: int, sink: capture.Sink) -> None:
        sender = Caller(entity.id)
        for signal in outcome.signals:
            due_at = signal.due_at if signal.due_at is not None and signal.due_at > at else None
            self._hub.post_operation(signal.entity, Operation("signal", signal.name, signal.input, at, sender, due_at))
        if not outcome.starts:
            return
        requests = [
            StartRequest(start.name, start.instance_id, start.input, None, self._code_of(start.name), None, start.fresh)
            for start in outcome.starts
        ]
        for problem in self._hub.start_children(requests, at):
            if problem is not None:
                sink.write("WARNING", f"{problem}\n")

    def _code_of(self, orchestrator: str) -> str | None:
        definition = self._registry.get("orchestrator", orchestrator)
        return definition.fingerprint if definition is not None else None

    def _answer(self, caller: Caller, event: HistoryEvent, at: int) -> None:
        """Tell the orchestration. If it has failed in the meantime it may be rewound, and must find the answer then."""
        state = self._hub.look_up(caller.id)
        if state is None or state.key != caller.key:
            return  # purged, or started anew under the same id
        message = Message(event, at, caller.generation)
        if not self._hub.post(caller.id, message) and state.status == "Failed":
            self._hub.record_late(state, [message])

    def _write_lines(self, entity: EntityState, number: int, operation: Operation, sink: capture.Sink, took: int) -> None:
        lines = list(sink.lines())
        if took > _LONG:
            said = (
                f"operation {operation.name!r} took {took / 1e6:.1f} s, and all else had to wait: entities run one after the "
                "other on the engine's thread, so leave what takes long to an activity"
            )
            logger.warning("dfnb: entity %s: %s", entity.id, said)
            lines.append(LogLine(number, 1, self._clock.now(), "WARNING", said))
        if lines:
            self._hub.write_entity_logs(entity, lines)


def _answer_of(task: int, outcome: Outcome) -> HistoryEvent:
    if outcome.failure is not None:
        return EntityOperationFailed(task, outcome.failure)
    return EntityOperationCompleted(task, outcome.result)
