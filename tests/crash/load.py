"""A mixed load on one hub, run as a process that somebody kills: `python load.py HUB LEDGER ROUND SEED [--finish]`.

The ledger is a text file of JSON lines that dfnb does not know of. It says what was asked for (`will`), acknowledged (`did`),
executed (`ran`) and seen (`saw`). One `write` a line is enough: SIGKILL takes the process, not what the system holds of its files.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import dfnb as df

_ROUND = int(sys.argv[3]) if __name__ == "__main__" else 0


class Ledger:
    """Lines that survive the process, and what earlier processes wrote."""

    def __init__(self, path: str) -> None:
        self.lines = read(path)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, **line: Any) -> None:
        os.write(self._file, (json.dumps({"round": _ROUND, **line}) + "\n").encode())


def read(path: str) -> list[dict[str, Any]]:
    """The whole lines of a ledger: the last may be torn."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file.read().split("\n")[:-1]]


LEDGER: Ledger


# What runs. Every activity gets a `mark` that is unique in its instance, so that an execution can be told from all others.


def _ran(mark: str) -> None:
    info = df.activity_info()
    LEDGER.write(ran=info.instance_id, mark=mark, attempt=info.attempt)


@df.activity
def step(task: dict) -> int:
    _ran(task["mark"])
    return task["value"] + 1


@df.activity
def slow(task: dict) -> int:
    _ran(task["mark"])
    df.activity_info().wait_cancelled(task["seconds"])
    return -1000


@df.activity
def flaky(task: dict) -> int:
    _ran(task["mark"])
    if df.activity_info().attempt < 3:
        raise ConnectionError("not yet")
    return task["value"] + 1


@df.orchestrator
def chain(context: Any) -> Any:
    """`n` after n steps."""
    value = 0
    for number in range(context.get_input()):
        value = yield context.call_activity("step", {"mark": f"{number}", "value": value})
    return value


@df.orchestrator
def fan(context: Any) -> Any:
    """`[1, 2, ... n]`, in order."""
    tasks = [context.call_activity("step", {"mark": f"{number}", "value": number}) for number in range(context.get_input())]
    return (yield context.task_all(tasks))


@df.orchestrator
def timers(context: Any) -> Any:
    """`n` after n timers, each raced by a longer one that is cancelled."""
    from datetime import timedelta

    fired = 0
    for _ in range(context.get_input()):
        soon = context.create_timer(context.current_utc_datetime + timedelta(milliseconds=15))
        late = context.create_timer(context.current_utc_datetime + timedelta(seconds=60))
        winner = yield context.task_any([soon, late])
        late.cancel()
        fired += winner is soon
    return fired


@df.orchestrator
def events(context: Any) -> Any:
    """The data of n events in the order they were raised, with an activity between them."""
    got = []
    for number in range(context.get_input()):
        got.append((yield context.wait_for_external_event("data")))
        yield context.call_activity("step", {"mark": f"{number}", "value": 0})
    return got


@df.orchestrator
def collector(context: Any) -> Any:
    """The same, continued as new after each event: unread ones are carried over."""
    state = context.get_input()
    if isinstance(state, int):
        state = {"wanted": state, "got": []}
    state["got"].append((yield context.wait_for_external_event("data")))
    yield context.call_activity("step", {"mark": f"{len(state['got'])}", "value": 0})
    if len(state["got"]) == state["wanted"]:
        return state["got"]
    context.continue_as_new(state)
    return None


@df.orchestrator
def parent(context: Any) -> Any:
    """`[1, 2, 1, 2 ...]`: children with ids of their own making and given ones, one of which fails."""
    wanted = context.get_input()
    children = [
        context.call_sub_orchestrator("chain", 1 + n % 2, f"{context.instance_id}-child-{n}" if n % 3 == 0 else None)
        for n in range(wanted)
    ]
    results = yield context.task_all(children)
    try:
        yield context.call_sub_orchestrator("failing", None)
    except df.TaskFailedError:
        results.append("failed")
    return results


@df.orchestrator
def failing(context: Any) -> Any:
    yield context.call_activity("step", {"mark": "0", "value": 0})
    raise ValueError("as it should")


@df.orchestrator
def eternal(context: Any) -> Any:
    """`n` after n generations. Each leaves a slow activity behind, whose late result must not be taken for a later one's."""
    state = context.get_input()
    if isinstance(state, int):
        state = {"wanted": state, "at": 0}
    at = state["at"]
    left_behind = {"mark": f"{at}-slow", "seconds": 0.01 * (at % 3)}
    if at % 2:
        context.call_activity("slow", left_behind)
    value = yield context.call_activity("step", {"mark": f"{at}", "value": at})
    if not at % 2:
        yield context.task_any([context.call_activity("slow", left_behind), context.create_timer(context.current_utc_datetime)])
    if value >= state["wanted"]:
        return value
    context.continue_as_new({"wanted": state["wanted"], "at": value})
    return None


@df.orchestrator
def retried(context: Any) -> Any:
    """`n` after n activities that fail twice each."""
    value = 0
    for number in range(context.get_input()):
        options = df.RetryOptions(first_retry_interval_in_milliseconds=10, max_number_of_attempts=4)
        value = yield context.call_activity_with_retry("flaky", options, {"mark": f"{number}", "value": value})
    return value


# Money. Every transfer has an id of its own; an account counts what it has done.

ACCOUNTS, BEGIN = 4, 100


@df.entity
def account(context: Any) -> Any:
    """A balance, and how often it was changed. `send` takes from it and passes on to another."""
    state = context.get_state(lambda: {"balance": BEGIN, "count": 0})
    if context.operation_name == "read":
        return state["balance"]
    order = context.get_input()
    state["balance"] += order["amount"] if context.operation_name == "deposit" else -order["amount"]
    state["count"] += 1
    context.set_state(state)
    if context.operation_name == "send":
        context.signal_entity(df.EntityId("account", order["to"]), "deposit", {"id": order["id"], "amount": order["amount"]})
    return state["balance"]


def order(context: Any, number: int) -> tuple[df.EntityId, df.EntityId, dict]:
    """From whom, to whom, how much: the same whenever it is asked."""
    id = f"{context.instance_id}/{number}"
    dice = random.Random(id)
    giver, taker = dice.sample(range(ACCOUNTS), 2)
    return df.EntityId("account", f"{giver}"), df.EntityId("account", f"{taker}"), {"id": id, "amount": dice.randint(1, 9)}


def locked_transfer(context: Any, number: int) -> Any:
    giver, taker, moved = order(context, number)
    with (yield context.lock_entities([giver, taker])):
        before = [(yield context.call_entity(giver, "read")), (yield context.call_entity(taker, "read"))]
        yield context.call_entity(giver, "withdraw", moved)
        if number % 2:
            yield context.call_activity("step", {"mark": f"{number}", "value": 0})
        yield context.call_entity(taker, "deposit", moved)
        after = [(yield context.call_entity(giver, "read")), (yield context.call_entity(taker, "read"))]
        if after != [before[0] - moved["amount"], before[1] + moved["amount"]]:
            raise RuntimeError(f"somebody was at work under the lock: {before}, then {after}")
        if context.get_input() == "in the section":
            raise ValueError("as it should")


@df.orchestrator
def locked(context: Any) -> Any:
    """`n` after n transfers under locks."""
    for number in range(context.get_input()):
        yield from locked_transfer(context, number)
    return context.get_input()


@df.orchestrator
def unlocked(context: Any) -> Any:
    """`n` after n transfers by calls, by signals and by the accounts themselves."""
    from datetime import timedelta

    for number in range(context.get_input()):
        giver, taker, moved = order(context, number)
        if number % 3 == 0:
            yield context.call_entity(giver, "withdraw", moved)
            yield context.call_entity(taker, "deposit", moved)
        elif number % 3 == 1:
            context.signal_entity(giver, "withdraw", moved)
            context.signal_entity(taker, "deposit", moved, timedelta(milliseconds=20))
        else:
            yield context.call_entity(giver, "send", {**moved, "to": taker.key})
    return context.get_input()


@df.orchestrator
def treasurer(context: Any) -> Any:
    """`n` after n generations, each of which ends within its critical section."""
    state = context.get_input()
    if isinstance(state, int):
        state = {"wanted": state, "at": 0}
    giver, taker, moved = order(context, state["at"])
    with (yield context.lock_entities([giver, taker])):
        yield context.call_entity(giver, "withdraw", moved)
        yield context.call_entity(taker, "deposit", moved)
        if state["at"] + 1 < state["wanted"]:
            context.continue_as_new({"wanted": state["wanted"], "at": state["at"] + 1})
            return None
    return state["wanted"]


@df.orchestrator
def aborted(context: Any) -> Any:
    """`n` after n children that fail within a critical section."""
    for _ in range(context.get_input()):
        try:
            yield context.call_sub_orchestrator("aborting", "in the section")
        except df.TaskFailedError as error:
            if "as it should" not in str(error):
                raise
    return context.get_input()


@df.orchestrator
def aborting(context: Any) -> Any:
    yield from locked_transfer(context, 1)


def expected(kind: str, n: int) -> Any:
    """The output of an instance."""
    if kind == "fan":
        return list(range(1, n + 1))
    if kind in ("events", "collector"):
        return list(range(n))
    if kind == "parent":
        return [1 + number % 2 for number in range(n)] + ["failed"]
    return n


SIZES = {
    "chain": 12, "fan": 30, "timers": 5, "events": 6, "collector": 5, "parent": 5, "eternal": 6, "retried": 4, "locked": 4,
    "unlocked": 8, "treasurer": 4, "aborted": 2,
}
TAKES_EVENTS = ("events", "collector")


class Load:
    """What one process does to the hub."""

    def __init__(self, app: df.DurableApp, seed: int) -> None:
        self.app = app
        self.client = app.client
        self.random = random.Random(seed)
        self.wanted = {line["will"]: line for line in LEDGER.lines if "will" in line}
        self.lock = threading.Lock()
        seen = {line["saw"] for line in LEDGER.lines if "saw" in line}
        gone = {line["purging"] for line in LEDGER.lines if "purging" in line}
        self.unseen = [id for id in self.wanted if id not in seen | gone]

    def watch(self, id: str) -> Future[Any] | None:
        """Write down the instance's result once a client can see it."""
        try:
            future = self.client.when_ended(id)
        except df.InstanceNotFoundError:
            return None  # asked for by a process that died before it was told so
        future.add_done_callback(functools.partial(self._saw, id))
        return future

    def _saw(self, id: str, future: Future[Any]) -> None:
        if future.exception() is None:
            end = future.result().end
            LEDGER.write(saw=id, status=end.status, result=end.result)

    def start_some(self) -> None:
        """One start, or several with one acknowledgement."""
        kind = self.random.choice(list(SIZES))
        count = self.random.choice((1, 1, 1, 3))
        batch = [(f"r{_ROUND}-{len(self.wanted) + n}-{kind}", self.random.randint(1, SIZES[kind])) for n in range(count)]
        for id, n in batch:
            LEDGER.write(will=id, kind=kind, n=n)
        self.client.start_many(kind, [n for _, n in batch], instance_ids=[id for id, _ in batch])
        for id, n in batch:
            LEDGER.write(did=id)
            with self.lock:
                self.wanted[id] = {"will": id, "kind": kind, "n": n}
            self.watch(id)

    def raise_some(self) -> bool:
        """The next event for each instance that wants some. False: nobody wants any."""
        with self.lock:
            wanting = [line for line in self.wanted.values() if line["kind"] in TAKES_EVENTS and line.get("sent", 0) < line["n"]]
        for line in wanting:
            id, number = line["will"], line.get("sent", 0)
            if "sent" not in line:
                number = self._raised_before(id)
            if number is not None and number < line["n"]:
                LEDGER.write(raising=id, number=number)
                self.client.raise_event(id, "data", number)
                LEDGER.write(raised=id, number=number)
                number += 1
            line["sent"] = line["n"] if number is None else number
        return bool(wanting)

    def _raised_before(self, id: str) -> int | None:
        """How many events the instance has on record: an event that was not acknowledged may be there all the same."""
        try:
            rows = self.client.history(id)
        except df.InstanceNotFoundError:
            return None
        return len({row.event.input for row in rows if row.event.event_type == "EventRaised"})

    def look_around(self) -> None:
        """What else people do meanwhile: lists, SQL, purges, checkpoints, compactions."""
        act = self.random.choice((self._list, self._sql, self._purge, self._checkpoint, self._compact))
        act()

    def _list(self) -> None:
        self.client.instances(limit=20)

    def _sql(self) -> None:
        self.app.sql("SELECT count(*) FROM history").fetchall()

    def _purge(self) -> None:
        page = self.client.instances(runtime_status="Completed", instance_id_prefix="r", limit=5)
        for status in page:
            id = status.instance_id or ""
            if id.endswith("-chain") and self.random.random() < 0.5:
                LEDGER.write(purging=id)
                self.client.purge(id)
                LEDGER.write(purged=id)

    def _checkpoint(self) -> None:
        with contextlib.suppress(df.HubUnavailableError):  # DuckDB does not wait for others who are reading
            self.app._hub.run(lambda connection: connection.execute("CHECKPOINT")).result()

    def _compact(self) -> None:
        if self.random.random() < 0.2:
            self.app.compact()


def repeat(load: Load, what: Callable[[], Any], pause: float) -> None:
    dice = random.Random(pause)
    while True:
        try:
            what()
        except df.InstanceNotFoundError:
            continue  # purged by another thread in between
        threading.Event().wait(dice.expovariate(1 / pause))


def run(load: Load) -> None:
    """Until somebody kills the process. What goes wrong in a thread ends it with a code of its own."""

    def guarded(what: Callable[[], Any], pause: float) -> None:
        try:
            repeat(load, what, pause)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(3)

    for what, pause in ((load.start_some, 0.012), (load.raise_some, 0.01), (load.look_around, 0.06)):
        threading.Thread(target=guarded, args=(what, pause), daemon=True).start()
    for id in load.unseen:
        load.watch(id)
    print("running", flush=True)
    threading.Event().wait()


def finish(load: Load) -> None:
    """Bring everything to its end."""
    ends = [end for id in load.unseen if (end := load.watch(id)) is not None]
    while load.raise_some():
        pass
    for end in ends:
        end.result(60)
    while any(status.waiting for status in load.client.entities(include_transient=True)):
        threading.Event().wait(0.01)
    load.app.close()
    print("finished", flush=True)


def main() -> None:
    global LEDGER
    hub, ledger, _, seed = sys.argv[1:5]
    LEDGER = Ledger(ledger)
    app = df.DurableApp(hub)
    LEDGER.write(opened=app.resumed)
    load = Load(app, int(seed))
    if "--finish" in sys.argv:
        finish(load)
    else:
        run(load)


if __name__ == "__main__":
    main()
