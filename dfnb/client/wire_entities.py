"""Entity events of an orchestration's history in the original's form.

The original has no event kinds of their own for entities: a request is an `EventSent` to the entity's instance whose input holds
the message, and its answer an `EventRaised` whose name is the request's id.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec

from dfnb.records.entity_id import EntityId
from dfnb.records.history import (
    EntityLockGranted,
    EntityLockRequested,
    EntityOperationCalled,
    EntityOperationCompleted,
    EntityOperationFailed,
    EntityOperationSignaled,
    EntityUnlockSent,
    ExecutionStarted,
    Recorded,
)

EntityEvent = (
    EntityOperationCalled | EntityOperationSignaled | EntityOperationCompleted | EntityOperationFailed | EntityLockRequested
    | EntityLockGranted | EntityUnlockSent
)


class EntityMessages:
    """Turns the entity events of one generation into entries; keeps what later events refer to."""

    def __init__(self) -> None:
        self._instance = ""
        self._begun = 0
        self._locks: dict[int, tuple[str, ...]] = {}

    def started(self, row: Recorded) -> None:
        """Take in the generation's first event, which names the instance."""
        if isinstance(row.event, ExecutionStarted):
            self._instance, self._begun = row.event.instance_id, row.at

    def entries(self, event: EntityEvent, show_input: bool) -> list[dict[str, Any]]:
        """What an event looks like: one entry, or one for each entity that is unlocked."""
        if isinstance(event, EntityOperationCalled | EntityOperationSignaled):
            shown = [self._asked(event)]
        elif isinstance(event, EntityLockRequested):
            shown = [self._lock_asked(event)]
        elif isinstance(event, EntityUnlockSent):
            release = {"parent": self._instance, "id": self._request_id(event.task)}
            shown = [_sent(entity, "release", release) for entity in self._locks.pop(event.task, ())]
        else:
            shown = [_raised(self._request_id(event.task), _answer(event))]
        return shown if show_input else [{name: value for name, value in one.items() if name != "Input"} for one in shown]

    def _asked(self, event: EntityOperationCalled | EntityOperationSignaled) -> dict[str, Any]:
        is_signal = isinstance(event, EntityOperationSignaled)
        due = event.due_at if isinstance(event, EntityOperationSignaled) else None
        message = {"op": event.name, "signal": True} if is_signal else {"op": event.name}
        if event.input is not None:
            message["input"] = event.input
        message |= {"id": self._request_id(event.task), "parent": self._instance}
        if due is None:
            return _sent(event.entity, "op", message)
        time = datetime.fromtimestamp(due / 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return _sent(event.entity, f"op@{time}", {**message, "due": time})

    def _lock_asked(self, event: EntityLockRequested) -> dict[str, Any]:
        self._locks[event.task] = event.entities
        ids = [EntityId.get_entity_id(entity) for entity in event.entities]
        message = {"id": self._request_id(event.task), "parent": self._instance, "pos": 0}
        return _sent(event.entities[0], "op", {**message, "lockset": [{"name": id.name, "key": id.key} for id in ids]})

    def _request_id(self, task: int) -> str:
        """The same at each look, and another for each request."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self._instance} {self._begun} {task}"))


def _answer(event: EntityOperationCompleted | EntityOperationFailed | EntityLockGranted) -> dict[str, Any]:
    if isinstance(event, EntityLockGranted):
        return {"result": "Lock Acquisition Completed"}
    if isinstance(event, EntityOperationCompleted):
        return {"result": event.result}
    return {"result": event.failure.message, "exceptionType": event.failure.error_type}


def _sent(entity: str, name: str, message: dict[str, Any]) -> dict[str, Any]:
    return {"EventType": "EventSent", "InstanceId": entity, "Name": name, "Input": _text(message)}


def _raised(name: str, message: dict[str, Any]) -> dict[str, Any]:
    return {"EventType": "EventRaised", "Name": name, "Input": _text(message)}


def _text(message: dict[str, Any]) -> str:
    return msgspec.json.encode(message).decode()
