"""The bounds of a connection: how long and how large a request's head may be, how slowly an answer may be taken, how many may be.

Headers are what stands in the head: trailers behind a body count for nothing, and no more of them is read than of a head.

uvicorn bounds none of these. The body's own bounds are the guard's; here only what is left of one that nobody reads any more.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

logger = logging.getLogger("dfnb.server")
logger.addHandler(logging.NullHandler())  # without one, Python would print warnings into whatever cell is running

_LINGER = 2.0
_SLOWEST = 1_024
"""Bytes per second of an answer that a caller must take on average."""


class Door:
    """What all connections of one listener share: their bounds, and which are open."""

    def __init__(
        self, config: Config, *, max_connections: int, head_timeout: float, answer_timeout: float, max_head: int = 65_536
    ) -> None:
        self.config = config
        self.state = ServerState()
        self.max_connections = max_connections
        self.head_timeout = head_timeout
        self.answer_timeout = answer_timeout
        self.max_head = max_head
        self._date = 0
        self._emptied: Callable[[], None] | None = None

    def protocol(self) -> Connection:
        """The protocol of one more connection."""
        return Connection(self)

    def set_date(self) -> None:
        """Put the present time into the headers of answers; at most once a second, and only while there are requests."""
        now = int(time.time())
        if now != self._date:
            self._date = now
            self.state.default_headers = [(b"date", formatdate(now, usegmt=True).encode())]

    async def empty(self) -> None:
        """Ask each connection to close behind the answer it is at, and return once all have."""
        emptied = asyncio.Event()
        self._emptied = emptied.set
        for connection in list(self.state.connections):
            connection.shutdown()
        self.closed()
        await emptied.wait()

    def closed(self) -> None:
        if not self.state.connections and self._emptied is not None:
            self._emptied()


def _send_at_once(transport: asyncio.Transport) -> None:
    """Else the second piece of an answer waits 40 ms for the first to be acknowledged. asyncio sees to it for its own sockets."""
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Connection(HttpToolsProtocol):
    """One connection, closed when a head does not come whole in time or is too large, when what is between or behind the pieces of
    a body is, when an answer is not taken, or when there are too many connections.
    """

    def __init__(self, door: Door) -> None:
        super().__init__(door.config, door.state, {}, asyncio.get_running_loop())
        self.logger = logger
        self.access_log = False  # it would write queries down, and in them keys
        self._door = door
        self._head_bytes = 0
        self._between_bytes = 0
        self._awaits_head = True
        self._head_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._answer_timer: asyncio.TimerHandle | None = None
        self._refusal = (400, "Invalid HTTP request received.")

    # the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        _send_at_once(transport)
        if len(self.connections) > self._door.max_connections:
            self._refuse(503, "too many connections are open; try again later")
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_timers()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._door.closed()

    def data_received(self, data: bytes) -> None:
        if self._awaits_head:
            self._head_bytes += len(data)
        else:
            self._between_bytes += len(data)  # which what is body in it takes back
        super().data_received(data)
        if self._awaits_head and not self.transport.is_closing():
            if self._head_bytes > self._door.max_head:
                self._refuse(*self._too_large())
            else:
                self._await_head()
        elif self._between_bytes > self._door.max_head:
            self._hang_up()

    # the head

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self._door.head_timeout, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._await_head()  # an answer is under way; what came early may be just a line break behind the last body
        elif self._head_bytes:
            self._refuse(408, f"the head of the request did not come within {self._door.head_timeout:g} s")
        else:
            self._hang_up()

    def on_message_begin(self) -> None:
        self._door.set_date()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._awaits_head:  # else it is a trailer, behind a body in chunks: it was not there when the request was checked
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > self._door.max_head:
            self._refusal = self._too_large()
            raise ValueError("the head is too large")  # which the parser takes for a bad request
        self._awaits_head = False
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._between_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._awaits_head = True
        self._between_bytes = 0
        if self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and not self._awaits_head and not self.transport.is_closing():
            # the rest of a body that was refused: to hang up now would, with some clients, take the answer away with it
            self._linger_timer = self.loop.call_later(_LINGER, self._hang_up)

    def _unsupported_upgrade_warning(self) -> None:
        """Answer once and close: the parser reads nothing behind a request to speak something else."""
        if self.cycle is not None:
            self.cycle.keep_alive = False

    # what is written

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._forget_answer()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._watch_reader()

    def _hang_up(self) -> None:
        """Close behind what is still to be sent, which a caller who takes nothing could put off for ever."""
        self.transport.close()
        self._watch_reader()

    def _watch_reader(self) -> None:
        left = self.transport.get_write_buffer_size()
        if left and self._answer_timer is None:
            self._answer_timer = self.loop.call_later(self._door.answer_timeout, self._see_what_was_taken, left)

    def _see_what_was_taken(self, before: int) -> None:
        self._answer_timer = None
        if before - self.transport.get_write_buffer_size() < _SLOWEST * self._door.answer_timeout:
            self.transport.abort()
        else:
            self._watch_reader()

    def _forget_answer(self) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None

    # the refusals

    def send_400_response(self, msg: str) -> None:
        self._refuse(*self._refusal)

    def _too_large(self) -> tuple[int, str]:
        return 431, f"the head of a request may have {self._door.max_head:,} bytes at most"

    def _refuse(self, status: int, sentence: str) -> None:
        self._forget_timers()
        if not self.transport.is_closing() and (self.cycle is None or self.cycle.response_complete):
            self.transport.write(_answer(status, sentence))
        self._hang_up()

    def _forget_timers(self) -> None:
        for timer in (self._head_timer, self._linger_timer):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._linger_timer = None
        self._forget_answer()


_PHRASES = {
    400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large", 503: "Service Unavailable",
}  # fmt: skip


def _answer(status: int, sentence: str) -> bytes:
    lines: dict[str, Any] = {
        "content-type": "text/plain; charset=utf-8", "content-length": len(sentence), "connection": "close",
    }  # fmt: skip
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} {_PHRASES[status]}\r\n{head}\r\n{sentence}".encode("ascii")
