"""Opening, closing, using after closing, forgetting to close."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import dfnb


@pytest.fixture
def registry() -> dfnb.Registry:
    made = dfnb.Registry()

    @dfnb.activity(registry=made)
    def add_one(x: int) -> int:
        return x + 1

    @dfnb.orchestrator(registry=made)
    def add(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        return (yield context.call_activity("add_one", context.get_input()))

    @dfnb.orchestrator(registry=made)
    def waits(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        value = yield context.call_activity("add_one", 0)
        event = yield context.wait_for_external_event("go")
        return [value, event]

    return made


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    return tmp_path / "hub.duckdb"


@pytest.fixture
def _no_current_app() -> Generator[None]:
    dfnb.close()
    yield
    dfnb.close()


# a plain program


def program(text: str, *arguments: object, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(text), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)


DEFINED = """
    import sys, time
    import dfnb

    @dfnb.activity
    def add_one(x: int) -> int:
        return x + 1

    @dfnb.orchestrator
    def add(context):
        return (yield context.call_activity("add_one", context.get_input()))

    @dfnb.orchestrator
    def waits(context):
        return (yield context.wait_for_external_event("go"))
"""


def test_a_plain_program_needs_nothing_of_a_notebook(hub: Path) -> None:
    done = program(DEFINED + """
    with dfnb.DurableApp(sys.argv[1]) as app:
        print(app.client.start("add", 1).result(10))
    heavy = {"IPython", "ipywidgets", "anywidget", "ipykernel", "starlette", "uvicorn", "azure", "pandas", "dfnb.notebook"}
    print(sorted(heavy & set(sys.modules)))
    """, hub)
    assert (done.stdout, done.stderr) == ("2\n[]\n", "")


def test_a_program_that_forgets_to_close_ends_at_once_and_loses_nothing(hub: Path, registry: dfnb.Registry) -> None:
    done = program(DEFINED + """
    app = dfnb.DurableApp(sys.argv[1])
    for n in range(20):
        app.client.start("waits", instance_id=f"w{n}")
    app.client.start("add", 1, instance_id="a").result(10)
    app.client.raise_event("w0", "go", 1)
    print(time.time())
    """, hub)
    assert done.stderr == ""
    assert time.time() - float(done.stdout) < 5
    with dfnb.DurableApp(hub, registry=registry) as app:
        assert app.client.status("a").output == 2
        assert len(app.client.instances(instance_id_prefix="w")) == 20
        assert "EventRaised" in [type(row.event).__name__ for row in app.client.history("w0")]


def test_a_program_with_a_long_activity_still_ends(hub: Path) -> None:
    done = program(DEFINED + """
    @dfnb.activity
    def long():
        print("begun", flush=True)
        time.sleep(60)

    @dfnb.orchestrator
    def slow(context):
        yield context.call_activity("long")

    app = dfnb.DurableApp(sys.argv[1])
    app.client.start("slow")
    deadline = time.monotonic() + 10
    while app.state.activities_running == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(app.client.instances()) == 1
    print(time.time(), flush=True)
    """, hub)
    assert time.time() - float(done.stdout.split()[-1]) < 10
    assert (done.returncode, done.stderr) == (0, "")


def test_an_app_survives_the_loss_of_its_last_name(hub: Path) -> None:
    done = program(DEFINED + """
    run = dfnb.DurableApp(sys.argv[1]).client.start("add", 1)
    import gc
    gc.collect()
    print(run.result(10))
    """, hub)
    assert (done.stdout, done.stderr) == ("2\n", "")


def test_a_second_process_is_told_the_owner_and_the_path(hub: Path, registry: dfnb.Registry) -> None:
    with dfnb.DurableApp(hub, registry=registry):
        done = program("""
        import sys, dfnb
        try:
            dfnb.DurableApp(sys.argv[1])
        except dfnb.HubInUseError as error:
            print(error)
        """, hub)
    assert done.stdout.startswith(f"the hub {hub} is in use by process {os.getpid()}: stop that kernel or program")


# opening


def test_a_second_app_on_the_same_file_is_refused(hub: Path, registry: dfnb.Registry) -> None:
    with dfnb.DurableApp(hub, registry=registry) as app:
        with pytest.raises(dfnb.HubInUseError):
            dfnb.DurableApp(hub, registry=registry)
        assert app.client.start("add", 1).result(10) == 2
    with dfnb.DurableApp(hub, registry=registry):
        pass


@pytest.mark.skipif(os.name != "posix", reason="this platform has other file permissions")
def test_the_file_is_its_owners_alone(hub: Path, registry: dfnb.Registry) -> None:
    with dfnb.DurableApp(hub, registry=registry) as app:
        app.client.start("add", 1).result(10)
        for file in hub.parent.glob("hub.duckdb*"):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_memory_leaves_no_file(tmp_path: Path, registry: dfnb.Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with dfnb.DurableApp("hub.duckdb", durability="memory", registry=registry) as app:
        assert app.client.start("add", 1).result(10) == 2
        assert app.path == ":memory:"
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_durability_names_the_known_ones(hub: Path) -> None:
    with pytest.raises(ValueError, match="durability is one of durable, relaxed, memory, not 'fast'"):
        dfnb.DurableApp(hub, durability="fast")
    assert not hub.exists()


@pytest.mark.parametrize("durability", ["durable", "relaxed"])
def test_what_had_not_ended_goes_on_when_the_hub_is_opened_again(hub: Path, registry: dfnb.Registry, durability: str) -> None:
    with dfnb.DurableApp(hub, registry=registry, durability=durability) as app:
        app.client.start("waits", instance_id="a")
        app.client.start("add", 1, instance_id="b").wait(10)
    with dfnb.DurableApp(hub, registry=registry, durability=durability) as app:
        assert app.resumed == 1
        assert app.client.status("b").output == 2
        app.client.raise_event("a", "go", "x")
        assert app.client.instance("a").result(10) == [1, "x"]


def test_what_was_acknowledged_survives_an_abandoned_app(hub: Path, registry: dfnb.Registry) -> None:
    app = dfnb.DurableApp(hub, registry=registry)
    app.client.start("waits", instance_id="a")
    app.client.raise_event("a", "go", "x")
    app.abandon()
    with dfnb.DurableApp(hub, registry=registry) as app:
        assert app.client.instance("a").result(10) == [1, "x"]


def test_strict_fails_what_meets_an_unknown_name() -> None:
    registry = dfnb.Registry()

    @dfnb.orchestrator(registry=registry)
    def lost(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        yield context.call_activity("nowhere")

    with dfnb.DurableApp(durability="memory", registry=registry, strict=True) as app:
        run = app.client.start("lost")
        with pytest.raises(dfnb.InstanceFailedError, match="no activity named 'nowhere' is defined here"):
            run.result(10)


def test_the_state_tells_what_the_engine_does(registry: dfnb.Registry) -> None:
    begun, release = threading.Event(), threading.Event()

    @dfnb.activity(registry=registry)
    def hold() -> None:
        begun.set()
        release.wait(10)

    @dfnb.orchestrator(registry=registry)
    def holds(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        yield context.task_all([context.call_activity("hold"), context.call_activity("hold"), context.call_activity("gone")])

    with dfnb.DurableApp(durability="memory", registry=registry, max_concurrent_activities=1) as app:
        run = app.client.start("holds")
        assert begun.wait(10)
        state = app.state
        assert (state.running, state.open_instances, state.problem) == (True, 1, "")
        assert (state.activities_running, state.activities_queued, state.activities_waiting) == (1, 1, {"gone": 1})
        app.max_concurrent_activities = 5
        assert app.max_concurrent_activities == 5
        release.set()
        dfnb.activity(name="gone", registry=registry)(lambda: None)
        run.result(10)
    assert not app.state.running


def test_sql_sees_what_was_acknowledged_and_changes_nothing(hub: Path, registry: dfnb.Registry) -> None:
    with dfnb.DurableApp(hub, registry=registry) as app:
        app.client.start("add", 1, instance_id="a").result(10)
        found = app.sql("SELECT instance_id, runtime_status FROM instances WHERE name = $1", ["add"])
        assert found.fetchall() == [("a", "Completed")]
        with pytest.raises(dfnb.DfnbError, match="takes one statement that reads"):
            app.sql("DELETE FROM instance")
        assert app.client.status("a")


def test_compact_makes_the_file_smaller_and_keeps_what_is_left(hub: Path, registry: dfnb.Registry) -> None:
    with dfnb.DurableApp(hub, registry=registry) as app:
        for run in app.client.start_many("add", range(2000)):
            run.wait(20)
        kept = app.client.start("waits")
        app.client.purge_many()
        before, after = app.compact()
        assert after < before
        kept.raise_event("go", 1)
        assert kept.result(10) == [1, 1]


# closing


def test_closing_twice_is_closing_once(hub: Path, registry: dfnb.Registry) -> None:
    with dfnb.DurableApp(hub, registry=registry) as app:
        app.close()
        assert app.is_closed
        app.close()
    assert repr(app) == f"<DurableApp {str(hub.resolve())!r} (closed)>"


def test_closing_from_many_threads_is_closing_once(hub: Path, registry: dfnb.Registry) -> None:
    app = dfnb.DurableApp(hub, registry=registry)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: app.close(), range(4)))
    with dfnb.DurableApp(hub, registry=registry):
        pass


AFTER_CLOSE: dict[str, Callable[[dfnb.DurableApp], object]] = {
    "start": lambda app: app.client.start("add", 1),
    "start_many": lambda app: app.client.start_many("add", [1, 2]),
    "status": lambda app: app.client.status("b"),
    "instances": lambda app: app.client.instances(),
    "history": lambda app: app.client.history("b"),
    "raise_event": lambda app: app.client.raise_event("a", "go"),
    "terminate": lambda app: app.client.terminate("a"),
    "purge": lambda app: app.client.purge("b"),
    "wait": lambda app: app.client.wait("a", 0.2),
    "sql": lambda app: app.sql("SELECT 1"),
    "compact": lambda app: app.compact(),
}


@pytest.mark.parametrize("operation", AFTER_CLOSE)
def test_a_closed_app_says_so(registry: dfnb.Registry, operation: str) -> None:
    with dfnb.DurableApp(durability="memory", registry=registry) as app:
        app.client.start("waits", instance_id="a")
        app.client.start("add", 1, instance_id="b").wait(10)
    with pytest.raises(dfnb.HubClosedError, match="this dfnb app is closed; open the hub again to go on"):
        AFTER_CLOSE[operation](app)


def test_closing_ends_every_wait(registry: dfnb.Registry) -> None:
    app = dfnb.DurableApp(durability="memory", registry=registry)
    run = app.client.start("waits")
    with ThreadPoolExecutor(1) as pool:
        waiter = pool.submit(run.wait)
        with pytest.raises(TimeoutError):
            waiter.result(0.05)
        app.close()
        with pytest.raises(dfnb.HubClosedError):
            waiter.result(10)


def test_a_definition_made_after_closing_does_no_harm(registry: dfnb.Registry) -> None:
    with dfnb.DurableApp(durability="memory", registry=registry):
        pass
    dfnb.activity(name="later", registry=registry)(lambda: None)


def test_an_error_in_the_block_closes_the_app(hub: Path, registry: dfnb.Registry) -> None:
    with pytest.raises(RuntimeError, match="mine"), dfnb.DurableApp(hub, registry=registry) as app:
        raise RuntimeError("mine")
    assert app.is_closed


# the current app


@pytest.mark.usefixtures("_no_current_app")
def test_without_an_open_hub_one_is_told_how_to_open_one() -> None:
    for use in (dfnb.current, lambda: dfnb.start("add"), lambda: dfnb.sql("SELECT 1"), lambda: dfnb.instance("a")):
        with pytest.raises(dfnb.HubClosedError, match=r"no hub is open: run `%load_ext dfnb`, or open one with"):
            use()
    dfnb.close()


@pytest.mark.usefixtures("_no_current_app")
def test_the_current_app_serves_the_short_names(hub: Path, registry: dfnb.Registry) -> None:
    app = dfnb.open(hub, registry=registry)
    assert dfnb.current() is app
    assert dfnb.start("add", 1, instance_id="a").result(10) == 2
    assert [run.result(10) for run in dfnb.start_many("add", [1, 2])] == [2, 3]
    assert dfnb.instance("a").status().output == 2
    assert dfnb.sql("SELECT count(*) FROM instances").fetchall() == [(3,)]
    dfnb.close()
    assert app.is_closed
    with pytest.raises(dfnb.HubClosedError):
        dfnb.current()


@pytest.mark.usefixtures("_no_current_app")
def test_opening_another_hub_closes_the_one_before(hub: Path, registry: dfnb.Registry) -> None:
    first = dfnb.open(hub, registry=registry)
    second = dfnb.open(hub, registry=registry)
    assert first.is_closed
    assert dfnb.current() is second


@pytest.mark.usefixtures("_no_current_app")
def test_a_current_app_that_was_closed_by_hand_is_no_longer_current(registry: dfnb.Registry) -> None:
    dfnb.open(durability="memory", registry=registry).close()
    with pytest.raises(dfnb.HubClosedError, match="no hub is open"):
        dfnb.current()
