"""Exchanges as an HTTP archive (HAR 1.2): what browsers' tools read, and what can be replayed without a network."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from dfnb.records.http import Headers, Pairs
from dfnb.version import package_version

if TYPE_CHECKING:
    from dfnb.client.http_log import HttpExchange

Json = dict[str, Any]

_VERSION = "HTTP/1.1"


def archive(exchanges: Iterable[HttpExchange]) -> Json:
    """The whole document, entries in the order in which the requests were sent."""
    creator = {"name": "dfnb", "version": package_version()}
    ordered = sorted(exchanges, key=lambda one: one.record.sent_at)
    return {"log": {"version": "1.2", "creator": creator, "entries": [_entry(one) for one in ordered]}}


def _entry(one: HttpExchange) -> Json:
    took = one.record.took / 1000
    return {
        "startedDateTime": one.timestamp.isoformat(timespec="microseconds"),
        "time": took,
        "request": _request(one),
        "response": _response(one),
        "cache": {},
        "timings": {"send": 0, "wait": took, "receive": 0},
        "_dfnb": _facts(one),
    }


def _facts(one: HttpExchange) -> Json:
    """What only dfnb knows of the exchange; waits in seconds."""
    facts = {
        "instance": one.instance_id,
        "generation": one.generation,
        "task": one.task_id,
        "attempt": one.attempt,
        "purpose": one.purpose,
        "askedWait": _seconds(one.asked_wait),
        "wait": _seconds(one.wait),
        "note": one.note,
        "error": one.error,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()


def _request(one: HttpExchange) -> Json:
    request: Json = {
        "method": one.method,
        "url": one.url,
        "httpVersion": _VERSION,
        "cookies": [],
        "headers": _named(one.record.request_headers),
        "queryString": _named(parse_qsl(urlsplit(one.url).query, keep_blank_values=True)),
        "headersSize": -1,
        "bodySize": len(one.request_body),
    }
    if one.request_body:
        text, encoding = _exact(one.request_body)
        request["postData"] = {"mimeType": _media_type(one.request_headers), "params": [], "text": text}
        if encoding:
            request["postData"]["_encoding"] = encoding  # HAR itself has no word for a binary body that was sent
    return request


def _response(one: HttpExchange) -> Json:
    headers, body = one.response_headers, one.response_body
    text, encoding = _exact(body)
    content: Json = {"size": len(body), "mimeType": _media_type(headers), "text": text}
    if encoding:
        content["encoding"] = encoding
    response: Json = {
        "status": one.status or 0,
        "statusText": _phrase(one.status),
        "httpVersion": _VERSION,
        "cookies": [],
        "headers": _named(one.record.response_headers),
        "content": content,
        "redirectURL": next(iter(headers.get_list("location")), ""),
        "headersSize": -1,
        "bodySize": -1 if "content-encoding" in headers else len(body),
    }
    return response if one.status is not None else {**response, "_error": one.error or "no answer came"}


def _phrase(status: int | None) -> str:
    try:
        return HTTPStatus(status or 0).phrase
    except ValueError:
        return ""


def _named(pairs: Pairs | list[tuple[str, str]]) -> list[Json]:
    return [{"name": name, "value": value} for name, value in pairs]


def _media_type(headers: Headers) -> str:
    return next(iter(headers.get_list("content-type")), "application/octet-stream")


def _exact(body: bytes) -> tuple[str, str]:
    """A body as text that gives the same bytes again in UTF-8; any other as base64."""
    try:
        return body.decode(), ""
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), "base64"
