"""Signalling, reading, listing, deleting and cleaning up entities, through the client and through a handle."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import timedelta
from typing import Any

import pytest

import dfnb
from dfnb.client.entities import EntityHandle
from dfnb.client.sync import DurableOrchestrationClient
from dfnb.engine.clock import FakeClock
from dfnb.records.times import to_datetime

Settled = Callable[[str], EntityHandle]
X = dfnb.EntityId("counter", "x")


@pytest.fixture
def registry() -> dfnb.Registry:
    made = dfnb.Registry()

    @dfnb.entity(registry=made)
    def counter(context: dfnb.DurableEntityContext) -> Any:
        if context.operation_name == "set":
            context.set_state(context.get_input())
        elif context.operation_name == "add":
            context.set_state(context.get_state(lambda: 0) + context.get_input())
        elif context.operation_name == "fail":
            raise ValueError("bad")
        elif context.operation_name == "say":
            logging.getLogger("counter").warning("hello from %s", context.entity_key)
        return context.get_state()

    @dfnb.entity(registry=made)
    class Account:
        def __init__(self) -> None:
            self.balance = 0

        def deposit(self, amount: int) -> None:
            self.balance += amount

        def get(self) -> int:
            return self.balance

    @dfnb.orchestrator(registry=made)
    def holds(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        with (yield context.lock_entities([X])):
            yield context.wait_for_external_event("go")

    @dfnb.orchestrator(registry=made)
    def ask(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        return (yield context.call_entity(dfnb.EntityId.get_entity_id(context.get_input()), "get"))

    return made


@pytest.fixture
def settled(client: DurableOrchestrationClient) -> Settled:
    """The handle, once what was sent to the entity before has run: a call comes after it."""

    def settle(id: str) -> EntityHandle:
        client.start("ask", id).result(10)
        return client.entity(id)

    return settle


# signal


def test_a_signal_is_run_and_its_state_is_read(client: DurableOrchestrationClient, settled: Settled) -> None:
    client.signal_entity(X, "add", 5)
    client.signal_entity("@Counter@x", "add", 2)
    settled("@counter@x")
    assert client.read_entity_state(X) == client.read_entity_state("@counter@x") == dfnb.EntityStateResponse(True, 7)


@pytest.mark.parametrize("value", [0, "", False, [], {}])
def test_falsy_inputs_and_states_are_kept(client: DurableOrchestrationClient, settled: Settled, value: Any) -> None:
    client.signal_entity(X, "set", value)
    assert settled("@counter@x").operations()[-1].input is not None
    assert client.read_entity_state(X) == dfnb.EntityStateResponse(True, value)


def test_many_signals_have_one_acknowledgement(client: DurableOrchestrationClient, settled: Settled) -> None:
    client.signal_entities((dfnb.EntityId("counter", str(n % 3)), "add", n) for n in range(30))
    assert [settled(f"@counter@{n}").state for n in range(3)] == [135, 145, 155]
    client.signal_entities([("@account@a", "deposit", 3), ("@counter@0", "say")])
    assert settled("@counter@0").logs()[0].text == "hello from 0"
    client.signal_entities([])


def test_nothing_is_sent_when_one_signal_is_wrong(client: DurableOrchestrationClient) -> None:
    with pytest.raises(dfnb.NotRegisteredError):
        client.signal_entities([(X, "add", 1), (dfnb.EntityId("nobody", "x"), "add", 1)])
    assert not client.entity(X).status()


def test_an_entity_that_no_cell_defines_is_refused_with_the_nearest_name(client: DurableOrchestrationClient) -> None:
    with pytest.raises(dfnb.NotRegisteredError, match="no entity named 'conter' is defined here; did you mean 'counter'"):
        client.signal_entity(dfnb.EntityId("conter", "x"), "add", 1)
    with pytest.raises(dfnb.NotRegisteredError):
        client.delete_entity("@conter@x")


def test_wrong_signals_are_refused_in_a_sentence(client: DurableOrchestrationClient) -> None:
    with pytest.raises(ValueError, match="is not an entity id"):
        client.signal_entity("counter", "add")
    with pytest.raises(ValueError, match=r"'a/b' contains '/'"):
        client.signal_entity("@counter@a/b", "add")
    with pytest.raises(ValueError, match="a signal needs the operation's name, a text that is not empty, not ''"):
        client.signal_entity(X, "")
    with pytest.raises(dfnb.PayloadError, match="the input of operation 'add' of @counter@x cannot be written as JSON"):
        client.signal_entity(X, "add", object())
    with pytest.raises(TypeError, match="a time is given as a datetime"):
        client.signal_entity(X, "add", 1, signal_time=5)  # type: ignore[arg-type]


def test_a_signal_can_be_sent_for_later(registry: dfnb.Registry) -> None:
    clock = FakeClock()
    with dfnb.DurableApp(durability="memory", registry=registry, clock=clock) as app:
        app.client.signal_entity(X, "add", 5, signal_time=to_datetime(clock.now()) + timedelta(hours=1))
        assert app.client.start("ask", "@counter@x").result(10) is None
        assert app.client.entity(X).status().waiting == 1
        changed = threading.Event()
        end = app.client.watch(lambda ids: changed.set())
        clock.advance(timedelta(hours=1))
        while app.client.read_entity_state(X).entity_state != 5:
            assert changed.wait(10)
            changed.clear()
        end()


# look


def test_an_entity_nobody_asked_for_does_not_exist(client: DurableOrchestrationClient) -> None:
    handle = client.entity("@counter@nobody")
    assert client.read_entity_state(X) == dfnb.EntityStateResponse(False, None)
    assert (handle.exists, handle.state, handle.operations(), handle.logs()) == (False, None, [], [])
    assert not handle.status()
    assert handle.status().entity_id == dfnb.EntityId("counter", "nobody")


def test_a_state_is_read_without_its_definition(
    client: DurableOrchestrationClient, registry: dfnb.Registry, settled: Settled
) -> None:
    client.signal_entity(X, "set", {"n": [1, 2]})
    settled("@counter@x")
    registry.remove("entity", "counter")
    assert client.read_entity_state(X).entity_state == {"n": [1, 2]}
    assert client.entities()[0].state == {"n": [1, 2]}


def test_a_handle_tells_what_the_client_tells(client: DurableOrchestrationClient, settled: Settled) -> None:
    handle = client.entity(X)
    handle.signal("add", 5)
    handle.signal("fail")
    handle.signal("say")
    settled("@counter@x")
    assert (handle.name, handle.key, handle.exists, handle.state) == ("counter", "x", True, 5)
    assert handle == client.entity("@COUNTER@x")
    assert hash(handle) == hash(client.entity(X))
    assert handle != client.entity("@counter@y")
    assert repr(handle) == "<EntityHandle @counter@x>"
    status = handle.status()
    assert (status.state, status.operations, status.waiting, status.locked_by) == (5, 4, 0, None)
    assert [line.text for line in handle.logs()] == ["hello from x"]


def test_the_operations_of_an_entity_newest_first(client: DurableOrchestrationClient, settled: Settled) -> None:
    for operation in ("add", "fail"):
        client.signal_entity(X, operation, 5)
    table = settled("@counter@x").operations()
    assert [(one.name, one.kind, one.status) for one in table] == [
        ("get", "call", "Completed"), ("fail", "signal", "Failed"), ("add", "signal", "Completed"),
    ]
    assert [one.result for one in table] == ["5", None, "5"]
    assert table[1].failure is not None
    assert table[1].failure.summary == "ValueError: bad"
    assert [one.name for one in client.entity_operations(X, limit=1)] == ["get"]
    with pytest.raises(ValueError, match="limit must be at least 1"):
        client.entity_operations(X, 0)


def test_the_html_of_a_handle_tells_it_all(client: DurableOrchestrationClient, settled: Settled) -> None:
    client.signal_entity(X, "set", {"n": 5})
    html = settled("@counter@x")._repr_html_()
    for text in ("counter", "&quot;n&quot;: 5", "2 in all", "set", "Completed"):
        assert text in html


def test_the_html_of_a_handle_says_that_the_hub_is_closed(app: dfnb.DurableApp) -> None:
    handle = app.client.entity(X)
    app.close()
    assert "closed" in handle._repr_html_()


# list


def test_a_list_has_pages(client: DurableOrchestrationClient, settled: Settled) -> None:
    client.signal_entities([(dfnb.EntityId("counter", f"k{n}"), "add", n) for n in range(5)])
    settled("@counter@k4")
    first = client.entities(limit=3)
    second = client.entities(limit=3, continuation_token=first.continuation_token)
    assert first.continuation_token is not None
    assert second.continuation_token is None
    assert [one.entity_id.key for one in [*first, *second]] == [f"k{n}" for n in range(5)]
    assert [one.state for one in [*first, *second]] == [0, 1, 2, 3, 4]
    for wrong in ({"limit": 0}, {"continuation_token": "x"}):
        with pytest.raises(ValueError):
            client.entities(**wrong)  # type: ignore[arg-type]


def test_a_list_takes_conditions(client: DurableOrchestrationClient, settled: Settled) -> None:
    client.signal_entities([("@counter@Ab", "add", 1), ("@counter@b", "add", 2), ("@account@Ab", "deposit", 3)])
    settled("@counter@b")
    settled("@account@Ab")

    def ids(name: str | None = None, **conditions: Any) -> set[str]:
        return {str(one.entity_id) for one in client.entities(name, **conditions)}

    assert ids("Counter") == {"@counter@Ab", "@counter@b"}
    assert ids(entity_id_prefix="@Counter@A") == ids(entity_id_prefix="counter@A") == {"@counter@Ab"}
    assert ids(entity_id_prefix="@counter@a") == set()
    times = [one.last_operation_time for one in client.entities()]
    latest = max(time for time in times if time is not None)
    assert "@counter@b" in ids(last_operation_to=latest)
    assert ids(last_operation_from=latest + timedelta(seconds=1)) == set()
    assert [one.state for one in client.entities("account", fetch_state=False)] == [None]


def test_entities_without_a_state_are_listed_only_when_asked_for(client: DurableOrchestrationClient, settled: Settled) -> None:
    settled("@counter@empty")
    assert client.entities() == []
    (found,) = client.entities(include_transient=True)
    assert (str(found.entity_id), found.state, found.operations) == ("@counter@empty", None, 1)


def test_entities_are_among_the_instances_only_when_asked_for(client: DurableOrchestrationClient, settled: Settled) -> None:
    client.signal_entity(X, "add", 5)
    settled("@counter@x")
    assert [one.name for one in client.instances()] == ["ask"]
    assert {(one.instance_id, one.name) for one in client.instances(include_entities=True) if one.name != "ask"} == {
        ("@counter@x", "@counter")
    }


# delete and clean up


def test_a_deleted_entity_has_no_state_and_may_come_again(client: DurableOrchestrationClient, settled: Settled) -> None:
    for id in ("@counter@x", "@account@x"):
        client.signal_entity(id, "add" if "counter" in id else "deposit", 5)
        client.delete_entity(id)
        assert not client.entity(id).exists
    handle = client.entity(X)
    handle.signal("add", 1)
    assert settled("@counter@x").state == 1
    handle.delete()
    assert settled("@counter@x").state is None


def test_cleaning_up_forgets_empty_entities(client: DurableOrchestrationClient, settled: Settled) -> None:
    client.signal_entity("@counter@full", "add", 5)
    settled("@counter@full")
    settled("@counter@empty")
    assert client.clean_entity_storage(remove_empty_entities=False) == dfnb.CleanEntityStorageResult(0, 0)
    assert client.clean_entity_storage() == dfnb.CleanEntityStorageResult(1, 0)
    assert client.clean_entity_storage() == dfnb.CleanEntityStorageResult(0, 0)
    assert [one.entity_id.key for one in client.entities(include_transient=True)] == ["full"]


def test_a_lock_tells_its_holder(client: DurableOrchestrationClient, reach: Any) -> None:
    client.start("holds", instance_id="h")
    reach("h", lambda status: "event go" in status.waiting_for)
    client.signal_entity(X, "add", 5)
    status = client.entity(X).status()
    assert (status.locked_by, status.state) == ("h", None)
    assert client.clean_entity_storage() == dfnb.CleanEntityStorageResult(0, 0)
    client.instance("h").raise_event("go")
    client.instance("h").wait(10)
    assert client.start("ask", "@counter@x").result(10) == 5
    assert client.entity(X).status().locked_by is None


def test_operations_wait_for_the_cell_that_defines_their_entity(client: DurableOrchestrationClient, reach: Any) -> None:
    client.start("ask", "@later@x", instance_id="a")
    reach("a", lambda status: status.waiting_for == "waiting for the cell that defines later")
    assert client.entity("@later@x").status().waiting_for == "waiting for the cell that defines later"
    assert "the cell that defines later" in client.entity("@later@x")._repr_html_()


def test_a_delete_removes_the_state_though_the_entitys_code_refuses_or_is_gone(app: dfnb.DurableApp) -> None:
    def stubborn(context: Any) -> None:
        if context.operation_name != "set":
            raise ValueError("there is only set")
        context.set_state(context.get_input())

    dfnb.entity(registry=app.registry)(stubborn)
    for key in ("a", "b"):
        app.client.signal_entity(f"@stubborn@{key}", "set", 1)
    app.client.delete_entity("@stubborn@a")
    app.registry.remove("entity", "stubborn")
    app.client.delete_entity("@stubborn@b")
    assert [app.client.read_entity_state(f"@stubborn@{key}").entity_exists for key in ("a", "b")] == [False, False]


def test_an_interrupted_request_says_in_one_line_what_becomes_of_it(client: DurableOrchestrationClient) -> None:
    class Interrupted(Future[None]):
        def result(self, timeout: float | None = None) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as told:
        client.settle(Interrupted())
    assert told.value.__cause__ is None
    assert told.value.__suppress_context__
    lines = told.value._render_traceback_()  # type: ignore[attr-defined]
    assert lines == ["KeyboardInterrupt: stopped waiting; the request was handed over and is carried out"]
