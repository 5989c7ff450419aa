"""The jobs of a fake API: how long one takes, what it says of itself, and where it says one should ask."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from dfnb.engine.clock import Clock
from dfnb.errors import DefinitionError, nearest
from dfnb.records.times import MICROSECOND, to_datetime
from dfnb.testing.wire import Headers, ReceivedRequest, RetryValue, retry_headers

if TYPE_CHECKING:
    from dfnb.testing.fake_dialects import Dialect

State = Literal["created", "queued", "running", "succeeded", "failed", "cancelled"]
ENDED = ("succeeded", "failed", "cancelled")
_LOCATIONS = ("absolute", "relative", "changing", "other-origin", "downgrade", "file", "missing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How the jobs of one endpoint go; see `AsyncApi.job`."""

    path: str
    dialect: Dialect
    variant: str = ""
    takes: timedelta | None = None
    polls: float | None = None
    result: Any = None
    fails: str | Mapping[str, Any] | bool | None = None
    fail_status: int | None = None
    retry_after: Sequence[RetryValue | tuple[RetryValue, ...]] = (1,)
    location: str = "absolute"
    spelling: Callable[[str], str] = str
    appears_after: timedelta = timedelta(0)
    forgotten_after: timedelta | None = None
    method: str | None = None
    requires: str | None = None

    def __post_init__(self) -> None:
        if self.variant not in ("", *self.dialect.variants):
            known = ", ".join(map(repr, self.dialect.variants)) or "none"
            raise DefinitionError(f"this dialect has no variant {self.variant!r}; known are: {known}")
        if self.location not in _LOCATIONS and not set("/:") & set(self.location):
            close = nearest(self.location, _LOCATIONS)
            hint = f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(_LOCATIONS)}, or an address"
            raise DefinitionError(f"location={self.location!r} says nothing; {hint}")
        if self.polls is not None and (math.isnan(self.polls) or self.polls < 0):
            raise DefinitionError(f"polls must be how many polls are answered with 'not yet', not {self.polls!r}")
        if self.polls is None and self.takes is None:
            object.__setattr__(self, "polls", 1)


@dataclass(slots=True, eq=False)
class Job:
    """One job that was started, as it is now. Its clock runs from the start, or from `begun_at` where a dialect starts it later."""

    number: int
    plan: Plan
    request: ReceivedRequest
    clock: Clock
    base: str
    skew: int = 0
    started_at: int = 0
    begun_at: int | None = None
    ended_at: int | None = None
    asked: int = 0
    cancelled: bool = False
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def __post_init__(self) -> None:
        self.started_at = self.clock.now()
        if not self.plan.dialect.two_steps:
            self.begun_at = self.started_at

    @property
    def state(self) -> State:
        """How far it is."""
        with self._lock:
            if self.cancelled:
                return "cancelled"
            if self.begun_at is None:
                return "created"
            if self._done(self.begun_at):
                self.ended_at = self.ended_at or self.clock.now()
                return "failed" if self.plan.fails else "succeeded"
            return "running" if self.asked > 1 else "queued"

    @property
    def ended(self) -> bool:
        """Whether it is over, well or not."""
        return self.state in ENDED

    @property
    def percent(self) -> int:
        """How much is done, from 0 to 100."""
        if self.ended:
            return 100
        takes, begun, polls = self.plan.takes, self.begun_at, self.plan.polls
        if begun is None:
            return 0
        if takes:
            return min(99, 100 * (self.clock.now() - begun) // (takes // MICROSECOND))
        return min(99, int(100 * self.asked / (polls + 1))) if polls is not None and not math.isinf(polls) else 0

    @property
    def word(self) -> str:
        """The status word, as this dialect has it for the state, in the plan's spelling."""
        return self.say(self.plan.dialect.words_of(self)[self.state])

    @property
    def error(self) -> dict[str, Any]:
        """What a failed job says of itself: a code and a message."""
        if self.cancelled:
            return {"code": "Cancelled", "message": "The operation was cancelled."}
        fails = self.plan.fails
        if isinstance(fails, Mapping):
            return dict(fails)
        return {"code": "OperationFailed", "message": fails if isinstance(fails, str) else "The operation failed."}

    @property
    def path(self) -> str:
        """The path it was started at."""
        return self.request.path

    @property
    def now(self) -> str:
        """The time of the server's clock, as JSON bodies write it."""
        return self.time(self.clock.now())

    def time(self, at: int) -> str:
        """A time of the server's clock, as JSON bodies write it."""
        return to_datetime(at + self.skew).isoformat().replace("+00:00", "Z")

    def say(self, word: str) -> str:
        """A status word in the plan's spelling."""
        return self.plan.spelling(word)

    def begin(self) -> None:
        """Start what a two-step dialect has only created."""
        with self._lock:
            if self.begun_at is None:
                self.begun_at, self.asked = self.clock.now(), 0

    def ask(self) -> None:
        """Note that its status is asked for once more."""
        with self._lock:
            self.asked += 1

    def cancel(self) -> None:
        """End it, unless it has ended."""
        with self._lock:
            if not self.ended:
                self.cancelled, self.ended_at = True, self.clock.now()

    def url(self, path: str) -> str:
        """A path of this API as a full URL."""
        return self.base + path

    def pointing(self, name: str, path: str, base: str | None = None) -> Headers:
        """The header that says where to ask, in the plan's manner."""
        address = self._address(path, base or self.base)
        return () if address is None else ((name, address),)

    def waits(self) -> Headers:
        """``Retry-After`` for the present answer, in the plan's manner."""
        values = self.plan.retry_after
        if not values:
            return ()
        return retry_headers(values[min(self.asked, len(values) - 1)], self.clock.now() + self.skew)

    def missing(self) -> int | None:
        """404 while its status cannot be asked for yet, 410 when the API has forgotten it."""
        now, forgotten = self.clock.now(), self.plan.forgotten_after
        if now < self.started_at + self.plan.appears_after // MICROSECOND:
            return 404
        if forgotten is not None and self.ended and now > (self.ended_at or now) + forgotten // MICROSECOND:
            return 410
        return None

    def _done(self, begun: int) -> bool:
        takes, polls = self.plan.takes, self.plan.polls
        long_enough = takes is None or self.clock.now() - begun >= takes // MICROSECOND
        return long_enough and (polls is None or self.asked > polls)

    def _address(self, path: str, base: str) -> str | None:
        match self.plan.location:
            case "absolute":
                return base + path
            case "relative":
                return path
            case "changing":
                return f"{base}{path}{'&' if '?' in path else '?'}step={self.asked + 1}"
            case "other-origin":
                return other_origin(base) + path
            case "downgrade":
                return base.replace("https://", "http://") + path
            case "file":
                return "file:///etc/hostname"
            case "missing":
                return None
            case given:
                return given


def other_origin(base: str) -> str:
    """Another origin that the same API answers at: loopback by its other name, or a host called ``monitor``."""
    parts = urlsplit(base)
    port = f":{parts.port}" if parts.port else ""
    names = {"127.0.0.1": "localhost", "localhost": "127.0.0.1"}
    host = parts.hostname or ""
    return f"{parts.scheme}://{names.get(host, 'monitor.' + host)}{port}"
