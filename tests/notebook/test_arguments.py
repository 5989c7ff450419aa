from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from IPython.core.error import UsageError

from dfnb.notebook import arguments


def test_words_and_options_stand_in_any_order():
    found = arguments.words_and_options("--limit 3 a 'b c' --live --name=x", ("limit", "name"), ("live",))
    assert found == (["a", "b c"], {"limit": "3", "live": "", "name": "x"})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("--limt 3", "did you mean --limit?"),
        ("--zzz", "there are --limit, --live"),
        ("--limit", "--limit needs a value"),
        ("'open", "a quote is not closed"),
    ],
)
def test_a_wrong_option_is_told_in_a_sentence(text, sentence):
    with pytest.raises(UsageError, match=sentence):
        arguments.words_and_options(text, ("limit",), ("live",))


@pytest.mark.parametrize(
    ("text", "rest", "options"),
    [
        ('["Oslo", "a --id b"]', '["Oslo", "a --id b"]', {}),
        ('["Oslo"] --id trip-1', '["Oslo"]', {"id": "trip-1"}),
        ('--id trip-1 {"a": 1} --at +5m', '{"a": 1}', {"id": "trip-1", "at": "+5m"}),
        ("--at='2030-01-01 10:00'", "", {"at": "2030-01-01 10:00"}),
    ],
)
def test_options_are_taken_off_both_ends_of_a_value(text, rest, options):
    assert arguments.take_options(text, ("id", "at")) == (rest, options)


@pytest.mark.parametrize("text", ["--di x 1", "--id"])
def test_an_unknown_option_before_a_value_is_refused(text):
    with pytest.raises(UsageError):
        arguments.take_options(text, ("id", "at"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("null", None),
        ('{"a": [1, true]}', {"a": [1, True]}),
        ("{'a': (1, None)}", {"a": (1, None)}),
        ("[n + 1 for n in range(2)]", [1, 2]),
        ("$cities", ["Oslo"]),
        ("{cities}", ["Oslo"]),
        ("cities * 2", ["Oslo", "Oslo"]),
        ('"Oslo"', "Oslo"),
    ],
)
def test_a_value_is_json_a_variable_or_an_expression(text, value):
    assert arguments.value(text, {"cities": ["Oslo"]}) == value


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Oslo", 'put a text in quotes: "Oslo"'),
        ("citis", r"did you mean cities\?"),
        ("$citis", r"there is no variable 'citis' \(did you mean cities\?\)"),
        ("two words", "neither JSON nor a Python expression"),
        ("1/0", "cannot be computed: ZeroDivisionError"),
    ],
)
def test_a_wrong_value_is_told_in_a_sentence(text, sentence):
    with pytest.raises(UsageError, match=sentence):
        arguments.value(text, {"cities": ["Oslo"]})


def test_a_moment_is_absolute_or_from_now():
    assert arguments.moment("2030-01-01T10:00+00:00") == datetime(2030, 1, 1, 10, tzinfo=UTC)
    assert arguments.moment("2030-01-01T10:00").tzinfo is not None
    later = arguments.moment("+5m") - datetime.now(UTC)
    assert timedelta(minutes=4) < later < timedelta(minutes=6)
    with pytest.raises(UsageError, match="is not a time"):
        arguments.moment("soon")


@pytest.mark.parametrize("text", ["x", "-1", "nan", "inf"])
def test_a_number_of_seconds_is_checked(text):
    with pytest.raises(UsageError, match="takes a number"):
        arguments.number(text, "--timeout")
