"""JSON from outside: read strictly, and looked through for objects that stand for one of a class."""

from __future__ import annotations

import json
import math
from typing import Any

_MARKER = "__class__"


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is too large a number")
    return number


STRICT = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)
"""Takes what other programs take: no NaN, no Infinity, and no number that would become one. ValueError for anything else."""


def names_a_class(text: str) -> bool:
    """Whether JSON text has an object that stands for one of a class, however its marker is spelled."""
    if _MARKER not in text and "\\u" not in text:
        return False
    found = False

    def look(pairs: list[tuple[str, Any]]) -> None:
        nonlocal found
        found = found or any(name == _MARKER for name, _ in pairs)

    json.loads(text, object_pairs_hook=look)
    return found
