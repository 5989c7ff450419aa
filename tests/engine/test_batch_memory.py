"""What is said once, and what must not depend on memory, on the size of batches or on a crash."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import dfnb
from dfnb.records.history import TimerCreated, TimerFired

Context = dfnb.DurableOrchestrationContext
PATIENCE = 20.0
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


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
