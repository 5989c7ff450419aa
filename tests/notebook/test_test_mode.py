"""Test mode in real kernels: the same cells give the same outputs, whenever and wherever they run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dfnb.client import test_mode

from .conftest import Kernel, Run

CELLS = [
    "import dfnb\n%load_ext dfnb",
    "%%activity\ndef work(n: int) -> int:\n    print('at', n)\n    return n",
    """%%orchestrator
def trip(context):
    yield context.call_activity('work', 1)
    yield context.create_timer(context.current_utc_datetime)
    return (yield context.call_activity('work', 2))""",
    "run = dfnb.start('trip')\nrun.wait(20)",
    "run",
    "run.timeline()",
    "run.graph()",
    "run.status()",
    "%dfnb history instance-1",
    "%dfnb list",
    "dfnb.start('trip').result(20)",
    "dfnb.instance('instance-2')",
]


def outputs(folder: Path) -> list[Any]:
    folder.mkdir()
    kernel = Kernel(folder, DFNB_TEST_MODE="1", DFNB_HUB=":memory:")
    try:
        return [shown(message) for cell in CELLS for message in kernel.run(cell) if message["msg_type"] != "status"]
    finally:
        kernel.close()


def shown(message: dict[str, Any]) -> Any:
    content = message["content"]
    return content.get("data") or content.get("text") or content.get("code") or content


@pytest.mark.slow
def test_two_kernels_in_two_folders_show_the_same(tmp_path: Path) -> None:
    first, second = outputs(tmp_path / "one"), outputs(tmp_path / "another place")
    assert first == second
    assert "'instance-1': Completed" in str(first)
    assert "widget" not in str(first)


def test_the_command_turns_it_on_and_off(run: Run) -> None:
    assert run("%dfnb test-mode on").text == "dfnb: test mode is on\n"
    assert test_mode.is_on()
    assert run("%dfnb test-mode off").text == "dfnb: test mode is off\n"
    assert not test_mode.is_on()
    assert "test-mode takes on or off; it is off now" in str(run("%dfnb test-mode maybe").error)


@pytest.mark.slow
def test_an_ended_instance_can_be_inspected_in_a_live_view(kernel: Kernel) -> None:
    kernel.run(
        "\n".join(
            [
                "import dfnb\n%load_ext dfnb",
                "@dfnb.orchestrator\ndef quick(context):\n    return 1",
                "dfnb.start('quick', instance_id='q1').wait(20)",
            ]
        )
    )
    ended = [message["content"]["data"] for message in kernel.run("dfnb.instance('q1')") if message["msg_type"] == "display_data"]
    live = [message["content"]["data"] for message in kernel.run("%dfnb inspect q1") if message["msg_type"] == "display_data"]
    assert [set(data) for data in ended] == [{"text/plain", "text/html"}]
    assert "application/vnd.jupyter.widget-view+json" in live[0]
