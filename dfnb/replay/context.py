"""What an orchestrator may do, and which number its n-th task has."""

from __future__ import annotations

import dataclasses
import inspect
import logging
import typing
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from dfnb.definitions import name_of
from dfnb.records import payload
from dfnb.records.entity_id import EntityId
from dfnb.records.http import DurableHttpRequest
from dfnb.records.retry import RetryPolicy, check_retry_options
from dfnb.records.times import MICROSECOND, to_datetime, to_microseconds
from dfnb.replay.locks import lock_set
from dfnb.replay.tasks import ExternalEventTask, Task, TimerTask, WhenAllTask, WhenAnyTask

if TYPE_CHECKING:
    from dfnb.replay.events import HistoryEventView
    from dfnb.replay.orchestrator import OrchestrationReplay

_UUID_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_OID, "9e952958-5e33-4daf-827f-2fa12937b875")

Named = str | Callable[..., Any]


class DurableOrchestrationContext:
    """What an orchestrator function gets: its input, its identity, and everything it may ask for.

    Calls schedule their work at once and return a task; ``yield`` the task to wait for it. All times are UTC and those of the
    recorded history, so that replay sees the same.
    """

    def __init__(self, replay: OrchestrationReplay) -> None:
        self._replay = replay
        self._uuids = 0
        self._custom_status: Any = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.instance_id!r}>"

    # identity and time

    @property
    def instance_id(self) -> str:
        return self._replay.started.instance_id

    @property
    def parent_instance_id(self) -> str | None:
        """The id of the instance that called this one as a sub-orchestration, else None."""
        parent = self._replay.started.parent
        return parent.instance_id if parent is not None else None

    @property
    def name(self) -> str:
        """The orchestrator's name."""
        return self._replay.started.name

    @property
    def version(self) -> str | None:
        return self._replay.started.version

    @property
    def is_replaying(self) -> bool:
        """True only while turns that are already in the history are run again."""
        return self._replay.replaying

    @property
    def current_utc_datetime(self) -> datetime:
        """The time of the present turn: the same at every replay, never moving backwards."""
        return to_datetime(self._replay.now)

    @property
    def histories(self) -> list[HistoryEventView]:
        """The history of this generation so far, oldest first."""
        return self._replay.history_views()

    @property
    def custom_status(self) -> Any:
        return self._custom_status

    @property
    def will_continue_as_new(self) -> bool:
        return self._replay.will_continue_as_new

    @property
    def function_context(self) -> dict[str, Any]:
        """Always empty: there is no host that would send extra fields."""
        return {}

    def get_input(self, expected_type: Any = None) -> Any:
        """The input the instance was started with, decoded anew at each call; None if it had none."""
        return payload.decode(self._replay.started.input, expected_type or self._replay.input_type)

    def new_uuid(self) -> str:
        """A UUID that is the same at every replay (Azure's formula: id, time of the turn, counter)."""
        moment = self.current_utc_datetime.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        value = uuid.uuid5(_UUID_NAMESPACE, f"{self.instance_id}_{moment}_{self._uuids}")
        self._uuids += 1
        return str(value)

    def new_guid(self) -> uuid.UUID:
        """`new_uuid` as a UUID object."""
        return uuid.UUID(self.new_uuid())

    def create_replay_safe_logger(self, logger: logging.Logger) -> logging.LoggerAdapter[logging.Logger]:
        """The logger, silent while old history is replayed, so that each line is written once."""
        return _ReplaySafeLogger(logger, self._replay)

    # calls

    def call_activity(self, name: Named, input_: Any = None, expected_type: Any = None) -> Task:
        """Run an activity; the task's value is what it returns, or its failure is raised at the ``yield``."""
        return self._activity(name, None, input_, expected_type)

    def call_activity_with_retry(
        self, name: Named, retry_options: RetryPolicy, input_: Any = None, expected_type: Any = None
    ) -> Task:
        """Run an activity and try it again as `retry_options` say; the last failure counts."""
        return self._activity(name, check_retry_options(retry_options), input_, expected_type)

    def _activity(self, name: Named, policy: RetryPolicy | None, input_: Any, expected_type: Any) -> Task:
        named = name_of("activity", name)
        text = payload.encode(input_, what=f"the input of activity {named!r}")
        return self._replay.ask_activity(named, text, policy, expected_type or _return_type(name))

    def call_sub_orchestrator(
        self, name: Named, input_: Any = None, instance_id: str | None = None, version: str | None = None,
        expected_type: Any = None,
    ) -> Task:
        """Run another orchestrator as a child instance and wait for its output."""
        return self._sub_orchestrator(name, None, input_, instance_id, version, expected_type)

    def call_sub_orchestrator_with_retry(
        self, name: Named, retry_options: RetryPolicy, input_: Any = None, instance_id: str | None = None,
        version: str | None = None, expected_type: Any = None,
    ) -> Task:
        """Run a child instance, and a new one each time it failed, as `retry_options` say."""
        policy = check_retry_options(retry_options)
        return self._sub_orchestrator(name, policy, input_, instance_id, version, expected_type)

    def _sub_orchestrator(
        self, name: Named, policy: RetryPolicy | None, input_: Any, instance_id: str | None, version: str | None,
        expected_type: Any,
    ) -> Task:
        named = name_of("orchestrator", name)
        text = payload.encode(input_, what=f"the input of sub-orchestration {named!r}")
        return self._replay.ask_sub_orchestration(named, text, policy, expected_type, instance_id, version)

    def call_http(
        self, method: str | DurableHttpRequest, uri: Any = None, content: Any = None, headers: Mapping[str, Any] | None = None,
        token_source: Any = None, is_raw_str: bool = False, *, asynchronous_pattern_enabled: bool = True,
        retry_options: RetryPolicy | None = None, timeout: timedelta | float | None = None,
        deadline: timedelta | datetime | float | None = None, poll: Any = "auto", status_codes_to_retry: Iterable[int] = (),
        idempotency_key: bool | str = False, client: str | None = None,
    ) -> Task:
        """Call an HTTP API, wait as long as it says "not yet", and get its answer: a DurableHttpResponse, whatever its status.

        The arguments are those of `DurableHttpRequest`. The first one may also be a whole one: what else is given then takes the
        place of its parts. A call that cannot be brought to an end raises HttpCallError at the ``yield``.
        """
        given = {name: value for name, value in locals().items() if name not in ("self", "method")}
        parts = {name: value for name, value in given.items() if value is not _HTTP_DEFAULTS.get(name)}
        if isinstance(method, DurableHttpRequest):
            request = dataclasses.replace(method, **parts) if parts else method
        else:
            request = DurableHttpRequest(method, **{"uri": None, **parts})
        return self._replay.ask_http(request.title, request.encode(self._replay.now), request.plain_credentials)

    def create_timer(self, fire_at: datetime | timedelta) -> TimerTask:
        """A task done at that time (naive means UTC), or that long after now. A time that has passed fires at once."""
        return self._replay.ask_timer(self._moment(fire_at, "create_timer"))

    def _moment(self, when: Any, method: str) -> int:
        if isinstance(when, timedelta):
            return self._replay.now + when // MICROSECOND
        if isinstance(when, datetime):
            return to_microseconds(when)
        if isinstance(when, date):
            return to_microseconds(datetime(when.year, when.month, when.day))
        raise ValueError(f"{method} takes a datetime or a timedelta, not {type(when).__name__}")

    def wait_for_external_event(self, name: str, expected_type: Any = None) -> ExternalEventTask:
        """A task done when an event of exactly that name is raised; its value is the event's data.

        Events are kept until somebody waits for them; of several waiters the oldest gets the oldest event.
        """
        if not isinstance(name, str) or not name:
            raise ValueError("wait_for_external_event needs the event's name")
        return self._replay.ask_event(name, expected_type)

    def task_all(self, tasks: Iterable[Task]) -> Task:
        """A task done when all are: the list of their values in order. If some failed, the first failure is raised, after all."""
        return WhenAllTask(_checked(tasks, "task_all"))

    def task_any(self, tasks: Iterable[Task]) -> Task:
        """A task done when the first of them is: its value is that task itself. The others go on."""
        children = _checked(tasks, "task_any")
        if not children:
            raise ValueError("task_any was given no task: it would wait for ever")
        return WhenAnyTask(children)

    # entities; the parameters have the names they have in Azure

    def call_entity(
        self, entityId: EntityId, operationName: str, operationInput: Any = None, expected_type: Any = None
    ) -> Task:
        """Have an entity run an operation and wait for what it returns; its failure is raised at the ``yield``."""
        text = _operation_input("call_entity", entityId, operationName, operationInput)
        return self._replay.ask_entity(str(entityId), operationName, text, expected_type)

    def signal_entity(
        self, entityId: EntityId, operationName: str, operationInput: Any = None,
        signal_time: datetime | timedelta | None = None,
    ) -> Task:
        """Send an operation to an entity and go on; what comes of it is not told. It arrives at `signal_time`, or at once.

        There is nothing to wait for; yielding the task that is returned does no harm.
        """
        text = _operation_input("signal_entity", entityId, operationName, operationInput)
        due_at = None if signal_time is None else self._moment(signal_time, "signal_entity, as its signal_time,")
        return self._replay.ask_signal(str(entityId), operationName, text, due_at)

    def lock_entities(self, entities: Iterable[EntityId]) -> Task:
        """Wait until nobody else can reach these entities: ``with (yield context.lock_entities([a, b])):``.

        Inside, the locked entities can be called, one call each at a time, and no others; they cannot be signaled, and no
        sub-orchestration can be started. The locks are given back at the end of the block, or of the orchestration however it ends.
        """
        return self._replay.ask_lock(lock_set(entities))

    @property
    def is_locked(self) -> bool:
        """Whether the code is in a critical section: locks were granted and not given back."""
        return self._replay.section.is_granted

    @property
    def locked_entities(self) -> tuple[EntityId, ...]:
        """The entities whose locks are held, in order."""
        request = self._replay.section.request if self.is_locked else None
        return tuple(map(EntityId.get_entity_id, request.entities)) if request is not None else ()

    # control

    def continue_as_new(self, input_: Any = None, *, save_events: bool = True) -> None:
        """Start over with a new input and an empty history once this turn ends.

        Events raised and not yet consumed go along, unless `save_events` is False.
        """
        self._replay.continue_as_new(payload.encode(input_, what="the input of continue_as_new"), save_events)

    def set_custom_status(self, status: Any) -> None:
        """A value shown in the instance's status from the end of this turn on; None clears it."""
        text = payload.encode(status, what="the custom status")
        self._custom_status = status
        self._replay.set_custom_status(text)


_HTTP_DEFAULTS: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(DurableHttpRequest)} | {"uri": None}


class _ReplaySafeLogger(logging.LoggerAdapter[logging.Logger]):
    def __init__(self, logger: logging.Logger, replay: OrchestrationReplay) -> None:
        super().__init__(logger, {})
        self._replay = replay

    def isEnabledFor(self, level: int) -> bool:
        return not self._replay.replaying and super().isEnabledFor(level)


def _checked(tasks: Iterable[Task], method: str) -> list[Task]:
    if isinstance(tasks, Task) or not isinstance(tasks, Iterable):
        raise TypeError(f"{method} takes a list of tasks, not {type(tasks).__name__}")
    children = list(tasks)
    for position, child in enumerate(children):
        if not isinstance(child, Task):
            raise TypeError(f"{method} takes tasks only: item {position} is {child!r} ({type(child).__name__})")
    return children


def _operation_input(method: str, entity: Any, operation: Any, value: Any) -> str | None:
    if not isinstance(entity, EntityId):
        raise ValueError(f"{method} takes an EntityId, not {entity!r:.100}; write EntityId('counter', 'x')")
    if not isinstance(operation, str) or not operation:
        raise ValueError(f"{method} needs the operation's name, not {operation!r:.100}")
    return payload.encode(value, what=f"the input of operation {operation!r} of {entity}")


def _return_type(name: Named) -> Any:
    if isinstance(name, str):
        return None
    try:
        return typing.get_type_hints(name).get("return")
    except (NameError, TypeError):
        # an annotation that cannot be resolved is no reason to refuse the call
        return inspect.Signature.empty
