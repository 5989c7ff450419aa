"""Definitions that use a name which nothing bound, because the statement that would was left out."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Iterator, Mapping
from types import CodeType
from typing import Any

from dfnb.definitions import Definition


def warnings(definitions: list[Definition], missing: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each such use; `missing` has the names, each with why its statement was left out."""
    for definition in definitions:
        for function in _functions(definition.function):
            names = sorted(_globals_read(function.__code__) & missing.keys() - function.__globals__.keys())
            for name in names:
                yield (
                    f"{definition.kind} {definition.name} uses {name}, which is not there: "
                    f"the statement that binds it was left out because it {missing[name]}"
                )


def _functions(defined: Any) -> Iterator[Any]:
    members = vars(defined).values() if inspect.isclass(defined) else [defined]
    return (inspect.unwrap(member) for member in members if inspect.isfunction(inspect.unwrap(member)))


def _globals_read(code: CodeType) -> set[str]:
    own = {str(step.argval) for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return own.union(*(_globals_read(inner) for inner in code.co_consts if isinstance(inner, CodeType)))
