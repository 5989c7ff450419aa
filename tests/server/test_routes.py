"""Which operation a method and a path mean."""

from __future__ import annotations

from typing import Any

import pytest

from dfnb.client.links import VERBS
from dfnb.server.routes import ROUTES, match

FOUND = [
    ("POST", "orchestrators/f", "start", {"functionName": "f"}),
    ("POST", "orchestrators/f/x", "start", {"functionName": "f", "instanceId": "x"}),
    ("GET", "instances", "list_instances", {}),
    ("DELETE", "instances", "purge_instances", {}),
    ("GET", "instances/x", "get_status", {"instanceId": "x"}),
    ("DELETE", "instances/x", "purge_instance", {"instanceId": "x"}),
    ("POST", "instances/x/terminate", "terminate", {"instanceId": "x"}),
    ("POST", "instances/x/rewind", "rewind", {"instanceId": "x"}),
    ("POST", "instances/x/restart", "restart", {"instanceId": "x"}),
    ("POST", "instances/x/suspend", "suspend", {"instanceId": "x"}),
    ("POST", "instances/x/resume", "resume", {"instanceId": "x"}),
    ("POST", "instances/x/raiseEvent/go", "raise_event", {"instanceId": "x", "eventName": "go"}),
    ("GET", "entities", "list_entities", {}),
    ("GET", "entities/n", "list_entities", {"entityName": "n"}),
    ("GET", "entities/n/k", "get_entity", {"entityName": "n", "entityKey": "k"}),
    ("POST", "entities/n", "signal_entity", {"entityName": "n"}),
    ("POST", "entities/n/k", "signal_entity", {"entityName": "n", "entityKey": "k"}),
    ("DELETE", "entities/n", "delete_entity", {"entityName": "n"}),
    ("DELETE", "entities/n/k", "delete_entity", {"entityName": "n", "entityKey": "k"}),
    ("GET", "makeprimary", "make_primary", {}),
    ("POST", "makeprimary", "make_primary", {}),
    ("DELETE", "makeprimary", "make_primary", {}),
]


@pytest.mark.parametrize(("method", "path", "operation", "params"), FOUND)
def test_each_path_of_the_original_is_found(method: str, path: str, operation: str, params: dict[str, str]) -> None:
    found = match(method, f"/{path}")
    assert found is not None
    assert (found.route.operation, found.params) == (operation, params)


@pytest.mark.parametrize(("method", "path", "operation", "params"), FOUND)
def test_slashes_around_a_path_do_not_matter(method: str, path: str, operation: str, params: dict[str, str]) -> None:
    assert match(method, f"/{path}/") == match(method, path) == match(method, f"//{path}//") == match(method, f"/{path}")


@pytest.mark.parametrize(("method", "path", "operation", "params"), FOUND)
def test_fixed_words_ignore_case_and_names_keep_theirs(method: str, path: str, operation: str, params: dict[str, str]) -> None:
    word, *rest = path.split("/")
    if len(rest) > 1 and word == "instances":
        rest[1] = rest[1].upper()
    found = match(method, "/".join([word.title(), *rest]))
    assert found is not None
    assert (found.route.operation, found.params) == (operation, params)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "orchestrators/f"), ("POST", "orchestrators"), ("GET", "orchestrators"), ("POST", "orchestrators/f/x/y"),
        ("POST", "instances"), ("POST", "instances/x"), ("PUT", "instances/x"), ("PATCH", "instances"), ("HEAD", "instances/x"),
        ("GET", "instances/x/terminate"), ("DELETE", "instances/x/terminate"), ("POST", "instances/x/explode"),
        ("POST", "instances/x/raiseEvent"), ("GET", "instances/x/raiseEvent/go"), ("POST", "instances/x/raiseEvent/go/on"),
        ("POST", "instances//terminate"), ("POST", "instances/x/raiseEvent//"), ("POST", "entities"), ("DELETE", "entities"),
        ("GET", "entities/n/k/more"), ("PUT", "entities/n/k"), ("GET", ""), ("GET", "/"), ("GET", "nothing"), ("get", "instances"),
    ],
)  # fmt: skip
def test_everything_else_is_nothing(method: str, path: str) -> None:
    assert match(method, path) is None


def test_each_verb_of_a_link_has_its_operation_and_no_operation_another_verb() -> None:
    assert {route.verb for route in ROUTES if route.verb} == set(VERBS)
    assert all(route.path.startswith("instances/{instanceId}") for route in ROUTES if route.verb)


def test_no_two_routes_mean_the_same_request() -> None:
    shapes: list[Any] = [(route.method, route.path) for route in ROUTES]
    assert len(shapes) == len(set(shapes))
