"""The turns that share one commit.

`run_batch` takes what is ready, runs each one's turn, delivers messages between instances and entities of the hub until it is
quiet or full, and hands everything to the hub as one commit. Only when that is on disk do activities start (`_release`).
"""

from __future__ import annotations

import functools
import logging
from collections import OrderedDict, deque
from collections.abc import Sequence

from dfnb.definitions import Definition, Registry
from dfnb.engine import capture
from dfnb.engine.activities import ActivityCall, ActivityRunner
from dfnb.engine.clock import Clock
from dfnb.engine.entities import ASKS, EntityEngine
from dfnb.engine.http import HttpCalls, HttpJob
from dfnb.engine.own_code import OwnCode
from dfnb.engine.waited import with_length
from dfnb.errors import NonDeterminismError, NotRegisteredError
from dfnb.hub.protocol import StartRequest, WorkerSide
from dfnb.hub.state import InstanceState, Message
from dfnb.records.failure import FailureDetails
from dfnb.records.history import (
    EntityLockGranted,
    ExecutionCompleted,
    ExecutionRewound,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    HttpCallScheduled,
    OrchestratorStarted,
    ParentRef,
    Recorded,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskScheduled,
)
from dfnb.records.instance import Wait
from dfnb.records.log import LogLine
from dfnb.replay.orchestrator import Decision, OrchestrationReplay

logger = logging.getLogger("dfnb")

_LOADED_AT_ONCE = 1_000
_AHEAD_AT_MOST = 250
_SOON = 200_000
"""Loads that follow each other within so many microseconds are taken for a wave."""


class BatchEngine:
    """Runs turns for one hub. Everything but `definition_changed` is called from the engine's thread."""

    def __init__(
        self, hub: WorkerSide, registry: Registry, clock: Clock, activities: ActivityRunner, http: HttpCalls, *, limit: int = 1_000,
        sticky: int = 4_096, strict: bool = False,
    ) -> None:
        self._hub = hub
        self._registry = registry
        self._clock = clock
        self._activities = activities
        self._limit = limit
        self._sticky_limit = max(1, sticky)
        self._strict = strict
        self._http = http
        self.own_code = OwnCode()
        self._entities = EntityEngine(hub, registry, clock, self.own_code, limit=limit, strict=strict)
        self._sticky: OrderedDict[int, OrchestrationReplay] = OrderedDict()
        self._recheck: set[int] = set()
        self._cold: deque[InstanceState] = deque()
        self._ahead = 0
        self._loaded_at = 0
        self._calls: list[ActivityCall] = []
        self._cancelled: list[tuple[int, int]] = []

    # entries

    def run_batch(self) -> bool:
        """Run what is ready to quiet and commit it once. False: nothing was ready."""
        if not self._run_round(self._limit):
            return False
        while (room := self._limit - self._hub.rows_open) > 0 and self._run_round(room):
            pass
        self._commit()
        return True

    def _run_round(self, room: int) -> bool:
        """One turn of everything that is ready: instances, then the entities they have asked."""
        ready = self._hub.take_ready(self._clock.now(), room)
        self._run(ready)
        entities = self._hub.take_ready_entities(room)
        self._entities.run(entities)
        moved = self._http.round()
        return bool(ready or entities or moved)

    def dispatch_recovered(self) -> None:
        """Start again every activity that was asked for and has no result."""
        self._cold.extend(state for state in self._hub.open_states() if state.turn > 0)
        self._activities.submit(
            [
                ActivityCall(state.key, state.id, state.generation, task, entry.name, entry.data, entry.attempt)
                for state, task, entry in self._hub.open_activities()
            ]
        )
        self._http.recover()

    def let_go(self) -> None:
        """Drop the code of all instances, when the engine stops; their clean-up code stays silent."""
        while self._sticky:
            self._forget(next(iter(self._sticky)))

    def definition_changed(self, definition: Definition, outcome: str) -> None:
        """A cell was run: instances that waited for it go on, those on other code are held against the new one first."""
        if definition.kind == "activity":
            self._activities.definition_changed(definition.name)
        if definition.kind == "entity":
            self._entities.definition_changed(definition)
        if definition.kind != "orchestrator":
            return
        for state in self._hub.open_states():
            if state.name != definition.name:
                continue
            other_code = state.code != definition.fingerprint and state.turn > 0
            waits_for_it = any(wait.kind == "definition" for wait in state.waits)
            if other_code or waits_for_it or state.held or state.pending:
                with self._hub.changed:
                    self._recheck.add(state.key)
                    self._hub.wake(state)

    def _commit(self) -> None:
        calls, self._calls = self._calls, []
        cancelled, self._cancelled = self._cancelled, []
        self._hub.commit(functools.partial(self._release, calls, cancelled, self._http.take()))

    def _release(self, calls: list[ActivityCall], cancelled: list[tuple[int, int]], requests: list[HttpJob]) -> None:
        """The commit is on disk: effects leave."""
        if requests:
            self._http.release(requests)
        for key, generation in cancelled:
            self._activities.cancel(key, generation)
        if calls:
            self._activities.submit(calls)

    # one round over ready instances

    def _run(self, ready: Sequence[tuple[InstanceState, list[Message]]]) -> None:
        to_load: list[tuple[InstanceState, list[Message]]] = []
        for state, messages in ready:
            if self._needs_history(state, messages):
                to_load.append((state, messages))
            else:
                self._turn(state, messages)
        if to_load:
            self._load(to_load)

    def _needs_history(self, state: InstanceState, messages: Sequence[Message]) -> bool:
        if state.key in self._recheck:
            self._recheck.discard(state.key)
            self._forget(state.key)
            state.held = None
        if state.key in self._sticky or state.held is not None or state.turn == 0:
            return False
        if messages and isinstance(messages[0].event, ExecutionStarted):
            return False
        if any(isinstance(message.event, ExecutionTerminated) for message in messages):
            return False
        rewound = any(isinstance(message.event, ExecutionRewound) for message in messages)
        if state.is_terminal and not rewound:
            return False
        return self._registry.get("orchestrator", state.name) is not None

    def _load(self, items: Sequence[tuple[InstanceState, list[Message]]]) -> None:
        """Replay instances from their histories. They keep their place in the ready queue and take their turn after this."""
        for state, messages in reversed(items):
            self._hub.put_back(state, messages)
        self._commit()  # only what is on disk can be read back
        room = min(_LOADED_AT_ONCE, self._sticky_limit)
        states = {state.key: state for state, _ in items[:room]}
        states |= {state.key: state for state in self._read_ahead(room - len(states)) if state.key not in states}
        for key, history in self._hub.histories(list(states.values())).items():
            self._replay(states[key], history)

    def _read_ahead(self, room: int) -> list[InstanceState]:
        """More instances to load with those asked for, twice as many each time: after a restart one query then serves many."""
        now = self._clock.now()
        self._ahead = min(2 * self._ahead + 4, _AHEAD_AT_MOST) if now - self._loaded_at < _SOON else 0
        self._loaded_at = now
        found: list[InstanceState] = []
        while self._cold and len(found) < min(self._ahead, room, self._sticky_limit - len(self._sticky)):
            state = self._cold.popleft()
            if self._is_worth_loading(state):
                found.append(state)
        return found

    def _is_worth_loading(self, state: InstanceState) -> bool:
        if state.key in self._sticky or state.is_terminal or state.held is not None or state.turn == 0:
            return False
        return self._registry.get("orchestrator", state.name) is not None

    def _replay(self, state: InstanceState, history: Sequence[Recorded]) -> None:
        definition = self._registry.get("orchestrator", state.name)
        if definition is None:
            return
        replay = OrchestrationReplay(definition.function, generation=state.generation, input_type=definition.input_type)
        sink = capture.Sink(self._clock.now, drop_while=lambda: replay.replaying)
        try:
            with capture.to(sink), self.own_code.of("orchestrator", state.name, state.id):
                replay.replay(history)
        except NonDeterminismError as error:
            self._close(replay)
            self._hold(state, str(error))
        except Exception as error:
            logger.exception("dfnb: replay of instance %r failed", state.id)
            self._close(replay)
            self._hold(state, f"its history cannot be replayed: {type(error).__name__}: {error}")
        else:
            state.code = definition.fingerprint
            self._keep(state.key, replay)
            if any(isinstance(event, ExecutionRewound) for event in state.pending or ()):
                self._go_back(state, replay, history)
            self._hub.write_logs(state, sink.lines())

    def _go_back(self, state: InstanceState, replay: OrchestrationReplay, history: Sequence[Recorded]) -> None:
        """A rewound instance reads all that came since it failed, also while it was being rewound, and needs its locks again."""
        last = max((index for index, row in enumerate(history) if row.turn > 0), default=-1)
        told, unread = state.pending or [], [row.event for row in history[last + 1 :] if row.turn == 0]
        state.pending = [event for event in unread if event in told or not isinstance(event, EntityLockGranted)]
        lock = replay.open_lock()
        if lock is not None:
            state.must_hold(lock)

    def _hold(self, state: InstanceState, why: str) -> None:
        state.held = why
        state.waits = (Wait("held", f"held: {why}"),)

    def _keep(self, key: int, replay: OrchestrationReplay) -> None:
        self._sticky[key] = replay
        self._sticky.move_to_end(key)
        while len(self._sticky) > self._sticky_limit:
            _, evicted = self._sticky.popitem(last=False)
            self._close(evicted)

    def _forget(self, key: int) -> None:
        replay = self._sticky.pop(key, None)
        if replay is not None:
            self._close(replay)

    def _close(self, replay: OrchestrationReplay) -> None:
        with capture.to(capture.Sink(self._clock.now, drop_while=lambda: True)):
            replay.close()

    # one turn

    def _turn(self, state: InstanceState, messages: list[Message]) -> None:
        if state.is_terminal and not any(isinstance(m.event, ExecutionRewound) for m in messages):
            self._hub.record_late(state, messages)
            return
        messages, late = state.split_late(messages)
        if late:
            self._hub.record_late(state, late)
        terminated = next((m.event for m in messages if type(m.event) is ExecutionTerminated), None)
        if terminated is not None:
            self._terminate(state, messages, terminated)
        elif self._cannot_run(state, messages):
            self._set_aside(state, messages)
        else:
            self._decide(state, messages)

    def _cannot_run(self, state: InstanceState, messages: Sequence[Message]) -> bool:
        """Whether the instance has to wait; its `waits` say for what."""
        name = _name_in(messages) or state.name
        if self._entities.must_lock_again(state, messages):
            return True
        if state.start_at is not None and state.turn == 0 and self._clock.now() < state.start_at:
            state.waits = (Wait("start", "", None, state.start_at),)
            return True
        if self._registry.get("orchestrator", name) is None and not self._strict:
            state.waits = (Wait("definition", name),)
            return True
        return state.held is not None

    def _set_aside(self, state: InstanceState, messages: Sequence[Message]) -> None:
        """Write the messages down without a turn."""
        self._hub.record(state, [(m.event, m.at) for m in messages], 0)
        if messages:
            state.pending = [*(state.pending or ()), *(m.event for m in messages)]
        self._hub.finish_turn(state, state.waits, messages)

    def _decide(self, state: InstanceState, messages: Sequence[Message]) -> None:
        pending, state.pending = state.pending or [], None
        if not pending and not messages:
            self._look_again(state)
            return
        started = pending[0] if pending else messages[0].event
        turn = 1 if isinstance(started, ExecutionStarted) else state.turn + 1
        at = max([message.at for message in messages]) if messages else self._clock.now()
        rows = [(message.event, message.at) for message in messages] or [(OrchestratorStarted(), at)]
        inputs = pending + [event for event, _ in rows]
        if not self._has_code(state, started, recorded=bool(pending)):
            self._hub.record(state, rows, turn)
            self._fail_unknown(state, messages, at, turn)
            return
        rows = with_length(rows, self._sticky[state.key].waited_since)
        sink = capture.Sink(self._clock.now)
        try:
            decision = self._think(state, inputs, at, sink)
        except Exception as error:  # ours, not the orchestrator's: that one ends as Failed. Nothing may be lost by it
            logger.exception("dfnb: a turn of instance %r failed", state.id)
            self._forget(state.key)
            self._hold(state, f"its turn cannot be run: {type(error).__name__}: {error}")
            state.pending = pending or None
            self._set_aside(state, messages)
            return
        replay = self._sticky[state.key]
        self._hub.record(state, rows, turn)
        self._hub.record(state, [(event, replay.now) for event in decision.outputs], turn)
        self._hub.finish_turn(state, decision.waits, messages)
        self._write_lines(state, sink, decision)
        self._rewind_children(state, inputs, replay, replay.now)
        self._act(state, decision, replay.now)

    def _has_code(self, state: InstanceState, first: HistoryEvent, *, recorded: bool) -> bool:
        """Make the code ready, for a new generation anew; False if there is none, which only a strict engine sees."""
        if not isinstance(first, ExecutionStarted):
            return state.key in self._sticky or self._registry.get("orchestrator", state.name) is not None
        return self._begin(state, first, recorded=recorded)

    def _begin(self, state: InstanceState, started: ExecutionStarted, *, recorded: bool) -> bool:
        definition = self._registry.get("orchestrator", started.name)
        if definition is None:
            return False
        generation = state.generation if recorded else state.generation + 1
        replay = OrchestrationReplay(definition.function, generation=generation, input_type=definition.input_type)
        self._keep(state.key, replay)
        return True

    def _think(self, state: InstanceState, inputs: Sequence[HistoryEvent], at: int, sink: capture.Sink) -> Decision:
        replay = self._sticky[state.key]
        self._sticky.move_to_end(state.key)
        first = inputs[0] if inputs else None
        name = first.name if isinstance(first, ExecutionStarted) else state.name
        with capture.to(sink), self.own_code.of("orchestrator", name, state.id):
            return replay.turn(at, inputs)

    def _look_again(self, state: InstanceState) -> None:
        """Woken without news: after a restart, or to see whether new code agrees."""
        replay = self._sticky.get(state.key)
        waits = replay.waits() if replay is not None else state.waits
        self._hub.finish_turn(state, waits)

    def _fail_unknown(self, state: InstanceState, messages: Sequence[Message], at: int, turn: int) -> None:
        error = NotRegisteredError("orchestrator", state.name, self._registry.names("orchestrator"))
        self._end(state, messages, ExecutionCompleted("Failed", None, FailureDetails.from_exception(error)), at, turn)

    def _terminate(self, state: InstanceState, messages: Sequence[Message], event: ExecutionTerminated) -> None:
        turn = 1 if _name_in(messages) is not None else state.turn + 1
        at = max(message.at for message in messages)
        self._hub.record(state, [(message.event, message.at) for message in messages], turn)
        state.pending = None
        self._end(state, messages, ExecutionCompleted("Terminated", event.reason), at, turn)

    def _end(self, state: InstanceState, messages: Sequence[Message], end: ExecutionCompleted, at: int, turn: int) -> None:
        self._hub.record(state, [(end, at)], turn)
        self._hub.finish_turn(state, (), messages)
        self._after_end(state, end, at)

    # what follows from a decision

    def _act(self, state: InstanceState, decision: Decision, at: int) -> None:
        children: list[SubOrchestrationInstanceCreated] = []
        for event in decision.outputs:
            if isinstance(event, TaskScheduled):
                entry = state.take_open(event.task)
                attempt = entry.attempt if entry is not None else 1
                self._calls.append(
                    ActivityCall(state.key, state.id, state.generation, event.task, event.name, event.input, attempt)
                )
            elif isinstance(event, SubOrchestrationInstanceCreated):
                children.append(event)
            elif isinstance(event, HttpCallScheduled):
                self._http.ask(state, event.task, event.request)
            elif isinstance(event, ASKS):
                self._entities.ask(state, event, at)
        if children:
            self._start_children(state, children, at)
        if decision.end is not None:
            self._after_end(state, decision.end, at, decision)

    def _start_children(self, state: InstanceState, children: Sequence[SubOrchestrationInstanceCreated], at: int) -> None:
        requests = [self._child_request(state, child) for child in children]
        for child, problem in zip(children, self._hub.start_children(requests, at), strict=True):
            if problem is not None:
                failure = FailureDetails.from_exception(problem)
                self._answer(_parent(state, child.task), SubOrchestrationInstanceFailed(child.task, failure), at)

    def _rewind_children(
        self, state: InstanceState, inputs: Sequence[HistoryEvent], replay: OrchestrationReplay, at: int
    ) -> None:
        """After a rewind no child the code waits for may be left without a way to answer."""
        for event in inputs:
            if isinstance(event, ExecutionRewound):
                for child in replay.open_children():
                    self._take_up(state, child, event.reason, at)

    def _take_up(self, state: InstanceState, child: SubOrchestrationInstanceCreated, reason: str | None, at: int) -> None:
        found = self._hub.look_up(child.instance_id)
        if found is None or found.parent not in (_parent(state, child.task), ParentRef(state.id, state.generation, child.task)):
            self._start_children(state, [child], at)  # it could never start, or was purged since
        elif found.result is not None and found.status == "Failed" and found.record is not None and found.record.is_terminal:
            self._hub.rewind_child(found, reason, at)
        elif found.result is not None:
            self._answer(found.parent, _answer_of(found, found.result), at)

    def _child_request(self, state: InstanceState, child: SubOrchestrationInstanceCreated) -> StartRequest:
        definition = self._registry.get("orchestrator", child.name)
        code = definition.fingerprint if definition is not None else None
        parent = _parent(state, child.task)
        fresh = state.fresh and child.instance_id.startswith(f"{state.id}:")
        return StartRequest(child.name, child.instance_id, child.input, None, code, child.version, fresh, parent)

    def _after_end(self, state: InstanceState, end: ExecutionCompleted, at: int, decision: Decision | None = None) -> None:
        replay = self._sticky.get(state.key)
        version = replay.started.version if replay is not None else None
        self._forget(state.key)
        self._cancelled.append((state.key, state.generation))
        self._entities.release_locks(state, at)
        self._http.ended(state)
        if end.status == "ContinuedAsNew":
            self._begin_again(state, end, version, decision.carried if decision is not None else (), at)
        elif state.parent is not None:
            self._answer(state.parent, _answer_of(state, end), at)

    def _begin_again(
        self, state: InstanceState, end: ExecutionCompleted, version: str | None, carried: Sequence[HistoryEvent], at: int
    ) -> None:
        definition = self._registry.get("orchestrator", state.name)
        code = definition.fingerprint if definition is not None else state.code
        started = ExecutionStarted(state.name, state.id, end.result, code, None, state.parent, version)
        held_back = [ExecutionSuspended()] if state.suspended else []
        self._hub.continue_as_new(state, [started, *held_back, *carried], at)

    def _answer(self, parent: ParentRef, event: HistoryEvent, at: int) -> None:
        """Tell the instance that waits; if it is gone, another one that has its id by now is not meant."""
        self._hub.post(parent.instance_id, Message(event, at, parent.generation), parent.key)

    def _write_lines(self, state: InstanceState, sink: capture.Sink, decision: Decision) -> None:
        lines = list(sink.lines())
        lines += [LogLine(None, 1, self._clock.now(), "WARNING", warning) for warning in decision.warnings]
        if lines:
            self._hub.write_logs(state, lines)


def _parent(state: InstanceState, task: int) -> ParentRef:
    return ParentRef(state.id, state.generation, task, state.key)


def _name_in(messages: Sequence[Message]) -> str | None:
    first = messages[0].event if messages else None
    return first.name if isinstance(first, ExecutionStarted) else None


def _answer_of(state: InstanceState, end: ExecutionCompleted) -> HistoryEvent:
    assert state.parent is not None
    if end.status == "Completed":
        return SubOrchestrationInstanceCompleted(state.parent.task, end.result)
    failure = end.failure
    if failure is None:
        reason = f": {end.result}" if end.result else ""
        failure = FailureDetails("dfnb.errors.InstanceFailedError", f"instance {state.id!r} was terminated{reason}")
    return SubOrchestrationInstanceFailed(state.parent.task, failure)
