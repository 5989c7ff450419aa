"""`Poll`: how one kind of API says "not yet", "done" and "failed", as a checked value."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar, cast

from dfnb.durable_http.documents import parse_path
from dfnb.durable_http.places import parse_place
from dfnb.durable_http.retry_after import Pace
from dfnb.durable_http.urls import origin
from dfnb.errors import DefinitionError, nearest
from dfnb.records.short_repr import said_only

_T = TypeVar("_T")
Words = tuple[str, ...]
_METHODS = ("DELETE", "POST", "PUT", "PATCH", "GET")
_ABSENT = ("running", "ok", "fail", "unclear")


def _names_checked(cls: type[_T]) -> type[_T]:
    """A class whose unknown keywords are answered with the nearest known one."""
    plain = cast("Callable[..., None]", cls.__init__)
    known = [field.name for field in dataclasses.fields(cast(Any, cls))]

    @functools.wraps(plain)
    def __init__(self: _T, *args: Any, **given: Any) -> None:
        for name in given:
            if name not in known:
                close = nearest(name, known)
                hint = f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(known)}"
                raise DefinitionError(f"Poll has no field {name!r}; {hint}")
        plain(self, *args, **given)

    setattr(cls, "__init__", __init__)  # noqa: B010 (a plain assignment is what the type checker refuses)
    return cls


@_names_checked
@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """How an API tells how far a job is. Every field has a default, so one says only what is special.

    Places (`locate`, `result`, `wait`, ...) are written as ``header:Location``, ``body:path``, ``{url}/{body.id}`` and so on (see
    `places`); where several are allowed, the first that holds something counts. Status words are compared ignoring case.
    """

    locate: str | Words = ("header:Location",)
    """Where the answer to the first request says what to poll."""
    accepted: tuple[int, ...] = ()
    """Statuses of that answer that begin polling; by default 202, and 200 and 201 too when the body has a status word."""
    start: str = ""
    """A request that has to be sent once before the job runs: ``POST {status}/results``. After an error it is sent again."""
    status: str | Words = ()
    """Where in the body the status word stands: ``properties.status``. None given: the HTTP status alone decides."""
    running: str | Words = ()
    """Words that mean "not yet". A word in no list means it too, and is noted."""
    ok: str | Words = ()
    fail: str | Words = ()
    absent: Literal["running", "ok", "fail", "unclear"] = "unclear"
    """What an answer without a status word means; unclear ones are asked for again `tries` times."""
    error: str = ""
    """Where in the body something stands only when the job failed."""
    pending: tuple[int, ...] = (202,)
    """HTTP statuses that mean "not yet" when no word says otherwise."""
    transient: tuple[int, ...] = (408, 425, 500, 502, 503, 504)
    """HTTP statuses of a poll that are worth another try."""
    tries: int = 5
    """How many answers in a row may be transient, unclear or missing before the call fails."""
    grace: float = 10.0
    """For how many seconds after the start a 404 means "not there yet"."""
    wait: str | Words = ("header:Retry-After",)
    """Where the server says how long to wait."""
    every: float | None = None
    floor: float | None = None
    cap: float | None = None
    jitter: float | None = None
    """Patience of this API alone, in seconds (see `Pace`); what is not given is the app's."""
    result: str | Words = ()
    """Where the result is, once the word is ok. None given, or none found: the last answer is the result."""
    result_codes: tuple[int, ...] = (303,)
    """Redirects that mean: done, and the result is there."""
    no_result: str = ""
    """A text in a refusal of the result's URL that means: done, and there is nothing to fetch."""
    wrapped: bool = False
    """Whether the answer to the first request comes inside the last one, as OData does it."""
    progress: str | Words = ()
    """Where progress can be read; for show only."""
    cancel: str | Words = ()
    """The request that cancels the job: ``DELETE {status}``."""
    cancels: bool = True
    """Whether it is sent at the deadline and when the orchestration is terminated; the built-in dialects leave it to you."""
    auth: Literal["origin", "never"] = "origin"
    """Whether polls to the origin of the first request take its credentials along."""
    origins: str | Words = ()
    """Further origins that may have them: ``https://westeurope.api.example``."""

    __repr__ = said_only

    def __post_init__(self) -> None:
        try:
            self._make_tuples()
            self._check_places()
            self._check_words()
            self._check_numbers()
        except ValueError as problem:
            raise DefinitionError(f"this Poll cannot work: {problem}") from None

    @classmethod
    def like(cls, dialect: str | Poll, **changes: Any) -> Poll:
        """A built-in dialect, or another description, with some fields changed."""
        if isinstance(dialect, str):
            from dfnb.durable_http.dialects import dialect_named  # they are made of this class

            dialect = dialect_named(dialect)
        given = {field.name: getattr(dialect, field.name) for field in dataclasses.fields(dialect)}
        return cls(**{**given, **changes})

    @property
    def begins(self) -> tuple[int, ...]:
        """The statuses of a first answer that begin polling."""
        return self.accepted or ((200, 201, 202) if self.status or self.error else (202,))

    def paced(self, pace: Pace) -> Pace:
        """The app's pace with this description's own wishes."""
        if self.every is None and self.floor is None and self.cap is None and self.jitter is None:
            return pace
        floor = pace.floor if self.floor is None else self.floor
        cap = pace.cap if self.cap is None else self.cap
        if self.floor is None:
            floor = min(floor, cap)
        return Pace(
            every=pace.every if self.every is None else self.every,
            floor=floor,
            cap=max(floor, cap),
            jitter=pace.jitter if self.jitter is None else self.jitter,
        )

    def _make_tuples(self) -> None:
        for name in ("locate", "status", "running", "ok", "fail", "wait", "result", "progress", "cancel", "origins"):
            object.__setattr__(self, name, _texts(name, getattr(self, name)))
        for name in ("accepted", "pending", "transient", "result_codes"):
            object.__setattr__(self, name, _codes(name, getattr(self, name)))
        for name in ("start", "error", "no_result"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"`{name}` must be a text, not {getattr(self, name)!r}")
        for name in ("wrapped", "cancels"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"`{name}` must be True or False, not {getattr(self, name)!r}")

    def _check_places(self) -> None:
        if not self.locate:
            raise ValueError("`locate` must say where the answer tells what to poll, for example 'header:Location'")
        for name in ("locate", "wait", "result", "progress"):
            for place in getattr(self, name):
                _named(name, parse_place, place)
        for name in ("status", "error"):
            for path in filter(None, _texts(name, getattr(self, name))):
                _named(name, parse_path, path.removeprefix("body:"))
        for name in ("start", "cancel"):
            for text in filter(None, _texts(name, getattr(self, name))):
                _named(name, parse_request, text)
        object.__setattr__(self, "status", tuple(path.removeprefix("body:") for path in self.status))
        object.__setattr__(self, "error", self.error.removeprefix("body:"))

    def _check_words(self) -> None:
        lists = {name: {word.casefold() for word in getattr(self, name)} for name in ("running", "ok", "fail")}
        for one, other in (("ok", "fail"), ("ok", "running"), ("running", "fail")):
            for word in sorted(lists[one] & lists[other]):
                raise ValueError(f"the word {word!r} stands in both `{one}` and `{other}` (case does not count)")
        if any(lists.values()) and not self.status:
            raise ValueError("words are given, but `status` does not say where in the body they stand; often it is status='status'")
        if self.status and not self.ok:
            raise ValueError("`status` is given, but no word in `ok` that means done: the call would never end well")
        _one_of("absent", self.absent, _ABSENT)
        _one_of("auth", self.auth, ("origin", "never"))

    def _check_numbers(self) -> None:
        if isinstance(self.tries, bool) or not isinstance(self.tries, int) or self.tries < 1:
            raise ValueError(f"`tries` must be a whole number of at least 1, not {self.tries!r}")
        given = {name: getattr(self, name) for name in ("every", "floor", "cap", "jitter")}
        if given["floor"] is not None and given["cap"] is None:
            given["cap"] = max(3600.0, given["floor"]) if isinstance(given["floor"], (int, float)) else None
        if given["cap"] is not None and given["floor"] is None:
            given["floor"] = 0.0
        Pace(**{name: value for name, value in given.items() if value is not None})
        if isinstance(self.grace, bool) or not isinstance(self.grace, (int, float)) or not 0 <= self.grace <= 86_400:
            raise ValueError(f"`grace` must be a number of seconds of at most one day, not {self.grace!r}")
        for text in self.origins:
            if origin(text) is None:
                raise ValueError(f"`origins` has {text!r}, which is no origin; write it like 'https://api.example'")


def parse_request(text: str) -> tuple[str, str]:
    """``DELETE {status}`` as method and place; ValueError with a sentence if it is none."""
    method, blank, place = text.strip().partition(" ")
    if method not in _METHODS or not blank:
        raise ValueError(f"{text!r} is no request; write a method and a place, like 'DELETE {{status}}'")
    parse_place(place.strip())
    return method, place.strip()


def _named(name: str, check: Callable[[str], object], text: str) -> None:
    try:
        check(text)
    except ValueError as problem:
        raise ValueError(f"in `{name}`, {problem}") from None


def _texts(name: str, value: object) -> Words:
    if isinstance(value, str):
        return (value,) if value else ()
    texts = tuple(value) if isinstance(value, Iterable) else (value,)
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"`{name}` must be a text or several, not {value!r}")
    return cast(Words, texts)


def _codes(name: str, value: object) -> tuple[int, ...]:
    codes = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    for code in codes:
        if isinstance(code, bool) or not isinstance(code, int) or not 100 <= code <= 599:
            raise ValueError(f"`{name}` must be HTTP statuses from 100 to 599, not {value!r}")
    return cast("tuple[int, ...]", codes)


def _one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        close = nearest(value, known) if isinstance(value, str) else []
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, known))}, not {value!r}{hint}")
