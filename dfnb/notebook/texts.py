"""Values and texts cut to what a view has room for."""

from __future__ import annotations

from typing import Any

import msgspec

LONGEST_TEXT = 2_000


def shown_json(text: str | None) -> str:
    """JSON text for people: a text without its quotes, nothing for null."""
    if text is None or text == "null":
        return ""
    try:
        return shown_value(msgspec.json.decode(text))
    except msgspec.DecodeError:
        return cut(text, LONGEST_TEXT)


def shown_value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return cut(value, LONGEST_TEXT)
    try:
        return cut(msgspec.json.encode(value).decode(), LONGEST_TEXT)
    except (TypeError, ValueError):  # an object of the user's own, decoded by its type
        return cut(repr(value), LONGEST_TEXT)


def cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
