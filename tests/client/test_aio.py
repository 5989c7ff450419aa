"""Azure's coroutine names over the same client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pytest

import dfnb
from dfnb import OrchestrationRuntimeStatus as Status

T = TypeVar("T")


def run(main: Callable[[], Awaitable[T]]) -> T:
    async def whole() -> T:
        return await asyncio.wait_for(main(), 20)

    return asyncio.run(whole())


@pytest.fixture
def client(app: dfnb.DurableApp) -> dfnb.AsyncDurableOrchestrationClient:
    return app.async_client


Client = dfnb.AsyncDurableOrchestrationClient


def test_start_new_gives_the_id(client: Client) -> None:
    async def main() -> None:
        assert await client.start_new("echo", "a", {"n": 1}) == "a"
        assert await client.start_new("echo", instance_id="b", client_input=2) == "b"
        assert len(await client.start_new("echo")) == 32
        assert (await client.wait("a", 10)).output == {"n": 1}
        assert (await client.wait("b", 10)).output == 2

    run(main)


def test_status_hides_the_input_unless_asked_for_as_in_the_original(client: Client) -> None:
    async def main() -> None:
        await client.start_new("echo", "a", 1)
        await client.wait("a", 10)
        assert (await client.get_status("a")).input_ is None
        shown = await client.get_status("a", show_input=True, show_history=True, show_history_output=True)
        assert shown.input_ == 1
        assert [entry["EventType"] for entry in shown.history or []] == ["ExecutionStarted", "ExecutionCompleted"]
        assert not await client.get_status("missing")

    run(main)


def test_get_status_all_and_by_read_every_page(client: Client) -> None:
    async def main() -> None:
        for started in await client.start_many("echo", range(1100)):
            await started
        waiting = await client.start_new("waits", "w-1")
        assert len(await client.get_status_all()) == 1101
        found = await client.get_status_by(runtime_status=[Status.Completed])
        assert sorted(status.input_ for status in found) == list(range(1100))
        assert [s.instance_id for s in await client.get_status_by(instance_id_prefix="w-")] == [waiting]
        assert await client.get_status_by(created_time_to=datetime(2020, 1, 1)) == []

    run(main)


def test_events_suspend_resume_and_terminate(client: Client) -> None:
    async def main() -> None:
        await client.start_new("waits", "a")
        await client.suspend("a", "lunch")
        await client.raise_event("a", "go", 3, "hub", "connection")
        await client.resume("a", "back")
        assert (await client.wait("a", 10)).output == 3
        await client.start_new("waits", "b")
        await client.terminate("b", "enough")
        assert (await client.wait("b", 10)).output == "enough"

    run(main)


def test_what_has_ended_is_left_as_it_is_without_an_error_as_in_the_original(client: Client) -> None:
    async def main() -> None:
        await client.start_new("echo", "a", 1)
        await client.wait("a", 10)
        for operation in (client.terminate, client.suspend, client.resume):
            await operation("a")
        assert (await client.get_status("a")).runtime_status is Status.Completed

    run(main)


def test_other_conflicts_are_errors(client: Client) -> None:
    async def main() -> None:
        await client.start_new("waits", "a")
        refused: list[tuple[type[Exception], Awaitable[Any]]] = [
            (dfnb.InstanceExistsError, client.start_new("waits", "a")),
            (dfnb.NotRegisteredError, client.start_new("wait")),
            (dfnb.InstanceConflictError, client.resume("a")),
            (dfnb.InstanceConflictError, client.rewind("a")),
            (dfnb.InstanceConflictError, client.restart("a", restart_with_new_instance_id=False)),
            (dfnb.InstanceConflictError, client.purge_instance_history("a")),
            (dfnb.InstanceNotFoundError, client.raise_event("x", "go")),
            (dfnb.InstanceNotFoundError, client.terminate("x")),
            (dfnb.InstanceNotFoundError, client.wait("x")),
            (ValueError, client.purge_instance_history_by(runtime_status=[])),
        ]
        for error, call in refused:
            with pytest.raises(error):
                await call

    run(main)


def test_rewind_and_restart(client: Client, broken: dict[str, bool]) -> None:
    async def main() -> None:
        await client.start_new("shop", "a")
        assert (await client.wait("a", 10)).runtime_status is Status.Failed
        broken["sell"] = False
        await client.rewind("a", "milk came", "hub", "connection")
        assert (await client.wait("a", 10)).output == "sold milk"
        again = await client.restart("a")
        assert again != "a"
        assert (await client.wait(again, 10)).output == "sold milk"

    run(main)


def test_purge_one_and_many(client: Client) -> None:
    async def main() -> None:
        for started in await client.start_many("echo", range(4)):
            await started
        await client.start_new("echo", "a")
        await client.wait("a", 10)
        assert (await client.purge_instance_history("a")).instances_deleted == 1
        assert (await client.purge_instance_history("a")).instances_deleted == 0
        long_ago = datetime.now() - timedelta(days=365)
        assert (await client.purge_instance_history_by(long_ago)).instances_deleted == 4

    run(main)


def test_wait_runs_out_with_a_sentence(client: Client) -> None:
    async def main() -> None:
        await client.start_new("waits", "a")
        with pytest.raises(dfnb.WaitTimeoutError, match=r"'a' has not ended after 0.02 s"):
            await client.wait("a", 0.02)
        await client.raise_event("a", "go", 1)
        assert (await client.wait("a")).output == 1

    run(main)


def test_entities_with_the_names_and_parameters_of_the_original(app: dfnb.DurableApp, client: Client) -> None:
    @dfnb.entity(registry=app.registry)
    def counter(context: dfnb.DurableEntityContext) -> None:
        context.set_state(context.get_input())

    @dfnb.orchestrator(registry=app.registry)
    def set_it(context: dfnb.DurableOrchestrationContext) -> Any:
        yield context.call_entity(dfnb.EntityId("counter", "x"), "set", context.get_input())

    async def main() -> None:
        x = dfnb.EntityId("counter", "x")
        assert await client.read_entity_state(x) == dfnb.EntityStateResponse(False, None)
        assert await client.get_entity(x) is None
        await client.signal_entity(x, "set", 1, "hub", "connection")
        await client.signal_entity(entityId=x, operation_name="set", operation_input=0)
        await client.wait(await client.start_new("set_it", client_input=7), 10)
        await client.wait(await client.start_new("set_it", client_input=0), 10)
        assert await client.read_entity_state(x, "hub", "connection") == dfnb.EntityStateResponse(True, 0)
        found = await client.get_entity("@counter@x")
        assert found is not None
        assert (found.state, found.operations) == (0, 4)
        assert await client.get_all_entities("counter") == [found]
        assert [one.state for one in await client.get_all_entities(fetch_state=False)] == [None]
        assert "@counter@x" in {one.instance_id for one in await client.get_status_all(include_entities=True)}
        assert "@counter@x" not in {one.instance_id for one in await client.get_status_all()}
        assert await client.clean_entity_storage() == dfnb.CleanEntityStorageResult(0, 0)

    run(main)
