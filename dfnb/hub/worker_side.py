"""The worker side of the hub: what is ready, the batch being made, and what follows once it is on disk.

Called from the engine's thread unless a method says otherwise.
"""

from __future__ import annotations

import contextlib
import functools
import heapq
from collections.abc import Callable, Iterable, Sequence

from dfnb.errors import (
    HubClosedError,
    HubUnavailableError,
    InstanceExistsError,
)
from dfnb.hub import reader
from dfnb.hub.http_worker import LARGE, HttpWorkerSide
from dfnb.hub.journal import Batch
from dfnb.hub.open_batch import OpenBatch
from dfnb.hub.protocol import Ended, StartRequest
from dfnb.hub.state import InstanceState, Message, OpenTask
from dfnb.records.history import (
    EntityOperationCompleted,
    EntityOperationFailed,
    EventRaised,
    ExecutionCompleted,
    ExecutionRewound,
    ExecutionStarted,
    HistoryEvent,
    Recorded,
    TimerCreated,
    TimerFired,
    parse_event,
)
from dfnb.records.instance import TERMINAL, InstanceRecord, Wait
from dfnb.records.log import LogLine

_SAID_ONCE = (EventRaised, EntityOperationCompleted, EntityOperationFailed)
_RECENT = 10_000
_RECENT_RESULT = 4_096


class HubWorkerSide(HttpWorkerSide):
    """What the engine asks of the hub."""

    def __init__(self, path: str, *, durability: str = "durable", now: Callable[[], int]) -> None:
        self._batch = OpenBatch()
        super().__init__(path, durability=durability, now=now)

    # what is ready

    def has_ready(self, now: int) -> bool:
        if self._journal.problem is not None:
            return False
        if self._ready or self._ready_entities or self._call_steps or self._due_calls or self._chores:
            return True
        return bool(self._timers and self._timers[0][0] <= now)

    def next_due(self) -> int | None:
        return self._timers[0][0] if self._timers and self._journal.problem is None else None

    def take_ready(self, now: int, limit: int) -> list[tuple[InstanceState, list[Message]]]:
        """Instances with something to do and what has happened to them, at most about `limit` messages."""
        taken: list[tuple[InstanceState, list[Message]]] = []
        with self.changed:
            if self._closed:
                raise HubClosedError
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
            if state is None and key in self._entities:
                self.wake_entity(self._entities[key])
            if state is None or state.generation != generation:
                continue
            if task == 0:
                self.wake(state)
                continue
            entry = state.take_open(task)
            if entry is not None and entry.kind == "http":
                waiting = self._calls.get((key, generation, task))
                if waiting is not None and waiting.due_at == due:
                    self._due_calls.append((key, generation, task))
            elif entry is not None and entry.due == due:
                self._put(state, Message(TimerFired(task), now, generation))

    def open_activities(self) -> list[tuple[InstanceState, int, OpenTask]]:
        """Activities asked for and not answered: after a restart they are dispatched again."""
        return [
            (state, task, entry)
            for state in self._states.values()
            for task, entry in (state.open or {}).items()
            if entry.kind == "activity"
        ]

    def deliver(self, results: Sequence[tuple[int, Message]]) -> None:
        """Results of activities, by instance key. From any thread. For instances that are gone they are dropped."""
        with self.changed:
            for key, message in results:
                state = self._states.get(key)
                if state is not None:
                    self._put(state, message)
            self.changed.notify_all()

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
            for key, gen, turn, at, *columns in self._read(functools.partial(reader.histories, keys=keys, since=since)):
                if gen == generation[key]:
                    found[key].append(Recorded(turn, at, parse_event(*columns)))
        return found

    def look_up(self, instance_id: str) -> InstanceState | None:
        """An instance as it stands within the present batch: open, just ended, or made anew from the file."""
        with self.changed:
            state = self._by_id.get(instance_id)
        if state is not None:
            return state
        record = self.find(instance_id)
        return self._revive(record) if record is not None else None

    # within the present batch

    def start_children(self, requests: Sequence[StartRequest], at: int) -> list[InstanceExistsError | None]:
        """Start sub-orchestrations within the present batch: for each None, or why it cannot start."""
        asked = [request.id for request in requests if not request.fresh]
        if asked:
            self._batch.replaced += [record.key for record in self._find_ended(asked)]
        return [self._start_child(request, at) for request in requests]

    def _start_child(self, request: StartRequest, at: int) -> InstanceExistsError | None:
        with self.changed:
            before = self._by_id.get(request.id)
            if before is not None and before.is_terminal:  # it ended so lately that its end is not on disk yet
                self._batch.replaced.append(before.key)
                del self._by_id[request.id]
            try:
                self._check_free([request])
            except InstanceExistsError as error:
                return error
            self._admit(request, Message(request.event(), at, internal=True))
            return None

    def continue_as_new(self, state: InstanceState, events: Sequence[HistoryEvent], at: int) -> None:
        """Have the next generation begin with these events, before anything else that waits in the inbox."""
        with self.changed:
            messages = [Message(event, at, internal=True) for event in events]
            state.inbox = messages + (state.inbox or [])
            self._unsaved[state.key] = state
            self.wake(state)

    def post(self, instance_id: str, message: Message, key: int = 0) -> bool:
        """Hand a message to an open instance within the present batch. False if there is none, or not the one with that key."""
        message.internal = True
        with self.changed:
            state = self._by_id.get(instance_id)
            if state is None or (key and state.key != key):
                return False
            self._put(state, message)
            return True

    def rewind_child(self, state: InstanceState, reason: str | None, at: int) -> None:
        """Rewind a failed sub-orchestration, as `look_up` gave it, within the present batch."""
        with self.changed:
            self._by_id[state.id] = state
            self._readmit(state)
        self.post(state.id, Message(ExecutionRewound(state.tasks_to_rewind(), reason), at))

    def record(self, state: InstanceState, events: Iterable[tuple[HistoryEvent, int]], turn: int) -> None:
        """Add events to an instance's history, within the present batch."""
        if self._closed:  # a turn that took so long that it was left to itself
            raise HubClosedError
        rows = self._batch.rows
        for event, at in events:
            pos = self._next_pos
            self._next_pos += 1
            state.apply(event, pos, turn, at)
            kind, task, took, name, data = event.columns()
            if kind in LARGE:
                name, data = self._name_and_data(event, name, data)
            rows.append((pos, state.key, state.generation, turn, kind, task, took, at, name, data))
            if isinstance(event, TimerCreated):
                self._batch.timers.append((event.fire_at, state.key, state.generation, event.task))
            elif kind == ExecutionStarted.kind and turn == 0 and state.start_at is not None:
                self._batch.timers.append((state.start_at, state.key, state.generation, 0))

    def record_late(self, state: InstanceState, messages: Sequence[Message]) -> None:
        """Write down what came after the instance, or its generation, had ended; it changes nothing.

        What nobody will say again, a raised event or an entity's answer, is written like one that waits for a turn: should the
        instance be rewound, it is read after all.
        """
        for message in messages:
            kind, task, took, name, data = message.event.columns()
            name, data = self._name_and_data(message.event, name, data)
            self.record_exchanges(state.key, message.exchanges)
            generation = state.generation if message.generation is None else message.generation
            turn = 0 if isinstance(message.event, _SAID_ONCE) and generation == state.generation else -1
            self._batch.rows.append((self._next_pos, state.key, generation, turn, kind, task, took, message.at, name, data))
            self._next_pos += 1
            if state.is_terminal and task is not None:
                self.stop_expecting(state, task)
        self._count_acks(messages)
        self.write_logs(state, [line for message in messages for line in message.logs])

    def stop_expecting(self, state: InstanceState, task: int) -> None:
        """An ended instance with no activity and no HTTP call out has nothing to wait for."""
        if state.open is not None:
            state.open.pop(task, None)
        with self.changed:
            if self._by_id.get(state.id) is not state and not state.has_open_activities:
                self._states.pop(state.key, None)

    def finish_turn(self, state: InstanceState, waits: tuple[Wait, ...], messages: Sequence[Message] = ()) -> None:
        """Close an instance's turn: what it waits for now, and which messages it took in."""
        state.waits = self.with_times(state, waits) if waits else ()
        self._batch.states[state.key] = state
        self._batch.records[state.key] = state.to_record()
        self._count_acks(messages)
        for message in messages:
            if message.logs:
                self.write_logs(state, message.logs)
            if message.exchanges:
                self.record_exchanges(state.key, message.exchanges)

    def _count_acks(self, messages: Sequence[Message]) -> None:
        self._batch.acks += [message.ack for message in messages if message.ack is not None]

    def write_logs(self, state: InstanceState, lines: Sequence[LogLine]) -> None:
        self._batch.logs += [(state.key, line.task, line.attempt, line.at, line.stream, line.text) for line in lines]

    @property
    def rows_open(self) -> int:
        return len(self._batch.rows) + len(self._batch.operations)

    def commit(self, after: Callable[[], None]) -> None:
        """Hand the present batch to the journal; `after` runs, on the writer thread, once it is on disk.

        Messages made within the batch and not yet taken in are saved with it.
        """
        self._save_unsaved()
        self._save_unsaved_entities()
        made, self._batch = self._batch, OpenBatch()
        last = self._next_pos - 1
        self._journal.submit(
            Batch(made.tables(), lambda: self._saved(made, last), lambda: self._released(made, after))
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

    # after a commit

    def _saved(self, made: OpenBatch, last: int) -> None:
        """The batch is on disk (writer thread): its derived rows may follow."""
        self._dirty.update(made.records)
        self._entities_saved(made)
        self._published_pos = last

    def _released(self, made: OpenBatch, after: Callable[[], None]) -> None:
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
            for entity_key, entity_record in made.entity_records.items():
                made.entities[entity_key].record = entity_record
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
        self._tell(record.id for records in (made.records, made.entity_records) for record in records.values())

    def _retire(self, state: InstanceState, record: InstanceRecord) -> None:
        """An ended instance leaves the working set; with activities still out it stays to write down their late results."""
        if self._by_id.get(state.id) is state:
            del self._by_id[state.id]
            self._ended[state.id] = record
            self._keep_end(record, state.result)
        if not state.has_open_activities:
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
