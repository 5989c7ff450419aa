"""How an event looks to an orchestrator and in a sentence."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dfnb.records.failure import FailureDetails
from dfnb.records.history import (
    EntityLockRequested,
    EntityOperationCalled,
    EntityOperationCompleted,
    EntityOperationFailed,
    EntityOperationSignaled,
    EntityUnlockSent,
    EventRaised,
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    Recorded,
    SubOrchestrationInstanceCreated,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
)
from dfnb.replay.events import describe, view


def test_a_view_has_the_originals_names() -> None:
    seen = view(2, Recorded(1, 1_767_225_600_000_000, TaskScheduled(1, "a", "5")), is_played=True)
    assert (seen.event_type, seen.event_id, seen.is_played) == ("TaskScheduled", 2, True)
    assert (seen.Name, seen.Input, seen.TaskScheduledId) == ("a", "5", 1)
    assert seen.timestamp == datetime(2026, 1, 1, tzinfo=UTC)
    assert seen.Reason is None


@pytest.mark.parametrize(
    ("event", "field", "value"),
    [
        (ExecutionStarted("o", "id", "1"), "InstanceId", "id"),
        (SubOrchestrationInstanceCreated(1, "kid", "id:1"), "InstanceId", "id:1"),
        (TaskCompleted(3, "7"), "Result", "7"),
        (TaskFailed(3, FailureDetails("builtins.ValueError", "bad", "trace")), "Reason", "ValueError: bad"),
        (TaskFailed(3, FailureDetails("builtins.ValueError", "bad", "trace")), "Details", "trace"),
        (TimerCreated(3, 1_767_225_600_000_000), "FireAt", datetime(2026, 1, 1, tzinfo=UTC)),
        (EventRaised("go", "1"), "Name", "go"),
        (EntityOperationCalled(1, "@c@x", "add", "5"), "InstanceId", "@c@x"),
        (EntityOperationCalled(1, "@c@x", "add", "5"), "Input", "5"),
        (EntityOperationSignaled(1, "@c@x", "add"), "Name", "add"),
        (EntityOperationCompleted(3, "7"), "Result", "7"),
        (EntityOperationFailed(3, FailureDetails("builtins.ValueError", "bad")), "Reason", "ValueError: bad"),
        (EntityLockRequested(1, ("@a@1", "@a@2")), "Input", "@a@1, @a@2"),
        (EntityUnlockSent(4), "TaskScheduledId", 4),
    ],
)
def test_each_kind_shows_what_it_has(event: HistoryEvent, field: str, value: object) -> None:
    assert getattr(view(1, Recorded(1, 0, event), is_played=False), field) == value


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (TaskScheduled(1, "a"), "activity 'a' (task 1)"),
        (TimerCreated(2, 0), "a timer (task 2)"),
        (TimerCreated(2, 0, retry=True), "a retry (task 2)"),
        (SubOrchestrationInstanceCreated(3, "kid", "id:3"), "sub-orchestration 'kid' (task 3)"),
        (ExecutionCompleted("Completed"), "the end (Completed)"),
        (EventRaised("go"), "event 'go'"),
        (EntityOperationCalled(1, "@c@x", "add"), "operation 'add' of @c@x (task 1)"),
        (EntityOperationSignaled(2, "@c@x", "add"), "a signal for operation 'add' of @c@x (task 2)"),
        (EntityLockRequested(3, ("@a@1", "@a@2")), "the lock of @a@1, @a@2 (task 3)"),
        (EntityUnlockSent(3), "the release of the lock (task 3)"),
    ],
)
def test_events_in_words(event: HistoryEvent, words: str) -> None:
    assert describe(event) == words
