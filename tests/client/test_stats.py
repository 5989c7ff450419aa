from __future__ import annotations

from xml.etree import ElementTree

import pytest

from dfnb.client import chart
from dfnb.client.stats import HubStats
from dfnb.hub.figures import SECOND, Durations, Figures, OverTime

START = 1_700_000_000 * SECOND
CREATED = OverTime(START, 60 * SECOND, {"Completed": [3, 0, 1], "Failed": [0, 0, 2], "<odd>": [1, 0, 0]})
FIGURES = Figures(
    {"Completed": 4, "Failed": 2, "<odd>": 1}, CREATED, OverTime(START, 60 * SECOND, {"Completed": [4]}),
    (Durations("<trip>", 1_234, 1, 2, 1.5 * SECOND, 1.0 * SECOND, 90.0 * SECOND, 7_260 * SECOND), Durations("new", 1, 1, 0)),
)  # fmt: skip


def test_a_chart_is_valid_xml_with_a_bar_for_each_count():
    drawn = ElementTree.fromstring(chart.bars("instances created", CREATED))
    bars = drawn.findall("{http://www.w3.org/2000/svg}rect")
    assert [bar.get("data-state") for bar in bars] == ["Completed", "<odd>", "Completed", "Failed"]
    assert drawn.get("aria-label").startswith("instances created from 2023-11-1")
    assert drawn.get("aria-label").endswith("4 Completed, 2 Failed, 1 <odd>")


def test_nothing_to_count_is_no_chart():
    assert chart.bars("instances created", OverTime()) == ""


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (200, "<1 ms"), (12_000, "12 ms"), (1.24 * SECOND, "1.24 s"), (2 * SECOND, "2 s"), (61 * SECOND, "1 min 1 s"),
        (7_260 * SECOND, "2 h 1 min"), (86_400 * SECOND, "1 d"), (0, "<1 ms"),
    ],
    ids=str,
)
def test_a_length_of_time_has_at_most_two_units(microseconds: float, text: str):
    assert chart.words(microseconds) == text


def test_stats_are_short_in_text_and_whole_in_html():
    stats = HubStats(FIGURES)
    assert repr(stats) == "<HubStats: 7 instances: 4 Completed, 2 Failed, 1 <odd>>"
    html = stats._repr_html_()
    assert html.count("<svg") == 2
    assert "&lt;trip&gt;" in html
    assert "<trip>" not in html
    trip, new = stats.lines()
    assert trip == ("<trip>", "1,234", "1", "2", "1 s", "1.50 s", "1 min 30 s", "2 h 1 min")
    assert new == ("new", "1", "1", "", "", "", "", "")


def test_an_empty_hub_has_stats_too():
    stats = HubStats(Figures({}, OverTime(), OverTime(), ()))
    assert repr(stats) == "<HubStats: 0 instances>"
    assert "no instances" in stats._repr_html_()
    assert list(stats.df().columns) == ["name", "instances", "open", "failed", "median", "mean", "p95", "longest"]


def test_stats_are_a_table_of_timedeltas():
    table = HubStats(FIGURES).df()
    assert table["median"].dt.total_seconds().tolist()[0] == 1.0
    assert table["longest"].isna().tolist() == [False, True]
