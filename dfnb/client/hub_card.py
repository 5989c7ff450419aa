"""A hub as a card: which file, how large, what is in it, and what runs."""

from __future__ import annotations

import os
from collections.abc import Mapping

from dfnb.client import html, test_mode


def hub_card(path: str, engine: str, counts: Mapping[str, int] | None = None, server: str | None = None, problem: str = "") -> str:
    """HTML without style of its own. `counts`: how many instances there are by status; None: nobody could ask."""
    told = {} if counts is None else counts
    by_status = ", ".join(f"{number:,} {status}" for status, number in sorted(told.items())) or "none yet"
    rows = [
        html.row("instances", html.span("", by_status) if counts is not None else ""),
        html.row("size", _size(path)),
        html.row("server", html.span("dfnb-id", server) if server else ""),
        html.row("problem", html.span("dfnb-bad", problem) if problem else ""),
    ]
    head = [html.span("dfnb-pill", f"engine {engine}"), html.span("dfnb-name", "hub"), html.span("dfnb-id", path)]
    return html.card("Failed" if problem else "Running" if engine == "running" else "", head, rows)


def _size(path: str) -> str:
    """The size of the file; a hub in memory has none, and a frozen picture would not be the same with it."""
    try:
        size = 0 if test_mode.is_on() else os.path.getsize(path)
    except OSError:
        return ""
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB" if size else ""
