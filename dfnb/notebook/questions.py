"""How a view asks for a part of something long: a window of lines, a line by its place, a page of a text."""

from __future__ import annotations

from typing import Any

Picture = dict[str, Any]

LARGEST_PAGE = 65_536
_LARGEST_WINDOW = 500


def window(question: Picture) -> slice:
    """The lines that are asked for."""
    begin = max(0, int(question.get("from") or 0))
    return slice(begin, begin + min(_LARGEST_WINDOW, max(1, int(question.get("count") or _LARGEST_WINDOW))))


def place_in(length: int, given: Any) -> int:
    """The place of a line that there is; ValueError if there is none such."""
    index = int(given if given is not None else -1)
    if not 0 <= index < length:
        raise ValueError("there is no such line any more")
    return index


def page_of(text: str, question: Picture) -> Picture:
    """The characters that are asked for."""
    begin = max(0, int(question.get("from") or 0))
    count = min(LARGEST_PAGE, max(1, int(question.get("count") or LARGEST_PAGE)))
    return {"text": text[begin : begin + count], "total": len(text)}
