"""Short texts, and texts of others."""

from __future__ import annotations

import pytest

from dfnb.records.short_repr import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 日本 \U0001f600", "plain é 日本 \U0001f600"),
        ("two\n\tlines", "two\n\tlines"),
        ("\x1b]52;c;ZXZpbA==\x07", r"\x1b]52;c;ZXZpbA==\x07"),
        ("\x9b31m\x7f\x00\r", r"\x9b31m\x7f\x00\r"),
        ("\ud800", r"\ud800"),
    ],
    ids=["plain", "lines", "escape", "others", "half a surrogate pair"],
)
def test_control_characters_are_spelled_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_line_breaks_are_spelled_out_too_where_a_line_is_wanted() -> None:
    assert visible("a\n\tb", kept="") == r"a\n\tb"
