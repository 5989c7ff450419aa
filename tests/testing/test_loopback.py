"""The real server: other processes, kept connections, bodies in pieces, and an end that leaves nothing behind."""

from __future__ import annotations

import http.client
import subprocess
import sys
import threading
from urllib.parse import urlsplit

import httpx
import pytest

from dfnb.testing import AsyncApi, FakeClock

POLLS_TO_THE_END = """
import sys, urllib.request
answer = urllib.request.urlopen(urllib.request.Request(sys.argv[1] + "/work", b"{}", {"Idempotency-Key": "k"}))
while answer.status == 202:
    answer = urllib.request.urlopen(answer.headers["Location"])
print(answer.read().decode())
"""


def test_another_process_calls_it(api: AsyncApi) -> None:
    api.job("/work", polls=2, result={"answer": 42})
    with api.serve() as url:
        child = subprocess.run(
            [sys.executable, "-c", POLLS_TO_THE_END, url], capture_output=True, text=True, check=True, timeout=60
        )
    assert child.stdout.strip() == '{"answer": 42}'
    assert [(request.method, request.path) for request in api.requests] == [("POST", "/work"), *[("GET", "/operations/1")] * 3]
    assert (api.requests[0].body, api.requests[0].header("host")) == (b"{}", urlsplit(url).netloc)
    assert api.idempotency_keys() == ["k"]


def test_it_has_no_thread_and_no_port_when_it_is_closed(api: AsyncApi) -> None:
    before = threading.active_count()
    with api.serve() as url, httpx.Client(base_url=url) as client:
        assert client.get("/").status_code == 404
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_a_connection_is_kept_and_bodies_come_in_pieces(api: AsyncApi) -> None:
    api.site("/echo", body=lambda request: request.body)
    with api.serve() as url:
        connection = http.client.HTTPConnection("127.0.0.1", urlsplit(url).port, timeout=10)
        for piece in (b"one", b"two"):
            connection.request("POST", "/echo", iter([piece, b"-", piece]), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
            socket = connection.sock
            assert connection.getresponse().read() == piece + b"-" + piece
            assert connection.sock is socket
        connection.request("HEAD", "/echo")
        answer = connection.getresponse()
        assert (answer.read(), answer.headers["Content-Length"]) == (b"", "0")
        connection.close()


def test_a_mistake_in_a_site_is_told_to_the_caller(api: AsyncApi, served: httpx.Client) -> None:
    api.site("/check", body=lambda request: 1 / 0)
    told = served.get("/check")
    assert (told.status_code, told.text) == (500, "the fake API failed: ZeroDivisionError: division by zero")


def test_what_is_no_http_ends_the_connection(api: AsyncApi) -> None:
    import socket

    with api.serve() as url, socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), timeout=10) as raw:
        raw.sendall(b"hello\r\n\r\n")
        assert raw.recv(100) == b""


def test_another_origin_is_reached_over_a_socket_too(api: AsyncApi, clock: FakeClock) -> None:
    api.job("/work", location="other-origin", polls=0, result="done")
    with api.serve() as url, httpx.Client() as client:
        there = client.post(f"{url}/work").headers["Location"]
        assert there.startswith("http://localhost:")
        assert client.get(there).text == "done"


def test_two_servers_serve_one_api(api: AsyncApi) -> None:
    api.job("/work")
    with api.serve() as one, api.serve() as other:
        assert httpx.post(f"{one}/work").headers["Location"].startswith(one)
        assert httpx.get(f"{other}/operations/1").status_code == 202
