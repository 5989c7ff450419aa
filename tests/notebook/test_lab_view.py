"""The live view of one instance in JupyterLab, with a real kernel behind it: what it shows, and what its buttons do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from . import tour
from .lab import Lab, open_lab

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def opened(chromium_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with tour.served_api() as where, open_lab(chromium_path, tmp_path_factory.mktemp("lab")) as lab:
        for cell in (where, *tour.CELLS):
            lab.run(cell)
        yield lab


@pytest.fixture
def lab(opened: Lab) -> Iterator[Lab]:
    opened.clear()
    opened.problems.clear()
    yield opened
    assert opened.problems == []


@pytest.fixture
def tour_view(lab: Lab) -> Any:
    """A run that waits, with a task of each kind."""
    number = len(lab.page.evaluate("() => (window.tours ??= []).push(0) && window.tours"))
    view = lab.view(f'run = df.start("tour", {{"who": "Ann"}}, instance_id="tour-{number}")\nrun')
    view.get_by_text("event approval since").wait_for()
    return view


def panel(view: Any, tab: str) -> Any:
    view.get_by_role("tab", name=tab).click()
    return view.get_by_role("tabpanel")


def press(view: Any, name: str) -> None:
    view.get_by_role("button", name=name, exact=True).click()


def pill(view: Any, status: str) -> None:
    view.locator(".dfnb-pill").get_by_text(status, exact=True).wait_for()


# ---- what it shows


def test_it_says_why_it_waits_and_counts_while_the_kernel_is_idle(lab: Lab, tour_view: Any):
    tour_view.get_by_text("timer until").wait_for()
    tour_view.get_by_text("on the way", exact=True).wait_for()
    lab.wait_idle()
    tour_view.get_by_text("59 min 57 s").wait_for()
    tour_view.get_by_text("59 min 55 s").wait_for()


def test_the_timeline_has_a_row_for_each_kind_of_task(lab: Lab, tour_view: Any):
    press(tour_view, "As text")
    rows = tour_view.get_by_role("listbox", name="Tasks as text")
    for text in ("HTTP call", "activity", "sub-orchestration", "lock", "entity", "timer", "event"):
        rows.get_by_text(text, exact=True).first.wait_for()
    rows.get_by_text("2 tries").wait_for()
    rows.get_by_text("Retry-After 1 s").wait_for()
    rows.get_by_text("4 polls").wait_for()  # they go on, and the view is told
    lab.keep("timeline-as-text", tour_view)


def test_each_poll_is_a_mark_on_the_timeline(lab: Lab, tour_view: Any):
    tour_view.get_by_role("tab", name="HTTP").get_by_text("6").wait_for()
    lab.keep("timeline", tour_view)
    marks = tour_view.locator(".dfnb-frame canvas").evaluate(MARKS)
    assert marks >= 2


MARKS = """canvas => {
    const pen = canvas.getContext("2d"), scale = canvas.width / canvas.clientWidth;
    const { data } = pen.getImageData(0, Math.round(scale * (22 + 20 - 7)), canvas.width, 1);
    let runs = 0, solid = false;
    for (let at = 0; at < data.length; at += 4) {
        const now = data[at + 3] === 255 && data[at + 2] - data[at] > 120;
        if (now && !solid) runs++;
        solid = now;
    }
    return runs;
}"""
"""How many pieces of the strong colour a line of pixels through the lower edge of the first row's marks has."""


def test_the_tabs_have_events_exchanges_payloads_lines_and_code(lab: Lab, tour_view: Any):
    history = panel(tour_view, "History")
    history.get_by_text("TaskFailed").first.click()
    history.locator("pre").get_by_text("raise OSError").wait_for()
    lab.keep("history", tour_view)

    http = panel(tour_view, "HTTP")
    accepted = http.get_by_role("option").filter(has_text="202 Accepted")
    accepted.filter(has_text="/jobs").first.click()  # not the first of all: two calls set out at once
    http.locator("dd").get_by_text("<secret: TOUR_KEY>").wait_for()
    http.locator("dt").get_by_text("Retry-After").wait_for()
    http.locator("pre").get_by_text('"scene": 7').wait_for()
    assert "sesame-open" not in tour_view.inner_text()
    lab.keep("http", tour_view)

    payloads = panel(tour_view, "Payloads")
    payloads.get_by_text("result of find_route").last.click()
    payloads.locator("pre").get_by_text('"by train"').wait_for()
    lab.keep("payloads", tour_view)

    panel(tour_view, "Logs").get_by_text("try 2 of").wait_for()
    code = panel(tour_view, "Code")
    code.locator("[aria-current]").get_by_text("yield context.task_any([approval, late, job])").wait_for()
    lab.keep("code", tour_view)


def test_a_child_is_opened_from_its_parent_and_leads_back(lab: Lab, tour_view: Any):
    name = tour_view.locator(".dfnb-id").inner_text()
    press(tour_view, "As text")
    tour_view.get_by_text(f"instance {name}-leg").first.click()
    press(tour_view, "show it")
    tour_view.locator(".dfnb-id").get_by_text(f"{name}-leg").wait_for()
    tour_view.get_by_text("event board since").wait_for()
    tour_view.get_by_text("child of").wait_for()
    tour_view.get_by_role("button", name="Raise event").click()
    assert tour_view.get_by_label("event", exact=True).input_value() == "board"
    tour_view.locator("button[type=submit]").click()
    pill(tour_view, "Completed")
    lab.keep("child", tour_view)
    tour_view.get_by_role("navigation").get_by_role("button", name=name, exact=True).click()
    tour_view.locator(".dfnb-id").get_by_text(name, exact=True).wait_for()
    pill(tour_view, "Running")


def test_the_theme_of_the_page_is_followed(lab: Lab, tour_view: Any):
    colour = "element => getComputedStyle(element).color"
    light = tour_view.locator(".dfnb-name").evaluate(colour)
    try:
        lab.theme("Dark")
        assert tour_view.locator(".dfnb-live").evaluate("element => getComputedStyle(element).colorScheme") == "dark"
        assert tour_view.locator(".dfnb-name").evaluate(colour) != light
        lab.keep("dark", tour_view)
    finally:
        lab.theme("Light")


def test_a_narrow_page_shows_all_of_it(lab: Lab, tour_view: Any):
    try:
        lab.wide(600)
        for tab in ("Timeline", "History", "HTTP", "Payloads", "Logs", "Code"):
            panel(tour_view, tab)
            lab.keep(f"narrow-{tab.lower()}", tour_view)
            card = tour_view.locator(".dfnb-card")
            assert card.evaluate("card => card.scrollWidth <= card.clientWidth + 1"), tab
            assert card.bounding_box()["width"] <= 600
    finally:
        lab.wide(1200)


# ---- what its buttons do


def test_suspend_resume_and_an_event_with_data(lab: Lab):
    view = lab.view('run = df.start("ask")\nrun')
    press(view, "Suspend")
    pill(view, "Suspended")
    view.locator(".dfnb-said").get_by_text("suspended", exact=True).wait_for()
    press(view, "Resume")
    pill(view, "Running")
    press(view, "Raise event")
    view.get_by_label("data (JSON)").fill("{yes}")
    view.get_by_role("alert").get_by_text("not JSON yet").wait_for()
    assert view.locator("button[type=submit]").is_disabled()
    lab.keep("wrong-json", view)
    view.get_by_label("data (JSON)").fill('{"yes": [1, 2]}')
    view.locator("button[type=submit]").click()
    view.get_by_text("event answer was raised").wait_for()
    pill(view, "Completed")
    view.get_by_text('{"yes":[1,2]}').first.wait_for()


def test_terminate_is_confirmed_and_restart_leads_to_a_new_instance(lab: Lab):
    view = lab.view('run = df.start("ask", "tea", instance_id="first")\nrun')
    press(view, "Terminate")
    view.get_by_placeholder("reason").fill("too slow")
    view.locator("button[type=submit]").click()
    pill(view, "Terminated")
    view.get_by_text("too slow").first.wait_for()
    press(view, "Restart")
    view.locator("button[type=submit]").click()
    view.locator(".dfnb-said").get_by_role("button").click()
    pill(view, "Running")
    assert view.locator(".dfnb-id").inner_text() != "first"
    panel(view, "Payloads").locator("pre").get_by_text('"tea"').wait_for()
    view.get_by_role("navigation").get_by_role("button", name="first").click()
    pill(view, "Terminated")
    press(view, "Purge")
    view.get_by_text("Delete this instance and its whole history?").wait_for()
    view.locator("button[type=submit]").click()
    view.get_by_text("purged: its history was deleted").first.wait_for()


def test_what_failed_is_rewound_and_goes_on(lab: Lab):
    view = lab.view('run = df.start("brittle", instance_id="glass")\nrun')
    press(view, "Raise event")
    view.locator("button[type=submit]").click()
    pill(view, "Failed")
    view.get_by_text("OSError: the line is busy").first.wait_for()
    lab.keep("failed", view)
    press(view, "Rewind")
    view.locator("button[type=submit]").click()
    pill(view, "Completed")
    view.get_by_text("by train").first.wait_for()
