"""What servers and networks do to those who poll them: each trap through an orchestration, from call to answer."""

from __future__ import annotations

import hashlib
import math
from datetime import timedelta

import pytest

import dfnb
from dfnb.errors import HttpCallError, HttpConnectionError, HttpRefusedError, HttpRetriesExhaustedError, HttpTimeoutError
from dfnb.testing import (
    AsyncApi,
    Body,
    DoubledHeaders,
    Drop,
    Empty,
    Header,
    HtmlError,
    Huge,
    LowerCaseHeaders,
    Redirect,
    Reply,
    Reset,
    ServerError,
    Throttle,
)

from .http_lab import HttpLab

RESULT = {"answer": 42}
RESULTS = [b"%d" % number for number in range(100_000)]


def waits(http: HttpLab) -> list[float]:
    """For how many seconds the latest call waited after each answer but the last."""
    records = [exchange.record for exchange in http.exchanges()]
    return [(record.due_at - record.sent_at) / 1e6 for record in records if record.due_at is not None]


# ---- Retry-After


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        pytest.param(7, 7.0, id="whole"),
        pytest.param(2.5, 2.5, id="decimal"),
        pytest.param(0, 1.0, id="zero"),
        pytest.param(-5, 1.0, id="negative"),
        pytest.param("1e99", 3600.0, id="absurd"),
        pytest.param(timedelta(seconds=90), 90.0, id="future date"),
        pytest.param(timedelta(days=-1), 1.0, id="past date"),
        pytest.param("soon, perhaps", 30.0, id="garbage"),
        pytest.param("", 30.0, id="blank"),
        pytest.param(None, 30.0, id="none"),
        pytest.param((5, 20), 20.0, id="twice"),
    ],
)
def test_retry_after_is_obeyed_within_bounds(http: HttpLab, retry_after: object, seconds: float) -> None:
    http.api.job("/work", polls=1, result=RESULT, retry_after=retry_after)  # type: ignore[arg-type]
    assert http.answer("POST", "/work").json() == RESULT
    assert waits(http) == pytest.approx([seconds, seconds], abs=1.001)  # dates have whole seconds
    odd = {"1e99": "bounded", -5: "bounded", "soon, perhaps": "cannot be read", (5, 20): "2 times"}
    wanted = odd.get(retry_after) if isinstance(retry_after, (str, int, tuple)) else None
    assert (wanted or "") in http.notes()


def test_a_date_in_retry_after_counts_from_the_servers_own_clock(http: HttpLab) -> None:
    with AsyncApi(http.clock, skew=timedelta(hours=5)) as wrong:
        http.lab.app.http = http.settings(client=wrong.transport)
        wrong.job("/work", polls=1, result=RESULT, retry_after=timedelta(seconds=40))
        assert http.answer("POST", "/work").json() == RESULT
        assert waits(http) == pytest.approx([40, 40], abs=1.001)


def test_waits_spread_by_jitter_are_the_same_after_a_crash(http: HttpLab) -> None:
    http.api.job("/work", polls=2, result=RESULT, retry_after=100)
    poll = dfnb.Poll(jitter=0.5)
    http.answer("POST", "/work", poll=poll)
    spread = waits(http)
    assert len(set(spread)) == 3
    assert all(100 <= wait <= 150 for wait in spread)


# ---- where to ask


@pytest.mark.parametrize("location", ["absolute", "relative", "changing"])
def test_location_may_be_relative_and_may_change(http: HttpLab, location: str) -> None:
    http.api.job("/v1/work", polls=3, result=RESULT, location=location, requires="x-key: k")
    assert http.answer("POST", "/v1/work", headers={"X-Key": "k"}).json() == RESULT
    asked = [request.url for request in http.api.received("GET")]
    assert len(set(asked)) == (4 if location == "changing" else 1)


def test_polls_of_another_origin_take_no_credentials_along(http: HttpLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORK_KEY", "k-58251")
    http.api.job("/work", polls=2, result=RESULT, location="other-origin", requires="Bearer")

    def own_token() -> str:
        return "tok-9931"

    headers = {"X-Key": dfnb.Secret.env("WORK_KEY"), "Cookie": "c=1", "Accept": "application/json", "X-Own": "v"}
    answer = http.answer("POST", "/work", headers=headers, token_source=own_token)
    assert answer.json() == RESULT
    first, *polls = http.api.requests
    assert (first.header("X-Key"), first.header("Authorization")) == ("k-58251", "Bearer tok-9931")
    assert {poll.origin for poll in polls} == {"https://monitor.api.example"}
    for name in ("X-Key", "Cookie", "Authorization", "X-Own"):
        assert {poll.header(name) for poll in polls} == {None}
    assert {poll.header("Accept") for poll in polls} == {"application/json"}
    assert "without credentials" in http.notes()


@pytest.mark.parametrize("location", ["downgrade", "file", "ftp://api.example/x", "http://"])
def test_a_location_that_nobody_should_follow_is_refused(http: HttpLab, location: str) -> None:
    http.api.job("/work", polls=2, location=location)
    with pytest.raises(HttpRefusedError) as caught:
        http.answer("POST", "/work")
    assert caught.value.response is not None
    assert caught.value.response.status_code == 202
    assert http.api.count() == 1


def test_a_202_without_location_is_the_answer(http: HttpLab) -> None:
    http.api.job("/work", polls=2, location="missing")
    answer = http.answer("POST", "/work")
    assert answer.status_code == 202
    assert "does not say where" in answer.note or http.api.count() == 1
    assert http.api.count() == 1


def test_a_redirect_loop_ends(http: HttpLab) -> None:
    http.api.redirect("/a", "/b")
    http.api.redirect("/b", "/a")
    with pytest.raises(HttpRefusedError, match="redirected more than"):
        http.answer("GET", "/a")
    assert http.api.count() == 11


def test_a_redirect_loop_in_mid_poll_ends(http: HttpLab) -> None:
    http.api.job("/work", polls=1)
    http.api.always("/work", Redirect("/operations/1"), on="poll")
    with pytest.raises(HttpRefusedError, match="redirected more than"):
        http.answer("POST", "/work")


def test_a_redirect_to_another_origin_takes_no_secret_along(http: HttpLab) -> None:
    http.api.redirect("/a", "https://elsewhere.example/b", 307)
    http.api.site("/b", body={"ok": True})
    assert http.answer("GET", "/a", headers={"X-Api-Key": "k"}).ok
    assert http.api.requests[1].header("X-Api-Key") is None


def test_a_body_is_not_sent_to_another_origin(http: HttpLab) -> None:
    http.api.redirect("/a", "https://elsewhere.example/b", 307)
    with pytest.raises(HttpRefusedError, match="with a body to send"):
        http.answer("POST", "/a", {"secret": 1})
    assert http.api.count() == 1


# ---- what the answers look like


def test_header_names_may_be_in_lower_case(http: HttpLab) -> None:
    http.api.job("/work", "azure-data-plane", polls=1, result=RESULT, retry_after=3)
    http.api.always("/work", LowerCaseHeaders(), on="any")
    assert http.answer("POST", "/work").json()["result"] == RESULT
    assert waits(http) == [3.0, 3.0]


def test_headers_that_come_twice_are_a_list(http: HttpLab) -> None:
    http.api.site("/x", body="ok", headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-One", "1")])
    answer = http.answer("GET", "/x")
    assert answer.headers["set-cookie"] == ["a=1", "b=2"]
    assert answer["headers"]["X-One"] == "1"
    http.api.job("/work", polls=1, result=RESULT)
    http.api.always("/work", DoubledHeaders(), on="any")
    assert http.answer("POST", "/work").json() == RESULT


def test_a_poll_without_body_is_asked_again(http: HttpLab) -> None:
    http.api.job("/work", "azure-data-plane", polls=1, result=RESULT)
    http.api.faults("/work", Empty(), Empty(), on="poll")
    assert http.answer("POST", "/work").json()["result"] == RESULT
    assert "no status that can be read" in http.notes()


def test_polls_that_never_have_a_body_end_the_call(http: HttpLab) -> None:
    http.api.job("/work", "azure-data-plane", polls=1)
    http.api.always("/work", Empty(), on="poll")
    with pytest.raises(HttpRetriesExhaustedError) as caught:
        http.answer("POST", "/work")
    assert caught.value.response is not None
    assert caught.value.response.status_code == 200
    assert http.api.count("GET") == 5


def test_a_proxys_error_page_is_survived(http: HttpLab) -> None:
    http.api.job("/work", "azure-data-plane", polls=1, result=RESULT)
    http.api.faults("/work", HtmlError(502), HtmlError(200), on="poll")
    assert http.answer("POST", "/work").json()["result"] == RESULT
    assert b"Bad Gateway" in http.exchanges()[1].response_body


def test_502_twice_then_fine(http: HttpLab) -> None:
    http.api.job("/work", polls=1, result=RESULT)
    http.api.faults("/work", ServerError(502), ServerError(502), on="poll")
    assert http.answer("POST", "/work").json() == RESULT
    assert [exchange.status for exchange in http.exchanges()] == [202, 502, 502, 202, 200]


def test_404_in_the_first_seconds_is_not_there_yet(http: HttpLab) -> None:
    http.api.job("/work", polls=1, result=RESULT, appears_after=timedelta(seconds=4))
    assert http.answer("POST", "/work").json() == RESULT
    assert "404: not there yet" in http.notes()


def test_404_later_is_an_end(http: HttpLab) -> None:
    http.api.job("/work", polls=1, appears_after=timedelta(hours=1), retry_after=9)
    answer = http.answer("POST", "/work")
    assert (answer.status_code, answer.failed, answer.ok) == (404, True, False)


def test_410_is_an_end(http: HttpLab) -> None:
    http.api.job("/work", takes=timedelta(0), forgotten_after=timedelta(0), retry_after=5)
    http.api.faults("/work", Reply(410), on="poll")
    answer = http.answer("POST", "/work")
    assert (answer.status_code, answer.failed) == (410, True)


def test_204_at_the_end_is_a_result_with_nothing_in_it(http: HttpLab) -> None:
    http.api.job("/work", polls=2, result=None)
    answer = http.answer("POST", "/work")
    assert (answer.status_code, answer.content, answer.content_bytes, answer.ok) == (204, "", b"", True)


@pytest.mark.parametrize("spelling", [str.upper, str.lower, str.swapcase])
def test_status_words_may_be_in_other_case(http: HttpLab, spelling: object) -> None:
    http.api.job("/work", "azure-data-plane", polls=2, result=RESULT, spelling=spelling)  # type: ignore[arg-type]
    assert http.answer("POST", "/work").json()["result"] == RESULT


def test_done_that_is_absent_means_not_yet(http: HttpLab) -> None:
    http.api.job("/v1/work", "google-lro", polls=3, result=RESULT)
    answer = http.answer("POST", "/v1/work", poll="google-lro")
    assert answer.json()["response"] == RESULT or answer.json()["done"] is True
    assert "done" not in http.exchanges()[1].json()


def test_a_success_that_says_failed_has_failed(http: HttpLab) -> None:
    http.api.job("/work", "azure-data-plane", polls=1, fails="no luck today")
    answer = http.answer("POST", "/work")
    assert (answer.status_code, answer.failed, answer.ok) == (200, True, False)
    assert "no luck today" in answer.content


def test_202_for_ever_ends_at_the_deadline(http: HttpLab) -> None:
    http.api.job("/work", polls=math.inf, retry_after=60)
    began = http.clock.now()
    with pytest.raises(HttpTimeoutError, match="deadline") as caught:
        http.answer("POST", "/work", deadline=timedelta(hours=6))
    assert http.clock.now() - began == 6 * 3600 * 1_000_000
    assert caught.value.response is not None
    assert caught.value.response.status_code == 202


def test_six_hours_of_202_are_one_line_of_history(http: HttpLab) -> None:
    http.api.job("/work", takes=timedelta(hours=6), retry_after=60, result=RESULT)
    assert http.answer("POST", "/work").json() == RESULT
    kinds = [row.event.event_type for row in http.instance.history()]
    assert kinds == ["ExecutionStarted", "HttpCallScheduled", "HttpCallCompleted", "ExecutionCompleted"]
    assert len(http.exchanges()) == 361


def test_429_in_mid_poll_is_obeyed(http: HttpLab) -> None:
    http.api.job("/work", polls=1, result=RESULT, retry_after=2)
    http.api.faults("/work", Throttle(retry_after=50), Throttle(retry_after=None), ServerError(503, retry_after=70), on="poll")
    assert http.answer("POST", "/work").json() == RESULT
    assert waits(http) == [2, 50, 30, 70, 2]


def test_a_connection_reset_in_the_middle_of_a_body_is_asked_again(http: HttpLab) -> None:
    http.api.job("/work", polls=1, result={"text": "x" * 5_000})
    http.api.faults("/work", None, Reset(after=100), Drop(after=10), on="poll")
    assert http.answer("POST", "/work").json() == {"text": "x" * 5_000}
    broken = [exchange for exchange in http.exchanges() if exchange.error]
    assert [exchange.status for exchange in broken] == [None, None]
    assert "ReadError" in (broken[0].error or "")


def test_a_connection_that_always_breaks_ends_the_call(http: HttpLab) -> None:
    http.api.job("/work", polls=1)
    http.api.always("/work", Reset(), on="poll")
    with pytest.raises(HttpConnectionError, match="try 5 of 5"):
        http.answer("POST", "/work")


def test_the_first_request_is_sent_once_when_its_connection_breaks(http: HttpLab) -> None:
    http.api.job("/work", polls=1)
    http.api.always("/work", Reset(accepted=True), on="start")
    with pytest.raises(HttpConnectionError, match="ReadError"):
        http.answer("POST", "/work")
    assert http.api.count("POST") == 1


# ---- bodies


def test_text_that_is_no_utf_8_comes_back_byte_for_byte(http: HttpLab) -> None:
    raw = b"caf\xe9 \xff\xfe"
    http.api.site("/latin", body=None)
    http.api.always("/latin", Body(raw, "text/plain; charset=iso-8859-1"))
    latin = http.answer("GET", "/latin")
    assert (latin.content, latin.content_bytes) == ("café ÿþ", raw)
    http.api.site("/wrong", body=None)
    http.api.always("/wrong", Body(raw, "text/plain; charset=utf-8"))
    wrong = http.answer("GET", "/wrong")
    assert (wrong.content, wrong.content_bytes) == ("caf\ufffd \ufffd\ufffd", raw)
    assert http.exchanges()[0].response_body == raw


def test_a_large_body_is_kept_once_however_often_it_comes(http: HttpLab) -> None:
    http.api.site("/big")
    http.api.always("/big", Huge(3_000_000))
    first = http.answer("GET", "/big")
    second = http.answer("GET", "/big")
    assert len(first.content_bytes) == len(second.content_bytes) == 3_000_000
    count = http.lab.app.sql("SELECT count(*), sum(length(text))::BIGINT FROM http_body").fetchall()
    assert count == [(1, 3_000_000)]


@pytest.mark.slow
def test_a_200_mb_body_is_stored_once_and_read_back_whole(http: HttpLab) -> None:
    size = 200_000_000
    http.api.site("/huge")
    http.api.always("/huge", Huge(size))
    answer = http.answer("GET", "/huge")
    expected = hashlib.sha256(b"0123456789abcdef" * (size // 16)).hexdigest()
    assert hashlib.sha256(answer.content_bytes).hexdigest() == expected
    http.answers.clear()
    del answer
    told = http.lab.app.sql("SELECT response_bytes, length(response_body) FROM http_exchanges").fetchall()
    assert told == [(size, size)]
    assert http.lab.app.sql("SELECT count(*) FROM http_body").fetchall() == [(1,)]


def test_an_answer_above_the_limit_fails_with_a_sentence(http: HttpLab) -> None:
    http.lab.app.http = http.settings(max_response_bytes=1_000_000)
    http.api.site("/big")
    http.api.always("/big", Huge(1_000_001))
    with pytest.raises(HttpCallError, match="larger than 1 MB; a larger max_response_bytes"):
        http.answer("GET", "/big")


# ---- tokens


def test_a_token_that_fails_first_and_comes_then_is_retried_where_retries_are_asked_for(http: HttpLab) -> None:
    http.api.accept("right")
    http.api.job("/work", polls=1, result=RESULT, requires="Bearer")
    tokens = iter(["wrong", "right", "right", "right"])
    given: list[str] = []

    def fickle_token() -> str:
        given.append(next(tokens))
        return given[-1]

    options = dfnb.RetryOptions(1_000, 3)
    answer = http.answer("POST", "/work", token_source=fickle_token, retry_options=options, status_codes_to_retry=[401])
    assert answer.json() == RESULT
    assert [exchange.status for exchange in http.exchanges()] == [401, 202, 202, 200]


def test_a_header_that_is_garbage_harms_nobody(http: HttpLab) -> None:
    http.api.job("/work", polls=1, result=RESULT)
    http.api.always("/work", Header("X-Odd", "caf\xe9", ""), on="any")
    assert http.answer("POST", "/work").json() == RESULT


def test_a_description_that_cannot_work_is_refused_where_the_call_is_made(http: HttpLab) -> None:
    for wrong, said in (("locaton", "did you mean 'location'"), (3, "poll must be the name of a dialect")):
        instance = http.begin("POST", "/work", poll=wrong)
        http.follow(instance)
        details = instance.status().failure_details
        assert details is not None
        assert said in details.message
    assert http.api.count() == 0
