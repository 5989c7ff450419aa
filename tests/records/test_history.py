from __future__ import annotations

import pytest

from dfnb.records.failure import FailureDetails
from dfnb.records.history import (
    EVENT_TYPES,
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
    ExecutionRewound,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    HttpCallCompleted,
    HttpCallFailed,
    HttpCallScheduled,
    OrchestratorStarted,
    ParentRef,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCanceled,
    TimerCreated,
    TimerFired,
    parse_event,
)

FAILURE = FailureDetails("builtins.ValueError", "bad", "Traceback", FailureDetails("builtins.OSError", "why"))

EVENTS: list[HistoryEvent] = [
    ExecutionStarted("trip", "id-1"),
    ExecutionStarted("trip", "id-1", '{"a":\n1}', "abc", 5, ParentRef("p", 2, 3), "1.0"),
    ExecutionCompleted("Completed", "[1]"),
    ExecutionCompleted("Completed"),
    ExecutionCompleted("ContinuedAsNew", "2"),
    ExecutionCompleted("Terminated", "enough"),
    ExecutionCompleted("Failed", None, FAILURE, (1, 4)),
    ExecutionTerminated("enough"),
    TaskScheduled(1, "f", "5"),
    TaskScheduled(1, "f"),
    TaskCompleted(1, "6", 12),
    TaskFailed(1, FAILURE, 12),
    SubOrchestrationInstanceCreated(2, "child", "id-1:2"),
    SubOrchestrationInstanceCompleted(2, "7"),
    SubOrchestrationInstanceFailed(2, FAILURE),
    TimerCreated(3, 123_456_789),
    TimerCreated(3, 123_456_789, retry=True),
    TimerFired(3),
    OrchestratorStarted(),
    EventRaised("approve", "true"),
    EventRaised("approve"),
    ExecutionSuspended("wait"),
    ExecutionResumed(None),
    TimerCanceled(3),
    CustomStatusSet('"half"'),
    ExecutionRewound((1, 2), "fixed"),
    ExecutionRewound(),
    EntityOperationCalled(4, "@counter@x", "add", '{"a":\n1}'),
    EntityOperationCalled(4, "@counter@x", "add"),
    EntityOperationSignaled(5, "@counter@x", "add", "5"),
    EntityOperationSignaled(5, "@counter@x", "add", None, 123_456_789),
    EntityOperationCompleted(4, "6"),
    EntityOperationFailed(4, FAILURE),
    EntityLockRequested(6, ("@account@a", "@account@b")),
    EntityLockGranted(6),
    EntityUnlockSent(6),
    EntityUnlockSent(6, ("@account@a", "@account@b")),
    HttpCallScheduled(7, "GET https://h/x", '{"method":"GET"}'),
    HttpCallCompleted(7, 200, (("A", "1"), ("A", "2")), "line\nline", url="https://h/x"),
    HttpCallCompleted(7, 204),
    HttpCallCompleted(7, 200, (), "AAE=", None, "https://h/x", True, "odd"),
    HttpCallFailed(7, FAILURE),
    HttpCallFailed(7, FAILURE, HttpCallCompleted(7, 503, (), "busy\n")),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.event_type)
def test_an_event_is_read_back_as_it_was_written(event: HistoryEvent) -> None:
    kind, task, took, name, data = event.columns()
    assert kind == event.kind
    assert parse_event(kind, task, took, name, data) == event


def test_every_kind_of_event_is_in_the_list_above() -> None:
    assert {type(event) for event in EVENTS} == set(EVENT_TYPES.values())


def test_a_kind_nobody_knows_is_an_error() -> None:
    with pytest.raises(KeyError):
        parse_event(99, 1, None, "", None)
