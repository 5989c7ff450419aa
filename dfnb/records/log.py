"""One line that user code printed or logged."""

from __future__ import annotations

import msgspec


class LogLine(msgspec.Struct, frozen=True, gc=False):
    """A line kept with its instance. `stream`: "stdout", "stderr", or the name of a logging level; `at`: microseconds, UTC."""

    task: int | None
    attempt: int
    at: int
    stream: str
    text: str
