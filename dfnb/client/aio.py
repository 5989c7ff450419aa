"""The client with the method names and the `await` of Azure's Python SDK."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, TypeVar

from dfnb.client.entities import CleanEntityStorageResult, DurableEntityStatus, EntityPage, EntityStateResponse
from dfnb.client.entity_client import EntityRef
from dfnb.client.instance import Instance
from dfnb.client.links import Links
from dfnb.client.responses import AsyncResponses
from dfnb.client.status import DurableOrchestrationStatus, InstancePage, PurgeHistoryResult
from dfnb.client.sync import DurableOrchestrationClient
from dfnb.errors import InstanceFinishedError, WaitTimeoutError
from dfnb.records.instance import OrchestrationRuntimeStatus

T = TypeVar("T")


class AsyncDurableOrchestrationClient(AsyncResponses):
    """Azure's coroutine methods over the same client; none of them blocks the loop it is awaited on."""

    def __init__(self, client: DurableOrchestrationClient) -> None:
        self.sync = client

    def __repr__(self) -> str:
        return f"<AsyncDurableOrchestrationClient of {self.sync!r}>"

    @property
    def links(self) -> Links | None:
        """Makes the links of the server that runs on this hub; None without one."""
        return self.sync.links

    async def start_new(
        self, orchestration_function_name: str, instance_id: str | None = None, client_input: Any = None,
        version: str | None = None, *, callback_url: str | None = None,
    ) -> str:
        """Start an instance; its id. `callback_url`: where its end is to be told."""
        started = await _off_loop(
            self.sync.start, orchestration_function_name, client_input, instance_id=instance_id, version=version,
            callback_url=callback_url,
        )
        return started.id

    async def start_many(self, orchestration_function_name: str, inputs: Iterable[Any]) -> list[Instance]:
        """Start one instance for each input, all or none."""
        return await _off_loop(self.sync.start_many, orchestration_function_name, inputs)

    async def get_status(
        self, instance_id: str, show_history: bool = False, show_history_output: bool = False, show_input: bool = False
    ) -> DurableOrchestrationStatus:
        """The instance's state; falsy when there is no such instance."""
        return await _off_loop(
            self.sync.status, instance_id, show_history=show_history, show_history_output=show_history_output,
            show_input=show_input,
        )

    async def get_status_all(self, *, include_entities: bool = False) -> list[DurableOrchestrationStatus]:
        """Every instance of the hub, newest first."""
        return await self.get_status_by(include_entities=include_entities)

    async def get_status_by(
        self, created_time_from: datetime | None = None, created_time_to: datetime | None = None,
        runtime_status: list[OrchestrationRuntimeStatus] | None = None, instance_id_prefix: str | None = None,
        *, include_entities: bool = False,
    ) -> list[DurableOrchestrationStatus]:
        """All instances that fit, however many pages they fill."""
        found: list[DurableOrchestrationStatus] = []
        token: str | None = None
        while True:
            page: InstancePage = await _off_loop(
                self.sync.instances, created_time_from=created_time_from, created_time_to=created_time_to,
                runtime_status=runtime_status, instance_id_prefix=instance_id_prefix, limit=1000, continuation_token=token,
                include_entities=include_entities,
            )
            found += page
            token = page.continuation_token
            if token is None:
                return found

    async def raise_event(
        self, instance_id: str, event_name: str, event_data: Any = None, task_hub_name: str | None = None,
        connection_name: str | None = None,
    ) -> None:
        """Give an event to an instance that has not ended.

        `task_hub_name` and `connection_name` stand here for cells that give them; the hub is this one.
        """
        await _off_loop(self.sync.raise_event, instance_id, event_name, event_data)

    async def terminate(self, instance_id: str, reason: str | None = None) -> None:
        """End an instance; one that has ended already is left as it is, as in the original."""
        await _unless_finished(self.sync.terminate, instance_id, reason)

    async def suspend(self, instance_id: str, reason: str | None = None) -> None:
        """Suspend an instance; one that has ended already is left as it is, as in the original."""
        await _unless_finished(self.sync.suspend, instance_id, reason)

    async def resume(self, instance_id: str, reason: str | None = None) -> None:
        """Resume an instance; one that has ended already is left as it is, as in the original."""
        await _unless_finished(self.sync.resume, instance_id, reason)

    async def rewind(
        self, instance_id: str, reason: str | None = None, task_hub_name: str | None = None, connection_name: str | None = None
    ) -> None:
        """Run the failed tasks of a failed instance again. `task_hub_name` and `connection_name` as for `raise_event`."""
        await _off_loop(self.sync.rewind, instance_id, reason)

    async def restart(self, instance_id: str, restart_with_new_instance_id: bool = True) -> str:
        """Start it again with the same input; the new instance's id."""
        return (await _off_loop(self.sync.restart, instance_id, restart_with_new_instance_id)).id

    async def purge_instance_history(self, instance_id: str) -> PurgeHistoryResult:
        """Delete an ended instance; 0 deleted if there is none."""
        return await _off_loop(self.sync.purge, instance_id)

    async def purge_instance_history_by(
        self, created_time_from: datetime | None = None, created_time_to: datetime | None = None,
        runtime_status: list[OrchestrationRuntimeStatus] | None = None, *, instance_id_prefix: str | None = None,
    ) -> PurgeHistoryResult:
        """Delete the ended instances that fit."""
        return await _off_loop(
            self.sync.purge_many, created_time_from=created_time_from, created_time_to=created_time_to,
            runtime_status=runtime_status, instance_id_prefix=instance_id_prefix,
        )

    async def signal_entity(
        self, entityId: EntityRef, operation_name: str, operation_input: Any = None, task_hub_name: str | None = None,
        connection_name: str | None = None, *, signal_time: datetime | None = None,
    ) -> None:
        """Send an operation to an entity, not before `signal_time` if that is given. Falsy inputs arrive as they are.

        `task_hub_name` and `connection_name` stand here for cells that give them; the hub is this one.
        """
        await _off_loop(self.sync.signal_entity, entityId, operation_name, operation_input, signal_time=signal_time)

    async def read_entity_state(
        self, entityId: EntityRef, task_hub_name: str | None = None, connection_name: str | None = None
    ) -> EntityStateResponse:
        """The entity's committed state, if it has one."""
        return await _off_loop(self.sync.read_entity_state, entityId)

    async def get_entity(self, entityId: EntityRef) -> DurableEntityStatus | None:
        """All that is known of an entity; None if nothing is."""
        return await _off_loop(self.sync.entity_status, entityId) or None

    async def get_all_entities(self, name: str | None = None, *, fetch_state: bool = True) -> list[DurableEntityStatus]:
        """Every entity that has a state, of one name or of all, however many pages they fill."""
        found: list[DurableEntityStatus] = []
        token: str | None = None
        while True:
            page: EntityPage = await _off_loop(
                self.sync.entities, name, fetch_state=fetch_state, limit=1000, continuation_token=token
            )
            found += page
            token = page.continuation_token
            if token is None:
                return found

    async def clean_entity_storage(
        self, remove_empty_entities: bool = True, release_orphaned_locks: bool = True
    ) -> CleanEntityStorageResult:
        """Forget entities that have no state and nothing to do, and give back locks whose holder is gone."""
        return await _off_loop(self.sync.clean_entity_storage, remove_empty_entities, release_orphaned_locks)

    async def wait(self, instance_id: str, timeout: float | None = None) -> DurableOrchestrationStatus:
        """Wait for the end of an instance without a thread of its own. WaitTimeoutError after `timeout` seconds."""
        import asyncio

        ended = asyncio.wrap_future(self.sync.when_ended(instance_id))
        try:
            await asyncio.wait_for(ended, timeout)
        except TimeoutError:
            waiting_for = (await self.get_status(instance_id)).waiting_for
            raise WaitTimeoutError(instance_id, timeout or 0, waiting_for) from None
        return await self.get_status(instance_id, show_input=True)


async def _off_loop(function: Callable[..., T], *args: Any, **options: Any) -> T:
    import asyncio  # a program that never awaits starts 40 ms sooner without it

    return await asyncio.to_thread(function, *args, **options)


async def _unless_finished(function: Callable[..., None], *args: Any) -> None:
    try:
        await _off_loop(function, *args)
    except InstanceFinishedError:
        return
