"""HTTP triggers: finds the function whose route fits a request, calls it, and makes an answer of what it returns."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from dfnb.client.aio import AsyncDurableOrchestrationClient
from dfnb.client.sync import DurableOrchestrationClient
from dfnb.definitions import Definition, Registry
from dfnb.records.route_template import parse
from dfnb.records.web import AuthLevel, HttpRequest, HttpResponse, HttpResponseHeaders
from dfnb.server import answers
from dfnb.server.call import hung_up
from dfnb.server.failures import WHERE, FailedRequests
from dfnb.server.forms import read_form
from dfnb.server.guard import Guard, credential
from dfnb.server.query import Query
from dfnb.server.settings import ServerSettings
from dfnb.server.user_code import UserCode

_NO_BODY = frozenset({204, 205, 304})
_OURS_TO_SAY = ("content-length", "transfer-encoding", "connection", "keep-alive", "upgrade")
_CLIENT_LEFT = 499


class Triggers:
    """Answers what comes in under the prefix of routes.

    As in Azure, a path that no route fits and a method that a route does not have are both 404, and a wrong key is 401. `origin`
    gives what is in front of the server's paths for whoever sent a request.
    """

    def __init__(
        self, registry: Registry, client: DurableOrchestrationClient, settings: ServerSettings, guard: Guard,
        origin: Callable[[Request], str], failures: FailedRequests,
    ) -> None:
        self._registry = registry
        self._client = client
        self._settings = settings
        self._guard = guard
        self._origin = origin
        self._failures = failures
        self._code = UserCode()
        self._begin = f"/{settings.route_prefix}/" if settings.route_prefix else "/"

    async def handle(self, request: Request) -> Response | None:
        """The answer to a request; None for one that is not under the prefix, or without a prefix fits no route."""
        path = _raw_path(request)
        if not f"{path}/".lower().startswith(self._begin.lower()):
            return None
        found = find(self._registry, request.method, path[len(self._begin) :])
        if found is None:
            return answers.empty(404) if self._settings.route_prefix else None
        if not self._may_call(found.definition, request):
            return answers.empty(401)
        body = await self._guard.body(request)
        return await self._call(found.definition, self._asked(request, path, found.values, body), request)

    def close(self, timeout: float = 1.0) -> None:
        """Cancel coroutine functions that still run; plain ones go on, but nobody hears of them."""
        self._code.close(timeout)

    def _may_call(self, definition: Definition, request: Request) -> bool:
        if definition.auth_level is AuthLevel.ANONYMOUS or not self._settings.require_key:
            return True
        given = _credential(request)
        if definition.auth_level is AuthLevel.ADMIN:
            return self._guard.is_system(given)
        return self._guard.is_function(given)

    def _asked(self, request: Request, path: str, values: Mapping[str, str], body: bytes) -> HttpRequest:
        origin = self._origin(request)
        query = request.scope["query_string"].decode("latin-1")
        return HttpRequest(
            request.method, f"{origin}{path}" + (f"?{query}" if query else ""), body=body, headers=request.headers.items(),
            params=dict(parse_qsl(query, keep_blank_values=True)), route_params=values, origin=origin, read_form=read_form,
            may_name_classes=not self._settings.require_key or self._guard.is_system(_credential(request)),
        )  # fmt: skip

    async def _call(self, definition: Definition, asked: HttpRequest, request: Request) -> Response:
        clients: tuple[Any, ...] = ()
        if definition.takes_client:
            clients = (AsyncDurableOrchestrationClient(self._client) if definition.is_async else self._client,)
        work = asyncio.wrap_future(self._code.run(definition.function, (asked, *clients), is_async=definition.is_async))
        if not await _done_before_client_left(work, request):
            return answers.empty(_CLIENT_LEFT)
        return _outcome(work, lambda error: self._failed(definition, request, error))

    def _failed(self, definition: Definition, request: Request, error: BaseException) -> Response:
        route = f"{request.method} {self._begin}{definition.route}"
        id = self._failures.note(route, error, request.headers.items(), request.scope["query_string"])
        return answers.data({"Message": f"{definition.name} failed; {WHERE} this id", "Id": id}, 500)


class Found(NamedTuple):
    """The trigger that is meant, and the values of its route's parameters."""

    definition: Definition
    values: dict[str, str]


def find(registry: Registry, method: str, path: str) -> Found | None:
    """The trigger whose route fits a path behind the prefix best and that has the method."""
    fitting = [definition for definition in registry.all() if definition.kind == "http_trigger" and method in definition.methods]
    for definition in sorted(fitting, key=lambda one: (parse(one.route).rank, one.route)):
        values = parse(definition.route).match(path)
        if values is not None:
            return Found(definition, values)
    return None


def _credential(request: Request) -> str:
    return credential(request, Query(request.scope["query_string"]))


def _raw_path(request: Request) -> str:
    """The path behind the place the app is mounted at, still percent-encoded: an encoded slash is no separator."""
    raw = request.scope.get("raw_path")
    path = raw.decode("latin-1") if raw else quote(request.scope["path"], safe="/@:%")
    root = quote(request.scope.get("root_path", ""), safe="/@:%")
    return path.removeprefix(root) if root else path


async def _done_before_client_left(work: asyncio.Future[Any], request: Request) -> bool:
    """Wait for the work; cancel it if whoever wants its answer hangs up."""
    left = asyncio.ensure_future(hung_up(request))
    try:
        await asyncio.wait({work, left}, return_when=asyncio.FIRST_COMPLETED)
        return work.done()
    finally:
        left.cancel()
        work.cancel()


def _outcome(work: asyncio.Future[Any], failed: Callable[[BaseException], Response]) -> Response:
    """The answer of work that is done. Its errors are never raised here, where a SystemExit would end the server's thread."""
    error = asyncio.CancelledError() if work.cancelled() else work.exception()
    if error is not None:
        return failed(error)
    try:
        return response_of(work.result())
    except Exception as unfit:
        return failed(unfit)


# ---- answers


def response_of(value: Any) -> Response:
    """The answer that a function's return value means."""
    if value is None:
        return answers.empty(204)
    if callable(getattr(value, "get_body", None)):  # ours, or that of azure.functions
        return _of_http_response(value)
    if isinstance(value, str):
        return _of_http_response(HttpResponse(value))
    if isinstance(value, bytes | bytearray):
        return _of_http_response(HttpResponse(value, mimetype="application/octet-stream"))
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
    return _of_http_response(HttpResponse(text, mimetype="application/json; charset=utf-8"))


def _plain(value: Any) -> Any:
    """What a dataclass, a time, an enum or the like is in JSON."""
    return msgspec.to_builtins(value)


def _of_http_response(answer: Any) -> Response:
    headers = HttpResponseHeaders(answer.headers)  # checks them: those of another library may hold line breaks
    for name in _OURS_TO_SAY:
        headers.pop(name, None)
    if answer.status_code in _NO_BODY:
        return Response(None, answer.status_code, dict(headers))
    if "content-type" not in headers:
        charset = f"; charset={answer.charset}" if answer.mimetype.startswith("text/") else ""
        headers["Content-Type"] = f"{answer.mimetype}{charset}"
    return Response(answer.get_body(), answer.status_code, dict(headers))
