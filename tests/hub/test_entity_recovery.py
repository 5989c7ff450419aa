"""What the file tells of entities equals what was live, wherever the process was when it ended."""

from __future__ import annotations

import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dfnb
from dfnb.engine.entities import EntityEngine
from dfnb.engine.own_code import OwnCode
from dfnb.hub.entity_state import EntityState
from dfnb.hub.hub import TaskHub
from dfnb.hub.protocol import EntityQuery, SignalRequest, StartRequest
from dfnb.hub.state import InstanceState, Message
from dfnb.records.failure import FailureDetails
from dfnb.records.history import (
    EntityLockRequested,
    EntityOperationCalled,
    EntityOperationSignaled,
    EntityUnlockSent,
    ExecutionCompleted,
    ExecutionRewound,
    HistoryEvent,
    OrchestratorStarted,
)
from dfnb.testing import FakeClock

ENTITIES = ("@box@1", "@box@2", "@later@1")
ORCHESTRATIONS = ("o", "p")
FAILURE = FailureDetails("builtins.ValueError", "bad")
EVERYTHING = EntityQuery(with_empty=True, limit=1000)


def box(context: dfnb.DurableEntityContext) -> Any:
    """A number; `pass on` sends it to the next box."""
    match context.operation_name:
        case "add":
            context.set_state(context.get_state(int) + 1)
        case "clear":
            context.destruct_on_exit()
        case "fail":
            context.set_state(-1)
            raise ValueError("no")
        case "pass on":
            context.signal_entity(dfnb.EntityId("box", "2" if context.entity_key == "1" else "1"), "add")
    return context.get_state(int)


class Story:
    """Random steps of orchestrations, clients and time; each ends with one batch."""

    def __init__(self, folder: str) -> None:
        self.clock = FakeClock()
        self.path = str(Path(folder, "hub.duckdb"))
        self.registry = dfnb.Registry()
        dfnb.entity(box, registry=self.registry)
        self.numbers = itertools.count(1)
        self.requests: dict[str, EntityLockRequested] = {}
        self.open()

    def open(self) -> None:
        self.hub = TaskHub(self.path, now=self.clock.now)
        self.engine = EntityEngine(self.hub, self.registry, self.clock, OwnCode(), limit=1_000, strict=False)

    def tell(self, story: list[tuple[Any, ...]]) -> None:
        for step, *facts in story:
            getattr(self, step)(*facts)
            self.turn()

    # the steps

    def signal(self, entity: str, name: str, seconds: int) -> None:
        due_at = self.clock.now() + seconds * 1_000_000 if seconds else None
        self.hub.signal_entities([SignalRequest(entity, name, None, due_at)])

    def call(self, orchestration: str, entity: str, name: str) -> None:
        state = self.hub._by_id.get(orchestration)
        locks = state.locks("lock", "locked", "relock", "relocking") if state is not None else []
        if all(entry.kind == "locked" and entity in (entry.data or "") for _, entry in locks):
            self.ask(orchestration, EntityOperationCalled(next(self.numbers), entity, name, "1"))

    def send(self, orchestration: str, entity: str, seconds: int) -> None:
        state = self.hub._by_id.get(orchestration)
        if state is None or not state.locks("lock", "locked", "relock", "relocking"):
            due_at = self.clock.now() + seconds * 1_000_000
            self.ask(orchestration, EntityOperationSignaled(next(self.numbers), entity, "add", None, due_at))

    def lock(self, orchestration: str, entities: list[str]) -> None:
        state = self.hub._by_id.get(orchestration)
        if state is None or not state.locks("lock", "locked", "relock", "relocking"):
            self.requests[orchestration] = EntityLockRequested(next(self.numbers), tuple(sorted(entities)))
            self.ask(orchestration, self.requests[orchestration])

    def unlock(self, orchestration: str, times: int) -> None:
        state = self.hub._by_id.get(orchestration)
        for task, entry in state.locks("locked") if state is not None else ():
            for _ in range(times):
                self.ask(orchestration, EntityUnlockSent(task, tuple(json.loads(entry.data or ""))))

    def end(self, orchestration: str, status: str) -> None:
        state = self.state_of(orchestration)
        self.record(state, ExecutionCompleted(status, None, FAILURE if status == "Failed" else None))
        self.engine.release_locks(state, self.clock.now())

    def rewind(self, orchestration: str) -> None:
        record = self.hub.find(orchestration)
        if record is not None and record.status == "Failed":
            self.hub.send(orchestration, ExecutionRewound(()), "rewind")

    def pause(self, seconds: int) -> None:
        self.clock.advance(seconds)

    def define(self) -> None:
        dfnb.entity(box, name="later", registry=self.registry)
        definition = self.registry.get("entity", "later")
        assert definition is not None
        self.engine.definition_changed(definition)

    def flush(self) -> None:
        self.hub.flush()

    def little(self, rows: int) -> None:
        """From now on so many rows fill a batch."""
        self.engine._limit = rows

    # how they are done

    def state_of(self, orchestration: str) -> InstanceState:
        state = self.hub._by_id.get(orchestration)
        if state is None:
            self.hub.start_instances([StartRequest("work", orchestration)])
            self.turn()
            state = self.hub._by_id[orchestration]
        return state

    def ask(self, orchestration: str, event: HistoryEvent) -> None:
        state = self.state_of(orchestration)
        self.record(state, event)
        self.engine.ask(state, event, self.clock.now())

    def record(self, state: InstanceState, event: HistoryEvent) -> None:
        self.hub.record(state, [(OrchestratorStarted(), self.clock.now()), (event, self.clock.now())], state.turn + 1)
        self.hub.finish_turn(state, ())

    def turn(self) -> None:
        for state, messages in self.hub.take_ready(self.clock.now(), 100):
            if state.is_terminal and not any(isinstance(message.event, ExecutionRewound) for message in messages):
                self.hub.record_late(state, messages)
                continue
            taken, late = state.split_late(messages)
            self.hub.record_late(state, late)
            self.take_in(state, taken)
        self.engine.run(self.hub.take_ready_entities(100))
        self.hub.commit(lambda: None)
        assert self.hub._journal.drain()
        self.hub.run(lambda connection: None).result(5)

    def take_in(self, state: InstanceState, messages: list[Message]) -> None:
        """As the engine does: a rewound instance that needs its lock waits for it without a turn."""
        if state.id in self.requests and any(isinstance(message.event, ExecutionRewound) for message in messages):
            state.must_hold(self.requests[state.id])
        waits = self.engine.must_lock_again(state, messages)
        self.hub.record(state, [(message.event, message.at) for message in messages], 0 if waits else state.turn + 1)
        state.pending = [*(state.pending or ()), *(message.event for message in messages)] if waits else None
        self.hub.finish_turn(state, (), messages)

    # what must be the same

    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for id, entity in self.hub._entity_by_id.items():
            if entity.loaded and entity.key and (entity.saved or entity.lock is not None):
                found[id] = live(entity, self.clock.now())
        records = {record.id: record for record in self.hub.query_entities(EVERYTHING)}
        return found | {"records": records, "counters": (self.hub._next_pos, self.hub._next_key)}


def live(entity: EntityState, now: int) -> dict[str, Any]:
    """All that must be the same in an entity that has something to do; what has become due stands in line."""
    entity.take_due(now)
    return {
        "queue": list(entity.queue.items()),
        "own": list((entity.own or {}).items()),
        "waiting": sorted((entity.waiting or {}).items()),
        "saved": sorted((entity.saved or {}).items()),
        **{
            field: getattr(entity, field)
            for field in ("key", "state", "saved_state", "created_at", "updated_at", "arrived", "operations", "lock", "lock_number")
        },
    }


_entity = st.sampled_from(ENTITIES)
_orchestration = st.sampled_from(ORCHESTRATIONS)
_name = st.sampled_from(["add", "add", "clear", "fail", "pass on"])
_step = st.one_of(
    st.tuples(st.just("signal"), _entity, _name, st.sampled_from([0, 0, 5, 20])),
    st.tuples(st.just("call"), _orchestration, _entity, _name),
    st.tuples(st.just("send"), _orchestration, _entity, st.integers(1, 9)),
    st.tuples(st.just("lock"), _orchestration, st.lists(_entity, min_size=1, max_size=3, unique=True)),
    st.tuples(st.just("unlock"), _orchestration, st.sampled_from([1, 1, 2])),
    st.tuples(st.just("end"), _orchestration, st.sampled_from(["Completed", "Failed", "Terminated"])),
    st.tuples(st.just("rewind"), _orchestration),
    st.tuples(st.just("pause"), st.integers(1, 10)),
    st.tuples(st.just("little"), st.sampled_from([1, 3, 1000])),
    st.just(("define",)),
    st.just(("flush",)),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(_step, max_size=30))
def test_what_is_recovered_of_entities_equals_what_was_live(story: list[tuple[Any, ...]]) -> None:
    """After a crash at the end of any story, then after a clean end."""
    with tempfile.TemporaryDirectory() as folder:
        told = Story(folder)
        try:
            told.tell(story)
            before = told.facts()
        finally:
            told.hub.close(abandon=True)
        for _ in range(2):
            told.open()
            again = told.facts()
            told.hub.close()
            assert again == before


@pytest.fixture
def story(tmp_path: Path) -> Any:
    told = Story(str(tmp_path))
    yield told
    told.hub.close()


def reopen(story: Story, *, crash: bool) -> None:
    story.hub.close(abandon=crash)
    story.open()


@pytest.mark.parametrize("crash", [True, False])
def test_an_entity_at_rest_is_untouched_by_the_recovery_of_one_that_waits(story: Story, crash: bool) -> None:
    story.tell([("signal", "@box@1", "add", 100), ("signal", "@box@2", "add", 0), ("flush",)])
    reopen(story, crash=crash)
    record = story.hub.find_entity("@box@2")
    assert record is not None
    assert (record.state, record.operations) == ("1", 1)
    story.tell([("signal", "@box@2", "add", 0)])
    assert [record.state for record in story.hub.query_entities(EVERYTHING)] == [None, "2"]


@pytest.mark.parametrize("crash", [True, False])
def test_what_had_become_due_keeps_its_place_in_the_line(story: Story, crash: bool) -> None:
    story.tell([("lock", "o", ["@box@1"]), ("signal", "@box@1", "add", 5), ("pause", 6), ("signal", "@box@1", "clear", 0)])
    reopen(story, crash=crash)
    entity = story.hub._entity_by_id["@box@1"]
    entity.take_due(story.clock.now())
    assert [operation.name for operation in entity.queue.values()] == ["add", "clear"]


def test_a_lock_given_back_twice_leaves_nothing_that_waits(story: Story) -> None:
    story.tell([("lock", "o", ["@box@1"]), ("signal", "@box@1", "add", 0), ("little", 1), ("unlock", "o", 2)])
    reopen(story, crash=True)
    story.tell([("pause", 0)] * 3)
    record = story.hub.find_entity("@box@1")
    assert record is not None
    assert (record.state, record.waiting, record.lock) == ("1", 0, None)


def test_operations_that_wait_run_after_the_reopening_in_their_order(story: Story) -> None:
    story.tell([("lock", "o", ["@box@1"])])
    story.tell([("signal", "@box@1", name, 0) for name in ("add", "clear", "add", "add")])
    for _ in range(2):
        reopen(story, crash=True)
    story.tell([("unlock", "o", 1), ("pause", 0)])
    record = story.hub.find_entity("@box@1")
    assert record is not None
    assert (record.state, record.lock, record.waiting, record.operations) == ("2", None, 0, 4)
    ran = [operation.name for operation in story.hub.entity_operations(record, 10)]
    assert ran[:4] == ["add", "add", "clear", "add"]
