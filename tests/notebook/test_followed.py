"""The picture of a URL that is being followed."""

from __future__ import annotations

import threading

import httpx

from dfnb.client.remote.follow import Followed, follow
from dfnb.notebook import display
from dfnb.notebook.followed import FollowedTracker

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
    assert (broken.full()["status"], broken.full()["calls"][0]["status"]) == ("Failed", "404 Not Found")
