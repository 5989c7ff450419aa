from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

import dfnb
from dfnb.durable_http.retry_after import Pace
from dfnb.durable_http.secrets import Secret
from dfnb.engine.http import HttpSettings
from dfnb.testing import HarTransport

PACE = Pace(every=0.01, floor=0.0)


def entry(url: str = "https://host/a", text: str = "", status: int = 200, method: str = "GET", **response: Any) -> dict[str, Any]:
    content = {"text": text, **response.pop("content", {})}
    return {"request": {"method": method, "url": url}, "response": {"status": status, "content": content, **response}}


def har(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"log": {"version": "1.2", "entries": list(entries)}}


def client(*entries: dict[str, Any], strict: bool = True) -> httpx.Client:
    return httpx.Client(transport=HarTransport(har(*entries), strict=strict))


def test_each_request_gets_the_answer_recorded_for_it_in_turn() -> None:
    with client(
        entry(text="one"), entry("https://host/b", "other"), entry(text="two", status=202), entry(text="sent", method="POST")
    ) as http:
        assert http.get("https://host/b").text == "other"
        assert http.get("https://HOST:443/a#part").text == "one"
        assert http.post("https://host/a").text == "sent"
        second = http.get("https://host/a")
        assert (second.status_code, second.text) == (202, "two")


def test_it_answers_coroutines_too() -> None:
    async def ask() -> str:
        async with httpx.AsyncClient(transport=HarTransport(har(entry(text="one")))) as http:
            return (await http.get("https://host/a")).text

    assert asyncio.run(ask()) == "one"


def test_what_was_not_recorded_is_named() -> None:
    with client(entry(), entry("https://host/b")) as http, pytest.raises(LookupError) as caught:
        http.get("https://host/c?x=1")
    assert str(caught.value) == "GET https://host/c?x=1 was not recorded; the archive has GET https://host/a, GET https://host/b"
    with client() as http, pytest.raises(LookupError, match="the archive has no requests at all"):
        http.get("https://host/c")


def test_a_request_made_too_often_is_named_unless_the_last_answer_may_be_repeated() -> None:
    with client(entry(text="one"), entry(text="two")) as http:
        assert [http.get("https://host/a").text for _ in range(2)] == ["one", "two"]
        with pytest.raises(LookupError, match="GET https://host/a was recorded 2 times, and is asked for once more; record"):
            http.get("https://host/a")
    with client(entry(text="one"), entry(text="two"), strict=False) as http:
        assert [http.get("https://host/a").text for _ in range(3)] == ["one", "two", "two"]
        with pytest.raises(LookupError, match="was not recorded"):
            http.get("https://host/b")


def test_what_nobody_asked_for_is_listed() -> None:
    transport = HarTransport(har(entry(), entry(), entry("https://host/b")))
    with httpx.Client(transport=transport) as http:
        http.get("https://host/a")
    assert transport.unused == ["GET https://host/a", "GET https://host/b"]


def test_a_stand_in_meets_any_value() -> None:
    with client(
        entry("https://host/<secret: A/b>/x?key=<secret: KEY>&sig=<redacted>&n=1", "met"),
        entry("https://host/op?sig=%3Credacted%3E", "encoded"),
        entry("https://host/<secret: A/b>", "end"),
    ) as http:
        assert http.get("https://host/s3cr3t/x?key=a%26b&sig=c/d&n=1").text == "met"
        assert http.get("https://host/op?sig=anything").text == "encoded"
        assert http.get("https://host/whatever").text == "end"
        with pytest.raises(LookupError):
            http.get("https://host/s3cr3t/x?key=a&sig=b&n=2")


def test_the_very_url_comes_before_one_with_stand_ins() -> None:
    with client(entry("https://host/<redacted>", "any"), entry("https://host/me", "me")) as http:
        assert http.get("https://host/me").text == "me"
        assert http.get("https://host/you").text == "any"


def test_headers_and_bytes_come_as_recorded_but_for_how_they_travelled() -> None:
    headers = [("Set-Cookie", "a"), ("Set-Cookie", "b"), ("Content-Encoding", "gzip"), ("Content-Length", "9"), (":status", "200")]
    body = b"\xff\x00zip"
    with client(entry(
        headers=[{"name": name, "value": value} for name, value in headers],
        content={"text": base64.b64encode(body).decode(), "encoding": "base64"},
    )) as http:  # fmt: skip
        answer = http.get("https://host/a")
    assert answer.content == body
    assert answer.headers.multi_items() == [("set-cookie", "a"), ("set-cookie", "b")]


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ("ReadError: reset by peer", httpx.ReadError), ("no answer within 3 s", httpx.ReadTimeout),
        ("ConnectTimeout", httpx.ConnectTimeout), ("URL: no error", httpx.ConnectError), ("", httpx.ConnectError),
    ],
)  # fmt: skip
def test_a_recorded_failure_is_raised_again(told: str, kind: type[httpx.TransportError]) -> None:
    with client(entry(status=0, _error=told)) as http, pytest.raises(kind):
        http.get("https://host/a")


@pytest.mark.parametrize("text", ["", "[]", '{"log": {}}', '{"log": {"entries": [{"request": {}}]}}', "<html>"])
def test_a_file_that_is_no_archive_is_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.har"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"run\.har is no HTTP archive: it needs log\.entries"):
        HarTransport(path)


# ---- a whole run


def registry() -> dfnb.Registry:
    made = dfnb.Registry()

    @dfnb.orchestrator(registry=made)
    def analyse(context: dfnb.DurableOrchestrationContext) -> Any:
        key = Secret.env("HAR_KEY")
        answer = yield context.call_http("POST", f"https://host/jobs?subject={key}", {"n": 1}, headers={"X-Key": key})
        return [answer.status_code, answer.json()]

    return made


class Api:
    """Answers in turn, and notes what it was asked."""

    def __init__(self, answers: Iterable[httpx.Response]) -> None:
        self._answers = iter(answers)
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url}")
        return next(self._answers)


def run_with(transport: Callable[[], Any], pace: Pace = PACE) -> tuple[Any, Any]:
    """The output of `analyse` and its log."""
    settings = HttpSettings(clients={"": transport}, pace=pace)
    with dfnb.DurableApp(":memory:", registry=registry(), http=settings) as app:
        run = app.client.start("analyse")
        return run.result(10), run.http()


def test_a_polled_call_is_replayed_from_its_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAR_KEY", "k1-very-secret/&")
    api = Api([
        httpx.Response(202, headers={"Location": "/op/1?sig=abcdefgh&v=2", "Retry-After": "0.05"}),
        httpx.Response(202, json={"status": "running"}, headers={"Retry-After": "0"}),
        httpx.Response(200, json={"done": True, "echo": "k1-very-secret/&"}),
    ])  # fmt: skip
    first, log = run_with(lambda: httpx.MockTransport(api))
    assert first == [200, {"done": True, "echo": "<secret: HAR_KEY>"}]
    assert api.asked[1:] == ["GET https://host/op/1?sig=abcdefgh&v=2"] * 2
    path = log.save_har(tmp_path / "run.har")
    text = path.read_text(encoding="utf-8")
    assert "k1-very-secret" not in text
    assert "abcdefgh" not in text
    assert json.loads(text)["log"]["entries"][1]["_dfnb"]["purpose"] == "poll"

    monkeypatch.setenv("HAR_KEY", "another-value")
    transport = HarTransport(path)
    again, replayed = run_with(lambda: transport)
    assert again == first
    assert transport.unused == []
    facts = [(one.purpose, one.method, one.status, one.asked_wait, one.response_body) for one in replayed]
    assert facts == [(one.purpose, one.method, one.status, one.asked_wait, one.response_body) for one in log]
    assert facts[0][3] == timedelta(seconds=0.05)


def test_a_replay_need_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAR_KEY", "any-value")
    polled = [{"name": "Location", "value": "/op/1"}, {"name": "Retry-After", "value": "3600"}]
    transport = HarTransport(har(
        entry("https://host/jobs?subject=<secret: HAR_KEY>", status=202, method="POST", headers=polled),
        entry("https://host/op/1", "[]"),
    ))  # fmt: skip
    assert run_with(lambda: transport, Pace(floor=0, cap=0))[0] == [200, []]
