"""What operations of the OpenAPI document are made of: schemas, parameters, answers."""

from __future__ import annotations

from typing import Any, get_type_hints

import msgspec

from dfnb.hub.http_state import CallSummary, ExchangeLine
from dfnb.records.http import Exchange
from dfnb.records.instance import InstanceRecord, OrchestrationRuntimeStatus
from dfnb.records.log import LogLine

Json = dict[str, Any]

JSON_TYPE = "application/json"
STREAM_TYPE = "text/event-stream"
ANYTHING: Json = {"description": "Any JSON value."}
_TEXT: Json = {"type": "string"}
_YES_NO: Json = {"type": "boolean"}
_URL: Json = {"type": "string", "format": "uri"}
_TIME: Json = {"type": "string", "format": "date-time"}
_NO_SLASH = r"^[^/\\?#\x00-\x1f\x7f-\x9f]+$"
_STATUSES = [status.value for status in OrchestrationRuntimeStatus]


def ref(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def schema(name: str) -> Json:
    return ref("schemas", name)


def listed(items: Json) -> Json:
    return {"type": "array", "items": items}


def _object(properties: Json, *optional: str, **more: Any) -> Json:
    """An object that has all of these and, unless something else is said, nothing else."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False, **more}


# ---- schemas


def schemas() -> Json:
    """All named schemas; those of dfnb's records are taken from the records themselves."""
    return {**_of_the_original(), **_of_records()}


def _of_the_original() -> Json:
    links = {f"{name}Uri": _TEXT for name in ("sendEventPost", "terminatePost", "suspendPost", "resumePost")}
    links |= {f"{name}Uri": _URL for name in ("statusQueryGet", "purgeHistoryDelete", "restartPost")}
    entity = _object({"name": _TEXT, "key": _TEXT})
    return {
        "RuntimeStatus": {"type": "string", "enum": _STATUSES},
        "Status": _object(
            {
                "name": _TEXT, "instanceId": _TEXT, "runtimeStatus": schema("RuntimeStatus"), "input": ANYTHING,
                "customStatus": ANYTHING, "output": ANYTHING, "createdTime": _TIME, "lastUpdatedTime": _TIME,
                "historyEvents": listed(schema("HistoryEvent")),
            },
            "historyEvents",
        ),
        "HistoryEvent": _object({"EventType": _TEXT, "Timestamp": _TIME}, additionalProperties=True),
        "Links": _object(
            {"id": _TEXT, **links}, *links,
            description="A link that is limited to some verbs gives links for these verbs only. "
            "{eventName} and {text} are for the caller to replace.",
        ),
        "Proof": _object({"proof": _TEXT}),
        "PurgeResult": _object({"instancesDeleted": {"type": "integer", "minimum": 1}}),
        "EntityItem": _object({"entityId": entity, "lastOperationTime": {**_TIME, "type": ["string", "null"]}, "state": ANYTHING}),
        "Error": _object(
            {"Message": _TEXT, "ExceptionMessage": _TEXT, "ExceptionType": _TEXT}, "ExceptionMessage", "ExceptionType"
        ),
    }  # fmt: skip


def _of_records() -> Json:
    call = msgspec.defstruct("CallSummary", list(get_type_hints(CallSummary).items()))
    line = msgspec.defstruct("ExchangeLine", list(get_type_hints(ExchangeLine).items()))
    _, found = msgspec.json.schema_components(
        [InstanceRecord, Exchange, LogLine, call, line], ref_template="#/components/schemas/{name}"
    )
    whole, maybe_whole, maybe_text = {"type": "integer"}, {"type": ["integer", "null"]}, {"type": ["string", "null"]}
    event = [*5 * [whole], maybe_whole, maybe_whole, maybe_text, maybe_text]
    row = {
        "description": "Position, generation, turn, time in microseconds since 1970, kind, task, microseconds it took, name, data.",
        "type": "array", "prefixItems": event, "minItems": len(event), "maxItems": len(event),
    }  # fmt: skip
    return {**found, "EventRow": row}


# ---- parameters


def parameter(name: str, value: Json, description: str, where: str = "query", **more: Any) -> Json:
    return {"name": name, "in": where, "required": where == "path", "description": description, "schema": value, **more}


def path_parameter(name: str) -> Json:
    return parameter(name, _PATH[name], _PATH_WORDS[name], "path")


_PATH: dict[str, Json] = {
    "functionName": {"type": "string", "minLength": 1, "pattern": _NO_SLASH},
    "instanceId": {"type": "string", "minLength": 1, "maxLength": 256, "pattern": _NO_SLASH},
    "eventName": {"type": "string", "minLength": 1, "pattern": _NO_SLASH},
    "entityName": {"type": "string", "minLength": 1, "pattern": _NO_SLASH.replace("[^", "[^@")},
    "entityKey": {"type": "string", "minLength": 1, "pattern": _NO_SLASH},
}
_PATH_WORDS = {
    "functionName": "The orchestrator's name, in any letter case.",
    "instanceId": "The instance's id.",
    "eventName": "The name of the event.",
    "entityName": "The entity's name, in any letter case.",
    "entityKey": "The entity's key. For reading, $ stands for the empty key.",
}


def common(task_hub: str) -> Json:
    """The parameters that every operation has."""
    return {
        "taskHub": parameter("taskHub", {"type": "string", "enum": [task_hub]}, "The one hub that this server has."),
        "connection": parameter("connection", _TEXT, "Is not looked at; for callers of Azure Durable Functions."),
    }


REASON = (parameter("reason", _TEXT, "Why; kept in the history."),)
PREFER = parameter(
    "Prefer", _TEXT, "RFC 7240: wait=SECONDS has the answer wait for the end of the instance, at most so long.", "header"
)
WAIT = (
    PREFER,
    parameter("timeout", {"type": "number", "minimum": 0}, "How many seconds to wait for the end; only with pollingInterval."),
    parameter("pollingInterval", {"type": "number", "minimum": 0}, "At most as large as timeout; only with it."),
)
CALLBACK = parameter("callbackUrl", _URL, "Where to send a CloudEvent once it has ended; http or https.")
SHOW_INPUT = parameter("showInput", {**_YES_NO, "default": True}, "Whether the answer has the input.")
STATUS = (
    SHOW_INPUT,
    parameter("showHistory", _YES_NO, "Whether the answer has historyEvents."),
    parameter("showHistoryOutput", _YES_NO, "Whether these have the results."),
    parameter("returnInternalServerErrorOnFailure", _YES_NO, "Whether the answer for a failed instance is 500 instead of 200."),
    PREFER,
    parameter("If-None-Match", _TEXT, "With Prefer: wait until the status is another than the one with this ETag.", "header"),
)
PAGE = (
    parameter("top", {"type": "integer", "minimum": 1, "maximum": 1_000, "default": 100}, "How many to give at most."),
    parameter("x-ms-continuation-token", {"type": "string", "maxLength": 0}, "From the page before.", "header"),
)
CREATED = (
    parameter("createdTimeFrom", _TIME, "Created then or later."),
    parameter("createdTimeTo", _TIME, "Created then or earlier."),
)
LIST_INSTANCES = (
    *CREATED,
    parameter("runtimeStatus", listed(schema("RuntimeStatus")), "One of these, in any letter case.", explode=False),
    parameter("instanceIdPrefix", _TEXT, "What the id begins with."),
    SHOW_INPUT,
    parameter("includeEntities", _YES_NO, "Whether entities are listed too, as instances with ids @name@key."),
    *PAGE,
)
PURGE_INSTANCES = (
    {**CREATED[0], "required": True},
    CREATED[1],
    parameter(
        "runtimeStatus", {**listed({"type": "string", "enum": ["Completed", "Failed", "Terminated", "Canceled"]}), "minItems": 1},
        "One of these, in any letter case; all of them if nothing is said.", explode=False,
    ),
    parameter("instanceIdPrefix", {**_TEXT, "minLength": 1}, "What the id begins with."),
)  # fmt: skip
LIST_ENTITIES = (
    parameter("lastOperationTimeFrom", _TIME, "Used then or later."),
    parameter("lastOperationTimeTo", _TIME, "Used then or earlier."),
    parameter("fetchState", _YES_NO, "Whether the states are given too."),
    *PAGE,
)
FORCE = (parameter("force", _YES_NO, "Whether an instance that has not ended is terminated and purged, rather than refused."),)
OPERATION = (parameter("op", _TEXT, "The name of the operation."),)
RESTART = (parameter("restartWithNewInstanceId", {**_YES_NO, "default": True}, "False: again under the same id."), *WAIT)
NONCE = (
    parameter(
        "nonce", {"type": "string", "minLength": 16, "maxLength": 128}, "A text that was never used before.", required=True
    ),
)
AFTER = (parameter("after", {"type": "integer", "default": -1}, "Only events behind this position."),)
EXCHANGES = (
    parameter("latest", {"type": "integer", "minimum": 1, "maximum": 10_000}, "Only so many of the latest."),
    parameter("bodies", {"type": "boolean", "default": True}, "Whether what they carried is told; false gives lines."),
    parameter("after", {"type": "integer", "default": -1}, "Only lines behind this position."),
    parameter("at", {"type": "integer", "minimum": 0}, "Only the one at this position, as a line has it."),
)
LIMIT = (parameter("limit", {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 100}, "At most so many."),)


# ---- answers


def content(value: Json, kind: str = JSON_TYPE) -> Json:
    return {kind: {"schema": value}}


def answer(description: str, value: Json | None = None, *headers: str, streams: bool = False) -> Json:
    """An answer with or without JSON, perhaps also as a stream; `headers` are names of `HEADERS`."""
    bodies = ({} if value is None else content(value)) | (content(_TEXT, STREAM_TYPE) if streams else {})
    named = {name: ref("headers", name) for name in (*headers, "x-dfnb-version")}
    return {"description": description, "headers": named, **({"content": bodies} if bodies else {})}


def _header(description: str, value: Json = _TEXT) -> Json:
    return {"description": description, "schema": value}


HEADERS = {
    "Location": _header("Where to ask for the status.", _URL),
    "Retry-After": _header("When to ask again, in seconds.", {"type": "integer", "minimum": 0}),
    "ETag": _header("Names this status, for If-None-Match."),
    "Preference-Applied": _header("Which words of Prefer were obeyed."),
    "x-ms-continuation-token": _header("Asks for the next page; empty on the last one."),
    "x-dfnb-version": _header("The version of dfnb that answered."),
}

ANSWERS = {
    "Accepted": answer("Accepted; it is on disk."),
    "BadRequest": answer("The request cannot be meant; the message says why.", schema("Error")),
    "Unauthorized": answer("No key, a wrong one, or a link that does not open this instance or has expired."),
    "Forbidden": answer("The link does not allow it, or the Host or Origin is not one this server knows.", schema("Error")),
    "NotFound": answer("There is no such thing."),
    "TooSlow": answer("The body did not come in time.", schema("Error")),
    "Conflict": answer("It does not fit the state of the instance; the message says what to do.", schema("Error")),
    "Gone": answer("The instance has ended."),
    "TooLong": answer("The body is too long.", schema("Error")),
    "Encoded": answer("The body has a content encoding.", schema("Error")),
    "Broken": answer("A fault of the server; its log has more.", schema("Error")),
    "Unavailable": answer("Not now: the hub cannot be written to, or too many requests wait.", schema("Error"), "Retry-After"),
    "Started": answer("It is started; its links.", schema("Links"), "Location", "Retry-After", "Preference-Applied"),
}
"""Answers that several operations have, by the name they have in the document."""
