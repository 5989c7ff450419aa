"""The operations on entities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import dfnb

JSON = {"content-type": "application/json"}


def test_a_signal_is_accepted_and_the_state_can_be_read_bare(server: Any) -> None:
    answer = server.ask("POST", "/entities/store/k?op=put", json={"a": [1]})
    assert (answer.status, answer.body, "content-type" in answer.headers) == (202, b"", False)
    answer = server.ask("GET", "/entities/store/k")
    assert (answer.status, answer.body) == (200, b'{"a":[1]}')
    assert answer.headers["content-type"] == "application/json; charset=utf-8"


def test_names_ignore_case_and_keys_keep_theirs(server: Any) -> None:
    server.ask("POST", "/Entities/STORE/Key?OP=put", json=1)
    assert server.ask("GET", "/entities/Store/Key").body == b"1"
    assert server.ask("GET", "/entities/store/key").status == 404


@pytest.mark.parametrize("kind", ["application/json", "text/plain", None])
def test_input_is_json_by_its_type_and_else_a_text(server: Any, kind: str | None) -> None:
    headers = {"content-type": kind} if kind else {}
    assert server.ask("POST", "/entities/store/k?op=put", body=b'{"a": 1} more', headers=headers).status == 202
    assert server.ask("GET", "/entities/store/k").json() == ({"a": 1} if kind == "application/json" else '{"a": 1} more')


def test_without_a_body_there_is_no_input_and_without_an_op_its_name_is_empty(server: Any) -> None:
    server.ask("POST", "/entities/store/k?op=put", json=1)
    assert server.ask("POST", "/entities/store/k", body=b'"by default"').status == 202
    assert server.ask("GET", "/entities/store/k").json() == '"by default"'
    assert server.ask("POST", "/entities/store/k?op=put", headers=JSON).status == 202
    assert server.ask("GET", "/entities/store/k").status == 404  # None as a state is no state


def test_json_that_is_none_is_refused(server: Any) -> None:
    answer = server.ask("POST", "/entities/store/k?op=put", body=b"{", headers=JSON)
    assert answer.status == 400
    assert list(answer.json()) == ["Message"]
    assert answer.json()["Message"].startswith("Could not parse JSON content: ")


def test_an_unknown_name_is_refused_with_the_known_ones(server: Any) -> None:
    for method in ("POST", "DELETE"):
        answer = server.ask(method, "/entities/shop/k")
        assert (answer.status, answer.json()) == (
            400,
            {"Message": "The entity 'shop' is not registered here. Registered are: store"},
        )


def test_keys_that_may_not_be_are_refused_and_nothing_is_found_there(server: Any) -> None:
    for key in ("a%3Fb", "a%23b", "a%5Cb", "a%0Ab", "%00", "a@b"):
        answer = server.ask("POST", f"/entities/store/{key}?op=put", json=1)
        assert (key, answer.status, list(answer.json())) == (key, 400, ["Message"])
        assert (key, server.ask("GET", f"/entities/store/{key}").status) == (key, 404)
    assert server.ask("POST", "/entities/st%40ore/k").status == 400


def test_an_entity_without_a_key_is_read_by_a_dollar(server: Any) -> None:
    assert server.ask("GET", "/entities/store/$").status == 404
    assert server.ask("POST", "/entities/store/?op=put", json=5).status == 202
    assert server.ask("GET", "/entities/store/$").body == b"5"
    assert server.ask("DELETE", "/entities/store").status == 202
    assert server.ask("GET", "/entities/store/$").status == 404


def test_a_deleted_entity_has_no_state(server: Any) -> None:
    server.ask("POST", "/entities/store/k?op=put", json=1)
    answer = server.ask("DELETE", "/entities/store/k?op=put")
    assert (answer.status, answer.body) == (202, b"")
    gone = server.ask("GET", "/entities/store/k")
    assert (gone.status, gone.body) == (404, b"")
    assert server.ask("GET", "/entities").json() == []


def test_a_list_has_the_original_s_fields_and_states_on_request(server: Any) -> None:
    server.ask("POST", "/entities/store/k?op=put", json={"a": 1})
    line = b'[{"entityId":{"name":"store","key":"k"},"lastOperationTime":"2026-01-01T10:20:30.999999Z","state":%s}]'
    plain = server.ask("GET", "/entities/")
    assert (plain.status, plain.body, plain.headers["x-ms-continuation-token"]) == (200, line % b"null", "")
    assert server.ask("GET", "/entities?fetchState=true").body == line % b'{"a":1}'
    assert server.ask("GET", "/entities/STORE?fetchstate=TRUE").body == line % b'{"a":1}'
    assert server.ask("GET", "/entities/shop").body == b"[]"


def test_a_list_goes_on_and_is_filtered_by_time(server: Any) -> None:
    for number in range(3):
        server.ask("POST", f"/entities/store/k{number}?op=put", json=number)
    server.clock.advance(60)
    server.ask("POST", "/entities/store/late?op=put", json=1)
    ask: Callable[..., list[str]] = lambda query: [one["entityId"]["key"] for one in server.ask("GET", f"/entities?{query}").json()]  # noqa: E731
    assert ask("lastOperationTimeFrom=2026-01-01T10:21:00Z") == ["late"]
    assert sorted(ask("lastOperationTimeTo=2026-01-01T10:21:00Z")) == ["k0", "k1", "k2"]
    first = server.ask("GET", "/entities?top=3")
    rest = server.ask("GET", "/entities?top=3", headers={"x-ms-continuation-token": first.headers["x-ms-continuation-token"]})
    assert (len(first.json()), len(rest.json()), rest.headers["x-ms-continuation-token"]) == (3, 1, "")


def test_what_an_orchestration_locks_and_changes_is_seen(server: Any, registry: dfnb.Registry) -> None:
    @dfnb.orchestrator(registry=registry)
    def puts(context: dfnb.DurableOrchestrationContext) -> Any:
        yield context.call_entity(dfnb.EntityId("store", "o"), "put", "from within")

    assert server.ask("POST", "/orchestrators/puts?timeout=10&pollingInterval=1").status == 200
    assert server.ask("GET", "/entities/store/o").json() == "from within"
