"""The workloads about HTTP calls: polls that wait, polls that come due together, one call alone, and a call with a long past.

All requests go to an `httpx.MockTransport`, so that only dfnb and httpx are measured.
"""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import dfnb

Figures = dict[str, float]

URL = "https://api.example"
WAITING = 10_000
AT_ONCE = 1_000


class Service:
    """Answers every first request with 202 and a poll at a chosen time, and every poll with the result."""

    def __init__(self) -> None:
        self.due: float | None = None
        """When polls are wanted; None: in an hour."""
        self.done = True
        self.first = 0
        self.polls: list[float] = []
        self._changed = threading.Condition()

    def transport(self) -> Any:
        import httpx

        return httpx.MockTransport(self._answer)

    def _answer(self, request: Any) -> Any:
        import httpx

        with self._changed:
            first = request.url.path == "/start"
            self.first += first
            if not first:
                self.polls.append(time.time())
            self._changed.notify_all()
        if first or not self.done:
            wait = 3600.0 if self.due is None else max(self.due - time.time(), 0.0)
            return httpx.Response(202, headers={"Location": "/status", "Retry-After": f"{wait:.3f}"})
        return httpx.Response(200, json={"answer": 42})

    def wait_for(self, first: int = 0, polls: int = 0) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.first >= first and len(self.polls) >= polls, 100)


@contextmanager
def opened(folder: Path, service: Service, **options: Any) -> Iterator[dfnb.DurableApp]:
    import dfnb
    from dfnb.durable_http.retry_after import Pace
    from dfnb.engine.http import HttpSettings

    registry = dfnb.Registry()

    @dfnb.orchestrator(registry=registry)
    def call(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        return (yield context.call_http("POST", f"{URL}/start", {"a": 1})).status_code

    @dfnb.orchestrator(registry=registry)
    def get(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        return (yield context.call_http("GET", f"{URL}/x")).status_code

    @dfnb.orchestrator(registry=registry)
    def nothing(context: dfnb.DurableOrchestrationContext) -> int:
        return 200

    http = HttpSettings(client=service.transport, pace=Pace(floor=0.05))
    with dfnb.DurableApp(folder / "hub.duckdb", registry=registry, http=http, **options) as app:
        yield app


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _resident() -> int:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this system does not tell")


def _until_waiting(app: dfnb.DurableApp, count: int) -> None:
    while len(app._hub._calls) < count:
        time.sleep(0.02)


def w12_waiting(folder: Path) -> Figures:
    """What calls cost that wait an hour for their next poll: memory, with all an instance needs, and CPU over five seconds."""
    service = Service()
    with opened(folder, service) as app:
        app.client.start_many("call", [None] * 500)
        _until_waiting(app, 500)
        gc.collect()
        before = _resident()
        app.client.start_many("call", [None] * WAITING)
        _until_waiting(app, 500 + WAITING)
        app._hub.flush()
        gc.collect()
        each = (_resident() - before) / WAITING
        time.sleep(1)
        began = time.process_time()
        time.sleep(5)
        cpu = time.process_time() - began
        app.abandon()
    return {"bytes": each, "cpu_ms_in_5_s": cpu * 1000}


def w13_at_once(folder: Path) -> Figures:
    """Many polls that come due at one moment: how long after it the last one is sent, and all are done."""
    service = Service()
    with opened(folder, service) as app:
        app.client.start("get").result()
        service.polls.clear()
        service.due = time.time() + 4
        runs = app.client.start_many("call", [None] * AT_ONCE)
        ends = [app.client.when_ended(run.id) for run in runs]
        service.wait_for(polls=AT_ONCE)
        sent = max(service.polls) - service.due
        for end in ends:
            end.result(100)
        return {"last_sent_s": sent, "all_done_s": time.time() - service.due}


def w14_one_call(folder: Path) -> Figures:
    """One call alone beside the same request without dfnb, and an orchestration that does nothing."""
    import asyncio

    import httpx

    service = Service()
    bare = asyncio.run(_bare(httpx.AsyncClient(transport=service.transport())))
    with opened(folder, service) as app:
        commits = _counted(app)
        figures = {}
        for name in ("nothing", "get"):
            app.client.start(name).result()
            before = len(commits)
            took = []
            for _ in range(200):
                took.append(seconds(lambda name=name: app.client.start(name).result()))
            time.sleep(0.3)
            figures[name] = (statistics.median(took) * 1000, (len(commits) - before) / 200)
    return {
        "bare_ms": bare, "nothing_ms": figures["nothing"][0], "call_ms": figures["get"][0],
        "overhead_ms": figures["get"][0] - figures["nothing"][0] - bare,
        "commits": figures["get"][1], "more_commits": figures["get"][1] - figures["nothing"][1],
    }


async def _bare(client: Any) -> float:
    took = []
    for _ in range(200):
        began = time.perf_counter()
        await client.get(f"{URL}/x")
        took.append(time.perf_counter() - began)
    await client.aclose()
    return statistics.median(took) * 1000


def _counted(app: dfnb.DurableApp) -> list[int]:
    """Grows by one with each commit of a batch."""
    journal, commits = app._hub._journal, []
    write = journal._write

    def counting(rows: Any) -> None:
        commits.append(1)
        write(rows)

    journal._write = counting
    return commits


def w15_long_past(folder: Path) -> Figures:
    """An instance whose call has been polled many times: opening the hub, taking its next poll to the end, reading its history."""
    figures: Figures = {}
    for polls in (10, 100_000):
        place = folder / str(polls)
        place.mkdir()
        id = _with_past(place, polls)
        service = Service()
        began = time.perf_counter()
        with opened(place, service) as app:
            figures[f"open_ms_{polls}"] = (time.perf_counter() - began) * 1000
            run = app.client.instance(id)
            figures[f"resume_ms_{polls}"] = seconds(lambda run=run: run.result(60)) * 1000
            figures[f"history_ms_{polls}"] = min(seconds(run.history) for _ in range(5)) * 1000
            figures[f"status_ms_{polls}"] = min(seconds(run.status) for _ in range(5)) * 1000
            figures[f"rows_{polls}"] = float(app.sql("SELECT count(*) FROM http_exchange").fetchall()[0][0])
    return figures


def _with_past(folder: Path, polls: int) -> str:
    """A hub with one waiting call whose poll is due, and so many polls behind it."""
    import duckdb

    service = Service()
    service.due = time.time() + 0.3
    with opened(folder, service) as app:
        run = app.client.start("call")
        _until_waiting(app, 1)
        app.abandon()
    with duckdb.connect(str(folder / "hub.duckdb")) as connection:
        connection.execute(
            "INSERT INTO http_exchange SELECT x.* REPLACE (x.pos + n AS pos, x.attempt + n AS attempt, 'poll' AS purpose) "
            "FROM http_exchange x, range(1, ?) t(n) ORDER BY pos", [polls],
        )  # fmt: skip
    return run.id


CASES: dict[str, Callable[[Path], Figures]] = {
    "w12_waiting": w12_waiting,
    "w13_at_once": w13_at_once,
    "w14_one_call": w14_one_call,
    "w15_long_past": w15_long_past,
}
WARM_UP = {
    "W12": "500 calls",
    "W13": "one call",
    "W14": "one orchestration",
    "W15": "none",
}
