"""What tables ask of a remote hub: lists and counts, made of what its pages tell."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any, TypeVar

from dfnb.client.entities import EntityPage
from dfnb.client.remote.api import Api
from dfnb.client.stats import HubStats
from dfnb.client.status import DurableOrchestrationStatus, InstancePage, PurgeHistoryResult
from dfnb.errors import InstanceNotFoundError, RemoteError
from dfnb.hub.figures import Overview
from dfnb.hub.protocol import InstanceQuery
from dfnb.records import payload
from dfnb.records.instance import InstanceRecord
from dfnb.records.times import to_datetime, to_microseconds

T = TypeVar("T")
_COUNTED_AT_MOST = 1_000
_ASKED_AT_MOST = 100


class RemoteTables:
    """The part of the remote client that tables use. Counts are of the newest thousand."""

    _api: Api
    instances: Callable[..., InstancePage]
    entities: Callable[..., EntityPage]
    purge: Callable[..., PurgeHistoryResult]
    _run: Callable[[Coroutine[Any, Any, Any]], Any]
    _not_offered: Callable[[str], RemoteError]

    def stats(
        self, *, created_time_from: datetime | None = None, created_time_to: datetime | None = None, name: str | None = None
    ) -> HubStats:
        """Not told over HTTP."""
        raise self._not_offered("read the figures of its instances")

    def records(self, wanted: InstanceQuery) -> list[InstanceRecord]:
        """The records of instances that fit, newest first where the server lists them so.

        A list does not tell what they wait for: on a dfnb hub that is asked besides, for a page that is no longer than a screen.
        """
        records = [_record_of(status) for status in self._fitting(wanted, wanted.limit)]
        if not self._api.has_extras or len(records) > _ASKED_AT_MOST:
            return records
        fuller = self.find_many([record.id for record in records if not record.is_terminal])
        return [fuller.get(record.id, record) for record in records]

    def overview(self, wanted: InstanceQuery) -> Overview:
        """Counts of what fits, without a chart."""
        counts: dict[tuple[str, str], int] = {}
        wide = InstanceQuery(wanted.created_from, wanted.created_to, id_prefix=wanted.id_prefix)
        for status in self._fitting(wide, _COUNTED_AT_MOST):
            record = _record_of(status)
            counts[record.name, record.status] = counts.get((record.name, record.status), 0) + 1
        return Overview(counts)

    def find_many(self, ids: Sequence[str]) -> dict[str, InstanceRecord]:
        """The records of those instances that there are, by id, asked for several at a time."""
        return {record.id: record for record in self._run(self._records(ids)) if record is not None}

    async def _records(self, ids: Sequence[str]) -> list[InstanceRecord | None]:
        import asyncio

        async def ask(id: str) -> InstanceRecord | None:
            try:
                return await self._api.record(id)
            except InstanceNotFoundError:
                return None

        return await asyncio.gather(*map(ask, ids))

    def count_entities(self) -> dict[str, tuple[int, int]]:
        """How many entities have a state, and how many operations wait, by the name of the entities."""
        counted: dict[str, tuple[int, int]] = {}
        for one in self.entities(fetch_state=False, limit=_COUNTED_AT_MOST):
            number, waiting = counted.get(one.entity_id.name, (0, 0))
            counted[one.entity_id.name] = (number + 1, waiting + one.waiting)
        return counted

    def purge_ended(self, instance_ids: Sequence[str]) -> PurgeHistoryResult:
        """Delete those of the instances that have ended, one by one."""
        found = self.find_many(instance_ids)
        return PurgeHistoryResult(sum(self.purge(id).instances_deleted for id, record in found.items() if record.is_terminal))

    def _fitting(self, wanted: InstanceQuery, limit: int) -> list[DurableOrchestrationStatus]:
        until = wanted.created_to if wanted.after is None else wanted.after[0]
        page = self.instances(
            created_time_from=None if wanted.created_from is None else to_datetime(wanted.created_from),
            created_time_to=None if until is None else to_datetime(until), runtime_status=wanted.statuses or None,
            instance_id_prefix=wanted.id_prefix, name=wanted.name, limit=limit, show_input=False,
        )  # fmt: skip
        return [status for status in page if status.runtime_status is not None]


def _record_of(status: DurableOrchestrationStatus) -> InstanceRecord:
    created = to_microseconds(status.created_time) if status.created_time is not None else 0
    updated = to_microseconds(status.last_updated_time) if status.last_updated_time is not None else created
    custom = None if status.custom_status is None else payload.encode(status.custom_status, what="a custom status")
    return InstanceRecord(
        created, str(status.instance_id), status.name or "", status.runtime_status.value if status.runtime_status else "", 0,
        created, updated, 0, updated if status.is_terminal else None, custom,
    )  # fmt: skip
