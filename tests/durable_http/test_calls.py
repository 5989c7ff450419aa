"""A call from its record to its end, without wire and clock."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from dfnb.durable_http.calls import Again, CallWork, Over, begin_call, read_answer, too_late
from dfnb.durable_http.description import Poll
from dfnb.durable_http.messages import Answer
from dfnb.durable_http.retry_after import Pace
from dfnb.durable_http.secrets import Secret, secrets_in
from dfnb.errors import DefinitionError
from dfnb.records.history import HttpCallCompleted, HttpCallFailed
from dfnb.records.http import DurableHttpRequest
from dfnb.records.retry import RetryOptions

NOW = 1_800_000_000_000_000
URL = "https://api.example/work"
SECOND = 1_000_000


def work_of(method: str = "POST", uri: Any = URL, task: int = 1, **parts: Any) -> CallWork:
    text = DurableHttpRequest(method, uri, **parts).encode(NOW)
    return begin_call(text, instance_id="run", generation=0, task=task, now=NOW, pace=Pace())


def answer(status: int, *headers: tuple[str, str], body: bytes = b"", after: float = 1) -> Answer:
    return Answer(status, headers, body, URL, NOW + int(after * SECOND))


def nothing(error: str = "ReadError", after: float = 1) -> Answer:
    return Answer(0, url=URL, at=NOW + int(after * SECOND), error=error)


def failure(outcome: Again | Over) -> str:
    assert isinstance(outcome, Over)
    assert isinstance(outcome.event, HttpCallFailed)
    return outcome.event.failure.error_type.rpartition(".")[2]


# ---- the beginning


def test_a_call_is_the_same_after_it_was_written_down() -> None:
    work = work_of(
        content={"a": Secret.env("A")}, headers={"X": "1", "Y": ["2", "3"]}, retry_options=RetryOptions(1_000, 3), timeout=5,
        deadline=timedelta(hours=1), poll=Poll(status="s", ok="done", cancel="DELETE {status}"), idempotency_key=True,
        status_codes_to_retry=(500,), client="proxy",
    )  # fmt: skip
    assert CallWork.decode(work.encode()) == work
    assert (work.timeout, work.poll.deadline_at) == (5 * SECOND, NOW + 3600 * SECOND)
    assert [pair for pair in work.poll.request.headers if pair[0] == "Y"] == [("Y", "2"), ("Y", "3")]
    assert [secret.name for secret in secrets_in(work.poll.request.body)] == ["A"]


def test_the_idempotency_key_belongs_to_the_call() -> None:
    keys = {dict(work_of(task=task, idempotency_key=True).poll.request.headers)["Idempotency-Key"] for task in (1, 1, 2)}
    assert len(keys) == 2
    assert dict(work_of(idempotency_key="mine").poll.request.headers)["Repeatability-Request-ID"] == "mine"
    assert work_of(idempotency_key=True).poll.repeatable
    assert not work_of().poll.repeatable


@pytest.mark.parametrize(
    ("parts", "kind", "body", "form"),
    [
        ({"content": {"a": "ü"}}, "application/json", '{"a": "ü"}'.encode(), "json"),
        ({"content": "x"}, "application/json", b'"x"', "json"),
        ({"content": "x", "is_raw_str": True}, "text/plain; charset=utf-8", b"x", "plain"),
        ({"content": b"\xff"}, "application/octet-stream", b"\xff", "plain"),
        ({"content": None}, None, None, "plain"),
        (
            {"content": {"a": "1&2"}, "headers": {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}},
            "application/x-www-form-urlencoded; charset=utf-8", b"a=1%262", "form",
        ),
        ({"content": {"a": 1}, "headers": {"CONTENT-TYPE": "application/merge-patch+json"}}, "application/merge-patch+json",
         b'{"a": 1}', "json"),
    ],
)  # fmt: skip
def test_content_becomes_a_body(parts: dict[str, Any], kind: str | None, body: bytes | None, form: str) -> None:
    work = work_of(**parts)
    kinds = [value for name, value in work.poll.request.headers if name.lower() == "content-type"]
    assert (kinds, work.poll.request.body, work.body_form) == ([kind] if kind else [], body, form)


def test_what_cannot_be_a_call_is_refused_with_a_sentence() -> None:
    with pytest.raises(DefinitionError, match="did you mean 'location'"):
        work_of(poll="locatoin")


# ---- retries of the first request


def test_a_first_request_is_tried_again_as_the_options_say() -> None:
    work = work_of(retry_options=RetryOptions(2_000, 3))
    first = read_answer(work, answer(500), task=1)
    assert isinstance(first, Again)
    assert (first.at, first.work.tries, first.work.next_purpose) == (NOW + 3 * SECOND, 2, "retry")
    second = read_answer(first.work, nothing(after=4), task=1, kind="connection")
    assert isinstance(second, Again)
    last = read_answer(second.work, answer(503, body=b"down"), task=1)
    assert failure(last) == "HttpRetriesExhaustedError"
    assert isinstance(last, Over)
    assert isinstance(last.event, HttpCallFailed)
    assert last.event.last is not None
    assert (last.event.last.status, last.event.last.content) == (503, "down")


def test_only_named_statuses_are_retried() -> None:
    work = work_of(retry_options=RetryOptions(2_000, 3), status_codes_to_retry=(503,))
    assert isinstance(read_answer(work, answer(503), task=1), Again)
    other = read_answer(work, answer(500), task=1)
    assert isinstance(other, Over)
    assert isinstance(other.event, HttpCallCompleted)


@pytest.mark.parametrize(("asked", "seconds"), [("60", 60), ("1", 2), ("1e99", 3600), ("garbage", 2), ("-7", 2)])
def test_a_retry_comes_no_sooner_than_a_busy_server_wants_it(asked: str, seconds: int) -> None:
    work = work_of(retry_options=RetryOptions(2_000, 3))
    for status in (429, 503):
        outcome = read_answer(work, answer(status, ("Retry-After", asked)), task=1)
        assert isinstance(outcome, Again)
        assert outcome.at == NOW + (1 + seconds) * SECOND
    outcome = read_answer(work, answer(500, ("Retry-After", asked)), task=1)
    assert isinstance(outcome, Again)
    assert outcome.at == NOW + 3 * SECOND


def test_no_retry_comes_after_the_deadline() -> None:
    work = work_of(retry_options=RetryOptions(10_000, 3), deadline=8)
    assert failure(read_answer(work, answer(500), task=1)) == "HttpRetriesExhaustedError"


def test_polls_begin_when_a_retry_is_accepted() -> None:
    work = work_of(retry_options=RetryOptions(2_000, 3))
    again = read_answer(work, answer(500), task=1)
    assert isinstance(again, Again)
    polled = read_answer(again.work, answer(202, ("Location", "/s"), after=5), task=1)
    assert isinstance(polled, Again)
    assert (polled.work.next_purpose, polled.work.poll.request.url) == ("poll", "https://api.example/s")


# ---- how it ends


def test_an_error_without_retries_ends_the_call() -> None:
    assert failure(read_answer(work_of(), nothing(), task=1, kind="connection")) == "HttpConnectionError"
    assert failure(read_answer(work_of(), nothing(), task=1, kind="timeout")) == "HttpTimeoutError"
    assert failure(read_answer(work_of(), nothing(), task=1, kind="deadline")) == "HttpTimeoutError"
    assert failure(read_answer(work_of(), nothing(), task=1, kind="secret")) == "HttpCallError"
    assert failure(read_answer(work_of(), nothing(), task=1, kind="address")) == "HttpRefusedError"


def polling(**parts: Any) -> CallWork:
    outcome = read_answer(work_of(**parts), answer(202, ("Location", "/s"), ("Retry-After", "5")), task=1)
    assert isinstance(outcome, Again)
    return outcome.work


CANCELS = Poll(cancel="DELETE {status}")


LATE = [(answer(202, after=60), ""), (nothing(after=60), "connection"), (nothing(), "deadline")]


@pytest.mark.parametrize(("last", "kind"), LATE)
def test_at_the_deadline_the_job_is_cancelled_however_the_last_poll_went(last: Answer, kind: str) -> None:
    outcome = read_answer(polling(deadline=60, poll=CANCELS), last, task=1, kind=kind)
    assert failure(outcome) == "HttpTimeoutError"
    assert isinstance(outcome, Over)
    assert outcome.cancel is not None
    assert (outcome.cancel.poll.request.method, outcome.cancel.next_purpose) == ("DELETE", "cancel")
    assert not outcome.cancel.is_over_time(NOW + 10**12)
    plain = read_answer(polling(deadline=60), last, task=1, kind=kind)
    assert isinstance(plain, Over)
    assert plain.cancel is None


def test_a_call_that_could_not_send_in_time_says_why() -> None:
    work = polling(deadline=60, poll=CANCELS)
    assert not work.is_over_time(NOW + 59 * SECOND)
    assert work.is_over_time(NOW + 60 * SECOND)
    over = too_late(work, task=1, now=NOW + 60 * SECOND, why="the server has asked to be left alone")
    assert failure(over) == "HttpTimeoutError"
    assert isinstance(over.event, HttpCallFailed)
    assert over.event.failure.message == "the deadline has passed: the server has asked to be left alone"
    assert over.cancel is not None


def test_the_longest_wait_is_that_of_the_description_or_of_the_app() -> None:
    assert work_of().longest_wait == 3600 * SECOND
    assert work_of(poll=Poll(cap=90)).longest_wait == 90 * SECOND


def test_the_answer_is_what_the_orchestration_gets() -> None:
    outcome = read_answer(work_of("GET"), answer(200, ("Content-Type", "application/json"), body=json.dumps([1]).encode()), task=7)
    assert isinstance(outcome, Over)
    assert outcome.event == HttpCallCompleted(7, 200, (("Content-Type", "application/json"),), "[1]", "utf-8", URL)
