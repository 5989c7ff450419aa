"""The views people query: what each column says, and that the file itself says what each column means."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from dfnb.hub.hub import TaskHub
from dfnb.hub.protocol import StartRequest
from dfnb.records.failure import FailureDetails
from dfnb.records.history import (
    EVENT_TYPES,
    CustomStatusSet,
    EventRaised,
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    ParentRef,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from dfnb.records.log import LogLine

FAILURE = FailureDetails("builtins.ValueError", "bad", "Traceback")
BEGIN = 1_700_000_000
VIEWS = ("entities", "entity_operations", "http_exchanges", "instances", "history", "activities", "logs", "definitions")


class Scribe:
    """Writes events with times of its own choosing: seconds after the beginning."""

    def __init__(self, hub: TaskHub, hand: Any) -> None:
        self.hub = hub
        self.hand = hand

    def write(self, id: str, at: float, *events: HistoryEvent) -> None:
        state = self.hub._by_id[id]
        self.hub.record(state, [(event, moment_in_microseconds(at)) for event in events], state.turn + 1)
        self.hub.finish_turn(state, ())
        self.hand.commit()

    def start(self, id: str, at: float = 0, **facts: Any) -> None:
        self.hub.start_instances([StartRequest("work", id, **facts)])
        for state, messages in self.hub.take_ready(0, 1):
            self.hub.record(state, [(message.event, moment_in_microseconds(at)) for message in messages], 1)
            self.hub.finish_turn(state, (), messages)
        self.hand.commit()

    def row(self, view: str, where: str = "TRUE") -> dict[str, Any]:
        (row,) = self.rows(view, where)
        return row

    def rows(self, view: str, where: str = "TRUE") -> list[dict[str, Any]]:
        relation = self.hub.sql(f"SELECT * FROM {view} WHERE {where}")
        return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def moment_in_microseconds(seconds: float) -> int:
    return int((BEGIN + seconds) * 1_000_000)


def moment(seconds: float) -> datetime:
    return datetime(1970, 1, 1) + timedelta(seconds=BEGIN + seconds)


@pytest.fixture
def scribe(hub: TaskHub, hand: Any) -> Scribe:
    return Scribe(hub, hand)


def test_instances_tell_of_a_running_one(scribe: Scribe) -> None:
    scribe.start("a", input='{"n":\n1}', code="hash", parent=ParentRef("boss", 0, 3))
    scribe.write("a", 2.5, CustomStatusSet('"half"'))
    assert scribe.row("instances") == {
        "instance_id": "a",
        "name": "work",
        "runtime_status": "Running",
        "created_time": moment(0),
        "last_updated_time": moment(2.5),
        "elapsed": timedelta(seconds=2.5),
        "input": '{"n":\n1}',
        "output": None,
        "custom_status": '"half"',
        "parent_instance_id": "boss",
        "generation": 0,
        "code_hash": "hash",
        "held": None,
    }


def test_instances_tell_how_one_ended(scribe: Scribe) -> None:
    for id, end in (
        ("completed", ExecutionCompleted("Completed", "[1]")),
        ("terminated", ExecutionCompleted("Terminated", "enough")),
        ("failed", ExecutionCompleted("Failed", None, FAILURE)),
    ):
        scribe.start(id)
        scribe.write(id, 1, end)
    found = {row["instance_id"]: (row["runtime_status"], row["output"]) for row in scribe.rows("instances")}
    assert found["completed"] == ("Completed", "[1]")
    assert found["terminated"] == ("Terminated", "enough")
    assert found["failed"][0] == "Failed"
    assert "builtins.ValueError" in found["failed"][1]
    assert "bad" in found["failed"][1]
    assert [row["input"] for row in scribe.rows("instances")] == [None] * 3


def test_instances_show_the_latest_generation(scribe: Scribe, hub: TaskHub, hand: Any) -> None:
    scribe.start("a", input="1")
    scribe.write("a", 1, ExecutionCompleted("ContinuedAsNew", "2"))
    hub.continue_as_new(hub._by_id["a"], [ExecutionStarted("work", "a", "2")], moment_in_microseconds(1))
    hand.turn()
    row = scribe.row("instances")
    assert (row["generation"], row["input"], row["created_time"], row["runtime_status"]) == (1, "2", moment(0), "Running")


def test_history_tells_each_event(scribe: Scribe) -> None:
    scribe.start("a", input='"in"')
    scribe.write("a", 1, TaskScheduled(1, "geocode", '"Oslo"'))
    scribe.write("a", 2, TaskCompleted(1, "[59, 10]", 250_000))
    scribe.write("a", 3, EventRaised("approval", "true"), TimerCreated(2, 7))
    rows = scribe.rows("history", "TRUE ORDER BY position")
    shown = [(row["turn"], row["event_type"], row["task_id"], row["name"], row["data"], row["took"]) for row in rows]
    assert shown == [
        (1, "ExecutionStarted", None, "work", '"in"', None),
        (2, "TaskScheduled", 1, "geocode", '"Oslo"', None),
        (3, "TaskCompleted", 1, None, "[59, 10]", timedelta(seconds=0.25)),
        (4, "EventRaised", None, "approval", "true", None),
        (4, "TimerCreated", 2, None, "7", None),
    ]
    assert [row["timestamp"] for row in rows] == [moment(at) for at in (0, 1, 2, 3, 3)]
    assert [row["position"] for row in rows] == sorted(row["position"] for row in rows)
    assert {(row["instance_id"], row["generation"]) for row in rows} == {("a", 0)}


def test_every_kind_of_event_has_a_name_in_the_history(hub: TaskHub) -> None:
    named = dict(hub.sql("SELECT kind, event_type FROM event_kind").fetchall())
    assert named == {kind: cls.__name__ for kind, cls in EVENT_TYPES.items()}


def test_activities_tell_of_one_that_was_tried_again(scribe: Scribe) -> None:
    scribe.start("a")
    scribe.write("a", 1, TaskScheduled(1, "fetch", '"url"'))
    scribe.write("a", 2, TaskFailed(1, FAILURE, 400_000), TimerCreated(1, moment_in_microseconds(5), retry=True))
    waiting = scribe.row("activities")
    assert (waiting["status"], waiting["attempts"], waiting["completed_time"]) == ("Retrying", 1, None)
    scribe.write("a", 5, TimerFired(1), TaskScheduled(1, "fetch", '"url"'))
    assert scribe.row("activities")["status"] == "Running"
    scribe.write("a", 6, TaskCompleted(1, "200", 100_000))
    row = scribe.row("activities")
    assert "ValueError" in row.pop("last_failure")
    assert row == {
        "instance_id": "a",
        "generation": 0,
        "task_id": 1,
        "name": "fetch",
        "status": "Completed",
        "attempts": 2,
        "scheduled_time": moment(1),
        "completed_time": moment(6),
        "duration": timedelta(seconds=0.5),
        "input": '"url"',
        "result": "200",
    }


def test_activities_tell_of_failed_and_abandoned_ones_and_leave_timers_out(scribe: Scribe) -> None:
    scribe.start("a")
    scribe.write("a", 1, TaskScheduled(1, "bad"), TaskScheduled(2, "slow"), TimerCreated(3, 5))
    scribe.write("a", 2, TaskFailed(1, FAILURE, 1))
    assert {row["name"]: row["status"] for row in scribe.rows("activities")} == {"bad": "Failed", "slow": "Running"}
    scribe.write("a", 3, ExecutionCompleted("Completed", "1"))
    assert {row["name"]: row["status"] for row in scribe.rows("activities")} == {"bad": "Failed", "slow": "Canceled"}
    assert scribe.row("activities", "name = 'bad'")["completed_time"] == moment(2)


def test_logs_tell_who_said_what(scribe: Scribe, hub: TaskHub, hand: Any) -> None:
    scribe.start("a")
    hub.write_logs(hub._by_id["a"], [LogLine(4, 2, moment_in_microseconds(1), "WARNING", "look out")])
    hand.commit()
    assert scribe.row("logs") == {
        "instance_id": "a",
        "task_id": 4,
        "attempt": 2,
        "timestamp": moment(1),
        "stream": "WARNING",
        "text": "look out",
    }


def test_definitions_keep_every_version_once(scribe: Scribe, hub: TaskHub) -> None:
    for fingerprint in ("one", "two", "one"):
        hub.save_definition("activity", "fetch", fingerprint, f"source {fingerprint}")
    rows = scribe.rows("definitions", "TRUE ORDER BY code_hash")
    assert [(row["kind"], row["name"], row["code_hash"], row["source"]) for row in rows] == [
        ("activity", "fetch", "one", "source one"),
        ("activity", "fetch", "two", "source two"),
    ]
    assert isinstance(rows[0]["first_seen_time"], datetime)
    assert hub.definition_source("activity", "fetch", "two") == "source two"
    assert hub.definition_source("activity", "fetch", "three") is None


def test_every_view_and_column_is_explained_in_the_file(open_hub: Any) -> None:
    hub = open_hub()
    for _ in range(2):  # after a compaction as before
        explained = dict(hub.sql("SELECT view_name, comment FROM duckdb_views() WHERE NOT internal").fetchall())
        assert set(explained) == set(VIEWS)
        assert all(explained.values())
        for view in VIEWS:
            columns = [name for name, *_ in hub.sql(f"SELECT column_name FROM (DESCRIBE {view})").fetchall()]
            comments = dict(
                hub.sql("SELECT column_name, comment FROM duckdb_columns() WHERE table_name = ?", [view]).fetchall()
            )
            assert [name for name in columns if not comments.get(name)] == []
        hub.compact()
