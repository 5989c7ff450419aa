"""The half of the remote client that is about entities."""

from __future__ import annotations

import abc
from collections.abc import Iterable
from concurrent.futures import Future
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from dfnb.client.entities import (
    CleanEntityStorageResult,
    DurableEntityStatus,
    EntityPage,
    EntityStateResponse,
    OperationTable,
    entity_id_of,
)
from dfnb.client.entity_client import EntityClient, EntityRef
from dfnb.client.remote.shapes import entity_status_of, iso, moment
from dfnb.errors import EngineBusyError, HubUnavailableError, RemoteError
from dfnb.hub.protocol import SignalRequest
from dfnb.records import payload
from dfnb.records.log import LogLine
from dfnb.records.times import to_datetime

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from dfnb.client.remote.api import Api

T = TypeVar("T")
_LARGEST_PAGE = 1_000


class RemoteEntityClient(EntityClient, abc.ABC):
    """Signals and looks at the entities of a remote hub."""

    _api: Api

    @abc.abstractmethod
    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """What a request comes to; it runs on the client's own loop."""

    def _not_offered(self, what: str) -> RemoteError:
        return RemoteError(self._api.wire.address.shown, f"offers no way to {what}; do it where the hub is")

    # signal

    def signal_request(
        self, entity_id: EntityRef, operation_name: str, input: Any = None, *, signal_time: datetime | None = None
    ) -> SignalRequest:
        """A checked signal, not yet sent. Whether the entity is defined, the server says."""
        id = entity_id_of(entity_id)
        if not isinstance(operation_name, str) or not operation_name:
            raise ValueError(f"a signal needs the operation's name, a text that is not empty, not {operation_name!r}")
        if signal_time is not None:
            raise self._not_offered("send a signal for later")
        text = payload.encode(input, what=f"the input of operation {operation_name!r} of {id}")
        return SignalRequest(str(id), operation_name, text)

    def signal_entities(self, signals: Iterable[tuple[EntityRef, str] | tuple[EntityRef, str, Any]]) -> None:
        """Send many operations, in their order; the first that is refused is the last that is sent."""
        self._signal([self.signal_request(*signal) for signal in signals])

    def submit_signals(self, requests: list[SignalRequest]) -> Future[None]:
        """Send what was checked; the future is done when this returns."""
        return done(self._run(self._send_signals(requests)))

    async def _send_signals(self, requests: list[SignalRequest]) -> None:
        for request in requests:
            id = entity_id_of(request.entity)
            method, params = ("DELETE", {}) if request.destroy else ("POST", {"op": request.operation})
            await self._api.signal(method, id.name, id.key, params, request.input)

    def delete_entity(self, entity_id: EntityRef) -> None:
        """Run the entity's operation ``delete``; a dfnb hub removes its state then, whatever that left."""
        self._signal([SignalRequest(str(entity_id_of(entity_id)), "delete", destroy=True)])

    # ask

    def read_entity_state(self, entity_id: EntityRef) -> EntityStateResponse:
        """The entity's committed state, if it has one."""
        id = entity_id_of(entity_id)
        return EntityStateResponse(*self._run(self._api.entity_state(id.name, id.key)))

    def entity_status(self, entity_id: EntityRef) -> DurableEntityStatus:
        """What can be known of an entity from outside; a falsy status when there is none with a state."""
        id = entity_id_of(entity_id)
        exists, state = self._run(self._api.entity_state(id.name, id.key))
        if not exists:
            return DurableEntityStatus(id)
        shown = self._run(self._api.status(str(id), {"showInput": "false"})) or {}
        last = moment(shown.get("lastUpdatedTime"))
        made = to_datetime(moment(shown.get("createdTime")))
        return DurableEntityStatus(id, to_datetime(last) if last else None, state, created_time=made)

    def entities(
        self, name: str | None = None, *, last_operation_from: datetime | None = None, last_operation_to: datetime | None = None,
        fetch_state: bool = True, include_transient: bool = False, entity_id_prefix: str | None = None, limit: int = 100,
        continuation_token: str | None = None,
    ) -> EntityPage:
        """Entities that fit every condition given, a page at a time. Those without a state are not told by the API."""
        if limit < 1:
            raise ValueError("limit must be at least 1")
        params = {"fetchState": "true" if fetch_state else "false"}
        for parameter, when in (("lastOperationTimeFrom", last_operation_from), ("lastOperationTimeTo", last_operation_to)):
            if when is not None:
                params[parameter] = iso(when)
        path = "entities" if name is None else f"entities/{name}"
        return self._run(self._entity_page(path, params, entity_id_prefix or "", limit, continuation_token))

    async def _entity_page(self, path: str, params: dict[str, str], prefix: str, limit: int, token: str | None) -> EntityPage:
        found: list[DurableEntityStatus] = []
        while True:
            page = await self._api.page(path, {**params, "top": str(min(limit - len(found), _LARGEST_PAGE))}, token)
            statuses = filter(None, map(entity_status_of, page.items))
            found += [status for status in statuses if str(status.entity_id).startswith(prefix)]
            token = page.token
            if token is None or len(found) >= limit:
                return EntityPage(found, token)

    def entity_operations(self, entity_id: EntityRef, limit: int = 100) -> OperationTable:
        """Empty: which operations have run is not told to others."""
        return OperationTable()

    def entity_logs(self, entity_id: EntityRef) -> list[LogLine]:
        """Empty: what an entity has printed is not told to others."""
        return []

    def is_defined(self, kind: str, name: str) -> bool:
        """True: what is defined is for the other side to know."""
        return True

    # maintain

    def clean_entity_storage(
        self, remove_empty_entities: bool = True, release_orphaned_locks: bool = True
    ) -> CleanEntityStorageResult:
        """RemoteError: only where the hub is."""
        raise self._not_offered("clean up entities")

    @property
    def problem(self) -> HubUnavailableError | None:
        """None: the disk of the hub is the other side's."""
        return None

    def _slow_turn(self) -> EngineBusyError | None:
        """None: the engine is the other side's."""
        return None

    def _withdraw(self, future: Future[Any]) -> bool | None:
        """None: what was sent was sent."""
        return None


def done(result: T) -> Future[T]:
    """A future of what is there already."""
    future: Future[T] = Future()
    future.set_result(result)
    return future
