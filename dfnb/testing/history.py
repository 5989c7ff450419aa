"""Histories for tests: made by hand, saved and loaded, and replayed against the code.

A unit test of an orchestrator is a small history and what the code then waits for or returns::

    history = HistoryBuilder("trip", input=["Oslo"]).scheduled("geocode", "Oslo").completed({"lat": 59.9})
    assert replay(trip, history).output == ...

A saved history (`save_history`) keeps a promise: `replay` raises NonDeterminismError when changed code no longer agrees with
what running instances remember.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from dfnb.client.instance import Instance
from dfnb.errors import HttpCallError, HttpConnectionError, HttpTimeoutError, HubFormatError
from dfnb.records import payload
from dfnb.records.entity_id import EntityId
from dfnb.records.failure import FailureDetails, qualified_name
from dfnb.records.history import (
    EVENT_TYPES,
    CustomStatusSet,
    EntityLockGranted,
    EntityLockRequested,
    EntityOperationCalled,
    EntityOperationCompleted,
    EntityOperationFailed,
    EntityOperationSignaled,
    EntityUnlockSent,
    EventRaised,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    HttpCallCompleted,
    HttpCallFailed,
    HttpCallScheduled,
    Recorded,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCanceled,
    TimerCreated,
    TimerFired,
)
from dfnb.records.http import DurableHttpRequest, DurableHttpResponse, Headers, response_text
from dfnb.records.http_headers import pairs_of
from dfnb.records.instance import Wait
from dfnb.records.times import to_microseconds
from dfnb.replay.locks import lock_set
from dfnb.replay.orchestrator import OrchestrationReplay

_FORMAT = 1
_SECOND = 1_000_000


class HistoryBuilder:
    """A history made by hand, one call an event. Each thing that happens begins a turn, a second after the one before.

    What the code asked for (`scheduled`, `timer`, `entity_called`, ...) belongs to the turn under way and gets the next task
    number. Results name their task; by default it is the oldest of that kind without an answer.
    """

    def __init__(
        self, name: str, input: Any = None, *, instance_id: str = "test", at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    ) -> None:
        self._rows: list[Recorded] = []
        self._turn = 1
        self._now = to_microseconds(at)
        self._tasks = 0
        self._open: dict[str, list[int]] = {}
        self._names: dict[int, TaskScheduled | EntityOperationCalled | HttpCallScheduled] = {}
        self._add(ExecutionStarted(name, instance_id, payload.encode(input)))

    @property
    def rows(self) -> list[Recorded]:
        """The events so far."""
        return list(self._rows)

    def wait(self, span: timedelta | float) -> HistoryBuilder:
        """Let time pass (a timedelta or seconds) before what happens next."""
        seconds = span.total_seconds() if isinstance(span, timedelta) else span
        self._now += round(seconds * _SECOND)
        return self

    # what the code asked for

    def scheduled(self, name: str, input: Any = None) -> HistoryBuilder:
        """The code called an activity."""
        event = TaskScheduled(self._number("activity"), name, payload.encode(input))
        self._names[event.task] = event
        return self._add(event)

    def child(self, name: str, input: Any = None, *, instance_id: str | None = None) -> HistoryBuilder:
        """The code called a sub-orchestrator."""
        task = self._number("child")
        return self._add(SubOrchestrationInstanceCreated(task, name, instance_id or f"test:{task}", payload.encode(input)))

    def timer(self, span: timedelta | float) -> HistoryBuilder:
        """The code set a timer, due that long after the present turn (a timedelta or seconds)."""
        seconds = span.total_seconds() if isinstance(span, timedelta) else span
        return self._add(TimerCreated(self._number("timer"), self._now + round(seconds * _SECOND)))

    def retry(self, task: int, span: timedelta | float) -> HistoryBuilder:
        """A failed task waits that long for its next try."""
        seconds = span.total_seconds() if isinstance(span, timedelta) else span
        self._open.setdefault("timer", []).append(task)
        return self._add(TimerCreated(task, self._now + round(seconds * _SECOND), retry=True))

    def scheduled_again(self, task: int) -> HistoryBuilder:
        """The next try of an activity began, after its delay or a rewind; or an entity or HTTP call was made again after one."""
        event = self._names[task]
        self._open.setdefault(_KIND_OF_CALL[type(event)], []).append(task)
        return self._add(event)

    def cancelled(self, timer: int | None = None) -> HistoryBuilder:
        """The code cancelled a timer."""
        return self._add(TimerCanceled(self._answered("timer", timer)))

    def entity_called(self, entity: EntityId, operation: str, input: Any = None) -> HistoryBuilder:
        """The code called an operation of an entity."""
        event = EntityOperationCalled(self._number("entity call"), str(entity), operation, payload.encode(input))
        self._names[event.task] = event
        return self._add(event)

    def entity_signaled(
        self, entity: EntityId, operation: str, input: Any = None, *, span: timedelta | float | None = None
    ) -> HistoryBuilder:
        """The code signaled an entity, to be delivered at once or that long after the present turn (a timedelta or seconds)."""
        seconds = span.total_seconds() if isinstance(span, timedelta) else span
        due_at = None if seconds is None else self._now + round(seconds * _SECOND)
        self._tasks += 1
        return self._add(EntityOperationSignaled(self._tasks, str(entity), operation, payload.encode(input), due_at))

    def http_called(self, method: str | DurableHttpRequest, uri: Any = None, *parts: Any, **options: Any) -> HistoryBuilder:
        """The code made an HTTP call; the arguments are those of `context.call_http`."""
        request = method if isinstance(method, DurableHttpRequest) else DurableHttpRequest(method, uri, *parts, **options)
        event = HttpCallScheduled(self._number("HTTP call"), request.title, request.encode(self._now))
        self._names[event.task] = event
        return self._add(event)

    def lock_requested(self, *entities: EntityId) -> HistoryBuilder:
        """The code asked for the locks of these entities."""
        return self._add(EntityLockRequested(self._number("lock"), tuple(map(str, lock_set(entities)))))

    def unlocked(self, task: int | None = None) -> HistoryBuilder:
        """The code left its critical section."""
        return self._add(EntityUnlockSent(self._answered("granted lock", task)))

    def status(self, value: Any) -> HistoryBuilder:
        """The code set the custom status."""
        return self._add(CustomStatusSet(payload.encode(value)))

    def ended(self, output: Any = None, *, status: str = "Completed") -> HistoryBuilder:
        """The code came to its end."""
        return self._add(ExecutionCompleted(status, payload.encode(output)))

    def failed_with(self, error: BaseException, *tasks: int) -> HistoryBuilder:
        """The code came to its end with an exception; `tasks` are those whose failure it was."""
        return self._add(ExecutionCompleted("Failed", None, FailureDetails.from_exception(error), tasks))

    # what happened to it

    def completed(self, result: Any = None, *, task: int | None = None, same_turn: bool = False) -> HistoryBuilder:
        """An activity returned."""
        return self._happened(TaskCompleted(self._answered("activity", task), payload.encode(result)), same_turn)

    def failed(self, error: BaseException, *, task: int | None = None, same_turn: bool = False) -> HistoryBuilder:
        """An activity raised."""
        failure = FailureDetails.from_exception(error)
        return self._happened(TaskFailed(self._answered("activity", task), failure), same_turn)

    def child_completed(self, output: Any = None, *, task: int | None = None, same_turn: bool = False) -> HistoryBuilder:
        """A sub-orchestration completed."""
        return self._happened(SubOrchestrationInstanceCompleted(self._answered("child", task), payload.encode(output)), same_turn)

    def child_failed(self, error: BaseException, *, task: int | None = None, same_turn: bool = False) -> HistoryBuilder:
        """A sub-orchestration failed."""
        failure = FailureDetails.from_exception(error)
        return self._happened(SubOrchestrationInstanceFailed(self._answered("child", task), failure), same_turn)

    def entity_completed(self, result: Any = None, *, task: int | None = None, same_turn: bool = False) -> HistoryBuilder:
        """A called entity returned."""
        return self._happened(EntityOperationCompleted(self._answered("entity call", task), payload.encode(result)), same_turn)

    def entity_failed(self, error: BaseException, *, task: int | None = None, same_turn: bool = False) -> HistoryBuilder:
        """A called entity raised."""
        failure = FailureDetails.from_exception(error)
        return self._happened(EntityOperationFailed(self._answered("entity call", task), failure), same_turn)

    def http_completed(
        self, status: int = 200, content: Any = "", headers: Mapping[str, Any] | None = None, *, url: str = "",
        failed: bool = False, note: str = "", task: int | None = None, same_turn: bool = False,
    ) -> HistoryBuilder:
        """An HTTP call had its last answer. `content`: a text or bytes as they are, or data, to be JSON."""
        text, charset = _answer_content(content, headers)
        pairs = pairs_of(headers)
        number = self._answered("HTTP call", task)
        return self._happened(HttpCallCompleted(number, status, pairs, text, charset, url, failed, note), same_turn)

    def http_failed(
        self, error: BaseException, *, last: DurableHttpResponse | None = None, task: int | None = None, same_turn: bool = False
    ) -> HistoryBuilder:
        """An HTTP call could not be brought to an end: a TimeoutError, a ConnectionError, an HttpCallError or what it came from."""
        number = self._answered("HTTP call", task)
        answer = None if last is None else _recorded_answer(number, last)
        return self._happened(HttpCallFailed(number, _http_failure(error), answer), same_turn)

    def lock_granted(self, task: int | None = None, *, same_turn: bool = False) -> HistoryBuilder:
        """All locks of a request were there."""
        number = self._answered("lock", task)
        self._open.setdefault("granted lock", []).append(number)
        return self._happened(EntityLockGranted(number), same_turn)

    def fired(self, timer: int | None = None, *, same_turn: bool = False) -> HistoryBuilder:
        """A timer (or the delay before a retry) was over."""
        return self._happened(TimerFired(self._answered("timer", timer)), same_turn)

    def raised(self, name: str, data: Any = None, *, same_turn: bool = False) -> HistoryBuilder:
        """An event was raised."""
        return self._happened(EventRaised(name, payload.encode(data)), same_turn)

    def suspended(self, *, same_turn: bool = False) -> HistoryBuilder:
        """The instance was suspended."""
        return self._happened(ExecutionSuspended(), same_turn)

    def resumed(self, *, same_turn: bool = False) -> HistoryBuilder:
        """The instance was resumed."""
        return self._happened(ExecutionResumed(), same_turn)

    def rewound(self, *tasks: int) -> HistoryBuilder:
        """The failed instance was rewound: those tasks run again."""
        return self._happened(ExecutionRewound(tasks), same_turn=False)

    def _happened(self, event: HistoryEvent, same_turn: bool) -> HistoryBuilder:
        if not same_turn:
            self._turn += 1
            self._now += _SECOND
        return self._add(event)

    def _add(self, event: HistoryEvent) -> HistoryBuilder:
        self._rows.append(Recorded(self._turn, self._now, event))
        return self

    def _number(self, kind: str) -> int:
        self._tasks += 1
        self._open.setdefault(kind, []).append(self._tasks)
        return self._tasks

    def _answered(self, kind: str, task: int | None) -> int:
        waiting = self._open.get(kind, [])
        if task is None:
            if not waiting:
                raise ValueError(f"no {kind} is without an answer here; name the task")
            task = waiting[0]
        if task in waiting:
            waiting.remove(task)
        return task


_KIND_OF_CALL: dict[type[HistoryEvent], str] = {
    TaskScheduled: "activity", EntityOperationCalled: "entity call", HttpCallScheduled: "HTTP call",
}  # fmt: skip


def _answer_content(content: Any, headers: Mapping[str, Any] | None) -> tuple[str, str | None]:
    """What a server sent as `content`, as it is recorded."""
    if isinstance(content, str):
        return content, "utf-8"
    if isinstance(content, bytes):
        return response_text(content, Headers(headers or {}).get("content-type"))
    return json.dumps(content), "utf-8"


def _recorded_answer(task: int, answer: DurableHttpResponse) -> HttpCallCompleted:
    content = answer.content if answer.charset is not None else base64.b64encode(answer.content_bytes).decode()
    pairs = pairs_of(answer.headers)
    return HttpCallCompleted(task, answer.status_code, pairs, content, answer.charset, answer.url, answer.failed, answer.note)


def _http_failure(error: BaseException) -> FailureDetails:
    """The failure as it is recorded when a call ends that way."""
    if isinstance(error, HttpCallError):
        return FailureDetails(qualified_name(type(error)), error.details.message)
    for plain, kind in ((TimeoutError, HttpTimeoutError), (ConnectionError, HttpConnectionError)):
        if isinstance(error, plain):
            return FailureDetails(qualified_name(kind), str(error))
    return FailureDetails.from_exception(error)


@dataclasses.dataclass(frozen=True, slots=True)
class ReplayResult:
    """Where the code stands at the end of a history.

    `status` is Running or how the code ended; `output` what it returned, `failure` why it failed; `waits` what it waits for.
    """

    status: str
    output: Any = None
    failure: FailureDetails | None = None
    waits: tuple[Wait, ...] = ()


History = HistoryBuilder | Sequence[Recorded] | str


def replay(function: Callable[..., Any], history: History, *, input_type: Any = None) -> ReplayResult:
    """Run an orchestrator over a history: a builder, recorded events (`instance.history()`), or the text of `save_history`.

    Raises NonDeterminismError, with the event's number, where the code asks for something else than the history has.
    """
    result = ReplayResult("Running")
    for generation, rows in enumerate(_generations(_rows_of(history))):
        core = OrchestrationReplay(function, generation=generation, input_type=input_type)
        ended = next((row.turn for row in rows if isinstance(row.event, ExecutionTerminated)), None)
        try:
            core.replay(row for row in rows if ended is None or row.turn < ended)
            result = _result(rows, core.waits())
        finally:
            core.close()
    return result


def _rows_of(history: History) -> Sequence[Recorded]:
    if isinstance(history, str):
        return load_history(history)
    return history.rows if isinstance(history, HistoryBuilder) else history


def _generations(rows: Iterable[Recorded]) -> list[list[Recorded]]:
    """The rows by generation. What came late, perhaps for a generation before, took part in none."""
    found: list[list[Recorded]] = []
    for row in rows:
        if isinstance(row.event, ExecutionStarted):
            found.append([])
        if found and row.turn >= 0:
            found[-1].append(row)
    return found


def _result(rows: Sequence[Recorded], waits: tuple[Wait, ...]) -> ReplayResult:
    rewound = max((i for i, row in enumerate(rows) if isinstance(row.event, ExecutionRewound)), default=-1)
    for row in rows[rewound + 1 :]:
        if isinstance(row.event, ExecutionCompleted):
            return ReplayResult(row.event.status, payload.decode_plain(row.event.result), row.event.failure)
    return ReplayResult("Running", waits=waits)


def save_history(instance: Instance | Sequence[Recorded]) -> str:
    """The history of an instance as JSON text, to be kept in a file and replayed against later versions of the code."""
    rows = instance.history() if isinstance(instance, Instance) else instance
    return json.dumps({"dfnb_history": _FORMAT, "events": [_written(row) for row in rows]}, indent=1, ensure_ascii=False)


def load_history(text: str) -> list[Recorded]:
    """The events in a text that `save_history` made. HubFormatError for any other text."""
    try:
        saved = json.loads(text)
        if saved["dfnb_history"] != _FORMAT:
            raise HubFormatError("the text", f"it is a history in format {saved['dfnb_history']!r}; known is {_FORMAT}")
        return [_read(event) for event in saved["events"]]
    except (KeyError, TypeError, ValueError) as error:
        raise HubFormatError("the text", f"it is not a history saved by dfnb ({type(error).__name__}: {error})") from error


_KINDS = {kind.__name__: kind for kind in EVENT_TYPES.values()}


def _written(row: Recorded) -> dict[str, Any]:
    _, task, took, name, data = row.event.columns()
    facts = {"task": task, "took": took, "name": name, "data": data}
    return {
        "turn": row.turn, "at": row.at, "event": row.event.event_type,
        **{key: value for key, value in facts.items() if value is not None},
    }


def _read(saved: dict[str, Any]) -> Recorded:
    name: Any = saved.get("name")
    event = _KINDS[saved["event"]].parse(saved.get("task", 0), saved.get("took"), name, saved.get("data"))
    return Recorded(saved["turn"], saved["at"], event)


def orchestrator_generator_wrapper(generator: Generator[Any, Any, Any]) -> Generator[Any, Any, None]:
    """Azure's helper for unit tests with a mocked context: yields each task, sends its result back, at last the output.

    A task whose `result` cannot be read, or is an exception while the task has failed, is raised inside the orchestrator.
    """
    try:
        task = next(generator)
        while True:
            yield task
            try:
                result = task.result
            except Exception as error:
                task = generator.throw(error)
                continue
            failed = isinstance(result, BaseException) and getattr(task, "is_failed", False) is True
            task = generator.throw(result) if failed else generator.send(result)
    except StopIteration as stop:
        yield stop.value
