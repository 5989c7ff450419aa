"""Tables in a real browser: scrolling, sorting, filters, choosing and acting, opening and coming back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..contrast import faint
from .page import ViewPage, open_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HALF = Path(__file__).with_name("table_half.js").read_text(encoding="utf-8")
SEEN = "[...document.querySelectorAll('.dfnb-space .dfnb-line:not([hidden])')]"


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[ViewPage]:
    with open_page(chromium_path, reduced_motion="reduce") as view:
        yield view


@pytest.fixture
def view(browser: ViewPage) -> Iterator[ViewPage]:
    browser.problems.clear()
    browser.page.set_viewport_size({"width": 1000, "height": 900})
    browser.open("lots.picture()", before=HALF)
    yield browser
    assert browser.problems == []


def column(view: ViewPage, number: int) -> list[str]:
    """What stands in a column of the rows in sight, from the top."""
    lines = f"{SEEN}.sort((a, b) => a.dataset.index - b.dataset.index)"
    found: list[str] = view.run(f"{lines}.map(line => line.children[{number}].textContent)")
    return found


def asked(view: ViewPage, kind: str) -> dict[str, Any]:
    """The latest question of a kind, without its number."""
    view.until(f"harness.asked('{kind}').length > 0")
    message: dict[str, Any] = view.run(f"harness.asked('{kind}').at(-1)")
    return {name: value for name, value in message.items() if name not in ("ask", "id")}


def scroll_to_end(view: ViewPage) -> None:
    view.run("(() => { const grid = document.querySelector('[role=grid]'); grid.scrollTop = grid.scrollHeight; })()")


def test_the_newest_rows_are_there_at_once_and_few_lines_exist(view: ViewPage):
    assert column(view, 3)[:3] == ["trip-09999", "trip-09998", "trip-09997"]
    assert view.run("document.querySelectorAll('.dfnb-space .dfnb-line').length") < 40
    assert view.page.get_by_text("Instances: 10,000").is_visible()


def test_ten_thousand_rows_are_loaded_by_scrolling(view: ViewPage):
    for loaded in (*range(1_100, 10_000, 1_000), 10_000):
        scroll_to_end(view)
        view.until(f"document.querySelector('[role=grid]').getAttribute('aria-rowcount') == {loaded + 1}")
    scroll_to_end(view)
    view.until(f"{SEEN}.some(line => line.textContent.includes('trip-00000'))")
    assert len(view.run("harness.asked('rows')")) == 10
    assert view.run("document.querySelectorAll('.dfnb-space .dfnb-line').length") < 40


def test_a_title_sorts_up_down_and_not_at_all(view: ViewPage):
    title = view.page.get_by_role("columnheader", name="elapsed")
    title.get_by_role("button").click()
    assert title.get_attribute("aria-sort") == "ascending"
    assert column(view, 3)[0] == "trip-09992"
    title.get_by_role("button").click()
    assert title.get_attribute("aria-sort") == "descending"
    title.get_by_role("button").click()
    assert column(view, 3)[0] == "trip-09999"


def test_filters_are_asked_of_the_kernel(view: ViewPage):
    chip = view.page.get_by_role("button", name="Failed")
    chip.click()
    view.until(f"{SEEN}.every(line => line.dataset.state === 'Failed')")
    assert asked(view, "question") == {"status": ["Failed"], "name": "", "prefix": "", "from": None, "to": None}
    assert chip.get_attribute("aria-pressed") == "true"
    view.page.get_by_label("name").select_option("ship_order")
    view.until(f"{SEEN}.every(line => line.children[2].textContent === 'ship_order')")
    prefix = view.page.get_by_placeholder("id begins with")
    prefix.fill("trip-000")
    prefix.press("Enter")
    view.until("document.querySelector('[role=grid]').getAttribute('aria-rowcount') < 12")
    assert asked(view, "question")["prefix"] == "trip-000"
    view.page.get_by_role("button", name="Clear").click()
    view.page.get_by_text("Instances: 10,000").wait_for()


def test_a_window_of_time_can_be_asked_for(view: ViewPage):
    view.page.get_by_label("created from").fill("2026-01-02T03:04:05")
    view.page.get_by_label("created to").fill("2026-01-02T03:04:06")
    view.page.get_by_label("created to").press("Tab")
    window = asked(view, "question")
    assert window["to"] - window["from"] == 1_999


def test_the_chart_is_drawn_and_a_bar_asks_for_its_span(view: ViewPage):
    bars = view.page.locator(".dfnb-bars > div")
    assert bars.count() == 50
    assert view.run("[...document.querySelectorAll('.dfnb-bars > div')].every(bar => bar.children.length >= 5)")
    assert "Completed" in bars.nth(10).get_attribute("title")
    bars.nth(10).click()
    question = asked(view, "question")
    assert question["to"] - question["from"] == 10_000 * 100 - 1


def test_rows_are_chosen_and_acted_on_after_a_question(view: ViewPage):
    boxes = view.page.locator(".dfnb-space input")
    boxes.nth(1).click()  # pending
    boxes.nth(4).click(modifiers=["Shift"])
    assert view.page.get_by_text("4 selected").is_visible()
    view.page.get_by_role("button", name="Terminate 2").click()
    assert view.page.get_by_text("Terminate 2 instances?").is_visible()
    view.page.get_by_placeholder("reason").fill("enough")
    view.page.get_by_role("button", name="Terminate", exact=True).click()
    assert asked(view, "do") == {"action": "terminate", "reason": "enough", "ids": ["trip-09998", "trip-09995"]}
    view.page.get_by_text("terminate: done").wait_for()
    view.until("document.querySelectorAll('[aria-selected=true]').length === 0")


def test_a_question_can_be_answered_with_no(view: ViewPage):
    view.page.locator(".dfnb-space input").nth(2).click()
    view.page.get_by_role("button", name="Purge 1").click()
    assert view.page.get_by_text("Purge 1 instance with the whole history?").is_visible()
    view.page.get_by_role("button", name="Keep").click()
    assert view.run("harness.asked('do').length") == 0


def test_the_keyboard_walks_chooses_opens_and_comes_back(view: ViewPage):
    grid = view.page.get_by_role("grid")
    grid.focus()
    for key in ("ArrowDown", "ArrowDown", "Space", "Shift+ArrowDown", "Shift+ArrowDown"):
        grid.press(key)
    assert view.page.get_by_text("3 selected").is_visible()
    active = grid.get_attribute("aria-activedescendant")
    assert "trip-09996" in view.run(f"document.getElementById('{active}').textContent")
    grid.press("Escape")
    assert view.page.get_by_text("3 selected").count() == 0
    grid.press("Enter")
    assert asked(view, "go") == {"instance": "trip-09996"}
    view.page.get_by_role("tab", name="Timeline").wait_for()
    view.page.get_by_role("button", name="all instances").click()
    view.page.get_by_role("grid").wait_for()
    assert column(view, 3)[0] == "trip-09999"


def test_a_click_on_a_row_opens_it(view: ViewPage):
    view.page.get_by_text("trip-09997").click()
    assert asked(view, "go") == {"instance": "trip-09997"}


def test_all_that_are_loaded_can_be_chosen(view: ViewPage):
    view.page.get_by_label("select all").click()
    assert view.page.get_by_text("100 selected").is_visible()
    view.page.get_by_label("select all").click()
    assert view.page.get_by_text("100 selected").count() == 0


def test_changes_come_in_where_they_belong(view: ViewPage):
    view.run("harness.tell({ set: { total: 10_001 }, rows: { new: { ...lots.row(10_000, 'Running'), id: 'new' } } })")
    view.until(f"{SEEN}.some(line => line.textContent.includes('new'))")
    assert column(view, 3)[:2] == ["new", "trip-09999"]
    view.run("harness.tell({ rows: { 'trip-09999': { id: 'trip-09999', out: true }, 'trip-09998': lots.row(9998, 'Failed') } })")
    view.until(f"{SEEN}.every(line => !line.textContent.includes('trip-09999'))")
    assert column(view, 3)[:2] == ["new", "trip-09998"]
    assert column(view, 1)[:2] == ["Running", "Failed"]


def test_a_busy_kernel_is_said(view: ViewPage):
    view.run("harness.silent = true")
    view.page.get_by_role("button", name="Failed").click()
    assert view.page.get_by_text("asked…").is_visible()
    view.page.get_by_text("the kernel is busy").wait_for()


def test_entities_show_their_state_and_can_be_looked_into(view: ViewPage):
    view.open("lots.entities()", before=HALF)
    assert column(view, 1)[:2] == ["item-0", "item-1"]
    view.page.get_by_text("item-3").click()
    view.page.locator("pre").get_by_text("@stock@item-3").wait_for()
    assert view.page.locator(".dfnb-space input").count() == 0


def test_definitions_say_which_cell_is_waited_for(view: ViewPage):
    view.open("lots.definitions()", before=HALF)
    assert view.page.get_by_text("3 calls wait for this cell").is_visible()


def test_dark_looks_different(view: ViewPage):
    light = view.page.screenshot()
    view.open("lots.picture()", light=False, before=HALF)
    assert view.page.screenshot() != light
    assert view.run("getComputedStyle(document.querySelector('.dfnb-titles')).backgroundColor") == "rgb(27, 27, 27)"


@pytest.mark.parametrize("light", [True, False], ids=["light", "dark"])
@pytest.mark.parametrize("chosen", ["null", "['Running', 'Completed', 'Failed', 'Suspended', 'Terminated']"], ids=["all", "some"])
def test_all_texts_stand_out(view: ViewPage, light: bool, chosen: str):
    view.open("lots.picture()", before=f"{HALF}; lots.question.status = {chosen}", light=light)
    view.page.get_by_text("Instances:").wait_for()
    assert faint(view.page) == []


def test_with_forced_colours_the_chart_has_no_frames_and_tells_states_apart(view: ViewPage):
    view.page.emulate_media(forced_colors="active")
    bars = view.page.locator(".dfnb-bars")
    looks = bars.locator("div").first.locator("i").evaluate_all("all => all.map((one) => getComputedStyle(one).background)")
    assert len(set(looks)) == 5, "Pending is one of those that run"
    assert "rgba(0, 0, 0, 0)" in bars.locator("div").first.evaluate("bar => getComputedStyle(bar).borderRightColor")
    view.page.emulate_media(forced_colors="none")


LONGEST_RUN = "harness.tell({ rows: { first: { ...lots.row(10_000, 'Completed'), created: 1e12, ended: 1e12 + 3599e3 } } })"


@pytest.mark.parametrize("width", [600, 1200])
def test_how_long_it_took_has_room(view: ViewPage, width: int):
    view.page.set_viewport_size({"width": width, "height": 900})
    view.run(LONGEST_RUN)
    view.page.get_by_text("59 min 59 s", exact=True).wait_for()
    assert view.cut_off(".dfnb-line:not([hidden]) > :nth-child(6)") == []


@pytest.mark.parametrize("width", [600, 1200])
def test_kinds_of_definitions_have_room(view: ViewPage, width: int):
    view.page.set_viewport_size({"width": width, "height": 900})
    view.open("lots.definitions()", before=HALF)
    view.page.get_by_text("orchestrator", exact=True).wait_for()
    assert view.cut_off(".dfnb-line:not([hidden]) > :nth-child(1)") == []


def test_nothing_is_cut_off_at_600_pixels(view: ViewPage):
    view.page.set_viewport_size({"width": 600, "height": 900})
    view.open("lots.picture()", before=HALF)
    assert view.run("document.documentElement.scrollWidth") <= 600
    assert view.run("[document.querySelector('[role=grid]')].every(grid => grid.scrollWidth <= grid.clientWidth)")


def test_nothing_runs_on_after_the_end(view: ViewPage):
    view.run("harness.stop()")
    view.until("[...harness.timers].length === 0")
    assert view.run("harness.model.listeners()") == 0
