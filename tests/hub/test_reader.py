"""What clients read: lists by every condition, page by page, and SQL that only reads."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfnb.errors import QueryError
from dfnb.hub import reader
from dfnb.hub.hub import TaskHub
from dfnb.hub.protocol import InstanceQuery, StartRequest
from dfnb.records.history import CustomStatusSet
from dfnb.records.instance import InstanceRecord


@pytest.fixture
def zoo(hub: TaskHub, hand: Any) -> dict[str, InstanceRecord]:
    """Instances of two orchestrators in several states; the first three were created at the same moment."""
    hub.start_instances([StartRequest("work", id) for id in ("a1", "a2", "b1")])
    at = hand.now()
    for state, messages in hub.take_ready(at, 10):
        hub.record(state, [(message.event, at) for message in messages], 1)
        hub.finish_turn(state, (), messages)
    hand.commit()
    hand.start("b2", name="other")
    hand.start("c_1%", name="other")
    hand.end("a2")
    hand.end("b2", status="Terminated")
    return {id: record for id in ("a1", "a2", "b1", "b2", "c_1%") if (record := hub.find(id)) is not None}


def ids(records: list[InstanceRecord]) -> list[str]:
    return [record.id for record in records]


def test_without_conditions_all_are_listed_newest_first(hub: TaskHub, zoo: dict[str, InstanceRecord]) -> None:
    assert ids(hub.query(InstanceQuery())) == ["c_1%", "b2", "b1", "a2", "a1"]
    assert hub.counts() == {"Completed": 1, "Running": 3, "Terminated": 1}


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ({"name": "other"}, ["c_1%", "b2"]),
        ({"name": "nobody"}, []),
        ({"statuses": ("Running",)}, ["c_1%", "b1", "a1"]),
        ({"statuses": ("Completed", "Terminated")}, ["b2", "a2"]),
        ({"id_prefix": "a"}, ["a2", "a1"]),
        ({"id_prefix": "c_1%"}, ["c_1%"]),
        ({"id_prefix": "%"}, []),
        ({"id_prefix": "b", "statuses": ("Running",), "name": "work"}, ["b1"]),
        ({"limit": 2}, ["c_1%", "b2"]),
    ],
)
def test_every_condition_given_must_hold(
    hub: TaskHub, zoo: dict[str, InstanceRecord], facts: dict[str, Any], found: list[str]
) -> None:
    assert ids(hub.query(InstanceQuery(**facts))) == found


def test_times_are_inclusive(hub: TaskHub, zoo: dict[str, InstanceRecord]) -> None:
    first, second = zoo["a1"].created_at, zoo["b2"].created_at
    assert ids(hub.query(InstanceQuery(created_from=second, created_to=second))) == ["b2"]
    assert ids(hub.query(InstanceQuery(created_to=first))) == ["b1", "a2", "a1"]
    assert ids(hub.query(InstanceQuery(created_from=first + 1))) == ["c_1%", "b2"]


def test_pages_meet_without_gap_or_overlap_even_within_one_moment(hub: TaskHub, zoo: dict[str, InstanceRecord]) -> None:
    for limit in range(1, 7):
        wanted = InstanceQuery(limit=limit)
        page = hub.query(wanted)
        found = ids(page)
        while page:
            page = hub.query(reader.next_page(wanted, (page[-1].created_at, page[-1].key)))
            found += ids(page)
        assert found == ["c_1%", "b2", "b1", "a2", "a1"]
        assert ids(hub.matching(wanted)) == found


def test_values_are_never_read_as_sql(hub: TaskHub, hand: Any) -> None:
    id = "x'; DROP TABLE event; --"
    hand.start(id, name=id)
    assert ids(hub.query(InstanceQuery(name=id, id_prefix="x'", statuses=("Running", "'")))) == [id]


def test_a_list_shows_what_has_just_changed(hub: TaskHub, hand: Any) -> None:
    hand.start("a")
    hand.add("a", CustomStatusSet('"half"'))
    assert [record.custom_status for record in hub.query(InstanceQuery())] == ['"half"']


def test_payloads_of_many_are_read_at_once(hub: TaskHub, hand: Any) -> None:
    hand.start(*(f"i{n}" for n in range(1_500)), input='"in"')
    hand.end("i7", '"out"')
    records = hub.matching(InstanceQuery(limit=1_000))
    texts = hub.payloads(records)
    assert len(texts) == 1_500
    input, end = texts[next(record.key for record in records if record.id == "i7")]
    assert input == '"in"'
    assert end is not None
    assert end.result == '"out"'
    assert hub.payloads([]) == {}


def test_history_goes_on_behind_a_position(hub: TaskHub, hand: Any) -> None:
    hand.start("a")
    hand.add("a", CustomStatusSet("1"))
    record = hub.find("a")
    assert record is not None
    (first, _, _), (second, generation, recorded) = hub.history(record)
    assert hub.history(record, first) == [(second, generation, recorded)]
    assert hub.history(record, second) == []


# SQL


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO event SELECT * FROM event",
        "DELETE FROM event",
        "UPDATE hub SET watermark = 0",
        "DROP TABLE event",
        "CREATE TABLE mine (a INTEGER)",
        "CREATE TEMP TABLE mine AS SELECT 1",
        "ATTACH 'other.duckdb'",
        "COPY event TO 'out.csv'",
        "CHECKPOINT",
        "PRAGMA disable_optimizer",
        "SET threads = 1",
        "BEGIN",
        "EXPLAIN ANALYZE DELETE FROM event",
        "explain (analyze, format json) DELETE FROM event",
        "/* harmless */ EXPLAIN ANALYZE DELETE FROM event",
        "WITH gone AS (SELECT 1) DELETE FROM event",
        "SELECT 1; DELETE FROM event",
        "",
    ],
)
def test_sql_that_would_change_something_is_refused(hub: TaskHub, hand: Any, statement: str) -> None:
    hand.start("a")
    with pytest.raises(QueryError, match="takes one statement that reads"):
        hub.sql(statement)
    assert hub.sql("SELECT count(*) FROM event").fetchall() == [(1,)]
    hand.start("b")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT instance_id FROM instances",
        "FROM instances SELECT instance_id",
        "WITH x AS (FROM instances) SELECT instance_id FROM x",
    ],
)
def test_sql_that_reads_gives_a_relation(hub: TaskHub, hand: Any, statement: str) -> None:
    hand.start("a")
    assert hub.sql(statement).fetchall() == [("a",)]
    assert hub.sql(statement).filter("instance_id = 'a'").df().shape == (1, 1)


@pytest.mark.parametrize(
    "statement", ["DESCRIBE instances", "SHOW TABLES", "EXPLAIN FROM event", "EXPLAIN ANALYZE FROM event", "VALUES (1)"]
)
def test_sql_may_look_around(hub: TaskHub, statement: str) -> None:
    assert hub.sql(statement).fetchall() != []


def test_sql_takes_parameters_and_tells_of_errors(hub: TaskHub, hand: Any) -> None:
    hand.start("a", "b")
    assert hub.sql("SELECT instance_id FROM instances WHERE instance_id = ?", ["b"]).fetchall() == [("b",)]
    with pytest.raises(QueryError, match="nothing_of_that_name"):
        hub.sql("SELECT * FROM nothing_of_that_name").fetchall()


@settings(max_examples=50, deadline=None)
@given(st.builds(InstanceQuery, statuses=st.lists(st.text(max_size=3)).map(tuple), name=st.none() | st.text(max_size=3)))
def test_a_condition_has_a_value_for_each_placeholder(wanted: InstanceQuery) -> None:
    sql, values = reader.conditions(wanted)
    assert sql.count("?") == len(values)
