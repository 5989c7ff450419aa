from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfnb.durable_http.retry_after import SECOND, Asked, Pace, plan, read

NOW = 1_445_412_480 * SECOND  # Wed, 21 Oct 2015 07:28:00 GMT
LATER = "Wed, 21 Oct 2015 07:28:30 GMT"


@pytest.mark.parametrize(
    ("values", "asked"),
    [
        (["5"], Asked(5)),
        ([" 1.5 "], Asked(1.5)),
        (["0"], Asked(0)),
        (["-3"], Asked(-3)),
        (["1e3"], Asked(1000)),
        ([LATER], Asked(30)),
        (["Wednesday, 21-Oct-15 07:28:30 GMT"], Asked(30)),
        (["Wed Oct 21 07:28:30 2015"], Asked(30)),
        (["Wed, 21 Oct 2015 07:27:00 GMT"], Asked(-60)),
        (["5", "9"], Asked(9, "Retry-After was given 2 times; the longest counts")),
        (["5, 9"], Asked(9, "Retry-After was given 2 times; the longest counts")),
        (["soon"], Asked(None, "Retry-After 'soon' cannot be read")),
        (["1_000"], Asked(None, "Retry-After '1_000' cannot be read")),
        (["nan"], Asked(None, "Retry-After 'nan' cannot be read")),
        (["٣"], Asked(None, "Retry-After '٣' cannot be read")),
        ([""], Asked(None)),
        ([], Asked(None)),
    ],
)
def test_what_a_server_asks_for(values: list[str], asked: Asked) -> None:
    assert read(values, None, NOW) == asked


def test_a_date_counts_from_the_clock_of_the_server() -> None:
    assert read([LATER], "Wed, 21 Oct 2015 07:28:20 GMT", NOW + 3_600 * SECOND).seconds == 10
    assert read([LATER], "half past", NOW).seconds == 30


@pytest.mark.parametrize(
    ("asked", "seconds", "noted"),
    [(5.0, 5, False), (0.0, 1, False), (0.3, 1, False), (-3.0, 1, True), (1e15, 3600, True), (7200.0, 3600, True), (None, 30, 0)],
)
def test_wishes_are_bounded_and_the_bending_is_noted(asked: float | None, seconds: int, noted: bool) -> None:
    wait = plan(Pace(), NOW, asked)
    assert (wait.due - NOW, bool(wait.note)) == (seconds * SECOND, noted)


def test_1e99_is_bounded() -> None:
    asked = read(["1e99"], None, NOW)
    assert plan(Pace(), NOW, asked.seconds) == (NOW + 3600 * SECOND, "the server asked for 1e+15 s; bounded to 3600 s")


def test_jitter_is_the_same_for_the_same_call_and_differs_between_calls() -> None:
    pace = Pace(jitter=0.5)
    waits = [plan(pace, 0, 10.0, seed=seed, attempt=1).due for seed in range(50)]
    assert waits == [plan(pace, 0, 10.0, seed=seed, attempt=1).due for seed in range(50)]
    assert len(set(waits)) > 40
    assert all(10 * SECOND <= due <= 15 * SECOND for due in waits)


@pytest.mark.parametrize(
    "wrong", [{"floor": 5.0, "cap": 1.0}, {"every": -1.0}, {"every": math.nan}, {"cap": math.inf}, {"jitter": 2.0}, {"floor": True}]
)
def test_an_impossible_pace_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"floor|every|cap|jitter"):
        Pace(**wrong)


@given(
    st.lists(st.text(max_size=30) | st.floats().map(str) | st.integers().map(str), max_size=3),
    st.none() | st.text(max_size=30) | st.just(LATER),
    st.floats(0, 100),
    st.floats(0, 1000),
    st.floats(0, 1),
)
def test_every_wait_is_between_floor_and_cap(values: list[str], date: str | None, floor: float, more: float, jitter: float) -> None:
    pace = Pace(every=50.0, floor=floor, cap=floor + more, jitter=jitter)
    wait = plan(pace, NOW, read(values, date, NOW).seconds, seed=3)
    assert math.floor(pace.floor * SECOND) <= wait.due - NOW <= math.ceil(pace.cap * SECOND)
