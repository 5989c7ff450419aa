"""The disk refuses: nothing acknowledged is lost, everybody is told, and it goes on by itself when there is room again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import dfnb as df

HERE = Path(__file__).parent
SOON = 5.0

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="this platform has no limit on the size of files")


def play(scenario: str, folder: Path) -> dict[str, Any]:
    answer = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(HERE / "disk_full.py"), str(folder / "hub.duckdb"), scenario],
        env=os.environ | {"PYTHONPATH": str(HERE.parent.parent)}, capture_output=True, text=True, timeout=120, check=False,
    )
    assert answer.returncode == 0, answer.stderr
    told: dict[str, Any] = json.loads(answer.stdout)
    return told


def test_calls_are_refused_with_a_sentence_and_work_goes_on_when_there_is_room(tmp_path: Path) -> None:
    told = play("space_comes_back", tmp_path)
    for call in ("start", "event", "compact"):
        said = told["answers"][call]["said"]
        assert "hub.duckdb cannot be written now" in said
        assert "What was acknowledged is safe; nothing of this request was done" in said
    assert told["answers"]["status"]["said"] == "OrchestrationRuntimeStatus.Running"
    assert told["answers"]["list"]["said"].isdigit()
    assert told["answers"]["history"]["said"] == "True"
    assert max(answer["seconds"] for answer in told["answers"].values()) < SOON
    assert (told["written"], told["heard"], told["runs"]) == ("written", 2, True)


def test_the_call_that_fills_the_disk_is_answered(tmp_path: Path) -> None:
    told = play("call_under_way", tmp_path)
    assert "cannot be written now" in told["answer"]["said"]
    assert told["answer"]["seconds"] < SOON
    assert "do not repeat it" in told["answer"]["said"]
    assert told["after"] == told["carried out"] == "OrchestrationRuntimeStatus.Running"


def test_closing_on_a_full_disk_takes_no_time_and_loses_nothing(tmp_path: Path) -> None:
    told = play("closed_while_full", tmp_path)
    assert told["seconds"] < 10
    assert told["reopened"]["seconds"] < SOON
    assert told["reopened"]["said"] == "2 resumed"
    assert told["written"] == "written"


def test_a_checkpoint_that_finds_no_room_does_no_harm(tmp_path: Path) -> None:
    told = play("checkpoint_fails", tmp_path)
    assert "cannot be written now" in told["answer"]["said"]
    assert told["status"] == "OrchestrationRuntimeStatus.Running"
    assert told["heard"] == "on"


def test_a_folder_that_takes_no_files_is_refused_with_a_sentence(tmp_path: Path) -> None:
    """As for everyone, root included: a folder that is not there, a file in a folder's place."""
    (tmp_path / "file").touch()
    for folder in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(df.HubFormatError, match="cannot be opened as a dfnb hub"):
            df.DurableApp(folder / "hub.duckdb")


_READ_ONLY = """
import os, sys
import dfnb as df
path, nobody = sys.argv[1], int(sys.argv[2])
df.DurableApp(durability="memory").close()  # everything is imported while the interpreter's own files can be read
if os.geteuid() == 0:
    os.setegid(nobody)
    os.seteuid(nobody)
try:
    df.DurableApp(path)
except df.HubError as error:
    print(type(error).__name__, error)
"""


def test_a_hub_one_may_only_read_is_refused_and_untouched(tmp_path: Path) -> None:
    """Root may write everything, so the child becomes somebody else first."""
    hub = tmp_path / "hub.duckdb"
    df.DurableApp(hub).close()
    hub.chmod(0o444)
    tmp_path.chmod(0o555)
    for folder in tmp_path.parents:
        if os.geteuid() == 0 and folder.stat().st_uid == 0 and str(folder).startswith(str(tmp_path.parents[1])):
            folder.chmod(folder.stat().st_mode | 0o555)
    before = hub.read_bytes()
    try:
        answer = subprocess.run(
            [sys.executable, "-c", _READ_ONLY, str(hub), "65534"],
            env=os.environ | {"PYTHONPATH": str(HERE.parent.parent)}, capture_output=True, text=True, timeout=60, check=False,
        )
    finally:
        tmp_path.chmod(0o700)
    assert answer.stdout.startswith("HubFormatError"), answer.stderr
    assert "cannot be opened as a dfnb hub" in answer.stdout
    assert hub.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["hub.duckdb"]
