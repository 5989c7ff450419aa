"""Whether the parts of a request can be sent: said where the request is made, not when it is due."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from dfnb.records.http_headers import pairs_of
from dfnb.records.http_references import hidden, is_secret
from dfnb.records.retry import RetryPolicy

_LONGEST_SPAN = 100 * 365 * 86_400.0


def check_uri(uri: Any) -> None:
    """ValueError unless a request can be sent there. What begins with a secret is known only then."""
    text = hidden(str(uri)) if isinstance(uri, str) or is_secret(uri) else None
    if text is not None and text.startswith("<secret: "):
        return  # what it begins with is known when it is sent
    if text is None or not re.match(r"https?://[^/?#]", text, re.IGNORECASE):
        raise ValueError(f"the uri must be a text that begins with http:// or https:// and a host, not {uri!r:.100}")
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise ValueError(f"the uri has a line break or another control character in it: {text!r:.100}")


def check_headers(headers: Any) -> None:
    """ValueError or TypeError for what cannot stand in a request."""
    if headers is None:
        return
    if not isinstance(headers, Mapping):
        raise TypeError(f"headers must be a dict of names and values, not {type(headers).__name__}")
    for name in headers:
        if not isinstance(name, str) or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise ValueError(f"{name!r} cannot be the name of a header")
    for name, value in pairs_of(headers):
        if not isinstance(value, str) and not is_secret(value):
            raise TypeError(f"the value of header {name!r} must be a text, a secret or a list of them, not {type(value).__name__}")
        if isinstance(value, str) and re.search(r"[\r\n\x00]", value):
            raise ValueError(f"the value of header {name!r} has a line break in it; no header can hold one")


def check_span(name: str, span: Any) -> None:
    """ValueError unless it is a length of time, or None."""
    if span is None:
        return
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not number or not math.isfinite(seconds) or not 0 < seconds <= _LONGEST_SPAN:
        raise ValueError(f"{name} must be a timedelta or a number of seconds, more than none and less than 100 years, not {span!r}")


def check_retries(policy: Any) -> None:
    """TypeError or ValueError unless it is a policy that can be recorded, or None."""
    if policy is None:
        return
    if not isinstance(policy, RetryPolicy):
        raise TypeError(f"retry_options must be RetryOptions or RetryPolicy, not {type(policy).__name__}")
    if policy.handle is not None:
        raise ValueError("retry_options of call_http cannot have `handle`: name statuses in status_codes_to_retry instead")


def checked_codes(given: Any) -> tuple[int, ...]:
    """The statuses, if they are some."""
    codes = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else (given,)
    for code in codes:
        if isinstance(code, bool) or not isinstance(code, int) or not 100 <= code <= 599:
            raise ValueError(f"status_codes_to_retry must be a list of HTTP statuses such as [429, 503], not {given!r:.100}")
    return tuple(map(int, codes))
