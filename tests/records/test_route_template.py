"""Route templates: what they match, which of several is meant, and what is wrong with some."""

from __future__ import annotations

import pytest

from dfnb.records.route_template import parse


@pytest.mark.parametrize(
    ("route", "path", "values"),
    [
        ("", "", {}),
        ("orders", "ORDERS", {}),
        ("/orders/", "orders/", {}),
        ("orders", "orders/1", None),
        ("orders", "", None),
        ("orders/{id}", "orders/Ab", {"id": "Ab"}),
        ("orders/{id}", "orders", None),
        ("orders/{id}", "orders/", None),
        ("orders/{id}", "orders//", None),
        ("orders/{id}", "orders/a%20b+c", {"id": "a b+c"}),
        ("orders/{id}", "orders/%C3%A9", {"id": "é"}),
        ("orders/{id}", "orders/a%2fb", {"id": "a%2Fb"}),
        ("orders/{id?}", "orders", {}),
        ("orders/{id?}", "orders/1", {"id": "1"}),
        ("orders/{id=7}", "orders", {"id": "7"}),
        ("orders/{id=7}/{item?}", "orders/8", {"id": "8"}),
        ("orders/{id:int?}", "orders/x", None),
        ("files/{*rest}", "files", {"rest": ""}),
        ("files/{*rest}", "files/a/b%20c", {"rest": "a/b c"}),
        ("files/{**rest}", "files/a/b", {"rest": "a/b"}),
        ("files/{*rest:minlength(2)}", "files/a", None),
        ("v{major:int}.{minor}/x", "V2.1.3/X", None),
        ("v{major}.{minor}/x", "V2.1.3/X", {"major": "2.1", "minor": "3"}),
        ("{name}.txt", ".txt", None),
        ("a{x}a", "aa", None),
        ("{a}-{b}", "x-", None),
        ("{{a}}/{b}", "{a}/1", {"b": "1"}),
        ("{id:regex(^a{{2}}(b|c)$)}", "aab", {"id": "aab"}),
        ("{id:regex(^a{{2}}(b|c)$)}", "aaa", None),
        ("{id:int:min(3):max(5)}", "4", {"id": "4"}),
        ("{id:int:min(3):max(5)}", "6", None),
        ("größe/{id}", "GR%C3%96%C3%9FE/1", {"id": "1"}),
    ],
)
def test_a_template_matches(route: str, path: str, values: dict[str, str] | None) -> None:
    assert parse(route).match(path) == values


@pytest.mark.parametrize("path", ["..", "a/../b", "%2e%2E", "a/.", "%00", "a%0Ab", "%7f", "%ff", "%C3"])
def test_paths_that_play_tricks_match_nothing(path: str) -> None:
    assert parse("{*rest}").match(path) is None


def test_a_long_path_is_decided_at_once() -> None:
    assert parse("{a}-{b}-{c}-{d}-{e}.txt").match("-" * 60_000) is None


def test_the_smaller_rank_is_the_more_specific_route() -> None:
    routes = ["a/{*rest}", "a/{id}", "a/{id:int}", "a/{x}.txt", "a/b", "a", "{*rest}", "{x}/b"]
    ranked = sorted(routes, key=lambda route: parse(route).rank)
    assert ranked == ["a", "a/b", "a/{x}.txt", "a/{id:int}", "a/{id}", "a/{*rest}", "{x}/b", "{*rest}"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Orders/{id}", "/orders/{number?}", True),
        ("orders/{id:int}", "orders/{n:INT}", True),
        ("orders/{id:int}", "orders/{id}", False),
        ("orders/{id:min(1)}", "orders/{id:min(2)}", False),
        ("orders/{id}", "orders/{*id}", False),
        ("orders", "order", False),
    ],
)
def test_two_routes_have_the_same_shape_when_they_match_the_same_paths(one: str, other: str, same: bool) -> None:
    assert (parse(one).shape == parse(other).shape) is same


@pytest.mark.parametrize(
    ("route", "sentence"),
    [
        ("a/{b", "a brace without its partner"),
        ("a/b}", "a brace without its partner"),
        ("a//b", "two slashes side by side"),
        ("a?b", r"must not contain \? or #"),
        ("{a}{b}", "nothing is between {a} and {b}"),
        ("{a}/{A}", "two parameters named 'A'"),
        ("{*a}/b", "must stand at the end"),
        ("{a?}/b", "{a} may be left out"),
        ("x{a?}", "must stand between slashes alone"),
        ("x{*a}", "must stand between slashes alone"),
        ("{}", "without a name"),
        ("{a b}", "cannot be read from ' b' on"),
        ("{a:int(}", "cannot be read from"),
        ("{a:itn}", "the constraint 'itn', which is not known; did you mean"),
        ("{a:zzzzzz}", "there are int, long"),
        ("{a:min(x)}", "min takes 1 whole number"),
    ],
)
def test_a_wrong_template_is_told_in_a_sentence(route: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse(route)
