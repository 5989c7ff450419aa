"""The client: everything one can ask of a hub from outside an orchestration."""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Any

from dfnb.client import test_mode
from dfnb.client.entity_client import EntityClient
from dfnb.client.http_log import HttpExchange, HttpLog, http_log
from dfnb.client.instance import Instance
from dfnb.client.paging import read_token, token
from dfnb.client.responses import BlockingResponses
from dfnb.client.stats import HubStats
from dfnb.client.status import (
    DurableOrchestrationStatus,
    InstancePage,
    PurgeHistoryResult,
    Statuses,
    as_microseconds,
    status_names,
    status_of,
    waiting_sentence,
)
from dfnb.client.wire import history_events
from dfnb.definitions import Definition, name_of
from dfnb.errors import InstanceConflictError, InstanceFinishedError, InstanceNotFoundError
from dfnb.hub.figures import Overview
from dfnb.hub.http_state import CallSummary, ExchangeLine
from dfnb.hub.protocol import Ended, InstanceQuery, StartRequest
from dfnb.records import payload
from dfnb.records.history import (
    EventRaised,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    Recorded,
)
from dfnb.records.instance import InstanceRecord
from dfnb.records.log import LogLine

_FORBIDDEN_IN_ID = frozenset("/\\?#")
_LONGEST_ID = 256
_RANDOM = random.Random()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_RANDOM.seed)


class DurableOrchestrationClient(EntityClient, BlockingResponses):
    """Starts, queries and manages instances; signals and looks at entities.

    Every method may be called from any thread and returns once its work is on disk.
    """

    where = ""
    """The address of the server behind it; empty for a hub of this process."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    # start

    def start(
        self, orchestrator: str | Callable[..., Any], input: Any = None, *, instance_id: str | None = None,
        start_at: datetime | None = None, version: str | None = None, callback_url: str | None = None,
    ) -> Instance:
        """Start an instance and return its handle as soon as the start is on disk.

        `instance_id`: your own id (at most 256 characters, none of ``/ \\ ? #``); one of an instance that has ended is taken over.
        `start_at`: do not begin before that time (naive means UTC). `callback_url`: where its end is to be told, in a signed
        POST that is repeated until it is received. Raises NotRegisteredError with a did-you-mean for an unknown orchestrator,
        InstanceExistsError when the id belongs to an instance that has not ended, PayloadError for an input that is not JSON.
        """
        request = self.request(orchestrator, input, instance_id=instance_id, start_at=start_at, version=version)
        tells = callback_url is not None
        self.settle(self.submit_with_callback(request, callback_url) if tells else self.submit([request]))
        return Instance(self, request.id, request.name)

    def start_many(
        self, orchestrator: str | Callable[..., Any], inputs: Iterable[Any], *, instance_ids: Sequence[str] | None = None
    ) -> list[Instance]:
        """Start one instance for each input, all or none, with one acknowledgement for all."""
        values = list(inputs)
        ids: Sequence[str | None] = [None] * len(values) if instance_ids is None else list(instance_ids)
        if len(ids) != len(values):
            raise ValueError(f"{len(values)} inputs but {len(ids)} instance ids were given")
        requests = [self.request(orchestrator, value, instance_id=id) for value, id in zip(values, ids, strict=True)]
        self.settle(self._hub.start_instances(requests))
        return [Instance(self, request.id, request.name) for request in requests]

    def request(
        self, orchestrator: str | Callable[..., Any], input: Any = None, *, instance_id: str | None = None,
        start_at: datetime | None = None, version: str | None = None,
    ) -> StartRequest:
        """A checked start, not yet sent."""
        name = name_of("orchestrator", orchestrator)
        definition = self._registry.require("orchestrator", name)
        text = payload.encode(input, what=f"the input of {name!r}")
        code = definition.fingerprint
        if instance_id is None:
            fresh = not test_mode.is_on()  # an id that is counted may be there already
            return StartRequest(name, new_instance_id(), text, as_microseconds(start_at), code, version, fresh=fresh)
        return StartRequest(name, check_instance_id(instance_id), text, as_microseconds(start_at), code, version)

    # ask

    def instance(self, instance_id: str) -> Instance:
        """A handle on an existing instance. Raises InstanceNotFoundError."""
        record = self.record(instance_id)
        return Instance(self, record.id, record.name)

    def status(
        self, instance_id: str, *, show_history: bool = False, show_history_output: bool = False, show_input: bool = True
    ) -> DurableOrchestrationStatus:
        """The instance's committed state; a falsy status when there is no such instance."""
        record = self._hub.find(instance_id)
        if record is None:
            return DurableOrchestrationStatus()
        history = None
        if show_history and record.status != "Pending":
            rows = self.history(record.id, generation=record.generation)
            history = history_events(rows, show_input=show_input, show_output=show_history_output)
        input, end = self._hub.payloads([record])[record.key]
        return status_of(record, input if show_input else None, end, self.waiting_for(record), history)

    def instances(
        self, *, created_time_from: datetime | None = None, created_time_to: datetime | None = None,
        runtime_status: Statuses = None, instance_id_prefix: str | None = None, name: str | None = None, limit: int = 100,
        continuation_token: str | None = None, show_input: bool = True, include_entities: bool = False,
    ) -> InstancePage:
        """Instances that fit every condition given, newest first, a page at a time. Times are inclusive.

        `include_entities`: entities too, as instances whose id is ``@name@key``.
        """
        if limit < 1:
            raise ValueError("limit must be at least 1")
        after = read_token(continuation_token, 2)
        wanted = InstanceQuery(
            as_microseconds(created_time_from), as_microseconds(created_time_to), status_names(runtime_status), instance_id_prefix,
            name, limit + 1, None if after is None else (after[0], after[1]), include_entities,
        )
        found = self._hub.query(wanted)
        records = found[:limit]
        texts = self._hub.payloads(records)
        page = [
            status_of(r, texts[r.key][0] if show_input else None, texts[r.key][1], self.waiting_for(r)) for r in records
        ]
        return InstancePage(page, _token_behind(records[-1]) if len(found) > limit else None)

    def counts(self) -> dict[str, int]:
        """How many instances there are by runtime status."""
        return self._hub.counts()

    def stats(
        self, *, created_time_from: datetime | None = None, created_time_to: datetime | None = None, name: str | None = None
    ) -> HubStats:
        """How the instances created in the window did: counts, when they were created and ended, how long they took."""
        wanted = InstanceQuery(as_microseconds(created_time_from), as_microseconds(created_time_to), name=name)
        return HubStats(self._hub.figures(wanted))

    def overview(self, wanted: InstanceQuery) -> Overview:
        """Counts and times of what fits a question."""
        return self._hub.overview(wanted)

    def records(self, wanted: InstanceQuery) -> list[InstanceRecord]:
        """The records of instances that fit, newest first."""
        return self._hub.query(wanted)

    def find_many(self, ids: Sequence[str]) -> dict[str, InstanceRecord]:
        """The records of those instances that there are, by id."""
        return self._hub.find_many(ids)

    def history(self, instance_id: str, *, generation: int | None = None) -> list[Recorded]:
        """The recorded events of an instance, oldest first: of one generation, or of all."""
        rows = self._hub.history(self.record(instance_id))
        return [row for _, of, row in rows if generation is None or of == generation]

    def logs(self, instance_id: str) -> list[LogLine]:
        """What the instance's orchestrator and activities printed and logged."""
        return self._hub.logs(self.record(instance_id))

    def http(self, instance_id: str, *, latest: int | None = None) -> HttpLog:
        """Every request that the instance's HTTP calls have sent, or the latest ones, and what came back; secrets are redacted."""
        if latest is not None and latest < 1:
            raise ValueError("latest must be at least 1")
        return http_log(instance_id, self._hub.exchanges(self.record(instance_id), latest))

    def calls(self, record: InstanceRecord, limit: int) -> list[CallSummary]:
        """How the latest HTTP calls of an instance stand, however many requests they have sent."""
        return self._hub.calls(record, limit)

    def exchange_lines(self, record: InstanceRecord, after: int = -1) -> list[ExchangeLine]:
        """The exchanges of an instance's HTTP calls behind a position, oldest first, without what they carried."""
        return self._hub.exchange_lines(record, after)

    def exchange_at(self, record: InstanceRecord, pos: int) -> HttpExchange | None:
        """One exchange, whole; None if there is none at that position."""
        found = self._hub.exchange_at(record, pos)
        return None if found is None else HttpExchange(record.id, found, None)

    def record(self, instance_id: str) -> InstanceRecord:
        record = self._hub.find(instance_id)
        if record is None:
            raise InstanceNotFoundError(instance_id)
        return record

    def end_of(self, record: InstanceRecord) -> Ended | None:
        """How the instance ended; None while it has not."""
        end = self._hub.payloads([record])[record.key][1] if record.is_terminal else None
        return Ended(record, end) if end is not None else None

    def waiting_for(self, record: InstanceRecord) -> str:
        """Why the instance waits and until when, in words."""
        slow = None if record.is_terminal else self._slow_turn()
        return f"kept waiting: {slow.problem}" if slow is not None else waiting_sentence(record, self.is_defined, self._now())

    def history_after(self, record: InstanceRecord, position: int = -1) -> list[tuple[int, int, Recorded]]:
        """What was recorded behind a position, oldest first: (position, generation, event)."""
        return self._hub.history(record, position)

    def children(self, instance_id: str) -> list[InstanceRecord]:
        """The sub-orchestrations an instance has started."""
        return self._hub.children(instance_id)

    def definition(self, name: str) -> Definition | None:
        """The orchestrator of that name as this process defines it; None if it does not."""
        return self._registry.get("orchestrator", name)

    def source_of(self, record: InstanceRecord) -> str | None:
        """The source of the orchestrator as the instance runs it; None when it was not kept."""
        return self._hub.definition_source("orchestrator", record.name, record.code) if record.code is not None else None

    def when_ended(self, instance_id: str) -> Future[Ended]:
        """A future of the instance's end."""
        return self._hub.when_ended(instance_id)

    def watch(self, callback: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        """Call back with the ids of instances that changed, after each commit, from another thread. Returns what ends it."""
        return self._hub.watch(callback)

    # signal

    def raise_event(self, instance_id: str, event_name: str, event_data: Any = None) -> None:
        """Give an event to an instance that has not ended; it is kept until the orchestrator waits for it."""
        check_event_name(event_name)
        data = payload.encode(event_data, what=f"the data of event {event_name!r}")
        self._send(instance_id, EventRaised(event_name, data), "raise an event to")

    def terminate(self, instance_id: str, reason: str | None = None, *, recursive: bool = False) -> None:
        """End an instance now; its output becomes the reason. `recursive`: its open sub-orchestrations too.

        Activities that run are asked to stop (`activity_info().cancelled`) and their results ignored.
        """
        self._send(instance_id, ExecutionTerminated(reason), "terminate")
        if recursive:
            self._end_children(instance_id, reason)

    def _end_children(self, instance_id: str, reason: str | None) -> None:
        """From the top down: an orchestrator that saw its child end first could still act on it."""
        for child in self._hub.children(instance_id):
            if not child.is_terminal:
                self._end_quietly(child.id, reason)
            self._end_children(child.id, reason)

    def _end_quietly(self, instance_id: str, reason: str | None) -> None:
        try:
            self._send(instance_id, ExecutionTerminated(reason), "terminate")
        except InstanceFinishedError:
            return  # it ended by itself in the meantime, which is what was wanted

    def suspend(self, instance_id: str, reason: str | None = None) -> None:
        """Stop an instance's code from going on; events are kept. InstanceConflictError if it is suspended already."""
        self._send(instance_id, ExecutionSuspended(reason), "suspend")

    def resume(self, instance_id: str, reason: str | None = None) -> None:
        """Let a suspended instance go on. InstanceConflictError if it is not suspended."""
        self._send(instance_id, ExecutionResumed(reason), "resume")

    def rewind(self, instance_id: str, reason: str | None = None) -> None:
        """Run the failed tasks of a failed instance again, with everything that succeeded kept."""
        self._send(instance_id, ExecutionRewound((), reason), "rewind")

    def restart(self, instance_id: str, restart_with_new_instance_id: bool = True) -> Instance:
        """Start the same orchestrator with the same input, under a new id or again under this one (once it has ended)."""
        record = self.record(instance_id)
        if not restart_with_new_instance_id and not record.is_terminal:
            raise InstanceConflictError(instance_id, record.status, "restart", "terminate it first, or restart it with a new id")
        text = self._hub.payloads([record])[record.key][0]
        code = self._registry.require("orchestrator", record.name).fingerprint
        id = new_instance_id() if restart_with_new_instance_id else record.id
        fresh = restart_with_new_instance_id and not test_mode.is_on()
        request = StartRequest(record.name, id, text, None, code, fresh=fresh)
        self.settle(self._hub.start_instances([request]))
        return Instance(self, request.id, request.name)

    def _send(self, instance_id: str, event: HistoryEvent, operation: str) -> None:
        self.settle(self.send(instance_id, event, operation))

    # the same without waiting for the disk

    def submit(self, requests: Sequence[StartRequest]) -> Future[None]:
        """Start what `request` has checked, all or none; the future is done once they are on disk."""
        return self._hub.start_instances(requests)

    def submit_with_callback(self, request: StartRequest, url: str | None, source: str = "urn:dfnb") -> Future[None]:
        """Start what `request` has checked and have its end told to a URL; `source` is who tells it. ValueError for a wrong URL."""
        from dfnb.client.callbacks import CARRIER, start_with_callback  # with the first one: most starts have none

        code = self._registry.require("orchestrator", CARRIER).fingerprint
        return start_with_callback(self._hub, code, request, url, source)

    def send(self, instance_id: str, event: HistoryEvent, operation: str) -> Future[None]:
        """Give a message to an instance; the future is done once it is on disk. `operation` names it in the errors."""
        return self._hub.send(instance_id, event, operation)

    def peek(self, instance_id: str) -> InstanceRecord | None:
        """The record of an open or just ended instance, without a look at the file; None when that cannot tell."""
        return self._hub.peek(instance_id)

    # purge

    def purge(self, instance_id: str, *, force: bool = False) -> PurgeHistoryResult:
        """Delete an ended instance with its history; 0 deleted if there is none.

        One that has not ended is deleted only with `force`: it is terminated first.
        """
        record = self._hub.find(instance_id)
        if record is None:
            return PurgeHistoryResult(0)
        if not record.is_terminal:
            if not force:
                raise InstanceConflictError(instance_id, record.status, "purge", "terminate it first, or purge with force=True")
            ended = self._hub.when_ended(instance_id)
            self._end_quietly(instance_id, "purged")
            record = self.settle(ended).record
        return PurgeHistoryResult(self._hub.purge([record]))

    def purge_ended(self, instance_ids: Sequence[str]) -> PurgeHistoryResult:
        """Delete those of the instances that have ended, all at once."""
        return PurgeHistoryResult(self._hub.purge(list(self.find_many(instance_ids).values())))

    def purge_many(
        self, *, created_time_from: datetime | None = None, created_time_to: datetime | None = None,
        runtime_status: Statuses = None, instance_id_prefix: str | None = None,
    ) -> PurgeHistoryResult:
        """Delete ended instances that fit every condition given (default: all ended ones). Running ones stay.

        Raises ValueError for a status no instance can end with and for an empty prefix: a filter that means nothing never means
        everything.
        """
        ended = ("Completed", "Failed", "Terminated", "Canceled")
        statuses = status_names(runtime_status)
        wrong = [status for status in statuses if status not in ended]
        if wrong or (runtime_status is not None and not statuses):
            given = ", ".join(wrong) or "nothing"
            raise ValueError(f"only ended instances can be purged; runtime_status takes {', '.join(ended)}, not {given}")
        check_prefix_to_purge(instance_id_prefix)
        wanted = InstanceQuery(
            as_microseconds(created_time_from), as_microseconds(created_time_to), statuses or ended, instance_id_prefix, limit=1000
        )
        return PurgeHistoryResult(self._hub.purge(self._hub.matching(wanted)))

    # waiting

    def wait(self, instance_id: str, timeout: float | None = None) -> DurableOrchestrationStatus:
        """Wait until the instance has ended. WaitTimeoutError after `timeout` seconds; the instance goes on."""
        return self.instance(instance_id).wait(timeout)


def new_instance_id() -> str:
    """A random id of 32 hex digits; in test mode the next one counted.

    `uuid4` would ask the system each time and give the lock up to the busy engine while it does.
    """
    if test_mode.is_on():
        return test_mode.next_id()
    return uuid.UUID(int=_RANDOM.getrandbits(128), version=4).hex


def check_prefix_to_purge(prefix: str | None) -> None:
    """Refuse an empty prefix, which would fit every instance."""
    if prefix == "":
        raise ValueError("an empty instance_id_prefix would purge everything; leave it out if you mean that")


def check_event_name(event_name: object) -> str:
    """The name of an event that somebody raises, if it may be one; else a sentence."""
    if not isinstance(event_name, str) or not event_name:
        raise ValueError("raise_event needs the event's name")
    if any(ord(c) < 32 or 127 <= ord(c) < 160 for c in event_name):
        raise ValueError(f"the event name {event_name!r} has control characters in it; leave them out")
    return event_name


def check_instance_id(instance_id: object) -> str:
    """The id, if it may be one; else a sentence."""
    if not isinstance(instance_id, str) or not instance_id:
        raise ValueError("an instance id is a non-empty string")
    bad = sorted({c for c in instance_id if c in _FORBIDDEN_IN_ID or ord(c) < 32 or 127 <= ord(c) < 160})
    if bad:
        found = ", ".join(map(repr, bad))
        raise ValueError(f"the instance id {instance_id!r} contains {found}; leave out / \\ ? # and control characters")
    if instance_id in (".", ".."):
        raise ValueError(f"the instance id {instance_id!r} is a step in a path, so that no link can lead to it; choose another")
    if instance_id.startswith("@"):
        raise ValueError(f"the instance id {instance_id!r} starts with '@', which is kept for entities")
    if len(instance_id) > _LONGEST_ID:
        raise ValueError(f"the instance id has {len(instance_id)} characters; {_LONGEST_ID} are the most")
    return instance_id


def _token_behind(record: InstanceRecord) -> str:
    return token(record.created_at, record.key)
