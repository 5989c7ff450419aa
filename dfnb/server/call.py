"""What a handler is given: one request to the management API, checked and taken apart."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from starlette.requests import Request

from dfnb.client.links import Links, Scope
from dfnb.client.sync import DurableOrchestrationClient
from dfnb.definitions import Registry
from dfnb.server.answers import Refused
from dfnb.server.changes import Changes
from dfnb.server.followers import Followers
from dfnb.server.guard import Guard
from dfnb.server.query import Query
from dfnb.server.settings import ServerSettings

T = TypeVar("T")
_LOOK_SECONDS = 0.2
_LARGE = 1 << 16


@dataclasses.dataclass(frozen=True, slots=True)
class House:
    """What all requests of one server share."""

    client: DurableOrchestrationClient
    registry: Registry
    settings: ServerSettings
    guard: Guard
    links: Links
    scoped_links: Links
    """The same, but never with the hub's own key in them: for callers who do not have it."""
    changes: Changes
    followers: Followers


@dataclasses.dataclass(slots=True)
class Call:
    """One request. `origin`: what its links begin with; `scope`: what its own link may do, None when it came with the key. `check`
    refuses it as soon as its key or link opens nothing any more.
    """

    house: House
    request: Request
    query: Query
    params: dict[str, str]
    origin: str
    url: str
    """The URL the caller used, as it can be used again."""
    check: Callable[[], Scope | None]
    scope: Scope | None = None

    @property
    def client(self) -> DurableOrchestrationClient:
        return self.house.client

    @property
    def links(self) -> Links:
        return self.house.links if self.scope is None else self.house.scoped_links

    def may_stay(self) -> bool:
        """Whether its key or link would still let it in."""
        try:
            self.check()
        except Refused:
            return False
        return True

    def at_most(self, seconds: float) -> float:
        """So long, but no longer than its link lasts."""
        return seconds if self.scope is None else min(seconds, self.house.guard.seconds_left(self.scope))

    async def body(self) -> bytes:
        return await self.house.guard.body(self.request)

    async def json_text(self, body: bytes, *, whole: bool = True) -> str:
        """The body as JSON text; a large one is read on another thread, so that nobody else has to wait."""
        read = self.house.guard.json_text
        return await off_loop(read, body, whole=whole) if len(body) > _LARGE else read(body, whole=whole)

    async def settled(self, future: Future[T]) -> T:
        """What is on disk now; a hub that cannot go on is an error, not a wait without end."""
        waiting = asyncio.wrap_future(future)
        waiting.add_done_callback(_look_at)
        while not waiting.done():
            await asyncio.wait({waiting}, timeout=_LOOK_SECONDS)
            error = self.client.give_up(future)
            if error is not None and not waiting.done():
                raise error
        return waiting.result()


def _look_at(future: asyncio.Future[T]) -> None:
    """What comes of a request whose caller has been answered, or is gone, is nobody's error."""
    if not future.cancelled():
        future.exception()


async def off_loop(function: Callable[..., T], *args: object, **options: object) -> T:
    """Run what may wait for the file or a lock on another thread."""
    return await asyncio.to_thread(function, *args, **options)


async def hung_up(request: Request) -> None:
    """Wait until the caller has hung up; the body has to be read before."""
    while (await request.receive())["type"] != "http.disconnect":
        continue


def preferences(request: Request) -> dict[str, str]:
    """The words of the ``Prefer`` header (RFC 7240), names in lower case."""
    found: dict[str, str] = {}
    for word in ",".join(request.headers.getlist("prefer")).split(","):
        name, _, value = word.partition(";")[0].partition("=")
        if name.strip():
            found.setdefault(name.strip().lower(), value.strip().strip('"'))
    return found


def applied(*words: str) -> dict[str, str]:
    """The header that names the preferences that were followed; no header for none."""
    return {"Preference-Applied": ", ".join(words)} if words else {}


def preferred_wait(call: Call) -> float | None:
    """How many seconds the caller would like to be kept waiting, within the server's bound; None for no number of them."""
    word = preferences(call.request).get("wait", "")
    return min(float(word), call.house.settings.longest_wait) if word.isdecimal() and len(word) < 10 else None
