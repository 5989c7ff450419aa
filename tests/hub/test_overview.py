"""The hub at a glance: counts, when instances came and went, how long they took."""

from __future__ import annotations

from typing import Any

import pytest

from dfnb.hub.figures import SECOND, OverTime
from dfnb.hub.hub import TaskHub
from dfnb.hub.overview import MOST_BUCKETS, buckets
from dfnb.hub.protocol import InstanceQuery


@pytest.fixture
def zoo(hub: TaskHub, hand: Any) -> TaskHub:
    """Instances of two orchestrators in several states."""
    hand.start("a1", "a2", "b1")
    hand.start("b2", "c1", name="other")
    hand.end("a2")
    hand.end("b2", status="Failed")
    return hub


def total(series: OverTime) -> dict[str, int]:
    return {status: sum(values) for status, values in series.series.items()}


def test_counts_are_by_name_and_status(zoo: TaskHub) -> None:
    found = zoo.overview(InstanceQuery())
    assert found.counts == {
        ("other", "Failed"): 1, ("other", "Running"): 1, ("work", "Completed"): 1, ("work", "Running"): 2,
    }  # fmt: skip
    assert total(found.created) == {"Completed": 1, "Failed": 1, "Running": 3}
    assert len({len(values) for values in found.created.series.values()}) == 1


def test_counts_tell_what_another_choice_of_name_or_status_would_give(zoo: TaskHub) -> None:
    found = zoo.overview(InstanceQuery(statuses=("Running",), name="work", id_prefix="a"))
    assert found.counts == {("work", "Completed"): 1, ("work", "Running"): 1}
    assert total(found.created) == {"Running": 1}


def test_a_question_that_nothing_fits_has_no_chart(zoo: TaskHub) -> None:
    assert zoo.overview(InstanceQuery(name="nobody")).created.length == 0
    assert zoo.overview(InstanceQuery(id_prefix="z")).counts == {}


def test_an_empty_hub_has_no_figures(hub: TaskHub) -> None:
    assert hub.overview(InstanceQuery()).counts == {}
    assert hub.figures(InstanceQuery()).durations == ()


@pytest.mark.parametrize("span", [0, 1, 59, 60, 61, 3_599, 3_601, 90_000, 31_536_000, 1_500_000_000])
def test_any_span_of_time_has_at_most_sixty_buckets(span: int) -> None:
    first = 1_700_000_123 * SECOND
    start, step = buckets(first, first + span * SECOND)
    assert start <= first < start + step
    assert (first + span * SECOND - start) // step < MOST_BUCKETS


def test_figures_tell_durations_of_what_completed(zoo: TaskHub) -> None:
    figures = zoo.figures(InstanceQuery())
    assert figures.counts == {"Completed": 1, "Failed": 1, "Running": 3}
    assert total(figures.ended) == {"Completed": 1, "Failed": 1}
    assert (figures.created.start, figures.created.step) == (figures.ended.start, figures.ended.step)
    work, other = figures.durations
    record = zoo.find("a2")
    assert record is not None
    assert (work.name, work.instances, work.open, work.failed) == ("work", 3, 2, 0)
    assert work.median == work.longest == record.updated_at - record.created_at
    assert (other.name, other.failed, other.median) == ("other", 1, None)


def test_many_are_found_at_once(zoo: TaskHub, hand: Any) -> None:
    zoo.flush()
    found = zoo.find_many(["a1", "a2", "nobody", "b2"])
    assert {id: record.status for id, record in found.items()} == {"a1": "Running", "a2": "Completed", "b2": "Failed"}
    assert zoo.find_many([]) == {}


def test_entities_are_counted_by_name(hub: TaskHub) -> None:
    assert hub.count_entities() == {}
