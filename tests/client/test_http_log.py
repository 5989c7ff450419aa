from __future__ import annotations

import base64
import json
import stat
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

import dfnb
from dfnb.client.http_log import HttpLog, http_log, state_of, status_words
from dfnb.durable_http.retry_after import Pace
from dfnb.engine.http import HttpSettings
from dfnb.records.http import Exchange

SECOND = 1_000_000
BEGIN = 1_700_000_000 * SECOND
PACE = Pace(every=0.01, floor=0.0)


def exchange(attempt: int = 1, at: float = 0, **facts: Any) -> Exchange:
    """A poll that took half a second and was answered by 202."""
    plain: dict[str, Any] = {"purpose": "poll", "method": "GET", "url": "https://host/op", "status": 202, "task": 1}
    return Exchange(attempt=attempt, sent_at=BEGIN + int(at * SECOND), took=SECOND // 2, **({"generation": 0} | plain | facts))


def due(at: float) -> int:
    return BEGIN + int(at * SECOND)


@pytest.fixture
def answers() -> list[httpx.Response]:
    """What the API answers, in turn."""
    return [
        httpx.Response(202, headers={"Location": "https://host/op/1?sig=abcdefgh", "Retry-After": "0.2"}),
        httpx.Response(202, json={"status": "running"}),
        httpx.Response(200, json={"done": True}),
    ]


@pytest.fixture
def app(answers: list[httpx.Response]) -> Iterator[dfnb.DurableApp]:
    registry = dfnb.Registry()

    @dfnb.orchestrator(registry=registry)
    def analyse(context: dfnb.DurableOrchestrationContext) -> Any:
        answer = yield context.call_http("POST", "https://host/jobs", {"n": 1})
        return answer.json()

    @dfnb.orchestrator(registry=registry)
    def quiet(context: dfnb.DurableOrchestrationContext) -> None:
        return None

    left = iter(answers)
    settings = HttpSettings(clients={"": lambda: httpx.MockTransport(lambda request: next(left))}, pace=PACE)
    with dfnb.DurableApp(":memory:", registry=registry, http=settings) as opened:
        yield opened


def test_an_exchange_tells_all_of_request_and_answer() -> None:
    (one,) = http_log("run", [exchange(
        2, 1, purpose="first", method="POST", url="https://host/jobs", request_headers=(("Content-Type", "application/json"),),
        request_body=b'{"n": 1}', response_headers=(("Set-Cookie", "a"), ("set-cookie", "b")), response_body=b'{"id": 7}',
        asked=10 * SECOND, due_at=due(31.5), note="odd",
    )])  # fmt: skip
    assert (one.instance_id, one.generation, one.task_id, one.attempt, one.purpose) == ("run", 0, 1, 2, "first")
    assert one.timestamp == datetime.fromtimestamp(1_700_000_001, UTC)
    assert (one.duration, one.asked_wait, one.wait) == (timedelta(seconds=0.5), timedelta(seconds=10), timedelta(seconds=30))
    assert (one.method, one.url, one.status) == ("POST", "https://host/jobs", 202)
    assert one.request_headers["content-type"] == "application/json"
    assert (one.request_body, one.request_text) == (b'{"n": 1}', '{"n": 1}')
    assert (one.response_headers["Set-Cookie"], one.json()) == (["a", "b"], {"id": 7})
    assert (one.note, one.error, one.waited) == ("odd", None, None)
    assert repr(one) == "<HttpExchange 1/2 first: POST https://host/jobs -> 202 Accepted>"


def test_a_body_is_read_in_the_charset_it_declares() -> None:
    latin = (("Content-Type", "text/plain; charset=latin-1"),)
    (one,) = http_log("run", [exchange(response_headers=latin, response_body=b"caf\xe9")])
    assert one.response_text == "café"
    assert one.response_body == b"caf\xe9"
    (other,) = http_log("run", [exchange(response_body=b"\xff\xfe\0")])
    assert other.response_text == "\N{REPLACEMENT CHARACTER}" * 2 + "\0"


def test_what_is_no_json_says_how_it_begins() -> None:
    (one,) = http_log("run", [exchange(status=502, response_body=b"<html>Bad Gateway")])
    with pytest.raises(ValueError, match=r"the answer \(502\) from https://host/op is not JSON: '<html>Bad Gateway'"):
        one.json()
    (none,) = http_log("run", [exchange(status=None, error="ConnectError: refused")])
    with pytest.raises(ValueError, match=r"\(none\) .* an empty body"):
        none.json()


def test_the_real_wait_is_until_the_next_request_of_the_same_call() -> None:
    log = http_log("run", [
        exchange(1, 0, due_at=due(5.5)),
        exchange(1, 1, task=2, due_at=due(60)),
        exchange(2, 8.5),
        exchange(1, 20),  # of a rewound call: nothing waited for it
    ])  # fmt: skip
    assert log[0].wait == timedelta(seconds=5)
    assert [one.waited for one in log] == [timedelta(seconds=8), None, None, None]
    assert log.lines()[1][6].startswith("until ")


def test_statuses_have_names_and_colours() -> None:
    assert [status_words(status) for status in (202, 429, 799)] == ["202 Accepted", "429 Too Many Requests", "799"]
    assert status_words(None) == "no answer"
    assert [state_of(status) for status in (200, 202, 303, 404, 429, 500, None)] == [
        "Completed", "Running", "Running", "Failed", "Held", "Failed", "Failed",
    ]  # fmt: skip


def test_the_log_of_a_run_has_a_row_for_each_request(app: dfnb.DurableApp) -> None:
    run = app.client.start("analyse")
    assert run.result(10) == {"done": True}
    log = run.http()
    assert isinstance(log, HttpLog)
    assert [(one.purpose, one.method, one.status) for one in log] == [
        ("first", "POST", 202), ("poll", "GET", 202), ("poll", "GET", 200),
    ]  # fmt: skip
    assert log[1].url == "https://host/op/1?sig=<redacted>"
    assert log[0].waited is not None
    assert log[0].waited >= timedelta(seconds=0.2)
    assert app.client.http(run.id) == log
    assert run.http(latest=2) == log[1:]
    with pytest.raises(ValueError, match="at least 1"):
        run.http(latest=0)
    assert [(call.requests, call.polls, call.status) for call in app.client.calls(app.client.record(run.id), 5)] == [(3, 2, 200)]


def test_an_instance_without_calls_says_so(app: dfnb.DurableApp) -> None:
    run = app.client.start("quiet")
    run.wait(10)
    assert run.http() == []
    assert run.http().foot == "no HTTP call has sent a request"
    assert run.http()._repr_html_() == '<span class="dfnb-quiet">no HTTP call has sent a request</span>'
    assert run.http().har()["log"]["entries"] == []
    with pytest.raises(dfnb.InstanceNotFoundError):
        app.client.http("nobody")


def test_frames_have_the_columns_of_the_view(app: dfnb.DurableApp) -> None:
    run = app.client.start("analyse")
    run.wait(10)
    view = app.sql("SELECT * EXCLUDE (request_body_hash, response_body_hash) FROM http_exchanges ORDER BY timestamp")
    rows = [dict(zip(view.columns, row, strict=True)) for row in view.fetchall()]
    frame = run.http().pl()
    assert frame.columns == view.columns
    assert [row | {"timestamp": row["timestamp"].replace(tzinfo=None)} for row in frame.to_dicts()] == rows
    assert list(run.http().df().columns) == view.columns


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModuleNotFoundError, match="pip install pandas"):
        HttpLog().df()


def test_html_escapes_cuts_and_opens_up() -> None:
    log = http_log("run", [
        exchange(1, request_body=b"<script>", response_body=b"x" * 5_000, note="<note>"),
        exchange(2, status=None, error="ConnectError: <refused>", response_body=b""),
        exchange(3, response_body=b"\x89PNG\0\0"),
    ])  # fmt: skip
    html = log._repr_html_()
    assert html.count("<details>") == 3
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "<td>&lt;note&gt;</td>" in html
    assert "… and 3,000 more characters" in html
    assert len(log[0].response_body) == 5_000
    assert '<span class="dfnb-bad">ConnectError: &lt;refused&gt;</span>' in html
    assert "(6 bytes that are no text)" in html
    assert 'data-state="Failed"' in html
    assert "no answer" in log[1]._repr_html_()


def test_a_long_log_shows_its_end() -> None:
    log = http_log("run", [exchange(number, number) for number in range(1, 200)])
    assert len(log.lines()) == 50
    assert log.lines()[-1][1] == "1/199"
    assert log._repr_html_().endswith('<span class="dfnb-quiet">the latest 50 of 199; the list has them all</span>')


# ---- the archive


def entry_of(**facts: Any) -> dict[str, Any]:
    (entry,) = http_log("run", [exchange(**facts)]).har()["log"]["entries"]
    return dict(entry)


def test_an_archive_has_what_har_asks_for() -> None:
    document = http_log("run", [exchange(2, 3), exchange(1, 1)]).har()
    assert document["log"]["version"] == "1.2"
    assert document["log"]["creator"]["name"] == "dfnb"
    assert [entry["_dfnb"]["attempt"] for entry in document["log"]["entries"]] == [1, 2]
    entry = entry_of(
        method="POST", url="https://host/jobs?a=1&a=&code=<redacted>", request_headers=(("Content-Type", "application/json"),),
        request_body=b"[1]", response_headers=(("Location", "/op/1"), ("Content-Type", "text/plain; charset=utf-8")),
        response_body="né".encode(), asked=2 * SECOND, due_at=due(2.5), note="odd",
    )  # fmt: skip
    assert entry["startedDateTime"] == "2023-11-14T22:13:20.000000+00:00"
    assert entry["time"] == 500
    assert entry["timings"] == {"send": 0, "wait": 500, "receive": 0}
    assert entry["cache"] == {}
    request, response = entry["request"], entry["response"]
    assert request["queryString"] == [
        {"name": "a", "value": "1"}, {"name": "a", "value": ""}, {"name": "code", "value": "<redacted>"},
    ]  # fmt: skip
    assert request["postData"] == {"mimeType": "application/json", "params": [], "text": "[1]"}
    assert request["bodySize"] == 3
    assert (response["status"], response["statusText"], response["redirectURL"]) == (202, "Accepted", "/op/1")
    assert response["content"] == {"size": 3, "mimeType": "text/plain; charset=utf-8", "text": "né"}
    assert entry["_dfnb"] == {
        "instance": "run", "generation": 0, "task": 1, "attempt": 1, "purpose": "poll", "askedWait": 2.0, "wait": 2.0,
        "note": "odd",
    }  # fmt: skip
    assert json.loads(json.dumps(document)) == document


def test_bodies_that_are_no_text_are_base64() -> None:
    entry = entry_of(request_body=b"\xff", response_body=b"\xfe\xff")
    assert entry["request"]["postData"]["_encoding"] == "base64"
    assert base64.b64decode(entry["request"]["postData"]["text"]) == b"\xff"
    assert entry["response"]["content"]["encoding"] == "base64"
    assert base64.b64decode(entry["response"]["content"]["text"]) == b"\xfe\xff"


def test_an_exchange_without_answer_has_status_0_and_the_reason() -> None:
    entry = entry_of(status=None, error="ConnectError: refused")
    assert (entry["response"]["status"], entry["response"]["_error"]) == (0, "ConnectError: refused")
    assert entry["_dfnb"]["error"] == "ConnectError: refused"


@pytest.mark.parametrize("make", [str, Path])
def test_a_saved_archive_is_the_owners_alone(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    log = http_log("run", [exchange()])
    path = log.save_har(make(tmp_path / "run.har"))
    assert json.loads(path.read_text(encoding="utf-8")) == log.har()
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
