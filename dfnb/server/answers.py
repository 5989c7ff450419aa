"""Answers as the original gives them: compact JSON, empty bodies, and its two shapes of an error."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from dfnb.errors import (
    EngineBusyError,
    HubClosedError,
    HubUnavailableError,
    InstanceConflictError,
    InstanceExistsError,
    InstanceFinishedError,
    InstanceNotFoundError,
    NotRegisteredError,
)
from dfnb.server.failures import WHERE

JSON_TYPE = "application/json; charset=utf-8"
_BAD_ARGUMENT = "One or more of the arguments submitted is incorrect"
_BROKEN = "Something went wrong while processing your request"
_CONFLICT = "The operation does not fit the state of the instance"
_SOON = {"Retry-After": "1"}


class Refused(Exception):
    """A request that is answered at once, whatever it asked for."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def encode(value: Any) -> bytes:
    """Compact JSON in UTF-8 that every parser takes: numbers that are not finite are null."""
    try:
        return msgspec.json.encode(value)
    except (OverflowError, TypeError, UnicodeEncodeError):  # a number beyond 64 bits, half of a surrogate pair
        finite = json.loads(json.dumps(value), parse_constant=lambda name: None)
        return json.dumps(finite, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def data(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A value as JSON."""
    return ready(encode(value), status, headers)


def ready(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON that is written already."""
    return Response(body, status, {"content-type": JSON_TYPE, **(headers or {})})


def empty(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """No body, and no type of one."""
    return Response(status_code=status, headers=dict(headers or {}))


def message(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """The short shape of an error."""
    return data({"Message": text}, status, headers)


def failure(status: int, text: str, error: str, kind: str, headers: Mapping[str, str] | None = None) -> Response:
    """The long shape of an error, without the stack trace that the original adds."""
    return data({"Message": text, "ExceptionMessage": error, "ExceptionType": kind}, status, headers)


def of_error(error: Exception, note: Callable[[Exception], str]) -> Response:
    """The answer to a request that ended in an exception. `note` keeps one that nobody expects, and gives the id for the caller."""
    if isinstance(error, Refused):
        return error.response
    if isinstance(error, InstanceNotFoundError):
        return empty(404)
    if isinstance(error, InstanceFinishedError):
        return empty(410)
    if isinstance(error, InstanceConflictError | InstanceExistsError):
        return failure(409, _CONFLICT, str(error), "System.InvalidOperationException")
    if isinstance(error, HubUnavailableError | HubClosedError):
        kept = isinstance(error, HubUnavailableError) and error.kept  # who repeated it would have it done twice
        return failure(503, _BROKEN, _without_path(error), "System.InvalidOperationException", None if kept else _SOON)
    if isinstance(error, NotRegisteredError | ValueError | TypeError):  # a PayloadError is a TypeError
        return bad_argument(str(error))
    return failure(500, _BROKEN, f"{WHERE} {note(error)}", "System.Exception")


def _without_path(error: HubUnavailableError | HubClosedError) -> str:
    """Callers from outside are not told where the hub's file lies."""
    if isinstance(error, HubClosedError):
        return "the hub is closed; ask again once it is open"
    if isinstance(error, EngineBusyError):
        return f"the hub is held up by somebody's code that does not come back; {error.outlook}"
    if error.kept:
        return "the hub cannot be written to at present; this request is kept and will be carried out then, so do not repeat it"
    return "the hub cannot be written to at present; ask again later"


def bad_argument(text: str) -> Response:
    return failure(400, _BAD_ARGUMENT, text, "System.ArgumentException")


def invalid_json(text: str) -> Response:
    return failure(400, "Invalid JSON content", text, "Newtonsoft.Json.JsonReaderException")
