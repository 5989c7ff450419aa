"""A process that polls is killed again and again: what was answered is not asked again, and every call comes to its end."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import duckdb
import pytest

from dfnb.testing import AsyncApi, Reset, ServerError

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
ROUNDS = 15
ANSWER = {"answer": 42}


def the_api() -> AsyncApi:
    api = AsyncApi()
    api.job("/work", polls=4, result=ANSWER, retry_after=0.03)
    api.job("/analyze", "azure-data-plane", polls=4, result=ANSWER, retry_after=0.03)
    api.job("/flaky", polls=2, result=ANSWER, retry_after=0.03)
    api.site("/large", body="x" * 50_000)
    dice = random.Random(7)
    faults = [None if dice.random() < 0.6 else dice.choice((ServerError(500), Reset(accepted=True))) for _ in range(5_000)]
    api.faults("/flaky", *faults, on="start")
    return api


class Child:
    """The load in a process of its own."""

    def __init__(self, folder: Path, url: str, round: int, *flags: str) -> None:
        self.errors = folder / "stderr"
        arguments = [str(folder / "hub.duckdb"), str(folder / "ledger"), url, str(round), *flags]
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", str(HERE / "http_load.py"), *arguments],
                cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip

    def kill_after(self, seconds: float, *, running: bool) -> None:
        assert self.process.stdout is not None
        if running:
            assert self.process.stdout.readline() == "running\n", self.errors.read_text()
        time.sleep(seconds)
        self.process.send_signal(signal.SIGKILL)
        assert self.process.wait() == -signal.SIGKILL, self.errors.read_text()
        self.process.stdout.close()

    def finish(self) -> None:
        try:
            said, _ = self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # it runs with faulthandler: its threads are shown
            said, _ = self.process.communicate()
        assert (said, self.process.returncode) == ("running\nfinished\n", 0), self.errors.read_text()


Asked = tuple[str, str, str | None]
"""What tells one request from others: method, URL, idempotency key."""


def on_record(hub: Path) -> Counter[Asked]:
    """How often the file has an answer, or that none came, to each request. No two exchanges of a call have one number."""
    with duckdb.connect(str(hub)) as connection:
        rows = connection.execute("SELECT instance, task, attempt, method, url, request_headers FROM http_exchange").fetchall()
    assert max(Counter(row[:3] for row in rows).values(), default=1) == 1
    return Counter((method, url, dict(json.loads(headers or "[]")).get("Idempotency-Key")) for *_, method, url, headers in rows)


def sent_again(api: AsyncApi, hub: Path) -> Counter[Asked]:
    """By how much each request was received more often than the file knows."""
    received = Counter((request.method, request.url, request.header("Idempotency-Key")) for request in api.requests)
    told_apart = Counter({asked: times for asked, times in received.items() if "/operations/" in asked[1] or asked[2]})
    known = on_record(hub)
    assert all(times >= known[asked] for asked, times in told_apart.items())
    return told_apart - known


@pytest.mark.crash
@pytest.mark.skipif(sys.platform == "win32", reason="this platform has no SIGKILL")
def test_no_answered_request_is_sent_again_and_every_call_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = random.SystemRandom().randrange(1 << 30)
    dice = random.Random(seed)
    hub = tmp_path / "hub.duckdb"
    before: Counter[Asked] = Counter()
    with the_api() as api, api.serve() as url:
        for round in range(1, ROUNDS + 1):
            child = Child(tmp_path, url, round)
            child.kill_after(dice.uniform(0.05, 0.8), running=round == 1 or dice.random() > 0.2)
            more = sent_again(api, hub)
            assert max((more - before).values(), default=0) <= 1, "more than what was under way at the kill"
            before = more
        Child(tmp_path, url, ROUNDS + 1, "--finish").finish()
        assert sent_again(api, hub) == before, "nothing was under way, and something was sent again"
        check_ends(tmp_path)
        keys = [key for request in api.received("POST", "/work") if (key := request.header("Idempotency-Key"))]
        assert len({job.request.header("Idempotency-Key") for job in api.jobs} - {None}) >= len(set(keys)) > 0
        keyed = [key for job in api.jobs if (key := job.request.header("Idempotency-Key"))]
        assert len(set(keyed)) == len(keyed), "a job was begun twice under one key"
    with capsys.disabled():
        print(
            f"\nhttp crash: seed {seed}, {ROUNDS} kills, {len(api.jobs)} jobs, {len(api.requests)} requests, "
            f"{before.total()} of them under way at a kill and sent again"
        )


def check_ends(folder: Path) -> None:
    """Every acknowledged instance has ended well, with the same answer."""
    lines = [json.loads(line) for line in (folder / "ledger").read_text().split("\n")[:-1]]
    with duckdb.connect(str(folder / "hub.duckdb")) as connection:
        ends = dict(
            connection.execute(
                "SELECT i.id, [i.status, e.data] FROM instance i LEFT JOIN event e ON e.instance = i.key AND e.kind = 1"
            ).fetchall()
        )
    for line in lines:
        if "did" in line:
            assert ends[line["did"]] == ["Completed", "42"], line["did"]
    assert {end[0] for end in ends.values()} == {"Completed"}
