"""HTTP calls of orchestrations: what is sent when, what is told of failures, and what a crash, a rewind or an end does to them."""

from __future__ import annotations

import math
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

import dfnb
from dfnb.durable_http.scan import leaks_in, scan_for
from dfnb.engine.http import HttpSettings
from dfnb.errors import HttpCallError, HttpConnectionError, HttpRetriesExhaustedError, HttpTimeoutError
from dfnb.testing import Drop, Reply, Reset, ServerError, Slow, Throttle

from .conftest import Lab
from .http_lab import HttpLab

RESULT = {"answer": 42}
LONG = timedelta(days=1)
EXECUTION = "/processes/sum/execution"
CANCELS = dfnb.Poll.like("ogc-processes", cancels=True)


def purposes(http: HttpLab, instance: dfnb.Instance | None = None) -> list[str]:
    return [exchange.purpose for exchange in http.exchanges(instance)]


# ---- what a call is given and gives


def test_json_text_forms_and_bytes_are_sent_as_they_should(http: HttpLab) -> None:
    http.api.site("/echo", body=lambda request: Reply(200, [("X-Type", request.header("Content-Type") or "")], request.body))
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for options, body, kind in (
        ({"content": {"a": [1, "ü"]}}, '{"a": [1, "ü"]}'.encode(), "application/json"),
        ({"content": "text"}, b'"text"', "application/json"),
        ({"content": "<raw/>", "is_raw_str": True}, b"<raw/>", "text/plain; charset=utf-8"),
        ({"content": b"\x00\xff"}, b"\x00\xff", "application/octet-stream"),
        ({"content": {"a": "1 2", "b": ["x", "y"]}, "headers": form}, b"a=1+2&b=x&b=y", form["Content-Type"]),
        ({}, b"", ""),
    ):
        answer = http.answer("POST", "/echo", **options)
        assert (answer.content_bytes, answer.headers["x-type"]) == (body, kind)
        assert http.exchanges()[0].request_body == body


def test_a_status_that_is_no_success_is_an_answer_like_any_other(http: HttpLab) -> None:
    http.api.site("/no", 404, {"error": "no"})
    answer = http.answer("GET", "/no")
    assert (answer["statusCode"], answer.json(), answer.ok, answer.failed) == (404, {"error": "no"}, False, False)


def test_a_202_is_the_answer_when_polling_is_off(http: HttpLab) -> None:
    http.api.job("/work", polls=3)
    for options in ({"asynchronous_pattern_enabled": False}, {"poll": None}):
        answer = http.answer("POST", "/work", **options)
        assert (answer.status_code, answer.headers["Location"]) == (202, f"{http.api.url}/operations/{len(http.api.jobs)}")
    assert http.api.count("GET") == 0


def test_a_whole_request_can_be_given_and_changed(http: HttpLab) -> None:
    http.api.site("/echo", body=lambda request: {"got": request.body.decode(), "key": request.header("X-Key")})
    request = dfnb.DurableHttpRequest("POST", f"{http.api.url}/echo", {"a": 1}, {"X-Key": "k"})

    @http.lab.orchestrator
    def both(context: Any) -> Any:
        one = yield context.call_http(request)
        other = yield context.call_http(request, content={"b": 2})
        return [one.json(), other.json()]

    run = http.lab.start(both)
    http.follow(run)
    assert run.result(5) == [{"got": '{"a": 1}', "key": "k"}, {"got": '{"b": 2}', "key": "k"}]


def test_a_call_races_a_timer(http: HttpLab) -> None:
    http.api.job("/work", takes=LONG, retry_after=10)

    @http.lab.orchestrator
    def impatient(context: Any) -> Any:
        call = context.call_http("POST", http.url("/work"))
        timer = context.create_timer(timedelta(seconds=25))
        winner = yield context.task_any([call, timer])
        return winner is timer

    run = http.lab.start(impatient)
    http.follow(run)
    assert run.result(5) is True
    polls = http.api.count("GET")
    http.clock.advance(timedelta(hours=5))
    http.answer("POST", "/work", poll=None)
    assert http.api.count("GET", "/operations/1") == polls  # nobody waits for it any more


# ---- retries, timeouts, deadlines


def test_retries_repeat_the_first_request_on_the_named_statuses(http: HttpLab) -> None:
    http.api.site("/flaky", body=RESULT)
    http.api.faults("/flaky", ServerError(500), ServerError(500))
    options = dfnb.RetryOptions(5_000, 3)
    assert http.answer("GET", "/flaky", retry_options=options, status_codes_to_retry=[500]).json() == RESULT
    assert purposes(http) == ["first", "retry", "retry"]
    assert "try 1 of 3" in http.notes()
    http.api.faults("/flaky", ServerError(501))
    assert http.answer("GET", "/flaky", retry_options=options, status_codes_to_retry=[500]).status_code == 501


def test_exhausted_retries_raise_with_the_last_answer(http: HttpLab) -> None:
    http.api.site("/down", 500, {"why": "down"})
    with pytest.raises(HttpRetriesExhaustedError, match=r"HTTP call 'GET https://api\.example/down' failed") as caught:
        http.answer("GET", "/down", retry_options=dfnb.RetryOptions(1_000, 3))
    assert caught.value.response is not None
    assert caught.value.response.json() == {"why": "down"}
    assert http.api.count() == 3


def test_retries_wait_as_long_as_the_server_asks(http: HttpLab) -> None:
    http.api.site("/busy", body=RESULT)
    http.api.faults("/busy", Throttle(retry_after=100), ServerError(503, retry_after=2))
    assert http.answer("GET", "/busy", retry_options=dfnb.RetryOptions(5_000, 5)).json() == RESULT
    records = [exchange.record for exchange in http.exchanges()]
    assert [(record.due_at or 0) - record.sent_at for record in records[:2]] == [100_000_000, 5_000_000]
    assert [exchange.asked_wait for exchange in http.exchanges()[:2]] == [timedelta(seconds=100), timedelta(seconds=2)]


def test_an_exchange_that_takes_too_long_times_out(http: HttpLab) -> None:
    http.api.site("/slow")
    http.api.always("/slow", Slow(math.inf))
    with pytest.raises(HttpTimeoutError, match=r"no answer within 0\.05 s"):
        http.answer("GET", "/slow", timeout=0.05)
    http.api.job("/work", polls=1, result=RESULT)
    http.api.faults("/work", Slow(math.inf), on="poll")
    assert http.answer("POST", "/work", timeout=0.05).json() == RESULT


def test_no_exchange_outlasts_the_deadline(lab: Lab) -> None:
    lab.clock = dfnb.engine.clock.SystemClock()  # type: ignore[assignment]
    http = HttpLab(lab)
    try:
        http.api.site("/slow")
        http.api.always("/slow", Slow(math.inf))
        with pytest.raises(HttpTimeoutError, match="deadline"):
            http.answer("GET", "/slow", deadline=0.1)
    finally:
        http.close()


def test_a_deadline_passes_while_the_host_is_left_alone(http: HttpLab) -> None:
    http.api.site("/busy", body=RESULT)
    http.api.faults("/busy", Throttle(retry_after=1_000))
    first = http.begin("GET", "/busy")
    http.sleep_until_due(first)
    began = http.clock.now()
    with pytest.raises(HttpTimeoutError, match="deadline"):
        http.answer("GET", "/busy", deadline=60)
    assert http.clock.now() - began == 60_000_000
    http.follow(first)
    assert first.result(5) == 200


def test_nothing_is_begun_after_its_deadline(http: HttpLab) -> None:
    http.api.site("/x")
    with pytest.raises(HttpTimeoutError, match="deadline"):
        http.answer("POST", "/x", deadline=http_time(http) - timedelta(seconds=1))
    assert http.api.count() == 0


def http_time(http: HttpLab) -> Any:
    from dfnb.records.times import to_datetime

    return to_datetime(http.clock.now())


@pytest.mark.parametrize("poll", [CANCELS, "ogc-processes"], ids=["asked for", "not asked for"])
def test_the_cancel_request_is_sent_once_at_the_deadline_if_asked_for(http: HttpLab, poll: Any) -> None:
    http.api.job(EXECUTION, "ogc-processes", takes=LONG, retry_after=60)
    with pytest.raises(HttpTimeoutError):
        http.answer("POST", EXECUTION, poll=poll, deadline=150)
    wanted = 1 if poll is CANCELS else 0
    if wanted:
        http.api.wait_for(1, "DELETE")
        written(http, "cancel")
        assert http.api.jobs[0].state == "cancelled"
    http.reopen()
    http.answer("POST", EXECUTION, poll=None)
    assert http.api.count("DELETE") == wanted


def written(http: HttpLab, purpose: str, count: int = 1, instance: dfnb.Instance | None = None) -> None:
    """Wait until the latest call has so many exchanges for that purpose on disk."""
    seen = threading.Event()
    for _ in range(2_000):
        if purposes(http, instance).count(purpose) >= count:
            return
        seen.wait(0.005)
    raise AssertionError(purposes(http, instance))


def test_the_cancel_request_is_sent_although_the_last_poll_got_no_answer(http: HttpLab) -> None:
    http.api.job(EXECUTION, "ogc-processes", takes=LONG, retry_after=60)
    http.api.faults(EXECUTION, None, Reset(), on="poll")
    with pytest.raises(HttpTimeoutError, match="deadline"):
        http.answer("POST", EXECUTION, poll=CANCELS, deadline=120)
    http.api.wait_for(1, "DELETE")


# ---- the end of an orchestration


@pytest.mark.parametrize("end", ["terminate", "continue_as_new", "fail"])
def test_a_call_that_nobody_waits_for_is_cancelled_once(http: HttpLab, end: str) -> None:
    http.api.job(EXECUTION, "ogc-processes", takes=LONG, retry_after=60)

    @http.lab.orchestrator
    def leaving(context: Any) -> Any:
        if context.get_input() == "again":
            yield context.wait_for_external_event("never")
        call = context.call_http("POST", http.url(EXECUTION), poll=CANCELS)
        yield context.task_any([call, context.wait_for_external_event("go")])
        if end == "fail":
            raise ValueError("so be it")
        context.continue_as_new("again")

    run = http.lab.start(leaving)
    http.api.wait_for(1)
    http.lab.until(run, lambda record: any(wait.until is not None for wait in record.waits))
    if end == "terminate":
        run.terminate("enough")
    else:
        run.raise_event("go")
    http.api.wait_for(1, "DELETE")
    written(http, "cancel", instance=run)
    http.reopen()
    http.answer("POST", EXECUTION, poll=None)
    assert http.api.count("DELETE") == 1


def test_a_call_that_was_under_way_at_the_end_is_cancelled_when_it_comes_back(http: HttpLab) -> None:
    http.api.job(EXECUTION, "ogc-processes", takes=LONG, retry_after=60)
    http.api.faults(EXECUTION, Slow(5), on="start")
    run = http.begin("POST", EXECUTION, poll=CANCELS)
    http.api.wait_for(1)
    run.terminate()
    run.wait(5)
    http.clock.advance(5)
    http.api.wait_for(1, "DELETE")
    assert http.api.count("GET") == 0


def test_a_cancel_request_is_not_forgotten_when_the_crash_comes_in_mid_poll(http: HttpLab) -> None:
    http.api.job(EXECUTION, "ogc-processes", takes=LONG, retry_after=60)
    http.api.faults(EXECUTION, Slow(math.inf), on="poll")
    run = http.begin("POST", EXECUTION, poll=CANCELS)
    http.sleep_until_due(run)
    http.clock.advance(60)
    http.api.wait_for(1, "GET")
    http.api.faults(EXECUTION, Slow(math.inf), on="cancel")
    run.terminate()
    run.wait(5)
    http.reopen()
    run = http.lab.client.instance(run.id)
    http.api.wait_for(1, "DELETE")
    written(http, "cancel", instance=run)
    http.reopen()
    http.answer("POST", EXECUTION, poll=None)
    assert http.api.jobs[0].state == "cancelled"
    assert http.api.count("DELETE") in (1, 2)  # the first one was under way at the crash


def test_a_new_generation_is_not_disturbed_by_the_calls_of_the_one_before(http: HttpLab) -> None:
    http.api.job("/work", polls=2, result=RESULT, retry_after=5)
    http.api.faults("/work", Slow(3), on="start")

    @http.lab.orchestrator
    def twice(context: Any) -> Any:
        call = context.call_http("POST", http.url("/work"))
        if context.get_input() is None:
            yield context.wait_for_external_event("go")
            context.continue_as_new("again")
            return None
        return (yield call).json()

    run = http.lab.start(twice)
    http.api.wait_for(1)
    run.raise_event("go")
    http.api.wait_for(2)
    http.sleep_until_due(run)
    http.clock.advance(3)  # now the first generation's answer comes
    http.follow(run)
    assert run.result(5) == RESULT


def test_polls_go_on_while_the_instance_is_suspended(http: HttpLab) -> None:
    http.api.job("/work", polls=3, result=RESULT, retry_after=5)
    run = http.begin("POST", "/work")
    http.sleep_until_due(run)
    run.suspend()
    http.lab.until(run, lambda record: record.status == "Suspended")
    http.follow(run, holds=lambda: http.api.count("GET") == 4)
    written(http, "poll", 4, run)
    assert http.lab.client.record(run.id).status == "Suspended"
    run.resume()
    http.follow(run)
    assert run.result(5) == 200


def test_a_failed_call_is_made_again_by_a_rewind(http: HttpLab) -> None:
    http.api.site("/x", body=RESULT)
    http.api.faults("/x", Drop(), Drop())
    with pytest.raises(HttpConnectionError):
        http.answer("POST", "/x")
    run = http.instance
    run.rewind("again")
    http.lab.until(run, lambda record: record.is_terminal)
    http.api.wait_for(2)
    http.lab.until(run, lambda record: record.status == "Failed")
    http.reopen()
    run = http.lab.client.instance(run.id)
    run.rewind("and again")
    assert run.result(10) == 200
    assert http.api.count() == 3


def test_a_rewound_call_begins_anew_after_a_crash_and_is_not_the_cancelled_one(http: HttpLab) -> None:
    http.api.job(EXECUTION, "ogc-processes", takes=timedelta(minutes=5), retry_after=60, result=RESULT)

    @http.lab.orchestrator
    def both(context: Any) -> Any:
        call = context.call_http("POST", http.url(EXECUTION), poll=CANCELS)
        bad = context.call_http("GET", http.url("/bad"))
        winner = yield context.task_any([call, bad])
        if winner is bad:
            yield bad
        return (yield call).status_code

    http.api.site("/bad", body="fine")
    http.api.faults("/bad", (Slow(30), Drop()))
    run = http.lab.start(both)
    http.api.wait_for(2)
    http.lab.until(run, lambda record: any(wait.until is not None for wait in record.waits))
    http.clock.advance(30)
    http.lab.until(run, lambda record: record.status == "Failed")
    http.api.wait_for(1, "DELETE")
    written(http, "cancel", instance=run)
    http.api.faults(EXECUTION, Slow(math.inf), on="start")
    run.rewind()
    http.api.wait_for(2, "POST")
    http.reopen()
    http.api.wait_for(3, "POST")
    run = http.lab.client.instance(run.id)
    http.follow(run)
    assert run.result(5) == 200
    assert http.api.count("DELETE") == 1


# ---- crashes and reopening


def test_a_call_goes_on_where_it_was(http: HttpLab) -> None:
    http.api.job("/work", polls=5, result=RESULT, retry_after=100)
    run = http.begin("POST", "/work")
    for seen in range(3):
        http.follow(run, holds=lambda seen=seen: http.api.count("GET") > seen)
        http.sleep_until_due(run)
        http.reopen(crash=seen % 2 == 0)
        run = http.lab.client.instance(run.id)
    http.follow(run)
    assert run.result(5) == 200
    assert (http.api.count("POST"), http.api.count("GET")) == (1, 6)
    assert [exchange.attempt for exchange in http.exchanges(run)] == list(range(1, 8))


def test_an_overdue_poll_is_sent_at_once(http: HttpLab) -> None:
    http.api.job("/work", polls=0, result=RESULT, retry_after=100)
    run = http.begin("POST", "/work")
    http.sleep_until_due(run)
    http.lab.app.abandon()
    http.clock.advance(LONG)
    http.lab.open()
    assert http.lab.client.instance(run.id).result(10) == 200


def test_an_answer_that_nobody_could_read_yet_is_not_asked_for_again(http: HttpLab) -> None:
    """The cell of the orchestrator has not run after the restart, the answer comes, and another crash."""
    http.api.job("/work", polls=0, result=RESULT, retry_after=100)
    run = http.begin("POST", "/work")
    http.sleep_until_due(run)
    http.lab.app.abandon()
    known, http.lab.registry = http.lab.registry, dfnb.Registry()
    http.lab.open()
    http.clock.advance(100)
    http.api.wait_for(1, "GET")
    run = http.lab.client.instance(run.id)
    http.lab.until(run, lambda record: [wait.kind for wait in record.waits] == ["definition"])
    written(http, "poll", instance=run)
    http.reopen()
    http.lab.registry = known
    http.reopen()
    run = http.lab.client.instance(run.id)
    assert run.result(10) == 200
    assert http.api.count() == 2


def test_the_idempotency_key_is_the_same_at_every_repetition(http: HttpLab) -> None:
    http.api.job("/work", polls=1, result=RESULT)
    http.api.faults("/work", Reset(accepted=True), Slow(math.inf), on="start")
    options = dfnb.RetryOptions(1_000, 5)
    run = http.begin("POST", "/work", {"a": 1}, idempotency_key=True, retry_options=options)
    http.follow(run, holds=lambda: http.api.count("POST") == 2)
    http.reopen()  # one in flight is sent again
    run = http.lab.client.instance(run.id)
    http.api.wait_for(3, "POST")
    http.follow(run)
    assert run.result(5) == 200
    keys = {request.header("Idempotency-Key") for request in http.api.received("POST")}
    assert len(keys) == 1
    assert keys == {request.header("Repeatability-Request-ID") for request in http.api.received("POST")}
    assert len(http.api.jobs) == 1
    http.answer("POST", "/work", {"a": 1}, idempotency_key=True)
    assert len(http.api.jobs) == 2  # another call has another key
    http.answer("POST", "/work", {"a": 1}, idempotency_key="my own")
    assert http.api.idempotency_keys()[-1] == "my own"


# ---- one host, many instances


def test_a_host_that_wants_to_be_left_alone_is_left_alone_by_all(http: HttpLab) -> None:
    http.api.site("/busy", body=RESULT)
    http.api.site("/other", body=RESULT)
    http.api.faults("/busy", Throttle(retry_after=500))
    first = http.begin("GET", "/busy")
    http.sleep_until_due(first)
    second = http.begin("GET", "/other")
    http.sleep_until_due(second)
    assert http.api.count("GET", "/other") == 0
    assert "left alone" in http.lab.client.record(second.id).waits[0].sentence
    http.reopen()
    third = http.begin("GET", "/other")
    runs = [*(http.lab.client.instance(run.id) for run in (first, second)), third]
    for run in runs:
        http.sleep_until_due(run)
    assert http.api.count() == 1
    assert http.answer("GET", "https://elsewhere.example/other").ok  # another host is not concerned
    began = http.clock.now()
    http.follow(*runs)
    assert http.clock.now() - began == pytest.approx(500_000_000, abs=1_000_000)
    assert [run.result(5) for run in runs] == [200, 200, 200]


def test_an_absurd_wish_to_be_left_alone_is_bounded_for_all(http: HttpLab) -> None:
    http.api.site("/busy", body=RESULT)
    http.api.faults("/busy", Throttle(retry_after="1e99"))
    first = http.begin("GET", "/busy")
    http.sleep_until_due(first)
    began = http.clock.now()
    http.reopen()
    assert http.answer("GET", "/busy").json() == RESULT
    http.follow(http.lab.client.instance(first.id))
    assert http.clock.now() - began == pytest.approx(3_600_000_000, abs=1_000_000)


def test_those_who_queue_for_a_host_obey_what_the_first_one_was_told(http: HttpLab) -> None:
    http.lab.app.http = http.settings(requests_per_host=1)
    http.api.site("/busy", body=RESULT)
    http.api.faults("/busy", (Slow(5), Throttle(retry_after=500)))
    runs = [http.begin("GET", "/busy") for _ in range(5)]
    http.api.wait_for(1)
    http.clock.advance(5)
    for run in runs:
        http.sleep_until_due(run)
    assert http.api.count() == 1
    http.follow(*runs)
    assert [run.result(5) for run in runs] == [200] * 5


def test_so_many_requests_go_to_one_host_at_once_and_no_more(http: HttpLab) -> None:
    http.lab.app.http = http.settings(requests_per_host=3)
    http.api.site("/slow", body=RESULT)
    http.api.always("/slow", Slow(10))
    runs = [http.begin("GET", "/slow") for _ in range(8)]
    for wave in (3, 6, 8):
        http.api.wait_for(wave)
        assert http.api.count() == wave
        other = http.begin("GET", "https://elsewhere.example/slow")
        http.api.wait_for(1, path="/slow")
        other.terminate()
        del other
        break
    for wave in (3, 6):
        assert len([request for request in http.api.requests if request.origin == http.api.url]) == wave
        http.clock.advance(10)
        http.api.wait_for(min(8, wave + 3) + 1)
    http.clock.advance(10)
    assert [run.result(10) for run in runs] == [200] * 8


# ---- secrets and tokens


def test_secrets_are_sent_and_written_down_nowhere(http: HttpLab, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"WORK_KEY": "k-5825-geheim", "WORK_SIG": "s/9&x=ü-geheim", "WORK_TOKEN": "tok-3319-geheim"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    http.api.job("/work", polls=2, result={"you sent": values["WORK_KEY"]}, retry_after=2)
    http.api.site("/echo", body=lambda request: Reply(200, [("X-Echo", request.header("X-Key") or "")], request.body))

    def own_source() -> str:
        return values["WORK_TOKEN"]

    headers = {"X-Key": dfnb.Secret.env("WORK_KEY")}
    url = http.url("/work?sig=") + dfnb.Secret.env("WORK_SIG")
    answer = http.answer("POST", url, {"in": [dfnb.Secret.env("WORK_KEY")]}, headers=headers, token_source=own_source)
    first = http.api.requests[0]
    assert (first.header("X-Key"), first.json(), first.query["sig"]) == (
        values["WORK_KEY"], {"in": [values["WORK_KEY"]]}, values["WORK_SIG"],
    )  # fmt: skip
    assert first.header("Authorization") == f"Bearer {values['WORK_TOKEN']}"
    assert answer.json() == {"you sent": "<secret: WORK_KEY>"}
    http.answer("POST", "/echo", {"in": dfnb.Secret.env("WORK_KEY")}, headers=headers)
    http.api.always("/echo", Drop(), on=None)
    with pytest.raises(HttpCallError):
        http.answer("GET", http.url("/echo?sig=") + dfnb.Secret.env("WORK_SIG"))
    texts = [
        (table, repr(row))
        for table in ("event", "http_exchange", "http_body", "log", "instance", "definition")
        for row in http.lab.app.sql(f"SELECT * FROM {table}").fetchall()
        if table != "definition"
    ]
    assert any("<secret: WORK_SIG>" in text for _, text in texts)
    assert not [leak for where, text in texts for leak in leaks_in(text, values, where)]
    folder = http.lab.path.rpartition("/")[0]
    http.lab.app.close()
    assert scan_for(values, [folder], texts).leaks == ()


def test_a_call_waits_for_the_cell_of_its_secret(http: HttpLab) -> None:
    http.api.job("/work", polls=1, result=RESULT, retry_after=5, requires="x-key: right")
    secret = dfnb.Secret.callable(lambda: "right", name="late-key")
    run = http.begin("POST", "/work", headers={"X-Key": secret})
    http.sleep_until_due(run)
    from dfnb.durable_http import secrets

    del secrets._callables["late-key"]  # as in a new kernel, where the cell has not run
    http.reopen()
    run = http.lab.client.instance(run.id)
    http.clock.advance(5)
    record = http.lab.until(run, lambda record: any("late-key" in wait.name for wait in record.waits))
    assert "run the cell" in record.waits[0].sentence
    for _ in range(3):
        http.sleep_until_due(run)
        http.clock.advance(2)
    assert http.api.count() == 1
    dfnb.Secret.callable(lambda: "right", name="late-key")
    http.follow(run)
    assert run.result(5) == 200
    assert [exchange.purpose for exchange in http.exchanges(run)] == ["first", "poll", "poll"]


def test_a_secret_that_does_not_exist_fails_the_call_with_a_sentence(http: HttpLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_THERE", raising=False)
    with pytest.raises(HttpCallError, match="environment variable NOT_THERE is not set"):
        http.answer("GET", "/x", headers={"X-Key": dfnb.Secret.env("NOT_THERE")})
    assert http.api.count() == 0


def test_a_token_that_cannot_be_had_fails_the_call_and_a_rewind_gets_it(http: HttpLab) -> None:
    http.api.accept("good")
    http.api.site("/x", body=RESULT, requires="Bearer")
    tokens = iter([None, "good"])

    def broken_once() -> str:
        token = next(tokens)
        if token is None:
            raise OSError("the login service is down")
        return token

    with pytest.raises(HttpCallError, match="no token"):
        http.answer("GET", "/x", token_source=broken_once)
    assert http.api.count() == 0
    http.instance.rewind()
    assert http.instance.result(10) == 200


# ---- the file


def test_compaction_lets_the_bodies_of_purged_instances_go(http: HttpLab) -> None:
    http.api.site("/large", body="x" * 5_000)
    http.answer("GET", "/large")
    first = http.instance
    assert http.answer("GET", "/large").content == "x" * 5_000
    count = "SELECT count(*) FROM http_body"
    for run, left in ((first, 1), (http.instance, 0)):
        http.lab.client.purge(run.id)
        http.lab.app.compact()
        assert http.lab.app.sql(count).fetchall() == [(left,)]
    assert http.answer("GET", "/large").content == "x" * 5_000
    assert http.lab.app.sql(count).fetchall() == [(1,)]


def test_a_hub_of_before_there_were_http_calls_makes_them(http: HttpLab) -> None:
    """The oldest schema, with an instance in it."""
    import duckdb

    http.lab.app.close()
    path = Path(http.lab.path)
    path.unlink()
    schema = Path(__file__).parent.parent / "hub" / "schema_1.sql"
    with duckdb.connect(str(path)) as connection:
        connection.execute(schema.read_text(encoding="utf-8"))
        connection.execute("INSERT INTO hub VALUES ('dfnb', 1, 0, -1)")
    http.lab.open()
    http.api.job("/work", polls=1, result=RESULT)
    assert http.answer("POST", "/work", headers={"X-Key": dfnb.Secret.callable(lambda: "v", name="old-hub-key")}).json() == RESULT
    http.reopen()
    assert http.answer("POST", "/work").json() == RESULT


# ---- clients


def test_calls_choose_among_the_apps_clients(http: HttpLab) -> None:
    made: list[str] = []

    def client(name: str) -> Any:
        def make() -> httpx.AsyncClient:
            made.append(name)
            return httpx.AsyncClient(transport=httpx.MockTransport(lambda request: httpx.Response(200, text=name)))

        return make

    http.lab.app.http = HttpSettings(client=client("usual"), clients={"proxy": client("proxy")})
    assert [http.answer("GET", "/x", client=name).content for name in (None, "proxy", None)] == ["usual", "proxy", "usual"]
    assert made == ["usual", "proxy"]


def test_a_call_waits_for_the_client_that_it_names(http: HttpLab) -> None:
    run = http.begin("GET", "/x", client="proxi")
    record = http.lab.until(run, lambda record: any("proxi" in wait.name for wait in record.waits))
    assert "the app has no HTTP client named 'proxi' yet (it was given: none); set app.http" in record.waits[0].sentence
    answers = httpx.MockTransport(lambda request: httpx.Response(200))
    http.lab.app.http = HttpSettings(clients={"proxi": lambda: httpx.AsyncClient(transport=answers)})
    http.sleep_until_due(run)
    http.clock.advance(2)
    assert run.result(5) == 200


def test_a_clients_own_redirects_and_errors_do_no_harm(http: HttpLab) -> None:
    def broken() -> Any:
        raise RuntimeError("no proxy today")

    http.lab.app.http = HttpSettings(client=broken)
    with pytest.raises(HttpCallError, match="no proxy today"):
        http.answer("GET", "/x")
    http.lab.app.http = HttpSettings(client=lambda: "nothing")
    with pytest.raises(HttpCallError, match=r"must return an httpx\.AsyncClient or an async transport"):
        http.answer("GET", "/x")


def test_addresses_of_this_network_are_refused_where_the_app_says_so(http: HttpLab) -> None:
    http.lab.app.http = http.settings(public_only=True)
    with pytest.raises(HttpCallError, match="no public address"):
        http.answer("GET", "http://127.0.0.1:1/x")
    assert http.api.count() == 0


def test_what_was_learned_of_a_host_outlives_new_settings(http: HttpLab) -> None:
    http.api.site("/busy", body=RESULT)
    http.api.faults("/busy", Throttle(retry_after=500))
    first = http.begin("GET", "/busy")
    http.sleep_until_due(first)
    http.lab.app.http = http.settings(requests_per_host=2)
    second = http.begin("GET", "/busy")
    http.sleep_until_due(second)
    assert http.api.count() == 1
    http.follow(first, second)


def test_calls_over_real_sockets_leave_nothing_open(http: HttpLab) -> None:
    http.api.job("/work", polls=1, result=RESULT, retry_after=1)
    http.lab.app.http = HttpSettings()
    with http.api.serve() as url:
        assert http.answer("POST", f"{url}/work").json() == RESULT
        http.api.faults("/work", Slow(math.inf), on="start")
        http.begin("POST", f"{url}/work")
        http.api.wait_for(2, "POST")
        http.lab.app.close()
