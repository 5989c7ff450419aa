"""One request over the wire: secrets and tokens put in, sent, the answer read, and both made fit to be written down."""

from __future__ import annotations

import asyncio
import http.cookiejar
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx

from dfnb.durable_http import urls
from dfnb.durable_http.addresses import pinned
from dfnb.durable_http.calls import CallWork
from dfnb.durable_http.messages import Answer, Headers, Request, header
from dfnb.durable_http.redaction import Redactor
from dfnb.durable_http.secrets import resolve, secrets_in, shown
from dfnb.durable_http.tokens import Tokens
from dfnb.durable_http.transport import AiohttpTransport
from dfnb.durable_http.unlogged import unlogged
from dfnb.durable_http.unpacking import ACCEPTED, read_body
from dfnb.errors import PrivateAddressError, SecretNotAvailableError, TokenError
from dfnb.version import package_version

Factory = Callable[[], Any]
"""Makes an `httpx.AsyncClient`, or a transport for one."""

DEFAULT_TIMEOUT = 240.0
"""Seconds for one exchange, as in the original, when the call names no timeout."""
_LAST_LOOK = 10.0
"""Seconds for a request that is sent at the deadline itself."""


class _Marks(Redactor):
    """Puts the reference of a secret where an answer repeats its value: a Location that has it can still be followed."""

    def __init__(self, request: Request) -> None:
        super().__init__()
        named = secrets_in([request.url, request.headers, request.body])
        self._marker_of = {str(secret): secret.marker for secret in named}
        self._tokens: list[str] = []

    def add(self, value: str, shown: str) -> None:
        if shown.startswith("<token"):
            self._tokens.append(shown)
        marker = self._marker_of.get(shown, shown)
        if value != marker:
            super().add(value, marker)

    def without_values(self, answer: Answer) -> Answer:
        """The answer with references for values. References it brought along are none: only our own code may name a secret."""
        headers = tuple((name, self.redact(shown(value))) for name, value in answer.headers)
        error = shown(self.redact_error(answer.error)) if answer.error is not None else None
        return Answer(answer.status, headers, self.redact(shown(answer.body)), answer.url, answer.at, error)

    def told(self, headers: Headers) -> Headers:
        """The headers that were sent, for people."""
        named = tuple((name, shown(value)) for name, value in headers)
        if not self._tokens:
            return named
        return (*(pair for pair in named if pair[0].lower() != "authorization"), ("Authorization", f"Bearer {self._tokens[0]}"))


class Sent(NamedTuple):
    """What came of a request, and what of it is written down. Values of secrets are in neither, references to them are."""

    answer: Answer
    kind: str
    """Why no answer came: timeout, deadline, connection, secret, token, address; empty if one came."""
    waits_for: str
    """What has to happen first, if the request could not even be made: a sentence."""
    sent_at: int
    took: int
    url: str
    request_headers: Headers
    request_body: bytes


class _NoClientError(Exception):
    """The call names a client that nobody has given the app: after a restart the cell that does so may not have run."""


class Sender:
    """Sends requests from one event loop. `clients` are factories by name; the one named "" is the default."""

    def __init__(
        self, now: Callable[[], int], *, clients: Mapping[str, Factory], tokens: Tokens, public_only: bool, longest: int
    ) -> None:
        self._now = now
        self._factories = clients
        self._tokens = tokens
        self._public_only = public_only
        self._longest = longest
        self._clients: dict[str, httpx.AsyncClient] = {}

    async def send(self, work: CallWork) -> Sent:
        """Send the call's next request. Nothing is raised but cancellation."""
        request = work.poll.request
        redactor = _Marks(request)
        sent_at, began = self._now(), time.perf_counter_ns()
        answer, kind, waits_for = Answer(0, url=request.url), "", ""
        try:
            seconds, kind_of_end = self._patience(work)
            async with asyncio.timeout(seconds):
                answer = await self._exchange(work, request, redactor)
        except TimeoutError:
            said = f"no answer within {seconds:g} s" if kind_of_end == "timeout" else "no answer came before the deadline"
            kind, answer = kind_of_end, self._none(request, said)
        except (SecretNotAvailableError, TokenError) as error:
            waits_for = str(error) if error.waits_for_cell else ""
            kind = "secret" if isinstance(error, SecretNotAvailableError) else "token"
            answer = self._none(request, str(error))
        except _NoClientError as error:
            kind, waits_for = "client", str(error)
        except PrivateAddressError as error:
            kind, answer = "address", self._none(request, str(error))
        except (httpx.TimeoutException, httpx.TransportError, httpx.InvalidURL, httpx.DecodingError, OSError) as error:
            kind = "timeout" if isinstance(error, httpx.TimeoutException) else "connection"
            answer = self._none(request, f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
        except Exception as error:  # a user's own transport or factory may raise anything: the call fails by it, not the engine
            kind, answer = "connection", self._none(request, f"{type(error).__name__}: {error}")
        took = (time.perf_counter_ns() - began) // 1000
        return self._told(request, redactor, answer, kind, waits_for, sent_at, took)

    def _patience(self, work: CallWork) -> tuple[float, str]:
        """How many seconds an answer may take, and what it means when none has come by then: a timeout, or the deadline."""
        seconds = (work.timeout or 0) / 1e6 or DEFAULT_TIMEOUT
        deadline = work.poll.deadline_at
        if deadline is None or work.purpose == "cancel":
            return seconds, "timeout"
        left = (deadline - self._now()) / 1e6
        left = left if left > 0 else _LAST_LOOK
        return (seconds, "timeout") if seconds < left else (left, "deadline")

    def _none(self, request: Request, error: str) -> Answer:
        return Answer(0, url=request.url, at=self._now(), error=error)

    async def _exchange(self, work: CallWork, request: Request, redactor: Redactor) -> Answer:
        built = await self._built(work, request, redactor)
        client = self._client(work.client or "")
        if self._public_only:
            built = await asyncio.to_thread(pinned, built)
        with unlogged():
            response = await client.send(built, stream=True, follow_redirects=False)
        try:
            body = await read_body(response, self._longest, self._too_large)
        finally:
            await response.aclose()
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.raw)
        return Answer(response.status_code, headers, body, request.url, self._now())

    def _too_large(self) -> httpx.DecodingError:
        return httpx.DecodingError(
            f"the answer is larger than {self._longest // 1_000_000} MB; a larger max_response_bytes of the app allows it"
        )

    async def _built(self, work: CallWork, request: Request, redactor: Redactor) -> httpx.Request:
        built = await self._with_values(work, request, redactor)
        asked = built.headers.get("Accept-Encoding", "")
        if ("br" in asked or "zstd" in asked) and header(request.headers, "Accept-Encoding") is None:
            built.headers["Accept-Encoding"] = ACCEPTED  # httpx asks for all that it can unpack itself
        return built

    async def _with_values(self, work: CallWork, request: Request, redactor: Redactor) -> httpx.Request:
        client = self._client(work.client or "")
        if not request.trusted:
            return client.build_request(request.method, request.url, headers=list(request.headers), content=request.body)
        headers = [(name, resolve(value, redactor, form="header")) for name, value in request.headers]
        source = work.source()
        if source is not None:
            token = await asyncio.to_thread(self._tokens.get, source)
            headers = [pair for pair in headers if pair[0].lower() != "authorization"]
            headers.append(("Authorization", token.authorization(redactor)))
        body = resolve(request.body, redactor, form=work.body_form) if request.body is not None else None
        url = resolve(request.url, redactor, form="url")
        return client.build_request(request.method, url, headers=headers, content=body)

    def _client(self, name: str) -> httpx.AsyncClient:
        client = self._clients.get(name)
        if client is None:
            if name not in self._factories:
                known = ", ".join(repr(other) for other in self._factories if other) or "none"
                raise _NoClientError(f"the app has no HTTP client named {name!r} yet (it was given: {known}); set app.http")
            client = self._clients[name] = make_client(self._factories[name])
        return client

    def _told(
        self, request: Request, redactor: _Marks, answer: Answer, kind: str, waits_for: str, sent_at: int, took: int
    ) -> Sent:
        plain = Redactor()
        told = redactor.told(request.headers)
        body = shown(request.body) if request.body is not None else b""
        url = plain.url(shown(request.url))
        return Sent(redactor.without_values(answer), kind, waits_for, sent_at, took, url, plain.headers(told), body)

    async def close(self) -> None:
        """Let the connections go."""
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.aclose()


class _NoCookies(http.cookiejar.DefaultCookiePolicy):
    """Cookies of one orchestration are none of another's business; a call that needs one names it as a header."""

    def set_ok(self, cookie: Any, request: Any) -> bool:
        return False

    def return_ok(self, cookie: Any, request: Any) -> bool:
        return False


def default_client() -> httpx.AsyncClient:
    """The client that is used when the app was given none: no redirects, no cookies, as many connections as are needed.

    Proxies are those of the environment (HTTP_PROXY, NO_PROXY, ...), certificates those httpx trusts.
    """
    return httpx.AsyncClient(transport=AiohttpTransport(), **_settings())


def make_client(factory: Factory) -> httpx.AsyncClient:
    """A client from what the user's factory gives: one itself, or a transport."""
    made = factory()
    if isinstance(made, httpx.AsyncClient):
        return made
    if isinstance(made, httpx.AsyncBaseTransport):
        return httpx.AsyncClient(transport=made, **_settings())
    raise TypeError(f"a factory of HTTP clients must return an httpx.AsyncClient or an async transport, not {type(made).__name__}")


def _settings() -> dict[str, Any]:
    return {
        "timeout": httpx.Timeout(None, connect=60.0, pool=None),
        "cookies": http.cookiejar.CookieJar(_NoCookies()),
        "headers": {"User-Agent": _user_agent()},
        "follow_redirects": False,
    }


def _user_agent() -> str:
    version = package_version()
    return f"dfnb/{version}" if version else "dfnb"


class HostGate:
    """How many requests go to one host at once, and until when a host wants to be left alone."""

    def __init__(self, at_once: int = 64) -> None:
        self.at_once = at_once
        """Counts for hosts that were not asked yet."""
        self._places: dict[str, asyncio.Semaphore] = {}
        self._paused: dict[str, int] = {}

    def pause(self, url: str, until: int) -> None:
        """A server has asked for it: no request to that host before then."""
        host = urls.origin(url) or ""
        self._paused[host] = max(until, self._paused.get(host, 0))

    def paused_until(self, url: str, now: int) -> int | None:
        """Until when the host wants to be left alone; None if it does not."""
        host = urls.origin(url) or ""
        until = self._paused.get(host)
        if until is not None and until <= now:
            del self._paused[host]
            return None
        return until

    @asynccontextmanager
    async def place(self, url: str) -> AsyncIterator[None]:
        """A place among those that may talk to the host at once."""
        host = urls.origin(url) or ""
        async with self._places.setdefault(host, asyncio.Semaphore(self.at_once)):
            yield


def waits_asked(answer: Answer, asked: int | None, longest: int) -> int | None:
    """How long, in microseconds, a busy server is left alone by the whole hub: as long as it wants, up to a bound."""
    if asked is None or answer.status not in (429, 503) or header(answer.headers, "Retry-After") is None:
        return None
    return min(asked, longest)
