"""What is written down of an entity: the record of its latest state, and its operations."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from dfnb.records.failure import FailureDetails


class Caller(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Who sent an operation: an orchestration (with the task that waits, for a call or a lock), or another entity."""

    id: str
    generation: int = 0
    task: int | None = None
    key: int = 0
    """Which of the instances that have had that id; 0 for an entity."""


class Operation(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Something an entity is asked to do.

    `kind`: call, signal, lock (`name` empty, `locks` the whole set in order) or unlock. `caller` None: a client. `destroy`: the
    state goes away after the operation, whatever its code left.
    """

    kind: str
    name: str = ""
    input: str | None = None
    sent_at: int = 0
    caller: Caller | None = None
    due_at: int | None = None
    locks: tuple[str, ...] = ()
    destroy: bool = False


class EntityRecord(msgspec.Struct, frozen=True, gc=False):
    """The latest committed state of an entity. Times are microseconds since 1970, UTC; `state` is JSON text, None for none."""

    key: int
    id: str
    state: str | None
    created_at: int
    updated_at: int
    """When its last operation ran; when it was first asked for, before any has."""
    arrived: int = 0
    """How many operations, locks included, were ever asked for: the number of the latest."""
    operations: int = 0
    """How many operations have run."""
    waiting: int = 0
    """How many operations wait for a lock to be given back, for their time or for the cell that defines the entity."""
    lock: Caller | None = None
    """The orchestration that holds its lock."""
    lock_number: int = 0
    """Which of the entity's operations took that lock."""
    oldest_pos: int | None = None
    """Where in the file the first waiting operation stands, if any waits."""

    @property
    def name(self) -> str:
        """The entity's name, in lower case."""
        return self.id[1:].partition("@")[0]

    @property
    def entity_key(self) -> str:
        """The entity's key, as it was given."""
        return self.id[1:].partition("@")[2]


class OperationRecord(NamedTuple):
    """One operation of an entity as the file tells it.

    `status`: Waiting, Completed or Failed; of a lock Waiting, Held, Released or Canceled.
    """

    number: int
    kind: str
    name: str
    status: str
    sent_at: int
    ran_at: int | None
    took: int | None
    """How long its code ran, in microseconds."""
    caller: str | None
    input: str | None
    result: str | None
    failure: FailureDetails | None
