"""Run the workloads and print one JSON line for each.

    python -m tests.benchmarks                      all of them
    python -m tests.benchmarks W1 W3 --repeat 5     some; the figures are medians of 5
    python -m tests.benchmarks > figures.jsonl
    python -m tests.benchmarks --markdown figures.jsonl      the README's table

Every case has a fresh process and a fresh folder (below --folder, which should be on a real disk). Nothing here fails on a slow
machine: a figure is a figure.
"""

from __future__ import annotations

import argparse
import compileall
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT))  # so that `python tests/benchmarks/run.py` works from anywhere

from tests.benchmarks.workloads import CASES, WARM_UP, Figures  # noqa: E402


class Line(NamedTuple):
    """A row of the table: which figure, in which words, and what it should reach."""

    figure: str
    what: str
    unit: str
    target: str


TABLE: dict[str, tuple[Line, ...]] = {
    "W0": (Line("commit_ms", "the floor: one durable DuckDB commit of two rows, without dfnb", "ms", ""),),
    "W1": (
        Line("p50_ms", "one orchestration with one activity, median of 200 runs", "ms", "<= 3.5 ms"),
        Line("p95_ms", "the same, 95th percentile", "ms", ""),
    ),
    "W2": (
        Line("steps_per_s_200", "a chain of 200 activities", "steps/s", ">= 550 steps/s"),
        Line("steps_per_s_5000", "a chain of 5,000 activities", "steps/s", "as at 200"),
    ),
    "W3": (
        Line("ms_1000", "1,000 parallel activities", "ms", "<= 80 ms"),
        Line("ms_10000", "10,000 parallel activities", "ms", "<= 1,000 ms"),
    ),
    "W4": (
        Line("per_s_blocking", "1,000 orchestrations of 5 steps, started one by one, each start on disk", "/s", ">= 400 /s"),
        Line("per_s_start_many", "the same, started by one `start_many`", "/s", ">= 2,500 /s"),
    ),
    "W5": (
        Line("first_result_s", "from process start to the first result", "s", "<= 0.35 s"),
        Line("import_ms", "`import dfnb`", "ms", "< 200 ms"),
        Line("load_ext_ms", "`import dfnb` and `%load_ext dfnb` together in a live kernel", "ms", "< 200 ms"),
        Line("peak_mb", "peak memory of that process", "MB", "<= 100 MB"),
    ),
    "W6": (
        Line("all_done_s", "1,000 waiting instances after `kill -9`: an event to each from 32 threads, all done", "s", "<= 1 s"),
        Line("open_s", "of that, opening the hub", "s", ""),
        Line("one_by_one_s", "the same when each event is on disk before the next is sent", "s", ""),
    ),
    "W7": (
        Line("bytes", "disk for each of 1,000 orchestrations of 5 steps, after a checkpoint", "bytes", "<= 700 bytes"),
        Line("bytes_at_10000", "for each of 10,000", "bytes", ""),
        Line("empty_hub_bytes", "a hub with nothing to tell", "bytes", ""),
    ),
    "W8": (
        Line("s_orchestration", "10,000 signals to one entity by one orchestration, until all have run", "s", "<= 1 s"),
        Line("s_client", "the same by one `signal_entities`", "s", "<= 1 s"),
    ),
    "W9": (
        Line("s_orchestration", "10,000 signals over 1,000 entities by one orchestration", "s", "<= 1 s"),
        Line("s_client", "the same by one `signal_entities`", "s", "<= 1 s"),
    ),
    "W10": (Line("s", "1,000 orchestrations, each two calls under the locks of two of 10 entities", "s", "<= 2 s"),),
    "W11": (
        Line("us_fresh", "an operation, of 10,000 to an entity that has done nothing before", "µs", ""),
        Line("us_used", "the same, of one that has done 100,000", "µs", "the same"),
        Line("us_reopened", "of that one, after the hub was opened again", "µs", "the same"),
    ),
    "W12": (
        Line("bytes", "memory for each of 10,000 HTTP calls that wait, their instances included", "bytes", "<= 4,096 bytes"),
        Line("cpu_ms_in_5_s", "CPU time of that process over 5 s", "ms", "none"),
    ),
    "W13": (
        Line("last_sent_s", "1,000 polls due at one moment: until the last one is sent", "s", "<= 1 s"),
        Line("all_done_s", "until their 1,000 orchestrations have ended", "s", ""),
    ),
    "W14": (
        Line("call_ms", "one orchestration with one HTTP call, median of 200 runs", "ms", ""),
        Line("overhead_ms", "of that, above the bare httpx request and an orchestration that does nothing", "ms", ""),
        Line("more_commits", "commits above those of an orchestration that does nothing", "", "<= 2"),
    ),
    "W15": (
        Line("resume_ms_10", "the end of an orchestration whose call has been polled 10 times, after the hub was opened", "ms", ""),
        Line("resume_ms_100000", "of one polled 100,000 times", "ms", "the same"),
        Line("open_ms_10", "opening the hub with 10 polls", "ms", ""),
        Line("open_ms_100000", "opening the hub with 100,000", "ms", "the same"),
        Line("history_ms_100000", "its history, after 100,000 polls", "ms", ""),
    ),
    "W16": (
        Line("p50_ms", "a start over HTTP, from the request to the `202`, on disk, median of 200", "ms", "<= 4 ms"),
        Line("p95_ms", "the same, 95th percentile", "ms", ""),
    ),
    "W17": (
        Line("per_s", "status queries over 16 connections from another process", "/s", ">= 3,000 /s"),
        Line("alone_ms", "one after the other, median of 500", "ms", ""),
    ),
    "W18": (
        Line("steps_per_s_alone", "a chain of 500 activities while nobody follows", "steps/s", ""),
        Line("steps_per_s_followed", "the same with 500 long polls and 500 event streams open", "steps/s", "the same"),
        Line("told_100_ms", "100 of these instances end one by one: until all their followers have heard", "ms", ""),
    ),
    "W19": (
        Line("page_ms", "a page of 100 out of 100,000 instances over HTTP", "ms", "<= 30 ms"),
        Line("by_status_ms", "the same by status, without inputs", "ms", ""),
    ),
    "W20": (
        Line("first_ms", "from `app.serve()` to the first answer, its imports included", "ms", "<= 300 ms"),
        Line("again_ms", "the same once they are loaded", "ms", ""),
    ),
}

_HANGS_AFTER = 120.0


def run_case(case: str, below: Path) -> Figures:
    """One case in a fresh process on a fresh folder."""
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryDirectory(prefix="dfnb-benchmark-", dir=below, ignore_cleanup_errors=True) as folder:
        command = [sys.executable, str(HERE / "workloads.py"), case, folder]
        environment = {**os.environ, "PYTHONPATH": paths}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode beside it
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=_HANGS_AFTER)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def run_workload(workload: str, repeat: int, below: Path) -> dict[str, Any]:
    """All cases of a workload, each `repeat` times: the medians, with their spread and the facts of the machine."""
    compileall.compile_dir(ROOT / "dfnb", quiet=2)
    samples: dict[str, list[float]] = {}
    for case in (case for case in CASES if case.startswith(f"{workload.lower()}_")):
        for _ in range(repeat):
            for figure, value in run_case(case, below).items():
                samples.setdefault(figure, []).append(value)
    return {
        "workload": workload,
        "figures": {figure: _short(statistics.median(values)) for figure, values in samples.items()},
        "spread": {figure: [_short(min(values)), _short(max(values))] for figure, values in samples.items()},
        "repeat": repeat,
        "warm_up": WARM_UP[workload],
        "durability": "durable",
        **machine(),
    }


def machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "duckdb": importlib.metadata.version("duckdb"),
    }


def _short(value: float) -> float:
    return round(value, 3) if value < 100 else round(value)


def markdown(results: Iterable[dict[str, Any]]) -> str:
    """The table of the README."""
    results = list(results)
    rows = ["| | workload | median | lowest to highest | aim |", "|---|---|---|---|---|"]
    for result in results:
        for line in TABLE[result["workload"]]:
            if line.figure in result["figures"]:
                here = f"{_shown(result['figures'][line.figure])} {line.unit}"
                spread = " to ".join(_shown(value) for value in result["spread"][line.figure])
                rows.append(f"| {result['workload']} | {line.what} | {here} | {spread} | {line.target} |")
    if results:
        facts = results[0]
        rows += ["", f"{facts['cores']} cores, {facts['system']}, Python {facts['python']}, DuckDB {facts['duckdb']}, "
                     f"durability `{facts['durability']}`, medians of {facts['repeat']} fresh processes."]
    return "\n".join(rows)


def _shown(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("workloads", nargs="*", metavar="W0..W20", help="which; all of them by default")
    parser.add_argument("--repeat", type=int, default=3, help="fresh processes for each case; the figures are medians (3)")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the hubs are made; a real disk")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="run nothing; print FILE's JSON lines as the README's table")
    asked = parser.parse_args(arguments)
    if asked.markdown is not None:
        lines = asked.markdown.read_text(encoding="utf-8").splitlines()
        print(markdown(json.loads(line) for line in lines if line.strip()))
        return
    unknown = [name for name in asked.workloads if name.upper() not in TABLE]
    if unknown:
        parser.error(f"no workload {', '.join(unknown)}; there are {', '.join(TABLE)}")
    for workload in [name.upper() for name in asked.workloads] or TABLE:
        print(json.dumps(run_workload(workload, asked.repeat, asked.folder)), flush=True)


if __name__ == "__main__":
    main()
