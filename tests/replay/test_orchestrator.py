"""A small history, and what the core decides next."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from dfnb.errors import NonDeterminismError, TaskFailedError
from dfnb.records.history import (
    CustomStatusSet,
    EventRaised,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionSuspended,
    HistoryEvent,
    OrchestratorStarted,
    SubOrchestrationInstanceCreated,
    TaskCompleted,
    TaskScheduled,
    TimerCanceled,
    TimerCreated,
    TimerFired,
)
from dfnb.records.retry import RetryOptions
from dfnb.replay.orchestrator import Decision, OrchestrationReplay
from dfnb.testing import HistoryBuilder

cores: list[OrchestrationReplay] = []


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    while cores:
        cores.pop().close()


def after(function: Any, history: HistoryBuilder, *events: HistoryEvent) -> Decision:
    """What the function decides on these events, a second after a history that is replayed."""
    core = OrchestrationReplay(function)
    cores.append(core)
    core.replay(history.rows)
    return core.turn(history.rows[-1].at + 1_000_000, events)


def begin(function: Any, input: Any = None) -> Decision:
    core = OrchestrationReplay(function)
    cores.append(core)
    row = HistoryBuilder(function.__name__, input).rows[0]
    return core.turn(row.at, [row.event])


def two(context: Any) -> Any:
    first = yield context.call_activity("a", 1)
    second = yield context.call_activity("b", first)
    return [first, second]


def test_the_first_turn_asks_for_the_first_task() -> None:
    decision = begin(two)
    assert decision.outputs == (TaskScheduled(1, "a", "1"),)
    assert [(wait.kind, wait.name) for wait in decision.waits] == [("activity", "a")]


def test_a_result_leads_to_the_next_task_then_to_the_end() -> None:
    history = HistoryBuilder("two").scheduled("a", 1)
    assert after(two, history, TaskCompleted(1, "5")).outputs == (TaskScheduled(2, "b", "5"),)
    history.completed(5).scheduled("b", 5)
    decision = after(two, history, TaskCompleted(2, "6"))
    assert decision.end == ExecutionCompleted("Completed", "[5,6]")
    assert decision.waits == ()


def test_calls_in_a_row_are_asked_for_at_once() -> None:
    def eager(context: Any) -> Any:
        first, second = context.call_activity("a"), context.call_activity("b")
        return [(yield first), (yield second)]

    assert begin(eager).outputs == (TaskScheduled(1, "a"), TaskScheduled(2, "b"))


def test_every_kind_of_call_takes_the_next_number_and_events_take_none() -> None:
    def many(context: Any) -> Any:
        context.wait_for_external_event("e")
        tasks = [
            context.call_activity("a"), context.create_timer(timedelta(seconds=1)), context.call_sub_orchestrator("kid", 5),
            context.call_activity_with_retry("b", RetryOptions(1, 2)),
        ]
        yield context.task_all(tasks)

    now = HistoryBuilder("many").rows[0].at
    assert begin(many).outputs == (
        TaskScheduled(1, "a"), TimerCreated(2, now + 1_000_000), SubOrchestrationInstanceCreated(3, "kid", "test:3", "5"),
        TaskScheduled(4, "b"),
    )


def test_a_result_nobody_waits_for_changes_nothing() -> None:
    history = HistoryBuilder("two").scheduled("a", 1).completed(5).scheduled("b", 5)
    for late in (TaskCompleted(1, "9"), TaskCompleted(77), TimerFired(1)):
        decision = after(two, history, late)
        assert (decision.outputs, len(decision.waits)) == ((), 1)


def test_the_custom_status_comes_before_the_end_and_only_the_last_counts() -> None:
    def shows(context: Any) -> Any:
        context.set_custom_status(1)
        context.set_custom_status(2)
        return context.custom_status

    assert begin(shows).outputs == (CustomStatusSet("2"), ExecutionCompleted("Completed", "2"))


def test_a_suspended_instance_takes_its_news_in_when_it_is_resumed() -> None:
    history = HistoryBuilder("two").scheduled("a", 1).suspended().completed(5)
    assert after(two, history, OrchestratorStarted()).outputs == ()
    assert after(two, history, ExecutionResumed()).outputs == (TaskScheduled(2, "b", "5"),)


def test_events_unread_at_continue_as_new_are_carried_in_their_order_those_behind_it_too() -> None:
    def again(context: Any) -> Any:
        yield context.wait_for_external_event("go")
        context.continue_as_new(7)

    history = HistoryBuilder("again").raised("b", 1).raised("a", 2)
    decision = after(again, history, EventRaised("go"), EventRaised("b", "3"), ExecutionSuspended(), EventRaised("a", "4"))
    assert decision.end == ExecutionCompleted("ContinuedAsNew", "7")
    assert decision.carried == (EventRaised("b", "1"), EventRaised("a", "2"), EventRaised("b", "3"), EventRaised("a", "4"))


def test_what_is_asked_after_continue_as_new_is_dropped_and_takes_no_event() -> None:
    def again(context: Any) -> Any:
        yield context.wait_for_external_event("go")
        context.continue_as_new(1)
        context.call_activity("a")
        yield context.wait_for_external_event("e")
        raise AssertionError("never reached")

    decision = after(again, HistoryBuilder("again").raised("e", "kept"), EventRaised("go"))
    assert decision.outputs == (ExecutionCompleted("ContinuedAsNew", "1"),)
    assert decision.carried == (EventRaised("e", '"kept"'),)


def test_a_failure_is_raised_at_the_yield_and_the_end_names_the_task() -> None:
    history = HistoryBuilder("two").scheduled("a", 1)
    failed = HistoryBuilder("x").scheduled("a").failed(ValueError("bad")).rows[-1].event
    end = after(two, history, failed).end
    assert end is not None
    assert end.failure is not None
    assert (end.status, end.failed_tasks) == ("Failed", (1,))
    assert end.failure.message == "Activity function 'a' failed: ValueError: bad"
    assert end.failure.inner_failure is not None
    assert end.failure.inner_failure.error_type == "builtins.ValueError"


def test_only_the_failure_that_ended_the_code_is_named_not_one_that_was_caught() -> None:
    def catches(context: Any) -> Any:
        try:
            yield context.call_activity("a")
        except TaskFailedError:
            yield context.call_activity("b")

    history = HistoryBuilder("catches").scheduled("a").failed(ValueError()).scheduled("b")
    end = after(catches, history, HistoryBuilder("x").scheduled("a").scheduled("b").failed(ValueError(), task=2).rows[-1].event).end
    assert end is not None
    assert end.failed_tasks == (2,)


def test_a_failure_raised_on_as_another_still_names_the_task() -> None:
    def wraps(context: Any) -> Any:
        try:
            yield context.task_all([context.call_activity("a"), context.call_activity("b")])
        except TaskFailedError as error:
            raise RuntimeError("all in all") from error

    history = HistoryBuilder("wraps").scheduled("a").scheduled("b").failed(ValueError("1"))
    other = HistoryBuilder("x").scheduled("a").scheduled("b").failed(ValueError("2"), task=2).rows[-1].event
    end = after(wraps, history, other).end
    assert end is not None
    assert end.failed_tasks == (1, 2)


def test_a_retry_sets_a_timer_and_asks_again_under_the_same_number() -> None:
    def retries(context: Any) -> Any:
        return (yield context.call_activity_with_retry("a", RetryOptions(5000, 2)))

    history = HistoryBuilder("retries").scheduled("a")
    failure = HistoryBuilder("x").scheduled("a").failed(ValueError("bad")).rows[-1].event
    decision = after(retries, history, failure)
    due = history.rows[-1].at + 6_000_000
    assert decision.outputs == (TimerCreated(1, due, retry=True),)
    assert [(wait.kind, wait.until) for wait in decision.waits] == [("retry", due)]
    history.failed(ValueError("bad")).retry(1, 5)
    assert after(retries, history, TimerFired(1)).outputs == (TaskScheduled(1, "a"),)
    history.fired().scheduled_again(1)
    assert after(retries, history, failure).end is not None


def test_a_cancelled_timer_is_said_once_and_its_firing_comes_to_nothing() -> None:
    def cancels(context: Any) -> Any:
        timer = context.create_timer(timedelta(seconds=9))
        yield context.wait_for_external_event("e")
        timer.cancel()
        timer.cancel()
        yield context.wait_for_external_event("f")

    history = HistoryBuilder("cancels").timer(9)
    assert after(cancels, history, EventRaised("e")).outputs == (TimerCanceled(1),)
    history.raised("e").cancelled()
    assert after(cancels, history, TimerFired(1)).outputs == ()


def test_clean_up_code_of_an_instance_let_go_can_ask_for_nothing() -> None:
    said: list[bool] = []

    def tidy(context: Any) -> Any:
        try:
            yield context.call_activity("a")
        finally:
            said.append(context.is_replaying)
            yield context.call_activity("clean")
            said.append(context.is_replaying)

    core = OrchestrationReplay(tidy)
    core.replay(HistoryBuilder("tidy").scheduled("a").rows)
    core.close()
    assert core.turn(10, [OrchestratorStarted()]).outputs == ()
    assert said == [True]


# ---- changed code

HISTORY = HistoryBuilder("two").scheduled("a", 1).completed(5).scheduled("b", 5).completed(6)


def other_name(context: Any) -> Any:
    yield context.call_activity("c", 1)


def other_kind(context: Any) -> Any:
    yield context.create_timer(timedelta(seconds=1))


def one_more(context: Any) -> Any:
    yield context.task_all([context.call_activity("a", 1), context.call_activity("z")])


def one_less(context: Any) -> Any:
    yield context.wait_for_external_event("e")


def other_order(context: Any) -> Any:
    yield context.call_activity("b", 1)
    yield context.call_activity("a", 1)


def ends_early(context: Any) -> Any:
    yield context.call_activity("a", 1)
    return 1


def fails_early(context: Any) -> Any:
    yield context.call_activity("a", 1)
    raise ValueError("new bug")


@pytest.mark.parametrize(
    ("changed", "number", "history_has", "code_asked"),
    [
        (other_name, 2, "activity 'a' (task 1)", "activity 'c' (task 1)"),
        (other_kind, 2, "activity 'a' (task 1)", "a timer (task 1)"),
        (one_more, 3, "nothing more in that turn", "activity 'z' (task 2)"),
        (one_less, 2, "activity 'a' (task 1)", "nothing more in that turn"),
        (other_order, 2, "activity 'a' (task 1)", "activity 'b' (task 1)"),
        (ends_early, 4, "activity 'b' (task 2)", "the end (Completed)"),
        (fails_early, 4, "activity 'b' (task 2)", "the end (Failed)"),
    ],
)
def test_changed_code_is_told_apart(changed: Any, number: int, history_has: str, code_asked: str) -> None:
    with pytest.raises(NonDeterminismError) as caught:
        after(changed, HISTORY)
    error = caught.value
    assert (error.event_number, error.history_has, error.code_asked) == (number, history_has, code_asked)
    assert f"event {number}: history has {history_has}, the code asked for {code_asked}" in str(error)


def test_a_changed_input_is_only_warned_of() -> None:
    def other_input(context: Any) -> Any:
        first = yield context.call_activity("a", 99)
        yield context.call_activity("b", first)
        yield context.wait_for_external_event("e")

    history = HistoryBuilder("two").scheduled("a", 1).completed(5).scheduled("b", 5)
    (warning,) = after(other_input, history, OrchestratorStarted()).warnings
    assert "activity 'a' (event 2) was recorded with another input" in warning


def test_an_event_named_in_another_case_is_kept_and_warned_of_once() -> None:
    def approval(context: Any) -> Iterator[Any]:
        return (yield context.wait_for_external_event("approve"))

    history = HistoryBuilder("approval")
    decision = after(approval, history, EventRaised("Approve", "1"))
    assert decision.end is None
    assert decision.warnings == ("event 'Approve' was raised while the code waits for 'approve': names are compared exactly",)
    assert cores[-1].turn(3_000_000, [EventRaised("approve", "2")]).end == ExecutionCompleted("Completed", "2")
