"""The status of an instance as an answer: made once for each change, with a tag."""

from __future__ import annotations

from typing import Any

import pytest

from dfnb.records.instance import InstanceRecord, Wait
from dfnb.server.status import retry_after

NOW = 1_000_000_000


def test_the_tag_changes_with_the_status_and_only_then(server: Any) -> None:
    server.bring("Running", "x")
    first, second = server.ask("GET", "/instances/x"), server.ask("GET", "/instances/x?code=other")
    assert first.headers["etag"] == second.headers["etag"]
    assert first.headers["etag"].startswith('"')
    server.client.terminate("x", "end")
    server.reach("x", "Terminated")
    third = server.ask("GET", "/instances/x")
    assert third.headers["etag"] != first.headers["etag"]
    assert server.ask("GET", "/instances/x").headers["etag"] == third.headers["etag"]


def test_a_status_without_its_input_has_a_tag_of_its_own(server: Any) -> None:
    server.bring("Completed", "x")
    with_it, without = server.ask("GET", "/instances/x"), server.ask("GET", "/instances/x?showInput=false")
    assert with_it.headers["etag"] != without.headers["etag"]
    assert (with_it.json()["input"], without.json()["input"]) == (1, None)


def test_an_instance_that_took_the_id_over_is_shown(server: Any) -> None:
    server.bring("Completed", "x")
    assert server.ask("GET", "/instances/x").json()["name"] == "echo"
    server.bring("Failed", "x")
    assert server.ask("GET", "/instances/x").json()["name"] == "fails"
    server.client.purge("x")
    assert server.ask("GET", "/instances/x").status == 404


def record(*waits: Wait, updated: int = NOW) -> InstanceRecord:
    return InstanceRecord(1, "a", "trip", "Running", 0, 0, updated, 0, waits=waits)


SECOND = 1_000_000


@pytest.mark.parametrize(
    ("waiting", "seconds"),
    [
        (record(), 1),
        (record(updated=NOW - 11 * SECOND), 5),
        (record(Wait("activity", "a", 1)), 1),
        (record(Wait("activity", "a", 1), updated=NOW - 11 * SECOND), 5),
        (record(Wait("event", "go")), 10),
        (record(Wait("definition", "trip")), 10),
        (record(Wait("timer", "", 1, NOW + 3 * SECOND)), 3),
        (record(Wait("timer", "", 1, NOW + 3 * SECOND + 1)), 4),
        (record(Wait("timer", "", 1, NOW - SECOND)), 1),
        (record(Wait("timer", "", 1, NOW + 3600 * SECOND)), 10),
        (record(Wait("event", "go"), Wait("timer", "", 1, NOW + 2 * SECOND)), 2),
    ],
    ids=range(11),
)
def test_advice_is_one_to_ten_seconds(waiting: InstanceRecord, seconds: int) -> None:
    assert retry_after(waiting, NOW) == seconds
