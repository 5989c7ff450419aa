from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import dfnb
from dfnb.definitions import Registry
from dfnb.notebook import table_twins
from dfnb.notebook.other_tables import DefinitionsTracker, EntitiesTracker
from dfnb.notebook.tables import ROWS_SHOWN, GivenTracker, InstancesTracker, TableTracker


@pytest.fixture
def app() -> Iterator[dfnb.DurableApp]:
    registry = Registry()

    @dfnb.activity(registry=registry)
    def echo(word: str) -> str:
        return word

    @dfnb.orchestrator(registry=registry)
    def ask(context: dfnb.DurableOrchestrationContext):
        answer = yield context.wait_for_external_event("answer")
        return (yield context.call_activity("echo", answer))

    @dfnb.orchestrator(registry=registry)
    def say(context: dfnb.DurableOrchestrationContext):
        return (yield context.call_activity("echo", "x"))

    @dfnb.orchestrator(registry=registry)
    def lost(context: dfnb.DurableOrchestrationContext):
        return (yield context.call_activity("not_yet"))

    @dfnb.entity(registry=registry)
    def counter(context: dfnb.DurableEntityContext):
        context.set_state(context.get_state(lambda: 0) + context.get_input())

    with dfnb.DurableApp(":memory:", registry=registry) as app:
        yield app


@pytest.fixture
def follow(app: dfnb.DurableApp) -> Iterator[Callable[[TableTracker], TableTracker]]:
    """Has a tracker told of changes, as a view does, and read all it is told of at once."""
    ends = []

    def begin(tracker: TableTracker) -> TableTracker:
        tracker.rest = 0
        ends.append(app.client.watch(tracker.note))
        tracker.look()
        return tracker

    yield begin
    for end in ends:
        end()


class Browser:
    """What a view makes of what it is told."""

    def __init__(self, tracker: TableTracker) -> None:
        self.tracker = tracker
        self.rows: dict[str, Any] = dict(tracker.full()["rows"])

    def look(self) -> dict[str, Any]:
        delta = self.tracker.look()
        if self.tracker.restarted:
            self.rows = dict(self.tracker.full()["rows"])
        else:
            self.take(delta.get("rows", {}).values())
        return delta

    def take(self, rows: Any) -> None:
        for row in rows:
            self.rows[row["id"]] = row
            if row.get("out"):
                del self.rows[row["id"]]

    def load(self, count: int = 1000) -> bool:
        last = min(self.rows.values(), key=lambda row: row["o"])["id"] if self.rows else None
        answer = self.tracker.answer({"ask": "rows", "after": last, "count": count})
        self.take(answer["rows"])
        return "end" in answer

    def order(self) -> list[str]:
        return sorted(self.rows, key=lambda id: -self.rows[id]["o"])


def test_given_instances_are_shown_in_their_order_and_told_when_they_change(app, follow):
    one, two = app.client.start_many("ask", [1, 2])
    tracker = GivenTracker(app.client, [one.id, two.id])
    first = tracker.look()
    assert first["set"]["order"] == [one.id, two.id]
    assert set(first["rows"]) == {one.id, two.id}
    one.terminate()
    one.wait(5)
    delta = tracker.look()
    assert list(delta["rows"]) == [one.id]
    assert delta["set"] == {"counts": {"Terminated": 1, "Running": 1}}
    assert tracker.open_ids == [two.id]
    assert not tracker.is_over
    two.terminate()
    two.wait(5)
    tracker.look()
    assert tracker.is_over


def test_a_given_instance_that_was_purged_says_so(app):
    (run,) = app.client.start_many("say", [1])
    run.wait(5)
    run.purge()
    tracker = GivenTracker(app.client, [run.id])
    tracker.look()
    assert tracker.is_over
    assert "purged" in table_twins.text(tracker.still())


def test_many_given_instances_come_in_parts(app):
    ids = [run.id for run in app.client.start_many("ask", range(250))]
    tracker = GivenTracker(app.client, ids)
    tracker.look()
    browser = Browser(tracker)
    assert browser.order() == ids[:ROWS_SHOWN]
    assert not browser.load(100)
    assert browser.load(100)
    assert browser.order() == ids
    assert tracker.full()["counts"] == {"Running": 250}


def test_new_instances_come_in_at_the_top(app, follow):
    tracker = follow(InstancesTracker(app.client, name="ask", limit=2))
    assert tracker.full()["total"] == 0
    browser = Browser(tracker)
    started = [app.client.start("ask").id for _ in range(3)]
    app.client.start("say").wait(5)
    delta = browser.look()
    assert delta["set"]["order"] == started[:0:-1]
    assert (delta["set"]["total"], delta["set"]["more"]) == (3, 1)
    assert delta["set"]["counts"] == {"Running": 3}
    assert tracker.full()["names"] == ["ask", "say"]


def test_nothing_is_said_when_nothing_changed(app, follow):
    app.client.start("ask")
    tracker = follow(InstancesTracker(app.client))
    assert tracker.look() == {}
    app.client.signal_entity("@counter@x", "add", 1)
    assert tracker.look() == {}


def test_only_what_changed_is_told(app, follow):
    one, two = app.client.start_many("ask", [1, 2])
    browser = Browser(follow(InstancesTracker(app.client)))
    one.terminate("enough")
    one.wait(5)
    delta = browser.look()
    assert list(delta["rows"]) == [one.id]
    assert delta["set"]["counts"] == {"Running": 1, "Terminated": 1}
    assert browser.order() == [two.id, one.id]


def test_what_no_longer_fits_the_question_goes(app, follow):
    one, two = app.client.start_many("ask", [1, 2])
    browser = Browser(follow(InstancesTracker(app.client, runtime_status="Running")))
    one.terminate()
    one.wait(5)
    delta = browser.look()
    assert delta["rows"] == {one.id: {"id": one.id, "out": True}}
    assert delta["set"]["order"] == [two.id]
    assert delta["set"]["total"] == 1
    two.terminate()
    two.purge(force=True)
    browser.look()
    assert browser.rows == {}


def test_older_rows_are_asked_for_and_kept_up_to_date(app, follow):
    runs = app.client.start_many("ask", range(350))
    browser = Browser(follow(InstancesTracker(app.client)))
    assert len(browser.rows) == ROWS_SHOWN
    assert not browser.load(200)
    assert browser.load(200)
    assert browser.order() == [run.id for run in reversed(runs)]
    runs[0].terminate()
    runs[0].wait(5)
    assert list(browser.look()["rows"]) == [runs[0].id]
    assert browser.rows[runs[0].id]["status"] == "Terminated"


def test_what_a_view_has_never_has_a_hole(app, follow):
    app.client.start_many("ask", range(150))
    tracker = follow(InstancesTracker(app.client))
    browser = Browser(tracker)
    browser.load()
    more = app.client.start_many("ask", range(150))
    browser.look()
    assert tracker.restarted
    assert browser.order() == [run.id for run in reversed(more)][:ROWS_SHOWN]


def test_a_question_of_the_view_makes_all_anew(app, follow):
    app.client.start_many("ask", range(3))
    run = app.client.start("say", instance_id="trip-1")
    run.wait(5)
    tracker = follow(InstancesTracker(app.client))
    browser = Browser(tracker)
    browser.look()
    assert tracker.answer({"ask": "question", "status": ["Completed"], "name": "", "prefix": "tr"}) == {}
    browser.look()
    assert tracker.restarted
    assert browser.order() == ["trip-1"]
    assert tracker.full()["question"] == {"status": ["Completed"], "name": "", "prefix": "tr", "from": None, "to": None}
    assert tracker.full()["counts"] == {"Completed": 1}
    browser.look()
    assert not tracker.restarted


def test_a_question_may_ask_for_a_window_of_time(app, follow):
    run = app.client.start("ask")
    now = datetime.now(UTC)
    assert Browser(follow(InstancesTracker(app.client, created_from=now - timedelta(hours=1)))).order() == [run.id]
    tracker = follow(InstancesTracker(app.client, created_from=now + timedelta(hours=1)))
    assert Browser(tracker).order() == []
    tracker.answer({"ask": "question", "from": None, "to": (now.timestamp() + 60) * 1000})
    tracker.look()
    assert Browser(tracker).order() == [run.id]


@pytest.mark.parametrize("question", [{"status": ["Odd"]}, {"from": "soon"}], ids=["status", "time"])
def test_a_question_that_makes_no_sense_is_refused(app, follow, question):
    tracker = follow(InstancesTracker(app.client))
    with pytest.raises((ValueError, TypeError)):
        tracker.answer({"ask": "question", **question})
    assert tracker.look() == {}


def test_reading_what_takes_long_rests(app, follow):
    run = app.client.start("ask")
    tracker = follow(InstancesTracker(app.client))
    tracker.rest = 1e6
    run.suspend()
    tracker.look()
    app.client.start("ask", instance_id="late")
    run.resume()
    delta = tracker.look()
    assert list(delta["rows"]) == [run.id]  # the row itself is told at once
    assert "set" not in delta
    assert tracker.again_in > 0


def test_the_chart_counts_what_was_created_by_status(app, follow):
    app.client.start_many("ask", range(3))
    app.client.start("say").wait(5)
    chart = follow(InstancesTracker(app.client)).full()["chart"]
    assert {status: sum(counts) for status, counts in chart["series"].items()} == {"Running": 3, "Completed": 1}
    assert chart["step"] == 1000


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("suspend", "2 suspended, 1 had ended or gone"),
        ("terminate", "2 terminated, 1 had ended or gone"),
        ("purge", "1 purged, 2 had not ended or gone"),
    ],
)
def test_actions_on_many_count_what_came_of_them(app, action, said):
    runs = app.client.start_many("ask", [1, 2])
    done = app.client.start("say")
    done.wait(5)
    tracker = InstancesTracker(app.client)
    tracker.look()
    assert tracker.answer({"ask": "do", "action": action, "ids": [run.id for run in (*runs, done)]}) == {"done": said}


def test_a_conflict_is_said_once(app):
    run = app.client.start("ask")
    said = InstancesTracker(app.client).answer({"ask": "do", "action": "resume", "ids": [run.id, run.id]})["done"]
    assert said.startswith("0 resumed, ")
    assert said.count("only a suspended instance can be resumed") == 1


def test_the_twin_has_counts_chart_and_rows(app):
    app.client.start("say", instance_id="<b>").wait(5)
    app.client.start("ask", instance_id="q1")
    tracker = InstancesTracker(app.client)
    tracker.look()
    html = table_twins.page(tracker.still())
    assert "<svg" in html
    assert "Completed 1" in html
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    lines = table_twins.text(tracker.still()).splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [["Running", "ask", "q1"], ["Completed", "say", "<b>"]]


def test_a_closed_hub_is_the_end_of_a_table(app):
    tracker = InstancesTracker(app.client)
    tracker.look()
    tracker.note(["x"])
    app.close()
    tracker.rest = tracker._not_before = 0
    assert "stopped" in tracker.look()["set"]["note"]
    assert tracker.is_over


# ---- entities and definitions


def test_entities_show_state_operations_and_locks(app, follow):
    client = app.client
    client.signal_entities([("@counter@a", "add", 1), ("@counter@b", "add", 2)])
    tracker = follow(EntitiesTracker(client))
    browser = Browser(tracker)
    assert browser.order() == ["@counter@a", "@counter@b"]
    assert (browser.rows["@counter@b"]["state"], browser.rows["@counter@b"]["operations"]) == ("2", 1)
    client.signal_entity("@counter@a", "add", 5)
    assert browser.look()["rows"]["@counter@a"]["state"] == "6"
    client.signal_entity("@counter@c", "add", 1)
    client.delete_entity("@counter@b")
    delta = browser.look()
    assert browser.order() == ["@counter@a", "@counter@c"]
    assert delta["set"]["order"] == ["@counter@a", "@counter@c"]
    assert tracker.full()["total"] == 2


def test_entities_come_in_parts_and_by_question(app, follow):
    app.client.signal_entities([(f"@counter@{n:03}", "add", 1) for n in range(250)])
    tracker = follow(EntitiesTracker(app.client))
    browser = Browser(tracker)
    assert not browser.load(100)
    assert browser.load(100)
    assert browser.order() == [f"@counter@{n:03}" for n in range(250)]
    tracker.answer({"ask": "question", "prefix": "@counter@24"})
    browser.look()
    assert browser.order() == [f"@counter@{n}" for n in range(240, 250)]


def test_one_entity_can_be_looked_into(app):
    app.client.signal_entity("@counter@a", "add", 41)
    tracker = EntitiesTracker(app.client)
    text = tracker.answer({"ask": "look", "row": "@counter@a"})["text"]
    assert text.startswith("41\n")
    assert "add" in text


def test_definitions_show_what_runs_and_what_is_waited_for(app, follow):
    app.client.start_many("ask", [1, 2])
    tracker = follow(DefinitionsTracker(app))
    rows = tracker.full()["rows"]
    assert rows["orchestrator:ask"]["running"] == 2
    assert set(rows) == {"activity:echo", "entity:counter", "orchestrator:ask", "orchestrator:lost", "orchestrator:say"}
    run = app.client.start("lost")
    browser = Browser(tracker)
    for _ in range(500):
        if app.state.activities_waiting:
            break
        threading.Event().wait(0.01)
    browser.look()
    assert browser.rows["activity:not_yet"]["note"] == "1 call waits for this cell"
    assert browser.order()[0] == "activity:not_yet"

    @dfnb.activity(registry=app.registry)
    def not_yet() -> int:
        return 1

    run.wait(5)
    browser.look()
    assert browser.rows["activity:not_yet"]["note"] == ""


def test_the_source_of_a_definition_can_be_read(app):
    tracker = DefinitionsTracker(app)
    assert "def echo" in tracker.answer({"ask": "look", "row": "activity:echo"})["text"]
    with pytest.raises(ValueError, match="no cell has defined activity nobody yet"):
        tracker.answer({"ask": "look", "row": "activity:nobody"})


def test_there_are_no_older_definitions_to_load(app):
    tracker = DefinitionsTracker(app)
    tracker.look()
    assert tracker.answer({"ask": "rows", "after": None, "count": 100}) == {"rows": [], "end": True}


def test_entities_and_definitions_have_twins(app):
    app.client.signal_entity("@counter@<i>", "add", 1)
    for tracker, words in ((EntitiesTracker(app.client), "&lt;i&gt;"), (DefinitionsTracker(app), "counter")):
        tracker.look()
        assert words in table_twins.page(tracker.still())
        assert "<i>" not in table_twins.page(tracker.still())
        assert "counter" in table_twins.text(tracker.still())
