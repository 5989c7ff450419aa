"""What the hub keeps of entities: in memory, in the file, after a clean-up, a compaction, a migration."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

import dfnb
from dfnb.hub import entity_worker
from dfnb.hub.protocol import SignalRequest
from dfnb.records.entity import Caller, Operation
from dfnb.testing import FakeClock

HERE = Path(__file__).parent
PATIENCE = 20.0
X = dfnb.EntityId("counter", "x")


def counter(context: dfnb.DurableEntityContext) -> Any:
    value = context.get_state(int)
    if context.operation_name == "add":
        value += context.get_input()
        context.set_state(value)
    elif context.operation_name == "delete":
        context.destruct_on_exit()
    elif context.operation_name == "start":
        return context.schedule_new_orchestration("work", context.get_input())
    return value


def work(context: dfnb.DurableOrchestrationContext) -> Any:
    return context.get_input()


def locker(context: dfnb.DurableOrchestrationContext) -> Any:
    with (yield context.lock_entities([X])):
        return (yield context.wait_for_external_event("go"))


class Bench:
    """An app on a clock that stands still; it can be opened again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = FakeClock()
        self.registry = dfnb.Registry()
        dfnb.entity(counter, registry=self.registry)
        for orchestrator in (work, locker):
            dfnb.orchestrator(orchestrator, registry=self.registry)
        self.app: Any = None

    def open(self, **options: Any) -> Any:
        self.app = dfnb.DurableApp(self.path, registry=self.registry, clock=self.clock, **options)
        return self.app.client

    def after(self, seconds: int) -> datetime:
        return datetime.fromtimestamp(self.clock.now() / 1e6 + seconds, UTC)

    def reopen(self, *, crash: bool = False) -> Any:
        if crash:
            self.app.abandon()
        else:
            self.app.close(1)
        return self.open()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "hub.duckdb")
    yield made
    if made.app is not None:
        made.app.close(1)


def until(client: Any, holds: Callable[[], bool]) -> None:
    changed = threading.Event()
    end = client.watch(lambda ids: changed.set())
    try:
        while not holds():
            assert changed.wait(PATIENCE)
            changed.clear()
    finally:
        end()


# ---- memory


@pytest.mark.parametrize("kept", [1, 3])
def test_letting_go_of_entities_at_rest_loses_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    monkeypatch.setattr(entity_worker, "_KEPT", kept)
    client = bench.open()
    ids = [dfnb.EntityId("counter", str(n)) for n in range(12)]
    for count in range(4):
        for n in range(12):
            together = [ids[n], ids[n - 1]] if count % 2 else [ids[n], ids[(n + 5) % 12]]
            client.signal_entities([(each, "add", 1) for each in together])
            bench.app._hub.flush()
    assert len(bench.app._hub._entity_by_id) < 8
    assert [client.read_entity_state(id).entity_state for id in ids] == [8] * 12
    client = bench.reopen()
    assert [client.read_entity_state(id).entity_state for id in ids] == [8] * 12
    assert bench.app.sql("SELECT DISTINCT operations FROM entities").fetchall() == [(8,)]


def test_what_waits_or_is_locked_is_never_let_go(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entity_worker, "_KEPT", 1)
    client = bench.open()
    run = client.start(locker)
    until(client, lambda: client.entity(X).status().locked_by == run.id)
    client.signal_entity(X, "add", 1)
    for n in range(10):
        client.signal_entity(dfnb.EntityId("counter", str(n)), "add", n)
        bench.app._hub.flush()
    assert client.entity(X).status().waiting == 1
    client.raise_event(run.id, "go", "done")
    assert run.result(PATIENCE) == "done"
    until(client, lambda: client.entity(X).state == 1)


# ---- cleaning up


def test_only_entities_without_state_and_work_are_removed(bench: Bench) -> None:
    client = bench.open()
    full, empty, waiting, locked = (dfnb.EntityId("counter", key) for key in ("full", "empty", "waiting", "x"))
    run = client.start(locker)
    client.signal_entity(full, "add", 1)
    client.signal_entity(empty, "get")
    client.signal_entity(waiting, "add", 1, signal_time=bench.after(60))
    until(client, lambda: client.entity(locked).status().locked_by == run.id)
    result = client.clean_entity_storage()
    assert (result.empty_entities_removed, result.orphaned_locks_released) == (1, 0)
    left = [str(status.entity_id) for status in client.entities(include_transient=True)]
    assert sorted(left) == ["@counter@full", "@counter@waiting", "@counter@x"]
    assert bench.app.sql("SELECT count(DISTINCT entity) FROM operation").fetchall() == [(3,)]
    client.signal_entity(empty, "add", 5)
    assert client.entity(empty).state == 5
    client = bench.reopen(crash=True)
    assert client.entity(empty).state == 5
    assert client.entity(locked).status().locked_by == run.id
    bench.clock.advance(60)
    until(client, lambda: client.entity(waiting).state == 1)


def test_an_entity_made_anew_after_a_clean_up_starts_orchestrations_of_their_own(bench: Bench) -> None:
    client = bench.open()
    for number in range(2):
        client.signal_entity(X, "start", number)
        until(client, lambda number=number: len(client.instances(runtime_status="Completed")) == number + 1)
        bench.clock.advance(1)
        assert client.clean_entity_storage().empty_entities_removed == 1
    assert len({status.instance_id for status in client.instances()}) == 2
    assert sorted(status.output for status in client.instances()) == [0, 1]


def test_a_lock_whose_holder_is_gone_is_given_back(bench: Bench) -> None:
    client = bench.open()
    hub = bench.app._hub
    stray = Caller("nobody", 0, 1)
    client.signal_entity(X, "add", 1)
    entity = hub._entity_by_id[str(X)]
    entity.lock, entity.lock_number = stray, entity.admit(Operation("lock", caller=stray, locks=(str(X),)))
    entity.take(entity.lock_number)
    client.signal_entity(X, "add", 1)
    assert client.entity(X).status().waiting == 1
    assert client.clean_entity_storage(remove_empty_entities=False).orphaned_locks_released == 1
    until(client, lambda: client.entity(X).state == 2)
    assert client.entity(X).status().locked_by is None
    assert client.clean_entity_storage().orphaned_locks_released == 0


# ---- the file


def test_compaction_keeps_entities_their_operations_and_what_waits(bench: Bench) -> None:
    client = bench.open()
    run = client.start(locker)
    until(client, lambda: client.entity(X).status().locked_by == run.id)
    client.signal_entity(X, "add", 1)
    for n in range(5):
        client.signal_entity(dfnb.EntityId("counter", str(n)), "add", n)
    views = ("SELECT * FROM entities ORDER BY ALL", "SELECT * FROM entity_operations ORDER BY ALL")
    before = [bench.app.sql(view).fetchall() for view in views]
    bench.app.compact()
    assert [bench.app.sql(view).fetchall() for view in views] == before
    client = bench.reopen(crash=True)
    assert [bench.app.sql(view).fetchall() for view in views] == before
    client.raise_event(run.id, "go")
    client.instance(run.id).wait(PATIENCE)
    until(client, lambda: client.entity(X).state == 1)


def test_a_hub_from_before_entities_is_brought_up_and_its_instance_goes_on(bench: Bench) -> None:
    def waiter(context: dfnb.DurableOrchestrationContext) -> Any:
        got = yield context.wait_for_external_event("go")
        return [got, (yield context.call_entity(X, "add", 3))]

    dfnb.orchestrator(waiter, registry=bench.registry)
    at = bench.clock.now()
    with duckdb.connect(str(bench.path)) as connection:
        connection.execute((HERE / "schema_1.sql").read_text(encoding="utf-8"))
        connection.execute("INSERT INTO hub VALUES ('dfnb', 1, ?, -1)", [at])
        header = '{"id":"old"}\n7'
        connection.execute("INSERT INTO event VALUES (0, 1, 0, 1, 0, NULL, NULL, ?, 'waiter', ?)", [at, header])
    client = bench.open()
    assert client.record("old").status == "Running"
    client.raise_event("old", "go", "now")
    assert client.instance("old").result(PATIENCE) == ["now", 3]
    assert bench.app.sql("SELECT entity_id, state, operations FROM entities").fetchall() == [("@counter@x", "3", 1)]
    kinds = bench.app.sql("SELECT event_type FROM history WHERE instance_id = 'old' ORDER BY position").fetchall()
    assert [kind for (kind,) in kinds][-4:] == [
        "EventRaised", "EntityOperationCalled", "EntityOperationCompleted", "ExecutionCompleted",
    ]
    client = bench.reopen()
    assert client.instance("old").result(PATIENCE) == ["now", 3]
    assert client.entity(X).state == 3


# ---- waiting for the hub


def test_a_clean_up_under_way_when_the_hub_closes_is_refused(bench: Bench) -> None:
    bench.open()
    bench.app._worker.stop()
    answers: list[BaseException] = []

    def clean() -> None:
        try:
            bench.app.client.clean_entity_storage()
        except dfnb.HubClosedError as error:
            answers.append(error)

    thread = threading.Thread(target=clean, daemon=True)
    thread.start()
    while not bench.app._hub._chores:
        threading.Event().wait(0.001)
    bench.app.close(1)
    thread.join(PATIENCE)
    assert [type(answer) for answer in answers] == [dfnb.HubClosedError]


def test_signals_on_the_way_when_the_hub_closes_are_refused(bench: Bench) -> None:
    bench.open()
    bench.app._worker.stop()
    answer = bench.app._hub.signal_entities([SignalRequest(str(X), "add", "1")])
    bench.app.close(1)
    assert isinstance(answer.exception(PATIENCE), dfnb.HubClosedError)
