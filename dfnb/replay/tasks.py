"""Tasks: what an orchestrator gets from the context and yields; when one of them, all of them or any of them is done."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from dfnb.errors import LockingRulesViolationError, TaskCancelledError
from dfnb.records.failure import FailureDetails
from dfnb.records.instance import Wait
from dfnb.records.retry import RetryPolicy

_SHOWN = 3
"""How many open children of a composite task a status names, and how many entities of a set."""


def shortened(names: Iterable[str]) -> str:
    """The first few names and how many more there are, however many are given."""
    listed = list(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more


class TaskState(enum.Enum):
    """Where a task stands; the numbers are Azure's."""

    RUNNING = 0
    SUCCEEDED = 1
    FAILED = 2


class Task:
    """Something an orchestrator can wait for with ``yield``.

    `result` is None while the task runs, its value once it succeeded, and the exception object once it failed; reading it never
    raises. Tasks compare by identity.
    """

    __slots__ = ("_parents", "_result", "_state", "_used", "id")

    def __init__(self, id: int | None = None) -> None:
        self.id = id
        self._state = TaskState.RUNNING
        self._result: Any = None
        self._parents: list[_CompositeTask] | None = None
        self._used = False

    def __repr__(self) -> str:
        waits = ", ".join(wait.sentence for wait in self.waits())
        return f"<{type(self).__name__} {self._state.name.lower()}{f': {waits}' if waits else ''}>"

    @property
    def state(self) -> TaskState:
        return self._state

    @property
    def is_completed(self) -> bool:
        """Whether the task is done, successfully or not."""
        return self._state is not TaskState.RUNNING

    @property
    def is_complete(self) -> bool:
        """Same as `is_completed`: the name of the newer Azure line."""
        return self._state is not TaskState.RUNNING

    @property
    def is_failed(self) -> bool:
        return self._state is TaskState.FAILED

    @property
    def result(self) -> Any:
        return self._result

    def succeed(self, value: Any) -> None:
        self._settle(TaskState.SUCCEEDED, value)

    def fail(self, error: BaseException) -> None:
        self._settle(TaskState.FAILED, error)

    def _settle(self, state: TaskState, result: Any) -> None:
        if self._state is not TaskState.RUNNING:
            return  # a settled task never unsettles
        self._state = state
        self._result = result
        for parent in self._parents or ():
            parent.child_settled(self)
        self._parents = None

    def add_parent(self, parent: _CompositeTask) -> None:
        if self._parents is None:
            self._parents = []
        self._parents.append(parent)

    def waits(self) -> tuple[Wait, ...]:
        """What this task still waits for, in words for a status; bounded however many tasks are below."""
        return ()

    def failed_leaves(self) -> Iterator[Task]:
        """The failed tasks at the bottom of this one."""
        if self.is_failed:
            yield self

    def needs(self, found: Callable[[Task], bool]) -> Task | None:
        """The first open task at the bottom that is `found` and without which this one cannot be done."""
        return self if not self.is_completed and found(self) else None

    @property
    def title(self) -> str:
        """What it is, for a sentence."""
        return type(self).__name__


class _CallTask(Task):
    """A call that may be tried again: its number stays the same over all tries."""

    __slots__ = ("attempts", "expected_type", "first_asked_at", "input", "name", "policy", "retry_at", "version")

    def __init__(
        self, id: int, name: str, input: str | None, policy: RetryPolicy | None, expected_type: Any, now: int,
        version: str | None = None,
    ) -> None:
        super().__init__(id)
        self.name = name
        self.input = input
        self.policy = policy
        self.expected_type = expected_type
        self.first_asked_at = now
        self.attempts = 1
        self.retry_at: int | None = None
        self.version = version

    def retry_delay(self, failure: FailureDetails, now: int) -> int | None:
        """Microseconds until the next try, or None when the failure is final."""
        if self.policy is None:
            return None
        return self.policy.next_delay(self.attempts, now - self.first_asked_at, failure)

    def waits(self) -> tuple[Wait, ...]:
        if self.is_completed:
            return ()
        if self.retry_at is not None:
            return (Wait("retry", self.name, self.id, self.retry_at),)
        return (Wait(self._wait_kind, self.name, self.id, None, self.first_asked_at),)

    _wait_kind = "activity"

    @property
    def title(self) -> str:
        return repr(self.name)

    @property
    def subject(self) -> str:
        """How the original begins the sentence about its failure."""
        return f"{self._function} function '{self.name}'"

    _function = "Activity"


class ActivityTask(_CallTask):
    __slots__ = ()


class SubOrchestrationTask(_CallTask):
    __slots__ = ("asked_id", "instance_id")
    _wait_kind = "orchestration"
    _function = "Orchestrator"

    def __init__(self, *facts: Any, asked_id: str | None) -> None:
        super().__init__(*facts)
        self.asked_id = asked_id
        self.instance_id = asked_id or ""

    def waits(self) -> tuple[Wait, ...]:
        if self.is_completed or self.retry_at is not None:
            return super().waits()
        return (Wait(self._wait_kind, f"{self.name} ({self.instance_id})", self.id, None, self.first_asked_at),)

    @property
    def title(self) -> str:
        return f"sub-orchestration {self.name!r}"


class EntityCallTask(_CallTask):
    """Done when the entity has run the operation `name`."""

    __slots__ = ("entity",)

    def __init__(self, id: int, entity: str, name: str, input: str | None, expected_type: Any, now: int) -> None:
        super().__init__(id, name, input, None, expected_type, now)
        self.entity = entity

    def waits(self) -> tuple[Wait, ...]:
        return () if self.is_completed else (Wait("entity", f"{self.entity} {self.name}", self.id, None, self.first_asked_at),)

    @property
    def title(self) -> str:
        return f"{self.name!r} of {self.entity}"

    @property
    def subject(self) -> str:
        return f"Operation '{self.name}' of entity '{self.entity}'"


class HttpTask(_CallTask):
    """Done when the last answer of an HTTP call is there: its value, a DurableHttpResponse."""

    __slots__ = ()
    _wait_kind = "http"

    def __init__(self, id: int, name: str, now: int) -> None:
        super().__init__(id, name, None, None, None, now)

    @property
    def title(self) -> str:
        return f"the HTTP call {self.name!r}"

    @property
    def subject(self) -> str:
        return f"HTTP call '{self.name}'"


class EntityLockTask(Task):
    """Done when the locks of all `entities` are held; its value is the lock, to be given back."""

    __slots__ = ("entities", "lock", "since")

    def __init__(self, id: int, entities: tuple[str, ...], lock: Any, since: int) -> None:
        super().__init__(id)
        self.entities = entities
        self.lock = lock
        self.since = since

    def waits(self) -> tuple[Wait, ...]:
        return () if self.is_completed else (Wait("lock", shortened(self.entities), self.id, None, self.since),)

    @property
    def title(self) -> str:
        return f"the lock of {shortened(self.entities)}"

    def __enter__(self) -> None:
        raise LockingRulesViolationError(
            "enter a critical section before its lock is there", "yield the task: `with (yield context.lock_entities([...])):`"
        )

    def __exit__(self, *exception: object) -> None:
        """Never reached: the way in is refused."""


class _CancellableTask(Task):
    """A timer or an event wait: the orchestrator may give it up."""

    __slots__ = ("_on_cancel", "is_cancelled")

    def __init__(self, id: int | None, on_cancel: Callable[[Any], None]) -> None:
        super().__init__(id)
        self._on_cancel = on_cancel
        self.is_cancelled = False

    def cancel(self) -> bool:
        """Give the task up. False if it was already done; it never raises."""
        if self.is_completed:
            return False
        self.is_cancelled = True
        self._on_cancel(self)
        self.fail(TaskCancelledError("the task was cancelled by the orchestrator"))
        return True

    def is_canceled(self) -> bool:
        """Same as `is_cancelled`: how the original's long timers spell it."""
        return self.is_cancelled

    def failed_leaves(self) -> Iterator[Task]:
        return iter(())


class TimerTask(_CancellableTask):
    """Done when the time `fire_at` (aware, UTC) has come."""

    __slots__ = ("_fire_at_us", "fire_at")

    def __init__(self, id: int, fire_at: datetime, fire_at_us: int, on_cancel: Callable[[Any], None]) -> None:
        super().__init__(id, on_cancel)
        self.fire_at = fire_at
        self._fire_at_us = fire_at_us

    def waits(self) -> tuple[Wait, ...]:
        return () if self.is_completed else (Wait("timer", "", self.id, self._fire_at_us),)


class ExternalEventTask(_CancellableTask):
    """Done when an event of that name is raised."""

    __slots__ = ("expected_type", "name", "since")

    def __init__(self, name: str, expected_type: Any, since: int, on_cancel: Callable[[Any], None]) -> None:
        super().__init__(None, on_cancel)
        self.name = name
        self.expected_type = expected_type
        self.since = since

    def waits(self) -> tuple[Wait, ...]:
        return () if self.is_completed else (Wait("event", self.name, None, None, self.since),)


class _CompositeTask(Task):
    __slots__ = ("_open", "children")

    def __init__(self, children: Iterable[Task]) -> None:
        super().__init__()
        self.children = list(children)
        self._open: dict[int, Task] = {}
        for child in self.children:
            child._used = True
            if not child.is_completed and id(child) not in self._open:
                self._open[id(child)] = child
                child.add_parent(self)

    def child_settled(self, child: Task) -> None:
        raise TypeError("a composite task says itself when it is done")

    def waits(self) -> tuple[Wait, ...]:
        if self.is_completed:
            return ()
        shown = [wait for child in islice(self._open.values(), _SHOWN) for wait in child.waits()][:_SHOWN]
        more = len(self._open) - len(shown)
        return (*shown, Wait("more", str(more))) if more > 0 else tuple(shown)

    def _needed(self, found: Callable[[Task], bool]) -> Iterator[Task | None]:
        return (child.needs(found) for child in self._open.values())


class WhenAllTask(_CompositeTask):
    """Done when every child is: its value is the list of theirs in order, or the first failure (in time)."""

    __slots__ = ("_first_failure",)

    def __init__(self, children: Iterable[Task]) -> None:
        super().__init__(children)
        self._first_failure = next((c.result for c in self.children if c.is_failed), None)
        self._finish_if_quiet()

    def child_settled(self, child: Task) -> None:
        if child.is_failed and self._first_failure is None:
            self._first_failure = child.result
        self._open.pop(id(child), None)
        self._finish_if_quiet()

    def _finish_if_quiet(self) -> None:
        if self._open:
            return
        if self._first_failure is not None:
            self.fail(self._first_failure)
        else:
            self.succeed([child.result for child in self.children])

    def failed_leaves(self) -> Iterator[Task]:
        for child in self.children:
            yield from child.failed_leaves()

    def needs(self, found: Callable[[Task], bool]) -> Task | None:
        return next(filter(None, self._needed(found)), None)


class WhenAnyTask(_CompositeTask):
    """Done when the first child is: its value is that child, be it successful or failed."""

    __slots__ = ()

    def __init__(self, children: Iterable[Task]) -> None:
        super().__init__(children)
        winner = next((child for child in self.children if child.is_completed), None)
        if winner is not None:
            self.succeed(winner)

    def child_settled(self, child: Task) -> None:
        self._open.pop(id(child), None)
        self.succeed(child)

    def needs(self, found: Callable[[Task], bool]) -> Task | None:
        if self.is_completed:
            return None
        needed = list(self._needed(found))
        return needed[0] if all(needed) else None


def unused_warning(tasks: Iterable[Task]) -> str | None:
    """The sentence about calls whose task the code never yielded, if there are any."""
    kinds = (ActivityTask, EntityCallTask, EntityLockTask, HttpTask)
    titles = {task.title for task in tasks if isinstance(task, kinds) and not task._used}
    if not titles:
        return None
    shown = ", ".join(sorted(titles)[:5])
    return f"called but never yielded: {shown}; yield every task, or its result and failure are lost"
