"""The handle: waiting, results, failures, interrupts."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import dfnb
from dfnb.client.cancelled import WaitCancelled
from dfnb.client.instance import Instance
from dfnb.client.status import DurableOrchestrationStatus
from dfnb.client.sync import DurableOrchestrationClient

Reach = Callable[[str, Callable[[DurableOrchestrationStatus], bool]], DurableOrchestrationStatus]


def waiting(status: DurableOrchestrationStatus) -> bool:
    return "event go" in status.waiting_for


# looking


def test_a_handle_is_found_by_its_id(client: DurableOrchestrationClient) -> None:
    run = client.start("waits", instance_id="a")
    found = client.instance("a")
    assert found == run
    assert hash(found) == hash(run)
    assert (found.id, found.name, repr(found)) == ("a", "waits", "<Instance waits 'a'>")
    assert found != client.start("waits", instance_id="b")


def test_a_handle_on_nothing_is_refused(client: DurableOrchestrationClient) -> None:
    with pytest.raises(dfnb.InstanceNotFoundError, match="no instance with id 'x'"):
        client.instance("x")


def test_a_handle_does_what_the_client_does(client: DurableOrchestrationClient, reach: Reach, broken: dict[str, bool]) -> None:
    run = client.start("waits")
    reach(run.id, waiting)
    run.suspend()
    run.resume()
    run.raise_event("go", 1)
    assert run.result(10) == 1
    assert [type(row.event).__name__ for row in run.history()][:1] == ["ExecutionStarted"]
    assert run.logs() == []
    again = run.restart()
    again.terminate("no")
    assert again.wait(10).output == "no"
    again.purge()
    assert not again.status()
    failed = client.start("shop")
    failed.wait(10)
    broken["sell"] = False
    failed.rewind()
    assert failed.result(10) == "sold milk"


# waiting


def test_wait_gives_the_final_status(client: DurableOrchestrationClient) -> None:
    status = client.start("add", 1).wait(10)
    assert (status.output, status.is_terminal) == (2, True)
    assert client.wait(status.instance_id or "", 10).output == 2


def test_a_wait_that_ran_out_leaves_no_future_behind(client: DurableOrchestrationClient, reach: Reach) -> None:
    run = client.start("waits", instance_id="a")
    reach("a", waiting)
    other = client.when_ended("a")
    for _ in range(3):
        with pytest.raises(dfnb.WaitTimeoutError):
            run.wait(0)
    (state,) = client._hub._states.values()
    assert state.waiters == [other]
    run.raise_event("go", 1)
    assert other.result(10).end.result == "1"


def test_a_timeout_says_what_the_instance_waits_for(client: DurableOrchestrationClient, reach: Reach) -> None:
    run = client.start("waits", instance_id="a")
    reach("a", waiting)
    with pytest.raises(TimeoutError) as caught:
        run.wait(timeout=0.02)
    assert isinstance(caught.value, dfnb.WaitTimeoutError)
    assert str(caught.value).startswith("instance 'a' has not ended after 0.02 s; it is waiting for event go since ")
    assert str(caught.value).endswith(". It goes on in the background")


@pytest.mark.parametrize("timeout", [0, 0.001, -1])
def test_a_timeout_of_nothing_just_looks(client: DurableOrchestrationClient, timeout: float) -> None:
    run = client.start("waits")
    with pytest.raises(dfnb.WaitTimeoutError):
        run.result(timeout)
    run.raise_event("go", 1)
    assert run.result(10) == run.result(timeout) == 1


def test_many_may_wait_for_one_and_one_may_wait_twice(client: DurableOrchestrationClient) -> None:
    run = client.start("waits")
    ends = [client.when_ended(run.id) for _ in range(3)]
    run.raise_event("go", "x")
    assert [end.result(10).record.status for end in ends] == ["Completed"] * 3
    assert run.result() == run.result() == "x"


def test_waiting_for_nothing_is_refused(client: DurableOrchestrationClient) -> None:
    with pytest.raises(dfnb.InstanceNotFoundError):
        client.wait("x")


def test_waiting_for_a_missing_cell_says_so(app: dfnb.DurableApp, reach: Reach) -> None:
    registry, client = app.registry, app.client

    @dfnb.orchestrator(registry=registry)
    def trip(context):  # type: ignore[no-untyped-def]
        return (yield context.call_activity("geocode", "Oslo"))

    run = client.start("trip", instance_id="a")
    reach("a", lambda status: "cell that defines geocode" in status.waiting_for)
    with pytest.raises(dfnb.WaitTimeoutError, match=r"it is waiting for the cell that defines geocode. It goes on"):
        run.wait(0.01)
    dfnb.activity(name="geocode", registry=registry)(str.upper)
    assert run.result(10) == "OSLO"


# results


def test_the_result_of_a_failure_carries_its_details_and_causes(client: DurableOrchestrationClient) -> None:
    run = client.start("shop", instance_id="a")
    with pytest.raises(dfnb.InstanceFailedError) as caught:
        run.result(10)
    error = caught.value
    assert (error.instance_id, error.name, error.status, error.reason) == ("a", "shop", "Failed", None)
    assert "Orchestrator function 'shop' failed: " in str(error)
    assert "ValueError: no milk left" in str(error)
    assert error.details is not None
    causes = [error.details]
    while causes[-1].inner_failure is not None:
        causes.append(causes[-1].inner_failure)
    assert [cause.error_type.rpartition(".")[2] for cause in causes] == ["TaskFailedError", "ValueError", "KeyError"]
    assert causes[1].is_caused_by(ValueError)
    assert "in sell" in causes[1].stack_trace
    assert run.status().failure_details == error.details
    assert run.status().output == f"Orchestrator function 'shop' failed: {error.details.summary}"


def test_the_result_of_a_terminated_instance_is_an_error_with_the_reason(client: DurableOrchestrationClient) -> None:
    run = client.start("waits", instance_id="a")
    run.terminate("no money")
    with pytest.raises(dfnb.InstanceFailedError, match="instance 'a' of 'waits' was terminated: no money") as caught:
        run.result(10)
    assert (caught.value.status, caught.value.reason, caught.value.details) == ("Terminated", "no money", None)


# await


def test_await_gives_the_output(client: DurableOrchestrationClient) -> None:
    async def main() -> list[int]:
        return [await client.start("add", 1), *await asyncio.gather(client.start("add", 2), client.start("add", 3))]

    assert asyncio.run(main()) == [2, 3, 4]


def test_await_raises_what_result_raises(client: DurableOrchestrationClient) -> None:
    async def main() -> None:
        await client.start("shop")

    with pytest.raises(dfnb.InstanceFailedError, match="no milk left"):
        asyncio.run(main())


def test_the_loop_is_free_while_an_instance_is_awaited(client: DurableOrchestrationClient) -> None:
    async def main() -> int:
        run = client.start("waits")
        waiter = asyncio.ensure_future(_result(run))
        await asyncio.sleep(0)
        run.raise_event("go", 5)
        return await asyncio.wait_for(waiter, 10)

    assert asyncio.run(main()) == 5


def test_cancelling_an_await_leaves_the_instance_alone(client: DurableOrchestrationClient) -> None:
    async def main() -> Instance:
        run = client.start("waits")
        waiter = asyncio.ensure_future(_result(run))
        await asyncio.sleep(0.01)
        waiter.cancel()
        with pytest.raises(WaitCancelled, match="it goes on in the background"):
            await waiter
        return run

    run = asyncio.run(main())
    assert not run.status().is_terminal
    run.raise_event("go", 6)  # the loop of the cancelled await is closed by now
    assert run.result(10) == 6


def test_an_await_with_a_timeout_leaves_the_instance_alone(client: DurableOrchestrationClient) -> None:
    run = client.start("waits")

    async def main() -> None:
        await asyncio.wait_for(_result(run), 0.01)

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    run.raise_event("go", 7)
    assert run.result(10) == 7


async def _result(run: Instance) -> int:
    value: int = await run
    return value


# interrupts

INTERRUPTED = """
    import sys, threading, time, traceback
    import dfnb

    @dfnb.orchestrator
    def waits(context):
        return (yield context.wait_for_external_event("go"))

    def announce(main):
        inside = set()
        while not {"_ended", "result"} <= inside:
            inside = {frame.name for frame in traceback.extract_stack(sys._current_frames()[main])}
        print("waiting", flush=True)

    with dfnb.DurableApp(sys.argv[1]) as app:
        run = app.client.start(waits, instance_id="a")
        threading.Thread(target=announce, args=[threading.get_ident()]).start()
        try:
            run.wait()
        except KeyboardInterrupt as error:
            print(time.time(), error, flush=True)
        run.raise_event("go", "went on")
        print(run.result(10), flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="this platform has no SIGINT to send to a child")
def test_an_interrupt_ends_the_wait_at_once_and_the_instance_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(INTERRUPTED), str(tmp_path / "hub.duckdb")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        sent = time.time()
        process.send_signal(signal.SIGINT)
        told, _, sentence = process.stdout.readline().partition(" ")
        assert sentence == "stopped waiting for a; it goes on in the background\n"
        assert float(told) - sent < 2
        assert process.stdout.readline() == "went on\n"
    assert process.returncode == 0
