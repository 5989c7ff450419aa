"""Every exception a user of dfnb may meet.

    DfnbError
    ├── DefinitionError             a cell or decorator that cannot become a definition
    ├── PayloadError                a value that cannot be written as JSON, or text that does not fit its type
    ├── TaskError
    │   ├── TaskFailedError         raised inside an orchestrator: the awaited task failed
    │   │   └── HttpCallError           an HTTP call could not be brought to an end; keeps the last answer, if any
    │   │       ├── HttpTimeoutError        `timeout` or `deadline` ran out (also a TimeoutError)
    │   │       ├── HttpConnectionError     the server could not be reached (also a ConnectionError)
    │   │       ├── HttpRetriesExhaustedError  every try allowed was made, and the last one failed too
    │   │       └── HttpRefusedError        the next request would go where none may go: not sent
    │   ├── TaskCancelledError      the result of a cancelled task was read
    │   └── LockingRulesViolationError  what a critical section does not allow was asked (also a RuntimeError)
    ├── NonDeterminismError         the code no longer asks for what its history remembers
    ├── NotRegisteredError          no definition of that name; carries the nearest names
    ├── UnknownOperationError       an entity's class has no such operation; carries the nearest names
    ├── InstanceError
    │   ├── InstanceNotFoundError   no instance has that id
    │   ├── InstanceExistsError     the id belongs to an instance that is still running
    │   ├── InstanceFinishedError   the instance has ended and can take no more messages
    │   ├── InstanceConflictError   the operation does not fit the instance's present state
    │   └── InstanceFailedError     raised by `result()`: the instance did not end as Completed
    ├── SecretNotAvailableError     a secret named in a request cannot be read now; carries its name only
    ├── TokenError                  no token could be had for a request; carries whose, never what it was
    ├── PrivateAddressError         a request would go to an address inside this network, where a rule forbids it
    ├── QueryError                  `sql()` was given what DuckDB does not take; the sentence is DuckDB's
    ├── ServeError                  the server could not begin to listen
    │   └── PortInUseError              another program, or another hub, listens at that port
    ├── WaitTimeoutError            `wait(timeout=...)` ran out (also a TimeoutError)
    ├── RemoteError                 a hub that was connected to over HTTP answers what cannot be used
    │   ├── RemoteUnavailableError      it cannot be reached, or not now (also a ConnectionError)
    │   └── RemoteRefusedError          the key is missing or wrong
    └── HubError
        ├── HubInUseError           another process owns the file
        ├── HubFormatError          the file is not a dfnb hub, is damaged, or was written by a newer dfnb
        ├── HubUnavailableError     the disk refuses writes; what was acknowledged is safe
        │   ├── HubMovedError           the file was moved or deleted while it was open
        │   └── EngineBusyError         somebody's own code does not come back, and all else in the hub waits for it
        └── HubClosedError          the app was closed

The facts of an error are attributes; its sentence is made in ``__str__``.
"""

from __future__ import annotations

import difflib
import linecache
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dfnb.records.failure import FailureDetails
    from dfnb.records.http import DurableHttpResponse


class DfnbError(Exception):
    """Base of every error dfnb raises on purpose."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the lines of the user's own code that led here, then one sentence."""
        frames = list(_user_frames(self.__traceback__))
        return [*self._recorded_lines(frames), *_frame_lines(frames), f"{type(self).__name__}: {self}"]

    def _recorded_lines(self, frames: list[tuple[FrameType, int]]) -> list[str]:
        """The traceback that was written down when the failure happened, if this error tells of one."""
        details: FailureDetails | None = getattr(self, "details", None)
        namer = next(filter(None, (_cell_namer(frame) for frame, _ in frames)), None)
        return _failure_lines(details, namer) if details is not None else []


_NOT_THE_USERS = frozenset({"dfnb", "IPython", "asyncio", "concurrent"})
"""Whose frames say nothing to a user: ours, and those of the libraries that hand an error from thread to thread."""

_MAGIC_CALL = "get_ipython().run_"
_FILE = re.compile(r'File "(?P<file>[^"]+)"')
_KERNEL_FILE = re.compile(r"ipykernel_\d+[/\\]\d+\.py$")
_UNDERLINE = re.compile(r"\n[ ^~]+(?=\n|$)")

CellNamer = Callable[[str], "tuple[str, str] | None"]


def _user_frames(trace: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while trace is not None:
        frame = trace.tb_frame
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] not in _NOT_THE_USERS:
            yield frame, trace.tb_lineno
        trace = trace.tb_next


def user_lines(trace: TracebackType | None) -> list[str]:
    """The lines of the user's own code on a traceback: place and source of each."""
    return _frame_lines(_user_frames(trace))


def _frame_lines(frames: Iterable[tuple[FrameType, int]]) -> list[str]:
    lines = []
    for frame, number in frames:
        code = frame.f_code
        source = linecache.getline(code.co_filename, number, frame.f_globals).strip()
        if source.startswith(_MAGIC_CALL):  # the magic's own line: what the user typed says more than what it became
            continue
        within = "" if code.co_name == "<module>" else f", in {code.co_name}"
        lines.append(f"{_place(code.co_filename, _cell_namer(frame))}, line {number}{within}\n    {source}")
    return lines


def _cell_namer(frame: FrameType) -> CellNamer | None:
    """What turns the file name of a cell into "Cell In[3]": the shell that a cell's own namespace knows."""
    shell: Any = frame.f_globals.get("get_ipython")
    namer: CellNamer | None = getattr(getattr(shell() if callable(shell) else None, "compile", None), "format_code_name", None)
    return namer


def _place(file: str, namer: CellNamer | None) -> str:
    cell = namer(file) if namer is not None else None
    if cell is None and _KERNEL_FILE.search(file):
        return "Cell of another kernel"
    return " ".join(cell) if cell is not None else f'File "{file}"'


def cells_named(trace: str, namer: CellNamer | None) -> str:
    """A recorded traceback with names of cells in place of the files that kernels make up for them.

    `namer`: the kind and name of a file's cell, such as IPython's ``shell.compile.format_code_name``.
    """
    return _FILE.sub(lambda match: _place(match["file"], namer), _UNDERLINE.sub("", trace))


def _failure_lines(details: FailureDetails, namer: CellNamer | None) -> list[str]:
    """A recorded failure and its causes, the first cause first, as Python prints a chain."""
    inner = _failure_lines(details.inner_failure, namer) if details.inner_failure is not None else []
    if not details.stack_trace:
        return inner
    return [*inner, f"{cells_named(details.stack_trace, namer)}\n{details.summary}\n"]


class DefinitionError(DfnbError):
    """The function given cannot be an orchestrator, an activity or an entity."""


class PayloadError(DfnbError, TypeError):
    """A value cannot be written as JSON, or stored text cannot be read as the wanted type."""


class TaskError(DfnbError):
    """Base of what an orchestrator can catch around a ``yield``."""


class TaskFailedError(TaskError):
    """The task an orchestrator waited for has failed.

    ``details`` tells what happened (type, message, traceback, cause), ``task_id`` which task it was. The text starts with the
    form Azure Functions uses: ``Activity function 'f' failed: ValueError: bad``.
    """

    def __init__(self, subject: str, details: FailureDetails, task_id: int) -> None:
        super().__init__(subject, details, task_id)
        self.subject = subject
        self.details = details
        self.task_id = task_id

    def __str__(self) -> str:
        return f"{self.subject} failed: {self.details.summary}"


class HttpCallError(TaskFailedError):
    """An HTTP call could not be brought to an end. An answer with an error status is no failure: it is the call's value.

    ``details`` tells what happened, ``response`` is the last answer there was, or None. The text starts with method and URL:
    ``HTTP call 'POST https://host/path' failed: ``.
    """

    def __init__(
        self, subject: str, details: FailureDetails, task_id: int, response: DurableHttpResponse | None = None
    ) -> None:
        # not super(): OSError, of which two subclasses are too, would take the facts for an error number and a file name
        Exception.__init__(self, subject, details, task_id, response)
        self.subject = subject
        self.details = details
        self.task_id = task_id
        self.response = response


class HttpTimeoutError(HttpCallError, TimeoutError):
    """An exchange took longer than `timeout`, or the whole call longer than `deadline`."""


class HttpConnectionError(HttpCallError, ConnectionError):
    """The server could not be reached, or hung up before it had answered."""


class HttpRetriesExhaustedError(HttpCallError):
    """Every try that was allowed has been made, and the last one failed too."""


class HttpRefusedError(HttpCallError):
    """The server sent the call where dfnb does not follow: from https to http, to another scheme, to a private address."""


class TaskCancelledError(TaskError):
    """The result of a cancelled task was asked for."""


class LockingRulesViolationError(TaskError, RuntimeError):
    """An orchestrator asked for what it may not do while it holds the locks of entities, or has asked for them."""

    def __init__(self, refused: str, advice: str) -> None:
        super().__init__(refused, advice)
        self.refused = refused
        self.advice = advice

    def __str__(self) -> str:
        return f"cannot {self.refused}; {self.advice}"


class NonDeterminismError(DfnbError):
    """An orchestrator's code asks for something else than its history remembers."""

    def __init__(self, event_number: int, history_has: str, code_asked: str) -> None:
        super().__init__(event_number, history_has, code_asked)
        self.event_number = event_number
        self.history_has = history_has
        self.code_asked = code_asked

    def __str__(self) -> str:
        return (
            f"the code differs from the history at event {self.event_number}: "
            f"history has {self.history_has}, the code asked for {self.code_asked}"
        )


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """The known names that look like `name`, best first."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=3, cutoff=0.6)
    return [by_folded[folded] for folded in close]


class NotRegisteredError(DfnbError, LookupError):
    """Nothing of that kind has that name in this process."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        super().__init__(kind, name, known)
        self.kind = kind
        self.name = name
        self.known = known
        self.suggestions = nearest(name, known)

    def __str__(self) -> str:
        said = f"no {self.kind} named {self.name!r} is defined here"
        if self.suggestions:
            return f"{said}; did you mean {' or '.join(repr(s) for s in self.suggestions)}?"
        if self.known:
            return f"{said}; defined are: {', '.join(self.known)}"
        return f"{said}, nor any other; define it with %%{self.kind} or @dfnb.{self.kind}"


class UnknownOperationError(DfnbError, LookupError):
    """The entity has no operation of that name."""

    def __init__(self, entity: str, operation: str, known: Iterable[str]) -> None:
        known = sorted(known)
        super().__init__(entity, operation, known)
        self.entity = entity
        self.operation = operation
        self.known = known
        self.suggestions = nearest(operation, known)

    def __str__(self) -> str:
        said = f"entity {self.entity!r} has no operation {self.operation!r}"
        if self.suggestions:
            return f"{said}; did you mean {' or '.join(repr(s) for s in self.suggestions)}?"
        return f"{said}; it has: {', '.join(self.known)}"


class InstanceError(DfnbError):
    """Base of errors about one instance."""

    def __init__(self, instance_id: str, *facts: object) -> None:
        super().__init__(instance_id, *facts)
        self.instance_id = instance_id


class InstanceNotFoundError(InstanceError, LookupError):
    """No instance has that id."""

    def __str__(self) -> str:
        return f"no instance with id {self.instance_id!r} in this hub"


class InstanceExistsError(InstanceError):
    """The id is taken by an instance that has not ended."""

    def __init__(self, instance_id: str, status: str) -> None:
        super().__init__(instance_id, status)
        self.status = status

    def __str__(self) -> str:
        return (
            f"an instance with id {self.instance_id!r} already exists and is {self.status}; "
            "choose another id, or terminate it first"
        )


class InstanceFinishedError(InstanceError):
    """The instance has ended, so the operation can no longer reach it."""

    def __init__(self, instance_id: str, status: str, operation: str) -> None:
        super().__init__(instance_id, status, operation)
        self.status = status
        self.operation = operation

    def __str__(self) -> str:
        return f"cannot {self.operation} instance {self.instance_id!r}: it is already {self.status}"


class InstanceConflictError(InstanceError):
    """The operation does not fit the state the instance is in."""

    def __init__(self, instance_id: str, status: str, operation: str, advice: str) -> None:
        super().__init__(instance_id, status, operation, advice)
        self.status = status
        self.operation = operation
        self.advice = advice

    def __str__(self) -> str:
        return f"cannot {self.operation} instance {self.instance_id!r} while it is {self.status}; {self.advice}"


class InstanceFailedError(InstanceError):
    """``result()`` was asked of an instance that failed or was terminated."""

    def __init__(self, instance_id: str, name: str, status: str, details: FailureDetails | None, reason: str | None) -> None:
        super().__init__(instance_id, name, status, details, reason)
        self.name = name
        self.status = status
        self.details = details
        self.reason = reason

    def __str__(self) -> str:
        if self.details is not None:
            return f"Orchestrator function '{self.name}' failed: {self.details.summary} (instance {self.instance_id!r})"
        because = f": {self.reason}" if self.reason else ""
        return f"instance {self.instance_id!r} of {self.name!r} was {self.status.lower()}{because}"


class WaitTimeoutError(DfnbError, TimeoutError):
    """The instance had not ended when the time given to ``wait`` ran out; it goes on."""

    def __init__(self, instance_id: str, seconds: float, waiting_for: str) -> None:
        super().__init__(instance_id, seconds, waiting_for)
        self.instance_id = instance_id
        self.seconds = seconds
        self.waiting_for = waiting_for

    def __str__(self) -> str:
        why = f"; it is {self.waiting_for}" if self.waiting_for else ""
        return f"instance {self.instance_id!r} has not ended after {self.seconds:g} s{why}. It goes on in the background"


class RemoteError(DfnbError):
    """The server of a remote hub answers what cannot be used, or does not offer what was asked for. It never tells the key."""

    def __init__(self, address: str, problem: str) -> None:
        # not super(): OSError, which one subclass is too, would take the facts for an error number and a file name
        Exception.__init__(self, address, problem)
        self.address = address
        self.problem = problem

    def __str__(self) -> str:
        return f"the server at {self.address} {self.problem}"


class RemoteUnavailableError(RemoteError, ConnectionError):
    """The server of a remote hub cannot be reached, or cannot answer now.

    `retry_after`: how many seconds it asks to be left alone; None when it does not say. `has_answered`: it is there.
    """

    def __init__(self, address: str, problem: str, retry_after: float | None = None, has_answered: bool = False) -> None:
        super().__init__(address, problem)
        self.retry_after = retry_after
        self.has_answered = has_answered

    def __str__(self) -> str:
        if self.has_answered:
            return f"the server at {self.address} cannot answer now ({self.problem}); try again in a moment"
        return (
            f"the server at {self.address} cannot be reached now ({self.problem}); "
            "check the address, and that it runs: a notebook starts its own with `%dfnb serve`"
        )


class RemoteRefusedError(RemoteError):
    """The server of a remote hub refuses the key, or wants one."""

    def __init__(self, address: str, problem: str = "", has_key: bool = True) -> None:
        super().__init__(address, problem)
        self.has_key = has_key

    def __str__(self) -> str:
        said = f" ({self.problem})" if self.problem else ""
        if self.has_key:
            advice = "its owner sees the right one with `%dfnb serve --show-key`"
            return f"the server at {self.address} refuses this key{said}; {advice}"
        return f"the server at {self.address} wants a key{said}; give it as key=, or a URL that has one as code="


class SecretNotAvailableError(DfnbError, LookupError):
    """The value of a secret cannot be read now. `waits_for_cell` says that running a cell would help."""

    def __init__(self, name: str, reason: str, waits_for_cell: bool = False) -> None:
        super().__init__(name, reason, waits_for_cell)
        self.name = name
        self.reason = reason
        self.waits_for_cell = waits_for_cell

    def __str__(self) -> str:
        return f"the secret {self.name!r} is not available: {self.reason}"


class TokenError(DfnbError):
    """No token could be had. `waits_for_cell` says that running a cell would help."""

    def __init__(self, whose: str, reason: str, waits_for_cell: bool = False) -> None:
        super().__init__(whose, reason, waits_for_cell)
        self.whose = whose
        self.reason = reason
        self.waits_for_cell = waits_for_cell

    def __str__(self) -> str:
        return f"no token for {self.whose}: {self.reason}"


class PrivateAddressError(DfnbError, ValueError):
    """The host has an address inside this network, and requests are to go to public ones only."""

    def __init__(self, host: str, address: str) -> None:
        super().__init__(host, address)
        self.host = host
        self.address = address

    def __str__(self) -> str:
        where = f"{self.host} is {self.address}" if self.host != self.address else self.host
        return f"no request was sent: {where}, which is no public address; allow private addresses if this host is meant"


class QueryError(DfnbError, ValueError):
    """A statement given to ``sql()`` is none that reads, or DuckDB refuses it."""


class ServeError(DfnbError):
    """The server could not begin to listen at this address."""

    def __init__(self, host: str, port: int, problem: str) -> None:
        super().__init__(host, port, problem)
        self.host = host
        self.port = port
        self.problem = problem

    def __str__(self) -> str:
        return f"cannot listen at {self.host}, port {self.port}: {self.problem}"


class PortInUseError(ServeError):
    """Something else listens at that port."""

    def __init__(self, host: str, port: int) -> None:
        ServeError.__init__(self, host, port, "")
        self.args = (host, port)

    def __str__(self) -> str:
        return (
            f"port {self.port} of {self.host} is in use, by another program or another hub's server: take another with "
            f"`%dfnb serve --port {self.port % 65_535 + 1}`, or any free one with `%dfnb serve --port 0`"
        )


class HubError(DfnbError):
    """Base of errors about the hub file."""


class HubInUseError(HubError):
    """Another process owns the hub file. `address`: where that process serves it, if it does."""

    def __init__(self, path: str, pid: int | None, address: str | None = None) -> None:
        super().__init__(path, pid, address)
        self.path = path
        self.pid = pid
        self.address = address

    def __str__(self) -> str:
        owner = f"process {self.pid}" if self.pid is not None else "another process"
        if self.address is None:
            return (
                f"the hub {self.path} is in use by {owner}: "
                "stop that kernel or program, or open another file with `%dfnb open PATH`"
            )
        return (
            f"the hub {self.path} is in use by {owner}, which serves it at {self.address}: work with it from here by "
            f"`%dfnb attach {shlex.quote(self.path)}` or dfnb.connect({self.path!r}), or stop that kernel or program"
        )


class HubFormatError(HubError):
    """The file is not a hub, is damaged, or comes from a newer version; it was left untouched."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path} cannot be opened as a dfnb hub: {self.problem}. The file was left as it is"


class HubUnavailableError(HubError):
    """The store cannot take writes now. Everything acknowledged before is safe.

    `kept`: whether the request that met it will be carried out all the same, which makes a second one do its work twice. False:
    nothing of it was done; None: no request was made.
    """

    def __init__(self, path: str, problem: str, kept: bool | None = None) -> None:
        super().__init__(path, problem, kept)
        self.path = path
        self.problem = problem
        self.kept = kept

    def __str__(self) -> str:
        return f"the hub {self.path} cannot be written now ({self.problem}). What was acknowledged is safe; {self.outlook}"

    @property
    def _about_request(self) -> str:
        """`outlook` as a sentence of its own; empty where no request was made."""
        return "" if self.kept is None else f" {self.outlook[0].upper()}{self.outlook[1:]}."

    def for_request(self, kept: bool | None) -> HubUnavailableError:
        """The same as one request meets it."""
        return type(self)(self.path, self.problem, kept)

    @property
    def outlook(self) -> str:
        """What becomes of the request, or of the hub where there was none."""
        if self.kept:
            return (
                "this request was already under way: dfnb keeps it and carries it out as soon as writing works again, unless the "
                "hub is closed before; so do not repeat it"
            )
        if self.kept is None:
            return "dfnb tries again every second and goes on by itself once writing works"
        return "nothing of this request was done: repeat it once writing works"


class HubMovedError(HubUnavailableError):
    """The file of an open hub is not in its place any more: what is written now would not be found again."""

    def __str__(self) -> str:
        return (
            f"the file of the hub {self.path} was moved, deleted or replaced while it was open, so nothing new is begun."
            f"{self._about_request} Put it back in its place, and dfnb goes on by itself; or close this hub and open the file "
            "where it is now. If it is gone, save what you need with dfnb.sql(...) before this process ends"
        )


class EngineBusyError(HubUnavailableError):
    """The code of an orchestrator or an entity does not come back, and all else in the hub waits for it."""

    def __str__(self) -> str:
        return (
            f"{self.problem}; everything else in this hub waits for it.{self._about_request} "
            "It cannot be interrupted from here: restart the kernel or the program, and before that code is run again, change it "
            "or terminate its instance"
        )

    @property
    def outlook(self) -> str:
        """What becomes of the request."""
        if self.kept:
            return "this request was already under way, and is carried out if that code comes back: do not repeat it here"
        return "nothing of this request was done"


class HubClosedError(HubError):
    """The app behind this object has been closed, or none is open."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else "this dfnb app is closed; open the hub again to go on"
