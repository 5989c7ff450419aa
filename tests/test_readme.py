"""What the README shows is true: its Python blocks run, and its commands install what they need."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import dfnb

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
NOT_RUN = "<!-- not run -->"
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]


def blocks(language: str) -> Iterator[tuple[int, str]]:
    """Each fenced block of that language that is meant to run, with the line its code begins on."""
    for match in re.finditer(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL):
        before = README[: match.start()]
        if not before.rstrip().endswith(NOT_RUN):
            yield before.count("\n") + 2, match[1]


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """A real IPython in an empty folder, as new as a reader's: the README itself has to load the extension."""
    monkeypatch.chdir(tmp_path)
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=config)
    yield shell
    shell.extension_manager.unload_extension("dfnb")
    InteractiveShell.clear_instance()


def test_python_blocks_run_one_after_the_other(shell: InteractiveShell) -> None:
    cells = list(blocks("python"))
    assert cells, "the README shows no Python at all"
    for line, code in cells:
        result = shell.run_cell(code, store_history=True)
        error = result.error_before_exec or result.error_in_exec
        if error is not None:
            pytest.fail(f"README.md, block at line {line}: {type(error).__name__}: {error}", pytrace=False)


def commands(language: str) -> list[str]:
    return [line for _, block in blocks(language) for line in block.splitlines() if "pip install" in line]


@pytest.mark.parametrize("language", ["sh", "powershell"])
def test_two_commands_run_the_main_job_and_the_tests(language: str) -> None:
    main_job, tests = commands(language)
    assert "pip install -e . " in main_job.replace(";", " ")
    assert re.search(r"python -m dfnb run (notebooks/\S+\.ipynb)$", main_job)
    assert tests.endswith("python -m pytest")


@pytest.mark.parametrize("language", ["sh", "powershell"])
def test_commands_name_extras_that_exist(language: str) -> None:
    named = [extra for command in commands(language) for extra in re.findall(r"\[([\w,]+)\]", command)]
    assert named
    assert {extra for names in named for extra in names.split(",")} <= set(EXTRAS)


def test_every_extra_is_explained() -> None:
    missing = [extra for extra in EXTRAS if f"dfnb[{extra}]" not in README]
    assert missing == []


def test_the_notebook_of_the_main_job_exists() -> None:
    paths = re.findall(r"notebooks/\w+\.ipynb", README)
    assert paths
    assert [path for path in paths if not (ROOT / path).is_file()] == []


def test_each_public_error_is_explained():
    errors = {name for name in dfnb.__all__ if name.endswith("Error")} - {"DfnbError"}
    assert errors, "there are public errors"
    assert [name for name in sorted(errors) if f"`{name}`" not in README] == []
