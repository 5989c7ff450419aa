"""httpx and what it stands on log URLs and headers of requests, with the values of secrets in them: of ours they log nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_LOGGERS = (
    "httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy", "httpcore.socks", "hpack.hpack",
    "hpack.table",
)  # fmt: skip
"""Each by itself: a filter does not count for the loggers below."""
_is_ours: ContextVar[bool] = ContextVar("dfnb_request_is_ours", default=False)


class _NotOurs(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not _is_ours.get()


_NOT_OURS = _NotOurs()


@contextmanager
def unlogged() -> Iterator[None]:
    """Within it the HTTP libraries log nothing, whatever the levels; what others send at the same time is logged as before."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_NOT_OURS)  # which has it already, but for the first time
    token = _is_ours.set(True)
    try:
        yield
    finally:
        _is_ours.reset(token)
