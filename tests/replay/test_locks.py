"""The rules of critical sections, and the lock that ends one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfnb.errors import LockingRulesViolationError
from dfnb.records.entity_id import EntityId
from dfnb.records.history import EntityLockRequested
from dfnb.replay.locks import CriticalSection, EntityLock, lock_set
from dfnb.replay.tasks import ActivityTask, EntityCallTask, SubOrchestrationTask, Task, WhenAllTask, WhenAnyTask

A, B, C = "@account@a", "@account@b", "@account@c"


def section(*locked: str, granted: bool = True) -> CriticalSection:
    made = CriticalSection()
    made.begin(EntityLockRequested(1, locked))
    if granted:
        made.grant()
    return made


def call(entity: str) -> EntityCallTask:
    return EntityCallTask(1, entity, "get", None, None, 0)


def child() -> SubOrchestrationTask:
    return SubOrchestrationTask(1, "kid", None, None, None, 0, asked_id=None)


# ---- the set


def test_the_set_is_taken_in_one_order_each_entity_once() -> None:
    a, b, c = (EntityId("n", key) for key in "abc")
    assert lock_set([c, a, b, EntityId("N", "a")]) == (a, b, c)
    assert lock_set({b, a}) == lock_set(iter([a, b])) == (a, b)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "no entity"),
        ((), "no entity"),
        (["@n@a"], "'@n@a'; write EntityId"),
        ([EntityId("n", "a"), None], "not None"),
        (EntityId("n", "a"), r"lock_entities\(\[...\]\)"),
        ("@n@a", "list of EntityIds"),
        (5, "list of EntityIds"),
        (None, "list of EntityIds"),
    ],
)
def test_what_is_no_set_of_entities_is_refused(given: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        lock_set(given)


# ---- the rules


@pytest.mark.parametrize(
    ("check", "refused", "advice"),
    [
        (lambda s: s.check_call(C), f"call {C} inside a critical section that has locked {A}, {B}", "lock it too"),
        (lambda s: (s.called(A), s.check_call(A)), f"call {A} again before it has answered", "yield the task"),
        (lambda s: s.check_signal(B), f"signal {B} while the lock of {A}, {B} is held", "signal it afterwards"),
        (lambda s: s.check_request(), f"lock entities while the lock of {A}, {B} is held", "name all entities in one"),
        (lambda s: s.check_child("kid"), f"start sub-orchestration 'kid' while the lock of {A}, {B}", "outside"),
        (lambda s: s.check_wait(call(C)), f"wait for 'get' of {C} while the lock of {A}, {B}", "after the critical section"),
        (lambda s: s.check_wait(child()), "wait for sub-orchestration 'kid' while", "before the lock is asked for"),
    ],
)
def test_each_broken_rule_is_told_with_what_to_do_instead(
    check: Callable[[CriticalSection], Any], refused: str, advice: str
) -> None:
    with pytest.raises(LockingRulesViolationError) as caught:
        check(section(A, B))
    assert refused in caught.value.refused
    assert advice in caught.value.advice
    assert str(caught.value) == f"cannot {caught.value.refused}; {caught.value.advice}"
    assert isinstance(caught.value, RuntimeError)


def test_between_request_and_grant_no_entity_is_called_and_nothing_is_waited_for_that_might_need_the_lock() -> None:
    waiting = section(A, granted=False)
    with pytest.raises(LockingRulesViolationError, match=rf"before the lock of {A} is there; wait for it first"):
        waiting.check_call(A)
    with pytest.raises(LockingRulesViolationError):
        waiting.check_request()
    with pytest.raises(LockingRulesViolationError):
        waiting.check_wait(child())
    waiting.check_signal(C)


def test_inside_locked_entities_are_called_one_call_each_at_a_time() -> None:
    inside = section(A, B)
    inside.check_call(A)
    inside.called(A)
    inside.check_call(B)
    inside.answered(A)
    inside.check_call(A)
    inside.check_signal(C)


def test_outside_everything_is_allowed() -> None:
    for outside in (CriticalSection(), section(A)):
        outside.end()
        outside.called(A)
        outside.check_call(A)
        outside.check_signal(A)
        outside.check_child("kid")
        outside.check_wait(child())
        outside.check_request()
        assert (outside.request, outside.is_granted) == (None, False)


def test_one_may_wait_for_what_can_be_done_without_another_lock() -> None:
    inside = section(A)
    done = child()
    done.succeed(1)
    work = ActivityTask(2, "work", None, None, None, 0)
    inside.check_wait(WhenAllTask([call(A), work, done]))
    inside.check_wait(WhenAnyTask([work, child(), call(B)]))
    inside.check_wait(WhenAnyTask([done, child()]))
    refused: list[Task] = [WhenAllTask([work, call(B)]), WhenAnyTask([child(), call(B)]), WhenAllTask([WhenAnyTask([child()])])]
    for task in refused:
        with pytest.raises(LockingRulesViolationError):
            inside.check_wait(task)


@settings(max_examples=200, deadline=None, database=None)
@given(st.lists(st.tuples(st.sampled_from(["call", "answer"]), st.sampled_from([A, B])), max_size=20))
def test_a_locked_entity_never_has_two_calls_under_way(steps: list[tuple[str, str]]) -> None:
    inside, under_way = section(A, B), {A: 0, B: 0}
    for verb, entity in steps:
        if verb == "answer":
            if under_way[entity]:
                inside.answered(entity)
                under_way[entity] -= 1
            continue
        try:
            inside.check_call(entity)
        except LockingRulesViolationError:
            assert under_way[entity] == 1
        else:
            inside.called(entity)
            under_way[entity] += 1
        assert max(under_way.values()) <= 1


def test_calls_from_before_the_section_count_too() -> None:
    made = CriticalSection()
    made.called(A)
    made.called(A)
    made.begin(EntityLockRequested(1, (A,)))
    made.grant()
    for _ in range(2):
        with pytest.raises(LockingRulesViolationError):
            made.check_call(A)
        made.answered(A)
    made.check_call(A)


# ---- the lock


def test_a_lock_is_given_back_once_however_often_it_is_asked() -> None:
    given_back: list[int] = []
    lock = EntityLock((EntityId("n", "a"),), lambda: given_back.append(1))
    with lock as entered:
        assert entered is lock
        assert lock.is_held
        lock.release()
        assert not lock.is_held
    lock.release()
    assert given_back == [1]
    assert repr(lock) == "<EntityLock of @n@a, given back>"


def test_a_lock_is_given_back_when_the_block_raises() -> None:
    given_back: list[int] = []
    with pytest.raises(ZeroDivisionError), EntityLock((), lambda: given_back.append(1)):
        raise ZeroDivisionError
    assert given_back == [1]


def test_a_lock_given_back_opens_no_second_section() -> None:
    lock = EntityLock((), lambda: None)
    lock.release()
    with pytest.raises(LockingRulesViolationError, match="given back; ask anew"), lock:
        pass
