"""A notebook's cells in a shell of this process, and `dfnb serve` in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from nbformat.v4 import new_code_cell, new_notebook

import dfnb
from dfnb.definitions import DEFAULT
from dfnb.host import notebook

ROOT = Path(__file__).parent.parent.parent
LONGEST = 60


@pytest.fixture(autouse=True)
def _own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hosting changes the folder, the path, ``__main__`` and the registry of its process: each test gets its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    for name in ("DFNB_HUB", "JPY_SESSION_NAME"):
        monkeypatch.delenv(name, raising=False)
    yield
    dfnb.close()
    if InteractiveShell.initialized():
        type(InteractiveShell.instance()).clear_instance()
    for definition in DEFAULT.all():
        DEFAULT.remove(definition.kind, definition.name)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., notebook.Ran]:
    """Run cells as `dfnb serve` does."""
    return lambda *cells, **options: notebook.run_cells(cells, tmp_path, **options)


@pytest.fixture
def write_notebook(tmp_path: Path) -> Callable[..., Path]:
    """Write a notebook of these code cells into the empty folder."""

    def write(name: str, *cells: str) -> Path:
        nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells]), tmp_path / name)
        return tmp_path / name

    return write


class Served:
    """A running `dfnb serve`: its log is read line by line as it comes."""

    def __init__(self, folder: Path, *words: str, **environment: str) -> None:
        clean = {name: value for name, value in os.environ.items() if name not in ("DFNB_HUB", "JPY_SESSION_NAME")}
        group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if sys.platform == "win32" else {}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dfnb", "serve", *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=clean | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"} | environment, **group,
        )  # fmt: skip
        self.said: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(line)
        self._lines.put(None)

    @property
    def log(self) -> str:
        return "".join(self.said)

    def until(self, pattern: str) -> re.Match[str]:
        """The first line of the log from here on that has it."""
        while (line := self._lines.get(timeout=LONGEST)) is not None:
            self.said.append(line)
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"it ended without saying {pattern!r}:\n{self.log}")

    def ready(self) -> str:
        """The address, once it serves."""
        return self.until(r"serving at (http://\S+)")[1]

    def end(self, signal_number: int | None = None) -> int:
        """Send a signal, if one is given, and wait for the end; the exit code."""
        if signal_number is not None:
            self.process.send_signal(signal_number)
        code = self.process.wait(timeout=LONGEST)
        self._reader.join()
        while (line := self._lines.get(timeout=LONGEST)) is not None:
            self.said.append(line)
        return code

    def output(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.read()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=LONGEST)
        self._reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                assert stream is not None
                stream.close()


Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start `dfnb serve` in an empty folder."""
    started: list[Served] = []

    def start(*words: str, **environment: str) -> Served:
        started.append(Served(tmp_path, *words, **environment))
        return started[-1]

    yield start
    for served in started:
        served.close()


@pytest.fixture
def ask() -> Callable[..., tuple[int, Any]]:
    """Send a request; the answer's status and JSON."""
    return _ask


def _ask(url: str, data: Any = None, *, method: str | None = None) -> tuple[int, Any]:
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=LONGEST) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"null")
