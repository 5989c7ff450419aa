"""What an orchestrator's code is given of an HTTP call that is over: its answer, or the error to raise."""

from __future__ import annotations

from dfnb.errors import (
    HttpCallError,
    HttpConnectionError,
    HttpRefusedError,
    HttpRetriesExhaustedError,
    HttpTimeoutError,
)
from dfnb.records.failure import qualified_name
from dfnb.records.history import HttpCallCompleted, HttpCallFailed
from dfnb.records.http import DurableHttpResponse
from dfnb.replay.tasks import HttpTask

_ERRORS: dict[str, type[HttpCallError]] = {
    qualified_name(kind): kind
    for kind in (HttpTimeoutError, HttpConnectionError, HttpRetriesExhaustedError, HttpRefusedError)
}


def settle(task: HttpTask, event: HttpCallCompleted | HttpCallFailed) -> None:
    """Give the task what the history has of its call."""
    try:
        if isinstance(event, HttpCallCompleted):
            task.succeed(DurableHttpResponse.of(event))
        else:
            task.fail(_error(task, event))
    except ValueError as error:  # an answer that cannot be read surfaces at the yield
        task.fail(error)


def _error(task: HttpTask, event: HttpCallFailed) -> HttpCallError:
    kind = _ERRORS.get(event.failure.error_type, HttpCallError)
    last = DurableHttpResponse.of(event.last) if event.last is not None else None
    return kind(task.subject, event.failure, event.task, last)
