"""Keeps what user code prints and logs with its instance, away from whatever cell happens to be running.

While installed, `sys.stdout` and `sys.stderr` are thin proxies: inside `with to(sink):` text goes to the sink, elsewhere to the
real stream. Logging is caught in `Logger.callHandlers` and not by a handler on the root logger: a root handler would turn
`logging.basicConfig()` in a cell into a no-op and silence the warnings of loggers nobody configured.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any

from dfnb.records.log import LogLine

_MAX_LINES = 1_000
_MAX_CHARS = 1_000_000

_sink: ContextVar[Sink | None] = ContextVar("dfnb_sink", default=None)


class Sink:
    """Collects the lines of one try of an activity, or of one turn. `drop_while` says when to throw them away: replaying."""

    __slots__ = ("_attempt", "_now", "_page", "_taken", "_task", "drop_while")

    _lock = threading.RLock()  # one for all: most sinks stay empty. Reentrant: a finaliser may print while a line is added

    def __init__(
        self, now: Callable[[], int], task: int | None = None, attempt: int = 1, drop_while: Callable[[], bool] | None = None
    ) -> None:
        self._now = now
        self._task = task
        self._attempt = attempt
        self._page: _Page | None = None
        self._taken = False
        self.drop_while = drop_while

    def write(self, stream: str, text: str) -> None:
        """Take printed text; what ends with a newline becomes lines, the rest waits for its newline."""
        if self.drop_while is not None and self.drop_while():
            return
        with self._lock:
            self._opened().write(stream, text)

    def log(self, record: logging.LogRecord) -> None:
        """Take one logging record, exception text included."""
        if self.drop_while is not None and self.drop_while():
            return
        text = _formatted(record)
        with self._lock:
            self._opened().add(record.levelname, text)

    def extend(self, lines: Iterable[LogLine]) -> None:
        """Take lines that were made elsewhere, under the limits of another sink."""
        with self._lock:
            self._opened().lines.extend(lines)

    def lines(self) -> tuple[LogLine, ...]:
        """All lines, unfinished ones included. What is written later came too late and is dropped."""
        self._taken = True
        if self._page is None:
            return ()
        with self._lock:
            return self._page.ended()

    def _opened(self) -> _Page:
        if self._taken:
            return _Page(self._line)  # nobody will read it
        if self._page is None:
            self._page = _Page(self._line)
        return self._page

    def _line(self, stream: str, text: str) -> LogLine:
        return LogLine(self._task, self._attempt, self._now(), stream, _writable(text))


class _Page:
    """The lines of a sink that has any, finished and unfinished, up to a limit."""

    __slots__ = ("_chars", "_cut", "_cut_chars", "_line", "_unfinished", "lines")

    def __init__(self, line: Callable[[str, str], LogLine]) -> None:
        self._line = line
        self.lines: list[LogLine] = []
        self._unfinished: dict[str, list[str]] = {}
        self._chars = 0
        self._cut = 0
        self._cut_chars = 0

    def write(self, stream: str, text: str) -> None:
        whole, newline, rest = text.rpartition("\n")
        parts = self._unfinished.setdefault(stream, [])
        if newline:
            for line in ("".join(parts) + whole).split("\n"):
                self.add(stream, _as_shown(line))
            parts.clear()
        if rest:
            parts.append(rest)
            if "\r" in rest or len(parts) > 1_000 or len(rest) > 10_000:
                self._squeeze(stream, parts)

    def _squeeze(self, stream: str, parts: list[str]) -> None:
        """Keep an unfinished line small: a progress bar redraws it for ever, and some lines never end."""
        line = "".join(parts)
        line = line[line.rfind("\r", 0, -1) + 1 :]
        if len(line) > _MAX_CHARS:
            self.add(stream, line)
            line = ""
        parts[:] = [line]

    def add(self, stream: str, text: str) -> None:
        room = _MAX_CHARS - self._chars
        if len(self.lines) >= _MAX_LINES or room <= 0:
            self._cut += 1
            self._cut_chars += len(text)
            return
        if len(text) > room:
            self._cut += 1
            self._cut_chars += len(text) - room
            text = text[:room]
        self._chars += len(text)
        self.lines.append(self._line(stream, text))

    def ended(self) -> tuple[LogLine, ...]:
        for stream, parts in self._unfinished.items():
            if rest := "".join(parts):
                self.add(stream, _as_shown(rest))
                parts.clear()
        if self._cut:
            said = f"({self._cut:,} more lines, {self._cut_chars:,} characters, were cut here)"
            self.lines.append(self._line("WARNING", said))
            self._cut = 0
        return tuple(self.lines)


def _as_shown(line: str) -> str:
    """What a terminal would still show of a line in which a progress bar moved the cursor back."""
    return line.rstrip("\r").rpartition("\r")[2]


def _writable(text: str) -> str:
    """The text without lone surrogates, which no file takes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


class to:
    """`with to(sink):` sends what this context prints and logs to the sink."""

    __slots__ = ("_sink", "_token")

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def __enter__(self) -> Sink:
        self._token: Token[Sink | None] = _sink.set(self._sink)
        return self._sink

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _sink.reset(self._token)


def keep(sink: Sink) -> None:
    """Send all that this context prints and logs from now on to the sink: `to` for a context that is thrown away."""
    _sink.set(sink)


_REPLACEABLE = frozenset({"write", "writelines", "flush"})


class _Proxy:
    """Stands in for a standard stream and looks, at each write, whose context is writing."""

    _name: str
    _real: Any

    def __init__(self, name: str, real: Any) -> None:
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_real", real)

    def write(self, text: str) -> int:
        sink = _sink.get()
        if sink is None:
            return self._real.write(text)  # type: ignore[no-any-return]
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        sink.write(self._name, text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if _sink.get() is None:
            self._real.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _REPLACEABLE:  # IPython wraps `write` for the time of a cell: handed on, its wrapper would call itself
            object.__setattr__(self, name, value)
        else:
            setattr(self._real, name, value)

    def __delattr__(self, name: str) -> None:
        if name in self.__dict__:
            object.__delattr__(self, name)
        else:
            delattr(self._real, name)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._real)

    def __repr__(self) -> str:
        return f"<dfnb capture of {self._name} over {self._real!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _stream_here, (self._name,)


def _stream_here(name: str) -> Any:
    return getattr(sys, name)


_installing = threading.Lock()
_users = 0
_original_call_handlers = logging.Logger.callHandlers
_format = logging.Formatter().format


def install() -> None:
    """Put the proxies and the logging hook in place. Counted: each `install` needs its `uninstall`."""
    global _users
    with _installing:
        _users += 1
        if _users == 1:
            _hook_logging()
        for name in ("stdout", "stderr"):
            real = getattr(sys, name)
            if real is not None and not isinstance(real, _Proxy):
                setattr(sys, name, _Proxy(name, real))


def uninstall() -> None:
    """Take one `install` back; the last one restores the streams, except those that somebody else has replaced since."""
    global _users
    with _installing:
        _users -= 1
        if _users:
            return
        if logging.Logger.callHandlers is _call_handlers:
            logging.Logger.callHandlers = _original_call_handlers  # type: ignore[method-assign]
        for name in ("stdout", "stderr"):
            while isinstance(proxy := getattr(sys, name), _Proxy):
                setattr(sys, name, proxy._real)


def _hook_logging() -> None:
    global _original_call_handlers
    if logging.Logger.callHandlers is not _call_handlers:
        _original_call_handlers = logging.Logger.callHandlers
        logging.Logger.callHandlers = _call_handlers  # type: ignore[method-assign, assignment]


def _call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
    sink = _sink.get()
    if sink is None:
        _original_call_handlers(logger, record)
        return
    sink.log(record)
    with to(_nowhere):  # a handler that prints must not have its text captured a second time
        for handler in _handlers_of(logger):
            if record.levelno >= handler.level and not _is_console(handler):
                handler.handle(record)


def _handlers_of(logger: logging.Logger) -> Iterator[logging.Handler]:
    at: logging.Logger | None = logger
    while at is not None:
        yield from at.handlers
        at = at.parent if at.propagate else None


def _is_console(handler: logging.Handler) -> bool:
    stream = getattr(handler, "stream", None)
    return stream is not None and any(stream is console for console in _consoles())


def _consoles() -> Iterator[Any]:
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        yield stream
        while isinstance(stream, _Proxy):
            stream = stream._real
            yield stream


def _formatted(record: logging.LogRecord) -> str:
    try:
        return _format(record)
    except Exception as broken:  # wrong arguments for the message: logging itself would complain and go on
        return f"{record.msg} (its arguments do not fit: {type(broken).__name__}: {broken})"


_nowhere = Sink(lambda: 0, drop_while=lambda: True)
