"""Fakes of Microsoft's dialects: Durable Functions, Resource Manager, the data plane, Fabric, Graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dfnb.testing.fake_dialects import Dialect, Places, failing, finished, merged, refused, words
from dfnb.testing.jobs import Job, other_origin
from dfnb.testing.wire import Headers, Reply, reply_of

_PUTS = ("PUT", "PATCH")


class DurableFunctions(Dialect):
    """Durable Functions, "HTTP APIs": start answer with its links, status 202 until the instance has ended, terminate."""

    words = words("Pending", "Running", "Completed", "Failed", "Terminated")

    def monitor(self, job: Job) -> str:
        return f"{self._instance(job)}?{self._code}"

    def places(self, job: Job) -> Places:
        return {("GET", self._instance(job)): "poll", ("POST", f"{self._instance(job)}/terminate"): "cancel"}

    def started(self, job: Job) -> Reply:
        here = job.url(self._instance(job))
        links = {
            "id": self._id(job),
            "statusQueryGetUri": f"{here}?{self._code}",
            "sendEventPostUri": f"{here}/raiseEvent/{{eventName}}?{self._code}",
            "terminatePostUri": f"{here}/terminate?reason={{text}}&{self._code}",
            "purgeHistoryDeleteUri": f"{here}?{self._code}",
        }
        return reply_of(links, 202, self._head(job))

    def polled(self, job: Job) -> Reply:
        document = {
            "name": job.path.rsplit("/", 1)[-1],
            "instanceId": self._id(job),
            "runtimeStatus": job.word,
            "input": None,
            "customStatus": {"percent": job.percent},
            "output": self._output(job),
            "createdTime": job.time(job.started_at),
            "lastUpdatedTime": job.now,
        }
        return reply_of(document, 200) if job.ended else reply_of(document, 202, self._head(job))

    def cancelled(self, job: Job) -> Reply:
        return Reply(410) if job.state != "cancelled" else Reply(202)

    def _head(self, job: Job) -> Headers:
        return *job.pointing("Location", self.monitor(job)), *job.waits()

    def _output(self, job: Job) -> Any:
        if job.state == "failed":
            return f"Orchestrator function failed: {job.error['message']}"
        return job.plan.result if job.state == "succeeded" else None

    _code = "taskHub=FakeHub&connection=Storage&code=fake-system-key"

    @staticmethod
    def _id(job: Job) -> str:
        return f"{job.number:032x}"

    def _instance(self, job: Job) -> str:
        return f"/runtime/webhooks/durabletask/instances/{self._id(job)}"


class AzureArm(Dialect):
    """Azure Resource Manager, "Track asynchronous Azure operations".

    By default both Azure-AsyncOperation and Location; variant "location": Location alone, 202 until done; variant "resource":
    neither, the resource that was put says in properties.provisioningState how far it is.
    """

    variants = ("location", "resource")
    fail_status = 409
    words = words("InProgress", "InProgress", "Succeeded", "Failed", "Canceled")

    def monitor(self, job: Job) -> str:
        return f"{self._root(job)}/operations/{job.number}?api-version={self._version(job)}"

    def places(self, job: Job) -> Places:
        operation = f"{self._root(job)}/operations/{job.number}"
        results = f"{self._root(job)}/operationresults/{job.number}"
        places: Places = {("GET", operation): "poll", ("GET", results): "result"}
        if job.plan.variant == "location":
            places = {("GET", results): "poll"}
        if job.request.method in _PUTS:
            places["GET", job.path] = "poll" if job.plan.variant == "resource" else "result"
        return places

    def started(self, job: Job) -> Reply:
        head = self._head(job)
        if job.request.method in _PUTS:
            return reply_of(self._resource(job), 201 if job.request.method == "PUT" else 202, head)
        return Reply(202, head)

    def polled(self, job: Job) -> Reply:
        if job.plan.variant == "location":
            return self._at_location(job)
        if job.plan.variant == "resource":
            return reply_of(self._resource(job), 200, (*self._ids(job), *job.waits()))
        document = {
            "id": job.request.path,
            "name": str(job.number),
            "status": job.word,
            "startTime": job.time(job.started_at),
            "percentComplete": float(job.percent),
        }
        if job.ended:
            document["endTime"] = job.time(job.ended_at or job.started_at)
        return reply_of(failing(document, job), 200, (*self._ids(job), *(() if job.ended else job.waits())))

    def resulted(self, job: Job) -> Reply:
        return reply_of(self._resource(job), 200, self._ids(job)) if job.request.method in _PUTS else self._at_location(job)

    def _at_location(self, job: Job) -> Reply:
        if not job.ended:
            return Reply(202, self._head(job))
        if job.state != "succeeded":
            return refused(job, {"error": job.error}, self.fail_status, self._ids(job))
        if job.plan.result is None and job.request.method == "POST":
            return Reply(200, self._ids(job))
        return finished(job, self._ids(job))

    def _head(self, job: Job) -> Headers:
        if job.plan.variant == "resource":
            return *self._ids(job), *job.waits()
        results = f"{self._root(job)}/operationresults/{job.number}?api-version={self._version(job)}"
        operation = job.pointing("Azure-AsyncOperation", self.monitor(job)) if not job.plan.variant else ()
        return *operation, *job.pointing("Location", results), *job.waits(), *self._ids(job)

    def _resource(self, job: Job) -> dict[str, Any]:
        given = job.plan.result if isinstance(job.plan.result, dict) else {}
        word = job.say("Creating") if not job.ended else job.word
        properties = {**given.get("properties", {}), "provisioningState": word}
        return {"id": job.path, "name": job.path.rsplit("/", 1)[-1], **given, "properties": properties}

    @staticmethod
    def _root(job: Job) -> str:
        parts = job.path.strip("/").split("/")
        subscription = f"/subscriptions/{parts[1]}" if parts[0] == "subscriptions" and len(parts) > 1 else ""
        provider = parts[parts.index("providers") + 1] if "providers" in parts[:-1] else "Microsoft.Fake"
        return f"{subscription}/providers/{provider}/locations/westeurope"

    @staticmethod
    def _version(job: Job) -> str:
        return job.request.query.get("api-version", "2019-03-01")

    @staticmethod
    def _ids(job: Job) -> Headers:
        one = f"{job.number:08x}-0000-4000-8000-{job.asked:012x}"
        return (
            ("x-ms-request-id", one),
            ("x-ms-correlation-request-id", one),
            ("x-ms-routing-request-id", f"WESTEUROPE:20260101T000000Z:{one}"),
            ("x-ms-ratelimit-remaining-subscription-writes", "1199"),
        )


class AzureDataPlane(Dialect):
    """Azure REST API guidelines, "Long-running operations": Operation-Location, 200 with the status in the body.

    The status monitor carries the result under "result"; variant "analyze": under "analyzeResult", as Document Intelligence does;
    variant "resource": it names a resourceLocation, and the result is there.
    """

    variants = ("analyze", "resource")
    words = words("notStarted", "running", "succeeded", "failed", "canceled")

    def places(self, job: Job) -> Places:
        places: Places = {("GET", self.monitor(job)): "poll", ("GET", self._results(job)): "result"}
        if job.request.method in _PUTS:
            places["GET", job.path] = "result"
        return places

    def started(self, job: Job) -> Reply:
        head = *job.pointing("Operation-Location", self.monitor(job)), *job.waits(), ("apim-request-id", self._id(job))
        return Reply(202, head)

    def polled(self, job: Job) -> Reply:
        document: dict[str, Any] = {
            "id": self._id(job),
            "status": job.word,
            "createdDateTime": job.time(job.started_at),
            "lastUpdatedDateTime": job.now,
            "percentCompleted": job.percent,
        }
        if job.plan.variant == "resource":
            if job.state == "succeeded":
                document["resourceLocation"] = job.url(self._results(job))
        else:
            document = merged(document, job, "analyzeResult" if job.plan.variant == "analyze" else "result")
        return reply_of(failing(document, job), 200, () if job.ended else job.waits())

    def resulted(self, job: Job) -> Reply:
        return finished(job) if job.state == "succeeded" else refused(job, {"error": job.error}, 404)

    def _results(self, job: Job) -> str:
        return f"/results/{job.number}"

    @staticmethod
    def _id(job: Job) -> str:
        return f"{job.number:08x}-0000-4000-8000-000000000000"


class Fabric(Dialect):
    """Microsoft Fabric REST, "Long running operations": Get Operation State, Get Operation Result.

    A result of None is refused with OperationHasNoResult, as there.
    """

    def monitor(self, job: Job) -> str:
        return f"/v1/operations/{self._id(job)}"

    def places(self, job: Job) -> Places:
        return {("GET", self.monitor(job)): "poll", ("GET", f"{self.monitor(job)}/result"): "result"}

    def started(self, job: Job) -> Reply:
        return super().not_yet(job).plus(("x-ms-operation-id", self._id(job)))

    def polled(self, job: Job) -> Reply:
        document = {
            "status": job.word,
            "createdTimeUtc": job.time(job.started_at),
            "lastUpdatedTimeUtc": job.now,
            "percentComplete": job.percent,
        }
        there = self.monitor(job) + ("/result" if job.state == "succeeded" else "")
        head = *job.pointing("Location", there), ("x-ms-operation-id", self._id(job)), *(() if job.ended else job.waits())
        return reply_of(failing(document, job), 200, head)

    def resulted(self, job: Job) -> Reply:
        if job.state == "succeeded" and job.plan.result is not None:
            return finished(job)
        code = "OperationHasNoResult" if job.state == "succeeded" else "OperationNotCompleted"
        return reply_of({"requestId": self._id(job), "errorCode": code, "message": "The operation has no result."}, 400)

    @staticmethod
    def _id(job: Job) -> str:
        return f"{job.number:08x}-0000-4000-8000-00000000fab1"


class Graph(Dialect):
    """Microsoft Graph, "Working with long-running actions": the monitor lives on another host and wants no credentials.

    It says "completed" under status 202, as there; with the result in the same document.
    """

    words = words("notStarted", "inProgress", "completed", "failed", "cancelled")

    def monitor(self, job: Job) -> str:
        return f"/monitor/4A3407B5-88FC-4504-8B21-{job.number:012d}"

    def started(self, job: Job) -> Reply:
        there = job.pointing("Location", self.monitor(job), other_origin(job.base))
        return Reply(202, (*there, *job.waits(), ("x-ms-ags-diagnostic", '{"ServerInfo":{"DataCenter":"West Europe"}}')))

    def polled(self, job: Job) -> Reply:
        document: dict[str, Any] = {"operation": "ItemCopy", "percentageComplete": float(job.percent), "status": job.word}
        given = job.plan.result
        if job.state == "succeeded" and given is not None:
            document.update(given if isinstance(given, Mapping) else {"resourceId": given})
        return reply_of(failing(document, job), 202, () if job.ended else job.waits())
