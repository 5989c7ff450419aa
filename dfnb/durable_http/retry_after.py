"""When to ask again: what a server asks for, and what we make of it."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from dfnb.records.times import to_microseconds

SECOND = 1_000_000
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_LARGEST = 1e15
"""Thirty million years: a larger number would not fit into microseconds."""


class Pace(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """How patient to be, in seconds: `every` when the server does not say, never less than `floor` nor more than `cap`.

    `jitter` makes each wait longer by up to that share of it (0.1 is a tenth), so that many polls do not come at once.
    """

    every: float = 30.0
    floor: float = 1.0
    cap: float = 3600.0
    jitter: float = 0.0

    def __post_init__(self) -> None:
        for name in ("every", "floor", "cap", "jitter"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _LARGEST:
                raise ValueError(f"{name} must be a number of seconds that is not negative, not {value!r}")
        if self.floor > self.cap:
            raise ValueError(f"floor ({self.floor:g} s) must not be greater than cap ({self.cap:g} s)")
        if self.jitter > 1:
            raise ValueError("jitter is a share of the wait: between 0 and 1")


class Asked(NamedTuple):
    """What a server asks for, in seconds (None: nothing usable), and what is odd about it."""

    seconds: float | None
    note: str = ""


class Wait(NamedTuple):
    """When to ask again (microseconds since 1970, UTC), and what is odd about it."""

    due: int
    note: str = ""


def read(values: Sequence[str], server_date: str | None, at: int) -> Asked:
    """Read ``Retry-After``: seconds, whole or decimal, or a date, which counts from the server's own ``Date`` when it sent one.

    Of several values the longest counts, as it keeps all of them.
    """
    values = [piece for value in values for piece in _pieces(value)]
    found = [seconds for value in values if (seconds := _seconds(value.strip(), server_date, at)) is not None]
    if not found:
        unread = next((value.strip() for value in values if value.strip()), None)
        return Asked(None, f"Retry-After {_short(unread)} cannot be read" if unread is not None else "")
    note = f"Retry-After was given {len(values)} times; the longest counts" if len(values) > 1 else ""
    return Asked(max(found), note)


def _pieces(value: str) -> list[str]:
    """A header's value, taken apart when something on the way joined several: dates have a comma of their own."""
    pieces = value.split(",")
    return pieces if all(_NUMBER.fullmatch(piece.strip()) for piece in pieces) else [value]


def _seconds(text: str, server_date: str | None, at: int) -> float | None:
    if _NUMBER.fullmatch(text):
        return max(-_LARGEST, min(float(text), _LARGEST))
    until = _date(text)
    if until is None:
        return None
    now = _date(server_date) if server_date is not None else None
    return (until - (now if now is not None else at)) / SECOND


def _date(text: str) -> int | None:
    from email.utils import parsedate_to_datetime  # few servers send a date, and every start would pay for the module

    try:
        return to_microseconds(parsedate_to_datetime(text))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def plan(pace: Pace, at: int, asked: float | None, *, seed: int = 0, attempt: int = 0, default: float | None = None) -> Wait:
    """The time of the next request, always between `pace`'s floor and cap from `at`; a note when the server's wish was bent."""
    wanted = asked if asked is not None else pace.every if default is None else default
    seconds = max(pace.floor, min(wanted, pace.cap))
    note = ""
    if asked is not None and seconds != asked and not 0 <= pace.floor - asked <= pace.floor:
        note = f"the server asked for {asked:g} s; bounded to {seconds:g} s"
    if pace.jitter:
        seconds = min(seconds * (1 + pace.jitter * _share(seed, attempt)), pace.cap)
    return Wait(at + math.floor(seconds * SECOND), note)


def _share(seed: int, attempt: int) -> float:
    """A number from 0 to 1 that is the same whenever the same request of the same call is planned."""
    digest = hashlib.blake2b(f"{seed}:{attempt}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "...")
