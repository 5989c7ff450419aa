from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfnb.durable_http.documents import Document, parse_path

BODY = b"""{"status": "Running", "n": 3, "done": true, "nothing": null, "no": false, "empty": {}, "@odata.id": "/x",
 "properties": {"provisioningState": "Succeeded"},
 "links": [{"rel": "self", "href": "/a"}, {"rel": "http://host/rel/1.0/results", "href": "/b"}]}"""


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("status", "Running"),
        ("n", "3"),
        ("done", "true"),
        ("no", "false"),
        ("properties.provisioningState", "Succeeded"),
        ("'@odata.id'", "/x"),
        ("links[0].href", "/a"),
        ("links[rel=http://host/rel/1.0/results].href", "/b"),
        ("links[rel=other].href", None),
        ("links[7].href", None),
        ("nothing", None),
        ("properties", None),
        ("status.deeper", None),
        ("missing", None),
    ],
)
def test_a_path_leads_to_one_value(path: str, text: str | None) -> None:
    assert Document(BODY).text(path) == text


def test_presence_is_more_than_null_and_nothing() -> None:
    document = Document(BODY)
    assert [document.has(path) for path in ("status", "properties", "nothing", "no", "empty", "missing")] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize("path", ["", ".a", "a.", "a..b", "a[", "a[x]", "a b"])
def test_what_is_no_path_gets_a_sentence(path: str) -> None:
    with pytest.raises(ValueError, match=r"path|brackets"):
        parse_path(path)


def test_a_byte_order_mark_is_passed_over() -> None:
    assert Document(b"\xef\xbb\xbf" + BODY).text("status") == "Running"


def test_a_page_of_a_proxy_is_not_readable() -> None:
    document = Document(b"<html><body>502 Bad Gateway</body></html>")
    assert (document.readable, document.empty, document.text("status")) == (False, False, None)
    assert Document(b" \r\n").empty


def test_text_in_another_encoding_is_read_where_it_can_be() -> None:
    document = Document('{"ok": "yes", "name": "Müller"}'.encode("latin-1"))
    assert (document.text("ok"), document.text("name")) == ("yes", None)


def test_absurd_depth_is_not_read() -> None:
    assert Document(b'{"a":' * 50_000).text("a.b") is None


@given(st.binary(max_size=200), st.sampled_from(["status", "a.b", "l[0].x", "l[k=v].x"]))
def test_no_body_raises(body: bytes, path: str) -> None:
    document = Document(body)
    document.text(path)
    document.has(path)
    assert document.readable in (True, False)
