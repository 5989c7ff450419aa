from __future__ import annotations

import msgspec
import pytest

from dfnb.errors import TaskFailedError
from dfnb.records.failure import FailureDetails


class Trouble(Exception):
    pass


def caught(error: BaseException, cause: BaseException | None = None) -> FailureDetails:
    try:
        raise error from cause
    except BaseException as raised:
        return FailureDetails.from_exception(raised)


def test_type_message_and_own_frames_are_kept() -> None:
    details = caught(Trouble("it broke"))
    assert details.error_type.endswith("test_failure.Trouble")
    assert (details.message, details.summary) == ("it broke", "Trouble: it broke")
    assert details.stack_trace.startswith("Traceback (most recent call last):")
    assert "raise error from cause" in details.stack_trace


def test_a_failure_without_text_is_named_by_its_type() -> None:
    assert caught(KeyError()).summary == "KeyError"


def test_a_cause_is_kept_and_counts() -> None:
    details = caught(Trouble("outer"), FileNotFoundError("inner"))
    assert details.inner_failure is not None
    assert details.inner_failure.summary == "FileNotFoundError: inner"
    assert details.is_caused_by(Trouble)
    assert details.is_caused_by(OSError), "a built-in class matches its subclasses"
    assert details.is_caused_by("FileNotFoundError")
    assert not details.is_caused_by(ValueError)


def test_a_failed_task_as_cause_brings_the_failure_it_carries() -> None:
    original = caught(ValueError("deep"))
    assert caught(TaskFailedError("Activity function 'f'", original, 1)).inner_failure == original


@pytest.mark.parametrize("text", ["lone \ud800 surrogate", "zero \0 byte", "näïve ☃"])
def test_any_message_can_be_written_down(text: str) -> None:
    details = caught(Trouble(text))
    assert msgspec.json.decode(msgspec.json.encode(details), type=FailureDetails) == details


def test_an_exception_that_cannot_be_printed_is_still_recorded() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert caught(Mute()).message == "<no text: RuntimeError in __str__>"
