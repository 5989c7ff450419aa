"""The remote client against a real dfnb server, over a socket: it tells what the client of the hub itself tells."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import dfnb
from dfnb.client.remote.client import RemoteOrchestrationClient
from dfnb.client.remote.connect import connect
from dfnb.client.sync import DurableOrchestrationClient
from dfnb.errors import RemoteError, RemoteRefusedError, RemoteUnavailableError

from ..conftest import Reach, is_status, waits_for


@pytest.fixture
def remote(app: dfnb.DurableApp) -> Iterator[RemoteOrchestrationClient]:
    server = app.serve(port=0)
    with connect(server.url, server.key) as connected:
        yield connected


def test_an_instance_looks_the_same_from_here_and_from_there(
    remote: RemoteOrchestrationClient, client: DurableOrchestrationClient, reach: Reach
) -> None:
    started = remote.start("waits", 5, instance_id="w")
    reach("w", waits_for("event go"))
    there, here = started.status(), client.status("w")
    assert (there.waiting_for, there.custom_status, there.input_) == (here.waiting_for, "open", 5)
    assert there.to_json() == here.to_json()
    assert remote.record("w") == client.record("w")
    assert remote.history("w") == client.history("w")
    assert remote.source_of(remote.record("w")) == client.source_of(client.record("w"))
    started.raise_event("go", {"a": 1})
    assert started.result(20) == {"a": 1}
    assert remote.history_after(remote.record("w"), 2) == client.history_after(client.record("w"), 2)
    assert remote.end_of(remote.record("w")) == client.end_of(client.record("w"))


def test_a_failure_keeps_its_whole_story(remote: RemoteOrchestrationClient, client: DurableOrchestrationClient) -> None:
    started = remote.start("shop")
    with pytest.raises(dfnb.InstanceFailedError) as caught:
        started.result(20)
    with pytest.raises(dfnb.InstanceFailedError) as wanted:
        client.instance(started.id).result(20)
    assert (str(caught.value), caught.value.details) == (str(wanted.value), wanted.value.details)
    assert started.status().failure_details == client.status(started.id).failure_details


def test_errors_are_those_of_the_hub_itself(
    remote: RemoteOrchestrationClient, client: DurableOrchestrationClient, reach: Reach
) -> None:
    remote.start("waits", instance_id="w")
    reach("w", waits_for("event go"))
    remote.start("echo", instance_id="e").result(20)
    for method, *arguments in (
        ("start", "wait"), ("instance", "nobody"), ("terminate", "nobody"), ("terminate", "e"), ("raise_event", "e", "x"),
        ("resume", "w"), ("rewind", "w"), ("rewind", "e"), ("restart", "w", False), ("restart", "nobody"), ("purge", "w"),
        ("signal_entity", "@till@a", "add"), ("history", "nobody"), ("when_ended", "nobody"), ("raise_event", "w", ""),
        ("instances",),
    ):  # fmt: skip
        options = {"continuation_token": "nonsense"} if method == "instances" else {}
        with pytest.raises((dfnb.DfnbError, ValueError)) as there:
            getattr(remote, method)(*arguments, **options)
        with pytest.raises((dfnb.DfnbError, ValueError)) as here:
            getattr(client, method)(*arguments, **options)
        assert (type(there.value), method) == (type(here.value), method)
    with pytest.raises(dfnb.InstanceExistsError, match="already exists and is Running"):
        remote.start("waits", instance_id="w")


def test_lists_counts_and_purges(remote: RemoteOrchestrationClient, client: DurableOrchestrationClient) -> None:
    started = remote.start_many("add", range(25))
    assert [one.result(20) for one in started] == list(range(1, 26))
    first = remote.instances(limit=20)
    rest = remote.instances(limit=20, continuation_token=first.continuation_token)
    wanted = [one.to_json() for one in client.instances(limit=100)]
    assert ([one.to_json() for one in [*first, *rest]], remote.counts()) == (wanted, client.counts())
    assert remote.purge(started[0].id).instances_deleted == 1
    assert remote.purge_many(runtime_status="Completed").instances_deleted == 24


def test_a_terminate_that_is_recursive_ends_the_children_too(
    remote: RemoteOrchestrationClient, client: DurableOrchestrationClient, reach: Reach
) -> None:
    remote.start("parent", instance_id="p")
    reach("p-child", waits_for("event go"))
    assert [child.id for child in remote.children("p")] == ["p-child"]
    remote.terminate("p", "enough", recursive=True)
    reach("p-child", is_status("Terminated"))


def test_a_watcher_hears_of_every_change(remote: RemoteOrchestrationClient, client: DurableOrchestrationClient) -> None:
    seen: queue.Queue[frozenset[str]] = queue.Queue()
    end = remote.watch(seen.put)
    while True:  # the stream takes a moment to open; what happens once it is open is told
        client.start("echo").result(20)
        try:
            seen.get(timeout=0.05)
            break
        except queue.Empty:
            continue
    client.start("echo", instance_id="late").result(20)
    while "late" not in seen.get(timeout=20):
        pass
    end()


def test_many_waits_share_one_stream(remote: RemoteOrchestrationClient, client: DurableOrchestrationClient) -> None:
    started = remote.start_many("waits", range(60))
    futures = [remote.when_ended(one.id) for one in started]
    for one in started:
        client.raise_event(one.id, "go", one.id)
    assert [future.result(30).end.result for future in futures] == [f'"{one.id}"' for one in started]


class Wherever(httpx.AsyncHTTPTransport):
    """Finds the app's server at whatever port it is now: one that was let go another process may have taken."""

    def __init__(self, app: dfnb.DurableApp) -> None:
        super().__init__()
        self._app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        server = self._app.server
        if server is None:
            raise httpx.ConnectError("All connection attempts failed")
        request.url = request.url.copy_with(port=server.settings.port)
        return await super().handle_async_request(request)


def test_an_interrupted_server_comes_back_and_the_wait_goes_on(app: dfnb.DurableApp, client: DurableOrchestrationClient) -> None:
    server = app.serve(port=0)
    with connect(server.url, server.key, transport=Wherever(app)) as remote:
        ended = remote.when_ended(remote.start("waits", instance_id="w").id)
        app.stop_serving()
        with pytest.raises(RemoteUnavailableError):
            remote.counts()
        client.raise_event("w", "go", 1)
        app.serve(port=0)
        assert ended.result(30).end.result == "1"


def test_a_link_to_one_instance_is_enough_to_follow_it(app: dfnb.DurableApp, client: DurableOrchestrationClient) -> None:
    server = app.serve(port=0)
    client.start("waits", instance_id="w")
    client.start("waits", instance_id="other")
    link = server.links.management("w")["statusQueryGetUri"]
    with connect(link) as remote:
        found = remote.instance("w")
        assert (found.name, found.status().custom_status) == ("waits", "open")
        assert next(row.event.event_type for row in found.history()) == "ExecutionStarted"
        with pytest.raises(RemoteRefusedError):
            remote.status("other")
        with pytest.raises(RemoteRefusedError):
            remote.counts()
        ended = remote.when_ended("w")
        found.raise_event("go", 3)
        assert (ended.result(30).end.result, found.result(20), found.logs()) == ("3", 3, [])


def test_callbacks_can_be_ordered_from_there(remote: RemoteOrchestrationClient) -> None:
    with pytest.raises(ValueError, match="callback URL"):
        remote.start("echo", callback_url="ftp://x")


def test_a_hub_file_names_its_server(tmp_path: Path, registry: dfnb.Registry) -> None:
    path = tmp_path / "trip.duckdb"
    with pytest.raises(FileNotFoundError, match="there is no hub file"):
        connect(path)
    with dfnb.DurableApp(path, registry=registry) as app:
        with pytest.raises(RemoteError, match="%dfnb serve"):
            connect(path)
        app.serve(port=0)
        for named in (path, str(path), f"{path}.server"):
            with connect(named) as remote:
                assert remote.start("echo", 1).result(20) == 1


def test_threads_may_ask_at_the_same_time(remote: RemoteOrchestrationClient) -> None:
    results: queue.Queue[int] = queue.Queue()
    threads = [threading.Thread(target=lambda: results.put(len(remote.instances()))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [results.get() for _ in threads] == [0] * 20
