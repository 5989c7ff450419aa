from __future__ import annotations

import pytest

from dfnb.durable_http.documents import Document
from dfnb.durable_http.places import Scene, look, look_for, parse_place

SCENE = Scene(
    method="POST",
    url="https://a.example/api/v2/jobs?key=1",
    status_url="https://a.example/s/7?t=x",
    first_location="https://a.example/first",
    headers=(("LOCATION", "/next"), ("X-Id", "id 5")),
    document=Document(b'{"id": 42, "name": "operations/9", "next": {"url": "/n"}, "bad": "../x"}'),
)


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("header:Location", "/next"),
        ("header:Missing", None),
        ("body:next.url", "/n"),
        ("body:nothing", None),
        ("first-location", "https://a.example/first"),
        ("same", "https://a.example/api/v2/jobs?key=1"),
        ("{url}", "https://a.example/api/v2/jobs?key=1"),
        ("{url}/{body.id}", "https://a.example/api/v2/jobs/42?key=1"),
        ("{status}/cancel", "https://a.example/s/7/cancel?t=x"),
        ("{status}:cancel", "https://a.example/s/7:cancel?t=x"),
        ("{origin}/x?y=1", "https://a.example/x?y=1"),
        ("{api}/{body.name}", "https://a.example/api/v2/operations/9"),
        ("/jobs/{header.X-Id}", "/jobs/id%205"),
        ("https://b.example/{body.id}", "https://b.example/42"),
        ("{url}/{body.bad}", None),
        ("{url}/{body.nothing}", None),
        ("if POST PUT: body:next.url", "/n"),
        ("if DELETE: body:next.url", None),
    ],
)
def test_what_stands_at_a_place(place: str, found: str | None) -> None:
    assert look(place, SCENE) == found


def test_the_first_place_that_holds_something_counts_and_loses_its_condition() -> None:
    assert look_for(("body:nothing", "if POST: header:Location", "body:next.url"), SCENE) == ("header:Location", "/next")
    assert look_for(("body:nothing",), SCENE) is None


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("Location", "'header:Location'"),
        ("hedder:Location", "'header:Location'"),
        ("status_url", "'body:status_url'"),
        ("{urll}/x", "{url}"),
        ("{body.}", "path"),
        ("{url", "brace"),
        ("header:a b", "header"),
        ("body:a..b", "no path"),
    ],
)
def test_what_is_no_place_gets_a_hint(text: str, hint: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_place(text)
    assert hint in str(caught.value)
