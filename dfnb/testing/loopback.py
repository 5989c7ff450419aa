"""The fake API as a real HTTP/1.1 server on 127.0.0.1, so that other processes can call it.

Written by hand on asyncio streams, because a proper server will not break its own answers off in the middle of a body.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from http import HTTPStatus

from dfnb.testing.transport import Api
from dfnb.testing.wire import Headers, ReceivedRequest, Reply, reply_of
from dfnb.threads import LoopThread

_LARGEST_HEAD = 1 << 20
_ENDS_A_CONNECTION = (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError)


class LoopbackServer:
    """Serves one API on a free port of 127.0.0.1, on a thread of its own, from construction until `close`."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._thread = LoopThread("dfnb-fake-api")
        self._run(self._start())

    def close(self) -> None:
        """Break off all connections and end the thread."""
        self._run(self._stop())
        self._thread.close(5.0)

    def _run(self, work: Coroutine[object, object, None]) -> None:
        done = threading.Event()

        def begin() -> None:
            self._current = asyncio.get_running_loop().create_task(work)
            self._current.add_done_callback(lambda _: done.set())

        self._thread.post(begin)
        done.wait()
        self._current.result()

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._accepted, sock=self._socket, limit=_LARGEST_HEAD)

    async def _stop(self) -> None:
        self._server.close()
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        try:
            with contextlib.suppress(*_ENDS_A_CONNECTION):
                while await self._exchange(reader, writer):
                    pass
        finally:
            del self._open[task]
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; False when the connection is done with."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head[:-4].split("\r\n")
        method, target, version = first.split(" ", 2)
        headers = tuple((name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
        if _value(headers, "Expect").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await _body(reader, headers)
        try:
            request, reply = self._api.receive(method, self._url(target, headers), headers, body)
        except Exception as problem:  # of a fault or a site that the user wrote: the caller is to see it, not a closed connection
            told = f"the fake API failed: {type(problem).__name__}: {problem}"
            request = ReceivedRequest(method, target, headers, body)
            reply = reply_of(told, 500).framed(request, "")
        if reply.delay:
            await self._api.alarms.sleep(self._api.alarms.due(reply.delay))
        kept = await _send(writer, request, reply)
        return kept and version == "HTTP/1.1" and _value(headers, "Connection").lower() != "close"

    def _url(self, target: str, headers: Headers) -> str:
        host = _value(headers, "Host")
        return f"http://{host}{target}" if host and target.startswith("/") else target


async def _body(reader: asyncio.StreamReader, headers: Headers) -> bytes:
    if _value(headers, "Transfer-Encoding").lower() != "chunked":
        return await reader.readexactly(int(_value(headers, "Content-Length") or 0))
    pieces = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        pieces.append(await reader.readexactly(size))
        await reader.readline()
    while (await reader.readline()).strip():
        continue
    return b"".join(pieces)


async def _send(writer: asyncio.StreamWriter, request: ReceivedRequest, reply: Reply) -> bool:
    if reply.cut is None or reply.cut >= 0:
        pieces = reply.chunks()
        writer.write(_head(reply) + next(pieces, b""))  # at once: most answers are one packet
        await writer.drain()
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
    if reply.cut is None:
        return True
    await _break_off(writer, reply)
    return False


async def _break_off(writer: asyncio.StreamWriter, reply: Reply) -> None:
    """Close after what was written has left; hard when it shall be a reset, so that no goodbye is said."""
    while writer.transport.get_write_buffer_size():
        await asyncio.sleep(0)
    if reply.reset:
        raw: socket.socket = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return
    writer.close()
    await writer.wait_closed()


def _head(reply: Reply) -> bytes:
    phrase = HTTPStatus(reply.status).phrase if reply.status in HTTPStatus._value2member_map_ else "Fake"
    lines = [f"HTTP/1.1 {reply.status} {phrase}", *(f"{name}: {value}" for name, value in reply.headers), "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace")


def _value(headers: Headers, name: str) -> str:
    return next((value for key, value in headers if key.lower() == name.lower()), "")
