"""A real IPython in an empty folder, and a real kernel to talk to."""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from IPython.core.interactiveshell import InteractiveShell
from jupyter_client.manager import KernelManager
from traitlets.config import Config

import dfnb
from dfnb.definitions import DEFAULT

ROOT = Path(__file__).parent.parent.parent


class Cell(NamedTuple):
    """What a cell printed, whether it failed with what, and its value."""

    text: str
    error: BaseException | None
    value: Any


Run = Callable[[str], Cell]


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.chdir(tmp_path)
    for name in ("DFNB_HUB", "DFNB_LIVE", "JPY_SESSION_NAME"):
        monkeypatch.delenv(name, raising=False)
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=config)
    yield shell
    shell.extension_manager.unload_extension("dfnb")
    dfnb.close()
    InteractiveShell.clear_instance()
    for definition in DEFAULT.all():
        DEFAULT.remove(definition.kind, definition.name)


@pytest.fixture
def bare(shell: InteractiveShell) -> Run:
    """Run cells in a shell that does not know dfnb yet."""

    def run(source: str) -> Cell:
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            result = shell.run_cell(source, store_history=True)
        return Cell(out.getvalue(), result.error_before_exec or result.error_in_exec, result.result)

    return run


@pytest.fixture
def run(bare: Run) -> Run:
    """Run cells with the extension loaded."""
    assert bare("import dfnb, dfnb as df\n%load_ext dfnb").error is None
    return bare


@pytest.fixture
def echo(run: Run) -> Run:
    """Run cells with an activity `echo` and an orchestrator `say` that calls it, and one `ask` that waits for an event."""
    run("%%activity\ndef echo(word: str) -> str:\n    return word")
    run("%%orchestrator\ndef say(context):\n    return (yield context.call_activity('echo', context.get_input()))")
    run("%%orchestrator\ndef ask(context):\n    return (yield context.wait_for_external_event('answer'))")
    return run


@pytest.fixture
def counter(run: Run) -> Run:
    """Run cells with an entity `counter` that adds, and an orchestrator `read` that asks the entity it is given for its state."""
    run(COUNTER)
    run(READ)
    return run


COUNTER = """%%entity
def counter(context):
    value = context.get_state(lambda: 0)
    if context.operation_name == "add":
        context.set_state(value + context.get_input())
    elif context.operation_name == "fail":
        raise ValueError("<bad>")
    return context.get_state()
"""
READ = """%%orchestrator
def read(context):
    return (yield context.call_entity(df.EntityId.get_entity_id(context.get_input()), "get"))
"""


class Kernel:
    """A kernel in a process of its own, as a front end talks to it."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self._manager = KernelManager(kernel_name="python3")
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self._manager.start_kernel(
            cwd=str(folder), env={**os.environ, "PYTHONPATH": paths, **environment}, extra_arguments=["--log-level=ERROR"]
        )
        self.client = self._manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, source: str, cell: str | None = None) -> list[dict[str, Any]]:
        """Run a cell, with an id as JupyterLab gives one; every message the kernel published until it was idle again."""
        content = {"code": source, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        request = self.client.session.msg("execute_request", content, metadata={"cellId": cell} if cell else {})
        self.client.shell_channel.send(request)
        asked = request["header"]["msg_id"]
        seen = []
        while True:
            message = self.client.get_iopub_msg(timeout=60)
            seen.append(message)
            is_idle = message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"
            if is_idle and message["parent_header"].get("msg_id") == asked:
                return seen

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Messages that come by themselves, up to the first that is wanted."""
        seen = []
        end = time.monotonic() + 20
        while not seen or not wanted(seen[-1]):
            seen.append(self.client.get_iopub_msg(timeout=max(0.1, end - time.monotonic())))
        return seen

    def restart(self) -> None:
        """Restart politely."""
        self._manager.restart_kernel(now=False)
        self.client.wait_for_ready(timeout=60)

    def close(self) -> None:
        self.client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()


def printed(messages: list[dict[str, Any]]) -> str:
    return "".join(message["content"]["text"] for message in messages if message["msg_type"] == "stream")


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    kernel = Kernel(tmp_path)
    yield kernel
    kernel.close()
