"""A process whose disk fills up: `python disk_full.py HUB SCENARIO`. Its files may not grow beyond a limit, which can be lifted.

A limit on the size of files is refused by the system exactly like a full disk, needs no privileges, and binds root as well.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

import dfnb as df

RUNS: list[int] = []
ROOM = 300_000


@df.activity
def page(number: int) -> str:
    RUNS.append(number)
    return f"{number}" * 10_000


@df.orchestrator
def book(context: Any) -> Any:
    for number in range(context.get_input()):
        yield context.call_activity("page", number)
    return "written"


@df.orchestrator
def waiter(context: Any) -> Any:
    return (yield context.wait_for_external_event("go"))


def fill_up(hub: str, room: int = ROOM) -> None:
    """From now on the files of the hub can grow by `room` bytes at most."""
    largest = max(path.stat().st_size for path in Path(hub).parent.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest + room, resource.RLIM_INFINITY))


def make_room() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def until(true: Any) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


def refused(call: Any) -> dict[str, Any]:
    """How a call is answered, and after how long."""
    begun = time.monotonic()
    try:
        answer: object = call()
    except df.HubUnavailableError as error:
        answer = str(error)
    return {"said": str(answer), "seconds": time.monotonic() - begun}


def fill(app: df.DurableApp, hub: str) -> tuple[df.Instance, df.Instance]:
    """Work until the disk refuses."""
    waiting = app.client.start("waiter", instance_id="waiting")
    fill_up(hub)
    writing = app.client.start("book", 80, instance_id="writing")
    until(lambda: app.state.problem)
    return waiting, writing


def space_comes_back(app: df.DurableApp, hub: str) -> dict[str, Any]:
    waiting, writing = fill(app, hub)
    client = app.client
    answers = {
        "start": refused(lambda: client.start("waiter")),
        "event": refused(lambda: waiting.raise_event("go", 1)),
        "compact": refused(app.compact),
        "status": refused(lambda: waiting.status().runtime_status),
        "list": refused(lambda: len(client.instances())),
        "history": refused(lambda: len(writing.history()) > 1),
    }
    make_room()
    written = writing.result(20)
    until(lambda: not app.state.problem)
    waiting.raise_event("go", 2)
    heard = waiting.result(20)
    app.close()
    return {"answers": answers, "written": written, "heard": heard, "runs": sorted(RUNS) == list(range(80))}


def call_under_way(app: df.DurableApp, hub: str) -> dict[str, Any]:
    """The disk fills up by the very call that waits."""
    app.client.start("waiter", instance_id="before")
    fill_up(hub, 20_000)
    dice = os.urandom(200_000).hex()
    answer = refused(lambda: app.client.start("waiter", dice, instance_id="large"))
    make_room()
    until(lambda: not app.state.problem)
    after = app.client.start("waiter", instance_id="after").status()
    carried_out = app.client.status("large").runtime_status
    app.close()
    return {"answer": answer, "after": str(after.runtime_status), "carried out": str(carried_out)}


def closed_while_full(app: df.DurableApp, hub: str) -> dict[str, Any]:
    fill(app, hub)
    begun = time.monotonic()
    app.close()
    seconds = time.monotonic() - begun
    reopened = refused(lambda: reopen(hub, 0))
    make_room()
    return {"seconds": seconds, "reopened": reopened, "written": reopen(hub, 20)}


def reopen(hub: str, timeout: float) -> str:
    with df.DurableApp(hub) as app:
        if timeout:
            return str(app.client.instance("writing").result(timeout))
        return f"{app.resumed} resumed"


def checkpoint_fails(app: df.DurableApp, hub: str) -> dict[str, Any]:
    """A checkpoint that finds no room has DuckDB hold its database for invalid: the file is taken up again by itself."""
    app.client.start("waiter", instance_id="waiting")
    app.client.start("book", 60, instance_id="writing").result(20)
    largest = Path(hub).stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
    answer = refused(lambda: app._hub.run(lambda connection: connection.execute("CHECKPOINT")).result(20))
    status = str(app.client.status("waiting").runtime_status)
    make_room()
    app.client.raise_event("waiting", "go", "on")
    heard = app.client.instance("waiting").result(20)
    app.close()
    return {"answer": answer, "status": status, "heard": heard}


def main() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    hub, scenario = sys.argv[1:3]
    scenarios = {f.__name__: f for f in (space_comes_back, call_under_way, closed_while_full, checkpoint_fails)}
    print(json.dumps(scenarios[scenario](df.DurableApp(hub), hub)))


if __name__ == "__main__":
    main()
