"""A notebook's definitions run in this process, as in a kernel, and what fails is told by cell and line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

import dfnb
from dfnb.definitions import DEFAULT
from dfnb.host import missing
from dfnb.host.failed import DefinitionsFailed, NotServable
from dfnb.host.notebook import Ran, sources

Run = Callable[..., Ran]
Write = Callable[..., Path]
ECHO = "%%activity\ndef echo(word: str) -> str:\n    return word"
SAY = "%%orchestrator\ndef say(context):\n    return (yield context.call_activity('echo', 'hi'))"


def names_of_the_shell() -> dict[str, Any]:
    return InteractiveShell.instance().user_ns


def test_cells_with_our_magics_define_and_no_hub_opens(run: Run, tmp_path: Path) -> None:
    ran = run("import dfnb as df\n\n%load_ext dfnb", ECHO, SAY, "%%entity\ndef counter(context):\n    pass")
    assert [(definition.kind, definition.name) for definition in DEFAULT.all()] == [
        ("activity", "echo"), ("orchestrator", "say"), ("entity", "counter"),
    ]  # fmt: skip
    assert ran.left_out == ()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(dfnb.HubClosedError):
        dfnb.current()


def test_decorators_and_older_forms_define_too(run: Run) -> None:
    older = "def g(context):\n    yield\n\nmain = df.Orchestrator.create(g)"
    run("import dfnb as df", "@df.activity\ndef f(x):\n    return x", older)
    assert (DEFAULT.names("activity"), DEFAULT.names("orchestrator")) == (["f"], ["g"])


def test_what_was_left_out_is_told_by_cell_and_line(run: Run) -> None:
    ran = run("import dfnb as df\n%load_ext dfnb", "", "x = 1\n%dfnb list\nrun = df.start('say')\n!ls", "%%bash\nls")
    assert [str(one) for one in ran.left_out] == [
        "cell 3, line 2: `%dfnb list` is a magic or a shell command",
        "cell 3, line 3: `run = df.start('say')` calls start",
        "cell 3, line 4: `!ls` is a magic or a shell command",
        "cell 4, line 1: `%%bash` is a magic or a shell command",
    ]
    assert ran.cells == 4
    assert names_of_the_shell()["x"] == 1
    assert "run" in ran.missing


def test_a_cell_that_is_timed_or_kept_quiet_defines_like_any_other(run: Run) -> None:
    ran = run(
        "import dfnb as df", "%%time\ndef double(x):\n    return 2 * x\ndf.start('say')",
        "%%capture told --no-stderr\nlimit = double(4)", "told.show()",
    )  # fmt: skip
    assert names_of_the_shell()["limit"] == 8
    assert [str(one) for one in ran.left_out] == [
        "cell 2, line 4: `df.start('say')` calls start", "cell 4, line 1: `told.show()` uses told, which was left out",
    ]


def test_a_failing_cell_that_is_timed_is_told_with_its_line(run: Run) -> None:
    with pytest.raises(DefinitionsFailed, match="cell 1, line 3: ZeroDivisionError"):
        run("%%time\nx = 1\ny = x / 0")


def test_all_cells_run_as_they_are_when_asked(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    opened = "import dfnb as df\napp = df.open(':memory:')"
    ran = run(opened, ECHO, SAY, "", "said = df.start('say')\nsaid.result()", all_cells=True)
    assert ran.left_out == ()
    assert capsys.readouterr().out.endswith("Out[5]: 'hi'\n")
    assert dfnb.current() is names_of_the_shell()["app"]


def test_classes_of_cells_belong_to_main_and_the_folder_is_the_notebooks(run: Run, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("VALUE = 7")
    run("from beside import VALUE\nclass Order: ...\nimport os\nhere = os.getcwd()")
    names = names_of_the_shell()
    assert (names["VALUE"], names["Order"].__module__, Path(names["here"])) == (7, "__main__", tmp_path)
    assert sys.modules["__main__"].Order is names["Order"]  # type: ignore[attr-defined]
    del sys.modules["beside"]


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("x = 1\n\ny = 1 / 0", "cell 2, line 3: ZeroDivisionError: division by zero"),
        ("\n\nx = 1 / 0", "cell 2, line 3: ZeroDivisionError: division by zero"),
        ("x = 1\ny = (", "cell 2, line 2: SyntaxError: "),
        ("%%activity\n\ndef f(x):\n  return x\n1 / 0", "cell 2, line 5: ZeroDivisionError: division by zero"),
        ("%%activity\ndef f(x):\n    return (", "cell 2, line 3: SyntaxError: "),
        ("%%activity\nx = 1", "cell 2, line 1: DefinitionError: this cell defines no function"),
        ("%%activity --nonsense\ndef f(x): ...", "cell 2, line 1: UsageError: unrecognized arguments: --nonsense"),
        ("import sys\nsys.exit(3)", "cell 2, line 2: SystemExit: 3"),
    ],
    ids=["division", "blank-lines", "syntax", "in-magic", "syntax-in-magic", "no-function", "usage", "exit"],
)
def test_a_failing_cell_is_one_sentence(run: Run, capfd: pytest.CaptureFixture[str], cell: str, sentence: str) -> None:
    with pytest.raises(DefinitionsFailed) as failed:
        run("import dfnb as df", cell)
    assert str(failed.value).startswith(sentence)
    assert "\n" not in str(failed.value)
    assert capfd.readouterr() == ("", "")


def test_a_cell_that_needs_what_was_left_out_says_what_to_do(run: Run) -> None:
    why = r"NameError: .* \(the statement that binds run was left out because it calls start; --all-cells runs everything\)"
    with pytest.raises(DefinitionsFailed, match=why):
        run("import dfnb as df", "run = df.start('x')", "%%activity\nlimit = run\ndef f(x): ...")


def test_a_definition_that_uses_what_was_left_out_is_warned_of(run: Run) -> None:
    cells = "import dfnb as df", "base = api.serve()", "%%activity\ndef f(x):\n    return [base for _ in x], x.real"
    ran = run(*cells, "%%entity\nclass Shelf:\n    stock: int = 0\n    def add(self, n):\n        return base")
    assert list(missing.warnings(DEFAULT.all(), ran.missing)) == [
        "activity f uses base, which is not there: the statement that binds it was left out because it calls serve",
        "entity Shelf uses base, which is not there: the statement that binds it was left out because it calls serve",
    ]


def test_warnings_of_our_magics_reach_the_log(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "dfnb"):
        run("%%orchestrator\nimport random\ndef roll(context):\n    yield context.call_activity('f', random.random())")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.messages[0].startswith("cell 1: line 4")


def test_what_is_no_notebook_is_refused_in_a_sentence(tmp_path: Path, write_notebook: Write) -> None:
    with pytest.raises(NotServable, match="there is no file"):
        sources(tmp_path / "none.ipynb")
    (tmp_path / "bad.ipynb").write_text("not json")
    with pytest.raises(NotServable, match="cannot be read as a notebook"):
        sources(tmp_path / "bad.ipynb")
    assert sources(write_notebook("good.ipynb", "x = 1")) == ["x = 1"]
