"""The OpenAPI document holds for a real server: what it says can come is what comes, for good requests and bad ones."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

import pytest
import schemathesis
from schemathesis import engine
from schemathesis.engine.events import FatalError, NonFatalError, ScenarioFinished

import dfnb
from dfnb.client.links import BASE_PATH
from dfnb.engine.clock import FakeClock
from dfnb.engine.http import HttpSettings
from dfnb.server.openapi import OPERATIONS as EXPLAINED
from dfnb.server.openapi import document
from dfnb.server.routes import ROUTES
from dfnb.server.settings import ServerSettings
from dfnb.testing import AsyncApi

from .conftest import Caller

ORIGIN = "http://127.0.0.1:7071"
BOUNDS: dict[str, Any] = {"longest_wait": 0.01, "max_body": 1 << 16}
EXAMPLES = 10
KNOWN = {
    "functionName": ("echo", "WAITS", "fails", "parent"),
    "instanceId": ("running", "suspended", "completed", "failed", "terminated", "pending", "called", "family", "family-child"),
    "entityName": ("store", "Store"),
    "entityKey": ("full", "empty"),
}


@pytest.fixture
def hub(registry: dfnb.Registry, clock: FakeClock) -> Generator[dfnb.DurableApp]:
    """One whose HTTP calls reach a server that knows nothing, and nobody else."""

    @dfnb.orchestrator(registry=registry)
    def calls(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        return (yield context.call_http("GET", "https://api.example/none")).status_code

    with (
        AsyncApi(clock) as api,
        dfnb.DurableApp(
            durability="memory", registry=registry, clock=clock, http=HttpSettings(client=api.transport)
        ) as opened,
    ):
        yield opened


@pytest.fixture
def peopled(serve: Callable[..., Caller]) -> Caller:
    """A server with instances in every state, some of whose payloads JSON is seldom asked to hold, and entities."""
    server = serve(**BOUNDS)
    for state in ("Running", "Suspended", "Completed", "Failed", "Terminated", "Pending"):
        server.bring(state, state.lower())
    server.client.start("calls", {"é": [1e300, None, 10**30, "\u0000"]}, instance_id="called")
    server.reach("called", "Completed")
    server.client.start("parent", None, instance_id="family")
    server.reach("family-child", holds=lambda status: "event go" in status.waiting_for)
    server.client.signal_entity("@store@full", "put", {"a": 1})
    server.client.signal_entity("@store@broken", "break")
    return server


def known(name: str, case: Any) -> str:
    """Something the server has, instead of most random names; the same for the same request."""
    number = zlib.crc32(repr((case.path_parameters, case.query, case.headers)).encode("utf-8", "surrogatepass"))
    return str(case.path_parameters[name]) if number % 5 == 0 else KNOWN[name][number % len(KNOWN[name])]


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Turn a random request into one for things that exist."""
    if case.meta is not None and case.meta.generation.mode.is_positive:
        case.path_parameters |= {name: known(name, case) for name in KNOWN.keys() & (case.path_parameters or {}).keys()}
        if {"pollingInterval", "timeout"} <= (case.query or {}).keys():
            case.query["pollingInterval"] = case.query["timeout"]  # a larger one is a 400, which JSON Schema cannot say
    if case.query:
        case.query.pop("callbackUrl", None)  # somebody would be called there


def described(server: Caller, operation: str) -> Any:
    """One operation of the server, as its own document has it, with the checks that fit the original's ways."""
    api = schemathesis.openapi.from_dict(server.ask("GET", "/openapi.json", at_base=False, key=False).json())
    api.app = server.app
    config = api.config
    config.update(headers={"x-functions-key": server.keys.system}, base_url=ORIGIN)
    config.generation.update(max_examples=EXAMPLES, deterministic=True, database="none", with_security_parameters=False)
    config.phases.stateful.enabled = False
    checks = config.checks
    checks.unsupported_method.enabled = False  # 404, never 405
    checks.allow_header_conformance.enabled = False
    checks.negative_data_rejection.enabled = False  # a parameter that cannot be read counts as absent
    checks.positive_data_acceptance.expected_statuses += ["410"]
    if operation.startswith(("start", "signal_entity", "delete_entity")):  # a name that nobody registered is a 400
        checks.positive_data_acceptance.enabled = False
    return api.include(operation_id=operation)


def was_wanted(check: Any, answer: Any) -> bool:
    """The status of a failed instance comes with the code of a fault if the caller asks for that."""
    return check.name == "not_a_server_error" and b'"runtimeStatus":"Failed"' in (answer.content or b"")


def findings(events: Iterable[Any]) -> tuple[int, list[str]]:
    """How many requests were made, and what was wrong with their answers."""
    count, found = 0, []
    for event in events:
        if isinstance(event, ScenarioFinished):
            count += len(event.recorder.interactions)
            for id, checks in event.recorder.checks.items():
                answer = event.recorder.interactions[id].response
                failures = [check.failure_info for check in checks if check.failure_info and not was_wanted(check, answer)]
                found += [f"{one.failure.title}: {one.failure.message}\n{one.code_sample}" for one in failures]
        elif isinstance(event, NonFatalError | FatalError):
            found.append(str(event))
    return count, found


OPERATIONS = sorted(
    details["operationId"]
    for path in document(ServerSettings(), ORIGIN, "0")["paths"].values()
    for details in path.values()
    if details["operationId"] != "follow_changes"  # which never ends
)


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_answer_is_a_documented_one(operation: str, peopled: Caller) -> None:
    count, found = findings(engine.from_schema(described(peopled, operation)).execute())
    assert found == []
    assert count > EXAMPLES // 2


def test_an_answer_that_is_not_documented_would_be_found(peopled: Caller) -> None:
    api = described(peopled, "get_record")
    del api.raw_schema["paths"][f"{BASE_PATH}/instances/{{instanceId}}/record"]["get"]["responses"]["404"]
    _, found = findings(engine.from_schema(api).execute())
    assert any(one.startswith("Undocumented status code") for one in found)


def test_each_route_is_documented_and_nothing_else(server: Caller) -> None:
    found = server.ask("GET", "/openapi.json", at_base=False, key=False).json()
    documented = {(method.upper(), path) for path, methods in found["paths"].items() for method in methods}
    assert documented == {(route.method, f"{BASE_PATH}/{route.path}") for route in ROUTES}
    assert {route.operation for route in ROUTES} == EXPLAINED.keys()


def test_each_operation_has_an_id_of_its_own() -> None:
    assert len(set(OPERATIONS)) == len(OPERATIONS) == len(ROUTES) - 1


def test_each_reference_leads_somewhere() -> None:
    whole = document(ServerSettings(), ORIGIN, "0")
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(whole)):
        place = whole
        for step in reference.split("/"):
            place = place[step]


def test_the_document_is_open_to_everybody_and_knows_nothing_of_the_hub(peopled: Caller) -> None:
    answer = peopled.ask("GET", "/openapi.json", at_base=False, key=False)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json; charset=utf-8")
    assert [word for word in (b"family", b"sleeps", b"\"store", peopled.keys.system.encode()) if word in answer.body] == []


def test_the_document_names_the_public_address(serve: Callable[..., Caller]) -> None:
    answer = serve(public_url="https://example.org/hub/").ask("GET", "/openapi.json", at_base=False)
    assert answer.json()["servers"] == [{"url": "https://example.org/hub"}]


def test_a_server_without_keys_documents_none(serve: Callable[..., Caller]) -> None:
    assert serve(require_key=False).ask("GET", "/openapi.json", at_base=False).json()["security"] == []


def test_http_triggers_are_documented_with_their_parameters(server: Caller, registry: dfnb.Registry) -> None:
    @dfnb.http_trigger("orders/{id:int}/{*rest}", methods=("GET", "POST"), auth_level="anonymous", registry=registry)
    def order(req: dfnb.HttpRequest) -> str:
        return "ok"

    found = server.ask("GET", "/openapi.json", at_base=False).json()["paths"]["/api/orders/{id}/{rest}"]
    assert found.keys() == {"get", "post"}
    assert [parameter["name"] for parameter in found["get"]["parameters"]] == ["id", "rest"]
    assert (found["post"]["operationId"], found["post"]["security"]) == ("trigger_order_post", [])


def test_the_shorter_paths_of_a_trigger_are_documented_too(server: Caller, registry: dfnb.Registry) -> None:
    routes = {"echo": "echo/{id:int?}", "greet": "greet/{name=world}/{*rest}", "plain": "echo", "every": "{a?}/{b?}"}
    for name, route in routes.items():

        def answer(req: dfnb.HttpRequest) -> str:
            return "ok"

        dfnb.http_trigger(route, name=name, methods=("GET",), registry=registry)(answer)
    paths = server.ask("GET", "/openapi.json", at_base=False).json()["paths"]
    told = {path: one["get"]["operationId"] for path, one in paths.items() if path.startswith("/api")}
    assert told == {
        "/api/echo/{id}": "trigger_echo_get", "/api/echo": "trigger_plain_get", "/api/greet/{name}/{rest}": "trigger_greet_get",
        "/api/greet/{name}": "trigger_greet_get_2", "/api/greet": "trigger_greet_get_3", "/api/{a}/{b}": "trigger_every_get",
        "/api/{a}": "trigger_every_get_2", "/api": "trigger_every_get_3",
    }  # fmt: skip
    assert paths["/api/greet"]["get"]["parameters"] == []
    for path in ("/api", "/api/greet", "/api/greet/you", "/api/echo"):
        assert server.ask("GET", path, at_base=False).status == 200
