from __future__ import annotations

import itertools

import pytest

from dfnb.client.timeline import Timeline
from dfnb.hub.http_state import ExchangeLine
from dfnb.records.failure import FailureDetails
from dfnb.records.history import (
    EntityLockGranted,
    EntityLockRequested,
    EntityOperationSignaled,
    EventRaised,
    ExecutionCompleted,
    HttpCallCompleted,
    HttpCallScheduled,
    Recorded,
    SubOrchestrationInstanceCreated,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCanceled,
    TimerCreated,
    TimerFired,
)
from dfnb.records.instance import InstanceRecord, Wait

SECOND = 1_000_000
BAD = FailureDetails("builtins.ValueError", "bad")


def fed(*events, generation: int = 0) -> Timeline:
    """A timeline of events that happened one second apart, the first at second 0."""
    timeline = Timeline()
    timeline.feed((at, generation, Recorded(1, at * SECOND, event)) for at, event in enumerate(events))
    return timeline


def facts(timeline: Timeline, *names: str):
    return [tuple(row.get(name) for name in names) for row in timeline.rows]


def test_each_task_is_a_row_from_its_scheduling_to_its_end():
    timeline = fed(
        TaskScheduled(1, "work"), TaskScheduled(2, "rest"), TaskCompleted(2), TaskFailed(1, BAD),
        SubOrchestrationInstanceCreated(3, "trip", "child"),
    )  # fmt: skip
    assert facts(timeline, "i", "k", "n", "s", "e", "st", "note", "c") == [
        (0, "activity", "work", 0, 3000, "Failed", "ValueError: bad", None),
        (1, "activity", "rest", 1000, 2000, "Completed", None, None),
        (2, "orchestration", "trip", 4000, None, "Running", None, "child"),
    ]


def test_a_retried_task_is_one_row_with_its_tries_and_says_when_the_next_is_due():
    timeline = fed(TaskScheduled(1, "shaky"), TaskFailed(1, BAD), TimerCreated(1, 7 * SECOND, retry=True))
    assert facts(timeline, "t", "x", "st", "e") == [([[0, 1000, 0]], 7000, "Waiting", None)]
    timeline.feed([
        (3, 0, Recorded(2, 7 * SECOND, TimerFired(1))),
        (4, 0, Recorded(2, 7 * SECOND, TaskScheduled(1, "shaky"))),
        (5, 0, Recorded(3, 8 * SECOND, TaskCompleted(1))),
    ])  # fmt: skip
    assert facts(timeline, "t", "x", "st", "e") == [([[0, 1000, 0], [7000, 8000, 1]], None, "Completed", 8000)]


def test_a_timer_has_its_due_time_and_ends_when_it_fires_or_is_cancelled():
    timeline = fed(TimerCreated(1, 9 * SECOND), TimerCreated(2, 8 * SECOND), TimerFired(1), TimerCanceled(2))
    assert facts(timeline, "k", "u", "e", "st") == [("timer", 9000, 2000, "Completed"), ("timer", 8000, 3000, "Canceled")]


def record(*waits: Wait) -> InstanceRecord:
    return InstanceRecord(1, "a", "ask", "Running", 0, 0, 5 * SECOND, 0, waits=waits)


def test_an_event_is_a_bar_from_the_moment_it_is_waited_for():
    timeline = Timeline()
    timeline.wait_for(record(Wait("event", "go", since=2 * SECOND)))
    timeline.wait_for(record(Wait("event", "go", since=2 * SECOND)))
    assert facts(timeline, "k", "n", "s", "e", "st") == [("event", "go", 2000, None, "Waiting")]
    timeline.feed([(1, 0, Recorded(2, 4 * SECOND, EventRaised("go")))])
    timeline.wait_for(record())
    assert facts(timeline, "s", "e", "st") == [(2000, 4000, "Completed")]


def test_an_event_nobody_waited_for_is_a_point_and_one_given_up_is_cancelled():
    timeline = fed(EventRaised("early"))
    timeline.wait_for(record(Wait("event", "never", since=SECOND)))
    timeline.wait_for(record(Wait("timer", until=SECOND)))
    assert facts(timeline, "n", "s", "e", "st") == [("early", 0, 0, "Completed"), ("never", 1000, 5000, "Canceled")]


def test_an_event_says_itself_how_long_it_was_waited_for_so_that_who_comes_late_sees_the_same():
    came = (1, 0, Recorded(2, 4 * SECOND, EventRaised("go", took=3 * SECOND)))
    watched, late = Timeline(), Timeline()
    watched.wait_for(record(Wait("event", "go", since=SECOND)))
    for timeline in (watched, late):
        timeline.feed([came])
    assert watched.rows == late.rows
    assert facts(late, "s", "e", "st") == [(1000, 4000, "Completed")]


def test_an_event_is_still_waited_for_while_the_code_that_waits_is_missing():
    timeline = fed()
    timeline.wait_for(record(Wait("event", "go", since=SECOND)))
    timeline.wait_for(record(Wait("definition", "trip")))
    assert facts(timeline, "n", "st", "e") == [("go", "Waiting", None)]


def test_locks_and_signals_have_rows():
    timeline = fed(
        EntityLockRequested(1, ("@a@1", "@a@2")), EntityOperationSignaled(2, "@log@x", "note"), EntityLockGranted(1)
    )
    assert facts(timeline, "k", "n", "e", "st") == [
        ("lock", "@a@1, @a@2", 2000, "Completed"), ("signal", "@log@x note", 1000, "Completed"),
    ]  # fmt: skip


def line(purpose: str, sent: float, due: float | None = None, asked: float | None = None) -> ExchangeLine:
    def micro(value: float | None) -> int | None:
        return None if value is None else int(value * SECOND)

    sent_at, answer = int(sent * SECOND), (202, 3)
    return ExchangeLine(1, 0, 1, 1, purpose, sent_at, 10, "GET", "https://h", *answer, micro(asked), micro(due), None, None)


def test_polls_are_marks_and_the_latest_answer_says_when_the_next_is_due():
    timeline = fed(HttpCallScheduled(1, "GET https://h", "{}"))
    timeline.exchanged([line("first", 0.1, 5, 5), line("poll", 5, 9)])
    assert facts(timeline, "pc", "p", "x", "ra") == [(1, [5000], 9000, None)]
    timeline.exchanged([line("poll", 9, 14, 5)])
    assert facts(timeline, "pc", "p", "x", "ra") == [(2, [5000, 9000], 14000, 5000)]
    timeline.feed([(9, 0, Recorded(2, 14 * SECOND, HttpCallCompleted(1, 500, failed=True, note="no")))])
    assert facts(timeline, "st", "note", "x") == [("Failed", "no", None)]


@pytest.mark.parametrize("number", [1, 59, 60, 61, 62, 119, 120, 121, 122, 1_000])
def test_of_many_polls_some_are_kept_evenly_with_the_first_and_the_last(number: int):
    timeline = fed(HttpCallScheduled(1, "GET https://h", "{}"))
    timeline.exchanged(line("poll", at) for at in range(1, number + 1))
    (row,) = timeline.rows
    marks = [mark / 1000 for mark in row["p"]]
    assert (row["pc"], marks[0], marks[-1]) == (number, 1, number)
    assert min(number, 30) <= len(marks) <= 60
    steps = [later - earlier for earlier, later in itertools.pairwise(marks[:-1])]
    assert len(set(steps)) <= 1
    assert marks[-1] - marks[-2 if number > 1 else -1] <= (steps or [1])[0]


def test_the_end_closes_what_was_open():
    timeline = fed(TaskScheduled(1, "work"), ExecutionCompleted("Terminated", '"enough"'))
    assert facts(timeline, "e", "st") == [(1000, "Canceled")]


def test_tasks_of_the_next_generation_are_rows_of_their_own():
    timeline = fed(TaskScheduled(1, "work"), TaskCompleted(1))
    timeline.feed([(9, 1, Recorded(1, 5 * SECOND, TaskScheduled(1, "work")))])
    assert facts(timeline, "g", "st") == [(0, "Completed"), (1, "Running")]


@pytest.mark.parametrize("cut", range(6))
def test_deltas_add_up_to_the_whole_wherever_they_are_cut(cut: int):
    events = [
        (at, 0, Recorded(1, at * SECOND, event))
        for at, event in enumerate([
            TaskScheduled(1, "a"), TaskFailed(1, BAD), TimerCreated(1, 9, retry=True), TaskScheduled(1, "a"), TaskCompleted(1),
        ])
    ]  # fmt: skip
    timeline, seen = Timeline(), {}
    for part in (events[:cut], events[cut:]):
        timeline.feed(part)
        seen |= timeline.take_changed()
    assert list(seen.values()) == timeline.rows
    assert timeline.take_changed() == {}
