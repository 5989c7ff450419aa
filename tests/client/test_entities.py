"""What a client is told of an entity: as objects, as the original's JSON, as HTML."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from dfnb.client.entities import (
    CleanEntityStorageResult,
    DurableEntityStatus,
    EntityPage,
    EntityStateResponse,
    OperationTable,
    entity_html,
    entity_id_of,
    status_of_entity,
)
from dfnb.records.entity import Caller, EntityRecord, OperationRecord
from dfnb.records.entity_id import EntityId
from dfnb.records.failure import FailureDetails

START = 1_767_225_600_000_000  # 2026-01-01
X = EntityId("counter", "x")


def status(state: str | None = "5", *, defined: bool = True, **facts: Any) -> DurableEntityStatus:
    record = EntityRecord(1, "@counter@x", state, START, START + 1_500_000, **facts)
    return status_of_entity(record, lambda kind, name: defined and (kind, name) == ("entity", "counter"))


def operation(number: int, **facts: Any) -> OperationRecord:
    given: dict[str, Any] = {
        "kind": "signal", "name": "add", "status": "Completed", "sent_at": START, "ran_at": START, "took": 1500, "caller": None,
        "input": "5", "result": "6", "failure": None,
    }
    return OperationRecord(number, **{**given, **facts})


def test_an_entity_is_named_by_its_id_or_the_text_of_it() -> None:
    assert entity_id_of(X) is X
    assert entity_id_of("@Counter@X") == EntityId("counter", "X")
    with pytest.raises(ValueError, match="'counter' is not an entity id of the form @name@key"):
        entity_id_of("counter")
    with pytest.raises(TypeError, match="by an EntityId or a text '@name@key', not int"):
        entity_id_of(7)


def test_the_status_of_an_entity() -> None:
    found = status('{"n": 5}', operations=3, waiting=1, lock=Caller("trip-1", 0, 2))
    assert found
    assert (found.entity_id, found.state, found.operations, found.waiting, found.locked_by) == (X, {"n": 5}, 3, 1, "trip-1")
    assert found.created_time == datetime(2026, 1, 1, tzinfo=UTC)
    assert found.last_operation_time == datetime(2026, 1, 1, 0, 0, 1, 500_000, UTC)
    assert repr(found) == '<DurableEntityStatus @counter@x: state {"n": 5}, 3 operations, 1 waiting, locked by trip-1>'


def test_an_entity_nobody_knows_is_false() -> None:
    missing = DurableEntityStatus(X)
    assert not missing
    assert repr(missing) == "<DurableEntityStatus @counter@x: no such entity>"
    assert missing.to_json() == {"entityId": {"name": "counter", "key": "x"}, "lastOperationTime": None, "state": None}


def test_the_json_is_that_of_the_original() -> None:
    assert list(status("0").to_json().items()) == [
        ("entityId", {"name": "counter", "key": "x"}), ("lastOperationTime", "2026-01-01T00:00:01.500000Z"), ("state", 0),
    ]
    assert status(None).to_json()["state"] is None


def test_operations_that_wait_for_a_cell_are_told() -> None:
    assert status(waiting=2, defined=False).waiting_for == "waiting for the cell that defines counter"
    assert status(waiting=2).waiting_for == status(defined=False).waiting_for == ""


def test_results_compare_by_value() -> None:
    assert EntityStateResponse() == EntityStateResponse(False, None)
    assert CleanEntityStorageResult(1, 2) == CleanEntityStorageResult(1, 2)


def test_an_entity_as_html_has_its_state_operations_and_lock() -> None:
    failure = FailureDetails("builtins.ValueError", "<bad>", "")
    table = OperationTable([operation(2, status="Failed", failure=failure, result=None), operation(1, caller="trip-1")])
    shown = entity_html(status('{"n": "<i>"}', operations=2, waiting=1, lock=Caller("trip-1")), table)
    assert '{\n  &quot;n&quot;: &quot;&lt;i&gt;&quot;\n}' in shown
    for text in ("counter", "ValueError: &lt;bad&gt;", "locked by", "trip-1", "1.5 ms", "a client", "2 in all"):
        assert text in shown
    assert "<i>" not in shown
    assert "no such entity" in entity_html(DurableEntityStatus(X))
    assert "the cell that defines counter" in entity_html(status(waiting=1, defined=False))
    assert ">none<" in entity_html(status(None))


def test_a_page_has_a_line_for_each_entity() -> None:
    page = EntityPage([status(), status('"' + "a" * 1000 + '"', waiting=2)], "more")
    name, key, _, operations, waiting, holder, state = page.lines()[0]
    assert (name, key, operations, waiting, holder, state) == ("counter", "x", "0", "", "", "5")
    assert len(page.lines()[1][-1]) == 160
    assert "there are more" in page._repr_html_()
    assert "no entities" in EntityPage([], None)._repr_html_()


def test_a_table_of_operations_tells_locks_and_waiting_ones() -> None:
    table = OperationTable([
        operation(2, kind="lock", name="", status="Waiting", caller="trip-1", ran_at=None, took=None, input=None, result=None),
        operation(1),
    ])
    assert table.lines()[0] == ("2", "lock", "Waiting", "trip-1", "", "", "", "")
    assert table.lines()[1][0:4] == ("1", "add", "Completed", "a client")
    assert "no operations" in OperationTable()._repr_html_()
