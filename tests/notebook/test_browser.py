"""The life of a live view in JupyterLab: beside a busy kernel, after a reload, a restart, the end, and in the saved notebook."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from . import tour
from .lab import Lab, open_lab

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WIDGET = "application/vnd.jupyter.widget-view+json"
ANOTHER = """df.current().serve(port=0)
other = df.DurableApp("other.duckdb")
server = other.serve(port=0)
remote = dfnb.connect(server.url, server.key)"""
BUSY = "the kernel is busy; it will answer when the running cell lets it"


@pytest.fixture(scope="module")
def opened(chromium_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with tour.served_api() as where, open_lab(chromium_path, tmp_path_factory.mktemp("lab")) as lab:
        for cell in (where, *tour.CELLS, ANOTHER):
            lab.run(cell)
        yield lab


@pytest.fixture
def lab(opened: Lab) -> Iterator[Lab]:
    opened.clear()
    opened.problems.clear()
    yield opened
    assert opened.problems == []


def pill(view: Any, status: str) -> None:
    view.locator(".dfnb-pill").get_by_text(status, exact=True).wait_for()


def twin(view: Any) -> Any:
    """The static HTML in the widget's place."""
    return view.locator("[data-mime-type='text/html']")


def mimes(lab: Lab, number: int) -> set[str]:
    saved = lab.saved()
    return {mime for output in saved.cells[number].outputs for mime in output.get("data", {})}


def link(lab: Lab, instance: str, name: str) -> str:
    """An address to call from outside of the notebook."""
    number = lab.run(f"print(df.current().client.create_http_management_payload({instance!r})[{name!r}])")
    return lab.output(number).inner_text().strip()


def post(url: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(url, b"null", {"Content-Type": "application/json"}), timeout=30) as answer:
        answer.read()


# ---- beside a kernel that is busy


def test_a_click_is_answered_while_a_cell_awaits(lab: Lab):
    lab.run('run = df.start("ask", instance_id="awaited")')
    view = lab.view("run")
    waiting = lab.begin("await run")
    view.get_by_role("button", name="Suspend").click()
    pill(view, "Suspended")
    assert lab.is_busy()
    view.get_by_role("button", name="Resume").click()
    pill(view, "Running")
    view.get_by_role("button", name="Raise event").click()
    view.get_by_label("data (JSON)").fill('"so be it"')
    view.locator("button[type=submit]").click()
    lab.output(waiting).get_by_text("so be it").wait_for()


def test_a_click_beside_a_cell_that_blocks_is_acknowledged_at_once_and_answered_after_it(lab: Lab):
    lab.run('other = df.start("ask", instance_id="blocks")\nrun = df.start("tour", instance_id="beside")')
    free = link(lab, "blocks", "sendEventPostUri").replace("{eventName}", "answer")
    blocked = link(lab, "blocks", "statusQueryGetUri")
    view = lab.view("run")
    view.get_by_text("event approval since").wait_for()
    lab.begin("other.wait(60)")
    view.get_by_role("button", name="Suspend").click()
    busy = view.get_by_text(BUSY)
    busy.or_(view.locator(".dfnb-pill").get_by_text("Suspended", exact=True)).first.wait_for()
    if not busy.is_visible():  # JupyterLab has given the messages of widgets a thread of their own: answered already
        assert lab.page.request.get(blocked).status == 202, "and the cell blocks on"
        post(free)
        lab.wait_idle()
        return
    view.get_by_text("asked…", exact=True).wait_for()
    assert view.get_by_role("button", name="Terminate").is_disabled()
    lab.keep("busy", view)
    exchanges = view.get_by_role("tab", name="HTTP")
    before = exchanges.inner_text()
    lab.page.wait_for_function("([tab, before]) => tab.innerText !== before", arg=[exchanges.element_handle(), before])
    pill(view, "Running")
    assert lab.is_busy()
    post(free)
    pill(view, "Suspended")
    view.get_by_text(BUSY).wait_for(state="detached")


# ---- as much news as there is, and no more


def test_a_busy_run_tells_its_view_at_most_ten_times_a_second_and_an_idle_one_nothing(lab: Lab):
    lab.count_messages()
    number = lab.run('run = df.start("busy", 400, instance_id="many")\nrun')
    view = lab.output(number)
    view.get_by_role("tab", name="Timeline").get_by_text("401").wait_for()
    view.get_by_text("event enough since").wait_for()
    told = lab.told(number)
    assert 0 < len(told) <= (told[-1] - told[0]) / 100 + 2
    shown = re.compile(r"\d+ s$")
    seconds = view.locator(".dfnb-time").filter(has_text=shown)
    seconds.wait_for()
    before = lab.told(number)
    now = int(seconds.inner_text().split()[0])
    view.locator(".dfnb-time").get_by_text(f"{now + 3} s").wait_for()  # the browser counts by itself
    assert lab.told(number) == before


# ---- what runs elsewhere


def test_an_instance_of_another_hub_is_shown_and_asked_like_one_s_own(lab: Lab):
    view = lab.view('far = remote.start("tour", instance_id="far-1")\nfar')
    view.get_by_text("event approval since").wait_for()
    view.get_by_text("http://127.0.0.1:").first.wait_for()
    for tab, text in (("History", "EntityLockGranted"), ("HTTP", "202 Accepted")):
        view.get_by_role("tab", name=tab).click()
        view.get_by_text(text).first.wait_for()
    lab.keep("remote", view)
    view.get_by_role("button", name="Suspend").click()
    pill(view, "Suspended")
    view.get_by_role("button", name="Resume").click()
    pill(view, "Running")
    view.get_by_role("button", name="Raise event").click()
    view.locator("button[type=submit]").click()
    pill(view, "Completed")


def test_a_followed_url_is_shown_until_it_is_done(lab: Lab):
    lab.run('import httpx\nstarted = httpx.post(f"{API}/jobs", json={}).headers["Location"]')
    view = lab.view("followed = dfnb.follow(started)\nfollowed")
    pill(view, "Running")
    view.get_by_text("next poll in").first.wait_for()
    lab.keep("followed", view)
    lab.run('quick = httpx.post(f"{API}/quick", json={}).headers["Location"]')
    done = lab.output(lab.run("done = dfnb.follow(quick)\ndone"))
    done.locator("[data-mime-type='text/html']").get_by_text("Completed").first.wait_for()
    done.get_by_text('{"area":12}').first.wait_for()
    lab.run("followed.close()")


# ---- the page, the kernel, the end


def test_a_page_that_is_loaded_again_shows_the_live_view(lab: Lab):
    number = lab.run('run = df.start("ask", instance_id="stays")\nrun')
    view = lab.output(number)
    view.get_by_text("event answer since").wait_for()
    assert WIDGET in mimes(lab, number)
    lab.reload()
    view.get_by_text("event answer since").wait_for()
    view.get_by_role("button", name="Suspend").click()
    pill(view, "Suspended")


def test_static_html_takes_the_place_of_a_view_when_its_instance_ends(lab: Lab):
    number = lab.run('run = df.start("ask", instance_id="ends")\nrun')
    view = lab.output(number)
    view.get_by_text("event answer since").wait_for()
    lab.run('run.raise_event("answer", {"seats": 2})')
    twin(view).locator(".dfnb-pill").get_by_text("Completed").wait_for()
    twin(view).get_by_text('{"seats":2}').first.wait_for()
    assert view.locator(".dfnb-live").count() == 0
    assert mimes(lab, number) == {"text/html", "text/plain"}
    lab.keep("ended", view)


def test_a_view_that_is_looked_into_lingers_before_static_html_takes_its_place(lab: Lab):
    lab.run("live._LINGER_SECONDS = 4.0")
    view = lab.view('run = df.start("ask", instance_id="lingers")\nrun')
    view.get_by_role("tab", name="History").click()
    view.get_by_text("ExecutionStarted").wait_for()
    lab.run('run.raise_event("answer")')
    pill(view, "Completed")
    view.locator(".dfnb-live").get_by_text("ExecutionCompleted").wait_for()
    twin(view).get_by_text("Completed", exact=True).first.wait_for()
    assert view.locator(".dfnb-live").count() == 0
    lab.run("live._LINGER_SECONDS = 30.0")


def test_what_ended_at_once_is_static_html_and_can_be_read_without_scripts(lab: Lab):
    cell = 'done = df.start("ask")\ndone.raise_event("answer", "yes"); done.wait(20)\ndone'
    number = lab.run(cell)
    page = twin(lab.output(number))
    page.locator(".dfnb-pill").get_by_text("Completed").wait_for()
    page.get_by_text("History (").click()
    page.get_by_text("EventRaised").first.wait_for()
    assert mimes(lab, number) == {"text/html", "text/plain"}
    html = "".join(output.data["text/html"] for output in lab.saved().cells[number].outputs)
    assert "<script" not in html
    lab.keep("static", lab.output(number))


def test_after_a_restart_of_the_kernel_the_run_is_shown_whole_and_goes_on(lab: Lab):
    view = lab.view('run = df.start("tour", instance_id="lasts")\nrun')
    view.get_by_text("event approval since").wait_for()
    where = lab.output(lab.run("print('API =', repr(API))")).inner_text().strip()
    lab.clear()
    lab.restart()  # the other hub is not opened again
    lab.run(tour.SETUP)
    view = lab.view('dfnb.instance("lasts")')
    view.get_by_text("the cell that defines tour").wait_for()
    for tab, text in (("History", "EntityLockGranted"), ("HTTP", "202 Accepted"), ("Code", "with (yield context.lock_entities")):
        view.get_by_role("tab", name=tab).click()
        view.get_by_text(text).first.wait_for()
    lab.keep("after-restart", view)
    for cell in (where, tour.TOUR, tour.OTHERS):
        lab.run(cell)
    view.get_by_text("event approval since").wait_for()
    view.get_by_role("button", name="Raise event").click()
    view.locator("button[type=submit]").click()
    pill(view, "Completed")
    view.get_by_text("by train").first.wait_for()
