"""The programming model on a whole engine: a clock moved by hand, DuckDB in memory and on disk."""

from __future__ import annotations

import dataclasses
import logging
import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

import dfnb
from dfnb.records.history import TaskCompleted, TaskScheduled, TimerCreated, TimerFired

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


# ---- retries


def times(run: Any, kind: type) -> list[float]:
    """When events of a kind were recorded, in seconds after the clock's start."""
    start = int(BEGIN.timestamp() * 1_000_000)
    return [(row.at - start) / 1e6 for row in run.history() if isinstance(row.event, kind)]


def test_retries_wait_with_backoff_and_cap_and_each_try_knows_its_number(lab: Any) -> None:
    attempts: list[int] = []

    @lab.activity
    def flaky(_: Any) -> str:
        attempts.append(dfnb.activity_info().attempt)
        if len(attempts) < 5:
            raise OSError(f"try {len(attempts)}")
        return "ok"

    @lab.orchestrator
    def patient(context: Context) -> Any:
        policy = dfnb.RetryPolicy(timedelta(seconds=1), 6, backoff_coefficient=3.0, max_retry_interval=timedelta(seconds=5))
        return (yield context.call_activity_with_retry(flaky, policy))

    run = lab.start(patient)
    for delay in (1, 3, 5, 5):
        record = lab.waiting(run, "retry")
        assert record.waits[0].until == lab.clock.now() + delay * 1_000_000
        lab.clock.advance(delay - 0.001)
        lab.clock.advance(0.001)
        now = lab.clock.now()
        lab.until(run, lambda record, now=now: record.is_terminal or (record.waits[0].until or now + 1) > now)
    assert run.result(PATIENCE) == "ok"
    assert attempts == [1, 2, 3, 4, 5]
    assert times(run, TaskScheduled) == [0, 1, 4, 9, 14]


def test_retries_end_with_the_attempts_the_total_time_or_the_handler(lab: Any) -> None:
    tried: dict[str, int] = {}

    @lab.activity
    def fails(name: str) -> None:
        tried[name] = tried.get(name, 0) + 1
        raise ValueError(name)

    @lab.orchestrator
    def all_ends(context: Context) -> Any:
        second = timedelta(seconds=1)
        policies = {
            "attempts": dfnb.RetryOptions(1000, 3),
            "time": dfnb.RetryPolicy(second, 100, backoff_coefficient=2.0, retry_timeout=timedelta(seconds=4)),
            "handler": dfnb.RetryPolicy(second, 100, handle=lambda failure: "handler" not in failure.message),
        }
        texts = []
        for name, policy in policies.items():
            try:
                yield context.call_activity_with_retry(fails, policy, name)
            except dfnb.TaskFailedError as error:
                texts.append(str(error))
        return texts

    run = lab.start(all_ends)
    while not lab.until(run, lambda record: record.is_terminal or [wait.kind for wait in record.waits] == ["retry"]).is_terminal:
        due = lab.client.record(run.id).waits[0].until
        lab.clock.advance((due - lab.clock.now()) / 1e6)
        lab.until(run, lambda record, due=due: record.is_terminal or not record.waits or record.waits[0].until != due)
    assert len(run.result(PATIENCE)) == 3
    assert tried == {"attempts": 3, "time": 3, "handler": 1}


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


# ---- timers


def test_timers_take_aware_naive_relative_and_past_times(lab: Any) -> None:
    due = [
        datetime(2026, 1, 1, 0, 1), datetime(2026, 1, 1, 3, 2, tzinfo=timezone(timedelta(hours=3))), timedelta(minutes=1),
        datetime(2020, 1, 1), timedelta(0),
    ]

    @lab.orchestrator
    def sleeper(context: Context) -> Any:
        seen = []
        for moment in due:
            yield context.create_timer(moment)
            seen.append(context.current_utc_datetime.isoformat())
        return seen

    run = lab.start(sleeper)
    for _ in range(3):
        lab.waiting(run, "timer")
        lab.clock.advance(59.999999)
        lab.clock.advance(0.000001)
        now = lab.clock.now()
        lab.until(run, lambda record, now=now: record.is_terminal or (bool(record.waits) and record.waits[0].until > now))
    assert run.result(PATIENCE) == [f"2026-01-01T00:0{minute}:00+00:00" for minute in (1, 2, 3, 3, 3)]
    assert times(run, TimerFired)[:3] == [60, 120, 180]


def test_a_timer_with_a_wrong_argument_is_an_error(lab: Any) -> None:
    @lab.orchestrator
    def wrong(context: Context) -> Any:
        yield context.create_timer("soon")  # type: ignore[arg-type]

    assert "datetime or a timedelta" in lab.failure(wrong).message


# ---- events


def test_events_before_the_wait_are_kept_and_waiters_are_served_in_order(lab: Any) -> None:
    @lab.activity
    def one(_: Any) -> int:
        return 1

    @lab.orchestrator
    def listener(context: Context) -> Any:
        yield context.wait_for_external_event("begin")
        yield context.call_activity(one)
        early = [(yield context.wait_for_external_event("e")), (yield context.wait_for_external_event("e"))]
        first, second = context.wait_for_external_event("e"), context.wait_for_external_event("e")
        late = yield context.task_all([second, first])
        return [early, late]

    run = lab.start(listener)
    for n in range(2):
        run.raise_event("e", n)
    run.raise_event("begin")
    lab.waiting(run, "event", "event")
    for n in (2, 3):
        run.raise_event("e", n)
    assert run.result(PATIENCE) == [[0, 1], [3, 2]]


def test_events_are_kept_over_continue_as_new_none_lost_none_twice(lab: Any) -> None:
    @lab.orchestrator
    def eternal(context: Context) -> Any:
        seen = context.get_input() or []
        value = yield context.wait_for_external_event("e")
        if len(seen) == 9:
            return [*seen, value]
        context.continue_as_new([*seen, value])

    run = lab.start(eternal)
    for n in range(10):
        run.raise_event("e", n)
    assert run.result(PATIENCE) == list(range(10))


def test_events_are_dropped_at_continue_as_new_when_asked_for(lab: Any) -> None:
    @lab.orchestrator
    def forgetful(context: Context) -> Any:
        if context.get_input() == "second":
            return (yield context.wait_for_external_event("e"))
        yield context.wait_for_external_event("next")
        context.continue_as_new("second", save_events=False)

    run = lab.start(forgetful)
    run.raise_event("e", "old")
    run.raise_event("next")
    lab.until(run, lambda record: record.generation == 1 and record.waits[:1] != ())
    run.raise_event("e", "new")
    assert run.result(PATIENCE) == "new"


def test_an_endless_continue_as_new_does_not_keep_others_waiting(lab: Any) -> None:
    @lab.orchestrator
    def endless(context: Context) -> Any:
        context.continue_as_new((context.get_input() or 0) + 1)

    @lab.activity
    def add(n: int) -> int:
        return n + 1

    @lab.orchestrator
    def chain(context: Context) -> Any:
        value = 0
        for _ in range(5):
            value = yield context.call_activity(add, value)
        return value

    lab.open(batch_rows=50, sticky_instances=1)
    loop = lab.start(endless)
    assert lab.run(chain) == 5
    loop.terminate("enough")
    assert loop.wait(PATIENCE).output == "enough"


def test_a_result_for_an_older_generation_does_not_reach_the_next(lab: Any) -> None:
    gate = threading.Event()

    @lab.activity
    def slow(text: str) -> str:
        if text == "old":
            gate.wait(PATIENCE)
        return text

    @lab.orchestrator
    def again(context: Context) -> Any:
        if context.get_input() is None:
            context.call_activity(slow, "old")
            yield context.wait_for_external_event("go")
            context.continue_as_new("second")
            return None
        yield context.wait_for_external_event("go")
        return (yield context.call_activity(slow, "new"))

    run = lab.start(again)
    run.raise_event("go")
    lab.until(run, lambda record: record.generation == 1 and record.waits != ())
    gate.set()
    lab.until(run, lambda record: True)
    run.raise_event("go")
    assert run.result(PATIENCE) == "new"


# ---- suspend, terminate, scheduled starts


def test_a_suspended_instance_keeps_events_and_results_until_resumed(lab: Any) -> None:
    gate = threading.Event()

    @lab.activity
    def slow(_: Any) -> str:
        gate.wait(PATIENCE)
        return "result"

    @lab.orchestrator
    def both(context: Context) -> Any:
        result = yield context.call_activity(slow)
        return [result, (yield context.wait_for_external_event("e"))]

    run = lab.start(both)
    lab.waiting(run, "activity")
    run.suspend("pause")
    assert run.status().runtime_status is dfnb.OrchestrationRuntimeStatus.Suspended
    run.raise_event("e", "event")
    gate.set()
    lab.until(run, lambda record: any(isinstance(row.event, TaskCompleted) for row in run.history()))
    assert run.status().runtime_status is dfnb.OrchestrationRuntimeStatus.Suspended
    run.resume()
    assert run.result(PATIENCE) == ["result", "event"]


def test_terminate_stops_the_activity_and_its_late_result_is_written_down_only(lab: Any) -> None:
    started, stopped = threading.Event(), threading.Event()

    @lab.activity
    def long(_: Any) -> str:
        started.set()
        while not dfnb.activity_info().cancelled:
            stopped.wait(0.01)
        stopped.set()
        return "late"

    @lab.orchestrator
    def waits(context: Context) -> Any:
        return (yield context.call_activity(long))

    run = lab.start(waits)
    assert started.wait(PATIENCE)
    run.terminate("enough")
    status = run.wait(PATIENCE)
    assert (status.runtime_status.value, status.output) == ("Terminated", "enough")
    assert stopped.wait(PATIENCE)
    lab.app.close(timeout=5)
    if lab.on_disk:
        lab.open()
        rows = lab.client.history(run.id)
        assert [row.turn for row in rows if isinstance(row.event, TaskCompleted)] in ([], [-1])
        assert lab.client.status(run.id).output == "enough"


def test_a_scheduled_start_waits_for_its_time(lab: Any) -> None:
    @lab.orchestrator
    def later(context: Context) -> Any:
        return context.current_utc_datetime.isoformat()

    run = lab.start(later, start_at=BEGIN + timedelta(hours=1))
    lab.waiting(run, "start")
    assert run.status().runtime_status is dfnb.OrchestrationRuntimeStatus.Pending
    lab.clock.advance(timedelta(minutes=59))
    assert run.status().runtime_status is dfnb.OrchestrationRuntimeStatus.Pending
    lab.clock.advance(timedelta(minutes=1))
    assert run.result(PATIENCE) == "2026-01-01T01:00:00+00:00"


def test_a_scheduled_instance_can_be_terminated_suspended_and_outlives_a_crash(disk_lab: Any) -> None:
    lab = disk_lab

    @lab.orchestrator
    def later(context: Context) -> Any:
        return (yield context.wait_for_external_event("e"))

    gone = lab.start(later, start_at=BEGIN + timedelta(hours=1), instance_id="gone")
    kept = lab.start(later, start_at=BEGIN + timedelta(hours=1), instance_id="kept")
    held = lab.start(later, start_at=BEGIN + timedelta(hours=1), instance_id="held")
    kept.raise_event("e", 1)
    held.suspend()
    gone.terminate("no")
    assert gone.wait(PATIENCE).output == "no"
    lab.reopen(crash=False)
    lab.reopen()
    assert lab.client.status("kept").runtime_status.value == "Pending"
    assert lab.client.status("held").runtime_status.value == "Suspended"
    lab.clock.advance(timedelta(hours=1))
    assert lab.client.instance("kept").result(PATIENCE) == 1
    lab.client.resume("held")
    lab.client.raise_event("held", "e", 2)
    assert lab.client.instance("held").result(PATIENCE) == 2


# ---- what is said meanwhile


def test_print_and_the_replay_safe_logger_speak_once(lab: Any) -> None:
    @lab.activity
    def one(_: Any) -> int:
        return 1

    @lab.orchestrator
    def talks(context: Context) -> Any:
        log = context.create_replay_safe_logger(logging.getLogger("talks"))
        for step in range(3):
            print("step", step)
            log.warning("logged %d", step)
            yield context.call_activity(one)
        yield context.wait_for_external_event("e")
        print("end")

    lab.open(sticky_instances=1)
    runs = [lab.start(talks) for _ in range(3)]
    for run in runs:
        run.raise_event("e")
    for run in runs:
        run.wait(PATIENCE)
        lines = [line.text for line in run.logs()]
        assert [text for text in lines if text.startswith("step")] == ["step 0", "step 1", "step 2"]
        assert [text for text in lines if text.startswith("logged")] == ["logged 0", "logged 1", "logged 2"]
        assert lines.count("end") == 1


def test_custom_status_shows_at_once_falsy_values_too(lab: Any) -> None:
    @lab.orchestrator
    def shows(context: Context) -> Any:
        for value in ({"step": 1}, 0, "", False, []):
            context.set_custom_status(value)
            yield context.wait_for_external_event("next")
        context.set_custom_status(None)

    run = lab.start(shows)
    for value in ({"step": 1}, 0, "", False, []):
        text = dfnb.records.payload.encode(value)
        lab.until(run, lambda record, text=text: record.custom_status == text)
        assert run.status().custom_status == value
        run.raise_event("next")
    assert run.wait(PATIENCE).custom_status is None


# ---- memory and batches of any size


@pytest.mark.parametrize("options", [{}, {"sticky_instances": 1}, {"batch_rows": 3}, {"sticky_instances": 1, "batch_rows": 3}])
def test_results_do_not_depend_on_what_is_kept_in_memory_or_on_the_size_of_batches(lab: Any, options: dict[str, int]) -> None:
    @lab.activity
    def add(n: int) -> int:
        return n + 1

    @lab.orchestrator
    def kid(context: Context) -> Any:
        value = yield context.call_activity(add, context.get_input())
        return value * 10

    @lab.orchestrator
    def mixed(context: Context) -> Any:
        n = context.get_input()
        event = context.wait_for_external_event("e")
        children = yield context.task_all([context.call_sub_orchestrator(kid, n + k) for k in range(3)])
        ids = [context.new_uuid()]
        value = yield context.call_activity(add, sum(children))
        ids.append(context.new_uuid())
        extra = yield event
        seen = [(h.event_id, h.event_type) for h in context.histories]
        return [children, value, extra, len(set(ids)), seen[0][1], [number for number, _ in seen] == list(range(1, len(seen) + 1))]

    lab.open(**options)
    runs = lab.client.start_many(mixed, range(4))
    for n, run in enumerate(runs):
        run.raise_event("e", f"event {n}")
    for n, run in enumerate(runs):
        children = [(n + k + 1) * 10 for k in range(3)]
        assert run.result(PATIENCE) == [children, sum(children) + 1, f"event {n}", 2, "ExecutionStarted", True]


def test_histories_seen_by_the_code_are_the_same_live_and_replayed(disk_lab: Any) -> None:
    lab = disk_lab
    seen: dict[str, list[Any]] = {"live": [], "replayed": []}

    @lab.activity
    def one(_: Any) -> int:
        return 1

    @lab.orchestrator
    def looks(context: Context) -> Any:
        for _ in range(2):
            context.set_custom_status("busy")
            yield context.task_all([context.call_activity(one), context.call_activity(one)])
            where = "replayed" if context.is_replaying else "live"
            seen[where].append([(h.event_id, h.event_type, h.timestamp, h.is_played, h.Name) for h in context.histories])
        yield context.wait_for_external_event("e")

    run = lab.start(looks)
    lab.waiting(run, "event")
    lab.reopen()
    lab.client.raise_event(run.id, "e")
    lab.client.instance(run.id).wait(PATIENCE)
    assert seen["replayed"] == seen["live"] != []


# ---- opened again


def test_retry_timers_and_attempts_outlive_a_crash(disk_lab: Any) -> None:
    lab = disk_lab
    attempts: list[int] = []

    @lab.activity
    def flaky(_: Any) -> str:
        attempts.append(dfnb.activity_info().attempt)
        if len(attempts) < 4:
            raise OSError("not yet")
        return "ok"

    @lab.orchestrator
    def patient(context: Context) -> Any:
        context.set_custom_status("patient")
        return (yield context.call_activity_with_retry(flaky, dfnb.RetryOptions(60_000, 5)))

    run = lab.start(patient)
    for crash in (True, False, True):
        lab.waiting(run, "retry")
        lab.reopen(crash=crash)
        run = lab.client.instance(run.id)
        assert run.status().custom_status == "patient"
        tries = len(attempts)
        lab.clock.advance(60)
        lab.until(run, lambda record, tries=tries: (len(attempts) > tries and record.waits[:1] != ()) or record.is_terminal)
    assert run.result(PATIENCE) == "ok"
    assert attempts == [1, 2, 3, 4]


def test_a_timer_due_while_the_hub_was_closed_fires_at_opening_once(disk_lab: Any) -> None:
    lab = disk_lab

    @lab.orchestrator
    def sleeper(context: Context) -> Any:
        yield context.create_timer(timedelta(days=3))
        return context.current_utc_datetime.isoformat()

    run = lab.start(sleeper)
    lab.waiting(run, "timer")
    lab.app.abandon()
    lab.clock.advance(timedelta(days=4))
    lab.open()
    run = lab.client.instance(run.id)
    assert run.result(PATIENCE) == "2026-01-05T00:00:00+00:00"
    assert len([row for row in run.history() if isinstance(row.event, TimerCreated | TimerFired)]) == 2


def test_an_id_can_be_used_again_right_after_the_end_and_purge(lab: Any) -> None:
    @lab.orchestrator
    def echo(context: Context) -> Any:
        return context.get_input()

    for n in range(5):
        run = lab.start(echo, n, instance_id="same")
        assert run.result(PATIENCE) == n
        assert lab.client.status("same").output == n
    assert len(lab.client.instances(instance_id_prefix="same")) == 1
    assert lab.client.purge("same").instances_deleted == 1
    assert not lab.client.status("same")
    lab.start(echo, "again", instance_id="same").wait(PATIENCE)
    assert lab.client.restart("same", False).result(PATIENCE) == "again"
