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
from dfnb.hub.http_state import CallKey, CallStep, WaitingCall
from dfnb.hub.protocol import WorkerSide
from dfnb.hub.state import InstanceState
from dfnb.records.http import Exchange, Pairs
from dfnb.records.short_repr import said_only
from dfnb.threads import LoopThread

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

    __repr__ = said_only

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
        self._running: dict[CallKey, tuple[HttpJob, asyncio.Task[None]]] = {}
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

    def under_way(self, call: CallKey) -> HttpJob | None:
        """The request of a call that is being sent. From any thread: it may be answered a moment later."""
        job, _ = self._running.get(call, (None, None))
        return job

    @property
    def longest_wait(self) -> int:
        """The most, in microseconds, that a server can make all calls wait."""
        return int(self._pace().cap * 1_000_000)

    def close(self, timeout: float) -> None:
        """Give up what is under way: it is sent again when the hub is opened."""
        self._loop.finish(self._shut, timeout)
        self._loop.close(timeout)

    async def _shut(self) -> None:
        import asyncio

        running = self._tasks()
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
            self._running[job.call] = (job, task)
            task.add_done_callback(functools.partial(self._done, job))

    def _done(self, job: HttpJob, task: asyncio.Task[None]) -> None:
        if self._running.get(job.call, (None,))[0] is job:
            del self._running[job.call]

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [task for _, task in self._running.values()]

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
        if self._cannot_send(job, work, gate):
            return
        async with gate.place(work.poll.request.url):
            if self._cannot_send(job, work, gate):  # those before it in the line have learned something
                return
            self.in_flight += 1
            try:
                sent = await sender.send(work)
            finally:
                self.in_flight -= 1
        if not sent.waits_for:
            self._read(job, work, sent)
        elif work.purpose != "cancel":  # a cancel request stays in the file for the next opening
            self._postpone(job, work, self._clock.now() + _AGAIN, sent.waits_for)

    def _cannot_send(self, job: HttpJob, work: CallWork, gate: HostGate) -> bool:
        """Whether the request must not leave now; then what becomes of it is said."""
        now = self._clock.now()
        until = gate.paused_until(work.poll.request.url, now)
        if work.purpose == "cancel":
            return False
        if until is not None:
            self._postpone(job, work, until, "the server has asked to be left alone")
        elif job.number == 0 and work.is_over_time(now):
            self._end_late(job, work, "no request was sent")
        else:
            return False
        return True

    def _end_late(self, job: HttpJob, work: CallWork, why: str) -> None:
        from dfnb.durable_http.calls import too_late

        now = self._clock.now()
        over = too_late(work, task=job.call[2], now=now, why=why)
        planned = () if over.cancel is None else (planned_cancel(job.call, job.number, over.cancel.encode()),)
        self._deliver(CallStep(job.call, job.attempt, now, planned, over.event))

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
            rest = self._tasks()
            closing = asyncio.gather(*rest, return_exceptions=True)
            closing.add_done_callback(lambda done: asyncio.ensure_future(sender.close()))

    def _postpone(self, job: HttpJob, work: CallWork, until: int, why: str) -> None:
        now, deadline = self._clock.now(), work.poll.deadline_at
        if work.is_over_time(now):
            self._end_late(job, work, why)
            return
        due = until if deadline is None else min(until, deadline)
        self._deliver(CallStep(job.call, job.attempt, now, (), None, WaitingCall(work.encode(), due, job.number, why)))

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
            pause = waits_asked(sent.answer, outcome.asked, work.longest_wait)
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
        self._cancelled: set[tuple[CallKey, int]] = set()

    def recover(self) -> None:
        """Take up every call that is not over where it stood."""
        pauses = self._hub.paused_hosts(self._clock.now() - _PAUSES_REMEMBERED, self._runner.longest_wait)
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
            if step.waiting is not None and self._is_stale(state, step):
                self._give_up(state, step.call, step.attempt, step.waiting)
            self._hub.finish_turn(state, state.waits)
        return bool(steps)

    def _attempt(self, state: InstanceState, task: int) -> int:
        entry = state.take_open(task)
        return entry.attempt if entry is not None else 1

    def _is_stale(self, state: InstanceState, step: CallStep) -> bool:
        """Whether nobody waits for the call any more, or for a new one since a rewind."""
        _, generation, task = step.call
        return state.is_terminal or state.generation != generation or self._attempt(state, task) != step.attempt

    def ended(self, state: InstanceState) -> None:
        """An instance has ended with calls open: they are given up, after their cancel request where one is wanted.

        Those that are under way come back later; what would cancel them is written down now, since a crash may come before.
        """
        for task, entry in list((state.open or {}).items()):
            call = (state.key, state.generation, task)
            waiting = self._hub.drop_call(call) if entry.kind == "http" else None
            job = self._runner.under_way(call) if entry.kind == "http" else None
            if waiting is not None:
                self._give_up(state, call, entry.attempt, waiting)
            elif job is not None and self._plan_cancel(call, WaitingCall(job.work, 0, job.number + 1)):
                self._cancelled.add((call, entry.attempt))

    def _give_up(self, state: InstanceState, call: CallKey, attempt: int, waiting: WaitingCall) -> None:
        if (call, attempt) in self._cancelled:
            self._cancelled.discard((call, attempt))
        else:
            self._plan_cancel(call, waiting)
        if state.generation == call[1] and self._attempt(state, call[2]) == attempt:
            self._hub.stop_expecting(state, call[2])

    def _plan_cancel(self, call: CallKey, waiting: WaitingCall) -> bool:
        """Write down the request that cancels a call, if there is one to send."""
        from dfnb.durable_http.calls import CallWork, cancel_work

        cancel = cancel_work(CallWork.decode(waiting.work)) if waiting.work else None
        if cancel is not None:
            self._hub.record_exchanges(call[0], [planned_cancel(call, waiting.attempt, cancel.encode())])
        return cancel is not None


def _cancel_job(planned: tuple[CallKey, WaitingCall]) -> HttpJob:
    call, waiting = planned
    return HttpJob(call, "", 0, waiting.attempt, waiting.work)


