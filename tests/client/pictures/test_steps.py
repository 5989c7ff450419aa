from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dfnb
from dfnb.client.pictures.steps import Group, steps_of
from dfnb.records.failure import FailureDetails
from dfnb.records.history import (
    EntityOperationSignaled,
    EventRaised,
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCanceled,
    TimerCreated,
    TimerFired,
)

from .conftest import recorded
from .played import Orchestrator, played

Context = dfnb.DurableOrchestrationContext

BAD = FailureDetails("builtins.ValueError", "bad")
START = ExecutionStarted("trip", "t1")
END = ExecutionCompleted("Completed")


def facts(*events: HistoryEvent) -> list[tuple[str, int, int | None, int]]:
    return [(one.name, one.step, one.into, one.count) for one in steps_of(recorded(START, *events)).groups]


def test_a_chain_has_a_step_for_each_task() -> None:
    assert facts(TaskScheduled(1, "a"), TaskCompleted(1), TaskScheduled(2, "b"), TaskCompleted(2), END) == [
        ("a", 0, 1, 1), ("b", 1, 2, 1),
    ]  # fmt: skip


def test_a_fan_out_is_one_group_and_its_fan_in_one_step() -> None:
    out = [TaskScheduled(n, "work") for n in range(1, 101)]
    done = [TaskCompleted(n) for n in range(1, 101)]
    behind = [TaskCompleted(101), TaskScheduled(102, "sum"), TaskCompleted(102), END]
    assert facts(*out, TaskScheduled(101, "other"), *done, *behind) == [
        ("work", 0, 1, 100), ("other", 0, 1, 1), ("sum", 1, 2, 1),
    ]  # fmt: skip


def test_what_outlives_a_step_goes_into_the_one_that_had_its_result() -> None:
    assert facts(
        TaskScheduled(1, "slow"),
        TaskScheduled(2, "quick"),
        TaskCompleted(2),
        TaskScheduled(3, "next"),
        TaskCompleted(1),
        TaskCompleted(3),
        END,
    ) == [("slow", 0, 2, 1), ("quick", 0, 1, 1), ("next", 1, 2, 1)]


def test_what_was_given_up_goes_nowhere() -> None:
    steps = steps_of(
        recorded(START, TimerCreated(1, 9), EventRaised("go"), TimerCanceled(1), EntityOperationSignaled(2, "@a@b", "op"), END)
    )
    assert [(one.name, one.into, one.states) for one in steps.groups] == [
        ("timer", None, (("Canceled", 1),)), ("go", 1, (("Completed", 1),)), ("@a@b op", None, (("Completed", 1),)),
    ]  # fmt: skip


def test_tries_are_one_task() -> None:
    (one,) = steps_of(
        recorded(
            START,
            TaskScheduled(1, "shaky"),
            TaskFailed(1, BAD),
            TimerCreated(1, 9, retry=True),
            TimerFired(1),
            TaskScheduled(1, "shaky"),
            TaskFailed(1, BAD),
            END,
        )
    ).groups
    assert (one.tries, one.states, one.into) == (2, (("Failed", 1),), 1)


def test_of_several_generations_the_latest_counts() -> None:
    first = recorded(START, TaskScheduled(1, "a"), TaskCompleted(1), ExecutionCompleted("ContinuedAsNew"))
    steps = steps_of([*first, *recorded(START, TaskScheduled(1, "b"), generation=1)])
    assert [(one.name, one.states) for one in steps.groups] == [("b", (("Running", 1),))]
    assert (steps.generation, steps.outcome, steps.steps) == (1, None, 1)


def test_in_a_step_of_many_groups_names_are_folded() -> None:
    out = [TaskScheduled(n, f"work{n % 2}") for n in range(1, 21)]
    one_by_one = [event for n in range(1, 21) for event in (TaskCompleted(n), TaskScheduled(100 + n, "note"))]
    groups = steps_of(recorded(START, *out, *one_by_one)).groups
    assert [(one.name, one.count) for one in groups if one.step == 0] == [("work1", 10), ("work0", 10)]


# ---- events that are waited for


def sequence(context: Context) -> Generator[Any, Any, Any]:
    yield context.call_activity("work")
    yield context.call_activity("book")
    yield context.wait_for_external_event("go")
    yield context.call_activity("pay")


def told(groups: tuple[Group, ...]) -> list[str]:
    return [f"{one.step} {one.name} {one.states[0][0]} {'' if one.into is None else one.into}".strip() for one in groups]


@pytest.mark.parametrize(
    ("answered", "steps"),
    [
        (2, ["0 work Completed 1", "1 book Completed 2", "2 go Waiting"]),
        (3, ["0 work Completed 1", "1 book Completed 2", "2 go Completed 3", "3 pay Running"]),
        (4, ["0 work Completed 1", "1 book Completed 2", "2 go Completed 3", "3 pay Completed 4"]),
    ],
)
def test_an_event_waited_for_behind_a_task_is_a_step_of_its_own(answered: int, steps: list[str]) -> None:
    found = played(sequence, [0] * answered)
    assert told(steps_of(found.rows, found.waits).groups) == steps


def test_an_event_that_does_not_say_how_long_it_was_waited_for_stands_behind_what_was_done() -> None:
    assert facts(TaskScheduled(1, "work"), TaskCompleted(1), EventRaised("go"), TaskScheduled(2, "pay")) == [
        ("work", 0, 1, 1), ("go", 1, 2, 1), ("pay", 2, None, 1),
    ]  # fmt: skip
    beside = [TaskScheduled(1, "work"), TaskScheduled(2, "slow"), TaskCompleted(1), EventRaised("go"), TaskCompleted(2)]
    assert facts(*beside, END) == [("work", 0, 1, 1), ("slow", 0, 1, 1), ("go", 0, 1, 1)]


def first_of_both(context: Context) -> Generator[Any, Any, Any]:
    yield context.call_activity("ask")
    late = context.create_timer(context.current_utc_datetime + timedelta(days=1))
    yield context.task_any([context.wait_for_external_event("answer"), late])
    late.cancel()
    yield context.call_activity("tell")


def kept_for_later(context: Context) -> Generator[Any, Any, Any]:
    answer = context.wait_for_external_event("answer")
    yield context.call_activity("ask")
    yield answer


def all_of_both(context: Context) -> Generator[Any, Any, Any]:
    slow = context.call_activity("slow")
    yield context.call_activity("book")
    yield context.task_all([slow, context.wait_for_external_event("go")])
    yield context.call_activity("pay")


@pytest.mark.parametrize(
    ("orchestrator", "choices", "steps"),
    [
        (first_of_both, [0, 1, 1], ["0 ask Completed 1", "1 timer Canceled", "1 answer Completed 2", "2 tell Completed 3"]),
        (kept_for_later, [0, 0], ["0 ask Completed 1", "0 answer Completed 1"]),
        (all_of_both, [1, 0, 0, 0], ["0 slow Completed 2", "0 book Completed 1", "1 go Completed 2", "2 pay Completed 3"]),
        (all_of_both, [1, 1, 0, 0], ["0 slow Completed 2", "0 book Completed 1", "1 go Completed 2", "2 pay Completed 3"]),
        (all_of_both, [0, 0, 0, 0], ["0 slow Completed 1", "0 book Completed 1", "1 go Completed 2", "2 pay Completed 3"]),
    ],
    ids=["an event or a timer", "waited for from the start", "a task is late", "an event is first", "a task is early"],
)
def test_an_event_belongs_to_the_step_that_began_to_wait_for_it(
    orchestrator: Orchestrator, choices: list[int], steps: list[str]
) -> None:
    found = played(orchestrator, choices)
    assert found.answers == [] or orchestrator is first_of_both  # its timer may still fire
    assert told(steps_of(found.rows, found.waits).groups) == steps


def makes(program: list[list[str]]) -> Orchestrator:
    """An orchestrator that goes through these steps one after the other; the parts of a step are waited for together."""

    def orchestrator(context: Context) -> Generator[Any, Any, Any]:
        for at, parts in enumerate(program):
            tasks: list[Any] = []
            for number, part in enumerate(parts):
                name = f"{part}{at}.{number}"
                if part == "timer":
                    tasks.append(context.create_timer(context.current_utc_datetime + timedelta(days=1)))
                else:
                    tasks.append(context.call_activity(name) if part == "task" else context.wait_for_external_event(name))
            yield context.task_all(tasks)

    return orchestrator


@given(
    st.lists(st.lists(st.sampled_from(["task", "event", "timer"]), min_size=1, max_size=3), min_size=1, max_size=6),
    st.lists(st.integers(0, 20), max_size=24),
)
def test_what_is_done_one_after_the_other_is_drawn_one_after_the_other(program: list[list[str]], choices: list[int]) -> None:
    found = played(makes(program), choices)
    steps = steps_of(found.rows, found.waits)
    reached = steps.steps - 1 if steps.outcome else steps.steps
    assert [sum(one.count for one in steps.groups if one.step == at) for at in range(reached)] == [
        len(parts) for parts in program[:reached]
    ]  # fmt: skip
    for one in steps.groups:
        assert one.into == (one.step + 1 if one.step + 1 < steps.steps else None)
        assert one.into is None or one.states == (("Completed", one.count),)
