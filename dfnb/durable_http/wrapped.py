"""Answers that carry the answer to the first request inside, as OData's asynchronous requests do."""

from __future__ import annotations

import re

import msgspec

from dfnb.durable_http.messages import Answer, Headers, header

_STATUS_LINE = re.compile(rb"HTTP/\d(?:\.\d)? (\d{3})(?: [^\r\n]*)?\r?\n")
_BLANK_LINE = re.compile(rb"\r?\n\r?\n|\A\r?\n")


def unwrap(answer: Answer) -> Answer:
    """The answer inside: a body of type application/http, or the status in AsyncResult; the answer itself when there is none."""
    if (header(answer.headers, "Content-Type") or "").lower().startswith("application/http"):
        return _whole(answer)
    status = header(answer.headers, "AsyncResult") or ""
    if status.isascii() and status.isdigit() and 100 <= int(status[:9]) <= 599:
        return msgspec.structs.replace(answer, status=int(status))
    return answer


def _whole(answer: Answer) -> Answer:
    line = _STATUS_LINE.match(answer.body)
    if line is None:
        return answer
    rest = answer.body[line.end() :]
    blank = _BLANK_LINE.search(rest)
    head, body = (rest[: blank.start()], rest[blank.end() :]) if blank is not None else (rest, b"")
    return msgspec.structs.replace(answer, status=int(line[1]), headers=_headers(head), body=body)


def _headers(head: bytes) -> Headers:
    lines = head.decode("latin-1").splitlines()
    pairs = (line.partition(":") for line in lines if ":" in line)
    return tuple((name.strip(), value.strip()) for name, _, value in pairs)
