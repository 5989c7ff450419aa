"""Test mode: outputs that are the same in each run, for documentation and for nbval.

Only what is shown is frozen, and new instance ids are counted. The engine's clock goes on, and every time that is stored or
returned as a value is the real one.
"""

from __future__ import annotations

import itertools
import os

TIME_OF_DAY = "12:00:00"
DATE_AND_TIME = f"2030-01-01 {TIME_OF_DAY}"
LENGTH = "1 s"
MOMENT = 1_893_499_200_000
"""The frozen time in milliseconds since 1970, UTC."""


class _Mode:
    """Whether test mode is on, and how many ids it has given out."""

    def __init__(self, on: bool) -> None:
        self.on = on
        self.ids = itertools.count(1)


_mode = _Mode(os.environ.get("DFNB_TEST_MODE", "").strip() not in ("", "0"))


def is_on() -> bool:
    return _mode.on


def switch(on: bool) -> None:
    """Turn it on or off; the ids are counted from 1 again when it goes on."""
    if on and not _mode.on:
        _mode.ids = itertools.count(1)
    _mode.on = on


def next_id() -> str:
    """``instance-1``, ``instance-2``, and so on."""
    return f"instance-{next(_mode.ids)}"
