"""Query strings as the original reads them: leniently."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfnb.records.instance import OrchestrationRuntimeStatus as Status
from dfnb.server.query import Query, read_time


def test_names_ignore_case_and_values_are_form_decoded() -> None:
    query = Query(b"ShowHistory=TRUE&reason=a+b%20c%2Bd")
    assert query.flag("showhistory")
    assert query.text("REASON") == "a b c+d"


def test_a_repeated_parameter_is_joined_by_commas_so_that_a_repeated_flag_is_none() -> None:
    query = Query(b"a=1&A=2&flag=true&flag=true")
    assert query.text("a") == "1,2"
    assert query.flag("flag") is False
    assert query.flag("flag", True) is True


def test_an_empty_value_is_none_but_given() -> None:
    query = Query(b"taskHub=&reason")
    assert query.text("taskHub") is query.text("reason") is query.text("other") is None
    assert query.given("taskHub")
    assert query.given("reason")
    assert not query.given("other")


@pytest.mark.parametrize(
    ("word", "value"), [("true", True), ("FALSE", False), ("+true+", True), ("1", None), ("yes", None), ("", None)]
)
def test_a_flag_is_true_or_false_in_any_case(word: str, value: bool | None) -> None:
    query = Query(f"f={word}".encode())
    assert query.flag("f", True) is (True if value is None else value)
    assert query.flag("f", False) is (False if value is None else value)


@pytest.mark.parametrize(
    ("word", "value"), [("7", 7), ("-7", -7), ("+7", 7), ("1.5", 100), ("x", 100), ("9" * 30, 100), ("٣", 100)]
)
def test_a_number_is_a_decimal_integer(word: str, value: int) -> None:
    assert Query(f"top={word}".replace("+", "%2B").encode()).number("top", 100) == value


@pytest.mark.parametrize(
    ("word", "value"), [("5", 5.0), ("0.25", 0.25), (".5", 0.5), ("-1", None), ("1e9", None), ("nan", None), ("", None)]
)
def test_seconds_may_have_fractions(word: str, value: float | None) -> None:
    assert Query(f"timeout={word}".encode()).seconds("timeout") == value


NOON = datetime(2018, 3, 10, 10, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2018-03-10T10:01:00Z", NOON),
        ("2018-03-10T10:01:00.0000000Z", NOON),
        ("2018-03-10T10:01:00", NOON),
        ("2018-03-10 10:01", NOON),
        ("2018-03-10T12:01:00+02:00", NOON),
        ("2018-03-10T12:01:00 02:00", NOON),
        ("2018-03-10T12:01:00.5 0200", NOON + timedelta(milliseconds=500)),
        ("3/10/2018 10:01:00 AM", NOON),
        ("3/10/2018 10:01", NOON),
        ("03/10/2018", datetime(2018, 3, 10, tzinfo=UTC)),
        ("2018-03-10", datetime(2018, 3, 10, tzinfo=UTC)),
        ("0001-01-01T00:00:00+14:00", datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))),
        ("yesterday", None),
        ("2018-13-10", None),
        ("", None),
        (None, None),
    ],
)
def test_a_time_is_iso_8601_or_american(text: str | None, time: datetime | None) -> None:
    assert read_time(text) == time


def test_statuses_are_names_in_any_case_or_numbers_joined_or_repeated() -> None:
    query = Query(b"runtimeStatus=running,%20Completed&runtimeStatus=6,,")
    assert query.statuses() == [Status.Running, Status.Completed, Status.Pending]
    assert Query(b"runtimeStatus=").statuses() == []


@pytest.mark.parametrize("word", ["Runing", "8", "-1", "Unknown"])
def test_an_unknown_status_names_the_known_ones(word: str) -> None:
    with pytest.raises(ValueError, match=r"known are Running, Completed, ContinuedAsNew"):
        Query(f"runtimeStatus=Running,{word}".encode()).statuses()


def test_bytes_that_are_no_utf_8_are_replaced_and_plain_utf_8_is_read() -> None:
    assert Query("reason=café".encode()).text("reason") == "café"
    assert Query(b"reason=%ff%C3%28").text("reason") == "��("
    assert Query(b"reason=\xff").text("reason") == "�"


@given(st.binary())
def test_no_query_is_too_strange(raw: bytes) -> None:
    query = Query(raw)
    for name in ("a", "createdTimeFrom", ""):
        query.text(name)
        query.flag(name)
        query.number(name, 1)
        query.seconds(name)
        query.time(name)


@given(st.text())
def test_no_text_is_too_strange_for_a_time(text: str) -> None:
    found = read_time(text)
    assert found is None or found.tzinfo is not None
