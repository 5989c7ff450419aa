"""The server's thread: where it listens, how it is told that it cannot, how it stops."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import http.client
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dfnb.errors import PortInUseError, ServeError
from dfnb.server.listener import Listener, bind
from dfnb.server.settings import ServerSettings

FREE = ServerSettings(port=0)
ROOT = Path(__file__).parent.parent.parent


class Echo:
    """Answers with the path; ``/wait`` is answered when it is told to drain, ``/never`` not at all."""

    def __init__(self) -> None:
        self.waiting = threading.Event()
        self.threads: set[str] = set()
        self._drained: asyncio.Event | None = None

    async def drain(self) -> None:
        if self._drained is not None:
            self._drained.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.threads.add(threading.current_thread().name)
        if scope["path"] in ("/wait", "/never"):
            self._drained = asyncio.Event()
            self.waiting.set()
            await (self._drained if scope["path"] == "/wait" else asyncio.Event()).wait()
        body = scope["path"].encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]})
        await send({"type": "http.response.body", "body": body})


@contextlib.contextmanager
def listening(app: Any = None, settings: ServerSettings = FREE) -> Iterator[Listener]:
    listener = Listener(app if app is not None else Echo(), settings)
    yield listener
    listener.stop(0.1)


def get(listener: Listener, path: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", listener.port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.body = answer.read()  # type: ignore[attr-defined]
    connection.close()
    return answer


def test_an_app_is_served_on_a_thread_of_its_own() -> None:
    app = Echo()
    with listening(app) as listener:
        answer = get(listener, "/hello")
        assert (answer.status, answer.body) == (200, b"/hello")  # type: ignore[attr-defined]
        assert "server" not in answer.headers
        assert answer.headers["date"].endswith("GMT")
        assert listener.is_listening
    assert app.threads == {"dfnb-server"}
    assert not listener.is_listening


def test_a_port_in_use_is_told_with_the_way_out() -> None:
    with listening() as listener, pytest.raises(PortInUseError) as refusal:
        Listener(Echo(), ServerSettings(port=listener.port))
    assert str(refusal.value).startswith(f"port {listener.port} of 127.0.0.1 is in use")
    assert "--port 0" in str(refusal.value)


@pytest.mark.parametrize(
    ("host", "reason"), [("203.0.113.7", "this machine has no such address"), ("no-such-host.invalid", "no address has that name")]
)
def test_an_address_that_is_not_here_is_told(host: str, reason: str) -> None:
    with pytest.raises(ServeError, match=reason):
        bind(ServerSettings(host=host, port=0))


def test_a_port_that_is_not_allowed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> socket.socket:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(ServeError, match=r"cannot listen at 127\.0\.0\.1, port 80: that is not allowed here"):
        bind(ServerSettings(port=80))


def test_everywhere_is_called_by_a_loopback_address() -> None:
    with listening(settings=ServerSettings(host="0.0.0.0", port=0)) as listener:
        assert listener.url == f"http://127.0.0.1:{listener.port}"


def test_what_waits_is_answered_when_the_server_stops() -> None:
    app = Echo()
    with listening(app) as listener:
        answers: list[Any] = []
        caller = threading.Thread(target=lambda: answers.append(get(listener, "/wait")))
        caller.start()
        assert app.waiting.wait(10)
        listener.stop()
        caller.join(10)
    assert answers[0].body == b"/wait"


def test_what_never_ends_is_cut_off_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    app = Echo()
    with caplog.at_level(logging.WARNING), listening(app) as listener:
        raw = socket.create_connection(("127.0.0.1", listener.port), timeout=10)
        raw.sendall(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
        assert app.waiting.wait(10)
        listener.stop(0)
        with contextlib.suppress(ConnectionResetError):
            assert raw.recv(1) == b""
        raw.close()
    assert caplog.records == []


def test_no_socket_stays_open_of_those_who_call_at_the_last_moment() -> None:
    """Warnings are errors here: a socket that nobody has closed is one."""
    for _ in range(4):
        listener = Listener(Echo(), FREE)
        stopped, called = threading.Event(), threading.Event()

        def call(port: int = listener.port, stopped: threading.Event = stopped, called: threading.Event = called) -> None:
            while not stopped.is_set():
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), timeout=20).close()
                called.set()

        callers = [threading.Thread(target=call) for _ in range(3)]
        for caller in callers:
            caller.start()
        assert called.wait(20)
        listener.stop(0.1)
        stopped.set()
        for caller in callers:
            caller.join(20)
        gc.collect()


def test_the_port_is_free_again_at_once() -> None:
    with listening() as first:
        get(first, "/")
    with listening(settings=ServerSettings(port=first.port)) as second:
        assert get(second, "/again").status == 200


def test_stopping_twice_is_no_error() -> None:
    with listening() as listener:
        listener.stop()
        listener.stop()


def test_an_error_of_the_app_is_500_and_goes_to_the_log_only(caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("broken")

    with listening(broken) as listener:
        assert get(listener, "/").status == 500
    assert [record.name for record in caplog.records] == ["dfnb.server"]
    assert capfd.readouterr() == ("", "")


def test_nothing_is_printed_even_when_logging_is_not_set_up() -> None:
    code = """
import http.client
from dfnb.server.listener import Listener
from dfnb.server.settings import ServerSettings
async def broken(scope, receive, send):
    raise ValueError("broken")
listener = Listener(broken, ServerSettings(port=0))
for request in (b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n", b"nonsense\\r\\n\\r\\n"):
    import socket
    with socket.create_connection(("127.0.0.1", listener.port)) as raw:
        raw.sendall(request)
        raw.recv(100)
listener.stop()
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_a_forked_child_does_not_keep_the_port() -> None:
    code = """
import os, sys
from dfnb.server.listener import Listener
from dfnb.server.settings import ServerSettings
async def app(scope, receive, send): pass
listener = Listener(app, ServerSettings(port=0))
reader, writer = os.pipe()
is_there, tell = os.pipe()
child = os.fork()
if child == 0:
    os.close(writer)
    os.write(tell, b"x")
    os.read(reader, 1)
    os._exit(0)
os.read(is_there, 1)
listener.stop()
Listener(app, ServerSettings(port=listener.port)).stop()
os.close(writer)
os.waitpid(child, 0)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
