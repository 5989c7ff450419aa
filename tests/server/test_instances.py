"""The operations on orchestrations, code by code and byte by byte as the facts about the original have them."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

BASE = "http://127.0.0.1:7071/runtime/webhooks/durabletask"
JSON = {"content-type": "application/json"}
MATRIX = {
    # operation           missing Pending Running Suspended Completed Terminated Failed
    "GET /{}":            (404, 202, 202, 202, 200, 200, 200),
    "POST /{}/raiseEvent/on": (404, 202, 202, 202, 410, 410, 410),
    "POST /{}/terminate": (404, 202, 202, 202, 410, 410, 410),
    "POST /{}/suspend":   (404, 202, 202, 409, 410, 410, 410),
    "POST /{}/resume":    (404, 409, 409, 202, 410, 410, 410),
    "POST /{}/rewind":    (404, 409, 409, 409, 410, 410, 202),
    "POST /{}/restart":   (404, 202, 202, 202, 202, 202, 202),
    "POST /{}/restart?restartWithNewInstanceId=false": (404, 409, 409, 409, 202, 202, 202),
    "DELETE /{}":         (404, 409, 409, 409, 200, 200, 200),
    "DELETE /{}?force=true": (404, 200, 200, 200, 200, 200, 200),
    "start":              (202, 409, 409, 409, 202, 202, 202),
}  # fmt: skip
STATES = ("missing", "Pending", "Running", "Suspended", "Completed", "Terminated", "Failed")


@pytest.mark.parametrize("state", STATES)
def test_what_each_operation_answers_in_each_state(server: Any, state: str) -> None:
    for number, (operation, codes) in enumerate(MATRIX.items()):
        id = f"x{number}"
        server.bring(state, id)
        if operation == "start":
            answer = server.ask("POST", f"/orchestrators/waits/{id}")
        else:
            method, path = operation.split(" ")
            answer = server.ask(method, f"/instances{path.format(id)}", json=1)
        expected = codes[STATES.index(state)]
        assert (operation, answer.status) == (operation, expected)
        if expected in (404, 410) or (expected == 202 and not re.search("start|GET", operation)):
            assert (operation, answer.body, "content-type" in answer.headers) == (operation, b"", False)
        if expected == 409:
            assert list(answer.json()) == ["Message", "ExceptionMessage", "ExceptionType"]
            assert answer.json()["ExceptionType"] == "System.InvalidOperationException"
            assert id in answer.json()["ExceptionMessage"]


# start


def test_a_start_is_answered_with_links(server: Any) -> None:
    answer = server.ask("POST", "/orchestrators/Add/a1", body=b"4")
    assert (answer.status, answer.headers["retry-after"]) == (202, "10")
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    links = answer.json()
    assert list(links) == [
        "id", "statusQueryGetUri", "sendEventPostUri", "terminatePostUri", "purgeHistoryDeleteUri", "restartPostUri",
        "suspendPostUri", "resumePostUri",
    ]  # fmt: skip
    code = re.search("code=([^&]+)$", links["statusQueryGetUri"])[1]
    q = f"taskHub=dfnb&connection=Storage&code={code}"
    assert answer.headers["location"] == links["statusQueryGetUri"]
    assert links == {
        "id": "a1",
        "statusQueryGetUri": f"{BASE}/instances/a1?{q}",
        "sendEventPostUri": f"{BASE}/instances/a1/raiseEvent/{{eventName}}?{q}",
        "terminatePostUri": f"{BASE}/instances/a1/terminate?reason={{text}}&{q}",
        "purgeHistoryDeleteUri": f"{BASE}/instances/a1?{q}",
        "restartPostUri": f"{BASE}/instances/a1/restart?{q}",
        "suspendPostUri": f"{BASE}/instances/a1/suspend?reason={{text}}&{q}",
        "resumePostUri": f"{BASE}/instances/a1/resume?reason={{text}}&{q}",
    }
    server.reach("a1", "Completed")
    assert server.client.status("a1").output == 5


def test_an_id_is_made_of_32_hex_digits(server: Any) -> None:
    assert re.fullmatch("[0-9a-f]{32}", server.ask("POST", "/orchestrators/echo").json()["id"])


INPUTS: list[tuple[bytes, Any]] = [
        (b"", None), (b" \r\n\t", None), (b"null", None), (b'{"a": [1, "\xc3\xa9"]}', {"a": [1, "é"]}), (b' "x" \n', "x"),
        (b"0", 0), (b"1" * 30, int("1" * 30)), (b'"2026-01-01T00:00:00Z"', "2026-01-01T00:00:00Z"), (b'\xef\xbb\xbf"bom"', "bom"),
        (b'"\\ud800"', "\ud800"), (b'{"a":1,"a":2}', {"a": 2}),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["application/json", "text/plain", None])
def test_a_body_is_the_input_whatever_its_type_says(server: Any, kind: str | None) -> None:
    for number, (body, value) in enumerate(INPUTS):
        started = server.ask("POST", f"/orchestrators/echo/e{number}", body=body, headers={"content-type": kind} if kind else {})
        assert started.status == 202
        server.reach(f"e{number}", "Completed")
        told = server.ask("GET", f"/instances/e{number}").json()
        assert (told["input"], told["output"]) == (value, value)


def test_a_body_that_is_no_json_starts_nothing(server: Any) -> None:
    for body in (b"{", b"1 2", b"NaN", b"[Infinity]", b"'a'", b"\xff", b"1e999", b"nul", b'{"a":1,}'):
        answer = server.ask("POST", "/orchestrators/echo/e", body=body)
        assert (body, answer.status, answer.json()["Message"]) == (body, 400, "Invalid JSON content")
        assert list(answer.json()) == ["Message", "ExceptionMessage", "ExceptionType"]
        assert not server.client.status("e")


def test_an_unknown_function_is_answered_with_the_known_ones(server: Any) -> None:
    answer = server.ask("POST", "/orchestrators/wait", json=1)
    told = answer.json()
    assert (answer.status, told["Message"]) == (400, "One or more of the arguments submitted is incorrect")
    assert told["ExceptionMessage"].startswith(
        "The function 'wait' doesn't exist, is disabled, or is not an orchestrator function. Additional info: "
    )
    assert "did you mean 'waits'?" in told["ExceptionMessage"]


def test_functions_are_found_ignoring_case(server: Any) -> None:
    assert server.ask("POST", "/orchestrators/ADD/a", json=1).status == 202
    assert server.client.status("a").name == "Add"


def test_ids_that_may_not_be_are_refused_by_start_alone(server: Any) -> None:
    for id in ("@x", "a%23b", "a%3Fb", "a%5Cb", "a%0Ab", "a%00b", "a%7F", "x" * 257):
        assert (id, server.ask("POST", f"/orchestrators/echo/{id}").status) == (id, 400)
        assert (id, server.ask("GET", f"/instances/{id}").status) == (id, 404)


def test_other_ids_can_be_used_with_the_links_they_get(server: Any) -> None:
    for id in ("x" * 256, "a%20b", "a+b", "%C3%A9", "A", "a:b@c", "%E2%80%AE", "..."):
        started = server.ask("POST", f"/orchestrators/echo/{id}", json=1)
        assert (id, started.status) == (id, 202)
        server.reach(started.json()["id"], "Completed")
        link = started.json()["statusQueryGetUri"].removeprefix(BASE)
        status = server.ask("GET", link, key=False)
        assert (status.status, status.json()["instanceId"]) == (200, started.json()["id"])


def test_ids_keep_their_case(server: Any) -> None:
    server.bring("Completed", "a")
    assert server.ask("GET", "/instances/A").status == 404


# start and wait


def test_a_start_may_wait_for_the_output_itself(server: Any) -> None:
    answer = server.ask("POST", "/orchestrators/Add?timeout=10&pollingInterval=1", json=4)
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"5", "application/json; charset=utf-8")
    assert server.ask("POST", "/orchestrators/echo?timeout=10&pollingInterval=10").body == b"null"


def test_a_wait_for_what_fails_is_answered_with_the_status(server: Any) -> None:
    answer = server.ask("POST", "/orchestrators/fails/f?timeout=10&pollingInterval=1&returnInternalServerErrorOnFailure=true")
    assert answer.status == 200
    assert (answer.json()["instanceId"], answer.json()["runtimeStatus"]) == ("f", "Failed")


def test_a_wait_that_runs_out_is_answered_with_links(server: Any) -> None:
    answer = server.ask("POST", "/orchestrators/waits/w?timeout=0.01&pollingInterval=0.01")
    assert (answer.status, answer.json()["id"], answer.headers["retry-after"]) == (202, "w", "10")


def test_an_interval_longer_than_the_time_is_refused_although_the_instance_runs(server: Any) -> None:
    answer = server.ask("POST", "/orchestrators/waits/w?timeout=1&pollingInterval=2")
    assert answer.status == 400
    assert answer.json()["ExceptionMessage"] == "Total timeout 1 should be bigger than retry timeout 2"
    assert server.client.status("w")


def test_half_a_wish_to_wait_is_none(server: Any) -> None:
    for query in ("timeout=5", "pollingInterval=1", "timeout=x&pollingInterval=1", "timeout=-1&pollingInterval=1"):
        assert server.ask("POST", f"/orchestrators/waits?{query}").status == 202


def test_a_caller_may_prefer_to_wait(server: Any) -> None:
    answer = server.ask("POST", "/orchestrators/Add", json=4, headers={"prefer": "respond-async, wait=10"})
    assert (answer.status, answer.body, answer.headers["preference-applied"]) == (200, b"5", "wait")
    late = server.ask("POST", "/orchestrators/waits", headers={"prefer": "respond-async, wait=0"})
    assert (late.status, late.headers["preference-applied"]) == (202, "respond-async, wait")
    assert "preference-applied" not in server.ask("POST", "/orchestrators/waits").headers
    status = server.ask("GET", f"/instances/{late.json()['id']}", headers={"prefer": "wait=0"})
    assert (status.status, status.headers["preference-applied"]) == (202, "wait")


@pytest.mark.parametrize("wish", ["wait=abc", "wait=-1", "wait=1.5", "wait", "wait="])
def test_a_wish_that_is_not_followed_is_not_said_to_be(server: Any, wish: str) -> None:
    started = server.ask("POST", "/orchestrators/waits", headers={"prefer": wish})
    assert (started.status, "preference-applied" in started.headers) == (202, False)
    status = server.ask("GET", f"/instances/{started.json()['id']}", headers={"prefer": wish})
    assert (status.status, "preference-applied" in status.headers) == (202, False)
    asked = server.ask("POST", "/orchestrators/waits?timeout=0&pollingInterval=0", headers={"prefer": "wait=9"})
    assert (asked.status, "preference-applied" in asked.headers) == (202, False)


# status


def test_the_status_of_a_running_instance_byte_by_byte(server: Any) -> None:
    server.bring("Running", "x")
    answer = server.ask("GET", "/instances/x?showInput=true&code=1")
    assert answer.body == (
        b'{"name":"waits","instanceId":"x","runtimeStatus":"Running","input":1,"customStatus":"open","output":null,'
        b'"createdTime":"2026-01-01T10:20:30Z","lastUpdatedTime":"2026-01-01T10:20:30Z"}'
    )
    assert answer.status == 202
    assert answer.headers["location"] == f"{BASE}/instances/x?showInput=true&code=1"
    assert 1 <= int(answer.headers["retry-after"]) <= 10


@pytest.mark.parametrize(
    ("state", "output"),
    [
        ("Completed", b"1"),
        ("Terminated", b'"enough"'),
        ("Failed", b"\"Orchestrator function 'fails' failed: ValueError: no luck\""),
    ],
)
def test_the_status_of_an_ended_instance_has_its_output_and_no_advice(server: Any, state: str, output: bytes) -> None:
    server.bring(state, "x")
    answer = server.ask("GET", "/instances/x")
    assert (answer.status, "location" in answer.headers, "retry-after" in answer.headers) == (200, False, False)
    assert b'"output":' + output + b',"createdTime"' in answer.body


def test_only_a_failed_instance_answers_500_on_request(server: Any) -> None:
    for state, code in {"Failed": 500, "Completed": 200, "Terminated": 200, "Running": 202}.items():
        server.bring(state, state)
        plain = server.ask("GET", f"/instances/{state}")
        asked = server.ask("GET", f"/instances/{state}?returnInternalServerErrorOnFailure=true")
        assert (asked.status, asked.body) == (code, plain.body)


def test_the_input_is_null_when_it_is_not_wanted(server: Any) -> None:
    server.bring("Completed", "x")
    assert server.ask("GET", "/instances/x?showInput=false").json()["input"] is None
    assert server.ask("GET", "/instances/x?showInput=no").json()["input"] == 1


REASONS = [("enough", "enough"), ("123", 123), ("null", None), ('{"a":1}', {"a": 1}), ("a b\r\nc", "a b\r\nc"), (None, None)]


def test_a_reason_that_is_json_is_shown_as_its_value(server: Any) -> None:
    for number, (reason, output) in enumerate(REASONS):
        id = f"x{number}"
        server.bring("Running", id)
        assert server.ask("POST", f"/instances/{id}/terminate" + (f"?reason={quote(reason)}" if reason else "")).status == 202
        server.reach(id, "Terminated")
        assert server.ask("GET", f"/instances/{id}").json()["output"] == output


# history


def history(server: Any, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.ask("GET", f"/instances/a?showHistory=true&{query}").json()["historyEvents"]
    return found


AT = "2026-01-01T10:20:30.999999Z"
STARTED = {
    "EventType": "ExecutionStarted",
    "Correlation": None,
    "ScheduledStartTime": None,
    "Generation": None,
    "ParentTraceContext": None,
}


def test_the_history_has_the_events_and_the_fields_of_the_original(server: Any) -> None:
    server.client.start("Add", 1, instance_id="a").wait(10)
    assert history(server, "showHistoryOutput=true") == [
        {**STARTED, "FunctionName": "Add", "Input": "1", "Timestamp": AT},
        {"EventType": "TaskCompleted", "Result": 2, "Timestamp": AT, "ScheduledTime": AT, "FunctionName": "add_one", "Input": "1"},
        {
            "EventType": "ExecutionCompleted",
            "OrchestrationStatus": "Completed",
            "Result": 2,
            "FailureDetails": None,
            "Timestamp": AT,
        },
    ]


def test_the_flags_of_history_leave_out_results_and_inputs(server: Any) -> None:
    server.client.start("Add", 1, instance_id="a").wait(10)
    assert not [entry for entry in history(server, "") if "Result" in entry]
    assert [entry["Input"] for entry in history(server, "") if "Input" in entry] == ["1", "1"]
    assert not [entry for entry in history(server, "showInput=false") if "Input" in entry]


def test_no_history_is_shown_unasked_nor_of_a_pending_instance_nor_in_lists(server: Any) -> None:
    server.bring("Completed", "x")
    server.bring("Pending", "p")
    assert "historyEvents" not in server.ask("GET", "/instances/x").json()
    assert "historyEvents" not in server.ask("GET", "/instances/p?showHistory=true").json()
    assert not [one for one in server.ask("GET", "/instances?showHistory=true").json() if "historyEvents" in one]


def test_history_of_a_missing_instance_is_missing(server: Any) -> None:
    answer = server.ask("GET", "/instances/x?showHistory=true")
    assert (answer.status, answer.body) == (404, b"")


# list


def ids(answer: Any) -> list[str]:
    assert answer.status == 200
    return [one["instanceId"] for one in answer.json()]


def test_a_list_goes_on_until_its_token_is_empty(server: Any) -> None:
    server.client.start_many("echo", range(5), instance_ids=[f"i{n}" for n in range(5)])
    found, token, pages = [], None, 0
    while token != "":
        page = server.ask("GET", "/instances?top=2", headers={"x-ms-continuation-token": token} if token else {})
        found += ids(page)
        token = page.headers["x-ms-continuation-token"]
        pages += 1
    assert (sorted(found), pages) == (["i0", "i1", "i2", "i3", "i4"], 3)


def test_an_empty_list_has_a_token_too(server: Any) -> None:
    answer = server.ask("GET", "/instances/")
    assert (answer.status, answer.body, answer.headers["x-ms-continuation-token"]) == (200, b"[]", "")


def test_a_token_that_no_page_gave_is_refused(server: Any) -> None:
    for numbers in (b"", b"1", b"null", b"[1e999, 1]", b"[%d, 1]" % 10**30, b"[1, 2, 3]", b"[" * 9_000, b"\xff"):
        token = base64.urlsafe_b64encode(numbers).decode() or "x"
        for path in ("/instances", "/entities"):
            answer = server.ask("GET", path, headers={"x-ms-continuation-token": token})
            assert (numbers[:30], answer.status) == (numbers[:30], 400)


def test_a_strange_page_size_is_the_usual_or_the_largest(server: Any) -> None:
    server.client.start_many("echo", [1, 2])
    for top in ("0", "-1", "x", "1e3", "999999999999999999"):
        assert len(ids(server.ask("GET", f"/instances?top={top}"))) == 2


def test_lists_are_filtered(server: Any) -> None:
    server.bring("Completed", "done")
    server.bring("Running", "runs")
    server.clock.advance(60)
    server.bring("Failed", "dead")
    ask: Callable[[str], list[str]] = lambda query: sorted(ids(server.ask("GET", f"/instances?{query}")))  # noqa: E731
    assert ask("") == ["dead", "done", "runs"]
    assert ask("runtimeStatus=Completed,failed") == ask("runtimeStatus=Completed&RUNTIMESTATUS=3") == ["dead", "done"]
    assert ask("runtimeStatus=") == ask("createdTimeFrom=yesterday") == ["dead", "done", "runs"]
    assert ask("instanceIdPrefix=d") == ["dead", "done"]
    assert ask("createdTimeFrom=2026-01-01T10:21:00Z") == ["dead"]
    assert ask("createdTimeTo=2026-01-01T11:21:00+01:00") == ["done", "runs"]
    assert ask("createdTimeFrom=2026-01-01T10:20:30.999999Z&createdTimeTo=1/1/2026+10:21:00+AM") == ["done", "runs"]
    assert ask("createdTimeFrom=0001-01-01T00:00:00%2B14:00&createdTimeTo=9999-12-31T23:59:59-14:00") == ["dead", "done", "runs"]


def test_a_list_hides_inputs_on_request_and_entities_unless_wanted(server: Any) -> None:
    server.bring("Completed", "x")
    server.ask("POST", "/entities/store/k?op=put", json=1)
    assert [one["input"] for one in server.ask("GET", "/instances?showInput=false").json()] == [None]
    assert sorted(ids(server.ask("GET", "/instances?includeEntities=true"))) == ["@store@k", "x"]


def test_an_unknown_status_is_refused_with_the_known_ones(server: Any) -> None:
    answer = server.ask("GET", "/instances?runtimeStatus=Runing")
    assert answer.status == 400
    assert "known are Running, Completed" in answer.json()["ExceptionMessage"]


# purge


def test_purging_one_says_so_and_it_is_gone(server: Any) -> None:
    server.bring("Completed", "x")
    assert server.ask("DELETE", "/instances/x").body == b'{"instancesDeleted":1}'
    again = server.ask("DELETE", "/instances/x")
    assert (again.status, again.body) == (404, b"")


def test_the_refusal_of_a_purge_says_how_to_purge_all_the_same_over_http(server: Any) -> None:
    server.bring("Running", "x")
    answer = server.ask("DELETE", "/instances/x")
    assert (answer.status, answer.json()["ExceptionMessage"]) == (
        409, "cannot purge instance 'x' while it is Running; terminate it first, or purge it with ?force=true",
    )  # fmt: skip


def test_purging_many_needs_a_beginning(server: Any) -> None:
    for query in ("", "?createdTimeFrom=", "?createdTimeFrom=yesterday", "?createdTimeTo=2026-01-01"):
        answer = server.ask("DELETE", f"/instances{query}")
        assert (answer.status, answer.body) == (400, b"\"Please provide value for 'createdTimeFrom' parameter.\"")
        assert answer.headers["content-type"] == "application/json; charset=utf-8"


def test_purging_many_takes_ended_instances_only(server: Any) -> None:
    for state in ("Completed", "Failed", "Terminated", "Running", "Pending", "Suspended"):
        server.bring(state, state)
    server.ask("POST", "/entities/store/k?op=put", json=1)
    assert server.ask("DELETE", "/instances?createdTimeFrom=2020-01-01&runtimeStatus=failed").json() == {"instancesDeleted": 1}
    assert server.ask("DELETE", "/instances?createdTimeFrom=2026-02-01").status == 404
    assert server.ask("DELETE", "/instances?createdTimeFrom=2020-01-01&createdTimeTo=2020-01-02").status == 404
    assert server.ask("DELETE", "/instances?createdTimeFrom=2020-01-01").body == b'{"instancesDeleted":2}'
    assert sorted(ids(server.ask("GET", "/instances"))) == ["Pending", "Running", "Suspended"]
    assert server.ask("GET", "/entities/store/k").status == 200


def test_a_filter_that_means_nothing_never_means_everything(server: Any) -> None:
    server.bring("Completed", "x")
    for status in ("", "Running", "Pending,Completed", "Complete", "-1"):
        assert server.ask("DELETE", f"/instances?createdTimeFrom=2020-01-01&runtimeStatus={status}").status == 400
        assert server.client.status("x")


def test_purging_many_by_prefix_leaves_all_others(server: Any) -> None:
    for id in ("trip-a", "trip-b", "other"):
        server.bring("Completed", id)
    assert server.ask("DELETE", "/instances?createdTimeFrom=2020-01-01&instanceIdPrefix=zz").status == 404
    assert server.ask("DELETE", "/instances?createdTimeFrom=2020-01-01&instanceIdPrefix=trip-").json() == {"instancesDeleted": 2}
    assert ids(server.ask("GET", "/instances")) == ["other"]


@pytest.mark.parametrize("filter", ["top=1", "name=echo", "instanceIdPrefx=o", "instanceIdPrefix="])
def test_a_filter_that_a_purge_does_not_know_is_refused(server: Any, filter: str) -> None:
    server.bring("Completed", "x")
    answer = server.ask("DELETE", f"/instances?createdTimeFrom=2020-01-01&{filter}")
    assert answer.status == 400
    assert filter.split("=")[0].lower() in answer.json()["ExceptionMessage"].replace("_", "").lower()
    assert server.client.status("x")


def test_an_end_of_the_window_that_is_no_time_purges_nothing(server: Any) -> None:
    server.bring("Completed", "x")
    assert server.ask("DELETE", "/instances?createdTimeFrom=2020-01-01&createdTimeTo=soon").status == 400
    assert server.client.status("x")


# events


def test_the_checks_of_an_event_come_in_order(server: Any) -> None:
    server.bring("Completed", "done")
    server.bring("Running", "runs")
    bad = {"body": b"{", "headers": {"content-type": "text/plain"}}
    assert server.ask("POST", "/instances/none/raiseEvent/go", **bad).status == 404
    assert server.ask("POST", "/instances/done/raiseEvent/go", **bad).status == 410
    answer = server.ask("POST", "/instances/runs/raiseEvent/go", **bad)
    assert (answer.status, answer.body) == (400, b'{"Message":"Only application/json request content is supported"}')
    answer = server.ask("POST", "/instances/runs/raiseEvent/go", body=b"{", headers=JSON)
    assert (answer.status, answer.json()["Message"]) == (400, "Invalid JSON content")


def test_the_type_of_an_event_may_have_parameters_but_be_no_other(server: Any) -> None:
    server.bring("Running", "x")
    for kind in ("application/json", "APPLICATION/JSON; charset=utf-8", "application/json;odata=verbose"):
        assert server.ask("POST", "/instances/x/raiseEvent/other", body=b"1", headers={"content-type": kind}).status == 202
    for kind in ("application/problem+json", "text/json", "application/jsonp", ""):
        assert server.ask("POST", "/instances/x/raiseEvent/other", body=b"1", headers={"content-type": kind}).status == 400


EVENTS: list[tuple[bytes, Any]] = [
    (b'{"a":1}', {"a": 1}), (b"null", None), (b" [1] , more", [1]), (b'"\\udc00" x', "\udc00"), (b'"{\\"a\\":1}"', '{"a":1}'),
    (b"-1.5e3,", -1500.0),
]  # fmt: skip


def test_an_event_is_the_first_value_of_its_body(server: Any) -> None:
    for number, (body, value) in enumerate(EVENTS):
        id = f"x{number}"
        server.bring("Running", id)
        answer = server.ask("POST", f"/instances/{id}/RAISEEVENT/go/", body=body, headers=JSON)
        assert (answer.status, answer.body, "content-type" in answer.headers) == (202, b"", False)
        server.reach(id, "Completed")
        assert server.ask("GET", f"/instances/{id}").json()["output"] == value


@pytest.mark.parametrize("name", ["%1b%5d0;evil%07", "a%0ab", "%c2%9b"], ids=["escape", "line break", "C1"])
def test_the_name_of_an_event_has_no_control_characters(server: Any, name: str) -> None:
    server.bring("Running", "x")
    answer = server.ask("POST", f"/instances/x/raiseEvent/{name}", json=1)
    assert (answer.status, "has control characters in it" in answer.json()["ExceptionMessage"]) == (400, True)


def test_an_event_without_a_value_is_refused(server: Any) -> None:
    server.bring("Running", "x")
    for body in (b"", b"  ", b"nope", b"1e999 x", b"NaN x", b"[1", b"\xff\xfe", b'"\x01"'):
        answer = server.ask("POST", "/instances/x/raiseEvent/go", body=body, headers=JSON)
        assert (body, answer.status, answer.json()["Message"]) == (body, 400, "Invalid JSON content")


def test_events_for_a_suspended_instance_wait_until_it_is_resumed(server: Any) -> None:
    server.bring("Suspended", "x")
    assert server.ask("POST", "/instances/x/raiseEvent/go", json=7).status == 202
    assert server.ask("GET", "/instances/x").json()["runtimeStatus"] == "Suspended"
    assert server.ask("POST", "/instances/x/RESUME/?reason=on").status == 202
    server.reach("x", "Completed")
    assert server.client.status("x").output == 7


# restart


def test_a_restart_has_a_new_id_unless_that_is_not_wanted(server: Any) -> None:
    server.bring("Completed", "x")
    fresh = server.ask("POST", "/instances/x/restart")
    assert fresh.json()["id"] != "x"
    assert (fresh.headers["retry-after"], fresh.headers["location"]) == ("10", fresh.json()["statusQueryGetUri"])
    assert server.ask("POST", "/instances/x/restart?restartWithNewInstanceId=FALSE").json()["id"] == "x"
    assert server.ask("POST", "/instances/x/restart?restartWithNewInstanceId=0").json()["id"] != "x"
    server.reach(fresh.json()["id"], "Completed")
    assert server.client.status(fresh.json()["id"]).input_ == 1


def test_a_restart_may_wait(server: Any) -> None:
    server.bring("Completed", "x")
    assert server.ask("POST", "/instances/x/restart?timeout=10&pollingInterval=1").body == b"1"
    assert server.ask("POST", "/instances/x/restart?timeout=1&pollingInterval=10").status == 400


def test_a_restart_of_what_is_no_longer_defined_is_refused(server: Any, registry: Any) -> None:
    server.bring("Completed", "x")
    registry.remove("orchestrator", "echo")
    answer = server.ask("POST", "/instances/x/restart")
    assert answer.status == 400
    assert "The function 'echo' doesn't exist" in answer.json()["ExceptionMessage"]


def test_a_purge_and_a_start_at_once_leave_one_instance(server: Any) -> None:
    """Both at the same moment: whichever comes first, no answer is a 500."""
    server.bring("Completed", "x")

    async def both() -> list[Any]:
        asked = [server.asking("DELETE", "/instances/x"), server.asking("POST", "/orchestrators/waits/x", json=1)]
        return await asyncio.gather(*asked)

    purged, started = asyncio.run(both())
    assert purged.status in (200, 404, 409)
    assert started.status == 202


def test_advice_follows_what_the_instance_waits_for(server: Any, serve: Callable[..., Any]) -> None:
    server.client.start("sleeps", 4, instance_id="s")
    server.reach("s", holds=lambda status: "timer" in status.waiting_for)
    assert server.ask("GET", "/instances/s").headers["retry-after"] == "4"
    server.clock.advance(timedelta(seconds=3))
    assert server.ask("GET", "/instances/s").headers["retry-after"] == "1"
    server.bring("Running", "x")
    assert server.ask("GET", "/instances/x").headers["retry-after"] == "10"
    assert serve(retry_after=5).ask("GET", "/instances/x").headers["retry-after"] == "5"


def test_json_of_a_status_is_as_compact_as_the_original(server: Any) -> None:
    server.bring("Failed", "x")
    body = server.ask("GET", "/instances/x?showHistory=true").body
    assert body == json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False).encode()
