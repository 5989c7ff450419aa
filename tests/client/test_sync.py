"""Every operation of the client, in every state an instance can be in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import dfnb
from dfnb import OrchestrationRuntimeStatus as Status
from dfnb.client.status import DurableOrchestrationStatus
from dfnb.client.sync import DurableOrchestrationClient
from dfnb.engine.clock import FakeClock

Holds = Callable[[DurableOrchestrationStatus], bool]
Reach = Callable[[str, Holds], DurableOrchestrationStatus]


def running(status: DurableOrchestrationStatus) -> bool:
    return "event go" in status.waiting_for


def has(name: str) -> Holds:
    return lambda status: status.runtime_status is not None and status.runtime_status.value == name


# start


def test_an_id_is_made_of_32_hex_digits_when_none_is_given(client: DurableOrchestrationClient) -> None:
    ids = {client.start("echo", 1).id for _ in range(20)}
    assert len(ids) == 20
    assert all(len(id) == 32 and set(id) <= set("0123456789abcdef") for id in ids)


def test_an_orchestrator_is_named_by_text_or_by_its_function(client: DurableOrchestrationClient, registry: dfnb.Registry) -> None:
    definition = registry.require("orchestrator", "echo")
    assert client.start(definition.function, 1).name == client.start("echo", 1).name == "echo"


def test_own_ids_are_kept_with_their_case(client: DurableOrchestrationClient) -> None:
    first, second = client.start("waits", instance_id="Order 7"), client.start("waits", instance_id="order 7")
    assert (first.id, second.id) == ("Order 7", "order 7")


@pytest.mark.parametrize("bad", ["a/b", "a\\b", "a?b", "a#b", "a\nb", "a\x7f", "a\x85b", "@counter@1", ".", "..", "", "x" * 257, 7])
def test_ids_that_cannot_be_addressed_are_refused(client: DurableOrchestrationClient, bad: Any) -> None:
    with pytest.raises(ValueError):
        client.start("echo", instance_id=bad)


def test_the_refusal_of_an_id_names_the_characters(client: DurableOrchestrationClient) -> None:
    with pytest.raises(ValueError, match=r"contains '#', '/'; leave out"):
        client.start("echo", instance_id="a/b#c")


@pytest.mark.parametrize("good", ["x" * 256, "a@b", "söndag", "a b+c:d.e", "日本"])
def test_all_other_ids_work(client: DurableOrchestrationClient, good: str) -> None:
    assert client.start("echo", good, instance_id=good).result(10) == good


def test_an_unknown_orchestrator_is_refused_with_the_nearest_name(client: DurableOrchestrationClient) -> None:
    with pytest.raises(dfnb.NotRegisteredError, match="no orchestrator named 'ecco' is defined here; did you mean 'echo'"):
        client.start("ecco")


def test_an_input_that_is_not_json_is_refused_before_anything_starts(client: DurableOrchestrationClient) -> None:
    with pytest.raises(dfnb.PayloadError, match="the input of 'echo'"):
        client.start("echo", object(), instance_id="never")
    assert not client.status("never")


def test_the_id_of_an_open_instance_is_taken(client: DurableOrchestrationClient, reach: Reach) -> None:
    client.start("waits", instance_id="a")
    reach("a", running)
    with pytest.raises(dfnb.InstanceExistsError, match="'a' already exists and is Running; choose another id"):
        client.start("echo", instance_id="a")
    client.suspend("a")
    reach("a", has("Suspended"))
    with pytest.raises(dfnb.InstanceExistsError, match="is Suspended"):
        client.start("echo", instance_id="a")


@pytest.mark.parametrize("end", ["Completed", "Failed", "Terminated"])
def test_the_id_of_an_ended_instance_is_taken_over(client: DurableOrchestrationClient, end: str) -> None:
    run = client.start({"Completed": "echo", "Failed": "shop", "Terminated": "waits"}[end], "old", instance_id="a")
    if end == "Terminated":
        run.terminate()
    assert has(end)(run.wait(10))
    assert client.start("echo", "new", instance_id="a").result(10) == "new"
    assert len(client.instances(instance_id_prefix="a")) == 1
    assert client.status("a").input_ == "new"


def test_start_many_starts_one_for_each_input(client: DurableOrchestrationClient) -> None:
    runs = client.start_many("add", range(50))
    assert [run.result(10) for run in runs] == list(range(1, 51))
    assert client.start_many("add", []) == []


def test_start_many_takes_ids_one_for_each_input(client: DurableOrchestrationClient) -> None:
    assert [run.id for run in client.start_many("echo", [1, 2], instance_ids=["a", "b"])] == ["a", "b"]
    with pytest.raises(ValueError, match="2 inputs but 1 instance ids"):
        client.start_many("echo", [1, 2], instance_ids=["c"])


def test_start_many_starts_none_when_one_id_is_given_twice(client: DurableOrchestrationClient) -> None:
    with pytest.raises(dfnb.InstanceExistsError, match="'b'"):
        client.start_many("echo", [1, 2, 3], instance_ids=["a", "b", "b"])
    assert not client.status("a")
    assert client.counts() == {}


def test_start_many_starts_none_when_one_id_is_taken(client: DurableOrchestrationClient) -> None:
    client.start("waits", instance_id="b")
    with pytest.raises(dfnb.InstanceExistsError, match="'b'"):
        client.start_many("echo", [1, 2], instance_ids=["a", "b"])
    assert not client.status("a")


def test_start_many_starts_none_when_one_input_is_not_json(client: DurableOrchestrationClient) -> None:
    with pytest.raises(dfnb.PayloadError):
        client.start_many("echo", [1, object()])
    assert client.counts() == {}


@pytest.mark.parametrize("zone", [None, UTC])
def test_a_scheduled_start_waits_for_its_time(registry: dfnb.Registry, clock: FakeClock, zone: Any) -> None:
    with dfnb.DurableApp(durability="memory", registry=registry, clock=clock) as app:
        run = app.client.start("echo", 1, start_at=datetime(2026, 1, 1, 0, 1, tzinfo=zone))
        with pytest.raises(dfnb.WaitTimeoutError, match="waiting for its start time until"):
            run.wait(0.05)
        assert has("Pending")(run.status())
        clock.advance(59)
        app.client.start("echo", 2).result(10)  # the engine has looked again since
        assert has("Pending")(run.status())
        clock.advance(1)
        assert run.result(10) == 1


def test_a_scheduled_instance_can_be_terminated_before_it_starts(registry: dfnb.Registry, clock: FakeClock) -> None:
    with dfnb.DurableApp(durability="memory", registry=registry, clock=clock) as app:
        run = app.client.start("echo", 1, start_at=datetime(2026, 1, 2, tzinfo=UTC))
        run.terminate("not needed")
        assert run.wait(10).output == "not needed"


def test_a_start_time_in_the_past_is_now(client: DurableOrchestrationClient) -> None:
    assert client.start("echo", 1, start_at=datetime(2020, 1, 1)).result(10) == 1


def test_a_start_time_is_a_datetime(client: DurableOrchestrationClient) -> None:
    with pytest.raises(TypeError, match="a time is given as a datetime, not str"):
        client.start("echo", start_at="tomorrow")  # type: ignore[arg-type]


# query


def test_a_query_lists_the_newest_first(client: DurableOrchestrationClient) -> None:
    for id in ("a", "b", "c"):
        client.start("echo", id, instance_id=id).result(10)
    assert [status.instance_id for status in client.instances()] == ["c", "b", "a"]
    assert [status.input_ for status in client.instances(show_input=False)] == [None] * 3
    assert [status.output for status in client.instances()] == ["c", "b", "a"]


def test_a_query_narrows_by_status_prefix_and_name(client: DurableOrchestrationClient, reach: Reach) -> None:
    client.start("echo", instance_id="x1").wait(10)
    client.start("add", 1, instance_id="x2").wait(10)
    client.start("waits", instance_id="y1")
    reach("y1", running)

    def ids(**query: Any) -> list[str | None]:
        return [status.instance_id for status in client.instances(**query)]

    assert ids(instance_id_prefix="x") == ["x2", "x1"]
    assert ids(instance_id_prefix="X") == []
    assert ids(name="add") == ["x2"]
    assert ids(runtime_status="running") == ["y1"]
    assert ids(runtime_status=Status.Completed) == ["x2", "x1"]
    assert ids(runtime_status=["COMPLETED", Status.Running]) == ["y1", "x2", "x1"]
    assert ids(runtime_status="Completed,Running") == ["y1", "x2", "x1"]
    assert ids(runtime_status="Failed") == []
    assert ids(runtime_status="Completed", instance_id_prefix="x", name="echo") == ["x1"]
    assert client.counts() == {"Completed": 2, "Running": 1}


@pytest.mark.parametrize("prefix", ["50%", "a_", "it's", "\\"])
def test_a_prefix_is_taken_literally(client: DurableOrchestrationClient, prefix: str) -> None:
    client.start("echo", instance_id="500").wait(10)
    client.start("echo", instance_id="abc").wait(10)
    assert client.instances(instance_id_prefix=prefix) == []
    if prefix != "\\":
        client.start("echo", instance_id=f"{prefix}!").wait(10)
        assert len(client.instances(instance_id_prefix=prefix)) == 1


def test_an_unknown_status_names_the_known_ones(client: DurableOrchestrationClient) -> None:
    with pytest.raises(ValueError, match="'Finished' is not a runtime status; known are Running, Completed"):
        client.instances(runtime_status="Finished")


def test_a_query_by_creation_time_includes_both_ends(registry: dfnb.Registry, clock: FakeClock) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with dfnb.DurableApp(durability="memory", registry=registry, clock=clock) as app:
        for id in ("a", "b", "c"):
            app.client.start("echo", instance_id=id).wait(10)
            clock.advance(60)

        def ids(first: int | None, last: int | None) -> list[str | None]:
            window = [None if n is None else start + timedelta(minutes=n) for n in (first, last)]
            return [s.instance_id for s in app.client.instances(created_time_from=window[0], created_time_to=window[1])]

        assert ids(1, None) == ["c", "b"]
        assert ids(None, 1) == ["b", "a"]
        assert ids(1, 1) == ["b"]
        assert ids(3, None) == []
        naive = app.client.instances(created_time_from=datetime(2026, 1, 1, 0, 2))
        assert [status.instance_id for status in naive] == ["c"]


def test_pages_neither_repeat_nor_miss_while_instances_are_added(client: DurableOrchestrationClient) -> None:
    for run in client.start_many("echo", range(25)):
        run.wait(10)
    page = client.instances(limit=10)
    seen = [status.input_ for status in page]
    while page.continuation_token is not None:
        client.start("echo", "later").wait(10)
        page = client.instances(limit=10, continuation_token=page.continuation_token)
        seen += [status.input_ for status in page]
    assert sorted(seen) == list(range(25))


def test_a_full_last_page_has_no_token(client: DurableOrchestrationClient) -> None:
    client.start_many("echo", range(4))
    assert client.instances(limit=4).continuation_token is None
    assert client.instances(limit=3).continuation_token is not None


def test_a_foreign_token_and_an_empty_page_are_refused(client: DurableOrchestrationClient) -> None:
    with pytest.raises(ValueError, match="not one that an earlier page gave"):
        client.instances(continuation_token="nonsense")
    with pytest.raises(ValueError, match="limit must be at least 1"):
        client.instances(limit=0)


# the states an instance can be in, and what each operation says there

OPERATIONS: dict[str, Callable[[DurableOrchestrationClient, str], Any]] = {
    "raise_event": lambda client, id: client.raise_event(id, "other"),
    "terminate": lambda client, id: client.terminate(id),
    "suspend": lambda client, id: client.suspend(id),
    "resume": lambda client, id: client.resume(id),
    "rewind": lambda client, id: client.rewind(id),
    "restart": lambda client, id: client.restart(id),
    "restart_same": lambda client, id: client.restart(id, False),
    "purge": lambda client, id: client.purge(id),
    "start": lambda client, id: client.start("echo", instance_id=id),
}
MISSING, FINISHED = dfnb.InstanceNotFoundError, dfnb.InstanceFinishedError
CONFLICT, EXISTS = dfnb.InstanceConflictError, dfnb.InstanceExistsError
STATES = ("missing", "Running", "Suspended", "Completed", "Terminated", "Failed")
MATRIX: dict[str, tuple[type[dfnb.DfnbError] | None, ...]] = {
    "raise_event": (MISSING, None, None, FINISHED, FINISHED, FINISHED),
    "terminate": (MISSING, None, None, FINISHED, FINISHED, FINISHED),
    "suspend": (MISSING, None, CONFLICT, FINISHED, FINISHED, FINISHED),
    "resume": (MISSING, CONFLICT, None, FINISHED, FINISHED, FINISHED),
    "rewind": (MISSING, CONFLICT, CONFLICT, FINISHED, FINISHED, None),
    "restart": (MISSING, None, None, None, None, None),
    "restart_same": (MISSING, CONFLICT, CONFLICT, None, None, None),
    "purge": (None, CONFLICT, CONFLICT, None, None, None),
    "start": (None, EXISTS, EXISTS, None, None, None),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("operation", MATRIX)
def test_operation_in_state(client: DurableOrchestrationClient, reach: Reach, operation: str, state: str) -> None:
    bring_into(state, client, reach)
    wanted = MATRIX[operation][STATES.index(state)]
    if wanted is None:
        OPERATIONS[operation](client, "a")
    else:
        with pytest.raises(wanted) as caught:
            OPERATIONS[operation](client, "a")
        assert "'a'" in str(caught.value)
        assert state == "missing" or state in str(caught.value)


def bring_into(state: str, client: DurableOrchestrationClient, reach: Reach) -> None:
    if state == "missing":
        return
    client.start({"Completed": "echo", "Failed": "shop"}.get(state, "waits"), instance_id="a")
    if state in ("Running", "Suspended", "Terminated"):
        reach("a", running)
    if state == "Suspended":
        client.suspend("a")
    if state == "Terminated":
        client.terminate("a")
    reach("a", has(state))


# events


def test_an_event_reaches_the_orchestrator(client: DurableOrchestrationClient) -> None:
    run = client.start("waits")
    client.raise_event(run.id, "go", {"n": 1})
    assert run.result(10) == {"n": 1}


def test_an_event_needs_a_name_and_json(client: DurableOrchestrationClient) -> None:
    run = client.start("waits")
    with pytest.raises(ValueError, match="needs the event's name"):
        client.raise_event(run.id, "")
    with pytest.raises(dfnb.PayloadError, match="the data of event 'go'"):
        client.raise_event(run.id, "go", object())


# terminate


def test_terminate_shows_its_reason_as_output(client: DurableOrchestrationClient) -> None:
    run = client.start("waits")
    client.terminate(run.id, "out of money")
    status = run.wait(10)
    assert (status.runtime_status, status.output) == (Status.Terminated, "out of money")


def test_a_reason_that_is_json_is_shown_as_its_value(client: DurableOrchestrationClient) -> None:
    run = client.start("waits")
    client.terminate(run.id, '{"a": 1}')
    assert run.wait(10).output == {"a": 1}


def test_terminate_leaves_children_alone_unless_asked(client: DurableOrchestrationClient, reach: Reach) -> None:
    client.start("parent", instance_id="p")
    reach("p-child", running)
    client.terminate("p")
    reach("p", has("Terminated"))
    assert running(client.status("p-child"))


def test_terminate_takes_children_along_when_asked(client: DurableOrchestrationClient, reach: Reach) -> None:
    client.start("parent", instance_id="p")
    reach("p-child", running)
    client.terminate("p", "enough", recursive=True)
    assert reach("p-child", has("Terminated")).output == "enough"
    reach("p", lambda status: status.is_terminal)


# suspend and resume


@pytest.mark.parametrize("name", ["\x1b]0;evil\x07", "a\nb", "\x9b"], ids=["escape", "line break", "C1"])
def test_the_name_of_an_event_has_no_control_characters(client: DurableOrchestrationClient, name: str) -> None:
    run = client.start("waits")
    with pytest.raises(ValueError, match="has control characters in it; leave them out"):
        run.raise_event(name)


def test_events_wait_while_an_instance_is_suspended(client: DurableOrchestrationClient, reach: Reach) -> None:
    run = client.start("waits")
    reach(run.id, running)
    client.suspend(run.id, "lunch")
    client.raise_event(run.id, "go", 1)
    assert has("Suspended")(reach(run.id, has("Suspended")))
    with pytest.raises(dfnb.WaitTimeoutError):
        run.wait(0.05)
    client.resume(run.id)
    assert run.result(10) == 1


def test_a_second_suspend_says_what_to_do(client: DurableOrchestrationClient) -> None:
    run = client.start("waits", instance_id="a")
    client.suspend(run.id)
    with pytest.raises(dfnb.InstanceConflictError, match="cannot suspend instance 'a' while it is Suspended; resume it first"):
        client.suspend(run.id)


# rewind and restart


def test_rewind_runs_what_failed_again(client: DurableOrchestrationClient, broken: dict[str, bool]) -> None:
    run = client.start("shop")
    assert has("Failed")(run.wait(10))
    broken["sell"] = False
    client.rewind(run.id, "milk came")
    assert run.result(10) == "sold milk"


def test_restart_makes_a_new_id_with_the_same_input(client: DurableOrchestrationClient) -> None:
    first = client.start("echo", {"n": 1})
    first.wait(10)
    second = client.restart(first.id)
    assert second.id != first.id
    assert second.result(10) == {"n": 1}


def test_restart_under_the_same_id_replaces_the_old_run(client: DurableOrchestrationClient, broken: dict[str, bool]) -> None:
    client.start("shop", instance_id="a").wait(10)
    broken["sell"] = False
    assert client.restart("a", restart_with_new_instance_id=False).result(10) == "sold milk"
    assert len(client.instances()) == 1


def test_restart_keeps_custom_objects(client: DurableOrchestrationClient) -> None:
    marker = {"__class__": "Money", "__module__": "tests", "__data__": 7}
    first = client.start("waits", marker)
    assert client.status(client.restart(first.id).id).input_ == marker


# purge


def test_purge_deletes_an_ended_instance_with_its_history(client: DurableOrchestrationClient) -> None:
    run = client.start("echo", 1)
    run.wait(10)
    assert client.purge(run.id).instances_deleted == 1
    assert not client.status(run.id)
    with pytest.raises(dfnb.InstanceNotFoundError):
        client.history(run.id)
    assert client.purge(run.id).instances_deleted == 0


def test_purge_of_an_open_instance_needs_force(client: DurableOrchestrationClient, reach: Reach) -> None:
    client.start("waits", instance_id="a")
    reach("a", running)
    with pytest.raises(dfnb.InstanceConflictError, match="cannot purge instance 'a' while it is Running; terminate it first, or"):
        client.purge("a")
    assert client.purge("a", force=True).instances_deleted == 1
    assert not client.status("a")
    assert client.start("echo", 2, instance_id="a").result(10) == 2


def test_purge_many_deletes_only_what_has_ended(client: DurableOrchestrationClient, reach: Reach) -> None:
    for run in client.start_many("echo", range(5)):
        run.wait(10)
    client.start("shop").wait(10)
    open_one = client.start("waits")
    reach(open_one.id, running)
    assert client.purge_many(runtime_status="failed").instances_deleted == 1
    assert client.purge_many().instances_deleted == 5
    assert [status.instance_id for status in client.instances()] == [open_one.id]
    assert client.purge_many().instances_deleted == 0


def test_purge_many_takes_a_window(registry: dfnb.Registry, clock: FakeClock) -> None:
    with dfnb.DurableApp(durability="memory", registry=registry, clock=clock) as app:
        for id in ("a", "b", "c"):
            app.client.start("echo", instance_id=id).wait(10)
            clock.advance(60)
        middle = datetime(2026, 1, 1, 0, 1)
        assert app.client.purge_many(created_time_from=middle, created_time_to=middle).instances_deleted == 1
        assert [status.instance_id for status in app.client.instances()] == ["c", "a"]


@pytest.mark.parametrize("useless", [[], "", "Running", ["Completed", "Pending"], "finished"])
def test_a_purge_filter_that_means_nothing_never_means_everything(client: DurableOrchestrationClient, useless: Any) -> None:
    client.start("echo", 1).wait(10)
    with pytest.raises(ValueError):
        client.purge_many(runtime_status=useless)
    assert len(client.instances()) == 1


def test_a_purge_by_prefix_leaves_all_others(client: DurableOrchestrationClient) -> None:
    for id in ("trip-a", "trip-b", "other"):
        client.start("echo", 1, instance_id=id).wait(10)
    assert client.purge_many(instance_id_prefix="trip-").instances_deleted == 2
    assert [status.instance_id for status in client.instances()] == ["other"]
    with pytest.raises(ValueError, match="empty instance_id_prefix"):
        client.purge_many(instance_id_prefix="")


# many threads


def test_the_client_may_be_used_from_many_threads(client: DurableOrchestrationClient) -> None:
    together = threading.Barrier(8)

    def work(n: int) -> list[int]:
        together.wait()
        runs = [client.start("waits", instance_id=f"{n}-{i}") for i in range(10)]
        for i, run in enumerate(runs):
            client.raise_event(run.id, "go", i)
        return [run.result(20) for run in runs]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [list(range(10))] * 8
    assert client.counts() == {"Completed": 80}


def test_of_many_threads_that_want_one_id_one_gets_it(client: DurableOrchestrationClient) -> None:
    together = threading.Barrier(8)

    def work(_: int) -> str:
        together.wait()
        try:
            return client.start("waits", instance_id="a").id
        except dfnb.InstanceExistsError:
            return "taken"

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(work, range(8))) == ["a"] + ["taken"] * 7
