"""Killed at random moments, again and again: what was acknowledged is there, and nothing recorded happens twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

# Kinds of events as the file numbers them.
STARTED, COMPLETED, SCHEDULED, TASK_DONE, TASK_FAILED = 0, 1, 4, 5, 6
CHILD, CHILD_DONE, CHILD_FAILED, TIMER, FIRED, RAISED, TIMER_CANCELED = 7, 8, 9, 10, 11, 15, 40
CALLED, SIGNALED, CALL_DONE, CALL_FAILED, LOCK_ASKED, LOCK_GRANTED, LOCK_GIVEN_BACK = range(43, 50)
QUESTIONS = {SCHEDULED, CHILD, TIMER, CALLED, LOCK_ASKED}
ANSWERS = {TASK_DONE, TASK_FAILED, CHILD_DONE, CHILD_FAILED, FIRED, TIMER_CANCELED, CALL_DONE, CALL_FAILED, LOCK_GRANTED}
OUTPUTS = {COMPLETED, SCHEDULED, CHILD, TIMER, TIMER_CANCELED, CALLED, SIGNALED, LOCK_ASKED, LOCK_GIVEN_BACK}

# What may happen to an entity.
ARRIVED, DONE, FAILED, LOCKED, UNLOCKED, WITHDRAWN, STATE_SET = range(1, 8)
BEGIN = 100


class Row(NamedTuple):
    pos: int
    generation: int
    turn: int
    kind: int
    task: int | None
    name: str | None
    data: str | None


class Instance(NamedTuple):
    key: int
    id: str
    parent: dict[str, Any] | None
    rows: list[Row]

    @property
    def end(self) -> Row | None:
        ends = [row for row in self.rows if row.kind == COMPLETED and row.name != "ContinuedAsNew"]
        return ends[-1] if ends else None


class Change(NamedTuple):
    """What happened to an entity."""

    pos: int
    entity: int
    number: int
    kind: int
    data: str | None
    mode: str | None
    name: str | None
    caller: str | None
    input: str | None
    header: str | None


class Account:
    """An entity, from all that happened to it."""

    def __init__(self, changes: list[Change]) -> None:
        self.asked: dict[int, Change] = {}
        for change in changes:
            if change.mode is not None:
                assert change.number not in self.asked, f"arrived twice: {change}"
                self.asked[change.number] = change
        self.done = [self.asked[change.number] for change in changes if change.kind == DONE]
        self.settled = [change.number for change in changes if change.kind in (DONE, FAILED, LOCKED, WITHDRAWN)]
        self.lockings = [change.number for change in changes if change.kind == LOCKED]
        self.unlockings = [change.number for change in changes if change.kind == UNLOCKED]
        states = [change.data for change in changes if change.kind == STATE_SET]
        self.state = json.loads(states[-1] or "null") if states else None

    @property
    def moves(self) -> list[tuple[str, int]]:
        """The transfers it had a part in, with what each has brought it."""
        orders = [(change.name, json.loads(change.input or "")) for change in self.done if change.name != "read"]
        return [(order["id"], order["amount"] if name == "deposit" else -order["amount"]) for name, order in orders]

    def check(self) -> None:
        """Its state accounts for exactly the operations on record, each of which ran once."""
        assert len(set(self.settled)) == len(self.settled), "an operation ran twice"
        assert self.lockings[: len(self.unlockings)] == self.unlockings, "given back what was not held"
        assert len(self.lockings) - len(self.unlockings) in (0, 1)
        if self.moves:
            assert self.state == {"balance": BEGIN + sum(amount for _, amount in self.moves), "count": len(self.moves)}
            assert len({id for id, _ in self.moves}) == len(self.moves), "a transfer was booked twice"


def accounts_in(hub: Path) -> list[Account]:
    """The entities in the file, read without dfnb."""
    if not hub.exists() or hub.stat().st_size == 0:
        return []
    with duckdb.connect(str(hub), read_only=True) as connection:
        if ("operation",) not in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            return []
        rows = connection.execute(f"SELECT {', '.join(Change._fields)} FROM operation ORDER BY pos").fetchall()
    by_key: dict[int, list[Change]] = defaultdict(list)
    for row in rows:
        by_key[row[1]].append(Change(*row))
    return [Account(changes) for changes in by_key.values()]


def check_accounts(accounts: list[Account], instances: dict[str, Instance]) -> None:
    """What orchestrations asked for is there, and an operation is on record together with its caller's answer, or neither is."""
    for account in accounts:
        account.check()
    changes = [change for account in accounts for change in account.asked.values()]
    sent = Counter(change.caller for change in changes if change.mode in ("call", "signal"))
    answered = Counter(change.caller for account in accounts for change in account.done if change.mode == "call")
    for instance in instances.values():
        kinds = Counter(row.kind for row in instance.rows)
        assert sent[instance.id] == kinds[CALLED] + kinds[SIGNALED], f"an operation of {instance.id} is lost, or there twice"
        assert answered[instance.id] == kinds[CALL_DONE], f"an answer to {instance.id} is lost, or there twice"


def check_money(accounts: list[Account]) -> int:
    """At the end nobody waits, no lock is left, and each transfer has taken and given the same, once. How many there were."""
    booked: dict[str, list[int]] = defaultdict(list)
    for account in accounts:
        assert sorted(account.settled) == sorted(account.asked), "an operation waits for ever"
        assert account.lockings == account.unlockings, "a lock is left"
        for id, amount in account.moves:
            booked[id].append(amount)
    assert all(len(amounts) == 2 and sum(amounts) == 0 for amounts in booked.values()), booked
    assert sum(account.state["balance"] - BEGIN for account in accounts if account.state) == 0
    return len(booked)


def instances_in(hub: Path) -> dict[str, Instance]:
    """What the file says, read without dfnb: every instance by its id."""
    if not hub.exists() or hub.stat().st_size == 0:
        return {}
    with duckdb.connect(str(hub), read_only=True) as connection:
        if connection.execute("SELECT count(*) FROM duckdb_tables()").fetchone() == (0,):
            return {}  # killed before it had made its tables
        columns = "instance, pos, generation, turn, kind, task, name, data"
        found = connection.execute(f"SELECT {columns} FROM event ORDER BY pos").fetchall()
        positions = [row[1] for row in found]
        assert len(set(positions)) == len(positions), "two events have the same position"
    by_key: dict[int, list[Row]] = defaultdict(list)
    for key, *facts in found:
        by_key[key].append(Row(*facts))
    instances: dict[str, Instance] = {}
    for key, rows in by_key.items():
        assert rows[0].kind == STARTED, f"the events of instance {key} do not begin with its start: {rows[0]}"
        header = json.loads((rows[0].data or "").split("\n")[0])
        assert header["id"] not in instances, f"{header['id']} is there twice"
        instances[header["id"]] = Instance(key, header["id"], header.get("parent"), rows)
    return instances


def check_whole(instances: dict[str, Instance]) -> None:
    """No batch is torn: whatever is in the file is there with its causes, and with what it was saved with."""
    for instance in instances.values():
        check_generations(instance)
        check_turns(instance)
        check_family(instance, instances)


def check_generations(instance: Instance) -> None:
    generations = sorted({row.generation for row in instance.rows})
    assert generations == list(range(len(generations))), f"{instance.id}: a generation is missing"
    for number in generations:
        rows = [row for row in instance.rows if row.generation == number]
        kinds = Counter(row.kind for row in rows)
        assert kinds[STARTED] == 1, f"{instance.id}: generation {number} has {kinds}"
        assert kinds[COMPLETED] <= 1, f"{instance.id}: generation {number} has {kinds}"
        assert rows[0].kind == STARTED
        if number < generations[-1]:
            ends = [row.name for row in rows if row.kind == COMPLETED]
            assert ends == ["ContinuedAsNew"], f"{instance.id}: generation {number} ended as {ends}"
        else:
            assert not any(row.kind == COMPLETED and row.name == "ContinuedAsNew" for row in rows), f"{instance.id}: cut in two"


def check_turns(instance: Instance) -> None:
    """Nothing is answered that was not asked, nothing is answered twice, and every turn has what set it going."""
    asked: Counter[tuple[int, int | None]] = Counter()
    answered: Counter[tuple[int, int | None]] = Counter()
    turns: dict[tuple[int, int], set[int]] = defaultdict(set)
    for row in instance.rows:
        task = (row.generation, row.task)
        if row.kind in QUESTIONS:
            asked[task] += 1
        elif row.kind in ANSWERS:
            answered[task] += 1
            assert answered[task] <= asked[task], f"{instance.id}: answered without having been asked: {row}"
        if row.turn > 0:
            turns[row.generation, row.turn].add(row.kind)
    for (generation, turn), kinds in turns.items():
        assert kinds - OUTPUTS, f"{instance.id}: turn {turn} of generation {generation} has outputs but no inputs: {kinds}"
    for generation in {generation for generation, _ in turns}:
        numbers = [turn for of, turn in turns if of == generation]
        assert sorted(numbers) == list(range(1, len(numbers) + 1)), f"{instance.id}: turns {numbers}"


def check_family(instance: Instance, instances: dict[str, Instance]) -> None:
    for row in instance.rows:
        if row.kind == CHILD:
            child = instances.get(row.data or "")
            assert child is not None, f"{instance.id} has started {row.data}, which is not in the file"
            asked = {"instance_id": instance.id, "generation": row.generation, "task": row.task, "key": instance.key}
            assert child.parent == asked
            answer = [r for r in instance.rows if (r.kind, r.task) in ((CHILD_DONE, row.task), (CHILD_FAILED, row.task))]
            assert bool(child.end) == bool(answer), f"{child.id} has {child.end} but {instance.id} has {answer}"
    if instance.parent is not None:
        parent = instances[instance.parent["instance_id"]]
        assert any(row.kind == CHILD and row.data == instance.id for row in parent.rows)


def results_in(instances: dict[str, Instance]) -> dict[tuple[str, str], tuple[int, bool]]:
    """For each activity, by instance and mark: how many of its executions are recorded, and whether one has succeeded."""
    found: dict[tuple[str, str], tuple[int, bool]] = {}
    for instance in instances.values():
        marks: dict[tuple[int, int | None], str] = {}
        for row in instance.rows:
            task = (row.generation, row.task)
            if row.kind == SCHEDULED:
                marks[task] = json.loads(row.data or "")["mark"]
            elif row.kind in (TASK_DONE, TASK_FAILED):
                count, done = found.get((instance.id, marks[task]), (0, False))
                found[instance.id, marks[task]] = (count + 1, done or row.kind == TASK_DONE)
    return found


class Audit:
    """Compares the file with the ledger, after each kill."""

    def __init__(self, hub: Path, ledger: Path) -> None:
        self.hub = hub
        self.ledger = ledger
        self.counts: Counter[str] = Counter()
        self._before: dict[str, list[Row]] = {}
        self._recorded: dict[tuple[str, str], tuple[int, bool]] = {}

    def lines(self) -> list[dict[str, Any]]:
        if not self.ledger.exists():
            return []
        return [json.loads(line) for line in self.ledger.read_text(encoding="utf-8").split("\n")[:-1]]

    def check(self, round: int) -> dict[str, Instance]:
        lines = self.lines()
        purging = {line["purging"] for line in lines if "purging" in line}
        instances = instances_in(self.hub)
        check_whole(instances)
        check_accounts(accounts_in(self.hub), instances)
        self._check_acknowledged(lines, instances, purging)
        self._check_append_only(instances, purging)
        self._check_never_again([line for line in lines if "ran" in line and line["round"] == round])
        self._before = {instance.id: instance.rows for instance in instances.values()}
        self._recorded = results_in(instances)
        return instances

    def _check_acknowledged(self, lines: list[dict[str, Any]], instances: dict[str, Instance], purging: set[str]) -> None:
        counts: Counter[str] = Counter()
        for line in lines:
            if "purged" in line:
                assert line["purged"] not in instances, f"{line['purged']} was purged and is back"
                counts["purges"] += 1
            if "did" in line:
                counts["starts"] += 1
                assert line["did"] in instances or line["did"] in purging, f"the acknowledged start of {line['did']} is lost"
            if "raised" in line:
                counts["events"] += 1
                rows = instances[line["raised"]].rows
                there = any(row.kind == RAISED and row.data == str(line["number"]) for row in rows)
                assert there, f"event {line['number']} of {line['raised']}, acknowledged, is lost"
            if "saw" in line:
                counts["results"] += 1
                self._check_seen(line, instances, purging)
            if "ran" in line:
                counts["executions"] += 1
        self.counts = counts

    def _check_seen(self, line: dict[str, Any], instances: dict[str, Instance], purging: set[str]) -> None:
        if line["saw"] in purging:
            return
        end = instances[line["saw"]].end
        assert end is not None, f"a client saw the end of {line['saw']}, which is lost"
        assert (end.name, end.data) == (line["status"], line["result"]), line["saw"]

    def _check_append_only(self, instances: dict[str, Instance], purging: set[str]) -> None:
        for id, rows in self._before.items():
            if id not in purging:
                assert instances[id].rows[: len(rows)] == rows, f"the history of {id} has changed"

    def _check_never_again(self, ran: list[dict[str, Any]]) -> None:
        """What was in the file when this round opened it must not have run in it."""
        for line in ran:
            count, done = self._recorded.get((line["ran"], line["mark"]), (0, False))
            assert not done, f"ran again although its result was recorded: {line}"
            assert line["attempt"] > count, f"try {line['attempt']} ran again although {count} tries were recorded: {line}"

    def check_outputs(self, instances: dict[str, Instance], expected: Any) -> None:
        lines = self.lines()
        acknowledged = {line["did"] for line in lines if "did" in line}
        purging = {line["purging"] for line in lines if "purging" in line}
        for line in lines:
            if "will" not in line or line["will"] in purging:
                continue
            instance = instances.get(line["will"])
            assert instance is not None or line["will"] not in acknowledged
            if instance is not None:
                assert instance.end is not None, f"{instance.id} has not ended"
                assert (instance.end.name, json.loads(instance.end.data or "")) == ("Completed", expected(line["kind"], line["n"]))
        assert all(instance.end is not None for instance in instances.values())

    def twice(self) -> int:
        """Executions that were repeated because a kill came before their results were recorded."""
        ran = Counter((line["ran"], line["mark"], line["attempt"]) for line in self.lines() if "ran" in line)
        return sum(count - 1 for count in ran.values())


class Child:
    """The load in a process of its own."""

    def __init__(self, hub: Path, ledger: Path, round: int, seed: int, *flags: str) -> None:
        arguments = [str(hub), str(ledger), str(round), str(seed), *flags]
        command = [sys.executable, "-X", "faulthandler", str(HERE / "load.py"), *arguments]
        self.errors = ledger.with_suffix(".stderr")
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=errors, text=True
            )

    def kill_after(self, seconds: float, *, running: bool) -> None:
        assert self.process.stdout is not None
        if running:
            said = self.process.stdout.readline()
            assert said == "running\n", self.errors.read_text()
        time.sleep(seconds)
        self.process.send_signal(signal.SIGKILL)
        assert self.process.wait() == -signal.SIGKILL, self.errors.read_text()
        self.process.stdout.close()

    def finish(self) -> None:
        try:
            said, _ = self.process.communicate(timeout=90)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # it runs with faulthandler: its threads are shown
            said, _ = self.process.communicate()
        assert (said, self.process.returncode) == ("finished\n", 0), self.errors.read_text()


def expected_of_the_load() -> Any:
    import importlib.util

    spec = importlib.util.spec_from_file_location("crash_load", HERE / "load.py")
    assert spec is not None
    assert spec.loader is not None
    load = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(load)
    return load.expected


@pytest.mark.crash
@pytest.mark.skipif(sys.platform == "win32", reason="this platform has no SIGKILL")
def test_nothing_acknowledged_is_lost_and_nothing_recorded_runs_again(
    tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    rounds = int(request.config.getoption("--crash-rounds"))
    seed = random.SystemRandom().randrange(1 << 30)
    dice = random.Random(seed)
    audit = Audit(tmp_path / "hub.duckdb", tmp_path / "ledger.jsonl")
    with capsys.disabled():
        print(f"\ncrash: seed {seed}, {audit.hub}")
    resumed = early = 0
    for round in range(1, rounds + 1):
        child = Child(audit.hub, audit.ledger, round, dice.randrange(1 << 30))
        in_opening = dice.random() < 0.2
        child.kill_after(dice.uniform(0.15, 0.6) if in_opening else dice.uniform(0.02, 0.7), running=not in_opening)
        audit.check(round)
        early += in_opening
    Child(audit.hub, audit.ledger, rounds + 1, 0, "--finish").finish()
    instances = audit.check(rounds + 1)
    audit.check_outputs(instances, expected_of_the_load())
    transfers = check_money(accounts_in(audit.hub))
    resumed = sum(line["opened"] for line in audit.lines() if "opened" in line)
    with capsys.disabled():
        counts = audit.counts
        print(
            f"crash: {rounds} kills ({early} while starting up), {counts['starts']} starts, {counts['events']} events and "
            f"{counts['results']} results acknowledged, {counts['purges']} purges, {len(instances)} instances in the file, "
            f"{transfers} transfers of money, {resumed} resumptions, {counts['executions']} activity executions, "
            f"{audit.twice()} of them repeated; nothing lost"
        )
