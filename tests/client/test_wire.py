"""The history as the original's status API shows it: entry by entry, field by field."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import dfnb
from dfnb.client.status import DurableOrchestrationStatus
from dfnb.client.sync import DurableOrchestrationClient
from dfnb.client.wire import history_events, moment
from dfnb.engine.clock import FakeClock
from dfnb.records.failure import FailureDetails
from dfnb.records.history import (
    CustomStatusSet,
    EventRaised,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    OrchestratorStarted,
    Recorded,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCanceled,
    TimerCreated,
    TimerFired,
)
from dfnb.records.times import to_datetime

Reach = Callable[[str, Callable[[DurableOrchestrationStatus], bool]], DurableOrchestrationStatus]
START = 1_767_225_600_000_000  # 2026-01-01
FAILURE = FailureDetails("builtins.ValueError", "bad", "Traceback ...", FailureDetails("builtins.KeyError", "'k'"))
FAILURE_JSON = {
    "ErrorType": "builtins.ValueError", "ErrorMessage": "bad", "StackTrace": "Traceback ...", "IsNonRetriable": False,
    "InnerFailure": {
        "ErrorType": "builtins.KeyError", "ErrorMessage": "'k'", "StackTrace": None, "IsNonRetriable": False, "InnerFailure": None,
    },
}


def shown(*events: HistoryEvent, show_input: bool = True, show_output: bool = True) -> list[dict[str, Any]]:
    """The entries, with second n for the nth event."""
    rows = [Recorded(1, START + n * 1_000_000, event) for n, event in enumerate(events)]
    return history_events(rows, show_input=show_input, show_output=show_output)


def at(second: int) -> str:
    return f"2026-01-01T00:00:{second:02d}.000000Z"


def test_a_moment_is_utc_with_its_fraction() -> None:
    assert moment(START + 1) == "2026-01-01T00:00:00.000001Z"


def test_the_start_of_an_execution() -> None:
    assert shown(ExecutionStarted("trip", "a", '{"n": 1}', "hash", START)) == [{
        "EventType": "ExecutionStarted", "Correlation": None, "ScheduledStartTime": at(0), "Generation": None,
        "ParentTraceContext": None, "FunctionName": "trip", "Input": '{"n": 1}', "Timestamp": at(0),
    }]
    without = shown(ExecutionStarted("trip", "a", "1"), show_input=False)[0]
    assert "Input" not in without
    assert without["ScheduledStartTime"] is None


def test_a_completion_absorbs_what_scheduled_it() -> None:
    assert shown(TaskScheduled(1, "f", '"x"'), TaskCompleted(1, '{"y":1}')) == [{
        "EventType": "TaskCompleted", "Result": {"y": 1}, "Timestamp": at(1), "ScheduledTime": at(0), "FunctionName": "f",
        "Input": '"x"',
    }]


def test_an_open_task_keeps_its_scheduling_entry() -> None:
    assert shown(TaskScheduled(1, "f", "1"), TaskScheduled(2, "g"), TaskCompleted(2)) == [
        {"EventType": "TaskScheduled", "Name": "f", "ParentTraceContext": None, "Input": "1", "Timestamp": at(0)},
        {
            "EventType": "TaskCompleted", "Result": None, "Timestamp": at(2), "ScheduledTime": at(1), "FunctionName": "g",
            "Input": None,
        },
    ]


def test_without_outputs_and_inputs_their_fields_are_absent() -> None:
    entries = shown(
        ExecutionStarted("trip", "a", "1"), TaskScheduled(1, "f", "1"), TaskCompleted(1, "2"), EventRaised("go", "3"),
        SubOrchestrationInstanceCreated(2, "c", "a:2"), SubOrchestrationInstanceCompleted(2, "4"), ExecutionTerminated("no"),
        ExecutionCompleted("Completed", "5"), show_input=False, show_output=False,
    )
    assert not any("Input" in entry or "Result" in entry for entry in entries)


def test_a_failed_task() -> None:
    assert shown(TaskScheduled(1, "f", "1"), TaskFailed(1, FAILURE)) == [{
        "EventType": "TaskFailed", "Reason": "Activity function 'f' failed: ValueError: bad", "Details": "Traceback ...",
        "FailureDetails": FAILURE_JSON, "Timestamp": at(1), "ScheduledTime": at(0), "FunctionName": "f", "Input": "1",
    }]


def test_a_retried_task_shows_each_try() -> None:
    entries = shown(
        TaskScheduled(1, "f"), TaskFailed(1, FAILURE), TimerCreated(1, START + 3_000_000, retry=True), TimerFired(1),
        TaskScheduled(1, "f"), TaskCompleted(1, "1"),
    )
    assert [entry["EventType"] for entry in entries] == ["TaskFailed", "TimerCreated", "TimerFired", "TaskCompleted"]
    assert entries[-1]["ScheduledTime"] == at(4)


def test_sub_orchestrations() -> None:
    assert shown(SubOrchestrationInstanceCreated(1, "c", "a:1")) == [{
        "EventType": "SubOrchestrationInstanceCreated", "InstanceId": "a:1", "Name": "c", "ClientSpanId": None, "Input": None,
        "Timestamp": at(0),
    }]
    completed, failed = shown(
        SubOrchestrationInstanceCreated(1, "c", "a:1"), SubOrchestrationInstanceCompleted(1, "[1]"),
        SubOrchestrationInstanceCreated(2, "c", "a:2"), SubOrchestrationInstanceFailed(2, FAILURE),
    )
    assert completed == {
        "EventType": "SubOrchestrationInstanceCompleted", "Result": [1], "Timestamp": at(1), "ScheduledTime": at(0),
        "FunctionName": "c", "Input": None,
    }
    assert (failed["EventType"], failed["Reason"], failed["FunctionName"]) == (
        "SubOrchestrationInstanceFailed", "Orchestrator function 'c' failed: ValueError: bad", "c",
    )


def test_timers_tell_when_they_are_due() -> None:
    assert shown(TimerCreated(1, START + 5_000_000), TimerFired(1)) == [
        {"EventType": "TimerCreated", "FireAt": at(5), "Timestamp": at(0)},
        {"EventType": "TimerFired", "FireAt": at(5), "Timestamp": at(1)},
    ]


def test_signals() -> None:
    assert shown(EventRaised("go", '"x"'), ExecutionSuspended("lunch"), ExecutionResumed(), ExecutionTerminated("no")) == [
        {"EventType": "EventRaised", "Name": "go", "Input": '"x"', "Timestamp": at(0)},
        {"EventType": "ExecutionSuspended", "Reason": "lunch", "Timestamp": at(1)},
        {"EventType": "ExecutionResumed", "Reason": None, "Timestamp": at(2)},
        {"EventType": "ExecutionTerminated", "Input": "no", "Timestamp": at(3)},
    ]


def test_ends() -> None:
    assert shown(ExecutionCompleted("Completed", '"done"'), ExecutionCompleted("Failed", None, FAILURE)) == [
        {
            "EventType": "ExecutionCompleted", "OrchestrationStatus": "Completed", "Result": "done", "FailureDetails": None,
            "Timestamp": at(0),
        },
        {
            "EventType": "ExecutionCompleted", "OrchestrationStatus": "Failed", "Result": None, "FailureDetails": FAILURE_JSON,
            "Timestamp": at(1),
        },
    ]


def test_what_the_original_does_not_know_is_left_out() -> None:
    assert shown(OrchestratorStarted(), CustomStatusSet('"x"'), TimerCanceled(1)) == []


def test_a_whole_run_as_its_status_shows_it(registry: dfnb.Registry) -> None:
    clock = FakeClock()
    with dfnb.DurableApp(durability="memory", registry=registry, clock=clock) as app:
        run = app.client.start("add", 1, instance_id="a")
        run.wait(10)
        history = run.status(show_history=True, show_history_output=True).history
    assert history is not None
    assert [(entry["EventType"], entry.get("Result"), entry["Timestamp"]) for entry in history] == [
        ("ExecutionStarted", None, at(0)), ("TaskCompleted", 2, at(0)), ("ExecutionCompleted", 2, at(0)),
    ]
    assert history[1]["FunctionName"] == "add_one"


def test_inputs_and_outputs_are_shown_only_when_asked_for(client: DurableOrchestrationClient) -> None:
    run = client.start("add", 1)
    run.wait(10)
    plain = run.status(show_history=True).history or []
    bare = run.status(show_history=True, show_input=False).history or []
    assert [entry.get("Input") for entry in plain] == ["1", "1", None]
    assert not any("Result" in entry for entry in plain)
    assert not any("Input" in entry for entry in bare)


def test_a_pending_instance_shows_no_history(registry: dfnb.Registry) -> None:
    clock = FakeClock()
    with dfnb.DurableApp(durability="memory", registry=registry, clock=clock) as app:
        run = app.client.start("echo", start_at=to_datetime(clock.now()) + timedelta(days=1))
        assert "historyEvents" not in run.status(show_history=True).to_json()


def test_only_the_present_generation_is_shown(app: dfnb.DurableApp) -> None:
    @dfnb.orchestrator(registry=app.registry)
    def twice(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        count = yield context.call_activity("add_one", context.get_input())
        if count < 2:
            context.continue_as_new(count)
            return None
        return count

    run = app.client.start("twice", 0)
    assert run.result(10) == 2
    history = run.status(show_history=True).history or []
    assert [entry["EventType"] for entry in history] == ["ExecutionStarted", "TaskCompleted", "ExecutionCompleted"]
    assert history[0]["Input"] == "1"
    assert len(run.history()) > len(history)
