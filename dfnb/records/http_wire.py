"""A recorded call in the original's wire form, for people: its keys in its order, and no secret's value."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from dfnb.records.http_references import plain

_FORM = "application/x-www-form-urlencoded"
_LONGEST = "10675199.02:48:05.4775807"
"""The longest span there is in .NET: how it writes "no limit"."""


def wire_form(recorded: str) -> dict[str, Any]:
    """The request as the original writes it, from the text that `DurableHttpRequest.encode` made."""
    call = plain(recorded)
    retry = call.get("retry_options")
    codes = call.get("status_codes_to_retry", [])
    return {
        "method": call["method"], "uri": call["uri"], "headers": call["headers"], "content": _content(call),
        "tokenSource": call["token_source"], "asynchronousPatternEnabled": call.get("asynchronous_pattern_enabled", False),
        "retryOptions": _retry_options(retry, codes) if retry is not None else None, "timeout": _span(call.get("timeout")),
    }


def _content(call: dict[str, Any]) -> str | None:
    content = call["content"]
    if content is None or call.get("binary") or call.get("is_raw_str"):
        return content if content is None else str(content)
    kind = next((str(value) for name, value in call["headers"].items() if name.lower() == "content-type"), "")
    if isinstance(content, dict) and kind.partition(";")[0].strip().lower() == _FORM:
        return urlencode(content, doseq=True, safe="<>: ")
    return json.dumps(content, ensure_ascii=False)


def _retry_options(retry: dict[str, Any], codes: list[int]) -> dict[str, Any]:
    return {
        "FirstRetryInterval": _span(retry["first"]), "MaxRetryInterval": _span(retry.get("longest")) or _LONGEST,
        "BackoffCoefficient": retry.get("backoff", 1.0), "RetryTimeout": _span(retry.get("total")) or _LONGEST,
        "MaxNumberOfAttempts": retry["attempts"], "StatusCodesToRetry": codes,
    }


def _span(microseconds: int | None) -> str | None:
    """``[d.]hh:mm:ss[.fffffff]``"""
    if microseconds is None:
        return None
    span = timedelta(microseconds=microseconds)
    days = f"{span.days}." if span.days else ""
    fraction = f".{span.microseconds:06d}0" if span.microseconds else ""
    minutes, seconds = divmod(span.seconds, 60)
    return f"{days}{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}{fraction}"
