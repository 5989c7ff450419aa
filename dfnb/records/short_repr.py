"""Short texts for values with many fields: what was said, not what is so anyway; no memory addresses, nothing long.

And texts of others, which may reach a terminal.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

_LONGEST = 60
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def said_only(value: Any) -> str:
    """The `__repr__` of a dataclass: its fields that are not as they are by default."""
    said = [f"{field.name}={brief(getattr(value, field.name))}" for field in dataclasses.fields(value) if _is_said(value, field)]
    return f"{type(value).__name__}({', '.join(said)})"


def _is_said(value: Any, field: dataclasses.Field[Any]) -> bool:
    if not field.repr:
        return False
    if field.default is not dataclasses.MISSING:
        return bool(getattr(value, field.name) != field.default)
    made = field.default_factory
    return made is dataclasses.MISSING or bool(getattr(value, field.name) != made())


def brief(value: Any) -> str:
    """A value in few signs; a function by its name, and any other object without a text of its own by its type."""
    if isinstance(value, dict):
        return cut(f"{{{', '.join(f'{key!r}: {brief(item)}' for key, item in value.items())}}}", 2 * _LONGEST)
    text = repr(value)
    if " at 0x" in text:
        return f"<{getattr(value, '__name__', type(value).__name__)}>"
    return cut(text)


def visible(text: str, kept: str = "\n\t") -> str:
    """The text with control characters spelled out: a terminal would obey them. `kept` are left as they are."""
    return _UNSEEN.sub(lambda found: found[0] if found[0] in kept else repr(found[0])[1:-1], text)


def cut(text: str, length: int = _LONGEST) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
