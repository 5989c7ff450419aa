"""Fakes of dialects that are published standards: OData, FHIR, OGC API, openEO, Redfish, and "See Other"."""

from __future__ import annotations

import json
from typing import Any

from dfnb.testing.fake_dialects import Dialect, Places, failing, finished, refused, words
from dfnb.testing.jobs import Job
from dfnb.testing.wire import Headers, Reply, reply_of


class OData(Dialect):
    """OData 4.01 Part 1 Protocol, section 11.6: the final 200 has AsyncResult and the result's own body.

    Variant "4.0": the final 200 is a whole response of type application/http. DELETE of the monitor cancels.
    """

    variants = ("4.0",)
    fail_status = 400

    def places(self, job: Job) -> Places:
        return {("GET", self.monitor(job)): "poll", ("DELETE", self.monitor(job)): "cancel"}

    def started(self, job: Job) -> Reply:
        return self.not_yet(job).plus(("Preference-Applied", "respond-async"), ("OData-Version", job.plan.variant or "4.01"))

    def polled(self, job: Job) -> Reply:
        if job.state == "cancelled":
            return Reply(404)
        if not job.ended:
            return self.not_yet(job)
        inner = self.outcome(job)
        return (
            self._whole(inner) if job.plan.variant else Reply(200, (*inner.headers, ("AsyncResult", str(inner.status))), inner.body)
        )

    @staticmethod
    def _whole(inner: Reply) -> Reply:
        lines = [f"HTTP/1.1 {inner.status} Inner", *(f"{name}: {value}" for name, value in inner.headers), "", ""]
        body = "\r\n".join(lines).encode() + b"".join(inner.chunks())
        return Reply(200, (("Content-Type", "application/http"), ("Content-Transfer-Encoding", "binary")), body)


class FhirBulk(Dialect):
    """FHIR Bulk Data Access, "Bulk Data Export": Content-Location, 202 with X-Progress, then the manifest; DELETE ends it.

    A result of None is a small manifest of one file.
    """

    fail_status = 400

    def monitor(self, job: Job) -> str:
        return f"/bulkstatus/{job.number}"

    def places(self, job: Job) -> Places:
        return {("GET", self.monitor(job)): "poll", ("DELETE", self.monitor(job)): "cancel"}

    def started(self, job: Job) -> Reply:
        return Reply(202, job.pointing("Content-Location", self.monitor(job)))

    def polled(self, job: Job) -> Reply:
        if job.state == "cancelled":
            return self._outcome(job, "The export was deleted.", 404)
        if job.state == "failed":
            return self._outcome(job, job.error["message"], job.plan.fail_status or self.fail_status)
        if not job.ended:
            return Reply(202, (("X-Progress", f"in progress {job.percent}%"), *job.waits()))
        return finished(job) if job.plan.result is not None else reply_of(self._manifest(job))

    def cancelled(self, job: Job) -> Reply:
        return Reply(202)

    @staticmethod
    def _manifest(job: Job) -> dict[str, Any]:
        files = [{"type": "Patient", "url": job.url(f"/bulkfiles/{job.number}/patient.ndjson")}]
        return {
            "transactionTime": job.time(job.started_at),
            "request": job.request.url,
            "requiresAccessToken": True,
            "output": files,
            "error": [],
        }

    @staticmethod
    def _outcome(job: Job, text: str, status: int) -> Reply:
        issue = {"severity": "error", "code": "processing", "diagnostics": text}
        head = (("Content-Type", "application/fhir+json"),)
        return reply_of({"resourceType": "OperationOutcome", "issue": [issue]}, status, head)


class OgcProcesses(Dialect):
    """OGC API - Processes - Part 1: Core (18-062), sections 7.11 to 7.13 and 9: 201, statusInfo, results, dismiss."""

    words = words("accepted", "running", "successful", "failed", "dismissed")

    def monitor(self, job: Job) -> str:
        return f"/jobs/{job.number}"

    def places(self, job: Job) -> Places:
        here = self.monitor(job)
        return {("GET", here): "poll", ("GET", f"{here}/results"): "result", ("DELETE", here): "cancel"}

    def started(self, job: Job) -> Reply:
        head = *job.pointing("Location", self.monitor(job)), ("Preference-Applied", "respond-async"), *job.waits()
        return reply_of(self._info(job), 201, head)

    def polled(self, job: Job) -> Reply:
        return reply_of(self._info(job), 200, () if job.ended else job.waits())

    def resulted(self, job: Job) -> Reply:
        if job.state == "succeeded":
            return finished(job)
        kind = "result-not-ready" if not job.ended else "job-failed"
        body = {"type": f"http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/{kind}", "title": job.word}
        return refused(job, body, 404)

    def cancelled(self, job: Job) -> Reply:
        return reply_of(self._info(job))

    def _info(self, job: Job) -> dict[str, Any]:
        links = [{"rel": "self", "type": "application/json", "href": job.url(self.monitor(job))}]
        if job.state == "succeeded":
            rel = "http://www.opengis.net/def/rel/ogc/1.0/results"
            links.append({"rel": rel, "type": "application/json", "href": job.url(self.monitor(job) + "/results")})
        info: dict[str, Any] = {
            "processID": job.path.strip("/").split("/")[-2] if job.path.endswith("/execution") else job.path.strip("/"),
            "jobID": str(job.number),
            "type": "process",
            "status": job.word,
            "created": job.time(job.started_at),
            "progress": job.percent,
            "links": links,
        }
        return {**info, "message": job.error["message"]} if job.state == "failed" else info


class OpenEo(Dialect):
    """openEO API 1.x, "Batch Jobs": POST creates a job, a second POST of its results starts it; only then does its time run."""

    two_steps = True
    words = words("queued", "running", "finished", "error", "canceled", created="created")

    def monitor(self, job: Job) -> str:
        return f"{job.path.rstrip('/')}/{self._id(job)}"

    def places(self, job: Job) -> Places:
        here = self.monitor(job)
        return {
            ("POST", f"{here}/results"): "begin",
            ("GET", here): "poll",
            ("GET", f"{here}/results"): "result",
            ("DELETE", f"{here}/results"): "cancel",
        }

    def started(self, job: Job) -> Reply:
        return Reply(201, (*job.pointing("Location", self.monitor(job)), ("OpenEO-Identifier", self._id(job))))

    def begun(self, job: Job) -> Reply:
        return Reply(202, job.waits())

    def polled(self, job: Job) -> Reply:
        info = {
            "id": self._id(job),
            "process": {},
            "status": job.word,
            "progress": job.percent,
            "created": job.time(job.started_at),
            "updated": job.now,
        }
        return reply_of(info, 200, () if job.ended else job.waits())

    def resulted(self, job: Job) -> Reply:
        if job.state == "succeeded":
            return finished(job) if job.plan.result is not None else reply_of({"id": self._id(job), "assets": {}})
        error = {"id": self._id(job), "code": "JobNotFinished", "message": "The batch job has not finished computing yet."}
        if job.ended:
            return reply_of({**error, **job.error}, 424)
        return reply_of(error, 400)

    @staticmethod
    def _id(job: Job) -> str:
        return f"j-{job.number:08x}"


class Redfish(Dialect):
    """Redfish Specification (DSP0266), "Asynchronous operations": the task monitor answers 202, then as the operation would.

    Variant "task": the Location is the Task resource, which answers 200 with its TaskState.
    """

    variants = ("task",)
    fail_status = 400
    words = words("Starting", "Running", "Completed", "Exception", "Cancelled", created="New")

    def monitor(self, job: Job) -> str:
        folder = "Tasks" if job.plan.variant else "TaskMonitors"
        return f"/redfish/v1/TaskService/{folder}/{job.number}"

    def places(self, job: Job) -> Places:
        return {("GET", self.monitor(job)): "poll", ("DELETE", self.monitor(job)): "cancel"}

    def started(self, job: Job) -> Reply:
        return reply_of(self._task(job), 202, self._head(job))

    def polled(self, job: Job) -> Reply:
        if job.plan.variant:
            return reply_of(self._task(job), 200, () if job.ended else job.waits())
        return self.outcome(job) if job.ended else reply_of(self._task(job), 202, self._head(job))

    def outcome(self, job: Job) -> Reply:
        if job.state == "cancelled":
            return Reply(404)
        if job.state == "succeeded":
            return finished(job)
        extended = [{"MessageId": "Base.1.8.GeneralError", "Message": job.error["message"]}]
        error = {"code": "Base.1.8.GeneralError", "message": job.error["message"], "@Message.ExtendedInfo": extended}
        return refused(job, {"error": error}, self.fail_status)

    def _head(self, job: Job) -> Headers:
        return *job.pointing("Location", self.monitor(job)), *job.waits()

    def _task(self, job: Job) -> dict[str, Any]:
        bad = job.state in ("failed", "cancelled")
        task: dict[str, Any] = {
            "@odata.id": f"/redfish/v1/TaskService/Tasks/{job.number}",
            "@odata.type": "#Task.v1_7_1.Task",
            "Id": str(job.number),
            "Name": f"Task {job.number}",
            "TaskState": job.word,
            "TaskStatus": "Critical" if bad else "OK",
            "PercentComplete": job.percent,
            "StartTime": job.time(job.started_at),
        }
        if bad:
            task["Messages"] = [{"MessageId": "Base.1.8.GeneralError", "Message": job.error["message"]}]
        elif job.ended and job.plan.result is not None:
            task["Messages"] = [{"MessageId": "Base.1.8.Success", "Message": json.dumps(job.plan.result)}]
        return task


class SeeOther(Dialect):
    """Azure Architecture Center, "Asynchronous Request-Reply pattern": 200 while pending, then 303 to the result.

    Variant "302": a 302 in its place.
    """

    variants = ("302",)
    words = words("Accepted", "In progress", "Succeeded", "Failed", "Canceled")

    def monitor(self, job: Job) -> str:
        return f"/status/{job.number}"

    def places(self, job: Job) -> Places:
        here = self.monitor(job)
        return {("GET", here): "poll", ("DELETE", here): "cancel", ("GET", self._results(job)): "result"}

    def polled(self, job: Job) -> Reply:
        if job.state == "succeeded":
            return Reply(int(job.plan.variant or 303), (("Location", job.url(self._results(job))),))
        return reply_of(failing({"status": job.word}, job), 200, () if job.ended else job.waits())

    def resulted(self, job: Job) -> Reply:
        return finished(job) if job.state == "succeeded" else Reply(404)

    @staticmethod
    def _results(job: Job) -> str:
        return f"/results/{job.number}"
