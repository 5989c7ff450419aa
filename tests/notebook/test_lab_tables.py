"""Live tables in JupyterLab, with a real kernel behind them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .lab import Lab, open_lab

pytestmark = [pytest.mark.browser, pytest.mark.slow]

DEFINE = """import dfnb
%load_ext dfnb

@dfnb.orchestrator
def ask(context):
    return (yield context.wait_for_external_event("answer"))

@dfnb.orchestrator
def say(context):
    return 1
    yield

@dfnb.orchestrator
def lost(context):
    return (yield context.call_activity("not_yet"))

@dfnb.entity
def stock(context):
    context.set_state({"left": context.get_state(lambda: {"left": 0})["left"] + context.get_input()})
"""


@pytest.fixture(scope="module")
def opened(chromium_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with open_lab(chromium_path, tmp_path_factory.mktemp("lab")) as lab:
        lab.run(DEFINE)
        yield lab


@pytest.fixture
def lab(opened: Lab) -> Iterator[Lab]:
    opened.clear()
    yield opened
    assert opened.problems == []


def rows(view: Any) -> Any:
    return view.locator(".dfnb-space .dfnb-line:visible")


def test_a_table_follows_opens_an_instance_and_comes_back(lab: Lab):
    lab.run("for run in dfnb.start_many('say', range(200)): run.wait()")
    lab.run("dfnb.start('ask', instance_id='asks-1')")
    view = lab.view("dfnb.instances()")
    view.get_by_text("Instances: 201").wait_for()
    assert rows(view).first.inner_text().split()[:3] == ["Running", "ask", "asks-1"]
    assert view.locator(".dfnb-bars > div").count() >= 1
    lab.run("dfnb.start('ask', instance_id='asks-2')")
    view.get_by_text("Instances: 202").wait_for()
    lab.keep("table", view)

    rows(view).get_by_text("asks-2").click()
    view.get_by_role("tab", name="Timeline").wait_for()
    view.get_by_role("button", name="all instances").click()
    view.get_by_text("Instances: 202").wait_for()

    view.get_by_role("button", name="Running").click()
    view.get_by_text("Instances: 2", exact=True).wait_for()
    view.get_by_label("select all").click()
    view.get_by_role("button", name="Terminate 2").click()
    view.locator("button[type=submit]").click()
    view.get_by_text("2 terminated").wait_for()
    view.get_by_text("Instances: 0").wait_for()
    view.get_by_role("button", name="Clear").click()
    view.get_by_role("button", name="Terminated").get_by_text("2", exact=True).wait_for()


def test_older_rows_come_as_one_scrolls(lab: Lab):
    lab.run("dfnb.current().client.start_many('ask', range(3_000), instance_ids=[f'many-{n}' for n in range(3_000)])[0]")
    view = lab.view("dfnb.instances(prefix='many-')")
    view.get_by_text("Instances: 3,000").wait_for()
    grid = view.get_by_role("grid")
    for loaded in (1_100, 2_100, 3_000):
        grid.evaluate("grid => { grid.scrollTop = grid.scrollHeight; }")
        lab.page.wait_for_function("([grid, rows]) => grid.ariaRowCount == rows", arg=[grid.element_handle(), loaded + 1])
    grid.evaluate("grid => { grid.scrollTop = grid.scrollHeight; }")
    rows(view).get_by_text("many-0", exact=True).wait_for()


def test_a_page_that_is_reloaded_shows_the_table_again(lab: Lab):
    lab.run("dfnb.start('ask', instance_id='again-1')")
    number = lab.run("dfnb.instances(prefix='again-')")
    lab.output(number).get_by_text("again-1").wait_for()
    lab.saved()
    lab.reload()
    view = lab.output(number)
    view.get_by_text("again-1").wait_for()
    lab.run("dfnb.start('ask', instance_id='again-2')")
    view.get_by_text("again-2").wait_for()


def test_entities_and_definitions(lab: Lab):
    lab.run("client = dfnb.current().client\nclient.signal_entities([(f'@stock@{n}', 'add', n) for n in range(5)])")
    view = lab.view("dfnb.entities()")
    rows(view).get_by_text('{"left":4}').wait_for()
    lab.run("client.signal_entity('@stock@4', 'add', 38)")
    rows(view).get_by_text('{"left":42}').click()
    view.locator("pre").get_by_text('"left": 42').wait_for()
    lab.keep("entities", view)

    lab.run("dfnb.start('lost', instance_id='lost-1')")
    view = lab.view("dfnb.definitions()")
    view.get_by_text("1 call waits for this cell").wait_for()
    lab.keep("definitions", view)
    lab.run("@dfnb.activity\ndef not_yet() -> int:\n    return 1")
    view.get_by_text("1 call waits for this cell").wait_for(state="detached")
    rows(view).get_by_text("not_yet").click()
    view.locator("pre").get_by_text("return 1").wait_for()


def test_stats_and_the_twin_of_a_table_are_pictures(lab: Lab):
    lab.run("for run in dfnb.start_many('say', range(20)): run.wait()")
    stats = lab.output(lab.run("dfnb.stats()"))
    assert stats.locator("svg.dfnb-chart").count() == 2
    lab.keep("stats", stats)
    lab.run("import os; os.environ['DFNB_LIVE'] = '0'")
    twin = lab.output(lab.run("dfnb.instances(limit=5)"))
    assert twin.locator("svg.dfnb-chart").count() == 1
    assert twin.locator("tbody tr").count() == 5
    lab.keep("table-twin", twin)
    lab.theme("Dark")
    lab.keep("table-twin-dark", twin)
    lab.theme("Light")
    lab.run("del os.environ['DFNB_LIVE']")
