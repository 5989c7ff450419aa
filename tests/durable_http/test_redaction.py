from __future__ import annotations

import base64
import copy
import html
import json
import pickle
import re
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfnb.durable_http.redaction import SENSITIVE_HEADERS, SENSITIVE_QUERY, Redactor

KEY = "s3cr3t/k+y&ä"
SHOWN = "<secret: DOC_KEY>"
values = st.text(min_size=4, max_size=40)


def redactor(value: str = KEY, shown: str = SHOWN) -> Redactor:
    redactor = Redactor()
    redactor.add(value, shown)
    return redactor


@given(values, st.text(), st.text())
def test_a_redacted_text_never_has_the_value(value: str, before: str, after: str) -> None:
    assert value not in redactor(value).redact(before + value + after)


@given(values, values, st.lists(st.sampled_from(["a", "b", "", "<", " "]), max_size=4))
def test_nor_any_of_two_values_that_overlap(one: str, other: str, glue: list[str]) -> None:
    both = redactor(one)
    both.add(other, "<secret: OTHER>")
    redacted = both.redact("".join(f"{one}{text}{other}" for text in glue))
    assert one not in redacted
    assert other not in redacted


@given(values, st.sampled_from(["><", "<s", "secret", "<redacted>", "***", "DOC_KEY", "et: D"]))
def test_nor_a_value_that_what_is_written_instead_would_spell(tail: str, part: str) -> None:
    for value in (part + part, part + tail, tail + part):
        redacted = redactor(value).redact(value * 3 + part)
        assert len(value) < 4 or value not in redacted


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=4, max_size=40), st.binary(max_size=9), st.binary(max_size=9))
def test_bytes_are_redacted_like_text(value: str, before: bytes, after: bytes) -> None:
    assert value.encode() not in redactor(value).redact(before + value.encode() + after)


@pytest.mark.parametrize(
    "write",
    [
        str,
        quote,
        quote_plus,
        lambda value: quote(value, safe=""),
        lambda value: quote(value, safe="").lower(),
        json.dumps,
        lambda value: json.dumps(value, ensure_ascii=False),
        lambda value: json.dumps(value).replace("/", "\\/"),
        lambda value: json.dumps(json.dumps({"key": value})),
        html.escape,
        lambda value: urlencode({"key": value}),
    ],
)
@pytest.mark.parametrize("key", [KEY, 'quo"te\\d', "two\nlines", "a<b>'c'"])
def test_the_value_is_known_in_the_shapes_it_comes_back_in(write: object, key: str) -> None:
    written = write(key)  # type: ignore[operator]
    redacted = redactor(key).redact(f"x {written} y")
    assert SHOWN in redacted
    assert redacted.startswith("x ")
    assert redacted.endswith(" y")
    assert not any(word in redacted for word in ("s3cr", "quo", "lines", "'c'"))


@given(st.text(min_size=6, max_size=30), st.binary(max_size=7), st.binary(max_size=7), st.booleans())
def test_the_value_is_found_inside_base64_at_any_place(value: str, before: bytes, after: bytes, url_safe: bool) -> None:
    raw = value.encode("utf-8", "surrogatepass")
    encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
    redacted = redactor(value, "<secret: K>").redact(encode(before + raw + after).decode())
    left = re.split(r"<secret: K>|<redacted>|\*\*\*|---", redacted)  # plainer words for a value that is part of its own name
    assert len(left) > 1
    assert sum(map(len, left)) <= len(encode(before + after)) + 4  # nothing but what was around it


def test_a_value_in_latin_1_is_found_in_bytes() -> None:
    assert redactor("geheimnöß").redact("x=geheimnöß".encode("latin-1")) == b"x=<secret: DOC_KEY>"


def test_text_without_a_value_stays_as_it_is() -> None:
    assert redactor().redact("nothing to see, 100 %\x00") == "nothing to see, 100 %\x00"
    assert redactor().redact(b"\xff\xfe") == b"\xff\xfe"
    assert Redactor().redact("text") == "text"


def test_short_values_are_taken_out_only_where_they_stand_alone() -> None:
    short = redactor("42")
    assert short.redact("42") == SHOWN
    assert short.redact('{"pin":"42","n":142}') == f'{{"pin":"{SHOWN}","n":142}}'
    assert short.redact(b'{"pin":"42"}') == b'{"pin":"<secret: DOC_KEY>"}'
    assert short.redact("room 42") == "room 42"
    assert short.header("X-Pin", "42") == SHOWN
    assert short.url("https://h/42?pin=42&n=421") == f"https://h/42?pin={SHOWN}&n=421"


def test_known_headers_are_never_written_down() -> None:
    headers = [("Authorization", "Bearer abcd"), ("SET-COOKIE", "a=1"), ("X-Functions-Key", "k"), ("Accept", "*/*")]
    assert Redactor().headers(headers) == (
        ("Authorization", "<redacted>"),
        ("SET-COOKIE", "<redacted>"),
        ("X-Functions-Key", "<redacted>"),
        ("Accept", "*/*"),
    )
    assert Redactor(headers=["X-Mine"]).header("x-mine", "1") == "<redacted>"


def test_a_known_header_says_whose_value_it_had() -> None:
    known = redactor(KEY)
    assert known.header("authorization", f"Bearer {KEY}") == f"Bearer {SHOWN}"
    assert known.header("api-key", KEY) == SHOWN
    assert known.header("Cookie", f"a={KEY}; other=visible") == "<redacted>"
    basic = base64.b64encode(f"user:{KEY}".encode()).decode()
    assert known.header("Authorization", f"Basic {basic}") == "<redacted>"


def test_urls_keep_no_password_no_key_and_no_signature() -> None:
    plain = Redactor()
    assert plain.url("https://h/p?code=abc&page=2&SIG=x%2Fy#access_token=t") == (
        "https://h/p?code=<redacted>&page=2&SIG=<redacted>#access_token=<redacted>"
    )
    assert plain.url("https://me:pass@h/p@x") == "https://me:<redacted>@h/p@x"
    assert plain.url("https://ghp_abc@h/") == "https://<redacted>@h/"
    assert plain.url("https://h/p?page=2&empty=&code") == "https://h/p?page=2&empty=&code"
    assert Redactor(query=["ticket"]).url("/p?ticket=1") == "/p?ticket=<redacted>"


def test_a_value_in_a_url_is_known_however_it_was_encoded() -> None:
    over_encoded = "".join(f"%{byte:02x}" for byte in KEY.encode())
    known = redactor()
    assert known.url(f"https://h/{quote(KEY, safe='')}/x") == f"https://h/{SHOWN}/x"
    assert known.url(f"https://h/?q={over_encoded}&code={over_encoded}") == f"https://h/?q={SHOWN}&code={SHOWN}"


def test_urls_in_headers_are_urls() -> None:
    header = Redactor().header
    assert header("Location", "https://h/x?code=abc") == "https://h/x?code=<redacted>"
    assert header("Link", '<https://h/x?sig=abc>; rel="next"') == '<https://h/x?sig=<redacted>>; rel="next"'


def test_half_a_value_beside_a_secret_does_not_stay() -> None:
    assert redactor().url(f"https://h/?sig={quote(KEY, safe='')}rest") == "https://h/?sig=<redacted>"


def test_a_redactor_shows_names_only_and_stays_here() -> None:
    known = redactor()
    assert repr(known) == "Redactor(<secret: DOC_KEY>)"
    with pytest.raises(TypeError, match="never copied"):
        pickle.dumps(known)
    with pytest.raises(TypeError, match="never copied"):
        copy.deepcopy(known)


def test_in_an_error_a_value_is_known_in_any_case() -> None:
    redactor = Redactor()
    redactor.add("S3cr3tValue-abc/+=x y", "<secret: DOC_KEY>")
    redactor.add("Cr", "<secret: SHORT>")
    assert redactor.redact_error("no host s3cr3tvalue-abc%2f%2b%3dx%20y.x, no S3CR3TVALUE-ABC/+=X Y") == (
        "no host <secret: DOC_KEY>.x, no <secret: DOC_KEY>"
    )
    assert Redactor().redact_error("As it is") == "As it is"


def test_a_reference_in_an_error_stays_whole_though_the_value_is_a_part_of_it() -> None:
    redactor = Redactor()
    redactor.add("doc_key", "<secret: DOC_KEY>")
    assert redactor.redact_error("no host doc_key.x") == "no host <secret: DOC_KEY>.x"


def test_the_lists_are_in_lower_case() -> None:
    assert all(name == name.lower() for name in SENSITIVE_HEADERS | SENSITIVE_QUERY)
    assert {"authorization", "cookie", "ocp-apim-subscription-key", "x-functions-key"} <= SENSITIVE_HEADERS
    assert {"code", "sig", "api_key", "token"} <= SENSITIVE_QUERY
