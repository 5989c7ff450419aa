"""What the HTTP libraries log of our requests: nothing; and of others' what they did before."""

from __future__ import annotations

import asyncio
import logging

import httpx
import pytest

from dfnb.durable_http import unlogged as module
from dfnb.durable_http.calls import begin_call
from dfnb.durable_http.retry_after import Pace
from dfnb.durable_http.secrets import Secret
from dfnb.durable_http.sending import Sender
from dfnb.durable_http.tokens import Tokens
from dfnb.durable_http.unlogged import unlogged
from dfnb.records.http import DurableHttpRequest
from dfnb.testing import FakeClock

URL = "https://api.example/x?sig="


def test_a_url_with_a_secret_is_not_logged_and_that_of_others_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LOG_KEY", "not-for-the-log")
    caplog.set_level(logging.DEBUG)
    clock, there = FakeClock(), httpx.MockTransport(lambda request: httpx.Response(200, text=str(request.url)))
    text = DurableHttpRequest("GET", URL + Secret.env("LOG_KEY")).encode(clock.now())
    work = begin_call(text, instance_id="run", generation=0, task=1, now=clock.now(), pace=Pace())

    async def both() -> None:
        sender = Sender(clock.now, clients={"": lambda: there}, tokens=Tokens(), public_only=False, longest=1_000)
        sent = await sender.send(work)
        assert sent.answer.status == 200
        await sender.close()
        async with httpx.AsyncClient(transport=there) as own:
            await own.get(URL + "their-own")

    asyncio.run(both())
    assert "not-for-the-log" not in caplog.text
    assert caplog.text.count("HTTP Request") == 1
    assert "their-own" in caplog.text


def test_no_logger_below_it_speaks(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in module._LOGGERS:
        with unlogged():
            logging.getLogger(name).info("within")
        logging.getLogger(name).info("outside")
    assert [record.getMessage() for record in caplog.records] == ["outside"] * len(module._LOGGERS)


def test_every_logger_of_httpcore_is_known() -> None:
    httpx.AsyncHTTPTransport()  # which imports it
    named = {name for name, kind in logging.root.manager.loggerDict.items() if isinstance(kind, logging.Logger)}
    assert {name for name in named if name.startswith(("httpx", "httpcore"))} <= set(module._LOGGERS)


def test_tasks_begun_within_it_are_quiet_too_and_others_are_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="httpx")

    async def speak(what: str) -> None:
        logging.getLogger("httpx").info(what)

    async def both() -> None:
        other = asyncio.create_task(speak("other"))
        with unlogged():
            ours = asyncio.create_task(speak("ours"))
            await asyncio.gather(ours, other)

    asyncio.run(both())
    assert [record.getMessage() for record in caplog.records] == ["other"]
