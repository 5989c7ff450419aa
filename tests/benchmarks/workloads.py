"""The workloads of the table "How fast", one function a case. A case runs in a process of its own and prints its figures.

`python tests/benchmarks/workloads.py CASE FOLDER` runs one case on a hub in FOLDER; `run.py` does that for all of them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import statistics
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for_all
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
from tests.benchmarks import http_calls, serving

if TYPE_CHECKING:
    import dfnb

Figures = dict[str, float]

WARM_UP = {
    "W0": "none",
    "W1": "20 runs",
    "W2": "a chain of 20",
    "W3": "20 activities at once",
    "W4": "20 orchestrations",
    "W5": "none, bytecode compiled",
    "W6": "20 orchestrations before the kill, none after",
    "W7": "20 orchestrations, not counted",
    "W8": "20 signals",
    "W9": "20 signals",
    "W10": "20 orchestrations",
    "W11": "100,000 signals, those that go before",
    **http_calls.WARM_UP,
    **serving.WARM_UP,
}
"""What is run before the clock starts."""


def define(registry: dfnb.Registry) -> None:
    """The definitions all cases share: the trivial activity, a chain, a fan-out, one that waits; a counter and who asks it."""
    import dfnb

    @dfnb.activity(registry=registry)
    def add_one(x: int) -> int:
        return x + 1

    @dfnb.orchestrator(registry=registry)
    def chain(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        value = 0
        for _ in range(context.get_input()):
            value = yield context.call_activity("add_one", value)
        return value

    @dfnb.orchestrator(registry=registry)
    def fan_out(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        values = yield context.task_all([context.call_activity("add_one", n) for n in range(context.get_input())])
        return len(values)

    @dfnb.entity(registry=registry)
    def counter(context: dfnb.DurableEntityContext) -> None:
        value = context.get_state(lambda: 0) + context.get_input()
        context.set_state(value)
        context.set_result(value)

    @dfnb.orchestrator(registry=registry)
    def sends(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        signals, entities = context.get_input()
        for n in range(signals):
            context.signal_entity(dfnb.EntityId("counter", f"{n % entities}"), "add", 1)
        return signals
        yield

    @dfnb.orchestrator(registry=registry)
    def locks(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        first, second = (dfnb.EntityId("counter", f"{key}") for key in context.get_input())
        with (yield context.lock_entities([first, second])):
            yield context.call_entity(first, "add", -1)
            yield context.call_entity(second, "add", 1)

    @dfnb.orchestrator(registry=registry)
    def waits(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        return (yield context.wait_for_external_event("go"))


@contextmanager
def opened(folder: Path) -> Iterator[dfnb.DurableApp]:
    """A durable hub in a file, with the shared definitions."""
    import dfnb

    registry = dfnb.Registry()
    define(registry)
    with dfnb.DurableApp(folder / "hub.duckdb", registry=registry, durability="durable") as app:
        yield app


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


# W1 to W3: one orchestration at a time


def w1_single(folder: Path) -> Figures:
    with opened(folder) as app:
        def run() -> None:
            assert app.client.start("chain", 1).result() == 1

        for _ in range(20):
            run()
        took = sorted(seconds(run) * 1000 for _ in range(200))
    return {"p50_ms": statistics.median(took), "p95_ms": took[189]}


def w2_chain(folder: Path, steps: int) -> Figures:
    with opened(folder) as app:
        app.client.start("chain", 20).result()
        took = seconds(lambda: app.client.start("chain", steps).result())
    return {f"steps_per_s_{steps}": steps / took}


def w3_parallel(folder: Path, width: int) -> Figures:
    with opened(folder) as app:
        app.client.start("fan_out", 20).result()
        took = seconds(lambda: app.client.start("fan_out", width).result())
    return {f"ms_{width}": took * 1000}


# W4 and W7: many orchestrations

MANY = 1_000
STEPS = 5


def w4_blocking(folder: Path) -> Figures:
    """Every start returns when it is on disk; the next one begins then."""
    with opened(folder) as app:
        _start_many_and_wait(app, 20)

        def work() -> None:
            ends = [app.client.when_ended(app.client.start("chain", STEPS).id) for _ in range(MANY)]
            _all_completed(ends)

        return {"per_s_blocking": MANY / seconds(work)}


def w4_start_many(folder: Path) -> Figures:
    with opened(folder) as app:
        _start_many_and_wait(app, 20)
        return {"per_s_start_many": MANY / seconds(lambda: _start_many_and_wait(app, MANY))}


def w7_bytes(folder: Path) -> Figures:
    """File sizes after closing, which folds the write-ahead log in; `empty` is a hub that only knows its definitions."""
    with opened(folder) as app:
        _start_many_and_wait(app, 20)
    empty = _size(folder)
    with opened(folder) as app:
        _start_many_and_wait(app, MANY)
    full = _size(folder)
    with opened(folder) as app:
        for _ in range(9):
            _start_many_and_wait(app, MANY)
    return {
        "bytes": (full - empty) / MANY,
        "bytes_whole_file": full / MANY,
        "bytes_at_10000": (_size(folder) - empty) / (10 * MANY),
        "empty_hub_bytes": empty,
    }


def _start_many_and_wait(app: dfnb.DurableApp, count: int) -> None:
    runs = app.client.start_many("chain", [STEPS] * count)
    _all_completed([app.client.when_ended(run.id) for run in runs])


def _all_completed(ends: list[Future[Any]]) -> None:
    wait_for_all(ends)
    assert all(end.result().end.status == "Completed" for end in ends)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("hub.duckdb*"))


# W5: from nothing

_FIRST_RESULT = """
    import sys, time
    began = time.perf_counter()
    import dfnb
    imported = time.perf_counter() - began

    @dfnb.activity
    def add_one(x: int) -> int:
        return x + 1

    @dfnb.orchestrator
    def once(context: dfnb.DurableOrchestrationContext):
        return (yield context.call_activity("add_one", context.get_input()))

    with dfnb.DurableApp(sys.argv[1]) as app:
        assert app.client.start(once, 1).result() == 2
        print(imported, flush=True)
        sys.path.append(sys.argv[2])
        from workloads import peak_megabytes
        print(peak_megabytes(), flush=True)
"""

_LOAD_EXT = """
    import time
    began = time.perf_counter()
    get_ipython().run_line_magic("load_ext", "dfnb")
    print("TOOK", time.perf_counter() - began)
"""


def w5_first_result(folder: Path) -> Figures:
    """The clock runs from before the interpreter is started until the result is on its way to us."""
    program = folder / "first.py"
    program.write_text(textwrap.dedent(_FIRST_RESULT), encoding="utf-8")
    command = [sys.executable, str(program), str(folder / "hub.duckdb"), str(Path(__file__).parent)]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        imported = float(process.stdout.readline())
        took = time.perf_counter() - began
        peak = float(process.stdout.readline())
    figures = {"first_result_s": took, "import_ms": imported * 1000, "peak_mb": peak}
    return figures | _load_ext(folder) if importlib.util.find_spec("dfnb.notebook") else figures


def _load_ext(folder: Path) -> Figures:
    """`%load_ext dfnb` in a live kernel that has imported nothing of ours before."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(cwd=str(folder), stderr=subprocess.DEVNULL)
    printed: list[str] = []

    def keep(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])

    try:
        reply = client.execute_interactive(textwrap.dedent(_LOAD_EXT), output_hook=keep, timeout=60)["content"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
    took = [line.split()[1] for line in "".join(printed).splitlines() if line.startswith("TOOK")]
    if not took:
        print(f"%load_ext dfnb failed: {reply.get('evalue', printed)}", file=sys.stderr)
        return {}
    return {"load_ext_ms": float(took[0]) * 1000}


def peak_megabytes() -> float:
    """The most memory this process has held."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the parent's pages of before the exec
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 * 1024)  # macOS counts bytes


# W6: after a kill

_SENDERS = 32


def w6_after_kill(folder: Path) -> Figures:
    """The clock runs from the moment the hub is opened again. The events come from many threads, as a server's would."""
    return _revive(folder, _SENDERS)


def w6_one_by_one(folder: Path) -> Figures:
    """The same, but each event is on disk before the next one is sent."""
    return {"one_by_one_s": _revive(folder, 1)["all_done_s"]}


def _revive(folder: Path, senders: int) -> Figures:
    command = [sys.executable, __file__, "w6_waiting", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ids = json.loads(process.stdout.readline())["ids"]
        os.kill(process.pid, signal.SIGKILL)
    import dfnb  # noqa: F401 - imported before the clock starts: W5 measures that

    began = time.perf_counter()
    with opened(folder) as app, ThreadPoolExecutor(senders) as pool:
        open_s = time.perf_counter() - began
        ends = [app.client.when_ended(id) for id in ids]
        list(pool.map(lambda id: app.client.raise_event(id, "go", 1), ids))
        _all_completed(ends)
        return {"all_done_s": time.perf_counter() - began, "open_s": open_s}


def w6_waiting(folder: Path) -> Figures:
    """The process that is killed: its instances wait for an event."""
    with opened(folder) as app:
        _start_many_and_wait(app, 20)
        runs = app.client.start_many("waits", [None] * MANY)
        while any("event go" not in status.waiting_for for status in app.client.instances(name="waits", limit=MANY)):
            time.sleep(0.01)
        print(json.dumps({"ids": [run.id for run in runs]}), flush=True)
        signal.pause()
    return {}


# W8 to W11: entities

SIGNALS = 10_000
_EARLIER = 100_000


def w8_orchestration(folder: Path) -> Figures:
    return {"s_orchestration": _by_orchestration(folder, 1)}


def w8_client(folder: Path) -> Figures:
    return {"s_client": _by_client(folder, 1)}


def w9_orchestration(folder: Path) -> Figures:
    return {"s_orchestration": _by_orchestration(folder, 1_000)}


def w9_client(folder: Path) -> Figures:
    return {"s_client": _by_client(folder, 1_000)}


def _by_orchestration(folder: Path, entities: int) -> float:
    """One orchestration sends them all. The clock stops when all have run and that is on disk."""
    with opened(folder) as app:
        app.client.start("sends", [20, 20]).result()
        before = _counted(app, _counters(entities))

        def work() -> None:
            app.client.start("sends", [SIGNALS, entities]).result()
            _wait_until_counted(app, before, SIGNALS)

        return seconds(work)


def _by_client(folder: Path, entities: int) -> float:
    """The same from a client, which waits for a single acknowledgement."""
    with opened(folder) as app:
        _signal(app, 20, *_counters(20))
        before = _counted(app, _counters(entities))

        def work() -> None:
            _signal(app, SIGNALS, *before)
            _wait_until_counted(app, before, SIGNALS)

        return seconds(work)


def _counters(number: int) -> list[str]:
    return [f"@counter@{n}" for n in range(number)]


def _signal(app: dfnb.DurableApp, count: int, *entities: str) -> None:
    app.client.signal_entities([(entities[n % len(entities)], "add", 1) for n in range(count)])


def _counted(app: dfnb.DurableApp, entities: list[str]) -> dict[str, int]:
    return {entity: app.client.read_entity_state(entity).entity_state or 0 for entity in entities}


def _wait_until_counted(app: dfnb.DurableApp, before: dict[str, int], signals: int) -> None:
    """Until these counters have counted so many more, each its share, and that is on disk."""
    share = signals // len(before)
    for entity, count in before.items():
        while (app.client.read_entity_state(entity).entity_state or 0) < count + share:
            time.sleep(0.001)


def w10_locked_calls(folder: Path) -> Figures:
    """Every pair of ten counters, in both directions: who holds one waits for the other while others wait for both."""
    pairs = [[n % 10, (n + 1 + n // 10 % 9) % 10] for n in range(MANY)]

    def work(count: int) -> None:
        runs = app.client.start_many("locks", pairs[:count])
        _all_completed([app.client.when_ended(run.id) for run in runs])

    with opened(folder) as app:
        work(20)
        took = seconds(lambda: work(MANY))
        assert sum(status.state for status in app.client.entities("counter")) == 0
    return {"s": took}


def w11_earlier(folder: Path) -> Figures:
    """Turn and turn about, so that what else the machine does is the same for both."""
    with opened(folder) as app:
        for _ in range(_EARLIER // SIGNALS):
            _signal(app, SIGNALS, "@counter@used")
        pairs = [(_per_operation(app, f"@counter@{n}"), _per_operation(app, "@counter@used")) for n in range(5)]
    with opened(folder) as app:
        reopened = _per_operation(app, "@counter@used")
    fresh, used = (statistics.median(figures) for figures in zip(*pairs, strict=True))
    return {"us_fresh": fresh, "us_used": used, "us_reopened": reopened}


def _per_operation(app: dfnb.DurableApp, entity: str) -> float:
    """Microseconds, over 10,000 operations."""
    before = _counted(app, [entity])

    def work() -> None:
        _signal(app, SIGNALS, entity)
        _wait_until_counted(app, before, SIGNALS)

    return seconds(work) / SIGNALS * 1e6


def w0_floor(folder: Path) -> Figures:
    """What DuckDB itself takes for one durable commit of two rows, as a step makes it: nothing durable can be faster here."""
    import duckdb

    with duckdb.connect(str(folder / "floor.duckdb"), config={"threads": 1}) as connection:
        connection.execute("CREATE TABLE event (pos BIGINT, instance INTEGER, generation INTEGER, turn INTEGER, kind UTINYINT, "
                           "task INTEGER, took BIGINT, happened_at BIGINT, name VARCHAR, data VARCHAR)")
        connection.execute("CREATE INDEX event_instance ON event (instance)")
        connection.execute("PRAGMA disable_optimizer")
        appender = connection.appender("event")
        took = []
        for step in range(500):
            began = time.perf_counter()
            answer = (2 * step, 1, 0, step, 5, step, 1, step, None, "1")
            call = (2 * step + 1, 1, 0, step, 4, step, None, step, "add_one", "1")
            appender.append_rows([answer, call])
            appender.flush()
            took.append(time.perf_counter() - began)
    return {"commit_ms": statistics.median(took) * 1000}


CASES: dict[str, Callable[[Path], Figures]] = {
    "w0_floor": w0_floor,
    "w1_single": w1_single,
    "w2_chain_200": lambda folder: w2_chain(folder, 200),
    "w2_chain_5000": lambda folder: w2_chain(folder, 5_000),
    "w3_parallel_1000": lambda folder: w3_parallel(folder, 1_000),
    "w3_parallel_10000": lambda folder: w3_parallel(folder, 10_000),
    "w4_blocking": w4_blocking,
    "w4_start_many": w4_start_many,
    "w5_first_result": w5_first_result,
    "w6_after_kill": w6_after_kill,
    "w6_one_by_one": w6_one_by_one,
    "w7_bytes": w7_bytes,
    "w8_orchestration": w8_orchestration,
    "w8_client": w8_client,
    "w9_orchestration": w9_orchestration,
    "w9_client": w9_client,
    "w10_locked_calls": w10_locked_calls,
    "w11_earlier": w11_earlier,
    **http_calls.CASES,
    **serving.CASES,
}


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    figures = w6_waiting(folder) if name == "w6_waiting" else CASES[name](folder)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
