"""Entities on a whole engine: order, rollback, locks, signals, failures, rewinds, over DuckDB in memory and on disk."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import dfnb
from dfnb.hub.protocol import InstanceQuery
from dfnb.records.history import EntityLockGranted, EntityOperationCompleted

Context = dfnb.DurableOrchestrationContext
EntityContext = dfnb.DurableEntityContext
PATIENCE = 20.0
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
A, B, C = (dfnb.EntityId("box", key) for key in "abc")


def box(context: EntityContext) -> Any:
    """A list that remembers what was put into it."""
    items = context.get_state(list)
    name, given = context.operation_name, context.get_input()
    if name == "put":
        context.set_state([*items, given])
        return len(items) + 1
    if name == "spoil":
        context.set_state(["spoilt"])
        context.signal_entity(B, "put", "from a failure")
        context.schedule_new_orchestration("noted", "from a failure")
        raise ValueError(f"no {given}")
    if name == "pass on":
        context.signal_entity(dfnb.EntityId("box", given), "put", context.entity_key)
    elif name == "remind":
        context.signal_entity(context.entity_id, "put", "reminder", timedelta(seconds=given))
    elif name == "start":
        return context.schedule_new_orchestration("noted", given)
    elif name == "start as":
        return context.schedule_new_orchestration("noted", given, "chosen")
    elif name == "destroy":
        context.destruct_on_exit()
    elif name == "who":
        return [context.caller_id, context.is_newly_constructed, context.current_utc_datetime.isoformat()]
    elif name not in ("get", "delete"):
        raise NotImplementedError(name)
    return items


def noted(context: Context) -> Any:
    return context.get_input()


def holder(context: Context) -> Any:
    """Holds locks until it is told what to do; the keys of the entities are its input."""
    keys, then = context.get_input(), "nothing"
    with (yield context.lock_entities([dfnb.EntityId("box", key) for key in keys])):
        then = yield context.wait_for_external_event("go")
        if then == "fail":
            raise RuntimeError("as told")
        for key in keys:
            yield context.call_entity(dfnb.EntityId("box", key), "put", then)
    return then


def again(context: Context) -> Any:
    if not context.get_input():
        return "second generation"
    with (yield context.lock_entities([A])):
        yield context.wait_for_external_event("go")
        context.continue_as_new(None)


def caller(context: Context) -> Any:
    """One call: [key, operation, input]."""
    key, name, given = context.get_input()
    return (yield context.call_entity(dfnb.EntityId("box", key), name, given))


class Room:
    """A lab with boxes."""

    def __init__(self, lab: Any) -> None:
        self.lab = lab
        dfnb.entity(box, registry=lab.registry)
        for orchestrator in (noted, holder, caller, again):
            lab.orchestrator(orchestrator)

    @property
    def client(self) -> Any:
        return self.lab.client

    def state(self, entity: dfnb.EntityId) -> Any:
        return self.client.read_entity_state(entity).entity_state

    def until(self, holds: Callable[[], bool]) -> None:
        changed = threading.Event()
        end = self.client.watch(lambda ids: changed.set())
        try:
            while not holds():
                assert changed.wait(PATIENCE), self.lab.app.sql("SELECT * FROM entity_operations").fetchall()
                changed.clear()
        finally:
            end()

    def lockers(self) -> list[str | None]:
        return [self.client.entity_status(entity).locked_by for entity in (A, B, C)]

    def hold(self, keys: str, **options: Any) -> Any:
        run = self.lab.start(holder, keys, **options)
        self.lab.waiting(run, "event")
        return run

    def wait_for_lock(self, keys: str, **options: Any) -> Any:
        run = self.lab.start(holder, keys, **options)
        self.lab.waiting(run, "lock")
        return run

    def call(self, key: str, name: str, given: Any = None) -> Any:
        return self.lab.start(caller, [key, name, given])

    def settled(self) -> None:
        """What was sent before has been taken in: an operation of an entity that nobody locks has run after it."""
        self.client.signal_entity(dfnb.EntityId("box", "settle"), "get")


@pytest.fixture
def room(lab: Any) -> Room:
    return Room(lab)


@pytest.fixture
def disk_room(disk_lab: Any) -> Room:
    return Room(disk_lab)


# ---- operations


def test_calls_answer_with_the_result_and_change_the_state(room: Room) -> None:
    assert [room.call("a", "put", n).result(PATIENCE) for n in "xyz"] == [1, 2, 3]
    assert room.state(A) == ["x", "y", "z"]


def test_operations_run_in_the_order_their_senders_sent_them(room: Room) -> None:
    def sender(context: Context) -> Any:
        for n in range(20):
            context.signal_entity(A, "put", [context.get_input(), n])
            yield context.call_entity(A, "put", [context.get_input(), n + 0.5])
        return (yield context.call_entity(A, "get"))

    room.lab.orchestrator(sender)
    runs = room.client.start_many("sender", range(5))
    seen = max((run.result(PATIENCE) for run in runs), key=len)
    assert len(seen) == 200
    for sender_number in range(5):
        assert [n for who, n in seen if who == sender_number] == [n / 2 for n in range(40)]


def test_signals_of_a_client_run_in_their_order(room: Room) -> None:
    room.lab.open(batch_rows=10)
    room.client.signal_entities([(A, "put", n) for n in range(100)])
    room.client.signal_entity(A, "put", 100)
    assert room.state(A) == list(range(101))


def test_a_failing_operation_leaves_state_signals_and_starts_as_they_were(room: Room) -> None:
    room.client.signal_entity(A, "put", 1)
    run = room.call("a", "spoil", "way").wait(PATIENCE)
    details = run.failure_details
    assert details.message == "Operation 'spoil' of entity '@box@a' failed: ValueError: no way"
    assert details.error_type == "dfnb.errors.TaskFailedError"
    assert details.inner_failure.error_type == "builtins.ValueError"
    assert "no {given}" in details.inner_failure.stack_trace
    assert (room.state(A), room.state(B)) == ([1], None)
    assert room.client.instances(name="noted") == []
    assert [operation.status for operation in room.client.entity_operations(A)] == ["Failed", "Completed"]


def test_a_failed_signal_is_seen_in_the_operations_and_nowhere_else(room: Room) -> None:
    room.client.signal_entities([(A, "spoil", "way"), (A, "put", 1)])
    assert room.state(A) == [1]
    failed = room.client.entity_operations(A)[1]
    assert (failed.name, failed.status, failed.failure.summary) == ("spoil", "Failed", "ValueError: no way")


def test_a_failure_of_an_operation_can_be_caught(room: Room) -> None:
    def careful(context: Context) -> Any:
        try:
            yield context.call_entity(A, "spoil", "luck")
        except dfnb.TaskFailedError as error:
            return [error.details.message, (yield context.call_entity(A, "put", 1))]

    room.lab.orchestrator(careful)
    assert room.lab.run(careful) == ["no luck", 1]


def test_an_unknown_operation_of_a_class_fails_with_the_known_ones(room: Room) -> None:
    class Tally:
        def __init__(self) -> None:
            self.n = 0

        def add(self, by: int) -> int:
            self.n += by
            return self.n

    dfnb.entity(Tally, registry=room.lab.registry)

    def confused(context: Context) -> Any:
        tally = dfnb.EntityId("tally", "t")
        yield context.call_entity(tally, "add", 2)
        try:
            yield context.call_entity(tally, "ad", 2)
        except dfnb.TaskFailedError as error:
            return [str(error), (yield context.call_entity(tally, "ADD", 3))]

    room.lab.orchestrator(confused)
    text, total = room.lab.run(confused)
    assert "did you mean 'add'" in text
    assert total == 5


def test_an_operation_knows_who_asked_and_when(room: Room) -> None:
    run = room.call("a", "who")
    assert run.result(PATIENCE) == [run.id, True, BEGIN.isoformat()]
    room.client.signal_entity(A, "put", 1)
    room.client.signal_entity(A, "who")
    assert room.client.entity_operations(A)[0].result == f'[null,false,"{BEGIN.isoformat()}"]'


def test_a_destroyed_entity_starts_anew(room: Room) -> None:
    room.client.signal_entities([(A, "put", 1), (A, "destroy")])
    assert not room.client.read_entity_state(A).entity_exists
    assert room.call("a", "put", 2).result(PATIENCE) == 1


def test_delete_comes_after_what_was_sent_before(room: Room) -> None:
    room.client.signal_entities([(A, "put", n) for n in range(3)])
    room.client.delete_entity(A)
    assert not room.client.read_entity_state(A).entity_exists
    assert room.client.entity_status(A).operations == 4


# ---- signals and starts


def test_entities_signal_each_other_and_themselves_later(room: Room) -> None:
    room.client.signal_entities([(A, "put", 1), (A, "pass on", "b"), (B, "remind", 30)])
    room.until(lambda: room.state(B) == ["a"])
    assert room.client.entity_operations(B)[-1].caller in (None, str(A))
    room.lab.clock.advance(29)
    room.settled()
    assert room.state(B) == ["a"]
    room.lab.clock.advance(1)
    room.until(lambda: room.state(B) == ["a", "reminder"])


def test_signals_arrive_at_their_time_also_after_a_restart(disk_room: Room) -> None:
    def later(context: Context) -> Any:
        context.signal_entity(A, "put", "orchestration", timedelta(seconds=20))
        context.signal_entity(A, "put", "past", datetime(2020, 1, 1))
        return None
        yield

    disk_room.lab.orchestrator(later)
    disk_room.client.signal_entity(A, "put", "client", signal_time=BEGIN + timedelta(seconds=10))
    disk_room.client.signal_entity(A, "put", "now")
    assert disk_room.lab.run(later) is None
    disk_room.until(lambda: disk_room.state(A) == ["now", "past"])
    for crash in (True, False):
        disk_room.lab.reopen(crash=crash)
        assert disk_room.client.entity_status(A).waiting == 2
    disk_room.lab.clock.advance(10)
    disk_room.until(lambda: disk_room.state(A) == ["now", "past", "client"])
    disk_room.lab.reopen()
    disk_room.lab.clock.advance(100)
    disk_room.until(lambda: disk_room.state(A) == ["now", "past", "client", "orchestration"])
    assert disk_room.client.entity_status(A).waiting == 0


def test_entities_start_orchestrations_also_under_a_chosen_id(room: Room) -> None:
    id = room.call("a", "start", "hello").result(PATIENCE)
    assert room.client.instance(id).result(PATIENCE) == "hello"
    for word in ("first", "second"):
        assert room.call("a", "start as", word).result(PATIENCE) == "chosen"
        assert room.client.instance("chosen").result(PATIENCE) == word
    assert len(room.client.instances(name="noted")) == 2


def test_an_orchestration_that_cannot_start_is_told_in_the_entitys_log(room: Room) -> None:
    room.lab.start(holder, "c", instance_id="chosen")
    assert room.call("a", "start as", 1).result(PATIENCE) == "chosen"
    assert ["chosen" in line.text for line in room.client.entity_logs(A) if line.stream == "WARNING"] == [True]


# ---- missing definitions


def test_an_entity_without_a_cell_waits_visibly_and_goes_on_when_it_comes(lab: Any) -> None:
    lab.orchestrator(caller)
    run = lab.start(caller, ["a", "put", 1])
    record = lab.waiting(run, "entity")
    assert record.waits[0].name == "@box@a put"
    if lab.on_disk:
        lab.reopen()
    status = lab.client.entity_status(A)
    assert (status.waiting, status.waiting_for) == (1, "waiting for the cell that defines box")
    dfnb.entity(box, registry=lab.registry)
    assert run.result(PATIENCE) if not lab.on_disk else lab.client.instance(run.id).result(PATIENCE) == 1


def test_a_strict_engine_fails_the_call_with_a_did_you_mean(room: Room) -> None:
    room.lab.open(strict=True)

    def astray(context: Context) -> Any:
        context.signal_entity(dfnb.EntityId("boks", "a"), "put", 1)
        try:
            yield context.call_entity(dfnb.EntityId("boks", "a"), "put", 1)
        except dfnb.TaskFailedError as error:
            return [error.details.error_type, error.details.message]

    room.lab.orchestrator(astray)
    kind, message = room.lab.run(astray)
    assert kind == "dfnb.errors.NotRegisteredError"
    assert message == "no entity named 'boks' is defined here; defined are: box"


# ---- locks


def test_locks_keep_all_others_waiting_and_not_the_holder(room: Room) -> None:
    run = room.hold("a")
    other = room.call("a", "put", "other")
    room.client.signal_entity(A, "put", "client")
    room.lab.waiting(other, "entity")
    assert (room.state(A), room.lockers()) == (None, [run.id, None, None])
    assert room.call("b", "put", 1).result(PATIENCE) == 1
    run.raise_event("go", "mine")
    assert run.result(PATIENCE) == "mine"
    other.wait(PATIENCE)
    room.until(lambda: room.lockers() == [None] * 3 and len(room.state(A)) == 3)
    first, *rest = room.state(A)
    assert (first, set(rest)) == ("mine", {"other", "client"})


def test_locks_asked_for_in_opposite_orders_never_wait_in_a_circle(room: Room) -> None:
    def mover(context: Context) -> Any:
        entities = [A, B, C] if context.get_input() % 2 else [C, B, A]
        for _ in range(3):
            with (yield context.lock_entities(entities)) as lock:
                assert [entity.key for entity in lock.entities] == ["a", "b", "c"]
                for entity in entities:
                    yield context.call_entity(entity, "put", context.get_input())
        return "done"

    room.lab.orchestrator(mover)
    runs = room.client.start_many("mover", range(20))
    assert [run.result(PATIENCE) for run in runs] == ["done"] * 20
    room.until(lambda: room.lockers() == [None] * 3)
    assert room.state(A) == room.state(B) == room.state(C)
    assert sorted(room.state(A)) == sorted([*range(20)] * 3)


def test_who_asked_for_a_lock_first_gets_it_first(room: Room) -> None:
    first = room.hold("a")
    waiting = [room.wait_for_lock("a") for _ in range(3)]
    for run in (first, *waiting):
        room.lab.waiting(run, "event")
        assert room.lockers()[0] == run.id
        run.raise_event("go", "on")
        assert run.result(PATIENCE) == "on"


@pytest.mark.parametrize("how", ["go", "fail", "again", "terminate"])
def test_locks_are_given_back_however_their_holder_ends(room: Room, how: str) -> None:
    run = room.lab.start(again, True) if how == "again" else room.hold("abc")
    room.lab.waiting(run, "event")
    waiting = room.wait_for_lock("a")
    if how == "terminate":
        run.terminate("enough")
    else:
        run.raise_event("go", how)
    run.wait(PATIENCE)
    room.lab.waiting(waiting, "event")
    waiting.raise_event("go", "done")
    assert waiting.result(PATIENCE) == "done"
    room.until(lambda: room.lockers() == [None] * 3)
    if how == "again":
        assert run.result(PATIENCE) == "second generation"


def test_one_that_waits_for_a_lock_and_is_terminated_holds_nobody_up(room: Room) -> None:
    first = room.hold("b")
    between = room.wait_for_lock("abc")
    queued = room.wait_for_lock("a")
    room.until(lambda: room.lockers() == [between.id, first.id, None])
    between.terminate("enough")
    room.lab.waiting(queued, "event")
    assert room.lockers() == [queued.id, first.id, None]
    for run in (first, queued):
        run.raise_event("go", "done")
        assert run.result(PATIENCE) == "done"
    room.until(lambda: room.lockers() == [None] * 3)
    statuses = {operation.status for operation in room.client.entity_operations(B) if operation.kind == "lock"}
    assert statuses == {"Released", "Canceled"}


@pytest.mark.parametrize("crash", [True, False])
def test_locks_and_those_who_wait_for_them_outlive_a_restart(disk_room: Room, crash: bool) -> None:
    first = disk_room.hold("ab")
    second = disk_room.wait_for_lock("bc")
    third = disk_room.call("b", "put", "third")
    disk_room.lab.waiting(third, "entity")
    for _ in range(2):
        disk_room.lab.reopen(crash=crash)
        assert disk_room.lockers() == [first.id, first.id, None]
    client = disk_room.client
    client.raise_event(first.id, "go", "first")
    assert client.instance(first.id).result(PATIENCE) == "first"
    disk_room.lab.waiting(client.instance(second.id), "event")
    disk_room.lab.reopen(crash=crash)
    disk_room.client.raise_event(second.id, "go", "second")
    assert disk_room.client.instance(second.id).result(PATIENCE) == "second"
    assert disk_room.client.instance(third.id).wait(PATIENCE).runtime_status.value == "Completed"
    assert (disk_room.state(B), disk_room.lockers()) == (["first", "second", "third"], [None] * 3)


def test_a_new_generation_does_not_get_the_lock_its_predecessor_had_asked_for(room: Room) -> None:
    def impatient(context: Context) -> Any:
        if context.get_input() == "second":
            return (yield context.call_entity(A, "put", "second"))
        lock = context.lock_entities([A, B])
        yield context.task_any([lock, context.wait_for_external_event("enough")])
        context.continue_as_new("second")

    room.lab.orchestrator(impatient)
    first = room.hold("a")
    run = room.lab.start(impatient, "first")
    room.until(lambda: room.client.entity_status(A).waiting == 1)
    run.raise_event("enough")
    room.lab.waiting(run, "entity")
    first.raise_event("go", "first")
    assert run.result(PATIENCE) == 2
    assert room.lockers() == [None] * 3


def test_a_restarted_instance_does_not_get_the_answer_to_its_predecessors_call(room: Room) -> None:
    first = room.hold("a")
    old = room.lab.start(caller, ["a", "put", "old"], instance_id="one")
    room.lab.waiting(old, "entity")
    old.terminate("enough")
    old.wait(PATIENCE)
    blocked = room.hold("c")
    new = room.lab.start(caller, ["c", "get", None], instance_id="one")
    room.lab.waiting(new, "entity")
    first.raise_event("go", "first")
    room.until(lambda: room.state(A) == ["first", "old"])
    blocked.raise_event("go", "c")
    assert new.result(PATIENCE) == ["c"]


# ---- rewinds


class Switch:
    """Fails until it is mended, and counts its runs."""

    def __init__(self) -> None:
        self.broken = True
        self.runs = 0

    def __call__(self, _: Any) -> str:
        self.runs += 1
        if self.broken:
            raise OSError("broken")
        return "works"


def with_section(context: Context) -> Any:
    with (yield context.lock_entities([A, B])):
        yield context.call_entity(A, "put", "before")
        told = yield context.call_activity("try_it")
        yield context.call_entity(B, "put", told)
    return (yield context.call_entity(A, "put", "after"))


def open_section(context: Context) -> Any:
    lock = yield context.lock_entities([A, B])
    yield context.call_entity(A, "put", "before")
    told = yield context.call_activity("try_it")
    yield context.call_entity(B, "put", told)
    lock.release()
    return (yield context.call_entity(A, "put", "after"))


def late_failure(context: Context) -> Any:
    """Fails after it has left the section in which the failure happened."""
    try:
        with (yield context.lock_entities([A, B])):
            yield context.call_entity(A, "put", "before")
            told = yield context.call_activity("try_it")
            yield context.call_entity(B, "put", told)
    except dfnb.TaskFailedError as error:
        yield context.call_entity(C, "put", "failed")
        raise error
    return (yield context.call_entity(A, "put", "after"))


SECTIONS = [with_section, open_section, late_failure]


def break_down(room: Room, section: Callable[..., Any], left: Any = (None, None, None)) -> tuple[Any, Switch]:
    """An instance of that section that has failed; `left` are those who hold locks then."""
    switch = Switch()
    room.lab.orchestrator(section)
    room.lab.activity(switch.__call__, name="try_it")
    run = room.lab.start(section)
    assert run.wait(PATIENCE).runtime_status.value == "Failed"
    room.until(lambda: room.lockers() == list(left))
    switch.broken = False
    return run, switch


@pytest.mark.parametrize("section", SECTIONS)
def test_a_rewind_into_a_critical_section_takes_its_locks_again_once(room: Room, section: Callable[..., Any]) -> None:
    run, switch = break_down(room, section)
    run.rewind("mended")
    assert run.result(PATIENCE) == 2
    room.until(lambda: room.lockers() == [None] * 3)
    assert (room.state(A), room.state(B), switch.runs) == (["before", "after"], ["works"], 2)
    locks = [operation.status for operation in room.client.entity_operations(A) if operation.kind == "lock"]
    assert locks == ["Released", "Released"]


@pytest.mark.parametrize("section", SECTIONS)
def test_a_rewind_waits_visibly_while_another_holds_the_lock(room: Room, section: Callable[..., Any]) -> None:
    run, _ = break_down(room, section)
    other = room.hold("b")
    run.rewind("mended")
    record = room.lab.waiting(run, "lock")
    assert record.waits[0].name == "@box@a, @box@b"
    room.until(lambda: room.lockers() == [run.id, other.id, None])
    third = room.call("a", "put", "third")
    room.lab.waiting(third, "entity")
    other.raise_event("go", "other")
    assert run.result(PATIENCE) in (2, 3)
    assert third.wait(PATIENCE).runtime_status.value == "Completed"
    assert (room.state(A)[0], room.state(B)) == ("before", ["other", "works"])
    room.until(lambda: room.lockers() == [None] * 3)


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("crash", [True, False])
def test_a_rewind_that_waits_for_its_locks_outlives_a_restart(
    disk_room: Room, section: Callable[..., Any], crash: bool
) -> None:
    run, _ = break_down(disk_room, section)
    other = disk_room.hold("b")
    run.rewind("mended")
    disk_room.lab.waiting(run, "lock")
    for _ in range(2):
        disk_room.lab.reopen(crash=crash)
    disk_room.lab.waiting(disk_room.client.instance(run.id), "lock")
    disk_room.client.raise_event(other.id, "go", "other")
    assert disk_room.client.instance(run.id).result(PATIENCE) == 2
    assert (disk_room.state(A), disk_room.state(B)) == (["before", "after"], ["other", "works"])
    disk_room.until(lambda: disk_room.lockers() == [None] * 3)


def test_a_rewound_one_terminated_before_its_code_is_there_leaves_no_lock(disk_room: Room) -> None:
    run, _ = break_down(disk_room, with_section)
    other = disk_room.hold("b")
    run.rewind("mended")
    disk_room.until(lambda: disk_room.lockers() == [run.id, other.id, None])
    lab = disk_room.lab
    lab.app.abandon()
    code, lab.registry = lab.registry, dfnb.Registry()
    dfnb.entity(box, registry=lab.registry)
    lab.open()
    lab.client.terminate(run.id, "enough")
    lab.client.instance(run.id).wait(PATIENCE)
    disk_room.until(lambda: disk_room.lockers() == [None, other.id, None])
    lab.registry = code
    lab.reopen()
    lab.client.raise_event(other.id, "go", "other")
    assert lab.client.instance(other.id).result(PATIENCE) == "other"
    disk_room.until(lambda: disk_room.lockers() == [None] * 3)


def test_a_lock_asked_for_before_the_failure_is_not_granted_to_the_rewound(room: Room) -> None:
    def torn(context: Context) -> Any:
        lock, told = context.lock_entities([A, B]), context.call_activity("try_it")
        yield context.task_any([lock, told])
        yield told
        with (yield lock):
            first = yield context.call_entity(A, "put", "torn")
            return [first, (yield context.call_entity(B, "put", "torn"))]

    other = room.hold("b")
    run, _ = break_down(room, torn, left=[None, other.id, None])
    third = room.hold("a")
    run.rewind("mended")
    room.lab.waiting(run, "lock")
    other.raise_event("go", "other")
    assert other.result(PATIENCE) == "other"
    room.until(lambda: room.lockers() == [third.id, None, None])
    room.settled()
    assert not run.status().is_terminal
    third.raise_event("go", "third")
    assert run.result(PATIENCE) == [2, 2]
    room.until(lambda: room.lockers() == [None] * 3)


def test_a_rewind_twice_takes_the_locks_twice(room: Room) -> None:
    run, switch = break_down(room, with_section)
    switch.broken = True
    run.rewind("not yet")
    room.until(lambda: switch.runs == 2 and run.status().runtime_status.value == "Failed")
    room.until(lambda: room.lockers() == [None] * 3)
    switch.broken = False
    run.rewind("mended")
    assert run.result(PATIENCE) == 2
    assert (room.state(A), room.state(B)) == (["before", "after"], ["works"])


def test_a_call_that_failed_the_run_is_made_again_by_a_rewind(room: Room) -> None:
    def shaky(context: Context) -> Any:
        with (yield context.lock_entities([A])):
            yield context.call_entity(A, "put", 1)
            return (yield context.call_entity(A, "later", 2))

    room.lab.orchestrator(shaky)
    run = room.lab.start(shaky)
    assert "later" in str(run.wait(PATIENCE).failure_details)

    def better(context: EntityContext) -> Any:
        return "now" if context.operation_name == "later" else box(context)

    dfnb.entity(better, name="box", registry=room.lab.registry)
    run.rewind("mended")
    assert run.result(PATIENCE) == "now"
    assert room.state(A) == [1]


@pytest.mark.parametrize("reopen", [True, False])
def test_an_answer_that_comes_after_its_caller_failed_is_read_after_a_rewind(disk_room: Room, reopen: bool) -> None:
    switch = Switch()
    disk_room.lab.activity(switch.__call__, name="try_it")

    def hasty(context: Context) -> Any:
        call = context.call_entity(A, "put", "late")
        yield context.call_activity("try_it")
        return (yield call)

    disk_room.lab.orchestrator(hasty)
    other = disk_room.hold("a")
    run = disk_room.lab.start(hasty)
    assert run.wait(PATIENCE).runtime_status.value == "Failed"
    other.raise_event("go", "other")
    disk_room.until(lambda: disk_room.state(A) == ["other", "late"])
    if reopen:
        disk_room.lab.reopen()
    switch.broken = False
    disk_room.client.instance(run.id).rewind("mended")
    assert disk_room.client.instance(run.id).result(PATIENCE) == 2
    history = disk_room.client.instance(run.id).history()
    assert sum(isinstance(row.event, EntityOperationCompleted) for row in history) == 1
    assert disk_room.state(A) == ["other", "late"]


def test_an_answer_that_comes_while_its_caller_is_being_rewound_is_read(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    switch = Switch()
    room.lab.activity(switch.__call__, name="try_it")

    def hasty(context: Context) -> Any:
        call = context.call_entity(A, "put", "late")
        yield context.call_activity("try_it")
        return (yield call)

    room.lab.orchestrator(hasty)
    other = room.hold("a")
    run = room.lab.start(hasty)
    assert run.wait(PATIENCE).runtime_status.value == "Failed"
    switch.broken = False
    hub = room.lab.app._hub
    revive, client_thread = hub._revive, threading.current_thread()

    def meanwhile(record: Any) -> Any:
        state = revive(record)
        if threading.current_thread() is client_thread:
            other.raise_event("go", "other")
            room.until(lambda: room.state(A) == ["other", "late"])
        return state

    monkeypatch.setattr(hub, "_revive", meanwhile)
    run.rewind("mended")
    assert run.result(PATIENCE) == 2


# ---- lists, small batches


def test_entities_are_among_the_instances_only_when_asked_for(room: Room) -> None:
    run = room.hold("a")
    room.client.signal_entity(A, "put", 1)
    room.client.signal_entity(B, "put", 1)
    hub = room.lab.app._hub
    assert [record.id for record in hub.query(InstanceQuery())] == [run.id]
    found = {record.id: record for record in hub.query(InstanceQuery(include_entities=True))}
    assert set(found) == {run.id, str(A), str(B)}
    assert (found[str(A)].name, found[str(A)].status) == ("@box", "Running")
    assert found[str(A)].custom_status == f'{{"entityExists":false,"queueSize":1,"lockedBy":"{run.id}"}}'
    assert [record.id for record in hub.query(InstanceQuery(include_entities=True, id_prefix="@box@b"))] == [str(B)]


def test_batches_smaller_than_the_work_change_nothing(make_lab: Any) -> None:
    def worker(context: Context) -> Any:
        number, results = context.get_input(), []
        for entity in (A, B):
            context.signal_entity(entity, "put", number)
        with (yield context.lock_entities([B, C])):
            results.append((yield context.call_entity(C, "put", number)))
            yield context.call_entity(B, "put", number)
        yield context.call_entity(A, "pass on", "c")
        return len(results)

    outcomes = []
    for rows in (2, 10, 1_000):
        room = Room(make_lab())
        room.lab.orchestrator(worker)
        room.lab.open(batch_rows=rows, sticky_instances=1)
        try:
            runs = room.client.start_many("worker", range(15))
            assert [run.result(PATIENCE) for run in runs] == [1] * 15
            room.until(lambda room=room: len(room.state(C)) == 30 and len(room.state(A)) == 15)
            outcomes.append([sorted(map(str, room.state(entity))) for entity in (A, B, C)])
            assert room.lockers() == [None] * 3
        finally:
            room.lab.close()
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_a_grant_is_recorded_once(room: Room) -> None:
    run = room.hold("ab")
    run.raise_event("go", "x")
    assert run.result(PATIENCE) == "x"
    assert sum(isinstance(row.event, EntityLockGranted) for row in run.history()) == 1
