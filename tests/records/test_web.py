"""Requests and responses of HTTP triggers as values, without a server."""

from __future__ import annotations

import pytest

from dfnb.records.web import AuthLevel, HttpHeaders, HttpRequest, HttpResponse, UploadedFile


def test_headers_of_a_request_ignore_case_and_join_what_came_twice() -> None:
    headers = HttpHeaders([("X-A", "1"), ("x-a", "2"), ("B", "3")])
    assert (headers["X-a"], headers.get("b"), headers.get("c"), list(headers)) == ("1, 2", "3", None, ["X-A", "B"])
    assert "x-A" in headers


def test_a_request_can_be_made_by_hand_for_a_test() -> None:
    request = HttpRequest("POST", "http://x/api/a?code=secret", body=b'{"a": 1}', params={"a": "b"}, route_params={"id": "7"})
    assert (request.get_json(), request.get_body(), request.params["a"], request.route_params["id"]) == (
        {"a": 1}, b'{"a": 1}', "b", "7"
    )  # fmt: skip
    assert "secret" not in repr(request)


def test_a_body_that_is_no_json_is_told_in_a_sentence() -> None:
    with pytest.raises(ValueError, match="the body of this request is not JSON"):
        HttpRequest("POST", "http://x", body=b"{").get_json()


@pytest.mark.parametrize(
    "body", [b"NaN", b'{"a":Infinity}', b"[1e999]", b"\xff", b"", b"[" * 100_000], ids=lambda body: str(body[:9])
)
def test_what_other_programs_would_not_read_is_no_json(body: bytes) -> None:
    with pytest.raises(ValueError, match="the body of this request is"):
        HttpRequest("POST", "http://x", body=body).get_json()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-be"])
def test_json_may_be_in_each_encoding_it_is_known_in(encoding: str) -> None:
    assert HttpRequest("POST", "http://x", body='{"é": "\\ud800"}'.encode(encoding)).get_json() == {"é": "\ud800"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("marker", ["__class__", r"\u005f_class__"])
def test_objects_of_a_class_are_refused_from_who_may_not_send_them(marker: str, encoding: str) -> None:
    body = f'[{{"{marker}": "A", "__module__": "m", "__data__": 1}}]'.encode(encoding)
    with pytest.raises(ValueError, match="only who has the hub's key may send objects of a class"):
        HttpRequest("POST", "http://x", body=body, may_name_classes=False).get_json()
    assert HttpRequest("POST", "http://x", body=body).get_json() == [{"__class__": "A", "__module__": "m", "__data__": 1}]


def test_a_text_about_classes_is_no_object_of_one() -> None:
    assert HttpRequest("POST", "http://x", body=b'["__class__"]', may_name_classes=False).get_json() == ["__class__"]


def test_a_plain_form_is_read_without_a_server() -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    form = HttpRequest("POST", "http://x", headers=headers, body=b"a=1&a=2&b=%C3%A9&c=").form
    assert dict(form) == {"a": "1", "b": "é", "c": ""}
    assert (form.getlist("a"), form.getlist("z")) == (["1", "2"], [])
    assert dict(HttpRequest("POST", "http://x", body=b"a=1").form) == {}


def test_a_form_is_read_once_and_only_when_asked_for() -> None:
    read = []

    def read_form(content_type: str, body: bytes) -> tuple[list[tuple[str, str]], list[tuple[str, UploadedFile]]]:
        read.append(content_type)
        return [("a", "1")], [("f", UploadedFile("f", "x.txt", "text/plain", body))]

    request = HttpRequest("POST", "http://x", headers={"content-type": "t"}, body=b"hello", read_form=read_form)
    assert read == []
    assert (request.form["a"], request.files["f"].filename, request.files["f"].read(2)) == ("1", "x.txt", b"he")
    assert read == ["t"]


def test_a_response_has_azures_defaults() -> None:
    response = HttpResponse("é")
    assert (response.status_code, response.mimetype, response.charset) == (200, "text/plain", "utf-8")
    assert (response.get_body(), dict(response.headers)) == ("é".encode(), {})
    assert HttpResponse("é", charset="latin-1").get_body() == b"\xe9"
    assert HttpResponse(bytearray(b"x")).get_body() == b"x"


def test_headers_of_a_response_can_be_changed_whatever_their_case() -> None:
    response = HttpResponse(headers={"X-A": "1"})
    response.headers["x-a"] = "2"
    response.headers["B"] = "3"
    assert dict(response.headers) == {"x-a": "2", "B": "3"}
    del response.headers["b"]
    assert len(response.headers) == 1


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: x=y", "a\nb", "a\rb", "a\x00b"], ids=["crlf", "lf", "cr", "nul"])
def test_a_header_cannot_begin_another_line(value: str) -> None:
    with pytest.raises(ValueError, match="must not contain line breaks or control characters"):
        HttpResponse(headers={"X-A": value})
    with pytest.raises(ValueError, match="Content-Type must not contain"):
        HttpResponse(mimetype=value)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "é"])
def test_a_header_needs_a_name_that_is_one(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a header"):
        HttpResponse(headers={name: "1"})


def test_a_header_that_fits_no_byte_is_refused() -> None:
    with pytest.raises(ValueError, match="percent-encode what is outside it"):
        HttpResponse(headers={"Location": "/€"})


@pytest.mark.parametrize("status", [100, 600, "200", True], ids=repr)
def test_a_status_code_is_a_final_one(status: object) -> None:
    with pytest.raises(ValueError, match="a number from 200 to 599"):
        HttpResponse(status_code=status)  # type: ignore[arg-type]


def test_none_is_what_is_usual_as_in_the_original() -> None:
    response = HttpResponse("x", status_code=None, headers=None, mimetype=None, charset=None)
    assert (response.status_code, response.mimetype, response.charset) == (200, "text/plain", "utf-8")


def test_a_body_is_text_or_bytes() -> None:
    with pytest.raises(TypeError, match=r"is str or bytes, not dict; json\.dumps"):
        HttpResponse({"a": 1})  # type: ignore[arg-type]


def test_auth_levels_have_names() -> None:
    assert AuthLevel.parse(" Admin ") is AuthLevel.ADMIN
    with pytest.raises(ValueError, match="known are anonymous, function, admin"):
        AuthLevel.parse("root")
