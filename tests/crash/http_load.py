"""Polled HTTP calls on one hub, run as a process that somebody kills: `python http_load.py HUB LEDGER URL ROUND [--finish]`.

The API they go to is served by the process that kills. The ledger says which instances were asked for and acknowledged.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import dfnb as df
from dfnb.durable_http.retry_after import Pace
from dfnb.engine.http import HttpSettings

KINDS = ("keyed", "plain", "chained", "retried")


@df.orchestrator
def keyed(context: Any) -> Iterator[Any]:
    """A job that is started with an idempotency key."""
    answer = yield context.call_http("POST", f"{context.get_input()}/work", {"a": 1}, idempotency_key=True)
    return answer.json()["answer"]


@df.orchestrator
def plain(context: Any) -> Iterator[Any]:
    answer = yield context.call_http("POST", f"{context.get_input()}/analyze", {"id": context.instance_id})
    return answer.json()["result"]["answer"]


@df.orchestrator
def chained(context: Any) -> Iterator[Any]:
    """Two calls at once, and one after them."""
    base = context.get_input()
    both = yield context.task_all([context.call_http("GET", f"{base}/large"), context.call_http("POST", f"{base}/work")])
    last = yield context.call_http("POST", f"{base}/work", {"size": len(both[0].content_bytes)}, idempotency_key=True)
    return last.json()["answer"] if len(both[0].content_bytes) == 50_000 else "cut"


@df.orchestrator
def retried(context: Any) -> Iterator[Any]:
    """A call whose first request fails now and then."""
    options = df.RetryOptions(20, 10)
    answer = yield context.call_http("POST", f"{context.get_input()}/flaky", idempotency_key=True, retry_options=options)
    return answer.json()["answer"]


def main() -> None:
    hub, ledger, url, round = sys.argv[1:5]
    file = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(**line: Any) -> None:
        os.write(file, (json.dumps(line) + "\n").encode())

    app = df.DurableApp(hub, http=HttpSettings(pace=Pace(every=0.02, floor=0.01)))
    print("running", flush=True)
    if "--finish" in sys.argv:
        for status in app.client.instances(limit=10_000):
            app.client.instance(status.instance_id or "").wait(30)
        app.close()
        print("finished", flush=True)
        return
    for number in range(1_000):
        kind = KINDS[number % len(KINDS)]
        id = f"r{round}-{number}-{kind}"
        write(will=id)
        app.client.start(kind, url, instance_id=id)
        write(did=id)
        time.sleep(0.03)


if __name__ == "__main__":
    main()
