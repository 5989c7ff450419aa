"""`AsyncApi`: a local fake of the long-running-operation APIs that durable HTTP calls speak."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from fnmatch import fnmatchcase
from itertools import count
from typing import Any, Literal, NamedTuple

from dfnb.engine.clock import Clock, SystemClock
from dfnb.records.times import MICROSECOND
from dfnb.testing.alarms import Alarms
from dfnb.testing.catalogue import dialect_named
from dfnb.testing.fake_arm import FakeMachines, VirtualMachines
from dfnb.testing.fake_dialects import Role
from dfnb.testing.fake_identity import APP_SERVICE_PATH, IMDS_PATH, FakeIdentity
from dfnb.testing.faults import Fault, applied
from dfnb.testing.gate import Gate
from dfnb.testing.jobs import Job, Plan
from dfnb.testing.loopback import LoopbackServer
from dfnb.testing.transport import AsyncApiTransport
from dfnb.testing.wire import Headers, ReceivedRequest, Reply, RetryValue, http_date, reply_of

On = Literal["start", "begin", "poll", "result", "cancel", "any"]
OneFault = Fault | tuple[Fault, ...] | None
Retry = RetryValue | tuple[RetryValue, ...]
_KEYS = ("Idempotency-Key", "Repeatability-Request-ID")
_VM = "/subscriptions/*/providers/Microsoft.Compute/virtualMachines"


class _Endpoint(NamedTuple):
    pattern: str
    methods: tuple[str, ...]
    requires: str | None
    answer: Callable[[ReceivedRequest], Reply]


class _Target(NamedTuple):
    """What a request is for: a job of its own, an endpoint, or nothing that is there."""

    endpoint: _Endpoint | None = None
    job: Job | None = None
    role: Role = "start"

    @property
    def path(self) -> str:
        """The path of the endpoint it belongs to, as it was added."""
        return self.job.plan.path if self.job is not None else self.endpoint.pattern if self.endpoint is not None else ""


class _Script(NamedTuple):
    path: str
    on: On | None
    once: deque[OneFault] | None
    always: tuple[Fault, ...]

    def fits(self, request: ReceivedRequest, target: _Target) -> bool:
        if self.on is None:
            return fnmatchcase(request.path, self.path)
        return target.path == self.path and self.on in ("any", target.role)


class AsyncApi:
    """An HTTP API whose jobs take time: real time, or that of a `FakeClock`. Thread-safe.

    Reach it as an httpx transport (`transport`), under any URL and without a socket, or as a server on loopback (`serve`). Paths
    may have ``*``, which stands for anything. Jobs are numbered 1, 2, 3, ..., and so are the addresses that are polled.
    """

    url = "https://api.example"
    """A base URL for use with the transport, which answers under any other too."""

    def __init__(self, clock: Clock | None = None, *, skew: timedelta = timedelta(0)) -> None:
        """`skew`: how wrong the server's own clock is, in its `Date` headers, in dates of `Retry-After`, and in bodies."""
        self.clock: Clock = clock if clock is not None else SystemClock()
        self.alarms = Alarms(self.clock)
        self._skew = skew // MICROSECOND
        self._changed = threading.Condition()
        self._endpoints: list[_Endpoint] = []
        self._places: dict[tuple[str, str], tuple[Job, Role]] = {}
        self._scripts: list[_Script] = []
        self._requests: list[ReceivedRequest] = []
        self._jobs: list[Job] = []
        self._keyed: dict[tuple[str | None, str], Job] = {}
        self._numbers = count(1)
        self._gate = Gate()

    def __enter__(self) -> AsyncApi:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of everyone who waits for a late answer."""
        self.alarms.close()

    # -- how it is reached

    def transport(self) -> AsyncApiTransport:
        """For ``httpx.Client(transport=...)`` and ``httpx.AsyncClient(transport=...)``; one may serve many clients."""
        return AsyncApiTransport(self)

    @contextmanager
    def serve(self) -> Iterator[str]:
        """A real HTTP server on a free port of 127.0.0.1, for this and other processes, while the block lasts; its base URL."""
        server = LoopbackServer(self)
        try:
            yield server.url
        finally:
            server.close()

    # -- what it has

    def job(
        self,
        path: str,
        dialect: str = "location",
        *,
        takes: timedelta | None = None,
        polls: float | None = None,
        result: Any = None,
        fails: str | Mapping[str, Any] | bool | None = None,
        fail_status: int | None = None,
        retry_after: Retry | list[Retry] = 1,
        location: str = "absolute",
        variant: str = "",
        spelling: Callable[[str], str] = str,
        appears_after: timedelta = timedelta(0),
        forgotten_after: timedelta | None = None,
        method: str | None = None,
        requires: str | None = None,
    ) -> None:
        """Add an endpoint that starts jobs and speaks one of dfnb's built-in dialects from start to result.

        takes, polls: a job is done after this time, after so many polls that were answered "not yet" (``inf``: never), or when
            both are true; one poll when neither is given.
        result: a JSON value, a text or bytes; where a dialect's documents carry results, inside of them.
        fails: the job ends badly, with this message, this error object, or one of ours; `fail_status` where a status says it.
        retry_after: seconds, a text as it is, a timedelta or datetime (written as a date), or None for no header. A tuple is
            the header several times in one answer; a list has a value for each answer, the last one for all that follow.
        location: how answers point to the job: "absolute", "relative", "changing" (anew in each), "other-origin", "downgrade" (to
            http), "file" (``file:``), "missing", or any address.
        variant: another form that the dialect has; named in the docstring of each fake.
        spelling: changes the status words, like ``str.upper``.
        appears_after, forgotten_after: polls are 404 for this long after the start, 410 this long after the end.
        method: the only method that starts jobs; by default any but HEAD and OPTIONS.
        requires: "Bearer" (a token that `check` accepts), "Bearer TOKEN", "x-api-key: VALUE", or "x-api-key" with any value; for
            the job's own addresses too, unless they are reached under another origin.

        A request with an Idempotency-Key that was seen before starts no second job, it gets the first one's answer.
        """
        values = retry_after if isinstance(retry_after, list) else [retry_after]
        self._add_job(
            Plan(
                path=path,
                dialect=dialect_named(dialect),
                variant=variant,
                takes=takes,
                polls=polls,
                result=result,
                fails=fails,
                fail_status=fail_status,
                retry_after=tuple(values),
                location=location,
                spelling=spelling,
                appears_after=appears_after,
                forgotten_after=forgotten_after,
                method=method,
                requires=requires,
            )
        )

    def site(
        self,
        path: str,
        status: int = 200,
        body: Any = None,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        *,
        method: str | None = None,
        requires: str | None = None,
    ) -> None:
        """Add a plain endpoint; `body` as in `job`'s result, or a function that makes it, or a whole Reply, from the request."""
        pairs = tuple(headers.items() if isinstance(headers, Mapping) else headers)

        def answer(request: ReceivedRequest) -> Reply:
            return reply_of(body(request) if callable(body) and not isinstance(body, Reply) else body, status, pairs)

        self._endpoints.append(_Endpoint(path, (method,) if method else (), requires, answer))

    def redirect(self, path: str, to: str, status: int = 302) -> None:
        """Add an endpoint that points elsewhere; two that point to each other are a loop."""
        self.site(path, status, headers=(("Location", to),))

    def arm(
        self,
        machines: Mapping[str, str] | None = None,
        *,
        takes: timedelta | None = None,
        polls: float | None = None,
        fails: str | Mapping[str, Any] | bool | None = None,
        retry_after: Retry | list[Retry] = 10,
        requires: str | None = "Bearer",
    ) -> FakeMachines:
        """Add Azure Resource Manager's virtual machines: list, get, put, delete, restart, start, powerOff, deallocate.

        `machines`: names and power states to begin with; others come to be when they are asked for. Every operation takes as long
        as `takes` and `polls` say. Tokens are required as by `job`, and an api-version is too.
        """
        known = FakeMachines(dict(machines or {}))
        values = retry_after if isinstance(retry_after, list) else [retry_after]
        plan = Plan(
            path=f"{_VM}/*",
            dialect=VirtualMachines(),
            takes=takes,
            polls=polls,
            fails=fails,
            retry_after=tuple(values),
            requires=requires,
        )

        def answer(request: ReceivedRequest) -> Reply:
            told = known.answer(request)
            return told if told is not None else self._start(plan, request, known.started)

        self._endpoints += [_Endpoint(path, (), requires, answer) for path in ("/subscriptions", _VM, plan.path)]
        return known

    def identity(
        self,
        *,
        header: str = "fake-identity-header",
        expires_in: timedelta = timedelta(hours=24),
        client_ids: tuple[str, ...] | None = None,
    ) -> FakeIdentity:
        """Add the token endpoints of managed identities, for a real azure-identity: it needs `serve`, and an environment.

            monkeypatch.setenv(...) for each of identity.environment(base_url).items()      # App Service
            ... or of identity.imds_environment(base_url)                                   # a machine's metadata service

        `client_ids`: the user-assigned identities there are; None: any. From then on "Bearer" requires one of its tokens.
        """
        identity = FakeIdentity(header, expires_in, client_ids)
        for path in (IMDS_PATH, APP_SERVICE_PATH):
            self._endpoints.append(_Endpoint(path, ("GET",), None, identity.answer))
        self._gate.identities.append(identity)
        return identity

    def accept(self, token: str) -> None:
        """Let a token of your own pass where "Bearer" is required."""
        self._gate.tokens.add(token)

    def check(self, token: str) -> bool:
        """Whether "Bearer" accepts this token: one of `identity` that has not ended, or of `accept`; any, without these two."""
        return self._gate.knows(token)

    # -- what goes wrong

    def faults(self, path: str, *faults: OneFault, on: On | None = None) -> None:
        """Let the next requests go wrong, one fault each; None lets one through.

        The path is that of the requests themselves. With `on`, it is that of the endpoint as it was added, and the faults are for
        requests of this part of its jobs: "start", "begin" (of two-step starts), "poll", "result", "cancel", or "any".
        """
        self._scripts.append(_Script(path, on, deque(faults), ()))

    @property
    def faults_left(self) -> int:
        """How many of the `faults` have not happened yet: 0 at the end of a test whose faults were all met."""
        with self._changed:
            return sum(one is not None for script in self._scripts for one in script.once or ())

    def always(self, path: str, *faults: Fault, on: On | None = None) -> None:
        """Let all matching requests from now on go wrong in all these ways."""
        self._scripts.append(_Script(path, on, None, faults))

    # -- what it saw

    @property
    def requests(self) -> tuple[ReceivedRequest, ...]:
        """All that was received, in order; what was refused or broken off by a fault as well."""
        with self._changed:
            return tuple(self._requests)

    @property
    def jobs(self) -> tuple[Job, ...]:
        """All jobs that were started, in order, as they are now."""
        with self._changed:
            return tuple(self._jobs)

    def received(self, method: str | None = None, path: str | None = None) -> list[ReceivedRequest]:
        """The requests of a method and a path, both if given."""
        return [request for request in self.requests if _fits(request, method, path)]

    def count(self, method: str | None = None, path: str | None = None) -> int:
        """How many requests of a method and a path were received."""
        return len(self.received(method, path))

    def idempotency_keys(self) -> list[str]:
        """The keys of all requests that had one, in order."""
        return [key for request in self.requests if (key := _key(request))]

    def wait_for(self, count: int, method: str | None = None, path: str | None = None, timeout: float = 10.0) -> None:
        """Return when so many such requests have been received; TimeoutError after so many real seconds."""
        read = seen = 0

        def enough() -> bool:
            nonlocal read, seen
            seen += sum(_fits(request, method, path) for request in self._requests[read:])
            read = len(self._requests)
            return seen >= count

        with self._changed:
            if self._changed.wait_for(enough, timeout):
                return
        what = f"{method or 'any method'} {path or 'any path'}"
        raise TimeoutError(f"{seen} of {count} requests ({what}) came within {timeout:g} s")

    # -- how a request is answered

    def receive(self, method: str, url: str, headers: Headers, body: bytes) -> tuple[ReceivedRequest, Reply]:
        """Record a request and answer it; for the transport and the server, and for tests without either."""
        at = self.clock.now()
        request = ReceivedRequest(method.upper(), url, headers, body, at, self._skew)
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()
            target = self._target(request)
            fault = self._fault(request, target)
        reply = applied(fault, request, lambda: self._answer(request, target))
        return request, reply.framed(request, http_date(at + self._skew))

    def _target(self, request: ReceivedRequest) -> _Target:
        found = self._places.get((request.method, request.path))
        if found is not None:
            return _Target(None, *found)
        fitting = [end for end in reversed(self._endpoints) if fnmatchcase(request.path, end.pattern)]
        allowed = [end for end in fitting if not end.methods or request.method in end.methods]
        return _Target(max(allowed, key=lambda end: len(end.pattern.replace("*", "")), default=None))

    def _fault(self, request: ReceivedRequest, target: _Target) -> tuple[Fault, ...]:
        fitting = [script for script in self._scripts if script.fits(request, target)]
        always = [fault for script in fitting for fault in script.always]
        script = next((script for script in fitting if script.once), None)
        one = script.once.popleft() if script is not None and script.once else None
        return *always, *(one if isinstance(one, tuple) else () if one is None else (one,))

    def _answer(self, request: ReceivedRequest, target: _Target) -> Reply:
        if target.job is not None:
            return self._of_job(request, target.job, target.role)
        if target.endpoint is None:
            return self._nothing_here(request)
        refusal = self._gate.refusal(request, target.endpoint.requires)
        return refusal if refusal is not None else target.endpoint.answer(request)

    def _of_job(self, request: ReceivedRequest, job: Job, role: Role) -> Reply:
        refusal = self._gate.refusal(request, job.plan.requires) if request.origin == job.base else None
        if refusal is not None:
            return refusal
        dialect = job.plan.dialect
        match role:
            case "poll":
                missing = job.missing()
                job.ask()
                return dialect.polled(job) if missing is None else reply_of({"error": {"code": str(missing)}}, missing)
            case "begin":
                job.begin()
                return dialect.begun(job)
            case "cancel":
                job.cancel()
                return dialect.cancelled(job)
            case _:
                return dialect.resulted(job)

    def _add_job(self, plan: Plan) -> None:
        methods = (plan.method,) if plan.method else ("GET", "POST", "PUT", "PATCH", "DELETE")
        self._endpoints.append(_Endpoint(plan.path, methods, plan.requires, lambda request: self._start(plan, request)))

    def _start(self, plan: Plan, request: ReceivedRequest, started: Callable[[Job], None] | None = None) -> Reply:
        key = _key(request)
        with self._changed:
            known = self._keyed.get((key, request.path))
            if known is not None:
                return plan.dialect.started(known)
            job = Job(next(self._numbers), plan, request, self.clock, request.origin, self._skew)
            self._jobs.append(job)
            if key is not None:
                self._keyed[key, request.path] = job
            self._places.update((place, (job, role)) for place, role in plan.dialect.places(job).items())
        if started is not None:
            started(job)
        return plan.dialect.started(job)

    def _nothing_here(self, request: ReceivedRequest) -> Reply:
        methods = {method for method, path in self._places if path == request.path}
        methods |= {method for end in self._endpoints if fnmatchcase(request.path, end.pattern) for method in end.methods}
        if methods:
            return Reply(405, (("Allow", ", ".join(sorted(methods))),))
        known = sorted({end.pattern for end in self._endpoints})
        said = {"code": "NotFound", "message": f"this fake API has nothing at {request.path}", "endpoints": known}
        return reply_of({"error": said}, 404)


def _fits(request: ReceivedRequest, method: str | None, path: str | None) -> bool:
    return (method is None or request.method == method.upper()) and (path is None or fnmatchcase(request.path, path))


def _key(request: ReceivedRequest) -> str | None:
    return next((value for name in _KEYS if (value := request.header(name))), None)
