"""The names `import dfnb` gives are a promise: listed, sorted, there, and explained."""

from __future__ import annotations

import inspect
import types

import pytest

import dfnb


def test_public_names_are_sorted_and_listed_once() -> None:
    assert list(dfnb.__all__) == sorted(set(dfnb.__all__))


@pytest.mark.parametrize("name", dfnb.__all__)
def test_public_name_resolves(name: str) -> None:
    assert hasattr(dfnb, name)


@pytest.mark.parametrize("name", dfnb.__all__)
def test_public_name_has_its_own_docstring(name: str) -> None:
    value = getattr(dfnb, name)
    if isinstance(value, type):
        text = vars(value).get("__doc__") or ""
        assert not text.startswith(f"{value.__name__}("), "this is the signature that dataclass writes, not a docstring"
    elif callable(value) or isinstance(value, types.ModuleType):
        text = inspect.getdoc(value) or ""
    else:
        return  # a plain value, such as the version, explains itself
    assert text.strip()


def test_star_import_gives_the_public_names() -> None:
    namespace: dict[str, object] = {}
    exec("from dfnb import *", namespace)
    assert set(namespace) - {"__builtins__"} == set(dfnb.__all__)
