"""Which URLs an end can be told to, and the secret by which receivers know who tells it."""

from __future__ import annotations

import base64
from typing import Any

import pytest

import dfnb
from dfnb.client.callbacks import checked_callback_url
from dfnb.client.keys import HubKeys


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "begins with http"), ("ftp://a.example/", "must begin with http"), ("http://", "must begin with http"),
        ("https:///path", "must begin with http"), ("https://a.example:99999/", "must begin with http"),
        ("https://[::1/", "must begin with http"), ("https://me:word@a.example/", "user name or a password"),
        ("https://a.example/\r\nX: y", "control character"), ("https://a.example/a b", "blank"),
        ("https://a.example/" + "x" * 2_048, "2048 are the most"), ("file:///etc/passwd", "must begin with http"), (7, "text"),
    ],
    ids=["empty", "ftp", "no-host", "path-only", "port", "bracket", "login", "line-break", "blank", "long", "file", "number"],
)  # fmt: skip
def test_a_url_that_nothing_can_be_told_to_is_refused(url: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        checked_callback_url(url)
    assert "word" not in str(caught.value).replace("password", "")


@pytest.mark.parametrize(
    "url",
    ["http://a.example", "https://a.example:8443/done?code=1%2B2&x=", "http://127.0.0.1:7071/", "http://[::1]:80/", "HTTPS://A.b/"],
)
def test_a_url_with_a_host_is_taken_as_it_is(url: str) -> None:
    assert checked_callback_url(url) == url


def test_a_fragment_is_not_sent() -> None:
    assert checked_callback_url("https://a.example/done#here") == "https://a.example/done"


def test_the_secret_has_the_form_of_standard_webhooks_and_stays_with_the_hub(app: dfnb.DurableApp) -> None:
    secret = HubKeys(app._hub).callback_secret()
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert app.callback_secret == secret
    HubKeys(app._hub).rotate()
    assert app.callback_secret == secret
