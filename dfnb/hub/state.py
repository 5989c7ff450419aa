"""An instance that has not ended, as the working set holds it, and the fold that keeps it in step with its events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import msgspec

from dfnb.records.history import (
    CustomStatusSet,
    EntityLockGranted,
    EntityLockRequested,
    EntityOperationCalled,
    EntityOperationCompleted,
    EntityOperationFailed,
    EntityUnlockSent,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionStarted,
    ExecutionSuspended,
    HistoryEvent,
    HttpCallCompleted,
    HttpCallFailed,
    HttpCallScheduled,
    ParentRef,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCanceled,
    TimerCreated,
    TimerFired,
)
from dfnb.records.http import Exchange
from dfnb.records.instance import TERMINAL, InstanceRecord, Wait
from dfnb.records.log import LogLine


class Ack:
    """Answers one client call once all its messages are on disk.

    `to`: whom each message was for, by id, as long as the call can be withdrawn; `ended`: whose ids a start has taken over.
    """

    __slots__ = ("_left", "ended", "future", "starts", "to")

    def __init__(self, messages: int, to: Sequence[str] = (), *, starts: bool = False) -> None:
        self.future: Future[None] = Future()
        self.to = to
        self.starts = starts
        self.ended: Sequence[InstanceRecord] = ()
        self._left = messages

    def one_saved(self) -> bool:
        """Count one message as saved; True for the last."""
        self._left -= 1
        return self._left == 0

    def accept(self) -> None:
        if not self.future.done():
            self.future.set_result(None)

    def refuse(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Message(msgspec.Struct, eq=False, gc=False):
    """Something that happened to an instance and is not yet in its history."""

    event: HistoryEvent
    at: int
    generation: int | None = None
    """Results carry the generation that asked for them: a later one must not take them for its own."""
    attempt: int | None = None
    """Which try of an activity it answers: one from before a rewind must not be taken for the one after it."""
    internal: bool = False
    """Made within a batch: it must be saved with the batch that made it."""
    ack: Ack | None = None
    logs: tuple[LogLine, ...] = ()
    exchanges: tuple[Exchange, ...] = ()


class OpenTask(msgspec.Struct, frozen=True, gc=False):
    """A task asked for and not answered: what has to be dispatched again after a crash."""

    kind: str
    name: str
    data: str | None
    at: int
    attempt: int = 1

    @property
    def due(self) -> int | None:
        return int(self.data or 0) if self.kind in ("timer", "retry") else None


class InstanceState:
    """The live state of one instance. Only the engine's thread changes what the events say; the hub's lock guards the inbox."""

    __slots__ = (
        "code", "created_at", "custom_status", "ended_pos", "failed_tries", "fresh", "generation", "held", "id", "inbox",
        "key", "name", "open", "parent", "pending", "queued", "record", "relocks", "result", "start_at", "started_pos", "status",
        "suspended", "turn", "updated_at", "waiters", "waits",
    )

    def __init__(self, key: int, id: str) -> None:
        self.key = key
        self.id = id
        self.name = ""
        self.status = "Pending"
        self.generation = -1
        self.turn = 0
        self.created_at = 0
        self.updated_at = 0
        self.started_pos = 0
        self.ended_pos: int | None = None
        self.custom_status: str | None = None
        self.parent: ParentRef | None = None
        self.code: str | None = None
        self.start_at: int | None = None
        self.suspended = False
        self.held: str | None = None
        self.waits: tuple[Wait, ...] = ()
        self.result: ExecutionCompleted | None = None
        self.open: dict[int, OpenTask] | None = None
        self.failed_tries: dict[int, int] | None = None
        self.pending: list[HistoryEvent] | None = None
        self.inbox: list[Message] | None = None
        self.queued = False
        self.fresh = False
        self.waiters: list[Future[Any]] | None = None
        self.record: InstanceRecord | None = None
        self.relocks = False
        """Whether it was rewound and may wait for the locks it held: saves looking through all it has asked for at every turn."""

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def visible_status(self) -> str:
        """The status clients are told: the committed one."""
        return self.record.status if self.record is not None else "Pending"

    def locks(self, *kinds: str) -> list[tuple[int, OpenTask]]:
        """The lock requests of those kinds: ``lock`` asked for, ``locked`` held; after a rewind ``relock`` to be asked for again,
        ``relocking`` asked for again."""
        return [(task, entry) for task, entry in (self.open or {}).items() if entry.kind in kinds]

    @property
    def has_open_activities(self) -> bool:
        return any(entry.kind in ("activity", "http") for entry in (self.open or {}).values())

    def tasks_to_rewind(self) -> tuple[int, ...]:
        """What failed, and the activities given up at the end: nobody would answer for those."""
        failed = self.result.failed_tasks if self.result is not None else ()
        given_up = [task for task, entry in (self.open or {}).items() if entry.kind in ("activity", "http")]
        return tuple(sorted({*failed, *given_up}))

    def apply(self, event: HistoryEvent, pos: int, turn: int, at: int) -> None:
        """Take in one event of the history."""
        if at > self.updated_at:
            self.updated_at = at
        handler = _FOLD.get(type(event))
        if handler is not None:
            handler(self, event, pos, at)
        if turn > 0:
            if turn > self.turn:
                self.turn = turn
            if self.status == "Pending":
                self.status = "Running"

    def to_record(self) -> InstanceRecord:
        status = "Suspended" if self.suspended and self.status in ("Running", "Pending") else self.status
        return InstanceRecord(
            self.key, self.id, self.name, status, self.generation, self.created_at, self.updated_at, self.started_pos,
            self.ended_pos, self.custom_status, self.parent.instance_id if self.parent else None, self.code, self.waits, self.held,
        )

    def split_late(self, messages: list[Message]) -> tuple[list[Message], list[Message]]:
        """The messages, and apart from them those that answer what an earlier generation, or a try before a rewind, had asked."""
        begins = bool(messages) and isinstance(messages[0].event, ExecutionStarted)
        generation = self.generation + 1 if begins else self.generation
        late = [message for message in messages if self._is_late(message, generation)]
        if not late:
            return messages, late
        ids = {id(message) for message in late}
        return [message for message in messages if id(message) not in ids], late

    def _is_late(self, message: Message, generation: int) -> bool:
        if message.generation is None:
            return False
        if message.generation != generation:
            return True
        entry = self.take_open(getattr(message.event, "task", 0))
        return entry is not None and message.attempt is not None and entry.attempt != message.attempt

    def take_open(self, task: int) -> OpenTask | None:
        return self.open.get(task) if self.open is not None else None

    # the fold

    def _started(self, event: ExecutionStarted, pos: int, at: int) -> None:
        self.generation += 1
        self.turn = 0
        self.name = event.name
        self.code = event.code
        self.parent = event.parent
        self.start_at = event.start_at
        self.started_pos = pos
        self.status = "Pending"
        self.open = None
        self.failed_tries = None
        self.result = None
        self.ended_pos = None
        if self.generation == 0:
            self.created_at = at

    def _asked(self, kind: str, task: int, name: str, data: str | None, at: int) -> None:
        if self.open is None:
            self.open = {}
        failed = self.failed_tries.get(task, 0) if self.failed_tries is not None else 0
        self.open[task] = OpenTask(kind, name, data, at, failed + 1)

    def _scheduled(self, event: TaskScheduled, pos: int, at: int) -> None:
        self._asked("activity", event.task, event.name, event.input, at)

    def _child(self, event: SubOrchestrationInstanceCreated, pos: int, at: int) -> None:
        self._asked("orchestration", event.task, event.name, event.instance_id, at)

    def _timer(self, event: TimerCreated, pos: int, at: int) -> None:
        self._asked("retry" if event.retry else "timer", event.task, "", str(event.fire_at), at)

    def _answered(self, event: Any, pos: int, at: int) -> None:
        self._forget_open(event.task)

    def _forget_open(self, task: int) -> None:
        if self.open is not None:
            self.open.pop(task, None)
            if not self.open:
                self.open = None

    def _failed(self, event: Any, pos: int, at: int) -> None:
        self._answered(event, pos, at)
        if self.failed_tries is None:
            self.failed_tries = {}
        self.failed_tries[event.task] = self.failed_tries.get(event.task, 0) + 1

    def _called(self, event: EntityOperationCalled, pos: int, at: int) -> None:
        self._asked("call", event.task, event.name, event.entity, at)

    def _http_called(self, event: HttpCallScheduled, pos: int, at: int) -> None:
        self._asked("http", event.task, event.name, event.request, at)

    def _lock_requested(self, event: EntityLockRequested, pos: int, at: int) -> None:
        self._asked("lock", event.task, "", event.columns()[4], at)

    def _lock_granted(self, event: EntityLockGranted, pos: int, at: int) -> None:
        entry = self.take_open(event.task)
        if entry is not None and self.open is not None:
            self.open[event.task] = msgspec.structs.replace(entry, kind="locked")

    def _status_set(self, event: CustomStatusSet, pos: int, at: int) -> None:
        self.custom_status = event.status

    def _suspended(self, event: HistoryEvent, pos: int, at: int) -> None:
        self.suspended = isinstance(event, ExecutionSuspended)

    def _rewound(self, event: ExecutionRewound, pos: int, at: int) -> None:
        self.status = "Running"
        self.ended_pos = None
        self.result = None
        for task in event.tasks:
            entry = self.open.pop(task, None) if self.open is not None else None
            if entry is not None:
                self.failed_tries = {**(self.failed_tries or {}), task: entry.attempt}
        for task, _ in self.locks("lock", "locked"):
            self._forget_open(task)  # given back at the end; what the code still needs is taken again, see `must_hold`

    def must_hold(self, request: EntityLockRequested) -> None:
        """A rewound code finds itself within this critical section: it may go on once the locks are held again."""
        if any(isinstance(event, EntityLockGranted) and event.task == request.task for event in self.pending or ()):
            self._asked("locked", request.task, "", request.columns()[4], self.updated_at)
        else:
            self.relocks = True
            self._asked("relock", request.task, "", request.columns()[4], self.updated_at)

    def _completed(self, event: ExecutionCompleted, pos: int, at: int) -> None:
        self.status = event.status
        self.result = event
        self.ended_pos = pos
        self.waits = ()
        self.held = None


_FOLD: dict[type[HistoryEvent], Callable[[InstanceState, Any, int, int], None]] = {
    ExecutionStarted: InstanceState._started,
    TaskScheduled: InstanceState._scheduled,
    SubOrchestrationInstanceCreated: InstanceState._child,
    TimerCreated: InstanceState._timer,
    TaskCompleted: InstanceState._answered,
    TaskFailed: InstanceState._failed,
    SubOrchestrationInstanceCompleted: InstanceState._answered,
    SubOrchestrationInstanceFailed: InstanceState._failed,
    TimerFired: InstanceState._answered,
    EntityOperationCalled: InstanceState._called,
    EntityOperationCompleted: InstanceState._answered,
    EntityOperationFailed: InstanceState._answered,
    EntityLockRequested: InstanceState._lock_requested,
    EntityLockGranted: InstanceState._lock_granted,
    EntityUnlockSent: InstanceState._answered,
    HttpCallScheduled: InstanceState._http_called,
    HttpCallCompleted: InstanceState._answered,
    HttpCallFailed: InstanceState._answered,
    TimerCanceled: InstanceState._answered,
    CustomStatusSet: InstanceState._status_set,
    ExecutionSuspended: InstanceState._suspended,
    ExecutionResumed: InstanceState._suspended,
    ExecutionRewound: InstanceState._rewound,
    ExecutionCompleted: InstanceState._completed,
}
