"""Requests and answers as values."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dfnb.testing import Generated, ReceivedRequest, Reply
from dfnb.testing.wire import CHUNK, http_date, reply_of, retry_headers

NOW = 1_767_225_600_000_000  # 1 January 2026


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, 3 * CHUNK + 7])
def test_a_generated_body_has_its_size(size: int) -> None:
    body = b"".join(Generated(size, b"abc").chunks())
    assert body == (b"abc" * size)[:size]


@pytest.mark.parametrize("cut", [0, 1, CHUNK, CHUNK + 1, 5 * CHUNK])
def test_a_cut_answer_ends_there(cut: int) -> None:
    for body in (b"x" * (3 * CHUNK), Generated(3 * CHUNK)):
        assert sum(map(len, Reply(200, (), body, cut=cut).chunks())) == min(cut, 3 * CHUNK)


@pytest.mark.parametrize(
    ("content", "body", "kind"),
    [
        (None, b"", None),
        ("é", "é".encode(), "text/plain; charset=utf-8"),
        (b"\xff", b"\xff", "application/octet-stream"),
        ([1, "é"], '[1, "é"]'.encode(), "application/json; charset=utf-8"),
        (Reply(200, (), b"x"), b"x", None),
    ],
)
def test_content_says_what_it_is(content: object, body: bytes, kind: str | None) -> None:
    reply = reply_of(content)
    assert (reply.body, reply.header("content-type")) == (body, kind)


def test_an_answer_is_framed_as_servers_do_it() -> None:
    get, head = ReceivedRequest("GET", "http://a/"), ReceivedRequest("HEAD", "http://a/")
    assert Reply(200, (), b"abc").framed(get, "D").headers == (("Date", "D"), ("Content-Length", "3"))
    assert Reply(204, (), b"abc").framed(get, "D") == Reply(204, (("Date", "D"),))
    assert (Reply(200, (), b"abc").framed(head, "D").body, Reply(200, (), b"abc").framed(head, "D").header("content-length")) == (
        b"",
        "3",
    )
    assert Reply(200, (("date", "own"), ("CONTENT-LENGTH", "9"))).framed(get, "D").headers == (
        ("date", "own"),
        ("CONTENT-LENGTH", "9"),
    )


def test_retry_after_is_written_as_it_is_given() -> None:
    assert http_date(NOW) == "Thu, 01 Jan 2026 00:00:00 GMT"
    assert retry_headers(("1", None, 2.5, timedelta(minutes=1)), NOW) == (
        ("Retry-After", "1"),
        ("Retry-After", "2.5"),
        ("Retry-After", "Thu, 01 Jan 2026 00:01:00 GMT"),
    )


def test_a_request_is_read_by_its_parts() -> None:
    request = ReceivedRequest("GET", "https://a:8443?x=1&x=2&y=", (("A", "b"),), b"[1]")
    assert (request.path, request.origin, request.query) == ("/", "https://a:8443", {"x": "1", "y": ""})
    assert (request.header("a"), request.header("b"), request.json()) == ("b", None, [1])
