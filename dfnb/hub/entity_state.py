"""An entity as the working set holds it: its state, its lock, and what waits to be run, in the order in which it may run.

Every change of an entity is a row of the table `operation`; `apply` is the fold over those rows, live and after a crash the same.
"""

from __future__ import annotations

import enum
import heapq
from collections import OrderedDict
from typing import NamedTuple

import msgspec

from dfnb.hub.state import Ack
from dfnb.records.entity import Caller, EntityRecord, Operation


class Change(enum.IntEnum):
    """What a row of the table `operation` tells; the numbers stand in the file."""

    CREATED = 0
    """The entity was asked for for the first time; `name` is its id."""
    ARRIVED = 1
    """An operation was written down before it could run."""
    COMPLETED = 2
    FAILED = 3
    LOCKED = 4
    UNLOCKED = 5
    CANCELED = 6
    """A lock that was asked for is not wanted any more."""
    STATE_SET = 7
    """The state after a batch."""


class OperationMessage(NamedTuple):
    """An operation on its way to an entity. `internal`: it must be saved with the batch that made it."""

    operation: Operation
    internal: bool = False
    ack: Ack | None = None


class EntityState:
    """The live state of one entity. Only the engine's thread changes what its rows say; the hub's lock guards the inbox."""

    __slots__ = (
        "arrived", "created_at", "flying", "id", "inbox", "key", "later", "loaded", "lock", "lock_number", "operations", "own",
        "queue", "queued", "record", "saved", "saved_state", "state", "updated_at", "waiting", "withdrawn",
    )

    def __init__(self, id: str) -> None:
        self.id = id
        self.key = 0
        self.loaded = False
        """Whether the file was looked into: before that only the id is known."""
        self.state: str | None = None
        self.saved_state: str | None = None
        """The state as the rows made so far have it."""
        self.created_at = 0
        self.updated_at = 0
        self.arrived = 0
        self.operations = 0
        self.lock: Caller | None = None
        self.lock_number = 0
        self.queue: OrderedDict[int, Operation] = OrderedDict()
        self.own: OrderedDict[int, Operation] | None = None
        """Operations of the one that holds the lock."""
        self.later: list[tuple[int, int]] | None = None
        """Heap of (due, number) of what must wait for its time."""
        self.waiting: dict[int, Operation] | None = None
        """What `later` refers to."""
        self.saved: dict[int, int] | None = None
        """Number -> position of the rows that tell of what waits, oldest first."""
        self.inbox: list[OperationMessage] | None = None
        self.queued = False
        self.flying = 0
        """How many batches that are not yet on disk have changed it."""
        self.withdrawn: tuple[int, ...] = ()
        """Locks and releases given up in this turn, of which a row says that they wait."""
        self.record: EntityRecord | None = None

    @property
    def name(self) -> str:
        return self.id[1:].partition("@")[0]

    @property
    def is_idle(self) -> bool:
        """Whether nothing would be lost if it were dropped from memory."""
        return not (self.queued or self.inbox or self.flying or self.saved or self.lock or self.queue)

    def restore(self, record: EntityRecord) -> None:
        """Take over what the file says."""
        self.key = record.key
        self.state = self.saved_state = record.state
        self.created_at = record.created_at
        self.updated_at = record.updated_at
        self.arrived = record.arrived
        self.operations = record.operations
        self.lock = record.lock
        self.lock_number = record.lock_number
        self.record = record
        self.loaded = True

    def to_record(self) -> EntityRecord:
        saved = self.saved
        return EntityRecord(
            self.key, self.id, self.state, self.created_at, self.updated_at, self.arrived, self.operations,
            len(saved) if saved else 0, self.lock, self.lock_number, next(iter(saved.values())) if saved else None,
        )

    # what waits

    def admit(self, operation: Operation, number: int = 0) -> int:
        """Put an operation where it waits for its turn; its number, a new one if none is given."""
        if number == 0:
            self.arrived += 1
            number = self.arrived
        elif number > self.arrived:
            self.arrived = number
        if operation.due_at is not None:
            self._wait_until(operation.due_at, number, operation)
        else:
            self._line_up(number, operation)
        return number

    def _wait_until(self, due_at: int, number: int, operation: Operation) -> None:
        if self.later is None or self.waiting is None:
            self.later, self.waiting = [], {}
        heapq.heappush(self.later, (due_at, number))
        self.waiting[number] = operation

    def _line_up(self, number: int, operation: Operation) -> None:
        if self._is_of_the_holder(operation):
            if self.own is None:
                self.own = OrderedDict()
            self.own[number] = operation
        elif operation.kind == "unlock":
            self._withdraw(operation)
        else:
            self.queue[number] = operation

    def _withdraw(self, release: Operation) -> None:
        """The lock is not wanted any more before it was there: it must not be granted, not even to a rewound orchestration."""
        for number in [n for n, request in self.queue.items() if request.kind == "lock" and request.caller == release.caller]:
            del self.queue[number]
            self._give_up(number)

    def _give_up(self, number: int) -> None:
        if self.saved and number in self.saved:
            self.withdrawn = (*self.withdrawn, number)

    def _is_of_the_holder(self, operation: Operation) -> bool:
        """A signal is not, whoever sent it: it was sent before the lock was asked for, to arrive at its time."""
        caller = operation.caller
        return (
            self.lock is not None and caller is not None and operation.kind != "signal" and _same_orchestration(self.lock, caller)
        )

    def take_due(self, now: int) -> None:
        """Line up what has waited for its time, and whose time has come."""
        while self.later and self.waiting and self.later[0][0] <= now:
            _, number = heapq.heappop(self.later)
            operation = self.waiting.pop(number, None)
            if operation is not None:
                self._line_up(number, operation)

    def next(self) -> tuple[int, Operation] | None:
        """The operation that may run now: under a lock only those of its holder, otherwise the oldest."""
        line = self.own if self.lock is not None else self.queue
        return next(iter(line.items())) if line else None

    def take(self, number: int) -> None:
        """What runs, or is not wanted any more, waits no longer."""
        for line in (self.queue, self.own, self.waiting):
            if line and line.pop(number, None) is not None:
                return

    def waiting_operation(self, number: int) -> Operation | None:
        """The operation of that number, if it waits."""
        found = (line[number] for line in (self.queue, self.own, self.waiting) if line and number in line)
        return next(found, None)

    def forget_waiting(self, number: int) -> None:
        """It waited once, and what came of it is known already."""
        self.take(number)
        if self.saved:
            self.saved.pop(number, None)

    @property
    def is_being_released(self) -> bool:
        """Whether the one that holds the lock has already said that it wants it no more."""
        return any(operation.kind == "unlock" for operation in (self.own or {}).values())

    def settle(self) -> None:
        """After the rows of a file were taken in: what stands in no line any more does not wait."""
        self.withdrawn = ()
        for number in [number for number in self.saved or () if self.waiting_operation(number) is None]:
            self.forget_waiting(number)

    def unsaved(self) -> list[tuple[int, Operation]]:
        """What waits and no row tells of yet."""
        saved = self.saved or {}
        if len(saved) == len(self.queue) + len(self.own or ()) + len(self.waiting or ()):
            return []
        lines: tuple[dict[int, Operation], ...] = (self.queue, self.own or {}, self.waiting or {})
        return sorted((item for line in lines for item in line.items() if item[0] not in saved), key=lambda item: item[0])

    # the fold

    def apply(self, change: Change, number: int, operation: Operation | None, pos: int, at: int, text: str | None) -> None:
        """Take in one row. What has waited is taken out of its line by `take`, in the order of the rows."""
        if change is Change.ARRIVED:
            if self.saved is None:
                self.saved = {}
            self.saved[number] = pos
            return
        if self.saved:
            self.saved.pop(number, None)
        if change is Change.STATE_SET:
            self.state = self.saved_state = text
        elif change is Change.CREATED:
            self.created_at = self.updated_at = at
        elif change in (Change.COMPLETED, Change.FAILED):
            self.operations += 1
            self.updated_at = max(self.updated_at, at)
        elif change is Change.LOCKED and operation is not None:
            self.lock, self.lock_number = operation.caller, number
        elif change is Change.UNLOCKED:
            self._unlock()

    def _unlock(self) -> None:
        """Operations of the holder that have not run stand behind the others now, oldest first; a second release is for nothing."""
        own = self.own if self.own is not None else OrderedDict()
        self.own = None
        self.lock, self.lock_number = None, 0
        left = {number: operation for number, operation in own.items() if operation.kind != "unlock"}
        for number in own.keys() - left.keys():
            self._give_up(number)
        if left:
            self.queue = OrderedDict(sorted([*self.queue.items(), *left.items()]))


def _same_orchestration(one: Caller, other: Caller) -> bool:
    return one.id == other.id and one.generation == other.generation and one.key == other.key


class _Header(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a waiting operation needs beside its columns to be taken up again."""

    generation: int = 0
    task: int | None = None
    due_at: int | None = None
    locks: tuple[str, ...] = ()
    destroy: bool = False
    key: int = 0


_encode_header = msgspec.json.Encoder().encode
_decode_header = msgspec.json.Decoder(_Header).decode


def header_of(operation: Operation) -> str | None:
    """The text that `operation_of` reads; None where there is nothing to tell."""
    caller = operation.caller or _NOBODY
    header = _Header(caller.generation, caller.task, operation.due_at, operation.locks, operation.destroy, caller.key)
    return None if header == _NOTHING else _encode_header(header).decode()


_NOTHING = _Header()
_NOBODY = Caller("")


def operation_of(
    mode: str, name: str | None, sent_at: int | None, caller: str | None, header: str | None, input: str | None
) -> Operation:
    """The operation in a row."""
    more = _decode_header(header) if header else _NOTHING
    who = Caller(caller, more.generation, more.task, more.key) if caller is not None else None
    return Operation(mode, name or "", input, sent_at or 0, who, more.due_at, more.locks, more.destroy)
