"""One try of an activity: what is known of it while it runs, how its function is called, and how it may end."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from dfnb.definitions import Definition
from dfnb.engine import capture
from dfnb.engine.clock import Clock
from dfnb.engine.info import ActivityCancelled, ActivityInfo, CancelFlag, current
from dfnb.engine.threads import Timer
from dfnb.engine.trampoline import arguments_of, read_answer, result_of
from dfnb.errors import DfnbError
from dfnb.records.failure import FailureDetails
from dfnb.records.history import TaskCompleted, TaskFailed

if TYPE_CHECKING:
    import asyncio


class ActivityCall(msgspec.Struct, frozen=True, gc=False):
    """One try of one activity task, as an instance asked for it."""

    key: int
    instance_id: str
    generation: int
    task: int
    name: str
    input: str | None
    attempt: int


class Try:
    """A call on its way through the runner."""

    __slots__ = ("begun", "call", "definition", "future", "info", "on_thread", "sink", "task", "timer", "took")

    def __init__(self, call: ActivityCall, definition: Definition, clock: Clock) -> None:
        self.call = call
        self.definition = definition
        self.info = ActivityInfo(call.instance_id, call.task, call.name, call.attempt, CancelFlag())
        self.sink = capture.Sink(clock.now, call.task, call.attempt)
        self.took: int | None = None  # microseconds the function ran
        self.begun: float | None = None  # monotonic; None while it waits for its turn
        self.on_thread = False
        self.timer: Timer | None = None
        self.task: asyncio.Task[Ended] | None = None
        self.future: Future[bytes] | Future[None] | None = None


class Ended(NamedTuple):
    event: TaskCompleted | TaskFailed
    stopped: bool = False  # it ended because it was asked to stop


def call(t: Try) -> Ended:
    current.set(t.info)
    capture.keep(t.sink)
    try:
        arguments = arguments_of(t.definition, t.call.input)
        begun = time.perf_counter_ns()
        try:
            value = t.definition.function(*arguments)
        finally:
            t.took = (time.perf_counter_ns() - begun) // 1000
        return Ended(TaskCompleted(t.call.task, result_of(t.call.name, value), t.took))
    except BaseException as error:  # SystemExit too: a cell's sys.exit() must not take a thread with it
        return Ended(failed(t, error), isinstance(error, ActivityCancelled))


async def await_(t: Try) -> Ended:
    current.set(t.info)
    import asyncio

    capture.keep(t.sink)
    try:
        arguments = arguments_of(t.definition, t.call.input)
        begun = time.perf_counter_ns()
        try:
            value = await t.definition.function(*arguments)
        finally:
            t.took = (time.perf_counter_ns() - begun) // 1000
        return Ended(TaskCompleted(t.call.task, result_of(t.call.name, value), t.took))
    except asyncio.CancelledError as error:
        return stopped(t) if t.info.flag.is_set else Ended(failed(t, error))
    except BaseException as error:
        return Ended(failed(t, error), isinstance(error, ActivityCancelled))


def cancel_task(t: Try) -> None:
    if t.task is not None:
        t.task.cancel()


def failed(t: Try, error: BaseException) -> TaskFailed:
    took = t.took if t.took is not None else int((time.monotonic() - (t.begun or 0.0)) * 1e6)
    return TaskFailed(t.call.task, FailureDetails.from_exception(error), took)


def stopped(t: Try) -> Ended:
    sentence = f"activity {t.call.name!r} of instance {t.call.instance_id!r} was stopped"
    return Ended(failed(t, ActivityCancelled(sentence)), stopped=True)


def executor_failed(t: Try, error: BaseException) -> TaskFailed:
    """The executor, not the activity, is to blame: keep its error's type, and say what it means."""
    details = FailureDetails.from_exception(error)
    if isinstance(error, DfnbError):
        return TaskFailed(t.call.task, details)
    what = f"the executor failed to run activity {t.call.name!r}: {details.summary}"
    advice = "if a worker process died (memory, a crash) or the executor was shut down, give a new executor and start again"
    return TaskFailed(t.call.task, FailureDetails(details.error_type, f"{what}; {advice}"))


def answered(t: Try, data: bytes) -> Ended:
    try:
        answer = read_answer(data)
    except (TypeError, ValueError) as error:
        return Ended(executor_failed(t, error))
    t.sink.extend(answer.lines)
    if answer.failure is not None:
        return Ended(TaskFailed(t.call.task, answer.failure, answer.took))
    return Ended(TaskCompleted(t.call.task, answer.result, answer.took))
