"""Each dialect from its start to its result, with answers as its servers send them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dfnb.durable_http.description import Poll
from dfnb.durable_http.dialects import DIALECTS, recognise
from dfnb.durable_http.messages import Answer, Request
from dfnb.durable_http.polling import AskAgain, Finished, PollState, advance, begin, cancel_request
from dfnb.durable_http.retry_after import SECOND

KEY = (("Authorization", "Bearer t"), ("Accept", "application/json"))
NO_BODY: dict[str, str] = {}


class Walk:
    """A call that is given its answers one by one, and remembers what it sent and how long it waited."""

    def __init__(self, method: str, url: str, poll: Any = "auto", headers: tuple[tuple[str, str], ...] = KEY) -> None:
        self.state: PollState = begin(Request(method, url, headers, b"{}" if method != "GET" else None), poll, now=0)
        self.at = 0
        self.sent = [f"{method} {url}"]
        self.waits: list[float] = []
        self.end: Finished | None = None

    def answer(self, status: int, headers: dict[str, str] = NO_BODY, body: Any = b"") -> Walk:
        assert self.end is None, "the call is over"
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        step = advance(self.state, Answer(status, tuple(headers.items()), raw, self.state.request.url, self.at))
        self.state = step.state
        if isinstance(step, AskAgain):
            self.waits.append((step.at - self.at) / SECOND)
            self.at = step.at
            self.sent.append(f"{step.request.method} {step.request.url}")
        else:
            self.end = step
        return self

    def ends(self, why: str, status: int, *, failed: bool = False) -> None:
        assert self.end is not None, "the call goes on"
        assert (self.end.why, self.end.answer.status, self.end.failed) == (why, status, failed)


def test_location_is_asked_until_another_status_comes() -> None:
    walk = Walk("POST", "https://a.example/jobs")
    walk.answer(202, {"Location": "/status/1", "Retry-After": "5"}).answer(202, {"Retry-After": "2.5"}).answer(200, body={"x": 1})
    walk.ends("ok", 200)
    assert walk.state.dialect == "location"
    assert walk.sent == ["POST https://a.example/jobs", *["GET https://a.example/status/1"] * 2]
    assert walk.waits == [5, 2.5]


@pytest.mark.parametrize("name", ["location", "hdinsight", "logic-apps"])
def test_a_delete_may_end_with_no_content(name: str) -> None:
    walk = Walk("DELETE", "https://a.example/cluster", name)
    walk.answer(202, {"Location": "https://a.example/op/1"}).answer(202, {"Location": "https://a.example/op/1"}).answer(204)
    walk.ends("ok", 204)


LINKS = {
    "id": "abc",
    "statusQueryGetUri": "https://f.example/runtime/webhooks/durabletask/instances/abc?code=k",
    "terminatePostUri": "https://f.example/runtime/webhooks/durabletask/instances/abc/terminate?reason=x&code=k",
}


@pytest.mark.parametrize(("word", "why"), [("Completed", "ok"), ("Failed", "fail"), ("Terminated", "fail")])
def test_durable_functions(word: str, why: str) -> None:
    walk = Walk("POST", "https://f.example/api/start", headers=(*KEY, ("x-functions-key", "k")))
    walk.answer(202, {"Location": LINKS["statusQueryGetUri"], "Retry-After": "10"}, LINKS)
    assert walk.state.dialect == "durable-functions"
    assert ("x-functions-key", "k") not in walk.state.request.headers
    walk.answer(202, {"Location": LINKS["statusQueryGetUri"]}, {"runtimeStatus": "Running", "customStatus": "half"})
    assert (walk.state.word, walk.state.progress) == ("Running", "half")
    walk.answer(200, body={"runtimeStatus": word, "output": 1})
    walk.ends(why, 200, failed=why == "fail")
    assert walk.sent[1:] == [f"GET {LINKS['statusQueryGetUri']}"] * 2


VM = "https://management.azure.example/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm"
OPERATION = "https://management.azure.example/subscriptions/s/providers/Microsoft.Compute/locations/w/operations/1?api-version=2019"


def test_azure_arm_restart_of_a_machine() -> None:
    walk = Walk("POST", f"{VM}/restart?api-version=2019-03-01")
    walk.answer(202, {"Azure-AsyncOperation": OPERATION, "Location": f"{OPERATION}&monitor=true", "Retry-After": "15"})
    walk.answer(200, body={"status": "InProgress"}).answer(200, body={"status": "Succeeded"}).answer(200)
    walk.ends("ok", 200)
    assert walk.state.dialect == "azure-arm"
    assert walk.sent[1:] == [f"GET {OPERATION}", f"GET {OPERATION}", f"GET {OPERATION}&monitor=true"]
    assert walk.waits == [15, 30, 0]


def test_azure_arm_put_ends_with_the_resource() -> None:
    walk = Walk("PUT", f"{VM}?api-version=2019-03-01")
    walk.answer(201, {"Azure-AsyncOperation": OPERATION}, {"properties": {"provisioningState": "Creating"}})
    walk.answer(200, body={"status": "succeeded"}).answer(200, body={"properties": {"provisioningState": "Succeeded"}})
    walk.ends("ok", 200)
    assert walk.sent[-1] == f"GET {VM}?api-version=2019-03-01"


def test_azure_arm_put_without_any_link_polls_the_resource() -> None:
    walk = Walk("PUT", f"{VM}?api-version=2019-03-01")
    walk.answer(201, {"x-ms-routing-request-id": "r"}, {"properties": {"provisioningState": "Creating"}})
    walk.answer(200, body={"properties": {"provisioningState": "Updating"}}).answer(200, body={"properties": {}})
    walk.ends("ok", 200)
    assert walk.sent[1:] == [f"GET {VM}?api-version=2019-03-01"] * 2


def test_azure_arm_resource_that_is_ready_is_not_polled() -> None:
    bodies: list[Any] = [{"properties": {"provisioningState": "Succeeded"}}, {"properties": {}}]
    for body in bodies:
        walk = Walk("PUT", VM)
        walk.answer(200, {"x-ms-routing-request-id": "r"}, body).ends("answered", 200)
    walk = Walk("PUT", VM, "azure-arm")
    walk.answer(200, body={"properties": {"provisioningState": "Succeeded"}}).ends("ok", 200)


def test_azure_arm_success_that_says_failed() -> None:
    walk = Walk("DELETE", VM)
    walk.answer(202, {"azure-asyncoperation": OPERATION}).answer(200, body={"status": "Failed", "error": {"code": "Conflict"}})
    walk.ends("fail", 200, failed=True)
    assert walk.end is not None
    assert walk.end.note == "the server answered 200 and says 'Failed'"


def test_azure_arm_location_alone() -> None:
    walk = Walk("POST", VM)
    walk.answer(202, {"Location": OPERATION, "x-ms-routing-request-id": "r"}).answer(202, {"Location": OPERATION + "&n=2"})
    assert walk.state.dialect == "azure-arm"
    walk.answer(200, body={"value": 1}).ends("ok", 200)
    assert walk.sent[1:] == [f"GET {OPERATION}", f"GET {OPERATION}&n=2"]


def test_azure_data_plane_like_document_intelligence() -> None:
    results = "https://doc.example/documentintelligence/documentModels/prebuilt-read/analyzeResults/9?api-version=2024-11-30"
    walk = Walk("POST", "https://doc.example/documentintelligence/documentModels/prebuilt-read:analyze")
    walk.answer(202, {"operation-location": results, "Retry-After": "1"})
    walk.answer(200, {"Retry-After": "1"}, {"status": "running"}).answer(200, body={"status": "SUCCEEDED", "analyzeResult": {}})
    walk.ends("ok", 200)
    assert walk.state.dialect == "azure-data-plane"
    assert walk.sent[1:] == [f"GET {results}"] * 2


def test_azure_data_plane_names_its_resource() -> None:
    walk = Walk("POST", "https://maps.example/conversions")
    walk.answer(202, {"Operation-Location": "/operations/1"})
    walk.answer(200, body={"status": "Succeeded", "resourceLocation": "https://maps.example/conversions/7"}).answer(200, body={})
    walk.ends("ok", 200)
    assert walk.sent[-1] == "GET https://maps.example/conversions/7"


STATE = "https://fabric.example/v1/operations/431e8d7b"


def test_fabric() -> None:
    walk = Walk("POST", "https://fabric.example/v1/workspaces/w/items")
    walk.answer(202, {"Location": STATE, "x-ms-operation-id": "431e8d7b", "Retry-After": "20"})
    walk.answer(200, {"Location": STATE, "Retry-After": "20"}, {"status": "Running", "percentComplete": 25})
    assert walk.state.progress == "25"
    walk.answer(200, {"Location": f"{STATE}/result"}, {"status": "Succeeded"}).answer(200, body={"id": "x"})
    walk.ends("ok", 200)
    assert walk.state.dialect == "fabric"
    assert walk.sent[1:] == [f"GET {STATE}", f"GET {STATE}", f"GET {STATE}/result"]


def test_fabric_without_a_result() -> None:
    walk = Walk("POST", "https://fabric.example/v1/workspaces/w/git/commitToGit")
    walk.answer(202, {"Location": STATE, "x-ms-operation-id": "431e8d7b"})
    walk.answer(200, {"Location": f"{STATE}/result"}, {"status": "Succeeded"})
    walk.answer(400, body={"errorCode": "OperationHasNoResult", "message": "..."})
    walk.ends("ok", 204)


def test_graph_monitor_lives_elsewhere_and_gets_no_credentials() -> None:
    walk = Walk("POST", "https://graph.microsoft.com/v1.0/me/drive/items/1/copy")
    walk.answer(202, {"Location": "https://contoso.sharepoint.example/_api/v2.0/monitor/4A34"})
    assert walk.state.dialect == "graph"
    assert (walk.state.request.headers, walk.state.request.trusted) == ((("Accept", "application/json"),), False)
    walk.answer(202, body={"operation": "ItemCopy", "percentageComplete": 27.8, "status": "inProgress"})
    assert walk.state.progress == "27.8"
    walk.answer(202, body={"percentageComplete": 100.0, "resourceId": "01MO", "status": "completed"})
    walk.ends("ok", 202)


def test_graph_monitor_at_home_keeps_them() -> None:
    walk = Walk("POST", "https://graph.microsoft.com/v1.0/teams")
    walk.answer(202, {"Location": "/v1.0/teams('x')/operations('y')"})
    assert walk.state.request.headers == KEY
    walk.answer(200, body={"status": "failed"}).ends("fail", 200, failed=True)


def test_odata_gives_the_status_of_the_operation_itself() -> None:
    headers = {"Location": "/odata/async/1", "OData-Version": "4.01"}
    walk = Walk("POST", "https://o.example/odata/Import", headers=(*KEY, ("Prefer", "respond-async")))
    walk.answer(202, headers).answer(202, {**headers, "Location": "/odata/async/2", "Retry-After": "4"})
    assert ("Prefer", "respond-async") not in walk.state.request.headers
    walk.answer(200, {"AsyncResult": "201"}, {"Id": 1}).ends("ok", 201)
    assert walk.state.dialect == "odata"
    assert walk.sent[1:] == ["GET https://o.example/odata/async/1", "GET https://o.example/odata/async/2"]


def test_odata_4_0_wraps_the_whole_answer() -> None:
    walk = Walk("GET", "https://o.example/odata/Big", "odata")
    walk.answer(202, {"Location": "/odata/async/1"})
    walk.answer(200, {"Content-Type": "application/http"}, b"HTTP/1.1 404 Not Found\r\nX-A: b\r\n\r\nnone")
    walk.ends("fail", 404, failed=True)
    assert walk.end is not None
    assert (walk.end.answer.body, walk.end.answer.headers) == (b"none", (("X-A", "b"),))


def test_fhir_bulk_export() -> None:
    status = "https://fhir.example/$export-poll-status?_jobId=1"
    walk = Walk("GET", "https://fhir.example/Patient/$export?_type=Patient")
    walk.answer(202, {"Content-Location": status}).answer(202, {"X-Progress": "40% done", "Retry-After": "120"})
    assert (walk.state.dialect, walk.state.progress) == ("fhir-bulk", "40% done")
    walk.answer(200, body={"output": [{"type": "Patient", "url": "https://files.example/1.ndjson"}]}).ends("ok", 200)
    assert walk.sent[1:] == [f"GET {status}"] * 2


def test_ogc_processes() -> None:
    job = "https://ogc.example/jobs/81574318"
    walk = Walk("POST", "https://ogc.example/processes/echo/execution")
    walk.answer(201, {"Location": job, "Preference-Applied": "respond-async"}, {"jobID": "81574318", "status": "accepted"})
    walk.answer(200, body={"jobID": "81574318", "status": "running", "progress": 50})
    links = [{"rel": "http://www.opengis.net/def/rel/ogc/1.0/results", "href": f"{job}/results?f=json"}]
    walk.answer(200, body={"jobID": "81574318", "status": "successful", "links": links}).answer(200, body={"out": 1})
    walk.ends("ok", 200)
    assert walk.state.dialect == "ogc-processes"
    assert walk.sent[1:] == [f"GET {job}", f"GET {job}", f"GET {job}/results?f=json"]


def test_ogc_processes_without_a_link_knows_where_results_are() -> None:
    walk = Walk("POST", "https://ogc.example/processes/echo/execution", "ogc-processes")
    walk.answer(201, {"Location": "/jobs/1?f=json"}).answer(200, body={"status": "successful"}).answer(200).ends("ok", 200)
    assert walk.sent[-1] == "GET https://ogc.example/jobs/1/results?f=json"
    walk = Walk("POST", "https://ogc.example/processes/echo/execution", "ogc-processes")
    walk.answer(201, {"Location": "/jobs/1"}).answer(200, body={"status": "dismissed"}).ends("fail", 200, failed=True)


def test_openeo_starts_in_two_steps() -> None:
    job = "https://eo.example/openeo/1.1/jobs/j-1"
    walk = Walk("POST", "https://eo.example/openeo/1.1/jobs", "openeo")
    walk.answer(201, {"OpenEO-Identifier": "j-1", "Location": job}).answer(202)
    walk.answer(200, body={"id": "j-1", "status": "queued"}).answer(200, body={"id": "j-1", "status": "running", "progress": 60})
    walk.answer(200, body={"id": "j-1", "status": "finished"}).answer(200, body={"assets": {}}).ends("ok", 200)
    assert walk.sent[1:] == [f"POST {job}/results", *[f"GET {job}"] * 3, f"GET {job}/results"]
    assert walk.waits[0] == 0


def test_openeo_finds_its_job_by_its_identifier() -> None:
    walk = Walk("POST", "https://eo.example/jobs", "openeo")
    walk.answer(201, {"openeo-identifier": "j-1"}).answer(503).answer(202).answer(200, body={"status": "error"})
    walk.ends("fail", 200, failed=True)
    assert walk.sent[1:] == [*["POST https://eo.example/jobs/j-1/results"] * 2, "GET https://eo.example/jobs/j-1"]


def test_snowflake() -> None:
    query = {"code": "333334", "statementHandle": "e4ce975e", "statementStatusUrl": "/api/v2/statements/e4ce975e?requestId=5"}
    walk = Walk("POST", "https://org-acc.snowflake.example/api/v2/statements?async=true")
    walk.answer(202, body=query).answer(202, body=query).answer(200, body={"data": []}).ends("ok", 200)
    assert walk.state.dialect == "snowflake"
    assert walk.sent[1:] == ["GET https://org-acc.snowflake.example/api/v2/statements/e4ce975e?requestId=5"] * 2
    walk = Walk("POST", "https://org-acc.snowflake.example/api/v2/statements", "snowflake")
    walk.answer(202, body=query).answer(408, body={"code": "000630"}).ends("fail", 408, failed=True)


def test_google_operation_whose_done_is_left_out() -> None:
    name = "projects/p/locations/l/operations/9"
    walk = Walk("POST", "https://x.googleapis.example/v1beta1/projects/p/things:make?alt=json", "google-lro")
    walk.answer(200, body={"name": name, "metadata": {}}).answer(200, body={"name": name, "done": False})
    walk.answer(200, body={"name": name, "done": True, "response": {"n": 1}}).ends("ok", 200)
    assert walk.sent[1:] == [f"GET https://x.googleapis.example/v1beta1/{name}"] * 2


def test_google_operation_that_is_done_with_an_error() -> None:
    walk = Walk("POST", "https://x.googleapis.example/v1/a", "google-lro")
    walk.answer(200, body={"name": "operations/1"}).answer(200, body={"name": "operations/1", "done": True, "error": {"code": 7}})
    walk.ends("fail", 200, failed=True)


def test_google_operation_that_is_done_at_once() -> None:
    Walk("POST", "https://x.example/v1/a", "google-lro").answer(200, body={"name": "o/1", "done": True}).ends("ok", 200)
    Walk("POST", "https://x.example/v1/a", "google-lro").answer(200, body={"id": "no operation"}).ends("answered", 200)


def test_google_compute_operation() -> None:
    link = "https://compute.example/compute/v1/projects/p/zones/z/operations/operation-1"
    walk = Walk("POST", "https://compute.example/compute/v1/projects/p/zones/z/instances", "google-lro")
    walk.answer(200, body={"name": "operation-1", "selfLink": link, "status": "RUNNING"})
    walk.answer(200, body={"selfLink": link, "status": "DONE"}).ends("ok", 200)
    assert walk.sent[1:] == [f"GET {link}"]


def test_github_statistics_are_asked_for_with_the_same_request() -> None:
    walk = Walk("GET", "https://api.github.example/repos/o/r/stats/contributors")
    walk.answer(202, {"X-GitHub-Request-Id": "1"}, {}).answer(202, {}, {}).answer(200, body=[{"total": 1}]).ends("ok", 200)
    assert walk.state.dialect == "github-statistics"
    assert walk.sent == ["GET https://api.github.example/repos/o/r/stats/contributors"] * 3
    assert walk.waits == [3, 3]


def test_redfish_task_monitor() -> None:
    monitor = "/redfish/v1/TaskService/TaskMonitors/5"
    walk = Walk("POST", "https://bmc.example/redfish/v1/UpdateService/Actions/UpdateService.SimpleUpdate")
    walk.answer(202, {"Location": monitor, "OData-Version": "4.0"}, {"TaskState": "New", "PercentComplete": 0})
    walk.answer(202, {"Retry-After": "30"}, {"TaskState": "Running", "PercentComplete": 40}).answer(204).ends("ok", 204)
    assert (walk.state.dialect, walk.state.progress) == ("redfish", "40")
    assert walk.sent[1:] == [f"GET https://bmc.example{monitor}"] * 2


def test_redfish_task_resource() -> None:
    walk = Walk("POST", "https://bmc.example/redfish/v1/Systems/1/Actions/ComputerSystem.Reset")
    walk.answer(202, {"Location": "/redfish/v1/TaskService/Tasks/JID_1"}).answer(200, body={"TaskState": "Running"})
    walk.answer(200, body={"TaskState": "Exception"}).ends("fail", 200, failed=True)


def test_see_other_says_where_the_result_is() -> None:
    walk = Walk("POST", "https://a.example/work", "see-other")
    walk.answer(202, {"Location": "/status/1"}).answer(200, body={"status": "In progress"}).answer(200, body=b"pending")
    walk.answer(303, {"Location": "/result/1"}).answer(200, body={"x": 1}).ends("ok", 200)
    assert walk.sent[1:] == [*["GET https://a.example/status/1"] * 3, "GET https://a.example/result/1"]


def test_303_ends_plain_polling_too() -> None:
    walk = Walk("POST", "https://a.example/work")
    walk.answer(202, {"Location": "/status/1"}).answer(303, {"Location": "/result/1"}).answer(200).ends("ok", 200)
    assert walk.sent[-1] == "GET https://a.example/result/1"


def test_llm_response_in_the_background() -> None:
    walk = Walk("POST", "https://llm.example/v1/responses?api-version=1", "llm-job")
    walk.answer(200, body={"id": "resp_1", "object": "response", "status": "queued"})
    walk.answer(200, body={"id": "resp_1", "status": "in_progress"}).answer(200, body={"id": "resp_1", "status": "completed"})
    walk.ends("ok", 200)
    assert walk.sent[1:] == ["GET https://llm.example/v1/responses/resp_1?api-version=1"] * 2
    assert walk.waits == [10, 10]


def test_llm_batch_with_an_output_file() -> None:
    walk = Walk("POST", "https://llm.example/v1/batches", "llm-job")
    walk.answer(200, body={"id": "batch_1", "status": "validating"})
    walk.answer(200, body={"id": "batch_1", "status": "completed", "output_file_id": "file-9"}).answer(200, body=b"{}\n{}\n")
    walk.ends("ok", 200)
    assert walk.sent[-1] == "GET https://llm.example/v1/files/file-9/content"


def test_llm_message_batch_with_a_results_url() -> None:
    results = "https://llm.example/v1/messages/batches/msgbatch_1/results"
    walk = Walk("POST", "https://llm.example/v1/messages/batches", "llm-job")
    walk.answer(200, body={"id": "msgbatch_1", "processing_status": "in_progress", "results_url": None})
    walk.answer(200, body={"id": "msgbatch_1", "processing_status": "ended", "results_url": results}).answer(200).ends("ok", 200)
    assert walk.sent[1:] == ["GET https://llm.example/v1/messages/batches/msgbatch_1", f"GET {results}"]


def test_llm_prediction_with_links_of_its_own() -> None:
    urls = {"get": "https://llm.example/v1/predictions/p", "cancel": "https://llm.example/v1/predictions/p/cancel"}
    walk = Walk("POST", "https://llm.example/v1/models/m/predictions", "llm-job")
    walk.answer(201, body={"id": "p", "status": "starting", "urls": urls}).answer(200, body={"status": "failed"})
    walk.ends("fail", 200, failed=True)
    assert walk.state.cancel == f"POST {urls['cancel']}"


def test_llm_answer_that_is_no_job() -> None:
    Walk("POST", "https://llm.example/v1/responses", "llm-job").answer(200, body={"choices": []}).ends("answered", 200)
    Walk("POST", "https://llm.example/v1/responses", "llm-job").answer(200, body={"id": "r", "status": "completed"}).ends("ok", 200)


@pytest.mark.parametrize(
    ("poll", "status", "headers", "body", "cancel"),
    [
        ("durable-functions", 202, {"Location": "/s"}, LINKS, f"POST {LINKS['terminatePostUri']}"),
        ("odata", 202, {"Location": "/s"}, {}, "DELETE https://f.example/s"),
        ("fhir-bulk", 202, {"Content-Location": "/s?j=1"}, {}, "DELETE https://f.example/s?j=1"),
        ("ogc-processes", 201, {"Location": "/jobs/1"}, {}, "DELETE https://f.example/jobs/1"),
        ("openeo", 201, {"Location": "/jobs/1"}, {}, "DELETE https://f.example/jobs/1/results"),
        ("snowflake", 202, {}, {"statementStatusUrl": "/s/1?r=2"}, "POST https://f.example/s/1/cancel?r=2"),
        ("google-lro", 200, {}, {"name": "operations/1"}, "POST https://f.example/v1/operations/1:cancel"),
        ("redfish", 202, {"Location": "/s"}, {}, "DELETE https://f.example/s"),
        ("see-other", 202, {"Location": "/s"}, {}, "DELETE https://f.example/s"),
        ("llm-job", 200, {}, {"id": "r", "status": "queued"}, "POST https://f.example/v1/x/r/cancel"),
    ],
)
def test_each_dialect_knows_how_to_cancel(poll: str, status: int, headers: dict[str, str], body: Any, cancel: str) -> None:
    walk = Walk("POST", "https://f.example/v1/x", Poll.like(poll, cancels=True)).answer(status, headers, body)
    request = cancel_request(walk.state)
    assert request is not None
    assert f"{request.method} {request.url}" == cancel
    assert ("Authorization", "Bearer t") in request.headers
    assert cancel_request(Walk("POST", "https://f.example/v1/x", poll).answer(status, headers, body).state) is None


@pytest.mark.parametrize("name", DIALECTS)
def test_no_dialect_polls_what_has_failed_at_once(name: str) -> None:
    walk = Walk("POST", "https://a.example/v1/x", name).answer(400, {"Location": "/s", "Operation-Location": "/s"}, {"id": "1"})
    walk.ends("answered", 400, failed=True)


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (200, {"Location": "/x"}, b""),
        (201, {"Location": "/created/1"}, b'{"id": 1}'),
        (201, {"Location": "/jobs/1", "OpenEO-Identifier": "1"}, b""),
        (202, {}, b""),
        (202, {}, b"<html>"),
        (200, {}, b'{"status": "queued", "id": "x"}'),
        (200, {}, b'{"name": "operations/1"}'),
        (404, {"Location": "/x"}, b""),
    ],
)
def test_what_asks_for_no_polling_is_returned_as_it_is(status: int, headers: dict[str, str], body: bytes) -> None:
    first = Request("POST", "https://a.example/v1/x")
    assert recognise(first, Answer(status, tuple(headers.items()), body)) is None
    Walk("POST", "https://a.example/v1/x").answer(status, headers, body).ends("answered", status, failed=status == 404)
