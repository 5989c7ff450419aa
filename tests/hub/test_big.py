"""Long histories, large payloads, very many instances: all right, and nothing grows that must not."""

from __future__ import annotations

import gc
import importlib.util
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dfnb as df
from dfnb.definitions import Registry
from dfnb.hub.hub import TaskHub

BIG_HUB = Path(__file__).parent.parent / "benchmarks" / "big_hub.py"
MEGABYTE = 1_000_000


@pytest.fixture
def registry() -> Registry:
    registry = Registry()

    @df.activity(registry=registry)
    def add(n: int) -> int:
        return n + 1

    @df.activity(registry=registry)
    def turn_round(text: str) -> str:
        return text[::-1]

    @df.orchestrator(registry=registry)
    def long(context: Any) -> Any:
        value = 0
        for _ in range(context.get_input()):
            value = yield context.call_activity("add", value)
        told = yield context.wait_for_external_event("go")
        return [value, told]

    @df.orchestrator(registry=registry)
    def large(context: Any) -> Any:
        text = yield context.call_activity("turn_round", context.get_input())
        told = yield context.wait_for_external_event("go")
        return text + told

    return registry


@pytest.fixture
def open_app(tmp_path: Path, registry: Registry) -> Iterator[Any]:
    apps: list[df.DurableApp] = []

    def open_one() -> df.DurableApp:
        apps.append(df.DurableApp(tmp_path / "hub.duckdb", registry=registry))
        return apps[-1]

    yield open_one
    for app in apps:
        app.close()


@pytest.mark.slow
def test_a_history_of_ten_thousand_events_goes_on_after_a_crash(open_app: Any) -> None:
    steps = 5_000
    app = open_app()
    run = app.client.start("long", steps, instance_id="long")
    while "go" not in app.client.waiting_for(app.client.record("long")):
        with pytest.raises(df.WaitTimeoutError):
            run.wait(0.1)
    app.abandon()
    app = open_app()
    assert len(app.client.history("long")) == 2 * steps + 1
    run = app.client.instance("long")
    run.raise_event("go", "on")
    assert run.result(60) == [steps, "on"]
    assert app.sql("SELECT count(*) FROM activities WHERE attempts = 1 AND status = 'Completed'").fetchall() == [(steps,)]


def test_a_megabyte_goes_in_and_out_and_is_read_again_after_a_crash(open_app: Any) -> None:
    app = open_app()
    text = "".join(f"{n:07d}\n" for n in range(MEGABYTE // 8))
    run = app.client.start("large", text, instance_id="large")
    while "go" not in app.client.waiting_for(app.client.record("large")):
        with pytest.raises(df.WaitTimeoutError):
            run.wait(0.01)
    app.abandon()
    app = open_app()
    status = app.client.status("large")
    assert status.input_ == text
    app.client.raise_event("large", "go", text)
    assert app.client.instance("large").result(30) == text[::-1] + text
    assert app.client.status("large").output == text[::-1] + text
    app.close()
    assert open_app().client.status("large").output == text[::-1] + text


def load_big_hub() -> Any:
    spec = importlib.util.spec_from_file_location("big_hub_of_the_benchmarks", BIG_HUB)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_hub_of_very_many_instances_is_opened_whole_and_stays_small_in_memory(tmp_path: Path) -> None:
    finished, waiting = 20_000, 20_000
    path = tmp_path / "big.duckdb"
    load_big_hub().fill(path, finished, waiting, behind=1_000)
    gc.collect()
    tracemalloc.start()
    hub = TaskHub(str(path), now=lambda: 1_760_000_000_000_000)
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / waiting < 2_000
    assert hub.resumed == waiting
    assert hub.counts() == {"Completed": finished, "Running": waiting}
    hub.close()


@pytest.mark.slow
def test_in_a_hub_of_very_many_instances_one_starts_lists_and_finds_as_ever(tmp_path: Path) -> None:
    path = tmp_path / "big.duckdb"
    big = load_big_hub()
    big.fill(path, 20_000, 5_000)
    with df.DurableApp(path) as app:
        client = app.client
        page = client.instances(limit=100)
        following = client.instances(limit=100, continuation_token=page.continuation_token)
        assert len({status.instance_id for status in [*page, *following]}) == 200
        one = client.instances(name="waiter", limit=1)[0]
        client.raise_event(one.instance_id, "go", "on")
        assert client.instance(one.instance_id).result(30) == "on"
        done = client.instances(name="job", limit=1)[0]
        assert client.status(done.instance_id).output == 19_999
        assert client.start("job", 7).result(30) == 7
        assert client.start("job", 8, instance_id=done.instance_id).result(30) == 8
        assert client.counts() == {"Completed": 20_002, "Running": 4_999}
        assert client.purge_many().instances_deleted == 20_002
    with df.DurableApp(path) as app:
        assert app.resumed == 4_999
        assert app.client.counts() == {"Running": 4_999}
