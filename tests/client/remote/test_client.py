"""The remote client against an app that speaks nothing but the original's HTTP API."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

import dfnb
from dfnb.client.aio import AsyncDurableOrchestrationClient
from dfnb.client.remote.client import RemoteOrchestrationClient
from dfnb.client.remote.connect import connect
from dfnb.errors import RemoteError, RemoteRefusedError, RemoteUnavailableError

from .fake_functions import BASE, KEY, FakeFunctions

Status = dfnb.OrchestrationRuntimeStatus


@pytest.fixture
def there() -> FakeFunctions:
    return FakeFunctions()


@pytest.fixture
def client(there: FakeFunctions) -> Iterator[RemoteOrchestrationClient]:
    with connect("http://fake", KEY, transport=there.transport) as connected:
        yield connected


# ---- start and ask


def test_start_gives_a_handle_on_an_instance_over_there(client: RemoteOrchestrationClient, there: FakeFunctions) -> None:
    started = client.start("trip", ["Oslo"], instance_id="a b+c")
    status = started.status()
    assert (started.id, started.name, there.instances["a b+c"].input) == ("a b+c", "trip", ["Oslo"])
    assert (status.runtime_status, status.input_, status.created_time) == (
        Status.Running, ["Oslo"], datetime(2026, 3, 1, 10, tzinfo=UTC),
    )  # fmt: skip


def test_start_without_an_input_sends_no_body(client: RemoteOrchestrationClient, there: FakeFunctions) -> None:
    assert there.instances[client.start("trip").id].input is None


def test_start_many_starts_one_for_each_input(client: RemoteOrchestrationClient, there: FakeFunctions) -> None:
    started = client.start_many("trip", range(40))
    assert sorted(one.input for one in there.instances.values()) == list(range(40))
    assert [there.instances[one.id].input for one in started] == list(range(40))


def test_an_unknown_instance_has_a_falsy_status_and_no_handle(client: RemoteOrchestrationClient) -> None:
    assert not client.status("nobody")
    with pytest.raises(dfnb.InstanceNotFoundError):
        client.instance("nobody")


def test_an_empty_id_is_no_instance_and_not_all_of_them(client: RemoteOrchestrationClient, there: FakeFunctions) -> None:
    client.start("trip")
    assert client.purge("").instances_deleted == 0
    assert not client.status("")
    assert len(there.instances) == 1


def test_a_list_goes_on_from_page_to_page(client: RemoteOrchestrationClient, there: FakeFunctions) -> None:
    client.start_many("trip", range(7))
    first = client.instances(limit=5)
    second = client.instances(limit=5, continuation_token=first.continuation_token)
    assert (len(first), len(second), second.continuation_token) == (5, 2, None)
    assert {one.instance_id for one in [*first, *second]} == set(there.instances)


def test_a_list_leaves_entities_out_and_keeps_to_a_name(client: RemoteOrchestrationClient, there: FakeFunctions) -> None:
    client.start("trip", instance_id="t")
    client.start("order", instance_id="o")
    there.instances["@counter@a"] = there.instances["o"].__class__("@counter@a", "@counter", None)
    assert {one.instance_id for one in client.instances()} == {"t", "o"}
    assert [one.instance_id for one in client.instances(name="order", limit=1)] == ["o"]
    assert len(client.instances(include_entities=True)) == 3
    assert client.counts() == {"Running": 2}


def test_a_status_filter_ignores_case_and_names_the_known_ones(client: RemoteOrchestrationClient, there: FakeFunctions) -> None:
    client.start("trip", instance_id="t")
    there.end("t")
    assert [one.instance_id for one in client.instances(runtime_status="completed")] == ["t"]
    with pytest.raises(ValueError, match="known are"):
        client.instances(runtime_status="done")


# ---- wait


def test_result_waits_for_the_output(client: RemoteOrchestrationClient, there: FakeFunctions) -> None:
    started = client.start("trip")
    there.looked.clear()
    outcome: queue.Queue[object] = queue.Queue()
    waiting = threading.Thread(target=lambda: outcome.put(started.result(20)))
    waiting.start()
    assert there.looked.wait(10)
    there.end(started.id, output={"km": 7})
    assert outcome.get(timeout=20) == {"km": 7}
    waiting.join()


def test_awaiting_a_handle_gives_the_output(client: RemoteOrchestrationClient, there: FakeFunctions) -> None:
    started = client.start("trip")
    there.end(started.id, output="done")

    async def wait() -> object:
        return await started

    assert asyncio.run(wait()) == "done"


def test_the_coroutine_client_works_over_it(client: RemoteOrchestrationClient, there: FakeFunctions) -> None:
    async def all_of_it() -> tuple[str, bool, object]:
        over = AsyncDurableOrchestrationClient(client)
        id = await over.start_new("trip", client_input=1)
        there.end(id, output=2)
        return id, bool(await over.get_status(id)), (await over.wait(id, 20)).output

    id, found, output = asyncio.run(all_of_it())
    assert (found, output, list(there.instances)) == (True, 2, [id])


def test_a_wait_that_is_too_short_says_so(client: RemoteOrchestrationClient) -> None:
    with pytest.raises(dfnb.WaitTimeoutError):
        client.start("trip").wait(0)


@pytest.mark.parametrize(
    ("output", "error_type", "message"),
    [
        ("Orchestrator function 'trip' failed: ValueError: no milk", "ValueError", "no milk"),
        ("Orchestrator function 'trip' failed: it is broken. Really", "Exception", "it is broken. Really"),
        (None, "Exception", ""),
    ],
    ids=["python", "any", "none"],
)
def test_a_failure_is_told_by_the_output(
    client: RemoteOrchestrationClient, there: FakeFunctions, output: str | None, error_type: str, message: str
) -> None:
    started = client.start("trip")
    there.end(started.id, "Failed", output)
    with pytest.raises(dfnb.InstanceFailedError) as caught:
        started.result(20)
    assert caught.value.details is not None
    assert (caught.value.details.error_type, caught.value.details.message) == (error_type, message)


def test_a_failure_has_the_details_of_the_history(client: RemoteOrchestrationClient, there: FakeFunctions) -> None:
    started = client.start("trip")
    details = {"ErrorType": "m.MilkError", "ErrorMessage": "none", "StackTrace": "line 7", "InnerFailure": None}
    end = {"EventType": "ExecutionCompleted", "OrchestrationStatus": "Failed", "FailureDetails": details}
    there.note(started.id, {**end, "Timestamp": "2026-03-01T10:00:01Z"})
    there.end(started.id, "Failed", "Orchestrator function 'trip' failed: something")
    with pytest.raises(dfnb.InstanceFailedError, match="MilkError: none"):
        started.result(20)


def test_a_terminated_instance_has_its_reason(client: RemoteOrchestrationClient) -> None:
    started = client.start("trip")
    started.terminate("too late")
    with pytest.raises(dfnb.InstanceFailedError, match="was terminated: too late"):
        started.result(20)


def test_a_wait_survives_a_server_that_is_away(client: RemoteOrchestrationClient, there: FakeFunctions) -> None:
    started = client.start("trip")
    future = client.when_ended(started.id)
    there.is_away = True
    asked = len(there.asked)
    news = threading.Event()
    future.add_done_callback(lambda _: news.set())
    while len(there.asked) == asked:
        assert not news.wait(0.01)
    there.end(started.id, output=1)
    there.is_away = False
    assert future.result(20).end.result == "1"


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_wait_survives_a_server_that_is_busy(client: RemoteOrchestrationClient, there: FakeFunctions, status: int) -> None:
    started = client.start("trip")
    future = client.when_ended(started.id)
    there.busy = httpx.Response(status, headers={"Retry-After": "0"})
    assert there.refused.wait(10)
    with pytest.raises(RemoteUnavailableError, match=f"cannot answer now .it answers {status}"):
        client.counts()
    there.end(started.id, output=1)
    there.busy = None
    assert future.result(20).end.result == "1"


def test_a_busy_server_says_how_long_to_leave_it_alone(client: RemoteOrchestrationClient, there: FakeFunctions) -> None:
    there.busy = httpx.Response(429, headers={"Retry-After": "7"}, json={"Message": "slow down"})
    with pytest.raises(RemoteUnavailableError, match="429: slow down") as caught:
        client.status("t")
    assert caught.value.retry_after == 7.0
    with pytest.raises(RemoteError, match="answers 429: slow down"):
        client.start("trip")


def test_a_wait_may_begin_while_the_server_is_away(client: RemoteOrchestrationClient, there: FakeFunctions) -> None:
    started = client.start("trip")
    there.is_away = True
    with pytest.raises(dfnb.WaitTimeoutError):
        started.wait(0)
    future = client.when_ended(started.id)
    there.end(started.id, output=1)
    there.is_away = False
    assert future.result(20).end.result == "1"


def test_closing_tells_who_waits(there: FakeFunctions) -> None:
    client = connect("http://fake", KEY, transport=there.transport)
    future = client.when_ended(client.start("trip").id)
    client.close()
    client.close()
    assert isinstance(future.exception(10), RemoteError)
    with pytest.raises(RemoteError, match="connect again"):
        client.counts()
    assert repr(client) == "<RemoteOrchestrationClient http://fake (closed)>"


def test_watching_tells_which_instances_changed(client: RemoteOrchestrationClient, there: FakeFunctions) -> None:
    seen: queue.Queue[frozenset[str]] = queue.Queue()
    end = client.watch(seen.put)
    started = client.start("trip", instance_id="t")
    client.when_ended(started.id)
    assert "t" in seen.get(timeout=10)
    there.end("t")
    while client.status("t").is_terminal and not seen.empty():
        seen.get()
    end()


def test_a_callback_that_asks_the_client_is_told_not_to(client: RemoteOrchestrationClient) -> None:
    said: queue.Queue[BaseException] = queue.Queue()

    def callback(ids: frozenset[str]) -> None:
        try:
            client.counts()
        except RuntimeError as error:
            said.put(error)

    client.watch(callback)
    client.when_ended(client.start("trip").id)
    assert "another thread" in str(said.get(timeout=10))


# ---- change


def test_an_event_arrives_as_json(client: RemoteOrchestrationClient, there: FakeFunctions) -> None:
    started = client.start("trip", instance_id="t")
    started.raise_event("go on", {"yes": True})
    started.raise_event("stop")
    assert there.events == [("t", "go on", {"yes": True}), ("t", "stop", None)]


def test_what_has_ended_takes_no_more_messages(client: RemoteOrchestrationClient, there: FakeFunctions) -> None:
    started = client.start("trip")
    there.end(started.id)
    with pytest.raises(dfnb.InstanceFinishedError, match=r"cannot raise an event to instance .* already Completed"):
        started.raise_event("go")
    with pytest.raises(dfnb.InstanceFinishedError, match="cannot rewind"):
        started.rewind()
    with pytest.raises(dfnb.InstanceNotFoundError):
        client.terminate("nobody")


def test_a_conflict_is_one_although_the_original_calls_it_a_breakdown(
    client: RemoteOrchestrationClient, there: FakeFunctions
) -> None:
    started = client.start("trip", instance_id="t")
    with pytest.raises(dfnb.InstanceConflictError, match="while it is Running; only a suspended"):
        started.resume()
    started.suspend("later")
    with pytest.raises(dfnb.InstanceConflictError, match="while it is Suspended; resume it first"):
        started.suspend()
    started.resume()
    with pytest.raises(dfnb.InstanceConflictError, match="only a failed"):
        started.rewind()
    with pytest.raises(dfnb.InstanceConflictError, match="terminate it first"):
        started.restart(new_id=False)
    with pytest.raises(dfnb.InstanceExistsError, match="already exists and is Running"):
        client.start("trip", instance_id="t")
    there.end("t", "Failed")
    started.rewind("again")
    assert there.instances["t"].status == "Running"


def test_restart_gives_a_handle_on_the_new_one(client: RemoteOrchestrationClient, there: FakeFunctions) -> None:
    again = client.start("trip", 5).restart()
    assert (again.name, there.instances[again.id].input) == ("trip", 5)
    with pytest.raises(dfnb.InstanceNotFoundError):
        client.restart("nobody")


def test_an_unknown_orchestrator_gets_a_did_you_mean(client: RemoteOrchestrationClient) -> None:
    with pytest.raises(dfnb.NotRegisteredError) as caught:
        client.start("tripp")
    assert (caught.value.name, caught.value.known, caught.value.suggestions) == ("tripp", ["order", "trip"], ["trip"])


def test_what_the_api_has_no_words_for_is_refused_here(client: RemoteOrchestrationClient, there: FakeFunctions) -> None:
    later = datetime(2030, 1, 1, tzinfo=UTC)
    asked = len(there.asked)
    for refused in (
        lambda: client.start("trip", start_at=later),
        lambda: client.start("trip", version="2"),
        lambda: client.start("trip/there"),
        lambda: client.raise_event("t", "go/on", 1),
        lambda: client.signal_entity("@counter@a", "add", signal_time=later),
        client.clean_entity_storage,
        lambda: client.start("trip", callback_url="https://example.org"),
        lambda: client.children("t"),
    ):
        with pytest.raises(RemoteError, match="offers no way to"):
            refused()
    assert len(there.asked) == asked


def test_links_are_asked_for_where_the_hub_is_open(client: RemoteOrchestrationClient) -> None:
    over = AsyncDurableOrchestrationClient(client)
    for refused in (
        lambda: client.create_http_management_payload("t"),
        lambda: client.create_check_status_response(None, "t"),
        lambda: over.create_http_management_payload("t"),
    ):
        with pytest.raises(RemoteError, match="where the hub is open"):
            refused()


def test_purge_leaves_running_instances_unless_forced(client: RemoteOrchestrationClient, there: FakeFunctions) -> None:
    started = client.start("trip", instance_id="t")
    with pytest.raises(dfnb.InstanceConflictError):
        started.purge()
    started.purge(force=True)
    assert (there.instances, client.purge("t").instances_deleted) == ({}, 0)


def test_purge_many_never_means_everything(client: RemoteOrchestrationClient, there: FakeFunctions) -> None:
    for id, status in (("a", "Completed"), ("b", "Running"), ("c", "Failed")):
        client.start("trip", instance_id=id)
        there.instances[id].status = status
    assert client.purge_many(runtime_status="Failed").instances_deleted == 1
    assert client.purge_many().instances_deleted == 1
    assert client.purge_many().instances_deleted == 0
    assert list(there.instances) == ["b"]
    for status in ("Running", []):
        with pytest.raises(ValueError, match="only ended instances"):
            client.purge_many(runtime_status=status)


def test_a_purge_by_prefix_asks_for_single_ones_because_the_original_would_delete_all(
    client: RemoteOrchestrationClient, there: FakeFunctions
) -> None:
    for id, status in (("trip-a", "Completed"), ("trip-b", "Running"), ("other", "Completed")):
        client.start("trip", instance_id=id)
        there.instances[id].status = status
    assert client.purge_many(instance_id_prefix="trip-").instances_deleted == 1
    assert sorted(there.instances) == ["other", "trip-b"]
    with pytest.raises(ValueError, match="empty instance_id_prefix"):
        client.purge_many(instance_id_prefix="")


# ---- entities


def test_entities_are_signalled_read_and_listed(client: RemoteOrchestrationClient, there: FakeFunctions) -> None:
    handle = client.entity("@Counter@a")
    handle.signal("add", 0)
    client.signal_entities([("@counter@b", "add", 2), ("@counter@b", "reset")])
    handle.delete()
    assert there.signals == [
        ("@counter@a", "add", 0), ("@counter@b", "add", 2), ("@counter@b", "reset", None), ("@counter@a", "delete", None),
    ]  # fmt: skip
    there.states |= {"@counter@a": 7, "@counter@b": None, "@other@x": []}
    assert (handle.exists, handle.state, bool(handle.status())) == (True, 7, True)
    assert not client.entity_status("@counter@z")
    page = client.entities("counter", limit=1)
    rest = client.entities("counter", limit=1, continuation_token=page.continuation_token)
    assert [(str(one.entity_id), one.state) for one in [*page, *rest]] == [("@counter@a", 7), ("@counter@b", None)]
    assert [one.entity_id.name for one in client.entities(entity_id_prefix="@other")] == ["other"]
    assert (handle.operations(), handle.logs()) == ([], [])


def test_an_unknown_entity_is_not_registered(client: RemoteOrchestrationClient) -> None:
    with pytest.raises(dfnb.NotRegisteredError, match="no entity named 'till'"):
        client.signal_entity("@till@a", "add")


# ---- what a Durable Functions app does not tell


def test_what_is_not_told_is_empty_and_says_so(client: RemoteOrchestrationClient) -> None:
    started = client.start("trip")
    assert (started.logs(), started.http(), client.calls(client.record(started.id), 9)) == ([], [], [])
    assert "does not tell" in started.http().foot
    assert client.source_of(client.record(started.id)) is None


# ---- trouble


def test_a_wrong_key_and_a_missing_one_are_said_at_once(there: FakeFunctions) -> None:
    with pytest.raises(RemoteRefusedError, match="refuses this key") as caught:
        connect("http://fake", "wrong-key", transport=there.transport)
    assert "wrong-key" not in str(caught.value)
    with pytest.raises(RemoteRefusedError, match="wants a key"):
        connect("http://fake", transport=there.transport)


def test_a_server_that_is_not_there_is_said_at_once(there: FakeFunctions) -> None:
    there.is_away = True
    with pytest.raises(RemoteUnavailableError, match=r"http://fake cannot be reached now .*serve"):
        connect("http://fake", KEY, transport=there.transport)


@pytest.mark.parametrize("answer", [httpx.Response(404), httpx.Response(200, html="<p>hello</p>"), httpx.Response(200, json={})])
def test_another_kind_of_server_is_said_at_once(answer: httpx.Response) -> None:
    with pytest.raises(RemoteError, match=r"Durable Functions|not JSON"):
        connect("http://fake", transport=httpx.MockTransport(lambda request: answer))


def test_a_server_that_sends_its_callers_on_does_not_get_the_key_told(there: FakeFunctions) -> None:
    on = httpx.Response(307, headers={"Location": "https://elsewhere.example/path?code=1"})
    with pytest.raises(RemoteError, match=r"on to https://elsewhere.example; connect"):
        connect("http://fake", KEY, transport=httpx.MockTransport(lambda request: on))


def test_the_key_is_in_no_url_no_repr_and_no_error(there: FakeFunctions, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    url = str(httpx.URL(f"http://fake{BASE}/instances", params={"taskHub": "Hub", "connection": "Storage", "code": KEY}))
    with connect(url, transport=there.transport) as client:
        client.start("trip")
        told = repr(client) + client._repr_html_() + repr(client._wire.address) + caplog.text + "".join(there.asked)

    def broken(request: httpx.Request) -> httpx.Response:
        return httpx.Response(500, json={"ExceptionMessage": f"do not say {KEY}"})

    with pytest.raises(RemoteError) as caught:
        connect(url, transport=httpx.MockTransport(broken))
    assert KEY not in told + str(caught.value) + repr(caught.value)
    assert all("taskHub=Hub&connection=Storage" in one for one in there.asked)


def test_a_transport_that_is_not_async_is_refused() -> None:
    with pytest.raises(TypeError, match="async transport"):
        connect("http://fake", transport=httpx.HTTPTransport())
