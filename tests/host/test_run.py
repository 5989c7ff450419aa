"""A notebook is executed for real, and how it went is told."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from dfnb.host.run import run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, *cells: str) -> None:
    path.parent.mkdir(exist_ok=True)
    nbformat.write(new_notebook(cells=[new_markdown_cell("# A title\n\ntext"), *map(new_code_cell, cells)]), path)


def test_each_cell_is_shown_and_the_executed_copy_lies_here(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(folder / "books" / "one.ipynb", "x = 20", "print('hello')\nx + 1", "import os; os.path.basename(os.getcwd())")
    assert run(folder / "books" / "one.ipynb") == 0
    shown = capfd.readouterr().out
    assert "# A title" in shown
    assert "[2] print('hello') ...  (" in shown
    assert "hello\n21\n" in shown
    assert "'books'" in shown
    copy = nbformat.read(folder / "one.executed.ipynb", as_version=4)
    assert [cell.execution_count for cell in copy.cells[1:]] == [1, 2, 3]
    assert "widgets" not in copy.metadata


def test_a_failing_cell_shows_its_error_and_ends_the_run(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(folder / "two.ipynb", "print('before')", "1 / 0", "print('after')")
    assert run(Path("two.ipynb"), Path("kept.ipynb")) == 1
    shown = capfd.readouterr().out
    assert "FAILED: cell [2] raised ZeroDivisionError" in shown
    assert "division by zero" in shown
    assert "\x1b" not in shown  # where it is read is no terminal
    assert "after" not in shown
    assert (folder / "kept.ipynb").is_file()


def test_each_notebook_has_a_hub_of_its_own_beside_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "outer.ipynb")
    write(folder / "books" / "trip.ipynb", "%load_ext dfnb")
    assert run(folder / "books" / "trip.ipynb") == 0
    assert "dfnb: hub trip.duckdb, engine running, 0 instances resumed" in capfd.readouterr().out
    assert [path.name for path in folder.rglob("*.duckdb")] == ["trip.duckdb"]


def test_a_dead_kernel_is_told(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(folder / "three.ipynb", "import os; os._exit(9)")
    assert run(Path("three.ipynb")) == 1
    assert "the kernel died in cell [1]" in capfd.readouterr().out


def test_a_copy_that_cannot_be_written_is_refused_before_the_first_cell(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(folder / "six.ipynb", "open('ran', 'w').close()")
    assert run(Path("six.ipynb"), folder / "nowhere" / "copy.ipynb") == 2
    assert "the executed copy cannot be written to" in capfd.readouterr().err
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [(None, "there is no file"), ("not json", "cannot be read as a notebook"), ("[]", "cannot be read as a notebook")],
    ids=["absent", "text", "json"],
)
def test_what_is_no_notebook_is_refused(
    folder: Path, capfd: pytest.CaptureFixture[str], text: str | None, sentence: str
) -> None:
    if text is not None:
        (folder / "four.ipynb").write_text(text)
    assert run(Path("four.ipynb")) == 2
    assert sentence in capfd.readouterr().err
