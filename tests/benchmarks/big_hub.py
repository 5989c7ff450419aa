"""How a hub with very many instances behaves: `python tests/benchmarks/big_hub.py [FINISHED WAITING]`. One JSON line each.

The file is filled by SQL with the rows that an engine would have written; each figure is taken by a process of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb

import dfnb as df
from dfnb.definitions import DEFAULT
from dfnb.hub.recovery import row_of
from dfnb.records.instance import InstanceRecord, Wait

ROOT = Path(__file__).parent.parent.parent
_FILL = """
BEGIN;
INSERT INTO event
SELECT 4 * n, n + 1, 0, 1, 0, NULL, NULL, {now} + n, 'job', '{{"id":"' || md5(n::VARCHAR) || '","code":"{job}"}}' || chr(10) || n
FROM range({finished}) t(n)
UNION ALL SELECT 4 * n + 1, n + 1, 0, 1, 4, 1, NULL, {now} + n, 'work', n::VARCHAR FROM range({finished}) t(n)
UNION ALL SELECT 4 * n + 2, n + 1, 0, 2, 5, 1, 900, {now} + n + 1, NULL, n::VARCHAR FROM range({finished}) t(n)
UNION ALL SELECT 4 * n + 3, n + 1, 0, 2, 1, NULL, NULL, {now} + n + 1, 'Completed', n::VARCHAR FROM range({finished}) t(n)
ORDER BY 1;
INSERT INTO event
SELECT 4 * {finished} + n, {finished} + n + 1, 0, 1, 0, NULL, NULL, {now} + {finished} + n, 'waiter',
    '{{"id":"' || md5('w' || n) || '","code":"{waiter}"}}' || chr(10) || n
FROM range({waiting}) t(n);
UPDATE hub SET watermark = {watermark};
COMMIT;
"""


@df.orchestrator
def job(context: Any) -> Any:
    return (yield context.call_activity("work", context.get_input()))


@df.orchestrator
def waiter(context: Any) -> Any:
    return (yield context.wait_for_external_event("go"))


@df.activity
def work(n: int) -> int:
    return n


NOW = 1_750_000_000_000_000


def fill(path: Path, finished: int, waiting: int, *, behind: int = 0) -> None:
    """Make a hub with so many instances; as a crash leaves it, with the rows of the last `behind` to be made good."""
    df.DurableApp(path).close()
    code = {name: DEFAULT.require("orchestrator", name).fingerprint for name in ("job", "waiter")}
    watermark = 4 * finished + waiting - 1 - behind
    with duckdb.connect(str(path)) as connection:
        connection.execute(_FILL.format(now=NOW, finished=finished, waiting=waiting, watermark=watermark, **code))
        with connection.appender("instance") as appender:
            appender.append_rows([row_of(record) for record in records(finished, waiting - behind, code)])
        connection.execute("CHECKPOINT")


def records(finished: int, waiting: int, code: dict[str, str]) -> Iterator[InstanceRecord]:
    for n in range(finished):
        id = hashlib.md5(f"{n}".encode()).hexdigest()
        yield InstanceRecord(n + 1, id, "job", "Completed", 0, NOW + n, NOW + n + 1, 4 * n, 4 * n + 3, code=code["job"])
    waits = (Wait("event", "go", since=NOW),)
    for n in range(waiting):
        id = hashlib.md5(f"w{n}".encode()).hexdigest()
        key, at = finished + n + 1, NOW + finished + n
        yield InstanceRecord(key, id, "waiter", "Running", 0, at, at, 4 * finished + n, code=code["waiter"], waits=waits)


def memory() -> int:
    """Resident bytes of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this system does not tell")


def timed(call: Callable[[], Any], times: int = 20) -> float:
    """Milliseconds of a call, the median of several."""
    seen = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        seen.append(time.perf_counter() - begun)
    return round(sorted(seen)[times // 2] * 1e3, 3)


def measure(path: Path, waiting: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        df.DurableApp(Path(folder, "small.duckdb")).close()  # what every app needs is not what an instance needs
    before = memory()
    begun = time.perf_counter()
    app = df.DurableApp(path)
    opening = time.perf_counter() - begun
    figures: dict[str, Any] = {"opening_s": round(opening, 3), "resumed": app.resumed}
    app.client.status("nobody")
    if waiting:
        figures["bytes_per_waiting_instance"] = (memory() - before) // waiting
    client = app.client
    page = client.instances(limit=100)
    numbers = iter(range(1_000_000))
    if waiting:
        one = client.instances(name="waiter", limit=1)[0].instance_id or ""
        figures["status_waiting_ms"] = timed(lambda: client.status(one))
        figures["event_to_result_ms"] = timed(lambda: (client.raise_event(one, "go", 1), client.wait(one, 20)), 1)
    finished = client.instances(name="job", limit=1)
    if finished:
        done = finished[0].instance_id or ""
        figures["status_finished_ms"] = timed(lambda: client.status(done))
    figures["first_page_ms"] = timed(lambda: client.instances(limit=100))
    figures["next_page_ms"] = timed(lambda: client.instances(limit=100, continuation_token=page.continuation_token))
    figures["page_by_status_and_name_ms"] = timed(lambda: client.instances(runtime_status="Running", name="waiter", limit=100))
    figures["counts_ms"] = timed(client.counts)
    figures["start_ms"] = timed(lambda: client.start("job", 1))
    figures["start_with_own_id_ms"] = timed(lambda: client.start("job", 1, instance_id=f"mine-{next(numbers)}"))
    figures["start_to_result_ms"] = timed(lambda: client.start("job", 1).result(20))
    begun = time.perf_counter()
    app.close()
    figures["closing_s"] = round(time.perf_counter() - begun, 3)
    return figures


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(Path(sys.argv[2]), int(sys.argv[3]))))
        return
    finished, waiting = (int(number) for number in sys.argv[1:3]) if len(sys.argv) > 2 else (100_000, 100_000)
    for name, done, open_, behind in (
        ("finished", finished, 0, 0), ("waiting", 0, waiting, 0), ("both", finished, waiting, 0),
        ("both, after a crash under load", finished, waiting, min(waiting, 20_000)),
    ):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "big.duckdb")
            fill(path, done, open_, behind=behind)
            size = path.stat().st_size
            answer = subprocess.run(
                [sys.executable, __file__, "--measure", str(path), str(open_)],
                env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True, check=True,
            )
            facts = {"workload": f"big hub: {name}", "finished": done, "waiting": open_, "file_mb": round(size / 1e6, 1)}
            print(json.dumps(facts | json.loads(answer.stdout)), flush=True)


if __name__ == "__main__":
    main()
