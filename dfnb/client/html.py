"""Small pieces of HTML, every text escaped. They are readable as they are; a notebook adds its style by their classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def span(cls: str, text: str) -> str:
    return f'<span class="{cls}">{escape(text)}</span>'


def pre(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"


def row(label: str, html: str, cls: str = "") -> str:
    """A label with what belongs to it; nothing if there is nothing."""
    return f'<div class="dfnb-row"><span>{label}</span><div class="{cls}">{html}</div></div>' if html else ""


def cell(cls: str, text: str) -> str:
    return f'<td class="{cls}">{escape(text)}</td>'


def table(titles: Iterable[str], rows: str) -> str:
    """A table of rows that are HTML already; nothing without rows."""
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""


def lines_table(titles: Sequence[str], lines: Iterable[Sequence[str]], narrow: int = 2) -> str:
    """A table of texts: the first `narrow` columns are never broken into lines, the others are in a fixed-width font."""
    rows = []
    for line in lines:
        rows.append("".join(cell("dfnb-mono" if at >= narrow else "dfnb-time", text) for at, text in enumerate(line)))
    return table(titles, "".join(f"<tr>{one}</tr>" for one in rows))


def card(state: str, head: Iterable[str], rows: Iterable[str]) -> str:
    """A frame whose colour tells the state."""
    return f'<div class="dfnb-card" data-state="{escape(state)}"><div class="dfnb-head">{" ".join(head)}</div>{"".join(rows)}</div>'
