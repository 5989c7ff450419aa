"""The built-in dialects: what each family of APIs says when the work is not done yet, as data.

The wire facts come from the documents named beside each dialect, and from the behaviour of the vendors' own clients.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from dfnb.durable_http.description import Poll
from dfnb.durable_http.documents import Document
from dfnb.durable_http.messages import Answer, Request, header, header_values
from dfnb.errors import DefinitionError, nearest

LOCATION = Poll(cancels=False)
"""RFC 9110 section 15.3.3 (202) with a Location to ask again; any status but 202 is the result.

So do Azure HDInsight ("Asynchronous Operations (202 Accepted and Location header)"), Azure Logic Apps (Response action,
asynchronous pattern), and the built-in polling of Durable Functions' HTTP calls.
"""

DURABLE_FUNCTIONS = Poll(
    status="runtimeStatus",
    running=("Pending", "Running", "ContinuedAsNew", "Suspended"),
    ok="Completed",
    fail=("Failed", "Terminated", "Canceled"),
    absent="ok",
    accepted=(202,),
    progress="body:customStatus",
    cancel="POST body:terminatePostUri",
    cancels=False,
)
"""Durable Functions, "HTTP APIs" (start instance, get instance status).

Location is statusQueryGetUri: 202 while it runs, 200 at the end, whose runtimeStatus says how it ended.
"""

AZURE_ARM = Poll(
    locate=("header:Azure-AsyncOperation", "header:Location", "if PUT PATCH: {url}"),
    accepted=(200, 201, 202),
    status=("status", "properties.provisioningState"),
    ok="Succeeded",
    fail=("Failed", "Canceled"),
    absent="ok",
    result=("if PUT PATCH: {url}", "if POST: first-location"),
    progress="body:percentComplete",
    cancels=False,
)
"""Azure Resource Manager, "Track asynchronous Azure operations".

Azure-AsyncOperation comes before Location; every word but Succeeded, Failed and Canceled means "not yet"; no word means done. The
final GET goes to the resource after PUT and PATCH, to the first Location after POST, nowhere after DELETE.
"""

AZURE_DATA_PLANE = Poll(
    locate="header:Operation-Location",
    accepted=(200, 201, 202),
    status="status",
    running=("NotStarted", "Running", "InProgress", "Cancelling", "Canceling"),
    ok=("Succeeded", "PartiallyCompleted", "PartiallySucceeded"),
    fail=("Failed", "Canceled", "Cancelled", "ValidationFailed", "Rejected"),
    result=("body:resourceLocation", "if PUT PATCH: {url}", "if POST: first-location"),
    progress="body:percentCompleted",
    cancels=False,
)
"""Azure REST API guidelines, "Long-running operations" (Document Intelligence, Language, Translator, Maps, ...).

The status monitor answers 200 with the status in the body, and carries the result itself or names its resourceLocation.
"""

FABRIC = Poll(
    status="status",
    running=("NotStarted", "Running", "Undefined"),
    ok="Succeeded",
    fail="Failed",
    accepted=(202,),
    result="header:Location",
    no_result="OperationHasNoResult",
    progress="body:percentComplete",
    cancels=False,
)
"""Microsoft Fabric REST, "Long running operations".

Get Operation State answers 200; while it runs its Location is itself, once done it is Get Operation Result, which refuses with
OperationHasNoResult when there is none.
"""

GRAPH = Poll(
    status="status",
    running=("notStarted", "inProgress", "running", "updating", "waiting"),
    ok=("completed", "succeeded"),
    fail=("failed", "cancelled", "deleteFailed"),
    absent="ok",
    accepted=(202,),
    progress=("body:percentageComplete", "body:percentComplete"),
    cancels=False,
)
"""Microsoft Graph, "Working with long-running actions" (asyncJobStatus).

The monitor lives on another host and wants no credentials; it may say "completed" under status 202.
"""

ODATA = Poll(wrapped=True, cancel="DELETE {status}", cancels=False)
"""OData 4.01 Part 1 Protocol, section 11.6 (asynchronous requests): Prefer: respond-async, 202 + Location at each step.

The final 200 has AsyncResult (4.01) or is a whole response of type application/http (4.0); DELETE of the monitor cancels.
"""

FHIR_BULK = Poll(
    locate=("header:Content-Location", "header:Location"),
    progress="header:X-Progress",
    cancel="DELETE {status}",
    cancels=False,
)
"""FHIR Bulk Data Access, "Bulk Data Export" (kick-off, status, delete request); FHIR R4B, "Asynchronous Request Pattern"."""

OGC_PROCESSES = Poll(
    accepted=(201, 202),
    status="status",
    running=("accepted", "running"),
    ok="successful",
    fail=("failed", "dismissed"),
    result=(
        "body:links[rel=http://www.opengis.net/def/rel/ogc/1.0/results].href",
        "body:links[rel=results].href",
        "{status}/results",
    ),
    progress="body:progress",
    cancel="DELETE {status}",
    cancels=False,
)
"""OGC API - Processes - Part 1: Core (18-062), sections 7.11 to 7.13 and 9 (execute, statusInfo, results, dismiss)."""

OPENEO = Poll(
    locate=("header:Location", "{url}/{header.OpenEO-Identifier}"),
    accepted=(201,),
    start="POST {status}/results",
    status="status",
    running=("created", "queued", "running"),
    ok="finished",
    fail=("error", "canceled"),
    result="{status}/results",
    progress="body:progress",
    cancel="DELETE {status}/results",
    cancels=False,
)
"""openEO API 1.x, "Batch Jobs": POST /jobs creates (201), POST /jobs/{id}/results starts (202), GET /jobs/{id} tells the status."""

SNOWFLAKE = Poll(
    locate="body:statementStatusUrl",
    transient=(425, 429, 500, 502, 503, 504),
    cancel="POST {status}/cancel",
    cancels=False,
)
"""Snowflake SQL API, "Handling responses": 202 with a QueryStatus body; 408 and 422 are final, the statement has ended."""

GOOGLE_LRO = Poll(
    locate=("body:selfLink", "{api}/{body.name}"),
    accepted=(200, 201, 202),
    status=("done", "status"),
    running=("false", "pending", "running"),
    ok=("true", "done"),
    absent="running",
    error="error",
    progress=("body:metadata.progressPercent", "body:metadata.progressPercentage", "body:progress"),
    cancel="POST {status}:cancel",
    cancels=False,
)
"""Google AIP-151 and google.longrunning.Operation (REST): `done` is left out while false; `error` or `response` at the end.

Compute, GKE and SQL operations (selfLink, status DONE) are read as well.
"""

GITHUB_STATISTICS = Poll(locate="same", every=3.0, cancels=False)
"""GitHub REST, "Repository statistics", on caching: 202 and no Location; the same request is sent again after a short time."""

REDFISH = Poll(
    status="TaskState",
    running=("New", "Starting", "Running", "Suspended", "Interrupted", "Pending", "Stopping", "Service", "Cancelling"),
    ok="Completed",
    fail=("Killed", "Exception", "Cancelled"),
    absent="ok",
    accepted=(202,),
    transient=(408, 425, 502, 503, 504),
    progress="body:PercentComplete",
    cancel="DELETE {status}",
    cancels=False,
)
"""Redfish Specification (DSP0266), "Asynchronous operations": the task monitor answers 202, then with the operation's own response.

Services that point to the Task resource instead answer 200 with TaskState.
"""

SEE_OTHER = Poll(
    pending=(200, 202),
    result_codes=(302, 303),
    status="status",
    ok=("succeeded", "completed", "done", "finished"),
    fail=("failed", "error", "canceled", "cancelled"),
    absent="running",
    accepted=(202,),
    cancel="DELETE {status}",
    cancels=False,
)
"""Azure Architecture Center, "Asynchronous Request-Reply pattern": 200 while pending, then 302 or 303 to the result."""

LLM_JOB = Poll(
    locate=("body:urls.get", "{url}/{body.id}"),
    status=("status", "processing_status"),
    running=("queued", "in_progress", "validating", "finalizing", "cancelling", "canceling", "pending", "starting", "processing"),
    ok=("completed", "incomplete", "ended", "succeeded"),
    fail=("failed", "cancelled", "canceled", "expired", "aborted", "requires_action"),
    result=("body:results_url", "{api}/files/{body.output_file_id}/content"),
    progress="body:request_counts.processing",
    every=10.0,
    cancel=("POST body:urls.cancel", "POST {status}/cancel"),
    cancels=False,
)
"""Jobs of model hosts: OpenAI Responses (background mode) and Batch, Anthropic Message Batches, Replicate predictions."""

OFF = Poll(cancels=False)
"""For calls whose 202 is a result like any other; only redirects and "too many requests" are obeyed."""

DIALECTS: dict[str, Poll] = {
    "location": LOCATION,
    "durable-functions": DURABLE_FUNCTIONS,
    "hdinsight": LOCATION,
    "logic-apps": LOCATION,
    "azure-arm": AZURE_ARM,
    "azure-data-plane": AZURE_DATA_PLANE,
    "operation-location": AZURE_DATA_PLANE,
    "fabric": FABRIC,
    "graph": GRAPH,
    "odata": ODATA,
    "fhir-bulk": FHIR_BULK,
    "ogc-processes": OGC_PROCESSES,
    "openeo": OPENEO,
    "snowflake": SNOWFLAKE,
    "google-lro": GOOGLE_LRO,
    "github-statistics": GITHUB_STATISTICS,
    "redfish": REDFISH,
    "see-other": SEE_OTHER,
    "llm-job": LLM_JOB,
}

KNOWN: dict[str, Poll] = {**DIALECTS, "auto": LOCATION, "off": OFF}
"""What a stored call may name: the dialects, "auto" until the first answer shows which it is, and "off"."""

_GRAPH_HOSTS = ("graph.microsoft.com", "graph.microsoft.us", "dod-graph.microsoft.us", "microsoftgraph.chinacloudapi.cn")


def dialect_named(name: str) -> Poll:
    """The built-in dialect of that name; DefinitionError with the nearest names if there is none."""
    found = DIALECTS.get(name)
    if found is None:
        close = nearest(name, DIALECTS)
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"known are: {', '.join(DIALECTS)}."
        raise DefinitionError(f"no dialect is named {name!r}; {hint} Or describe your API: poll=df.Poll(...)")
    return found


def checked(poll: Any) -> Any:
    """What was given as `poll=`, if it is "auto", the name of a dialect, a description, or None for no polling."""
    if isinstance(poll, str) and poll != "auto":
        dialect_named(poll)
    elif poll is not None and not isinstance(poll, (str, Poll)):
        raise DefinitionError(f"poll must be the name of a dialect, df.Poll(...) or None, not {type(poll).__name__}")
    return poll


def recognise(first: Request, answer: Answer) -> str | None:
    """The dialect that an answer to the first request speaks, or None when it asks for no polling.

    Only what cannot be mistaken is recognised. openEO, Google, model hosts and "see other" are not: their first answer looks like
    that of an API which is simply done, or starting the job costs money.
    """
    if answer.status in (200, 201, 202):
        if header(answer.headers, "Azure-AsyncOperation") is not None:
            return "azure-arm"
        if header(answer.headers, "Operation-Location") is not None:
            return "azure-data-plane"
    if answer.status == 202:
        return _of_accepted(first, answer)
    if answer.status in (200, 201) and _is_arm_resource(first, answer):
        return "azure-arm"
    if answer.status == 201 and header(answer.headers, "Location") is not None and _is_ogc(answer):
        return "ogc-processes"
    return None


def _of_accepted(first: Request, answer: Answer) -> str | None:
    if header(answer.headers, "Location") is not None:
        return _of_location(first, answer)
    if header(answer.headers, "Content-Location") is not None:
        return "fhir-bulk"
    if first.method.upper() == "GET" and header(answer.headers, "X-GitHub-Request-Id") is not None:
        return "github-statistics"
    return "snowflake" if Document(answer.body).text("statementStatusUrl") is not None else None


def _of_location(first: Request, answer: Answer) -> str:
    paths = (_path(first.url), _path(header(answer.headers, "Location") or ""))
    if any(path.startswith("/redfish/") for path in paths):
        return "redfish"
    if header(answer.headers, "x-ms-operation-id") is not None:
        return "fabric"
    if header(answer.headers, "x-ms-ags-diagnostic") is not None or _host(first.url) in _GRAPH_HOSTS:
        return "graph"
    if header(answer.headers, "x-ms-routing-request-id") is not None:
        return "azure-arm"
    if header(answer.headers, "Content-Location") is not None and header(answer.headers, "X-Progress") is not None:
        return "fhir-bulk"
    if header(answer.headers, "OData-Version") is not None:
        return "odata"
    if _is_ogc(answer):
        return "ogc-processes"
    return "durable-functions" if Document(answer.body).text("statusQueryGetUri") is not None else "location"


def _is_arm_resource(first: Request, answer: Answer) -> bool:
    """Whether the resource that was put says, under ARM's own header, that it is not ready."""
    if first.method.upper() not in ("PUT", "PATCH") or header(answer.headers, "x-ms-routing-request-id") is None:
        return False
    word = Document(answer.body).text("properties.provisioningState")
    return word is not None and word.casefold() not in ("succeeded", "failed", "canceled")


def _is_ogc(answer: Answer) -> bool:
    document = Document(answer.body)
    applied = ",".join(header_values(answer.headers, "Preference-Applied")).lower()
    return document.text("jobID") is not None and (document.text("status") is not None or "respond-async" in applied)


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""
