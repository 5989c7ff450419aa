"""The live view of one instance in Chromium, with the kernel's half played in the page."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from dfnb.notebook import display

from ..contrast import faint
from .page import ViewPage, open_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MANY = "picture(10_000)"


@pytest.fixture(scope="module")
def browser_view(chromium_path: str) -> Iterator[ViewPage]:
    with open_page(chromium_path) as view:
        yield view


@pytest.fixture
def view(browser_view: ViewPage) -> Iterator[ViewPage]:
    browser_view.problems.clear()
    browser_view.page.set_viewport_size({"width": 1000, "height": 900})
    browser_view.page.emulate_media(color_scheme="light", reduced_motion="no-preference", forced_colors="none")
    yield browser_view
    assert browser_view.problems == []


def colours(view: ViewPage, selector: str = ".dfnb-frame canvas") -> set[str]:
    """The colours of the pixels of the canvas."""
    return set(
        view.run(
            f"""() => {{
                const canvas = document.querySelector("{selector}"), pen = canvas.getContext("2d");
                const {{ data }} = pen.getImageData(0, 0, canvas.width, canvas.height), seen = new Set();
                for (let at = 0; at < data.length; at += 4) if (data[at + 3] === 255) seen.add(data.slice(at, at + 3).join());
                return [...seen];
            }}"""
        )
    )


# ---- head and reasons


def test_the_card_says_what_it_is_and_why_it_waits(view: ViewPage):
    view.open('picture(40, { where: "http://127.0.0.1:7071", codeNote: "it runs on 9f3ac81b; the cell has 11aa now" })')
    card = view.page.get_by_role("region", name="Instance trip-2031")
    for text in ("Running", "plan_trip", "code 9f3ac81b", "http://127.0.0.1:7071"):
        card.get_by_text(text, exact=True).wait_for()
    card.get_by_text("event approve since").wait_for()
    card.get_by_text("the cell has 11aa now").wait_for()
    assert "(Retry-After 5 s)" in card.locator(".dfnb-wait").first.inner_text()


def test_a_countdown_counts_while_nothing_comes(view: ViewPage):
    view.open()
    first = view.page.locator(".dfnb-wait").first.inner_text()
    assert "next poll in" in first
    view.page.wait_for_function("before => document.querySelector('.dfnb-wait').textContent !== before", arg=first)
    assert view.run("harness.model.get('snapshot').n") == 0


def test_a_delta_changes_what_it_names_and_nothing_else(view: ViewPage):
    view.open()
    view.run("harness.row = { ...harness.picture(1).rows[0], i: 40 }")
    view.run("harness.tell({ set: { status: 'Suspended', actions: ['resume', 'terminate'] }, rows: { 40: harness.row } })")
    view.page.get_by_text("Suspended", exact=True).wait_for()
    assert view.page.locator("button[data-action]").all_inner_texts() == ["Resume", "Terminate"]
    assert view.run("Object.keys(harness.model.get('snapshot').rows).length") == 41
    assert view.run("harness.sent.filter(one => 'seen' in one).length") == 1


def test_a_gap_in_the_numbers_asks_for_all_again(view: ViewPage):
    view.open()
    view.run("harness.tell({ n: 3, set: { status: 'Failed' } })")
    assert view.run("harness.sent.at(-1)") == {"seen": 0}
    view.run("harness.tell({ n: 4, full: harness.picture(3, { status: 'Completed', over: true }) })")
    view.page.locator(".dfnb-pill").get_by_text("Completed").wait_for()
    assert view.run("harness.model.get('snapshot').n") == 4


@pytest.mark.parametrize("name", ["id", "name", "custom", "output", "failure", "note", "held"])
def test_long_words_stay_within_the_card(view: ViewPage, name: str):
    view.open(f"picture(4, {{ {name}: 'x'.repeat(3000) }})")
    view.page.get_by_text("xxx").filter(visible=True).first.wait_for()
    assert view.run("document.documentElement.scrollWidth") <= 1000
    assert view.cut_off(".dfnb-card, .dfnb-card *:not(.dfnb-tip, .dfnb-line span)") == []
    if name in ("custom", "output", "failure"):
        assert view.page.get_by_text("xxx").bounding_box()["height"] < 80


def test_a_held_instance_says_why(view: ViewPage):
    view.open("picture(4, { held: 'event 7: history has geocode, the code asks for locate' })")
    assert view.page.locator(".dfnb-card").get_attribute("data-state") == "Held"
    view.page.get_by_text("event 7: history has geocode").wait_for()


def test_a_suspended_instance_says_why(view: ViewPage):
    view.open("picture(4, { status: 'Suspended', reason: 'lunch' })")
    view.page.locator(".dfnb-row", has_text="suspended").get_by_text("lunch", exact=True).wait_for()


@pytest.mark.parametrize(("over", "told"), [("true", "none"), ("false", "nothing yet")])
def test_a_tab_without_lines_says_whether_some_may_come(view: ViewPage, over: str, told: str):
    view.open(f"picture(4, {{ over: {over}, counts: {{}} }})", before="ANSWERS.payloads = () => ({ rows: [] })")
    for name in ("History", "HTTP", "Payloads", "Logs"):
        view.tab(name).get_by_text(told, exact=True).wait_for()


def test_what_was_purged_says_so_and_offers_nothing(view: ViewPage):
    view.open("{ kind: 'instance', id: 'gone', status: '', waits: [], note: 'purged', actions: [], over: true, n: 0, now: 0 }")
    view.page.get_by_text("purged").wait_for()
    assert view.page.locator("button:visible").count() == 0


# ---- timeline


def test_ten_thousand_tasks_show_and_their_older_rows_are_asked_for(view: ViewPage):
    view.open(MANY)
    assert len(colours(view)) > 4
    assert view.run("harness.asked('timeline').length") == 0, "the newest are there already"
    view.run("document.querySelector('.dfnb-area').scrollTop = 0")
    view.until("harness.asked('timeline').length === 1")
    assert view.run("harness.asked('timeline')[0].from") == 0
    view.run("document.querySelector('.dfnb-area').scrollTop = 100_000")
    view.until("harness.asked('timeline').length === 2")
    assert 4_700 < view.run("harness.asked('timeline')[1].from") <= 5_000
    assert view.run("document.querySelectorAll('.dfnb *').length") < 400


def test_the_timeline_is_worked_with_keys(view: ViewPage):
    view.open()
    area = view.page.locator(".dfnb-area")
    area.focus()
    area.press("Home")
    view.page.locator(".dfnb-tip").get_by_text("activity geocode_0").wait_for()
    area.press("ArrowDown")
    view.page.locator(".dfnb-tip").get_by_text("4 polls").wait_for()
    before = view.page.locator(".dfnb-frame").screenshot()
    area.press("+")
    view.drawn()
    assert view.page.locator(".dfnb-frame").screenshot() != before
    area.press("ArrowDown")
    area.press("Enter")
    view.until("harness.asked('go').length === 1")
    assert view.run("harness.asked('go')[0].instance") == "child-2"
    view.page.get_by_text("child of").wait_for()


def test_enter_on_a_call_shows_its_exchanges_alone(view: ViewPage):
    view.open()
    area = view.page.locator(".dfnb-area")
    area.focus()
    area.press("Home")
    area.press("ArrowDown")
    area.press("Enter")
    view.until("document.querySelectorAll('.dfnb-http [role=option]:not([hidden])').length === 4")
    view.page.get_by_role("button", name="only GET api.example.org/jobs/17").click()
    view.until("document.querySelectorAll('.dfnb-http [role=option]:not([hidden])').length > 4")
    assert view.run("harness.asked('http').some(one => one.task === 1)")
    assert view.run("'task' in harness.asked('http').at(-1)") is False


def test_enter_on_an_activity_shows_its_payload(view: ViewPage):
    view.open()
    area = view.page.locator(".dfnb-area")
    area.focus()
    area.press("Home")
    area.press("Enter")
    view.page.locator(".dfnb-viewer-title").get_by_text("result of geocode_0").wait_for()


def test_the_timeline_can_be_read_as_text(view: ViewPage):
    view.open(MANY)
    view.page.get_by_role("button", name="As text").click()
    rows = view.page.get_by_role("listbox", name="Tasks as text")
    rows.get_by_text("geocode_0", exact=True).wait_for()
    rows.press("End")
    rows.get_by_text("book_flight").wait_for()


MOVED = """for (const kind of ["history", "http", "logs"]) {
    const tell = ANSWERS[kind];
    ANSWERS[kind] = (...given) => {
        const { rows, total } = tell(...given);
        return { rows: rows.map((row) => ({ ...row, at: row.at - AGO, bytes: 999_900 })), total };
    };
}"""


NOTE_DRAWING = """harness.drawn = { texts: [], marks: [] };
const { fillText, fillRect } = CanvasRenderingContext2D.prototype;
Object.assign(CanvasRenderingContext2D.prototype, {
    fillText(text, x, y) {
        harness.drawn.texts.push({ text, begin: x, end: x + this.measureText(text).width });
        fillText.call(this, text, x, y);
    },
    fillRect(x, y, width, height) {
        if (width === 2 && height === 10) harness.drawn.marks.push(x);
        fillRect.call(this, x, y, width, height);
    },
});
"""


@pytest.mark.parametrize("width", [600, 1000])
@pytest.mark.parametrize("begin", [0, 47_000, 94_999], ids=["all along", "half of the time", "at the end"])
def test_words_of_a_bar_are_whole(view: ViewPage, begin: int, width: int):
    view.page.set_viewport_size({"width": width, "height": 900})
    row = f"{{ i: 0, id: 0, k: 'activity', n: 'charge', s: START + {begin}, e: START + 95_000, st: 'Canceled' }}"
    view.open(f"picture(1, {{ rows: {{ 0: {row} }}, over: true, ended: START + 95_000 }})", before=NOTE_DRAWING)
    view.drawn()
    words = view.run("harness.drawn.texts.findLast(({ text }) => text.endsWith(' canceled'))")
    assert words["begin"] > 120
    assert words["end"] <= view.run("document.querySelector('canvas').clientWidth")


def test_polls_that_lie_close_together_do_not_become_a_bar(view: ViewPage):
    polls = "Array.from({ length: 500 }, (_, at) => START + at * 190)"
    row = f"{{ i: 0, id: 0, k: 'http', n: 'GET x', s: START, e: START + 95_000, st: 'Completed', p: {polls}, pc: 500 }}"
    view.open(f"picture(1, {{ rows: {{ 0: {row} }}, over: true, ended: START + 95_000 }})", before=NOTE_DRAWING)
    view.drawn()
    marks = view.run("harness.drawn.marks")
    assert len(marks) > 50
    assert min(after - before for before, after in pairwise(marks) if after > before) >= 4, "it may have been drawn twice"


@pytest.mark.parametrize(
    ("url", "label"),
    [("https://a.b/jobs/17", "GET a.b/jobs/17"), ("https://a-server-of-somebody.example.org:8443/jobs/17", "GET /jobs/17")],
)
def test_the_label_of_a_call_tells_it_from_others(view: ViewPage, url: str, label: str):
    row = f"{{ i: 0, id: 0, k: 'http', n: 'GET {url}', s: START, e: null, st: 'Running' }}"
    view.open(f"picture(1, {{ rows: {{ 0: {row} }} }})", before=NOTE_DRAWING)
    view.drawn()
    assert label in view.run("harness.drawn.texts.map(({ text }) => text)")
    view.page.get_by_role("button", name="As text").click()
    line = view.page.get_by_role("listbox", name="Tasks as text").get_by_role("option")
    line.get_by_text(label, exact=True).click()
    assert f"GET {url}" in line.get_attribute("title")
    view.page.locator(".dfnb-note").get_by_text(f"GET {url}").wait_for()


def test_a_line_of_an_exchange_has_room_for_what_differs(view: ViewPage):
    url = "https://a-server-of-somebody.example.org:8443/jobs/17"
    view.open(before=MOVED.replace("AGO", "0").replace("bytes: 999_900", f"url: '{url}'"))
    line = view.tab("HTTP").get_by_role("option").first
    line.get_by_text("GET /jobs/17", exact=True).wait_for()
    assert f"GET {url}" in line.get_attribute("title")


def test_in_the_text_a_child_is_chosen_before_it_is_shown(view: ViewPage):
    view.open()
    view.page.get_by_role("button", name="As text").click()
    rows = view.page.get_by_role("listbox", name="Tasks as text")
    rows.press("Home")
    rows.press("ArrowDown")
    rows.press("ArrowDown")
    view.page.locator(".dfnb-note").get_by_text("sub-orchestration ship_order, Completed").wait_for()
    assert view.run("harness.asked('go').length") == 0
    view.page.get_by_role("button", name="show it").click()
    assert view.run("harness.asked('go')[0].instance") == "child-2"


def test_ctrl_and_wheel_zoom_and_all_shows_all_again(view: ViewPage):
    view.open("picture(40, { over: true, ended: Date.now(), status: 'Completed', waits: [] })")
    frame = view.page.locator(".dfnb-frame")
    view.page.mouse.move(600, 15)
    whole = frame.screenshot()
    frame.hover(position={"x": 600, "y": 100})
    view.page.keyboard.down("Control")
    view.page.mouse.wheel(0, -300)
    view.page.keyboard.up("Control")
    view.drawn()
    view.page.mouse.move(600, 15)
    assert frame.screenshot() != whole
    view.page.get_by_role("button", name="Show all of the time").click()
    view.page.mouse.move(600, 15)
    view.drawn()
    assert frame.screenshot() == whole


# ---- the other tabs


def test_tabs_are_reached_with_arrow_keys_and_count(view: ViewPage):
    view.open()
    view.page.get_by_role("tab", name="Timeline").focus()
    view.page.keyboard.press("ArrowRight")
    tab = view.page.get_by_role("tab", name="History")
    assert tab.get_attribute("aria-selected") == "true"
    assert tab.inner_text() == "History80"
    view.page.keyboard.press("End")
    assert view.page.get_by_role("tab", name="Code").get_attribute("aria-selected") == "true"


def test_a_long_history_is_read_window_by_window_and_followed_at_its_end(view: ViewPage):
    view.open(MANY)
    panel = view.tab("History")
    panel.get_by_text("geocode_9999").first.wait_for()
    assert view.run("harness.asked('history').length") <= 2
    view.run("harness.tell({ set: { counts: { ...harness.model.get('snapshot').counts, events: 20_003 } } })")
    panel.get_by_text("geocode_10001").first.wait_for()
    panel.get_by_role("listbox").press("Home")
    panel.get_by_text("geocode_0", exact=True).first.wait_for()
    view.run("harness.tell({ set: { counts: { ...harness.model.get('snapshot').counts, events: 20_009 } } })")
    view.drawn()
    assert view.run("document.querySelector('.dfnb-history').scrollTop") == 0, "it keeps its place"
    assert view.run("document.querySelectorAll('.dfnb-history .dfnb-line').length") < 30


def test_rows_stay_under_a_pressed_pointer(view: ViewPage):
    view.open(MANY)
    panel = view.tab("History")
    row = panel.get_by_text("geocode_9999").first
    place = row.bounding_box()
    view.page.mouse.move(place["x"] + 4, place["y"] + 4)
    view.page.mouse.down()
    view.run("harness.tell({ set: { counts: { ...harness.model.get('snapshot').counts, events: 20_040 } } })")
    view.drawn()
    assert row.bounding_box() == place
    view.page.mouse.up()
    panel.locator(".dfnb-note").get_by_text("geocode_9999").wait_for()
    view.run("harness.tell({ set: { counts: { ...harness.model.get('snapshot').counts, events: 20_060 } } })")
    panel.get_by_text("geocode_10029").first.wait_for()


def test_an_exchange_is_shown_with_headers_and_body(view: ViewPage):
    view.open()
    panel = view.tab("HTTP")
    panel.get_by_text("202 Accepted").first.click()
    body = panel.locator(".dfnb-side").nth(1)
    body.locator("dd").get_by_text("[secret api-key]").wait_for()
    text = body.locator("pre").inner_text()
    assert '"ratio": 1.0' in text, "a number stays as it was written"
    assert '\n      "at": [\n' in text
    body.get_by_role("button", name="Raw").click()
    assert '"ratio":1.0' in body.locator("pre").inner_text()
    panel.get_by_text('dfnb.instance("trip-2031").http().df()').wait_for()


def test_a_body_that_is_no_text_is_told(view: ViewPage):
    binary = "exchange.response = { ...exchange.response, text: '', bytes: 1_024_000, binary: true, more: false }"
    answer = f"(asked) => {{ const exchange = tell(asked); {binary}; return exchange; }}"
    view.open(before=f"const tell = ANSWERS.exchange; ANSWERS.exchange = {answer}")
    panel = view.tab("HTTP")
    panel.get_by_text("202 Accepted").first.click()
    panel.locator(".dfnb-side").nth(1).locator("pre").get_by_text("(1,024,000 bytes that are no text)").wait_for()
    assert view.run("harness.asked('payload').length") == 0


def test_a_large_payload_is_shown_in_pages(view: ViewPage):
    view.open(before="harness.makeBig(5_000_000)")
    panel = view.tab("Payloads")
    panel.get_by_text("output", exact=True).click()
    panel.get_by_text("characters 1 to 65,536 of").wait_for()
    for _ in range(6):
        panel.get_by_role("button", name="More").click()
        view.until("!document.querySelector('.dfnb-viewer button:disabled')")
    panel.get_by_text("characters 196,609 to 458,752 of").wait_for()
    assert view.run("document.querySelector('.dfnb-text').textContent.length") == 4 * 65536
    panel.get_by_role("button", name="Earlier").click()
    panel.get_by_text("characters 131,073 to 393,216 of").wait_for()


def test_a_question_that_fails_is_told_and_asked_again_with_the_next_news(view: ViewPage):
    view.open()
    view.run("harness.failing = 'history'")
    panel = view.tab("History")
    panel.get_by_text("this cannot be told").wait_for()
    asked = view.run("harness.asked('history').length")
    view.drawn()
    assert view.run("harness.asked('history').length") == asked
    view.run("harness.failing = ''; harness.tell({ set: { custom: 'x' } })")
    panel.get_by_text("geocode_39").first.wait_for()


def test_printed_lines_and_the_code_are_shown(view: ViewPage):
    view.open()
    panel = view.tab("Logs")
    panel.get_by_text("geocoding place 59").wait_for()
    assert panel.locator("[data-state=Failed]").count() > 0
    panel = view.tab("Code")
    assert panel.locator("[aria-current]").inner_text().strip() == "yield context.task_any([approved, late])"


@pytest.mark.parametrize("ago", ["0", "864e5"], ids=["today", "yesterday"])
@pytest.mark.parametrize("width", [600, 1200])
def test_times_and_sizes_have_room(view: ViewPage, width: int, ago: str):
    """Times of another day have a date."""
    view.page.set_viewport_size({"width": width, "height": 900})
    view.open(f"picture(40, {{ created: START - {ago} }})", before=MOVED.replace("AGO", ago))
    for name, columns in (("History", (2,)), ("HTTP", (1, 6)), ("Logs", (1,))):
        view.tab(name).get_by_role("option").get_by_text(":").first.wait_for()
        for column in columns:
            assert view.cut_off(f".dfnb-panel .dfnb-line:not([hidden]) > :nth-child({column})") == [], name


# ---- actions


def test_suspend_is_sent_at_once_and_acknowledged(view: ViewPage):
    view.open()
    view.run("harness.silent = true")
    view.page.get_by_role("button", name="Suspend").click()
    view.page.get_by_text("asked…").wait_for()
    assert view.page.get_by_role("button", name="Terminate").is_disabled()
    view.page.get_by_text("the kernel is busy; it will answer when the running cell lets it").wait_for()
    view.run("harness.model.answer(harness.asked('do')[0])")
    view.page.get_by_text("suspend: done").wait_for()
    assert view.page.locator(".dfnb-busy").inner_text() == ""
    assert view.page.get_by_role("button", name="Terminate").is_enabled()


def test_terminate_is_confirmed_and_can_be_kept(view: ViewPage):
    view.open()
    view.page.get_by_role("button", name="Terminate").click()
    view.page.get_by_text("Terminate this instance?").wait_for()
    view.page.get_by_role("button", name="Keep").click()
    assert view.run("harness.asked('do').length") == 0
    assert view.run("document.activeElement.dataset.action") == "terminate"
    view.page.get_by_role("button", name="Terminate").click()
    view.page.get_by_placeholder("reason").fill("too slow")
    view.page.keyboard.press("Enter")
    view.page.get_by_text("terminate: done").wait_for()
    sent = view.run("harness.asked('do')[0]")
    assert (sent["action"], sent["reason"]) == ("terminate", "too slow")


def test_an_event_is_raised_with_data_that_is_json(view: ViewPage):
    view.open()
    view.page.get_by_role("button", name="Raise event").click()
    assert view.page.get_by_label("event").input_value() == "approve"
    send = view.page.locator("button[type=submit]")
    view.page.get_by_label("data (JSON)").fill("{yes}")
    view.page.get_by_text("not JSON yet").wait_for()
    assert send.is_disabled()
    view.page.get_by_label("data (JSON)").fill('{"yes": true}')
    send.click()
    view.page.get_by_text("raise: done").wait_for()
    sent = view.run("harness.asked('do')[0]")
    assert (sent["action"], sent["name"], sent["data"]) == ("raise", "approve", '{"yes": true}')


ENDED = """picture(9, {
    status: 'Failed', over: true, ended: Date.now(), waits: [], failure: 'ValueError: x', actions: ['rewind', 'restart', 'purge'],
})"""


def test_restart_leads_to_the_new_instance_and_warns_before_the_old_is_replaced(view: ViewPage):
    view.open(ENDED)
    view.page.get_by_role("button", name="Restart").click()
    view.page.get_by_label("keep the id").check()
    view.page.get_by_text("its history so far is deleted").wait_for()
    view.page.get_by_label("keep the id").uncheck()
    view.page.locator("button[type=submit]").click()
    view.page.get_by_role("button", name="show trip-2032").click()
    view.page.get_by_text("trip-2032").first.wait_for()
    assert view.run("harness.asked('do')[0].sameId") is False
    view.page.get_by_role("navigation").get_by_role("button", name="trip-2031").click()
    view.page.locator(".dfnb-id").get_by_text("trip-2031").wait_for()


def test_purge_is_confirmed_and_a_refusal_is_shown(view: ViewPage):
    view.open(ENDED)
    view.run("harness.refusal = 'it runs again; terminate it first'")
    view.page.get_by_role("button", name="Purge").click()
    view.page.get_by_text("Delete this instance and its whole history?").wait_for()
    view.page.locator("button[type=submit]").click()
    view.page.locator(".dfnb-said.dfnb-bad").get_by_text("terminate it first").wait_for()


# ---- the page around it


def test_dark_pages_have_other_colours_and_a_change_of_theme_is_followed(view: ViewPage):
    view.open()
    light = colours(view)
    view.run("document.body.dataset.jpThemeLight = 'false'")
    view.drawn()
    assert colours(view) - light
    assert "108,182,255" in colours(view)
    assert "108,182,255" not in light


@pytest.mark.parametrize("light", [True, False], ids=["light", "dark"])
def test_all_texts_stand_out(view: ViewPage, light: bool):
    view.open(light=light)
    for name in ("Timeline", "History", "HTTP", "Payloads", "Logs", "Code"):
        view.tab(name)
        view.page.locator(".dfnb-panel [role=option], .dfnb-source div, .dfnb-frame").filter(visible=True).first.wait_for()
        view.drawn()
        assert faint(view.page) == [], name


@pytest.mark.parametrize("status", ["Running", "Completed", "Failed", "Suspended", "Terminated"])
@pytest.mark.parametrize("light", [True, False], ids=["light", "dark"])
def test_the_state_stands_out(view: ViewPage, status: str, light: bool):
    view.open(f"picture(4, {{ status: '{status}', failure: 'ValueError: x' }})", light=light)
    view.page.locator(".dfnb-pill").get_by_text(status).wait_for()
    assert faint(view.page) == []


@pytest.mark.parametrize("light", [True, False], ids=["light", "dark"])
def test_all_texts_of_a_static_card_stand_out(view: ViewPage, light: bool):
    told: dict[str, Any] = {"status": "Failed", "created": 1e12, "ended": 1e12 + 10, "waits": [], "custom": "x" * 3000}
    still = display.instance_html({"id": "trip-2031", "name": "plan_trip", **told, "failure": "x " * 1500, "trace": "Traceback"})
    view.open(light=light)
    view.page.evaluate("html => { harness.stop(); document.body.innerHTML = html; }", still)
    view.page.locator("summary").get_by_text("traceback").wait_for()
    assert faint(view.page) == []


def test_it_can_be_used_at_600_pixels(view: ViewPage):
    view.page.set_viewport_size({"width": 600, "height": 900})
    view.open()
    for name in ("Timeline", "History", "HTTP", "Payloads", "Logs", "Code"):
        view.tab(name)
        assert view.run("document.documentElement.scrollWidth") <= 600, name
    assert view.run("document.querySelector('.dfnb-card').getBoundingClientRect().width") <= 600


def test_forced_colours_leave_bars_and_words(view: ViewPage):
    view.page.emulate_media(forced_colors="active")
    view.open()
    assert colours(view)


NOTE_PAUSES = """const real = setTimeout;
harness.pauses = [];
window.setTimeout = (act, pause) => { harness.pauses.push(pause ?? 0); return real(act, pause); };
"""


def test_with_reduced_motion_times_change_once_a_second_at_most(view: ViewPage):
    view.page.emulate_media(reduced_motion="reduce")
    view.open(before=NOTE_PAUSES)
    view.until("harness.pauses.length > 0")
    assert view.run("Math.min(...harness.pauses)") >= 1000
    assert view.run("document.getAnimations().length") == 0


def test_two_views_of_one_model_agree_and_ask_for_themselves(view: ViewPage):
    view.open()
    view.run("harness.mount()")
    view.page.get_by_role("tab", name="Logs").nth(1).click()
    view.page.get_by_text("geocoding place 59").wait_for()
    view.run("harness.tell({ set: { custom: 'almost there' } })")
    view.page.get_by_text("almost there").nth(1).wait_for()
    assert view.page.get_by_text("geocoding place 59").count() == 1


def test_a_view_out_of_sight_draws_nothing(view: ViewPage):
    view.open("picture(40)")
    view.run("document.body.prepend(Object.assign(document.createElement('div'), { style: 'height: 5000px' }))")
    view.until("harness.timers.size === 0")
    view.run("harness.tell({ set: { custom: 'unseen' } })")
    view.drawn()
    assert view.page.get_by_text("unseen").count() == 0
    view.run("document.querySelector('.dfnb').scrollIntoView()")
    view.page.get_by_text("unseen").wait_for()


def test_nothing_is_left_behind_when_a_view_goes(view: ViewPage):
    view.open()
    view.tab("HTTP")
    view.run("harness.silent = true")
    view.page.get_by_role("button", name="Suspend").click()
    view.run("harness.stop()")
    assert view.run("harness.timers.size") == 0
    assert view.run("harness.model.listeners()") == 0
