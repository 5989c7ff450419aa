"""What is known of an instance from outside: its status and the record kept of it."""

from __future__ import annotations

import enum

import msgspec


class OrchestrationRuntimeStatus(enum.Enum):
    """The states an instance can be in; names and values are those of Azure Durable Functions."""

    Running = "Running"
    Completed = "Completed"
    ContinuedAsNew = "ContinuedAsNew"
    Failed = "Failed"
    Canceled = "Canceled"
    Terminated = "Terminated"
    Pending = "Pending"
    Suspended = "Suspended"

    @classmethod
    def parse(cls, value: OrchestrationRuntimeStatus | str) -> OrchestrationRuntimeStatus:
        """The status of that name, ignoring case; ValueError names the known ones."""
        if isinstance(value, cls):
            return value
        for status in cls:
            if status.value.casefold() == str(value).strip().casefold():
                return status
        raise ValueError(f"{value!r} is not a runtime status; known are {', '.join(s.value for s in cls)}")


TERMINAL = frozenset({"Completed", "Failed", "Terminated", "Canceled"})


class Wait(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One thing an instance waits for.

    `kind`: activity, timer, retry, orchestration, event, entity, lock, http, definition, held, more. The name of an entity's
    operation is ``@name@key operation``.
    """

    kind: str
    name: str = ""
    task: int | None = None
    until: int | None = None
    since: int | None = None

    @property
    def sentence(self) -> str:
        words = _WAIT_WORDS.get(self.kind)
        if words is None:
            return self.name
        entity, _, operation = self.name.rpartition(" ")
        return words.format(self=self, entity=entity, operation=operation)


_WAIT_WORDS = {
    "activity": "activity {self.name}",
    "orchestration": "sub-orchestration {self.name}",
    "event": "event {self.name}",
    "entity": "operation {operation} of entity {entity}",
    "lock": "the lock of {self.name}",
    "http": "the HTTP call {self.name}",
    "timer": "timer",
    "retry": "next try of {self.name}",
    "definition": "the cell that defines {self.name}",
    "start": "its start time",
    "more": "{self.name} more",
}


class InstanceRecord(msgspec.Struct, frozen=True, gc=False):
    """The latest committed state of an instance. Times are microseconds since 1970, UTC; payloads are JSON text."""

    key: int
    id: str
    name: str
    status: str
    generation: int
    created_at: int
    updated_at: int
    started_pos: int
    ended_pos: int | None = None
    custom_status: str | None = None
    parent_id: str | None = None
    code: str | None = None
    waits: tuple[Wait, ...] = ()
    held: str | None = None

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL
