"""HTTP calls as the original's status API shows them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dfnb.client.wire import history_events
from dfnb.durable_http.secrets import Secret
from dfnb.records.failure import FailureDetails
from dfnb.records.history import HistoryEvent, HttpCallCompleted, HttpCallFailed, HttpCallScheduled, Recorded
from dfnb.records.http import DurableHttpRequest

START = 1_767_225_600_000_000  # 2026-01-01
FAILURE = FailureDetails("dfnb.errors.HttpTimeoutError", "no answer within 5 s")


def shown(*events: HistoryEvent, show_input: bool = True, show_output: bool = True) -> list[dict[str, Any]]:
    rows = [Recorded(1, START + n * 1_000_000, event) for n, event in enumerate(events)]
    return history_events(rows, show_input=show_input, show_output=show_output)


def call(*arguments: Any, **options: Any) -> HttpCallScheduled:
    request = DurableHttpRequest(*arguments, **options)
    return HttpCallScheduled(1, request.title, request.encode(START))


def at(second: int) -> str:
    return f"2026-01-01T00:00:{second:02d}.000000Z"


def test_a_call_under_way_is_a_scheduled_activity_of_the_originals_name() -> None:
    (entry,) = shown(call("POST", "https://host/x", {"n": 1}))
    asked = entry.pop("Input")
    assert entry == {"EventType": "TaskScheduled", "Name": "BuiltIn::HttpActivity", "ParentTraceContext": None, "Timestamp": at(0)}
    assert json.loads(asked) == {
        "method": "POST", "uri": "https://host/x", "headers": {}, "content": '{"n": 1}', "tokenSource": None,
        "asynchronousPatternEnabled": True, "retryOptions": None, "timeout": None,
    }


def test_an_answer_absorbs_its_call() -> None:
    (entry,) = shown(call("GET", "https://host"), HttpCallCompleted(1, 404, (("a", "1"), ("A", "2")), "gone"))
    assert entry.pop("Input").startswith('{"method": "GET"')
    assert entry == {
        "EventType": "TaskCompleted", "Result": {"statusCode": 404, "headers": {"a": ["1", "2"]}, "content": "gone"},
        "Timestamp": at(1), "ScheduledTime": at(0), "FunctionName": "BuiltIn::HttpActivity",
    }


def test_a_failed_call_is_a_failed_activity() -> None:
    (entry,) = shown(call("GET", "https://host"), HttpCallFailed(1, FAILURE, HttpCallCompleted(1, 503)))
    assert (entry["EventType"], entry["FunctionName"]) == ("TaskFailed", "BuiltIn::HttpActivity")
    assert entry["Reason"] == "Activity function 'BuiltIn::HttpActivity' failed: HttpTimeoutError: no answer within 5 s"
    assert entry["FailureDetails"]["ErrorType"] == "dfnb.errors.HttpTimeoutError"


def test_inputs_and_results_are_shown_only_when_asked_for() -> None:
    (entry,) = shown(call("GET", "https://host"), HttpCallCompleted(1, 200), show_input=False, show_output=False)
    assert set(entry) == {"EventType", "Timestamp", "ScheduledTime", "FunctionName"}


@pytest.mark.parametrize(
    ("uri", "headers", "shown_uri", "shown_headers"),
    [
        ("https://u:hunter2@host/x?code=hunter2&n=1", {}, "https://u:<redacted>@host/x?code=<redacted>&n=1", {}),
        ("https://host", {"Authorization": "Bearer hunter2", "n": "1"}, "https://host", {"Authorization": "<redacted>", "n": "1"}),
        ("https://host", {"api-key": ["hunter2", "hunter2"]}, "https://host", {"api-key": ["<redacted>", "<redacted>"]}),
        ("https://host", {"api-key": Secret.env("KEY")}, "https://host", {"api-key": "<secret: KEY>"}),
        ("https://host", {"Cookie": "k=" + Secret.env("KEY")}, "https://host", {"Cookie": "<redacted>"}),
        ("https://host", {"api-key": "Bearer " + Secret.env("KEY")}, "https://host", {"api-key": "Bearer <secret: KEY>"}),
        (f"https://host?code={Secret.env('KEY')}", {}, "https://host?code=<secret: KEY>", {}),
    ],
    ids=map(str, range(7)),  # a reference to a secret is signed anew in each process, which is no name for a test
)
def test_no_credential_is_shown_however_it_was_given(uri: Any, headers: Any, shown_uri: str, shown_headers: Any) -> None:
    (entry,) = shown(call("GET", uri, None, headers))
    wire = json.loads(entry["Input"])
    assert (wire["uri"], wire["headers"]) == (shown_uri, shown_headers)
    assert "hunter2" not in entry["Input"]


def test_cookies_a_server_set_are_not_shown() -> None:
    (entry,) = shown(call("GET", "https://host"), HttpCallCompleted(1, 200, (("Set-Cookie", "session=hunter2"),)))
    assert entry["Result"]["headers"] == {"Set-Cookie": "<redacted>"}
