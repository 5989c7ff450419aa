"""Entity events in the original's history: requests are sent events, answers are raised ones with the request's id."""

from __future__ import annotations

import json
import uuid
from typing import Any

from dfnb.client.wire import history_events
from dfnb.records.failure import FailureDetails
from dfnb.records.history import (
    EntityLockGranted,
    EntityLockRequested,
    EntityOperationCalled,
    EntityOperationCompleted,
    EntityOperationFailed,
    EntityOperationSignaled,
    EntityUnlockSent,
    ExecutionStarted,
    HistoryEvent,
    Recorded,
)

START = 1_767_225_600_000_000  # 2026-01-01


def shown(*events: HistoryEvent, show_input: bool = True) -> list[dict[str, Any]]:
    """The entries behind the start of an instance `a`."""
    rows = [Recorded(1, START + n * 1_000_000, event) for n, event in enumerate([ExecutionStarted("trip", "a"), *events])]
    return history_events(rows, show_input=show_input, show_output=True)[1:]


def message(entry: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(entry["Input"])
    return found


def test_a_call_is_sent_and_its_answer_raised_under_the_same_id() -> None:
    asked, answered = shown(EntityOperationCalled(1, "@counter@x", "add", "5"), EntityOperationCompleted(1, '{"n":6}'))
    assert list(asked) == ["EventType", "InstanceId", "Name", "Input", "Timestamp"]
    assert (asked["EventType"], asked["InstanceId"], asked["Name"]) == ("EventSent", "@counter@x", "op")
    assert asked["Timestamp"] == "2026-01-01T00:00:01.000000Z"
    id = message(asked)["id"]
    assert message(asked) == {"op": "add", "input": "5", "id": id, "parent": "a"}
    assert str(uuid.UUID(id)) == id
    assert (answered["EventType"], answered["Name"]) == ("EventRaised", id)
    assert message(answered) == {"result": '{"n":6}'}


def test_a_failed_answer_tells_the_exception() -> None:
    failure = FailureDetails("builtins.ValueError", "bad", "Traceback ...")
    _, answered = shown(EntityOperationCalled(1, "@counter@x", "add"), EntityOperationFailed(1, failure))
    assert message(answered) == {"result": "bad", "exceptionType": "builtins.ValueError"}


def test_a_signal_says_so_and_when_it_is_due() -> None:
    now, later = shown(
        EntityOperationSignaled(1, "@counter@x", "reset"), EntityOperationSignaled(2, "@counter@x", "add", "0", START + 90_000_000)
    )
    assert now["Name"] == "op"
    assert message(now) == {"op": "reset", "signal": True, "id": message(now)["id"], "parent": "a"}
    assert later["Name"] == "op@2026-01-01T00:01:30.000000Z"
    assert (message(later)["due"], message(later)["input"]) == ("2026-01-01T00:01:30.000000Z", "0")
    assert message(later)["id"] != message(now)["id"]


def test_a_lock_is_asked_of_the_first_and_released_at_each() -> None:
    asked, granted, *released = shown(
        EntityLockRequested(3, ("@account@a", "@account@b")), EntityLockGranted(3), EntityUnlockSent(3)
    )
    assert (asked["InstanceId"], asked["Name"]) == ("@account@a", "op")
    assert message(asked)["lockset"] == [{"name": "account", "key": "a"}, {"name": "account", "key": "b"}]
    assert message(asked)["pos"] == 0
    assert granted["Name"] == message(asked)["id"]
    assert [(one["InstanceId"], one["Name"]) for one in released] == [("@account@a", "release"), ("@account@b", "release")]
    assert all(message(one) == {"parent": "a", "id": granted["Name"]} for one in released)


def test_the_ids_are_the_same_at_each_look() -> None:
    assert shown(EntityOperationCalled(1, "@c@x", "get")) == shown(EntityOperationCalled(1, "@c@x", "get"))


def test_inputs_are_left_out_when_not_asked_for() -> None:
    entries = shown(
        EntityOperationCalled(1, "@c@x", "get"), EntityOperationCompleted(1, "1"), EntityLockRequested(2, ("@c@x",)),
        EntityUnlockSent(2), show_input=False,
    )
    assert len(entries) == 4
    assert not any("Input" in entry for entry in entries)
