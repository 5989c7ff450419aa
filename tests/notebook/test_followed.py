"""The picture of a URL that is being followed."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import cast

import httpx
import pytest

from dfnb.client.http_log import http_log
from dfnb.client.remote.follow import Followed, follow
from dfnb.notebook import display
from dfnb.notebook.followed import FollowedTracker
from dfnb.records.http import Exchange

URL = "http://fake/runtime/webhooks/durabletask/instances/a?code=very-secret"


def durable(status: str, code: int, **more: object) -> httpx.Response:
    told = {"name": "trip", "instanceId": "a", "runtimeStatus": status, "createdTime": "2026-03-01T10:00:00Z", **more}
    headers = {"Location": URL, "Retry-After": "600"} if code == 202 else {}
    return httpx.Response(code, json=told, headers=headers)


def followed(answer: httpx.Response) -> Followed:
    """What is followed, once it was answered."""
    go, answered = threading.Event(), threading.Event()

    def reply(request: httpx.Request) -> httpx.Response:
        assert go.wait(10)
        return answer

    made = follow(URL, transport=httpx.MockTransport(reply))
    made.watch(lambda ids: answered.set())
    go.set()
    assert answered.wait(10)
    return made


def test_a_durable_function_shows_as_its_instance_with_the_next_request() -> None:
    one = followed(durable("Running", 202, customStatus={"done": 3}))
    tracker = FollowedTracker(one)
    assert "status" in tracker.look()["set"]
    assert tracker.look() == {}
    picture = tracker.full()
    assert (picture["name"], picture["id"], picture["status"], picture["custom"]) == ("trip", "a", "Running", '{"done":3}')
    assert picture["waits"][0]["next"] > picture["created"]
    (call,) = picture["calls"]
    assert (call["status"], call["polls"], call["next"]) == ("202 Accepted", 0, picture["waits"][0]["next"])
    assert not tracker.is_over
    html = display.bundle(tracker.still())["text/html"]
    assert "next request at" in html
    assert "very-secret" not in html + str(picture)
    one.close()
    tracker.look()
    assert (tracker.is_over, tracker.full()["waits"]) == (True, [])


def test_the_end_shows_output_or_failure() -> None:
    tracker = FollowedTracker(followed(durable("Completed", 200, output=[7])))
    tracker.look()
    assert (tracker.is_over, tracker.full()["status"], tracker.full()["output"]) == (True, "Completed", "[7]")
    broken = FollowedTracker(followed(httpx.Response(404)))
    broken.look()
    assert display.instance_text(broken.full()).startswith("<Instance 'http://fake/")
    assert (broken.full()["status"], broken.full()["calls"][0]["status"]) == ("Failed", "404 Not Found")


def test_its_requests_are_on_a_time_axis_and_in_a_list_with_their_bodies() -> None:
    one = followed(durable("Running", 202, customStatus={"done": 3}))
    tracker = FollowedTracker(one)
    delta = tracker.look()
    assert (delta["set"]["tabs"], delta["set"]["counts"]) == (["timeline", "http"], {"tasks": 1, "exchanges": 1})
    assert delta["set"]["waits"][0]["asked"] == 600_000
    (row,) = tracker.answer({"ask": "timeline", "from": 0, "count": 9})["rows"]
    assert (row["k"], row["st"], row["x"], row["ra"]) == ("http", "Running", delta["set"]["waits"][0]["next"], 600_000)
    listed = tracker.answer({"ask": "http", "from": 0, "count": 9})
    assert (listed["total"], listed["rows"][0]["text"], listed["rows"][0]["asked"]) == (1, "202 Accepted", 600_000)
    whole = tracker.answer({"ask": "exchange", "i": 0})
    assert "very-secret" not in str(whole)
    assert '"done":3' in whole["response"]["text"].replace(" ", "")
    page = tracker.answer({"ask": "payload", "of": {"x": 0, "side": "response"}, "from": 0, "count": 7})
    assert page == {"text": whole["response"]["text"][:7], "total": len(whole["response"]["text"])}
    for question in ({"ask": "exchange", "i": 1}, {"ask": "code"}, {"ask": "payload", "of": "input"}):
        with pytest.raises(ValueError, match=r"no such line|nothing to say"):
            tracker.answer(question)
    one.close()
    assert tracker.look()["rows"]["0"]["st"] == "Canceled"


def test_the_row_on_the_axis_ends_with_the_call() -> None:
    tracker = FollowedTracker(followed(durable("Completed", 200)))
    (row,) = tracker.look()["rows"].values()
    assert (row["st"], row["e"] >= row["s"]) == ("Completed", True)


def test_of_very_many_requests_the_first_are_forgotten_and_the_view_begins_anew() -> None:
    requests = http_log("a", [Exchange(0, 0, n, "poll", n, 1, "GET", URL, status=202) for n in range(1, 4)])
    told = {"id": "a", "url": URL, "status": "Running", "json": None, "failure": "", "is_over": False}
    many = SimpleNamespace(**told, started_at=0, ended_at=None, next_at=5, count=9, polls=requests)
    tracker = FollowedTracker(cast(Followed, many))
    tracker.look()
    assert not tracker.restarted
    requests.pop(0)
    tracker.look()
    assert tracker.restarted
    assert tracker.answer({"ask": "http"})["rows"][0]["attempt"] == 2
    tracker.look()
    assert not tracker.restarted
