"""A request as it is checked and recorded, and an answer as code reads it."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfnb.durable_http.redaction import SENSITIVE_HEADERS
from dfnb.durable_http.secrets import Secret
from dfnb.durable_http.tokens import ManagedIdentityTokenSource
from dfnb.errors import PayloadError
from dfnb.records import http
from dfnb.records.history import HttpCallCompleted
from dfnb.records.http import (
    CREDENTIAL_HEADERS,
    DurableHttpRequest,
    DurableHttpResponse,
    HttpCallRecord,
    response_text,
    understand,
)
from dfnb.records.retry import RetryOptions, RetryPolicy

SECOND = 1_000_000
KEY = Secret.env("DOC_KEY")


def recorded(*arguments: Any, now: int = 0, **options: Any) -> HttpCallRecord:
    return HttpCallRecord.decode(DurableHttpRequest(*arguments, **options).encode(now))


# ---- the request


def test_a_request_is_read_back_as_it_was_recorded() -> None:
    call = recorded(
        "post", "https://host/x", {"a": [1, None]}, {"Accept": "text/html", "X-Many": ["1", "2"]},
        ManagedIdentityTokenSource("https://management.core.windows.net"), timeout=2.5, idempotency_key=True, client="proxied",
        retry_options=RetryPolicy(timedelta(seconds=1), 3, 2.0, timedelta(seconds=9)), status_codes_to_retry=[429, 503],
    )
    assert (call.method, call.uri, call.content) == ("POST", "https://host/x", {"a": [1, None]})
    assert call.headers == {"Accept": "text/html", "X-Many": ["1", "2"]}
    assert call.token_source == ManagedIdentityTokenSource("https://management.core.windows.net")
    assert (call.timeout, call.idempotency_key, call.client, call.status_codes_to_retry) == (2_500_000, True, "proxied", (429, 503))
    assert call.retry_options is not None
    assert call.retry_options.policy == RetryPolicy(timedelta(seconds=1), 3, 2.0, timedelta(seconds=9))
    assert (call.asynchronous_pattern_enabled, call.poll, call.deadline_at) == (True, "auto", None)


def test_what_is_not_asked_for_is_not_recorded() -> None:
    assert json.loads(DurableHttpRequest("GET", "https://host", asynchronous_pattern_enabled=False).encode(0)) == {
        "method": "GET", "uri": "https://host", "content": None, "headers": {}, "token_source": None, "poll": "auto",
    }
    assert not recorded("GET", "https://host", asynchronous_pattern_enabled=False).asynchronous_pattern_enabled


@pytest.mark.parametrize(
    ("deadline", "at"),
    [
        (timedelta(minutes=1), 65 * SECOND),
        (1.5, 6_500_000),
        (datetime(1970, 1, 1, 0, 1, tzinfo=UTC), 60 * SECOND),
        (datetime(1970, 1, 1, 0, 1), 60 * SECOND),
    ],
)
def test_a_deadline_counts_from_the_turn_or_is_a_moment(deadline: Any, at: int) -> None:
    assert recorded("GET", "https://host", deadline=deadline, now=5 * SECOND).deadline_at == at


def test_secrets_are_recorded_as_references_and_read_back_as_secrets() -> None:
    request = DurableHttpRequest(
        "POST", "https://host/" + KEY, {"deep": [KEY]}, {"api-key": KEY, "Authorization": f"Bearer {KEY}"}
    )
    call = HttpCallRecord.decode(request.encode(0))
    assert call.headers["api-key"] == call.content["deep"][0] == KEY
    assert call.uri == "https://host/" + KEY
    assert call.headers["Authorization"] == f"Bearer {KEY.marker}"


def test_bytes_are_recorded_in_base64() -> None:
    call = recorded("PUT", "https://host", b"\xff\x00")
    assert (call.binary, call.content) == (True, "/wA=")
    assert recorded("PUT", "https://host", bytearray(b"\xff")).binary
    assert not recorded("PUT", "https://host", "text", is_raw_str=True).binary


class Place:
    def __init__(self, name: str) -> None:
        self.name = name

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name}

    @classmethod
    def from_json(cls, data: Any) -> Place:
        raise AssertionError("what is sent is data: nobody here needs the class again")


@dataclasses.dataclass
class Trip:
    where: Place
    days: tuple[int, ...] = (1, 2)


def test_objects_are_sent_as_the_data_they_are() -> None:
    assert recorded("POST", "https://host", [Place("Oslo"), Trip(Place("Rome"))]).content == [
        {"name": "Oslo"}, {"where": {"name": "Rome"}, "days": [1, 2]},
    ]


def test_data_that_looks_like_a_stored_object_is_sent_as_it_is() -> None:
    envelope = {"__class__": "Place", "__module__": __name__, "__data__": {"name": "x"}}
    assert recorded("POST", "https://host", {"state": envelope}).content == {"state": envelope}


def circle() -> Any:
    found: list[Any] = []
    found.append(found)
    return found


@pytest.mark.parametrize(
    ("content", "said"),
    [({"when": object()}, "'POST https://host' cannot be written as JSON: at"), (circle(), "contains itself")],
)
def test_content_that_is_no_json_is_refused_with_its_place(content: Any, said: str) -> None:
    with pytest.raises(PayloadError, match=said):
        DurableHttpRequest("POST", "https://host", content).encode(0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("", "https://host"), "a word like GET"),
        (("GET IT", "https://host"), "a word like GET"),
        (("GÉT", "https://host"), "a word like GET"),
        ((5, "https://host"), "a word like GET"),
        (("GET", None), "begins with http:// or https:// and a host, not None"),
        (("GET", "host/path"), "begins with http"),
        (("GET", "ftp://host"), "begins with http"),
        (("GET", "https:///path"), "begins with http"),
        (("GET", "https://"), "begins with http"),
        (("GET", "https://host/\n"), "line break or another control character"),
        (("GET", "https://host", None, {"a b": "1"}), "'a b' cannot be the name of a header"),
        (("GET", "https://host", None, {"": "1"}), "cannot be the name of a header"),
        (("GET", "https://host", None, {"a": "1\r\nb: 2"}), "header 'a' has a line break"),
        (("GET", "https://host", None, {"a": ["1", "2\n"]}), "header 'a' has a line break"),
    ],
)
def test_what_cannot_be_a_request_is_refused_where_it_is_made(arguments: tuple[Any, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        DurableHttpRequest(*arguments)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"timeout": 0}, "timeout must be a timedelta or a number of seconds"),
        ({"timeout": -1.0}, "timeout must be"),
        ({"timeout": float("nan")}, "timeout must be"),
        ({"timeout": float("inf")}, "timeout must be"),
        ({"timeout": True}, "timeout must be"),
        ({"timeout": datetime(2026, 1, 1)}, "timeout must be"),
        ({"deadline": timedelta(days=40_000)}, "deadline must be"),
        ({"deadline": "soon"}, "deadline must be"),
        ({"status_codes_to_retry": [99]}, r"a list of HTTP statuses such as \[429, 503\]"),
        ({"status_codes_to_retry": "503"}, "a list of HTTP statuses"),
        ({"idempotency_key": ""}, "idempotency_key must be"),
        ({"idempotency_key": 5}, "idempotency_key must be"),
        ({"retry_options": RetryOptions(1, 2, handle=lambda failure: True)}, "name statuses in status_codes_to_retry"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        DurableHttpRequest("GET", "https://host", **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"headers": [("a", "1")]}, "headers must be a dict"),
        ({"headers": {"a": 5}}, "header 'a' must be a text, a secret or a list of them, not int"),
        ({"headers": {"a": None}}, "not NoneType"),
        ({"content": {}, "is_raw_str": True}, "a text, not dict"),
        ({"retry_options": 5}, "RetryOptions or RetryPolicy, not int"),
    ],
)
def test_parts_of_the_wrong_kind_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        DurableHttpRequest("GET", "https://host", **options)


def test_a_single_status_to_retry_need_not_be_a_list() -> None:
    assert DurableHttpRequest("GET", "https://host", status_codes_to_retry=503).status_codes_to_retry == (503,)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("uri", "title"),
    [
        ("https://host/path?code=secret#part", "GET https://host/path"),
        ("https://user:pass@host/a@b", "GET https://host/a@b"),
        ("https://host?x=@", "GET https://host"),
        (f"https://host/{KEY}/x", "GET https://host/<secret: DOC_KEY>/x"),
        ("https://host/" + KEY + "/x?y", "GET https://host/<secret: DOC_KEY>/x"),
        (KEY, "GET <secret: DOC_KEY>"),
        (f"{KEY}/hook", "GET <secret: DOC_KEY>/hook"),
    ],
    ids=map(str, range(7)),  # a reference to a secret is signed anew in each process, which is no name for a test
)
def test_the_title_has_no_login_no_query_and_no_proof_of_a_secret(uri: Any, title: str) -> None:
    assert DurableHttpRequest("get", uri).title == title


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"Authorization": "Bearer abc"}, ["the value of header 'Authorization'"]),
        ({"X-Functions-Key": ["a", "b"]}, ["the value of header 'X-Functions-Key'"]),
        ({"authorization": f"Bearer {KEY}", "api-key": KEY, "Cookie": "a=" + KEY}, []),
        ({"Accept": "text/html", "api-key": " "}, []),
        (None, []),
    ],
)
def test_credentials_in_plain_headers_are_found(headers: Any, found: list[str]) -> None:
    assert DurableHttpRequest("GET", "https://host:80/a:b@c", None, headers).plain_credentials == found


def test_a_password_in_the_url_is_found() -> None:
    assert DurableHttpRequest("GET", "https://me:pw@host").plain_credentials == ["the password in the URL"]
    assert DurableHttpRequest("GET", "https://me@host").plain_credentials == []
    assert DurableHttpRequest("GET", f"https://me:{KEY}@host").plain_credentials == []
    assert DurableHttpRequest("GET", "https://me:" + KEY + "@host").plain_credentials == []


def test_the_headers_warned_of_are_those_that_are_never_written_down() -> None:
    assert SENSITIVE_HEADERS - {"set-cookie"} == CREDENTIAL_HEADERS


@pytest.fixture
def readers() -> Iterator[None]:
    before = dict(http._understood)
    yield
    http._understood.clear()
    http._understood.update(before)


@pytest.mark.usefixtures("readers")
def test_the_room_that_sends_may_check_and_change_a_part() -> None:
    understand(poll=lambda poll: {"name": poll})
    assert recorded("GET", "https://host", poll="fabric").poll == {"name": "fabric"}


# ---- the answer


def test_an_answer_reads_as_a_dict_and_by_attributes() -> None:
    answer = DurableHttpResponse(202, [("Location", "/x"), ("Set-Cookie", "a=1"), ("set-cookie", "b=2")], '{"n": 1}', url="https://h")
    assert answer["statusCode"] == answer["status_code"] == answer.status_code == answer.get("status_code") == 202
    assert answer["content"] == answer.content == '{"n": 1}'
    assert answer["headers"]["location"] == answer.headers["LOCATION"] == "/x"
    assert answer["headers"]["Set-Cookie"] == ["a=1", "b=2"]
    assert "status_code" in answer
    assert "other" not in answer
    assert answer.get("other", 5) == 5
    with pytest.raises(KeyError, match="other"):
        answer["other"]
    assert (answer.json(), answer.ok, answer.content_bytes, answer.charset) == ({"n": 1}, True, b'{"n": 1}', "utf-8")
    assert repr(answer) == "<DurableHttpResponse 202, 8 bytes>"
    assert repr(DurableHttpResponse(200, failed=True)) == "<DurableHttpResponse 200, failed, 0 bytes>"


def test_an_answer_is_plain_json_outside_the_code() -> None:
    answer = DurableHttpResponse(200, [("a", "1"), ("a", "2")], "x")
    assert json.loads(json.dumps(answer)) == {"statusCode": 200, "headers": {"a": ["1", "2"]}, "content": "x"}
    assert not hasattr(answer, "to_json")


@pytest.mark.parametrize(
    ("status", "failed", "ok"), [(204, False, True), (200, True, False), (404, False, False), (302, False, False)]
)
def test_ok_means_a_good_status_and_a_job_that_has_not_failed(status: int, failed: bool, ok: bool) -> None:
    assert DurableHttpResponse(status, failed=failed).ok is ok


def test_an_answer_can_be_copied_and_pickled() -> None:
    answer = DurableHttpResponse(200, [("ETag", "x"), ("etag", "y")], "/wA=", charset=None, url="https://h", note="odd")
    for same in (copy.copy(answer), copy.deepcopy(answer), pickle.loads(pickle.dumps(answer))):
        assert same == answer
        assert (same.headers["etag"], same.content_bytes, same.url, same.note) == (["x", "y"], b"\xff\x00", "https://h", "odd")


def test_headers_keep_comparing_ignoring_case_when_they_are_changed() -> None:
    headers = DurableHttpResponse(200, {"ETag": "x", "Many": ["1", "2"]}).headers
    headers["etag"] = "y"
    assert headers == {"ETag": "y", "Many": ["1", "2"]}
    assert (headers.get_list("many"), headers.get_list("ETAG"), headers.get_list("none")) == (["1", "2"], ["y"], [])
    del headers["ETAG"]
    assert "etag" not in headers
    assert headers.get("etag") is None
    assert 5 not in headers
    with pytest.raises(KeyError, match="etag"):
        headers["etag"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("<html>oops", r"\(502\) from https://h is not JSON: '<html>oops'"),
        ("", "not JSON: an empty body"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_json_is_refused_with_its_beginning(content: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        DurableHttpResponse(502, content=content, url="https://h").json()


def test_json_is_read_from_any_charset_and_behind_a_byte_order_mark() -> None:
    bodies = {
        "text/json; charset=latin-1": '{"a": "é"}'.encode("latin-1"),
        "application/json": b'\xef\xbb\xbf{"a": "\xc3\xa9"}',
        "application/json; charset=utf-16": '{"a": "é"}'.encode("utf-16"),
        "application/octet-stream": '{"a": "é"}'.encode("utf-16-le"),
    }
    for kind, body in bodies.items():
        content, charset = response_text(body, kind)
        answer = DurableHttpResponse(200, content=content, charset=charset)
        assert answer.json() == {"a": "é"}
        assert answer.content_bytes == body


def test_an_event_becomes_the_answer_it_holds() -> None:
    answer = DurableHttpResponse.of(HttpCallCompleted(1, 200, (("a", "1"),), "é", "iso8859-1", "https://h", True, "odd"))
    assert (answer.status_code, answer.headers, answer.content_bytes) == (200, {"a": "1"}, b"\xe9")
    assert (answer.url, answer.failed, answer.note) == ("https://h", True, "odd")


def test_bytes_that_are_no_text_can_be_read_as_far_as_that_goes() -> None:
    content, charset = response_text(b"caf\xe9", "text/html")
    assert charset is None
    assert DurableHttpResponse(200, (), content, charset=charset).content == "caf\ufffd"
    declared = DurableHttpResponse(200, [("Content-Type", "text/html; charset=shift_jis")], content, charset=charset)
    assert declared.content.startswith("caf")
    assert declared.content_bytes == b"caf\xe9"


# ---- bodies as text


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        (b"", None, ("", "utf-8")),
        (b"caf\xc3\xa9", "text/plain", ("café", "utf-8")),
        (b"caf\xe9", "text/plain; charset=ISO-8859-1", ("café", "iso8859-1")),
        (b"caf\xe9", 'text/plain;charset="iso-8859-1"; q=1', ("café", "iso8859-1")),
        (b"caf\xc3\xa9", "text/plain; charset=ascii", ("café", "utf-8")),
        (b"\xef\xbb\xbf{}", "application/json; charset=utf8", ("\ufeff{}", "utf-8")),
        (b"\xff\x00", None, ("/wA=", None)),
        (b"\xff\x00", "text/plain; charset=utf-8", ("/wA=", None)),
        (b"a", "text/plain; charset=rot13", ("a", "utf-8")),
        (b"a", "text/plain; charset=nonsense", ("a", "utf-8")),
        (b"a", "text/plain; charset=\x00", ("a", "utf-8")),
        (b"\\u0041", "text/plain; charset=unicode_escape", ("\\u0041", "utf-8")),
        (b"+2AA-", "text/plain; charset=utf-7", ("+2AA-", "utf-8")),  # half a character: no file takes it
        (b"\xfe\xff\x00a", "text/plain; charset=utf-16", ("/v8AYQ==", None)),  # Python would write it the other way round
    ],
)
def test_a_body_becomes_text_only_if_it_gives_the_same_bytes(body: bytes, kind: str | None, expected: tuple[Any, Any]) -> None:
    assert response_text(body, kind) == expected


@given(st.binary(max_size=40), st.sampled_from([None, "utf-8", "latin-1", "utf-16", "utf-7", "shift_jis", "idna", "cp1252", "hz"]))
def test_no_byte_is_lost_whatever_the_server_declares(body: bytes, declared: str | None) -> None:
    content, charset = response_text(body, None if declared is None else f"text/plain; charset={declared}")
    content.encode()
    assert DurableHttpResponse(200, (), content, charset=charset).content_bytes == body
