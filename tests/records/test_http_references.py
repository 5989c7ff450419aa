"""How a recorded call names what it does not hold."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfnb.durable_http import secrets
from dfnb.durable_http.description import Poll
from dfnb.durable_http.secrets import Secret, shown
from dfnb.durable_http.tokens import ManagedIdentityTokenSource
from dfnb.records.http import DurableHttpRequest
from dfnb.records.http_references import hidden, is_secret, plain, rebuilt, without_tags

SECRETS = [
    Secret.env("DOC_KEY"), Secret.keyring("my service", "me/you"), Secret.callable(lambda: "x", name="été~.-"),
    Secret.basic("me", Secret.env("PASSWORD")).parts[1],
]


@pytest.mark.parametrize("secret", SECRETS, ids=str)
def test_a_marker_is_shown_as_the_room_of_secrets_shows_it(secret: Secret) -> None:
    text = f"before {secret.marker} after"
    assert hidden(text) == shown(text) == "before " + str(secret) + " after"
    assert hidden("no secret~env~here") == "no secret~env~here"


def test_secrets_are_told_from_other_values() -> None:
    assert all(map(is_secret, [*SECRETS, "a" + Secret.env("A")]))
    assert not any(map(is_secret, ["secret", Poll(), {"marker": "x"}, None]))


def test_a_record_for_people_has_names_only() -> None:
    text = DurableHttpRequest(
        "POST", "https://host/" + SECRETS[0], {f"{SECRETS[0]}": [SECRETS[0]]}, {"a": Secret.basic("me", SECRETS[0])},
        ManagedIdentityTokenSource("https://vault.azure.net"),
    ).encode(0)
    call = plain(text)
    assert (call["uri"], call["content"]) == ("https://host/<secret: DOC_KEY>", {"<secret: DOC_KEY>": ["<secret: DOC_KEY>"]})
    assert call["headers"] == {"a": "Basic <secret: DOC_KEY>"}
    assert call["token_source"] == {"kind": "AzureManagedIdentity", "resource": "https://vault.azure.net"}
    assert SECRETS[0].tag not in json.dumps(call)


@pytest.mark.parametrize("data", [None, 5, {}, {"kind": 1, "name": ["A"]}, {"kind": "env", "name": "A"}])
def test_a_reference_that_is_none_is_shown_as_an_unnamed_one(data: Any) -> None:
    envelope = {"__class__": "Secret", "__module__": "dfnb.durable_http.secrets", "__data__": data}
    assert plain(json.dumps([envelope])) == ["<secret>"]


def test_only_references_become_objects_again() -> None:
    evil = {"__class__": "Popen", "__module__": "subprocess", "__data__": ["ls"]}
    assert rebuilt(json.dumps({"content": evil})) == {"content": evil}
    assert rebuilt(json.dumps({"__class__": 1, "__module__": 2, "__data__": 3})) == {"__class__": 1, "__module__": 2, "__data__": 3}


def test_the_same_call_signed_with_another_key_is_the_same_call() -> None:
    def record(name: str) -> str:
        key = Secret.env(name)
        return DurableHttpRequest("GET", f"https://host/{key}", {"k": key}, {"a": "x" + key, "b": f"{key}"}).encode(0)

    before = record("KEY")
    old = list(secrets._keys)
    try:
        secrets.use_key(b"another key of 32 bytes or so...")
        after = record("KEY")
        assert after != before
        assert without_tags(after) == without_tags(before)
        assert without_tags(record("OTHER")) != without_tags(before)
    finally:
        secrets._keys[:] = old


@given(st.text() | st.from_regex(r"secret~[a-z]{3}(~[A-Za-z_-]{0,4}){0,2}~\.[a-z2-7]{18,22}"))
def test_no_text_upsets_what_shows_it(text: str) -> None:
    hidden(text)
    without_tags(text)
