"""A small history, and what the core decides next."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from dfnb.errors import LockingRulesViolationError, NonDeterminismError, TaskFailedError
from dfnb.records.entity_id import EntityId
from dfnb.records.failure import FailureDetails
from dfnb.records.history import (
    CustomStatusSet,
    EntityLockGranted,
    EntityLockRequested,
    EntityOperationCalled,
    EntityOperationCompleted,
    EntityOperationFailed,
    EntityOperationSignaled,
    EntityUnlockSent,
    EventRaised,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionSuspended,
    HistoryEvent,
    OrchestratorStarted,
    SubOrchestrationInstanceCompleted,
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


# ---- entities

A, B = EntityId("account", "a"), EntityId("account", "b")


def transfer(context: Any) -> Any:
    with (yield context.lock_entities([B, A])):
        taken = yield context.call_entity(A, "withdraw", 5)
        yield context.call_entity(B, "deposit", taken)
    return taken


def test_an_entity_call_is_asked_for_and_answered() -> None:
    def asks(context: Any) -> Any:
        return (yield context.call_entity(A, "get", {"deep": 1}, expected_type=float))

    decision = begin(asks)
    assert decision.outputs == (EntityOperationCalled(1, "@account@a", "get", '{"deep":1}'),)
    assert [wait.sentence for wait in decision.waits] == ["operation get of entity @account@a"]
    history = HistoryBuilder("asks").entity_called(A, "get", {"deep": 1})
    assert after(asks, history, EntityOperationCompleted(1, "7")).end == ExecutionCompleted("Completed", "7.0")


def test_a_failed_operation_is_raised_at_the_yield_and_the_end_names_its_task() -> None:
    history = HistoryBuilder("transfer").lock_requested(A, B).lock_granted().entity_called(A, "withdraw", 5)
    end = after(transfer, history, EntityOperationFailed(2, FailureDetails("builtins.ValueError", "bad"))).end
    assert end is not None
    assert end.failure is not None
    assert end.failure.message == "Operation 'withdraw' of entity '@account@a' failed: ValueError: bad"
    assert end.failed_tasks == (2,)


def test_a_signal_goes_out_at_once_whether_it_is_yielded_or_not() -> None:
    def signals(context: Any) -> Any:
        context.signal_entity(A, "one")
        nothing = yield context.signal_entity(A, "two", 2)
        (yield context.task_all([context.signal_entity(B, "three")]))
        return nothing

    assert begin(signals).outputs == (
        EntityOperationSignaled(1, "@account@a", "one"),
        EntityOperationSignaled(2, "@account@a", "two", "2"),
        EntityOperationSignaled(3, "@account@b", "three"),
        ExecutionCompleted("Completed"),
    )


def test_locks_are_asked_for_in_order_and_given_back_at_the_end_of_the_block() -> None:
    decision = begin(transfer)
    assert decision.outputs == (EntityLockRequested(1, ("@account@a", "@account@b")),)
    assert [wait.sentence for wait in decision.waits] == ["the lock of @account@a, @account@b"]
    history = HistoryBuilder("transfer").lock_requested(A, B)
    assert after(transfer, history, EntityLockGranted(1)).outputs == (EntityOperationCalled(2, "@account@a", "withdraw", "5"),)
    history.lock_granted().entity_called(A, "withdraw", 5).entity_completed(4).entity_called(B, "deposit", 4)
    decision = after(transfer, history, EntityOperationCompleted(3))
    assert decision.outputs == (EntityUnlockSent(1, ("@account@a", "@account@b")), ExecutionCompleted("Completed", "4"))


def test_a_second_grant_comes_to_nothing() -> None:
    history = HistoryBuilder("transfer").lock_requested(A, B).lock_granted().entity_called(A, "withdraw", 5)
    decision = after(transfer, history, EntityLockGranted(1))
    assert (decision.outputs, len(decision.waits)) == ((), 1)


def test_code_that_is_let_go_inside_a_section_gives_nothing_back_itself() -> None:
    core = OrchestrationReplay(transfer)
    core.replay(HistoryBuilder("transfer").lock_requested(A, B).lock_granted().entity_called(A, "withdraw", 5).rows)
    core.close()
    assert core.turn(10, [OrchestratorStarted()]).outputs == ()


def test_a_section_left_by_an_error_or_a_new_generation_is_given_back() -> None:
    def fails(context: Any) -> Any:
        with (yield context.lock_entities([A])):
            raise ValueError("bad")

    def again(context: Any) -> Any:
        with (yield context.lock_entities([A])):
            context.continue_as_new(1)
            context.call_entity(A, "never")
            context.signal_entity(B, "last words")

    failed = after(fails, HistoryBuilder("fails").lock_requested(A), EntityLockGranted(1))
    assert [event.event_type for event in failed.outputs] == ["EntityUnlockSent", "ExecutionCompleted"]
    renewed = after(again, HistoryBuilder("again").lock_requested(A), EntityLockGranted(1))
    assert [event.event_type for event in renewed.outputs] == ["EntityOperationSignaled", "EntityUnlockSent", "ExecutionCompleted"]


def test_a_broken_rule_is_raised_where_it_was_broken_and_the_code_can_go_on() -> None:
    def breaks(context: Any) -> Any:
        said = []
        child = context.call_sub_orchestrator("kid")
        with (yield context.lock_entities([A])):
            try:
                context.call_entity(B, "get")
            except LockingRulesViolationError as error:
                said.append(error.refused)
            try:
                yield context.task_all([child, context.call_entity(A, "get")])
            except LockingRulesViolationError as error:
                said.append(error.refused)
        context.call_entity(B, "get")
        return [*said, (yield child)]

    history = HistoryBuilder("breaks").child("kid").lock_requested(A)
    decision = after(breaks, history, EntityLockGranted(2))
    assert decision.outputs == (
        EntityOperationCalled(3, "@account@a", "get"),
        EntityUnlockSent(2, ("@account@a",)),
        EntityOperationCalled(4, "@account@b", "get"),
    )
    end = cores[-1].turn(history.rows[-1].at, [SubOrchestrationInstanceCompleted(1, "9")])
    assert end.end == ExecutionCompleted(
        "Completed",
        '["call @account@b inside a critical section that has locked @account@a",'
        '"wait for sub-orchestration \'kid\' while the lock of @account@a is held or waited for",9]',
    )
    (warning,) = end.warnings
    assert "called but never yielded: 'get' of @account@b" in warning


ENTITY_HISTORY = (
    HistoryBuilder("transfer").lock_requested(A, B).lock_granted().entity_called(A, "withdraw", 5)
    .entity_completed(5).entity_called(B, "deposit", 5).entity_completed().unlocked().ended(5)
)


def locks_less(context: Any) -> Any:
    yield context.lock_entities([A])


def calls_without_lock(context: Any) -> Any:
    yield context.call_entity(A, "withdraw", 5)


def other_operation(context: Any) -> Any:
    with (yield context.lock_entities([A, B])):
        yield context.call_entity(A, "take", 5)


def other_entity(context: Any) -> Any:
    with (yield context.lock_entities([A, B])):
        yield context.call_entity(B, "withdraw", 5)


def signals_instead(context: Any) -> Any:
    lock = yield context.lock_entities([A, B])
    lock.release()
    context.signal_entity(A, "withdraw", 5)


def releases_earlier(context: Any) -> Any:
    with (yield context.lock_entities([A, B])):
        yield context.call_entity(A, "withdraw", 5)
    yield context.call_entity(B, "deposit", 5)


def never_releases(context: Any) -> Any:
    yield context.lock_entities([A, B])
    yield context.call_entity(A, "withdraw", 5)
    yield context.call_entity(B, "deposit", 5)
    return 5


@pytest.mark.parametrize(
    ("changed", "number", "history_has", "code_asked"),
    [
        (locks_less, 2, "the lock of @account@a, @account@b (task 1)", "the lock of @account@a (task 1)"),
        (calls_without_lock, 2, "the lock of @account@a, @account@b (task 1)", "operation 'withdraw' of @account@a (task 1)"),
        (other_operation, 4, "operation 'withdraw' of @account@a (task 2)", "operation 'take' of @account@a (task 2)"),
        (other_entity, 4, "operation 'withdraw' of @account@a (task 2)", "operation 'withdraw' of @account@b (task 2)"),
        (signals_instead, 4, "operation 'withdraw' of @account@a (task 2)", "the release of the lock (task 1)"),
        (releases_earlier, 6, "operation 'deposit' of @account@b (task 3)", "the release of the lock (task 1)"),
        (never_releases, 8, "the release of the lock (task 1)", "the end (Completed)"),
    ],
)
def test_code_that_treats_entities_in_another_way_is_told_apart(
    changed: Any, number: int, history_has: str, code_asked: str
) -> None:
    with pytest.raises(NonDeterminismError) as caught:
        after(changed, ENTITY_HISTORY)
    error = caught.value
    assert (error.event_number, error.history_has, error.code_asked) == (number, history_has, code_asked)


def test_another_input_of_an_operation_is_only_warned_of() -> None:
    def other_inputs(context: Any) -> Any:
        context.signal_entity(A, "note", 8)
        yield context.call_entity(A, "add", 9)

    history = HistoryBuilder("other_inputs").entity_signaled(A, "note", 1).entity_called(A, "add", 2)
    signal, called = after(other_inputs, history, OrchestratorStarted()).warnings
    assert signal.startswith("a signal for operation 'note' of @account@a (event 2) was recorded with another input")
    assert signal.endswith("the recorded signal stays as it was sent")
    assert called.startswith("operation 'add' of @account@a (event 3) was recorded with another input")
