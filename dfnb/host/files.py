"""Reads notebook files, which anything may have written."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.validator import ValidationError

from dfnb.host.failed import NotServable


def read_notebook(path: Path) -> NotebookNode:
    """A notebook in the present format, without the outputs of former runs. NotServable, with a sentence, for what is none."""
    try:
        notebook: NotebookNode = nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise NotServable(f"there is no file {path}; give the path of a notebook") from None
    except (OSError, ValueError, ValidationError) as error:
        first, _, _ = str(error).partition("\n")
        raise NotServable(f"{path} cannot be read as a notebook: {first}") from None
    except (AttributeError, TypeError, KeyError, RecursionError):  # it takes what is in the file for what it should be
        raise _strange(path) from None
    if not all(_is_cell(cell) for cell in notebook.cells):
        raise _strange(path)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
    return notebook


def _is_cell(cell: NotebookNode) -> bool:
    return isinstance(cell.get("cell_type"), str) and isinstance(cell.get("source"), str)


def _strange(path: Path) -> NotServable:
    return NotServable(f"{path} cannot be read as a notebook: it is JSON, but not with a notebook's cells")
