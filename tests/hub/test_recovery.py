"""What is rebuilt from the file equals what was live, wherever the process was when it ended."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfnb.hub.hub import TaskHub
from dfnb.hub.protocol import StartRequest
from dfnb.hub.state import InstanceState, Message
from dfnb.records.failure import FailureDetails
from dfnb.records.history import (
    CustomStatusSet,
    EventRaised,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionStarted,
    ExecutionSuspended,
    HistoryEvent,
    ParentRef,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCanceled,
    TimerCreated,
    TimerFired,
)
from dfnb.records.http import Exchange

FAILURE = FailureDetails("builtins.ValueError", "bad")
FAR = 4_000_000_000_000_000
IDS = ("a", "b", "c")


def facts(state: InstanceState) -> dict[str, Any]:
    """All that must be the same in a state that goes on."""
    open_tasks = state.open or {}
    return {
        "id": state.id,
        "name": state.name,
        "status": state.to_record().status,
        "pending": list(state.pending or ()),
        "open": open_tasks,
        "failed tries": {task: n for task, n in (state.failed_tries or {}).items() if task in open_tasks},
        "parent": state.parent,
        "start_at": state.start_at if state.turn == 0 else None,
        **{
            field: getattr(state, field)
            for field in ("key", "generation", "turn", "created_at", "started_pos", "ended_pos", "custom_status", "suspended")
        },
    }


def everything(hub: TaskHub) -> dict[str, Any]:
    found: dict[str, Any] = {id: facts(state) for id, state in hub._by_id.items()}
    found["statuses"] = {id: record.status for id in IDS if (record := hub.find(id)) is not None}
    found["counters"] = (hub._next_pos, hub._next_key)
    return found


class Story:
    """Random events, in an order that an engine could have made."""

    def __init__(self, folder: str) -> None:
        seconds = itertools.count(1_700_000_000)
        self.now = lambda: next(seconds) * 1_000_000
        self.path = str(Path(folder, "hub.duckdb"))
        self.hub = TaskHub(self.path, now=self.now)
        self.tasks = itertools.count(1)

    def tell(self, story: list[tuple[str, str]]) -> None:
        for step, id in [*(("start", id) for id in IDS), *story]:
            if step == "flush":
                self.hub.flush()
            else:
                self.do(step, id)

    def do(self, step: str, id: str) -> None:
        state = self.hub._by_id.get(id)
        if state is None:
            self.revive(step, id)
        elif step in _TURNS:
            event = _TURNS[step](state, next(self.tasks))
            if event is not None:
                self.hub.record(state, [(event, self.now())], state.turn + 1)
                state.pending = None
                self.hub.finish_turn(state, ())
        elif step in _ASIDE:
            event = _ASIDE[step]
            self.hub.record(state, [(event, self.now())], 0)
            state.pending = [*(state.pending or ()), event]
            self.hub.finish_turn(state, ())
        elif step == "continue as new":
            self.hub.record(state, [(ExecutionCompleted("ContinuedAsNew", "1"), self.now())], state.turn + 1)
            state.pending = None
            self.hub.finish_turn(state, ())
            again = ExecutionStarted(state.name, state.id, "2", state.code, None, state.parent)
            self.hub.continue_as_new(state, [again, EventRaised("carried")], self.now())
        self.commit()

    def revive(self, step: str, id: str) -> None:
        if step == "start" and self.hub.find(id) is None:
            later = FAR if id == "c" else None
            parent = ParentRef("a", 0, 7) if id == "b" else None
            started = self.hub.start_instances([StartRequest("work", id, "1", later, "hash", parent=parent)])
            self.take_in(aside=id == "c")
            started.result(5)
        elif step == "rewind":
            record = self.hub.find(id)
            if record is not None and record.status == "Failed":
                self.hub.send(id, ExecutionRewound((), "again"), "rewind")
        elif step == "late":
            ended = next((state for state in self.hub._states.values() if state.id == id), None)
            if ended is not None:
                self.hub.record_late(ended, [Message(TaskCompleted(next(iter(ended.open or {1: 1})), "late"), self.now())])

    def take_in(self, *, aside: bool) -> None:
        for state, messages in self.hub.take_ready(self.now(), 100):
            self.hub.record(state, [(message.event, message.at) for message in messages], 0 if aside else 1)
            if aside:
                state.pending = [message.event for message in messages]
            self.hub.finish_turn(state, (), messages)
        self.commit()

    def commit(self) -> None:
        self.hub.commit(lambda: None)
        assert self.hub._journal.drain()
        self.hub.run(lambda connection: None).result(5)


def _open_of(state: InstanceState, kind: str) -> int | None:
    return next((task for task, entry in (state.open or {}).items() if entry.kind == kind), None)


def _answer(kind: str, make: Callable[[int], HistoryEvent]) -> Callable[[InstanceState, int], HistoryEvent | None]:
    def answer(state: InstanceState, _: int) -> HistoryEvent | None:
        task = _open_of(state, kind)
        return make(task) if task is not None else None

    return answer


def _retry(state: InstanceState, _: int) -> HistoryEvent | None:
    failed = [task for task in state.failed_tries or {} if task not in (state.open or {})]
    return TimerCreated(failed[0], FAR, retry=True) if failed else None


def _try_again(state: InstanceState, _: int) -> HistoryEvent | None:
    failed = [task for task in state.failed_tries or {} if task not in (state.open or {})]
    return TaskScheduled(failed[0], "work", "1") if failed else None


_TURNS: dict[str, Callable[[InstanceState, int], HistoryEvent | None]] = {
    "activity": lambda state, task: TaskScheduled(task, "work", "1"),
    "timer": lambda state, task: TimerCreated(task, FAR + task),
    "child": lambda state, task: SubOrchestrationInstanceCreated(task, "work", f"{state.id}:{task}"),
    "custom status": lambda state, task: CustomStatusSet(f'"{task}"'),
    "result": _answer("activity", lambda task: TaskCompleted(task, "2", 5)),
    "failure": _answer("activity", lambda task: TaskFailed(task, FAILURE, 5)),
    "child's result": _answer("orchestration", lambda task: SubOrchestrationInstanceCompleted(task, "2")),
    "child's failure": _answer("orchestration", lambda task: SubOrchestrationInstanceFailed(task, FAILURE)),
    "fire": _answer("timer", TimerFired),
    "cancel": _answer("timer", TimerCanceled),
    "retry": _retry,
    "retry fires": _answer("retry", TimerFired),
    "try again": _try_again,
    "end": lambda state, task: ExecutionCompleted("Completed", "3"),
    "fail": lambda state, task: ExecutionCompleted("Failed", None, FAILURE, tuple(state.open or ())[:1]),
}
_ASIDE: dict[str, HistoryEvent] = {
    "event": EventRaised("e", "1"),
    "suspend": ExecutionSuspended("wait"),
    "resume": ExecutionResumed("go"),
}
_STEPS = ["start", "start", *_TURNS, *_ASIDE, "continue as new", "rewind", "late", "flush"]
_STORIES = st.lists(st.tuples(st.sampled_from(_STEPS), st.sampled_from(IDS)), max_size=40)


@settings(max_examples=25, deadline=None)
@given(_STORIES)
def test_what_is_recovered_equals_what_was_live(story: list[tuple[str, str]]) -> None:
    """With the derived rows flushed at any points of the story, and after the end of it once more."""
    with tempfile.TemporaryDirectory() as folder:
        told = Story(folder)
        try:
            told.tell(story)
            live = everything(told.hub)
        finally:
            told.hub.close(abandon=True)
        for _ in range(2):  # after a crash, then after a clean end
            hub = TaskHub(told.path, now=told.now)
            again = everything(hub)
            hub.close()
            assert again == live


def test_the_watermark_never_passes_what_the_rows_account_for(open_hub: Any, hand_of: Any) -> None:
    hub = open_hub()
    hand = hand_of(hub)
    hand.start("a")
    hub.flush()
    (watermark,) = hub.sql("SELECT watermark FROM hub").fetchall()[0]
    assert watermark == hub._next_pos - 1
    state = hub._by_id["a"]
    hub.record(state, [(TaskScheduled(1, "work"), 0)], 2)  # in the open batch: nobody may count it yet
    hub.flush()
    assert hub.sql("SELECT watermark FROM hub").fetchall() == [(watermark,)]


def test_positions_go_on_after_everything_was_purged(open_hub: Any, hand_of: Any) -> None:
    """A position below the watermark would count as accounted for, and its instance would be lost in a crash."""
    hub = open_hub()
    hand = hand_of(hub)
    hand.start("old")
    hand.end("old")
    hub.flush()
    before = hub._next_pos
    hub.purge([hub.find("old")])
    hub.close()
    hub = open_hub()
    assert hub._next_pos >= before
    hand_of(hub).start("new")
    hub.close(abandon=True)
    assert open_hub().find("new").status == "Running"


def test_exchanges_after_a_crash_have_their_place_after_those_before_it(open_hub: Any, hand_of: Any) -> None:
    hub = open_hub()
    hand = hand_of(hub)
    hand.start("a")
    key = hub._by_id["a"].key
    for attempt in range(1, 6):
        hub.record_exchanges(key, [Exchange(0, 1, attempt, "poll", 0, 0, "GET", "https://api.example/1", work=f"after {attempt}")])
        hand.commit()
    hub.close(abandon=True)
    hub = open_hub()
    hub.record_exchanges(key, [Exchange(0, 1, 6, "poll", 0, 0, "GET", "https://api.example/1", work="after 6")])
    hand_of(hub).commit()
    assert [exchange.attempt for exchange in hub.exchanges(hub.find("a"))] == [1, 2, 3, 4, 5, 6]
    positions = [pos for (pos,) in hub.sql("SELECT pos FROM http_exchange UNION ALL SELECT pos FROM event").fetchall()]
    assert len(positions) == len(set(positions))


@pytest.mark.parametrize("flushed", ["neither", "the old one", "both"])
def test_an_id_taken_over_is_there_once_after_a_crash(open_hub: Any, hand_of: Any, flushed: str) -> None:
    """The crash comes after the new start was acknowledged and before the old instance was deleted."""
    hub = open_hub()
    hand = hand_of(hub)
    hand.start("id")
    hand.end("id", "old")
    if flushed != "neither":
        hub.flush()
    hub._delete_replaced = lambda done, keys: None
    hand.start("id", name="again")
    if flushed == "both":
        hub.flush()
    hub.close(abandon=True)
    hub = open_hub()
    assert hub.find("id").name == "again"
    assert hub.counts() == {"Running": 1}
    hand_of(hub).end("id", "new")
    assert hub.when_ended("id").result(5).end.result == "new"
    assert hub.sql("SELECT count(DISTINCT instance) FROM event").fetchall() == [(1,)]


def test_timers_and_scheduled_starts_are_armed_again(open_hub: Any, hand_of: Any) -> None:
    hub = open_hub()
    hand = hand_of(hub)
    hand.start("sleeper")
    hand.add("sleeper", TimerCreated(1, 2_000_000_000_000_000))
    hand.start("suspended")
    hand.add("suspended", TimerCreated(1, 2_000_000_000_000_000), ExecutionSuspended())
    hub.close(abandon=True)
    for _ in range(2):  # the second time from flushed rows
        hub = open_hub()
        assert [due for due, *_ in hub._timers] == [2_000_000_000_000_000] * 2
        fired = hub.take_ready(2_000_000_000_000_000, 10)
        assert {state.id: [m.event for m in messages if isinstance(m.event, TimerFired)] for state, messages in fired} == {
            "sleeper": [TimerFired(1)],
            "suspended": [TimerFired(1)],
        }
        hub.close()


def test_activities_without_a_result_are_found_again(open_hub: Any, hand_of: Any) -> None:
    hub = open_hub()
    hand = hand_of(hub)
    hand.start("a")
    hand.add("a", TaskScheduled(1, "one", "1"), TaskScheduled(2, "two", "2"), TaskScheduled(3, "three", "3"))
    hand.add("a", TaskCompleted(1, "done"), TaskFailed(3, FAILURE))
    hand.add("a", TaskScheduled(3, "three", "3"))
    hub.close(abandon=True)
    for _ in range(2):
        hub = open_hub()
        found = {(task, entry.name, entry.data, entry.attempt) for _, task, entry in hub.open_activities()}
        assert found == {(2, "two", "2", 1), (3, "three", "3", 2)}
        hub.close()
