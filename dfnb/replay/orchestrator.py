"""What a history leads to, and whether the code is still what the history remembers.

One `OrchestrationReplay` is one generation of one instance. It knows its events and its function, nothing else: no thread, no
clock, no database. The same events always lead to the same decisions, whether they are fed live, one turn at a time, or
again from the history; the laws in the tests hold it to that.
"""

from __future__ import annotations

import contextlib
import inspect
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, ClassVar

import msgspec

from dfnb.errors import LockingRulesViolationError, TaskFailedError
from dfnb.records import payload
from dfnb.records.failure import FailureDetails
from dfnb.records.history import (
    EntityLockGranted,
    EntityLockRequested,
    EntityOperationCompleted,
    EntityOperationFailed,
    EventRaised,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionStarted,
    ExecutionSuspended,
    HistoryEvent,
    HttpCallCompleted,
    HttpCallFailed,
    OrchestratorStarted,
    Recorded,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from dfnb.records.instance import Wait
from dfnb.replay.asks import Asks
from dfnb.replay.context import DurableOrchestrationContext
from dfnb.replay.events import HistoryEventView, view
from dfnb.replay.http import settle
from dfnb.replay.matching import COMPARED, OUTPUTS, compare, compare_before_rewind, is_rewind, turns
from dfnb.replay.rewind import effective, failed_tasks, failed_turn
from dfnb.replay.tasks import (
    EntityCallTask,
    EntityLockTask,
    SubOrchestrationTask,
    Task,
    TimerTask,
    unused_warning,
)

_CLEAN_UP_YIELDS = 100
_NOTHING: frozenset[int] = frozenset()


class Decision(msgspec.Struct, frozen=True, gc=False):
    """What one turn adds to the history, what the instance now waits for, and what its author should know."""

    outputs: tuple[HistoryEvent, ...]
    waits: tuple[Wait, ...] = ()
    carried: tuple[EventRaised, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def end(self) -> ExecutionCompleted | None:
        last = self.outputs[-1] if self.outputs else None
        return last if isinstance(last, ExecutionCompleted) else None


class OrchestrationReplay(Asks):
    """Runs one generation of an orchestrator over its history: `replay` feeds what is recorded, `turn` what is new."""

    def __init__(self, function: Callable[..., Any], *, generation: int = 0, input_type: Any = None) -> None:
        super().__init__(generation, input_type)
        self._function = function
        self._generator: Generator[Any, Any, Any] | None = None
        self._current: Task | None = None
        self._suspended = False
        self._postponed: list[HistoryEvent] = []
        self._history: list[tuple[int, int, Sequence[HistoryEvent]]] = []
        self._turn = 0
        self._thrown: dict[int, Task] = {}
        self._undone = _NOTHING

    # the two entries

    def turn(self, at: int, inputs: Sequence[HistoryEvent]) -> Decision:
        """Take in what happened by the time `at` and decide. Each call is one turn of the history."""
        self._begin(at)
        self._remember(inputs)
        for event in inputs:
            self._receive(event)
        outputs = self._outputs()
        self._remember(outputs)
        carried = self._carried() if self.will_continue_as_new else ()
        warnings, self._warnings = tuple(self._warnings), []
        return Decision(tuple(outputs), self.waits(), carried, warnings)

    def replay(self, history: Iterable[Recorded]) -> None:
        """Feed what is recorded. Raises NonDeterminismError where the code asks for something else.

        Events recorded but not yet taken in by a turn at the end of the history are left out: they belong to the next turn.
        When such an event is a rewind, the turn that had failed is not old any more: its code runs anew, not replaying.
        """
        rows = list(history)
        numbers = {id(row): number for number, row in enumerate(rows, 1)}
        groups = list(turns(rows))
        kept = {id(row) for row in effective(rows)}
        anew = failed_turn(rows)
        last = max((i for i, group in enumerate(groups) if any(map(is_rewind, group))), default=-1)
        loose_until = last if anew is None else len(groups)
        carried: list[HistoryEvent] = []
        try:
            for index, group in enumerate(groups):
                self.replaying = anew is None or group[-1].turn < anew
                self._begin(max(row.at for row in group if row.turn))
                counted = [row for row in group if id(row) in kept]
                carried = self._replay_turn(counted, carried, numbers, loose=index < loose_until)
        finally:
            self.replaying = False
        self._asked = carried

    def _replay_turn(
        self, rows: list[Recorded], carried: list[HistoryEvent], numbers: dict[int, int], *, loose: bool
    ) -> list[HistoryEvent]:
        """One recorded turn. Returns what the code asked for that a later rewind has the history record later."""
        outputs = [row for row in rows if isinstance(row.event, OUTPUTS)]
        inputs = [row for row in rows if not isinstance(row.event, OUTPUTS)]
        self._asked = []
        if any(map(is_rewind, rows)):
            self._asked, carried = carried, []
            self._undone = _NOTHING
        self._remember([row.event for row in inputs])
        for row in inputs:
            if getattr(row.event, "task", None) not in self._undone:
                self._receive(row.event)
        self._remember([row.event for row in outputs])
        if self.replaying:
            self._status = None
        recorded = [row for row in outputs if isinstance(row.event, COMPARED)]
        if not loose:
            self._warnings += compare(self._asked, recorded, numbers, numbers[id(rows[-1])] + 1)
            return carried
        left, undone = compare_before_rewind(self._asked, recorded)
        self._undone |= undone
        return carried + left

    @property
    def line(self) -> int | None:
        """Which line of the function, counted from its first, is at work or waits; None when none is."""
        frame = getattr(self._generator, "gi_frame", None)
        return None if frame is None else int(frame.f_lineno - frame.f_code.co_firstlineno + 1)

    def close(self) -> None:
        """Let the code go, as for an instance that was terminated or is no longer kept in memory."""
        self._finished = True
        self.replaying = True  # what its clean-up code says now, it will say again or has said before
        self._let_go()

    def _remember(self, events: Sequence[HistoryEvent]) -> None:
        if events:
            self._history.append((self._turn, self.now, events))

    # what happened

    def _begin(self, at: int) -> None:
        if at > self.now:
            self.now = at
        self._turn += 1

    def _receive(self, event: HistoryEvent) -> None:
        if self._finished:
            if isinstance(event, EventRaised):  # not read by this generation: the next one may
                self._raised.setdefault(event.name, deque()).append(event)
        elif self._suspended and not isinstance(event, ExecutionResumed | ExecutionSuspended):
            self._postponed.append(event)
        else:
            self._HANDLERS[type(event)](self, event)

    def _on_suspended(self, event: ExecutionSuspended) -> None:
        self._suspended = True

    def _on_resumed(self, event: ExecutionResumed) -> None:
        self._suspended = False
        postponed, self._postponed = self._postponed, []
        for earlier in postponed:
            self._receive(earlier)

    def _on_nothing(self, event: HistoryEvent) -> None:
        """Markers tell where a turn stands; they make nothing happen."""

    def _on_started(self, event: ExecutionStarted) -> None:
        self.started = event
        context = DurableOrchestrationContext(self)
        try:
            outcome = self._function(context)
        except BaseException as error:
            self._fail(error)
            return
        if inspect.isgenerator(outcome):
            self._generator = outcome
            self._step(outcome.send, None)
            self._advance()
        else:
            self._return(outcome)

    def _on_completed(self, event: TaskCompleted | SubOrchestrationInstanceCompleted | EntityOperationCompleted) -> None:
        task = self._open.get(event.task)
        if task is None:
            return  # late: the generation no longer waits for it
        self._answered(task)
        self._decode(task, event.result)
        self._advance()

    def _answered(self, task: Task) -> None:
        assert task.id is not None
        del self._open[task.id]
        if task._used:
            self._unused.pop(task.id, None)
        if isinstance(task, EntityCallTask):
            self.section.answered(task.entity)

    def _on_granted(self, event: EntityLockGranted) -> None:
        task = self._open.get(event.task)
        if isinstance(task, EntityLockTask):  # else granted a second time: taken again after a rewind
            self._answered(task)
            self.section.grant()
            task.succeed(task.lock)
            self._advance()

    def _on_failed(self, event: TaskFailed | SubOrchestrationInstanceFailed | EntityOperationFailed) -> None:
        task, failure = self._open.get(event.task), event.failure
        if task is None:
            return
        try:
            delay = task.retry_delay(failure, self.now)
        except Exception as error:  # the author's `handle` raised: the orchestration cannot know what it wanted
            self._fail(error)
            return
        if delay is not None:
            task.retry_at = self.now + delay
            self._asked.append(TimerCreated(event.task, task.retry_at, retry=True))
            return
        self._answered(task)
        task.fail(TaskFailedError(task.subject, failure, event.task))
        self._advance()

    def _on_http_over(self, event: HttpCallCompleted | HttpCallFailed) -> None:
        task = self._open.get(event.task)
        if task is not None:
            self._answered(task)
            settle(task, event)
            self._advance()

    def _on_timer_fired(self, event: TimerFired) -> None:
        task = self._open.get(event.task)
        if isinstance(task, TimerTask):
            del self._open[event.task]
            task.succeed(None)
            self._advance()
        elif task is not None and task.retry_at is not None:
            task.retry_at = None
            task.attempts += 1
            child = isinstance(task, SubOrchestrationTask)
            self._asked.append(self._created(task) if child else TaskScheduled(event.task, task.name, task.input))

    def _on_raised(self, event: EventRaised) -> None:
        waiters = self._waiters.get(event.name)
        if waiters:
            self._settle_event(waiters.popleft(), event)
            self._advance()
        else:
            self._raised.setdefault(event.name, deque()).append(event)
            self._warn_of_case(event.name)

    def _warn_of_case(self, name: str) -> None:
        """An event that only its letters' case keeps from a waiter is more likely a slip than meant."""
        for waited, waiters in self._waiters.items():
            if waiters and not self.replaying and waited.casefold() == name.casefold():
                self._warnings.append(f"event {name!r} was raised while the code waits for {waited!r}: names are compared exactly")

    _HANDLERS: ClassVar[dict[type[HistoryEvent], Callable[[Any, Any], None]]] = {
        ExecutionStarted: _on_started,
        TaskCompleted: _on_completed,
        TaskFailed: _on_failed,
        SubOrchestrationInstanceCompleted: _on_completed,
        SubOrchestrationInstanceFailed: _on_failed,
        EntityOperationCompleted: _on_completed,
        EntityOperationFailed: _on_failed,
        EntityLockGranted: _on_granted,
        HttpCallCompleted: _on_http_over,
        HttpCallFailed: _on_http_over,
        TimerFired: _on_timer_fired,
        EventRaised: _on_raised,
        ExecutionSuspended: _on_suspended,
        ExecutionResumed: _on_resumed,
        OrchestratorStarted: _on_nothing,
        ExecutionRewound: _on_nothing,
    }

    # driving the generator

    def _advance(self) -> None:
        """Resume the code while what it waits for is done."""
        while self._current is not None and self._current.is_completed and not self._finished:
            task, generator = self._current, self._generator
            assert generator is not None
            if task.is_failed:
                self._thrown[id(task.result)] = task
                self._step(generator.throw, task.result)
            else:
                self._step(generator.send, task.result)

    def _step(self, resume: Callable[[Any], Any], value: Any) -> None:
        self._current = None
        try:
            yielded = resume(value)
        except StopIteration as stop:
            self._return(stop.value)
            return
        except BaseException as error:
            self._fail(error)
            return
        if self.will_continue_as_new:
            self._return(None)
        elif isinstance(yielded, Task):
            self._wait_for(yielded)
        else:
            self._fail(TypeError(self._not_a_task(yielded)))

    def _wait_for(self, task: Task) -> None:
        self._current = task
        task._used = True
        self._unused.pop(task.id or 0, None)
        try:
            self.section.check_wait(task)
        except LockingRulesViolationError as error:
            self._current = Task()
            self._current.fail(error)

    def _not_a_task(self, yielded: Any) -> str:
        line = _line_of(self._generator)
        where = f" at line {line}" if line else ""
        return (
            f"the orchestrator {self.started.name!r} yielded {yielded!r:.100} ({type(yielded).__name__}){where}, "
            "which is not a task; yield only what the context's methods return, such as context.call_activity(...)"
        )

    def _return(self, value: Any) -> None:
        if self.will_continue_as_new:
            self._end(ExecutionCompleted("ContinuedAsNew", self._next_input))
            return
        if inspect.iscoroutine(value) or inspect.isasyncgen(value):
            close = getattr(value, "close", None)
            if close is not None:
                close()
            self._fail(TypeError(f"the orchestrator {self.started.name!r} is async; make it a plain function that yields tasks"))
            return
        try:
            text = payload.encode(value, what=f"the output of orchestrator {self.started.name!r}")
        except Exception as error:  # a PayloadError, or what a user's to_json raised
            self._fail(error)
            return
        self._warn_of_unused()
        self._end(ExecutionCompleted("Completed", text))

    def _fail(self, error: BaseException) -> None:
        failure = FailureDetails.from_exception(error)
        self._end(ExecutionCompleted("Failed", None, failure, failed_tasks(error, self._thrown)))

    def _end(self, event: ExecutionCompleted) -> None:
        self._finished = True
        self._asked.append(event)
        self._let_go()

    def _let_go(self) -> None:
        generator, self._generator = self._generator, None
        self._current = None
        if generator is None:
            return
        for _ in range(_CLEAN_UP_YIELDS):
            # it has ended: what its clean-up code raises can change nothing any more, and where that yields nothing answers
            with contextlib.suppress(BaseException):
                generator.close()
                return

    def _warn_of_unused(self) -> None:
        warning = unused_warning(self._unused.values())
        if warning is not None:
            self._warnings.append(warning)

    # what leaves

    def _outputs(self) -> list[HistoryEvent]:
        """What was asked in this turn, the custom status before the end."""
        outputs, self._asked = self._asked, []
        if self._status is not None:
            ended = outputs and isinstance(outputs[-1], ExecutionCompleted)
            outputs.insert(len(outputs) - 1 if ended else len(outputs), self._status)
            self._status = None
        return outputs

    def waits(self) -> tuple[Wait, ...]:
        """What the code waits for now."""
        return self._current.waits() if self._current is not None else ()

    def history_views(self) -> list[HistoryEventView]:
        rows = [Recorded(turn, at, event) for turn, at, events in self._history for event in events]
        return [view(number, row, row.turn != self._turn) for number, row in enumerate(rows, 1)]

    def open_children(self) -> list[SubOrchestrationInstanceCreated]:
        """The sub-orchestrations that have not answered and are not about to be tried again, as they were asked for."""
        found = [task for task in self._open.values() if isinstance(task, SubOrchestrationTask) and task.retry_at is None]
        return [SubOrchestrationInstanceCreated(t.id or 0, t.name, t.instance_id, t.input, t.version) for t in found]

    def open_lock(self) -> EntityLockRequested | None:
        """The request for the locks that the code holds or waits for: after a rewind they have to be taken again."""
        return self.section.request

    def _carried(self) -> tuple[EventRaised, ...]:
        if not self._keep_events:
            return ()
        unread = [event for events in self._raised.values() for event in events]
        unread += [event for event in self._postponed if isinstance(event, EventRaised)]
        place = {id(event): i for i, event in enumerate(event for _, _, events in self._history for event in events)}
        return tuple(sorted(unread, key=lambda event: place.get(id(event), len(place))))


def _line_of(generator: Any) -> int | None:
    while getattr(generator, "gi_yieldfrom", None) is not None:
        generator = generator.gi_yieldfrom
    frame = getattr(generator, "gi_frame", None)
    return frame.f_lineno if frame is not None else None

