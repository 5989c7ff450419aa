"""Whose code the engine's thread runs now, and since when: while it does not come back, nothing else in the hub moves."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from types import FrameType
from typing import NamedTuple


class _Turn(NamedTuple):
    kind: str
    name: str
    id: str
    begun: float
    thread: int


class OwnCode:
    """`with own_code.of(...):` around the code of users. Told by the engine's thread, asked by any other."""

    __slots__ = ("_turn",)

    def __init__(self) -> None:
        self._turn: _Turn | None = None

    def of(self, kind: str, name: str, id: str) -> OwnCode:
        """What begins with the next `with`: an orchestrator and its instance, or an operation and its entity."""
        self._turn = _Turn(kind, name, id, time.monotonic(), threading.get_ident())
        return self

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._turn = None

    def slow(self, least: float) -> str:
        """Which code has not come back for at least so many seconds, and where it is now; empty if there is none."""
        turn = self._turn
        if turn is None or (seconds := time.monotonic() - turn.begun) < least:
            return ""
        frame = _outermost(sys._current_frames().get(turn.thread))
        if self._turn is not turn:
            return ""  # it has come back meanwhile, and the frame may be of another's turn
        where = f", at line {frame.f_lineno} of {frame.f_code.co_name}" if frame is not None else ""
        if turn.kind == "entity":
            return f"operation {turn.name!r} of entity {turn.id} has been running for {seconds:.0f} s{where}"
        said = f"has been running its own code for {seconds:.0f} s without yielding{where}"
        return f"orchestrator {turn.name!r} (instance {turn.id!r}) {said}"


def _outermost(frame: FrameType | None) -> FrameType | None:
    """The user's own function, of all that are on the stack: the first that dfnb has called."""
    stack: list[FrameType] = []
    while frame is not None:
        stack.append(frame)
        frame = frame.f_back
    called = itertools.dropwhile(_is_ours, itertools.dropwhile(lambda frame: not _is_ours(frame), reversed(stack)))
    return next(called, None)


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith("dfnb.")
