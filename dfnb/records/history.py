"""The events of an instance's history, past tense, and the columns each is written to.

A history is append-only. An event is an *input* (something that happened to the instance: a result, a timer, a raised event) or
an *output* (something the orchestrator's code decided in a turn: a task scheduled, a status set, the end). Kinds have the numbers
of the original's wire format where it has the kind; those from 40 on are ours alone.
"""

from __future__ import annotations

import base64
from typing import ClassVar, NamedTuple

import msgspec

from dfnb.records.failure import FailureDetails

Columns = tuple[int, "int | None", "int | None", "str | None", "str | None"]
"""What an event fills of its row: kind, task, took (microseconds), name, data."""


class HistoryEvent(msgspec.Struct, frozen=True, gc=False):
    """Base of all events. `task` is the number of the task in its generation, for those that belong to one."""

    kind: ClassVar[int] = -1

    def columns(self) -> Columns:
        raise TypeError(f"{type(self).__name__} is not a concrete event")

    @classmethod
    def parse(cls, task: int, took: int | None, name: str, data: str | None) -> HistoryEvent:
        raise TypeError(f"{cls.__name__} is not a concrete event")

    @property
    def event_type(self) -> str:
        return type(self).__name__


class ParentRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """The instance and task that wait for a sub-orchestration. `key` tells instances that had one id apart; 0: it was not noted."""

    instance_id: str
    generation: int
    task: int
    key: int = 0


class _StartHeader(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str
    code: str | None = None
    start_at: int | None = None
    parent: ParentRef | None = None
    version: str | None = None


class ExecutionStarted(HistoryEvent, frozen=True):
    """The first event of every generation. Its data is one line of JSON with what starts the instance, then the input."""

    kind: ClassVar[int] = 0
    name: str
    instance_id: str
    input: str | None = None
    code: str | None = None
    start_at: int | None = None
    parent: ParentRef | None = None
    version: str | None = None

    def columns(self) -> Columns:
        header = _encode(_StartHeader(self.instance_id, self.code, self.start_at, self.parent, self.version)).decode()
        return (0, None, None, self.name, header if self.input is None else f"{header}\n{self.input}")

    @classmethod
    def parse(cls, task: int, took: int | None, name: str, data: str | None) -> ExecutionStarted:
        header, has_input, text = (data or "").partition("\n")
        start = _decode_header(header)
        return cls(name, start.id, text if has_input else None, start.code, start.start_at, start.parent, start.version)


class ExecutionCompleted(HistoryEvent, frozen=True):
    """The last event of a generation: `status` is Completed, Failed, Terminated or ContinuedAsNew."""

    kind: ClassVar[int] = 1
    status: str
    result: str | None = None
    failure: FailureDetails | None = None
    failed_tasks: tuple[int, ...] = ()

    def columns(self) -> Columns:
        if self.failure is None:
            return (1, None, None, self.status, self.result)
        return (1, None, None, self.status, _encode(_Failed(self.failure, self.failed_tasks)).decode())

    @classmethod
    def parse(cls, task: int, took: int | None, name: str, data: str | None) -> ExecutionCompleted:
        if name != "Failed":
            return cls(name, data)
        failed = _decode_failed(data or "")
        return cls(name, None, failed.failure, failed.tasks)


class _Failed(msgspec.Struct, frozen=True, omit_defaults=True):
    failure: FailureDetails
    tasks: tuple[int, ...] = ()


class ExecutionTerminated(HistoryEvent, frozen=True):
    kind: ClassVar[int] = 3
    reason: str | None = None

    def columns(self) -> Columns:
        return (3, None, None, None, self.reason)

    @classmethod
    def parse(cls, task: int, took: int | None, name: str, data: str | None) -> ExecutionTerminated:
        return cls(data)


class TaskScheduled(HistoryEvent, frozen=True):
    kind: ClassVar[int] = 4
    task: int
    name: str
    input: str | None = None

    def columns(self) -> Columns:
        return (4, self.task, None, self.name, self.input)

    @classmethod
    def parse(cls, task: int, took: int | None, name: str, data: str | None) -> TaskScheduled:
        return cls(task, name, data)


class TaskCompleted(HistoryEvent, frozen=True):
    """An activity returned. `took` is how long its function ran, in microseconds."""

    kind: ClassVar[int] = 5
    task: int
    result: str | None = None
    took: int | None = None

    def columns(self) -> Columns:
        return (5, self.task, self.took, None, self.result)

    @classmethod
    def parse(cls, task: int, took: int | None, name: str, data: str | None) -> TaskCompleted:
        return cls(task, data, took)


class TaskFailed(HistoryEvent, frozen=True):
    kind: ClassVar[int] = 6
    task: int
    failure: FailureDetails
    took: int | None = None

    def columns(self) -> Columns:
        return (6, self.task, self.took, None, _encode(self.failure).decode())

    @classmethod
    def parse(cls, task: int, took: int | None, name: str, data: str | None) -> TaskFailed:
        return cls(task, _decode_failure(data or ""), took)


class SubOrchestrationInstanceCreated(HistoryEvent, frozen=True):
    """A sub-orchestration was started. Its input stands in the child's own `ExecutionStarted`, not here."""

    kind: ClassVar[int] = 7
    task: int
    name: str
    instance_id: str
    input: str | None = None
    version: str | None = None

    def columns(self) -> Columns:
        return (7, self.task, None, self.name, self.instance_id)

    @classmethod
    def parse(cls, task: int, took: int | None, name: str, data: str | None) -> SubOrchestrationInstanceCreated:
        return cls(task, name, data or "")


class SubOrchestrationInstanceCompleted(HistoryEvent, frozen=True):
    kind: ClassVar[int] = 8
    task: int
    result: str | None = None

    def columns(self) -> Columns:
        return (8, self.task, None, None, self.result)

    @classmethod
    def parse(cls, task: int, took: int | None, name: str, data: str | None) -> SubOrchestrationInstanceCompleted:
        return cls(task, data)


class SubOrchestrationInstanceFailed(HistoryEvent, frozen=True):
    kind: ClassVar[int] = 9
    task: int
    failure: FailureDetails

    def columns(self) -> Columns:
        return (9, self.task, None, None, _encode(self.failure).decode())

    @classmethod
    def parse(cls, task: int, took: int | None, name: str, data: str | None) -> SubOrchestrationInstanceFailed:
        return cls(task, _decode_failure(data or ""))


class TimerCreated(HistoryEvent, frozen=True):
    """A timer was set, due at `fire_at` (microseconds since 1970, UTC). `retry`: it delays the next try of its task."""

    kind: ClassVar[int] = 10
    task: int
    fire_at: int
    retry: bool = False

    def columns(self) -> Columns:
        return (10, self.task, None, "retry" if self.retry else None, str(self.fire_at))

    @classmethod
    def parse(cls, task: int, took: int | None, name: str | None, data: str | None) -> TimerCreated:
        return cls(task, int(data or 0), name == "retry")


class TimerFired(HistoryEvent, frozen=True):
    kind: ClassVar[int] = 11
    task: int

    def columns(self) -> Columns:
        return (11, self.task, None, None, None)

    @classmethod
    def parse(cls, task: int, took: int | None, name: str, data: str | None) -> TimerFired:
        return cls(task)


class OrchestratorStarted(HistoryEvent, frozen=True):
    """Marks a turn whose inputs had all been written down before it."""

    kind: ClassVar[int] = 12

    def columns(self) -> Columns:
        return (12, None, None, None, None)

    @classmethod
    def parse(cls, task: int, took: int | None, name: str, data: str | None) -> OrchestratorStarted:
        return cls()


class EventRaised(HistoryEvent, frozen=True):
    """An event came from outside. `took` is how long it had been waited for, in microseconds; None: nothing waited for it."""

    kind: ClassVar[int] = 15
    name: str
    input: str | None = None
    took: int | None = None

    def columns(self) -> Columns:
        return (15, None, self.took, self.name, self.input)

    @classmethod
    def parse(cls, task: int, took: int | None, name: str, data: str | None) -> EventRaised:
        return cls(name, data, took)


class ExecutionSuspended(HistoryEvent, frozen=True):
    kind: ClassVar[int] = 19
    reason: str | None = None

    def columns(self) -> Columns:
        return (19, None, None, None, self.reason)

    @classmethod
    def parse(cls, task: int, took: int | None, name: str, data: str | None) -> ExecutionSuspended:
        return cls(data)


class ExecutionResumed(HistoryEvent, frozen=True):
    kind: ClassVar[int] = 20
    reason: str | None = None

    def columns(self) -> Columns:
        return (20, None, None, None, self.reason)

    @classmethod
    def parse(cls, task: int, took: int | None, name: str, data: str | None) -> ExecutionResumed:
        return cls(data)


class TimerCanceled(HistoryEvent, frozen=True):
    kind: ClassVar[int] = 40
    task: int

    def columns(self) -> Columns:
        return (40, self.task, None, None, None)

    @classmethod
    def parse(cls, task: int, took: int | None, name: str, data: str | None) -> TimerCanceled:
        return cls(task)


class CustomStatusSet(HistoryEvent, frozen=True):
    kind: ClassVar[int] = 41
    status: str | None = None

    def columns(self) -> Columns:
        return (41, None, None, None, self.status)

    @classmethod
    def parse(cls, task: int, took: int | None, name: str, data: str | None) -> CustomStatusSet:
        return cls(data)


class ExecutionRewound(HistoryEvent, frozen=True):
    """A failed instance was set going again: earlier events of `tasks`, and the end of the execution, no longer count."""

    kind: ClassVar[int] = 42
    tasks: tuple[int, ...] = ()
    reason: str | None = None

    def columns(self) -> Columns:
        return (42, None, None, self.reason, _encode(self.tasks).decode())

    @classmethod
    def parse(cls, task: int, took: int | None, name: str | None, data: str | None) -> ExecutionRewound:
        return cls(msgspec.json.decode(data or "[]", type=tuple[int, ...]), name)


class EntityOperationCalled(HistoryEvent, frozen=True):
    """An orchestrator called an operation (`name`) of `entity` (``@name@key``) and waits for its answer."""

    kind: ClassVar[int] = 43
    task: int
    entity: str
    name: str
    input: str | None = None

    def columns(self) -> Columns:
        return (43, self.task, None, self.name, _with_header(self.entity, self.input))

    @classmethod
    def parse(cls, task: int, took: int | None, name: str, data: str | None) -> EntityOperationCalled:
        entity, input = _without_header(data)
        return cls(task, entity, name or "", input)


class EntityOperationSignaled(HistoryEvent, frozen=True):
    """An orchestrator sent an operation to `entity` and does not wait; not before `due_at` (microseconds), if that is given."""

    kind: ClassVar[int] = 44
    task: int
    entity: str
    name: str
    input: str | None = None
    due_at: int | None = None

    def columns(self) -> Columns:
        header = self.entity if self.due_at is None else f"{self.entity}\r{self.due_at}"
        return (44, self.task, None, self.name, _with_header(header, self.input))

    @classmethod
    def parse(cls, task: int, took: int | None, name: str, data: str | None) -> EntityOperationSignaled:
        header, input = _without_header(data)
        entity, _, due = header.partition("\r")
        return cls(task, entity, name or "", input, int(due) if due else None)


class EntityOperationCompleted(HistoryEvent, frozen=True):
    kind: ClassVar[int] = 45
    task: int
    result: str | None = None

    def columns(self) -> Columns:
        return (45, self.task, None, None, self.result)

    @classmethod
    def parse(cls, task: int, took: int | None, name: str, data: str | None) -> EntityOperationCompleted:
        return cls(task, data)


class EntityOperationFailed(HistoryEvent, frozen=True):
    kind: ClassVar[int] = 46
    task: int
    failure: FailureDetails

    def columns(self) -> Columns:
        return (46, self.task, None, None, _encode(self.failure).decode())

    @classmethod
    def parse(cls, task: int, took: int | None, name: str, data: str | None) -> EntityOperationFailed:
        return cls(task, _decode_failure(data or ""))


class EntityLockRequested(HistoryEvent, frozen=True):
    """An orchestrator asked for the locks of `entities` (``@name@key``), in the order in which they are taken."""

    kind: ClassVar[int] = 47
    task: int
    entities: tuple[str, ...]

    def columns(self) -> Columns:
        return (47, self.task, None, None, _encode(self.entities).decode())

    @classmethod
    def parse(cls, task: int, took: int | None, name: str, data: str | None) -> EntityLockRequested:
        return cls(task, _decode_texts(data or "[]"))


class EntityLockGranted(HistoryEvent, frozen=True):
    """All locks of the request with the number `task` are held."""

    kind: ClassVar[int] = 48
    task: int

    def columns(self) -> Columns:
        return (48, self.task, None, None, None)

    @classmethod
    def parse(cls, task: int, took: int | None, name: str, data: str | None) -> EntityLockGranted:
        return cls(task)


class EntityUnlockSent(HistoryEvent, frozen=True):
    """The orchestrator left its critical section: the locks of the request with the number `task` are given back."""

    kind: ClassVar[int] = 49
    task: int
    entities: tuple[str, ...] = ()

    def columns(self) -> Columns:
        return (49, self.task, None, None, _encode(self.entities).decode() if self.entities else None)

    @classmethod
    def parse(cls, task: int, took: int | None, name: str, data: str | None) -> EntityUnlockSent:
        return cls(task, _decode_texts(data or "[]"))


class HttpCallScheduled(HistoryEvent, frozen=True):
    """An orchestrator asked for an HTTP call. `name`: method and URL for people; `request` the call as recorded."""

    kind: ClassVar[int] = 50
    task: int
    name: str
    request: str

    def columns(self) -> Columns:
        return (50, self.task, None, self.name, self.request)

    @classmethod
    def parse(cls, task: int, took: int | None, name: str, data: str | None) -> HttpCallScheduled:
        return cls(task, name or "", data or "")


class HttpCallCompleted(HistoryEvent, frozen=True):
    """An HTTP call is over: the last answer. `charset` None: `content` is base64; `failed`: the job says that it has failed."""

    kind: ClassVar[int] = 51
    task: int
    status: int
    headers: tuple[tuple[str, str], ...] = ()
    content: str = ""
    charset: str | None = "utf-8"
    url: str = ""
    failed: bool = False
    note: str = ""

    def columns(self) -> Columns:
        return (51, self.task, None, None, _answer_text(self.answer(), self.content))

    def answer(self) -> AnswerHead:
        """Everything but the content."""
        return AnswerHead(self.status, self.headers, self.charset, self.url, self.failed, self.note)

    def split_content(self) -> tuple[str, bytes]:
        """The event's data without the content, and the content as it came: `join_content` puts them together again."""
        return _encode(self.answer()).decode(), _content_bytes(self.charset, self.content)

    @classmethod
    def parse(cls, task: int, took: int | None, name: str, data: str | None) -> HttpCallCompleted:
        head, content = _without_header(data)
        answer = _decode_answer(head)
        return cls(
            task, answer.status, answer.headers, content or "", answer.charset, answer.url, answer.failed, answer.note
        )


class HttpCallFailed(HistoryEvent, frozen=True):
    """An HTTP call could not be brought to an end. `last`: the latest answer there was, if any."""

    kind: ClassVar[int] = 52
    task: int
    failure: FailureDetails
    last: HttpCallCompleted | None = None

    def columns(self) -> Columns:
        failure = _encode(self.failure).decode()
        if self.last is None:
            return (52, self.task, None, None, failure)
        return (52, self.task, None, None, f"{failure}\n{_answer_text(self.last.answer(), self.last.content)}")

    def split_content(self) -> tuple[str, bytes]:
        """The same for the latest answer; no content if there was none."""
        failure = _encode(self.failure).decode()
        if self.last is None:
            return failure, b""
        head, content = self.last.split_content()
        return f"{failure}\n{head}", content

    @classmethod
    def parse(cls, task: int, took: int | None, name: str, data: str | None) -> HttpCallFailed:
        failure, last = _without_header(data)
        answer = HttpCallCompleted.parse(task, None, "", last) if last is not None else None
        return cls(task, _decode_failure(failure), answer)


class AnswerHead(msgspec.Struct, frozen=True, omit_defaults=True):
    """An answer without its content."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    charset: str | None = "utf-8"
    url: str = ""
    failed: bool = False
    note: str = ""


def _content_bytes(charset: str | None, content: str) -> bytes:
    return content.encode(charset) if charset is not None else base64.b64decode(content)


def join_content(data: str, body: bytes) -> str:
    """The whole data of an event whose content was kept apart."""
    head = _decode_answer(data.rpartition("\n")[2])
    content = body.decode(head.charset) if head.charset is not None else base64.b64encode(body).decode()
    return _with_header(data, content)


def _answer_text(head: AnswerHead, content: str) -> str:
    return _with_header(_encode(head).decode(), content)


def _with_header(header: str, text: str | None) -> str:
    return header if text is None else f"{header}\n{text}"


def _without_header(data: str | None) -> tuple[str, str | None]:
    header, has_text, text = (data or "").partition("\n")
    return header, text if has_text else None


_encode = msgspec.json.Encoder().encode
_decode_header = msgspec.json.Decoder(_StartHeader).decode
_decode_failed = msgspec.json.Decoder(_Failed).decode
_decode_failure = msgspec.json.Decoder(FailureDetails).decode
_decode_answer = msgspec.json.Decoder(AnswerHead).decode
_decode_texts = msgspec.json.Decoder(tuple[str, ...]).decode

EVENT_TYPES: dict[int, type[HistoryEvent]] = {cls.kind: cls for cls in HistoryEvent.__subclasses__()}


class Recorded(NamedTuple):
    """An event with its place in the history. `turn` 0: written down before a turn could take it in."""

    turn: int
    at: int
    event: HistoryEvent


def parse_event(kind: int, task: int, took: int | None, name: str, data: str | None) -> HistoryEvent:
    """The event a row holds. Raises KeyError for a kind this version does not know."""
    return EVENT_TYPES[kind].parse(task, took, name, data)
