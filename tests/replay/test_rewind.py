"""Which part of a history still counts after a rewind, and what the code then does."""

from __future__ import annotations

from typing import Any

from dfnb.errors import TaskFailedError
from dfnb.records.entity_id import EntityId
from dfnb.records.history import (
    EntityLockGranted,
    EntityLockRequested,
    EntityOperationCalled,
    EntityOperationCompleted,
    EntityUnlockSent,
    EventRaised,
    ExecutionRewound,
    HistoryEvent,
    OrchestratorStarted,
    Recorded,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskScheduled,
)
from dfnb.replay.orchestrator import Decision, OrchestrationReplay
from dfnb.replay.rewind import effective, failed_turn
from dfnb.testing import HistoryBuilder


def rewind(function: Any, history: HistoryBuilder, *tasks: int) -> Decision:
    """Rewind a failed history as the engine does, and take the turn."""
    at = history.rows[-1].at
    marker = ExecutionRewound(tasks)
    core = OrchestrationReplay(function)
    core.replay([*history.rows, Recorded(0, at, marker)])
    decision = core.turn(at, [marker, OrchestratorStarted()])
    core.close()
    return decision


def events(rows: list[Recorded]) -> list[str]:
    return [row.event.event_type for row in rows]


def failed_history() -> HistoryBuilder:
    return HistoryBuilder("f").scheduled("a").completed(1).scheduled("b").failed(ValueError()).failed_with(ValueError(), 2)


def test_without_a_rewind_everything_counts_but_what_came_late() -> None:
    rows = failed_history().rows
    assert effective([*rows, Recorded(-1, 0, TaskCompleted(2, "9"))]) == rows


def test_a_rewound_activity_loses_all_its_events_and_the_end_is_undone() -> None:
    assert events(effective(failed_history().rewound(2).rows)) == [
        "ExecutionStarted", "TaskScheduled", "TaskCompleted", "ExecutionRewound",
    ]


def test_a_rewound_child_loses_only_its_last_failure() -> None:
    history = HistoryBuilder("f").child("kid").child_failed(ValueError()).failed_with(ValueError(), 1).rewound(1)
    assert events(effective(history.rows)) == ["ExecutionStarted", "SubOrchestrationInstanceCreated", "ExecutionRewound"]


def test_each_of_two_rewinds_undoes_what_was_before_it() -> None:
    history = failed_history().rewound(2).scheduled_again(2).failed(ValueError()).failed_with(ValueError(), 2).rewound(2)
    assert events(effective(history.rows)) == [
        "ExecutionStarted", "TaskScheduled", "TaskCompleted", "ExecutionRewound", "ExecutionRewound",
    ]


def test_the_failed_turn_is_known_until_a_turn_has_taken_the_rewind_in() -> None:
    rows = failed_history().rows
    pending = [*rows, Recorded(0, 0, ExecutionRewound((2,)))]
    assert failed_turn(rows) is None
    assert failed_turn(pending) == 3
    assert failed_turn([*pending, Recorded(4, 0, OrchestratorStarted())]) is None


def chain(context: Any) -> Any:
    first = yield context.call_activity("a")
    second = yield context.call_activity("b")
    return [first, second]


def test_the_failed_activity_is_asked_for_again_and_nothing_else() -> None:
    decision = rewind(chain, failed_history(), 2)
    assert decision.outputs == (TaskScheduled(2, "b"),)
    assert [wait.task for wait in decision.waits] == [2]


def test_a_child_is_not_asked_for_again_it_is_waited_for() -> None:
    def parent(context: Any) -> Any:
        yield context.call_sub_orchestrator("kid")

    history = HistoryBuilder("parent").child("kid").child_failed(ValueError()).failed_with(ValueError(), 1)
    decision = rewind(parent, history, 1)
    assert decision.outputs == ()
    assert [wait.kind for wait in decision.waits] == ["orchestration"]
    assert any(isinstance(row.event, SubOrchestrationInstanceFailed) for row in history.rows)


def test_code_that_was_fixed_goes_on_and_says_so_as_new() -> None:
    replaying: list[bool] = []

    def fixed(context: Any) -> Any:
        yield context.call_activity("a")
        replaying.append(context.is_replaying)
        context.set_custom_status("on")
        yield context.call_activity("b")

    history = HistoryBuilder("fixed").scheduled("a").completed(1).failed_with(ZeroDivisionError())
    decision = rewind(fixed, history)
    assert [event.event_type for event in decision.outputs] == ["TaskScheduled", "CustomStatusSet"]
    assert replaying == [False]


def test_code_that_still_fails_fails_again() -> None:
    def broken(context: Any) -> Any:
        yield context.call_activity("a")
        raise ValueError("still")

    decision = rewind(broken, HistoryBuilder("broken").scheduled("a").completed(1).failed_with(ValueError("first")))
    assert decision.end is not None
    assert decision.end.failure is not None
    assert decision.end.failure.message == "still"


def test_what_followed_from_the_failure_is_undone_with_it() -> None:
    def tidy(context: Any) -> Any:
        try:
            return (yield context.call_activity("main"))
        except TaskFailedError:
            yield context.call_activity("compensate")
            raise

    history = HistoryBuilder("tidy").scheduled("main").failed(ValueError()).scheduled("compensate").completed("done")
    history.failed_with(ValueError(), 1)
    assert rewind(tidy, history, 1).outputs == (TaskScheduled(1, "main"),)
    history.rewound(1).scheduled_again(1)
    core = OrchestrationReplay(tidy)
    core.replay(history.rows)
    assert core.turn(history.rows[-1].at, [TaskCompleted(1, "5")]).end is not None


def test_an_event_that_came_after_the_failure_is_read_after_the_rewind() -> None:
    def reads(context: Any) -> Any:
        yield context.call_activity("a")
        return (yield context.wait_for_external_event("e"))

    rows = HistoryBuilder("reads").scheduled("a").failed(ValueError()).failed_with(ValueError(), 1).rows
    late: list[HistoryEvent] = [EventRaised("e", "7"), ExecutionRewound((1,))]
    at = rows[-1].at
    core = OrchestrationReplay(reads)
    core.replay([*rows, *(Recorded(0, at, event) for event in late)])
    assert core.turn(at, [*late, OrchestratorStarted()]).outputs == (TaskScheduled(1, "a"),)
    end = core.turn(at, [TaskCompleted(1)]).end
    assert end is not None
    assert end.result == "7"


# ---- entities

A, B = EntityId("account", "a"), EntityId("account", "b")


def transfer(context: Any) -> Any:
    with (yield context.lock_entities([A, B])):
        yield context.call_entity(A, "withdraw", 5)
        yield context.call_entity(B, "deposit", 5)


def failed_transfer() -> HistoryBuilder:
    history = HistoryBuilder("transfer").lock_requested(A, B).lock_granted().entity_called(A, "withdraw", 5).entity_completed()
    return history.entity_called(B, "deposit", 5).entity_failed(ValueError("full")).unlocked().failed_with(ValueError(), 3)


def test_the_failed_entity_call_alone_is_asked_for_again_and_its_section_is_open() -> None:
    at = failed_transfer().rows[-1].at
    core = OrchestrationReplay(transfer)
    core.replay([*failed_transfer().rows, Recorded(0, at, ExecutionRewound((3,)))])
    assert core.open_lock() == EntityLockRequested(1, (str(A), str(B)))
    decision = core.turn(at, [ExecutionRewound((3,)), OrchestratorStarted()])
    assert decision.outputs == (EntityOperationCalled(3, str(B), "deposit", "5"),)
    assert core.turn(at, [EntityLockGranted(1)]).outputs == ()
    end = core.turn(at, [EntityOperationCompleted(3)])
    assert [event.event_type for event in end.outputs] == ["EntityUnlockSent", "ExecutionCompleted"]


def test_a_rewound_section_replays_to_where_it_stood() -> None:
    history = failed_transfer().rewound(3).scheduled_again(3)
    core = OrchestrationReplay(transfer)
    core.replay(history.rows)
    assert core.open_lock() is not None
    assert [wait.sentence for wait in core.waits()] == ["operation deposit of entity @account@b"]
    end = core.turn(history.rows[-1].at, [EntityOperationCompleted(3)])
    assert end.outputs[0] == EntityUnlockSent(1, ("@account@a", "@account@b"))
    whole = OrchestrationReplay(transfer)
    whole.replay(history.entity_completed().unlocked(1).ended().rows)
    assert whole.open_lock() is None


def test_a_lock_that_was_waited_for_at_the_failure_is_waited_for_again() -> None:
    def both(context: Any) -> Any:
        lock = context.lock_entities([A])
        yield context.task_any([lock, (risky := context.call_activity("risky"))])
        if risky.is_failed:
            raise risky.result
        with (yield lock):
            return context.is_locked

    history = HistoryBuilder("both").lock_requested(A).scheduled("risky").failed(ValueError()).failed_with(ValueError(), 2)
    at = history.rows[-1].at
    core = OrchestrationReplay(both)
    core.replay([*history.rows, Recorded(0, at, ExecutionRewound((2,)))])
    assert core.open_lock() == EntityLockRequested(1, (str(A),))
    assert core.turn(at, [ExecutionRewound((2,)), OrchestratorStarted()]).outputs == (TaskScheduled(2, "risky"),)
    decision = core.turn(at, [EntityLockGranted(1)])
    assert [event.event_type for event in decision.outputs] == ["EntityUnlockSent", "ExecutionCompleted"]


def test_a_section_entered_to_mend_what_is_undone_is_undone_with_it() -> None:
    def mends(context: Any) -> Any:
        try:
            return (yield context.call_activity("main"))
        except TaskFailedError:
            with (yield context.lock_entities([A])):
                yield context.call_entity(A, "mend")
            raise

    history = HistoryBuilder("mends").scheduled("main").failed(ValueError()).lock_requested(A).lock_granted()
    history.entity_called(A, "mend").entity_completed().unlocked().failed_with(ValueError(), 1)
    at = history.rows[-1].at
    core = OrchestrationReplay(mends)
    core.replay([*history.rows, Recorded(0, at, ExecutionRewound((1,)))])
    assert core.open_lock() is None
    assert core.turn(at, [ExecutionRewound((1,)), OrchestratorStarted()]).outputs == (TaskScheduled(1, "main"),)
    failed = core.turn(at, [history.rows[2].event])
    assert failed.outputs == (EntityLockRequested(2, (str(A),)),)
    core.close()
