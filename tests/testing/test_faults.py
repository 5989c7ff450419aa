"""Each trap once: as httpx sees it without a socket and over a real one, or as the polling core lives through it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from dfnb.durable_http.polling import Finished
from dfnb.testing import (
    AsyncApi,
    Body,
    DoubledHeaders,
    Drop,
    Empty,
    FakeClock,
    Header,
    HtmlError,
    Huge,
    LowerCaseHeaders,
    Redirect,
    Reply,
    Reset,
    ServerError,
    Slow,
    Throttle,
)

Follow = Callable[..., Finished]
RESULT = {"answer": 42}


@pytest.fixture(params=["transport", "server"])
def any_client(request: pytest.FixtureRequest) -> httpx.Client:
    """Without a socket, and over one."""
    client: httpx.Client = request.getfixturevalue("client" if request.param == "transport" else "served")
    return client


# ---- on the wire, the same both ways


def test_a_reset_is_a_read_error_and_the_job_is_not_started(api: AsyncApi, any_client: httpx.Client) -> None:
    api.job("/work")
    api.faults("/work", Reset(), Reset(accepted=True))
    for jobs in (0, 1):
        with pytest.raises(httpx.ReadError):
            any_client.post("/work")
        assert len(api.jobs) == jobs
    assert any_client.post("/work").status_code == 202


def test_a_connection_that_is_closed_without_a_word_is_a_protocol_error(api: AsyncApi, any_client: httpx.Client) -> None:
    api.site("/check")
    api.faults("/check", Drop())
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        any_client.get("/check")
    assert any_client.get("/check").status_code == 200


@pytest.mark.parametrize(("fault", "error"), [(Reset(after=5), httpx.ReadError), (Drop(after=5), httpx.RemoteProtocolError)])
def test_a_connection_may_break_in_the_middle_of_a_body(
    api: AsyncApi, any_client: httpx.Client, fault: Reset, error: type[Exception]
) -> None:
    api.site("/check", body="twelve bytes")
    api.faults("/check", fault)
    got = b""
    with any_client.stream("GET", "/check") as response, pytest.raises(error):  # noqa: PT012 (the error comes while it is read)
        assert response.status_code == 200
        for piece in response.iter_bytes():
            got += piece
    assert b"twelve bytes".startswith(got)
    if isinstance(fault, Drop):
        assert got == b"twelv"
    assert any_client.get("/check").text == "twelve bytes"


def test_a_body_of_200_mb_is_made_while_it_is_sent(api: AsyncApi, any_client: httpx.Client) -> None:
    api.site("/check")
    api.faults("/check", Huge(200_000_000))
    with any_client.stream("GET", "/check") as response:
        assert response.headers["Content-Length"] == "200000000"
        assert sum(map(len, response.iter_raw())) == 200_000_000


def test_headers_may_come_twice_in_lower_case_or_not_at_all(api: AsyncApi, any_client: httpx.Client) -> None:
    api.job("/work", retry_after=("5", "7"))
    assert any_client.post("/work").headers.get_list("Retry-After") == ["5", "7"]
    api.faults("/work", LowerCaseHeaders(), DoubledHeaders(), Header("Location"), Header("Retry-After", "1", "2", "x"))
    assert [name for name, _ in any_client.post("/work").headers.raw][:2] == [b"location", b"retry-after"]
    assert len(any_client.post("/work").headers.get_list("location")) == 2
    assert "location" not in any_client.post("/work").headers
    assert any_client.post("/work").headers.get_list("retry-after") == ["1", "2", "x"]


def test_bodies_may_be_missing_no_text_or_a_page_of_a_proxy(api: AsyncApi, any_client: httpx.Client) -> None:
    api.site("/check", body=RESULT)
    api.faults("/check", Empty(), Body(), Body(b"<x/>", "application/json"), HtmlError(), None)
    assert (any_client.get("/check").status_code, api.count()) == (200, 1)
    broken = any_client.get("/check")
    with pytest.raises(UnicodeDecodeError):
        broken.content.decode()
    odd = any_client.get("/check")
    assert (odd.headers["content-type"], odd.text) == ("application/json", "<x/>")
    page = any_client.get("/check")
    assert (page.status_code, page.headers["content-type"]) == (502, "text/html")
    assert page.text.startswith("<html>")
    assert any_client.get("/check").json() == RESULT


def test_refusals_say_when_to_come_back(api: AsyncApi, any_client: httpx.Client) -> None:
    api.site("/check")
    api.faults("/check", Throttle(retry_after=2), ServerError(503, retry_after="garbage"), ServerError(500), Reply(204))
    api.faults("/check", Reply(410, (("X", "1"), ("X", "2")), b"gone"))
    first, second, third = (any_client.get("/check") for _ in range(3))
    assert (first.status_code, first.headers["retry-after"]) == (429, "2")
    assert (second.status_code, second.headers["retry-after"]) == (503, "garbage")
    assert (third.status_code, "retry-after" in third.headers) == (500, False)
    assert any_client.get("/check").status_code == 204
    gone = any_client.get("/check")
    assert (gone.status_code, gone.text, gone.headers.get_list("x")) == (410, "gone", ["1", "2"])


def test_the_outermost_of_several_faults_has_the_last_word(api: AsyncApi, any_client: httpx.Client) -> None:
    api.always("/check", LowerCaseHeaders())
    api.site("/check", headers={"X-Big": "1"})
    api.faults("/check", (Header("X-More", "2"), ServerError(500)))
    told = any_client.get("/check")
    assert (told.status_code, (b"x-more", b"2") in told.headers.raw) == (500, True)
    assert (b"x-big", b"1") in any_client.get("/check").headers.raw


def test_a_function_is_a_fault_too(api: AsyncApi, any_client: httpx.Client) -> None:
    api.site("/check", body="fine")
    api.faults("/check", lambda request, genuine: genuine().plus(("X-Path", request.path)))
    assert any_client.get("/check").headers["X-Path"] == "/check"


# ---- late answers


def test_a_slow_answer_comes_when_the_clock_has_come_there(api: AsyncApi, clock: FakeClock) -> None:
    import asyncio

    async def main() -> None:
        async with httpx.AsyncClient(transport=api.transport(), base_url=api.url, timeout=None) as client:
            late = [asyncio.create_task(client.get("/check")) for _ in range(3)]
            await asyncio.to_thread(api.wait_for, 3)
            clock.advance(29)
            await asyncio.sleep(0)
            assert not any(task.done() for task in late)
            clock.advance(1)
            assert [response.text for response in await asyncio.gather(*late)] == ["here"] * 3

    api.site("/check", body="here")
    api.always("/check", Slow(30))
    asyncio.run(main())


def test_a_timeout_for_reading_passes_on_the_same_clock(api: AsyncApi, clock: FakeClock) -> None:
    import asyncio

    async def main() -> None:
        async with httpx.AsyncClient(transport=api.transport(), base_url=api.url, timeout=5) as client:
            late = asyncio.create_task(client.get("/check"))
            await asyncio.to_thread(api.wait_for, 1)
            clock.advance(5)
            with pytest.raises(httpx.ReadTimeout):
                await late

    api.site("/check")
    api.faults("/check", Slow(math.inf))
    asyncio.run(main())


def test_a_real_server_keeps_its_answer_back_too() -> None:
    with AsyncApi() as api, api.serve() as url, httpx.Client(base_url=url, timeout=0.2) as client:
        api.site("/check")
        api.faults("/check", Slow(math.inf), Slow(0.01))
        with pytest.raises(httpx.ReadTimeout):
            client.get("/check")
        assert client.get("/check").status_code == 200


# ---- as the polling core lives through them


@pytest.mark.parametrize("value", [0, -5, "1e99", "1.5", "garbage", None, timedelta(minutes=-5), ("5", "7"), timedelta(seconds=3)])
def test_any_retry_after_leads_to_the_result(api: AsyncApi, follow: Follow, clock: FakeClock, value: Any) -> None:
    api.job("/work", polls=2, retry_after=value, result=RESULT)
    began = clock.now()
    assert json.loads(follow("POST", "/work").answer.body) == RESULT
    waits = {None: 30, "garbage": 30, "1e99": 3600, "1.5": 1.5, ("5", "7"): 7, timedelta(seconds=3): 3}
    assert clock.now() - began == 3 * waits.get(value, 1) * 1_000_000


def test_a_list_has_a_retry_after_for_each_answer(api: AsyncApi, client: httpx.Client) -> None:
    api.job("/work", polls=9, retry_after=[5, None, datetime(2026, 10, 21, 7, 28, tzinfo=UTC), "2"])
    got = [client.post("/work").headers.get("Retry-After")]
    got += [client.get("/operations/1").headers.get("Retry-After") for _ in range(4)]
    assert got == ["5", None, "Wed, 21 Oct 2026 07:28:00 GMT", "2", "2"]


def test_a_servers_clock_may_be_hours_off(clock: FakeClock) -> None:
    with AsyncApi(clock, skew=timedelta(hours=-7)) as api, httpx.Client(transport=api.transport(), base_url=api.url) as client:
        api.job("/work", retry_after=timedelta(seconds=20))
        api.site("/check")
        api.faults("/check", Throttle(retry_after=timedelta(seconds=20)))
        for answer in (client.post("/work"), client.get("/check")):
            assert answer.headers["Date"] == "Wed, 31 Dec 2025 17:00:00 GMT"
            assert answer.headers["Retry-After"] == "Wed, 31 Dec 2025 17:00:20 GMT"


@pytest.mark.parametrize("location", ["relative", "changing", "other-origin", "http://api.example/operations/1"])
def test_a_location_is_followed_wherever_it_may_be(api: AsyncApi, follow: Follow, location: str) -> None:
    api.job("/work", polls=2, location=location, result=RESULT)
    base = "http://api.example" if location.startswith("http:") else api.url
    ended = follow("POST", f"{base}/work", headers={"Authorization": "Bearer t", "Accept": "application/json"})
    assert json.loads(ended.answer.body) == RESULT
    polls = api.received("GET")
    assert {poll.header("Authorization") for poll in polls} == {None if location == "other-origin" else "Bearer t"}
    if location == "changing":
        assert [poll.query["step"] for poll in polls] == ["1", "2", "3"]


@pytest.mark.parametrize(("location", "said"), [("downgrade", "step down to http"), ("file", "only http and https")])
def test_a_location_that_must_not_be_followed_is_refused(api: AsyncApi, follow: Follow, location: str, said: str) -> None:
    api.job("/work", location=location)
    ended = follow("POST", "/work")
    assert (ended.why, api.count()) == ("refused", 1)
    assert said in ended.note


def test_a_202_without_a_location_is_the_answer(api: AsyncApi, follow: Follow) -> None:
    api.job("/work", location="missing")
    assert (follow("POST", "/work").answer.status, api.count()) == (202, 1)


def test_a_redirect_loop_ends(api: AsyncApi, follow: Follow) -> None:
    api.redirect("/a", "/b")
    api.redirect("/b", "/a", 307)
    assert follow("GET", "/a").why == "refused"
    assert api.count() == 11


def test_polls_may_be_redirected_and_throttled_and_broken(api: AsyncApi, follow: Follow) -> None:
    api.job("/work", polls=1, result=RESULT)
    api.faults("/work", Redirect("/operations/1?b"), Throttle(retry_after=9), None, Reset(after=0), HtmlError(), on="poll")
    ended = follow("POST", "/work")
    assert json.loads(ended.answer.body) == RESULT
    assert [request.query for request in api.received("GET")][:2] == [{}, {"b": ""}]
    assert api.jobs[0].asked == 3  # the poll that was reset in its body, and those that got through


def test_502_twice_and_then_fine(api: AsyncApi, follow: Follow) -> None:
    api.job("/work", "azure-data-plane", polls=0, result=RESULT)
    api.faults("/operations/*", HtmlError(502), HtmlError(502))
    assert (follow("POST", "/work").why, api.count("GET")) == ("ok", 3)


def test_a_job_may_appear_late_and_be_forgotten(api: AsyncApi, follow: Follow, clock: FakeClock, client: httpx.Client) -> None:
    api.job("/work", polls=0, appears_after=timedelta(seconds=2), forgotten_after=timedelta(minutes=1), result=RESULT)
    assert json.loads(follow("POST", "/work").answer.body) == RESULT
    assert api.count("GET") == 2
    clock.advance(61)
    assert client.get("/operations/1").status_code == 410


def test_there_may_be_nothing_at_the_end(api: AsyncApi, follow: Follow) -> None:
    api.job("/work")
    ended = follow("POST", "/work")
    assert (ended.failed, ended.answer.status, ended.answer.body) == (False, 204, b"")
    api.job("/empty", result=RESULT)
    api.faults("/empty", None, Empty(), on="poll")
    ended = follow("POST", "/empty")
    assert (ended.failed, ended.answer.status, ended.answer.body) == (False, 200, b"")


@pytest.mark.parametrize("spelling", [str.upper, str.lower, str.title, str.swapcase])
def test_status_words_come_in_any_case(api: AsyncApi, follow: Follow, spelling: Callable[[str], str]) -> None:
    api.job("/work", "azure-arm", polls=2, spelling=spelling)
    assert (follow("POST", "/work").why, api.jobs[0].asked) == ("ok", 3)


def test_a_success_may_say_that_it_failed(api: AsyncApi, follow: Follow) -> None:
    api.job("/work", "azure-data-plane", fails={"code": "E1", "message": "bad page"})
    ended = follow("POST", "/work")
    assert (ended.answer.status, ended.failed) == (200, True)
    assert json.loads(ended.answer.body)["error"] == {"code": "E1", "message": "bad page"}


def test_a_job_may_never_end(api: AsyncApi, clock: FakeClock, client: httpx.Client) -> None:
    api.job("/work", polls=math.inf)
    client.post("/work")
    clock.advance(timedelta(days=365))
    assert {client.get("/operations/1").status_code for _ in range(50)} == {202}


def test_a_poll_that_is_refused_is_not_counted(api: AsyncApi, client: httpx.Client) -> None:
    api.job("/work", polls=1)
    api.faults("/work", Throttle(), Throttle(), on="poll")
    client.post("/work")
    assert [client.get("/operations/1").status_code for _ in range(4)] == [429, 429, 202, 204]


def test_faults_that_were_not_met_are_counted(api: AsyncApi, client: httpx.Client) -> None:
    api.faults("/check", Throttle(), None, ServerError())
    api.always("/check", LowerCaseHeaders())
    assert api.faults_left == 2
    client.get("/check")
    assert api.faults_left == 1
