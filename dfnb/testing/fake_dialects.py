"""What every fake dialect has: how a job is started, asked for, taken the result of, and cancelled.

The wire formats are those of the documents named beside each class here and in `fake_azure`, `fake_standards` and `fake_hosts`.
What a real service would refuse for its own reasons (a missing Prefer or Accept header, an unknown api-version) is not refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from dfnb.testing.jobs import Job, State
from dfnb.testing.wire import Headers, Reply, reply_of

Role = Literal["start", "begin", "poll", "result", "cancel"]
Places = dict[tuple[str, str], Role]
"""Which method and path of a job's own means what."""


def words(queued: str, running: str, succeeded: str, failed: str, cancelled: str, created: str = "") -> Mapping[State, str]:
    """The status words of a dialect, by state."""
    return {
        "created": created or queued,
        "queued": queued,
        "running": running,
        "succeeded": succeeded,
        "failed": failed,
        "cancelled": cancelled,
    }


class Dialect:
    """RFC 9110 section 15.3.3: 202 with a Location, which answers 202 until it answers with the result.

    So do Azure HDInsight, Azure Logic Apps and others. A result of None is a 204; a failure is a 422 (`fail_status`).
    """

    variants: tuple[str, ...] = ()
    two_steps = False
    fail_status = 422
    words = words("NotStarted", "Running", "Succeeded", "Failed", "Canceled")

    def words_of(self, job: Job) -> Mapping[State, str]:
        """The status words of a job's variant."""
        return self.words

    def monitor(self, job: Job) -> str:
        """The path that is polled."""
        return f"/operations/{job.number}"

    def places(self, job: Job) -> Places:
        """Which requests belong to the job."""
        return {("GET", self.monitor(job)): "poll"}

    def started(self, job: Job) -> Reply:
        """The answer to the request that starts it."""
        return self.not_yet(job)

    def begun(self, job: Job) -> Reply:
        """The answer to the second request, where there is one."""
        return Reply(202)

    def polled(self, job: Job) -> Reply:
        """The answer to a poll."""
        return self.outcome(job) if job.ended else self.not_yet(job)

    def resulted(self, job: Job) -> Reply:
        """The answer to the request for the result."""
        return self.outcome(job) if job.ended else self.not_yet(job)

    def cancelled(self, job: Job) -> Reply:
        """The answer to the request that cancels it."""
        return Reply(204)

    def not_yet(self, job: Job) -> Reply:
        """202, where to ask, and when."""
        return Reply(202, (*job.pointing("Location", self.monitor(job)), *job.waits()))

    def outcome(self, job: Job) -> Reply:
        """What the operation itself would have answered."""
        return finished(job) if job.state == "succeeded" else refused(job, {"error": job.error}, self.fail_status)


def finished(job: Job, headers: Headers = ()) -> Reply:
    """The result as a whole answer; 204 when there is none."""
    result = job.plan.result
    return Reply(204, headers) if result is None else reply_of(result, 200, headers)


def refused(job: Job, body: Any, status: int, headers: Headers = ()) -> Reply:
    """The failure as an answer with an error's status."""
    return reply_of(body, job.plan.fail_status or status, headers)


def merged(document: dict[str, Any], job: Job, key: str = "result") -> dict[str, Any]:
    """A status document with the result put in under its key, once there is one."""
    if job.state == "succeeded" and job.plan.result is not None:
        document[key] = job.plan.result
    return document


def failing(document: dict[str, Any], job: Job, key: str = "error") -> dict[str, Any]:
    """A status document with the error put in, once there is one."""
    if job.state in ("failed", "cancelled"):
        document[key] = job.error
    return document
