"""Runs the definitions of a notebook in this process, as a kernel would, without a front end."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import io
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from dfnb.host.failed import DefinitionsFailed, in_words
from dfnb.host.files import read_notebook
from dfnb.host.statements import Chooser
from dfnb.notebook.magics import DfnbMagics

logger = logging.getLogger("dfnb")


@dataclasses.dataclass(frozen=True, slots=True)
class LeftOut:
    """A statement, or a whole cell, that did not run. `cell` counts code cells from 1."""

    cell: int
    line: int
    text: str
    reason: str

    def __str__(self) -> str:
        return f"cell {self.cell}, line {self.line}: `{self.text}` {self.reason}"


@dataclasses.dataclass(frozen=True, slots=True)
class Ran:
    """What came of a notebook: what was left out, and the names that are missing for it, each with why."""

    cells: int
    left_out: tuple[LeftOut, ...] = ()
    missing: dict[str, str] = dataclasses.field(default_factory=dict)


def sources(path: Path) -> list[str]:
    """The code cells of a notebook file. NotServable, with a sentence, for what is none."""
    return [cell.source for cell in read_notebook(path).cells if cell.cell_type == "code"]


def run_cells(cells: Sequence[str], folder: Path, *, all_cells: bool = False) -> Ran:
    """Run what defines in the cells, or everything as it is. DefinitionsFailed names the cell and line of the first error.

    As in a kernel the working folder is the notebook's, and ``__main__`` the namespace of its cells.
    """
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    shell = _shell(quiet=not all_cells)
    definitions = _Definitions(shell)
    if not all_cells:
        shell.ast_transformers.append(definitions)
    for number, source in enumerate(cells, 1):
        if source.strip():
            definitions.begin(number, _blank_lines(source))
            _run(shell, number, source, definitions)
    return Ran(len(cells), tuple(definitions.left_out), definitions.missing)


class _Shell(InteractiveShell):  # type: ignore[no-untyped-call,unused-ignore]
    """Keeps the traceback it would print: whoever runs the cell says what happened."""

    shown = ""

    def _showtraceback(self, etype: Any, evalue: Any, stb: list[str]) -> None:
        self.shown = str(self.InteractiveTB.stb2text(stb))

    def show_usage_error(self, exc: Any) -> None:
        self.shown = str(exc)


def _shell(*, quiet: bool) -> _Shell:
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.ast_node_interactivity = "none" if quiet else "last_expr"
    shell: _Shell = _Shell.instance(config=config)
    shell.register_magics(DfnbMagics)
    return shell


def _run(shell: _Shell, number: int, source: str, definitions: _Definitions) -> None:
    shell.execution_count = number
    printed = io.StringIO()
    output = contextlib.redirect_stdout(printed) if _is_ours(source) else contextlib.nullcontext()
    with output, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "To exit: use", UserWarning)  # a hint for people at a prompt
        result = shell.run_cell(source, store_history=True)  # type: ignore[no-untyped-call,unused-ignore]
    _log_printed(number, printed.getvalue())
    error = result.error_before_exec or result.error_in_exec
    if isinstance(error, KeyboardInterrupt):
        raise error
    if error is not None:
        raise DefinitionsFailed(f"cell {number}, {_what_happened(shell, number, error, definitions)}", shell.shown) from error


def _blank_lines(source: str) -> int:
    """How many lines a cell begins with that IPython drops: they count in what is told of the others."""
    return source[: len(source) - len(source.lstrip())].count("\n")


def _is_ours(source: str) -> bool:
    """Whether it is a cell with one of our magics: what these print is not for a service's output."""
    first = source.lstrip().partition("\n")[0]
    return first.startswith("%%") and first[2:].partition(" ")[0] in DfnbMagics.magics["cell"]


def _log_printed(number: int, text: str) -> None:
    """What our cell magics said: the warnings are for everybody."""
    for line in text.splitlines():
        is_warning = line.lstrip().startswith("warning:")
        logger.log(logging.WARNING if is_warning else logging.DEBUG, "cell %d: %s", number, line.strip().removeprefix("warning: "))


def _what_happened(shell: _Shell, number: int, error: BaseException, definitions: _Definitions) -> str:
    """The line, the error, and what it may have to do with what was left out."""
    cause = error.__context__ if isinstance(error.__context__, SyntaxError) else error
    said = f"line {definitions.skipped + _line_of(shell, number, cause)}: {in_words(cause)}"
    name = error.name if isinstance(error, NameError) else None
    if name in definitions.missing:
        why = f"the statement that binds {name} was left out because it {definitions.missing[name]}"
    else:
        why = "statements that do not define were left out, --verbose lists them" if definitions.left_out else ""
    return f"{said} ({why}; --all-cells runs everything)" if why else said


def _line_of(shell: _Shell, number: int, error: BaseException) -> int:
    """The last line of the cell on the way to the error."""
    if isinstance(error, SyntaxError):
        return error.lineno or 1
    name_of = shell.compile.format_code_name
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    lines = [line for file, line in frames if name_of(file) == ("Cell", f"In[{number}]")]
    return lines[-1] if lines else 1


# ---- which statements


class _Definitions(ast.NodeTransformer):
    """Takes out of each cell what does not define, between its parsing and its run."""

    def __init__(self, shell: _Shell) -> None:
        self._shell = shell
        self._chooser = Chooser()
        self._cell = 0
        self._within = False
        self.skipped = 0
        self.left_out: list[LeftOut] = []

    @property
    def missing(self) -> dict[str, str]:
        return self._chooser.missing

    def begin(self, cell: int, skipped: int) -> None:
        """The next tree is that of a cell, without so many lines before it; those after it are parts that a cell magic runs."""
        self._cell = cell
        self.skipped = skipped
        self._within = False

    def visit_Module(self, tree: ast.Module) -> ast.Module:
        if self._within:
            for statement in tree.body:
                self._chooser.ran(statement)
            return tree
        self._within = True
        self._unwrap(tree)
        if _magic_of(tree) is None:
            tree.body = [statement for statement in tree.body if not self._leaves_out(statement)]
        return tree

    def _unwrap(self, tree: ast.Module) -> None:
        """A cell that is only timed or kept quiet is chosen from like any other; what holds what it printed is not bound."""
        match list(_ipython_calls(tree.body[0])) if len(tree.body) == 1 else []:
            case [("run_cell_magic", [name, line, cell])] if name in _WRAPPERS:
                with contextlib.suppress(SyntaxError):  # it stays a magic, which is left out
                    inner = ast.parse(self._shell.transform_cell(cell))  # type: ignore[no-untyped-call,unused-ignore]
                    tree.body = ast.increment_lineno(inner, 1).body  # the magic's own line
                    self._chooser.missing.update((word, "is a magic") for word in line.split() if word.isidentifier())

    def _leaves_out(self, statement: ast.stmt) -> bool:
        reason = self._chooser.why_not(statement)
        if reason and not _loads_dfnb(statement):
            text = _as_typed(statement)
            self.left_out.append(LeftOut(self._cell, self.skipped + statement.lineno, text, reason))
            logger.debug("left out: %s", self.left_out[-1])
        return bool(reason)


def _ipython_calls(statement: ast.stmt) -> Iterator[tuple[str, list[str]]]:
    """What IPython's syntax becomes: ``%name line`` a call of ``get_ipython().run_line_magic('name', 'line')``."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "get_ipython()":
            yield node.func.attr, [str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)]


def _magic_of(tree: ast.Module) -> str | None:
    """The one of our cell magics that the cell is, if it is one."""
    calls = list(_ipython_calls(tree.body[0])) if len(tree.body) == 1 else []
    match calls:
        case [("run_cell_magic", [name, *_])] if name in DfnbMagics.magics["cell"]:
            return name
    return None


_WRAPPERS = frozenset({"time", "capture", "prun"})
"""Cell magics that run a cell's code as it is and watch it."""


def _loads_dfnb(statement: ast.stmt) -> bool:
    """``%load_ext dfnb`` is no loss: the magics are there, and the hub opens after the definitions."""
    return list(_ipython_calls(statement)) in ([("run_line_magic", [verb, "dfnb"])] for verb in ("load_ext", "reload_ext"))


_SHOWN: dict[str, Callable[[list[str]], str]] = {
    "run_line_magic": lambda words: f"%{' '.join(words)}",
    "run_cell_magic": lambda words: f"%%{words[0]}",
    "system": lambda words: f"!{' '.join(words)}",
}


def _as_typed(statement: ast.stmt) -> str:
    """The first line of a statement, as short as a log wants it."""
    calls = list(_ipython_calls(statement))
    is_magic = isinstance(statement, ast.Expr) and calls and calls[0][0] in _SHOWN
    text = _SHOWN[calls[0][0]](calls[0][1]) if is_magic else ast.unparse(statement)
    first, *more = text.strip().splitlines() or [""]
    return f"{first[:80]}{' ...' if more or len(first) > 80 else ''}"
