from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfnb.records.failure import FailureDetails
from dfnb.records.retry import RetryOptions, RetryPolicy, check_retry_options

FAILURE = FailureDetails("builtins.ValueError", "bad")
SECOND = 1_000_000


def test_the_first_try_counts_as_an_attempt() -> None:
    policy = RetryOptions(1000, 3)
    assert [policy.next_delay(made, 0, FAILURE) for made in (1, 2, 3)] == [SECOND, SECOND, None]


def test_backoff_grows_up_to_its_cap() -> None:
    policy = RetryOptions(1000, 9, backoff_coefficient=2, max_retry_interval_in_milliseconds=5000)
    assert [policy.next_delay(made, 0, FAILURE) for made in (1, 2, 3, 4)] == [SECOND, 2 * SECOND, 4 * SECOND, 5 * SECOND]


def test_no_retry_starts_after_the_total_time() -> None:
    policy = RetryOptions(1000, 9, retry_timeout_in_milliseconds=3000)
    assert policy.next_delay(1, 2 * SECOND, FAILURE) == SECOND
    assert policy.next_delay(2, 2 * SECOND + 1, FAILURE) is None


def test_the_author_may_refuse_a_retry() -> None:
    policy = RetryPolicy(timedelta(seconds=1), 3, handle=lambda failure: not failure.is_caused_by(ValueError))
    assert policy.next_delay(1, 0, FAILURE) is None
    assert policy.next_delay(1, 0, FailureDetails("builtins.OSError", "")) == SECOND


@given(st.integers(1, 10_000), st.floats(1, 1e6))
def test_no_delay_overflows(attempts: int, coefficient: float) -> None:
    delay = RetryPolicy(timedelta(days=1), 20_000, coefficient).next_delay(attempts, 0, FAILURE)
    assert delay is not None
    assert 0 < delay <= 10 * 365 * 86_400 * SECOND


@pytest.mark.parametrize(("interval", "attempts"), [(0, 1), (-5, 1), (1, 0), (1, -1), (1, True), (1, 1.5)])
def test_nonsense_is_refused(interval: int, attempts: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        RetryOptions(interval, attempts)


def test_options_in_the_wrong_place_get_a_sentence() -> None:
    with pytest.raises(TypeError, match="the order is: name, retry_options, input_"):
        check_retry_options({"city": "Oslo"})
