"""The tasks of an instance as bars on a time axis: `run.timeline()`.

As in the live view, colour tells the state and a sign the kind; what only waits has a light bar with a dashed edge; each try of a
task is a block and each poll of an HTTP call a mark. What is not simply done says so in words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dfnb.client import test_mode
from dfnb.client.pictures.drawing import (
    KINDS,
    SvgPicture,
    colour_of,
    element,
    fitted,
    glyph,
    group,
    label,
    number,
    picture,
    quiet,
    width_of,
)
from dfnb.client.shown import clock, date_and_time, span

Row = dict[str, Any]

ROWS_SHOWN = 200
_WIDTH, _LABEL = 960.0, 232.0
_HEAD, _AXIS, _ROW = 34.0, 22.0, 20.0
_NEAR_THE_END = 0.8
_AT_WORK = frozenset({"activity", "orchestration", "entity"})

_STEPS = (
    *(1, 2, 5, 10, 20, 50, 100, 200, 500), *(s * 1_000 for s in (1, 2, 5, 10, 15, 30)),
    *(m * 60_000 for m in (1, 2, 5, 10, 15, 30)), *(h * 3_600_000 for h in (1, 2, 3, 6, 12)),
    *(d * 86_400_000 for d in (1, 2, 7, 14, 30, 90, 365)),
)  # fmt: skip
_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"))


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """Whose picture it is. Times are milliseconds since 1970; `ended` None: it runs, and `now` is where its bars end."""

    id: str
    name: str
    state: str
    created: float
    ended: float | None
    now: float


@dataclasses.dataclass(frozen=True, slots=True)
class _Axis:
    """`right` is the room behind it, for the words of the bars that end there."""

    start: float
    end: float
    right: float

    def x(self, at: float) -> float:
        share = (min(max(at, self.start), self.end) - self.start) / (self.end - self.start)
        return _LABEL + share * self._width

    @property
    def _width(self) -> float:
        return _WIDTH - _LABEL - self.right

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Places and texts of round times since the start, at least 80 apart."""
        lasts = self.end - self.start
        step = next((one for one in _STEPS if one / lasts * self._width >= 80), _STEPS[-1])
        at = 0
        while at <= lasts:
            yield self.x(self.start + at), _offset(at)
            at += step


def timeline_picture(subject: Subject, rows: Sequence[Row], limit: int = ROWS_SHOWN) -> SvgPicture:
    """The picture of these rows, as `Timeline` folds them; beyond `limit` rows it says how many more there are."""
    if test_mode.is_on():
        subject, rows = _frozen(subject, rows)
    shown = rows[:limit]
    axis = _axis(subject, shown, is_cut=len(rows) > limit)
    height = _HEAD + _AXIS + _ROW * max(1, len(shown)) + (_ROW if len(rows) > limit else 0) + 30
    parts = [
        *_head(subject), *_grid(axis, height - 30),
        *(_row(row, _HEAD + _AXIS + at * _ROW, axis, subject.now) for at, row in enumerate(shown)),
        *_foot(rows, shown, height),
    ]  # fmt: skip
    return picture(f"Timeline of {subject.name} {subject.id}", _description(subject, rows), (_WIDTH, height), parts)


def _axis(subject: Subject, rows: Sequence[Row], *, is_cut: bool) -> _Axis:
    """From the instance's start to its end, or to that of the rows when there are more."""
    ends = [row["e"] if row["e"] is not None else subject.now for row in rows]
    end = max([*ends, *([] if is_cut else [subject.ended if subject.ended is not None else subject.now])])
    due = [row.get("x") or row.get("u") or 0 for row in rows if row["e"] is None]
    soon = [at for at in due if end < at < end + (end - subject.created)]
    start = min([subject.created, *(row["s"] for row in rows)])
    axis = _Axis(start, max([end, *soon, start + 1]), 0)
    near = start + _NEAR_THE_END * (axis.end - start)
    words = [width_of(_said(row), 11) for row in rows if _words_at(row, axis, subject.now) >= near]
    return dataclasses.replace(axis, right=max([58.0, *words]) + 12)


def _frozen(subject: Subject, rows: Sequence[Row]) -> tuple[Subject, list[Row]]:
    """The same tasks, each a second long and a second after the one before."""
    start = float(test_mode.MOMENT)
    frozen: list[Row] = []
    for at, row in enumerate(rows):
        begin = start + 1_000 * at
        kept: Row = {name: row[name] for name in ("i", "k", "n", "st", "g", "id", "c", "note") if name in row}
        tries = {"t": [[begin, begin + 1_000, ok] for _, _, ok in row["t"]]} if row.get("t") else {}
        frozen.append({**kept, **tries, "s": begin, "e": None if row["e"] is None else begin + 1_000})
    end = start + 1_000 * max(1, len(rows))
    return dataclasses.replace(subject, created=start, ended=None if subject.ended is None else end, now=end), frozen


# ---- parts


def _head(subject: Subject) -> list[str]:
    end = subject.ended if subject.ended is not None else subject.now
    facts = f"{subject.state}, {date_and_time(subject.created)}, {span(max(0.0, end - subject.created))}"
    name = fitted(subject.name, 300, 13.5)
    behind = 8 + width_of(name, 13.5) + 10
    room = _WIDTH - behind - width_of(facts, 11.5) - 24
    return [
        label(8, 20, name, style="font-weight:600;font-size:13px"),
        quiet(behind, 20, fitted(subject.id, room, 11.5)),
        group([label(_WIDTH - 8, 20, facts, text_anchor="end", style="font-size:11px")], class_=colour_of(subject.state)),
    ]


def _grid(axis: _Axis, bottom: float) -> list[str]:
    marks = list(axis.ticks())
    lines = "".join(f"M{number(x)} {number(_HEAD + _AXIS)}V{number(bottom)}" for x, _ in marks)
    frame = f"M0 {number(_HEAD + _AXIS)}H{number(_WIDTH)}"
    return [
        element("path", d=frame + lines, opacity=0.16),
        *(quiet(x, _HEAD + 15, text, text_anchor="middle") for x, text in marks),
    ]


def _offset(milliseconds: int) -> str:
    """A time since the start that falls on a tick: "1.5 s", "2 min 30 s"."""
    if milliseconds < 1_000:
        return f"{milliseconds} ms" if milliseconds else "0"
    words = []
    rest = milliseconds
    for unit, name in _UNITS:
        count, rest = divmod(rest, unit)
        words += [f"{count} {name}"] if count else []
    words += [f"{rest / 1_000:g} s"] if rest else []
    return " ".join(words[:3])


def _row(row: Row, y: float, axis: _Axis, now: float) -> str:
    end = row["e"] if row["e"] is not None else max(now, row["s"])
    bar = [*_bar(row, axis, y, end), *_polls(row, axis, y), *_due(row, axis, y, end, now)]
    name = shown_name(row["k"], str(row["n"] or KINDS.get(row["k"], row["k"])))
    tries = f"×{len(row['t'])}" if len(row.get("t", ())) > 1 else ""
    texts = [
        label(28, y + 14, fitted(name, _LABEL - 52 - width_of(tries, 11))),
        quiet(_LABEL - 16, y + 14, tries, text_anchor="end"),
        *_words(row, axis, y, now),
    ]
    colour = colour_of(row["st"])
    return group([glyph(row["k"], 8, y + 4, colour), group(bar, class_=colour), *texts], row_text(row))


def shown_name(kind: str, name: str) -> str:
    """A name for where there is little room: without what all URLs begin with."""
    return name.replace("https://", "", 1).replace("http://", "", 1) if kind == "http" else name


def _bar(row: Row, axis: _Axis, y: float, end: float) -> list[str]:
    if row.get("t"):
        through = _block(axis, row["s"], end, y + 9, 2, opacity=0.5)
        return [through, *(_try(axis, one, y, end) for one in row["t"])]
    if row["k"] in _AT_WORK:
        dashes = {"stroke": "currentColor", "stroke_dasharray": "3 2"} if row["e"] is None else {}
        opacity = {"fill_opacity": 0.55 if row["k"] == "orchestration" or dashes else 0.85}
        return [_block(axis, row["s"], end, y + 5, 10, **opacity, **dashes)]
    dashes = {} if row["k"] == "http" else {"stroke_dasharray": "3 2"}
    return [_block(axis, row["s"], end, y + 5, 10, fill_opacity=0.22, stroke="currentColor", stroke_opacity=0.7, **dashes)]


def _try(axis: _Axis, one: Sequence[Any], y: float, end: float) -> str:
    begin, stop, ok = one
    failed = stop is not None and not ok
    block = _block(axis, begin, stop if stop is not None else end, y + 5, 10, opacity=0.85)
    return group([block], class_="bad") if failed else block


def _block(axis: _Axis, begin: float, end: float, y: float, height: float, **more: Any) -> str:
    x = axis.x(begin)
    size: dict[str, Any] = {"width": max(2.0, axis.x(end) - x), "height": height, "rx": min(2.0, height / 2)}
    return element("rect", x=x, y=y, **size, **more)


def _polls(row: Row, axis: _Axis, y: float) -> list[str]:
    marks = "".join(f"M{number(axis.x(at))} {number(y + 5)}v10" for at in row.get("p", ()))
    return [element("path", d=marks, stroke_width=2)] if marks else []


def _due(row: Row, axis: _Axis, y: float, end: float, now: float) -> list[str]:
    """A dashed line to when the timer, next try or next request is due."""
    due = _due_at(row, axis, now)
    if due is None:
        return []
    x = axis.x(due)
    line = f"M{number(axis.x(end))} {number(y + 10)}H{number(x - 3)}"
    return [
        element("path", d=line, stroke_dasharray="3 3"),
        element("circle", cx=x, cy=y + 10, r=3, fill="none", stroke="currentColor"),
    ]


def _due_at(row: Row, axis: _Axis, now: float) -> float | None:
    due = (row.get("x") or row.get("u") or 0) if row["e"] is None else 0
    return due if now < due <= axis.end else None


def _words(row: Row, axis: _Axis, y: float, now: float) -> list[str]:
    """Behind the bar: the axis leaves room for them."""
    shown = quiet(axis.x(_words_at(row, axis, now)) + 6, y + 14, _said(row))
    return [group([shown], class_="bad") if row["st"] == "Failed" else shown]


def _words_at(row: Row, axis: _Axis, now: float) -> float:
    """The time at which the row's bar, or the line to when it is due, ends."""
    end = row["e"] if row["e"] is not None else max(now, row["s"])
    return _due_at(row, axis, now) or float(end)


def _said(row: Row) -> str:
    """How long it took and, unless it is simply done, its state."""
    took = "came" if _is_point(row) else span(row["e"] - row["s"]) if row["e"] is not None else ""
    return " ".join(filter(None, [took, _state(row)]))


def _is_point(row: Row) -> bool:
    """An event of which is known when it came, but not since when anything waited for it."""
    return bool(row["k"] == "event" and row["e"] == row["s"])


def _state(row: Row) -> str:
    return "" if row["st"] == "Completed" else str(row["st"]).lower()


def _foot(rows: Sequence[Row], shown: Sequence[Row], height: float) -> list[str]:
    left_out = len(rows) - len(shown)
    more = [quiet(28, height - 30 - 6, f"and {left_out:,} more")] if left_out > 0 else []
    nothing = [] if rows else [quiet(28, _HEAD + _AXIS + 14, "no tasks")]
    said, _ = legend([(row["k"], row["st"]) for row in shown], _poll_words(shown), height - 10)
    return [*more, *nothing, *said]


def _poll_words(rows: Sequence[Row]) -> str:
    """What the marks are called; nothing without any."""
    if not any(row.get("p") for row in rows):
        return ""
    return "some of many polls" if any(row.get("pc", 0) > len(row.get("p", ())) for row in rows) else "poll"


def legend(seen: Iterable[tuple[str, str]], polls: str, y: float) -> tuple[list[str], float]:
    """The kinds and states that occur, and what the marks of polls are called, in a line, and where the line ends."""
    pairs = list(seen)
    parts: list[str] = []
    x = 8.0
    for kind in [kind for kind in KINDS if any(kind == one for one, _ in pairs)]:
        parts += [glyph(kind, x, y - 10, "still"), quiet(x + 16, y, KINDS[kind])]
        x += 16 + width_of(KINDS[kind], 11) + 14
    for state in sorted({state for _, state in pairs}):
        box = element("rect", x=x, y=y - 9, width=10, height=10, rx=2, opacity=0.85)
        parts += [group([box], class_=colour_of(state)), quiet(x + 14, y, state.lower())]
        x += 14 + width_of(state, 11) + 14
    if polls:
        mark = element("path", d=f"M{number(x + 3)} {number(y - 9)}v10", stroke_width=2)
        parts += [mark, quiet(x + 9, y, polls)]
        x += 9 + width_of(polls, 11)
    return parts, x


# ---- in words


def row_text(row: Row) -> str:
    """A task in one line."""
    return ", ".join([f"{KINDS.get(row['k'], row['k'])} {row['n']}: {row['st']}", row_times(row), *row_facts(row)])


def row_times(row: Row) -> str:
    """From when to when, or since when."""
    if row["e"] is None:
        return f"since {date_and_time(row['s'])}"
    if _is_point(row):
        return f"at {clock(row['e'])}"
    return f"{clock(row['s'])} to {clock(row['e'])}, {span(row['e'] - row['s'])}"


def row_facts(row: Row) -> list[str]:
    """What more there is to say of a task."""
    facts = [f"{len(row['t'])} tries"] if len(row.get("t", ())) > 1 else []
    facts += [f"{row['pc']} {'poll' if row['pc'] == 1 else 'polls'}"] if row.get("pc") else []
    return [*facts, *([str(row["note"])] if row.get("note") else [])]


def _description(subject: Subject, rows: Sequence[Row]) -> str:
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        key = (str(KINDS.get(row["k"], row["k"])), str(row["st"]).lower())
        counts[key] = counts.get(key, 0) + 1
    said = ", ".join(f"{count} {kind} {state}" for (kind, state), count in sorted(counts.items()))
    return f"{subject.state}. {len(rows)} {'task' if len(rows) == 1 else 'tasks'}{f': {said}' if said else ''}."


__all__ = ["ROWS_SHOWN", "Subject", "legend", "row_facts", "row_text", "row_times", "shown_name", "timeline_picture"]
