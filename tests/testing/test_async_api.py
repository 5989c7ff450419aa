"""Each dialect from start to result, through the polling core that dfnb's own calls use; who may ask; what is recorded."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from dfnb.durable_http.dialects import DIALECTS
from dfnb.durable_http.polling import Finished
from dfnb.errors import DefinitionError
from dfnb.testing import AsyncApi, FakeClock, Reply
from dfnb.testing.catalogue import DIALECTS as FAKES

Follow = Callable[..., Finished]
RESULT = {"answer": 42}
NOT_RECOGNISED = {"openeo", "google-lro", "see-other", "llm-job"}
RECOGNISED = [name for name in FAKES if name not in NOT_RECOGNISED]
EACH = [(name, variant) for name, fake in FAKES.items() for variant in ("", *fake.variants)]
NAMED = [f"{name}-{variant}".rstrip("-") for name, variant in EACH]


def method_of(name: str, variant: str = "") -> str:
    if (name, variant) == ("azure-arm", "resource"):
        return "PUT"
    return "GET" if name in ("fhir-bulk", "github-statistics") else "POST"


def found_in(body: bytes) -> bool:
    """Whether the result stands anywhere in an answer, also as a JSON text in it."""
    return b"42" in body


# ---- the dialects


def test_there_is_a_fake_of_each_dialect() -> None:
    assert set(FAKES) == set(DIALECTS)


@pytest.mark.parametrize(("name", "variant"), EACH, ids=NAMED)
def test_a_job_is_followed_to_its_result(api: AsyncApi, follow: Follow, name: str, variant: str) -> None:
    api.job("/v1/work", name, variant=variant, polls=3, result=RESULT)
    ended = follow(method_of(name, variant), "/v1/work", name)
    assert (ended.why, ended.failed, ended.note) == ("ok", False, "" if name != "graph" else ended.note)
    assert api.jobs[0].asked == 4
    assert found_in(ended.answer.body) or variant == "compute"  # whose operation only names its target
    assert api.jobs[0].state == "succeeded"


@pytest.mark.parametrize("name", RECOGNISED)
def test_a_dialect_is_recognised_by_what_it_says(api: AsyncApi, follow: Follow, name: str) -> None:
    path = "/redfish/v1/Systems/1/Actions/Reset" if name == "redfish" else "/v1/work"
    api.job(path, name, polls=1, result=RESULT)
    ended = follow(method_of(name), path)
    assert (ended.why, found_in(ended.answer.body)) == ("ok", True)
    assert DIALECTS[ended.state.dialect] is DIALECTS[name]


@pytest.mark.parametrize(("name", "variant"), [one for one in EACH if one[1] != "anthropic"])  # whose batches only end
def test_a_job_that_fails_is_seen_to_fail(api: AsyncApi, follow: Follow, name: str, variant: str) -> None:
    api.job("/v1/work", name, variant=variant, polls=1, fails="no luck today")
    ended = follow(method_of(name, variant), "/v1/work", name)
    assert api.jobs[0].state == "failed"
    if DIALECTS[name] is DIALECTS["location"]:
        assert ended.answer.status == 422
    else:
        assert ended.failed
    if name != "openeo" and (name, variant) != ("azure-arm", "resource"):  # whose documents have a word for it, and no more
        assert b"no luck today" in ended.answer.body


@pytest.mark.parametrize("name", [name for name, poll in DIALECTS.items() if poll.cancel])
def test_a_job_is_cancelled_at_the_address_the_dialect_names(api: AsyncApi, client: httpx.Client, name: str) -> None:
    from dfnb.durable_http.description import Poll
    from dfnb.durable_http.messages import Answer, Request
    from dfnb.durable_http.polling import AskAgain, advance, begin, cancel_request

    api.job("/v1/work", name, takes=timedelta(days=1))
    own = Poll.like(name, cancels=True)
    state = begin(Request(method_of(name), f"{api.url}/v1/work"), own, now=api.clock.now())
    for _ in range(3):
        response = client.request(state.request.method, state.request.url)
        headers = tuple(response.headers.multi_items())
        step = advance(state, Answer(response.status_code, headers, response.content, str(response.url), api.clock.now()))
        assert isinstance(step, AskAgain)
        state = step.state
    request = cancel_request(state)
    assert request is not None
    assert client.request(request.method, request.url).is_success
    assert api.jobs[0].state == "cancelled"


def test_six_hours_pass_in_no_time(api: AsyncApi, clock: FakeClock, follow: Follow) -> None:
    api.job("/analyze", "azure-data-plane", takes=timedelta(hours=6), result=RESULT, retry_after=60)
    began = clock.now()
    ended = follow("POST", "/analyze")
    assert json.loads(ended.answer.body)["result"] == RESULT
    assert clock.now() - began == 6 * 3600 * 1_000_000
    assert api.count("GET", "/operations/1") == 360


def test_arm_answers_a_put_with_the_resource_and_a_delete_with_nothing(api: AsyncApi, follow: Follow) -> None:
    path = "/subscriptions/s/providers/Microsoft.Fake/things/one"
    api.job(path, "azure-arm", polls=2, result={"properties": {"size": 7}})
    made = json.loads(follow("PUT", path).answer.body)
    assert made == {"id": path, "name": "one", "properties": {"size": 7, "provisioningState": "Succeeded"}}
    gone = follow("DELETE", path)
    assert (gone.failed, api.requests[-1].path) == (
        False,
        "/subscriptions/s/providers/Microsoft.Fake/locations/westeurope/operations/2",
    )


def test_fabric_refuses_a_result_that_does_not_exist(api: AsyncApi, follow: Follow) -> None:
    api.job("/v1/items", "fabric", polls=1)
    ended = follow("POST", "/v1/items")
    assert (ended.failed, ended.answer.status) == (False, 204)
    assert api.requests[-1].path.endswith("/result")


def test_graphs_monitor_is_on_another_host_and_gets_no_credentials(api: AsyncApi, follow: Follow) -> None:
    api.job("/v1.0/drive/items/1/copy", "graph", requires="Bearer", result={"resourceId": "r42"})
    ended = follow("POST", "/v1.0/drive/items/1/copy", headers={"Authorization": "Bearer t"})
    assert json.loads(ended.answer.body)["resourceId"] == "r42"
    polls = api.received("GET", "/monitor/*")
    assert {poll.origin for poll in polls} == {"https://monitor.api.example"}
    assert {poll.header("Authorization") for poll in polls} == {None}


def test_openeo_jobs_run_from_their_second_request_on(api: AsyncApi, clock: FakeClock, client: httpx.Client) -> None:
    api.job("/jobs", "openeo", takes=timedelta(minutes=10))
    assert client.post("/jobs").headers["OpenEO-Identifier"] == "j-00000001"
    clock.advance(3600)
    assert client.get("/jobs/j-00000001").json()["status"] == "created"
    assert client.post("/jobs/j-00000001/results").status_code == 202
    assert client.get("/jobs/j-00000001/results").json()["code"] == "JobNotFinished"
    clock.advance(600)
    assert client.get("/jobs/j-00000001").json()["status"] == "finished"


def test_google_leaves_done_out_while_it_is_false(api: AsyncApi, client: httpx.Client) -> None:
    api.job("/v1/x:run", "google-lro", polls=1, result=RESULT)
    assert "done" not in client.post("/v1/x:run").json()
    assert "done" not in client.get("/v1/operations/1").json()
    assert client.get("/v1/operations/1").json()["response"]["answer"] == 42


def test_a_job_that_takes_no_time_is_done_in_the_first_answer_where_it_shows_its_state(api: AsyncApi, follow: Follow) -> None:
    api.job("/v1/x:run", "google-lro", takes=timedelta(0), result=RESULT)
    assert follow("POST", "/v1/x:run", "google-lro").why == "ok"
    assert api.count() == 1


# ---- who may ask


@pytest.mark.parametrize(
    ("requires", "good", "bad"),
    [
        ("Bearer", {"Authorization": "Bearer t"}, {"Authorization": "Basic t"}),
        ("Bearer t", {"Authorization": "bearer t"}, {"Authorization": "Bearer other"}),
        ("x-api-key", {"X-Api-Key": "any"}, {"X-Api-Key": ""}),
        ("x-api-key: k1", {"X-Api-Key": "k1"}, {"X-Api-Key": "k2"}),
    ],
)
def test_what_is_required_is_required_of_polls_too(
    api: AsyncApi, client: httpx.Client, requires: str, good: dict[str, str], bad: dict[str, str]
) -> None:
    api.job("/work", requires=requires)
    assert client.post("/work", headers=bad).status_code == client.post("/work").status_code == 401
    assert client.post("/work", headers=good).status_code == 202
    assert client.get("/operations/1", headers=bad).status_code == 401
    assert client.get("/operations/1", headers=good).status_code == 202


def test_a_token_of_ones_own_can_be_let_in(api: AsyncApi) -> None:
    assert api.check("any")
    api.accept("mine")
    assert (api.check("mine"), api.check("any")) == (True, False)


def test_the_same_idempotency_key_starts_no_second_job(api: AsyncApi, client: httpx.Client) -> None:
    api.job("/work")
    answers = [client.post("/work", headers={"Idempotency-Key": key}).headers["Location"] for key in ("a", "a", "b")]
    client.post("/work", headers={"Repeatability-Request-ID": "c"})
    assert answers[0] == answers[1] != answers[2]
    assert len(api.jobs) == 3
    assert api.idempotency_keys() == ["a", "a", "b", "c"]


# ---- what is recorded and refused


def test_each_request_is_recorded_as_it_came(api: AsyncApi, clock: FakeClock, client: httpx.Client) -> None:
    api.site("/echo/*", body=lambda request: {"said": request.json(), "q": request.query})
    clock.advance(5)
    assert client.post("/echo/1?a=b", json={"x": 1}, headers={"X-Mine": "y"}).json() == {"said": {"x": 1}, "q": {"a": "b"}}
    (request,) = api.requests
    assert (request.method, request.path, request.header("x-mine"), request.at) == ("POST", "/echo/1", "y", clock.now())
    assert (api.count("post"), api.count("GET"), api.count(path="/echo/*"), api.count("POST", "/else")) == (1, 0, 1, 0)
    api.wait_for(1, "POST")
    with pytest.raises(TimeoutError, match=r"1 of 2 requests \(any method /echo/1\)"):
        api.wait_for(2, path="/echo/1", timeout=0)


def test_sites_answer_as_they_are_told(api: AsyncApi, client: httpx.Client) -> None:
    api.site("/check", 503, "down", {"Retry-After": "9"}, method="GET")
    api.site("/whole", body=lambda request: Reply(418, (("A", "1"), ("A", "2")), b"\xff"))
    api.redirect("/a", "/b")
    assert (client.get("/check").status_code, client.get("/check").text) == (503, "down")
    assert client.get("/check").headers["retry-after"] == "9"
    assert client.post("/check").headers["Allow"] == "GET"
    assert client.get("/whole").headers.get_list("a") == ["1", "2"]
    assert client.get("/a").headers["Location"] == "/b"
    assert "/check" in client.get("/elsewhere").json()["error"]["endpoints"]


def test_of_two_endpoints_the_closer_one_answers_and_then_the_later(api: AsyncApi, client: httpx.Client) -> None:
    api.site("/a/*", body="wide")
    api.site("/a/b", body="close")
    assert (client.get("/a/x").text, client.get("/a/b").text) == ("wide", "close")
    api.site("/a/b", body="later")
    assert client.get("/a/b").text == "later"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"dialect": "azure-arms"}, "did you mean 'azure-arm'"),
        ({"dialect": "odata", "variant": "3.0"}, r"known are: '4.0'"),
        ({"location": "absolut"}, "did you mean 'absolute'"),
        ({"polls": -1}, "polls must be"),
        ({"polls": math.nan}, "polls must be"),
    ],
)
def test_what_makes_no_sense_is_answered_with_a_sentence(api: AsyncApi, given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DefinitionError, match=sentence):
        api.job("/work", **given)


def test_real_time_is_the_default() -> None:
    with AsyncApi() as api, httpx.Client(transport=api.transport(), base_url=api.url) as client:
        api.job("/work", takes=timedelta(0), result=RESULT)
        client.post("/work")
        assert client.get("/operations/1").json() == RESULT
