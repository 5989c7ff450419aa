"""Starts whose end is told to a URL: an instance of the house carries the wanted one, and is started in its place.

What the carrier does, and what it sends, is in `dfnb.callbacks`.
"""

from __future__ import annotations

import re
from concurrent.futures import Future
from urllib.parse import urldefrag, urlsplit

import msgspec

from dfnb.errors import InstanceExistsError
from dfnb.hub.protocol import ClientSide, StartRequest
from dfnb.records import payload

CARRIER = "dfnb.callback"
"""The orchestrator that starts the wanted one, waits for its end and tells the URL."""

_LONGEST_URL = 2_048
_NOT_IN_A_URL = re.compile(r"[\x00-\x20\x7f\\]")
_SCHEMES = ("http", "https")


class CallbackOrder(msgspec.Struct, frozen=True):
    """The input of a carrier. `input` is JSON text as it was given: what it holds is for the wanted orchestrator alone to read."""

    name: str
    id: str
    url: str
    source: str
    input: str | None = None
    version: str | None = None


def checked_callback_url(url: object) -> str:
    """The URL, if an end can be told to it; else a sentence, which does not repeat it: there may be a credential in it."""
    if not isinstance(url, str) or not url:
        raise ValueError("the callback URL must be a text that begins with http:// or https:// and a host")
    if len(url) > _LONGEST_URL:
        raise ValueError(f"the callback URL has {len(url)} characters; {_LONGEST_URL} are the most")
    if _NOT_IN_A_URL.search(url):
        raise ValueError("the callback URL has a blank, a backslash or a control character in it; percent-encode it")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
        url.encode()
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("the callback URL must begin with http:// or https:// and a host, and have a valid port if any")
    if "@" in parts.netloc:
        raise ValueError("the callback URL must not hold a user name or a password; the signature tells who calls")
    return urldefrag(url).url


def start_with_callback(hub: ClientSide, code: str | None, request: StartRequest, url: object, source: str) -> Future[None]:
    """Start a carrier for what `request` asks for; done once both are on disk. `code`: the carrier's fingerprint.

    The carrier's first turn starts the wanted instance, and the hub acknowledges a start together with the first turn.
    """
    checked = checked_callback_url(url)
    if request.start_at is not None:
        raise ValueError("a start with a callback begins at once; leave out start_at, or begin the orchestrator with a timer")
    _check_free(hub, request)
    order = CallbackOrder(request.name, request.id, checked, source, request.input, request.version)
    carrier = StartRequest(
        CARRIER, _carrier_id(hub, request), payload.encode(order, what="the callback"), code=code, fresh=request.fresh
    )
    try:
        started = hub.start_instances([carrier])
    except InstanceExistsError as error:  # another start with the same id came between
        raise InstanceExistsError(request.id, error.status) from None
    return _when_ours(hub, request, carrier, started)


def _check_free(hub: ClientSide, request: StartRequest) -> None:
    record = None if request.fresh else hub.peek(request.id)
    if record is not None and not record.is_terminal:
        raise InstanceExistsError(request.id, record.status)


def _carrier_id(hub: ClientSide, request: StartRequest) -> str:
    """An id beside the wanted one; an earlier carrier, for an instance that had the same id, may still be at work."""
    number, wanted = 1, f"{request.id}:callback"
    while not request.fresh and (record := hub.peek(wanted)) is not None and not record.is_terminal:
        number += 1
        wanted = f"{request.id}:callback{number}"
    return wanted


def _when_ours(hub: ClientSide, request: StartRequest, carrier: StartRequest, started: Future[None]) -> Future[None]:
    """Refused too when somebody else took the id before the carrier's turn came; the carrier then ends without a word."""
    answer: Future[None] = Future()
    answer.set_running_or_notify_cancel()

    def look(done: Future[None]) -> None:
        error = done.exception()
        record = hub.peek(request.id) if error is None else None
        if record is not None and record.parent_id != carrier.id:
            error = InstanceExistsError(request.id, record.status)
        if error is None:
            answer.set_result(None)
        else:
            answer.set_exception(error)

    started.add_done_callback(look)
    return answer
