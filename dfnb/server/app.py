"""The management API as an ASGI app: each request is checked, matched with the table of routes, and answered.

It can be served by itself (`dfnb.server.listener`) or mounted in an app of one's own.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dfnb.client.hosts import in_url
from dfnb.client.keys import HubKeys
from dfnb.client.links import BASE_PATH, VERBS, Links, scoped_code
from dfnb.client.links import Scope as LinkScope
from dfnb.client.sync import DurableOrchestrationClient
from dfnb.definitions import Registry
from dfnb.server import answers
from dfnb.server.call import Call, House
from dfnb.server.changes import Changes
from dfnb.server.entities import EntityHandlers
from dfnb.server.extras import ExtraHandlers
from dfnb.server.failures import FailedRequests
from dfnb.server.followers import Followers
from dfnb.server.guard import Guard, forwarded
from dfnb.server.instances import InstanceHandlers
from dfnb.server.openapi import document
from dfnb.server.page import page_answer
from dfnb.server.proof import ProofHandlers
from dfnb.server.query import Query
from dfnb.server.routes import Match, match
from dfnb.server.settings import ServerSettings
from dfnb.server.status import Statuses
from dfnb.server.triggers import Triggers
from dfnb.version import package_version

logger = logging.getLogger("dfnb.server")

_NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_AS_THEY_ARE = "!$%&'()*+,-./:;=?@[]_`{|}~"
_EXPOSED = ("Location", "Retry-After", "x-ms-continuation-token", "ETag", "Preference-Applied", "x-dfnb-version")

Handler = Callable[[Call], Awaitable[Response]]


class ManagementApp:
    """Serves one hub. `own_origin`: where it can be reached when neither settings nor a request say so; the listener sets it."""

    def __init__(
        self, client: DurableOrchestrationClient, keys: HubKeys, settings: ServerSettings, registry: Registry,
        now: Callable[[], int], failures: FailedRequests | None = None,
    ) -> None:
        self.failures = failures if failures is not None else FailedRequests(now)
        self.settings = settings
        self.keys = keys
        self.own_origin = settings.own_origin or f"http://{in_url(settings.host)}:{settings.port}"
        self.links = Links(self._origin, self._code, now, settings.task_hub, settings.connection, settings.link_lifetime)
        self.guard = Guard(settings, keys, now)
        self.changes = Changes(client)
        scoped_links = dataclasses.replace(self.links, code=self._scoped_code)
        self._house = House(
            client, registry, settings, self.guard, self.links, scoped_links, self.changes, Followers(settings.max_followers)
        )
        self.triggers = Triggers(registry, client, settings, self.guard, self._origin_of, self.failures)
        statuses = Statuses(client)
        proofs = ProofHandlers(keys, lambda: self.own_origin)
        self._handlers = (InstanceHandlers(statuses), EntityHandlers(), ExtraHandlers(), proofs)
        self._version = package_version() or "0"
        self._app: ASGIApp = self._serve
        if settings.cors_origins:
            self._app = CORSMiddleware(
                self._serve, allow_origins=settings.cors_origins, allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
                allow_headers=("*",), expose_headers=_EXPOSED,
            )  # fmt: skip

    def _origin(self) -> str:
        return self.settings.own_origin or self.own_origin

    def _code(self, instance_id: str, scope: LinkScope) -> str | None:
        if self.settings.require_key and self.settings.links == "key" and scope == LinkScope(frozenset(VERBS)):
            return self.keys.system
        return self._scoped_code(instance_id, scope)

    def _scoped_code(self, instance_id: str, scope: LinkScope) -> str | None:
        if not self.settings.require_key:
            return None
        return scoped_code(self.keys.links, instance_id, scope)

    @property
    def followers(self) -> int:
        """How many requests stay open now: long polls and event streams."""
        return self._house.followers.count

    async def drain(self) -> None:
        """Have all requests that stay answered now, and coroutines of triggers end."""
        self.changes.close()
        await asyncio.to_thread(self.triggers.close)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._app(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = await self._answer(request)
        logger.debug("%s %s %d", request.method, quote(str(scope["path"])), response.status_code)  # no query: keys are in it
        headers = MutableHeaders(raw=response.raw_headers)
        headers["x-dfnb-version"] = self._version
        for name, value in _NO_STORE.items():
            headers.setdefault(name, value)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            self.guard.check_origin(request)
            return await self._dispatch(request)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            return answers.of_error(error, lambda unknown: self._note(request, unknown))

    def _note(self, request: Request, error: Exception) -> str:
        found = match(request.method, _path_of(request)[len(BASE_PATH) :])
        route = f"{BASE_PATH}/{found.route.path}" if found is not None else "another path"
        return self.failures.note(f"{request.method} {route}", error, request.headers.items(), request.scope["query_string"])

    async def _dispatch(self, request: Request) -> Response:
        path = _path_of(request)
        if path.lower().startswith(f"{BASE_PATH}/"):
            found = match(request.method, path[len(BASE_PATH) :])
            if found is not None:
                return await self._operate(request, path, found)
        shown = self._without_key(request, path) if request.method == "GET" else None
        return shown or await self.triggers.handle(request) or answers.empty(404)

    def _without_key(self, request: Request, path: str) -> Response | None:
        """The status page and the description of the API, which tell of HTTP triggers and nothing else of the hub.

        None for everything else.
        """
        if path == "/openapi.json":
            triggers = [one for one in self._house.registry.all() if one.kind == "http_trigger"]
            return answers.data(document(self.settings, self._origin_of(request), self._version, triggers))
        if not path:  # without the slash at its end the page would look for its files in the wrong place
            return answers.empty(307, {"Location": f"{self._origin_of(request)}/"})
        return page_answer(path)

    async def _operate(self, request: Request, path: str, found: Match) -> Response:
        query = Query(request.scope["query_string"])
        route = found.route
        check: Callable[[], LinkScope | None] = partial(self.guard.check_key, request, query)
        if route.verb:
            check = partial(self.guard.check_instance, request, query, found.params["instanceId"], route.verb)
        scope = None if route.is_open else check()
        hub = query.text("taskHub")
        if hub is not None and hub.lower() != self.settings.task_hub.lower():
            return answers.bad_argument(f"this server has one task hub, {self.settings.task_hub!r}, not {hub!r}")
        origin = self._origin_of(request)
        handler: Handler = next(getattr(one, route.operation) for one in self._handlers if hasattr(one, route.operation))
        return await handler(Call(self._house, request, query, found.params, origin, _url_of(request, origin, path), check, scope))

    def _origin_of(self, request: Request) -> str:
        """What is in front of the path for whoever sent this request."""
        if self.settings.own_origin is not None:
            return self.settings.own_origin
        scheme, prefix = request.scope.get("scheme", "http"), request.scope.get("root_path", "")
        host = request.headers.get("host", "")
        if self.settings.trust_forwarded:
            scheme = forwarded(request, "proto") or scheme
            host = forwarded(request, "host") or host
            prefix = forwarded(request, "prefix").rstrip("/") or prefix
        return f"{scheme}://{host}{quote(prefix, safe='/@:%')}"


def _path_of(request: Request) -> str:
    """The decoded path behind the place the app is mounted at."""
    path, root = str(request.scope["path"]), str(request.scope.get("root_path", ""))
    return path[len(root) :] if root and path.startswith(root) else path


def _url_of(request: Request, origin: str, path: str) -> str:
    query = quote(request.scope["query_string"], safe=_AS_THEY_ARE)  # as it came, but never with a line break in it
    return f"{origin}{quote(path, safe='/@:')}" + (f"?{query}" if query else "")


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message: Message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
