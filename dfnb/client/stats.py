"""How the instances of a hub did, as a picture, a table and a DataFrame."""

from __future__ import annotations

import importlib
from typing import Any

from dfnb.client import chart, html
from dfnb.hub.figures import Durations, Figures

_TITLES = ("orchestrator", "instances", "open", "failed", "median", "mean", "95 %", "longest")


class HubStats:
    """Counts by status, when instances were created and ended, and how long they took by orchestrator.

    Durations are of instances that completed. `df()` has a row for each orchestrator.
    """

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    @property
    def counts(self) -> dict[str, int]:
        """How many instances there are by runtime status."""
        return dict(self._figures.counts)

    def lines(self) -> list[tuple[str, ...]]:
        """A line of texts for each orchestrator."""
        return [_line(one) for one in self._figures.durations]

    def df(self) -> Any:
        """A pandas DataFrame with a row for each orchestrator; durations are timedeltas."""
        pandas = _pandas()
        rows = self._figures.durations
        times = {name: [getattr(one, name) for one in rows] for name in ("median", "mean", "p95", "longest")}
        return pandas.DataFrame(
            {
                "name": [one.name for one in rows],
                "instances": [one.instances for one in rows],
                "open": [one.open for one in rows],
                "failed": [one.failed for one in rows],
                **{name: pandas.to_timedelta(pandas.Series(values, dtype="float64"), unit="us") for name, values in times.items()},
            }
        )

    def __repr__(self) -> str:
        counts = self._figures.counts
        total = sum(counts.values())
        by_status = ", ".join(f"{counts[status]} {status}" for status in chart.ordered(counts))
        return f"<HubStats: {total} {'instance' if total == 1 else 'instances'}{f': {by_status}' if by_status else ''}>"

    def _repr_html_(self) -> str:
        """Charts, counts and durations; readable without any style."""
        figures = self._figures
        if not figures.counts:
            return html.span("dfnb-quiet", "no instances")
        charts = [_titled("created", figures.created), _titled("ended", figures.ended)]
        chips = f'<div class="dfnb-chips">{chart.chips(figures.counts)}</div>'
        return "".join([chips, *charts, html.lines_table(_TITLES, self.lines(), narrow=len(_TITLES))])


def _titled(what: str, over_time: Any) -> str:
    drawn = chart.bars(f"instances {what}", over_time)
    return f'<div class="dfnb-row"><span>{what}</span><div>{drawn}</div></div>' if drawn else ""


def _line(one: Durations) -> tuple[str, ...]:
    times = (one.median, one.mean, one.p95, one.longest)
    return (
        one.name, f"{one.instances:,}", f"{one.open:,}" if one.open else "", f"{one.failed:,}" if one.failed else "",
        *("" if time is None else chart.words(time) for time in times),
    )  # fmt: skip


def _pandas() -> Any:
    try:
        return importlib.import_module("pandas")
    except ImportError:
        raise ModuleNotFoundError(".df() needs pandas; install it with: pip install pandas", name="pandas") from None
