"""Requests that stay: long polls, and streams of server-sent events. They stay no longer than their key or link opens something."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from typing import NamedTuple, TypeVar

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from dfnb.errors import HubError, InstanceNotFoundError
from dfnb.server import answers
from dfnb.server.call import Call, hung_up, off_loop
from dfnb.server.status import Shown, Statuses

_HEARTBEAT_SECONDS = 15.0
_PAUSE_SECONDS = 0.1
"""The shortest time between two events of one stream: what happens in between is told at once."""

_STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


T = TypeVar("T")


class Known(NamedTuple):
    """The status that a caller has already, by the tags in its ``If-None-Match``."""

    statuses: Statuses
    tags: str
    show_input: bool

    async def is_old(self, instance_id: str) -> bool:
        return (await self.statuses.show(instance_id, self.show_input)).etag not in self.tags


async def wait_for_end(call: Call, instance_id: str, seconds: float, known: Known | None = None) -> bool:
    """Wait for the end at most so long; whether it has come.

    A caller that names the status it knows waits only until there is another; one that hangs up waits no more.
    """
    call.house.followers.check()
    with call.house.followers.one():
        has_ended = await _unless_gone(call.request, _wait_for_end(call, instance_id, time.monotonic() + seconds, known)) or False
    call.check()
    return has_ended


async def _wait_for_end(call: Call, instance_id: str, limit: float, known: Known | None) -> bool:
    changes = call.house.changes
    with changes.ticket(instance_id) as ticket:
        while True:
            record = call.client.peek(instance_id)
            if record is None:
                record = await off_loop(call.client.record, instance_id)
            if record.is_terminal or (known is not None and await known.is_old(instance_id)):
                return record.is_terminal
            left = call.at_most(limit - time.monotonic())
            if left <= 0 or changes.is_closing or not call.may_stay() or not await ticket.wait(left):
                return False


async def _unless_gone(request: Request, waiting: Awaitable[T]) -> T | None:
    """What comes of the wait; None as soon as the caller has hung up."""
    wait, gone = asyncio.ensure_future(waiting), asyncio.ensure_future(hung_up(request))
    try:
        await asyncio.wait({wait, gone}, return_when=asyncio.FIRST_COMPLETED)
        return wait.result() if wait.done() else None
    finally:
        wait.cancel()
        gone.cancel()
        await asyncio.gather(wait, gone, return_exceptions=True)


async def follow_status(call: Call, statuses: Statuses, instance_id: str) -> Response:
    """A stream with the status at each change; it ends with the instance."""
    shown = await statuses.show(instance_id, call.query.flag("showInput", True))  # an unknown instance is a 404, not a stream
    if shown.record.is_terminal and call.request.headers.get("last-event-id") == _event_id(shown):
        return answers.empty(204)  # a browser would go on to connect again and again
    call.house.followers.check()
    return StreamingResponse(_statuses(call, statuses, instance_id), media_type="text/event-stream", headers=_STREAM_HEADERS)


def _event_id(shown: Shown) -> str:
    return shown.etag.strip('"')


async def _statuses(call: Call, statuses: Statuses, instance_id: str) -> AsyncIterator[bytes]:
    known = call.request.headers.get("last-event-id")
    show_input = call.query.flag("showInput", True)
    changes = call.house.changes
    with call.house.followers.one(), changes.ticket(instance_id) as ticket:
        while not changes.is_closing and call.may_stay():
            try:
                shown = await statuses.show(instance_id, show_input)
            except InstanceNotFoundError:
                yield b"event: purged\ndata: {}\n\n"
                return
            except HubError:
                return
            id = _event_id(shown)
            if id != known:
                yield b"id: %s\nevent: status\ndata: %s\n\n" % (id.encode(), shown.body)
                known = id
            if shown.record.is_terminal:
                return
            if await ticket.wait(call.at_most(_HEARTBEAT_SECONDS)):
                await asyncio.sleep(_PAUSE_SECONDS)  # at most ten events a second, however often it changes
            else:
                yield b": still here\n\n"


async def follow_changes(call: Call) -> Response:
    """A stream with the ids of all instances that change."""
    call.house.followers.check()
    return StreamingResponse(_changes(call), media_type="text/event-stream", headers=_STREAM_HEADERS)


async def _changes(call: Call) -> AsyncIterator[bytes]:
    changes = call.house.changes
    with call.house.followers.one(), changes.ticket(None) as ticket:
        yield b": here\n\n"
        while not changes.is_closing and call.may_stay():
            ids, ticket.ids = sorted(ticket.ids), set()
            if ids:
                yield b"event: changes\ndata: %s\n\n" % answers.encode(ids)
            if await ticket.wait(_HEARTBEAT_SECONDS):
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                yield b": still here\n\n"
