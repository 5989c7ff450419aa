"""One operation of an entity: state and input in, state, result and messages out. Nothing else is touched."""

from __future__ import annotations

import types
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from dfnb.definitions import name_of
from dfnb.errors import PayloadError, UnknownOperationError
from dfnb.records import payload
from dfnb.records.entity_id import EntityId
from dfnb.records.failure import FailureDetails
from dfnb.records.times import MICROSECOND, to_datetime, to_microseconds
from dfnb.replay.entity_class import entity_class

_UUID_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_OID, "dfnb.entity")
_SUSPENDED = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)
_LONGEST_ID = 256
_LATEST = to_microseconds(datetime.max)


class SignalSent(msgspec.Struct, frozen=True, gc=False):
    """An operation the entity sends to another one (``@name@key``), not before `due_at` (microseconds), if that is given."""

    entity: str
    name: str
    input: str | None
    due_at: int | None


class OrchestrationStarted(msgspec.Struct, frozen=True, gc=False):
    """An orchestration the entity starts. `fresh`: the id was made here and cannot belong to an older instance."""

    name: str
    instance_id: str
    input: str | None
    fresh: bool


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What an operation leads to. A failed one leaves the state as it was and sends nothing. State and result are JSON text."""

    state: str | None
    result: str | None = None
    failure: FailureDetails | None = None
    signals: tuple[SignalSent, ...] = ()
    starts: tuple[OrchestrationStarted, ...] = ()


def run_operation(
    function: Callable[..., Any], entity: EntityId, state: str | None, operation: str, input: str | None, *, now: int, seed: str,
    name: str, caller: str | None = None,
) -> Outcome:
    """Run an operation of an entity. Whatever its code raises is in the outcome; the same arguments give the same ids.

    `function` takes the context, or is a class whose methods are the operations. `name` is the entity's name as it was defined,
    `seed` what the ids of started orchestrations are made of, `caller` the instance or entity that asked.
    """
    context = DurableEntityContext(entity, state, operation, input, now, seed, name, caller)
    try:
        returned = _run_class(function, context) if isinstance(function, type) else function(context)
        return context._outcome(returned)
    except BaseException as error:  # even SystemExit: the operation fails, the engine goes on
        return Outcome(state, failure=FailureDetails.from_exception(error))


class DurableEntityContext:
    """What an entity's operation gets: the state, the input, and everything it may ask for.

    Nothing takes effect before the operation has succeeded; then all does at once.
    """

    __slots__ = (
        "_caller", "_destructed", "_entity", "_existed", "_has_result", "_input", "_name", "_now", "_operation", "_result", "_seed",
        "_signals", "_starts", "_state", "_was_set",
    )

    def __init__(
        self, entity: EntityId, state: str | None, operation: str, input: str | None, now: int, seed: str, name: str,
        caller: str | None,
    ) -> None:
        self._entity = entity
        self._state = state
        self._operation = operation
        self._input = input
        self._now = now
        self._seed = seed
        self._name = name
        self._caller = caller
        self._existed = state is not None
        self._was_set = False
        self._destructed = False
        self._result: str | None = None
        self._has_result = False
        self._signals: list[SignalSent] = []
        self._starts: list[OrchestrationStarted] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._entity} {self._operation!r}>"

    # who, what, when

    @property
    def entity_name(self) -> str:
        """The entity's name, in lower case."""
        return self._entity.name

    @property
    def entity_key(self) -> str:
        """The entity's key, as it was given."""
        return self._entity.key

    @property
    def entity_id(self) -> EntityId:
        """Name and key."""
        return self._entity

    @property
    def operation_name(self) -> str:
        """What the entity is asked to do, as the caller wrote it."""
        return self._operation

    @property
    def is_newly_constructed(self) -> bool:
        """Whether the entity had no state when the operation began."""
        return not self._existed

    @property
    def caller_id(self) -> str | None:
        """The id of the instance or entity that asked; None for a client."""
        return self._caller

    @property
    def current_utc_datetime(self) -> datetime:
        """When the operation runs."""
        return to_datetime(self._now)

    # input, state, result

    def get_input(self, expected_type: Any = None) -> Any:
        """The operation's input, decoded anew at each call; None if it has none."""
        try:
            return payload.decode(self._input, expected_type)
        except PayloadError as error:
            problem = f"the input of operation {self._operation!r} of entity {self._entity} cannot be read: {error}"
            raise PayloadError(problem) from error.__cause__

    def get_state(self, initializer: Callable[[], Any] | None = None, expected_type: Any = None) -> Any:
        """A fresh copy of the state; without one what `initializer()` gives, which is not stored until `set_state`."""
        if initializer is not None and not callable(initializer):
            raise TypeError(f"get_state takes a function that makes the first value: `get_state(lambda: {initializer!r})`")
        if self._state is None:
            return initializer() if initializer is not None else None
        try:
            return payload.decode(self._state, expected_type)
        except PayloadError as error:
            raise PayloadError(f"the stored state of entity {self._entity} cannot be read: {error}") from error.__cause__

    def set_state(self, state: Any) -> None:
        """Make this the entity's state, as it is now; None removes it."""
        self._state = payload.encode(state, what=f"the state of entity {self._entity}")
        self._was_set = True

    def set_result(self, result: Any) -> None:
        """Make this what the caller gets, whatever the function returns."""
        self._result = payload.encode(result, what=f"the result of operation {self._operation!r}")
        self._has_result = True

    def destruct_on_exit(self) -> None:
        """Remove the state at the end of the operation, whatever is set until then. A later operation starts anew."""
        self._state = None
        self._destructed = True

    # messages

    def signal_entity(
        self, entityId: EntityId, operationName: str, operationInput: Any = None,
        signal_time: datetime | timedelta | None = None,
    ) -> None:
        """Send an entity an operation, at once or not before a time (naive means UTC) or that long after now."""
        if not isinstance(entityId, EntityId):
            raise TypeError(f"signal_entity takes an EntityId, e.g. EntityId('counter', 'x'), not {entityId!r}")
        if not isinstance(operationName, str) or not operationName:
            raise ValueError(f"signal_entity needs the operation's name, a text that is not empty, not {operationName!r}")
        text = payload.encode(operationInput, what=f"the input of operation {operationName!r} of entity {entityId}")
        self._signals.append(SignalSent(str(entityId), operationName, text, self._moment(signal_time)))

    def _moment(self, given: datetime | timedelta | None) -> int | None:
        if given is None:
            return None
        if isinstance(given, timedelta):
            moment = self._now + given // MICROSECOND
        elif isinstance(given, datetime):
            moment = to_microseconds(given)
        else:
            raise TypeError(f"signal_time is a datetime, or a timedelta from now, not {given!r}")
        if moment > _LATEST:
            raise ValueError(f"signal_time {given} is after the year 9999")
        return moment

    def schedule_new_orchestration(
        self, name: str | Callable[..., Any], input: Any = None, instance_id: str | None = None
    ) -> str:
        """Start an orchestration and return its id; without `instance_id` one is made."""
        named = name_of("orchestrator", name)
        text = payload.encode(input, what=f"the input of orchestration {named!r}")
        if instance_id is None:
            chosen = uuid.uuid5(_UUID_NAMESPACE, f"{self._seed}\n{len(self._starts)}").hex
        else:
            chosen = _checked_instance_id(instance_id)
        self._starts.append(OrchestrationStarted(named, chosen, text, instance_id is None))
        return chosen

    # the end

    def _keep(self, state: Any) -> None:
        """Take the state of a class's object, unless the operation has set one itself."""
        if not self._was_set and not self._destructed:
            self.set_state(state)

    def _outcome(self, returned: Any) -> Outcome:
        if isinstance(returned, _SUSPENDED):
            raise _never_ran(self._operation, returned)
        if returned is not None and not self._has_result:
            self.set_result(returned)
        state = None if self._destructed else self._state
        return Outcome(state, self._result, None, tuple(self._signals), tuple(self._starts))


def _run_class(kind: type, context: DurableEntityContext) -> Any:
    known = entity_class(kind)
    method = known.method(context._operation)
    if method is None:
        return _without_method(known.operations, context)
    try:
        instance = known.wake(kind, context._state)
    except PayloadError as error:
        raise PayloadError(f"the stored state of entity {context._entity} cannot be read: {error}") from error.__cause__
    returned = method.call(instance, context.get_input, context)
    context._keep(known.state_of(instance))
    return returned


def _without_method(operations: list[str], context: DurableEntityContext) -> None:
    """Every class has the operation `delete`, unless it defines its own."""
    if context._operation.lower() != "delete":
        raise UnknownOperationError(context._name, context._operation, {*operations, "delete"})
    context.destruct_on_exit()


def _never_ran(operation: str, returned: Any) -> TypeError:
    if not isinstance(returned, types.AsyncGeneratorType):
        returned.close()
    what = type(returned).__name__.replace("_", " ")
    return TypeError(
        f"operation {operation!r} returned a {what}, whose code never runs: an entity's operation is done in one step, "
        "without `yield` and `await`; return a value"
    )


def _checked_instance_id(instance_id: object) -> str:
    if not isinstance(instance_id, str) or not instance_id or len(instance_id) > _LONGEST_ID:
        raise ValueError(f"an instance id is a text of 1 to {_LONGEST_ID} characters, not {instance_id!r}")
    if instance_id.startswith("@") or any(c in "/\\?#" or ord(c) < 32 or 127 <= ord(c) < 160 for c in instance_id):
        raise ValueError(f"the instance id {instance_id!r} must not start with @ or contain / \\ ? # or control characters")
    return instance_id
