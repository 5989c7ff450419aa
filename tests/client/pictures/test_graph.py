from __future__ import annotations

import xml.etree.ElementTree as ET

from dfnb.client.pictures.drawing import SvgPicture, width_of
from dfnb.client.pictures.graph import STEPS_SHOWN, graph_picture
from dfnb.client.pictures.steps import steps_of
from dfnb.records.failure import FailureDetails
from dfnb.records.history import (
    EntityLockRequested,
    EntityOperationCalled,
    EntityOperationSignaled,
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    HttpCallScheduled,
    SubOrchestrationInstanceCreated,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
)
from dfnb.records.instance import Wait

from .conftest import recorded

SVG = "{http://www.w3.org/2000/svg}"
START = ExecutionStarted("trip", "t1")
END = ExecutionCompleted("Completed")


def drawn(*events: HistoryEvent) -> SvgPicture:
    return graph_picture("t1", "Running", steps_of(recorded(START, *events)))


def texts(one: SvgPicture) -> list[str]:
    return [found.text or "" for found in ET.fromstring(one.svg).iter(f"{SVG}text")]


def chain(*names: str) -> list[HistoryEvent]:
    return [event for n, name in enumerate(names, 1) for event in (TaskScheduled(n, name), TaskCompleted(n))]


def boxes(one: SvgPicture) -> dict[str, tuple[float, float]]:
    found = {}
    for node in ET.fromstring(one.svg).iter(f"{SVG}g"):
        title, box = node.find(f"{SVG}title"), node.find(f".//{SVG}rect")
        if title is not None and box is not None:
            found[title.text or ""] = (float(box.get("x") or 0), float(box.get("y") or 0))
    return found


def test_a_fan_out_is_one_box_with_its_number() -> None:
    one = drawn(*(TaskScheduled(n, "<work>") for n in range(1, 13)), SubOrchestrationInstanceCreated(13, "child", "c1"))
    seen = texts(one)
    assert "×12" in seen
    assert "<work>" in seen
    assert "12 running" in seen
    assert "1 sub-orchestration child c1: running" in boxes(one)
    assert seen[seen.index("start") + 1] == "Running"


def test_steps_go_down_and_what_runs_at_once_stands_side_by_side() -> None:
    places = boxes(
        drawn(TaskScheduled(1, "a"), TaskScheduled(2, "b"), TaskCompleted(1), TaskCompleted(2), TaskScheduled(3, "c"), END)
    )
    a, b, c = (places[f"1 activity {name}: {state}"] for name, state in (("a", "completed"), ("b", "completed"), ("c", "canceled")))
    assert a[1] == b[1] < c[1]
    assert a[0] < b[0]


def test_no_box_stands_in_the_lane_of_a_task_that_outlives_its_step() -> None:
    events = [TaskScheduled(1, "slow"), TaskScheduled(2, "quick"), TaskCompleted(2), TaskScheduled(3, "c"), TaskScheduled(4, "d")]
    places = boxes(
        drawn(*events, TaskCompleted(3), TaskCompleted(4), TaskCompleted(1), TaskScheduled(5, "last"), TaskCompleted(5), END)
    )
    slow, quick, c, d = (places[f"1 activity {name}: completed"] for name in ("slow", "quick", "c", "d"))
    assert quick[0] == c[0] < slow[0]
    assert d[0] not in (slow[0], c[0])


def test_steps_that_repeat_are_drawn_once() -> None:
    one = drawn(*chain(*["poll"] * 1_000, "last"), END)
    assert "1,000 times in a row" in texts(one)
    assert len(boxes(one)) == 2


def test_what_has_no_room_is_counted() -> None:
    one = drawn(*chain(*(f"task{n}" for n in range(STEPS_SHOWN + 15))), END)
    assert "and 15 more steps" in texts(one)
    wide = drawn(*(TaskScheduled(n, f"task{n}") for n in range(1, 31)))
    assert "25 more kinds of work" in texts(wide)


def test_an_instance_without_tasks_is_its_start_and_end() -> None:
    assert "Completed" in texts(drawn(END))
    assert drawn(END).description == "Completed. No tasks."


def test_the_words_tell_the_same() -> None:
    assert drawn(*chain("a", "b", "b"), END).description == (
        "Completed. 1 activity a: completed; then 1 activity b: completed, 2 times in a row."
    )


def test_the_legend_of_a_narrow_graph_is_inside_it() -> None:
    events = [
        TaskScheduled(1, "a"), TaskFailed(1, FailureDetails("builtins.ValueError", "bad")), TimerCreated(2, 5),
        SubOrchestrationInstanceCreated(3, "child", "c1"), EntityOperationCalled(4, "@e@1", "add"),
        EntityLockRequested(5, ("@e@1",)), HttpCallScheduled(6, "GET https://h", "{}"),
    ]  # fmt: skip
    root = ET.fromstring(drawn(*events).svg)
    words = [node for node in root.iter(f"{SVG}text") if node.text in ("activity", "HTTP call", "running", "failed")]
    assert len(words) >= 4
    width = float(root.get("viewBox", "").split()[2])
    assert all(float(node.get("x") or 0) + width_of(node.text or "", 11) <= width for node in words)


def dots(one: SvgPicture) -> list[str | None]:
    """How the turns are filled, without that of the legend."""
    return [dot.get("fill") for dot in ET.fromstring(one.svg).iter(f"{SVG}circle")][:-1]


def test_what_is_open_leads_to_a_turn_that_is_to_come() -> None:
    open_one, ended = drawn(*chain("a"), TaskScheduled(2, "b")), drawn(*chain("a", "b"), END)
    assert dots(open_one) == ["currentColor", "currentColor", "none"]
    assert dots(ended) == ["currentColor"] * 3
    places = boxes(open_one)
    assert places["1 activity a: completed"][0] == places["1 activity b: running"][0]
    assert open_one.svg.count("stroke-dasharray='3 3'") == 1


def test_what_is_done_goes_with_what_is_open_where_they_are_waited_for_together() -> None:
    signal, both = EntityOperationSignaled(3, "@e@1", "add"), (TaskScheduled(1, "a"), TaskScheduled(2, "b"))
    one = drawn(*both, signal, TaskCompleted(1))
    assert one.svg.count("stroke-dasharray='3 3'") == 2
    assert dots(one) == ["currentColor", "none"]


def test_an_event_that_is_waited_for_stands_behind_what_was_done() -> None:
    rows = recorded(START, *chain("a"))
    one = graph_picture("t1", "Running", steps_of(rows, [Wait("event", "go", since=rows[-1][2].at)]))
    places = boxes(one)
    assert places["1 activity a: completed"][0] == places["1 event go: waiting"][0]
    assert places["1 activity a: completed"][1] < places["1 event go: waiting"][1]
    assert one.description == "Running. 1 activity a: completed; then 1 event go: waiting."


def test_of_several_generations_it_says_which_is_drawn() -> None:
    steps = steps_of(recorded(START, *chain("a"), generation=2))
    assert any("generation 3 of 3" in text for text in texts(graph_picture("t1", "Running", steps)))
