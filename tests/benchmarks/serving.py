"""The workloads about the server: starts, status queries, followers, lists, how soon it is there. Callers are another process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import dfnb

Figures = dict[str, float]

BASE = "/runtime/webhooks/durabletask"
ROOT = Path(__file__).resolve().parent.parent.parent
FOLLOWERS = 1_000
STEPS = 500


@contextmanager
def served(folder: Path) -> Iterator[tuple[dfnb.DurableApp, Any]]:
    """An app with the definitions of the workloads, and its server on a free port."""
    import dfnb

    registry = dfnb.Registry()

    @dfnb.activity(registry=registry)
    def add_one(x: int) -> int:
        return x + 1

    @dfnb.orchestrator(registry=registry)
    def nothing(context: dfnb.DurableOrchestrationContext) -> int:
        return 1

    @dfnb.orchestrator(registry=registry)
    def wait(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        return (yield context.wait_for_external_event("go"))

    @dfnb.orchestrator(registry=registry)
    def chain(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        value = 0
        for _ in range(context.get_input()):
            value = yield context.call_activity("add_one", value)
        return value

    with dfnb.DurableApp(folder / "hub.duckdb", registry=registry) as app:
        yield app, app.serve(port=0)


def load(server: Any, do: str, requests: list[dict[str, Any]], **more: Any) -> list[str]:
    """The command line of the calling process."""
    address = urlsplit(server.url)
    headers = {"x-functions-key": server.key}
    asked = [{**one, "headers": {**headers, **one.get("headers", {})}} for one in requests]
    facts = {"do": do, "host": address.hostname, "port": address.port, "requests": asked, **more}
    return [sys.executable, "-m", "tests.benchmarks.load", json.dumps(facts)]


def called(*command: Any, **more: Any) -> Figures:
    done = subprocess.run(load(*command, **more), cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=100)
    figures: Figures = json.loads(done.stdout)
    return figures


def w16_start(folder: Path) -> Figures:
    """A start over HTTP, from the request to the 202, each on disk."""
    with served(folder) as (_, server):
        body = {"method": "POST", "path": f"{BASE}/orchestrators/wait", "body": '{"a": 1}'}
        return called(server, "one_by_one", [body], count=200)


def w17_status(folder: Path) -> Figures:
    """Status queries of one waiting instance over 16 connections, and of one after the other."""
    with served(folder) as (app, server):
        run = app.client.start("wait", {"a": 1})
        query = {"method": "GET", "path": f"{BASE}/instances/{run.id}"}
        alone = called(server, "one_by_one", [query], count=500)
        return {**called(server, "at_once", [query], connections=16, seconds=3.0), "alone_ms": alone["p50_ms"]}


def w18_followers(folder: Path) -> Figures:
    """A chain of activities with and without a thousand followers, half long polls and half event streams, of other instances."""
    with served(folder) as (app, server):
        app.client.start("chain", 20).result(60)
        figures = {"steps_per_s_alone": _steps(app)}
        ids = [run.id for run in app.client.start_many("wait", range(FOLLOWERS))]
        polls = [{"method": "GET", "path": f"{BASE}/instances/{id}", "headers": {"prefer": "wait=200"}} for id in ids[::2]]
        streams = [
            {"method": "GET", "path": f"{BASE}/instances/{id}", "headers": {"accept": "text/event-stream"}} for id in ids[1::2]
        ]
        with subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.load", "-"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as other:
            assert other.stdin is not None
            assert other.stdout is not None
            other.stdin.write(load(server, "hold", [*polls, *streams])[-1] + "\n")
            other.stdin.flush()
            other.stdout.readline()
            _until(lambda: server.app.followers == FOLLOWERS)
            figures["steps_per_s_followed"] = _steps(app)
            began = time.perf_counter()
            for id in ids[:100]:
                app.client.raise_event(id, "go")
            _until(lambda: server.app.followers == FOLLOWERS - 100)
            figures["told_100_ms"] = (time.perf_counter() - began) * 1000
            other.stdin.close()
        return figures


def _steps(app: dfnb.DurableApp) -> float:
    began = time.perf_counter()
    app.client.start("chain", STEPS).result(60)
    return STEPS / (time.perf_counter() - began)


def _until(holds: Callable[[], bool]) -> None:
    limit = time.perf_counter() + 30
    while not holds():
        assert time.perf_counter() < limit, "it took too long"
        time.sleep(0.005)  # the server is another thread that tells nobody how many wait


def w19_list(folder: Path) -> Figures:
    """A page of 100 out of 100,000 instances, the first and the next."""
    from tests.benchmarks.big_hub import fill

    fill(folder / "hub.duckdb", 100_000, 0)
    with served(folder) as (_, server):
        page = {"method": "GET", "path": f"{BASE}/instances?top=100"}
        figures = {"page_ms": called(server, "one_by_one", [page], count=30)["p50_ms"]}
        by_status = {"method": "GET", "path": f"{BASE}/instances?top=100&runtimeStatus=Completed&showInput=false"}
        return {**figures, "by_status_ms": called(server, "one_by_one", [by_status], count=30)["p50_ms"]}


def w20_ready(folder: Path) -> Figures:
    """From `serve()` to the first answer, in a process that has not loaded the server yet, and again."""
    import http.client

    def ready(app: dfnb.DurableApp) -> float:
        began = time.perf_counter()
        server = app.serve(port=0)
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc)
        connection.request("GET", "/openapi.json")
        assert connection.getresponse().read()
        return (time.perf_counter() - began) * 1000

    import dfnb

    with dfnb.DurableApp(folder / "hub.duckdb", registry=dfnb.Registry()) as app:
        app.client.counts()
        first = ready(app)
        app.stop_serving()
        return {"first_ms": first, "again_ms": ready(app)}


CASES: dict[str, Callable[[Path], Figures]] = {
    "w16_start": w16_start,
    "w17_status": w17_status,
    "w18_followers": w18_followers,
    "w19_list": w19_list,
    "w20_ready": w20_ready,
}
WARM_UP = {
    "W16": "20 starts",
    "W17": "20 queries",
    "W18": "a chain of 20",
    "W19": "20 pages",
    "W20": "none",
}
