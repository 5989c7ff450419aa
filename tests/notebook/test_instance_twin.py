from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest

import dfnb
from dfnb.client.sync import DurableOrchestrationClient
from dfnb.notebook import display
from dfnb.notebook.instance_parts import parts_of
from dfnb.notebook.snapshot import InstanceTracker

VOID = {"img", "br"}


class Reader(HTMLParser):
    """Checks that every element is closed, and notes which there are and what they say."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.said = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.said += data


@pytest.fixture
def client() -> Iterator[DurableOrchestrationClient]:
    registry = dfnb.Registry()

    @dfnb.activity(registry=registry)
    def shout(word: str) -> str:
        logging.getLogger("twin").warning("shouting <%s>", word[:9])
        if word == "no":
            raise ValueError("<not> this")
        return word.upper()

    @dfnb.orchestrator(registry=registry)
    def say(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        said = []
        for word in context.get_input():
            said.append((yield context.call_activity("shout", word)))
        return said

    with dfnb.DurableApp(durability="memory", registry=registry) as app:
        yield app.client


def twin(client: DurableOrchestrationClient, words: list[str]) -> str:
    run = client.start("say", words, instance_id="s1")
    run.wait(30)
    tracker = InstanceTracker(client, run.id, run.name)
    tracker.look()
    return display.bundle(tracker.whole())["text/html"]


def test_the_twin_of_an_ended_instance_tells_all_there_is(client: DurableOrchestrationClient) -> None:
    said = Reader(twin(client, ["a<b", "c"])).said
    told = ("Completed", "s1", "Tasks (2)", "History (6)", "Payloads (6)", "Logs (2)", "Code (", "shouting <a<b>", '["A<B","C"]')
    for text in (*told, "def say("):
        assert text in said
    assert "HTTP (" not in said


def test_the_twin_has_no_script_and_asks_nobody(client: DurableOrchestrationClient) -> None:
    html = twin(client, ["<script>alert(1)</script>"])
    assert Reader(html).names <= {
        "div", "span", "style", "img", "details", "summary", "table", "thead", "tbody", "tr", "th", "td", "pre", "b",
    }  # fmt: skip
    assert re.findall(r'(?:src|href)="(?!data:)', html) == []
    assert "url(" not in html


def test_the_twin_is_bounded_whatever_the_instance_did(client: DurableOrchestrationClient) -> None:
    html = twin(client, [f"{n} {'<&>' * 2_000}" for n in range(150)])
    assert len(html) < 150_000
    said = Reader(html).said
    assert "and 90 more; `run.timeline()` has all" in said
    assert "more characters" in said


def test_a_failure_shows_its_traceback(client: DurableOrchestrationClient) -> None:
    said = Reader(twin(client, ["no"])).said
    assert "ValueError: <not> this" in said
    assert "in shout" in said


def test_a_running_instance_that_is_not_live_has_its_sections_too(client: DurableOrchestrationClient) -> None:
    run = client.start("say", ["a"])
    tracker = InstanceTracker(client, run.id)
    tracker.look()
    assert "Code (" in Reader(display.bundle(tracker.whole())["text/html"]).said
    run.wait(10)


def test_what_was_purged_shows_what_was_seen(client: DurableOrchestrationClient) -> None:
    run = client.start("say", ["a"])
    run.wait(10)
    tracker = InstanceTracker(client, run.id)
    tracker.look()
    run.purge()
    assert "TaskScheduled" in Reader(display.bundle(tracker.whole())["text/html"]).said


# ---- of a long story with exchanges, told by a source that is made up


def exchange(i: int) -> dict[str, Any]:
    return {
        "i": i, "at": 1_000.0 * i, "task": 1, "attempt": i + 1, "purpose": "poll", "method": "GET", "url": f"https://h/{i}",
        "status": 202, "text": "202 Accepted", "state": "Running", "took": 5.0, "bytes": 3, "asked": 2_000.0,
    }  # fmt: skip


def answer(question: dict[str, Any]) -> dict[str, Any]:
    begin, end = question.get("from", 0), question.get("from", 0) + question.get("count", 0)
    message = {"line": "GET /", "headers": [["a", "b" * 5_000]], "text": "<" * 9_000, "bytes": 9_000, "binary": False}
    told: dict[str, Any] = {
        "history": {"rows": [{"at": float(n), "kind": f"Event{n}", "name": ""} for n in range(1_000)][begin:end], "total": 1_000},
        "http": {"rows": [exchange(n) for n in range(1_000)][begin:end], "total": 1_000},
        "exchange": {"request": message, "response": {**message, "binary": True}},
        "payloads": {"rows": [{"label": f"<{n}>", "of": n, "bytes": 9_000} for n in range(500)]},
        "payload": {"text": "&" * question.get("count", 0)},
        "logs": {"rows": [{"at": float(n), "bad": False, "text": f"line {n}"} for n in range(500)][begin:end], "total": 500},
        "code": {"source": "x" * 50_000, "version": "abc", "note": "<held>"},
    }
    return json.loads(json.dumps(told[question["ask"]]))  # type: ignore[no-any-return]


def test_of_a_long_story_both_ends_and_the_latest_are_told() -> None:
    row = {"i": 0, "k": "http", "n": "GET https://h/", "s": 0.0, "e": 9.0, "st": "Completed", "g": 0, "id": 1}
    picture = {"kind": "instance", "id": "l1", "name": "long", "status": "Completed", "waits": [], "created": 1.0, "ended": 9.0}
    html = display.bundle({**picture, "parts": parts_of(answer, [row] * 5_000, 9.0)})["text/html"]
    said = Reader(html).said
    assert len(html) < 150_000
    for text in ("Event0", "Event99", "… 800 more …", "Event900", "Event999", "https://h/999", "asked wait 2.00 s", "line 499"):
        assert text in said
    for text in ("Event100", "https://h/1 ", "line 1\n"):
        assert text not in said
    assert "`%dfnb http l1` has all" in said
    assert "(9,000 bytes that are no text)" in said
