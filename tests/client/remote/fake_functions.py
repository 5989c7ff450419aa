"""A Durable Functions app as its HTTP API looks from outside: exact JSON, no extras, 500 for what does not fit a state."""

from __future__ import annotations

import dataclasses
import json
import re
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import httpx

BASE = "/runtime/webhooks/durabletask"
KEY = "fake/key+=="
_OPEN = ("Pending", "Running", "ContinuedAsNew", "Suspended")
_CREATED = "2026-03-01T10:00:00Z"


@dataclasses.dataclass
class Fake:
    """One instance."""

    id: str
    name: str
    input: Any
    status: str = "Running"
    output: Any = None
    custom: Any = None
    updated: int = 0
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    @property
    def is_over(self) -> bool:
        return self.status not in _OPEN

    def json(self, show_input: bool = True) -> dict[str, Any]:
        return {
            "name": self.name, "instanceId": self.id, "runtimeStatus": self.status,
            "input": self.input if show_input else None, "customStatus": self.custom, "output": self.output,
            "createdTime": _CREATED, "lastUpdatedTime": f"2026-03-01T10:00:{self.updated % 60:02d}Z",
        }


class FakeFunctions:
    """The app. What its instances do, the test decides with `end` and `note`; `asked` has every request as text."""

    def __init__(self, functions: tuple[str, ...] = ("trip", "order"), entities: tuple[str, ...] = ("counter",)) -> None:
        self.functions = functions
        self.entity_names = entities
        self.instances: dict[str, Fake] = {}
        self.states: dict[str, Any] = {}
        self.signals: list[tuple[str, str, Any]] = []
        self.events: list[tuple[str, str, Any]] = []
        self.asked: list[str] = []
        self.is_away = False
        self.busy: httpx.Response | None = None
        """What it answers while it cannot do better."""
        self.refused = threading.Event()
        """Set when it has answered so."""
        self.looked = threading.Event()
        """Set when an instance's status was asked for."""

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.answer)

    def end(self, instance_id: str, status: str = "Completed", output: Any = None) -> None:
        one = self.instances[instance_id]
        one.status, one.output, one.updated = status, output, one.updated + 1

    def note(self, instance_id: str, *events: dict[str, Any]) -> None:
        one = self.instances[instance_id]
        one.history += events
        one.updated += 1

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode().partition("?")[0]
        self.asked.append(f"{request.method} {request.url.raw_path.decode()}")
        if self.is_away:
            raise httpx.ConnectError("All connection attempts failed")
        if self.busy is not None:
            self.refused.set()
            return self.busy
        if request.headers.get("x-functions-key", request.url.params.get("code")) != KEY:
            return httpx.Response(401)
        if not path.startswith(f"{BASE}/"):
            return httpx.Response(404)
        segments = [unquote(part) for part in path[len(BASE) :].strip("/").split("/")]
        for pattern, method in _ROUTES:
            if re.fullmatch(pattern, f"{request.method} {'/'.join(['_' if at else part for at, part in enumerate(segments)])}"):
                return method(self, request, segments[1:])
        return httpx.Response(404)

    # orchestrations

    def _start(self, request: httpx.Request, words: list[str]) -> httpx.Response:
        name, id = words[0], words[1] if len(words) > 1 else f"{len(self.instances):032x}"
        if name not in self.functions:
            known = ", ".join(f"'{one}'" for one in self.functions)
            return _bad(
                f"The function '{name}' doesn't exist, is disabled, or is not an orchestrator function. Additional info: "
                f"The following are the known orchestrator functions: {known}."
            )
        if id in self.instances and not self.instances[id].is_over:
            return _broken(f"An Orchestration instance with the status {self.instances[id].status} already exists.")
        self.instances[id] = Fake(id, name, json.loads(request.content) if request.content else None)
        return self._links(id)

    def _links(self, id: str) -> httpx.Response:
        status = f"http://fake{BASE}/instances/{id}?taskHub=Hub&connection=Storage&code={KEY}"
        return httpx.Response(202, json={"id": id, "statusQueryGetUri": status}, headers={"Location": status, "Retry-After": "10"})

    def _instance(self, request: httpx.Request, words: list[str]) -> httpx.Response:
        one = self.instances.get(words[0])
        if one is None:
            return httpx.Response(404)
        if len(words) > 1:
            return self._operate(request, one, words[1].lower(), words[2:])
        if request.method == "DELETE":
            del self.instances[one.id]
            return httpx.Response(200, json={"instancesDeleted": 1})
        shown = one.json(request.url.params.get("showInput") != "false")
        if request.url.params.get("showHistory") == "true":
            shown["historyEvents"] = one.history
        self.looked.set()
        headers = {} if one.is_over else {"Location": str(request.url), "Retry-After": "0"}
        return httpx.Response(200 if one.is_over else 202, json=shown, headers=headers)

    def _operate(self, request: httpx.Request, one: Fake, what: str, rest: list[str]) -> httpx.Response:
        reason = request.url.params.get("reason")
        if what == "restart":
            return self._restart(request, one)
        if one.is_over and (what != "rewind" or one.status != "Failed"):
            return httpx.Response(410)
        if what == "raiseevent":
            if request.headers.get("content-type") != "application/json":
                return httpx.Response(400, json={"Message": "Only application/json request content is supported"})
            self.events.append((one.id, rest[0], json.loads(request.content)))
        elif what == "terminate":
            self.end(one.id, "Terminated", reason)
        elif what in _MOVES:
            needs, becomes = _MOVES[what]
            if one.status not in needs:
                return _broken(f"Cannot {what} orchestration instance in {one.status} state")
            one.status = becomes
        else:
            return httpx.Response(404)
        return httpx.Response(202)

    def _restart(self, request: httpx.Request, one: Fake) -> httpx.Response:
        fresh = request.url.params.get("restartWithNewInstanceId", "true") == "true"
        if not fresh and not one.is_over:
            return _broken(f"An Orchestration instance with the status {one.status} already exists.")
        id = f"again-{len(self.instances)}" if fresh else one.id
        self.instances[id] = Fake(id, one.name, one.input)
        return self._links(id)

    def _list(self, request: httpx.Request, words: list[str]) -> httpx.Response:
        asked = request.url.params
        statuses = asked.get("runtimeStatus", "").split(",") if asked.get("runtimeStatus") else None
        fits = [
            one
            for one in self.instances.values()
            if (statuses is None or one.status in statuses) and one.id.startswith(asked.get("instanceIdPrefix", ""))
        ]
        return _paged(request, [one.json(asked.get("showInput") != "false") for one in fits])

    def _purge_many(self, request: httpx.Request, words: list[str]) -> httpx.Response:
        asked = request.url.params
        if "createdTimeFrom" not in asked:
            return httpx.Response(400, json="Please provide value for 'createdTimeFrom' parameter.")
        statuses = asked.get("runtimeStatus", "").split(",")
        gone = [one.id for one in self.instances.values() if one.status in statuses or not statuses[0]]
        for id in gone:
            del self.instances[id]
        return httpx.Response(200, json={"instancesDeleted": len(gone)}) if gone else httpx.Response(404)

    # entities

    def _signal(self, request: httpx.Request, words: list[str]) -> httpx.Response:
        name, key = words[0].lower(), words[1]
        if name not in self.entity_names:
            return _bad(f"The function '{name}' doesn't exist, is disabled, or is not an entity function.")
        operation = "delete" if request.method == "DELETE" else request.url.params.get("op", "")
        self.signals.append((f"@{name}@{key}", operation, json.loads(request.content) if request.content else None))
        return httpx.Response(202)

    def _entity(self, request: httpx.Request, words: list[str]) -> httpx.Response:
        id = f"@{words[0].lower()}@{words[1]}"
        return httpx.Response(200, json=self.states[id]) if id in self.states else httpx.Response(404)

    def _entities(self, request: httpx.Request, words: list[str]) -> httpx.Response:
        with_state = request.url.params.get("fetchState") == "true"
        items = [
            {
                "entityId": dict(zip(("name", "key"), id[1:].split("@"), strict=True)),
                "lastOperationTime": "2026-03-01T10:00:00.1234567Z", "state": state if with_state else None,
            }
            for id, state in self.states.items()
            if not words or id.startswith(f"@{words[0].lower()}@")
        ]
        return _paged(request, items)


_MOVES: dict[str, tuple[tuple[str, ...], str]] = {
    "suspend": (("Pending", "Running"), "Suspended"), "resume": (("Suspended",), "Running"), "rewind": (("Failed",), "Running"),
}  # fmt: skip
_ROUTES: list[tuple[str, Callable[[FakeFunctions, httpx.Request, list[str]], httpx.Response]]] = [
    (r"POST orchestrators/_(/_)?", FakeFunctions._start),
    (r"GET instances", FakeFunctions._list),
    (r"DELETE instances", FakeFunctions._purge_many),
    (r"(GET|DELETE|POST) instances(/_){1,3}", FakeFunctions._instance),
    (r"(POST|DELETE) entities/_/_", FakeFunctions._signal),
    (r"GET entities/_/_", FakeFunctions._entity),
    (r"GET entities(/_)?", FakeFunctions._entities),
]


def _paged(request: httpx.Request, items: list[Any]) -> httpx.Response:
    begin, top = int(request.headers.get("x-ms-continuation-token") or 0), int(request.url.params.get("top", 100))
    token = str(begin + top) if begin + top < len(items) else ""
    return httpx.Response(200, json=items[begin : begin + top], headers={"x-ms-continuation-token": token})


def _error(status: int, message: str, exception: str, kind: str) -> httpx.Response:
    told = {"Message": message, "ExceptionMessage": exception, "ExceptionType": kind, "StackTrace": "   at Microsoft.Azure"}
    return httpx.Response(status, json=told)


def _bad(exception: str) -> httpx.Response:
    return _error(400, "One or more of the arguments submitted is incorrect", exception, "System.ArgumentException")


def _broken(exception: str) -> httpx.Response:
    return _error(
        500, "Something went wrong while processing your request", exception, "System.InvalidOperationException"
    )
