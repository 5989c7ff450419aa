"""What an orchestrator's code may ask for: each call makes a task, and the event that goes into the history for it."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterable
from typing import Any

from dfnb.records import payload
from dfnb.records.entity_id import EntityId
from dfnb.records.history import (
    CustomStatusSet,
    EntityLockRequested,
    EntityOperationCalled,
    EntityOperationSignaled,
    EntityUnlockSent,
    EventRaised,
    ExecutionStarted,
    HistoryEvent,
    HttpCallScheduled,
    SubOrchestrationInstanceCreated,
    TaskScheduled,
    TimerCanceled,
    TimerCreated,
)
from dfnb.records.retry import RetryPolicy
from dfnb.records.times import to_datetime
from dfnb.replay.locks import CriticalSection, EntityLock
from dfnb.replay.tasks import (
    ActivityTask,
    EntityCallTask,
    EntityLockTask,
    ExternalEventTask,
    HttpTask,
    SubOrchestrationTask,
    Task,
    TimerTask,
)


class Asks:
    """The side of one generation that its code sees: what it is, the tasks it asked for, and what it asked in this turn."""

    def __init__(self, generation: int, input_type: Any) -> None:
        self.started = ExecutionStarted("", "")
        self.now = 0
        self.replaying = False
        self.will_continue_as_new = False
        self.input_type = input_type
        self.section = CriticalSection()
        self._generation = generation
        self._finished = False
        self._next_task = 1
        self._open: dict[int, Any] = {}
        self._unused: dict[int, Task] = {}
        self._waiters: dict[str, deque[ExternalEventTask]] = {}
        self._raised: dict[str, deque[EventRaised]] = {}
        self._asked: list[HistoryEvent] = []
        self._status: CustomStatusSet | None = None
        self._next_input: str | None = None
        self._keep_events = True
        self._warnings: list[str] = []
        self._warned: tuple[str, ...] = ()

    def ask_activity(self, name: str, input: str | None, policy: RetryPolicy | None, expected_type: Any) -> Task:
        task = ActivityTask(self._number(), name, input, policy, expected_type, self.now)
        return self._schedule(task, TaskScheduled(task.id or 0, name, input))

    def ask_sub_orchestration(
        self, name: str, input: str | None, policy: RetryPolicy | None, expected_type: Any, instance_id: str | None,
        version: str | None,
    ) -> Task:
        self.section.check_child(name)
        task = SubOrchestrationTask(self._number(), name, input, policy, expected_type, self.now, version, asked_id=instance_id)
        return self._schedule(task, self._created(task))

    def _created(self, task: SubOrchestrationTask) -> SubOrchestrationInstanceCreated:
        task.instance_id = task.asked_id or self._child_id(task.id or 0, task.attempts)
        return SubOrchestrationInstanceCreated(task.id or 0, task.name, task.instance_id, task.input, task.version)

    def _child_id(self, task: int, attempt: int) -> str:
        generation = f"{self._generation}." if self._generation else ""
        retried = f"-{attempt}" if attempt > 1 else ""
        return f"{self.started.instance_id}:{generation}{task}{retried}"

    def ask_timer(self, fire_at: int) -> TimerTask:
        task = TimerTask(self._number(), to_datetime(fire_at), fire_at, self._cancel_timer)
        self._schedule(task, TimerCreated(task.id or 0, fire_at))
        return task

    def ask_event(self, name: str, expected_type: Any) -> ExternalEventTask:
        task = ExternalEventTask(name, expected_type, self.now, self._cancel_event)
        raised = self._raised.get(name)
        if self.will_continue_as_new or self._finished:
            return task  # the generation is over: the next one may read the event
        if raised:
            self._settle_event(task, raised.popleft())
        else:
            self._waiters.setdefault(name, deque()).append(task)
        return task

    def ask_entity(self, entity: str, name: str, input: str | None, expected_type: Any) -> Task:
        self.section.check_call(entity)
        task = EntityCallTask(self._number(), entity, name, input, expected_type, self.now)
        self._schedule(task, EntityOperationCalled(task.id or 0, entity, name, input))
        if task.id in self._open:
            self.section.called(entity)
        return task

    def ask_signal(self, entity: str, name: str, input: str | None, due_at: int | None) -> Task:
        self.section.check_signal(entity)
        task = Task(self._number())
        task.succeed(None)
        if not self._finished:  # no answer is waited for: also the last words of a generation go out
            self._asked.append(EntityOperationSignaled(task.id or 0, entity, name, input, due_at))
        return task

    def ask_lock(self, entities: tuple[EntityId, ...]) -> Task:
        self.section.check_request()
        number = self._number()
        lock = EntityLock(entities, functools.partial(self._unlock, number))
        request = EntityLockRequested(number, tuple(map(str, entities)))
        task = self._schedule(EntityLockTask(number, request.entities, lock, self.now), request)
        if number in self._open:
            self.section.begin(request)
        return task

    def _unlock(self, number: int) -> None:
        request = self.section.request
        self.section.end()
        if not self._finished:  # at the end all locks are given back without being asked
            self._asked.append(EntityUnlockSent(number, request.entities if request is not None else ()))

    def ask_http(self, name: str, request: str, plain_credentials: Iterable[str]) -> Task:
        for what in plain_credentials:
            self._warn_once(f"{what} is written into the history as it is; use df.Secret.env(...)")
        task = HttpTask(self._number(), name, self.now)
        return self._schedule(task, HttpCallScheduled(task.id or 0, name, request))

    def _warn_once(self, sentence: str) -> None:
        if sentence in self._warned:
            return
        if not self.replaying:
            self._warnings.append(sentence)
        self._warned = (*self._warned, sentence)

    def continue_as_new(self, input: str | None, save_events: bool) -> None:
        self.will_continue_as_new = True
        self._next_input = input
        self._keep_events = save_events

    def set_custom_status(self, text: str | None) -> None:
        if not self._finished:
            self._status = CustomStatusSet(text)

    def _number(self) -> int:
        number = self._next_task
        self._next_task += 1
        return number

    def _schedule(self, task: Task, event: HistoryEvent) -> Task:
        if self.will_continue_as_new or self._finished:
            return task  # the generation is over: what is asked now could never be answered
        assert task.id is not None
        self._open[task.id] = task
        self._unused[task.id] = task
        self._asked.append(event)
        return task

    def _cancel_timer(self, task: TimerTask) -> None:
        if self._open.pop(task.id or 0, None) is not None and not self._finished:
            self._unused.pop(task.id or 0, None)
            self._asked.append(TimerCanceled(task.id or 0))

    def _cancel_event(self, task: ExternalEventTask) -> None:
        self._waiters[task.name].remove(task)

    def waited_since(self, name: str) -> list[int]:
        """Since when the code waits for events of that name, in the order in which they will be given."""
        return [task.since for task in self._waiters.get(name, ())]

    def _settle_event(self, task: ExternalEventTask, event: EventRaised) -> None:
        self._decode(task, event.input)

    def _decode(self, task: Any, text: str | None) -> None:
        try:
            value = payload.decode(text, task.expected_type)
        except Exception as error:  # also what a user's from_json raises: it surfaces at the yield
            task.fail(error)
        else:
            task.succeed(value)
