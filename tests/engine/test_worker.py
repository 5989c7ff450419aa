"""Definitions that are missing or have changed, strict hubs, rewinds and restarts, on a whole engine."""

from __future__ import annotations

import re
import threading
from datetime import timedelta
from typing import Any

import duckdb
import pytest

import dfnb
from dfnb.definitions import declare
from dfnb.records.history import ExecutionRewound, TaskScheduled

Context = dfnb.DurableOrchestrationContext
PATIENCE = 20.0


def define(lab: Any, kind: str, name: str, body: str) -> Any:
    """Run a cell: define a function of that name with that body, with its source, as a magic would."""
    parameter = "context" if kind == "orchestrator" else "x"
    source = f"def {name}({parameter}):\n" + "\n".join("    " + line for line in body.splitlines())
    namespace: dict[str, Any] = {"timedelta": timedelta, "dfnb": dfnb}
    exec(source, namespace)
    declare(kind, namespace[name], registry=lab.registry, source=source)
    return namespace[name]


# ---- missing


def test_an_instance_waits_for_the_cell_that_defines_its_orchestrator(disk_lab: Any) -> None:
    lab = disk_lab
    define(lab, "orchestrator", "listens", "value = yield context.wait_for_external_event('e')\nreturn value")
    run = lab.start("listens")
    lab.waiting(run, "event")
    lab.registry.remove("orchestrator", "listens")
    lab.reopen()
    lab.client.raise_event(run.id, "e", 1)
    run = lab.client.instance(run.id)
    record = lab.waiting(run, "definition")
    assert "the cell that defines listens" in lab.client.waiting_for(record)
    with pytest.raises(dfnb.WaitTimeoutError, match="the cell that defines listens"):
        run.wait(0)
    define(lab, "orchestrator", "listens", "value = yield context.wait_for_external_event('e')\nreturn value")
    assert run.result(PATIENCE) == 1


def test_an_instance_waits_for_the_cell_that_defines_its_activity_or_child(lab: Any) -> None:
    body = "a = yield context.call_activity('work', 1)\nreturn a + (yield context.call_sub_orchestrator('kid'))"
    define(lab, "orchestrator", "both", body)
    run = lab.start("both")
    lab.waiting(run, "activity")
    assert "work" in run.status().waiting_for
    define(lab, "activity", "work", "return x + 1")
    lab.waiting(run, "orchestration")
    child = lab.client.instance(f"{run.id}:2")
    lab.waiting(child, "definition")
    define(lab, "orchestrator", "kid", "return 40")
    assert run.result(PATIENCE) == 42


def test_a_strict_hub_fails_what_is_unknown_with_a_did_you_mean(lab: Any) -> None:
    lab.open(strict=True)
    define(lab, "activity", "geocode", "return x")
    define(lab, "orchestrator", "kids", "return 1")
    define(lab, "orchestrator", "wrong", "yield context.call_activity('geocod', 1)")
    define(lab, "orchestrator", "parent", "yield context.call_sub_orchestrator('kid')")
    for name, meant in (("wrong", "geocode"), ("parent", "kids")):
        details = lab.failure(name)
        assert details.inner_failure.error_type == "dfnb.errors.NotRegisteredError"
        assert f"did you mean {meant!r}" in details.message


def test_a_strict_hub_fails_a_running_instance_whose_code_is_gone(disk_lab: Any) -> None:
    lab = disk_lab
    define(lab, "orchestrator", "listens", "yield context.wait_for_external_event('e')")
    run = lab.start("listens")
    lab.waiting(run, "event")
    lab.registry.remove("orchestrator", "listens")
    lab.reopen(strict=True)
    lab.client.raise_event(run.id, "e")
    assert lab.client.instance(run.id).wait(PATIENCE).failure_details.error_type == "dfnb.errors.NotRegisteredError"


def test_starting_what_is_unknown_is_an_error_with_a_did_you_mean(lab: Any) -> None:
    define(lab, "orchestrator", "trip", "return 1")
    with pytest.raises(dfnb.NotRegisteredError, match="did you mean 'trip'"):
        lab.start("tripp")


# ---- changed

LISTENS = "first = yield context.call_activity('work', 1)\nvalue = yield context.wait_for_external_event('e')\n"


@pytest.fixture
def listening(lab: Any) -> Any:
    define(lab, "activity", "work", "return x")
    define(lab, "orchestrator", "listens", LISTENS + "return ['old', value]")
    run = lab.start("listens")
    lab.waiting(run, "event")
    return run


def test_changed_code_that_agrees_takes_over_instances_under_way(lab: Any, listening: Any) -> None:
    before = lab.client.record(listening.id).code
    define(lab, "orchestrator", "listens", LISTENS + "return ['new', value]")
    lab.until(listening, lambda record: record.code != before)
    listening.raise_event("e", 1)
    assert listening.result(PATIENCE) == ["new", 1]


def test_the_same_cell_run_again_changes_nothing(lab: Any, listening: Any) -> None:
    define(lab, "orchestrator", "listens", LISTENS + "return ['old', value]")
    listening.raise_event("e", 1)
    assert listening.result(PATIENCE) == ["old", 1]
    assert [row.event.event_type for row in listening.history()] == [
        "ExecutionStarted", "TaskScheduled", "TaskCompleted", "EventRaised", "ExecutionCompleted",
    ]


@pytest.mark.parametrize("opened_again", [False, True])
def test_changed_code_that_disagrees_is_held_with_the_difference_until_it_agrees(
    lab: Any, listening: Any, opened_again: bool
) -> None:
    define(lab, "orchestrator", "listens", "first = yield context.call_activity('other', 1)\nreturn first")
    record = lab.until(listening, lambda record: record.held is not None)
    assert record.held == (
        "the code differs from the history at event 2: history has activity 'work' (task 1), "
        "the code asked for activity 'other' (task 1)"
    )
    assert record.held in lab.client.waiting_for(record)
    listening.raise_event("e", 1)
    if opened_again and lab.on_disk:
        lab.reopen(crash=False)
        listening = lab.client.instance(listening.id)
        lab.until(listening, lambda record: record.held is not None)
    define(lab, "orchestrator", "listens", LISTENS + "return ['fixed', value]")
    assert listening.result(PATIENCE) == ["fixed", 1]


def test_a_held_instance_can_be_terminated(lab: Any, listening: Any) -> None:
    define(lab, "orchestrator", "listens", "yield context.create_timer(timedelta(1))")
    lab.until(listening, lambda record: record.held is not None)
    listening.terminate("enough")
    assert listening.wait(PATIENCE).output == "enough"


def test_a_suspended_instance_is_checked_against_changed_code_too(lab: Any, listening: Any) -> None:
    listening.suspend()
    listening.raise_event("e", 1)
    define(lab, "orchestrator", "listens", LISTENS + "return ['new', value]")
    listening.resume()
    assert listening.result(PATIENCE) == ["new", 1]


# ---- rewind


class Faulty:
    """An activity that fails for the inputs it is told to, and counts its tries."""

    def __init__(self, lab: Any, *broken: Any) -> None:
        self.broken = set(broken)
        self.tried: list[Any] = []
        lab.activity(self.work, name="work")

    def work(self, x: Any) -> Any:
        self.tried.append(x)
        if x in self.broken:
            raise ValueError(f"{x} is broken")
        return x


def test_rewind_runs_the_failed_activity_again_and_nothing_else(lab: Any) -> None:
    faulty = Faulty(lab, "b")

    @lab.orchestrator
    def chain(context: Context) -> Any:
        done = []
        for name in "abc":
            done.append((yield context.call_activity("work", name)))
        return done

    run = lab.start(chain)
    assert run.wait(PATIENCE).runtime_status.value == "Failed"
    run.rewind("again")
    assert run.wait(PATIENCE).runtime_status.value == "Failed"
    faulty.broken.clear()
    run.rewind("fixed")
    assert run.result(PATIENCE) == ["a", "b", "c"]
    assert faulty.tried == ["a", "b", "b", "b", "c"]
    assert [row.event.reason for row in run.history() if isinstance(row.event, ExecutionRewound)] == ["again", "fixed"]


def test_rewind_of_a_fan_out_runs_only_what_had_failed(lab: Any) -> None:
    faulty = Faulty(lab, 1, 3)

    @lab.orchestrator
    def fan(context: Context) -> Any:
        return (yield context.task_all([context.call_activity("work", n) for n in range(5)]))

    run = lab.start(fan)
    run.wait(PATIENCE)
    faulty.broken.clear()
    run.rewind()
    assert run.result(PATIENCE) == [0, 1, 2, 3, 4]
    assert sorted(faulty.tried) == [0, 1, 1, 2, 3, 3, 4]


def test_rewind_is_undone_clean_up_included(lab: Any) -> None:
    faulty = Faulty(lab, "main")

    @lab.orchestrator
    def tidy(context: Context) -> Any:
        try:
            main = yield context.call_activity("work", "main")
        finally:
            cleaned = yield context.call_activity("work", "clean")
        return [main, cleaned]

    run = lab.start(tidy)
    assert run.wait(PATIENCE).runtime_status.value == "Failed"
    faulty.broken.clear()
    run.rewind()
    assert run.result(PATIENCE) == ["main", "clean"]
    assert faulty.tried == ["main", "clean", "main", "clean"]


def test_rewind_reaches_down_into_failed_children(lab: Any) -> None:
    faulty = Faulty(lab, "leaf 1")

    @lab.orchestrator
    def kid(context: Context) -> Any:
        return (yield context.call_activity("work", context.get_input()))

    @lab.orchestrator
    def middle(context: Context) -> Any:
        return (yield context.task_all([context.call_sub_orchestrator(kid, f"leaf {n}") for n in range(3)]))

    @lab.orchestrator
    def top(context: Context) -> Any:
        return (yield context.call_sub_orchestrator(middle))

    run = lab.start(top)
    run.wait(PATIENCE)
    for _ in range(2):
        run.rewind()
        assert run.wait(PATIENCE).runtime_status.value == "Failed"
    faulty.broken.clear()
    run.rewind()
    assert run.result(PATIENCE) == ["leaf 0", "leaf 1", "leaf 2"]
    assert sorted(faulty.tried) == ["leaf 0", *["leaf 1"] * 4, "leaf 2"]
    assert len(lab.client.instances(name="kid")) == 3


def test_rewind_after_the_code_was_fixed_goes_on_from_where_it_broke(lab: Any) -> None:
    faulty = Faulty(lab)
    define(lab, "orchestrator", "buggy", "value = yield context.call_activity('work', 1)\nreturn value / 0")
    run = lab.start("buggy")
    assert run.wait(PATIENCE).failure_details.error_type == "builtins.ZeroDivisionError"
    fixed = "value = yield context.call_activity('work', 1)\nprint('fixed')\ncontext.set_custom_status('on')\n"
    define(lab, "orchestrator", "buggy", fixed + "return [value, (yield context.call_activity('work', 2))]")
    run.rewind()
    assert run.result(PATIENCE) == [1, 2]
    assert faulty.tried == [1, 2]
    assert run.status().custom_status == "on"
    assert [line.text for line in run.logs()] == ["fixed"]


def test_what_was_open_at_the_failure_is_open_again_after_a_rewind(lab: Any) -> None:
    gate = threading.Event()
    faulty = Faulty(lab, "bad")

    @lab.activity
    def slow(_: Any) -> str:
        gate.wait(PATIENCE)
        return "slow"

    @lab.orchestrator
    def kid(context: Context) -> Any:
        return (yield context.wait_for_external_event("e"))

    @lab.orchestrator
    def many(context: Context) -> Any:
        activity, timer = context.call_activity(slow), context.create_timer(timedelta(hours=1))
        child, event = context.call_sub_orchestrator(kid, instance_id="kid"), context.wait_for_external_event("own")
        late = context.call_sub_orchestrator(kid, instance_id="late")
        yield context.call_activity("work", "bad")
        return (yield context.task_all([activity, timer, child, event, late]))

    run = lab.start(many)
    assert run.wait(PATIENCE).runtime_status.value == "Failed"
    gate.set()
    lab.client.raise_event("late", "e", "answered while the parent had failed")
    lab.client.instance("late").wait(PATIENCE)
    faulty.broken.clear()
    run.rewind()
    lab.until(run, lambda record: len(record.waits) > 1)
    run.raise_event("own", "event")
    lab.client.raise_event("kid", "e", "child")
    lab.until(run, lambda record: [wait.kind for wait in record.waits] == ["timer"])
    lab.clock.advance(timedelta(hours=1))
    assert run.result(PATIENCE) == ["slow", None, "child", "event", "answered while the parent had failed"]


@pytest.mark.parametrize("crash", [True, False])
def test_rewinds_outlive_a_restart_between_them(disk_lab: Any, crash: bool) -> None:
    lab = disk_lab
    faulty = Faulty(lab, "bad")

    @lab.orchestrator
    def chain(context: Context) -> Any:
        first = yield context.call_activity("work", "good")
        second = yield context.call_activity("work", "bad")
        event = yield context.wait_for_external_event("e")
        return [first, second, event]

    run = lab.start(chain)
    for _ in range(2):
        run.wait(PATIENCE)
        lab.reopen(crash=crash)
        run = lab.client.instance(run.id)
        assert run.status().runtime_status.value == "Failed"
        run.rewind()
    run.wait(PATIENCE)
    faulty.broken.clear()
    run.rewind()
    lab.waiting(run, "event")
    lab.reopen(crash=crash)
    run = lab.client.instance(run.id)
    run.raise_event("e", 1)
    assert run.result(PATIENCE) == ["good", "bad", 1]
    assert faulty.tried == ["good", "bad", "bad", "bad", "bad"]


def test_a_rewind_waits_for_the_cell_that_is_missing(disk_lab: Any) -> None:
    lab = disk_lab
    faulty = Faulty(lab, 1)
    body = "return (yield context.call_activity('work', 1))"
    define(lab, "orchestrator", "one", body)
    run = lab.start("one")
    run.wait(PATIENCE)
    faulty.broken.clear()
    lab.registry.remove("orchestrator", "one")
    lab.reopen()
    run = lab.client.instance(run.id)
    run.rewind()
    lab.waiting(run, "definition")
    lab.reopen()
    run = lab.client.instance(run.id)
    define(lab, "orchestrator", "one", body)
    assert run.result(PATIENCE) == 1


def test_only_failed_instances_can_be_rewound(lab: Any) -> None:
    @lab.orchestrator
    def fine(context: Context) -> Any:
        yield context.wait_for_external_event("e")

    run = lab.start(fine)
    with pytest.raises(dfnb.InstanceConflictError, match="only a failed instance"):
        run.rewind()
    run.raise_event("e")
    run.wait(PATIENCE)
    with pytest.raises(dfnb.InstanceFinishedError, match="already Completed"):
        run.rewind()


# ---- restart


def test_restart_takes_the_same_input_under_a_new_or_the_same_id(lab: Any) -> None:
    @lab.orchestrator
    def echo(context: Context) -> Any:
        return [context.get_input(), (yield context.wait_for_external_event("e"))]

    run = lab.start(echo, "input", instance_id="echo")
    with pytest.raises(dfnb.InstanceConflictError, match="terminate it first"):
        run.restart(new_id=False)
    other = run.restart()
    run.raise_event("e", 1)
    assert run.result(PATIENCE) == ["input", 1]
    again = run.restart(new_id=False)
    for other_run, n in ((other, 2), (again, 3)):
        other_run.raise_event("e", n)
        assert other_run.result(PATIENCE) == ["input", n]
    assert (again.id, other.id != run.id) == ("echo", True)
    assert sum(isinstance(row.event, TaskScheduled) for row in again.history()) == 0


# ---- code that does not come back


class Stuck:
    """An orchestrator that, after its first step, does not yield until it is let go."""

    def __init__(self, lab: Any) -> None:
        self.lab = lab
        self.entered, self.release = threading.Event(), threading.Event()
        define(lab, "activity", "work", "return x")

        @lab.orchestrator
        def stuck(context: Context) -> Any:
            value = yield context.call_activity("work", 1)
            self.entered.set()
            self.release.wait(PATIENCE)
            print("let go")
            return value

        @lab.orchestrator
        def other(context: Context) -> Any:
            return 1
            yield

        self.run = lab.start(stuck, instance_id="first")
        assert self.entered.wait(PATIENCE)


@pytest.fixture
def stuck(lab: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("dfnb.app._TURN_SECONDS", 0.0)
    made = Stuck(lab)
    yield made
    made.release.set()


SLOW = r"orchestrator 'stuck' \(instance 'first'\) has been running its own code for \d+ s without yielding, at line \d+ of stuck"


def test_who_keeps_the_engine_is_told_and_who_asks_for_something_does_not_wait_for_it(
    lab: Any, stuck: Stuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dfnb.hub.memory._LONG", 1_000.0)
    assert lab.app.state.problem == ""
    assert "work" in stuck.run.status().waiting_for
    monkeypatch.setattr("dfnb.hub.memory._LONG", 0.0)
    assert re.match(SLOW, lab.app.state.problem)
    assert re.fullmatch(f"kept waiting: {SLOW}", stuck.run.status().waiting_for)
    monkeypatch.setattr("dfnb.hub.memory._TOO_LONG", 0.0)
    for call in (lambda: lab.start("other"), stuck.run.terminate, lab.client.clean_entity_storage):
        with pytest.raises(dfnb.EngineBusyError, match=SLOW) as told:
            call()
        assert told.value.kept is False
        assert "Nothing of this request was done." in str(told.value)
    stuck.release.set()
    assert stuck.run.result(PATIENCE) == 1
    assert lab.client.counts() == {"Completed": 1}


def test_a_turn_that_does_not_come_back_neither_holds_up_closing_nor_writes_afterwards(
    disk_lab: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dfnb.app._TURN_SECONDS", 0.0)
    lab = disk_lab
    stuck = Stuck(lab)
    before = lab.app
    before.close(timeout=0)
    assert before._worker.is_running
    stuck.entered.clear()
    lab.open()
    assert stuck.entered.wait(PATIENCE)
    stuck.release.set()
    before._worker._thread.join(PATIENCE)
    assert before._worker.failure is None
    run = lab.client.instance("first")
    assert run.result(PATIENCE) == 1
    assert [type(row.event).__name__ for row in run.history()] == [
        "ExecutionStarted", "TaskScheduled", "TaskCompleted", "ExecutionCompleted",
    ]
    assert "let go" not in capsys.readouterr().out


@pytest.mark.parametrize("durability", ["durable", "relaxed"])
def test_what_an_abandoned_turn_prints_and_decides_is_nobodys(
    make_lab: Any, durability: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dfnb.app._TURN_SECONDS", 0.0)
    lab = make_lab()
    lab.open(durability=durability)
    stuck = Stuck(lab)
    lab.app.close(timeout=0)
    with duckdb.connect(lab.path) as connection:
        before = connection.execute("SELECT count(*) FROM event").fetchall()
    stuck.release.set()
    lab.app._worker._thread.join(PATIENCE)
    assert lab.app._worker.failure is None
    with duckdb.connect(lab.path) as connection:
        assert connection.execute("SELECT count(*) FROM event").fetchall() == before
    assert "let go" not in capsys.readouterr().out
