"""The other end of the server's workloads: a process of its own with bare sockets, so that its cost is not the server's.

    python -m tests.benchmarks.load JSON

The JSON (``-``: the first line of the input) says what to do; one JSON line comes back. Also holds connections open until the
input ends.
"""

from __future__ import annotations

import json
import selectors
import socket
import statistics
import sys
import time
from typing import Any


def request(method: str, path: str, host: str, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
    """A request as bytes."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    if body or method == "POST":
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def read_answer(connection: socket.socket) -> bytes:
    """One whole answer with a length."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _more(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")).split(b":")[1])
    while len(body) < length:
        body += _more(connection)
    return head


def _more(connection: socket.socket) -> bytes:
    piece = connection.recv(65_536)
    if not piece:
        raise ConnectionError("the server closed the connection")
    return piece


def one_by_one(address: tuple[str, int], message: bytes, count: int) -> dict[str, float]:
    """The same request again and again on one connection: milliseconds of each."""
    times = []
    with socket.create_connection(address) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count + 20):
            began = time.perf_counter()
            connection.sendall(message)
            head = read_answer(connection)
            times.append((time.perf_counter() - began) * 1000)
    assert head.startswith((b"HTTP/1.1 202", b"HTTP/1.1 200")), head
    measured = sorted(times[20:])
    return {"p50_ms": statistics.median(measured), "p95_ms": measured[int(len(measured) * 0.95)]}


def at_once(address: tuple[str, int], message: bytes, connections: int, seconds: float) -> dict[str, float]:
    """The same request on many connections, each sending again as soon as it is answered: answers a second."""
    chooser = selectors.DefaultSelector()
    for _ in range(connections):
        connection = socket.create_connection(address)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(message)
        chooser.register(connection, selectors.EVENT_READ)
    answered, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for key, _ in chooser.select(1):
            read_answer(key.fileobj)  # type: ignore[arg-type]
            key.fileobj.sendall(message)  # type: ignore[union-attr]
            answered += 1
    return {"per_s": answered / (time.perf_counter() - began)}


def hold(address: tuple[str, int], messages: list[bytes]) -> None:
    """One connection for each request, whose answers are read and thrown away until this process's input ends."""
    chooser = selectors.DefaultSelector()
    for message in messages:
        connection = socket.create_connection(address)
        connection.sendall(message)
        chooser.register(connection, selectors.EVENT_READ)
    print(json.dumps({"open": len(messages)}), flush=True)
    chooser.register(sys.stdin, selectors.EVENT_READ)
    while True:
        for key, _ in chooser.select():
            if key.fileobj is sys.stdin:
                return
            if not key.fileobj.recv(65_536):  # type: ignore[union-attr]
                chooser.unregister(key.fileobj)


def main() -> None:
    asked: dict[str, Any] = json.loads(sys.stdin.readline() if sys.argv[1] == "-" else sys.argv[1])
    address = (asked["host"], asked["port"])
    host = f"{asked['host']}:{asked['port']}"
    messages = [
        request(one["method"], one["path"], host, one.get("body", "").encode(), one.get("headers")) for one in asked["requests"]
    ]
    if asked["do"] == "hold":
        hold(address, messages)
    elif asked["do"] == "one_by_one":
        print(json.dumps(one_by_one(address, messages[0], asked["count"])))
    else:
        print(json.dumps(at_once(address, messages[0], asked["connections"], asked["seconds"])))


if __name__ == "__main__":
    main()
