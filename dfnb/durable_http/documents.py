"""Reading single values out of a JSON body, by dotted paths, without building the rest of it."""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

_STEP = re.compile(r"""\.?(?:'(?P<quoted>[^']*)'|\[(?P<bracket>[^\]]*)\]|(?P<plain>[^.\[\]'\s]+))""")
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_SCALAR = msgspec.json.Decoder(str | int | float | bool | None)

_Inside = dict[str, msgspec.Raw] | list[msgspec.Raw] | tuple[()]
"""One level of a body: an object, an array, or neither."""

Step = str | int | tuple[str, str]
"""A key of an object, a place in an array, or "the first element whose key has this value"."""


@lru_cache(maxsize=512)
def parse_path(path: str) -> tuple[Step, ...]:
    """``links[rel=results].href`` as steps; keys with dots stand in single quotes. ValueError with a sentence if it is none."""
    steps: list[Step] = []
    position = 0
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None or (match[0][0] == ".") != (position > 0 and match["bracket"] is None):
            raise ValueError(f"{path!r} is no path into a body: write keys with dots between them, like 'properties.status'")
        steps.append(_step(match, path))
        position = match.end()
    if not steps:
        raise ValueError("a path into a body cannot be empty: write keys with dots between them, like 'properties.status'")
    return tuple(steps)


def _step(match: re.Match[str], path: str) -> Step:
    inside = match["bracket"]
    if inside is None:
        return match["quoted"] if match["quoted"] is not None else match["plain"]
    key, equals, value = inside.partition("=")
    if equals and key:
        return key, value
    if inside.isascii() and inside.isdigit() and len(inside) < 10:
        return int(inside)
    raise ValueError(f"{path!r} has [{inside}]: brackets hold a number, or key=value to choose an element of a list")


class Document:
    """A body that is read as JSON only when asked, and only as deep as asked. Reading never raises."""

    __slots__ = ("_body", "_top")

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._top: _Inside | None = None

    @property
    def empty(self) -> bool:
        """Whether there is nothing in it but blanks."""
        return not self._body or (len(self._body) < 1024 and not self._body.strip())

    @property
    def readable(self) -> bool:
        """Whether it is a JSON object or array."""
        return self._inside() != ()

    def text(self, path: str) -> str | None:
        """The word, number, true or false at a path, as text; None for anything else."""
        try:
            value = _SCALAR.decode(self._at(path) or b"null")
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        if isinstance(value, bool):
            return "true" if value else "false"
        return None if value is None else str(value)

    def has(self, path: str) -> bool:
        """Whether something other than null, false and nothing stands at a path."""
        found = self._at(path)
        return found is not None and bytes(found) not in (b"null", b"false", b'""', b"{}", b"[]")

    def _inside(self) -> _Inside:
        """The body taken apart once: it may be large, and several paths are looked up in it."""
        if self._top is None:
            self._top = _open(self._body.removeprefix(b"\xef\xbb\xbf"))
        return self._top

    def _at(self, path: str) -> msgspec.Raw | None:
        first, *others = parse_path(path)
        found = _walk(self._inside(), first)
        for step in others:
            found = _walk(_open(found), step) if found is not None else None
        return found


def _walk(inside: _Inside, step: Step) -> msgspec.Raw | None:
    if isinstance(step, str):
        return inside.get(step) if isinstance(inside, dict) else None
    elements = inside if isinstance(inside, list) else []
    if isinstance(step, int):
        return elements[step] if step < len(elements) else None
    key, wanted = step
    quoted = f"'{key}'"
    return next((element for element in elements if Document(bytes(element)).text(quoted) == wanted), None)


def _open(raw: msgspec.Raw | bytes) -> _Inside:
    for decoder in (_OBJECT, _ARRAY):
        try:
            return decoder.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
    return ()
