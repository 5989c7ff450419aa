"""What a failure looks like once it is written down."""

from __future__ import annotations

import builtins
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from dfnb.errors import InstanceFailedError, TaskFailedError
from dfnb.records.short_repr import cut


class FailureDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """One failure: its type by full name, its message, the traceback of the user's code, and the cause, if any."""

    error_type: str
    message: str
    stack_trace: str = ""
    inner_failure: FailureDetails | None = None
    properties: dict[str, Any] = {}

    @property
    def summary(self) -> str:
        """`TypeName: message`, the way Python itself would print it."""
        short = self.error_type.rpartition(".")[2]
        return f"{short}: {self.message}" if self.message else short

    def __repr__(self) -> str:
        return f"<FailureDetails {cut(self.summary, 120)}>"

    def is_caused_by(self, error: type[BaseException] | str) -> bool:
        """Whether this failure, or one that caused it, is of the given type: a class, its name, or its full name.

        Built-in classes match their subclasses too; of other classes only the name is known.
        """
        return self._is_a(error) or (self.inner_failure is not None and self.inner_failure.is_caused_by(error))

    def _is_a(self, error: type[BaseException] | str) -> bool:
        if isinstance(error, str):
            return error in (self.error_type, self.error_type.rpartition(".")[2])
        module, _, name = self.error_type.rpartition(".")
        if self.error_type == qualified_name(error):
            return True
        own = getattr(builtins, name, None) if module == "builtins" else None
        return isinstance(own, type) and issubclass(own, error)

    @classmethod
    def from_exception(cls, error: BaseException, *, depth: int = 5) -> FailureDetails:
        """Describe an exception, its explicit or implicit cause included, without frames of dfnb itself."""
        inner = _cause_of(error, depth)
        return cls(qualified_name(type(error)), _message_of(error), _trace_of(error), inner)


def qualified_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _message_of(error: BaseException) -> str:
    try:
        return _writable(str(error))
    except Exception as broken:  # a user's __str__ may fail; the failure itself must still be recorded
        return f"<no text: {type(broken).__name__} in __str__>"


def _cause_of(error: BaseException, depth: int) -> FailureDetails | None:
    if depth == 0:
        return None
    if isinstance(error, TaskFailedError | InstanceFailedError) and error.details is not None:
        return error.details
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return FailureDetails.from_exception(cause, depth=depth - 1) if cause is not None else None


def _writable(text: str) -> str:
    """The text without lone surrogates, which no file takes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


_OURS = str(Path(__file__).parent.parent)


def _is_ours(frame: traceback.FrameSummary) -> bool:
    return frame.filename.startswith(_OURS)


def _trace_of(error: BaseException) -> str:
    trace: TracebackType | None = error.__traceback__
    frames = traceback.extract_tb(trace)
    kept = [frame for frame in frames if not _is_ours(frame)]
    if not kept:
        return ""
    return _writable("Traceback (most recent call last):\n" + "".join(traceback.format_list(kept)).rstrip("\n"))
