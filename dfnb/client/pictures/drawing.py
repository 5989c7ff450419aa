"""What all pictures are made of: elements with escaped text, a style for light and dark pages, and the finished picture."""

from __future__ import annotations

import functools
import os
import re
import unicodedata
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

_HOVER_TEXTS = re.compile("<title>[^<]*</title>")  # an image shows none; the title of the whole has an id and stays
_SAFE_IN_ADDRESS = " =:/;,()[]@!*~$?+'"

COLOURS = {"Completed": "good", "Failed": "bad", "Running": "busy", "Waiting": "wait", "Held": "wait", "Suspended": "wait"}
"""Which colour a state has; all others are grey."""

_INKS = {
    "good": ("#1a7f37", "#4cc366"),
    "bad": ("#c62828", "#ff7b72"),
    "busy": ("#0b66c3", "#6cb6ff"),
    "wait": ("#8a5a00", "#e0a93b"),
    "still": ("#5f6b76", "#9aa6b2"),
}
_TEXT = ("#1f2328", "#e6edf3")
_BACK = ("#fff", "#111")
"""Its own, so that it can be read on any page: an image may be told to be light or dark by what the page is not."""
_LEAST_WIDTH = 640
_FONT = "font-family:system-ui,-apple-system,Segoe UI,Roboto,DejaVu Sans,sans-serif;font-size:12px"

_GLYPHS = {
    "activity": "M3.5 2.2 9.8 6 3.5 9.8z",
    "timer": "M6 1.5a4.5 4.5 0 1 0 .01 0zM6 3.4V6l1.9 1.3",
    "orchestration": "M3 1.5v9M3 7h3q2.8 0 2.8-2.8V2M7 3.6 8.8 1.8l1.8 1.8",
    "event": "M1.5 2.8h9v6.6h-9zM1.5 3.2 6 6.6l4.5-3.4",
    "entity": "M2 3q0-1.4 4-1.4T10 3v6q0 1.4-4 1.4T2 9zM2 3q0 1.4 4 1.4T10 3",
    "signal": "M1.5 6h8.5M6.8 2.8 10 6l-3.2 3.2",
    "lock": "M2.5 5.5h7v5h-7zM4 5.5V4q0-2 2-2t2 2v1.5",
    "http": "M1.5 4h8.5M7.8 1.8 10 4 7.8 6.2M10.5 8.2H2M4.2 6 2 8.2l2.2 2.2",
}
KINDS: dict[str, str] = {kind: kind for kind in _GLYPHS} | {"orchestration": "sub-orchestration", "http": "HTTP call"}
"""What a kind of task is called."""


class SvgPicture:
    """A picture as SVG text: shows itself in a notebook, `svg` is the text, `save` writes it to a file."""

    def __init__(self, svg: str, title: str, size: tuple[float, float], description: str) -> None:
        self.svg = svg
        self.title = title
        self.size = size
        self.description = description

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it to a file and return the file's path."""
        target = Path(path)
        target.write_text(self.svg, encoding="utf-8")
        return target

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        """The picture as an image: its texts stay in it where a page strips SVG. Where there is little room it is scrolled."""
        words = escape(f"{self.title}. {self.description}")
        source = quote(_HOVER_TEXTS.sub("", self.svg), safe=_SAFE_IN_ADDRESS)
        least = min(self.size[0], _LEAST_WIDTH)
        size = f'width="{self.size[0]:g}" style="max-width:100%;min-width:{least:g}px;height:auto"'
        image = f'<img class="dfnb-image" {size} alt="{words}" src="data:image/svg+xml,{source}">'
        return f'<div style="overflow-x:auto">{image}</div>'

    def __str__(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"<SvgPicture {self.title}: {self.size[0]:g} x {self.size[1]:g}>"


def picture(title: str, description: str, size: tuple[float, float], parts: Iterable[str]) -> SvgPicture:
    """A finished picture from its parts. The ids in it are the same each time."""
    width, height = (number(length) for length in size)
    text = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="dfnb-picture" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-labelledby="dfnb-title dfnb-desc">'
        f'<title id="dfnb-title">{clean(title)}</title><desc id="dfnb-desc">{clean(description)}</desc>'
        f"<style>{_style()}</style>{''.join(parts)}</svg>"
    )
    return SvgPicture(text, title, size, description)


def _style() -> str:
    light, dark = (_rules(shade) for shade in (0, 1))
    texts = f".dfnb-picture text{{{_FONT};fill:currentColor}}.dfnb-picture .q{{font-size:11px;opacity:.72}}"
    shapes = ".dfnb-picture rect{fill:currentColor}.dfnb-picture path{stroke:currentColor;fill:none}"
    return f"{texts}{shapes}{light}@media(prefers-color-scheme:dark){{{dark}}}"


def _rules(shade: int) -> str:
    inks = "".join(f".dfnb-picture .{name}{{color:{ink[shade]}}}" for name, ink in _INKS.items())
    return f".dfnb-picture{{color:{_TEXT[shade]};background:{_BACK[shade]}}}{inks}"


# ---- elements


def clean(text: str) -> str:
    """A text as XML can hold it."""
    return escape(_not_in_xml().sub("�", text))


@functools.cache
def _not_in_xml() -> re.Pattern[str]:
    """With the first picture: it takes 8 ms to compile, and the extension is loaded far more often than anything is drawn."""
    return re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def number(value: float) -> str:
    """A coordinate with at most one decimal."""
    return f"{round(value, 1):g}" if abs(value) < 1e5 else str(round(value))


def element(name: str, inside: str = "", /, **attributes: Any) -> str:
    """One element; `_` in a name stands for `-`, and ``class_`` for class. What is None is left out."""
    said = "".join(
        f" {key.rstrip('_').replace('_', '-')}='{number(value) if isinstance(value, float | int) else clean(str(value))}'"
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{said}>{inside}</{name}>" if inside else f"<{name}{said}/>"


def label(x: float, y: float, text: str, **attributes: Any) -> str:
    """A line of text; `y` is its base line."""
    return element("text", clean(text), x=x, y=y, **attributes) if text else ""


def quiet(x: float, y: float, text: str, **attributes: Any) -> str:
    """A line of text that stands back."""
    return label(x, y, text, class_="q", **attributes)


def group(parts: Iterable[str], title: str = "", **attributes: Any) -> str:
    """Elements that belong together, with a text that is shown when one points at them."""
    return element("g", (element("title", clean(title)) if title else "") + "".join(parts), **attributes)


def glyph(kind: str, x: float, y: float, colour: str) -> str:
    """The sign of a kind of task, 12 wide and high."""
    path = _GLYPHS.get(kind)
    if path is None:
        return ""
    return element("path", d=path, transform=f"translate({number(x)} {number(y)})", class_=colour)


def colour_of(state: str) -> str:
    return COLOURS.get(state, "still")


# ---- text has no width until it is drawn


def width_of(text: str, size: float = 12) -> float:
    """About how wide a text will be: rather too wide than too narrow."""
    return sum(_width(sign) for sign in text) * size


def _width(sign: str) -> float:
    if unicodedata.east_asian_width(sign) in "WF":
        return 1.05
    if sign in "iljtfrI.,:;'|![]()/ ":
        return 0.4
    return 0.86 if sign in "mwMW@%" else 0.72 if sign.isupper() else 0.62


def fitted(text: str, width: float, size: float = 12) -> str:
    """A text cut to a width, in one line."""
    text = " ".join(text.split())
    if width_of(text, size) <= width:
        return text
    room = width - width_of("…", size)
    end = 0
    for sign in text:
        room -= _width(sign) * size
        if room < 0:
            break
        end += 1
    return f"{text[:end]}…"
