"""Each dialect from the call to its result, through an orchestration."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import dfnb
from dfnb.durable_http.dialects import DIALECTS
from dfnb.errors import HttpTimeoutError
from dfnb.testing.catalogue import DIALECTS as FAKES

from .http_lab import HttpLab

RESULT = {"answer": 42}
EACH = [(name, variant) for name, fake in FAKES.items() for variant in ("", *fake.variants)]
IDS = [f"{name}-{variant}".rstrip("-") for name, variant in EACH]
BY_NAME_ONLY = {"openeo", "google-lro", "see-other", "llm-job"}
NEVER_FAILS = {("llm-job", "anthropic")}  # its batches only end
PLAIN = [name for name, poll in DIALECTS.items() if poll == DIALECTS["location"]]


def path_of(name: str) -> str:
    return "/redfish/v1/Systems/1/Actions/Reset" if name == "redfish" else "/processes/sum/execution"


def method_of(name: str, variant: str = "") -> str:
    if (name, variant) == ("azure-arm", "resource"):
        return "PUT"
    return "GET" if name in ("fhir-bulk", "github-statistics") else "POST"


def test_every_dialect_is_tried_here() -> None:
    assert {name for name, _ in EACH} == set(DIALECTS)


@pytest.mark.parametrize(("name", "variant"), EACH, ids=IDS)
def test_a_dialect_by_its_name_leads_to_the_result(http: HttpLab, name: str, variant: str) -> None:
    http.api.job(path_of(name), name, variant=variant, polls=3, result=RESULT, retry_after=7)
    answer = http.answer(method_of(name, variant), path_of(name), poll=name)
    assert (answer.ok, answer.failed) == (True, False)
    assert "42" in answer.content or variant == "compute"  # whose operation only names its target
    assert [exchange.purpose for exchange in http.exchanges()].count("poll") >= 4
    kinds = [row.event.event_type for row in http.instance.history()]
    assert kinds.count("HttpCallScheduled") == kinds.count("HttpCallCompleted") == 1


@pytest.mark.parametrize("name", [name for name in FAKES if name not in BY_NAME_ONLY])
def test_a_dialect_is_recognised_and_survives_a_restart_in_mid_poll(http: HttpLab, name: str) -> None:
    http.api.job(path_of(name), name, polls=2, result=RESULT, retry_after=7)
    run = http.begin(method_of(name), path_of(name))
    http.sleep_until_due(run)
    http.reopen()
    run = http.lab.client.instance(run.id)
    http.follow(run)
    assert run.result(5) == (202 if name == "graph" else 200)  # whose monitor may say "completed" with a 202
    assert "42" in http.answers[-1].content
    assert len(http.api.jobs) == 1 or name == "github-statistics"


@pytest.mark.parametrize(("name", "variant"), [one for one in EACH if one not in NEVER_FAILS])
def test_a_job_that_fails_is_told_as_failed(http: HttpLab, name: str, variant: str) -> None:
    http.api.job(path_of(name), name, variant=variant, polls=1, fails="no luck today", retry_after=7)
    answer = http.answer(method_of(name, variant), path_of(name), poll=name)
    assert not answer.ok
    assert answer.failed or (name in PLAIN and answer.status_code == 422)


@pytest.mark.parametrize("name", [name for name, poll in DIALECTS.items() if poll.cancel])
def test_a_job_is_cancelled_at_the_deadline_where_it_is_wanted(http: HttpLab, name: str) -> None:
    http.api.job(path_of(name), name, takes=timedelta(days=1), retry_after=7)
    with pytest.raises(HttpTimeoutError):
        http.answer(method_of(name), path_of(name), poll=dfnb.Poll.like(name, cancels=True), deadline=60)
    sent = len(http.api.requests)
    http.lab.app.close()  # which waits for what is decided, not for its answer
    http.lab.open()
    if http.api.jobs[0].state != "cancelled":
        http.api.wait_for(sent + 1)
    assert [job.state for job in http.api.jobs] == ["cancelled"]


def test_a_description_of_ones_own_leads_to_the_result(http: HttpLab) -> None:
    states = iter(["waiting", "working", "working", "ready"])

    def status(request: Any) -> Any:
        return {"phase": next(states), "out": {"href": "/reports/9/data"}, "again_in": 4}

    http.api.site("/reports", 201, {"report": {"number": 9}})
    http.api.site("/reports/9", body=status)
    http.api.site("/reports/9/data", body=RESULT)
    own = dfnb.Poll(
        locate="{url}/{body.report.number}", status="phase", running=("waiting", "working"), ok="ready", fail="broken",
        absent="running", wait="body:again_in", result="body:out.href",
    )  # fmt: skip
    assert http.answer("POST", "/reports", poll=own).json() == RESULT
    assert [exchange.purpose for exchange in http.exchanges()] == ["first", "poll", "poll", "poll", "poll", "result"]
    assert [exchange.asked_wait for exchange in http.exchanges()[1:4]] == [timedelta(seconds=4)] * 3


def test_another_dfnb_app_is_waited_for_like_durable_functions(http: HttpLab) -> None:
    http.api.job("/runtime/webhooks/durabletask/orchestrators/report", "durable-functions", polls=3, result={"sum": 42})
    answer = http.answer("POST", "/runtime/webhooks/durabletask/orchestrators/report", {"of": [40, 2]})
    assert answer.json()["runtimeStatus"] == "Completed"
    assert answer.json()["output"] == {"sum": 42}
