"""What somebody who means ill sends. Nothing of it does anything, is let in half, breaks the server, or is told a secret."""

from __future__ import annotations

import gzip
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

import dfnb
from dfnb.client.links import BASE_PATH
from dfnb.server.listener import Listener

JSON = {"content-type": "application/json"}
HERE = Path(__file__).parent


@pytest.fixture
def hub(registry: dfnb.Registry, clock: Any, tmp_path: Path) -> Generator[dfnb.DurableApp]:
    with dfnb.DurableApp(tmp_path / "secret-folder" / "hub.duckdb", registry=registry, clock=clock) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> None:
    (tmp_path / "secret-folder").mkdir()


@pytest.fixture
def server(serve: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    """A server whose log and error bodies are searched for secrets at the end of each test."""
    yield from searched(serve(), caplog)


def searched(server: Any, caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    bodies: list[bytes] = []
    asking = server.asking

    async def keeping(*args: Any, **facts: Any) -> Any:
        answer = await asking(*args, **facts)
        bodies.append(answer.body if answer.status >= 400 else b"")
        assert all(ord(character) >= 32 for name, value in answer.headers.items() for character in name + value)
        return answer

    server.asking = keeping
    with caplog.at_level(logging.DEBUG):
        yield server
    told = caplog.text + b"".join(bodies).decode("utf-8", "replace")
    codes = [server.keys.system, server.keys.function, "L1.", "secret-folder"]
    assert not [secret for secret in codes if secret in told]
    assert b"Traceback" not in b"".join(bodies)
    assert "Traceback" not in caplog.text


def code(server: Any, id: str = "x", **limits: Any) -> str:
    link: str = server.app.links.management(id, **limits)["statusQueryGetUri"]
    return link.partition("code=")[2]


# other names for this machine


def test_a_page_that_has_its_own_name_point_here_gets_nothing(server: Any) -> None:
    server.bring("Running", "x")
    for host in (
        "evil.com",
        "evil.com:7071",
        "127.0.0.1.evil.com",
        "127.0.0.1.evil.com:7071",
        "localhost@evil.com",
        "evil.com@localhost",
        "",
        "localhost:7071@evil.com",
        "127.0.0.1, evil.com",
        "localhost.",
        "0x7f000001",
        "2130706433",
        "127.1",
        "0.0.0.0:7071",
        "127.0.0.1#.evil.com",
        "127.0.0.1/.evil.com",
        "127.0.0.1\\.evil.com",
        "[::1].evil.com",
        "[::ffff:127.0.0.1]",
        "localhost:",
        "é",
        "localhost%00.evil.com",
    ):
        for method, path in (
            ("GET", "/instances/x"),
            ("POST", "/instances/x/terminate"),
            ("POST", "/orchestrators/echo"),
            ("GET", "/nothing"),
        ):
            answer = server.ask(method, path, host=host)
            assert (host, path, answer.status) == (host, path, 403)
            assert list(answer.json()) == ["Message"]
    assert server.ask("GET", "/instances/x", host=None).status == 403
    assert server.client.status("x").runtime_status.value == "Running"


def test_two_hosts_are_none(server: Any) -> None:
    for first, second in (("127.0.0.1", "evil.com"), ("evil.com", "127.0.0.1"), ("127.0.0.1", "127.0.0.1")):
        assert server.ask("GET", "/instances", host=first, headers=[("host", second)]).status == 403
    assert server.ask("GET", "/instances", host="evil.com", headers={"x-forwarded-host": "127.0.0.1"}).status == 403


def test_more_names_are_those_that_were_named(serve: Callable[..., Any]) -> None:
    server = serve(allowed_hosts=("Hub.Example.org",), public_url="https://tunnel.example.org/x")
    for host in ("hub.example.org", "HUB.example.ORG:80", "tunnel.example.org", "localhost"):
        assert server.ask("GET", "/instances", host=host).status == 200
    for host in ("example.org", "x.hub.example.org", "hub.example.org.evil.com"):
        assert server.ask("GET", "/instances", host=host).status == 403


# foreign pages


@pytest.mark.parametrize("require_key", [True, False])
def test_a_form_of_a_foreign_page_starts_nothing(
    serve: Callable[..., Any], caplog: pytest.LogCaptureFixture, require_key: bool
) -> None:
    for server in searched(serve(require_key=require_key), caplog):
        server.bring("Running", "x")
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json"):
            for origin in ("http://evil.com", "null", "http://127.0.0.1:8888"):
                headers = {"content-type": kind, "origin": origin, "sec-fetch-site": "cross-site"}
                for path in (
                    "/orchestrators/echo/made",
                    "/instances/x/terminate",
                    "/instances/x/raiseEvent/go",
                    "/entities/store/k?op=put",
                ):
                    assert (path, server.ask("POST", path, body=b"1", headers=headers, key=False).status) == (path, 403)
                    assert (path, server.ask("POST", path, body=b"1", headers=headers).status) == (path, 403)
        old_browser = {"content-type": "text/plain"}
        assert server.ask("POST", "/orchestrators/echo/made", body=b"1", headers=old_browser, key="wrong").status in (401, 202)
        assert bool(server.client.status("made")) is not require_key
        assert server.client.status("x").runtime_status.value == "Running"


def test_no_preflight_is_granted_unless_an_origin_is_named(serve: Callable[..., Any]) -> None:
    asked = {"origin": "https://app.example.org", "access-control-request-method": "DELETE"}
    answer = serve().ask("OPTIONS", "/instances/x", headers=asked)
    assert answer.status == 404
    assert not [name for name in answer.headers if name.startswith("access-control")]
    named = serve(cors_origins=("https://app.example.org",))
    assert named.ask("OPTIONS", "/instances/x", headers=asked).headers["access-control-allow-origin"] == "https://app.example.org"
    assert "access-control-allow-credentials" not in named.ask("OPTIONS", "/instances/x", headers=asked).headers
    other = named.ask("GET", "/instances", headers={"origin": "https://evil.com"})
    assert "access-control-allow-origin" not in other.headers


# bodies


PATHS = [("POST", "/orchestrators/echo/made"), ("POST", "/instances/x/raiseEvent/go"), ("POST", "/entities/store/k?op=put")]


def test_a_body_of_100_mb_is_not_read(server: Any) -> None:
    server.bring("Running", "x")
    megabyte = b"1" * (1 << 20)
    for method, path in PATHS:
        server.received = 0
        answer = server.ask(method, path, body=(megabyte for _ in range(100)), headers={**JSON, "content-length": str(100 << 20)})
        assert (path, answer.status, server.received) == (path, 413, 0)
        answer = server.ask(method, path, body=(megabyte for _ in range(100)), headers=JSON)
        assert (path, answer.status) == (path, 413)
        assert server.received <= (32 << 20) + len(megabyte)
        assert answer.headers["connection"] == "close"


def test_without_a_key_no_body_is_read_at_all(server: Any) -> None:
    server.bring("Running", "x")
    for method, path in PATHS:
        assert server.ask(method, path, body=(b"1" for _ in range(9)), headers=JSON, key=False).status == 401
    assert server.received == 0


def test_the_bound_of_a_body_is_exact(serve: Callable[..., Any]) -> None:
    server = serve(max_body=10)
    assert server.ask("POST", "/orchestrators/echo", body=[b'"1234', b'5678"']).status == 202
    assert server.ask("POST", "/orchestrators/echo", body=[b'"1234', b'56789"']).status == 413


def test_deep_json_is_refused_and_deep_looking_text_is_not(server: Any) -> None:
    server.bring("Running", "x")
    for method, path in PATHS:
        for body in (
            b"[" * 10_000 + b"]" * 10_000,
            b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
            b"[" * 10_000,
            b'"",' + b"[" * 10_000,
        ):
            answer = server.ask(method, path, body=body, headers=JSON)
            if body.startswith(b'"') and path != PATHS[0][1]:
                continue  # only the first value counts there
            assert (path, body[:9], answer.status) == (path, body[:9], 400)
    brackets = b'["' + b"[" * 10_000 + b'"]'
    assert server.ask("POST", "/orchestrators/echo/text", body=brackets).status == 202
    server.reach("text", "Completed")
    assert server.ask("GET", "/instances/text").json()["output"] == json.loads(brackets)
    edge = b"[" * 200 + b"]" * 200
    assert server.ask("POST", "/orchestrators/echo/edge", body=edge).status == 202
    assert server.ask("POST", "/orchestrators/echo/beyond", body=b"[" + edge + b"]").status == 400


def test_wide_json_and_strings_without_an_end_take_no_time_nor_room(server: Any) -> None:
    """The bodies that made counting by a regular expression take gigabytes, at a tenth of their size."""
    for body, status in (
        (b"[" * 300 + b'"' + b"a" * (3 << 20) + b'"', 400),
        (b"[" * 300 + b'"' + b'\\"' * (1 << 20), 400),
        (b'["a"' + b',"["' * (1 << 18) + b"]", 202),
        (b"[[]" + b",[]" * (1 << 18) + b"]", 202),
        (b"{" + b",".join(b'"%d":[]' % n for n in range(1 << 14)) + b"}", 202),
    ):
        assert server.ask("POST", "/orchestrators/echo", body=body).status == status


def test_numbers_beyond_all_bounds_are_refused_or_kept(server: Any) -> None:
    server.bring("Running", "x")
    for body in (b"1e999", b"-1e999", b"1" * 5_000, b"[1e309]", b"NaN", b"-Infinity", b"1E+9999999999"):
        for method, path in PATHS:
            assert (body[:9], path, server.ask(method, path, body=body, headers=JSON).status) == (body[:9], path, 400)
    for digits in (100, 4_000):
        assert server.ask("POST", f"/orchestrators/echo/n{digits}", body=b"1" * digits).status == 202
        server.reach(f"n{digits}", "Completed")
        assert b'"output":' + b"1" * digits + b"," in server.ask("GET", f"/instances/n{digits}").body


def test_bytes_that_are_no_text_are_refused(server: Any) -> None:
    server.bring("Running", "x")
    for body in (
        b"\xff\xfe1\x00",
        b'"\xc0\xaf"',
        b'"\xed\xa0\x80"',
        b'{"a":"\xff"}',
        b"\x00",
        '"a"'.encode("utf-16"),
        gzip.compress(b'"a"'),
    ):
        for method, path in PATHS:
            assert (body, path, server.ask(method, path, body=body, headers=JSON).status) == (body, path, 400)


def test_packed_bodies_are_not_unpacked(server: Any) -> None:
    server.bring("Running", "x")
    for coding in ("gzip", "deflate", "br", "zstd", "gzip, gzip"):
        for method, path in PATHS:
            answer = server.ask(method, path, body=gzip.compress(b"1" * (1 << 20)), headers={**JSON, "content-encoding": coding})
            assert (path, answer.status) == (path, 415)
    assert server.received == 0
    assert server.ask("POST", "/orchestrators/echo", body=b"1", headers={"content-encoding": "IDENTITY"}).status == 202


def test_objects_of_a_class_come_only_from_who_has_the_key(server: Any) -> None:
    server.bring("Running", "x")
    marked = '{"%s":"Popen","__module__":"subprocess","__data__":["true"]}'
    for marker in ("__class__", r"\u005f_class__", r"__cl\u0061ss__"):
        for text in (marked % marker, f"[{marked % marker}]", f'{{"a":{marked % marker}}} tail'):
            answer = server.ask(
                "POST", f"/instances/x/raiseEvent/go?code={code(server)}", body=text.encode(), headers=JSON, key=False
            )
            assert (text, answer.status) == (text, 403)
    assert server.client.status("x").runtime_status.value == "Running"
    told = server.ask(
        "POST", f"/instances/x/raiseEvent/go?code={code(server)}", body=rb'"about __class\u005f_"', headers=JSON, key=False
    )
    assert told.status == 202


# paths, queries and headers


def test_line_breaks_get_into_no_header(server: Any) -> None:
    server.bring("Running", "x")
    break_in = "%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0a<script>"
    assert server.ask("POST", f"/orchestrators/echo/a{break_in}").status == 400
    assert server.ask("GET", f"/instances/x{break_in}").status == 404
    assert server.ask("POST", f"/instances/x/raiseEvent/go{break_in}", json=1).status == 400
    shown = server.ask("GET", f"/instances/x?reason={break_in}")
    assert shown.headers["location"].endswith(f"?reason={break_in.replace('<script>', '%3Cscript%3E')}")
    raw = server.ask("GET", "/instances/x", query=b"a=\r\nSet-Cookie: a=b\r\n\xff")
    assert raw.headers["location"].endswith("?a=%0D%0ASet-Cookie:%20a=b%0D%0A%FF")
    server.ask("POST", f"/instances/x/suspend?reason={break_in}")
    assert "set-cookie" not in server.ask("GET", "/instances/x?showHistory=true").headers
    assert server.ask("GET", "/instances", headers={"x-ms-continuation-token": "a\x0bb"}).status == 400


def test_tricks_with_paths_find_nothing(server: Any) -> None:
    server.bring("Running", "x")
    server.ask("POST", "/entities/store/k?op=put", json=1)
    for path in (
        "/instances/x%2Fterminate%2F",
        "/instances/x/../../instances/x/terminate",
        "/instances/./x/terminate",
        "/instances//terminate",
        "/instances/x//terminate",
        "/instances/x;a=b/terminate",
        "/instances/x%00/terminate",
        "/instances/%00",
        "/instances/x/terminate/%2e%2e",
        "/instances/x/terminate;",
        "/instances/%2e%2e/terminate",
        "/instances/x%5cterminate",
        "/%2e/instances",
        "/instances/x/raiseEvent/%2F%2F",
        "/instances/x/term%00inate",
        "/instances/x/terminate%0a",
        "/instances/%c0%ae%c0%ae/terminate",
        "/instances/x%ff/terminate",
    ):
        for method in ("POST", "GET", "DELETE"):
            answer = server.ask(method, path, json=1)
            allowed = (404, 400) if path != "/instances/x%2Fterminate%2F" else (404, 202)
            assert (method, path, answer.status) == (method, path, answer.status if answer.status in allowed else None)
        if path == "/instances/x%2Fterminate%2F":
            server.reach("x", "Terminated")  # a coded slash is a slash, as in the original
            server.bring("Running", "x")
    assert server.client.status("x").runtime_status.value == "Running"
    for path in ("/../../../etc/passwd", "//etc/passwd", f"/x/..{BASE_PATH}/instances", f"/%00{BASE_PATH}/instances"):
        assert server.ask("GET", path, at_base=False).status == 404


def test_a_link_is_for_the_very_id_it_names(server: Any) -> None:
    server.bring("Running", "x")
    server.bring("Running", "x y")
    mine = code(server, "x")
    for id in ("x%20y", "x%00", "x%20", "%20x", "X", "x%2Fy", "x;", "y/../x", "x%0Astatus"):
        answer = server.ask("GET", f"/instances/{id}?code={mine}", key=False)
        assert (id, answer.status) == (id, 401 if "/" not in id and "%2F" not in id else 404)


def test_huge_queries_and_headers_do_no_harm(server: Any) -> None:
    server.bring("Running", "x")
    many = "&".join(f"a{n}=b" for n in range(10_000))
    for query in (many, "a" * 60_000, "%" * 60_000, "&" * 60_000, "%ff" * 20_000, "=" * 60_000, "createdTimeFrom=" + "1" * 50_000):
        assert server.ask("GET", f"/instances?{query}").status == 200
        assert server.ask("POST", f"/instances/x/raiseEvent/other?{query}", json=1).status == 202
    for headers in (
        {"prefer": "wait=" + "9" * 60_000},
        {"prefer": "wait=-1"},
        {"prefer": ",;=" * 9_000},
        {"if-none-match": '"' * 60_000},
    ):
        assert server.ask("GET", "/instances/x", headers=headers).status == 202
    assert server.ask("GET", "/instances/x", key="a" * 60_000).status == 401


def test_a_number_of_seconds_beyond_the_bound_is_the_bound(serve: Callable[..., Any]) -> None:
    server = serve(longest_wait=0.01)
    for query, prefer in (("timeout=99999999&pollingInterval=1", ""), ("", "wait=99999999")):
        assert server.ask("POST", f"/orchestrators/waits?{query}", headers={"prefer": prefer} if prefer else {}).status == 202


# through a real socket


@pytest.fixture
def listening(serve: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    """The same behind a listener; `send` writes bytes and reads until the other side has hung up."""
    for server in searched(serve(port=0, body_timeout=0.3, head_timeout=30), caplog):
        listener = Listener(server.app, server.app.settings)
        server.app.own_origin = listener.url

        def send(data: bytes, port: int = listener.port) -> bytes:
            with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
                connection.sendall(data)
                pieces = []
                while piece := connection.recv(1 << 16):
                    pieces.append(piece)
                return b"".join(pieces)

        server.send = send
        try:
            yield server
        finally:
            listener.stop()


def head(server: Any, line: str, *more: str, host: str = "127.0.0.1") -> bytes:
    lines = [line, f"host: {host}", f"x-functions-key: {server.keys.system}", "connection: close", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def test_a_body_that_comes_too_slowly_is_given_up(listening: Any) -> None:
    answer = listening.send(head(listening, f"POST {BASE_PATH}/orchestrators/echo/slow HTTP/1.1", "content-length: 10") + b"1")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert not listening.client.status("slow")


def test_a_large_body_is_refused_before_it_is_sent(listening: Any) -> None:
    answer = listening.send(head(listening, f"POST {BASE_PATH}/orchestrators/echo/big HTTP/1.1", f"content-length: {100 << 20}"))
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_two_hosts_and_a_rebound_name_are_refused_on_the_wire(listening: Any) -> None:
    assert listening.send(head(listening, f"GET {BASE_PATH}/instances HTTP/1.1")).startswith(b"HTTP/1.1 200 ")
    assert listening.send(head(listening, f"GET {BASE_PATH}/instances HTTP/1.1", "host: evil.com")).startswith(b"HTTP/1.1 403 ")
    assert listening.send(head(listening, f"GET {BASE_PATH}/instances HTTP/1.1", host="evil.com")).startswith(b"HTTP/1.1 403 ")
    absolute = listening.send(head(listening, f"GET http://evil.com{BASE_PATH}/instances HTTP/1.1"))
    assert b"evil.com" not in absolute


def test_a_header_of_64_kb_is_refused_on_the_wire(listening: Any) -> None:
    answer = listening.send(head(listening, f"GET {BASE_PATH}/instances HTTP/1.1", "x-large: " + "a" * 65_536))
    assert answer.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "line",
    [
        f"GET {BASE_PATH}/instances/a%0d%0ab HTTP/1.1",
        f"GET {BASE_PATH}/instances/a\x00b HTTP/1.1",
        f"GET {BASE_PATH}/instances/\xc0\xaf HTTP/1.1",
        f"GET {BASE_PATH}/instances/%c0%af HTTP/1.1",
        f"GET {BASE_PATH}/instances/../../x HTTP/1.1",
        f"GET {BASE_PATH}/%2e%2e/%2e%2e/x HTTP/1.1",
        f"GET {BASE_PATH}/instances/a b HTTP/1.1",
        f"POST {BASE_PATH}/instances/a\tb/terminate HTTP/1.1",
        "GET * HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "CONNECT evil.com:443 HTTP/1.1",
        f"TRACE {BASE_PATH}/instances HTTP/1.1",
        f"GET {BASE_PATH}/instances?%ff=\xff HTTP/9.9",
        "\x16\x03\x01",
    ],
    ids=range(14),
)
def test_strange_first_lines_are_answered_with_4xx_or_nothing(listening: Any, line: str) -> None:
    answer = listening.send(head(listening, line))
    assert answer == b"" or answer[9:10] == b"4"
    assert b"Traceback" not in answer
    assert listening.send(head(listening, f"GET {BASE_PATH}/instances HTTP/1.1")).startswith(b"HTTP/1.1 200 ")


def test_smuggled_requests_are_refused(listening: Any) -> None:
    for more in (
        ("content-length: 5", "transfer-encoding: chunked"),
        ("content-length: 5", "content-length: 6"),
        ("content-length: -1",),
        ("content-length: +5",),
    ):
        answer = listening.send(head(listening, f"POST {BASE_PATH}/orchestrators/echo/s HTTP/1.1", *more) + b"0\r\n\r\nGET /x")
        assert (more, answer[9:10]) == (more, b"4")
    assert not listening.client.status("s")


# a disk that refuses


@pytest.mark.skipif(sys.platform == "win32", reason="this platform has no limit on the size of files")
def test_a_disk_that_refuses_is_a_503_and_not_a_wait_without_end(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(HERE / "disk_full.py"), str(tmp_path / "hub.duckdb")],
        env=os.environ | {"PYTHONPATH": str(HERE.parent.parent)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    for name in ("start", "start with an id", "event", "terminate", "restart"):
        status, retry_after, text = told["full"][name]
        assert (name, status, retry_after) == (name, 503, "1")
        assert "cannot be written to at present" in text
        assert "hub.duckdb" not in text
    assert told["full"]["status"][0] == 202
    after = {name: status for name, (status, _, _) in told["after"].items()}
    assert (after["start"], after["restart"]) == (202, 202)
    assert after["status"] in (200, 202)
    assert {after["event"], after["terminate"]} <= {202, 410}  # the first of them may have ended it
    assert told["heard"] in ("Completed", "Terminated")
