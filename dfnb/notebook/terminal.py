"""Instances in a terminal: a text that is drawn anew in its place until the instance has ended or one presses Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
import time
import unicodedata
from collections.abc import Sequence
from typing import Any, TextIO

from IPython.core.getipython import get_ipython

from dfnb.client import test_mode
from dfnb.client.pictures.bars import row_facts, shown_name
from dfnb.client.shown import clock, span
from dfnb.notebook import display
from dfnb.notebook.snapshot import InstanceTracker

Picture = dict[str, Any]

_ROWS = 12
_LOGS = 4
_TICK_SECONDS = 0.9
"""Times go on although nothing happens."""

_PAUSE_SECONDS = 0.1
_LEAST_WIDTH = 40
_COLOURS = {"Completed": "32", "Failed": "31", "Terminated": "31", "Running": "34", "Pending": "34"}
_WAITING = "33"
_SIGNS = {"bar": "█", "open": "▒", "wait": "░", "poll": "┃", "due": "○", "more": "…"}
_PLAIN = {"bar": "#", "open": "=", "wait": "-", "poll": "|", "due": "o", "more": "~"}


def is_here() -> bool:
    """Whether the shell is one of a terminal."""
    return hasattr(get_ipython(), "simple_prompt")


def can_follow(out: TextIO | None = None) -> bool:
    """Whether a text can be drawn anew in its place."""
    out = out if out is not None else sys.stdout
    return is_here() and out.isatty() and os.environ.get("TERM", "") != "dumb" and is_live()


def is_live() -> bool:
    """Whether outputs may change after they were shown."""
    return os.environ.get("DFNB_LIVE", "") != "0" and not test_mode.is_on()


def show(tracker: InstanceTracker, out: TextIO | None = None) -> None:
    """Follow an instance if that can be done, else print it as it is. Ctrl-C ends the view, not the instance."""
    out = out if out is not None else sys.stdout
    if not tracker.is_over and can_follow(out):
        _follow(tracker, out)
        return
    print("\n".join(lines(tracker, _width(), _signs(out))), file=out)


def _follow(tracker: InstanceTracker, out: TextIO) -> None:
    news, ended = threading.Event(), threading.Event()
    stop = tracker.client.watch(lambda ids: news.set() if tracker.id in ids else None)

    def note_end(_: Any) -> None:
        ended.set()
        news.set()

    tracker.client.when_ended(tracker.id).add_done_callback(note_end)
    place = _Place(out)
    try:
        with CtrlC() as ctrl_c:
            while not ctrl_c.was_pressed:
                news.clear()
                tracker.look()
                place.draw(lines(tracker, _width(), _signs(out), colours=_has_colours()))
                if tracker.is_over:
                    return
                ctrl_c.wait(news, _TICK_SECONDS)
                ctrl_c.wait(ended, _PAUSE_SECONDS)
        place.add(f"the view has ended; {tracker.id} goes on in the background")
    finally:
        stop()
        place.close()


class CtrlC:
    """Notes Ctrl-C. As an exception it could come in the midst of a query or a callback, where it gets lost or becomes another."""

    def __init__(self) -> None:
        self.was_pressed = False
        self._is_waiting = False
        self._before: Any = None

    def __enter__(self) -> CtrlC:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(self, *error: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _press(self, *_: object) -> None:
        self.was_pressed = True
        was_waiting, self._is_waiting = self._is_waiting, False
        if was_waiting:
            raise KeyboardInterrupt

    def wait(self, event: threading.Event, seconds: float) -> None:
        """Wait for the event, no longer than that, and not once Ctrl-C is pressed."""
        with contextlib.suppress(KeyboardInterrupt):
            self._is_waiting = True
            if not self.was_pressed:
                event.wait(seconds)
            self._is_waiting = False


class _Place:
    """Some lines of a terminal that are written again and again."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._height = 0
        out.write("\x1b[?25l")  # no cursor that jumps about
        if getattr(getattr(get_ipython(), "displayhook", None), "is_active", False):
            out.write("\n")  # the prompt of the output stands before it

    def draw(self, texts: Sequence[str]) -> None:
        shown = list(texts)[: max(1, shutil.get_terminal_size().lines - 1)]
        back = f"\x1b[{self._height}F\x1b[J" if self._height else "\r\x1b[J"
        self._out.write(back + "".join(f"{text}\n" for text in shown))
        self._out.flush()
        self._height = len(shown)

    def add(self, text: str) -> None:
        self._out.write(f"\r\x1b[K{text}\n")

    def close(self) -> None:
        self._out.write("\x1b[?25h")
        self._out.flush()


# ---- what is shown


def lines(tracker: InstanceTracker, width: int, signs: dict[str, str] = _SIGNS, *, colours: bool = False) -> list[str]:
    """An instance as lines that are no wider than that."""
    picture, now = tracker.still(), time.time() * 1000
    state = display.state(picture)
    code = _COLOURS.get(state, _WAITING) if colours else ""
    head = " ".join(filter(None, [picture["name"], picture["id"], _lasts(picture, now)]))
    texts = [f"{_coloured(state, code)} {_fit(head, width - len(state) - 1, signs)}"]
    said = [*_waits(picture, now), *_outcome(picture), *([picture["note"]] if picture.get("note") else [])]
    texts += [_fit(f"  {' '.join(line.split())}", width, signs) for line in said]
    texts += _bars(tracker, picture, width, signs, now, colours)
    texts += [_fit(f"  {clock(line['at'])} {line['text']}", width, signs) for line in picture.get("logs", [])[-_LOGS:]]
    return texts


def _lasts(picture: Picture, now: float) -> str:
    if not picture.get("created"):
        return ""
    end = picture.get("ended") or now
    return span(max(0.0, end - picture["created"]))


def _waits(picture: Picture, now: float) -> list[str]:
    if picture.get("held"):
        return [f"held: {picture['held']}"]
    return [f"waiting for {_wait(wait, now)}" for wait in picture["waits"]]


def _wait(wait: Picture, now: float) -> str:
    due = wait.get("next") or wait.get("until")
    if due is None:
        return f"{wait['text']} since {clock(wait['since'])}" if "since" in wait else str(wait["text"])
    if due <= now:
        return str(wait["text"])
    return f"{wait['text']}, {'next request ' if 'next' in wait else ''}in {span(due - now)}"


def _outcome(picture: Picture) -> list[str]:
    told = (("status", picture.get("custom")), ("output", picture.get("output")), ("failure", picture.get("failure")))
    return [f"{title}: {text}" for title, text in told if text]


# ---- the timeline as bars of signs


def _bars(tracker: InstanceTracker, picture: Picture, width: int, signs: dict[str, str], now: float, colours: bool) -> list[str]:
    rows = tracker.timeline.rows
    shown = _chosen(rows)
    if not shown or not picture.get("created"):
        return []
    label = min(28, max(12, width // 4))
    room = max(8, width - label - 24)
    end = max([picture.get("ended") or now, *(row["e"] or 0 for row in shown)])
    start = min(row["s"] for row in shown) if len(shown) < len(rows) else picture["created"]
    texts = [f"  {len(rows) - len(shown):,} more before"] if len(shown) < len(rows) else []
    for row in shown:
        name = _fit(shown_name(row["k"], row["n"]), label - 3, signs)
        bar = _bar(row, start, max(end, start + 1), room, signs, now)
        code = _COLOURS.get(row["st"], _WAITING) if colours else ""
        words = _fit(_words(row, now), width - label - room - 1, signs)
        texts.append(f"  {_pad(name, label - 2)}{_coloured(bar, code)} {words}".rstrip())
    return texts


def _chosen(rows: Sequence[Picture]) -> list[Picture]:
    """The latest, but those that go on before those that are over."""
    if len(rows) <= _ROWS:
        return list(rows)
    going = [row for row in rows if row["e"] is None][-_ROWS:]
    over = [row for row in rows[-_ROWS:] if row["e"] is not None]
    left = max(0, _ROWS - len(going))
    return sorted([*going, *(over[-left:] if left else [])], key=lambda row: int(row["i"]))


def _bar(row: Picture, start: float, end: float, room: int, signs: dict[str, str], now: float) -> str:
    def place(at: float) -> int:
        return round((min(max(at, start), end) - start) / (end - start) * (room - 1))

    first, last = place(row["s"]), place(row["e"] if row["e"] is not None else now)
    waits = row["k"] not in ("activity", "orchestration", "entity")
    sign = signs["wait"] if waits else signs["open"] if row["e"] is None else signs["bar"]
    drawn = [" "] * first + [sign] * (last - first + 1) + [" "] * (room - last - 1)
    for begin, stop, _ in row.get("t", ()):
        for at in range(place(begin), place(stop if stop is not None else now) + 1):
            drawn[at] = signs["bar"]
    for poll in row.get("p", ()):
        drawn[place(poll)] = signs["poll"]
    return "".join(drawn)


def _words(row: Picture, now: float) -> str:
    took = span(max(0.0, (row["e"] if row["e"] is not None else now) - row["s"]))
    due = row.get("x") or row.get("u")
    left = f"in {span(due - now)}" if row["e"] is None and due and due > now else ""
    state = "" if row["st"] in ("Completed", "Running") else row["st"].lower()
    facts = [fact for fact in row_facts(row) if fact != row.get("note")]
    return ", ".join(filter(None, [left or took, state, *facts]))


# ---- texts and cells


def _coloured(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if code else text


def _fit(text: str, width: int, signs: dict[str, str]) -> str:
    """A text without control signs, cut to as many cells."""
    text = "".join(sign if unicodedata.category(sign)[0] != "C" else " " for sign in text)
    if _cells(text) <= width:
        return text
    taken, left = "", width - 1
    for sign in text:
        left -= _cells(sign)
        if left < 0:
            break
        taken += sign
    return taken + signs["more"]


def _cells(text: str) -> int:
    return sum(0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _cells(text))


def _width() -> int:
    return max(_LEAST_WIDTH, shutil.get_terminal_size().columns - 1)


def _signs(out: TextIO) -> dict[str, str]:
    """Signs that the terminal's encoding has."""
    try:
        "".join(_SIGNS.values()).encode(getattr(out, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return _PLAIN
    return _SIGNS


def _has_colours() -> bool:
    return not os.environ.get("NO_COLOR")


__all__ = ["CtrlC", "can_follow", "is_here", "is_live", "lines", "show"]
