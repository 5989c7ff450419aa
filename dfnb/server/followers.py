"""A bound on the requests that stay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dfnb.server import answers
from dfnb.server.answers import Refused


class Followers:
    """Counts the requests that stay; `check` refuses one too many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.count = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1

    def check(self) -> None:
        if self.count >= self._most:
            text = f"{self._most} requests are waiting here already; ask again later, or without waiting"
            raise Refused(answers.message(503, text, {"Retry-After": "5"}))
