"""Random programs of orchestrations and entities: what the engine makes of them is what a plain loop makes of the operations."""

from __future__ import annotations

import concurrent.futures
import itertools
import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dfnb

Context = dfnb.DurableOrchestrationContext
ROUNDS = 3_000
KEYS = ("a", "b", "c")
COMPLETED, FAILED, LOCKED, UNLOCKED = 2, 3, 4, 5


# ---- what an entity does, in the engine and in the model


def operate(state: int | None, name: str, amount: int) -> tuple[int | None, Any]:
    """State after it and result; ValueError for what it refuses."""
    balance = state or 0
    if name == "add":
        return balance + amount, balance + amount
    if name in ("take", "pass"):
        if amount > balance:
            raise ValueError(f"{balance} is less than {amount}")
        return balance - amount, balance - amount
    if name == "clear":
        return None, balance
    return state, balance


def account(context: dfnb.DurableEntityContext) -> Any:
    given, name = context.get_input(), context.operation_name
    state = context.get_state()
    context.set_state(-1)  # nobody may ever see it when the operation fails
    state, result = operate(state, name, given["amount"])
    if state is None:
        context.destruct_on_exit()
    context.set_state(state)
    if name == "pass":
        following = KEYS[(KEYS.index(context.entity_key) + 1) % len(KEYS)]
        passed = {"id": f"{given['id']}>", "amount": given["amount"]}
        context.signal_entity(dfnb.EntityId("account", following), "add", passed)
    return result


# ---- what an orchestration does


def interpret(context: Context) -> Any:
    state = context.get_input()
    steps, done = state["steps"], state["done"]
    while steps:
        step, *steps = steps
        if step["kind"] == "again":
            context.continue_as_new({"steps": steps, "done": done})
            return None
        done += yield from perform(context, step)
    return done


def perform(context: Context, step: dict[str, Any]) -> Iterator[Any]:
    """One step; the results of the calls in it, each with the call's id."""
    kind = step["kind"]
    if kind == "sleep":
        yield context.create_timer(timedelta(seconds=step["seconds"]))
    elif kind == "activity":
        yield context.call_activity("rest")
    elif kind == "break":
        raise RuntimeError("as told")
    elif kind == "call":
        return [(yield from call(context, step))]
    elif kind == "signal":
        later = timedelta(seconds=step["seconds"]) if step["seconds"] else None
        context.signal_entity(entity(step), step["name"], given_to(step), later)
    elif kind == "many":
        tasks = [context.call_entity(entity(each), "add", given_to(each)) for each in step["steps"]]
        results = yield context.task_all(tasks)
        return [[each["id"], result] for each, result in zip(step["steps"], results, strict=True)]
    elif kind == "section":
        results = []
        with (yield context.lock_entities([dfnb.EntityId("account", key) for key in step["keys"]])):
            for each in step["steps"]:
                results += yield from perform(context, each)
        return results
    return []


def call(context: Context, step: dict[str, Any]) -> Iterator[Any]:
    try:
        return [step["id"], (yield context.call_entity(entity(step), step["name"], given_to(step)))]
    except dfnb.TaskFailedError as error:
        return [step["id"], error.details.message]


def entity(step: dict[str, Any]) -> dfnb.EntityId:
    return dfnb.EntityId("account", step["key"])


def given_to(step: dict[str, Any]) -> dict[str, Any]:
    return {"id": step["id"], "amount": step["amount"]}


# ---- programs


def step_of(kind: str, **facts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"kind": st.just(kind), **facts})


_key, _amount = st.sampled_from(KEYS), st.integers(0, 9)
_name = st.sampled_from(["add", "add", "take", "pass", "clear", "read"])
_call = step_of("call", key=_key, name=_name, amount=_amount)
_pause = st.one_of(step_of("activity"), step_of("sleep", seconds=st.integers(0, 5)))


@st.composite
def _section(draw: st.DrawFn) -> dict[str, Any]:
    keys = draw(st.lists(_key, min_size=1, max_size=3, unique=True))
    inner = step_of("call", key=st.sampled_from(keys), name=_name, amount=_amount)
    steps = draw(st.lists(st.one_of(inner, inner, _pause, step_of("break")), max_size=4))
    return {"kind": "section", "keys": keys, "steps": steps}


_step = st.one_of(
    _call,
    _section(),
    _section(),
    _pause,
    step_of("signal", key=_key, name=_name, amount=_amount, seconds=st.sampled_from([0, 0, 3, 50])),
    step_of("many", steps=st.lists(_call, max_size=4)),
    step_of("again"),
)
_program = st.lists(_step, max_size=6)


def numbered(steps: list[dict[str, Any]], number: int, count: Iterator[int]) -> list[dict[str, Any]]:
    """The program with an id in each operation: the number of its orchestration, and its own in the order of the program."""
    made = []
    for step in steps:
        step = {**step, "id": f"{number}.{next(count):03}"} if "amount" in step else dict(step)
        if "steps" in step:
            step["steps"] = numbered(step["steps"], number, count)
        made.append(step)
    return made


def flat(steps: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The steps in their order, up to the one that breaks."""
    for step in steps:
        yield step
        if step["kind"] == "break":
            return
        for inner in flat(step.get("steps", [])):
            yield inner
            if inner["kind"] == "break":
                return


def asked(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The operations that the program sends."""
    return [step for step in flat(steps) if "amount" in step]


# ---- the engine's run


class Row(NamedTuple):
    """What happened to an entity, in the order in which it happened."""

    key: str
    kind: int
    mode: str
    name: str
    caller: str | None
    given: dict[str, Any] | None
    data: str | None

    @property
    def id(self) -> str:
        assert self.given is not None
        return str(self.given["id"])


_ROWS = """
SELECT substr(n.id, 10), o.kind, f.mode, f.name, f.caller, f.input, o.data
FROM operation o JOIN entity n ON n.key = o.entity JOIN (
    SELECT entity, number, any_value(mode) AS mode, any_value(name) AS name, any_value(caller) AS caller, any_value(input) AS input
    FROM operation WHERE number > 0 GROUP BY entity, number
) f ON f.entity = o.entity AND f.number = o.number
WHERE o.kind IN (2, 3, 4, 5) ORDER BY o.pos
"""


class Run:
    def __init__(self, lab: Any, programs: list[Any], options: dict[str, int]) -> None:
        self.lab = lab
        self.programs = [numbered(program, number, itertools.count()) for number, program in enumerate(programs)]
        dfnb.entity(account, registry=lab.registry)
        lab.activity(lambda _: None, name="rest")
        lab.orchestrator(interpret)
        lab.open(**options)

    def to_the_end(self, crashes: list[int]) -> None:
        ids = [f"run{number}" for number in range(len(self.programs))]
        inputs = [{"steps": steps, "done": []} for steps in self.programs]
        self.lab.client.start_many("interpret", inputs, instance_ids=ids)
        for count in range(ROUNDS):
            if count in crashes:
                self.lab.reopen(crash=count % 3 > 0)
            ended = [self.lab.client.when_ended(id) for id in ids]
            if not concurrent.futures.wait(ended, timeout=0.02).not_done and self.is_quiet():
                return
            self.lab.clock.advance(2)
        waiting = [self.lab.client.record(id).waits for id in ids]
        raise AssertionError(f"{self.programs} never ended; they wait for {waiting}")

    def is_quiet(self) -> bool:
        """Every operation that was sent has run."""
        sent = sum(len(asked(program)) for program in self.programs)
        ran, passed = self.lab.app.sql(
            "SELECT count(*) FILTER (kind IN ('call', 'signal') AND status IN ('Completed', 'Failed')), "
            "count(*) FILTER (operation = 'pass' AND status = 'Completed') FROM entity_operations"
        ).fetchall()[0]
        assert ran <= sent + passed
        return bool(ran == sent + passed)

    def rows(self) -> list[Row]:
        found = self.lab.app.sql(_ROWS).fetchall()
        return [Row(*facts, json.loads(text) if text else None, data) for *facts, text, data in found]

    # what must be true of it

    def check(self) -> None:
        rows = self.rows()
        operations = [row for row in rows if row.kind in (COMPLETED, FAILED)]
        results = self.check_entities(operations)
        self.check_nothing_lost_or_twice(operations)
        self.check_answers(results)
        self.check_order(operations)
        check_sections(rows)
        statuses = self.lab.client.entities(include_transient=True)
        assert [(status.waiting, status.locked_by) for status in statuses] == [(0, None)] * len(statuses)

    def check_entities(self, operations: list[Row]) -> dict[str, Any]:
        """Each entity's operations, one after the other through the model, give the same results and the same state."""
        states: dict[str, int | None] = {}
        results: dict[str, Any] = {}
        for row in operations:
            assert row.given is not None
            data = json.loads(row.data or "null")
            kind = COMPLETED
            try:
                states[row.key], results[row.id] = operate(states.get(row.key), row.name, row.given["amount"])
            except ValueError as error:
                kind, data, results[row.id] = FAILED, data["message"], str(error)
            assert (row.kind, data) == (kind, results[row.id])
        for key, state in states.items():
            assert self.lab.client.read_entity_state(dfnb.EntityId("account", key)).entity_state == state
        return results

    def check_nothing_lost_or_twice(self, operations: list[Row]) -> None:
        sent = [step["id"] for program in self.programs for step in asked(program)]
        passed = [f"{row.id}>" for row in operations if row.name == "pass" and row.kind == COMPLETED]
        assert sorted(row.id for row in operations) == sorted(sent + passed)

    def check_answers(self, results: dict[str, Any]) -> None:
        """Every orchestration got the answers its calls had; one that was told to break has failed."""
        for number, program in enumerate(self.programs):
            steps = list(flat(program))
            end = self.lab.client.status(f"run{number}")
            if any(step["kind"] == "break" for step in steps):
                assert end.runtime_status.value == "Failed"
                assert "as told" in str(end.failure_details)
            else:
                calls = [id for id, kind in with_kinds(program) if kind in ("call", "many")]
                assert end.output == [[id, results[id]] for id in calls]

    def check_order(self, operations: list[Row]) -> None:
        """What an orchestration waited for ran in the program's order; at one entity also what it sent without waiting."""
        for number, program in enumerate(self.programs):
            kinds = dict(with_kinds(program))
            mine = [row for row in operations if row.caller == f"run{number}"]
            waited_for = [row.id for row in mine if kinds[row.id] == "call"]
            assert waited_for == sorted(waited_for)
            for key in KEYS:
                at_one = [row.id for row in mine if row.key == key and kinds[row.id] != "delayed"]
                assert at_one == sorted(at_one)


def with_kinds(program: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """The ids of the operations sent, each with how: call, many, signal or delayed."""
    many = {inner["id"] for step in flat(program) if step["kind"] == "many" for inner in step["steps"]}
    found = []
    for step in asked(program):
        kind = "many" if step["id"] in many else step["kind"]
        found.append((step["id"], "delayed" if step.get("seconds") else kind))
    return found


def check_sections(rows: list[Row]) -> None:
    """Under a lock only its holder's calls run, and each lock is given back."""
    holders: dict[str, str | None] = defaultdict(lambda: None)
    for row in rows:
        if row.kind == LOCKED:
            assert holders[row.key] is None
            holders[row.key] = row.caller
        elif row.kind == UNLOCKED:
            assert holders[row.key] == row.caller
            holders[row.key] = None
        elif holders[row.key] is not None:
            assert (row.mode, row.caller) == ("call", holders[row.key])
    assert set(holders.values()) <= {None}


@settings(
    max_examples=20, deadline=None, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
@given(
    programs=st.lists(_program, min_size=1, max_size=4),
    sticky=st.sampled_from([1, 2, 4096]),
    rows=st.sampled_from([2, 7, 1000]),
    crashes=st.lists(st.integers(0, 8), max_size=3),
)
def test_the_engine_gives_what_the_model_gives(
    make_lab: Any, programs: list[Any], sticky: int, rows: int, crashes: list[int]
) -> None:
    lab = make_lab()
    try:
        run = Run(lab, programs, {"sticky_instances": sticky, "batch_rows": rows})
        run.to_the_end(crashes)
        run.check()
    finally:
        lab.close()


@pytest.mark.parametrize("crashes", [[], [0, 1, 2, 4]])
def test_a_crowd_with_everything_in_it(make_lab: Any, crashes: list[int]) -> None:
    add, take, hand_on = ({"kind": "call", "key": "a", "name": name, "amount": 3} for name in ("add", "take", "pass"))
    section = {"kind": "section", "keys": ["b", "a"], "steps": [
        take, {"kind": "activity"}, {**add, "key": "b"}, {"kind": "sleep", "seconds": 3}, hand_on,
    ]}
    broken = {"kind": "section", "keys": ["c", "b", "a"], "steps": [{**hand_on, "key": "c"}, {"kind": "break"}]}
    program = [
        add, section, {"kind": "many", "steps": [add, {**add, "key": "b"}, {**add, "key": "c"}]}, {"kind": "again"},
        {**add, "kind": "signal", "seconds": 0}, {**hand_on, "kind": "signal", "seconds": 9}, section,
        broken,
    ]
    lab = make_lab()
    try:
        run = Run(lab, [program, program[:-1], list(reversed(program[:-1]))] * 3, {"sticky_instances": 2, "batch_rows": 5})
        run.to_the_end(crashes)
        run.check()
    finally:
        lab.close()
