"""Where a request may go, and what may go along with it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import SplitResult, quote, urljoin, urlsplit, urlunsplit

from dfnb.durable_http.messages import Headers
from dfnb.durable_http.secrets import secrets_in

SAFE_HEADERS = frozenset({"accept", "accept-charset", "accept-encoding", "accept-language", "user-agent"})
"""All that goes along to another origin."""

BODY_HEADERS = frozenset(
    {"content-encoding", "content-language", "content-length", "content-md5", "content-type", "digest", "expect", "trailer"}
    | {"transfer-encoding"}
)
ONCE_HEADERS = frozenset(
    {"host", "idempotency-key", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "prefer"}
    | {"range", "repeatability-first-sent", "repeatability-request-id", "x-functions-key", "x-http-method-override"}
)
"""What belongs to the first request alone: a poll is another request, for another resource."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_NOT_IN_A_URL = re.compile(r"[\x00-\x20\x7f\\]")
_SPACE = re.compile(r"^[ \t]+|[ \t]+$")


class Target(NamedTuple):
    """Where a server points: a URL to follow, or why it is not followed."""

    url: str | None
    refusal: str = ""


@lru_cache(maxsize=4096)
def origin(url: str) -> str | None:
    """Scheme, host and port in one normal form, or None when the URL has none that HTTP could reach."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS[parts.scheme]
    except (KeyError, ValueError):
        return None
    return f"{parts.scheme}://{parts.hostname}:{port}" if parts.hostname else None


def follow(base: str, reference: str) -> Target:
    """The URL a server's `reference` means when it was read at `base`, if it is one to follow."""
    reference = _SPACE.sub("", reference)
    shown = reference if len(reference) <= 200 else reference[:200] + "..."
    if not reference:
        return Target(None, "the server points to an empty address")
    if _NOT_IN_A_URL.search(reference) or not _encodable(reference):
        return Target(None, f"the server points to {shown!r}, which is no valid URL; it was not followed")
    try:
        parts = urlsplit(urljoin(base, reference))
        named = urlsplit(reference)
    except ValueError:
        return Target(None, f"the server points to {shown!r}, which is no valid URL; it was not followed")
    if parts.scheme not in _DEFAULT_PORTS:
        return Target(None, f"the server points to {shown!r}; only http and https are followed")
    if named.netloc and "@" in named.netloc:
        parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])  # a server cannot hand out credentials of its choice
    url = urlunsplit(parts._replace(fragment=""))
    if origin(url) is None:
        return Target(None, f"the server points to {shown!r}, which has no host; it was not followed")
    if parts.scheme == "http" and base.lower().startswith("https:"):
        return Target(None, f"the server points from https to {shown!r}; the step down to http was refused")
    return Target(url)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def below(base: str, suffix: str) -> str:
    """`base` with `suffix` added to its path; its query stays, unless the suffix brings one."""
    parts = urlsplit(base)
    added, mark, query = suffix.partition("?")
    path = parts.path.rstrip("/") if added.startswith("/") else parts.path
    return urlunsplit(SplitResult(parts.scheme, parts.netloc, path + added, query if mark else parts.query, ""))


def api_root(url: str) -> str:
    """The URL up to and including its version segment (``/v1``, ``/v1beta2``), or ``/v1`` of its host when it has none."""
    parts = urlsplit(url)
    match = re.match(r"(?:/[^/]*?)*?/v\d[a-z0-9.]*(?=/|$)", parts.path)
    return urlunsplit(SplitResult(parts.scheme, parts.netloc, match[0] if match else "/v1", "", ""))


def as_path(value: str) -> str | None:
    """A value of a server's body as a part of a path, or None for one that would climb out of it."""
    value = value.strip("/")
    if not value or not _encodable(value) or any(segment in ("", ".", "..") for segment in value.split("/")):
        return None
    return quote(value, safe="/:@!$&'()*+,;=~")


def headers_along(headers: Headers, *, trusted: bool, with_body: bool) -> Headers:
    """The headers of the first request that a later one takes along: no secret leaves home, not even under a safe name."""
    if not trusted:
        return tuple((name, value) for name, value in headers if name.lower() in SAFE_HEADERS and not secrets_in(value))
    left = frozenset() if with_body else BODY_HEADERS | ONCE_HEADERS
    return tuple((name, value) for name, value in headers if name.lower() not in left)
