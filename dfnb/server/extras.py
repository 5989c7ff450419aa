"""What a dfnb server tells beyond the original's API, so that another dfnb shows an instance as if it were its own. Only reads."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from dfnb.records.instance import InstanceRecord
from dfnb.server import answers
from dfnb.server.call import Call, off_loop
from dfnb.server.follow import follow_changes

_MOST = 10_000


class ExtraHandlers:
    """One method for each operation of the table of routes. The JSON is that of dfnb's records."""

    async def get_record(self, call: Call) -> Response:
        return answers.data(await self._record(call))

    async def get_events(self, call: Call) -> Response:
        """Each event as [position, generation, turn, time, kind, task, took, name, data]; `after`: those behind that position."""
        rows = await off_loop(call.client.history_after, await self._record(call), call.query.number("after", -1))
        return answers.data([[pos, generation, row.turn, row.at, *row.event.columns()] for pos, generation, row in rows])

    async def get_logs(self, call: Call) -> Response:
        return answers.data(await off_loop(call.client.logs, call.params["instanceId"]))

    async def get_exchanges(self, call: Call) -> Response:
        """The latest exchanges, or all; bodies in base64.

        With ``bodies=false`` lines instead, those behind the position `after`, the oldest first and a page at a time; with `at`
        the exchange at that position alone.
        """
        after, at = call.query.number("after", -1), call.query.number("at", -1)
        if not call.query.flag("bodies", True):
            lines = await off_loop(call.client.exchange_lines, await self._record(call), after)
            return answers.data([line._asdict() for line in lines[:_MOST]])
        if at >= 0:
            found = await off_loop(call.client.exchange_at, await self._record(call), at)
            return answers.data([] if found is None else [msgspec.structs.replace(found.record, work=None)])
        latest = call.query.number("latest", _MOST)
        log = await off_loop(call.client.http, call.params["instanceId"], latest=max(1, min(latest, _MOST)))
        return answers.data([msgspec.structs.replace(one.record, work=None) for one in log])

    async def get_calls(self, call: Call) -> Response:
        found = await off_loop(call.client.calls, await self._record(call), max(1, min(call.query.number("limit", 100), _MOST)))
        return answers.data([summary._asdict() for summary in found])

    async def get_children(self, call: Call) -> Response:
        return answers.data(await off_loop(call.client.children, (await self._record(call)).id))

    async def get_source(self, call: Call) -> Response:
        """The source of the orchestrator as the instance runs it, as JSON text; null when it was not kept."""
        record = await self._record(call)
        return answers.data(await off_loop(call.client.source_of, record))

    async def follow_changes(self, call: Call) -> Response:
        return await follow_changes(call)

    async def make_primary(self, call: Call) -> Response:
        """The owner of a hub is always its primary."""
        return answers.empty(200)

    async def _record(self, call: Call) -> InstanceRecord:
        return await off_loop(call.client.record, call.params["instanceId"])
