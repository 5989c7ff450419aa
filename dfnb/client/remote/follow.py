"""`dfnb.follow`: any URL that answers "not yet", followed live to its end. Nothing of it is kept: it ends with the process."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
import weakref
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from dfnb.client import html
from dfnb.client.entities import clock
from dfnb.client.http_log import HttpLog, http_log, state_of, status_words
from dfnb.client.instance import WaitInterrupted
from dfnb.errors import (
    HttpCallError,
    HttpConnectionError,
    HttpRefusedError,
    HttpRetriesExhaustedError,
    HttpTimeoutError,
    RemoteError,
    WaitTimeoutError,
)
from dfnb.records.failure import qualified_name
from dfnb.records.history import HttpCallCompleted, HttpCallFailed
from dfnb.records.http import DurableHttpRequest, DurableHttpResponse, Exchange
from dfnb.records.times import to_datetime
from dfnb.threads import LoopThread

if TYPE_CHECKING:
    from dfnb.durable_http.calls import Again, CallWork, Over
    from dfnb.durable_http.redaction import Redactor
    from dfnb.durable_http.sending import Sent

logger = logging.getLogger("dfnb")

_LOOK_SECONDS = 0.1
_LONGEST_ANSWER = 64_000_000
_EVERY = 5.0
_FLOOR = 0.2
_KEPT = 1_000
_KEPT_BYTES = 32_000_000
_BAD = frozenset({"Failed", "Terminated", "Canceled"})
_ERRORS = {
    qualified_name(kind): kind for kind in (HttpTimeoutError, HttpConnectionError, HttpRetriesExhaustedError, HttpRefusedError)
}
_HIDDEN = "<redacted>"


def follow(
    url: str, *, headers: Mapping[str, Any] | None = None, poll: Any = None, transport: Any = None
) -> Followed:
    """Follow a status URL until what it stands for is done: it is asked again for as long as it answers "not yet".

    `url`: any that answers 202, such as the ``statusQueryGetUri`` of a Durable Functions app; the server's Location and Retry-After
    are obeyed. `headers` may hold secrets. `poll`: the name of a dialect, or a `Poll`, for an API that says "not yet" in a body
    with status 200. `transport`: an async transport of httpx. It runs on a thread of its own and ends with the process; for what
    has to survive that, call it from an orchestrator with ``context.call_http``.
    """
    return Followed(url, headers, poll, transport)


class Followed:
    """A URL that is being followed: wait for it, await it, look at it. `await` and `result()` give the answer that ended it."""

    def __init__(self, url: str, headers: Mapping[str, Any] | None = None, poll: Any = None, transport: Any = None) -> None:
        self._work = _first_work(url, headers, poll)
        self._poll = poll
        self._redactor = _redactor_for(url, headers)
        self._transport = transport
        self.url = self._redactor.url(url)
        self._lock = threading.Lock()
        self._exchanges: list[Exchange] = []
        self._count = 0
        self._document: dict[str, Any] | None = None
        self._watchers: list[Callable[[frozenset[str]], None]] = []
        self._due: int | None = None
        self._end: Future[HttpCallCompleted | HttpCallFailed] = Future()
        self._thread = LoopThread("dfnb-follow")
        self.started_at = time.time_ns() // 1_000
        self.ended_at: int | None = None
        weakref.finalize(self, self._thread.close, 2.0)  # its own thread keeps it, so that this comes at the exit of the program
        self._thread.run(self._follow).add_done_callback(self._over)

    # look

    @property
    def id(self) -> str:
        """What the URL stands for: the instance's id if it is a Durable Functions app that answers, else the URL itself."""
        return str((self.json or {}).get("instanceId") or self.url)

    @property
    def is_over(self) -> bool:
        """Whether nothing more is asked."""
        return self._end.done()

    @property
    def status(self) -> str:
        """The runtime status that a Durable Functions app tells; of others Running, Completed or Failed."""
        told = (self.json or {}).get("runtimeStatus")
        if isinstance(told, str) and not (self.is_over and self._has_failed() and told not in _BAD):
            return told
        return "Running" if not self.is_over else "Failed" if self._has_failed() else "Completed"

    def _has_failed(self) -> bool:
        end = self.end
        if end is None:
            return self.is_over
        return isinstance(end, HttpCallFailed) or end.failed or end.status >= 400

    @property
    def json(self) -> dict[str, Any] | None:
        """The latest answer's JSON object; None if it had none."""
        return self._document

    @property
    def output(self) -> Any:
        """What a Durable Functions app tells as the output; None while there is none."""
        return (self.json or {}).get("output")

    @property
    def next_at(self) -> int | None:
        """When the next request is due, in microseconds since 1970; None once it is over."""
        return self._due

    @property
    def count(self) -> int:
        """How many requests were sent."""
        return self._count

    @property
    def polls(self) -> HttpLog:
        """Every request so far (of very many, the latest) with status, what the server asked for, and what came.

        Of bodies that are large all in all only the latest are kept.
        """
        with self._lock:
            return http_log(self.id, self._exchanges)

    @property
    def end(self) -> HttpCallCompleted | HttpCallFailed | None:
        """How it ended as an HTTP call of a history does; None while it goes on, and if it broke off."""
        whole = self._end.done() and not self._end.cancelled() and self._end.exception() is None
        return self._end.result() if whole else None

    @property
    def failure(self) -> str:
        """Why it could not be followed to its end, in a sentence; empty if it was, and while it is."""
        if not self._end.done() or self._end.cancelled():
            return ""
        error = self._end.exception()
        if error is not None:
            return str(error)
        end = self._end.result()
        return end.failure.summary if isinstance(end, HttpCallFailed) else ""

    # wait

    def wait(self, timeout: float | None = None) -> str:
        """Wait for the end; the last status. WaitTimeoutError after `timeout` seconds, and it is still followed."""
        self._ended(timeout)
        return self.status

    def result(self, timeout: float | None = None) -> DurableHttpResponse:
        """Wait for the end; the answer that ended it. HttpCallError, with the latest answer, if it could not be followed so far."""
        return self._answer(self._ended(timeout))

    def _ended(self, timeout: float | None) -> HttpCallCompleted | HttpCallFailed:
        limit = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _LOOK_SECONDS if limit is None else min(_LOOK_SECONDS, max(0.0, limit - time.monotonic()))
            try:
                return self._end.result(left)
            except TimeoutError:
                if limit is not None and time.monotonic() >= limit and not self._end.done():
                    due = f"waiting until {clock(to_datetime(self._due))}" if self._due is not None else ""
                    raise WaitTimeoutError(self.id, timeout or 0, due) from None
            except KeyboardInterrupt:
                raise WaitInterrupted(f"stopped waiting for {self.id}; it is still followed in the background") from None

    def __await__(self) -> Generator[Any, None, DurableHttpResponse]:
        return self._awaited().__await__()

    async def _awaited(self) -> DurableHttpResponse:
        """Wakes itself every 0.1 s: a bare await of the future could not be interrupted in a kernel."""
        import asyncio

        from dfnb.client.cancelled import WaitCancelled

        waiting = asyncio.wrap_future(self._end)
        try:
            while not waiting.done():
                await asyncio.wait({waiting}, timeout=_LOOK_SECONDS)
        except asyncio.CancelledError:
            raise WaitCancelled(f"stopped waiting for {self.id}; it is still followed in the background") from None
        return self._answer(waiting.result())

    def _answer(self, end: HttpCallCompleted | HttpCallFailed) -> DurableHttpResponse:
        if isinstance(end, HttpCallCompleted):
            return DurableHttpResponse.of(end)
        last = DurableHttpResponse.of(end.last) if end.last is not None else None
        raise _ERRORS.get(end.failure.error_type, HttpCallError)(f"HTTP call 'GET {self.url}'", end.failure, 0, last)

    def watch(self, callback: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        """Call back after each answer, from another thread. Returns what ends it."""
        self._watchers.append(callback)

        def end() -> None:
            with contextlib.suppress(ValueError):
                self._watchers.remove(callback)

        return end

    def close(self) -> None:
        """Stop following; what runs on the server goes on."""
        self._thread.close(2.0)
        if not self._end.done():
            self._stop(RemoteError(self.url, "is not followed any more"))

    # follow: on the thread

    async def _follow(self) -> HttpCallCompleted | HttpCallFailed:
        import asyncio

        from dfnb.durable_http.calls import Over
        from dfnb.durable_http.sending import Sender, default_client
        from dfnb.durable_http.tokens import Tokens

        factory = default_client if self._transport is None else lambda: self._transport
        sender = Sender(_now, clients={"": factory}, tokens=Tokens(), public_only=False, longest=_LONGEST_ANSWER)
        try:
            while True:
                sent = await sender.send(self._work)
                outcome = self._read(sent)
                self._note(sent, outcome)
                if isinstance(outcome, Over):
                    return outcome.event
                self._work = outcome.work
                await asyncio.sleep(max(0.0, (outcome.at - _now()) / 1e6))
        finally:
            await sender.close()

    def _read(self, sent: Sent) -> Again | Over:
        """What the answer leads to. The first one shows how this server says "not yet"."""
        from dfnb.durable_http.calls import read_answer

        if self._work.next_purpose == "first" and self._poll is None:
            self._work = _recognised(self._work, sent)
        return read_answer(self._work, sent.answer, task=0, kind=sent.kind)

    def _note(self, sent: Sent, outcome: Again | Over) -> None:
        exchange = _exchange(self._count + 1, self._work, sent, outcome, self._redactor)
        document = _object_in(sent.answer.body)
        with self._lock:
            self._count += 1
            self._due = exchange.due_at
            self._document = document if document is not None or sent.answer.error is None else self._document
            kept = [*self._exchanges, exchange]
            kept = kept if len(kept) <= _KEPT else kept[_KEPT // 10 :]  # seldom, as a view then begins anew
            self._exchanges = _without_old_bodies(kept, _KEPT_BYTES)
        if exchange.due_at is not None:
            self._tell()

    def _over(self, future: Future[HttpCallCompleted | HttpCallFailed]) -> None:
        if future.cancelled():
            self._stop(RemoteError(self.url, "is not followed any more"))
        elif future.exception() is not None:
            self._stop(RemoteError(self.url, f"cannot be followed: {self._redactor.redact(str(future.exception()))}"))
        else:
            self.ended_at = _now()
            self._end.set_result(future.result())
            self._tell()
        with contextlib.suppress(RuntimeError):  # this is the thread itself, which cannot wait for its own end
            self._thread.close(0.0)

    def _stop(self, error: RemoteError) -> None:
        if not self._end.done():
            self.ended_at, self._due = _now(), None
            self._end.set_exception(error)
            self._tell()

    def _tell(self) -> None:
        for callback in list(self._watchers):
            try:
                callback(frozenset([self.id]))
            except Exception:  # one watcher's trouble is none of the others', nor of the following
                logger.exception("dfnb: a callback of watch() failed")

    # how it looks

    def __repr__(self) -> str:
        polls = f"{self._count} {'request' if self._count == 1 else 'requests'}"
        return f"<Followed {self.id!r}: {self.status}, {polls}{f', {self.failure}' if self.failure else ''}>"

    def _repr_html_(self) -> str:
        told = self.json or {}
        last = self._exchanges[-1].status if self._exchanges else None
        due = f"next request at {clock(to_datetime(self._due))}" if self._due is not None else ""
        state = self.status if told.get("runtimeStatus") else state_of(last) if self._exchanges else "Running"
        head = [
            html.span("dfnb-pill", self.status), html.span("dfnb-name", str(told.get("name") or "")),
            html.span("dfnb-id", self.id), html.span("dfnb-quiet", status_words(last) if self._exchanges else ""),
        ]
        rows = [
            html.row("URL", html.span("dfnb-mono", self.url) if self.id != self.url else ""),
            html.row("waiting for", escape(due)),
            html.row("custom status", escape(_plain(told.get("customStatus")))),
            html.row("output", escape(_plain(told.get("output"))), "dfnb-mono"),
            html.row("failure", html.span("dfnb-bad", self.failure) if self.failure else ""),
            html.row("requests", self.polls._repr_html_() if self._exchanges else ""),
        ]
        return html.card(state, head, rows)


# ---- parts


def _first_work(url: str, headers: Mapping[str, Any] | None, poll: Any) -> CallWork:
    """The call to begin with. ValueError or TypeError with a sentence for what cannot be sent."""
    from dfnb.durable_http.calls import begin_call
    from dfnb.durable_http.description import Poll
    from dfnb.durable_http.retry_after import Pace

    if poll is not None:
        known = Poll.like(poll)
        poll = Poll.like(poll, locate=(*known.locate, "{url}"))
    now = _now()
    record = DurableHttpRequest("GET", url, headers=headers, poll="auto" if poll is None else poll).encode(now)
    return begin_call(record, instance_id="", generation=0, task=0, now=now, pace=Pace(every=_EVERY, floor=_FLOOR))


def _recognised(work: CallWork, sent: Sent) -> CallWork:
    """The same call in the words of who answered: Durable Functions by its JSON, and any 202 without a Location is asked again."""
    from dfnb.durable_http.description import Poll
    from dfnb.durable_http.dialects import DURABLE_FUNCTIONS, LOCATION, recognise

    answer = sent.answer
    told = _object_in(answer.body) or {}
    if "runtimeStatus" in told and "instanceId" in told:
        own = Poll.like(DURABLE_FUNCTIONS, locate=(*DURABLE_FUNCTIONS.locate, "{url}"), accepted=(200, 202))
    elif answer.status == 202 and recognise(work.poll.first, answer) is None:
        own = Poll.like(LOCATION, locate=(*LOCATION.locate, "{url}"))
    else:
        return work
    return msgspec.structs.replace(work, poll=msgspec.structs.replace(work.poll, dialect="own", own=own))


def _exchange(number: int, work: CallWork, sent: Sent, outcome: Again | Over, redactor: Redactor) -> Exchange:
    """What is shown of a request and its answer: no credential that the caller gave, wherever it comes back."""
    answer = sent.answer
    goes_on = hasattr(outcome, "work")
    return Exchange(
        0, 0, number, work.next_purpose, sent.sent_at, sent.took, work.poll.request.method, redactor.url(sent.url),
        redactor.headers(sent.request_headers), b"", answer.status or None, redactor.headers(answer.headers),
        redactor.redact(answer.body), getattr(outcome, "asked", None), getattr(outcome, "at", None) if goes_on else None,
        redactor.redact(outcome.note) or None, redactor.redact(answer.error) if answer.error is not None else None,
    )


def _without_old_bodies(exchanges: list[Exchange], most: int) -> list[Exchange]:
    """The same, with the bodies of the latest that have at most so many bytes together, but always with the last one's."""
    room = most
    kept = []
    for place, one in enumerate(reversed(exchanges)):
        room -= len(one.response_body)
        if room < 0 and place and one.response_body:
            size = f"its body of {len(one.response_body):,} bytes was not kept"
            one = msgspec.structs.replace(one, response_body=b"", note="; ".join(filter(None, [one.note, size])))
        kept.append(one)
    return kept[::-1]


def _redactor_for(url: str, headers: Mapping[str, Any] | None) -> Redactor:
    """Knows the credentials in a URL and in headers."""
    from dfnb.durable_http.redaction import SENSITIVE_QUERY, Redactor
    from dfnb.records.http import CREDENTIAL_HEADERS

    redactor = Redactor()
    for name, value in parse_qsl(urlsplit(str(url)).query):
        if name.lower() in SENSITIVE_QUERY:
            redactor.add(value, _HIDDEN)
    for name, value in (headers or {}).items():
        if name.lower() in CREDENTIAL_HEADERS and isinstance(value, str):
            redactor.add(value.rpartition(" ")[2], _HIDDEN)
    return redactor


def _object_in(body: bytes) -> dict[str, Any] | None:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def _plain(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _now() -> int:
    return time.time_ns() // 1_000
