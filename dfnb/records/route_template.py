"""Route templates of HTTP triggers, in the syntax and with the precedence of ASP.NET, which Azure Functions uses.

``orders/{id:int}/{item?}`` or ``files/{*rest}``. Literals ignore case. A value is percent-decoded, except that ``%2F`` stays as it
is: a slash that was escaped is no separator, and does not become one behind the router's back.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote

from dfnb.errors import nearest
from dfnb.records.route_constraints import CONSTRAINTS, constraint


@dataclasses.dataclass(frozen=True, slots=True)
class Parameter:
    """``{name}`` in a template, with what its value has to fulfil."""

    name: str
    constraints: tuple[tuple[str, Callable[[str], bool]], ...] = ()
    optional: bool = False
    default: str | None = None
    catch_all: bool = False

    def takes(self, value: str) -> bool:
        return all(test(value) for _, test in self.constraints)

    @property
    def shape(self) -> str:
        """What it matches, whatever its name."""
        return "{" + "*" * self.catch_all + "".join(f":{text}" for text, _ in self.constraints) + "}"


@dataclasses.dataclass(frozen=True, slots=True)
class Segment:
    """What stands between two slashes: literals and parameters in turn."""

    pieces: tuple[str | Parameter, ...]

    @property
    def parameters(self) -> list[Parameter]:
        return [piece for piece in self.pieces if isinstance(piece, Parameter)]

    @property
    def alone(self) -> Parameter | None:
        """The parameter that is the whole segment."""
        only = self.pieces[0] if len(self.pieces) == 1 else None
        return only if isinstance(only, Parameter) else None

    @property
    def shape(self) -> str:
        return "".join(piece.lower() if isinstance(piece, str) else piece.shape for piece in self.pieces)

    @property
    def rank(self) -> int:
        """How much it leaves open: 0 for a literal, 5 for a catch-all without constraints."""
        if not self.parameters:
            return 0
        if self.alone is None:
            return 1
        return 2 + (not self.alone.constraints) + 2 * self.alone.catch_all

    def values(self, text: str) -> dict[str, str] | None:
        """What its parameters stand for in a decoded segment of a path; None if it does not fit."""
        values = _from_the_right(self.pieces, text)
        if values is None or not all(parameter.takes(values[parameter.name]) for parameter in self.parameters):
            return None
        return values


def _from_the_right(pieces: tuple[str | Parameter, ...], text: str) -> dict[str, str] | None:
    """Each literal is looked for from the end, once: a regular expression could try a long path in too many ways."""
    lowered = text.lower() if len(text.lower()) == len(text) else text
    values: dict[str, str] = {}
    open_one: Parameter | None = None
    end = len(text)
    for number, piece in reversed(list(enumerate(pieces))):
        if isinstance(piece, Parameter):
            open_one = piece
            continue
        begin = _place(piece.lower(), lowered, end, first=number == 0, adjacent=open_one is None)
        if begin < 0:
            return None
        if open_one is not None:
            values[open_one.name] = text[begin + len(piece) : end]
            open_one = None
        end = begin
    if open_one is not None:
        values[open_one.name] = text[:end]
        end = 0 if end else -1
    return values if end == 0 else None


def _place(literal: str, text: str, end: int, *, first: bool, adjacent: bool) -> int:
    """Where a literal begins before `end`: just there, or as near to it as leaves a character for a parameter; -1: nowhere."""
    if adjacent:
        return end - len(literal) if text.endswith(literal, 0, end) else -1
    if first:
        return 0 if text.startswith(literal, 0, max(end - 1, 0)) else -1
    return text.rfind(literal, 0, max(end - 1, 0))


@dataclasses.dataclass(frozen=True, slots=True)
class RouteTemplate:
    """A parsed template. Of several that fit a path, the one with the smallest `rank` is meant."""

    text: str
    segments: tuple[Segment, ...]

    @property
    def rank(self) -> tuple[int, ...]:
        return tuple(segment.rank for segment in self.segments)

    @property
    def shape(self) -> str:
        """The same for two templates that match the same paths."""
        return "/".join(segment.shape for segment in self.segments)

    @property
    def shortest(self) -> int:
        """How many segments a path needs: those at the end that have a default, are optional or take any rest may be left out."""
        number = len(self.segments)
        while number and _absent(self.segments[number - 1].alone) is not None:
            number -= 1
        return number

    def match(self, path: str) -> dict[str, str] | None:
        """The values of the parameters in a path, which is still percent-encoded; None if it does not fit."""
        parts = _decoded(path)
        if parts is None:
            return None
        values: dict[str, str] = {}
        for number, segment in enumerate(self.segments):
            only = segment.alone
            if only is not None and only.catch_all:
                return _with_rest(values, only, "/".join(parts[number:]))
            found = segment.values(parts[number]) if number < len(parts) else _absent(only)
            if found is None:
                return None
            values |= found
        return values if len(parts) <= len(self.segments) else None


def _with_rest(values: dict[str, str], parameter: Parameter, rest: str) -> dict[str, str] | None:
    rest = rest or parameter.default or ""
    return {**values, parameter.name: rest} if parameter.takes(rest) else None


def _absent(parameter: Parameter | None) -> dict[str, str] | None:
    if parameter is None:
        return None
    if parameter.default is not None:
        return {parameter.name: parameter.default}
    if parameter.catch_all:
        return _with_rest({}, parameter, "")
    return {} if parameter.optional else None


def _decoded(path: str) -> list[str] | None:
    """The segments of a path; None for one that no route may see: not UTF-8, control characters, steps up and down."""
    parts = path.removesuffix("/").split("/")
    try:
        decoded = ["%2F".join(unquote(piece, errors="strict") for piece in re.split("%2F", part, flags=re.I)) for part in parts]
    except UnicodeDecodeError:
        return None
    wrong = any(part in (".", "..") or re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", part) for part in decoded)
    return None if wrong else [] if decoded == [""] else decoded


# ---- parsing


@functools.lru_cache(maxsize=1_024)
def parse(route: str) -> RouteTemplate:
    """The template that a text describes; a slash in front of it is left out. ValueError says what is wrong with it."""
    text = route.removeprefix("/").removesuffix("/")
    segments = tuple(_segment(pieces, text) for pieces in _split(text)) if text else ()
    _check_names(segments, text)
    _check_order(segments, text)
    return RouteTemplate(text, segments)


_TOKEN = re.compile(r"/|\{\{|\}\}|\{(?P<parameter>(?:[^{}]|\{\{|\}\})*)\}(?!\})|[^/{}]+")


def _split(text: str) -> Iterator[list[str | Parameter]]:
    pieces: list[str | Parameter] = []
    position = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise ValueError(f"the route {text!r} has a brace without its partner; write {{name}}, or {{{{ for a brace itself")
        position = token.end()
        if token[0] == "/":
            yield pieces
            pieces = []
        elif token["parameter"] is not None:
            pieces.append(_parameter(_unescaped(token["parameter"]), text))
        elif pieces and isinstance(pieces[-1], str):
            pieces[-1] += _unescaped(token[0])
        else:
            pieces.append(_unescaped(token[0]))
    yield pieces


def _unescaped(text: str) -> str:
    return text.replace("{{", "{").replace("}}", "}")


def _segment(pieces: list[str | Parameter], route: str) -> Segment:
    if not pieces:
        raise ValueError(f"the route {route!r} has two slashes side by side; take one away")
    if "?" in (literal := "".join(piece for piece in pieces if isinstance(piece, str))) or "#" in literal:
        raise ValueError(f"the route {route!r} must not contain ? or #: a query is read from the request's `params`")
    for before, behind in itertools.pairwise(pieces):
        if isinstance(before, Parameter) and isinstance(behind, Parameter):
            raise ValueError(f"in the route {route!r} nothing is between {{{before.name}}} and {{{behind.name}}}; put a / there")
    if len(pieces) > 1:
        _check_company(pieces, route)
    return Segment(tuple(pieces))


def _check_company(pieces: list[str | Parameter], route: str) -> None:
    for piece in pieces:
        if isinstance(piece, Parameter) and (piece.optional or piece.catch_all or piece.default is not None):
            raise ValueError(
                f"in the route {route!r} {{{piece.name}}} is optional or takes the rest, and must stand between slashes alone"
            )


def _check_names(segments: tuple[Segment, ...], route: str) -> None:
    seen: set[str] = set()
    for parameter in (parameter for segment in segments for parameter in segment.parameters):
        if parameter.name.lower() in seen:
            raise ValueError(f"the route {route!r} has two parameters named {parameter.name!r}; give each a name of its own")
        seen.add(parameter.name.lower())


def _check_order(segments: tuple[Segment, ...], route: str) -> None:
    left_out = ""
    for number, segment in enumerate(segments):
        only = segment.alone
        if only is not None and only.catch_all and number < len(segments) - 1:
            raise ValueError(f"in the route {route!r} {{*{only.name}}} takes the rest of the path, so it must stand at the end")
        may_be_absent = only is not None and (only.optional or only.default is not None or only.catch_all)
        if left_out and not may_be_absent:
            raise ValueError(f"in the route {route!r} {{{left_out}}} may be left out, so what is behind it must be optional too")
        left_out = only.name if only is not None and may_be_absent else ""


_NAME = re.compile(r"(?P<stars>\*{0,2})(?P<name>[^\W\d][\w-]*)")
_CONSTRAINT = re.compile(r":(?P<name>[^\W\d]\w*)")


def _parameter(text: str, route: str) -> Parameter:
    head = _NAME.match(text)
    if head is None:
        raise ValueError(f"the route {route!r} has a parameter {{{text}}} without a name; write {{id}}, {{id?}} or {{*rest}}")
    found, rest = _constraints(text[head.end() :], route)
    if rest not in ("", "?") and not rest.startswith("="):
        raise ValueError(f"in the route {route!r} {{{text}}} cannot be read from {rest!r} on; write {{id}}, {{id?}} or {{id:int}}")
    default = rest[1:] if rest.startswith("=") else None
    return Parameter(head["name"], found, rest == "?", default, bool(head["stars"]))


def _constraints(text: str, route: str) -> tuple[tuple[tuple[str, Callable[[str], bool]], ...], str]:
    """The constraints at the begin of a text, and what is behind them."""
    found = []
    while (head := _CONSTRAINT.match(text)) is not None:
        end = _closing(text, head.end())
        argument = text[head.end() + 1 : end - 1] if end > head.end() else None
        found.append((f"{head['name'].lower()}{text[head.end() : end]}", _checked(head["name"].lower(), argument, route)))
        text = text[end:]
    return tuple(found), text


def _closing(text: str, begin: int) -> int:
    """Behind the bracket that closes the one at `begin`; `begin` itself if there is none to close."""
    if text[begin : begin + 1] != "(":
        return begin
    depth = 0
    for found in re.finditer(r"\\.|[()]", text[begin:]):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth == 0:
            return begin + found.end()
    return begin


def _checked(name: str, argument: str | None, route: str) -> Callable[[str], bool]:
    if name not in CONSTRAINTS:
        close = nearest(name, CONSTRAINTS)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(CONSTRAINTS)}"
        raise ValueError(f"the route {route!r} has the constraint {name!r}, which is not known; {hint}")
    try:
        return constraint(name, argument)
    except ValueError as error:
        raise ValueError(f"the route {route!r}: {error}") from None
