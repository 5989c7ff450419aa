"""A durable HTTP call as it is written down: what was asked for, what came back, and each exchange on the way."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from dfnb.records import payload
from dfnb.records.retry import RetryPolicy, check_retry_options
from dfnb.records.times import to_microseconds

Pairs = tuple[tuple[str, str], ...]


class Headers(dict[str, Any]):
    """Headers by name, compared ignoring case; several values of one name are a list, as in the original."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__()
        self._names: dict[str, str] = {}
        for name, value in pairs:
            known = self._names.setdefault(name.lower(), name)
            before = super().get(known)
            if before is None:
                super().__setitem__(known, value)
            elif isinstance(before, list):
                before.append(value)
            else:
                super().__setitem__(known, [before, value])

    def __missing__(self, name: str) -> Any:
        known = self._names.get(str(name).lower())
        if known is None:
            raise KeyError(name)
        return super().__getitem__(known)

    def __contains__(self, name: object) -> bool:
        return str(name).lower() in self._names

    def get(self, name: str, default: Any = None) -> Any:
        """The value, or `default`."""
        known = self._names.get(str(name).lower())
        return default if known is None else super().get(known)


class DurableHttpResponse(dict[str, Any]):
    """What an HTTP API answered: ``r["statusCode"]``, ``r["headers"]``, ``r["content"]``, and the same as attributes.

    `content` is the body as text (undecodable bytes replaced), `content_bytes` exactly what came. `url` is where the answer came
    from. `failed` is True when the job that was waited for says that it has failed; `note` tells what was odd.
    """

    def __init__(
        self, status_code: int, headers: Iterable[tuple[str, str]] = (), content: str = "", *, url: str = "",
        charset: str | None = "utf-8", failed: bool = False, note: str = "",
    ) -> None:
        self.content_bytes = content.encode(charset) if charset is not None else base64.b64decode(content)
        text = content if charset is not None else self.content_bytes.decode("utf-8", "replace")
        super().__init__(statusCode=status_code, headers=Headers(headers), content=text)
        self.url = url
        self.failed = failed
        self.note = note

    def __missing__(self, key: str) -> Any:
        if key == "status_code":
            return self["statusCode"]
        raise KeyError(key)

    @property
    def status_code(self) -> int:
        return int(self["statusCode"])

    @property
    def headers(self) -> Headers:
        headers: Headers = self["headers"]
        return headers

    @property
    def content(self) -> str:
        return str(self["content"])

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx and no job has failed."""
        return 200 <= self.status_code < 300 and not self.failed

    def json(self) -> Any:
        """The body as JSON. ValueError with its beginning if it is none, as with an error page."""
        try:
            return json.loads(self.content_bytes)
        except ValueError as error:
            begin = f"{self.content[:80]!r}" if self.content else "an empty body"
            raise ValueError(f"the answer ({self.status_code}) from {self.url or 'the server'} is not JSON: {begin}") from error

    def __repr__(self) -> str:
        failed = ", failed" if self.failed else ""
        return f"<DurableHttpResponse {self.status_code}{failed}, {len(self.content_bytes)} bytes>"


@dataclasses.dataclass(frozen=True, slots=True)
class DurableHttpRequest:
    """An HTTP call to be made by an orchestration: `context.call_http` takes it, or the same arguments.

    `content`: JSON data (a text too is encoded as JSON, unless `is_raw_str`), bytes, or a dict with a form content type. `headers`,
    `uri` and `content` may hold secrets. `token_source`: a ManagedIdentityTokenSource, or any function that returns a token.
    `asynchronous_pattern_enabled`: wait for the end of what answers "not yet"; `poll` says how it says so (a dialect's name, a
    Poll, or "auto"). `timeout` is for one exchange, `deadline` for the whole call, both timedelta or seconds. `retry_options`
    repeat the first request after a failure or a status of `status_codes_to_retry` (none named: every one outside 2xx).
    `idempotency_key`: True for one that is the same at every repetition, or your own. `client` names one of the app's HTTP clients.
    """

    method: str
    uri: Any
    content: Any = None
    headers: Mapping[str, Any] | None = None
    token_source: Any = None
    is_raw_str: bool = False
    asynchronous_pattern_enabled: bool = True
    retry_options: RetryPolicy | None = None
    timeout: timedelta | float | None = None
    deadline: timedelta | datetime | float | None = None
    poll: Any = "auto"
    status_codes_to_retry: tuple[int, ...] = ()
    idempotency_key: bool | str = False
    client: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.method, str) or not self.method.isalpha():
            raise ValueError(f"the method must be a word like GET or POST, not {self.method!r}")
        if self.is_raw_str and not isinstance(self.content, str) and not hasattr(self.content, "to_json"):
            raise TypeError(f"is_raw_str is for content that is a text, not {type(self.content).__name__}")
        if self.headers is not None and not isinstance(self.headers, Mapping):
            raise TypeError(f"headers must be a dict of names and values, not {type(self.headers).__name__}")
        for name in ("timeout", "deadline"):
            self._check_span(name, getattr(self, name))
        if self.retry_options is not None and check_retry_options(self.retry_options).handle is not None:
            raise ValueError("retry_options of call_http cannot have `handle`: name statuses in status_codes_to_retry instead")

    def _check_span(self, name: str, span: Any) -> None:
        if span is None or isinstance(span, datetime):
            return
        seconds = span.total_seconds() if isinstance(span, timedelta) else span
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
            raise ValueError(f"{name} must be a timedelta or a number of seconds greater than zero, not {span!r}")

    @property
    def title(self) -> str:
        """The call in few words: method and URL without its query."""
        return f"{self.method.upper()} {str(self.uri).partition('?')[0]}"

    def encode(self, now: int) -> str:
        """The call as it is recorded; secrets as the references they are. PayloadError if something has no JSON form."""
        binary = isinstance(self.content, bytes | bytearray | memoryview)
        record = HttpCallRecord(
            self.method.upper(), None, None, None, binary, self.is_raw_str, None, self.asynchronous_pattern_enabled,
            _retry_record(self.retry_options), tuple(self.status_codes_to_retry), _microseconds(self.timeout),
            _moment(self.deadline, now), None, self.idempotency_key, self.client,
        )
        values = {
            **{name: value for name, value in msgspec.structs.asdict(record).items() if value not in (None, False, ())},
            "uri": self.uri, "content": self.content, "headers": dict(self.headers or {}), "token_source": self.token_source,
            "poll": self.poll,
        }
        return payload.encode(values, what=f"the request {self.title!r}") or ""


class RetryRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A retry policy as it is recorded; spans in microseconds."""

    first: int
    attempts: int
    backoff: float = 1.0
    longest: int | None = None
    total: int | None = None

    @property
    def policy(self) -> RetryPolicy:
        """The policy itself."""
        return RetryPolicy(
            timedelta(microseconds=self.first), self.attempts, self.backoff,
            None if self.longest is None else timedelta(microseconds=self.longest),
            None if self.total is None else timedelta(microseconds=self.total),
        )


class HttpCallRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A recorded call, read back; `uri`, `headers`, `content`, `token_source`, `poll` as `payload.decode` gives them."""

    method: str
    uri: Any = None
    headers: Any = None
    content: Any = None
    binary: bool = False
    is_raw_str: bool = False
    token_source: Any = None
    asynchronous_pattern_enabled: bool = False
    retry_options: RetryRecord | None = None
    status_codes_to_retry: tuple[int, ...] = ()
    timeout: int | None = None
    deadline_at: int | None = None
    poll: Any = None
    idempotency_key: bool | str = False
    client: str | None = None

    @classmethod
    def decode(cls, text: str) -> HttpCallRecord:
        """The call that `DurableHttpRequest.encode` has written."""
        plain = payload.decode(text)
        retry = plain.pop("retry_options", None)
        codes = tuple(plain.pop("status_codes_to_retry", ()))
        policy = None if retry is None else msgspec.convert(retry, RetryRecord)
        return cls(**plain, retry_options=policy, status_codes_to_retry=codes)


def _retry_record(policy: RetryPolicy | None) -> Any:
    if policy is None:
        return None
    longest, total = policy.max_retry_interval, policy.retry_timeout
    return RetryRecord(
        _microseconds(policy.first_retry_interval) or 0, policy.max_number_of_attempts, policy.backoff_coefficient,
        _microseconds(longest), _microseconds(total),
    )


def _microseconds(span: timedelta | float | None) -> int | None:
    if span is None:
        return None
    return span // timedelta(microseconds=1) if isinstance(span, timedelta) else int(span * 1_000_000)


def _moment(deadline: timedelta | datetime | float | None, now: int) -> int | None:
    if deadline is None:
        return None
    if isinstance(deadline, datetime):
        return to_microseconds(deadline)
    return now + (_microseconds(deadline) or 0)


class Exchange(msgspec.Struct, frozen=True, gc=False):
    """One request of a call and what came back, as it is written down: secrets redacted. Times in microseconds.

    `purpose`: first, start, poll, result, retry or cancel. `asked`: how long the server wanted to be left alone. `due_at`: when the
    next request is to be sent. `work`: the state of the call after this exchange, None when it is over.
    """

    generation: int
    task: int
    attempt: int
    purpose: str
    sent_at: int
    took: int
    method: str
    url: str
    request_headers: Pairs = ()
    request_body: bytes = b""
    status: int | None = None
    response_headers: Pairs = ()
    response_body: bytes = b""
    asked: int | None = None
    due_at: int | None = None
    note: str | None = None
    error: str | None = None
    work: str | None = None
