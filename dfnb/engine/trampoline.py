"""Runs an activity in another process: only bytes cross, so no executor can choke on what it cannot pickle itself."""

from __future__ import annotations

import contextvars
import dataclasses
import pickle
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import msgspec

from dfnb.engine import capture
from dfnb.engine.info import ActivityInfo, CancelFlag, current
from dfnb.errors import DefinitionError, PayloadError
from dfnb.records.failure import FailureDetails
from dfnb.records.log import LogLine
from dfnb.records.payload import decode, encode

if TYPE_CHECKING:
    from dfnb.definitions import Definition


class Answer(msgspec.Struct, frozen=True):
    """What comes back: the result as JSON text or the failure, the microseconds the function ran, the lines it printed."""

    result: str | None = None
    failure: FailureDetails | None = None
    took: int = 0
    lines: tuple[LogLine, ...] = ()


_to_bytes = msgspec.msgpack.Encoder().encode
read_answer: Callable[[bytes], Answer] = msgspec.msgpack.Decoder(Answer).decode


def pack(definition: Definition, text: str | None, info: ActivityInfo) -> bytes:
    """Everything the other process needs. DefinitionError says why if the function cannot be sent."""
    facts = (info.instance_id, info.task_id, info.name, info.attempt)
    try:
        from cloudpickle import dumps
    except ImportError as error:
        sentence = f"activity {info.name!r} is to run on an executor; for that, install `dfnb[executors]`"
        raise DefinitionError(sentence) from error
    try:
        return pickle.dumps((facts, dumps((dataclasses.replace(definition, executor=None), text))))
    except Exception as error:
        raise DefinitionError(
            f"activity {info.name!r} cannot be sent to its executor ({type(error).__name__}: {error}); "
            "make what cannot be pickled (locks, connections, open files) inside the function"
        ) from None


def run_bytes(payload: bytes) -> bytes:
    """Run a packed activity and answer in bytes. Never raises: whatever goes wrong is the answer."""
    try:
        (instance_id, task, name, attempt), packed = pickle.loads(payload)
        info = ActivityInfo(instance_id, task, name, attempt, CancelFlag())
        return _to_bytes(contextvars.Context().run(_run, info, packed))
    except BaseException as error:  # text that is not valid UTF-8, at worst: say so in plain ASCII
        sentence = f"the activity gave no readable answer: {error!a}"
        return _to_bytes(Answer(failure=FailureDetails("builtins.RuntimeError", sentence)))


def _run(info: ActivityInfo, packed: bytes) -> Answer:
    current.set(info)
    sink = capture.Sink(lambda: time.time_ns() // 1000, info.task_id, info.attempt)
    watch = Stopwatch()
    capture.install()
    try:
        with capture.to(sink):
            result, failure = _result_or_failure(info.name, packed, watch)
    finally:
        capture.uninstall()
    return Answer(result, failure, watch.took, sink.lines())


def _result_or_failure(name: str, packed: bytes, watch: Stopwatch) -> tuple[str | None, FailureDetails | None]:
    try:
        definition, text = _loaded(name, packed)
        arguments = arguments_of(definition, text)
        if definition.is_async:
            return _run_loop(_awaited(name, definition.function, arguments, watch))
        with watch:
            value = definition.function(*arguments)
        return result_of(name, value), None
    except BaseException as error:  # a SystemExit in user code is a failure of the activity, not the end of the worker
        return None, FailureDetails.from_exception(error)


def _run_loop(work: Coroutine[Any, Any, tuple[str | None, FailureDetails | None]]) -> tuple[str | None, FailureDetails | None]:
    import asyncio  # 40 ms that plain functions need not pay in each new process

    return asyncio.run(work)


async def _awaited(
    name: str, function: Callable[..., Any], arguments: tuple[Any, ...], watch: Stopwatch
) -> tuple[str | None, FailureDetails | None]:
    try:
        with watch:
            value = await function(*arguments)
        return result_of(name, value), None
    except BaseException as error:  # caught in here, the traceback has no frames of asyncio
        return None, FailureDetails.from_exception(error)


def _loaded(name: str, packed: bytes) -> tuple[Definition, str | None]:
    try:
        return pickle.loads(packed)  # type: ignore[no-any-return]
    except Exception as error:
        where = "make what it uses importable there, or define it in a cell"
        raise DefinitionError(
            f"activity {name!r} cannot be loaded in the executor's process ({type(error).__name__}: {error}); {where}"
        ) from None


class Stopwatch:
    """`with watch:` adds up the microseconds the body runs, however it ends."""

    __slots__ = ("_begun", "took")

    def __init__(self) -> None:
        self.took = 0

    def __enter__(self) -> None:
        self._begun = time.perf_counter_ns()

    def __exit__(self, *_: object) -> None:
        self.took += (time.perf_counter_ns() - self._begun) // 1000


def arguments_of(definition: Definition, text: str | None) -> tuple[Any, ...]:
    """The arguments of an activity whose stored input is `text`."""
    if not definition.takes_input:
        return ()
    try:
        return definition.arguments(decode(text, definition.input_type))
    except PayloadError as error:
        raise PayloadError(f"the input of activity {definition.name!r} cannot be used: {error}") from error.__cause__


def result_of(name: str, value: Any) -> str | None:
    """The stored form of what an activity returned."""
    return None if value is None else encode(value, what=f"the result of activity {name!r}")
