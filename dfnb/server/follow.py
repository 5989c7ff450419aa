"""Requests that stay: long polls, and streams of server-sent events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from starlette.responses import Response, StreamingResponse

from dfnb.client.status import DurableOrchestrationStatus
from dfnb.errors import DfnbError, InstanceNotFoundError
from dfnb.server import answers
from dfnb.server.call import Call, off_loop
from dfnb.server.status import Statuses

_HEARTBEAT_SECONDS = 15.0
_PAUSE_SECONDS = 0.1
"""The shortest time between two events of one stream: what happens in between is told at once."""

_STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


async def wait_for_end(
    call: Call, instance_id: str, seconds: float, statuses: Statuses | None = None, known: str | None = None
) -> DurableOrchestrationStatus | None:
    """Wait for the end at most so long: the last status, or None while it goes on.

    A caller that names the status it knows waits only until there is another.
    """
    limit = time.monotonic() + seconds
    changes = call.house.changes
    with call.house.followers.one(), changes.ticket(instance_id) as ticket:
        while True:
            record = await off_loop(call.client.record, instance_id)
            if record.is_terminal:
                return await off_loop(call.client.status, instance_id)
            if known is not None and statuses is not None and (await statuses.show(instance_id)).etag != known:
                return None
            left = limit - time.monotonic()
            if left <= 0 or changes.is_closing or not await ticket.wait(left):
                return None


async def follow_status(call: Call, statuses: Statuses, instance_id: str) -> Response:
    """A stream with the status at each change; it ends with the instance."""
    await statuses.show(instance_id)  # an unknown instance is a 404, not a stream
    call.house.followers.check()
    return StreamingResponse(_statuses(call, statuses, instance_id), media_type="text/event-stream", headers=_STREAM_HEADERS)


async def _statuses(call: Call, statuses: Statuses, instance_id: str) -> AsyncIterator[bytes]:
    known = call.request.headers.get("last-event-id")
    show_input = call.query.flag("showInput", True)
    changes = call.house.changes
    with call.house.followers.one(), changes.ticket(instance_id) as ticket:
        while not changes.is_closing:
            try:
                shown = await statuses.show(instance_id, show_input)
            except (InstanceNotFoundError, DfnbError):
                yield b"event: purged\ndata: {}\n\n"
                return
            etag = shown.etag.strip('"')
            if etag != known:
                yield b"id: %s\nevent: status\ndata: %s\n\n" % (etag.encode(), shown.body)
                known = etag
            if shown.record.is_terminal:
                return
            if await ticket.wait(_HEARTBEAT_SECONDS):
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
        while not changes.is_closing:
            if not await ticket.wait(_HEARTBEAT_SECONDS):
                yield b": still here\n\n"
                continue
            await asyncio.sleep(_PAUSE_SECONDS)
            ids, ticket.ids = sorted(ticket.ids), set()
            yield b"event: changes\ndata: %s\n\n" % answers.encode(ids)
