"""The twins of the live views: text, and self-contained HTML that stays readable when the kernel is gone."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Sequence
from html import escape
from importlib import resources
from typing import Any

from dfnb.client import html
from dfnb.client.shown import clock as clock
from dfnb.client.shown import date_and_time
from dfnb.client.shown import span as span
from dfnb.notebook.snapshot import Picture
from dfnb.notebook.texts import cut
from dfnb.records.short_repr import visible

When = Callable[[float], str]
"""How a time is written: what stays in a saved notebook has the date in it."""

_EVENTS_SHOWN = 8
_LONGEST_OPEN = 400
_LINES_OPEN = 6


@functools.cache
def static_text(name: str) -> str:
    """A file of the `static` folder."""
    return resources.files("dfnb.notebook").joinpath("static", name).read_text(encoding="utf-8")


def bundle(picture: Picture) -> dict[str, str]:
    """Both twins of a picture, by mime type."""
    if picture["kind"] in ("table", "entities", "definitions"):
        from dfnb.notebook import table_twins  # which is made of pieces of this file

        return {"text/plain": table_twins.text(picture), "text/html": table_twins.page(picture)}
    return {"text/plain": instance_text(picture), "text/html": instance_html(picture)}


# ---- times


def elapsed(picture: Picture, when: When = clock) -> str:
    """How long it took, or since when it runs."""
    if not picture.get("created"):
        return ""
    if picture.get("ended"):
        return span(max(0.0, picture["ended"] - picture["created"]))
    return f"since {when(picture['created'])}"


def state(picture: Picture) -> str:
    return "Held" if picture.get("held") else str(picture["status"]) or "?"


def waiting(picture: Picture, when: When = clock) -> list[str]:
    """What it waits for, a line each."""
    if picture.get("held"):
        return [picture["held"]]
    return [_wait(wait, when) for wait in picture["waits"]]


def _wait(wait: Picture, when: When) -> str:
    if "next" in wait:
        return f"{wait['text']}{_next(wait, when)}"
    if "until" in wait:
        return f"{wait['text']} until {when(wait['until'])}"
    return f"{wait['text']} since {when(wait['since'])}" if "since" in wait else str(wait["text"])


def _next(wait: Picture, when: When) -> str:
    """When an HTTP call sends its next request; nothing if it is doing so."""
    return f" (next request at {when(wait['next'])})" if wait["next"] > time.time() * 1000 else ""


# ---- text


def instance_text(picture: Picture) -> str:
    """One line in angle brackets, like any other object's."""
    if not picture["id"]:
        return f"<Instance: {picture.get('note', '')}>"
    what = f"<{' '.join(filter(None, ['Instance', picture['name'], repr(picture['id'])]))}: {state(picture)}"
    waits = waiting(picture)
    for why in (f"waiting for {', '.join(waits)}" if waits and not picture.get("held") else "".join(waits),
                picture.get("failure", ""), picture.get("note", "")):
        what += f", {why}" if why else ""
    return visible(f"{what}>")


def columns(titles: Sequence[str], lines: Sequence[Sequence[str]], foot: str = "") -> str:
    """Text in columns as wide as they need to be."""
    if not lines:
        return visible(foot) or "nothing"
    table = [[visible(cell, kept="") for cell in line] for line in (titles, *lines)]
    widths = [max(len(line[column]) for line in table) for column in range(len(titles))]
    shown = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
    return "\n".join([*shown, visible(foot)] if foot else shown)


# ---- HTML


def page(body: str) -> str:
    """A block with its own style, which follows the theme of the page it stands in."""
    return f'<div class="dfnb"><style>{static_text("view.css")}</style>{body}</div>'


def instance_html(picture: Picture) -> str:
    from dfnb.notebook import instance_twin  # which is made of pieces of this file

    sections = instance_twin.sections(picture)
    shown = [
        html.row("held" if picture.get("held") else "waiting for", waits_html(picture)),
        html.row("suspended", escape(picture.get("reason") or "")),
        html.row("HTTP calls", "".join(map(_call_html, picture.get("calls", ()))), "dfnb-calls"),
        html.row("custom status", _folded(picture.get("custom") or "")),
        html.row("output", _folded(picture.get("output") or ""), "dfnb-mono"),
        html.row("failure", _failure_html(picture)),
        html.row("note", escape(picture.get("note") or "")),
        html.row("events", _lines_html(() if sections else picture.get("events", ())[-_EVENTS_SHOWN:]), "dfnb-list dfnb-mono"),
        html.row("printed", _lines_html(picture.get("logs", ())), "dfnb-list dfnb-mono"),
        sections,
    ]
    return page(html.card(state(picture), _head(picture), shown))


def _head(picture: Picture) -> list[str]:
    return [
        html.span("dfnb-pill", state(picture)), html.span("dfnb-name", picture["name"]), html.span("dfnb-id", picture["id"]),
        html.span("dfnb-time dfnb-quiet", _age(picture)),
    ]


def _age(picture: Picture) -> str:
    """How long it took; of what goes on also as of when all this is said."""
    now = picture.get("parts", {}).get("now", time.time() * 1000)
    as_of = "" if picture.get("ended") or not picture.get("created") else f", as of {date_and_time(now)}"
    return elapsed(picture, date_and_time) + as_of


def _folded(text: str) -> str:
    """A long text is closed at first, with its beginning to be seen."""
    if len(text) <= _LONGEST_OPEN and text.count("\n") < _LINES_OPEN:
        return escape(text)
    begin = cut(" ".join(text[:_LONGEST_OPEN].split()), 100)
    title = f"{begin.removesuffix('…')}… ({len(text):,} characters)"
    return f"<details><summary>{escape(title)}</summary>{html.pre(text)}</details>"


def waits_html(picture: Picture) -> str:
    """What it waits for, a line each."""
    missing = [True] if picture.get("held") else [wait.get("missing") for wait in picture["waits"]]
    return "".join(
        f'<div class="{"dfnb-missing" if cell else "dfnb-wait"}">{escape(text)}</div>'
        for cell, text in zip(missing, waiting(picture, date_and_time), strict=True)
    )


def _call_html(call: Picture) -> str:
    how = html.span("", call_text(call, date_and_time))
    shown = [html.span("dfnb-pill", call["status"]), html.span("dfnb-mono", call["name"]), how]
    return f'<div data-state="{escape(call["state"])}">{" ".join(shown)}</div>'


def call_text(call: Picture, when: When = clock) -> str:
    """How an HTTP call stands, in words."""
    polls = call["polls"]
    words = [f"{polls} {'poll' if polls == 1 else 'polls'}" if polls else ""]
    if "next" in call:
        words.append(f"next request at {when(call['next'])}" if call["next"] > time.time() * 1000 else "request under way")
    return ", ".join(filter(None, [*words, call.get("note")]))


def _failure_html(picture: Picture) -> str:
    if not picture.get("failure"):
        return ""
    trace = picture.get("trace") or ""
    details = f"<details><summary>traceback</summary>{html.pre(trace)}</details>" if trace else ""
    return f'<div class="dfnb-bad">{_folded(picture["failure"])}</div>{details}'


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
    return f'<div><span>{clock(line["at"])}</span> {html.span("dfnb-bad" if line.get("bad") else "", text)}</div>'


def lines_table_html(titles: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A plain table of texts, with the style of the page around it."""
    return page(html.lines_table(titles, lines))


def definition_html(kind: str, name: str, fingerprint: str, source: str) -> str:
    head = [html.span("dfnb-quiet", kind), html.span("dfnb-name", name), html.span("dfnb-id", fingerprint)]
    return page(html.card("", head, [html.pre(source)]))
