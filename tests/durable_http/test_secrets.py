from __future__ import annotations

import base64
import copy
import json
import os
import pickle
import subprocess
import sys
import types
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfnb.durable_http import secrets
from dfnb.durable_http.redaction import Redactor
from dfnb.durable_http.secrets import Secret, SecretText, marked, resolve, secrets_in, shown, use_key
from dfnb.errors import DefinitionError, SecretNotAvailableError
from dfnb.records.payload import decode, encode

VALUE = 'v4l"ue/+ ü'


@pytest.fixture(autouse=True)
def doc_key(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DOC_KEY", VALUE)
    monkeypatch.setenv("TOKEN", "abc-123")
    monkeypatch.setattr(secrets, "_keys", list(secrets._keys))
    monkeypatch.setattr(secrets, "_callables", {})
    return


def read(value: Any, **options: Any) -> Any:
    return resolve(value, Redactor(), **options)


# ---- what is seen


def test_a_secret_shows_its_name_only() -> None:
    secret = Secret.env("DOC_KEY")
    assert str(secret) == repr(secret) == "%s" % secret == "<secret: DOC_KEY>"  # noqa: UP031
    assert str("Bearer " + secret) == repr("Bearer " + secret) == "Bearer <secret: DOC_KEY>"
    assert repr({"key": [secret]}) == "{'key': [<secret: DOC_KEY>]}"
    assert shown(f"Bearer {secret}!") == "Bearer <secret: DOC_KEY>!"
    assert not hasattr(secret, "__dict__")


def test_names_of_every_kind() -> None:
    assert str(Secret.keyring("mail", "ann")) == "<secret: mail/ann>"
    assert str(Secret.callable(lambda: "x", name="my-key")) == "<secret: my-key>"
    assert str(Secret.basic("ann", Secret.env("DOC_KEY"))) == "Basic <secret: DOC_KEY>"


def test_it_cannot_be_cut_apart_formatted_changed_or_pickled() -> None:
    secret = Secret.env("DOC_KEY")
    for wrong in (lambda: secret[:3], lambda: len(secret), lambda: list(secret), lambda: secret + 1, lambda: 1 + secret):  # type: ignore[arg-type, call-overload, index, operator]
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(TypeError, match="known only when it is sent"):
        f"{secret:>20}"
    with pytest.raises(AttributeError, match="cannot be changed"):
        secret.kind = "callable"
    for text in (secret, "a" + secret):
        with pytest.raises(TypeError, match="stays in this process"):
            pickle.dumps(text)
        assert copy.deepcopy({"a": [text]})["a"][0] is text
    with pytest.raises(TypeError, match=r"Secret.env\(NAME\)"):
        Secret()


def test_equal_references_are_equal() -> None:
    assert Secret.env("A") == Secret.env("A") != Secret.env("B")
    assert "x" + Secret.env("A") == SecretText("x", Secret.env("A")) != Secret.env("A")
    assert len({Secret.env("A"), Secret.env("A"), Secret.keyring("A", "A")}) == 2


# ---- what is sent


def test_a_secret_is_read_when_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "Bearer " + Secret.env("TOKEN") + "!"
    monkeypatch.setenv("TOKEN", "later")
    assert read(secret) == "Bearer later!"


def test_it_can_stand_anywhere_in_a_request() -> None:
    key = Secret.env("DOC_KEY")
    request = {"headers": {"Api": key, "A": f"x {key}"}, "body": {"deep": [{"key": key}, ("a" + key + "b",), 1, None, True]}}
    want = {"headers": {"Api": VALUE, "A": f"x {VALUE}"}, "body": {"deep": [{"key": VALUE}, (f"a{VALUE}b",), 1, None, True]}}
    assert read(request) == want
    assert read(marked(request)) == want
    assert read(json.loads(json.dumps(marked(request))))["body"]["deep"][1] == [f"a{VALUE}b"]
    assert secrets_in(request) == (key,)
    assert secrets_in([request, Secret.env("TOKEN") + "x", f"{key}".encode()]) == (key, Secret.env("TOKEN"))


def test_texts_join_in_any_order() -> None:
    a, b = Secret.env("TOKEN"), Secret.env("DOC_KEY")
    assert read(a + b) == read(a + ("" + b)) == read(f"{a}{b}") == f"abc-123{VALUE}"
    assert read(f"{a}~{b}~{a + 'x'}abc") == f"abc-123~{VALUE}~abc-123xabc"


@pytest.mark.parametrize(
    ("form", "around", "want"),
    [
        ("plain", "<{}>", f"<{VALUE}>"),
        ("url", "https://h/a?k={}&b=1", f"https://h/a?k={quote(VALUE, safe='')}&b=1"),
        ("form", "k={}&b=1", urlencode({"k": VALUE, "b": 1})),
        ("json", '{{"k":"{}"}}', json.dumps({"k": VALUE}, ensure_ascii=False, separators=(",", ":"))),
    ],
)
def test_the_value_is_encoded_for_its_place(form: Any, around: str, want: str) -> None:
    text = around.format(Secret.env("DOC_KEY"))
    assert read(text, form=form) == want
    assert read(text.encode(), form=form) == want.encode()


def test_a_marker_survives_what_is_done_to_urls_and_texts() -> None:
    secret = Secret.keyring("a b/c:ü~.-", "x@y")
    marker = f"{secret}"
    assert quote(marker, safe="") == urlencode({"a": marker})[2:] == json.dumps(marker)[1:-1] == marker
    assert httpx.Headers({"k": marker})["k"] == marker
    assert marker in str(httpx.URL(f"https://h/{marker}/x", params={"k": marker}))
    assert urlsplit(urljoin(f"https://h/{marker}/x?k={marker}", "y")).path == f"/{marker}/y"
    assert shown(marker) == "<secret: a b/c:ü~.-/x@y>"


@given(st.text(min_size=1, max_size=60), st.text(max_size=9), st.text("~.-_a2", max_size=30))
def test_any_name_comes_back_out_of_its_marker(name: str, before: str, after: str) -> None:
    name = name.encode("utf-8", "replace").decode()
    assert secrets_in(f"{before}{Secret.env(name)}{after}") == (Secret.env(name),)


def test_basic_credentials_are_put_together_when_sent() -> None:
    redactor = Redactor()
    header = marked(Secret.basic("ann", Secret.env("TOKEN")))
    sent = resolve(header, redactor, form="header")
    assert sent == "Basic " + base64.b64encode(b"ann:abc-123").decode()
    assert redactor.header("Authorization", sent) == "Basic <secret: TOKEN>"
    assert redactor.redact("the password is abc-123") == "the password is <secret: TOKEN>"
    with pytest.raises(DefinitionError, match="colon"):
        Secret.basic("a:b", Secret.env("TOKEN"))


def test_what_was_read_is_redacted_and_so_is_its_marker() -> None:
    redactor = Redactor()
    secret = Secret.env("DOC_KEY")
    resolve({"a": f"x{secret}"}, redactor)
    assert redactor.redact(json.dumps({"you sent": VALUE, "or": secret.marker})) == (
        '{"you sent": "<secret: DOC_KEY>", "or": "<secret: DOC_KEY>"}'
    )


# ---- who may name a secret


def test_text_that_shows_a_secret_does_not_name_it() -> None:
    answer = "<secret: DOC_KEY>"
    assert read(answer) == read(marked(answer)) == answer


@given(st.text("abcdefgh234567", min_size=20, max_size=20))
def test_a_forged_marker_is_plain_text(tag: str) -> None:
    forged = f"secret~env~DOC_KEY~.{tag}"
    assert read(forged) == marked(forged) == shown(forged) == forged
    assert read(forged.encode()) == forged.encode()


def test_a_tag_is_good_for_its_own_secret_only() -> None:
    tag = Secret.env("TOKEN").tag
    for forged in (f"secret~env~DOC_KEY~.{tag}", f"secret~callable~TOKEN~.{tag}", f"secret~basic~x~env~TOKEN~.{tag}"):
        assert read(forged) == forged


def test_a_secret_out_of_foreign_json_does_not_resolve() -> None:
    data = '{"kind":"env","name":["DOC_KEY"],"tag":""}'
    forged = decode(f'{{"__class__":"Secret","__module__":"dfnb.durable_http.secrets","__data__":{data}}}')
    assert str(forged) == "<secret: DOC_KEY>"
    assert not forged.proven
    for use in (read, marked):
        for value in (forged, "x" + forged, {"a": [forged]}, Secret.basic("u", forged)):
            with pytest.raises(SecretNotAvailableError, match="was not made here"):
                use(value)
    assert read(f"{forged}") == f"{forged}"
    assert VALUE not in read(f"{forged}")


def test_a_recorded_reference_resolves_where_the_key_is_known() -> None:
    for value in (Secret.env("DOC_KEY"), "Bearer " + Secret.env("DOC_KEY")):
        text = encode({"key": value})
        assert text is not None
        assert VALUE not in text
        assert read(decode(text)) == {"key": read(value)}
        assert decode(text) == {"key": value}


_CHILD = """
import sys
from dfnb.durable_http.redaction import Redactor
from dfnb.durable_http.secrets import marked, resolve, use_key
from dfnb.records.payload import decode
import dfnb.durable_http.secrets
if sys.argv[1]:
    use_key(bytes.fromhex(sys.argv[1]))
print(resolve(sys.argv[2], Redactor()) == sys.argv[2], end=" ")
try:
    print(resolve(decode(sys.argv[3]), Redactor()))
except LookupError as error:
    print(type(error).__name__)
"""


def after_restart(key: bytes, text: str, record: str | None) -> str:
    command = [sys.executable, "-c", _CHILD, key.hex(), text, str(record)]
    environment = {**os.environ, "DOC_KEY": "ascii", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def test_the_hubs_key_makes_references_outlive_the_process() -> None:
    early = f"{Secret.env('DOC_KEY')}"  # signed before the hub was opened
    key = os.urandom(32)
    use_key(key)
    assert read(early) == VALUE
    recorded = marked(early)
    assert recorded != early
    assert after_restart(key, recorded, encode(Secret.env("DOC_KEY"))) == "False ascii"
    assert after_restart(os.urandom(32), recorded, encode(Secret.env("DOC_KEY"))) == "True SecretNotAvailableError"
    with pytest.raises(ValueError, match="16 bytes"):
        use_key(b"short")


def test_markers_are_the_same_each_time_as_replay_compares_them() -> None:
    use_key(b"k" * 32)
    first = f"{Secret.env('A')}"
    use_key(b"l" * 32)
    assert f"{Secret.env('A')}" != first
    use_key(b"k" * 32)
    assert f"{Secret.env('A')}" == first


# ---- what cannot be read


def test_a_missing_variable_is_named_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SecretNotAvailableError, match="the environment variable NOT_THERE is not set") as missing:
        read(Secret.env("NOT_THERE"))
    assert not missing.value.waits_for_cell
    monkeypatch.setenv("EMPTY", "")
    with pytest.raises(SecretNotAvailableError, match="EMPTY is empty"):
        read(Secret.env("EMPTY"))


def test_a_function_of_a_cell_is_waited_for() -> None:
    def my_key() -> str:
        return "made"

    record = encode(Secret.callable(my_key))
    assert record is not None
    assert read(decode(record)) == "made"
    secrets._callables.clear()
    with pytest.raises(
        SecretNotAvailableError, match=r"run the cell that says Secret.callable\(..., name='my_key'\)"
    ) as missing:
        read(decode(record))
    assert missing.value.waits_for_cell
    assert missing.value.name == "my_key"
    Secret.callable(lambda: "anew", name="my_key")
    assert read(decode(record)) == "anew"


def test_a_function_that_fails_tells_its_type_only() -> None:
    def leaking() -> str:
        raise ValueError("hunter2")

    with pytest.raises(SecretNotAvailableError, match="its function raised ValueError; call it in a cell") as failed:
        read(Secret.callable(leaking))
    assert failed.value.__cause__ is None
    assert failed.value.__context__ is None
    with pytest.raises(SecretNotAvailableError, match="returned int where a text was expected"):
        read(Secret.callable(lambda: 7, name="number"))  # type: ignore[arg-type, return-value]


def test_a_function_needs_a_name() -> None:
    with pytest.raises(DefinitionError, match="a lambda has no name"):
        Secret.callable(lambda: "x")
    with pytest.raises(DefinitionError, match="takes a function"):
        Secret.callable("text")  # type: ignore[arg-type]
    for wrong in ("", "x" * 1000, None):
        with pytest.raises(DefinitionError, match="environment variable"):
            Secret.env(wrong)  # type: ignore[arg-type]


def test_the_keyring_is_read_when_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {("mail", "ann"): "pw"}
    ring = types.SimpleNamespace(get_password=lambda service, user: entries.get((service, user)))
    monkeypatch.setitem(sys.modules, "keyring", ring)
    assert read(Secret.keyring("mail", "ann")) == "pw"
    with pytest.raises(SecretNotAvailableError, match="keyring set mail bob"):
        read(Secret.keyring("mail", "bob"))
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(SecretNotAvailableError, match="pip install keyring"):
        read(Secret.keyring("mail", "ann"))


@pytest.mark.parametrize("value", ["two\nlines", "ends\r\n", "nul\0", "ümlaut"])
def test_a_value_no_header_can_hold_is_refused_unquoted(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    Secret.callable(lambda: value, name="odd")
    with pytest.raises(SecretNotAvailableError, match="no HTTP header can hold") as refused:
        read(Secret.callable(lambda: value, name="odd"), form="header")
    assert value not in str(refused.value)
