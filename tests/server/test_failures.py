"""The latest failed requests, as who wrote the code sees them."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from dfnb.engine.clock import FakeClock
from dfnb.server.failures import FailedRequests
from dfnb.server.status import Statuses

KEY = "a-key-of-somebody"


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except type(error) as caught:
        return caught


@pytest.fixture
def failures() -> FailedRequests:
    return FailedRequests(FakeClock().now)


def test_the_newest_is_the_first_and_old_ones_go(failures: FailedRequests) -> None:
    ids = [failures.note("GET /api/a", raised(ValueError(str(number)))) for number in range(60)]
    assert [one.id for one in failures] == ids[:9:-1]
    assert (failures[0].error, failures[0].route) == ("ValueError: 59", "GET /api/a")
    assert [one.error for one in failures[:2]] == ["ValueError: 59", "ValueError: 58"]


def test_the_traceback_has_the_users_frames_and_the_cause(failures: FailedRequests) -> None:
    try:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("second") from error
    except ValueError as error:
        failures.note("GET /api/a", error)
    text = failures[0].traceback
    assert text.index("KeyError: 'first'") < text.index("which led to") < text.index("ValueError: second")
    assert text.count("test_failures.py") == 2


def test_an_error_without_frames_of_the_user_has_all_of_them(failures: FailedRequests) -> None:
    try:
        FailedRequests(lambda: 0)[1:2][0]
    except IndexError as error:
        failures.note("GET /api/a", error.with_traceback(None))
    assert failures[0].traceback == "IndexError: list index out of range"


def test_credentials_of_the_request_are_in_neither_the_list_nor_the_log(
    failures: FailedRequests, caplog: pytest.LogCaptureFixture
) -> None:
    headers = [("Authorization", "Bearer header-token"), ("cookie", "session=cookie-value; b=2"), ("accept", "text/html")]
    query = f"code={KEY}&name=Ann".encode()
    with caplog.at_level(logging.ERROR, "dfnb.server"):
        failures.note("GET /a", raised(ValueError(f"no {KEY}, header-token, cookie-value for Ann in text/html")), headers, query)
    for text in (str(failures), repr(failures), repr(failures[0]), failures._repr_html_(), caplog.text):
        assert "ValueError" in text
        assert not any(secret in text for secret in (KEY, "header-token", "cookie-value"))
    assert "for Ann in text/html" in failures[0].error


def test_reprs_are_short_and_html_is_a_table(failures: FailedRequests) -> None:
    assert repr(failures) == "<FailedRequests: 0>"
    assert str(failures) == "no request has failed"
    assert "no request has failed" in failures._repr_html_()
    id = failures.note("GET /api/a", raised(ValueError("<b>\n" + "x" * 5_000)))
    assert len(repr(failures)) <= 220
    assert len(repr(failures[0])) <= 220
    assert id in str(failures)
    assert "<table>" in failures._repr_html_()
    assert "<b>" not in failures._repr_html_()


def test_a_fault_of_the_management_api_is_kept_with_its_route(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("inner detail")

    monkeypatch.setattr(Statuses, "show", broken)
    answer = server.ask("GET", "/instances/of-somebody?showInput=false")
    assert answer.status == 500
    assert b"inner detail" not in answer.body
    (kept,) = server.app.failures
    assert kept.route == "GET /runtime/webhooks/durabletask/instances/{instanceId}"
    assert kept.error == "RuntimeError: inner detail"
    assert kept.id in answer.body.decode()
