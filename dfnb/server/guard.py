"""Who may ask for what, and how much of it: the Host header, foreign pages, keys, codes in links, sizes of bodies."""

from __future__ import annotations

import asyncio
import hmac
import math
import re
from array import array
from collections.abc import Callable
from itertools import accumulate
from typing import Any
from urllib.parse import urlsplit

import msgspec
from starlette.requests import ClientDisconnect, Request

from dfnb.client.keys import HubKeys
from dfnb.client.links import Scope, read_code
from dfnb.records.plain_json import STRICT
from dfnb.server.answers import Refused, empty, invalid_json, message
from dfnb.server.query import Query
from dfnb.server.settings import ServerSettings

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_HOST = re.compile(r"([\w.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.ASCII | re.IGNORECASE)
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NEITHER_BRACKET_NOR_QUOTE = bytes(set(range(256)) - set(b'[]{}"'))
_PIECE = 1 << 16
_JSON_TYPE = "application/json"


class Guard:
    """The checks of one server."""

    def __init__(self, settings: ServerSettings, keys: HubKeys, now: Callable[[], int]) -> None:
        self._settings = settings
        self._keys = keys
        self._now = now

    # before anything else

    def check_origin(self, request: Request) -> None:
        """Refuse names this server does not have (a page may have its own name point here) and changes asked by foreign pages."""
        hosts = request.headers.getlist("host")
        name = host_name(hosts[0]) if len(hosts) == 1 else ""
        if name not in self._settings.host_names:
            raise Refused(message(403, f"this server does not answer as {name or 'nobody'!r}; allow it with allowed_hosts"))
        if request.method not in _SAFE and self._is_foreign(request):
            raise Refused(message(403, "pages of other origins may not change anything here; allow theirs with cors_origins"))

    def _is_foreign(self, request: Request) -> bool:
        origin = request.headers.get("origin")
        if origin is None:
            return request.headers.get("sec-fetch-site") == "cross-site"
        if origin in self._settings.cors_origins or "*" in self._settings.cors_origins:
            return False
        return place_of(origin) not in self._own_places(request)

    def _own_places(self, request: Request) -> set[str]:
        """Names with ports under which this server's own pages are called: another port of this machine is somebody else."""
        places = {request.headers.get("host", "").lower()}
        if self._settings.public_url is not None:
            places.add(place_of(self._settings.public_url))
        if self._settings.trust_forwarded:
            places.add(forwarded(request, "host").lower())
        return places - {""}

    # keys

    def check_key(self, request: Request, query: Query) -> None:
        """Let only who has the hub's key go on."""
        if self._settings.require_key and not self.is_system(credential(request, query)):
            raise Refused(empty(401))

    def check_instance(self, request: Request, query: Query, instance_id: str, verb: str) -> Scope | None:
        """Let who has the hub's key go on, and who has a link to this instance that may do this: then what the link may do."""
        if not self._settings.require_key:
            return None
        given = credential(request, query)
        if self.is_system(given):
            return None
        scope = read_code(self._keys.links, instance_id, given)
        if scope is None:
            raise Refused(empty(401))
        if scope.expires_at is not None and scope.expires_at <= self._now():
            raise Refused(message(401, "this link has expired"))
        if verb not in scope.verbs:
            raise Refused(message(403, f"this link may not {verb}"))
        return scope

    def seconds_left(self, scope: Scope) -> float:
        """How long a link lasts yet."""
        return math.inf if scope.expires_at is None else (scope.expires_at - self._now()) / 1_000_000

    def is_system(self, given: str) -> bool:
        return _same(given, self._keys.system)

    def is_function(self, given: str) -> bool:
        """Whether a key opens triggers of the auth level ``function``."""
        return _same(given, self._keys.function) or self.is_system(given)

    # bodies

    async def body(self, request: Request) -> bytes:
        """The whole body, if it is not too long and comes in time."""
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise Refused(message(415, "send the body as it is, without a content encoding"))
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > self._settings.max_body:
            raise Refused(self._too_long())
        try:
            async with asyncio.timeout(self._settings.body_timeout):
                return await self._read(request)
        except TimeoutError:
            raise Refused(message(408, f"the body did not come within {self._settings.body_timeout:g} s", _CLOSE)) from None
        except ClientDisconnect:
            raise Refused(empty(400)) from None

    async def _read(self, request: Request) -> bytes:
        pieces, size = [], 0
        async for piece in request.stream():
            size += len(piece)
            if size > self._settings.max_body:
                raise Refused(self._too_long())
            pieces.append(piece)
        return b"".join(pieces)

    def _too_long(self) -> Any:
        return message(413, f"the body may have {self._settings.max_body:,} bytes at most", _CLOSE)

    def json_text(self, body: bytes, *, whole: bool = True) -> str:
        """The body as JSON text; of a body that goes on behind its first value, just that unless it has to be the `whole` one."""
        text = self._shallow(body)
        try:
            value = msgspec.json.decode(text, type=msgspec.Raw)
            msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            return self._first_value(text, str(error) if whole else None)
        return bytes(value).decode()

    def _first_value(self, text: str, if_more_follows: str | None) -> str:
        """For what the fast parser does not take: a lone half of a surrogate pair, or more behind the value where that is fine."""
        begin = text.strip(_BLANKS)
        try:
            _, end = STRICT.raw_decode(begin)
        except (ValueError, RecursionError) as error:
            raise Refused(invalid_json(str(error))) from None
        if if_more_follows is not None and end < len(begin):
            raise Refused(invalid_json(if_more_follows))
        return begin[:end]

    def _shallow(self, body: bytes) -> str:
        if nesting(body, self._settings.max_depth) > self._settings.max_depth:
            raise Refused(invalid_json(f"the JSON is nested more than {self._settings.max_depth} deep"))
        try:
            return body.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise Refused(invalid_json(f"the body is not UTF-8: {error.reason} at byte {error.start}")) from None


_CLOSE = {"Connection": "close"}
_BLANKS = " \t\r\n"


def credential(request: Request, query: Query) -> str:
    """The key of a request; as in the original, the one in the header wins."""
    return request.headers.get("x-functions-key") or query.text("code") or ""


def host_name(host: str) -> str:
    """The name in a Host header, in lower case and without the port."""
    found = _HOST.fullmatch(host)
    return found[1].strip("[]").lower() if found else ""


def place_of(url: str) -> str:
    """The name and port of a URL, in lower case; empty for what is none, such as the origin ``null``."""
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""


def forwarded(request: Request, what: str) -> str:
    """What the proxy says of the caller's side (host, proto, prefix), if it is one word that may stand in a URL."""
    word = request.headers.get(f"x-forwarded-{what}", "").partition(",")[0].strip()
    return word if _FORWARDED[what].fullmatch(word) else ""


_FORWARDED = {"host": _HOST, "proto": re.compile("https?"), "prefix": re.compile(r"(/[\w.~@-]+)+/?", re.ASCII)}


def is_json(content_type: str) -> bool:
    """Whether a media type is ``application/json``, whatever its parameters."""
    return content_type.partition(";")[0].strip().lower() == _JSON_TYPE


def nesting(body: bytes, enough: int) -> int:
    """How deeply brackets are nested outside strings; once it is more than `enough`, the counting stops.

    Piece by piece and without a regular expression: on 32 MB of the worst, one takes gigabytes and half a minute.
    """
    if body.count(b"[") + body.count(b"{") <= enough:
        return 0
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    steps = plain.translate(_STEPS, _NEITHER_BRACKET_NOR_QUOTE).replace(b'""', b"")  # who opens and who closes stays the same
    depth = deepest = inside = 0
    for begin in range(0, len(steps), _PIECE):
        parts = steps[begin : begin + _PIECE].split(b'"')
        levels = list(accumulate(array("b", b"".join(parts[inside::2])), initial=depth))
        depth, deepest = levels[-1], max(deepest, *levels)
        if deepest > enough:
            break
        inside ^= (len(parts) - 1) & 1
    return deepest


def _same(given: str, key: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), key.encode())
