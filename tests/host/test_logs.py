"""Instances that start and end are told, and a flood of them is counted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

import dfnb
from dfnb.host.logs import MOST_LINES, InstanceLog, to_stderr


@pytest.fixture
def app() -> Iterator[dfnb.DurableApp]:
    registry = dfnb.Registry()

    @dfnb.orchestrator(registry=registry)
    def ask(context: dfnb.DurableOrchestrationContext):  # type: ignore[no-untyped-def]
        return (yield context.wait_for_external_event("answer"))

    with dfnb.DurableApp(":memory:", registry=registry) as app:
        yield app


def tell_until(lines: int, told: InstanceLog, news: threading.Event, caplog: pytest.LogCaptureFixture) -> None:
    """Tell whenever there is news, until so many lines have been logged."""
    while len(caplog.messages) < lines:
        assert news.wait(30)
        news.clear()
        told.tell()


def test_a_start_and_an_end_are_a_line_each(app: dfnb.DurableApp, caplog: pytest.LogCaptureFixture) -> None:
    news = threading.Event()
    told = InstanceLog(app.client, news.set)
    with caplog.at_level(logging.INFO, "dfnb"):
        run = app.client.start("ask", instance_id="one")
        tell_until(1, told, news, caplog)
        run.raise_event("answer", 1)
        tell_until(2, told, news, caplog)
    told.end()
    assert caplog.messages[0] in ("ask one: Pending", "ask one: Running")
    assert caplog.messages[1:] == ["ask one: Completed"]


def test_a_flood_is_counted(app: dfnb.DurableApp, caplog: pytest.LogCaptureFixture) -> None:
    news = threading.Event()
    told = InstanceLog(app.client, news.set)
    with caplog.at_level(logging.INFO, "dfnb"):
        app.client.start_many("ask", range(MOST_LINES + 30))
        tell_until(1, told, news, caplog)
    told.end()
    assert len(caplog.messages) == MOST_LINES + 1
    assert caplog.messages[-1] == "and 30 more instances started or ended"


def test_lines_have_a_time_a_level_and_the_message(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("dfnb")
    before = logger.level, logger.propagate
    handler = to_stderr(verbose=False)
    try:
        logging.getLogger("dfnb.server").info("it serves")
        logging.getLogger("dfnb.server").debug("too much")
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before
    said = capsys.readouterr().err
    assert said.endswith(" INFO it serves\n")
    assert said[:19].replace("-", "").replace(":", "").replace(" ", "").isdigit()
