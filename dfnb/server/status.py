"""The status of an instance as an answer, kept ready for as long as the instance does not change."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections import OrderedDict
from typing import NamedTuple

from starlette.responses import Response

from dfnb.client.sync import DurableOrchestrationClient
from dfnb.errors import InstanceNotFoundError
from dfnb.records.instance import InstanceRecord
from dfnb.server.answers import encode, ready
from dfnb.server.call import Call, off_loop

_KEPT = 4_096
_LARGEST_KEPT = 1 << 16
_NOT_YET = frozenset({"Running", "Pending", "ContinuedAsNew", "Suspended"})
_YOUNG = 10_000_000
_BUSY_KINDS = frozenset({"activity", "orchestration", "entity", "lock", "http", "more"})


class Shown(NamedTuple):
    """A status as JSON, with the record it was made of."""

    record: InstanceRecord
    body: bytes
    etag: str


class Statuses:
    """Status bodies by instance; one that was made before is used again while the instance's record is the same object."""

    def __init__(self, client: DurableOrchestrationClient) -> None:
        self._client = client
        self._kept: OrderedDict[tuple[str, bool], Shown] = OrderedDict()
        self._under_way: dict[tuple[int, str, bool], asyncio.Task[Shown | None]] = {}

    async def show(self, instance_id: str, show_input: bool = True) -> Shown:
        """The present status without history. InstanceNotFoundError if there is no such instance."""
        mine = (id(asyncio.get_running_loop()), instance_id, show_input)
        while True:
            record = self._client.peek(instance_id)
            kept = self._kept.get((instance_id, show_input))
            if kept is not None and kept.record is record:
                return kept
            others = self._under_way.get(mine)
            if others is None or record is None:
                shown = await self._make_for_all(mine)
                if shown is not None:
                    return shown
            else:
                await asyncio.wait({others})  # and look again: it may have begun before what we are to see

    async def _make_for_all(self, mine: tuple[int, str, bool]) -> Shown | None:
        """Make it once for all who ask on this loop meanwhile."""
        making = asyncio.ensure_future(off_loop(self._make, *mine[1:]))
        self._under_way[mine] = making
        try:
            shown = await asyncio.shield(making)
        finally:
            self._under_way.pop(mine, None)
        if shown is not None:
            self._keep(mine[1:], shown)
        return shown

    def _make(self, instance_id: str, show_input: bool) -> Shown | None:
        record = self._client.record(instance_id)
        status = self._client.status(instance_id, show_input=show_input)
        if not status:
            raise InstanceNotFoundError(instance_id)
        if self._client.record(instance_id) != record:
            return None
        body = encode(status.to_json())
        return Shown(record, body, f'"{hashlib.blake2b(body, digest_size=9).hexdigest()}"')

    def _keep(self, key: tuple[str, bool], shown: Shown) -> None:
        self._kept.pop(key, None)
        if len(shown.body) <= _LARGEST_KEPT:
            self._kept[key] = shown
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)


def status_answer(call: Call, record: InstanceRecord, body: bytes, etag: str | None) -> Response:
    """The body with the code and headers that the original's state and flags ask for."""
    headers = {"ETag": etag} if etag is not None else {}
    if record.status in _NOT_YET:
        advice = call.house.settings.retry_after
        seconds = advice if advice is not None else retry_after(record, call.house.links.now())
        headers |= {"Location": call.url, "Retry-After": str(seconds)}
        return ready(body, 202, headers)
    failed = record.status == "Failed" and call.query.flag("returnInternalServerErrorOnFailure")
    return ready(body, 500 if failed else 200, headers)


def retry_after(record: InstanceRecord, now: int) -> int:
    """When to ask again, in seconds from 1 to 10: soon while it works, later while it waits for a person or a far time."""
    times = [wait.until for wait in record.waits if wait.until is not None]
    if times:
        return min(10, max(1, math.ceil((min(times) - now) / 1_000_000)))
    if any(wait.kind in _BUSY_KINDS for wait in record.waits) or not record.waits:
        return 1 if now - record.updated_at < _YOUNG else 5
    return 10
