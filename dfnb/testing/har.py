"""A run replayed without a network: an httpx transport that answers as an HTTP archive (HAR) has recorded it.

What dfnb records has names in place of secrets and signatures, so a recorded URL is met by one that has any value there.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

Json = Mapping[str, Any]

_STAND_IN = re.compile(
    r"<(?:secret|token): [^<>]*>|<redacted>|%3C(?:secret|token):(?:%20|\+)[^&#/?]*?%3E|%3Credacted%3E", re.IGNORECASE
)
_ANY = "dfnbanything"  # letters only: what a URL keeps as it is
_OF_THE_WIRE = frozenset({"connection", "content-encoding", "content-length", "keep-alive", "transfer-encoding"})
"""Headers about how a body travelled: the recorded one is unpacked, and whole."""


@dataclasses.dataclass(slots=True)
class _Recorded:
    """The answers to one request, in the order in which they came."""

    method: str
    url: str
    pattern: re.Pattern[str]
    answers: list[Json]
    given: int = 0


class HarTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Answers each request with what was recorded for its method and URL, several answers in the order in which they came.

    `recorded` is a path or a HAR document, from ``run.http().save_har(path)`` or ``.har()``, or from a browser. A request that was
    not recorded, or more often than it was, is a LookupError that names it; with `strict=False` the last answer is given again. For
    ``httpx.Client(transport=...)``, ``httpx.AsyncClient(transport=...)`` and, so that a whole orchestration runs offline,
    ``HttpSettings(clients={"": lambda: HarTransport("run.har")}, pace=Pace(floor=0, cap=0))``: that pace waits for nothing.
    """

    def __init__(self, recorded: str | os.PathLike[str] | Json, strict: bool = True) -> None:
        self._strict = strict
        self._lock = threading.Lock()
        self._recorded = _grouped(_entries(recorded))

    @property
    def unused(self) -> list[str]:
        """The recorded requests nobody has made, such as ``GET https://host/path``, each as often as it is left."""
        return [f"{one.method} {one.url}" for one in self._recorded for _ in one.answers[one.given :]]

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer in this thread."""
        return self._answer(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer on the running loop."""
        return self._answer(request)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            entry = self._next(request)
        response = entry["response"]
        if not response.get("status"):
            raise _failure(entry, request)
        headers = [(one["name"], one["value"]) for one in response.get("headers", ())]
        kept = [pair for pair in headers if pair[0].lower() not in _OF_THE_WIRE and not pair[0].startswith(":")]
        return httpx.Response(
            response["status"],
            headers=[(name.encode(), value.encode("utf-8")) for name, value in kept],
            stream=httpx.ByteStream(_body(response.get("content", {}))),
            request=request,
        )

    def _next(self, request: httpx.Request) -> Json:
        wanted = f"{request.method} {request.url}"
        found = self._found(request)
        if found is None:
            there_are = ", ".join(dict.fromkeys(f"{one.method} {one.url}" for one in self._recorded)) or "no requests at all"
            raise LookupError(f"{wanted} was not recorded; the archive has {there_are}")
        if found.given < len(found.answers):
            found.given += 1
        elif self._strict:
            times = len(found.answers)
            raise LookupError(
                f"{wanted} was recorded {'once' if times == 1 else f'{times} times'}, and is asked for once more; "
                f"record the run again, or let HarTransport(..., strict=False) repeat the last answer"
            )
        return found.answers[found.given - 1]

    def _found(self, request: httpx.Request) -> _Recorded | None:
        """The one recorded under this very URL, else one with answers left whose URL has stand-ins where this one has values."""
        url = _normal(str(request.url))
        fitting = [one for one in self._recorded if one.method == request.method and one.pattern.fullmatch(url)]
        return min(fitting, key=lambda one: (_normal(one.url) != url, one.given == len(one.answers)), default=None)


def _entries(recorded: str | os.PathLike[str] | Json) -> list[Json]:
    where = "the document" if isinstance(recorded, Mapping) else str(recorded)
    try:
        document = recorded if isinstance(recorded, Mapping) else json.loads(Path(recorded).read_text(encoding="utf-8-sig"))
        entries: list[Json] = list(document["log"]["entries"])
        for entry in entries:
            _ = entry["request"]["method"], entry["request"]["url"], entry["response"]["status"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{where} is no HTTP archive: it needs log.entries, each with a request and a response") from error
    return entries


def _grouped(entries: list[Json]) -> list[_Recorded]:
    groups: dict[tuple[str, str], _Recorded] = {}
    for entry in entries:
        method, url = entry["request"]["method"].upper(), entry["request"]["url"]
        group = groups.setdefault((method, _normal(url)), _Recorded(method, url, _pattern(url), []))
        group.answers.append(entry)
    return list(groups.values())


def _normal(url: str) -> str:
    """A URL as httpx sends it, without its fragment: the same text for the same request."""
    try:
        return str(httpx.URL(url).copy_with(fragment=None))
    except httpx.InvalidURL:
        return url  # no request will ever have it


def _pattern(url: str) -> re.Pattern[str]:
    """What the URL of a request looks like, with anything where the archive has a stand-in."""
    normal = _normal(_STAND_IN.sub(_ANY, url))
    return re.compile(re.escape(normal).replace(_ANY, "[^&#]*"))


def _body(content: Json) -> bytes:
    text = content.get("text") or ""
    return base64.b64decode(text) if content.get("encoding") == "base64" else str(text).encode("utf-8", "surrogatepass")


def _failure(entry: Json, request: httpx.Request) -> httpx.TransportError:
    """The error that stood in place of an answer, as httpx raised it."""
    told = str(entry.get("_dfnb", {}).get("error") or entry["response"].get("_error") or "the archive has no answer")
    name, _, text = told.partition(": ")
    kind = getattr(httpx, name, None) if name.isidentifier() else None
    if isinstance(kind, type) and issubclass(kind, httpx.TransportError):
        return kind(text or name, request=request)
    return (httpx.ReadTimeout if told.startswith("no answer within") else httpx.ConnectError)(told, request=request)
