"""Following any status URL: durable functions, plain 202, and APIs with words of their own."""

from __future__ import annotations

import asyncio
import json
import queue
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable

import httpx
import pytest

import dfnb
from dfnb.client.remote.follow import Followed, follow
from dfnb.errors import RemoteError

STATUS = "http://fake/runtime/webhooks/durabletask/instances/a?taskHub=H&connection=S&code=very%2Fsecret"
KEY = "very/secret"


class Server:
    """Gives its answers one after the other, the last one for ever; `asked` has the requests."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self._answers = list(answers)
        self.asked: list[httpx.Request] = []
        self.go_on = threading.Event()
        self.go_on.set()

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        await asyncio.to_thread(self.go_on.wait, 10)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    def follow(self, url: str = STATUS, **options: object) -> Followed:
        return follow(url, transport=httpx.MockTransport(self.answer), **options)  # type: ignore[arg-type]


def durable(status: str, code: int, **more: object) -> httpx.Response:
    told = {
        "name": "trip", "instanceId": "a", "runtimeStatus": status, "input": None, "customStatus": None, "output": None,
        "createdTime": "2026-03-01T10:00:00Z", "lastUpdatedTime": "2026-03-01T10:00:00Z", **more,
    }  # fmt: skip
    return httpx.Response(code, json=told, headers={"Location": STATUS, "Retry-After": "0"} if code == 202 else {})


def test_a_durable_function_is_followed_to_its_output() -> None:
    server = Server(durable("Pending", 202), durable("Running", 202, customStatus="half"), durable("Completed", 200, output=[7]))
    followed = server.follow()
    assert followed.wait(20) == "Completed"
    assert (followed.id, followed.output, followed.result().json()["name"]) == ("a", [7], "trip")
    assert [(one.attempt, one.status) for one in followed.polls] == [(1, 202), (2, 202), (3, 200)]
    assert followed.polls[0].asked_wait is not None
    assert (followed.count, followed.is_over, followed.failure, followed.next_at) == (3, True, "", None)


@pytest.mark.parametrize("answers", [
    [durable("Failed", 200, output="Orchestrator function 'trip' failed: no milk")],
    [durable("Running", 202), durable("Failed", 200)],
    [durable("Running", 202), durable("Terminated", 200)],
    [durable("Failed", 500)],
], ids=["at once", "later", "terminated", "with 500"])  # fmt: skip
def test_a_durable_function_that_fails_is_a_failed_answer(answers: list[httpx.Response]) -> None:
    followed = Server(*answers).follow()
    answer = followed.result(20)
    assert followed.status in ("Failed", "Terminated")
    assert not answer.ok


def test_a_202_without_a_location_is_asked_again_at_the_same_url() -> None:
    server = Server(httpx.Response(202, headers={"Retry-After": "0"}), httpx.Response(200, text="done"))
    assert server.follow("http://job/1").result(20).content == "done"
    assert [str(request.url) for request in server.asked] == ["http://job/1"] * 2


def test_a_location_is_followed_and_credentials_stay_at_home() -> None:
    moved = httpx.Response(202, headers={"Location": "http://other/2", "Retry-After": "0"})
    server = Server(moved, httpx.Response(200, json={"n": 1}))
    followed = server.follow("http://job/1", headers={"Authorization": "Bearer my-very-own-token"})
    assert followed.result(20).json() == {"n": 1}
    assert [str(request.url) for request in server.asked] == ["http://job/1", "http://other/2"]
    assert "Authorization" not in server.asked[1].headers
    assert "my-very-own-token" not in followed._repr_html_()


def test_a_dialect_is_followed_from_its_status_url() -> None:
    def job(status: str) -> httpx.Response:
        return httpx.Response(200, json={"status": status}, headers={"Retry-After": "0"})

    server = Server(job("Running"), job("InProgress"), job("Succeeded"))
    followed = server.follow("https://management.example/operations/1", poll="azure-arm")
    assert followed.result(20).json() == {"status": "Succeeded"}
    assert followed.count == 3


def test_what_is_done_at_once_is_not_asked_again() -> None:
    server = Server(httpx.Response(200, json={"status": "whatever"}))
    assert server.follow("http://job/1").result(20).ok
    assert len(server.asked) == 1


def test_a_server_that_is_not_there_is_an_error_with_a_sentence() -> None:
    followed = Server(httpx.ConnectError("nobody at home")).follow("http://job/1")
    with pytest.raises(dfnb.HttpConnectionError, match="nobody at home"):
        followed.result(20)
    assert (followed.status, "nobody at home" in followed.failure) == ("Failed", True)


def test_awaiting_gives_the_answer_and_a_short_wait_says_when_it_goes_on() -> None:
    server = Server(durable("Running", 202), durable("Completed", 200))
    server.go_on.clear()
    followed = server.follow()
    with pytest.raises(dfnb.WaitTimeoutError):
        followed.wait(0)
    server.go_on.set()

    async def wait() -> int:
        return (await followed).status_code

    assert asyncio.run(wait()) == 200


def test_watchers_hear_of_each_answer() -> None:
    server = Server(durable("Running", 202), durable("Completed", 200))
    server.go_on.clear()
    followed = server.follow()
    seen: queue.Queue[str] = queue.Queue()
    end = followed.watch(lambda ids: seen.put(followed.status))
    server.go_on.set()
    followed.wait(20)
    assert [seen.get(timeout=10), seen.get(timeout=10)] == ["Running", "Completed"]
    end()


def test_closing_ends_it() -> None:
    server = Server(httpx.Response(202, headers={"Retry-After": "600"}))
    followed = server.follow("http://job/1")
    told: queue.Queue[object] = queue.Queue()
    followed.watch(told.put)
    while followed.next_at is None:
        told.get(timeout=10)
    followed.close()
    with pytest.raises(RemoteError, match="not followed any more"):
        followed.result(10)


def test_the_key_is_shown_nowhere() -> None:
    links = {"terminatePostUri": f"http://fake/terminate?code={KEY}", "id": KEY}
    server = Server(httpx.Response(202, json=links, headers={"Retry-After": "0", "Location": STATUS}), durable("Completed", 200))
    followed = server.follow()
    followed.wait(20)
    shown = repr(followed) + followed._repr_html_() + followed.url + json.dumps(followed.polls.har()) + repr(followed.polls)
    assert KEY not in shown
    assert "very%2Fsecret" not in shown
    assert server.asked[1].url.params["code"] == KEY


@pytest.mark.parametrize("make", [lambda: follow("ftp://x"), lambda: follow("x"), lambda: follow("http://x", poll="azur-arm")])
def test_what_cannot_be_followed_is_refused_at_once(make: Callable[[], Followed]) -> None:
    with pytest.raises((ValueError, dfnb.DefinitionError)):
        make()


def test_a_watcher_that_fails_ends_neither_the_following_nor_what_others_hear(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(durable("Running", 202), durable("Running", 202), durable("Completed", 200))
    server.go_on.clear()
    followed = server.follow()
    heard: queue.Queue[frozenset[str]] = queue.Queue()

    def broken(ids: frozenset[str]) -> None:
        raise ZeroDivisionError

    followed.watch(broken)
    followed.watch(heard.put)
    server.go_on.set()
    assert followed.wait(20) == "Completed"
    assert [heard.get(timeout=20) for _ in range(3)] == [frozenset(["a"])] * 3
    thread = followed._thread._thread
    assert thread is not None
    thread.join(20)
    assert not thread.is_alive()
    assert "a callback of watch() failed" in caplog.text


def test_of_large_bodies_only_the_latest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfnb.client.remote.follow._KEPT_BYTES", 2_500)
    answers = [durable("Running", 202, customStatus="x" * 1_000) for _ in range(4)]
    followed = Server(*answers, durable("Completed", 200)).follow()
    assert followed.wait(20) == "Completed"
    polls = followed.polls
    assert [len(one.record.response_body) > 0 for one in polls] == [False, False, False, True, True]
    assert [("was not kept" in (one.note or "")) for one in polls] == [True, True, True, False, False]


def test_what_is_followed_ends_before_the_program_does() -> None:
    program = """
        import atexit
        atexit.register(lambda: print(followed.failure, followed._thread._thread.is_alive()))
        import threading, dfnb, httpx
        answer = httpx.Response(202, headers={"Retry-After": "9"})
        followed = dfnb.follow("https://example.org/x", transport=httpx.MockTransport(lambda request: answer))
        asked = threading.Event()
        followed.watch(lambda ids: asked.set())
        assert followed.count or asked.wait(20)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("the server at https://example.org/x is not followed any more False\n", "")
