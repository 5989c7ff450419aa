"""What the static twin of an instance shows besides its head, read once when the twin is made: ends and beginnings, all bounded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Picture = dict[str, Any]
Ask = Callable[[Picture], Picture]

_EVENTS_AT_EACH_END = 100
_LATEST_LOGS = 100
_LATEST_EXCHANGES = 30
_PAYLOADS = 40
_LONGEST_PAYLOAD = 2_000


def parts_of(ask: Ask, rows: Sequence[Picture], now: float) -> Picture:
    """All the sections show, asked of what also answers a live view's questions."""
    return {
        "now": now,
        "tasks": rows,
        "history": _both_ends(ask),
        "http": _exchanges(ask),
        "payloads": _payloads(ask),
        "logs": _latest_logs(ask),
        "code": ask({"ask": "code"}),
    }


def _both_ends(ask: Ask) -> Picture:
    first = ask({"ask": "history", "from": 0, "count": _EVENTS_AT_EACH_END})
    behind = max(_EVENTS_AT_EACH_END, first["total"] - _EVENTS_AT_EACH_END)
    last = ask({"ask": "history", "from": behind, "count": _EVENTS_AT_EACH_END}) if behind < first["total"] else {"rows": []}
    return {"first": first["rows"], "last": last["rows"], "total": first["total"]}


def _exchanges(ask: Ask) -> Picture:
    total = ask({"ask": "http", "from": 0, "count": 1})["total"]
    begin = max(0, total - _LATEST_EXCHANGES)
    rows = ask({"ask": "http", "from": begin, "count": _LATEST_EXCHANGES})["rows"] if total else []
    return {"rows": [{**row, **ask({"ask": "exchange", "i": row["i"]})} for row in rows], "total": total}


def _payloads(ask: Ask) -> Picture:
    found = ask({"ask": "payloads"})["rows"]
    rows = [
        {**row, "text": ask({"ask": "payload", "of": row["of"], "count": _LONGEST_PAYLOAD})["text"]} for row in found[:_PAYLOADS]
    ]
    return {"rows": rows, "total": len(found)}


def _latest_logs(ask: Ask) -> Picture:
    total = ask({"ask": "logs", "from": 0, "count": 1})["total"]
    begin = max(0, total - _LATEST_LOGS)
    return {"rows": ask({"ask": "logs", "from": begin, "count": _LATEST_LOGS})["rows"] if total else [], "total": total}
