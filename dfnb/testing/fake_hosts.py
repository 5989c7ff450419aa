"""Fakes of dialects that belong to one host: Snowflake, Google, GitHub, and the hosts of language models."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from dfnb.testing.fake_dialects import Dialect, Places, failing, finished, merged, words
from dfnb.testing.jobs import Job, State
from dfnb.testing.wire import Reply, reply_of


class Snowflake(Dialect):
    """Snowflake SQL API, "Handling responses": 202 with a QueryStatus, 200 with a ResultSet, 422 when the statement failed."""

    def monitor(self, job: Job) -> str:
        return f"/api/v2/statements/{self._handle(job)}"

    def places(self, job: Job) -> Places:
        return {("GET", self.monitor(job)): "poll", ("POST", f"{self.monitor(job)}/cancel"): "cancel"}

    def started(self, job: Job) -> Reply:
        return self._status(job)

    def polled(self, job: Job) -> Reply:
        if job.state == "succeeded":
            return self._rows(job)
        if job.ended:
            code = "000604" if job.state == "cancelled" else "002140"
            said = {"code": code, "sqlState": "42601", "message": job.error["message"], "statementHandle": self._handle(job)}
            return reply_of(said, job.plan.fail_status or 422)
        return self._status(job)

    def cancelled(self, job: Job) -> Reply:
        return reply_of({"code": "000604", "message": "SQL execution canceled", "statementHandle": self._handle(job)})

    def _status(self, job: Job) -> Reply:
        document = {
            "code": "333334",
            "sqlState": "00000",
            "message": "Asynchronous execution in progress. Use provided query id to perform query monitoring and management.",
            "statementHandle": self._handle(job),
        }
        pointed = job.pointing("statementStatusUrl", self.monitor(job))
        if job.plan.location == "absolute":  # a path alone is what the real one gives
            pointed = (("statementStatusUrl", self.monitor(job)),)
        return reply_of({**document, **dict(pointed)}, 202, job.waits())

    def _rows(self, job: Job) -> Reply:
        given = job.plan.result
        rows = given if isinstance(given, list) else [] if given is None else [[json.dumps(given)]]
        document = {
            "resultSetMetaData": {"numRows": len(rows), "format": "jsonv2", "rowType": []},
            "data": rows,
            "code": "090001",
            "sqlState": "00000",
            "message": "Statement executed successfully.",
            "statementHandle": self._handle(job),
            "statementStatusUrl": self.monitor(job),
            "createdOn": job.started_at // 1000,
        }
        return reply_of(document)

    @staticmethod
    def _handle(job: Job) -> str:
        return f"e4ce975e-f7ff-4b5e-b15e-{job.number:012x}"


class GoogleLro(Dialect):
    """Google AIP-151 and google.longrunning.Operation: `done` is left out while false; `error` or `response` at the end.

    Variant "compute": an operation of Compute Engine, with a selfLink and the status PENDING, RUNNING, DONE; its result stands at
    its targetLink alone.
    """

    variants = ("compute",)
    words = words("PENDING", "RUNNING", "DONE", "DONE", "DONE")

    def monitor(self, job: Job) -> str:
        return f"{api_path(job.path)}/operations/{job.number}"

    def places(self, job: Job) -> Places:
        target: Places = {("GET", self._target(job)): "result"} if job.plan.variant else {}
        return {("GET", self.monitor(job)): "poll", ("POST", f"{self.monitor(job)}:cancel"): "cancel", **target}

    def started(self, job: Job) -> Reply:
        return self.polled(job)

    def resulted(self, job: Job) -> Reply:
        return finished(job) if job.state == "succeeded" else Reply(404)

    def polled(self, job: Job) -> Reply:
        document = self._compute(job) if job.plan.variant else self._operation(job)
        return reply_of(document, 200, () if job.ended else job.waits())

    def cancelled(self, job: Job) -> Reply:
        return reply_of({})

    @staticmethod
    def _operation(job: Job) -> dict[str, Any]:
        kind = "type.googleapis.com/google.cloud.fake.v1"
        document: dict[str, Any] = {
            "name": f"operations/{job.number}",
            "metadata": {"@type": f"{kind}.OperationMetadata", "progressPercent": job.percent},
        }
        if not job.ended:
            return document
        document["done"] = True
        if job.state == "succeeded":
            given = job.plan.result
            inner = given if isinstance(given, Mapping) else {} if given is None else {"value": given}
            document["response"] = {"@type": f"{kind}.Response", **inner}
            return document
        code = 1 if job.state == "cancelled" else 3
        document["error"] = {**job.error, "code": code}
        return document

    def _compute(self, job: Job) -> dict[str, Any]:
        pointed = dict(job.pointing("selfLink", self.monitor(job)))
        named = {"kind": "compute#operation", "name": f"operation-{job.number}", **pointed}
        document: dict[str, Any] = {**named, "status": job.word, "progress": job.percent, "targetLink": job.url(self._target(job))}
        if job.state in ("failed", "cancelled"):
            document["error"] = {"errors": [job.error]}
        return document

    @staticmethod
    def _target(job: Job) -> str:
        return f"{api_path(job.path)}/targets/{job.number}"


class GithubStatistics(Dialect):
    """GitHub REST, "Repository statistics", on caching: 202 and nothing else; the same request again, until it is 200."""

    def monitor(self, job: Job) -> str:
        return job.path

    def places(self, job: Job) -> Places:
        return {(job.request.method, job.path): "poll"}

    def not_yet(self, job: Job) -> Reply:
        return reply_of({}, 202, (*job.waits(), self._id(job)))

    def outcome(self, job: Job) -> Reply:
        return super().outcome(job).plus(self._id(job))

    @staticmethod
    def _id(job: Job) -> tuple[str, str]:
        return "X-GitHub-Request-Id", f"C0DE:{job.number:04X}:{job.asked:04X}"


class LlmJob(Dialect):
    """Jobs of model hosts: OpenAI Responses in background mode.

    Variants "batch": OpenAI Batch, whose result is a file; "anthropic": Message Batches, with a results_url; "replicate":
    predictions, with their urls.
    """

    variants = ("batch", "anthropic", "replicate")
    _WORDS: Mapping[str, Mapping[State, str]] = {
        "": words("queued", "in_progress", "completed", "failed", "cancelled"),
        "batch": words("validating", "in_progress", "completed", "failed", "cancelled"),
        "anthropic": words("in_progress", "in_progress", "ended", "ended", "ended"),
        "replicate": words("starting", "processing", "succeeded", "failed", "canceled"),
    }

    def words_of(self, job: Job) -> Mapping[State, str]:
        return self._WORDS[job.plan.variant]

    def monitor(self, job: Job) -> str:
        return f"{job.path.rstrip('/')}/{self._id(job)}"

    def places(self, job: Job) -> Places:
        here = self.monitor(job)
        return {("GET", here): "poll", ("POST", f"{here}/cancel"): "cancel", ("GET", self._results(job)): "result"}

    def started(self, job: Job) -> Reply:
        return reply_of(self._document(job), 201 if job.plan.variant == "replicate" else 200, job.waits())

    def polled(self, job: Job) -> Reply:
        return reply_of(self._document(job), 200, () if job.ended else job.waits())

    def resulted(self, job: Job) -> Reply:
        return finished(job) if job.state == "succeeded" else reply_of({"error": job.error}, 404)

    def cancelled(self, job: Job) -> Reply:
        return reply_of(self._document(job))

    def _document(self, job: Job) -> dict[str, Any]:
        match job.plan.variant:
            case "batch":
                return self._batch(job)
            case "anthropic":
                return self._messages(job)
            case "replicate":
                return self._prediction(job)
            case _:
                return self._response(job)

    def _response(self, job: Job) -> dict[str, Any]:
        document: dict[str, Any] = {
            "id": self._id(job),
            "object": "response",
            "created_at": job.started_at // 1_000_000,
            "status": job.word,
            "background": True,
            "error": job.error if job.state == "failed" else None,
            "output": [],
        }
        given = job.plan.result
        if job.state == "succeeded" and given is not None:
            said = {"type": "output_text", "text": given if isinstance(given, str) else json.dumps(given), "annotations": []}
            document["output"] = [{"type": "message", "role": "assistant", "status": "completed", "content": [said]}]
        return document

    def _batch(self, job: Job) -> dict[str, Any]:
        document = {
            "id": self._id(job),
            "object": "batch",
            "endpoint": "/v1/responses",
            "status": job.word,
            "request_counts": {"total": 100, "completed": job.percent, "failed": 0},
            "output_file_id": f"file-{job.number}" if job.state == "succeeded" else None,
        }
        return failing(document, job, "errors")

    def _messages(self, job: Job) -> dict[str, Any]:
        counts = {"processing": 100 - job.percent, "succeeded": job.percent, "errored": 0, "canceled": 0, "expired": 0}
        done = job.url(self._results(job)) if job.state == "succeeded" else None
        kind = {"id": self._id(job), "type": "message_batch"}
        return {**kind, "processing_status": job.word, "request_counts": counts, "results_url": done}

    def _prediction(self, job: Job) -> dict[str, Any]:
        pointed = dict(job.pointing("get", self.monitor(job)))
        urls = {**pointed, "cancel": job.url(f"{self.monitor(job)}/cancel")}
        document: dict[str, Any] = {"id": self._id(job), "status": job.word, "urls": urls, "output": None, "error": None}
        if job.state == "failed":
            document["error"] = job.error["message"]
        return merged(document, job, "output")

    def _results(self, job: Job) -> str:
        if job.plan.variant == "batch":
            return f"{api_path(job.path)}/files/file-{job.number}/content"
        return f"{self.monitor(job)}/results"

    @staticmethod
    def _id(job: Job) -> str:
        kind = {"": "resp", "batch": "batch", "anthropic": "msgbatch", "replicate": "pred"}[job.plan.variant]
        return f"{kind}_{job.number}"


def api_path(path: str) -> str:
    """A path up to its version segment, ``/v1`` when it has none."""
    match = re.match(r"(?:/[^/]*?)*?/v\d[a-z0-9.]*(?=/|$)", path)
    return match[0] if match else "/v1"
