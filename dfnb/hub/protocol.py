"""What both sides of a task hub promise. Clients and the engine know these, never the store behind them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Protocol

import msgspec

from dfnb.errors import HubUnavailableError, InstanceExistsError
from dfnb.hub.state import InstanceState, Message, OpenTask
from dfnb.records.entity import EntityRecord, OperationRecord
from dfnb.records.history import ExecutionCompleted, ExecutionStarted, HistoryEvent, ParentRef, Recorded
from dfnb.records.instance import InstanceRecord, Wait
from dfnb.records.log import LogLine


class StartRequest(msgspec.Struct, frozen=True):
    """One instance to start. Payloads are JSON text, times microseconds since 1970, UTC."""

    name: str
    id: str
    input: str | None = None
    start_at: int | None = None
    code: str | None = None
    version: str | None = None
    fresh: bool = False
    """The id was just made and cannot belong to an older instance."""
    parent: ParentRef | None = None

    def event(self) -> ExecutionStarted:
        """The event that starts it."""
        return ExecutionStarted(self.name, self.id, self.input, self.code, self.start_at, self.parent, self.version)


class InstanceQuery(msgspec.Struct, frozen=True):
    """Which instances: every condition given must hold; times are inclusive."""

    created_from: int | None = None
    created_to: int | None = None
    statuses: tuple[str, ...] = ()
    id_prefix: str | None = None
    name: str | None = None
    limit: int = 100
    after: tuple[int, int] | None = None
    """Continue behind this (created_at, key): the last of the page before."""
    include_entities: bool = False
    """Whether entities are listed too, as instances with the id ``@name@key``."""


class SignalRequest(msgspec.Struct, frozen=True, gc=False):
    """One operation a client sends to an entity (``@name@key``). The input is JSON text."""

    entity: str
    operation: str
    input: str | None = None
    due_at: int | None = None
    destroy: bool = False
    """Whether the state goes away after it, whatever the operation's code left."""


class EntityQuery(msgspec.Struct, frozen=True):
    """Which entities: every condition given must hold; times (of the last operation) are inclusive."""

    name: str | None = None
    updated_from: int | None = None
    updated_to: int | None = None
    id_prefix: str | None = None
    with_state: bool = True
    """Whether the records carry the state; it may be large."""
    with_empty: bool = False
    """Whether entities without a state are listed too."""
    limit: int = 100
    after: int | None = None
    """Continue behind this key: the last of the page before."""


class Ended(msgspec.Struct, frozen=True):
    """How an instance ended: what its waiters get."""

    record: InstanceRecord
    end: ExecutionCompleted


class ClientSide(Protocol):
    """What clients ask of a hub; every method may be called from any thread."""

    def start_instances(self, requests: Sequence[StartRequest]) -> Future[None]: ...
    def send(self, instance_id: str, event: HistoryEvent, operation: str) -> Future[None]: ...
    def when_ended(self, instance_id: str) -> Future[Ended]: ...
    def find(self, instance_id: str) -> InstanceRecord | None: ...
    def query(self, query: InstanceQuery) -> list[InstanceRecord]: ...
    def matching(self, query: InstanceQuery) -> list[InstanceRecord]: ...
    def counts(self) -> dict[str, int]: ...
    def payloads(self, records: Sequence[InstanceRecord]) -> dict[int, tuple[str | None, ExecutionCompleted | None]]: ...
    def history(self, record: InstanceRecord, after: int = -1) -> list[tuple[int, int, Recorded]]: ...
    def logs(self, record: InstanceRecord) -> list[LogLine]: ...
    def children(self, instance_id: str) -> list[InstanceRecord]: ...
    @property
    def problem(self) -> HubUnavailableError | None: ...
    def purge(self, records: Sequence[InstanceRecord]) -> int: ...
    def signal_entities(self, requests: Sequence[SignalRequest]) -> Future[None]: ...
    def find_entity(self, entity_id: str) -> EntityRecord | None: ...
    def query_entities(self, query: EntityQuery) -> list[EntityRecord]: ...
    def entity_operations(self, record: EntityRecord, limit: int) -> list[OperationRecord]: ...
    def entity_logs(self, record: EntityRecord) -> list[LogLine]: ...
    def clean_entities(self, *, remove_empty: bool, release_orphaned_locks: bool) -> tuple[int, int]: ...
    def watch(self, callback: Callable[[frozenset[str]], None]) -> Callable[[], None]: ...


class WorkerSide(Protocol):
    """What the engine asks of a hub; called from the engine's thread unless said otherwise."""

    changed: threading.Condition

    def has_ready(self, now: int) -> bool: ...
    def next_due(self) -> int | None: ...
    def take_ready(self, now: int, limit: int) -> list[tuple[InstanceState, list[Message]]]: ...
    def record(self, state: InstanceState, events: Iterable[tuple[HistoryEvent, int]], turn: int) -> None: ...
    def finish_turn(self, state: InstanceState, waits: tuple[Wait, ...], messages: Sequence[Message] = ()) -> None: ...
    def write_logs(self, state: InstanceState, lines: Sequence[LogLine]) -> None: ...
    def record_late(self, state: InstanceState, messages: Sequence[Message]) -> None: ...
    def start_children(self, requests: Sequence[StartRequest], at: int) -> list[InstanceExistsError | None]: ...
    def continue_as_new(self, state: InstanceState, events: Sequence[HistoryEvent], at: int) -> None: ...
    def look_up(self, instance_id: str) -> InstanceState | None: ...
    def rewind_child(self, state: InstanceState, reason: str | None, at: int) -> None: ...
    def put_back(self, state: InstanceState, messages: Sequence[Message]) -> None: ...
    def open_states(self) -> list[InstanceState]: ...
    def open_activities(self) -> list[tuple[InstanceState, int, OpenTask]]: ...
    @property
    def rows_open(self) -> int: ...
    def post(self, instance_id: str, message: Message) -> bool: ...
    def wake(self, state: InstanceState) -> None: ...
    def commit(self, after: Callable[[], None]) -> None: ...
    def histories(self, states: Sequence[InstanceState]) -> dict[int, list[Recorded]]: ...
    def deliver(self, results: Sequence[tuple[int, Message]]) -> None: ...


__all__ = ["ClientSide", "Ended", "EntityQuery", "InstanceQuery", "SignalRequest", "StartRequest", "WorkerSide"]
