"""Retries, timers, events, suspension and scheduled starts, on a clock moved by hand."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import dfnb
from dfnb.records.history import TaskCompleted, TaskScheduled, TimerFired

Context = dfnb.DurableOrchestrationContext
PATIENCE = 20.0
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def times(run: Any, kind: type) -> list[float]:
    """When events of a kind were recorded, in seconds after the clock's start."""
    start = int(BEGIN.timestamp() * 1_000_000)
    return [(row.at - start) / 1e6 for row in run.history() if isinstance(row.event, kind)]


# ---- retries


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
