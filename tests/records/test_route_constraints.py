from __future__ import annotations

import pytest

from dfnb.records.route_constraints import CONSTRAINTS, constraint

GUID = "123e4567-e89b-12d3-a456-426614174000"


@pytest.mark.parametrize(
    ("name", "argument", "good", "bad"),
    [
        ("int", None, ["0", "-5", "+5", "2147483647"], ["2147483648", "1.0", "", "٣", "1_0", "9" * 5_000]),
        ("long", None, ["9223372036854775807"], ["9223372036854775808"]),
        ("bool", None, ["true", "FALSE"], ["1", "yes", ""]),
        ("guid", None, [GUID, GUID.upper(), GUID.replace("-", ""), f"{{{GUID}}}", f"({GUID})"], [GUID[1:], f"{{{GUID}", "x"]),
        ("alpha", None, ["aZ"], ["a1", "é"]),
        ("decimal", None, ["1", "-1.50", ".5"], ["1e3", "", "."]),
        ("double", None, ["1e3", "-2.5E-3"], ["nan", "e3"]),
        ("float", None, ["1.5"], ["x"]),
        ("datetime", None, ["2030-01-31", "2030-01-31T10:00"], ["2030-02-31", "soon"]),
        ("required", None, ["a"], [""]),
        ("length", "3", ["abc"], ["ab", "abcd"]),
        ("length", "2, 3", ["ab", "abc"], ["a", "abcd"]),
        ("minlength", "2", ["ab"], ["a"]),
        ("maxlength", "2", ["ab", ""], ["abc"]),
        ("min", "-1", ["-1", "5"], ["-2", "x"]),
        ("max", "3", ["3"], ["4", "x"]),
        ("range", "1,3", ["1", "3"], ["0", "4", "x"]),
        ("regex", "^a+$", ["A", "aa"], ["ab"]),
        ("regex", "b", ["abc"], ["ac"]),
    ],
)
def test_a_constraint_takes_what_it_means(name: str, argument: str | None, good: list[str], bad: list[str]) -> None:
    test = constraint(name, argument)
    assert [value for value in good if not test(value)] == []
    assert [value for value in bad if test(value)] == []
    assert name in CONSTRAINTS


@pytest.mark.parametrize(
    ("name", "argument", "sentence"),
    [
        ("int", "3", r"int takes nothing in brackets, not \(3\)"),
        ("min", None, "min takes 1 whole number"),
        ("range", "1", "range takes 2 whole number"),
        ("length", "1,2,3", "length takes 1 or 2 whole number"),
        ("regex", None, "regex takes an expression in brackets"),
        ("regex", "(", "the regular expression '\\(' is wrong"),
    ],
)
def test_brackets_that_do_not_fit_are_told_in_a_sentence(name: str, argument: str | None, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        constraint(name, argument)
