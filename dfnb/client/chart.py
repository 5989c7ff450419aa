"""A bar chart as text: SVG that stands on its own, in the colours of the page around it, with its numbers in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from html import escape

from dfnb.client import test_mode
from dfnb.hub.figures import SECOND, OverTime

ORDER = ("Running", "Pending", "ContinuedAsNew", "Suspended", "Completed", "Failed", "Terminated", "Canceled")
"""From the bottom of a bar to its top."""

_HEIGHT = 56
_FEWEST_SLOTS = 24
_DAY = 86_400 * SECOND
_FALLBACK = {
    "Completed": "#2c974b", "Failed": "#d1383d", "Suspended": "#a8740a", "Running": "#1f75cb", "Pending": "#1f75cb",
    "ContinuedAsNew": "#1f75cb",
}  # fmt: skip
_OTHER = "#7d8893"


def ordered(counts: Mapping[str, object]) -> list[str]:
    """Statuses in the order in which they are shown."""
    return sorted(counts, key=lambda status: (ORDER.index(status) if status in ORDER else len(ORDER), status))


def bars(title: str, chart: OverTime, width: int = 640) -> str:
    """Bars by time, one colour a status; nothing if there is nothing to count."""
    if test_mode.is_on():
        chart = _still(chart)
    length = chart.length
    if not length:
        return ""
    highest = max(sum(values[at] for values in chart.series.values()) for at in range(length)) or 1
    slots = max(length, _FEWEST_SLOTS)
    slot = width / slots
    drawn = "".join(_bar(chart, status, at, slot, highest) for at in range(length) for status in ordered(chart.series))
    axis = (
        f'<path d="M0 {_HEIGHT + 12.5}H{width}" stroke="currentColor" stroke-opacity="0.3"/>'
        f"{_label(0, _HEIGHT + 25, clock(chart.start, chart))}"
        f"{_label(width, _HEIGHT + 25, clock(chart.start + slots * chart.step, chart), 'end')}"
        f"{_label(0, 9, f'{highest:,} in {words(chart.step)}')}"
    )
    said = escape(in_words(title, chart))
    return (
        f'<svg class="dfnb-chart" role="img" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT + 30}" '
        f'width="{width}" height="{_HEIGHT + 30}" style="max-width:100%;height:auto;display:block" '
        f'aria-label="{said}"><title>{said}</title>{drawn}{axis}</svg>'
    )


def _still(chart: OverTime) -> OverTime:
    """The same counts in one bar: which second something fell into is another in each run."""
    return OverTime(test_mode.MOMENT * 1000, SECOND, {status: [sum(counts)] for status, counts in chart.series.items()})


def _bar(chart: OverTime, status: str, at: int, slot: float, highest: int) -> str:
    count = chart.series[status][at]
    if not count:
        return ""
    order = ordered(chart.series)
    below = sum(chart.series[other][at] for other in order[: order.index(status)])
    top, bottom = (_HEIGHT + 12 - (_HEIGHT * number / highest) for number in (below + count, below))
    gap = min(1.0, slot * 0.15)
    return (
        f'<rect data-state="{escape(status)}" x="{at * slot:.1f}" y="{min(top, bottom - 1):.1f}" width="{slot - gap:.1f}" '
        f'height="{max(bottom - top, 1):.1f}" style="fill:var(--dfnb-state,{_FALLBACK.get(status, _OTHER)})"/>'
    )


def _label(x: float, y: float, text: str, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-size="10" fill="currentColor" fill-opacity="0.72" '
        f'font-family="system-ui, sans-serif">{escape(text)}</text>'
    )


def in_words(title: str, chart: OverTime) -> str:
    """What the chart shows, for who cannot see it."""
    totals = ", ".join(f"{sum(chart.series[status]):,} {status}" for status in ordered(chart.series))
    end = chart.start + chart.length * chart.step
    return f"{title} from {clock(chart.start, chart)} to {clock(end, chart)}: {totals}"


def clock(microseconds: int, chart: OverTime) -> str:
    """A time as exactly as the chart shows it, in the local zone."""
    if test_mode.is_on():
        return test_mode.DATE_AND_TIME
    when = datetime.fromtimestamp(microseconds / 1e6).astimezone()
    if chart.step >= _DAY:
        return when.strftime("%Y-%m-%d")
    return when.strftime("%Y-%m-%d %H:%M:%S" if chart.step < 60 * SECOND else "%Y-%m-%d %H:%M")


def words(microseconds: float) -> str:
    """A length of time in words of at most two units."""
    seconds = microseconds / SECOND
    if seconds < 0.001:
        return "<1 ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10 and seconds != int(seconds):
        return f"{seconds:.2f} s"
    units = _units(int(seconds))
    return " ".join(f"{number} {unit}" for number, unit in units[:2]) or "0 s"


def _units(seconds: int) -> list[tuple[int, str]]:
    parts: list[tuple[int, str]] = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        number, seconds = divmod(seconds, size)
        if number or parts:
            parts.append((number, unit))
    return [part for at, part in enumerate(parts[:2]) if part[0] or at == 0]


def chips(counts: Mapping[str, int], shown: Iterable[str] | None = None) -> str:
    """Counts by status, each in its colour."""
    return " ".join(
        f'<span data-state="{escape(status)}"><span class="dfnb-pill">{escape(status)} {counts[status]:,}</span></span>'
        for status in (shown if shown is not None else ordered(counts))
    )
