"""What a client is told of an instance, as an object and as the original's JSON."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

import dfnb
from dfnb import OrchestrationRuntimeStatus as Status
from dfnb.client.status import DurableOrchestrationStatus, PurgeHistoryResult, as_microseconds, waiting_sentence
from dfnb.client.sync import DurableOrchestrationClient
from dfnb.engine.clock import FakeClock
from dfnb.records.instance import InstanceRecord, Wait
from dfnb.records.times import to_datetime

Reach = Callable[[str, Callable[[DurableOrchestrationStatus], bool]], DurableOrchestrationStatus]
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
MICROS = as_microseconds(NOW) or 0


def test_the_status_of_a_missing_instance_is_false_and_empty(client: DurableOrchestrationClient) -> None:
    status = client.status("x")
    assert not status
    assert (status.runtime_status, status.instance_id, status.is_terminal, status.to_json()) == (None, None, False, {})
    assert repr(status) == "<DurableOrchestrationStatus: no such instance>"


def test_the_status_of_an_open_instance(client: DurableOrchestrationClient, reach: Reach) -> None:
    client.start("waits", {"n": 1}, instance_id="a")
    status = reach("a", lambda s: "event go" in s.waiting_for)
    assert status
    assert (status.name, status.instance_id, status.runtime_status) == ("waits", "a", Status.Running)
    assert (status.input_, status.output, status.custom_status) == ({"n": 1}, None, "open")
    assert status.history is status.historyEvents is status.failure_details is None
    assert not status.is_terminal
    assert repr(status).startswith("<DurableOrchestrationStatus waits 'a': Running, waiting for event go since ")


def test_the_json_has_the_fields_and_the_order_of_the_original(registry: dfnb.Registry) -> None:
    clock = FakeClock(datetime(2026, 1, 1, 10, 20, 30, 999_999, tzinfo=UTC))
    with dfnb.DurableApp(durability="memory", registry=registry, clock=clock) as app:
        run = app.client.start("add", 1, instance_id="a")
        assert list(run.wait(10).to_json().items()) == [
            ("name", "add"),
            ("instanceId", "a"),
            ("runtimeStatus", "Completed"),
            ("input", 1),
            ("customStatus", None),
            ("output", 2),
            ("createdTime", "2026-01-01T10:20:30Z"),
            ("lastUpdatedTime", "2026-01-01T10:20:30Z"),
        ]
        assert list(run.status(show_history=True).to_json())[-1] == "historyEvents"


def test_a_status_is_read_from_the_originals_json() -> None:
    shown = {
        "name": "add", "instanceId": "a", "runtimeStatus": "Completed", "input": 1, "customStatus": None, "output": 2,
        "createdTime": "2026-01-01T12:00:00Z", "lastUpdatedTime": "2026-01-01T12:00:00Z", "historyEvents": [],
    }  # fmt: skip
    status = DurableOrchestrationStatus.from_json(shown)
    assert (status.runtime_status, status.created_time, status.output) == (Status.Completed, NOW, 2)
    assert status.to_json() == shown
    assert not DurableOrchestrationStatus.from_json({})
    assert DurableOrchestrationStatus.from_json({**shown, "createdTime": "2026-01-01T12:00:00.1234567Z"}).created_time is not None
    with pytest.raises(ValueError, match="known are"):
        DurableOrchestrationStatus.from_json({**shown, "runtimeStatus": "Done"})
    assert PurgeHistoryResult.from_json({"instancesDeleted": 3}) == PurgeHistoryResult(3)


def test_the_input_is_left_out_when_asked(client: DurableOrchestrationClient) -> None:
    run = client.start("echo", "secret")
    run.wait(10)
    assert run.status(show_input=False).to_json()["input"] is None


def test_custom_objects_stay_the_markers_they_are_stored_as(client: DurableOrchestrationClient) -> None:
    output = client.start("money").wait(10).output
    assert output["__class__"] == "Money"
    assert output["__data__"] == 7


def test_a_sub_orchestration_names_its_parent(client: DurableOrchestrationClient, reach: Reach) -> None:
    client.start("parent", instance_id="p")
    assert reach("p-child", lambda status: bool(status)).parent_instance_id == "p"
    assert client.status("p").parent_instance_id is None


def test_times_go_to_microseconds_and_back() -> None:
    assert to_datetime(MICROS) == NOW
    assert as_microseconds(NOW.replace(tzinfo=None)) == MICROS
    assert as_microseconds(NOW.astimezone(timezone(timedelta(hours=-5)))) == MICROS
    assert as_microseconds(None) is None


def sentence(*waits: Wait, defined: bool = True, **facts: Any) -> str:
    record = InstanceRecord(1, "a", "trip", facts.pop("status", "Running"), 0, 0, 0, 0, waits=waits, **facts)
    return waiting_sentence(record, lambda kind, name: defined, MICROS)


def test_waits_are_told_in_words() -> None:
    assert sentence() == ""
    assert sentence(Wait("activity", "geocode", 1)) == "waiting for activity geocode"
    assert sentence(Wait("activity", "geocode", 1), defined=False) == "waiting for the cell that defines geocode"
    assert sentence(Wait("entity", "@counter@a b add", 1), defined=False) == "waiting for the cell that defines counter"
    assert sentence(Wait("definition", "trip")) == "waiting for the cell that defines trip"
    assert sentence(Wait("event", "go"), Wait("orchestration", "child", 2)) == "waiting for event go, sub-orchestration child"
    assert sentence(Wait("activity", "x"), status="Completed") == ""
    assert sentence(Wait("http", "GET https://h/x", 1)) == "waiting for the HTTP call GET https://h/x"
    assert sentence(Wait("http", "GET https://h/x", 1, MICROS)) == "waiting for the HTTP call GET https://h/x"
    assert sentence(held="held at event 3") == "held: held at event 3"


@pytest.mark.parametrize(("later", "form"), [(60, r"\d\d:\d\d:\d\d"), (3 * 86_400, r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")])
def test_a_time_on_another_day_has_its_date(later: int, form: str) -> None:
    told = sentence(Wait("timer", "", 1, MICROS + later * 1_000_000))
    assert re.fullmatch(f"waiting for timer until {form}", told)


def test_an_http_call_says_when_it_asks_again() -> None:
    told = sentence(Wait("http", "GET https://h/x", 1, MICROS + 5_000_000))
    assert re.fullmatch(r"waiting for the HTTP call GET https://h/x \(next request at \d\d:\d\d:\d\d\)", told)
