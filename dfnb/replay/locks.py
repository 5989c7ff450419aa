"""In which order the locks of entities are asked for, and what an orchestration may do while it holds them.

The rules keep orchestrations from waiting for each other in a circle: all take locks in one order, and who holds some waits for
nothing that could need a lock. As in the original they hold from the request on, not only from the grant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dfnb.errors import LockingRulesViolationError
from dfnb.records.entity_id import EntityId
from dfnb.records.history import EntityLockRequested
from dfnb.replay.tasks import EntityCallTask, SubOrchestrationTask, Task, shortened

_NOTHING: frozenset[str] = frozenset()  # one for all: thousands of generations in memory have nothing locked
_HOW_TO_LOCK = "`with (yield context.lock_entities([...])):`"


class EntityLock:
    """The locks of some entities, held until `release` or the end of a ``with`` block: what `lock_entities` gives."""

    __slots__ = ("_release", "entities")

    def __init__(self, entities: tuple[EntityId, ...], release: Callable[[], None]) -> None:
        self.entities = entities
        self._release: Callable[[], None] | None = release

    @property
    def is_held(self) -> bool:
        """Whether the locks have not been given back."""
        return self._release is not None

    def release(self) -> None:
        """Give the locks back. A second time does nothing."""
        release, self._release = self._release, None
        if release is not None:
            release()

    def __enter__(self) -> EntityLock:
        if self._release is None:
            raise LockingRulesViolationError("enter a critical section whose locks were given back", f"ask anew: {_HOW_TO_LOCK}")
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<EntityLock of {shortened(map(str, self.entities))}, {'held' if self.is_held else 'given back'}>"


def lock_set(entities: Iterable[EntityId]) -> tuple[EntityId, ...]:
    """The entities to lock, each once, in the order all orchestrations take them. ValueError for none and for anything else."""
    if isinstance(entities, str | EntityId) or not isinstance(entities, Iterable):
        raise ValueError(f"lock_entities takes a list of EntityIds, not {entities!r:.100}; write lock_entities([...])")
    listed = list(entities)
    for entity in listed:
        if not isinstance(entity, EntityId):
            raise ValueError(f"lock_entities takes EntityIds, not {entity!r:.100}; write EntityId('counter', 'x')")
    if not listed:
        raise ValueError("lock_entities was given no entity: there is nothing to lock")
    return tuple(sorted(set(listed), key=str))


class CriticalSection:
    """What one generation has locked or asked to lock, which entities owe it an answer, and what it may therefore ask.

    The `check_` methods raise LockingRulesViolationError with a sentence that tells what to do instead.
    """

    __slots__ = ("_calls", "_locked", "is_granted", "request")

    def __init__(self) -> None:
        self.request: EntityLockRequested | None = None
        self.is_granted = False
        self._locked = _NOTHING
        self._calls: dict[str, int] = {}

    # what happens to it

    def begin(self, request: EntityLockRequested) -> None:
        self.request = request
        self._locked = frozenset(request.entities)

    def grant(self) -> None:
        self.is_granted = True

    def end(self) -> None:
        self.request = None
        self.is_granted = False
        self._locked = _NOTHING

    def called(self, entity: str) -> None:
        self._calls[entity] = self._calls.get(entity, 0) + 1

    def answered(self, entity: str) -> None:
        left = self._calls.pop(entity, 0) - 1
        if left > 0:
            self._calls[entity] = left

    # what it allows

    def check_call(self, entity: str) -> None:
        if self.request is None:
            return
        if not self.is_granted:
            raise LockingRulesViolationError(
                f"call {entity} before the lock of {self._names()} is there", f"wait for it first: {_HOW_TO_LOCK}"
            )
        if entity not in self._locked:
            raise LockingRulesViolationError(
                f"call {entity} inside a critical section that has locked {self._names()}",
                f"lock it too, all in one {_HOW_TO_LOCK}, or call it outside",
            )
        if entity in self._calls:
            raise LockingRulesViolationError(
                f"call {entity} again before it has answered",
                "inside a critical section an entity takes one call at a time: yield the task of the earlier call first",
            )

    def check_signal(self, entity: str) -> None:
        if entity in self._locked:
            raise LockingRulesViolationError(
                f"signal {entity} while the lock of {self._names()} is held or waited for",
                "call it inside the critical section, or signal it afterwards",
            )

    def check_child(self, name: str) -> None:
        if self.request is not None:
            raise LockingRulesViolationError(
                f"start sub-orchestration {name!r} while the lock of {self._names()} is held or waited for",
                "it might need the same locks: start it and wait for it outside the critical section",
            )

    def check_request(self) -> None:
        if self.request is not None:
            raise LockingRulesViolationError(
                f"lock entities while the lock of {self._names()} is held or waited for",
                f"critical sections do not nest: name all entities in one {_HOW_TO_LOCK}, or leave the section first",
            )

    def check_wait(self, task: Task) -> None:
        """Whether the code may wait for that task: not if it can only be done by one that might wait for the locks held here."""
        if self.request is None:
            return
        needed = task.needs(self._might_need_a_lock)
        if needed is not None:
            raise LockingRulesViolationError(
                f"wait for {needed.title} while the lock of {self._names()} is held or waited for",
                "it might itself wait for that lock: yield it before the lock is asked for, or after the critical section",
            )

    def _might_need_a_lock(self, task: Task) -> bool:
        if isinstance(task, EntityCallTask):
            return task.entity not in self._locked
        return isinstance(task, SubOrchestrationTask)

    def _names(self) -> str:
        return shortened(self.request.entities if self.request is not None else ())
