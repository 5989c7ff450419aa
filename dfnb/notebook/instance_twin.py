"""The static twin of one instance: text and tables that stay readable when the kernel, the style and the pictures are gone.

All of it is bounded, so that a notebook with many outputs stays small: what is left out is counted, and said where it can be had.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from dfnb.client import html
from dfnb.client.pictures.bars import Subject, row_facts, row_times, timeline_picture
from dfnb.client.pictures.drawing import KINDS
from dfnb.client.shown import clock, span
from dfnb.notebook import display
from dfnb.notebook.texts import cut

Picture = dict[str, Any]

_LONGEST_BODY = 1_000
_LONGEST_CODE = 8_000
_BARS = 40
_TASKS = 60
_ROOM = {"history": 30_000, "http": 24_000, "payloads": 24_000, "logs": 8_000, "tasks": 9_000}
"""How many characters of HTML a section may have."""


def sections(picture: Picture) -> str:
    """The timeline, then each section closed; nothing if nothing was read."""
    parts = picture.get("parts")
    if not parts:
        return ""
    shown = [
        _timeline(picture, parts),
        _section("Tasks", len(parts["tasks"]), _tasks(parts)),
        _section("History", parts["history"]["total"], _history(parts["history"], picture["id"])),
        _section("HTTP", parts["http"]["total"], _http(parts["http"], picture["id"])),
        _section("Payloads", parts["payloads"]["total"], _payloads_html(parts["payloads"])),
        _section("Logs", parts["logs"]["total"], _logs(parts["logs"])),
        _code(parts["code"]),
    ]
    return f'<div class="dfnb-parts">{"".join(shown)}</div>'


def _section(title: str, count: int, body: str) -> str:
    return f"<details><summary>{title} ({count:,})</summary>{body}</details>" if count else ""


def _timeline(picture: Picture, parts: Picture) -> str:
    if not parts["tasks"] or not picture.get("created"):
        return ""
    subject = Subject(
        picture["id"], picture["name"], display.state(picture), picture["created"], picture.get("ended"), parts["now"]
    )
    return timeline_picture(subject, parts["tasks"], _BARS)._repr_html_()


def _tasks(parts: Picture) -> str:
    lines = [
        (KINDS.get(row["k"], row["k"]), cut(str(row["n"]), 120), row["st"], row_times(row), ", ".join(row_facts(row)))
        for row in parts["tasks"][:_TASKS]
    ]
    return _table(("kind", "name", "state", "times", "more"), lines, "tasks", len(parts["tasks"]), "`run.timeline()`")


def _history(part: Picture, id: str) -> str:
    left_out = part["total"] - len(part["first"]) - len(part["last"])
    gap = [("", f"… {left_out:,} more …")] if left_out > 0 else []
    lines = [*map(_event, part["first"]), *gap, *map(_event, part["last"])]
    return _table(("time", "event"), lines, "history", len(lines), f"`%dfnb history {id}`")


def _event(row: Picture) -> tuple[str, str]:
    return clock(row["at"]), display.event_text(row)


def _table(titles: Sequence[str], lines: Sequence[Sequence[str]], room: str, total: int, where: str) -> str:
    """As many lines as there is room for, and how many there are besides."""
    rows = ["".join(f"<td>{escape(text)}</td>" for text in line) for line in lines]
    fitting = _fitting([f"<tr>{row}</tr>" for row in rows], _ROOM[room])
    return html.table(titles, "".join(fitting)) + _more(total - len(fitting), where)


def _fitting(pieces: Iterable[str], room: int) -> list[str]:
    taken: list[str] = []
    for piece in pieces:
        room -= len(piece)
        if room < 0:
            break
        taken.append(piece)
    return taken


def _more(number: int, where: str = "") -> str:
    told = f"; {where} has all" if where else ""
    return html.span("dfnb-quiet", f"and {number:,} more{told}") if number > 0 else ""


def _http(part: Picture, id: str) -> str:
    latest_first = _fitting(map(_exchange, reversed(part["rows"])), _ROOM["http"])
    left_out = part["total"] - len(latest_first)
    before = html.span("dfnb-quiet", f"the latest {len(latest_first)}; `%dfnb http {id}` has all") if left_out > 0 else ""
    return before + "".join(reversed(latest_first))


def _exchange(row: Picture) -> str:
    words = [
        f"{clock(row['at'])} {row['purpose']} {cut(row['method'] + ' ' + row['url'], 160)} → {row['text']}",
        f"asked wait {span(row['asked'])}" if "asked" in row else "", row.get("note", ""), row.get("error", ""),
    ]  # fmt: skip
    inside = "".join(html.pre(_message(row[side])) for side in ("request", "response") if row.get(side))
    head = escape(", ".join(filter(None, words)))
    return f'<details data-state="{escape(row["state"])}"><summary>{head}</summary>{inside}</details>'


def _message(message: Picture) -> str:
    body = f"({message['bytes']:,} bytes that are no text)" if message["binary"] else cut(message["text"], _LONGEST_BODY)
    headers = cut("\n".join(f"{name}: {value}" for name, value in message["headers"]), _LONGEST_BODY)
    return "\n".join(filter(None, [cut(message["line"], 400), headers, "\n" + body if message["bytes"] else ""]))


def _payloads_html(part: Picture) -> str:
    pieces = _fitting(map(_payload, part["rows"]), _ROOM["payloads"])
    return "".join(pieces) + _more(part["total"] - len(pieces))


def _payload(row: Picture) -> str:
    rest = row["bytes"] - len(row["text"])
    text = row["text"] + (f"\n… and {rest:,} more characters" if rest > 0 else "")
    return f"<div><b>{escape(cut(row['label'], 120))}</b>{html.pre(text)}</div>"


def _logs(part: Picture) -> str:
    latest_first = _fitting((_log(row) for row in reversed(part["rows"])), _ROOM["logs"])
    left_out = part["total"] - len(latest_first)
    before = html.span("dfnb-quiet", f"the latest {len(latest_first)}; `run.logs()` has all") if left_out > 0 else ""
    return f"{before}<pre>{''.join(reversed(latest_first))}</pre>"


def _log(row: Picture) -> str:
    return f"{clock(row['at'])} {html.span('dfnb-bad' if row['bad'] else '', cut(row['text'], 400))}\n"


def _code(code: Picture) -> str:
    if not code["source"]:
        return ""
    note = f"{html.span('dfnb-quiet', code['note'])}" if code["note"] else ""
    title = f"Code ({escape(code['version'])})" if code["version"] else "Code"
    return f"<details><summary>{title}</summary>{note}{html.pre(cut(code['source'], _LONGEST_CODE))}</details>"


__all__ = ["sections"]
