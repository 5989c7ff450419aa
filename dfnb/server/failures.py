"""The latest requests that were answered with a 500, kept for who wrote the code: callers are told an id and nothing else."""

from __future__ import annotations

import dataclasses
import logging
import traceback
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import overload
from urllib.parse import parse_qsl

from dfnb.client import html, shown
from dfnb.durable_http.redaction import REDACTED, SENSITIVE_HEADERS, SENSITIVE_QUERY, Redactor
from dfnb.records.failure import FailureDetails
from dfnb.records.short_repr import cut
from dfnb.records.times import to_datetime

logger = logging.getLogger("dfnb.server")

WHERE = "`app.server.failures` and the server's log have the details under"
_KEPT = 50


@dataclasses.dataclass(frozen=True, slots=True)
class FailedRequest:
    """One request that an error has ended. `route` is the method and the path as it was defined, without what a caller put in."""

    id: str
    at: datetime
    route: str
    error: str
    """The type of the error and its message."""
    traceback: str

    def __repr__(self) -> str:
        return f"<FailedRequest {cut(f'{self.route}: {self.error}', 180)}>"

    def __str__(self) -> str:
        return f"{shown.date_and_time(self.at.timestamp() * 1000)}  {self.route}  (id {self.id})\n{self.traceback}"


class FailedRequests(Sequence[FailedRequest]):
    """The latest of them, the newest first."""

    titles = ("time", "request", "id", "details")

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._kept: deque[FailedRequest] = deque(maxlen=_KEPT)

    def note(self, route: str, error: BaseException, headers: Iterable[tuple[str, str]] = (), query: bytes = b"") -> str:
        """Keep an error and tell it to the log, without the credentials of its request; the id for the caller."""
        id, told, secrets = uuid.uuid4().hex, FailureDetails.from_exception(error), _credentials(headers, query)
        trace = secrets.redact(_trace(error, told))
        self._kept.appendleft(FailedRequest(id, to_datetime(self._now()), route, secrets.redact(told.summary), trace))
        logger.error("%s failed (id %s)\n%s", route, id, trace)
        return id

    @overload
    def __getitem__(self, at: int) -> FailedRequest: ...
    @overload
    def __getitem__(self, at: slice) -> list[FailedRequest]: ...
    def __getitem__(self, at: int | slice) -> FailedRequest | list[FailedRequest]:
        return list(self._kept)[at]

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        latest = f", the latest {cut(f'{self[0].route}: {self[0].error}', 150)}" if self else ""
        return f"<FailedRequests: {len(self)}{latest}>"

    def __str__(self) -> str:
        return "\n\n".join(map(str, list(self._kept))) or "no request has failed"

    def _repr_html_(self) -> str:
        return html.table(self.titles, "".join(map(_row, list(self._kept)))) or html.span("dfnb-quiet", "no request has failed")


def _row(one: FailedRequest) -> str:
    when = html.cell("dfnb-time", shown.date_and_time(one.at.timestamp() * 1000))
    what = html.cell("dfnb-mono", one.route)
    return f"<tr>{when}{what}{html.cell('dfnb-mono', one.id)}<td>{html.pre(one.traceback)}</td></tr>"


def _trace(error: BaseException, told: FailureDetails) -> str:
    """The frames of the user's code, of causes too; of an error that has none, all there are."""
    if not told.stack_trace:
        return "".join(traceback.format_exception(error)).rstrip("\n")
    pieces: list[str] = []
    cause: FailureDetails | None = told
    while cause is not None:
        pieces.insert(0, "\n".join(filter(None, (cause.stack_trace, cause.summary))))
        cause = cause.inner_failure
    return "\n\nwhich led to:\n\n".join(pieces)


def _credentials(headers: Iterable[tuple[str, str]], query: bytes) -> Redactor:
    """Knows again what a request had in headers and parameters that are for credentials."""
    values = [value for name, value in headers if name.lower() in SENSITIVE_HEADERS]
    parts = [part.strip(";").partition("=")[2] or part for value in values for part in value.split()]  # "Bearer abc", "a=b; c=d"
    parameters = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    secrets = Redactor()
    for value in (*values, *parts, *(value for name, value in parameters if name.lower() in SENSITIVE_QUERY)):
        if value.lower() not in _SCHEMES:
            secrets.add(value, REDACTED)
    return secrets


_SCHEMES = ("basic", "bearer", "digest", "negotiate")
