"""The traps of polling, and its laws."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfnb.durable_http.description import Poll
from dfnb.durable_http.dialects import DIALECTS
from dfnb.durable_http.messages import Answer, Request
from dfnb.durable_http.polling import MAX_REDIRECTS, AskAgain, Finished, PollState, Step, advance, begin, cancel_request
from dfnb.durable_http.retry_after import SECOND, Pace
from dfnb.durable_http.secrets import Secret
from dfnb.durable_http.urls import SAFE_HEADERS, origin

HOME = "https://a.example/jobs"
KEY = (("Authorization", "Bearer t"), ("Cookie", "c"), ("X-Api-Key", "k"), ("Accept", "application/json"))
WORDS = Poll(
    locate="header:Location", accepted=202, status="status", running="running", ok="done", fail="failed", cancel="DELETE {status}"  # type: ignore[arg-type]
)


def start(poll: Any = "auto", method: str = "POST", headers: tuple[tuple[str, str], ...] = KEY, **more: Any) -> PollState:
    return begin(Request(method, HOME, headers, b"body" if method != "GET" else None), poll, now=0, **more)


def said(state: PollState, status: int, headers: Any = (), body: Any = b"", at: int = 0, error: str | None = None) -> Step:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    pairs = tuple(headers.items()) if isinstance(headers, dict) else headers
    return advance(state, Answer(status, pairs, raw, state.request.url, at, error))


def again(step: Step) -> PollState:
    assert isinstance(step, AskAgain), step
    return step.state


def over(step: Step) -> Finished:
    assert isinstance(step, Finished), step
    return step


def polling(poll: Any = "auto", at: int = 0, **more: Any) -> PollState:
    return again(said(start(poll, **more), 202, {"Location": "/s/1"}, at=at))


# -- Location


def test_a_202_without_a_location_is_the_result() -> None:
    end = over(said(start(), 202, {"Retry-After": "5"}))
    assert (end.why, end.failed, end.answer.status) == ("answered", False, 202)


def test_a_status_that_was_named_as_accepted_begins_polling_without_a_word() -> None:
    ticket = Poll(locate="{origin}/tickets/{body.ticket}", accepted=(200,), status="state", ok="ready")
    assert again(said(start(ticket), 200, body={"ticket": 7})).request.url == "https://a.example/tickets/7"
    assert over(said(start(ticket), 200, body={"ticket": 7, "state": "ready"})).why == "ok"
    assert over(said(start(ticket), 200, body={"cached": True})).why == "answered"
    unnamed = Poll(locate="{origin}/tickets/{body.ticket}", status="state", ok="ready")
    assert over(said(start(unnamed), 200, body={"ticket": 7})).why == "answered"


def test_the_body_of_the_first_request_is_let_go_once_polling_begins() -> None:
    state = polling()
    assert (state.first.body, state.request.body) == (None, None)
    assert state.request == Request("GET", "https://a.example/s/1", KEY)


def test_the_location_may_change_with_each_202_and_may_be_left_out() -> None:
    state = again(said(polling(), 202, {"Location": "/s/2"}))
    assert state.request.url == "https://a.example/s/2"
    state = again(said(state, 202))
    assert state.request.url == "https://a.example/s/2"
    state = again(said(state, 202, {"location": "3"}))
    assert state.request.url == "https://a.example/s/3"


def test_another_origin_gets_only_what_is_safe_and_home_gets_all_again() -> None:
    step = said(start(), 202, {"Location": "https://b.example/s"})
    assert isinstance(step, AskAgain)
    assert step.note == "on to another origin, https://b.example:443, without credentials"
    assert step.request == Request("GET", "https://b.example/s", (("Accept", "application/json"),), None, False)
    back = again(said(step.state, 202, {"Location": "https://a.example/s"}))
    assert (back.request.headers, back.request.trusted) == (KEY, True)


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://a.example/s", "ftp://a.example/", "https://a.example\\@b/"])
@pytest.mark.parametrize("phase", ["first", "poll"])
def test_a_location_that_must_not_be_followed_ends_the_call_with_its_answer(location: str, phase: str) -> None:
    state = start("location") if phase == "first" else polling()
    end = over(said(state, 202, {"Location": location}))
    assert (end.why, end.failed, end.answer.status) == ("refused", True, 202)
    assert "the server points" in end.note


def test_a_secret_in_the_query_stays_a_reference_where_the_url_is_used_again() -> None:
    marker = Secret.env("FUNCTION_KEY").marker
    state = begin(Request("PUT", f"{HOME}?code={marker}"), "azure-arm", now=0)
    state = again(said(state, 201, body={"properties": {"provisioningState": "Creating"}}))
    assert state.request.url == f"{HOME}?code={marker}"


def test_of_two_locations_the_first_counts() -> None:
    headers = (("Location", ""), ("location", "/s/1"), ("Location", "/s/2"))
    assert again(said(start(), 202, headers)).request.url == "https://a.example/s/1"


# -- redirects


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (303, "PUT", "GET"),
        (301, "PUT", "PUT"),
        (307, "POST", "POST"),
        (308, "PATCH", "PATCH"),
        (303, "HEAD", "HEAD"),
    ],
)
def test_redirects_of_the_first_request(status: int, method: str, then: str) -> None:
    step = said(start(method=method), status, {"Location": "/elsewhere"})
    request = again(step).request
    assert (request.method, request.url, request.body) == (then, "https://a.example/elsewhere", b"body" if then == method else None)
    assert isinstance(step, AskAgain)
    assert step.at == 0


def test_a_body_is_not_sent_to_another_origin() -> None:
    end = over(said(start(), 307, {"Location": "https://b.example/"}))
    assert (end.why, end.failed, end.answer.status) == ("refused", True, 307)
    request = again(said(start(method="GET"), 307, {"Location": "https://b.example/"})).request
    assert request == Request("GET", "https://b.example/", (("Accept", "application/json"),), None, False)


def test_a_body_that_was_dropped_does_not_come_back() -> None:
    state = again(said(start(), 303, {"Location": "/a"}))
    assert again(said(state, 307, {"Location": "https://b.example/"})).request.body is None


@pytest.mark.parametrize("state", [start(method="GET"), polling()], ids=["first", "poll"])
def test_a_redirect_loop_ends(state: PollState) -> None:
    for _ in range(MAX_REDIRECTS):
        state = again(said(state, 302, {"Location": state.request.url}))
    end = over(said(state, 302, {"Location": state.request.url}))
    assert (end.why, end.failed) == ("refused", True)
    assert "10 times in a row" in end.note


def test_a_poll_that_was_moved_stays_moved_and_a_detour_does_not_last() -> None:
    moved = again(said(again(said(polling(), 308, {"Location": "/new"})), 202))
    assert moved.request.url == "https://a.example/new"
    detour = again(said(polling(), 307, {"Location": "/detour"}))
    assert detour.request.url == "https://a.example/detour"
    assert again(said(detour, 202)).request.url == "https://a.example/s/1"


def test_a_redirect_without_a_location_is_the_answer() -> None:
    assert over(said(start(), 302)).why == "answered"


# -- what goes wrong


def test_502_twice_and_then_fine() -> None:
    first = said(polling(), 502, {"Content-Type": "text/html"}, b"<html>bad gateway</html>")
    assert isinstance(first, AskAgain)
    assert (first.at, first.note) == (2 * SECOND, "the server answered 502 (try 1 of 5)")
    second = said(first.state, 502)
    assert isinstance(second, AskAgain)
    assert second.at == 4 * SECOND
    assert again(said(second.state, 202)).failures == 0
    assert over(said(second.state, 200)).why == "ok"


@pytest.mark.parametrize("error", [None, "ReadError: connection reset in the middle of a body"])
def test_what_never_gets_better_ends_with_the_last_answer(error: str | None) -> None:
    state = polling()
    for _ in range(4):
        state = again(said(state, 0 if error else 500, body=b"last words", error=error))
    end = over(said(state, 0 if error else 500, body=b"last words", error=error))
    assert (end.why, end.failed, end.answer.body) == ("exhausted", True, b"last words")
    assert (error or "500") in end.note


def test_a_first_request_that_was_not_answered_is_not_repeated_here() -> None:
    end = over(said(start(method="GET"), 0, error="ConnectError: refused"))
    assert (end.why, end.failed, end.note) == ("error", True, "ConnectError: refused")


def test_an_unusual_error_text_can_be_written_down() -> None:
    end = over(said(start(method="GET"), 0, error="broken \ud800"))
    assert msgspec.json.encode(end.note)


def test_404_in_the_first_second_is_too_early_and_later_it_is_final() -> None:
    state = polling(at=5 * SECOND)
    step = said(state, 404, at=6 * SECOND)
    assert isinstance(step, AskAgain)
    assert (step.at, step.note) == (7 * SECOND, "404: not there yet")
    assert over(said(state, 404, at=16 * SECOND)).why == "fail"


@pytest.mark.parametrize("status", [400, 401, 403, 410, 501])
def test_other_errors_are_final(status: int) -> None:
    end = over(said(polling(), status, body={"error": "x"}))
    assert (end.why, end.failed, end.answer.status) == ("fail", True, status)


@pytest.mark.parametrize("status", [429, 503])
def test_too_many_requests_in_mid_poll_asks_the_same_again(status: int) -> None:
    state = polling()
    for _ in range(20):  # an instruction, not a failure: it is not counted
        step = said(state, status, {"Retry-After": "17"})
        assert isinstance(step, AskAgain)
        assert (step.at, step.asked, step.request) == (17 * SECOND, 17, state.request)
        state = step.state
    assert state.failures == 0


def test_too_many_requests_at_first_is_obeyed_with_the_whole_request_but_not_for_ever() -> None:
    state = start()
    for tries in range(1, 5):
        step = said(state, 429, {"Retry-After": "3"})
        assert isinstance(step, AskAgain)
        assert (step.request, step.at) == (state.first, 3 * SECOND)
        assert f"try {tries} of 5" in step.note
        state = step.state
    end = over(said(state, 429, {"Retry-After": "3"}, b"slow down"))
    assert (end.why, end.failed, end.answer.body) == ("exhausted", True, b"slow down")


def test_a_busy_server_gets_an_unsafe_request_again_only_when_it_may_be_repeated() -> None:
    busy = {"Retry-After": "3"}
    assert over(said(start(), 503, busy)).why == "answered"
    assert again(said(start(repeatable=True), 503, busy)).request.body == b"body"
    assert again(said(start(headers=(("Idempotency-Key", "1"),)), 503, busy))
    assert again(said(start(method="GET"), 503, busy))
    assert over(said(start(method="GET"), 503)).why == "answered"


def test_polling_can_be_switched_off() -> None:
    end = over(said(start(None), 202, {"Location": "/s"}))
    assert (end.why, end.failed) == ("answered", False)
    assert over(said(start(None), 202, {"Operation-Location": "/s"})).why == "answered"


# -- status words


@pytest.mark.parametrize(
    ("body", "why"), [({"status": "DONE"}, "ok"), ({"status": "Failed"}, "fail"), (b"", None), (b"<html>", None), ({}, None)]
)
def test_what_a_200_means_stands_in_its_body(body: Any, why: str | None) -> None:
    step = said(polling(WORDS), 200, body=body)
    if why is not None:
        assert (over(step).why, over(step).failed) == (why, why == "fail")
    else:
        assert "no status that can be read (try 1 of 5)" in (step.note if isinstance(step, AskAgain) else "")


def test_an_unknown_word_means_not_yet_and_is_noted() -> None:
    step = said(polling(WORDS), 200, body={"status": "Sleeping"})
    assert isinstance(step, AskAgain)
    assert (step.note, step.state.word) == ("the status 'Sleeping' is unknown; taken as not yet", "Sleeping")


def test_a_202_with_a_final_word_is_final() -> None:
    assert over(said(polling(WORDS), 202, body={"status": "done"})).why == "ok"
    assert again(said(polling(WORDS), 202, body=b"<html>"))


def test_204_ends_well_whatever_the_dialect_reads() -> None:
    assert over(said(polling(WORDS), 204)).why == "ok"


def test_an_error_that_says_failed_is_final_at_once() -> None:
    end = over(said(polling(WORDS), 500, body={"status": "FAILED"}))
    assert (end.why, end.note) == ("fail", "the server answered 500 and says 'FAILED'")


def test_a_body_that_is_not_utf_8_is_read_as_far_as_possible() -> None:
    assert over(said(polling(WORDS), 200, body=b'{"status": "done", "name": "M\xfcller"}')).answer.body.endswith(b'"M\xfcller"}')


def test_a_large_body_is_the_result_without_being_read() -> None:
    body = b"{" + b" " * 50_000_000
    assert over(said(polling(), 200, body=body)).answer.body is body


def test_the_server_may_say_in_the_body_how_long_to_wait() -> None:
    poll = Poll.like(WORDS, wait=("header:Retry-After", "body:retry_in"))
    step = said(polling(poll), 200, body={"status": "running", "retry_in": 7})
    assert isinstance(step, AskAgain)
    assert (step.at, step.asked) == (7 * SECOND, 7)


# -- time


def test_clock_skew_does_no_harm() -> None:
    headers = {"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT", "Date": "Wed, 21 Oct 2015 07:28:00 GMT"}
    step = said(polling(at=10**15), 202, headers, at=10**15)
    assert isinstance(step, AskAgain)
    assert step.at == 10**15 + 30 * SECOND


def test_absurd_wishes_are_bounded_with_a_note() -> None:
    step = said(polling(), 202, {"Retry-After": "1e99"})
    assert isinstance(step, AskAgain)
    assert (step.at, step.note) == (3600 * SECOND, "the server asked for 1e+15 s; bounded to 3600 s")
    step = said(polling(), 202, {"Retry-After": "later"})
    assert isinstance(step, AskAgain)
    assert (step.at, step.note) == (30 * SECOND, "Retry-After 'later' cannot be read")


def test_the_app_and_the_description_set_the_pace() -> None:
    state = start(Poll(every=5), pace=Pace(every=99, floor=0.1, cap=8))
    step = said(state, 202, {"Location": "/s"})
    assert isinstance(step, AskAgain)
    assert step.at == 5 * SECOND
    step = said(step.state, 202, {"Retry-After": "500"})
    assert isinstance(step, AskAgain)
    assert step.at == 8 * SECOND


def test_202_for_ever_ends_at_the_deadline_with_one_last_question() -> None:
    state = polling(deadline_at=100 * SECOND)
    step = said(state, 202, {"Retry-After": "60"}, at=60 * SECOND)
    assert isinstance(step, AskAgain)
    assert (step.at, step.note) == (100 * SECOND, "asked once more at the deadline")
    end = over(said(step.state, 202, at=100 * SECOND))
    assert (end.why, end.failed, end.answer.status) == ("deadline", True, 202)
    assert over(said(step.state, 200, at=100 * SECOND)).why == "ok"
    assert over(said(step.state, 0, at=101 * SECOND, error="ReadTimeout")).why == "deadline"


def test_at_the_deadline_the_cancel_request_is_known() -> None:
    state = polling(WORDS, deadline_at=SECOND)
    end = over(said(state, 200, body={"status": "running"}, at=SECOND))
    request = cancel_request(end.state)
    assert request == Request("DELETE", "https://a.example/s/1", KEY)


# -- laws

ORIGINS = ["https://a.example", "https://b.example", "http://a.example", "https://a.example:8443"]
GOOD = st.sampled_from([f"{host}{path}" for host in ORIGINS for path in ("/s", "/s/2?x=1", "")] + ["/s/1", "?p=2", "//b.example/x"])
ODD = st.sampled_from(["file:///x", "https://[", "https://u:p@b.example/", "", "\ud800"])
URLS = GOOD | GOOD | GOOD | ODD
SAYS_WHERE = ["Location", "location", "Operation-Location", "Azure-AsyncOperation", "Content-Location"]
SAYS_MORE = ["Retry-After", "Date", "AsyncResult", "x-ms-operation-id", "OData-Version", "OpenEO-Identifier", "X-Progress"]
DATE = "Wed, 21 Oct 2015 07:28:00 GMT"
VALUES = st.text(max_size=20) | st.sampled_from(["5", "1e99", "-1", "nan", DATE, "application/http"]) | URLS
HEADERS = st.lists(
    st.tuples(st.sampled_from(SAYS_WHERE), URLS) | st.tuples(st.sampled_from([*SAYS_MORE, "Content-Type"]), VALUES), max_size=5
).map(tuple)
KEYS = ["status", "id", "name", "done", "error", "selfLink", "statementStatusUrl", "jobID", "links", "TaskState", "runtimeStatus"]
WORD = st.sampled_from(["running", "Succeeded", "FAILED", "completed", "queued", "done", "", "../x", "operations/1"]) | URLS
JSON = st.dictionaries(
    st.sampled_from([*KEYS, "processing_status", "resourceLocation", "results_url", "properties", "urls", "progress"]),
    WORD
    | st.none()
    | st.booleans()
    | st.integers()
    | st.dictionaries(st.sampled_from(["get", "provisioningState"]), WORD, max_size=2)
    | st.lists(st.fixed_dictionaries({"rel": st.just("results"), "href": WORD}), max_size=2),
    max_size=5,
).map(lambda value: json.dumps(value).encode())
BODIES = JSON | st.binary(max_size=60) | st.sampled_from([b"", b"<html>", b"HTTP/1.1 404 Not Found\r\n\r\nx"])
USUAL = [200, 200, 202, 202, 202, 204, 301, 302, 303, 307, 308, 404, 429, 503]
STATUSES = st.sampled_from(USUAL * 20 + [*range(-5, 999, 7)])
ANSWERS = st.builds(
    Answer,
    status=STATUSES,
    headers=HEADERS,
    body=BODIES,
    url=st.just(""),
    at=st.integers(0, 4 * 10**15),
    error=st.sampled_from([None] * 9 + ["broken"]),
)


def beginning(poll: str, url: str, more: Answer) -> Answer:
    """An answer that begins polling in a dialect, pointing to `url`, with odd headers and a body on top."""
    headers = tuple((name, url) for name in SAYS_WHERE)
    known = {"id": "1", "name": "operations/1", "status": "queued", "jobID": "1", "statementStatusUrl": url}
    try:
        body = {**known, **json.loads(more.body)}
    except (ValueError, TypeError):
        body = known
    return Answer(201 if poll in ("openeo", "ogc-processes") else 202, headers + more.headers, json.dumps(body).encode(), "", 0)


BEGINNINGS = st.builds(beginning, st.sampled_from([*DIALECTS]), GOOD, ANSWERS)
PACE = Pace(every=10, floor=2, cap=60, jitter=0.2)
SECRETS = {name.lower() for name, _ in KEY} - SAFE_HEADERS


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["auto", None, *DIALECTS]) | st.just(Poll.like(WORDS, result=("body:results_url", "header:Location"))),
    st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    BEGINNINGS | ANSWERS,
    st.lists(ANSWERS, max_size=5),
    st.none() | st.integers(0, 4 * 10**15),
)
def test_laws(poll: Any, method: str, start: Answer, answers: list[Answer], deadline: int | None) -> None:
    """Nothing raises; waits keep to the pace; states survive JSON; credentials stay at home."""
    state = begin(Request(method, HOME, KEY, None if method == "GET" else b"b"), poll, now=0, pace=PACE, deadline_at=deadline)
    for number, answer in enumerate([start, *answers], 1):
        step = advance(state, answer)
        assert advance(state, answer) == step, "a fold gives the same again"
        assert step.state.attempt == number
        assert msgspec.json.decode(msgspec.json.encode(step.state), type=PollState) == step.state
        msgspec.json.encode(step.note)
        check_request(cancel_request(step.state))
        if isinstance(step, Finished):
            return
        check_due(step, answer.at, deadline)
        check_request(step.request)
        state = step.state


def check_due(step: AskAgain, at: int, deadline: int | None) -> None:
    waited = step.at - at
    assert waited == 0 or 2 * SECOND <= waited <= 60 * SECOND or step.at == deadline
    assert deadline is None or step.at <= deadline or waited == 0


def check_request(request: Request | None) -> None:
    if request is None:
        return
    at_home = origin(request.url) == origin(HOME)
    assert origin(request.url) is not None
    assert request.trusted <= at_home
    if not at_home:
        assert not SECRETS & {name.lower() for name, _ in request.headers}
        assert request.body is None
        assert request.url.startswith("https:")
