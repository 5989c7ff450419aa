"""Our events from the original's history JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from dfnb.client.remote.history import HistoryReader
from dfnb.records.failure import FailureDetails
from dfnb.records.history import (
    EntityOperationCalled,
    EntityOperationCompleted,
    EventRaised,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from dfnb.records.times import to_microseconds

BEGIN = to_microseconds(datetime(2026, 3, 1, 10, tzinfo=UTC))


def at(second: int, zone: str = "Z") -> str:
    hour = {"Z": 10, "-04:00": 6}[zone]
    return f"2026-03-01T{hour:02d}:00:{second:02d}.1234567{zone}"


STARTED = {"EventType": "ExecutionStarted", "FunctionName": "trip", "Input": '["Oslo"]', "Timestamp": at(0), "Correlation": None}


def scheduled(second: int, name: str = "book", input: str | None = None) -> dict[str, Any]:
    return {"EventType": "TaskScheduled", "Name": name, "Input": input, "Timestamp": at(second)}


def completed(second: int, since: int, name: str = "book", result: Any = None, zone: str = "Z") -> dict[str, Any]:
    return {
        "EventType": "TaskCompleted", "Result": result, "Timestamp": at(second), "ScheduledTime": at(since, zone),
        "FunctionName": name, "Input": None,
    }  # fmt: skip


def events(*entries: dict[str, Any]) -> list[HistoryEvent]:
    return [row.event for _, _, row in HistoryReader("t").read(entries)]


def test_a_completion_is_two_events_again_whatever_zone_its_time_is_in() -> None:
    found = HistoryReader("t").read([STARTED, completed(5, 1, result={"seat": 7}, zone="-04:00")])
    assert [row.event for _, _, row in found] == [
        ExecutionStarted("trip", "t", '["Oslo"]'), TaskScheduled(1, "book"), TaskCompleted(1, '{"seat":7}'),
    ]  # fmt: skip
    assert [(position, (row.at - BEGIN) // 1_000) for position, _, row in found] == [(0, 123), (1, 1123), (2, 5123)]


def test_positions_stay_when_an_open_task_is_absorbed_by_its_completion() -> None:
    reader = HistoryReader("t")
    before = reader.read([STARTED, scheduled(1, "a"), scheduled(1, "b")])
    later = [STARTED, scheduled(1, "a"), completed(3, 1, "b")]
    assert [row.event for _, _, row in reader.read(later, after=2)] == [TaskCompleted(2)]
    last = [STARTED, completed(3, 1, "b"), completed(2, 1, "a")]
    assert reader.read(last)[:3] == before
    assert [(position, row.event) for position, _, row in reader.read(last, after=3)] == [(4, TaskCompleted(1))]


def test_tasks_that_look_the_same_are_counted() -> None:
    reader = HistoryReader("t")
    reader.read([STARTED, scheduled(1), scheduled(1), scheduled(1)])
    news = reader.read([STARTED, scheduled(1), completed(2, 1), completed(2, 1)], after=3)
    assert [row.event for _, _, row in news] == [TaskCompleted(1), TaskCompleted(2)]
    assert reader.read([STARTED, scheduled(1), completed(2, 1), completed(2, 1)], after=5) == []


def test_failures_keep_their_details() -> None:
    reason = "Activity function 'buy' failed: ValueError: no milk"
    failed = {**completed(2, 1), "EventType": "TaskFailed", "Reason": reason, "Details": "line 7"}
    details = {"ErrorType": "m.E", "ErrorMessage": "x", "StackTrace": None, "InnerFailure": {"ErrorType": "I"}}
    told = {**failed, "FailureDetails": details}
    assert events(failed)[1] == TaskFailed(1, FailureDetails("ValueError", "no milk", "line 7"))
    assert events(told)[1] == TaskFailed(1, FailureDetails("m.E", "x", "", FailureDetails("I", "")))


def test_timers_belong_to_what_created_them() -> None:
    made = [{"EventType": "TimerCreated", "FireAt": at(due), "Timestamp": at(1)} for due in (9, 8)]
    assert events(*made, {"EventType": "TimerFired", "FireAt": at(8), "Timestamp": at(8)}) == [
        TimerCreated(1, BEGIN + 9_123_456), TimerCreated(2, BEGIN + 8_123_456), TimerFired(2),
    ]  # fmt: skip


def test_sub_orchestrations_keep_the_id_they_were_seen_with() -> None:
    reader = HistoryReader("t")
    made = {"EventType": "SubOrchestrationInstanceCreated", "Name": "leg", "InstanceId": "t:0", "Input": "1", "Timestamp": at(1)}
    reader.read([made])
    done = {**completed(3, 1, "leg", "ok"), "EventType": "SubOrchestrationInstanceCompleted"}
    assert [row.event for _, _, row in reader.read([done])] == [
        SubOrchestrationInstanceCreated(1, "leg", "t:0", "1"), SubOrchestrationInstanceCompleted(1, '"ok"'),
    ]  # fmt: skip


def test_messages_and_states() -> None:
    ended = {"EventType": "ExecutionCompleted"}
    given: list[tuple[dict[str, Any], HistoryEvent]] = [
        ({"EventType": "EventRaised", "Name": "go", "Input": "true"}, EventRaised("go", "true")),
        ({"EventType": "ExecutionSuspended", "Reason": "later"}, ExecutionSuspended("later")),
        ({"EventType": "ExecutionResumed", "Reason": None}, ExecutionResumed(None)),
        ({"EventType": "ExecutionTerminated", "Input": "enough"}, ExecutionTerminated("enough")),
        ({**ended, "OrchestrationStatus": "Completed", "Result": 7}, ExecutionCompleted("Completed", "7")),
        ({**ended, "OrchestrationStatus": "Failed", "Result": "KeyError: 'x'"},
         ExecutionCompleted("Failed", None, FailureDetails("KeyError", "'x'"))),
    ]  # fmt: skip
    for entry, event in given:
        assert events({**entry, "Timestamp": at(1)}) == [event]


def test_what_nobody_could_show_is_left_out() -> None:
    assert events({"EventType": "GenericEvent", "Data": "x", "Timestamp": at(1)}, {"EventType": "ContinueAsNew"}, {}) == []


def test_calls_of_entities_are_found_in_the_messages() -> None:
    sent = {"EventType": "EventSent", "InstanceId": "@counter@a", "Name": "op", "Timestamp": at(1)}
    call = {**sent, "Input": '{"op":"get","id":"q1","parent":"t"}'}
    lock = {**sent, "Input": '{"id":"q2","parent":"t","pos":0,"lockset":[]}'}
    answer = {"EventType": "EventRaised", "Name": "q1", "Input": '{"result":"7"}', "Timestamp": at(2)}
    assert events(call, lock, answer) == [EntityOperationCalled(1, "@counter@a", "get"), EntityOperationCompleted(1, "7")]
