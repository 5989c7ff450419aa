"""The OpenAPI document of a server: the table of routes, with what each operation takes and answers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from dfnb.client.links import BASE_PATH
from dfnb.definitions import Definition
from dfnb.records.route_template import Parameter, Segment, parse
from dfnb.records.web import AuthLevel
from dfnb.server.openapi_parts import (
    AFTER,
    ANSWERS,
    ANYTHING,
    CALLBACK,
    EXCHANGES,
    FORCE,
    HEADERS,
    LIMIT,
    LIST_ENTITIES,
    LIST_INSTANCES,
    NONCE,
    OPERATION,
    PURGE_INSTANCES,
    REASON,
    RESTART,
    STATUS,
    WAIT,
    Json,
    answer,
    common,
    content,
    listed,
    path_parameter,
    ref,
    schema,
    schemas,
)
from dfnb.server.routes import ROUTES, Route
from dfnb.server.settings import ServerSettings

Answers = dict[int, str | Json]
"""By code: the name of a common answer, or an answer of its own."""


class Operation(NamedTuple):
    """What an operation of the table of routes does, takes and answers, besides what all operations have in common."""

    summary: str
    answers: Answers
    parameters: tuple[Json, ...] = ()
    body: Json | None = None


_ALWAYS: Answers = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 500: "Broken", 503: "Unavailable"}
_WITH_BODY: Answers = {408: "TooSlow", 413: "TooLong", 415: "Encoded"}
_ONE: Answers = {404: "NotFound"}
_OPEN: Answers = {**_ONE, 202: "Accepted", 410: "Gone"}
_PURGED: Answers = {**_ONE, 200: answer("How many were deleted.", schema("PurgeResult"))}
_STARTED: Answers = {
    200: answer(
        "It ended while the caller waited: its output, or its status if it did not complete.", ANYTHING, "Preference-Applied"
    ),
    202: "Started", 409: "Conflict",
}  # fmt: skip
_JSON_BODY: Json = {"required": False, "content": content(ANYTHING)}


def _page(item: str) -> Answers:
    return {200: answer("One page, newest first.", listed(schema(item)), "x-ms-continuation-token")}


def _read(what: str, value: Json) -> Answers:
    return {**_ONE, 200: answer(what, value)}


OPERATIONS = {
    "start": Operation("Start an instance; the body is its input", {**_STARTED, **_WITH_BODY}, (CALLBACK, *WAIT), _JSON_BODY),
    "get_status": Operation(
        "The status of an instance, at once, when it has changed (Prefer), or as a stream of server-sent events (Accept)",
        {
            **_ONE,
            200: answer(
                "The status of one that has ended; as a stream, of every one.", schema("Status"), "ETag", "Preference-Applied",
                streams=True,
            ),
            204: answer("It has ended, and the caller, whose stream broke off, has seen the end."),
            202: answer("It has not ended.", schema("Status"), "Location", "Retry-After", "ETag", "Preference-Applied"),
            500: answer("It has failed, and the caller wanted this code; or a fault of the server.",
                        {"anyOf": [schema("Status"), schema("Error")]}),
        },
        STATUS,
    ),
    "list_instances": Operation("List instances", _page("Status"), LIST_INSTANCES),
    "purge_instance": Operation("Delete an instance that has ended", {**_PURGED, 409: "Conflict"}, FORCE),
    "purge_instances": Operation(
        "Delete instances that have ended",
        {**_PURGED, 400: answer("The request cannot be meant; why.", {"anyOf": [{"type": "string"}, schema("Error")]})},
        PURGE_INSTANCES,
    ),
    "raise_event": Operation(
        "Give an event to an instance; the body is its data", {**_OPEN, **_WITH_BODY}, (), {**_JSON_BODY, "required": True}
    ),
    "terminate": Operation("End an instance now", _OPEN, REASON),
    "suspend": Operation("Stop an instance from going on", {**_OPEN, 409: "Conflict"}, REASON),
    "resume": Operation("Let a suspended instance go on", {**_OPEN, 409: "Conflict"}, REASON),
    "rewind": Operation("Run what failed in a failed instance again", {**_OPEN, 409: "Conflict"}, REASON),
    "restart": Operation("Start the same orchestrator with the same input", {**_ONE, **_STARTED}, RESTART),
    "list_entities": Operation("List entities", _page("EntityItem"), LIST_ENTITIES),
    "get_entity": Operation("The state of an entity", _read("The state.", ANYTHING)),
    "signal_entity": Operation(
        "Send an operation to an entity; the body is its input", {202: "Accepted", **_WITH_BODY}, OPERATION,
        {"required": False, "content": {**content(ANYTHING), **content({"type": "string"}, "text/plain")}},
    ),
    "delete_entity": Operation("Delete an entity", {202: "Accepted", **_WITH_BODY}),
    "get_record": Operation("What dfnb keeps of an instance", _read("The record.", schema("InstanceRecord"))),
    "get_events": Operation("The history as it is stored", _read("The events.", listed(schema("EventRow"))), AFTER),
    "get_logs": Operation("What an instance's code printed and logged", _read("The lines.", listed(schema("LogLine")))),
    "get_exchanges": Operation(
        "The HTTP requests an instance sent",
        _read("These, or a line for each.", listed({"anyOf": [schema("Exchange"), schema("ExchangeLine")]})), EXCHANGES,
    ),
    "get_calls": Operation("How an instance's HTTP calls stand", _read("These.", listed(schema("CallSummary"))), LIMIT),
    "get_children": Operation("The sub-orchestrations of an instance", _read("These.", listed(schema("InstanceRecord")))),
    "get_source": Operation(
        "The source of an instance's orchestrator", _read("The source; null if it was not kept.", {"type": ["string", "null"]})
    ),
    "follow_changes": Operation(
        "A stream with the ids of all instances that change", {200: answer("Server-sent events.", streams=True)}
    ),
    "prove": Operation(
        "Proves to a caller who has the key that the server has it too, before the key is sent",
        {200: answer("The proof.", schema("Proof"))}, NONCE,
    ),
    "make_primary": Operation("Does nothing: the owner of a hub is its primary", {200: answer("It is.")}),
}  # fmt: skip


def document(settings: ServerSettings, origin: str, version: str, triggers: Iterable[Definition] = ()) -> Json:
    """The document, for callers who reach the server at `origin`; with the HTTP triggers given."""
    found: Json = {
        "openapi": "3.1.0",
        "info": {"title": "dfnb", "version": version, "description": "Durable workflows in a notebook: the management API."},
        "servers": [{"url": origin}],
        "paths": {},
        "components": {
            "schemas": schemas(),
            "parameters": common(settings.task_hub),
            "responses": dict(ANSWERS),
            "headers": HEADERS,
            "securitySchemes": {
                "code": {"type": "apiKey", "in": "query", "name": "code"},
                "x-functions-key": {"type": "apiKey", "in": "header", "name": "x-functions-key"},
            },
        },
        "security": [{"code": []}, {"x-functions-key": []}] if settings.require_key else [],
    }
    used: Counter[str] = Counter()
    for route in ROUTES:
        found["paths"].setdefault(f"{BASE_PATH}/{route.path}", {})[route.method.lower()] = _operation(route, used)
    for number, trigger, segments in sorted(_trigger_paths(triggers), key=lambda one: one[0]):
        methods = found["paths"].setdefault(_path_of(segments, settings), {})
        for method, operation in _of_trigger(trigger, segments, number).items():
            methods.setdefault(method, operation)  # a path that is all a route says is rather meant than a shorter one of another
    return found


def _operation(route: Route, used: Counter[str]) -> Json:
    operation = OPERATIONS[route.operation]
    used[route.operation] += 1
    number = used[route.operation]
    names = re.findall(r"{(\w+)}", route.path)
    shared = [ref("parameters", name) for name in ("taskHub", "connection")]
    return {
        "operationId": route.operation if number == 1 else f"{route.operation}_{number}",
        "summary": operation.summary,
        "tags": [route.path.split("/")[0]],
        "parameters": [*map(path_parameter, names), *operation.parameters, *shared],
        **({"requestBody": operation.body} if operation.body else {}),
        "responses": _answers({**_ALWAYS, **operation.answers}),
        **({"security": []} if route.is_open else {}),
    }


def _answers(answers: Answers) -> Json:
    return {str(code): ref("responses", one) if isinstance(one, str) else one for code, one in sorted(answers.items())}


# ---- HTTP triggers


def _trigger_paths(triggers: Iterable[Definition]) -> Iterator[tuple[int, Definition, tuple[Segment, ...]]]:
    """The paths that routes answer at, the whole ones as number 1: OpenAPI has no word for a parameter that may be left out."""
    for trigger in triggers:
        template = parse(trigger.route)
        for number in range(template.shortest, len(template.segments) + 1):
            yield len(template.segments) - number + 1, trigger, template.segments[:number]


def _path_of(segments: Sequence[Segment], settings: ServerSettings) -> str:
    """Without constraints, which OpenAPI has no words for in a path."""
    shown = ["".join(map(_shown, segment.pieces)) for segment in segments]
    return "/" + "/".join(filter(None, [settings.route_prefix, *shown]))


def _shown(piece: str | Parameter) -> str:
    return piece if isinstance(piece, str) else f"{{{piece.name}}}"


def _of_trigger(trigger: Definition, segments: Sequence[Segment], number: int) -> Json:
    """An operation for each of its methods. What its code answers is not known."""
    names = [parameter.name for segment in segments for parameter in segment.parameters]
    one: Json = {
        "tags": ["triggers"],
        "summary": trigger.name,
        "parameters": [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names],
        "responses": {"default": {"description": "What the trigger answers."}},
    }
    if trigger.auth_level == AuthLevel.ANONYMOUS:
        one["security"] = []
    end = "" if number == 1 else f"_{number}"
    return {method.lower(): {**one, "operationId": f"trigger_{trigger.name}_{method.lower()}{end}"} for method in trigger.methods}
