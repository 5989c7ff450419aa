"""What a fake API receives and answers, as values: the same for a transport without sockets and for a real server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dfnb.records.times import to_datetime, to_microseconds

Headers = tuple[tuple[str, str], ...]
"""Names and values in the order of the wire; a name may stand there more than once."""

CHUNK = 65_536
_NO_BODY = (204, 304)


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One request as it arrived. `at`: microseconds since 1970 on the API's clock, which its `Date` shows `skew` wrong."""

    method: str
    url: str
    headers: Headers = ()
    body: bytes = field(default=b"", repr=False)
    at: int = 0
    skew: int = 0

    @property
    def path(self) -> str:
        """The path alone."""
        return urlsplit(self.url).path or "/"

    @property
    def query(self) -> dict[str, str]:
        """The query's names and their first values."""
        return {name: values[0] for name, values in parse_qs(urlsplit(self.url).query, keep_blank_values=True).items()}

    @property
    def origin(self) -> str:
        """Scheme, host and port, as the client wrote them."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    def header(self, name: str) -> str | None:
        """The first value of a header, its name compared ignoring case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def json(self) -> Any:
        """The body read as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Generated:
    """A body that is made while it is sent: `size` bytes, `pattern` again and again."""

    size: int
    pattern: bytes = b"0123456789abcdef"

    def __len__(self) -> int:
        return self.size

    def chunks(self) -> Iterator[bytes]:
        """The body in pieces."""
        piece = self.pattern * -(-CHUNK // len(self.pattern))
        for start in range(0, self.size, len(piece)):
            yield piece[: self.size - start]


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. As a fault it takes the place of the real one; what it answers, the API has not done.

    `delay`: seconds of the API's clock until it is sent. `cut`: how many bytes of the body are sent before the connection
    breaks; -1 breaks it before the status. `reset`: whether it breaks hard or is closed as if all were said.
    """

    status: int = 200
    headers: Headers = ()
    body: bytes | Generated = b""
    delay: float = 0.0
    cut: int | None = None
    reset: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "headers", tuple((name, value) for name, value in self.headers))

    def __call__(self, request: ReceivedRequest, genuine: Callable[[], Reply]) -> Reply:
        """Itself: an answer is the simplest fault."""
        return self

    def header(self, name: str) -> str | None:
        """The first value of a header, its name compared ignoring case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def without(self, *names: str) -> Reply:
        """The same without some headers."""
        gone = {name.lower() for name in names}
        return replace(self, headers=tuple(pair for pair in self.headers if pair[0].lower() not in gone))

    def plus(self, *headers: tuple[str, str]) -> Reply:
        """The same with more headers."""
        return replace(self, headers=(*self.headers, *headers))

    def framed(self, request: ReceivedRequest, date: str) -> Reply:
        """The same with the headers every server adds, and no body where none may be."""
        reply = self
        if reply.header("Date") is None:
            reply = reply.plus(("Date", date))
        if reply.header("Content-Length") is None and reply.status not in _NO_BODY:
            reply = reply.plus(("Content-Length", str(len(reply.body))))
        bodyless = request.method == "HEAD" or reply.status in _NO_BODY
        return replace(reply, body=b"") if bodyless else reply

    def chunks(self) -> Iterator[bytes]:
        """The body in pieces, as far as it is sent."""
        pieces = self.body.chunks() if isinstance(self.body, Generated) else _pieces(self.body)
        if self.cut is None:
            yield from pieces
            return
        left = max(self.cut, 0)
        for piece in pieces:
            if left:
                yield piece[:left]
            left -= min(left, len(piece))
            if not left:
                return


def _pieces(body: bytes) -> Iterator[bytes]:
    return (body[start : start + CHUNK] for start in range(0, len(body), CHUNK))


def reply_of(content: Any, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Reply:
    """An answer with any content: a text, bytes, None for no body, or whatever JSON can hold."""
    if isinstance(content, Reply):
        return content
    body, kind = _encoded(content)
    given = tuple(headers)
    if kind and not any(name.lower() == "content-type" for name, _ in given):
        given = (("Content-Type", kind), *given)
    return Reply(status, given, body)


def _encoded(content: Any) -> tuple[bytes | Generated, str]:
    if content is None:
        return b"", ""
    if isinstance(content, (bytes, Generated)):
        return content, "application/octet-stream"
    if isinstance(content, str):
        return content.encode(), "text/plain; charset=utf-8"
    return json.dumps(content, ensure_ascii=False).encode(), "application/json; charset=utf-8"


def http_date(at: int) -> str:
    """A time as HTTP writes it: ``Wed, 21 Oct 2026 07:28:00 GMT``."""
    return format_datetime(to_datetime(at).replace(microsecond=0), usegmt=True)


RetryValue = int | float | str | timedelta | datetime | None
"""Seconds, a text as it is, a time from now or a time, both written as a date, or None for no header."""


def retry_headers(value: RetryValue | tuple[RetryValue, ...], server_now: int) -> Headers:
    """``Retry-After`` as a server writes it whose clock shows `server_now`; a tuple is the header several times."""
    values = value if isinstance(value, tuple) else (value,)
    return tuple(("Retry-After", _retry_text(one, server_now)) for one in values if one is not None)


def _retry_text(value: RetryValue, server_now: int) -> str:
    if isinstance(value, timedelta):
        value = to_datetime(server_now) + value
    if isinstance(value, datetime):
        return http_date(to_microseconds(value))
    return str(value)
