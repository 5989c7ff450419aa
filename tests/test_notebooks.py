"""Each notebook runs from top to bottom in a new kernel, and answers what its saved outputs say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[!.]*.ipynb"))
SANITIZE = ROOT / "tests" / "nbval_sanitize.cfg"

each_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.mark.slow
@each_notebook
def test_notebook_answers_what_its_saved_outputs_say(notebook: Path, tmp_path: Path) -> None:
    folder = tmp_path / "notebooks"
    shutil.copytree(ROOT / "notebooks", folder, ignore=shutil.ignore_patterns("*.duckdb*", ".*", "*.executed.ipynb"))
    options = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=120", f"--nbval-sanitize-with={SANITIZE}"]
    search = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-p", "no:cacheprovider", "--rootdir=.", notebook.name],
        cwd=folder,
        env={**os.environ, "PYTEST_ADDOPTS": "", "PYTHONPATH": search, "JPY_SESSION_NAME": notebook.name},  # it names the hub
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


@each_notebook
def test_notebook_is_saved_with_outputs_and_without_widget_state(notebook: Path) -> None:
    saved = json.loads(notebook.read_text(encoding="utf-8"))
    assert "widgets" not in saved["metadata"]
    assert any(cell.get("outputs") for cell in saved["cells"])
