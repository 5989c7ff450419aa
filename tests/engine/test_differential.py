"""Random programs, run by the engine through crashes, evictions and small batches, end as a plain loop would end them."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dfnb

Context = dfnb.DurableOrchestrationContext
ROUNDS = 3_000

leaf = st.one_of(
    st.tuples(st.just("activity"), st.integers(0, 9)),
    st.tuples(st.just("fail"), st.integers(0, 9)),
    st.tuples(st.just("retry"), st.integers(0, 2)),
    st.tuples(st.just("timer"), st.integers(0, 20)),
    st.tuples(st.just("event"), st.just(0)),
    st.tuples(st.just("race"), st.integers(0, 9)),
    st.tuples(st.just("again"), st.just(0)),
    st.tuples(st.just("status"), st.integers(0, 9)),
)
program = st.lists(
    st.one_of(
        leaf,
        st.tuples(st.just("all"), st.lists(st.integers(0, 9), max_size=4)),
        st.tuples(st.just("child"), st.lists(leaf, max_size=3)),
        st.tuples(st.just("children"), st.lists(st.lists(leaf, max_size=2), max_size=3)),
    ),
    max_size=6,
)


def expected(steps: list[Any], events: Iterator[int] | None = None) -> list[Any]:
    """The model: what the program gives when nothing is durable and nothing goes wrong."""
    numbers = events if events is not None else iter(range(1000))
    done: list[Any] = []
    for kind, value in steps:
        if kind == "activity":
            done.append(value + 1)
        elif kind == "fail":
            done.append(f"Activity function 'break_' failed: ValueError: {value}")
        elif kind == "retry":
            done.append(f"after {value}")
        elif kind == "timer":
            done.append("timer")
        elif kind == "event":
            done.append(next(numbers))
        elif kind == "race":
            done.append(value + 1)
        elif kind == "all":
            done.append([n + 1 for n in value])
        elif kind == "child":
            done.append(expected(value))
        elif kind == "children":
            done.append([expected(each) for each in value])
    return done


def interpret(context: Context) -> Any:
    state = context.get_input()
    steps, done = state["steps"], state["done"]
    while steps:
        (kind, value), *steps = steps
        if kind == "again":
            context.continue_as_new({"steps": steps, "done": done})
            return None
        if kind == "status":
            context.set_custom_status(value)
        else:
            done.append((yield from _step(context, kind, value)))
    return done


def _step(context: Context, kind: str, value: Any) -> Any:
    if kind == "activity":
        return (yield context.call_activity("add", value))
    if kind == "fail":
        try:
            return (yield context.call_activity("break_", value))
        except dfnb.TaskFailedError as error:
            return str(error)
    if kind == "retry":
        return (yield context.call_activity_with_retry("flaky", dfnb.RetryOptions(2000, 5), value))
    if kind == "timer":
        yield context.create_timer(timedelta(seconds=value))
        return "timer"
    if kind == "event":
        return (yield context.wait_for_external_event("e"))
    if kind == "race":
        timer = context.create_timer(timedelta(days=1))
        work = context.call_activity("add", value)
        winner = yield context.task_any([timer, work])
        timer.cancel()
        return winner.result
    if kind == "all":
        return (yield context.task_all([context.call_activity("add", n) for n in value]))
    if kind == "child":
        return (yield context.call_sub_orchestrator("interpret", {"steps": value, "done": []}))
    calls = [context.call_sub_orchestrator("interpret", {"steps": each, "done": []}) for each in value]
    return (yield context.task_all(calls))


def flaky(failures: int) -> str:
    if dfnb.activity_info().attempt <= failures:
        raise OSError("not yet")
    return f"after {failures}"


def break_(value: int) -> None:
    raise ValueError(str(value))


def add(value: int) -> int:
    return value + 1


def events_in(steps: list[Any]) -> int:
    """How many events the instance itself waits for."""
    return sum(kind == "event" for kind, _ in steps)


def children_events(steps: list[Any]) -> bool:
    inner = [each for kind, value in steps if kind == "child" for each in value]
    inner += [each for kind, value in steps if kind == "children" for one in value for each in one]
    return any(kind == "event" for kind, _ in inner)


class Case:
    def __init__(self, lab: Any, options: dict[str, int]) -> None:
        self.lab = lab
        for activity in (add, break_, flaky):
            lab.activity(activity)
        lab.orchestrator(interpret)
        lab.open(**options)

    def run(self, programs: list[list[Any]], crashes: list[int]) -> list[Any]:
        runs = self.lab.client.start_many("interpret", [{"steps": steps, "done": []} for steps in programs])
        ids = [run.id for run in runs]
        for id, steps in zip(ids, programs, strict=True):
            for n in range(events_in(steps)):
                self.lab.client.raise_event(id, "e", n)
        for count in range(ROUNDS):
            if count in crashes:
                self.lab.reopen()
            ended = [self.lab.client.when_ended(id) for id in ids]
            if not concurrent.futures.wait(ended, timeout=0.02).not_done:
                return [self.lab.client.instance(id).result(1) for id in ids]
            self.lab.clock.advance(2)
        waiting = [self.lab.client.record(id).waits for id in ids]
        raise AssertionError(f"{programs} never ended; they wait for {waiting}")


@settings(
    max_examples=15, deadline=None, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
@given(
    programs=st.lists(program.filter(lambda steps: not children_events(steps)), min_size=1, max_size=3),
    sticky=st.sampled_from([1, 2, 4096]),
    rows=st.sampled_from([2, 7, 1000]),
    crashes=st.lists(st.integers(0, 8), max_size=3),
)
def test_the_engine_gives_what_the_model_gives(
    make_lab: Any, programs: list[list[Any]], sticky: int, rows: int, crashes: list[int]
) -> None:
    lab = make_lab()
    try:
        case = Case(lab, {"sticky_instances": sticky, "batch_rows": rows})
        assert case.run(programs, crashes) == [expected(steps) for steps in programs]
    finally:
        lab.close()


@pytest.mark.parametrize("crashes", [[], [0, 1, 2, 3]])
def test_a_program_with_everything_in_it(make_lab: Any, crashes: list[int]) -> None:
    steps = [
        ["status", 1], ["event", 0], ["children", [[["activity", 1]], [["retry", 2], ["again", 0], ["fail", 3]]]], ["again", 0],
        ["event", 0], ["all", [1, 2, 3]], ["race", 4], ["timer", 5], ["child", [["timer", 1], ["again", 0]]], ["all", []],
    ]
    lab = make_lab()
    try:
        assert Case(lab, {"sticky_instances": 1, "batch_rows": 3}).run([steps] * 3, crashes) == [expected(steps)] * 3
    finally:
        lab.close()
