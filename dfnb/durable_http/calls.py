"""A durable HTTP call from its record to its end: the fold over answers, with retries of the first request and the errors to raise.

Pure like `polling`, which it builds on: `CallWork` is all that a call is between two requests, and text between two kernels.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any
from urllib.parse import urlencode

import msgspec

from dfnb.durable_http.description import Poll
from dfnb.durable_http.messages import Answer, Headers, Request, header, header_values
from dfnb.durable_http.polling import AskAgain, PollState, advance, begin, cancel_request, description
from dfnb.durable_http.retry_after import SECOND, Pace, read
from dfnb.durable_http.secrets import Form, marked, shown
from dfnb.durable_http.tokens import TokenSource, as_token_source
from dfnb.errors import (
    HttpCallError,
    HttpConnectionError,
    HttpRefusedError,
    HttpRetriesExhaustedError,
    HttpTimeoutError,
)
from dfnb.records.failure import FailureDetails, qualified_name
from dfnb.records.history import HttpCallCompleted, HttpCallFailed
from dfnb.records.http import HttpCallRecord, RetryRecord, response_text

_FORM = "application/x-www-form-urlencoded"
_NAMESPACE = uuid.UUID("5a0c4d0e-6a52-5b6c-9f0a-6d1b8e2f7c31")


class CallWork(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A call between two requests."""

    poll: PollState
    retry: RetryRecord | None = None
    retry_statuses: tuple[int, ...] = ()
    tries: int = 1
    """How often the first request was sent, the next time included."""
    timeout: int | None = None
    token_source: Any = None
    client: str | None = None
    body_form: Form = "plain"
    """How a secret in the body is to be encoded: plain, json or form."""
    purpose: str = ""
    """`retry` or `cancel`, when the next request is one; otherwise the phase of the poll says it."""

    @property
    def next_purpose(self) -> str:
        """What the next request is for."""
        return self.purpose or self.poll.phase

    def encode(self) -> str:
        """The call as text."""
        return _encode(self).decode()

    @classmethod
    def decode(cls, text: str) -> CallWork:
        """The call in a text."""
        return _decode(text)

    @property
    def longest_wait(self) -> int:
        """The most, in microseconds, that a server can make the call wait."""
        return int(description(self.poll).paced(self.poll.pace).cap * SECOND)

    def is_over_time(self, now: int) -> bool:
        """Whether the deadline has passed. A cancel request has none."""
        deadline = self.poll.deadline_at
        return deadline is not None and now >= deadline and self.purpose != "cancel"

    def source(self) -> TokenSource | None:
        """Where its tokens come from."""
        return as_token_source(self.token_source) if self.token_source is not None else None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(CallWork).decode


class Again(msgspec.Struct, frozen=True):
    """Not over: send `work.poll.request` at `at`; `asked` microseconds is what the server wanted."""

    work: CallWork
    at: int
    asked: int | None = None
    note: str = ""


class Over(msgspec.Struct, frozen=True):
    """The call's end, as its orchestration will see it; `cancel`: a request that cancels the job, still to be sent."""

    event: HttpCallCompleted | HttpCallFailed
    note: str = ""
    cancel: CallWork | None = None


# ---- the beginning


def begin_call(text: str, *, instance_id: str, generation: int, task: int, now: int, pace: Pace) -> CallWork:
    """The call that an orchestration has recorded. Raises a sentence's error for what cannot be sent."""
    record = HttpCallRecord.decode(text)
    headers, body, form = _content(record)
    identity = f"{instance_id}:{generation}:{task}"
    request = Request(record.method, str(marked(record.uri)), _with_key(headers, record, identity), body)
    poll = _poll(record.poll) if record.asynchronous_pattern_enabled else None
    state = begin(request, poll, now=now, pace=pace, seed=_seed(identity), deadline_at=record.deadline_at)
    source = record.token_source
    return CallWork(
        state, record.retry_options, record.status_codes_to_retry, 1, record.timeout,
        source.to_json() if hasattr(source, "to_json") else source, record.client, form,
    )


def _poll(given: Any) -> str | Poll | None:
    return Poll(**given) if isinstance(given, dict) else given


def _seed(identity: str) -> int:
    return int.from_bytes(hashlib.blake2b(identity.encode(), digest_size=6).digest(), "big")


def _with_key(headers: Headers, record: HttpCallRecord, identity: str) -> Headers:
    """An idempotency key is the same however often the call is sent again: it comes from who asked for it."""
    if not record.idempotency_key:
        return headers
    own = record.idempotency_key
    key = own if isinstance(own, str) else str(uuid.uuid5(_NAMESPACE, identity))
    return (*headers, ("Idempotency-Key", key), ("Repeatability-Request-ID", key))


def _content(record: HttpCallRecord) -> tuple[Headers, bytes | None, Form]:
    headers: Headers = tuple(
        (str(name), str(marked(value)))
        for name, values in (record.headers or {}).items()
        for value in (values if isinstance(values, list | tuple) else [values])
    )
    if record.content is None:
        return headers, None, "plain"
    given = (header(headers, "Content-Type") or "").partition(";")[0].strip().lower()
    if record.binary:
        return _typed(headers, "application/octet-stream"), msgspec.convert(record.content, bytes), "plain"
    if record.is_raw_str:
        form: Form = "json" if "json" in given else "plain"
        return _typed(headers, "text/plain; charset=utf-8"), str(marked(record.content)).encode(), form
    if given == _FORM and isinstance(record.content, dict):
        return headers, urlencode(marked(record.content), doseq=True).encode(), "form"
    return _typed(headers, "application/json"), json.dumps(marked(record.content), ensure_ascii=False).encode(), "json"


def _typed(headers: Headers, content_type: str) -> Headers:
    return headers if header(headers, "Content-Type") is not None else (*headers, ("Content-Type", content_type))


# ---- the fold


def read_answer(work: CallWork, answer: Answer, *, task: int, kind: str = "") -> Again | Over:
    """What an answer leads to. `kind` says why none came: timeout, deadline, connection, secret, token or address."""
    if work.purpose == "cancel":
        return Over(HttpCallCompleted(task, answer.status), answer.error or "")
    if kind not in ("", "timeout", "connection"):
        return _failed(work, answer, task, kind, answer.error or "")
    again = _retry(work, answer) if work.poll.phase == "first" else None
    if again is not None:
        return again
    step = advance(work.poll, answer)
    if isinstance(step, AskAgain):
        return Again(_going_on(work, step.state), step.at, _in_microseconds(step.asked), step.note)
    if step.why in ("answered", "ok", "fail") and not _retries_are_over(work, step.answer):
        failed = step.failed and step.why == "fail"
        return Over(completed(task, step.answer, failed=failed, note=step.note), step.note)
    why = step.why if step.why == "deadline" else kind or step.why
    return _failed(_going_on(work, step.state), step.answer, task, why, step.note)


def too_late(work: CallWork, *, task: int, now: int, why: str) -> Over:
    """The end of a call that could send nothing more before its deadline."""
    return _failed(work, Answer(0, url=work.poll.request.url, at=now), task, "deadline", f"the deadline has passed: {why}")


def _in_microseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(min(seconds, 1e9) * SECOND)


def _going_on(work: CallWork, state: PollState) -> CallWork:
    return msgspec.structs.replace(work, poll=state, purpose="")


def _retry(work: CallWork, answer: Answer) -> Again | None:
    """The retry of the first request, if the retry options ask for one."""
    if work.retry is None or not _is_worth_a_retry(work, answer):
        return None
    failure = FailureDetails("HttpCallError", answer.error or f"status {answer.status}")
    delay = work.retry.policy.next_delay(work.tries, answer.at - work.poll.started_at, failure)
    if delay is None:
        return None
    asked = _asked_when_busy(answer)
    delay = max(delay, min(asked or 0, work.longest_wait))
    if work.poll.deadline_at is not None and answer.at + delay > work.poll.deadline_at:
        return None
    said = answer.error or f"the server answered {answer.status}"
    state = msgspec.structs.replace(work.poll, attempt=work.poll.attempt + 1, last_status=answer.status)
    following = msgspec.structs.replace(work, poll=state, tries=work.tries + 1, purpose="retry")
    return Again(following, answer.at + delay, asked, f"{said} (try {work.tries} of {work.retry.attempts})")


def _asked_when_busy(answer: Answer) -> int | None:
    """How many microseconds a server that is too busy wants to be left alone."""
    if answer.status not in (429, 503):
        return None
    values = header_values(answer.headers, "Retry-After")
    return _in_microseconds(read(values, header(answer.headers, "Date"), answer.at).seconds)


def _is_worth_a_retry(work: CallWork, answer: Answer) -> bool:
    if answer.error is not None:
        return True
    if work.retry_statuses:
        return answer.status in work.retry_statuses
    return not 200 <= answer.status < 400


def _retries_are_over(work: CallWork, answer: Answer) -> bool:
    return work.poll.phase == "first" and work.retry is not None and _is_worth_a_retry(work, answer)


_ERRORS: dict[str, type[HttpCallError]] = {
    "timeout": HttpTimeoutError,
    "deadline": HttpTimeoutError,
    "connection": HttpConnectionError,
    "refused": HttpRefusedError,
    "address": HttpRefusedError,
    "exhausted": HttpRetriesExhaustedError,
    "answered": HttpRetriesExhaustedError,
}


def _failed(work: CallWork, answer: Answer, task: int, kind: str, note: str) -> Over:
    error = _ERRORS.get(kind, HttpCallError)
    said = note or answer.error or "it was not answered"
    last = completed(task, answer) if answer.status else None
    cancel = cancel_work(work) if kind == "deadline" else None
    return Over(HttpCallFailed(task, FailureDetails(qualified_name(error), said), last), note, cancel)


def completed(task: int, answer: Answer, *, failed: bool = False, note: str = "") -> HttpCallCompleted:
    """The answer as the orchestration gets it."""
    content, charset = response_text(shown(answer.body), header(answer.headers, "Content-Type"))
    return HttpCallCompleted(task, answer.status, shown(answer.headers), content, charset, shown(answer.url), failed, note)


def refused(task: int, error: Exception) -> HttpCallFailed:
    """A call that cannot even be sent."""
    return HttpCallFailed(task, FailureDetails.from_exception(error))


def cancel_work(work: CallWork) -> CallWork | None:
    """The request that cancels the job on the server, where the call's description has one and wants it sent."""
    request = cancel_request(work.poll)
    if request is None:
        return None
    return msgspec.structs.replace(work, poll=msgspec.structs.replace(work.poll, request=request), purpose="cancel")
