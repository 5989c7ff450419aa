"""Runs activities: bounded, with time limits, each in a context of its own; every try that was started has one outcome.

Where an activity runs: `async def` on one event loop kept for them, plain functions on daemon threads, and those with
an executor wherever that is. What cannot run yet, because no cell has defined it, is parked until one does.
"""

from __future__ import annotations

import contextvars
import functools
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from dfnb.definitions import Definition, Registry
from dfnb.engine import capture, tries
from dfnb.engine.clock import Clock
from dfnb.engine.info import ActivityCancelled, ActivityInfo, activity_info
from dfnb.engine.pool import Outbox, Slot, WorkerPool
from dfnb.engine.threads import Timers
from dfnb.engine.trampoline import pack, run_bytes
from dfnb.engine.tries import ActivityCall, Ended, Try
from dfnb.errors import NotRegisteredError
from dfnb.records.failure import FailureDetails
from dfnb.records.history import TaskCompleted, TaskFailed
from dfnb.records.log import LogLine
from dfnb.threads import LoopThread

if TYPE_CHECKING:
    import asyncio

__all__ = ["ActivityCall", "ActivityCancelled", "ActivityInfo", "ActivityOutcome", "ActivityRunner", "activity_info"]


class ActivityOutcome(msgspec.Struct, frozen=True, gc=False):
    """How a try ended, when, and what it printed."""

    call: ActivityCall
    event: TaskCompleted | TaskFailed
    at: int
    logs: tuple[LogLine, ...]


class ActivityRunner:
    """Takes calls, runs them and delivers outcomes, in batches and from its own threads. Safe to use from any thread."""

    def __init__(
        self,
        registry: Registry,
        deliver: Callable[[Sequence[ActivityOutcome]], None],
        clock: Clock,
        *,
        max_concurrent: int = 64,
        executor: Executor | None = None,
        strict: bool = False,
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._executor = executor
        self._strict = strict
        self._lock = threading.Lock()
        self._tries: dict[int, set[Try]] = {}  # queued and running, by instance; who removes a try from here settles it
        self._parked: dict[str, list[ActivityCall]] = {}
        self._closing = False
        self._quiet = threading.Event()
        self._timers = Timers()
        self._loop = LoopThread("dfnb-async-activities")
        self._outbox: Outbox[ActivityOutcome] = Outbox(deliver)
        self._pool: WorkerPool[Try] = WorkerPool(
            self._run, self._start_async, self._outbox, self._timers, _checked_bound(max_concurrent)
        )
        capture.install()

    # ---- what the engine asks

    @property
    def max_concurrent(self) -> int:
        """How many activities may run at once, wherever they run. Settable at any time."""
        return self._pool.bound

    @max_concurrent.setter
    def max_concurrent(self, bound: int) -> None:
        self._pool.bound = _checked_bound(bound)

    @property
    def running(self) -> int:
        return self._pool.active

    @property
    def queued(self) -> int:
        return self._pool.queued

    def submit(self, calls: Sequence[ActivityCall]) -> None:
        """Run the calls as soon as there is room; returns at once."""
        if self._closing:
            return
        here: list[Try] = []
        elsewhere: list[Try] = []
        for call in calls:
            definition = self._registry.get("activity", call.name)
            if definition is None:
                self._park_or_fail(call)
            else:
                lane = elsewhere if self._runs_on_loop(definition) else here
                lane.append(Try(call, definition, self._clock))
        self._keep(here, elsewhere)
        if here or elsewhere:
            self._pool.put(here, elsewhere)

    def cancel(self, key: int, generation: int | None = None) -> None:
        """The instance (or that generation of it) has ended: what waits is forgotten, what runs is asked to stop."""
        with self._lock:
            found = [t for t in self._tries.get(key, ()) if generation in (None, t.call.generation)]
            for name, calls in list(self._parked.items()):
                self._parked[name] = [c for c in calls if c.key != key or generation not in (None, c.generation)]
                if not self._parked[name]:
                    del self._parked[name]
        for t in found:
            self._ask_to_stop(t)

    def definition_changed(self, name: str) -> None:
        """A cell has defined the activity: the calls parked for it start."""
        with self._lock:
            calls = self._parked.pop(name, [])
        if calls:
            self.submit(calls)

    def missing(self) -> dict[str, list[ActivityCall]]:
        """The calls that wait for a definition, by the name they wait for."""
        with self._lock:
            return {name: list(calls) for name, calls in self._parked.items()}

    def close(self, timeout: float) -> None:
        """Start nothing more, ask what runs to stop and wait for it, but never longer than `timeout` seconds.

        What has not ended by then is not delivered, nor is a try that stopped because it was asked to: both run again
        when the hub is next opened.
        """
        deadline = time.monotonic() + timeout
        with self._lock:
            if self._closing:
                return
            self._closing = True
            self._parked.clear()
        self._pool.close()
        self._forget_queued()
        for t in self._running_tries():
            t.info.flag.set()
            if t.future is not None:
                t.future.cancel()
        if not self._quiet.wait(timeout / 2):  # coroutines get half of the time to end by themselves
            for t in self._running_tries():
                self._ask_to_stop(t)
        all_ended = self._quiet.wait(max(0.0, deadline - time.monotonic()))
        with self._lock:
            self._tries.clear()
        self._outbox.flush()
        self._timers.close()
        self._loop.close(deadline - time.monotonic())
        if all_ended:
            capture.uninstall()
        else:
            threading.Thread(target=self._outlive, name="dfnb-afterwards", daemon=True).start()

    def _outlive(self) -> None:
        """What runs on after `close` must not print over the cells: its output stays captured until it ends."""
        self._pool.join()
        capture.uninstall()

    # ---- keeping count

    def _runs_on_loop(self, definition: Definition) -> bool:
        return definition.is_async and definition.executor is None

    def _keep(self, *lanes: Iterable[Try]) -> None:
        with self._lock:
            for lane in lanes:
                for t in lane:
                    group = self._tries.get(t.call.key)
                    if group is None:
                        group = self._tries[t.call.key] = set()
                    group.add(t)

    def _claim(self, t: Try) -> bool:
        """True for the one caller that may say how the try ended."""
        with self._lock:
            group = self._tries.get(t.call.key)
            if group is None or t not in group:
                return False
            group.remove(t)
            if not group:
                del self._tries[t.call.key]
                if self._closing and not self._tries:
                    self._quiet.set()
            return True

    def _running_tries(self) -> list[Try]:
        with self._lock:
            return [t for group in self._tries.values() for t in group if t.begun is not None]

    def _forget_queued(self) -> None:
        with self._lock:
            running = {key: {t for t in group if t.begun is not None} for key, group in self._tries.items()}
            self._tries = {key: group for key, group in running.items() if group}
            if not self._tries:
                self._quiet.set()

    def _park_or_fail(self, call: ActivityCall) -> None:
        if self._strict:
            unknown = NotRegisteredError("activity", call.name, self._registry.names("activity"))
            event = TaskFailed(call.task, FailureDetails.from_exception(unknown))
            self._timers.after(0, functools.partial(self._hand_over, ActivityOutcome(call, event, self._clock.now(), ())))
            return
        with self._lock:
            self._parked.setdefault(call.name, []).append(call)
        if self._registry.get("activity", call.name) is not None:  # defined between the look-up and the parking
            self.definition_changed(call.name)

    def _hand_over(self, outcome: ActivityOutcome) -> None:
        self._outbox.add(outcome)
        self._outbox.flush()

    # ---- a try's life

    def _begin(self, t: Try) -> bool:
        """Mark the try as running, with the newest definition. False: nobody waits for it any longer."""
        if t.info.flag.is_set:
            self._claim(t)
            return False
        newest = self._registry.get("activity", t.call.name)
        if newest is not None and self._runs_on_loop(newest) == self._runs_on_loop(t.definition):
            t.definition = newest
        t.begun = time.monotonic()
        return True

    def _limit(self, t: Try) -> None:
        """Start the time limit, once it is clear where the try runs."""
        if t.definition.timeout is not None:
            t.timer = self._timers.after(t.definition.timeout, functools.partial(self._expire, t))

    def _settle(self, t: Try, ended: Ended) -> bool:
        """Give the outcome out, once. False: the try had been given up before."""
        if not self._claim(t):
            return False
        if t.timer is not None:
            t.timer.cancel()
        if not (self._closing and ended.stopped):
            self._outbox.add(ActivityOutcome(t.call, ended.event, self._clock.now(), t.sink.lines()))
        return True

    def _settle_elsewhere(self, t: Try, ended: Ended) -> None:
        if self._settle(t, ended):
            self._outbox.flush()
            self._pool.release()

    def _expire(self, t: Try) -> None:
        limit = t.definition.timeout or 0.0
        if t.future is not None and not t.future.running() and not t.future.done():
            self._limit(t)  # it still waits in the executor's own queue, and the limit counts from when it starts
            return
        sentence = f"activity {t.call.name!r} was given up after its timeout of {limit:g} s; a longer timeout= gives it more"
        if self._settle(t, Ended(tries.failed(t, TimeoutError(sentence)))):
            self._outbox.flush()
            self._pool.release(thread_too=t.on_thread)
            self._ask_to_stop(t)

    def _ask_to_stop(self, t: Try) -> None:
        t.info.flag.set()
        if t.future is not None:
            t.future.cancel()
        if self._runs_on_loop(t.definition):
            self._loop.post(tries.cancel_task, t)

    # ---- on a thread of the pool

    def _run(self, t: Try) -> Slot:
        if not self._begin(t):
            return Slot.FREE
        executor = t.definition.executor or (None if t.definition.is_async else self._executor)
        if executor is not None:
            self._send_away(t, executor)
            return Slot.LENT
        t.on_thread = True
        self._limit(t)
        if not self._settle(t, contextvars.Context().run(tries.call, t)):
            return Slot.LOST
        return Slot.FREE

    # ---- on the loop

    def _start_async(self, starts: list[Try]) -> None:
        self._loop.post(self._create_tasks, starts)

    def _create_tasks(self, starts: list[Try]) -> None:
        import asyncio

        for t in starts:
            if self._begin(t):
                self._limit(t)
                t.task = asyncio.get_running_loop().create_task(tries.await_(t), context=contextvars.Context())
                t.task.add_done_callback(functools.partial(self._task_done, t))
            else:
                self._pool.release()

    def _task_done(self, t: Try, task: asyncio.Task[Ended]) -> None:
        ended = tries.stopped(t) if task.cancelled() else task.result()
        if self._settle(t, ended):
            task.get_loop().call_soon(self._outbox.flush)
            self._pool.release()

    # ---- in an executor

    def _send_away(self, t: Try, executor: Executor) -> None:
        try:
            if type(executor) is ThreadPoolExecutor:  # same memory: nothing needs to be pickled
                t.future = executor.submit(self._run_here, t)
            else:
                t.future = executor.submit(run_bytes, pack(t.definition, t.call.input, t.info))
        except Exception as error:
            self._settle_elsewhere(t, Ended(tries.executor_failed(t, error)))
            return
        self._limit(t)
        t.future.add_done_callback(functools.partial(self._future_done, t))
        if t.info.flag.is_set:  # asked to stop while it was being sent
            t.future.cancel()

    def _run_here(self, t: Try) -> None:
        self._settle_elsewhere(t, contextvars.Context().run(tries.call, t))

    def _future_done(self, t: Try, future: Future[bytes] | Future[None]) -> None:
        if future.cancelled():
            ended = tries.stopped(t)
        elif (error := future.exception()) is not None:
            ended = Ended(tries.executor_failed(t, error))
        elif (data := future.result()) is None:
            return  # ran in this process and settled there
        else:
            ended = tries.answered(t, data)
        self._settle_elsewhere(t, ended)


def _checked_bound(bound: int) -> int:
    if isinstance(bound, bool) or not isinstance(bound, int) or bound < 1:
        raise ValueError(f"max_concurrent must be a whole number of at least 1, not {bound!r}")
    return bound
