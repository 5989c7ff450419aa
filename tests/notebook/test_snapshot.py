from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

import dfnb
from dfnb.definitions import Registry
from dfnb.durable_http.retry_after import Pace
from dfnb.engine.http import HttpSettings
from dfnb.hub.http_state import CallSummary
from dfnb.notebook import display
from dfnb.notebook.snapshot import InstanceTracker, call_line


@pytest.fixture
def app() -> Iterator[dfnb.DurableApp]:
    registry = Registry()

    @dfnb.activity(registry=registry)
    def echo(word: str) -> str:
        logging.getLogger("echo").warning("echo %s", word)
        return word

    @dfnb.orchestrator(registry=registry)
    def ask(context: dfnb.DurableOrchestrationContext):
        context.set_custom_status("asking")
        answer = yield context.wait_for_external_event("answer")
        return (yield context.call_activity("echo", answer))

    with dfnb.DurableApp(":memory:", registry=registry) as app:
        yield app


def test_the_first_look_has_all_and_later_ones_what_changed(app):
    run = app.client.start("ask")
    tracker = InstanceTracker(app.client, run.id)
    first = tracker.look()
    assert first["set"]["status"] == "Running"
    assert first["set"]["custom"] == "asking"
    assert first["set"]["waits"][0]["text"] == "event answer"
    assert [event["kind"] for event in tracker.still()["events"]] == ["ExecutionStarted", "CustomStatusSet"]
    assert first["set"]["actions"] == ["suspend", "raise", "terminate"]
    assert first["rows"] == {"0": {**first["rows"]["0"], "k": "event", "n": "answer", "e": None, "st": "Waiting"}}
    assert tracker.look() == {}

    run.raise_event("answer", "yes")
    run.wait(5)
    last = tracker.look()
    assert "name" not in last["set"]
    assert last["set"]["status"] == "Completed"
    assert last["set"]["output"] == "yes"
    assert last["set"]["actions"] == ["restart", "purge"]
    assert [(row["k"], row["n"], row["st"]) for row in last["rows"].values()] == [
        ("event", "answer", "Completed"), ("activity", "echo", "Completed"),
    ]  # fmt: skip
    still = tracker.still()
    assert [line["text"] for line in still["logs"]] == ["echo yes"]
    kinds = [(event["kind"], event["name"]) for event in still["events"]]
    assert kinds[3:5] == [("TaskScheduled", "echo"), ("TaskCompleted", "echo")]
    assert tracker.is_over


def test_who_looks_later_sees_how_long_an_event_was_waited_for(app):
    run = app.client.start("ask")
    watched = InstanceTracker(app.client, run.id)
    since = watched.look()["set"]["waits"][0]["since"]
    run.raise_event("answer", "yes")
    run.wait(5)
    watched.look()
    late = InstanceTracker(app.client, run.id)
    late.look()
    assert watched.timeline.rows == late.timeline.rows
    event = late.timeline.rows[0]
    assert (event["n"], event["s"] < event["e"]) == ("answer", True)
    assert event["s"] == pytest.approx(since)


def test_snapshot_and_deltas_make_the_same_picture(app):
    run = app.client.start("ask")
    tracker = InstanceTracker(app.client, run.id)
    tracker.look()
    seen = tracker.full()
    run.raise_event("answer", "yes")
    run.wait(5)
    delta = tracker.look()
    merged = {**seen, **delta["set"], "rows": {**seen["rows"], **delta["rows"]}}
    assert merged == tracker.full()


def test_an_instance_started_again_under_its_id_begins_a_new_picture(app):
    run = app.client.start("ask", instance_id="q1")
    tracker = InstanceTracker(app.client, run.id)
    tracker.look()
    run.terminate()
    run.wait(5)
    app.client.start("ask", instance_id="q1")
    tracker.look()
    assert tracker.restarted
    assert [event["kind"] for event in tracker.still()["events"]] == ["ExecutionStarted", "CustomStatusSet"]


def test_a_purged_instance_is_over(app):
    run = app.client.start("ask")
    tracker = InstanceTracker(app.client, run.id)
    tracker.look()
    run.purge(force=True)
    last = tracker.look()["set"]
    assert (last["status"], last["note"]) == ("Purged", "purged: its history was deleted")
    assert tracker.is_over


def test_a_suspended_instance_says_why_until_it_goes_on(app):
    run = app.client.start("ask")
    tracker = InstanceTracker(app.client, run.id)
    assert tracker.look()["set"]["reason"] == ""
    run.suspend("because <b>lunch</b>")
    assert tracker.look()["set"]["reason"] == "because <b>lunch</b>"
    assert "because &lt;b&gt;lunch&lt;/b&gt;" in display.instance_html(tracker.whole())
    assert InstanceTracker(app.client, run.id).look()["set"]["reason"] == "because <b>lunch</b>"
    run.resume()
    assert tracker.look()["set"]["reason"] == ""
    run.suspend()
    assert "reason" not in tracker.look()["set"]


def test_entity_calls_signals_and_locks_are_events_like_others(app):
    @dfnb.entity(registry=app.registry)
    def counter(context: dfnb.DurableEntityContext):
        if context.operation_name == "fail":
            raise ValueError("bad")

    @dfnb.orchestrator(registry=app.registry)
    def transfer(context: dfnb.DurableOrchestrationContext):
        one, two = dfnb.EntityId("counter", "1"), dfnb.EntityId("counter", "2")
        context.signal_entity(dfnb.EntityId("counter", "log"), "note", 1)
        with (yield context.lock_entities([two, one])):
            yield context.call_entity(one, "add", 1)
        yield context.call_entity(one, "fail")

    run = app.client.start("transfer")
    run.wait(5)
    tracker = InstanceTracker(app.client, run.id)
    tracker.look()
    events = [(event["kind"], event["name"]) for event in tracker.still()["events"] if event["kind"].startswith("Entity")]
    assert events == [
        ("EntityOperationSignaled", "@counter@log note"),
        ("EntityLockRequested", "@counter@1, @counter@2"),
        ("EntityLockGranted", "@counter@1, @counter@2"),
        ("EntityOperationCalled", "@counter@1 add"),
        ("EntityOperationCompleted", "@counter@1 add"),
        ("EntityUnlockSent", "@counter@1, @counter@2"),
        ("EntityOperationCalled", "@counter@1 fail"),
        ("EntityOperationFailed", "@counter@1 fail"),
    ]
    (failed,) = [event for event in tracker.still()["events"] if event["kind"] == "EntityOperationFailed"]
    assert failed["note"] == "ValueError: bad"


def test_an_entity_whose_cell_is_missing_is_waited_for_by_its_name(app):
    @dfnb.orchestrator(registry=app.registry)
    def call(context: dfnb.DurableOrchestrationContext):
        yield context.call_entity(dfnb.EntityId("Later", "x"), "add", 1)

    run = app.client.start("call")
    tracker = InstanceTracker(app.client, run.id)
    tracker.look()
    assert tracker.full()["waits"] == [{"text": "the cell that defines later", "missing": True}]


def test_an_http_call_is_a_line_with_its_latest_answer(app):
    answers = iter([
        httpx.Response(202, headers={"Location": "/op/1", "Retry-After": "0"}),
        httpx.Response(202, headers={"Retry-After": "3600"}),
    ])  # fmt: skip
    app.http = HttpSettings(clients={"": lambda: httpx.MockTransport(lambda request: next(answers))}, pace=Pace(floor=0.0))

    @dfnb.orchestrator(registry=app.registry)
    def poll(context: dfnb.DurableOrchestrationContext):
        yield context.call_http("POST", "https://host/jobs?n=1")

    def waits_long(picture):
        """The poll is on disk, and the wait says until when."""
        times = [line.get("next", 0) for line in (*picture["waits"], *picture.get("calls", ()))]
        return len(times) == 2 and min(times) > (time.time() + 60) * 1000

    tracker, looked = follow(app, "poll", waits_long)
    (call,) = looked["calls"]
    due = call["next"]
    assert call == {"name": "POST https://host/jobs", "status": "202 Accepted", "state": "Running", "polls": 1, "next": due}
    (wait,) = looked["waits"]
    assert wait["text"] == "the HTTP call POST https://host/jobs"
    assert "HttpCallScheduled POST https://host/jobs" in [f"{event['kind']} {event['name']}" for event in looked["events"]]
    html = display.instance_html(looked)
    assert '<div data-state="Running"><span class="dfnb-pill">202 Accepted</span>' in html
    assert re.search(r"POST https://host/jobs</span> <span class=\"\">1 poll, next request at [\d: -]+<", html)
    assert re.search(r"the HTTP call POST https://host/jobs \(next request at [\d: -]+\)", display.instance_text(looked))

    app.client.terminate(tracker.id)
    app.client.wait(tracker.id, 5)
    tracker.look()
    (call,) = tracker.full()["calls"]
    assert "next" not in call


def test_an_answer_is_the_note_of_its_event(app):
    app.http = HttpSettings(clients={"": lambda: httpx.MockTransport(lambda request: httpx.Response(404))})

    @dfnb.orchestrator(registry=app.registry)
    def ask_once(context: dfnb.DurableOrchestrationContext):
        yield context.call_http("GET", "https://host/a")

    _, looked = follow(app, "ask_once", lambda picture: picture["over"])
    (event,) = [event for event in looked["events"] if event["kind"] == "HttpCallCompleted"]
    assert (event["name"], event["note"]) == ("GET https://host/a", "404 Not Found")
    assert looked["calls"] == [{"name": "GET https://host/a", "status": "404 Not Found", "state": "Failed", "polls": 0}]


def test_how_a_call_stands_is_told_in_words():
    call = {"polls": 2, "next": 1_000}
    assert display.call_text(call) == "2 polls, request under way"
    assert display.call_text({"polls": 0, "note": "odd"}) == "odd"
    assert call_line(CallSummary(0, 1, 1, 0, None, None, "odd", "ConnectError: no"), "GET https://h", False) == {
        "name": "GET https://h", "status": "no answer", "state": "Failed", "polls": 0, "note": "odd; ConnectError: no",
    }  # fmt: skip


def follow(app, name, holds):
    """Start an instance and look at it until it is as wanted, on the hub's own news."""
    news = threading.Event()
    end = app.client.watch(lambda ids: news.set())
    try:
        tracker = InstanceTracker(app.client, app.client.start(name).id)
        tracker.look()
        while not holds(tracker.still()):
            assert news.wait(10), tracker.still()
            news.clear()
            tracker.look()
        return tracker, tracker.still()
    finally:
        end()
