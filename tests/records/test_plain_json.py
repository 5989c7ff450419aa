"""JSON from outside."""

from __future__ import annotations

import pytest

from dfnb.records.plain_json import STRICT, names_a_class


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a":-Infinity}', "[1e999]", "[-1.5e400]"])
def test_numbers_that_are_none_elsewhere_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no JSON|is too large a number"):
        STRICT.decode(text)


def test_everything_else_is_read() -> None:
    assert STRICT.decode('[1e3, 100000000000000000000, "\\ud800"]') == [1000.0, 10**20, "\ud800"]


@pytest.mark.parametrize(
    ("text", "does"),
    [
        ('{"__class__":"A","__module__":"m","__data__":1}', True),
        (r'{"\u005f_class__":1}', True),
        (r'[{"a":{"_\u005Fcl\u0061ss__":1}}]', True),
        (r'{"\u0061":"b"}', False),
        (r'{"a":"\u005f_class__"}', False),
        ('{"a":"about __class__ and __module__"}', False),
        ('{"a":1}', False),
    ],
)
def test_the_marker_of_a_class_is_seen_however_it_is_spelled(text: str, does: bool) -> None:
    assert names_a_class(text) is does
