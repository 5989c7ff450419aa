"""Whatever a file with a notebook's name holds, there are cells or there is a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dfnb.host.failed import NotServable
from dfnb.host.files import read_notebook

CELL = {"cell_type": "code", "source": ["1\n", "2"], "outputs": [], "execution_count": None, "metadata": {}, "id": "a"}
NOTEBOOK: dict[str, Any] = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [CELL]}


def with_cell(**changes: Any) -> str:
    return json.dumps({**NOTEBOOK, "cells": [{name: value for name, value in (CELL | changes).items() if value != "gone"}]})


@pytest.mark.parametrize("outputs", [[], "gone"], ids=["empty", "none"])
def test_the_cells_of_a_notebook_have_their_source_as_one_text_and_no_outputs_yet(tmp_path: Path, outputs: Any) -> None:
    (tmp_path / "one.ipynb").write_text(with_cell(outputs=outputs))
    (cell,) = read_notebook(tmp_path / "one.ipynb").cells
    assert (cell.source, cell.outputs) == ("1\n2", [])


@pytest.mark.parametrize(
    "text",
    [
        "", "no json", "[]", "null", '"x"', "{}", "[" * 100_000, with_cell(metadata="gone"), with_cell(source="gone"),
        with_cell(source=5), with_cell(cell_type="gone"), json.dumps({**NOTEBOOK, "cells": ["x"]}),
        json.dumps({**NOTEBOOK, "cells": None}), json.dumps({**NOTEBOOK, "nbformat": 99}),
    ],
    ids=[
        "empty", "text", "list", "null", "string", "object", "deep", "no-metadata", "no-source", "number-as-source", "no-kind",
        "cells-of-text", "no-cells", "format-99",
    ],
)  # fmt: skip
def test_what_is_no_notebook_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "strange.ipynb"
    path.write_text(text)
    with pytest.raises(NotServable, match=r"strange\.ipynb cannot be read as a notebook: .*\w") as caught:
        read_notebook(path)
    assert "\n" not in str(caught.value)


def test_a_folder_or_nothing_at_all_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(NotServable, match="cannot be read as a notebook"):
        read_notebook(tmp_path)
    with pytest.raises(NotServable, match="there is no file"):
        read_notebook(tmp_path / "none.ipynb")
