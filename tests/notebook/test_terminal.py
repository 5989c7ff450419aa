"""The text view, in a real IPython in a pseudo-terminal, and line by line."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest

import dfnb
from dfnb.notebook import terminal
from dfnb.notebook.snapshot import InstanceTracker

from .conftest import ROOT

DEFINE = """import dfnb
%load_ext dfnb
@dfnb.orchestrator
def ask(context):
    return (yield context.wait_for_external_event("answer"))

run = dfnb.start("ask", instance_id="q1")
"""


class Terminal:
    """IPython in a pseudo-terminal of 80 columns and 24 lines."""

    def __init__(self, folder: Path, **environment: str) -> None:
        (folder / "define.ipy").write_text(DEFINE)
        self._master, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        known = {"PYTHONPATH": paths, "IPYTHONDIR": str(folder / "ipython"), "TERM": "xterm", "PYTHONUTF8": "1"}
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "--no-confirm-exit", "--colors=nocolor",
                "--HistoryManager.enabled=False", "-i", "define.ipy",
            ],
            stdin=slave, stdout=slave, stderr=slave, cwd=folder, start_new_session=True,
            env={**{k: v for k, v in os.environ.items() if not k.startswith("DFNB_")}, **known, **environment},
            preexec_fn=lambda: ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)
        self.seen = ""

    def type(self, line: str) -> None:
        self.seen = ""
        os.write(self._master, f"{line}\n".encode())

    def interrupt(self) -> None:
        os.write(self._master, b"\x03")

    def until(self, wanted: str, seconds: float = 30) -> str:
        """What has come since the last line was typed, up to what is wanted."""
        end = time.monotonic() + seconds
        while not re.search(wanted, self.seen):
            assert select.select([self._master], [], [], max(0.0, end - time.monotonic()))[0], (
                f"no {wanted!r} in {self.seen[-2_000:]!r}"
            )
            self.seen += os.read(self._master, 65_536).decode("utf-8", "replace")
        return self.seen

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._master)


@pytest.fixture
def ipython(tmp_path: Path) -> Iterator[Terminal]:
    opened = Terminal(tmp_path)
    opened.until(r"In \[1\]: ")
    yield opened
    opened.close()


@pytest.mark.slow
def test_a_running_instance_is_followed_in_its_place_until_ctrl_c_or_its_end(ipython: Terminal) -> None:
    ipython.type("run")
    first = ipython.until(r"waiting for event answer since .*\n.*answer.*\n\x1b\[3F\x1b\[J")  # drawn, and drawn again
    assert "Running" in first
    ipython.interrupt()
    ended = ipython.until(r"In \[2\]: ")
    assert "the view has ended; q1 goes on in the background" in ended
    assert ended.rstrip().endswith("In [2]:")
    assert "Traceback" not in ended
    assert "\x1b[?25h" in ended

    ipython.type("import threading; threading.Timer(0.5, run.raise_event, ('answer', 'yes')).start()")
    ipython.until(r"In \[3\]: ")
    ipython.type("%dfnb show q1")
    last = ipython.until(r"In \[4\]: ").rpartition("\x1b[J")[2]
    assert "Completed" in last
    assert "output: yes" in last
    ipython.type("run")
    assert "<Instance ask 'q1': Completed>" in ipython.until(r"In \[5\]: ")


@pytest.mark.slow
def test_in_test_mode_a_terminal_shows_it_once(tmp_path: Path) -> None:
    opened = Terminal(tmp_path, DFNB_TEST_MODE="1")
    try:
        opened.until(r"In \[1\]: ")
        opened.type("%dfnb show q1")
        shown = opened.until(r"In \[2\]: ")
        assert "waiting for event answer since 12:00:00" in shown
        assert "\x1b[J" not in shown
    finally:
        opened.close()


def test_ctrl_c_is_noted_wherever_it_comes_and_ends_the_waiting() -> None:
    before = signal.getsignal(signal.SIGINT)
    with terminal.CtrlC() as ctrl_c:
        signal.raise_signal(signal.SIGINT)  # as in the midst of a query: no exception
        assert ctrl_c.was_pressed
        ctrl_c.wait(threading.Event(), 3600)
        ctrl_c.was_pressed = False
        threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGINT]).start()
        ctrl_c.wait(threading.Event(), 3600)
        assert ctrl_c.was_pressed
    assert signal.getsignal(signal.SIGINT) is before


# ---- the lines


@pytest.fixture
def client() -> Iterator[Any]:
    registry = dfnb.Registry()

    @dfnb.activity(registry=registry)
    def work(name: str) -> str:
        return name

    @dfnb.orchestrator(registry=registry)
    def many(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        for number in range(20):
            yield context.call_activity("work", str(number))
        context.set_custom_status("漢\x1b[31m" * 50)
        yield context.wait_for_external_event("go\x1b[2J")

    with dfnb.DurableApp(durability="memory", registry=registry) as app:
        yield app.client


def cells(text: str) -> int:
    return terminal._cells(text)


@pytest.mark.parametrize("width", [40, 79, 200])
def test_no_line_is_wider_than_the_terminal_and_none_carries_control_signs(client: Any, width: int) -> None:
    run = client.start("many", instance_id="m" * 200)
    tracker = InstanceTracker(client, run.id)
    until_waiting(client, run.id)
    tracker.look()
    shown = terminal.lines(tracker, width)
    assert max(map(cells, shown)) <= width
    assert not any("\x1b" in line for line in shown)
    assert any("9 more before" in line for line in shown)
    assert sum("work" in line for line in shown) == 11
    assert any("go" in line and "░" in line for line in shown)


def until_waiting(client: Any, id: str) -> None:
    news = threading.Event()
    stop = client.watch(lambda ids: news.set())
    while "event" not in client.status(id).waiting_for:
        assert news.wait(20)
        news.clear()
    stop()


def test_a_terminal_of_few_signs_gets_plain_ones(client: Any) -> None:
    run = client.start("many", instance_id="m1")
    until_waiting(client, run.id)
    tracker = InstanceTracker(client, run.id)
    tracker.look()
    plain = terminal.lines(tracker, 80, terminal._signs(io.TextIOWrapper(io.BytesIO(), encoding="ascii")))
    assert any("#" in line for line in plain)
    assert not any("█" in line or "░" in line for line in plain)


def test_outside_a_terminal_nothing_is_followed(run: Any) -> None:
    assert not terminal.is_here()
    assert not terminal.can_follow()
