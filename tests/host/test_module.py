"""A module is imported under its own name, and an app that it opens is found."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dfnb.definitions import DEFAULT
from dfnb.host.failed import DefinitionsFailed, NotServable
from dfnb.host.module import app_of, import_module


@pytest.fixture(autouse=True)
def _forget_modules() -> Iterator[None]:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_its_classes_keep_the_module_other_programs_know(tmp_path: Path) -> None:
    written(tmp_path, "orders_beside.py", "VALUE = 7")
    text = "import dfnb\nfrom orders_beside import VALUE\nclass Order: ...\n@dfnb.activity\ndef f(x): ..."
    module = import_module(written(tmp_path, "orders.py", text))
    assert (module.Order.__module__, module.VALUE, DEFAULT.names("activity")) == ("orders", 7, ["f"])
    assert app_of(module) is None


@pytest.mark.parametrize("opening", ["dfnb.open(':memory:')", "app = dfnb.open(':memory:')", "app = dfnb.DurableApp(':memory:')"])
def test_an_app_it_opens_is_the_one(tmp_path: Path, opening: str) -> None:
    app = app_of(import_module(written(tmp_path, "opens.py", f"import dfnb\n{opening}")))
    assert app is not None
    assert not app.is_closed
    app.close()


def test_two_apps_are_one_too_many(tmp_path: Path) -> None:
    text = "import dfnb\na = dfnb.DurableApp(':memory:')\nb = dfnb.DurableApp(':memory:')"
    module = import_module(written(tmp_path, "two.py", text))
    with pytest.raises(NotServable, match=r"two\.py opens 2 hubs"):
        app_of(module)
    module.a.close()
    module.b.close()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = 1\ny = 1 / 0", r"failing\.py, line 2: ZeroDivisionError: division by zero"),
        ("x = 1\ny = (", r"failing\.py, line 2: SyntaxError: '\(' was never closed"),
        ("import nowhere_to_be_found", r"failing\.py, line 1: ModuleNotFoundError: No module named"),
        ("import sys\nsys.exit('enough')", r"failing\.py, line 2: SystemExit: enough"),
    ],
    ids=["division", "syntax", "import", "exit"],
)
def test_what_fails_in_it_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(DefinitionsFailed, match=f"^{sentence}"):
        import_module(written(tmp_path, "failing.py", text))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("json.py", "a module json is there already; rename it"), ("a.b.py", "a dot in a name"), ("none.py", "there is no file")],
)
def test_a_name_that_means_something_else_is_refused(tmp_path: Path, name: str, sentence: str) -> None:
    if name != "none.py":
        written(tmp_path, name, "")
    with pytest.raises(NotServable, match=sentence):
        import_module(tmp_path / name)
