from __future__ import annotations

import pytest

from dfnb.server.forms import read_form

TYPE = "multipart/form-data; boundary=X"


def part(disposition: str, body: str, more: str = "") -> str:
    return f"--X\r\nContent-Disposition: form-data; {disposition}\r\n{more}\r\n{body}\r\n"


def whole(*parts: str) -> bytes:
    return ("".join(parts) + "--X--\r\n").encode()


def test_fields_and_files_come_in_order() -> None:
    fields, files = read_form(
        TYPE,
        whole(
            part('name="a"', "é"),
            part('name="f"; filename="x.txt"', "hello", "Content-Type: text/plain\r\n"),
            part('name="a"', ""),
            part('name="f"; filename="y"', "z" * 2_000_000),
        ),
    )
    assert fields == [("a", "é"), ("a", "")]
    assert [(name, file.filename, file.content_type) for name, file in files] == [
        ("f", "x.txt", "text/plain"), ("f", "y", "application/octet-stream"),
    ]  # fmt: skip
    assert [len(file.read()) for _, file in files] == [5, 2_000_000]


@pytest.mark.parametrize("content_type", ["", "application/json", "multipart/mixed; boundary=X"])
def test_other_types_are_no_forms(content_type: str) -> None:
    assert read_form(content_type, whole(part('name="a"', "1"))) == ([], [])


def test_a_form_of_a_plain_page_is_read_too() -> None:
    assert read_form("application/x-www-form-urlencoded; charset=utf-8", b"a=1+2&b=%26") == ([("a", "1 2"), ("b", "&")], [])


@pytest.mark.parametrize(
    ("content_type", "body", "reason"),
    [
        ("multipart/form-data", whole(part('name="a"', "1")), "No boundary given"),
        (TYPE, b"no form", "Expected boundary character"),
        (TYPE, whole(part('name="a"', "1"))[:-10], "its end is missing"),
        (TYPE, whole(part("x", "1")), "Field name not found"),
        (TYPE, whole(*[part('name="a"', "1")] * 1_001), "more than 1,000 parts"),
    ],
    ids=["no boundary", "no form", "cut off", "no name", "too many"],
)
def test_a_broken_form_is_told_in_a_sentence(content_type: str, body: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=f"the form in the body of this request cannot be read: .*{reason}"):
        read_form(content_type, body)
