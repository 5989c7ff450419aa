"""Listens for an ASGI app: uvicorn's protocol on a daemon thread with a loop of its own, never the kernel's."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import threading
import weakref
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from uvicorn.config import Config

from dfnb.client.hosts import in_url
from dfnb.errors import PortInUseError, ServeError
from dfnb.server.protocol import Door, logger
from dfnb.server.settings import ServerSettings

AsgiApp = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[MutableMapping[str, Any]], Awaitable[None]]], Awaitable[None]
]

_BACKLOG = 2_048


def bind(settings: ServerSettings) -> socket.socket:
    """A socket that listens where `settings` say. PortInUseError, or ServeError for what else is in the way."""
    host, port = settings.host, settings.port
    try:
        family, address = _address(host, port)
        both = family == socket.AF_INET6 and host == "::" and socket.has_dualstack_ipv6()
        return socket.create_server(address, family=family, backlog=_BACKLOG, dualstack_ipv6=both)
    except socket.gaierror:
        raise ServeError(host, port, "no address has that name; leave --host out for this machine only") from None
    except PermissionError:
        raise ServeError(host, port, "that is not allowed here; take a port above 1023, or any free one with --port 0") from None
    except OSError as error:
        raise _refusal(host, port, error) from None


def _address(host: str, port: int) -> tuple[int, tuple[Any, ...]]:
    """IPv4 first: other programs take ``localhost`` for it."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, address


def _refusal(host: str, port: int, error: OSError) -> ServeError:
    if error.errno == errno.EADDRINUSE:
        return PortInUseError(host, port)
    if error.errno == errno.EADDRNOTAVAIL:
        return ServeError(host, port, "this machine has no such address; leave --host out for this machine only")
    return ServeError(host, port, os.strerror(error.errno) if error.errno else str(error))


def url_of(listening: socket.socket) -> str:
    """Where programs on this machine reach the socket."""
    host, port = listening.getsockname()[:2]
    return f"http://{in_url(host)}:{port}"


_listening: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def _close_inherited() -> None:
    """A child made by fork would keep the port taken for as long as it lives, with nobody there to answer."""
    for inherited in list(_listening):
        inherited.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)


_STEPS_TO_A_CONNECTION = 3
"""How many turns of its loop asyncio takes from accepting a socket to a connection that can be closed."""


class Listener:
    """Serves `app` from construction until `stop`. An app that has a coroutine function ``drain`` is asked to end what waits.

    `listening` is a socket of `bind`; without one it is made here, with the errors `bind` has.
    """

    def __init__(self, app: AsgiApp, settings: ServerSettings, listening: socket.socket | None = None) -> None:
        self._app = app
        self._settings = settings
        self._socket = listening if listening is not None else bind(settings)
        _listening.add(self._socket)
        self.url = url_of(self._socket)
        self._grace = settings.drain_timeout
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, name="dfnb-server", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def is_listening(self) -> bool:
        return self._thread.is_alive() and not self._stopping.is_set()

    def stop(self, timeout: float | None = None) -> None:
        """Take no more connections, end what waits, let answers under way finish for up to `timeout` seconds, then hang up."""
        if timeout is not None:
            self._grace = min(self._grace, timeout)
        with contextlib.suppress(RuntimeError):  # the loop has ended before
            self._loop.call_soon_threadsafe(self._stopping.set)
        if self._thread is not threading.current_thread():
            self._thread.join(self._grace + 1.0)

    # on the server's thread

    def _serve(self) -> None:
        try:
            with asyncio.Runner() as runner:
                runner.run(self._run())
        except BaseException as error:
            logger.exception("the server's thread has ended")
            self._failure = error
        finally:
            self._socket.close()
            self._ready.set()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_log_problem)
        self._stopping = asyncio.Event()
        door = Door(
            _config(self._app, self._settings), max_connections=self._settings.max_connections,
            head_timeout=self._settings.head_timeout, answer_timeout=self._settings.answer_timeout,
        )  # fmt: skip
        server = await self._loop.create_server(door.protocol, sock=self._socket, backlog=_BACKLOG)
        self._ready.set()
        await self._stopping.wait()
        await self._accept_no_more()
        server.close()
        await self._drain(door)

    async def _accept_no_more(self) -> None:
        """What was accepted just now becomes a connection, which is closed like all others; asyncio would leave its socket open."""
        with contextlib.suppress(NotImplementedError):  # the loop of Windows accepts in another way
            asyncio.get_running_loop().remove_reader(self._socket)
        for _ in range(_STEPS_TO_A_CONNECTION):
            await asyncio.sleep(0)

    async def _drain(self, door: Door) -> None:
        try:
            async with asyncio.timeout(self._grace):
                drain = getattr(self._app, "drain", None)
                if drain is not None:
                    await drain()
                await door.empty()
        except TimeoutError:
            logger.info("%d connections were cut off when the server stopped", len(door.state.connections))
        for connection in list(door.state.connections):
            connection.transport.abort()
        for task in list(door.state.tasks):
            task.cancel()
        await asyncio.sleep(0)  # so that they see their connections gone, and end without a word


def _ends_quietly(app: AsgiApp) -> AsgiApp:
    """uvicorn would log the cancelling of a request as an error of the app."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await app(scope, receive, send)

    return serve


def _config(app: AsgiApp, settings: ServerSettings) -> Config:
    config = Config(
        _ends_quietly(app), loop="asyncio", ws="none", lifespan="off", interface="asgi3", log_config=None, workers=1,
        proxy_headers=False, server_header=False, timeout_keep_alive=max(1, int(settings.head_timeout)),
    )  # fmt: skip
    config.load()
    return config


def _log_problem(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    logger.error("%s", context.get("message"), exc_info=context.get("exception"))
