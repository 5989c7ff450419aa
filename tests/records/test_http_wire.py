"""A request as the original writes it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dfnb.durable_http.secrets import Secret
from dfnb.durable_http.tokens import ManagedIdentityTokenSource
from dfnb.records.http import DurableHttpRequest
from dfnb.records.retry import RetryPolicy

KEY = Secret.env("DOC_KEY")


def test_all_keys_are_there_in_the_originals_order() -> None:
    assert list(DurableHttpRequest("get", "https://host").to_wire().items()) == [
        ("method", "GET"), ("uri", "https://host"), ("headers", {}), ("content", None), ("tokenSource", None),
        ("asynchronousPatternEnabled", True), ("retryOptions", None), ("timeout", None),
    ]


def test_options_have_the_originals_names_and_spans() -> None:
    wire = DurableHttpRequest(
        "POST", "https://host", timeout=timedelta(days=6, seconds=5, milliseconds=500), asynchronous_pattern_enabled=False,
        token_source=ManagedIdentityTokenSource("https://vault.azure.net"), status_codes_to_retry=[503],
        retry_options=RetryPolicy(timedelta(seconds=5), 3, 2.0, timedelta(hours=30)),
    ).to_wire()
    assert wire["timeout"] == "6.00:00:05.5000000"
    assert wire["asynchronousPatternEnabled"] is False
    assert wire["tokenSource"] == {"kind": "AzureManagedIdentity", "resource": "https://vault.azure.net"}
    assert list(wire["retryOptions"].items()) == [
        ("FirstRetryInterval", "00:00:05"), ("MaxRetryInterval", "1.06:00:00"), ("BackoffCoefficient", 2.0),
        ("RetryTimeout", "10675199.02:48:05.4775807"), ("MaxNumberOfAttempts", 3), ("StatusCodesToRetry", [503]),
    ]


@pytest.mark.parametrize(
    ("content", "options", "written"),
    [
        (None, {}, None),
        ({"a": "é", "k": KEY}, {}, '{"a": "é", "k": "<secret: DOC_KEY>"}'),
        ("abc", {}, '"abc"'),
        ("abc", {"is_raw_str": True}, "abc"),
        ("a" + KEY, {"is_raw_str": True}, "a<secret: DOC_KEY>"),
        ("", {"is_raw_str": True}, ""),
        (0, {}, "0"),
        (b"\xff\x00", {}, "/wA="),
        ({"a b": [1, 2], "k": KEY}, {"headers": {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}},
         "a+b=1&a+b=2&k=<secret:+DOC_KEY>"),
    ],
)
def test_content_is_shown_as_it_is_sent(content: Any, options: dict[str, Any], written: str | None) -> None:
    assert DurableHttpRequest("POST", "https://host", content, **options).to_wire()["content"] == written


def test_secrets_are_shown_by_their_names() -> None:
    wire = DurableHttpRequest("GET", f"https://host/{KEY}", headers={"a": KEY, "b": [f"x {KEY}", "y"]}).to_wire()
    assert wire["uri"] == "https://host/<secret: DOC_KEY>"
    assert wire["headers"] == {"a": "<secret: DOC_KEY>", "b": ["x <secret: DOC_KEY>", "y"]}
