"""Starts over HTTP whose end is told to a URL."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from dfnb.testing import AsyncApi

from .conftest import HOST, Caller

BASE = f"http://{HOST}/runtime/webhooks/durabletask"


@pytest.fixture
def api() -> Iterator[AsyncApi]:
    with AsyncApi() as made:
        made.site("/done", 204)
        yield made


def test_the_status_is_there_right_after_the_202_and_its_end_is_told(server: Caller, api: AsyncApi) -> None:
    with api.serve() as url:
        answer = server.ask("POST", f"/orchestrators/ADD/a1?callbackUrl={quote(url + '/done?x=1', safe='')}", json=41)
        assert (answer.status, answer.json()["id"]) == (202, "a1")
        assert server.ask("GET", "/instances/a1").status in (200, 202)
        server.reach("a1:callback", "Completed")
    (told,) = api.requests
    event = told.json()
    assert (told.method, told.query, told.header("content-type")) == ("POST", {"x": "1"}, "application/cloudevents+json")
    assert (event["type"], event["source"], event["subject"]) == ("dfnb.orchestration.completed", BASE, "a1")
    assert event["data"] == server.ask("GET", "/instances/a1").json()
    assert event["data"]["output"] == 42


def test_an_id_that_is_taken_is_a_conflict_with_a_callback_as_without(server: Caller) -> None:
    server.bring("Running", "x")
    for query in ("", "?callbackUrl=http%3A%2F%2Fa.example"):
        answer = server.ask("POST", f"/orchestrators/echo/x{query}", json=1)
        assert answer.status == 409
        assert "already exists" in answer.json()["ExceptionMessage"]
    assert [status.instance_id for status in server.client.instances()] == ["x"]


@pytest.mark.parametrize("name", ["nothing", "dfnb.callback"])
def test_an_unknown_function_is_refused_and_nothing_is_started(server: Caller, name: str) -> None:
    answer = server.ask("POST", f"/orchestrators/{name}?callbackUrl=http%3A%2F%2Fa.example", json=1)
    assert answer.status == 400
    assert len(server.client.instances()) == 0


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "must be a text"), ("file:///etc/passwd", "must begin with http"), ("http://", "must begin with http"),
        ("https://me:word@a.example/", "user name or a password"), ("https://a.example/%0D%0AX:y\r\n", "control character"),
    ],
    ids=["empty", "file", "no-host", "login", "line-break"],
)  # fmt: skip
def test_a_url_that_cannot_be_called_is_refused_with_a_sentence(server: Caller, url: str, words: str) -> None:
    answer = server.ask("POST", f"/orchestrators/echo?callbackUrl={quote(url, safe='')}", json=1)
    assert answer.status == 400
    assert words in answer.json()["ExceptionMessage"]
    assert "word@" not in answer.body.decode()
    assert len(server.client.instances()) == 0
