"""When a task, all of them, or any of them is done; a settled one never changes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfnb.errors import LockingRulesViolationError, TaskCancelledError
from dfnb.records.times import to_datetime
from dfnb.replay.tasks import (
    ActivityTask,
    EntityCallTask,
    EntityLockTask,
    ExternalEventTask,
    HttpTask,
    SubOrchestrationTask,
    Task,
    TaskState,
    TimerTask,
    WhenAllTask,
    WhenAnyTask,
    shortened,
    unused_warning,
)


def task(number: int = 1) -> ActivityTask:
    return ActivityTask(number, f"a{number}", None, None, None, 0)


def timer() -> TimerTask:
    return TimerTask(9, to_datetime(5), 5, lambda given: None)


def test_a_task_runs_then_has_a_value_or_an_error_and_reading_never_raises() -> None:
    running, good, bad = task(), task(), task()
    error = ValueError("bad")
    good.succeed(1)
    bad.fail(error)
    assert (running.state, running.result, running.is_completed, running.is_complete) == (TaskState.RUNNING, None, False, False)
    assert (good.state, good.result, good.is_completed, good.is_failed) == (TaskState.SUCCEEDED, 1, True, False)
    assert (bad.state, bad.result, bad.is_complete, bad.is_failed) == (TaskState.FAILED, error, True, True)


def test_tasks_compare_by_identity() -> None:
    assert task() != task()
    assert len({task(), task()}) == 2


def test_cancelling_is_done_once_and_never_raises() -> None:
    cancelled: list[Any] = []
    mine = TimerTask(1, to_datetime(5), 5, cancelled.append)
    assert mine.cancel()
    assert not mine.cancel()
    assert (mine.is_cancelled, mine.is_canceled(), mine.is_completed) == (True, True, True)
    assert isinstance(mine.result, TaskCancelledError)
    assert cancelled == [mine]


def test_a_timer_that_has_fired_cannot_be_cancelled() -> None:
    fired = timer()
    fired.succeed(None)
    assert not fired.cancel()
    assert not fired.is_cancelled


def test_all_of_nothing_is_done_with_an_empty_list() -> None:
    assert WhenAllTask([]).result == []


def test_all_waits_for_all_then_raises_the_failure_that_came_first() -> None:
    children = [task(n) for n in range(3)]
    both = WhenAllTask(children)
    first = ValueError("first")
    children[2].fail(first)
    assert not both.is_completed
    children[0].fail(ValueError("second"))
    children[1].succeed(1)
    assert both.result is first
    assert sorted(leaf.id or 0 for leaf in both.failed_leaves()) == [0, 2]


def test_a_task_may_stand_twice_in_a_composite_and_in_two_at_once() -> None:
    one, other = task(1), task(2)
    twice, either = WhenAllTask([one, one]), WhenAnyTask([other, one])
    one.succeed(5)
    assert twice.result == [5, 5]
    assert either.result is one


def test_any_is_won_by_a_failed_task_too_without_raising() -> None:
    one = task()
    either = WhenAnyTask([one, task(2)])
    one.fail(ValueError())
    assert (either.state, either.result) == (TaskState.SUCCEEDED, one)


def test_composites_of_what_has_ended_are_done_at_once() -> None:
    done = task()
    done.succeed(1)
    assert WhenAllTask([done]).result == [1]
    assert WhenAnyTask([task(2), done]).result is done


def test_a_status_names_a_few_open_children_and_counts_the_rest() -> None:
    waits = WhenAllTask([task(n) for n in range(1, 11)]).waits()
    assert [wait.name for wait in waits] == ["a1", "a2", "a3", "7"]
    assert waits[-1].kind == "more"


def test_waits_say_for_what_since_when_and_until_when() -> None:
    event = ExternalEventTask("go", None, 7, lambda given: None)
    (first, second) = WhenAnyTask([event, timer()]).waits()
    assert (first.kind, first.name, first.since, second.kind, second.until) == ("event", "go", 7, "timer", 5)


@st.composite
def forests(draw: Any) -> tuple[list[Task], list[Task]]:
    """Leaves, and composites over them and over each other."""
    leaves: list[Task] = [draw(st.sampled_from([task, timer]))() for _ in range(draw(st.integers(1, 5)))]
    known = list(leaves)
    for _ in range(draw(st.integers(1, 5))):
        children = draw(st.lists(st.sampled_from(known), min_size=1, max_size=4))
        known.append(draw(st.sampled_from([WhenAllTask, WhenAnyTask]))(children))
    return leaves, known


@settings(max_examples=200, deadline=None, database=None)
@given(forests(), st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["succeed", "fail", "cancel"])), max_size=12))
def test_a_settled_task_never_unsettles(forest: tuple[list[Task], list[Task]], steps: list[tuple[int, str]]) -> None:
    leaves, everything = forest
    settled: dict[int, tuple[TaskState, Any]] = {}
    for number, (place, verb) in enumerate(steps):
        leaf = leaves[place % len(leaves)]
        if verb == "succeed":
            leaf.succeed(number)
        elif verb == "fail":
            leaf.fail(ValueError(number))
        elif isinstance(leaf, TimerTask):
            leaf.cancel()
        for each in everything:
            if id(each) in settled:
                assert (each.state, each.result) == settled[id(each)]
            elif each.is_completed:
                settled[id(each)] = (each.state, each.result)
    for each in everything:
        if isinstance(each, WhenAllTask):
            assert each.is_completed == all(child.is_completed for child in each.children)
        elif isinstance(each, WhenAnyTask):
            assert each.is_completed == any(child.is_completed for child in each.children)


def test_a_composite_cannot_be_made_of_other_things() -> None:
    with pytest.raises(AttributeError):
        WhenAllTask([1])  # type: ignore[list-item]


def test_entity_calls_and_locks_say_what_they_wait_for() -> None:
    operation = EntityCallTask(1, "@counter@my key", "add", None, None, 7)
    lock = EntityLockTask(2, ("@a@1", "@a@2"), "the lock", 8)
    (first, second) = WhenAllTask([operation, lock]).waits()
    assert (first.kind, first.task, first.since, first.sentence) == ("entity", 1, 7, "operation add of entity @counter@my key")
    assert (second.kind, second.task, second.since, second.sentence) == ("lock", 2, 8, "the lock of @a@1, @a@2")
    operation.succeed(1)
    lock.succeed(lock.lock)
    assert (operation.waits(), lock.waits(), lock.result) == ((), (), "the lock")


def test_long_sets_are_shortened() -> None:
    assert shortened([]) == ""
    assert shortened("abc") == "a, b, c"
    assert shortened("abcde") == "a, b, c and 2 more"


def test_a_lock_that_was_not_yielded_opens_no_section() -> None:
    with pytest.raises(LockingRulesViolationError, match="yield the task"), EntityLockTask(1, ("@a@1",), None, 0):
        pass


def test_what_was_never_yielded_is_named_but_children_run_on_their_own() -> None:
    lock = EntityLockTask(2, ("@a@1",), None, 0)
    child = SubOrchestrationTask(3, "kid", None, None, None, 0, asked_id=None)
    call = HttpTask(5, "GET https://host", 0)
    calls: list[Task] = [EntityCallTask(1, "@a@1", "get", None, None, 0), lock, child, task(4), timer(), call]
    assert unused_warning(calls) == (
        "called but never yielded: 'a4', 'get' of @a@1, the HTTP call 'GET https://host', the lock of @a@1; "
        "yield every task, or its result and failure are lost"
    )
    assert unused_warning([child]) is None


def test_an_http_call_waits_until_it_is_over() -> None:
    call = HttpTask(5, "GET https://host", 7)
    (wait,) = call.waits()
    assert (wait.kind, wait.name, wait.task, wait.since) == ("http", "GET https://host", 5, 7)
    assert (wait.sentence, call.subject) == ("the HTTP call GET https://host", "HTTP call 'GET https://host'")
    call.succeed("answer")
    assert call.waits() == ()
