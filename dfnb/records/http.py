"""A durable HTTP call as it is written down: what was asked for, what came back, and each exchange on the way."""

from __future__ import annotations

import base64
import codecs
import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from dfnb.records import payload
from dfnb.records.history import HttpCallCompleted
from dfnb.records.http_checks import check_headers, check_retries, check_span, check_uri, checked_codes
from dfnb.records.http_headers import Headers as Headers
from dfnb.records.http_headers import Pairs as Pairs
from dfnb.records.http_headers import pairs_of
from dfnb.records.http_references import hidden, is_secret, rebuilt
from dfnb.records.http_wire import wire_form
from dfnb.records.retry import RetryPolicy
from dfnb.records.times import to_microseconds

CREDENTIAL_HEADERS = frozenset({
    "api-key", "apikey", "authentication", "authorization", "cookie", "ocp-apim-subscription-key", "private-token",
    "proxy-authorization", "x-access-token", "x-amz-security-token", "x-api-key", "x-auth-token", "x-csrf-token", "x-functions-key",
    "x-goog-api-key", "x-goog-iam-authorization-token", "x-identity-header", "x-ms-authorization-auxiliary",
    "x-ms-copy-source-authorization", "x-subscription-key", "x-vault-token", "x-xsrf-token",
})  # fmt: skip
"""Headers whose value is usually a credential; in lower case, compared ignoring case."""

_PASSWORD = re.compile(r"^[a-z]+://(?P<login>[^/?#]*:[^/?#]+)@", re.IGNORECASE)
_LOGIN = re.compile(r"(?<=://)[^/]*@")
_CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?(?P<name>[^\s\"';]+)", re.IGNORECASE)
_NO_CHARSETS = frozenset({"idna", "mbcs", "oem", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})
"""Codecs of Python that no server means, or that mean another thing on another machine."""


# ---- what came back


class DurableHttpResponse(dict[str, Any]):
    """What an HTTP API answered: ``r["statusCode"]``, ``r["headers"]``, ``r["content"]``, and the same as attributes.

    `content` is the body as text (undecodable bytes replaced), `content_bytes` exactly what came. `url` is where the answer came
    from. `failed` is True when the job that was waited for says that it has failed; `note` tells what was odd.
    """

    def __init__(
        self, status_code: int, headers: Iterable[tuple[str, str]] | Mapping[str, Any] = (), content: str = "", *, url: str = "",
        charset: str | None = "utf-8", failed: bool = False, note: str = "",
    ) -> None:
        known = Headers(headers)
        self._charset = charset
        self._binary = b"" if charset is not None else base64.b64decode(content)
        text = content if charset is not None else _readable(self._binary, known)
        super().__init__(statusCode=status_code, headers=known, content=text)
        self.url = url
        self.failed = failed
        self.note = note

    @classmethod
    def of(cls, event: HttpCallCompleted) -> DurableHttpResponse:
        """The answer that an event of the history holds."""
        return cls(
            event.status, event.headers, event.content, url=event.url, charset=event.charset, failed=event.failed, note=event.note
        )

    def __missing__(self, key: str) -> Any:
        if key == "status_code":
            return self["statusCode"]
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return key == "status_code" or super().__contains__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of that key, or `default`."""
        return super().get("statusCode" if key == "status_code" else key, default)

    @property
    def status_code(self) -> int:
        """The HTTP status, such as 200."""
        return int(self["statusCode"])

    @property
    def headers(self) -> Headers:
        """The headers, their names compared ignoring case."""
        headers: Headers = self["headers"]
        return headers

    @property
    def content(self) -> str:
        """The body as text."""
        return str(self["content"])

    @property
    def content_bytes(self) -> bytes:
        """The body exactly as it came."""
        return self._binary if self._charset is None else self.content.encode(self._charset)

    @property
    def charset(self) -> str | None:
        """What the body was decoded with; None if it is no text."""
        return self._charset

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx and no job has failed."""
        return 200 <= self.status_code < 300 and not self.failed

    def json(self) -> Any:
        """The body as JSON. ValueError with its beginning if it is none, as with an error page."""
        try:
            return json.loads(self._binary if self._charset is None else self.content.removeprefix("\ufeff"))
        except (ValueError, RecursionError) as error:
            begin = f"{self.content[:80]!r}" if self.content else "an empty body"
            raise ValueError(f"the answer ({self.status_code}) from {self.url or 'the server'} is not JSON: {begin}") from error

    def __repr__(self) -> str:
        failed = ", failed" if self.failed else ""
        return f"<DurableHttpResponse {self.status_code}{failed}, {len(self.content_bytes)} bytes>"


def response_text(body: bytes, content_type: str | None) -> tuple[str, str | None]:
    """A body as text and what gives the same bytes again: the charset declared, else UTF-8. None: no text, hence base64."""
    declared = _declared(content_type)
    if declared is not None and declared != "utf-8":
        text = _exactly(body, declared)
        if text is not None:
            return text, declared
    try:
        return body.decode(), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), None


def _declared(content_type: str | None) -> str | None:
    """The name Python has for the charset a content type declares, if it has one."""
    found = _CHARSET.search(content_type or "")
    if found is None:
        return None
    try:
        name = codecs.lookup(found["name"]).name.replace("_", "-")
    except (LookupError, ValueError):
        return None
    return None if name in _NO_CHARSETS else name


def _exactly(body: bytes, charset: str) -> str | None:
    """The text, if it gives the same bytes again and can be stored."""
    try:
        text = body.decode(charset)
        text.encode()
        return text if text.encode(charset) == body else None
    except (LookupError, ValueError):
        return None


def _readable(body: bytes, headers: Headers) -> str:
    """Bytes that are no text, as far as they can be read."""
    try:
        return body.decode(_declared(next(iter(headers.get_list("content-type")), None)) or "utf-8", "replace")
    except (LookupError, ValueError):
        return body.decode("utf-8", "replace")


# ---- what was asked for

_understood: dict[str, Callable[[Any], Any]] = {}


def understand(**readers: Callable[[Any], Any]) -> None:
    """How some field of a request is checked and made recordable, by its name: the room that sends says it once."""
    _understood.update(readers)


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
        if not isinstance(self.method, str) or not (self.method.isascii() and self.method.isalpha()):
            raise ValueError(f"the method must be a word like GET or POST, not {self.method!r}")
        check_uri(self.uri)
        if self.is_raw_str and not isinstance(self.content, str) and not is_secret(self.content):
            raise TypeError(f"is_raw_str is for content that is a text, not {type(self.content).__name__}")
        check_headers(self.headers)
        check_span("timeout", self.timeout)
        if not isinstance(self.deadline, datetime):
            check_span("deadline", self.deadline)
        check_retries(self.retry_options)
        object.__setattr__(self, "status_codes_to_retry", checked_codes(self.status_codes_to_retry))
        if not isinstance(self.idempotency_key, bool | str) or self.idempotency_key == "":
            raise ValueError(f"idempotency_key must be True, or a text of your own, not {self.idempotency_key!r}")
        for name, read in _understood.items():
            object.__setattr__(self, name, read(getattr(self, name)))

    def __repr__(self) -> str:
        return f"<DurableHttpRequest {self.title}>"  # headers and content may hold what is nobody's business

    @property
    def title(self) -> str:
        """The call in few words: method and URL without its login, query and fragment."""
        place = re.split("[?#]", hidden(str(self.uri)), maxsplit=1)[0]
        return f"{self.method.upper()} {_LOGIN.sub('', place, count=1)}"

    @property
    def plain_credentials(self) -> list[str]:
        """Where a credential seems to stand that is no secret, and would be recorded as it is; in words."""
        found = [f"the value of header {name!r}" for name, value in pairs_of(self.headers) if _is_plain_credential(name, value)]
        login = _PASSWORD.match(hidden(str(self.uri)))
        if login is not None and "<secret: " not in login["login"]:
            found.append("the password in the URL")
        return list(dict.fromkeys(found))

    def encode(self, now: int) -> str:
        """The call as it is recorded; secrets as the references they are. PayloadError if something has no JSON form."""
        binary = isinstance(self.content, bytes | bytearray | memoryview)
        record = HttpCallRecord(
            self.method.upper(), None, None, None, binary, self.is_raw_str, None, self.asynchronous_pattern_enabled,
            _retry_record(self.retry_options), self.status_codes_to_retry, _microseconds(self.timeout),
            _moment(self.deadline, now), None, self.idempotency_key, self.client,
        )
        values = {
            **{name: value for name, value in msgspec.structs.asdict(record).items() if value not in (None, False, ())},
            "uri": self.uri, "content": _as_sent(self.content), "headers": dict(self.headers or {}),
            "token_source": self.token_source, "poll": self.poll,
        }
        return payload.encode(values, what=f"the request {self.title!r}") or ""

    def to_wire(self) -> dict[str, Any]:
        """The call as the original writes it, for people and tests; secrets as ``<secret: NAME>``."""
        return wire_form(self.encode(0))


def _is_plain_credential(name: str, value: Any) -> bool:
    plain = isinstance(value, str) and bool(value.strip()) and not _names_a_secret(value)
    return plain and name.lower() in CREDENTIAL_HEADERS


def _names_a_secret(text: str) -> bool:
    return hidden(text) != text


def _as_sent(content: Any) -> Any:
    """The data to send: objects as their own `to_json` says, without the class that only a reader here would need."""
    try:
        return _plain(content)
    except Exception:  # what is wrong with it, and where, is said when it is written
        return content


def _plain(value: Any) -> Any:
    kind = type(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if is_secret(value):
        return value
    if hasattr(kind, "to_json"):
        return _plain(kind.to_json(value))
    if hasattr(kind, "__dataclass_fields__"):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value


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
    """A recorded call, read back; `binary`: `content` is base64. Secrets and token sources are the objects they were."""

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
        plain = rebuilt(text)
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

    Headers such as Set-Cookie are redacted here alone: the history has those of the last answer as they came, for the orchestrator.
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
