"""The helpers for users' tests."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

import dfnb
from dfnb.errors import HubFormatError, NonDeterminismError
from dfnb.testing import FakeClock, HistoryBuilder, load_history, orchestrator_generator_wrapper, replay, save_history


def trip(context: Any) -> Any:
    place = yield context.call_activity("geocode", context.get_input())
    timer = context.create_timer(timedelta(minutes=5))
    answer = context.wait_for_external_event("answer")
    winner = yield context.task_any([answer, timer])
    if winner is timer:
        return "too late"
    timer.cancel()
    return [place, answer.result]


def test_replay_says_what_the_code_waits_for() -> None:
    result = replay(trip, HistoryBuilder("trip", "Oslo").scheduled("geocode", "Oslo").completed({"lat": 59.9}).timer(300))
    assert result.status == "Running"
    assert [wait.kind for wait in result.waits] == ["event", "timer"]


def test_replay_says_how_the_code_ended() -> None:
    history = HistoryBuilder("trip", "Oslo").scheduled("geocode", "Oslo").completed(1).timer(300)
    assert replay(trip, history.wait(299).fired().ended("too late")).output == "too late"


def test_replay_raises_where_the_code_differs() -> None:
    with pytest.raises(NonDeterminismError, match="at event 2"):
        replay(trip, HistoryBuilder("trip", "Oslo").scheduled("other"))
    with pytest.raises(NonDeterminismError, match=r"history has the end \(Failed\)"):
        replay(lambda context: 1, HistoryBuilder("trip").failed_with(ValueError("bug")))


def test_a_failed_run_shows_its_failure() -> None:
    def fails(context: Any) -> Any:
        raise ValueError("bug")

    result = replay(fails, HistoryBuilder("fails").failed_with(ValueError("bug")))
    assert result.failure is not None
    assert (result.status, result.failure.summary) == ("Failed", "ValueError: bug")


def test_the_builder_knows_every_kind_of_event() -> None:
    history = (
        HistoryBuilder("all").scheduled("a").child("kid").timer(5).status("busy").raised("e", 1).suspended().resumed(same_turn=True)
        .completed(1).child_failed(ValueError("x")).fired().scheduled("b").failed(OSError("y")).retry(4, 2).fired()
        .scheduled_again(4).completed().timer(1).cancelled().child("kid").child_completed(2).ended([1])
    )
    rows = load_history(save_history(history.rows))
    assert rows == history.rows
    assert [row.turn for row in rows] == sorted(row.turn for row in rows)
    assert [row.at for row in rows] == sorted(row.at for row in rows)


def test_the_builder_knows_entities_and_locks() -> None:
    a, b = dfnb.EntityId("account", "a"), dfnb.EntityId("account", "b")
    history = (
        HistoryBuilder("bank").entity_signaled(b, "note", [1]).entity_signaled(b, "later", span=timedelta(seconds=5))
        .entity_called(a, "get").entity_completed(5).lock_requested(b, a).lock_granted().entity_called(b, "add", 5)
        .entity_failed(ValueError("no")).unlocked().failed_with(ValueError("no"), 5).rewound(5).scheduled_again(5)
        .entity_completed(1).unlocked(4).lock_requested(a).lock_granted(same_turn=True).entity_signaled(b, "last", span=2).ended()
    )
    rows = load_history(save_history(history.rows))
    assert rows == history.rows
    events = [row.event for row in rows]
    numbers = [getattr(event, "task", 0) for event in events]
    assert numbers == [0, 1, 2, 3, 3, 4, 4, 5, 5, 4, 0, 0, 5, 5, 4, 6, 6, 7, 0]
    assert getattr(events[2], "due_at", None) == rows[2].at + 5_000_000
    assert getattr(events[5], "entities", None) == ("@account@a", "@account@b")
    with pytest.raises(ValueError, match="no entity call is without an answer"):
        history.entity_completed()


def test_the_builder_knows_http_calls() -> None:
    request = dfnb.DurableHttpRequest("GET", "https://host/b", timeout=5)
    last = dfnb.DurableHttpResponse(503, {"Retry-After": "5", "many": ["1", "2"]}, "busy", url="https://host/b")
    history = (
        HistoryBuilder("web").http_called("POST", "https://host/a?x=1", {"n": 1}, {"a": "1"}, deadline=60)
        .http_completed(202, {"id": 7}, {"Location": "/7", "many": ["1", "2"]}, url="https://host/a", note="odd")
        .http_called(request).http_called("GET", "https://host/c").http_failed(TimeoutError("slow"), last=last)
        .http_completed(200, b"\xff", failed=True, same_turn=True).http_called("GET", "https://host/d")
        .http_failed(ConnectionResetError("gone")).failed_with(ValueError("no"), 2).rewound(2).scheduled_again(2)
        .http_completed(200, "caf\u00e9").http_called("GET", "https://host/e").http_failed(ValueError("odd")).ended()
    )
    rows = load_history(save_history(history.rows))
    assert rows == history.rows
    events: list[Any] = [row.event for row in rows]
    assert [(event.task, event.name) for event in events if event.event_type == "HttpCallScheduled"] == [
        (1, "POST https://host/a"), (2, "GET https://host/b"), (3, "GET https://host/c"), (4, "GET https://host/d"),
        (2, "GET https://host/b"), (5, "GET https://host/e"),
    ]
    accepted, late, binary = events[2], events[5], events[6]
    assert (accepted.status, accepted.content, accepted.url, accepted.note) == (202, '{"id": 7}', "https://host/a", "odd")
    assert accepted.headers == (("Location", "/7"), ("many", "1"), ("many", "2"))
    assert (late.failure.summary, late.last.status, late.last.content) == ("HttpTimeoutError: slow", 503, "busy")
    assert late.last.headers == (("Retry-After", "5"), ("many", "1"), ("many", "2"))
    assert (binary.task, binary.charset, binary.content, binary.failed) == (3, None, "/w==", True)
    assert [event.failure.error_type for event in events if event.event_type == "HttpCallFailed"] == [
        "dfnb.errors.HttpTimeoutError", "dfnb.errors.HttpConnectionError", "builtins.ValueError",
    ]
    with pytest.raises(ValueError, match="no HTTP call is without an answer"):
        history.http_completed()


def test_a_caught_http_error_can_be_given_again() -> None:
    def polite(context: Any) -> Any:
        try:
            yield context.call_http("GET", "https://host")
        except dfnb.HttpRefusedError as error:
            return [str(error), error.response.content_bytes.hex() if error.response else None]

    error = dfnb.HttpRefusedError("HTTP call 'GET https://host'", dfnb.FailureDetails("x", "to a private address"), 1)
    last = dfnb.DurableHttpResponse(302, (), "/w==", charset=None)
    history = HistoryBuilder("polite").http_called("GET", "https://host").http_failed(error, last=last)
    said = "HTTP call 'GET https://host' failed: HttpRefusedError: to a private address"
    assert replay(polite, history.ended([said, "ff"])).output == [said, "ff"]


def test_replay_says_which_operation_or_lock_the_code_waits_for() -> None:
    a = dfnb.EntityId("account", "a")

    def careful(context: Any) -> Any:
        with (yield context.lock_entities([a])):
            return (yield context.call_entity(a, "get"))

    history = HistoryBuilder("careful").lock_requested(a)
    assert [wait.sentence for wait in replay(careful, history).waits] == ["the lock of @account@a"]
    history.lock_granted().entity_called(a, "get")
    assert [wait.sentence for wait in replay(careful, history).waits] == ["operation get of entity @account@a"]
    assert replay(careful, history.entity_completed(3).unlocked().ended(3)).output == 3


def test_the_builder_refuses_an_answer_to_nothing() -> None:
    with pytest.raises(ValueError, match="no timer is without an answer"):
        HistoryBuilder("x").fired()


def test_the_history_of_an_instance_is_saved_and_replays_over_all_generations() -> None:
    registry = dfnb.Registry()

    def counts(context: Any) -> Any:
        n = context.get_input() or 0
        yield context.call_activity("add", n)
        if n == 2:
            return "done"
        context.continue_as_new(n + 1)

    def add(n: int) -> int:
        return n + 1

    dfnb.orchestrator(counts, registry=registry)
    dfnb.activity(add, registry=registry)
    with dfnb.DurableApp(":memory:", registry=registry) as app:
        run = app.client.start("counts")
        assert run.result(10) == "done"
        text = save_history(run)
    assert replay(counts, text).output == "done"


def test_the_history_of_a_terminated_instance_replays_up_to_its_end() -> None:
    registry = dfnb.Registry()
    dfnb.orchestrator(trip, registry=registry)
    with dfnb.DurableApp(":memory:", registry=registry) as app:
        run = app.client.start("trip", "Oslo")
        run.terminate("enough")
        run.wait(10)
        assert replay(trip, save_history(run)).status == "Terminated"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"dfnb_history": 99}', '{"dfnb_history": 1, "events": [{}]}'])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(HubFormatError, match="text"):
        load_history(text)


def test_the_clock_moves_only_by_hand() -> None:
    clock = FakeClock()
    before = clock.now()
    clock.advance(1.5)
    assert clock.now() - before == 1_500_000


# ---- Azure's wrapper


def test_the_wrapper_sends_results_back_and_ends_with_the_output() -> None:
    def steps(context: Any) -> Any:
        one = yield context.first
        two = yield context.second
        return [one, two]

    context = SimpleNamespace(first=SimpleNamespace(result=1), second=SimpleNamespace(result=2))
    assert list(orchestrator_generator_wrapper(steps(context))) == [context.first, context.second, [1, 2]]


def test_the_wrapper_raises_what_reading_a_result_raises() -> None:
    class Bad:
        @property
        def result(self) -> Any:
            raise ValueError("bad")

    def catches(task: Any) -> Any:
        try:
            yield task
        except ValueError as error:
            return str(error)

    assert list(orchestrator_generator_wrapper(catches(Bad())))[-1] == "bad"


def test_the_wrapper_takes_a_generator_that_returns_at_once() -> None:
    def nothing() -> Any:
        return 5
        yield

    assert list(orchestrator_generator_wrapper(nothing())) == [5]
