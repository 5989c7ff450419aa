"""Answers, byte by byte."""

from __future__ import annotations

import json

import pytest

from dfnb import errors
from dfnb.records.payload import decode, encode
from dfnb.records.plain_json import STRICT
from dfnb.server import answers


def test_data_is_compact_json_with_nulls_and_in_utf_8() -> None:
    answer = answers.data({"a": None, "b": ["é", 1.5]})
    assert answer.body == '{"a":null,"b":["é",1.5]}'.encode()
    assert answer.headers["content-type"] == "application/json; charset=utf-8"


def test_numbers_beyond_64_bits_and_half_surrogates_are_written() -> None:
    assert answers.encode([10**30]) == b"[1000000000000000000000000000000]"
    assert json.loads(answers.encode({"a": "\ud800"})) == {"a": "\ud800"}
    assert decode(encode("\ud800")) == "\ud800"


@pytest.mark.parametrize("strange", [1, 10**30, "\ud800"], ids=["nothing", "a large number", "half a surrogate pair"])
def test_numbers_that_are_not_finite_are_null_whatever_else_there_is(strange: object) -> None:
    text = answers.encode([strange, float("nan"), {"a": [float("inf"), -float("inf")]}])
    assert STRICT.decode(text.decode()) == [strange, None, {"a": [None, None]}]


def test_an_empty_answer_has_no_type() -> None:
    answer = answers.empty(202)
    assert (answer.body, "content-type" in answer.headers, answer.headers["content-length"]) == (b"", False, "0")


def test_the_short_and_the_long_shape_of_an_error() -> None:
    assert answers.message(400, "no").body == b'{"Message":"no"}'
    assert answers.failure(409, "no", "why", "Kind").body == b'{"Message":"no","ExceptionMessage":"why","ExceptionType":"Kind"}'


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (errors.InstanceNotFoundError("x"), 404, b""),
        (errors.InstanceFinishedError("x", "Completed", "suspend"), 410, b""),
        (
            errors.InstanceConflictError("x", "Running", "resume", "wait"),
            409,
            b"cannot resume instance 'x' while it is Running; wait",
        ),
        (errors.InstanceExistsError("x", "Running"), 409, b"choose another id, or terminate it first"),
        (errors.HubUnavailableError("/home/me/hub.duckdb", "/home/me is full"), 503, b"cannot be written to at present; ask again"),
        (errors.HubUnavailableError("/home/me/hub.duckdb", "/home/me is full", kept=True), 503, b"so do not repeat it"),
        (errors.EngineBusyError("/home/me/hub.duckdb", "'x' runs", kept=False), 503, b"nothing of this request was done"),
        (errors.HubClosedError("/home/me/hub.duckdb"), 503, b"the hub is closed"),
        (errors.NotRegisteredError("orchestrator", "trip", ["trips"]), 400, b"did you mean 'trips'?"),
        (errors.PayloadError("cannot be written"), 400, b"cannot be written"),
        (ValueError("bad"), 400, b'"ExceptionMessage":"bad"'),
        (RuntimeError("hub at /home/me/hub.duckdb"), 500, b"`app.server.failures` and the server's log have the details under one"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_each_error_has_its_code(error: Exception, status: int, body: bytes) -> None:
    answer = answers.of_error(error, lambda unknown: "one")
    assert answer.status_code == status
    assert body in bytes(answer.body)
    assert b"/home/me" not in answer.body
    assert b"Traceback" not in answer.body
    assert ("retry-after" in answer.headers) == (status == 503 and b"do not repeat" not in answer.body)


def test_an_unexpected_error_is_noted_and_only_its_id_is_told() -> None:
    noted: list[Exception] = []
    error = RuntimeError("secret place")
    told = json.loads(bytes(answers.of_error(error, lambda unknown: noted.append(unknown) or "some id").body))
    assert noted == [error]
    assert told["ExceptionMessage"].endswith(" under some id")
    assert told["Message"] == "Something went wrong while processing your request"
    assert "secret place" not in str(told)
