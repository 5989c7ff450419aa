from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dfnb.durable_http.messages import Answer
from dfnb.durable_http.wrapped import unwrap

HTTP = (("content-type", "application/http; msgtype=response"),)


def test_a_whole_answer_is_taken_out_of_the_body() -> None:
    body = b'HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nETag: "1"\r\n\r\n{"Id": 1}'
    inside = unwrap(Answer(200, HTTP, body, "https://a/m", 5))
    assert (inside.status, inside.body) == (201, b'{"Id": 1}')
    assert inside.headers == (("Content-Type", "application/json"), ("ETag", '"1"'))
    assert (inside.url, inside.at) == ("https://a/m", 5)


def test_an_answer_inside_may_have_nothing_but_a_status() -> None:
    assert unwrap(Answer(200, HTTP, b"HTTP/1.1 204 No Content\r\n\r\n")).status == 204


def test_the_status_of_the_operation_stands_in_a_header() -> None:
    assert unwrap(Answer(200, (("AsyncResult", "404"),), b"gone")).status == 404
    assert unwrap(Answer(200, (("AsyncResult", "many"),))).status == 200


@given(st.binary(max_size=100), st.text(max_size=12))
def test_nothing_that_comes_raises(body: bytes, status: str) -> None:
    unwrap(Answer(200, HTTP, body))
    unwrap(Answer(200, HTTP, b"HTTP/1.1 200 OK\r\n" + body))
    unwrap(Answer(200, (("AsyncResult", status),), body))
