"""What a durable HTTP call is between two exchanges, and how it begins."""

from __future__ import annotations

from typing import Literal

import msgspec

from dfnb.durable_http import urls
from dfnb.durable_http.description import Poll
from dfnb.durable_http.dialects import KNOWN, checked
from dfnb.durable_http.messages import Answer, Request, header
from dfnb.durable_http.retry_after import Pace

Phase = Literal["first", "start", "poll", "result"]
Why = Literal["answered", "ok", "fail", "refused", "error", "exhausted", "deadline"]
_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
_KEYS_OF_REPEATS = ("Idempotency-Key", "Repeatability-Request-ID")


class PollState(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A call between two exchanges. Times are microseconds since 1970, UTC."""

    request: Request
    """What to send next."""
    first: Request
    """The request the call began with; without its body once that cannot be needed again."""
    started_at: int
    dialect: str = "auto"
    """The dialect's name: "auto" until the first answer shows which, "own" when `own` describes it, "off" for no polling."""
    own: Poll | None = None
    pace: Pace = Pace()
    seed: int = 0
    """What the jitter of this call is drawn from."""
    deadline_at: int | None = None
    repeatable: bool = False
    """Whether the first request may be sent twice."""
    phase: Phase = "first"
    attempt: int = 0
    """How many answers have come, missing ones included."""
    status_url: str | None = None
    """What is polled."""
    located_by: str = ""
    located_at: int = 0
    first_location: str | None = None
    cancel: str = ""
    """The request that would cancel the job, as far as it is known."""
    failures: int = 0
    """How many answers in a row were of no use."""
    redirects: int = 0
    last_status: int = 0
    word: str | None = None
    """The latest status word, as the server writes it."""
    progress: str | None = None


class AskAgain(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Not yet: send `request` at `at`. `asked`: how many seconds the server wanted; `note`: what was odd."""

    state: PollState
    at: int
    asked: float | None = None
    note: str = ""

    @property
    def request(self) -> Request:
        """What to send."""
        return self.state.request


class Finished(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The call is over. `failed`: the job did not end well, or was not followed to its end; `why` and `note` say more."""

    answer: Answer
    failed: bool
    why: Why
    state: PollState
    note: str = ""


Step = AskAgain | Finished


def begin(
    request: Request,
    poll: str | Poll | None = "auto",
    *,
    now: int,
    pace: Pace | None = None,
    seed: int = 0,
    deadline_at: int | None = None,
    repeatable: bool | None = None,
) -> PollState:
    """The state of a call before its first request is sent.

    `poll` names a dialect, describes one, is "auto", or None for no polling. `repeatable` says whether the first request may be
    sent again; left out, it may when its method is safe to repeat or it has an idempotency key.
    """
    if urls.origin(request.url) is None:
        raise ValueError(f"{request.url!r} is no URL that can be called: it must start with http:// or https:// and name a host")
    checked(poll)
    return PollState(
        request=request,
        first=request,
        started_at=now,
        dialect="own" if isinstance(poll, Poll) else poll or "off",
        own=poll if isinstance(poll, Poll) else None,
        pace=pace or Pace(),
        seed=seed,
        deadline_at=deadline_at,
        repeatable=_is_repeatable(request) if repeatable is None else repeatable,
    )


def cancel_request(state: PollState) -> Request | None:
    """The request that cancels the job on the server, if its API has one, the user wants it sent, and the job was started."""
    if not description(state).cancels or not state.cancel:
        return None
    method, _, url = state.cancel.partition(" ")
    return onward(state, url, method)


def description(state: PollState) -> Poll:
    """How the API of this call says "not yet"."""
    return state.own if state.own is not None else KNOWN.get(state.dialect, KNOWN["auto"])


def _is_repeatable(request: Request) -> bool:
    keyed = any(header(request.headers, name) is not None for name in _KEYS_OF_REPEATS)
    return keyed or request.method.upper() in _REPEATABLE


def onward(state: PollState, url: str, method: str = "GET", *, keep: bool = False) -> Request:
    """A request of this call to another URL, with only what may go there. `keep`: it is still the first request, redirected."""
    poll, first = description(state), state.first
    home = {urls.origin(first.url), *map(urls.origin, poll.origins)}
    trusted = urls.origin(url) in home and (keep or poll.auth == "origin")
    headers = urls.headers_along(first.headers, trusted=trusted, with_body=keep)
    return Request(method, url, headers, first.body if keep else None, trusted)
