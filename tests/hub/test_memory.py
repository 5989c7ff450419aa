"""The live working set, at every durability level: starts, messages, ends, purges, what clients see and when."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dfnb.errors import (
    HubClosedError,
    HubUnavailableError,
    InstanceConflictError,
    InstanceExistsError,
    InstanceFinishedError,
    InstanceNotFoundError,
)
from dfnb.hub.hub import TaskHub
from dfnb.hub.protocol import SignalRequest, StartRequest
from dfnb.hub.state import Message
from dfnb.records.failure import FailureDetails
from dfnb.records.history import (
    EventRaised,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionStarted,
    ExecutionSuspended,
    OrchestratorStarted,
    TaskCompleted,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from dfnb.records.log import LogLine


def request(id: str, **facts: Any) -> StartRequest:
    return StartRequest("work", id, **facts)


def test_a_start_is_acknowledged_when_its_turn_is_saved(hub: TaskHub, hand: Any) -> None:
    started = hub.start_instances([request("a"), request("b")])
    assert not started.done()
    assert hub.find("a") is None
    assert hand.turn(limit=1) == ["a"]
    assert not started.done()
    assert hand.turn() == ["b"]
    started.result(5)
    assert (hub.find("a").status, hub.find("b").status) == ("Running", "Running")


def test_all_start_or_none(hub: TaskHub, hand: Any) -> None:
    hand.start("taken")
    with pytest.raises(InstanceExistsError):
        hub.start_instances([request("new"), request("taken")])
    with pytest.raises(InstanceExistsError):
        hub.start_instances([request("twice"), request("twice")])
    assert hand.turn() == []
    assert hub.counts() == {"Running": 1}


def test_no_starts_are_acknowledged_at_once(hub: TaskHub) -> None:
    hub.start_instances([]).result(0)


def test_the_id_of_an_ended_instance_is_taken_over(hub: TaskHub, hand: Any) -> None:
    hand.start("a", input="1")
    hand.end("a", "old")
    hand.start("a", input="2")
    hub.run(lambda connection: None).result(5)
    assert hub.counts() == {"Running": 1}
    assert [recorded.event.input for recorded in hand.history("a")] == ["2"]
    hand.end("a", "new")
    assert hub.when_ended("a").result(5).end.result == "new"


def test_messages_come_in_the_order_they_were_sent(hub: TaskHub, hand: Any) -> None:
    hand.start("a")
    sent = [hub.send("a", EventRaised("e", str(number)), "raise an event to") for number in range(50)]
    hand.turn(limit=20)
    hand.turn(limit=20)
    assert [future.done() for future in sent[:40]] == [True] * 40
    assert not sent[40].done()
    hand.turn()
    assert [r.event.input for r in hand.history("a") if isinstance(r.event, EventRaised)] == [str(n) for n in range(50)]


def test_what_a_state_does_not_allow_is_refused(hub: TaskHub, hand: Any) -> None:
    hand.start("a")
    with pytest.raises(InstanceNotFoundError):
        hub.send("nobody", EventRaised("e"), "raise an event to")
    with pytest.raises(InstanceConflictError):
        hub.send("a", ExecutionResumed(), "resume")
    with pytest.raises(InstanceConflictError):
        hub.send("a", ExecutionRewound(), "rewind")
    with pytest.raises(TypeError):
        hub.send("a", TimerFired(1), "fire")
    hub.send("a", ExecutionSuspended(), "suspend")
    hand.turn()
    with pytest.raises(InstanceConflictError):
        hub.send("a", ExecutionSuspended(), "suspend")
    hand.end("a")
    with pytest.raises(InstanceFinishedError):
        hub.send("a", EventRaised("e"), "raise an event to")


def test_an_end_answers_those_who_wait_and_those_who_come_later(hub: TaskHub, hand: Any) -> None:
    hand.start("a")
    early = hub.when_ended("a")
    assert not early.done()
    hand.end("a", "x" * 10_000)
    assert early.result(5).end == ExecutionCompleted("Completed", "x" * 10_000)
    assert hub.when_ended("a").result(5).end.result == "x" * 10_000
    hub.flush()
    assert hub.when_ended("a").result(5).end.result == "x" * 10_000
    with pytest.raises(InstanceNotFoundError):
        hub.when_ended("nobody")


def test_a_client_reads_at_once_what_it_was_told_of(hub: TaskHub, hand: Any) -> None:
    """At the relaxed level the rows may still be on their way to the disk."""
    for number in range(20):
        id = f"i{number}"
        hub.start_instances([request(id, input=str(number))])
        for state, messages in hub.take_ready(hand.now(), 10):
            hub.record(state, [(message.event, message.at) for message in messages], 1)
            hub.record(state, [(ExecutionCompleted("Completed", "y" * 5_000), 0)], 1)
            hub.finish_turn(state, (), messages)
        released = threading.Event()
        hub.commit(released.set)
        assert released.wait(5)
        assert hub.when_ended(id).result(0).end.result == "y" * 5_000
        record = hub.find(id)
        assert hub.payloads([record])[record.key][0] == str(number)
        assert len(hub.history(record)) == 2


def test_continue_as_new_is_saved_with_the_end_before_it(hub: TaskHub, hand: Any) -> None:
    hand.start("a")
    state = hub._by_id["a"]
    hub.record(state, [(ExecutionCompleted("ContinuedAsNew", "2"), 0)], 2)
    hub.finish_turn(state, ())
    hub.continue_as_new(state, [ExecutionStarted("work", "a", "2"), EventRaised("carried")], 0)
    hand.commit()
    record = hub.find("a")
    assert (record.status, record.generation) == ("Pending", 1)
    assert [type(event) for event in state.pending or ()] == [ExecutionStarted, EventRaised]
    hand.turn()
    assert hub.find("a").status == "Running"


def test_a_result_for_an_earlier_generation_is_not_given_to_the_next(hub: TaskHub, hand: Any) -> None:
    hand.start("a")
    state = hub._by_id["a"]
    hub.record(state, [(TaskScheduled(1, "slow"), 0), (ExecutionCompleted("ContinuedAsNew"), 0)], 2)
    hub.finish_turn(state, ())
    hub.continue_as_new(state, [ExecutionStarted("work", "a")], 0)
    hub.post("a", Message(TaskCompleted(1, "late"), 0, 0))
    hand.commit()
    assert [type(event) for event in state.pending or ()] == [ExecutionStarted]
    assert [(r.turn, type(r.event)) for r in hand.history("a")][-2:] == [(-1, TaskCompleted), (0, ExecutionStarted)]


def test_an_ended_instance_is_let_go_once_its_late_results_are_in(hub: TaskHub, hand: Any) -> None:
    hand.start("a")
    key = hub.find("a").key
    hand.add("a", TaskScheduled(1, "one"), TaskScheduled(2, "two"), ExecutionCompleted("Completed", "1"))
    for task in (1, 2):
        assert key in hub._states
        hub.deliver([(key, Message(TaskCompleted(task), 0, 0, logs=(LogLine(task, 1, 0, "stdout", "still here"),)))])
        for state, messages in hub.take_ready(hand.now(), 10):
            hub.record_late(state, messages)
        hand.commit()
    assert key not in hub._states
    assert [line.text for line in hub.logs(hub.find("a"))] == ["still here"] * 2
    hub.deliver([(key, Message(TaskCompleted(1), 0, 0))])
    assert not hub.has_ready(0)


def test_a_failed_instance_is_rewound_before_and_after_its_end_was_flushed(hub: TaskHub, hand: Any) -> None:
    failure = FailureDetails("builtins.ValueError", "bad")
    for id, flushed in (("a", False), ("b", True)):
        hand.start(id)
        hand.add(id, TaskScheduled(1, "one"), TimerCreated(2, 5), ExecutionCompleted("Failed", None, failure, (1,)))
        if flushed:
            hub.flush()
        rewound = hub.send(id, ExecutionRewound((), "again"), "rewind")
        assert hub.next_due() == 5
        hub.take_ready(0, 0)
        hand.turn()
        rewound.result(5)
        assert hub.find(id).status == "Running"
        assert any(isinstance(r.event, ExecutionRewound) and r.event.tasks == (1,) for r in hand.history(id))
        with pytest.raises(InstanceConflictError):
            hub.send(id, ExecutionRewound(), "rewind")
        hand.end(id)


def test_a_timer_fires_once_when_it_is_due(hub: TaskHub, hand: Any) -> None:
    hand.start("a")
    due = 2_000_000_000_000_000
    hand.add("a", TimerCreated(1, due))
    assert hub.next_due() == due
    assert not hub.has_ready(due - 1)
    assert hub.has_ready(due)
    ((_, messages),) = hub.take_ready(due, 10)
    assert [message.event for message in messages] == [TimerFired(1)]
    assert hub.take_ready(due, 10) == []


def test_a_scheduled_start_wakes_its_instance(hub: TaskHub, hand: Any) -> None:
    due = 2_000_000_000_000_000
    started = hub.start_instances([request("a", start_at=due)])
    ((state, messages),) = hub.take_ready(0, 10)
    hub.record(state, [(message.event, message.at) for message in messages], 0)
    state.pending = [message.event for message in messages]
    hub.finish_turn(state, (), messages)
    hand.commit()
    started.result(5)
    assert hub.find("a").status == "Pending"
    assert hub.next_due() == due
    assert [state.id for state, _ in hub.take_ready(due, 10)] == ["a"]


# purge


def test_a_purged_instance_leaves_nothing(hub: TaskHub, hand: Any) -> None:
    hand.start("a", "b")
    hub.write_logs(hub._by_id["a"], [LogLine(None, 1, 0, "stdout", "text")])
    hand.end("a")
    hand.end("b")
    assert hub.purge([hub.find("a")]) == 1
    assert hub.find("a") is None
    assert hub.counts() == {"Completed": 1}
    for table in ("event", "log", "instance"):
        key = "key" if table == "instance" else "instance"
        assert hub.sql(f"SELECT count(*) FROM {table} WHERE {key} = 1").fetchall() == [(0,)]


def test_only_what_has_ended_is_purged(hub: TaskHub, hand: Any) -> None:
    hand.start("a")
    assert hub.purge([hub.find("a")]) == 0
    assert hub.find("a") is not None


def test_a_result_that_comes_after_the_purge_brings_nothing_back(hub: TaskHub, hand: Any) -> None:
    hand.start("a")
    record = hub.find("a")
    hand.add("a", TaskScheduled(1, "one"), ExecutionCompleted("Terminated"))
    hub.deliver([(record.key, Message(TaskCompleted(1), 0, 0))])
    taken = hub.take_ready(hand.now(), 10)
    hub.purge([hub.find("a")])
    for state, messages in taken:  # it was already in the engine's hands
        hub.record_late(state, messages)
    hand.commit()
    hub.deliver([(record.key, Message(TaskCompleted(1), 0, 0))])
    assert not hub.has_ready(0)
    assert hub.find("a") is None
    assert hub.counts() == {}


def test_a_purge_of_an_old_record_does_not_touch_who_has_the_id_now(hub: TaskHub, hand: Any) -> None:
    hand.start("a")
    hand.end("a", "1")
    old = hub.find("a")
    hand.start("a")
    hand.end("a", "2")
    hub.purge([old])
    assert hub.find("a").key != old.key
    assert hub.when_ended("a").result(5).end.result == "2"


# who watches, who reads


# a disk that refuses

FULL = HubUnavailableError("hub.duckdb", "it is full")


def refused(future: Any) -> HubUnavailableError:
    error = future.exception(0)
    assert isinstance(error, HubUnavailableError)
    return error


def test_a_request_the_engine_has_not_begun_with_is_withdrawn_when_the_disk_refuses(hub: TaskHub, hand: Any) -> None:
    hand.start("running")
    hand.start("a", input="1")
    hand.end("a", "old")
    started = hub.start_instances([request("a", input="2"), request("new")])
    calls = [
        started,
        hub.send("running", EventRaised("go", "1"), "raise an event to"),
        hub.send("new", EventRaised("go", "1"), "raise an event to"),
        hub.signal_entities([SignalRequest("@counter@x", "add")]),
    ]
    waiting = hub.when_ended("new")
    hub._on_problem(FULL)
    assert [refused(call).kept for call in calls] == [False] * 4
    assert "nothing of this request was done" in str(refused(started))
    assert isinstance(waiting.exception(0), InstanceNotFoundError)
    assert hand.turn() == ["running"]
    assert hub.take_ready_entities(10)[0][1] == []
    assert [type(row.event) for row in hand.history("running")][1:] == [OrchestratorStarted]
    assert hub.find("new") is None
    assert (hub.find("a").status, hub.resumed) == ("Completed", 1)
    assert hub.when_ended("a").result(0).end.result == "old"


def test_a_request_under_way_when_the_disk_refuses_is_kept_and_says_so(hub: TaskHub, hand: Any) -> None:
    started = hub.start_instances([request("a"), request("b")])
    taken = hub.take_ready(hand.now(), 1)
    hub._on_problem(FULL)
    assert refused(started).kept
    assert "do not repeat it" in str(refused(started))
    for state, messages in taken:
        hub.put_back(state, messages)
    assert hand.turn() == ["a", "b"]


def test_nobody_is_refused_with_the_error_of_another(hub: TaskHub) -> None:
    calls = [hub.start_instances([request(id)]) for id in "ab"]
    hub._on_problem(FULL)
    assert refused(calls[0]) is not refused(calls[1])


def test_one_request_is_withdrawn_and_the_others_stay(hub: TaskHub, hand: Any) -> None:
    first, second, third = (hub.start_instances([request(id)]) for id in "abc")
    event = hub.send("c", EventRaised("go", "1"), "raise an event to")
    assert hub.withdraw(second) is True
    assert hub.withdraw(second) is None
    assert hub.withdraw(third) is False
    assert hand.turn() == ["a", "c"]
    assert (first.result(5), event.result(5)) == (None, None)
    assert hub.withdraw(first) is None


def test_what_the_disk_has_no_room_for_is_not_begun(open_hub: Any, hand_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = open_hub()
    hand = hand_of(hub)
    hand.start("a")
    monkeypatch.setattr("dfnb.hub.memory.free_bytes", lambda path: 1_000_000)
    large = "1" * 400_000
    for call in (
        lambda: hub.start_instances([request("large", input=large)]),
        lambda: hub.send("a", EventRaised("go", large), "raise an event to"),
        lambda: hub.signal_entities([SignalRequest("@counter@x", "set", large)]),
    ):
        with pytest.raises(HubUnavailableError, match=r"takes 1.2 MB for a while, and its disk has 1.0 MB free") as refusal:
            call()
        assert refusal.value.kept is False
    assert hand.turn() == []
    hand.start("small")


def test_watchers_hear_of_every_commit_until_they_stop(hub: TaskHub, hand: Any) -> None:
    heard: list[frozenset[str]] = []
    stop = hub.watch(heard.append)
    hand.start("a", "b")
    hand.end("a")
    hub.run(lambda connection: None).result(5)
    assert heard == [{"a", "b"}, {"a"}]
    stop()
    hand.end("b")
    hub.run(lambda connection: None).result(5)
    assert len(heard) == 2


def test_a_watcher_may_ask_the_hub_anything(open_hub: Any, hand_of: Any) -> None:
    """It is called on the writer thread, which must not wait for itself."""
    hub = open_hub("durable")
    hand = hand_of(hub)
    found: list[dict[str, int]] = []
    hub.watch(lambda ids: found.append(hub.counts()))
    hand.start("a")
    hub.run(lambda connection: None).result(5)
    assert found == [{"Running": 1}]


def test_readers_go_on_through_a_compaction(open_hub: Any, hand_of: Any) -> None:
    hub = open_hub("durable")
    hand = hand_of(hub)
    hand.start(*(f"i{number}" for number in range(50)))
    stop = threading.Event()
    wrong: list[object] = []

    def read() -> None:
        try:
            while not stop.is_set():
                record = hub.find("i7")
                if len(hub.history(record)) < 1 or hub.counts() != {"Running": 50}:
                    wrong.append("rows are missing")
        except BaseException as error:
            wrong.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    relation = hub.sql("SELECT count(*) FROM instances")
    for number in range(3):
        hub.compact()
        hub.send(f"i{number}", EventRaised("e"), "raise an event to")
        hand.turn()
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert hub.sql("SELECT count(*) FROM instances").fetchall() == [(50,)]
    assert hub.sql("SELECT count(*) FROM history").fetchall() == [(53,)]
    del relation
    hub.close()
    assert open_hub("durable").resumed == 50


def test_a_closed_hub_says_so_and_answers_who_waits(hub: TaskHub, hand: Any) -> None:
    hand.start("a")
    waiting = hub.when_ended("a")
    unanswered = hub.start_instances([request("b")])
    hub.close()
    for future in (waiting, unanswered):
        with pytest.raises(HubClosedError):
            future.result(5)
    uses: list[Callable[[], object]] = [
        lambda: hub.start_instances([request("c")]),
        lambda: hub.send("a", EventRaised("e"), "raise an event to"),
        lambda: hub.counts(),
        lambda: hub.sql("SELECT 1"),
        lambda: hub.compact(),
    ]
    for use in uses:
        with pytest.raises(HubClosedError):
            use()


def test_what_was_relaxed_and_not_yet_saved_is_all_a_crash_takes(open_hub: Any, hand_of: Any, tmp_path: Path) -> None:
    hub = open_hub("relaxed")
    hand = hand_of(hub)
    hand.start("a")
    state = hub._by_id["a"]
    hub.record(state, [(TaskScheduled(1, "one"), 0)], 2)
    hub.finish_turn(state, ())
    hub.commit(lambda: None)
    hub.close(abandon=True)
    hub = open_hub("relaxed")
    assert [r.event for r in hand_of(hub).history("a")][1:] in ([], [TaskScheduled(1, "one")])
    assert hub.find("a").status == "Running"


def test_an_unknown_durability_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="durable, relaxed, memory"):
        TaskHub(str(tmp_path / "hub.duckdb"), durability="maybe", now=lambda: 0)
