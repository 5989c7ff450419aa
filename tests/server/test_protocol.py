"""Connections that dawdle, shout, or come in crowds, over real sockets."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dfnb.server.listener import Listener
from dfnb.server.settings import ServerSettings

SHORT = ServerSettings(port=0, head_timeout=0.2, max_connections=3)
PATIENT = dataclasses.replace(SHORT, head_timeout=30.0)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Read the body, unless the path is ``/unread``, and answer with its length."""
    size = 0
    more = scope["path"] != "/unread"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        more = message["more_body"]
    body = f"{scope['path']} {size}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})


async def echo_headers(scope: Any, receive: Any, send: Any) -> None:
    """Read the body, then answer with the names of the headers."""
    while (await receive()).get("more_body", False):
        continue
    body = b"/ " + b" ".join(name for name, _ in scope["headers"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})


Connect = Callable[[], socket.socket]


@contextlib.contextmanager
def served(settings: ServerSettings, app: Any = echo) -> Iterator[Connect]:
    listener = Listener(app, settings)
    with contextlib.ExitStack() as opened:

        def connect() -> socket.socket:
            return opened.enter_context(socket.create_connection(("127.0.0.1", listener.port), timeout=20))

        yield connect
    listener.stop(0.1)


@pytest.fixture
def connect() -> Iterator[Connect]:
    with served(PATIENT) as made:
        yield made


@pytest.fixture
def connect_shortly() -> Iterator[Connect]:
    with served(SHORT) as made:
        yield made


GET = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"


def everything(raw: socket.socket) -> bytes:
    """All that comes until the server hangs up."""
    pieces = []
    with contextlib.suppress(ConnectionResetError):
        while piece := raw.recv(65_536):
            pieces.append(piece)
    return b"".join(pieces)


def answer(raw: socket.socket) -> bytes:
    """One answer: what comes up to the end of a body that is known by its beginning."""
    got = b""
    while b"\r\n\r\n/" not in got:
        piece = raw.recv(65_536)
        assert piece, got
        got += piece
    return got


def test_a_connection_that_says_nothing_is_closed(connect_shortly: Connect) -> None:
    assert everything(connect_shortly()) == b""


def test_a_head_that_does_not_come_whole_in_time_is_refused(connect_shortly: Connect) -> None:
    raw = connect_shortly()
    raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow:")
    got = everything(raw)
    assert got.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert got.endswith(b"the head of the request did not come within 0.2 s")


def test_dripping_bytes_do_not_stretch_the_time(connect_shortly: Connect) -> None:
    raw = connect_shortly()
    raw.sendall(b"GET / HTTP/1.1\r\n")
    raw.settimeout(0.01)
    got = None
    with contextlib.suppress(ConnectionError):  # a line that crosses the refusal is answered by a reset, which may overtake it
        for number in range(2_000):
            with contextlib.suppress(TimeoutError):
                got = raw.recv(1_000)
                break
            raw.sendall(b"X-%d: y\r\n" % number)
        else:
            pytest.fail("it was never refused")
    assert got is None or got.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("drip", [b"GE", b"\r\n"], ids=["a head", "a line break"])
def test_a_kept_connection_is_watched_as_well(connect_shortly: Connect, drip: bytes) -> None:
    raw = connect_shortly()
    raw.sendall(GET % b"first")
    assert answer(raw).endswith(b"/first 0")
    raw.sendall(drip)
    assert everything(raw).startswith(b"HTTP/1.1 408 ")


def test_a_line_break_behind_a_body_harms_nobody(connect: Connect) -> None:
    raw = connect()
    raw.sendall(b"POST /one HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab\r\n")
    assert answer(raw).endswith(b"/one 2")
    raw.sendall(GET % b"two")
    assert answer(raw).endswith(b"/two 0")


def test_a_head_without_end_is_refused(connect: Connect) -> None:
    raw = connect()
    with contextlib.suppress(ConnectionError):
        raw.sendall(b"GET / HTTP/1.1\r\nX-Long: ")
        for _ in range(200):
            raw.sendall(b"a" * 1_000)
    assert b"431 Request Header Fields Too Large" in everything(raw)


def test_a_whole_head_that_is_too_large_is_refused(connect: Connect) -> None:
    raw = connect()
    raw.sendall(b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"431 Request Header Fields Too Large" in everything(raw)


def test_a_body_is_not_counted_as_head(connect: Connect) -> None:
    raw = connect()
    for path in (b"/one", b"/two"):
        raw.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n" % path + b"a" * 300_000)
        assert answer(raw).endswith(path + b" 300000")


CHUNKED = b"POST /%s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"


@pytest.mark.parametrize("trailers", [b"x-functions-key: k\r\n", b"x-a:\r\nx-forwarded-host: evil\r\n"], ids=["one", "two"])
def test_trailers_are_no_headers_of_this_request_nor_of_the_next(trailers: bytes) -> None:
    with served(PATIENT, echo_headers) as connect:
        raw = connect()
        raw.sendall(CHUNKED % b"one" + b"0\r\n" + trailers + b"\r\n")
        assert answer(raw).endswith(b"/ host transfer-encoding")
        raw.sendall(GET % b"two")
        assert answer(raw).endswith(b"/ host")


@pytest.mark.parametrize("path", [b"read", b"unread"])
@pytest.mark.parametrize(
    "begin", [b"0\r\n", b"0\r\nx-long: ", b"3;x="], ids=["many trailers", "a trailer without end", "an extension without end"]
)
def test_trailers_without_end_are_not_taken(connect: Connect, path: bytes, begin: bytes) -> None:
    piece = b"x-more: %s\r\n" % (b"a" * 1_000) if begin == b"0\r\n" else b"a" * 1_000
    raw = connect()
    raw.sendall(CHUNKED % path + begin)
    with pytest.raises(ConnectionError):
        raw.sendall(piece * 100_000)


def test_many_chunks_are_taken(connect: Connect) -> None:
    raw = connect()
    raw.sendall(CHUNKED % b"many" + b"3;x=y\r\nabc\r\n" * 30_000 + b"0\r\n\r\n")
    assert answer(raw).endswith(b"/many 90003")


def test_more_connections_than_allowed_are_sent_away(connect: Connect) -> None:
    kept = [connect() for _ in range(3)]
    for raw in kept:
        raw.sendall(GET % b"kept")
        answer(raw)
    assert everything(connect()).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    kept[0].sendall(GET % b"again")
    assert answer(kept[0]).endswith(b"/again 0")
    kept[0].shutdown(socket.SHUT_WR)
    everything(kept[0])
    later = connect()
    later.sendall(GET % b"later")
    assert answer(later).endswith(b"/later 0")


def test_requests_sent_at_once_are_answered_in_order(connect: Connect) -> None:
    raw = connect()
    raw.sendall(GET % b"one" + GET % b"two" + b"GET /three HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    got = everything(raw)
    assert got.index(b"/one 0") < got.index(b"/two 0") < got.index(b"/three 0")


def test_the_rest_of_a_refused_body_is_taken_so_that_the_answer_arrives(connect: Connect) -> None:
    raw = connect()
    raw.sendall(b"POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n" + b"a" * 500_000)
    assert answer(raw).endswith(b"/unread 0")
    raw.sendall(GET % b"next")
    assert answer(raw).endswith(b"/next 0")


def test_the_rest_of_a_refused_body_is_not_waited_for_for_ever(connect: Connect) -> None:
    raw = connect()
    raw.sendall(b"POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\nabc")
    assert everything(raw).endswith(b"/unread 0")


@pytest.mark.parametrize(
    "request_text",
    [b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
     b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
     b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"],
    ids=["nonsense", "TLS", "HTTP/2", "not ASCII", "a length that is none", "two lengths"],
)  # fmt: skip
def test_what_is_no_request_is_refused(connect: Connect, request_text: bytes) -> None:
    raw = connect()
    raw.sendall(request_text)
    assert everything(raw).startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_a_wish_for_another_protocol_is_answered_in_this_one_and_the_connection_closed(connect: Connect) -> None:
    raw = connect()
    raw.sendall(b"GET /plain HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    got = everything(raw)  # returns, because the server hangs up
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert got.endswith(b"/plain 0")


LARGE = 32 << 20  # more than the kernel keeps for a caller


class Library:
    """Answers with a large body, and tells when the caller is gone."""

    def __init__(self) -> None:
        self.gone = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(LARGE).encode())]})
        await send({"type": "http.response.body", "body": bytes(LARGE), "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        assert (await receive())["type"] == "http.disconnect"
        self.gone.set()


HASTY = dataclasses.replace(PATIENT, answer_timeout=0.2)


def test_who_does_not_take_the_answer_is_cut_off() -> None:
    library = Library()
    with served(HASTY, library) as connect:
        raw = connect()
        raw.sendall(GET % b"book")
        assert library.gone.wait(20)
        assert len(everything(raw)) < LARGE


def test_a_large_answer_that_is_taken_comes_whole() -> None:
    with served(HASTY, Library()) as connect:
        raw = connect()
        raw.sendall((GET % b"book")[:-2] + b"Connection: close\r\n\r\n")
        assert everything(raw).endswith(bytes(LARGE))
