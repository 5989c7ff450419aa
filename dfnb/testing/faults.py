"""Faults: what goes wrong with one request. A fault is any function of the request and of what would have been answered.

    api.faults("/analyze", Throttle(retry_after=2), Reset(), None, on="poll")     # None lets one request through

Most faults keep the request from the API, so the job does not notice it; those that change an answer let it through first.
A tuple of faults stands for one request: the first is the outermost, ``(Slow(3), ServerError(503))`` is a slow refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from dfnb.testing.wire import Generated, ReceivedRequest, Reply, RetryValue, reply_of, retry_headers

Genuine = Callable[[], Reply]
"""Lets the API do its work and gives its answer."""


class Fault(Protocol):
    """What goes wrong with one request."""

    def __call__(self, request: ReceivedRequest, genuine: Genuine, /) -> Reply:
        """The answer to send in place of ``genuine()``."""


@dataclass(frozen=True, slots=True)
class ServerError:
    """The service refuses with this status and a JSON error."""

    status: int = 503
    retry_after: RetryValue | tuple[RetryValue, ...] = None

    def __call__(self, request: ReceivedRequest, genuine: Genuine) -> Reply:
        error = {"error": {"code": str(self.status), "message": f"scripted fault: {type(self).__name__}"}}
        return reply_of(error, self.status, retry_headers(self.retry_after, request.at + request.skew))


@dataclass(frozen=True, slots=True)
class Throttle(ServerError):
    """Too many requests: 429, with ``Retry-After`` unless it is None."""

    status: int = 429
    retry_after: RetryValue | tuple[RetryValue, ...] = 1


@dataclass(frozen=True, slots=True)
class HtmlError:
    """A proxy in between answers with a page for people."""

    status: int = 502

    def __call__(self, request: ReceivedRequest, genuine: Genuine) -> Reply:
        page = f"<html><head><title>{self.status}</title></head><body><h1>{self.status} Bad Gateway</h1></body></html>"
        return Reply(self.status, (("Content-Type", "text/html"),), page.encode())


@dataclass(frozen=True, slots=True)
class Redirect:
    """The service points elsewhere."""

    to: str
    status: int = 302

    def __call__(self, request: ReceivedRequest, genuine: Genuine) -> Reply:
        return Reply(self.status, (("Location", self.to),))


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection is reset: before any answer, or `after` so many bytes of its body.

    `accepted`: whether the API does the work before; in the middle of a body it has.
    """

    after: int | None = None
    accepted: bool = False

    def __call__(self, request: ReceivedRequest, genuine: Genuine) -> Reply:
        reply = genuine() if self.accepted or self.after is not None else Reply()
        return replace(reply, cut=-1 if self.after is None else self.after, reset=True)


@dataclass(frozen=True, slots=True)
class Drop(Reset):
    """The connection is closed without a word, or `after` so many bytes of the body: an answer that was cut short."""

    def __call__(self, request: ReceivedRequest, genuine: Genuine) -> Reply:
        return replace(Reset.__call__(self, request, genuine), reset=False)


@dataclass(frozen=True, slots=True)
class Slow:
    """The answer is kept back for so many seconds of the API's clock, ``inf`` for ever.

    A `FakeClock` has to be moved on by another thread or task than the one that waits for the answer.
    """

    seconds: float

    def __call__(self, request: ReceivedRequest, genuine: Genuine) -> Reply:
        reply = genuine()
        return replace(reply, delay=reply.delay + self.seconds)


@dataclass(frozen=True, slots=True)
class Empty:
    """The real answer without its body."""

    def __call__(self, request: ReceivedRequest, genuine: Genuine) -> Reply:
        return replace(genuine(), body=b"").without("Content-Type")


@dataclass(frozen=True, slots=True)
class Huge:
    """The real answer with a body of so many bytes, made while it is sent."""

    size: int = 200_000_000
    pattern: bytes = b"0123456789abcdef"

    def __call__(self, request: ReceivedRequest, genuine: Genuine) -> Reply:
        return replace(genuine(), body=Generated(self.size, self.pattern))


@dataclass(frozen=True, slots=True)
class Body:
    """The real answer with another body: a text, bytes, or whatever JSON can hold; by default bytes that are no UTF-8."""

    content: Any = b"caf\xe9 \xff\xfe"
    content_type: str = "text/plain; charset=utf-8"

    def __call__(self, request: ReceivedRequest, genuine: Genuine) -> Reply:
        told = reply_of(self.content)
        return replace(genuine().without("Content-Type"), body=told.body).plus(("Content-Type", self.content_type))


@dataclass(frozen=True, slots=True)
class Header:
    """The real answer with this header: these values, each in a line of its own; none takes it away."""

    name: str
    values: tuple[str, ...]

    def __init__(self, name: str, *values: str) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "values", values)

    def __call__(self, request: ReceivedRequest, genuine: Genuine) -> Reply:
        return genuine().without(self.name).plus(*((self.name, value) for value in self.values))


@dataclass(frozen=True, slots=True)
class LowerCaseHeaders:
    """The real answer with the names of its headers in lower case, as HTTP/2 writes them."""

    def __call__(self, request: ReceivedRequest, genuine: Genuine) -> Reply:
        reply = genuine()
        return replace(reply, headers=tuple((name.lower(), value) for name, value in reply.headers))


@dataclass(frozen=True, slots=True)
class DoubledHeaders:
    """The real answer with each header twice, except those that describe the body."""

    def __call__(self, request: ReceivedRequest, genuine: Genuine) -> Reply:
        reply = genuine()
        return reply.plus(*(pair for pair in reply.headers if not pair[0].lower().startswith("content-")))


def applied(fault: Fault | tuple[Fault, ...] | None, request: ReceivedRequest, genuine: Genuine) -> Reply:
    """The answer to one request under one fault, several at once, or none."""
    faults = fault if isinstance(fault, tuple) else () if fault is None else (fault,)
    for one in reversed(faults):
        genuine = _wrapped(one, request, genuine)
    return genuine()


def _wrapped(fault: Fault, request: ReceivedRequest, genuine: Genuine) -> Genuine:
    return lambda: fault(request, genuine)
