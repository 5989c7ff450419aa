from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pytest

from dfnb.client import test_mode
from dfnb.client.pictures.bars import Subject, row_text, timeline_picture
from dfnb.client.pictures.drawing import SvgPicture, width_of
from dfnb.client.timeline import Row
from dfnb.records.failure import FailureDetails
from dfnb.records.history import (
    EventRaised,
    SubOrchestrationInstanceCreated,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)

from .conftest import SECOND, rows_of

SVG = "{http://www.w3.org/2000/svg}"
BAD = FailureDetails("builtins.ValueError", "bad")
EVENTS = (
    TaskScheduled(1, "<work>"), TaskCompleted(1), TaskScheduled(2, "shaky"), TaskFailed(2, BAD),
    TimerCreated(2, 7 * SECOND, retry=True), TimerFired(2), TaskScheduled(2, "shaky"), TaskCompleted(2),
    SubOrchestrationInstanceCreated(3, "child", "c1"), TaskScheduled(4, "boom"), TaskFailed(4, BAD), TimerCreated(5, 15 * SECOND),
)  # fmt: skip


def subject(ended: float | None = None) -> Subject:
    return Subject("t1", "trip", "Running", 0, ended, 12_000)


def texts(one: SvgPicture) -> list[str]:
    return [found.text or "" for found in ET.fromstring(one.svg).iter(f"{SVG}text")]


@pytest.fixture
def frozen() -> Iterator[None]:
    test_mode.switch(True)
    yield
    test_mode.switch(False)


def test_each_task_has_its_name_its_length_and_its_state() -> None:
    seen = texts(timeline_picture(subject(), rows_of(*EVENTS)))
    for text in ("trip", "t1", "<work>", "1.00 s", "shaky", "×2", "5.00 s", "child", "boom", "1.00 s failed", "running"):
        assert text in seen


def test_the_axis_has_round_times_since_the_start() -> None:
    seen = texts(timeline_picture(subject(), rows_of(*EVENTS)))
    assert [text for text in seen if text in ("0", "2 s", "4 s", "14 s")] == ["0", "2 s", "4 s", "14 s"]


@pytest.mark.parametrize(
    ("lasts", "some"),
    [
        (3_000, ["0", "500 ms", "1 s", "1.5 s", "2 s"]), (62_000, ["1 min"]), (100_000, ["1 min 15 s"]),
        (2 * 3_600_000, ["15 min", "1 h", "1 h 15 min", "2 h"]), (200, ["0", "50 ms"]), (900_000, ["2 min", "14 min"]),
    ],
    ids=["seconds", "a minute", "parts of minutes", "hours", "milliseconds", "quarter"],
)  # fmt: skip
def test_a_tick_is_written_in_its_largest_units(lasts: float, some: list[str]) -> None:
    seen = texts(timeline_picture(Subject("t1", "trip", "Completed", 0, lasts, lasts), []))
    assert set(some) <= set(seen)
    assert not [text for text in seen if " s " in text and "ms" in text]


def test_the_legend_names_what_occurs_only() -> None:
    seen = texts(timeline_picture(subject(), rows_of(*EVENTS[:2])))
    assert seen[-2:] == ["activity", "completed"]


def test_the_words_tell_the_same() -> None:
    one = timeline_picture(subject(), rows_of(*EVENTS))
    assert one.description == (
        "Running. 5 tasks: 2 activity completed, 1 activity failed, 1 sub-orchestration running, 1 timer running."
    )
    assert row_text(rows_of(*EVENTS)[1]).endswith("5.00 s, 2 tries, ValueError: bad")


def test_what_has_no_room_is_counted() -> None:
    rows = rows_of(*(TaskScheduled(n, f"task{n}") for n in range(1, 1001)))
    seen = texts(timeline_picture(subject(), rows))
    assert "task200" in seen
    assert "task201" not in seen
    assert "and 800 more" in seen


def test_an_instance_without_tasks_says_so() -> None:
    assert "no tasks" in texts(timeline_picture(subject(5.0), []))


def test_a_picture_is_the_same_each_time() -> None:
    assert timeline_picture(subject(), rows_of(*EVENTS)).svg == timeline_picture(subject(), rows_of(*EVENTS)).svg


def test_in_test_mode_times_do_not_count(frozen: None) -> None:
    slower = [{**row, "s": row["s"] * 3, "e": row["e"] and row["e"] * 3} for row in rows_of(*EVENTS)]
    assert timeline_picture(subject(), rows_of(*EVENTS)).svg == timeline_picture(subject(), slower).svg


def test_an_event_of_which_only_its_coming_is_known_has_no_length() -> None:
    rows = rows_of(TaskScheduled(1, "work"), EventRaised("early"), TaskCompleted(1), EventRaised("go", took=SECOND))
    assert [text for text in texts(timeline_picture(subject(), rows)) if text in ("came", "1.00 s", "<1 ms")] == ["came", "1.00 s"]
    assert " at " in row_text(rows[1])


@pytest.mark.parametrize("length", [15, 5 * 60_000 + 16_000, 86_400_000 * 30])
def test_words_stand_behind_their_bars_and_inside_the_picture(length: float) -> None:
    rows: list[Row] = [
        {"i": i, "k": kind, "n": "work", "s": 0, "e": end * length, "st": state}
        for i, (kind, state, end) in enumerate([
            ("activity", "Failed", 1.0), ("orchestration", "Canceled", 1.0), ("http", "Failed", 0.81), ("timer", "Canceled", 0.79),
        ])
    ]  # fmt: skip
    root = ET.fromstring(timeline_picture(Subject("t1", "trip", "Failed", 0, length, length), rows).svg)
    ends = [float(bar.get("x") or 0) + float(bar.get("width") or 0) for bar in root.iter(f"{SVG}rect") if bar.get("height") == "10"]
    words = [text for text in root.iter(f"{SVG}text") if (text.text or "").endswith((" failed", " canceled"))]
    assert len(words) == 4
    for text, end in zip(words, ends, strict=False):
        assert float(text.get("x") or 0) > end
        assert float(text.get("x") or 0) + width_of(text.text or "", 11) <= 960


def test_marks_of_polls_say_when_they_are_not_all() -> None:
    row: Row = {"i": 0, "k": "http", "n": "GET h", "s": 0, "e": 9_000, "st": "Completed", "p": [1_000, 3_000], "pc": 2}
    assert "poll" in texts(timeline_picture(subject(), [row]))
    assert "some of many polls" in texts(timeline_picture(subject(), [{**row, "pc": 3}]))
