"""The half of the client that is about entities: signal, read, list, delete, clean up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from datetime import datetime
from typing import Any, TypeVar

from dfnb.client.entities import (
    CleanEntityStorageResult,
    DurableEntityStatus,
    EntityHandle,
    EntityPage,
    EntityStateResponse,
    OperationTable,
    entity_id_of,
    status_of_entity,
)
from dfnb.client.instance import WaitInterrupted
from dfnb.client.paging import read_token, token
from dfnb.client.status import as_microseconds
from dfnb.definitions import Registry
from dfnb.errors import EngineBusyError, HubUnavailableError
from dfnb.hub.protocol import ClientSide, EntityQuery, SignalRequest
from dfnb.records import payload
from dfnb.records.entity import EntityRecord
from dfnb.records.entity_id import EntityId
from dfnb.records.log import LogLine

T = TypeVar("T")
_LOOK_SECONDS = 0.2
EntityRef = EntityId | str
"""An entity as one names it: its id, or the id's text ``@name@key``."""


class EntityClient:
    """Signals and looks at entities. Every method may be called from any thread and returns once its work is on disk."""

    def __init__(self, hub: ClientSide, registry: Registry, now: Callable[[], int]) -> None:
        self._hub = hub
        self._registry = registry
        self._now = now

    # signal

    def signal_entity(
        self, entity_id: EntityRef, operation_name: str, input: Any = None, *, signal_time: datetime | None = None
    ) -> None:
        """Send an operation to an entity and return as soon as it is on disk; it runs soon after.

        `signal_time`: not before that time (naive means UTC). Raises NotRegisteredError with a did-you-mean for an entity that no
        cell defines, PayloadError for an input that is not JSON.
        """
        self._signal([self.signal_request(entity_id, operation_name, input, signal_time=signal_time)])

    def signal_entities(self, signals: Iterable[tuple[EntityRef, str] | tuple[EntityRef, str, Any]]) -> None:
        """Send many operations, each (entity, operation) or (entity, operation, input): all or none, in one acknowledgement."""
        self._signal([self.signal_request(*signal) for signal in signals])

    def signal_request(
        self, entity_id: EntityRef, operation_name: str, input: Any = None, *, signal_time: datetime | None = None
    ) -> SignalRequest:
        """A checked signal, not yet sent."""
        id = self._defined(entity_id)
        if not isinstance(operation_name, str) or not operation_name:
            raise ValueError(f"a signal needs the operation's name, a text that is not empty, not {operation_name!r}")
        text = payload.encode(input, what=f"the input of operation {operation_name!r} of {id}")
        return SignalRequest(str(id), operation_name, text, as_microseconds(signal_time))

    def delete_entity(self, entity_id: EntityRef) -> None:
        """Run the entity's operation ``delete``, then remove its state, whatever that left and even if it failed.

        What was sent before comes first. An entity whose code no cell defines any more is removed without running any.
        """
        id = entity_id_of(entity_id)
        if self._hub.find_entity(str(id)) is None:
            self._registry.require("entity", id.name)
        self._signal([SignalRequest(str(id), "delete", destroy=True)])

    def _defined(self, entity_id: EntityRef) -> EntityId:
        id = entity_id_of(entity_id)
        self._registry.require("entity", id.name)
        return id

    def _signal(self, requests: list[SignalRequest]) -> None:
        self.settle(self.submit_signals(requests))

    def submit_signals(self, requests: list[SignalRequest]) -> Future[None]:
        """Send what was checked, all or none; the future is done once it is on disk."""
        return self._hub.signal_entities(requests)

    # ask

    def entity(self, entity_id: EntityRef) -> EntityHandle:
        """A handle on an entity, whether or not it exists already."""
        return EntityHandle(self, entity_id_of(entity_id))

    def read_entity_state(self, entity_id: EntityRef) -> EntityStateResponse:
        """The entity's committed state, if it has one. No cell needs to define it."""
        record = self._entity_record(entity_id)
        if record is None or record.state is None:
            return EntityStateResponse()
        return EntityStateResponse(True, payload.decode_plain(record.state))

    def entity_status(self, entity_id: EntityRef) -> DurableEntityStatus:
        """All that is known of an entity; a falsy status when the hub knows no such entity."""
        record = self._entity_record(entity_id)
        return DurableEntityStatus(entity_id_of(entity_id)) if record is None else status_of_entity(record, self.is_defined)

    def entities(
        self, name: str | None = None, *, last_operation_from: datetime | None = None, last_operation_to: datetime | None = None,
        fetch_state: bool = True, include_transient: bool = False, entity_id_prefix: str | None = None, limit: int = 100,
        continuation_token: str | None = None,
    ) -> EntityPage:
        """Entities that fit every condition given, a page at a time. Times are inclusive.

        `fetch_state` False leaves the states out, which may be large. `include_transient`: those without a state too.
        """
        if limit < 1:
            raise ValueError("limit must be at least 1")
        after = read_token(continuation_token, 1)
        wanted = EntityQuery(
            None if name is None else name.lower(), as_microseconds(last_operation_from), as_microseconds(last_operation_to),
            _prefix(entity_id_prefix), fetch_state, include_transient, limit + 1, None if after is None else after[0],
        )
        found = self._hub.query_entities(wanted)
        page = [status_of_entity(record, self.is_defined) for record in found[:limit]]
        return EntityPage(page, token(found[limit - 1].key) if len(found) > limit else None)

    def count_entities(self) -> dict[str, tuple[int, int]]:
        """How many entities have a state, and how many operations wait, by the name of the entities."""
        return self._hub.count_entities()

    def entity_operations(self, entity_id: EntityRef, limit: int = 100) -> OperationTable:
        """The latest operations of an entity, newest first, those that wait included."""
        if limit < 1:
            raise ValueError("limit must be at least 1")
        record = self._entity_record(entity_id)
        return OperationTable(() if record is None else self._hub.entity_operations(record, limit))

    def entity_logs(self, entity_id: EntityRef) -> list[LogLine]:
        """What the entity's code printed and logged."""
        record = self._entity_record(entity_id)
        return [] if record is None else self._hub.entity_logs(record)

    def is_defined(self, kind: str, name: str) -> bool:
        """Whether a cell of this process has defined it."""
        return self._registry.get(kind, name) is not None

    def _entity_record(self, entity_id: EntityRef) -> EntityRecord | None:
        return self._hub.find_entity(str(entity_id_of(entity_id)))

    # maintain

    def clean_entity_storage(
        self, remove_empty_entities: bool = True, release_orphaned_locks: bool = True
    ) -> CleanEntityStorageResult:
        """Forget entities that have no state and nothing to do, and give back locks whose holder is gone."""
        done = self._hub.clean_entities(remove_empty=remove_empty_entities, release_orphaned_locks=release_orphaned_locks)
        return CleanEntityStorageResult(*done)

    @property
    def problem(self) -> HubUnavailableError | None:
        """Why nothing can be written to the hub at present; None when all is well."""
        return self._hub.problem

    def _slow_turn(self) -> EngineBusyError | None:
        return self._hub.slow_turn()

    def settle(self, future: Future[T]) -> T:
        """The answer once it is on disk; a hub that cannot go on is an error now, not a wait without end."""
        try:
            while True:
                try:
                    return future.result(_LOOK_SECONDS)
                except TimeoutError:
                    error = self.give_up(future)
                    if error is not None:
                        raise error from None
        except KeyboardInterrupt:
            undone = self._withdraw(future)
            done = "nothing of the request was done" if undone else "the request was handed over and is carried out"
            raise WaitInterrupted(f"stopped waiting; {done}") from None

    def give_up(self, future: Future[Any]) -> HubUnavailableError | None:
        """Why there is no sense in waiting on, None while there is; the request is then withdrawn if it still can be."""
        problem = self.problem
        if problem is None or future.done():
            return None
        withdrawn = self._withdraw(future)
        return problem.for_request(None if withdrawn is None else not withdrawn) if not future.done() else None

    def _withdraw(self, future: Future[Any]) -> bool | None:
        return self._hub.withdraw(future)


def _prefix(text: str | None) -> str | None:
    """The beginning of an id as it is stored: with its ``@``, the name in lower case."""
    if not text:
        return None
    name, has_key, key = text.removeprefix("@").partition("@")
    return f"@{name.lower()}{has_key}{key}"
