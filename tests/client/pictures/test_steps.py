from __future__ import annotations

from dfnb.client.pictures.steps import steps_of
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
