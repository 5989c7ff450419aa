"""What the value of a route's parameter may have to fulfil: the constraints of ASP.NET by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

Test = Callable[[str], bool]

_WHOLE = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_DECIMAL = r"[+-]?(?:\d+\.?\d*|\.\d+)"
_GUID = r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"


def _integer(bits: int) -> Test:
    limit = 1 << (bits - 1)
    return lambda value: _WHOLE.fullmatch(value) is not None and -limit <= int(value) < limit


def _shaped(pattern: str) -> Test:
    compiled = re.compile(pattern, re.ASCII | re.IGNORECASE)
    return lambda value: compiled.fullmatch(value) is not None


def _is_time(value: str) -> bool:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


_PLAIN: dict[str, Test] = {
    "int": _integer(32),
    "long": _integer(64),
    "bool": _shaped("true|false"),
    "guid": _shaped(rf"[0-9a-f]{{32}}|{_GUID}|\{{{_GUID}\}}|\({_GUID}\)"),
    "alpha": _shaped("[a-z]*"),
    "decimal": _shaped(_DECIMAL),
    "double": _shaped(rf"{_DECIMAL}(?:e[+-]?\d+)?"),
    "float": _shaped(rf"{_DECIMAL}(?:e[+-]?\d+)?"),
    "datetime": _is_time,
    "required": bool,
}
_long = _integer(64)
_NUMBERED: dict[str, tuple[int, Callable[[list[int], str], bool]]] = {
    "length": (2, lambda bounds, value: bounds[0] <= len(value) <= bounds[-1]),
    "minlength": (1, lambda bounds, value: len(value) >= bounds[0]),
    "maxlength": (1, lambda bounds, value: len(value) <= bounds[0]),
    "min": (1, lambda bounds, value: _long(value) and int(value) >= bounds[0]),
    "max": (1, lambda bounds, value: _long(value) and int(value) <= bounds[0]),
    "range": (2, lambda bounds, value: _long(value) and bounds[0] <= int(value) <= bounds[1]),
}
CONSTRAINTS = (*_PLAIN, *_NUMBERED, "regex")
"""The names there are."""


def constraint(name: str, argument: str | None) -> Test:
    """The test behind a name and what stands in brackets behind it; ValueError if the two do not fit."""
    if name == "regex":
        return _regex(argument)
    if name in _PLAIN:
        if argument is not None:
            raise ValueError(f"the constraint {name} takes nothing in brackets, not ({argument})")
        return _PLAIN[name]
    return _numbered(name, argument)


def _numbered(name: str, argument: str | None) -> Test:
    most, holds = _NUMBERED[name]
    parts = [part.strip() for part in (argument or "").split(",")]
    counts = {1, 2} if name == "length" else {most}
    if len(parts) not in counts or not all(_long(part) for part in parts):
        raise ValueError(f"the constraint {name} takes {' or '.join(map(str, sorted(counts)))} whole number(s) in brackets")
    bounds = [int(part) for part in parts]
    return lambda value: holds(bounds, value)


def _regex(argument: str | None) -> Test:
    try:
        compiled = re.compile(argument or "", re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"the regular expression {argument!r} is wrong: {error}") from None
    if not argument:
        raise ValueError("the constraint regex takes an expression in brackets, such as regex(^[a-z]+$); braces in it are doubled")
    return lambda value: compiled.search(value) is not None
