"""What a client is told of an instance."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from dfnb.client import cards, test_mode
from dfnb.records import payload
from dfnb.records.failure import FailureDetails
from dfnb.records.history import ExecutionCompleted
from dfnb.records.instance import InstanceRecord, OrchestrationRuntimeStatus, Wait
from dfnb.records.times import to_datetime, to_microseconds

Statuses = Iterable[OrchestrationRuntimeStatus | str] | OrchestrationRuntimeStatus | str | None
"""Which statuses are asked for: one, several, a text with commas, or all of them."""


def status_names(given: Statuses) -> tuple[str, ...]:
    """The names of the statuses given, as the hub writes them; ValueError for one it does not know."""
    if given is None:
        return ()
    if isinstance(given, OrchestrationRuntimeStatus):
        return (given.value,)
    items = given.split(",") if isinstance(given, str) else given
    return tuple(OrchestrationRuntimeStatus.parse(item).value for item in items)


def as_microseconds(when: datetime | None) -> int | None:
    """A datetime (naive means UTC) as microseconds since 1970."""
    if when is None:
        return None
    if not isinstance(when, datetime):
        raise TypeError(f"a time is given as a datetime, not {type(when).__name__}")
    return to_microseconds(when)


@dataclasses.dataclass(frozen=True)
class DurableOrchestrationStatus:
    """The state of one instance. False in a boolean sense when there is no such instance.

    `output` is the orchestrator's return value, the reason when terminated, and the failure's text when failed. `history` (also
    as `historyEvents`) is the event list of the original's status API, only if asked for.
    """

    name: str | None = None
    instance_id: str | None = None
    created_time: datetime | None = None
    last_updated_time: datetime | None = None
    input_: Any = None
    output: Any = None
    runtime_status: OrchestrationRuntimeStatus | None = None
    custom_status: Any = None
    history: list[dict[str, Any]] | None = None
    failure_details: FailureDetails | None = None
    parent_instance_id: str | None = None
    waiting_for: str = ""

    @classmethod
    def from_json(cls, shown: Mapping[str, Any]) -> DurableOrchestrationStatus:
        """The status that the original's JSON object tells; an empty one is that of a missing instance."""
        if not shown:
            return cls()
        return cls(
            name=shown.get("name"),
            instance_id=shown.get("instanceId"),
            created_time=_moment(shown.get("createdTime")),
            last_updated_time=_moment(shown.get("lastUpdatedTime")),
            input_=shown.get("input"),
            output=shown.get("output"),
            runtime_status=OrchestrationRuntimeStatus.parse(shown["runtimeStatus"]),
            custom_status=shown.get("customStatus"),
            history=shown.get("historyEvents"),
        )

    def __bool__(self) -> bool:
        return self.runtime_status is not None

    @property
    def historyEvents(self) -> list[dict[str, Any]] | None:
        return self.history

    @property
    def is_terminal(self) -> bool:
        """Whether the instance has ended."""
        return self.runtime_status is not None and self.runtime_status.value in ("Completed", "Failed", "Terminated", "Canceled")

    def to_json(self) -> dict[str, Any]:
        """The original's JSON object for this status (times in UTC, whole seconds); empty for a missing instance."""
        if not self or self.created_time is None or self.last_updated_time is None or self.runtime_status is None:
            return {}
        shown: dict[str, Any] = {
            "name": self.name,
            "instanceId": self.instance_id,
            "runtimeStatus": self.runtime_status.value,
            "input": self.input_,
            "customStatus": self.custom_status,
            "output": self.output,
            "createdTime": self.created_time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "lastUpdatedTime": self.last_updated_time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        return shown if self.history is None else {**shown, "historyEvents": self.history}

    def __repr__(self) -> str:
        if not self or self.runtime_status is None:
            return "<DurableOrchestrationStatus: no such instance>"
        why = f", {self.waiting_for}" if self.waiting_for else ""
        return f"<DurableOrchestrationStatus {self.name} {self.instance_id!r}: {self.runtime_status.value}{why}>"

    def _repr_html_(self) -> str:
        return cards.status_card(self)


@dataclasses.dataclass(frozen=True, slots=True)
class PurgeHistoryResult:
    """How many instances a purge deleted."""

    instances_deleted: int

    @classmethod
    def from_json(cls, shown: Mapping[str, Any]) -> PurgeHistoryResult:
        """The result that the original's JSON object tells."""
        return cls(shown["instancesDeleted"])


class InstancePage(list[DurableOrchestrationStatus]):
    """One page of a query, newest first. `continuation_token` asks for the next one; None on the last page."""

    def __init__(self, statuses: Iterable[DurableOrchestrationStatus], continuation_token: str | None) -> None:
        super().__init__(statuses)
        self.continuation_token = continuation_token

    def __repr__(self) -> str:
        more = ", and there are more" if self.continuation_token is not None else ""
        return f"<InstancePage: {len(self)} {'instance' if len(self) == 1 else 'instances'}{more}>"

    def _repr_html_(self) -> str:
        return cards.statuses_table(self)


def _moment(text: str | None) -> datetime | None:
    return to_datetime(to_microseconds(datetime.fromisoformat(text))) if text else None


def status_of(
    record: InstanceRecord, input: str | None, end: ExecutionCompleted | None, waiting_for: str,
    history: list[dict[str, Any]] | None = None,
) -> DurableOrchestrationStatus:
    """The status object for a record and its payloads."""
    return DurableOrchestrationStatus(
        name=record.name,
        instance_id=record.id,
        created_time=to_datetime(record.created_at),
        last_updated_time=to_datetime(record.updated_at),
        input_=payload.decode_plain(input),
        output=output_of(record, end),
        runtime_status=OrchestrationRuntimeStatus(record.status),
        custom_status=payload.decode_plain(record.custom_status),
        history=history,
        failure_details=end.failure if end is not None else None,
        parent_instance_id=record.parent_id,
        waiting_for=waiting_for,
    )


def output_of(record: InstanceRecord, end: ExecutionCompleted | None) -> Any:
    if end is None or record.ended_pos is None:
        return None
    if end.failure is not None:
        return f"Orchestrator function '{record.name}' failed: {end.failure.summary}"
    if end.status == "Terminated":
        return payload.decode_plain(end.result)  # a reason that is JSON is shown as its value, as in the original
    return payload.decode_plain(end.result)


def waiting_sentence(record: InstanceRecord, is_defined: Callable[[str, str], bool], now: int) -> str:
    """Why an open instance waits and until when, in one sentence; empty when it has ended or is at work."""
    if record.is_terminal:
        return ""
    if record.held:
        return f"held: {record.held}"
    waits = ", ".join(_one_wait(wait, is_defined, now) for wait in record.waits)
    return f"waiting for {waits}" if waits else ""


def missing_definition(wait: Wait, is_defined: Callable[[str, str], bool]) -> str | None:
    """The name of the activity or entity whose cell has to be run before the wait can end; None if it was."""
    if wait.kind in ("activity", "retry"):
        kind, name = "activity", wait.name
    elif wait.kind == "entity":
        kind, name = "entity", wait.name.removeprefix("@").partition("@")[0]
    else:
        return None
    return None if is_defined(kind, name) else name


def _one_wait(wait: Wait, is_defined: Callable[[str, str], bool], now: int) -> str:
    missing = missing_definition(wait, is_defined)
    if missing is not None:
        return f"the cell that defines {missing}"
    if wait.kind == "http":  # a time that has passed: the request is under way
        due = wait.until is not None and wait.until > now
        return f"{wait.sentence} (next request at {_clock_time(wait.until or 0, now)})" if due else wait.sentence
    if wait.until is not None:
        return f"{wait.sentence} until {_clock_time(wait.until, now)}"
    if wait.since is not None and wait.kind == "event":
        return f"{wait.sentence} since {_clock_time(wait.since, now)}"
    return wait.sentence


def _clock_time(microseconds: int, now: int) -> str:
    """A time of day in the local zone, with the date when it is another day."""
    if test_mode.is_on():
        return test_mode.TIME_OF_DAY
    local, today = to_datetime(microseconds).astimezone(), to_datetime(now).astimezone()
    return local.strftime("%H:%M:%S" if local.date() == today.date() else "%Y-%m-%d %H:%M:%S")
