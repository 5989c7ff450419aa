"""Shows a cell's slip, an argument that dfnb refuses, as the user's own lines and one sentence, without the lines of ours.

A slip is an error that a `raise` statement of ours made; what a library below us, or an operation in our code, has raised may be a
fault of ours and is shown as it is, and so is what came out of the user's code. Errors of dfnb's own classes show themselves.
"""

from __future__ import annotations

import dis
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

from dfnb.client.cancelled import WaitCancelled
from dfnb.errors import user_lines

Shell = Any

_SLIPS = (ValueError, TypeError, LookupError, OSError)
_RAISE = dis.opmap["RAISE_VARARGS"]
_SHOWN = "_dfnb_has_shown"


def register(shell: Shell) -> Callable[[], None]:
    """Show slips in one sentence from now on; the answer takes it back. When ``%tb`` shows one again, it shows everything."""
    shown_by = shell.InteractiveTB
    at_length = shown_by.structured_traceback

    def structured_traceback(kind: Any, error: Any = None, trace: TracebackType | None = None, *rest: Any, **more: Any) -> Any:
        sentence = _sentence(error, trace)
        if not sentence or hasattr(error, _SHOWN):
            return at_length(kind, error, trace, *rest, **more)
        setattr(error, _SHOWN, True)
        return [*user_lines(trace), sentence]

    def take_back() -> None:
        vars(shown_by).pop("structured_traceback", None)

    shown_by.structured_traceback = structured_traceback
    return take_back


def _sentence(error: Any, trace: TracebackType | None) -> str:
    """What a slip says; empty for what is none."""
    if isinstance(error, TimeoutError) and isinstance(error.__cause__, WaitCancelled):  # asyncio.wait_for and asyncio.timeout
        return f"TimeoutError: {error.__cause__}"
    if isinstance(error, _SLIPS) and trace is not None and not _has_more_to_tell(error) and _is_ours(trace):
        return "".join(traceback.format_exception_only(error)).rstrip("\n")
    return ""


def _has_more_to_tell(error: BaseException) -> bool:
    return error.__cause__ is not None or (error.__context__ is not None and not error.__suppress_context__)


def _is_ours(trace: TracebackType) -> bool:
    """Whether the error was made by a `raise` statement of dfnb's."""
    while trace.tb_next is not None:
        trace = trace.tb_next
    room = str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
    return room == "dfnb" and trace.tb_frame.f_code.co_code[trace.tb_lasti] == _RAISE
