"""Runs a notebook in a real kernel and shows what each cell answers.

It knows notebooks only as files: the kernel it starts is the one that loads dfnb.
"""

from __future__ import annotations

import os
import platform
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

from dfnb.host.failed import NotServable
from dfnb.host.files import read_notebook

_WIDTH = 100
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def run(path: Path, output: Path | None = None) -> int:
    """Run a notebook file; 0 all cells ran, 1 one failed, 2 it could not start, 130 interrupted."""
    copy = output or Path(f"{path.stem}.executed.ipynb")
    try:
        notebook = read_notebook(path)
        nbformat.write(notebook, copy)  # before the first cell: one that runs for an hour has been waited for in vain otherwise
    except NotServable as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"the executed copy cannot be written to {copy}: {error.strerror}")
    try:
        return _run(notebook, path, copy)
    except KeyboardInterrupt:
        print("\ninterrupted; what was acknowledged is in the hub file and goes on with the next run")
        return 130


def _refuse(sentence: str) -> int:
    print(f"dfnb: {sentence}", file=sys.stderr)
    return 2


def _run(notebook: NotebookNode, path: Path, output: Path) -> int:
    """Execute all cells, printing as they finish; the executed copy is written whatever happens."""
    print(f"{path} with Python {platform.python_version()}")
    began = time.perf_counter()
    try:
        failure = _execute(notebook, path.resolve())
    finally:
        nbformat.write(notebook, output)
    outcome = f"FAILED: {failure}" if failure else "all cells ran"
    print(f"\n{outcome} ({time.perf_counter() - began:.1f} s); executed copy: {output}")
    return 1 if failure else 0


def _execute(notebook: NotebookNode, path: Path) -> str:
    """Run the cells in a kernel of this very Python, which is told their notebook's name as Jupyter tells it.

    The answer is empty, or the sentence about what went wrong.
    """
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=None,
        extra_arguments=["--log-level=ERROR"],  # no word about plain TCP: this kernel listens to this machine only
        store_widget_state=False,  # a saved block of widget state needs a CDN to be seen
        resources={"metadata": {"path": str(path.parent)}},
    )
    with client.setup_kernel(env={**os.environ, "JPY_SESSION_NAME": str(path)}):
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type == "markdown":
                _print_headings(cell)
            elif cell.cell_type == "code" and cell.source.strip():
                failure = _execute_cell(client, cell, index)
                if failure:
                    return failure
    return ""


def _execute_cell(client: NotebookClient, cell: NotebookNode, index: int) -> str:
    number = client.code_cells_executed + 1
    began = time.perf_counter()
    failure = ""
    try:
        client.execute_cell(cell, index)
    except CellExecutionError as error:
        failure = f"cell [{number}] raised {error.ename}"
    except DeadKernelError:
        failure = f"the kernel died in cell [{number}]"
    _print_cell(cell, number, time.perf_counter() - began)
    return failure


def _print_headings(cell: NotebookNode) -> None:
    for line in cell.source.splitlines():
        if line.startswith("#"):
            print(f"\n{line}")


def _print_cell(cell: NotebookNode, number: int, seconds: float) -> None:
    """The cell's first line of source, how long it took, and the text of what it answered."""
    lines = cell.source.strip().splitlines()
    first = lines[0] + (" ..." if len(lines) > 1 else "")
    print(f"\n[{number}] {first[:_WIDTH]}  ({seconds:.2f} s)")
    for text in _texts(cell.outputs):
        print(text.rstrip("\n"))
    sys.stdout.flush()  # a reader at the end of a pipe sees each cell as it finishes


def _takes_colours() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _texts(outputs: Sequence[NotebookNode]) -> Iterator[str]:
    for output in outputs:
        if output.output_type == "stream":
            yield output.text
        elif output.output_type == "error":
            trace = "\n".join(output.traceback)
            yield trace if _takes_colours() else _COLOURS.sub("", trace)
        elif "text/plain" in output.data:
            yield output.data["text/plain"]
