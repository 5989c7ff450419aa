"""Inputs, outputs, tasks, failures and children on a whole engine, over DuckDB in memory and on disk."""

from __future__ import annotations

import dataclasses
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

import dfnb
from dfnb.records.history import TaskScheduled

Context = dfnb.DurableOrchestrationContext
PATIENCE = 20.0
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclasses.dataclass
class Place:
    name: str
    size: int = 1


class Reading(msgspec.Struct):
    at: datetime
    value: float


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents

    @staticmethod
    def to_json(money: Money) -> int:
        return money.cents

    @classmethod
    def from_json(cls, data: int) -> Money:
        return cls(data)


# ---- inputs, outputs, types


def test_input_comes_back_as_the_type_asked_for(lab: Any) -> None:
    @lab.orchestrator
    def typed(context: Context) -> Any:
        return [
            context.get_input(), context.get_input(Place), context.get_input(dict[str, Any]), context.get_input(Place).size + 1,
        ]
        yield

    assert lab.run(typed, Place("Oslo", 3)) == [*[{"name": "Oslo", "size": 3}] * 3, 4]


def test_input_type_of_the_decorator_counts(lab: Any) -> None:
    @lab.orchestrator(input_type=Reading)
    def typed(context: Context) -> Any:
        reading = context.get_input()
        return [type(reading).__name__, reading.at.year, reading.value]
        yield

    assert lab.run(typed, Reading(BEGIN, 1.5)) == ["Reading", 2026, 1.5]


def test_no_input_is_none(lab: Any) -> None:
    @lab.orchestrator
    def empty(context: Context) -> Any:
        return [context.get_input(), context.get_input(int)]

    assert lab.run(empty) == [None, None]


def test_custom_objects_travel_by_to_json_and_from_json(lab: Any) -> None:
    @lab.activity
    def double(money: Money) -> Money:
        return Money(money.cents * 2)

    @lab.orchestrator
    def pay(context: Context) -> Any:
        got = yield context.call_activity(double, Money(5))
        return [type(got).__name__, got.cents]

    assert lab.run(pay) == ["Money", 10]


def test_an_input_of_the_wrong_type_fails_with_the_place(lab: Any) -> None:
    @lab.orchestrator
    def typed(context: Context) -> Any:
        return context.get_input(Place).size

    assert "size" in lab.failure(typed, {"name": "Oslo", "size": "big"}).message


def test_activities_are_called_by_function_and_by_name(lab: Any) -> None:
    @lab.activity(name="ort")
    def place(name: str) -> Place:
        return Place(name, len(name))

    @lab.orchestrator
    def both(context: Context) -> Any:
        first = yield context.call_activity(place, "Oslo")
        second = yield context.call_activity("ort", "Rome", expected_type=Place)
        third = yield context.call_activity("ort", "Lima")
        return [type(first).__name__, type(second).__name__, third]

    assert lab.run(both) == ["Place", "Place", {"name": "Lima", "size": 4}]


@pytest.mark.parametrize("output", [object(), {1, object()}, lambda: None])
def test_an_output_that_is_not_json_fails_the_instance(lab: Any, output: Any) -> None:
    @lab.orchestrator
    def wrong(context: Context) -> Any:
        return output

    details = lab.failure(wrong)
    assert details.error_type == "dfnb.errors.PayloadError"
    assert "the output of orchestrator 'wrong'" in details.message


def test_an_activity_input_that_is_not_json_fails_at_the_call_and_can_be_caught(lab: Any) -> None:
    @lab.activity
    def take(x: Any) -> Any:
        return x

    @lab.orchestrator
    def careful(context: Context) -> Any:
        try:
            yield context.call_activity(take, object())
        except dfnb.PayloadError:
            return (yield context.call_activity(take, "plain"))

    assert lab.run(careful) == "plain"


def test_an_activity_result_that_is_not_json_fails_the_activity(lab: Any) -> None:
    @lab.activity
    def give(_: Any) -> Any:
        return object()

    @lab.orchestrator
    def asks(context: Context) -> Any:
        try:
            yield context.call_activity(give)
        except dfnb.TaskFailedError as error:
            return error.details.error_type

    assert lab.run(asks) == "dfnb.errors.PayloadError"


@pytest.mark.parametrize("value", [1, None, "text", [1, 2]])
@pytest.mark.parametrize("later", [False, True])
def test_yielding_what_is_not_a_task_fails_at_once_naming_value_and_line(lab: Any, value: Any, later: bool) -> None:
    @lab.activity
    def one(_: Any) -> int:
        return 1

    @lab.orchestrator
    def wrong(context: Context) -> Any:
        if later:
            yield context.call_activity(one)
        yield value

    details = lab.failure(wrong)
    assert details.error_type == "builtins.TypeError"
    assert repr(value) in details.message
    assert f"line {wrong.__code__.co_firstlineno + 4}" in details.message


def test_async_orchestrators_are_refused_when_defined(lab: Any) -> None:
    async def wrong(context: Context) -> Any:
        return 1

    with pytest.raises(dfnb.DefinitionError, match="async def"):
        lab.orchestrator(wrong)


def test_a_function_that_returns_a_coroutine_fails_the_instance(lab: Any) -> None:
    async def inner() -> None: ...

    @lab.orchestrator
    def wrong(context: Context) -> Any:
        return inner()

    assert "is async" in lab.failure(wrong).message


def test_a_plain_function_is_an_orchestrator_that_returns(lab: Any) -> None:
    @lab.orchestrator
    def plain(context: Context) -> Any:
        return {"id": context.instance_id, "replaying": context.is_replaying, "parent": context.parent_instance_id}

    run = lab.start(plain)
    assert run.result(PATIENCE) == {"id": run.id, "replaying": False, "parent": None}


@pytest.mark.parametrize("parameters", ["", "a, b", "context, other"])
def test_orchestrators_with_the_wrong_number_of_parameters_are_refused(lab: Any, parameters: str) -> None:
    namespace: dict[str, Any] = {}
    exec(f"def wrong({parameters}): yield", namespace)
    with pytest.raises(dfnb.DefinitionError, match="exactly one parameter"):
        lab.orchestrator(namespace["wrong"])


# ---- tasks


def test_task_all_keeps_the_order_and_of_nothing_is_an_empty_list(lab: Any) -> None:
    @lab.activity
    def square(n: int) -> int:
        return n * n

    @lab.orchestrator
    def fan(context: Context) -> Any:
        some = yield context.task_all([context.call_activity(square, n) for n in range(20)])
        none = yield context.task_all([])
        return [some, none]

    assert lab.run(fan) == [[n * n for n in range(20)], []]


def test_task_any_of_nothing_is_an_error(lab: Any) -> None:
    @lab.orchestrator
    def nobody(context: Context) -> Any:
        yield context.task_any([])

    assert "no task" in lab.failure(nobody).message


def test_task_any_gives_the_winner_itself_and_the_timer_can_be_cancelled(lab: Any) -> None:
    @lab.activity
    def fast(_: Any) -> str:
        return "fast"

    @lab.orchestrator
    def race(context: Context) -> Any:
        timer = context.create_timer(timedelta(days=3))
        work = context.call_activity(fast)
        winner = yield context.task_any([timer, work])
        timer.cancel()
        return [winner is work, winner.result, timer.is_cancelled]

    run = lab.start(race)
    assert run.result(PATIENCE) == [True, "fast", True]
    assert [row.event.event_type for row in run.history()].count("TimerCanceled") == 1


def test_task_all_raises_the_first_failure_after_all_have_ended(lab: Any) -> None:
    ended: list[int] = []
    gate = threading.Event()

    @lab.activity
    def work(n: int) -> int:
        if n == 0:
            gate.set()
            raise ValueError("zero")
        gate.wait(PATIENCE)
        ended.append(n)
        return n

    @lab.orchestrator
    def fan(context: Context) -> Any:
        try:
            yield context.task_all([context.call_activity(work, n) for n in range(3)])
        except dfnb.TaskFailedError as error:
            return [str(error), error.task_id]

    assert lab.run(fan) == ["Activity function 'work' failed: ValueError: zero", 1]
    assert sorted(ended) == [1, 2]


def test_a_task_that_has_ended_is_yielded_again_at_no_cost(lab: Any) -> None:
    @lab.activity
    def one(_: Any) -> int:
        return 1

    @lab.orchestrator
    def twice(context: Context) -> Any:
        task = context.call_activity(one)
        return [(yield task), (yield task), task.result]

    run = lab.start(twice)
    assert run.result(PATIENCE) == [1, 1, 1]
    assert sum(isinstance(row.event, TaskScheduled) for row in run.history()) == 1


def test_what_is_called_and_never_yielded_runs_and_is_warned_of(lab: Any) -> None:
    ran = threading.Event()

    @lab.activity
    def forgotten(_: Any) -> None:
        ran.set()

    @lab.orchestrator
    def hasty(context: Context) -> Any:
        context.call_activity(forgotten)
        return "done"

    run = lab.start(hasty)
    assert run.result(PATIENCE) == "done"
    assert ran.wait(PATIENCE)
    assert ["never yielded: 'forgotten'" in line.text for line in run.logs() if line.stream == "WARNING"] == [True]


def test_an_unexpected_exception_keeps_its_type_text_line_and_cause(lab: Any) -> None:
    @lab.activity
    def deep(_: Any) -> None:
        try:
            {}["key"]
        except KeyError as error:
            raise ValueError("bad thing") from error

    @lab.orchestrator
    def outer(context: Context) -> Any:
        yield context.call_activity(deep)

    details = lab.failure(outer)
    assert details.error_type == "dfnb.errors.TaskFailedError"
    inner = details.inner_failure
    assert (inner.error_type, inner.message, inner.is_caused_by(ValueError)) == ("builtins.ValueError", "bad thing", True)
    assert 'raise ValueError("bad thing") from error' in inner.stack_trace
    assert inner.inner_failure.error_type == "builtins.KeyError"


# ---- sub-orchestrations


def test_sub_orchestrations_know_their_parent_and_answer_it(lab: Any) -> None:
    @lab.orchestrator
    def kid(context: Context) -> Any:
        return [context.parent_instance_id, context.get_input()]

    @lab.orchestrator
    def parent(context: Context) -> Any:
        first = yield context.call_sub_orchestrator(kid, 1)
        both = yield context.task_all([context.call_sub_orchestrator("kid", n, instance_id=f"kid-{n}") for n in (2, 3)])
        return [first, *both]

    run = lab.start(parent)
    assert run.result(PATIENCE) == [[run.id, n] for n in (1, 2, 3)]
    assert lab.client.status("kid-3").parent_instance_id == run.id
    assert lab.client.status(f"{run.id}:1").output == [run.id, 1]


def test_a_child_id_can_be_used_again_once_the_child_has_ended(lab: Any) -> None:
    @lab.orchestrator
    def kid(context: Context) -> Any:
        return context.get_input()

    @lab.orchestrator
    def parent(context: Context) -> Any:
        values = []
        for n in range(3):
            values.append((yield context.call_sub_orchestrator(kid, n, instance_id="kid")))
        return values

    assert lab.run(parent) == [0, 1, 2]
    assert [status.output for status in lab.client.instances(name="kid")] == [2]


def test_a_child_id_that_is_taken_is_a_failure_that_can_be_caught(lab: Any) -> None:
    @lab.orchestrator
    def kid(context: Context) -> Any:
        yield context.wait_for_external_event("go")

    @lab.orchestrator
    def parent(context: Context) -> Any:
        try:
            yield context.call_sub_orchestrator(kid, instance_id="kid")
        except dfnb.TaskFailedError as error:
            return error.details.error_type

    lab.start(kid, instance_id="kid")
    assert lab.run(parent) == "dfnb.errors.InstanceExistsError"


def test_a_failing_child_brings_its_causes_and_a_retried_one_begins_anew(lab: Any) -> None:
    @lab.activity
    def bad(_: Any) -> None:
        raise ZeroDivisionError("by zero")

    @lab.orchestrator
    def kid(context: Context) -> Any:
        yield context.call_activity(bad)

    @lab.orchestrator
    def parent(context: Context) -> Any:
        try:
            yield context.call_sub_orchestrator_with_retry(kid, dfnb.RetryOptions(1000, 2))
        except dfnb.TaskFailedError as error:
            cause = error.details.inner_failure
            return [str(error), cause.error_type]

    run = lab.start(parent)
    lab.waiting(run, "retry")
    lab.clock.advance(1)
    text, cause = run.result(PATIENCE)
    assert text.startswith("Orchestrator function 'kid' failed: TaskFailedError: Activity function 'bad' failed: ZeroDivisionError")
    assert cause == "builtins.ZeroDivisionError"
    assert [status.runtime_status.value for status in lab.client.instances(name="kid")] == ["Failed", "Failed"]


def test_the_parent_of_a_terminated_child_gets_a_failure(lab: Any) -> None:
    @lab.orchestrator
    def kid(context: Context) -> Any:
        yield context.wait_for_external_event("never")

    @lab.orchestrator
    def parent(context: Context) -> Any:
        try:
            yield context.call_sub_orchestrator(kid, instance_id="kid")
        except dfnb.TaskFailedError as error:
            return error.details.message

    run = lab.start(parent)
    lab.waiting(run, "orchestration")
    lab.client.terminate("kid", "enough")
    assert run.result(PATIENCE) == "instance 'kid' was terminated: enough"


def test_the_answer_of_an_old_child_does_not_reach_a_new_parent_with_the_old_ones_id(lab: Any) -> None:
    @lab.orchestrator
    def kid(context: Any) -> Any:
        return (yield context.wait_for_external_event("go"))

    @lab.orchestrator
    def parent(context: Any) -> Any:
        return (yield context.call_sub_orchestrator(kid, instance_id=f"kid-{context.get_input()}"))

    old = lab.start(parent, 1, instance_id="boss")
    lab.client.terminate("boss")
    old.wait(timeout=20)
    new = lab.start(parent, 2, instance_id="boss")
    lab.client.raise_event("kid-1", "go", "old")
    lab.client.wait("kid-1", 20)
    lab.client.raise_event("kid-2", "go", "new")
    assert new.result(timeout=20) == "new"
