"""What is sent and what comes back, as values: no connection, no clock."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

Headers = tuple[tuple[str, str], ...]
"""Names and values in the order of the wire; a name may stand there more than once."""


class Request(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One request to send.

    `trusted` says whether it goes where the call's own credentials belong. When it is false, no token is added and no secret is
    resolved for it: whoever sends it must obey.
    """

    method: str
    url: str
    headers: Headers = ()
    body: bytes | None = None
    trusted: bool = True


class Answer(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What came back for one request, or why nothing did (`error`, with `status` 0). `at`: microseconds since 1970, UTC."""

    status: int
    headers: Headers = ()
    body: bytes = b""
    url: str = ""
    at: int = 0
    error: str | None = None


def header_values(headers: Iterable[tuple[str, str]], name: str) -> list[str]:
    """All values of a header, its name compared ignoring case."""
    folded = name.lower()
    return [value for key, value in headers if key.lower() == folded]


def header(headers: Iterable[tuple[str, str]], name: str) -> str | None:
    """The first value of a header that is not blank."""
    return next((value.strip() for value in header_values(headers, name) if value.strip()), None)
