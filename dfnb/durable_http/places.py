"""Where in an answer a URL or a value stands: the small language of `Poll`'s descriptions.

    header:Location          a header of the answer
    body:properties.next     a value in the JSON body of the answer
    first-location           the Location of the answer to the first request
    same                     the first request itself, sent again
    {url}/{body.id}          a URL put together: {url} of the first request, {status} that is polled, {origin} and {api} (up to its
                             /v1) of the first URL, {body.PATH}, {header.NAME}; a query in {url} or {status} stays behind
    if PUT PATCH: {url}      a place for some methods of the first request only
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from dfnb.durable_http.documents import Document, parse_path
from dfnb.durable_http.messages import Headers, header
from dfnb.durable_http.urls import api_root, as_path, below
from dfnb.errors import nearest

_CONDITION = re.compile(r"if (?P<methods>[A-Z]+(?: [A-Z]+)*): (?P<place>.+)", re.DOTALL)
_VARIABLE = re.compile(r"\{([^{}]*)\}")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_WORDS = ("header:", "body:", "first-location", "same")
_NAMES = ("url", "status", "origin", "api")


class Scene(NamedTuple):
    """What a place is looked up in: the call so far, and the answer at hand."""

    method: str
    url: str
    status_url: str | None
    first_location: str | None
    headers: Headers
    document: Document


class Place(NamedTuple):
    """One place, read from its text."""

    kind: str
    argument: str
    methods: tuple[str, ...] = ()


@lru_cache(maxsize=1024)
def parse_place(text: str) -> Place:
    """Read a place; ValueError with a sentence if the text is none."""
    condition = _CONDITION.fullmatch(text)
    if condition is not None:
        return parse_place(condition["place"])._replace(methods=tuple(condition["methods"].split()))
    if text in ("same", "first-location"):
        return Place(text, "")
    kind, colon, argument = text.partition(":")
    if kind == "body" and colon:
        parse_path(argument)
        return Place("body", argument)
    if kind == "header" and colon and _TOKEN.fullmatch(argument):
        return Place("header", argument)
    if text.startswith(("{", "/", "http://", "https://")):
        return Place("template", _checked(text))
    raise ValueError(_no_place(text))


def _no_place(text: str) -> str:
    kind, colon, argument = text.partition(":")
    close = nearest(kind, [word.rstrip(":") for word in _WORDS])
    if not colon and text[:1].isupper():
        meant = f"header:{text}"
    elif close:
        meant = close[0] + colon + argument
    else:
        meant = f"body:{text}"
    return (
        f"{text!r} says no place; did you mean {meant!r}? "
        "A place is 'header:NAME', 'body:path.to.value', 'first-location', 'same', or a URL like '{url}/{body.id}'"
    )


def _checked(template: str) -> str:
    for name in _VARIABLE.findall(template):
        kind, dot, argument = name.partition(".")
        if dot and kind == "body":
            parse_path(argument)
        elif not (name in _NAMES or (dot and kind == "header" and _TOKEN.fullmatch(argument))):
            close = nearest(name, _NAMES)
            known = "known are {url}, {status}, {origin}, {api}, {body.PATH}, {header.NAME}"
            hint = f"did you mean {{{close[0]}}}?" if close else known
            raise ValueError(f"{template!r} has {{{name}}}, which means nothing; {hint}")
    if "{" in _VARIABLE.sub("", template) or "}" in _VARIABLE.sub("", template):
        raise ValueError(f"{template!r} has a brace without its partner")
    return template


def look(place: str, scene: Scene) -> str | None:
    """What stands at a place: a URL or a value as the server wrote it, or None when nothing does."""
    kind, argument, methods = parse_place(place)
    if methods and scene.method.upper() not in methods:
        return None
    match kind:
        case "same":
            return scene.url
        case "first-location":
            return scene.first_location
        case "header":
            return header(scene.headers, argument)
        case "body":
            return scene.document.text(argument)
        case _:
            return _put_together(argument, scene)


def look_for(places: Iterable[str], scene: Scene) -> tuple[str, str] | None:
    """The first of several places where something stands, without its condition, and what stands there."""
    return next(((_unconditional(place), found) for place in places if (found := look(place, scene)) is not None), None)


def _unconditional(place: str) -> str:
    condition = _CONDITION.fullmatch(place)
    return condition["place"] if condition is not None else place


def _put_together(template: str, scene: Scene) -> str | None:
    head = _VARIABLE.match(template)
    base = _base(head[1], scene) if head is not None and head[1] in _NAMES else None
    if head is not None and head[1] in _NAMES and base is None:
        return None
    rest = _filled(template[head.end() :] if head is not None and base is not None else template, scene)
    if rest is None:
        return None
    return (below(base, rest) if rest else base) if base is not None else rest


def _base(name: str, scene: Scene) -> str | None:
    match name:
        case "url":
            return scene.url
        case "status":
            return scene.status_url
        case "api":
            return api_root(scene.url)
        case _:
            parts = urlsplit(scene.url)
            return f"{parts.scheme}://{parts.netloc}"


def _filled(template: str, scene: Scene) -> str | None:
    """A template with its values put in, or None when one of them is missing or would change the path's shape."""
    out, position = [], 0
    for match in _VARIABLE.finditer(template):
        kind, _, argument = match[1].partition(".")
        if kind in _NAMES:
            value = _base(kind, scene)
        else:
            found = scene.document.text(argument) if kind == "body" else header(scene.headers, argument)
            value = as_path(found) if found is not None else None
        if value is None:
            return None
        out += [template[position : match.start()], value]
        position = match.end()
    return "".join([*out, template[position:]])
