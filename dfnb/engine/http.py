"""HTTP calls: which are sent when, on an event loop of their own, and what becomes of their answers.

A request leaves only after its cause is on disk, and the next one of the same call only after the answer before it is. What waits
for its time stands in the hub; what is under way stands here, and is sent again after a crash.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from dfnb.engine.clock import Clock
from dfnb.engine.threads import LoopThread
from dfnb.hub.http_state import CallKey, CallStep, WaitingCall
from dfnb.hub.protocol import WorkerSide
from dfnb.hub.state import InstanceState
from dfnb.records.http import Exchange, Pairs

if TYPE_CHECKING:
    import asyncio

    from dfnb.durable_http.calls import CallWork
    from dfnb.durable_http.messages import Answer
    from dfnb.durable_http.retry_after import Pace
    from dfnb.durable_http.sending import HostGate, Sender, Sent

logger = logging.getLogger("dfnb")

_AGAIN = 2_000_000
"""A request that cannot be made yet, because a cell has not run, is tried so many microseconds later."""
_PAUSES_REMEMBERED = 7 * 86_400 * 1_000_000


class HttpJob(msgspec.Struct, frozen=True, gc=False):
    """A request to be sent: of which call, and the call's state as text; empty: `record` is what was asked for."""

    call: CallKey
    instance_id: str
    attempt: int
    """Which try of the task it is for: a rewind begins a new one."""
    number: int
    """How many requests of the call were sent before."""
    work: str = ""
    record: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """How an app makes HTTP calls.

    `client` makes the `httpx.AsyncClient` or async transport of all calls (proxies, certificates, mocks), `clients` further ones
    that a call chooses by name. `pace` is how patient polls are. `public_only` refuses addresses of private networks.
    `requests_per_host` bounds how many requests go to one host at once, `max_response_bytes` how large an answer may be.
    `credential` makes the azure-identity credential for a ManagedIdentityOptions, DefaultAzureCredential by default.
    """

    client: Callable[[], Any] | None = None
    clients: Mapping[str, Callable[[], Any]] = dataclasses.field(default_factory=dict)
    pace: Pace | None = None
    public_only: bool = False
    requests_per_host: int = 64
    max_response_bytes: int = 256_000_000
    credential: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        for name, factory in {"client": self.client, **self.clients}.items():
            if factory is not None and not callable(factory):
                raise TypeError(f"{name} must be a function that makes an HTTP client, such as `lambda: client`, not {factory!r}")
        for name in ("requests_per_host", "max_response_bytes"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")


class HttpRunner:
    """Sends requests for one hub. `submit` and `close` may be called from any thread, the rest belongs to the loop."""

    def __init__(self, deliver: Callable[[CallStep], None], clock: Clock, settings: HttpSettings) -> None:
        self._deliver = deliver
        self._clock = clock
        self._settings = settings
        self._loop = LoopThread("dfnb-http")
        self._sender: Sender | None = None
        self._gate: HostGate | None = None
        self._pauses: list[tuple[str, int]] = []
        self._running: dict[CallKey, asyncio.Task[None]] = {}
        self.in_flight = 0

    @property
    def settings(self) -> HttpSettings:
        """How requests are made. Setting it takes effect with the next one."""
        return self._settings

    @settings.setter
    def settings(self, settings: HttpSettings) -> None:
        self._settings = settings
        self._loop.post(self._forget_tools)

    def remember_pauses(self, pauses: Iterable[tuple[str, int]]) -> None:
        """What servers asked for before a restart still holds."""
        self._pauses += pauses

    def submit(self, jobs: Sequence[HttpJob]) -> None:
        """Send the next request of each call."""
        if jobs:
            self._loop.post(self._start, list(jobs))

    def close(self, timeout: float) -> None:
        """Give up what is under way: it is sent again when the hub is opened."""
        self._loop.finish(self._shut, timeout)
        self._loop.close(timeout)

    async def _shut(self) -> None:
        import asyncio

        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if self._sender is not None:
            await self._sender.close()

    # ---- on the loop

    def _start(self, jobs: list[HttpJob]) -> None:
        import asyncio

        for job in jobs:
            task = asyncio.get_running_loop().create_task(self._run(job))
            self._running[job.call] = task
            task.add_done_callback(functools.partial(self._done, job.call))

    def _done(self, call: CallKey, task: asyncio.Task[None]) -> None:
        if self._running.get(call) is task:
            del self._running[call]

    async def _run(self, job: HttpJob) -> None:
        try:
            work = self._work_of(job)
            if work is not None:
                await self._exchange(job, work)
        except Exception as error:  # ours, not the server's: nobody may wait for ever because of it
            logger.exception("dfnb: an HTTP call of instance %r could not be handled", job.instance_id)
            self._fail(job, error)

    def _fail(self, job: HttpJob, error: Exception) -> None:
        from dfnb.durable_http.calls import refused

        self._deliver(CallStep(job.call, job.attempt, self._clock.now(), (), refused(job.call[2], error)))

    async def _exchange(self, job: HttpJob, work: CallWork) -> None:
        sender, gate = self._tools()
        url, now = work.poll.request.url, self._clock.now()
        until = gate.paused_until(url, now)
        if until is not None and work.purpose != "cancel":
            self._postpone(job, work, until, "the server has asked to be left alone")
            return
        async with gate.place(url):
            self.in_flight += 1
            try:
                sent = await sender.send(work)
            finally:
                self.in_flight -= 1
        if sent.waits_for:
            self._postpone(job, work, self._clock.now() + _AGAIN, sent.waits_for)
        else:
            self._read(job, work, sent)

    def _work_of(self, job: HttpJob) -> CallWork | None:
        from dfnb.durable_http.calls import CallWork, begin_call

        if job.work:
            return CallWork.decode(job.work)
        _, generation, task = job.call
        try:
            return begin_call(
                job.record, instance_id=job.instance_id, generation=generation, task=task, now=self._clock.now(), pace=self._pace()
            )
        except Exception as error:  # what cannot be sent fails its call, with the sentence that says why
            self._fail(job, error)
            return None

    def _pace(self) -> Pace:
        from dfnb.durable_http.retry_after import Pace

        return self._settings.pace or Pace()

    def _tools(self) -> tuple[Sender, HostGate]:
        if self._sender is None or self._gate is None:
            from dfnb.durable_http.sending import HostGate, Sender, default_client
            from dfnb.durable_http.tokens import Tokens, default_credential

            settings = self._settings
            self._gate = self._gate or HostGate()
            self._gate.at_once = settings.requests_per_host
            for url, until in self._pauses:
                self._gate.pause(url, until)
            self._pauses.clear()
            self._sender = Sender(
                self._clock.now, clients={"": settings.client or default_client, **settings.clients},
                tokens=Tokens(make_credential=settings.credential or default_credential),
                public_only=settings.public_only, longest=settings.max_response_bytes,
            )
        return self._sender, self._gate

    def _forget_tools(self) -> None:
        """Let new requests be made in a new way; those under way end in the old one."""
        import asyncio

        sender, self._sender = self._sender, None
        if sender is not None:
            rest = list(self._running.values())
            closing = asyncio.gather(*rest, return_exceptions=True)
            closing.add_done_callback(lambda done: asyncio.ensure_future(sender.close()))

    def _postpone(self, job: HttpJob, work: CallWork, until: int, why: str) -> None:
        waiting = WaitingCall(work.encode(), until, job.number, why)
        self._deliver(CallStep(job.call, job.attempt, self._clock.now(), (), None, waiting))

    def _read(self, job: HttpJob, work: CallWork, sent: Sent) -> None:
        from dfnb.durable_http.calls import Again, read_answer
        from dfnb.durable_http.sending import waits_asked

        _, generation, task = job.call
        number = job.number + 1
        outcome = read_answer(work, sent.answer, task=task, kind=sent.kind)
        exchange = Exchange(
            generation, task, number, work.next_purpose, sent.sent_at, sent.took, work.poll.request.method, sent.url,
            sent.request_headers, sent.request_body, sent.answer.status or None, *_for_people(sent.answer),
            note=outcome.note or None, error=sent.answer.error,
        )
        if isinstance(outcome, Again):
            text = outcome.work.encode()
            pause = waits_asked(sent.answer, outcome.asked)
            if pause is not None and self._gate is not None:
                self._gate.pause(sent.answer.url, sent.answer.at + pause)
            exchange = msgspec.structs.replace(exchange, asked=outcome.asked, due_at=outcome.at, work=text)
            waiting = WaitingCall(text, outcome.at, number)
            self._deliver(CallStep(job.call, job.attempt, sent.answer.at, (exchange,), None, waiting))
            return
        exchanges: tuple[Exchange, ...] = (exchange,)
        if outcome.cancel is not None:
            exchanges = (exchange, planned_cancel(job.call, number, outcome.cancel.encode()))
        event = outcome.event if work.purpose != "cancel" else None
        self._deliver(CallStep(job.call, job.attempt, self._clock.now(), exchanges, event))


def _for_people(answer: Answer) -> tuple[Pairs, bytes]:
    """Headers and body of an answer as they are written down."""
    from dfnb.durable_http.redaction import Redactor
    from dfnb.durable_http.secrets import shown

    return Redactor().headers(shown(answer.headers)), shown(answer.body)


def planned_cancel(call: CallKey, number: int, work: str) -> Exchange:
    """What stands in the file of a cancel request that is still to be sent."""
    return Exchange(call[1], call[2], number, "cancel", 0, 0, "", "", work=work)


class HttpCalls:
    """The engine's side: what is to be sent after a commit, in its time, after a restart, and once nobody waits any more."""

    def __init__(self, hub: WorkerSide, runner: HttpRunner, clock: Clock) -> None:
        self._hub = hub
        self._runner = runner
        self._clock = clock
        self._ready: list[HttpJob] = []

    def recover(self) -> None:
        """Take up every call that is not over where it stood."""
        pauses = self._hub.paused_hosts(self._clock.now() - _PAUSES_REMEMBERED)
        self._runner.remember_pauses((url, until) for url, until in pauses if until > self._clock.now())
        jobs = []
        for state, task, entry, waiting in self._hub.open_calls():
            call = (state.key, state.generation, task)
            if waiting is not None:
                self._hub.arm_call(call, waiting)
            else:
                jobs.append(HttpJob(call, state.id, entry.attempt, 0, "", entry.data or ""))
        self._runner.submit([*jobs, *map(_cancel_job, self._hub.open_cancels())])

    def ask(self, state: InstanceState, task: int, request: str) -> None:
        """An orchestrator's decision asks for a call; it is sent when `release` is called with what `take` gave."""
        entry = state.take_open(task)
        attempt = entry.attempt if entry is not None else 1
        self._ready.append(HttpJob((state.key, state.generation, task), state.id, attempt, 0, "", request))

    def take(self) -> list[HttpJob]:
        """What may leave once the present batch is on disk."""
        ready, self._ready = self._ready, []
        return [*ready, *map(_cancel_job, self._hub.take_planned_cancels())]

    def release(self, jobs: Sequence[HttpJob]) -> None:
        """The batch is on disk."""
        self._runner.submit(jobs)

    def round(self) -> bool:
        """Send what is due and take in what came back. False: nothing came."""
        due = [
            HttpJob(call, state.id, self._attempt(state, call[2]), waiting.attempt, waiting.work)
            for state, call, waiting in self._hub.take_due_calls()
        ]
        self._runner.submit(due)  # their cause is on disk already
        steps = self._hub.take_call_steps()
        for state, step in steps:
            if state is None:
                continue  # the instance is gone; what was exchanged for it is written down all the same
            if step.waiting is not None and (state.is_terminal or state.generation != step.call[1]):
                self._give_up(state, step.call, step.waiting)
            self._hub.finish_turn(state, state.waits)
        return bool(steps)

    def _attempt(self, state: InstanceState, task: int) -> int:
        entry = state.take_open(task)
        return entry.attempt if entry is not None else 1

    def ended(self, state: InstanceState) -> None:
        """An instance has ended with calls open: those that wait are dropped, after their cancel request where one is wanted."""
        for task, entry in list((state.open or {}).items()):
            call = (state.key, state.generation, task)
            waiting = self._hub.drop_call(call) if entry.kind == "http" else None
            if waiting is not None:
                self._give_up(state, call, waiting)

    def _give_up(self, state: InstanceState, call: CallKey, waiting: WaitingCall) -> None:
        from dfnb.durable_http.calls import CallWork, cancel_work

        cancel = cancel_work(CallWork.decode(waiting.work)) if waiting.work else None
        if cancel is not None:
            self._hub.record_exchanges(state.key, [planned_cancel(call, waiting.attempt, cancel.encode())])
        if state.generation == call[1]:
            self._hub.stop_expecting(state, call[2])


def _cancel_job(planned: tuple[CallKey, WaitingCall]) -> HttpJob:
    call, waiting = planned
    return HttpJob(call, "", 0, waiting.attempt, waiting.work)


