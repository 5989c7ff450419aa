"""Continuation tokens: the numbers behind which the next page begins, in a form that nobody takes for anything else."""

from __future__ import annotations

import base64
import json


def token(*numbers: int) -> str:
    """The token of a page that ends at these numbers."""
    return base64.urlsafe_b64encode(json.dumps(numbers).encode()).decode()


def read_token(text: str | None, count: int) -> tuple[int, ...] | None:
    """The numbers in a token; None for none. ValueError if no page gave it."""
    if not text:
        return None
    try:
        numbers = tuple(int(number) for number in json.loads(base64.urlsafe_b64decode(text.encode())))
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(_WRONG) from error
    if len(numbers) != count or any(abs(number) >= _LARGEST for number in numbers):
        raise ValueError(_WRONG)
    return numbers


_LARGEST = 1 << 63
_WRONG = "the continuation token is not one that an earlier page gave"
