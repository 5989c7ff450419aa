"""From the body of a cell magic to a definition, with the cell's own line numbers in every traceback."""

from __future__ import annotations

import ast
import dataclasses
import re
import sys
from types import FrameType, TracebackType
from typing import Any

from IPython.core.error import UsageError

from dfnb.definitions import Definition, Kind, declare
from dfnb.determinism import Finding, check
from dfnb.errors import DefinitionError, DfnbError, nearest

Shell = Any
"""IPython's InteractiveShell; its traits have no types."""


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """A cell that can be run: `text` has the magic line as a comment in front, so that its lines are those of the cell."""

    text: str
    file: str
    tree: ast.Module

    def defines(self, kind: str) -> list[str]:
        """The names of what could be a definition of the kind, in order: top-level functions, for an entity classes too."""
        nodes = (ast.FunctionDef, ast.AsyncFunctionDef, *((ast.ClassDef,) if kind == "entity" else ()))
        return [node.name for node in self.tree.body if isinstance(node, nodes)]


def _cell_number(shell: Shell) -> int:
    """The number of the cell that runs now: its own frame knows. IPython may have counted on already, depending on its version."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        label = shell.compile.format_code_name(frame.f_code.co_filename)
        number = re.fullmatch(r"In\[(\d+)\]", label[1]) if label else None
        if number:
            return int(number[1])
        frame = frame.f_back
    return int(shell.execution_count)


def read(shell: Shell, magic: str, line: str, body: str) -> Cell:
    """Parse a cell under the file name its tracebacks will show."""
    text = shell.transform_cell(f"# %%{magic} {line}".rstrip() + f"\n{body}")
    file = shell.compile.cache(text, _cell_number(shell), raw_code=body)
    try:
        return Cell(text, file, shell.transform_ast(shell.compile.ast_parse(text, filename=file)))
    except (SyntaxError, ValueError) as error:
        raise _with_own_traceback(shell, error, file) from None


def run(shell: Shell, cell: Cell) -> None:
    """Execute the cell in the user's namespace; an error in it shows the user's frames only."""
    try:
        exec(shell.compile(cell.tree, cell.file, "exec"), shell.user_ns)
    except Exception as error:
        raise _with_own_traceback(shell, error, cell.file) from error.__cause__


_WANTED = {
    "entity": ("function or class", "`def name(context):` or `class Name:`"),
    "http_trigger": ("function", "`def name(req, client):`"),
}


def choose(kind: str, cell: Cell, named: str | None, function: str | None) -> str:
    """Which top-level function or entity class is meant: the one asked for, or the last. DefinitionError if there is none such."""
    found = cell.defines(kind)
    what, how = _WANTED.get(kind, ("function", "`def name(...):`"))
    if not found:
        raise DefinitionError(f"this cell defines no {what}; write {how} at the left edge below %%{kind}")
    if function is None:
        return named if named in found else found[-1]
    if function in found:
        return function
    close = nearest(function, found)
    hint = f"did you mean {close[0]!r}?" if close else f"it defines {', '.join(found)}"
    raise DefinitionError(f"this cell defines no {what} named {function!r}; {hint}")


def define(shell: Shell, kind: Kind, cell: Cell, function: str, **options: Any) -> tuple[Definition, str]:
    """Run the cell and register its function or class, exactly as the decorator would."""
    run(shell, cell)
    return declare(kind, shell.user_ns[function], **options)


def findings(cell: Cell, function: str) -> list[Finding]:
    """What in an orchestrator's body is not deterministic, by the lines of the cell."""
    return check(cell.text, function)


def _with_own_traceback(shell: Shell, error: Exception, file: str) -> Exception:
    """The error, made to show its traceback from the user's first frame on."""
    if isinstance(error, UsageError | DfnbError):
        return error  # they show themselves in one sentence
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != file:
        trace = trace.tb_next
    if isinstance(error, SyntaxError):
        return CellSyntaxError(shell, error, trace)
    error._render_traceback_ = lambda: _rendered(shell, error, trace)  # type: ignore[attr-defined]
    return error


def _rendered(shell: Shell, error: Exception, trace: TracebackType | None) -> list[str]:
    if trace is None:
        return list(shell.SyntaxTB.structured_traceback(type(error), error, []))
    return list(shell.InteractiveTB.structured_traceback(type(error), error, trace))


class CellSyntaxError(DefinitionError):
    """The cell is not Python. IPython shows the frames of whoever raises a SyntaxError itself, hence a class of our own."""

    def __init__(self, shell: Shell, error: Exception, trace: TracebackType | None) -> None:
        super().__init__(str(error))
        self._lines = _rendered(shell, error, trace)

    def _render_traceback_(self) -> list[str]:
        return self._lines
