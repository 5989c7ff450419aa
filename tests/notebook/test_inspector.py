from __future__ import annotations

import json
import logging
import re
import threading

import httpx
import pytest

import dfnb
from dfnb.errors import InstanceConflictError, InstanceFinishedError
from dfnb.notebook import actions
from dfnb.notebook.snapshot import InstanceTracker


@pytest.fixture
def app():
    registry = dfnb.Registry()

    @dfnb.activity(registry=registry)
    def shout(word: str) -> str:
        logging.getLogger("talk").warning("shouting %s", word)
        if word == "bad":
            raise ValueError("no")
        return word.upper()

    @dfnb.orchestrator(registry=registry)
    def talk(context: dfnb.DurableOrchestrationContext):
        said = yield context.call_activity("shout", context.get_input())
        logging.getLogger("talk").warning("said %s", said)
        more = yield context.wait_for_external_event("more")
        return [said, more]

    @dfnb.orchestrator(registry=registry)
    def fetch(context: dfnb.DurableOrchestrationContext):
        answer = yield context.call_http("POST", "https://host/a", content={"ask": 1})
        return answer.status_code

    with dfnb.DurableApp(":memory:", registry=registry) as app:
        yield app


def opened(app, run) -> InstanceTracker:
    tracker = InstanceTracker(app.client, run.id)
    tracker.look()
    return tracker


def waiting(app) -> dfnb.Instance:
    """An instance that has shouted and waits for more."""
    run = app.client.start("talk", "hi")
    news = threading.Event()
    end = app.client.watch(lambda ids: news.set())
    while not any(wait.kind == "event" for wait in app.client.record(run.id).waits):
        assert news.wait(10)
        news.clear()
    end()
    return run


def test_history_comes_in_windows_with_what_can_be_looked_into(app):
    tracker = opened(app, waiting(app))
    whole = tracker.answer({"ask": "history", "from": 0, "count": 100})
    kinds = [row["kind"] for row in whole["rows"]]
    assert kinds == ["ExecutionStarted", "TaskScheduled", "TaskCompleted"]
    assert whole["total"] == 3
    assert [row.get("has") for row in whole["rows"]] == [["input"], ["input"], ["result"]]
    assert {row["name"] for row in whole["rows"][1:]} == {"shout"}
    assert tracker.answer({"ask": "history", "from": 2, "count": 1})["rows"] == whole["rows"][2:]
    assert tracker.answer({"ask": "history", "from": 9, "count": 1})["rows"] == []


def test_events_have_the_numbers_that_a_held_instance_names(app):
    waiting(app)  # its events are not counted
    run = waiting(app)
    tracker = opened(app, run)
    first = tracker.answer({"ask": "history", "from": 0, "count": 1})["rows"]
    news = threading.Event()
    app.client.watch(lambda ids: news.set())

    @dfnb.orchestrator(registry=app.registry, name="talk")
    def other(context: dfnb.DurableOrchestrationContext):
        yield context.call_activity("whisper", context.get_input())
        yield context.wait_for_external_event("more")

    run.raise_event("more", 1)
    while not app.client.record(run.id).held:
        assert news.wait(10)
        news.clear()
    differs = int(re.findall(r"at event (\d+)", app.client.record(run.id).held)[0])
    rows = tracker.answer({"ask": "history", "from": 0, "count": 100})["rows"]
    assert rows[0] == first[0]
    assert [row["kind"] for row in rows if row["n"] == differs] == ["TaskScheduled"]
    assert rows[0]["n"] == 1


def test_each_generation_counts_its_own_events(app):
    @dfnb.orchestrator(registry=app.registry)
    def again(context: dfnb.DurableOrchestrationContext):
        count = context.get_input()
        yield context.call_activity("shout", "hi")
        if count:
            context.continue_as_new(count - 1)

    run = app.client.start("again", 2)
    run.wait(10)
    rows = opened(app, run).answer({"ask": "history", "from": 0, "count": 100})["rows"]
    assert [row["n"] for row in rows if row["kind"] == "ExecutionStarted"] == [1, 1, 1]
    numbers = [row["n"] for row in rows]
    assert numbers == numbers[: len(numbers) // 3] * 3


def test_payloads_are_listed_and_read_in_pages(app):
    run = waiting(app)
    tracker = opened(app, run)
    listed = {row["label"]: row for row in tracker.answer({"ask": "payloads"})["rows"]}
    assert set(listed) == {"input", "input of shout", "result of shout"}
    assert tracker.answer({"ask": "payload", "of": listed["result of shout"]["of"]}) == {"text": '"HI"', "total": 4}
    run.raise_event("more", "x" * 100_000)
    run.wait(10)
    first = tracker.answer({"ask": "payload", "of": "output", "from": 0, "count": 1_000_000})
    assert (len(first["text"]), first["total"]) == (65_536, 100_009)
    rest = tracker.answer({"ask": "payload", "of": "output", "from": 65_536})
    assert (first["text"] + rest["text"]).startswith('["HI","xxx')
    assert len(first["text"] + rest["text"]) == first["total"]


def test_logs_have_their_stream_and_their_task(app):
    tracker = opened(app, waiting(app))
    rows = tracker.answer({"ask": "logs", "from": 0, "count": 10})["rows"]
    assert [(row["text"], row["task"] is None, row["bad"]) for row in rows] == [
        ("shouting hi", False, True), ("said HI", True, True),
    ]  # fmt: skip


def test_exchanges_are_lines_that_open(app):
    app.http = dfnb.HttpSettings(clients={"": lambda: httpx.MockTransport(lambda request: httpx.Response(200, json={"answer": 2}))})
    run = app.client.start("fetch")
    run.wait(10)
    tracker = opened(app, run)
    (line,) = tracker.answer({"ask": "http", "from": 0, "count": 10})["rows"]
    assert (line["method"], line["url"], line["text"], line["bytes"]) == ("POST", "https://host/a", "200 OK", 12)
    whole = tracker.answer({"ask": "exchange", "i": 0})
    assert json.loads(whole["request"]["text"]) == {"ask": 1}
    assert whole["response"]["line"] == "200 OK"
    assert ["content-type", "application/json"] in [[name.lower(), value] for name, value in whole["response"]["headers"]]
    assert tracker.answer({"ask": "payload", "of": {"x": 0, "side": "response"}})["text"] == '{"answer":2}'
    assert tracker.answer({"ask": "http", "from": 0, "count": 10, "task": line["task"], "g": 0})["rows"] == [line]
    assert tracker.answer({"ask": "http", "from": 0, "count": 10, "task": 99, "g": 0}) == {"rows": [], "total": 0}
    with pytest.raises(ValueError, match="no such line"):
        tracker.answer({"ask": "exchange", "i": 1})


def test_a_failure_can_be_read_with_its_traceback(app):
    run = app.client.start("talk", "bad")
    run.wait(10)
    tracker = opened(app, run)
    listed = [row["label"] for row in tracker.answer({"ask": "payloads"})["rows"]]
    assert {"failure", "traceback", "result of shout"} <= set(listed)
    assert "ValueError: no" in tracker.answer({"ask": "payload", "of": "trace"})["text"]


def test_the_code_shows_the_line_it_has_come_to(app):
    run = waiting(app)
    tracker, logged = opened(app, run), len(run.logs())
    code = tracker.answer({"ask": "code"})
    assert code["source"].splitlines()[code["line"] - 1].strip() == 'more = yield context.wait_for_external_event("more")'
    assert code["note"] == ""
    assert len(run.logs()) == logged  # what the replayed code logs was logged before


def test_the_code_says_when_the_cell_has_another_version_now(app):
    run = waiting(app)
    before = app.client.record(run.id).code
    tracker = opened(app, run)

    @dfnb.orchestrator(registry=app.registry, name="talk")
    def other(context: dfnb.DurableOrchestrationContext):
        yield context.call_activity("something", 1)

    tracker.look()
    code = tracker.answer({"ask": "code"})
    assert code["version"] == before
    assert "held" in code["note"] or "the cell has" in code["note"]
    assert code["line"] is None


def test_what_nobody_can_answer_is_a_sentence(app):
    tracker = opened(app, app.client.start("talk", "hi"))
    with pytest.raises(ValueError, match="nothing to say about 'weather'"):
        tracker.answer({"ask": "weather"})


def test_buttons_do_what_the_state_allows(app):
    run = waiting(app)
    tracker = opened(app, run)
    assert tracker.answer({"ask": "do", "action": "suspend", "reason": "lunch"}) == {"done": "suspended"}
    assert tracker.look()["set"]["actions"] == ["resume", "raise", "terminate"]
    with pytest.raises(InstanceConflictError):
        tracker.answer({"ask": "do", "action": "suspend"})
    assert tracker.answer({"ask": "do", "action": "resume"}) == {"done": "it goes on"}
    with pytest.raises(ValueError, match="not JSON"):
        tracker.answer({"ask": "do", "action": "raise", "name": "more", "data": "{"})
    tracker.answer({"ask": "do", "action": "raise", "name": "more", "data": '{"a": 1}'})
    assert run.result(10) == ["HI", {"a": 1}]
    with pytest.raises(InstanceFinishedError):
        tracker.answer({"ask": "do", "action": "terminate"})
    again = tracker.answer({"ask": "do", "action": "restart"})
    assert app.client.record(again["instance"]).name == "talk"
    assert tracker.answer({"ask": "do", "action": "purge"}) == {"done": "purged"}
    assert "purged" in tracker.look()["set"]["note"]


def test_many_are_acted_on_and_those_that_had_ended_are_counted(app):
    first, second = waiting(app), waiting(app)
    first.terminate()
    first.wait(10)
    done = actions.perform_many(app.client, [first.id, second.id, "nobody"], {"action": "terminate"})
    assert done == {"done": "1 terminated, 2 had ended or gone"}
