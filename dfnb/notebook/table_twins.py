"""The twins of tables: text, and HTML that stays readable when the kernel is gone."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from dfnb.client import chart, html
from dfnb.client.shown import date_and_time
from dfnb.hub.figures import OverTime
from dfnb.notebook import display
from dfnb.notebook.snapshot import Picture

_ENTITY_TITLES = ("name", "key", "last operation", "operations", "waiting", "locked by", "state")
_DEFINITION_TITLES = ("kind", "name", "version", "running", "")


def text(picture: Picture) -> str:
    """Columns side by side, a line for each row."""
    titles, line = _LINES[picture["kind"]]
    return display.columns(titles, [line(row) for row in _rows(picture)], _foot(picture))


def page(picture: Picture) -> str:
    """Counts as chips, the chart, and a table of the rows."""
    foot = _foot(picture)
    counts = picture.get("counts") or {}
    chips = f'<div class="dfnb-chips">{chart.chips(counts)}</div>' if len(counts) > 1 or picture.get("more") else ""
    body = f"{chips}{_chart(picture)}{_table(picture)}"
    return display.page(body + (html.span("dfnb-quiet", foot) if foot else ""))


def _rows(picture: Picture) -> list[Picture]:
    return [picture["rows"][id] for id in picture["order"]]


def _chart(picture: Picture) -> str:
    shown = picture.get("chart")
    if not shown:
        return ""
    over_time = OverTime(int(shown["from"] * 1000), int(shown["step"] * 1000), shown["series"])
    return chart.bars("instances created", over_time)


def _foot(picture: Picture) -> str:
    what = {"table": "instances", "entities": "entities", "definitions": "definitions"}[picture["kind"]]
    shown, total = len(picture["order"]), picture.get("total")
    more = f"{shown:,} of {total:,} shown" if picture["more"] and total else "there are more" if picture["more"] else ""
    return "; ".join(filter(None, ["" if shown else f"no {what}", more, picture["note"]]))


# ---- the kinds of rows


def _instance_line(row: Picture) -> tuple[str, ...]:
    why = row.get("note") or ", ".join(display.waiting(row))
    return display.state(row), row["name"], row["id"], display.elapsed(row), why


def _entity_line(row: Picture) -> tuple[str, ...]:
    last = display.clock(row["last"]) if row.get("last") else ""
    waiting = str(row["waiting"] or "")
    return row["name"], row["key"], last, str(row["operations"]), waiting, row["locked"], row.get("note") or row["state"]


def _definition_line(row: Picture) -> tuple[str, ...]:
    return row["kind"], row["name"], row["version"], f"{row['running']:,}" if row["running"] else "", row["note"] or row["where"]


_LINES: dict[str, tuple[tuple[str, ...], Callable[[Picture], tuple[str, ...]]]] = {
    "table": (("status", "name", "id", "elapsed", "waiting for"), _instance_line),
    "entities": (_ENTITY_TITLES, _entity_line),
    "definitions": (_DEFINITION_TITLES, _definition_line),
}


def _table(picture: Picture) -> str:
    titles, line = _LINES[picture["kind"]]
    if picture["kind"] == "table":
        return html.table(titles, "".join(map(_instance_row, _rows(picture))))
    narrow = {"entities": 6, "definitions": 2}[picture["kind"]]
    return html.lines_table(titles, [line(row) for row in _rows(picture)], narrow=narrow)


def _instance_row(row: Picture) -> str:
    why = escape(row["note"]) if row.get("note") else display.waits_html(row)
    cells = [
        f"<td>{html.span('dfnb-pill', display.state(row))}</td>", html.cell("dfnb-name", row["name"]),
        html.cell("dfnb-id", row["id"]), html.cell("dfnb-time", display.elapsed(row, date_and_time)), f"<td>{why}</td>",
    ]  # fmt: skip
    return f'<tr data-state="{escape(display.state(row))}">{"".join(cells)}</tr>'
