"""From the original's JSON to what the client tells: statuses, records, ends, entities."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from dfnb.client.entities import DurableEntityStatus
from dfnb.client.status import DurableOrchestrationStatus
from dfnb.records.entity_id import EntityId
from dfnb.records.failure import FailureDetails
from dfnb.records.history import ExecutionCompleted
from dfnb.records.instance import TERMINAL, InstanceRecord, OrchestrationRuntimeStatus
from dfnb.records.times import to_datetime, to_microseconds

Json = Mapping[str, Any]

ENDED = ("Completed", "Failed", "Terminated", "Canceled")
_FAILED = re.compile(r"^(?:Activity|Orchestrator) function '[^']*' failed: ")
_PYTHON_ERROR = re.compile(r"(?P<type>[A-Za-z_][\w.]*): (?P<message>.*)", re.DOTALL)
_FRACTION = re.compile(r"(?P<six>\.\d{6})\d+")


def moment(text: Any) -> int:
    """A time of the wire in microseconds; 0 for what is none. Its fraction may have more digits than ours."""
    if not isinstance(text, str):
        return 0
    try:
        return to_microseconds(datetime.fromisoformat(_FRACTION.sub(r"\g<six>", text)))
    except (ValueError, OverflowError):
        return 0


def iso(when: datetime) -> str:
    """A time as the API takes it: in UTC with ``Z``."""
    aware = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return aware.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def json_text(value: Any) -> str | None:
    """A value as the JSON text our records hold; None for null."""
    return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def wrong_in(shown: Json) -> str:
    """What in a status is of another kind than the original's, in a few words; empty if all that is looked at later is right."""
    if not isinstance(shown.get("runtimeStatus"), str):
        return "a status whose runtimeStatus is no text"
    for name in ("instanceId", "name", "createdTime", "lastUpdatedTime"):
        if not isinstance(shown.get(name), str | None):
            return f"a status whose {name} is no text"
    events = shown.get("historyEvents")
    if not isinstance(events, list | None) or not all(isinstance(event, dict) for event in events or ()):
        return "a status whose historyEvents are no list of objects"
    return ""


def is_over(shown: Json) -> bool:
    return shown.get("runtimeStatus") in TERMINAL


def status_of(
    shown: Json, record: InstanceRecord | None = None, failure: FailureDetails | None = None, waiting_for: str = ""
) -> DurableOrchestrationStatus:
    """The status object for the JSON, and for what is known besides."""
    if failure is None and shown.get("runtimeStatus") == "Failed":
        failure = failure_of(shown)
    return DurableOrchestrationStatus(
        name=shown.get("name"),
        instance_id=shown.get("instanceId"),
        created_time=to_datetime(moment(shown.get("createdTime"))),
        last_updated_time=to_datetime(moment(shown.get("lastUpdatedTime"))),
        input_=shown.get("input"),
        output=shown.get("output"),
        runtime_status=_runtime_status(shown),
        custom_status=shown.get("customStatus"),
        history=shown.get("historyEvents"),
        failure_details=failure,
        parent_instance_id=record.parent_id if record is not None else None,
        waiting_for=waiting_for,
    )


def _runtime_status(shown: Json) -> OrchestrationRuntimeStatus:
    try:
        return OrchestrationRuntimeStatus.parse(str(shown.get("runtimeStatus")))
    except ValueError:
        return OrchestrationRuntimeStatus.Running  # the original says Unknown when it cannot tell: not ended, as far as one knows


def record_of(shown: Json) -> InstanceRecord:
    """A record made up from the JSON: what it does not tell is left empty."""
    created, updated = moment(shown.get("createdTime")), moment(shown.get("lastUpdatedTime"))
    return InstanceRecord(
        key=created,  # an id that was started anew has another one
        id=str(shown.get("instanceId")),
        name=str(shown.get("name") or ""),
        status=_runtime_status(shown).value,
        generation=0,
        created_at=created,
        updated_at=updated,
        started_pos=0,
        ended_pos=updated if is_over(shown) else None,
        custom_status=json_text(shown.get("customStatus")),
    )


def end_of(shown: Json) -> ExecutionCompleted:
    """How it ended, as far as the status tells."""
    status = _runtime_status(shown).value
    if status == "Failed":
        return ExecutionCompleted(status, None, failure_of(shown))
    output = shown.get("output")
    if status == "Terminated":
        return ExecutionCompleted(status, output if isinstance(output, str) else json_text(output))
    return ExecutionCompleted(status, json_text(output))


# ---- failures


def failure_of(shown: Json) -> FailureDetails:
    """The failure of a failed instance: the details in its history if they were asked for, else what its output says."""
    for event in reversed(shown.get("historyEvents") or ()):
        if event.get("EventType") == "ExecutionCompleted" and isinstance(event.get("FailureDetails"), dict):
            return details_of(event["FailureDetails"])
    output = shown.get("output")
    return failure_in(output if isinstance(output, str) else json_text(output) or "")


def failure_in(text: str) -> FailureDetails:
    """The failure a text tells of: its type if it begins with one, as Python prints it."""
    said = _FAILED.sub("", text.strip())
    found = _PYTHON_ERROR.fullmatch(said)
    return FailureDetails(found["type"], found["message"]) if found is not None else FailureDetails("Exception", said)


def details_of(told: Json) -> FailureDetails:
    """The original's FailureDetails as ours."""
    inner = told.get("InnerFailure")
    return FailureDetails(
        str(told.get("ErrorType") or "Exception"), str(told.get("ErrorMessage") or ""), str(told.get("StackTrace") or ""),
        details_of(inner) if isinstance(inner, dict) else None,
    )


# ---- entities


def entity_id_in(told: Json) -> EntityId | None:
    """The id in the JSON of an entity; None for one that cannot be named here, such as with an empty key."""
    try:
        return EntityId(told["name"], told["key"])
    except (KeyError, TypeError, ValueError):
        return None


def entity_status_of(told: Json) -> DurableEntityStatus | None:
    """The status object for one item of a list; the list does not tell when it was made nor how often it was at work."""
    id = entity_id_in(told.get("entityId") or {})
    if id is None:
        return None
    last = to_datetime(moment(told.get("lastOperationTime")))
    return DurableEntityStatus(id, last, told.get("state"), created_time=last)
