"""The steps of an instance as a graph, from top to bottom: `run.graph()`.

A dot is a turn of the orchestrator, a box what it asked for; from each box a line leads to the turn that had its results, a dashed
one from what is still open to the turn that is to come, whose dot is hollow. A task that outlives its step has a lane of its own,
so that no line crosses a box. Steps that only repeat are drawn once and counted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from dfnb.client.pictures.bars import legend, shown_name
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
from dfnb.client.pictures.steps import Group, Steps

STEPS_SHOWN = 60
_LANES = 6
_BOX, _BOX_HEIGHT, _GAP = 210.0, 38.0, 26.0
_DOT, _STEP = 34.0, 92.0
_TOP, _LEFT, _HEAD = 34.0, 16.0, 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class _Step:
    """A step as it is drawn: `times` says how many like it there were."""

    groups: tuple[Group, ...]
    times: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Placed:
    group: Group
    row: int
    lane: int
    into: int | None

    @property
    def is_open(self) -> bool:
        """Whether a turn is still to have its result; nobody waits for what is only sent, or was given up."""
        given_up = all(state == "Canceled" for state, _ in self.group.states)
        return self.group.into is None and self.group.kind != "signal" and not given_up


def graph_picture(id: str, state: str, steps: Steps) -> SvgPicture:
    """The picture of the steps of the instance `id`."""
    drawn = _repeated(steps)
    shown, left_out = drawn[:STEPS_SHOWN], max(0, len(drawn) - STEPS_SHOWN)
    to_come = steps.outcome is None and not left_out
    placed = _lanes(shown, _row_of_step(drawn), len(shown), to_come)
    lanes = max([one.lane for one in placed], default=0) + 1
    wide = _LEFT * 2 + lanes * _BOX + (lanes - 1) * _GAP
    height = _TOP + _HEAD + len(shown) * _STEP + _DOT + 56
    legend_parts, legend_end = _legend(shown, height)
    width = max(wide, 460.0, legend_end)
    parts = [
        *_title(steps, id, width), *(_line(one) for one in placed), *_spine(shown, placed, to_come),
        *(_box(one) for one in placed), *_ends(steps, state, shown, left_out),
        *legend_parts,
    ]  # fmt: skip
    return picture(f"Graph of {steps.name} {id}", _description(steps, state), (width, height), parts)


# ---- what goes where


def _repeated(steps: Steps) -> list[_Step]:
    """Steps one after the other that ask for the same and go straight on are one."""
    by_step: list[list[Group]] = [[] for _ in range(steps.steps)]
    for one in steps.groups:
        by_step[one.step].append(one)
    if by_step and not by_step[-1]:
        by_step.pop()  # the last turn only ended
    drawn: list[_Step] = []
    for groups in by_step:
        last = drawn[-1] if drawn else None
        if last is not None and _shape(last.groups) is not None and _shape(last.groups) == _shape(groups):
            drawn[-1] = _Step(tuple(groups), last.times + 1)
        else:
            drawn.append(_Step(tuple(groups), 1))
    return drawn


def _shape(groups: Sequence[Group]) -> tuple[object, ...] | None:
    """What makes steps equal; None for one whose results do not all go to the next."""
    if any(one.into != one.step + 1 for one in groups):
        return None
    return tuple((one.kind, one.name, one.states) for one in groups)


def _row_of_step(drawn: Sequence[_Step]) -> list[int]:
    rows = [row for row, step in enumerate(drawn) for _ in range(step.times)]
    return [*rows, len(drawn)]


def _lanes(drawn: Sequence[_Step], rows: Sequence[int], last: int, to_come: bool) -> list[_Placed]:
    """A lane for each group: the first is for one whose results the next step has, and for the dots."""
    placed: list[_Placed] = []
    free_from: list[int] = [0]
    for row, step in enumerate(drawn):
        found = [_Placed(one, row, 0, _row_into(one, row, rows, last)) for one in _few(step.groups)]
        if to_come:
            found = [dataclasses.replace(one, into=last) if one.is_open else one for one in found]
        first = next((one for one in found if one.into == row + 1), None)
        for one in found:
            lane = 0 if one is first else _free_lane(free_from, row)
            free_from[lane] = one.into if one.into is not None else row + 1
            placed.append(dataclasses.replace(one, lane=lane))
    return placed


def _row_into(one: Group, row: int, rows: Sequence[int], last: int) -> int | None:
    """The row of the dot that had the results; None if none had, or none that is drawn."""
    if one.into is None:
        return None
    into = rows[min(one.into, len(rows) - 1)]
    return into if row < into <= last else None


def _free_lane(free_from: list[int], row: int) -> int:
    lane = next((at for at, free in enumerate(free_from) if at > 0 and free <= row), len(free_from))
    if lane == len(free_from):
        free_from.append(0)
    return lane


def _few(groups: Sequence[Group]) -> list[Group]:
    """What there is no room for in a row is counted in its last box."""
    if len(groups) <= _LANES:
        return list(groups)
    rest = groups[_LANES - 1 :]
    counts: dict[str, int] = {}
    for one in rest:
        for state, count in one.states:
            counts[state] = counts.get(state, 0) + count
    into = max((one.into for one in rest if one.into is not None), default=None)
    more = Group("more", f"{len(rest)} more kinds of work", rest[0].step, into, tuple(sorted(counts.items())), 1)
    return [*groups[: _LANES - 1], more]


def _x(lane: int) -> float:
    return _LEFT + lane * (_BOX + _GAP)


def _middle(lane: int) -> float:
    return _x(lane) + _BOX / 2


def _y_dot(row: int) -> float:
    return _TOP + _HEAD + row * _STEP


def _y_box(row: int) -> float:
    return _y_dot(row) + _DOT


# ---- parts


def _title(steps: Steps, id: str, width: float) -> list[str]:
    name = fitted(steps.name, 220, 13.5)
    behind = 8 + width_of(name, 13.5) + 10
    count = steps.generation + 1
    more = f"  generation {count:,} of {count:,}" if steps.generation else ""
    room = width - behind - width_of(more, 11.5) - 8
    return [label(8, 20, name, style="font-weight:600;font-size:13px"), quiet(behind, 20, fitted(id, room, 11.5) + more)]


def _spine(drawn: Sequence[_Step], placed: Sequence[_Placed], to_come: bool) -> list[str]:
    """The dots, and a line between two where no box of the first lane is."""
    taken = {one.row for one in placed if one.lane == 0}
    x = _middle(0)
    bare = "".join(f"M{number(x)} {number(_y_dot(row))}V{number(_y_dot(row + 1))}" for row in range(len(drawn)) if row not in taken)
    line = [element("path", d=bare, opacity=0.3)] if bare else []
    dots = [element("circle", cx=x, cy=_y_dot(row), r=4, fill="currentColor") for row in range(len(drawn) + 1)]
    if to_come:
        dots[-1] = element("circle", cx=x, cy=_y_dot(len(drawn)), r=3.5, fill="none", stroke="currentColor")
    return [*line, *dots, *(_times(row, step.times) for row, step in enumerate(drawn) if step.times > 1)]


def _times(row: int, times: int) -> str:
    return quiet(_middle(0) - 10, _y_dot(row) + 4, f"{times:,} times in a row", text_anchor="end")


def _line(one: _Placed) -> str:
    x, top, bottom = _middle(one.lane), _y_box(one.row), _y_box(one.row) + _BOX_HEIGHT
    asked = element("path", d=_curve(_middle(0), _y_dot(one.row), x, top), opacity=0.45)
    if one.into is None:
        return asked
    end = _y_dot(one.into) - (4 if one.is_open else 0)
    path = f"M{number(x)} {number(bottom)}V{number(end - 20)}" + _curve(x, end - 20, _middle(0), end)
    return asked + element("path", d=path, opacity=0.45, stroke_dasharray="3 3" if one.is_open else None)


def _curve(x: float, y: float, to_x: float, to_y: float) -> str:
    middle = (y + to_y) / 2
    places = [x, y, x, middle, to_x, middle, to_x, to_y]
    return "M{} {}C{} {} {} {} {} {}".format(*map(number, places))


def _box(one: _Placed) -> str:
    found = one.group
    x, y = _x(one.lane), _y_box(one.row)
    colour = colour_of(_worst(found))
    dashes = "4 3" if _worst(found) in ("Running", "Waiting", "Canceled") else None
    size: dict[str, Any] = {"x": x, "y": y, "width": _BOX, "height": _BOX_HEIGHT, "rx": 5}
    frame = [
        element("rect", **size, fill_opacity=0.1),
        element("rect", **size, fill_opacity=0, stroke="currentColor", stroke_dasharray=dashes),
    ]
    count = f"×{found.count:,}" if found.count > 1 else ""
    name = fitted(shown_name(found.kind, found.name), _BOX - 46 - width_of(count, 12))
    texts = [
        label(x + 28, y + 16, name), label(x + _BOX - 10, y + 16, count, text_anchor="end", style="font-weight:600"),
        quiet(x + 28, y + 31, fitted(_facts(found), _BOX - 38, 11)),
    ]  # fmt: skip
    return group([group(frame, class_=colour), glyph(found.kind, x + 9, y + 6, colour), *texts], group_text(found))


def _worst(found: Group) -> str:
    states = [state for state, _ in found.states]
    return next((state for state in ("Failed", "Running", "Waiting", "Canceled") if state in states), "Completed")


def _facts(found: Group) -> str:
    states = [f"{f'{count} ' if found.count > 1 else ''}{state.lower()}" for state, count in found.states]
    tries = [f"{found.tries} tries"] if found.tries > 1 else []
    return ", ".join([*states, *tries])


def group_text(found: Group) -> str:
    """A box in one line."""
    child = f" {found.child}" if found.child else ""
    return f"{found.count} {KINDS.get(found.kind, '')} {found.name}{child}: {_facts(found)}".replace("  ", " ")


def _ends(steps: Steps, state: str, drawn: Sequence[_Step], left_out: int) -> list[str]:
    x, last = _middle(0), _y_dot(len(drawn))
    begin = quiet(x, _y_dot(0) - 9, "start", text_anchor="middle") if drawn else ""
    if left_out:
        return [begin, quiet(x, last + 20, f"and {left_out:,} more {'step' if left_out == 1 else 'steps'}", text_anchor="middle")]
    words = steps.outcome or state
    said = "Continued as new" if words == "ContinuedAsNew" else words
    shown = label(x, last + 20, said, text_anchor="middle", style="font-weight:600")
    return [begin, group([shown], class_=colour_of(words))]


def _legend(drawn: Sequence[_Step], height: float) -> tuple[list[str], float]:
    seen = [(one.kind, state) for step in drawn for one in step.groups for state, _ in one.states]
    kinds = [(kind, state) for kind, state in seen if kind in KINDS]
    dot = element("circle", cx=12, cy=height - 34, r=4, fill="currentColor")
    said, end = legend(kinds, "", height - 10)
    return [dot, quiet(22, height - 30, "a turn of the orchestrator"), *said], end


def _description(steps: Steps, state: str) -> str:
    by_step = (" and ".join(map(group_text, step.groups)) + _how_often(step) for step in _repeated(steps)[:STEPS_SHOWN])
    said = "; then ".join(by_step)
    return f"{steps.outcome or state}. {said}." if said else f"{steps.outcome or state}. No tasks."


def _how_often(step: _Step) -> str:
    return f", {step.times:,} times in a row" if step.times > 1 else ""


__all__ = ["STEPS_SHOWN", "graph_picture", "group_text"]
