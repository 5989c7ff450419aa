"""When to try again: a value and its arithmetic."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from dfnb.records.failure import FailureDetails
from dfnb.records.short_repr import said_only

_SECOND = 1_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a failed task is tried again, and after which delay.

    `max_number_of_attempts` counts all tries, the first one included. The delay before the n-th retry is
    ``first_retry_interval * backoff_coefficient ** (n - 1)``, at most `max_retry_interval`. No retry starts later than
    `retry_timeout` after the first try was scheduled. `handle`, given the failure, says whether it is worth a retry; it must
    be deterministic, like all code an orchestrator runs.
    """

    first_retry_interval: timedelta
    max_number_of_attempts: int
    backoff_coefficient: float = 1.0
    max_retry_interval: timedelta | None = None
    retry_timeout: timedelta | None = None
    handle: Callable[[FailureDetails], bool] | None = None

    __repr__ = said_only

    def __post_init__(self) -> None:
        if self.first_retry_interval <= timedelta(0):
            raise ValueError("first_retry_interval must be greater than zero")
        if isinstance(self.max_number_of_attempts, bool) or not isinstance(self.max_number_of_attempts, int):
            raise ValueError("max_number_of_attempts must be a whole number")
        if self.max_number_of_attempts < 1:
            raise ValueError("max_number_of_attempts must be at least 1 (it counts the first try)")
        if self.backoff_coefficient < 1:
            raise ValueError("backoff_coefficient must be at least 1")
        for name in ("max_retry_interval", "retry_timeout"):
            limit = getattr(self, name)
            if limit is not None and limit <= timedelta(0):
                raise ValueError(f"{name} must be greater than zero")

    def next_delay(self, attempts_made: int, elapsed_us: int, failure: FailureDetails) -> int | None:
        """Microseconds to wait before the next try, or None when the failure is final."""
        if attempts_made >= self.max_number_of_attempts:
            return None
        if self.handle is not None and not self.handle(failure):
            return None
        delay = self._delay_us(attempts_made)
        if self.retry_timeout is not None and elapsed_us + delay > _us(self.retry_timeout):
            return None
        return delay

    def _delay_us(self, attempts_made: int) -> int:
        cap = _us(self.max_retry_interval) if self.max_retry_interval is not None else 10 * 365 * 86_400 * _SECOND
        try:
            return int(min(_us(self.first_retry_interval) * self.backoff_coefficient ** (attempts_made - 1), cap))
        except OverflowError:
            return cap


class RetryOptions(RetryPolicy):
    """`RetryPolicy` with Azure's constructor: milliseconds, attempts; the rest by keyword."""

    __slots__ = ()

    def __init__(
        self,
        first_retry_interval_in_milliseconds: int,
        max_number_of_attempts: int,
        *,
        backoff_coefficient: float = 1.0,
        max_retry_interval_in_milliseconds: int | None = None,
        retry_timeout_in_milliseconds: int | None = None,
        handle: Callable[[FailureDetails], bool] | None = None,
    ) -> None:
        RetryPolicy.__init__(
            self,
            timedelta(milliseconds=first_retry_interval_in_milliseconds),
            max_number_of_attempts,
            backoff_coefficient,
            _milliseconds(max_retry_interval_in_milliseconds),
            _milliseconds(retry_timeout_in_milliseconds),
            handle,
        )

    @property
    def first_retry_interval_in_milliseconds(self) -> int:
        return _us(self.first_retry_interval) // 1000


def _milliseconds(value: int | None) -> timedelta | None:
    return None if value is None else timedelta(milliseconds=value)


def _us(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


def check_retry_options(value: Any) -> RetryPolicy:
    """The value, if it is retry options; else a sentence that names the argument order."""
    if isinstance(value, RetryPolicy):
        return value
    kind = type(value).__name__
    raise TypeError(f"retry_options must be RetryOptions or RetryPolicy, not {kind} (the order is: name, retry_options, input_)")
