"""What a dfnb server tells beyond the original's API."""

from __future__ import annotations

from typing import Any

import msgspec

from dfnb.records.instance import InstanceRecord


def test_the_record_of_an_instance_comes_back_as_it_is(server: Any) -> None:
    server.bring("Running", "x")
    answer = server.ask("GET", "/instances/x/record")
    assert msgspec.json.decode(answer.body, type=InstanceRecord) == server.client.record("x")


def test_events_are_told_behind_a_position(server: Any) -> None:
    server.client.start("Add", 1, instance_id="a").wait(10)
    record = server.client.record("a")
    rows = server.ask("GET", "/instances/a/events").json()
    expected = [[pos, gen, row.turn, row.at, *row.event.columns()] for pos, gen, row in server.client.history_after(record)]
    assert rows == msgspec.json.decode(msgspec.json.encode(expected))
    assert len(rows) > 2
    assert server.ask("GET", f"/instances/a/events?after={rows[1][0]}").json() == rows[2:]
    assert server.ask("GET", f"/instances/a/events?after={rows[-1][0]}").json() == []


def test_logs_calls_exchanges_and_children_are_lists(server: Any) -> None:
    server.client.start("parent", None, instance_id="p")
    server.reach("p-child", "Running")
    assert [child["id"] for child in server.ask("GET", "/instances/p/children").json()] == ["p-child"]
    exchanges = [f"exchanges?{asked}" for asked in ("latest=3", "latest=-1", "bodies=false", "at=7")]
    for what in ("logs", "calls", *exchanges, "calls?limit=0"):
        assert server.ask("GET", f"/instances/p/{what}").json() == []


def test_the_source_is_the_one_the_instance_runs(server: Any) -> None:
    server.bring("Completed", "x")
    source = server.ask("GET", "/instances/x/source").json()
    assert "def echo(context" in source


def test_of_a_missing_instance_nothing_is_known(server: Any) -> None:
    for what in ("record", "events", "logs", "exchanges", "calls", "children", "source"):
        answer = server.ask("GET", f"/instances/x/{what}")
        assert (what, answer.status, answer.body) == (what, 404, b"")
