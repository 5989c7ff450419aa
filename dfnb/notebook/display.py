"""The twins of the live views: text, and self-contained HTML that stays readable when the kernel is gone."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from importlib import resources
from typing import Any

from dfnb.notebook.snapshot import Picture

_EVENTS_SHOWN = 8


@functools.cache
def static_text(name: str) -> str:
    """A file of the `static` folder."""
    return resources.files("dfnb.notebook").joinpath("static", name).read_text(encoding="utf-8")


def bundle(picture: Picture) -> dict[str, str]:
    """Both twins of a picture, by mime type."""
    if picture["kind"] == "table":
        return {"text/plain": table_text(picture), "text/html": table_html(picture)}
    return {"text/plain": instance_text(picture), "text/html": instance_html(picture)}


# ---- times


def clock(milliseconds: float) -> str:
    """A time of day in the local zone, with the date when it is another day."""
    when = datetime.fromtimestamp(milliseconds / 1000).astimezone()
    today = datetime.now().astimezone().date()
    return when.strftime("%H:%M:%S" if when.date() == today else "%Y-%m-%d %H:%M:%S")


def span(milliseconds: float) -> str:
    """A length of time in words of at most two units."""
    if milliseconds < 1:
        return "<1 ms"
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 10_000:
        return f"{milliseconds / 1000:.2f} s"
    minutes, seconds = divmod(int(milliseconds // 1000), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def elapsed(picture: Picture) -> str:
    """How long it took, or since when it runs."""
    if not picture.get("created"):
        return ""
    if picture.get("ended"):
        return span(max(0.0, picture["ended"] - picture["created"]))
    return f"since {clock(picture['created'])}"


def state(picture: Picture) -> str:
    return "Held" if picture.get("held") else str(picture["status"]) or "?"


def waiting(picture: Picture) -> list[str]:
    """What it waits for, a line each."""
    if picture.get("held"):
        return [picture["held"]]
    return [_wait(wait) for wait in picture["waits"]]


def _wait(wait: Picture) -> str:
    if "until" in wait:
        return f"{wait['text']} until {clock(wait['until'])}"
    return f"{wait['text']} since {clock(wait['since'])}" if "since" in wait else str(wait["text"])


# ---- text


def instance_text(picture: Picture) -> str:
    """One line in angle brackets, like any other object's."""
    if not picture["id"]:
        return f"<Instance: {picture.get('note', '')}>"
    what = f"<Instance {picture['name']} {picture['id']!r}: {state(picture)}"
    waits = waiting(picture)
    for why in (f"waiting for {', '.join(waits)}" if waits and not picture.get("held") else "".join(waits),
                picture.get("failure", ""), picture.get("note", "")):
        what += f", {why}" if why else ""
    return f"{what}>"


def table_text(picture: Picture) -> str:
    """Columns side by side, a line for each instance."""
    rows = [picture["rows"][id] for id in picture["order"]]
    lines = [(state(row), row["name"], row["id"], elapsed(row), _why(row)) for row in rows]
    return columns(("status", "name", "id", "elapsed", "waiting for"), lines, _foot(picture))


def columns(titles: Sequence[str], lines: Sequence[Sequence[str]], foot: str = "") -> str:
    """Text in columns as wide as they need to be."""
    if not lines:
        return foot or "nothing"
    table = [titles, *lines]
    widths = [max(len(line[column]) for line in table) for column in range(len(titles))]
    shown = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
    return "\n".join([*shown, foot] if foot else shown)


def _why(row: Picture) -> str:
    return row.get("note") or ", ".join(waiting(row))


def _foot(picture: Picture) -> str:
    words = ["" if picture["order"] else "no instances", "there are more" if picture["more"] else "", picture["note"]]
    return "; ".join(filter(None, words))


# ---- HTML


def page(body: str) -> str:
    """A block with its own style, which follows the theme of the page it stands in."""
    return f'<div class="dfnb"><style>{static_text("view.css")}</style>{body}</div>'


def instance_html(picture: Picture) -> str:
    shown = [
        _row("held" if picture.get("held") else "waiting for", _waits_html(picture)),
        _row("custom status", escape(picture.get("custom") or "")),
        _row("output", escape(picture.get("output") or ""), "dfnb-mono"),
        _row("failure", _failure_html(picture)),
        _row("note", escape(picture.get("note") or "")),
        _row("events", _lines_html(picture.get("events", ())[-_EVENTS_SHOWN:]), "dfnb-list dfnb-mono"),
        _row("printed", _lines_html(picture.get("logs", ())), "dfnb-list dfnb-mono"),
    ]
    return page(f'<div class="dfnb-card" data-state="{escape(state(picture))}">{_head(picture)}{"".join(shown)}</div>')


def _head(picture: Picture) -> str:
    parts = [
        _span("dfnb-pill", state(picture)), _span("dfnb-name", picture["name"]), _span("dfnb-id", picture["id"]),
        _span("dfnb-time dfnb-quiet", elapsed(picture)),
    ]
    return f'<div class="dfnb-head">{" ".join(parts)}</div>'


def _span(cls: str, text: str) -> str:
    return f'<span class="{cls}">{escape(text)}</span>'


def _row(label: str, html: str, cls: str = "") -> str:
    return f'<div class="dfnb-row"><span>{label}</span><div class="{cls}">{html}</div></div>' if html else ""


def _waits_html(picture: Picture) -> str:
    missing = [True] if picture.get("held") else [wait.get("missing") for wait in picture["waits"]]
    return "".join(
        f'<div class="{"dfnb-missing" if cell else "dfnb-wait"}">{escape(text)}</div>'
        for cell, text in zip(missing, waiting(picture), strict=True)
    )


def _failure_html(picture: Picture) -> str:
    if not picture.get("failure"):
        return ""
    trace = picture.get("trace") or ""
    details = f"<details><summary>traceback</summary><pre>{escape(trace)}</pre></details>" if trace else ""
    return f'<span class="dfnb-bad">{escape(picture["failure"])}</span>{details}'


def event_text(event: Picture) -> str:
    """An event without its time."""
    words: Iterable[Any] = (
        event["kind"],
        event["name"],
        f"until {clock(event['until'])}" if "until" in event else "",
        span(event["took"]) if "took" in event else "",
        event.get("note"),
    )
    return " ".join(str(word) for word in words if word)


def _lines_html(lines: Iterable[Picture]) -> str:
    return "".join(map(_line_html, lines))


def _line_html(line: Picture) -> str:
    text = event_text(line) if "kind" in line else str(line["text"])
    return f'<div><span>{clock(line["at"])}</span> {_span("dfnb-bad" if line.get("bad") else "", text)}</div>'


def table_html(picture: Picture) -> str:
    rows = "".join(_table_row(picture["rows"][id]) for id in picture["order"])
    foot = _foot(picture)
    return page(_table(("status", "name", "id", "elapsed", "waiting for"), rows) + (_span("dfnb-quiet", foot) if foot else ""))


def _table(titles: Iterable[str], rows: str) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""


def _table_row(row: Picture) -> str:
    why = escape(row["note"]) if row.get("note") else _waits_html(row)
    cells = [
        f"<td>{_span('dfnb-pill', state(row))}</td>", _cell("dfnb-name", row["name"]), _cell("dfnb-id", row["id"]),
        _cell("dfnb-time", elapsed(row)), f"<td>{why}</td>",
    ]
    return f'<tr data-state="{escape(state(row))}">{"".join(cells)}</tr>'


def _cell(cls: str, text: str) -> str:
    return f'<td class="{cls}">{escape(text)}</td>'


def lines_table_html(titles: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A plain table of texts; the columns after the second in a fixed-width font."""
    rows = []
    for line in lines:
        rows.append("".join(_cell("dfnb-mono" if at > 1 else "dfnb-time", text) for at, text in enumerate(line)))
    return page(_table(titles, "".join(f"<tr>{row}</tr>" for row in rows)))


def definition_html(kind: str, name: str, fingerprint: str, source: str) -> str:
    head = f'{_span("dfnb-quiet", kind)} {_span("dfnb-name", name)} {_span("dfnb-id", fingerprint)}'
    return page(f'<div class="dfnb-card"><div class="dfnb-head">{head}</div><pre>{escape(source)}</pre></div>')
