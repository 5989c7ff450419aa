"""An HTTP call in an orchestration: what is asked for, what comes back, what is raised, and when code differs from its history."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

import dfnb
from dfnb.durable_http import secrets
from dfnb.durable_http.secrets import Secret
from dfnb.errors import (
    HttpCallError,
    HttpConnectionError,
    HttpRefusedError,
    HttpRetriesExhaustedError,
    HttpTimeoutError,
    NonDeterminismError,
    PayloadError,
    TaskFailedError,
)
from dfnb.records.entity_id import EntityId
from dfnb.records.failure import FailureDetails
from dfnb.records.history import (
    ExecutionCompleted,
    ExecutionRewound,
    HistoryEvent,
    HttpCallCompleted,
    HttpCallFailed,
    HttpCallScheduled,
    OrchestratorStarted,
    Recorded,
)
from dfnb.records.http import DurableHttpRequest, HttpCallRecord
from dfnb.records.instance import Wait
from dfnb.records.retry import RetryPolicy
from dfnb.replay.orchestrator import Decision, OrchestrationReplay
from dfnb.testing import HistoryBuilder, replay

cores: list[OrchestrationReplay] = []


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    while cores:
        cores.pop().close()


def after(function: Any, history: HistoryBuilder, *events: HistoryEvent) -> Decision:
    core = OrchestrationReplay(function)
    cores.append(core)
    core.replay(history.rows)
    return core.turn(history.rows[-1].at + 1_000_000, events)


def begin(function: Any) -> Decision:
    core = OrchestrationReplay(function)
    cores.append(core)
    row = HistoryBuilder(function.__name__).rows[0]
    return core.turn(row.at, [row.event])


def asked(*arguments: Any, **options: Any) -> HttpCallScheduled:
    """What a call with these arguments puts into the history."""
    (event,) = begin(lambda context: (yield context.call_http(*arguments, **options))).outputs
    assert isinstance(event, HttpCallScheduled)
    return event


def check(context: Any) -> Any:
    answer = yield context.call_http("POST", "https://host/jobs?code=5", {"n": 1}, {"Accept": "text/html"})
    return [answer["statusCode"], answer.headers["location"], answer.json()]


HISTORY = HistoryBuilder("check").http_called("POST", "https://host/jobs?code=5", {"n": 1}, {"Accept": "text/html"})


# ---- the call


def test_a_call_is_scheduled_when_it_is_made_and_waited_for_by_name() -> None:
    decision = begin(check)
    (event,) = decision.outputs
    assert isinstance(event, HttpCallScheduled)
    assert (event.task, event.name) == (1, "POST https://host/jobs")
    call = HttpCallRecord.decode(event.request)
    assert (call.uri, call.content, call.headers) == ("https://host/jobs?code=5", {"n": 1}, {"Accept": "text/html"})
    assert decision.waits == (Wait("http", "POST https://host/jobs", 1, None, HISTORY.rows[0].at),)
    assert decision.waits[0].sentence == "the HTTP call POST https://host/jobs"


def test_calls_in_a_row_go_out_at_once_and_take_the_next_numbers() -> None:
    def many(context: Any) -> Any:
        first = context.call_activity("a")
        calls = [context.call_http("GET", f"https://host/{n}") for n in range(3)]
        yield context.task_all([first, *calls])

    numbers = [(getattr(event, "task", 0), getattr(event, "name", "")) for event in begin(many).outputs]
    assert numbers == [(1, "a"), (2, "GET https://host/0"), (3, "GET https://host/1"), (4, "GET https://host/2")]


def test_azures_arguments_stand_where_azure_has_them() -> None:
    call = HttpCallRecord.decode(asked("PUT", "https://host", "a b", {"a": "1"}, None, True).request)
    assert (call.content, call.headers, call.is_raw_str, call.asynchronous_pattern_enabled) == ("a b", {"a": "1"}, True, True)


def test_all_options_are_recorded_and_a_deadline_counts_from_the_turn() -> None:
    call = HttpCallRecord.decode(
        asked(
            "GET", "https://host", asynchronous_pattern_enabled=False, retry_options=RetryPolicy(timedelta(seconds=1), 2),
            timeout=5, deadline=timedelta(minutes=1), poll="fabric", status_codes_to_retry=[503], idempotency_key="k", client="c",
        ).request
    )
    assert (call.asynchronous_pattern_enabled, call.poll, call.client, call.idempotency_key) == (False, "fabric", "c", "k")
    assert (call.timeout, call.deadline_at, call.status_codes_to_retry) == (5_000_000, HISTORY.rows[0].at + 60_000_000, (503,))
    assert call.retry_options is not None


def test_a_whole_request_may_be_given_and_parts_of_it_replaced() -> None:
    request = DurableHttpRequest("GET", "https://host/a", headers={"a": "1"}, timeout=5, poll="fabric")
    whole = asked(request)
    assert whole.request == asked("GET", "https://host/a", headers={"a": "1"}, timeout=5, poll="fabric").request
    other = asked(request, uri="https://host/b", timeout=9)
    assert other.name == "GET https://host/b"
    assert HttpCallRecord.decode(other.request).timeout == 9_000_000
    assert HttpCallRecord.decode(other.request).headers == {"a": "1"}


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda c: c.call_http("GET", "host/x"), ValueError, "must be a text that begins with http:// or https://"),
        (lambda c: c.call_http("GET"), ValueError, "not None"),
        (lambda c: c.call_http("GET", "https://host", object()), PayloadError, "the request 'GET https://host' cannot be written"),
        (lambda c: c.call_http("GET", "https://host", 5, is_raw_str=True), TypeError, "content that is a text, not int"),
    ],
)
def test_a_call_that_cannot_be_made_is_refused_at_the_call_and_takes_no_number(call: Any, kind: type, said: str) -> None:
    seen: list[Exception] = []

    def tries(context: Any) -> Any:
        try:
            call(context)
        except Exception as error:
            seen.append(error)
        yield context.call_http("GET", "https://host/next")

    (event,) = begin(tries).outputs
    assert getattr(event, "task", 0) == 1
    assert isinstance(seen[0], kind)
    assert said in str(seen[0])


# ---- the answer


@pytest.mark.parametrize("status", [200, 404, 500])
def test_any_status_is_a_value(status: int) -> None:
    answer = HttpCallCompleted(1, status, (("Location", "/x"),), '{"n":2}')
    assert after(check, HISTORY, answer).end == ExecutionCompleted("Completed", f'[{status},"/x",{{"n":2}}]')


def test_an_answer_as_output_is_plain_json() -> None:
    def passes(context: Any) -> Any:
        return (yield context.call_http("GET", "https://host"))

    history = HistoryBuilder("passes").http_called("GET", "https://host")
    end = after(passes, history, HttpCallCompleted(1, 200, (("a", "1"), ("A", "2")), "x", url="https://host", note="odd")).end
    assert end == ExecutionCompleted("Completed", '{"statusCode":200,"headers":{"a":["1","2"]},"content":"x"}')


def test_a_late_answer_changes_nothing() -> None:
    def hurries(context: Any) -> Any:
        call, timer = context.call_http("GET", "https://host"), context.create_timer(timedelta(seconds=1))
        winner = yield context.task_any([call, timer])
        yield context.wait_for_external_event("never")
        return winner is timer

    history = HistoryBuilder("hurries").http_called("GET", "https://host").timer(1).fired()
    assert after(hurries, history, HttpCallCompleted(1, 200), HttpCallCompleted(1, 500)).outputs == ()
    ended = HistoryBuilder("check").http_called("POST", "https://host/jobs", {"n": 1}).http_completed().ended()
    assert after(lambda c: (yield c.call_http("POST", "https://host/jobs", {"n": 1})), ended, HttpCallFailed(1, BAD)).outputs == ()


def test_an_answer_that_cannot_be_read_is_raised_at_the_yield() -> None:
    def catches(context: Any) -> Any:
        try:
            yield context.call_http("GET", "https://host")
        except ValueError as error:
            return type(error).__name__

    history = HistoryBuilder("catches").http_called("GET", "https://host")
    assert after(catches, history, HttpCallCompleted(1, 200, (), "é", None)).end == ExecutionCompleted("Completed", '"ValueError"')


# ---- failures


BAD = FailureDetails("dfnb.errors.HttpTimeoutError", "no answer within 5 s")


@pytest.mark.parametrize(
    ("error_type", "kind", "also"),
    [
        ("dfnb.errors.HttpTimeoutError", HttpTimeoutError, TimeoutError),
        ("dfnb.errors.HttpConnectionError", HttpConnectionError, ConnectionError),
        ("dfnb.errors.HttpRetriesExhaustedError", HttpRetriesExhaustedError, HttpCallError),
        ("dfnb.errors.HttpRefusedError", HttpRefusedError, HttpCallError),
        ("dfnb.errors.HttpCallError", HttpCallError, TaskFailedError),
        ("dfnb.errors.TokenError", HttpCallError, dfnb.TaskError),
    ],
)
def test_a_failed_call_raises_the_error_of_its_kind_with_the_last_answer(error_type: str, kind: type, also: type) -> None:
    seen: list[Any] = []

    def catches(context: Any) -> Any:
        try:
            yield context.call_http("POST", "https://host/path?x=1")
        except also as error:
            seen.append(error)

    history = HistoryBuilder("catches").http_called("POST", "https://host/path?x=1")
    failure = FailureDetails(error_type, "it is so")
    after(catches, history, HttpCallFailed(1, failure, HttpCallCompleted(1, 503, (), "busy")))
    (error,) = seen
    assert type(error) is kind
    assert str(error) == f"HTTP call 'POST https://host/path' failed: {error_type.rpartition('.')[2]}: it is so"
    assert (error.details, error.task_id, error.response.status_code, error.response.content) == (failure, 1, 503, "busy")


def test_without_any_answer_the_error_has_none() -> None:
    def catches(context: Any) -> Any:
        try:
            yield context.call_http("GET", "https://host")
        except dfnb.HttpConnectionError as error:
            return [error.response, error.errno]

    history = HistoryBuilder("catches").http_called("GET", "https://host")
    failure = FailureDetails("dfnb.errors.HttpConnectionError", "refused")
    assert after(catches, history, HttpCallFailed(1, failure)).end == ExecutionCompleted("Completed", "[null,null]")


def test_an_uncaught_failure_ends_the_instance_and_is_what_a_rewind_makes_again() -> None:
    history = HistoryBuilder("check").http_called("POST", "https://host/jobs?code=5", {"n": 1}, {"Accept": "text/html"})
    end = after(check, history, HttpCallFailed(1, BAD)).end
    assert end is not None
    assert end.failure is not None
    assert (end.status, end.failed_tasks) == ("Failed", (1,))
    assert end.failure.message == "HTTP call 'POST https://host/jobs' failed: HttpTimeoutError: no answer within 5 s"
    assert end.failure.inner_failure == BAD
    history.http_failed(TimeoutError("no answer within 5 s")).failed_with(ValueError("x"), 1)
    marker = ExecutionRewound((1,))
    core = OrchestrationReplay(check)
    cores.append(core)
    at = history.rows[-1].at
    core.replay([*history.rows, Recorded(0, at, marker)])
    (again,) = core.turn(at, [marker, OrchestratorStarted()]).outputs
    assert again == history.rows[1].event
    answer = HttpCallCompleted(1, 200, (("Location", "/y"),), "5")
    assert core.turn(at, [answer]).end == ExecutionCompleted("Completed", '[200,"/y",5]')


# ---- against the history


@pytest.mark.parametrize(
    ("call", "code_asked"),
    [
        (lambda c: c.call_http("GET", "https://host/jobs"), "the HTTP call 'GET https://host/jobs' (task 1)"),
        (lambda c: c.call_http("POST", "https://host/other"), "the HTTP call 'POST https://host/other' (task 1)"),
        (lambda c: c.call_activity("jobs"), "activity 'jobs' (task 1)"),
    ],
)
def test_another_call_is_told_apart(call: Any, code_asked: str) -> None:
    with pytest.raises(NonDeterminismError) as caught:
        after(lambda context: (yield call(context)), HISTORY)
    history_has = "the HTTP call 'POST https://host/jobs' (task 1)"
    assert (caught.value.event_number, caught.value.history_has, caught.value.code_asked) == (2, history_has, code_asked)


def test_another_request_to_the_same_place_is_only_warned_of() -> None:
    def other(context: Any) -> Any:
        yield context.call_http("POST", "https://host/jobs?code=6", {"n": 2})

    (warning,) = after(other, HISTORY, OrchestratorStarted()).warnings
    assert warning == (
        "the HTTP call 'POST https://host/jobs' (event 2) was recorded with another request than the code gives now; "
        "the recorded one counts"
    )


def test_the_same_secrets_signed_anew_are_the_same_request() -> None:
    def uses(context: Any) -> Any:
        key = Secret.env("KEY")
        yield context.call_http("GET", f"https://host/{key}", {"k": key}, {"api-key": key, "a": f"x {key}"})

    key = Secret.env("KEY")
    history = HistoryBuilder("uses").http_called("GET", f"https://host/{key}", {"k": key}, {"api-key": key, "a": f"x {key}"})
    old = list(secrets._keys)
    try:
        secrets.use_key(b"the key of another process......")
        assert after(uses, history, OrchestratorStarted()).warnings == ()
    finally:
        secrets._keys[:] = old


def test_a_call_that_is_never_yielded_is_warned_of() -> None:
    def forgets(context: Any) -> Any:
        context.call_http("GET", "https://host/x")

    assert begin(forgets).warnings == (
        "called but never yielded: the HTTP call 'GET https://host/x'; yield every task, or its result and failure are lost",
    )


# ---- credentials


def test_a_credential_in_plain_text_is_warned_of_once_and_not_again_at_replay() -> None:
    def careless(context: Any) -> Any:
        for _ in range(2):
            yield context.call_http("GET", "https://host", headers={"Authorization": "Bearer abc"})

    said = "the value of header 'Authorization' is written into the history as it is; use df.Secret.env(...)"
    assert begin(careless).warnings == (said,)
    history = HistoryBuilder("careless").http_called("GET", "https://host", headers={"Authorization": "Bearer abc"})
    assert after(careless, history, HttpCallCompleted(1, 200)).warnings == ()


def test_secrets_are_not_warned_of() -> None:
    def careful(context: Any) -> Any:
        key = Secret.env("KEY")
        headers = {"Authorization": "Bearer " + key, "api-key": key, "Cookie": f"k={key}", "Accept": "a"}
        yield context.call_http("GET", "https://host", headers=headers)

    assert begin(careful).warnings == ()


# ---- beside the rest


def test_inside_a_critical_section_http_calls_are_allowed() -> None:
    def locked(context: Any) -> Any:
        with (yield context.lock_entities([EntityId("a", "x")])):
            return (yield context.call_http("GET", "https://host")).status_code

    history = HistoryBuilder("locked").lock_requested(EntityId("a", "x")).lock_granted().http_called("GET", "https://host")
    assert replay(locked, history.http_completed(204).unlocked().ended(204)).output == 204


def test_a_suspended_instance_takes_the_answer_when_it_is_resumed() -> None:
    history = HISTORY_OF_PAUSE.suspended().http_completed(200, 7, {"Location": "/x"})
    assert replay(check, history).status == "Running"
    assert replay(check, history.resumed().ended([200, "/x", 7])).output == [200, "/x", 7]


HISTORY_OF_PAUSE = HistoryBuilder("check").http_called("POST", "https://host/jobs?code=5", {"n": 1}, {"Accept": "text/html"})


def test_histories_show_the_call_in_the_originals_words() -> None:
    seen: list[Any] = []

    def looks(context: Any) -> Any:
        yield context.call_http("GET", f"https://host/{Secret.env('KEY')}")
        seen.extend(context.histories)
        try:
            yield context.call_http("GET", "https://host")
        except HttpCallError:
            seen.append(context.histories[-1])

    history = (
        HistoryBuilder("looks").http_called("GET", f"https://host/{Secret.env('KEY')}").http_completed(200, "x")
        .http_called("GET", "https://host").http_failed(ConnectionError("gone")).ended()
    )
    replay(looks, history)
    scheduled, completed, failed = seen[1], seen[2], seen[-1]
    assert (scheduled.event_type, scheduled.Name) == ("HttpCallScheduled", "GET https://host/<secret: KEY>")
    assert scheduled.Input.startswith('{"method": "GET", "uri": "https://host/<secret: KEY>", "headers": {}')
    assert completed.Result == '{"statusCode": 200, "headers": {}, "content": "x"}'
    assert failed.Reason == "HttpConnectionError: gone"
