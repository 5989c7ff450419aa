"""The status page in a real browser, over a real socket."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import dfnb
from dfnb.client.keys import HubKeys
from dfnb.engine.clock import FakeClock
from dfnb.server.app import ManagementApp
from dfnb.server.listener import Listener
from dfnb.server.settings import ServerSettings

from ..contrast import faint

pytestmark = [pytest.mark.browser, pytest.mark.slow]

OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
ATTACK = "<img src=x onerror=window.hurt=1>"
LONG = "trip-with-a-name-that-is-longer-than-any-narrow-screen-could-show-in-one-line"


class Visit:
    """A page of the server, with what went wrong in it and where it sent requests to."""

    def __init__(self, page: Any, url: str, key: str) -> None:
        self.page = page
        self.url = url
        self.key = key
        self.problems: list[str] = []
        self.requests: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", lambda line: self.problems.append(line.text) if line.type in ("error", "warning") else None)
        page.on("request", lambda request: self.requests.append(request.url))

    def enter(self) -> None:
        """Open the page by a link that holds the key."""
        self.page.goto(f"{self.url}/#code={self.key}")
        self.page.get_by_text("live", exact=True).wait_for()

    def row(self, id: str) -> Any:
        return self.page.locator("#rows tr", has=self.page.get_by_role("link", name=id, exact=True))

    def open(self, id: str) -> Any:
        """Show an instance; the part of the page that does."""
        self.page.get_by_role("link", name=id, exact=True).click()
        shown = self.page.locator("#instance")
        shown.get_by_role("heading", level=2).filter(has_text="waits").wait_for()
        return shown


@pytest.fixture
def listen(hub: dfnb.DurableApp, clock: FakeClock) -> Callable[[int], Listener]:
    """Serve the hub at a port."""

    def begin(port: int) -> Listener:
        settings = ServerSettings(port=port)
        return Listener(ManagementApp(hub.client, HubKeys(hub._hub), settings, hub.registry, clock.now), settings)

    return begin


@pytest.fixture
def listener(listen: Callable[[int], Listener]) -> Iterator[Listener]:
    listener = listen(0)
    yield listener
    listener.stop()


@pytest.fixture
def visit(chromium_path: str, listener: Listener, hub: dfnb.DurableApp) -> Iterator[Callable[..., Visit]]:
    """Open a browser with a fresh page of the server."""
    from playwright.sync_api import sync_playwright

    with contextlib.ExitStack() as stack:
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=chromium_path, args=OPTIONS)
        stack.callback(browser.close)

        def make(width: int = 1280, dark: bool = False) -> Visit:
            scheme: Any = "dark" if dark else "light"
            page = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme).new_page()
            page.set_default_timeout(15_000)
            return Visit(page, listener.url, HubKeys(hub._hub).system)

        yield make


def test_the_key_in_the_link_opens_the_page_and_leaves_the_address(visit: Callable[..., Visit], hub: dfnb.DurableApp) -> None:
    hub.client.start("echo", 1, instance_id="first")
    hub.client.wait("first", 10)
    one = visit()
    one.enter()
    one.row("first").get_by_text("Completed").wait_for()
    assert one.page.url == f"{one.url}/"
    one.page.reload()  # the tab remembers the key
    one.row("first").wait_for()
    assert one.problems == []
    assert {url.split("/")[2] for url in one.requests} == {one.url.split("/")[2]}
    assert [url for url in one.requests if one.key in url.partition("#")[0]] == []


def test_a_wrong_key_is_answered_with_a_sentence_and_the_right_one_opens(visit: Callable[..., Visit], hub: dfnb.DurableApp) -> None:
    hub.client.start("echo", 1, instance_id="first")
    one = visit()
    one.page.goto(one.url)
    key = one.page.get_by_label("The key of this server")
    key.fill("wrong")
    key.press("Enter")
    one.page.get_by_text("This key does not open the server. Enter the one it shows now.").wait_for()
    key.fill(one.key)
    key.press("Enter")
    one.row("first").wait_for()
    one.page.get_by_role("button", name="Forget key").click()
    key.wait_for()
    assert one.page.evaluate("sessionStorage.length") == 0
    assert [line for line in one.problems if "401" not in line] == []  # the browser itself notes refused requests


def test_the_list_follows_what_happens_and_one_instance_is_shown_live(visit: Callable[..., Visit], hub: dfnb.DurableApp) -> None:
    one = visit()
    one.enter()
    one.page.get_by_text("No instance has been started yet.").wait_for()
    hub.client.start("waits", {"city": "Oslo"}, instance_id="trip")
    one.row("trip").get_by_text("Running").wait_for()

    shown = one.open("trip")
    shown.get_by_text("open", exact=True).wait_for()
    shown.get_by_text('"city": "Oslo"').wait_for()
    shown.get_by_text("History").click()
    shown.get_by_text("ExecutionStarted").wait_for()
    hub.client.raise_event("trip", "go", {"hotel": "Bristol"})
    shown.locator(".pill", has_text="Completed").wait_for()
    shown.get_by_text('"hotel": "Bristol"').first.wait_for()
    shown.get_by_text("ExecutionCompleted").wait_for()
    one.row("trip").get_by_text("Completed").wait_for()
    assert one.problems == []


def test_an_instance_is_managed_from_the_page(visit: Callable[..., Visit], hub: dfnb.DurableApp) -> None:
    hub.client.start("waits", None, instance_id="trip")
    one = visit()
    one.enter()
    shown = one.open("trip")

    def press(name: str) -> None:
        shown.get_by_role("button", name=name, exact=True).last.click()

    press("Suspend")
    shown.locator(".pill", has_text="Suspended").wait_for()
    press("Resume")
    shown.locator(".pill", has_text="Running").wait_for()
    press("Raise event")
    shown.get_by_label("Event").fill("other")
    shown.get_by_label("Data as JSON").fill("{no json")
    press("Raise event")
    shown.get_by_role("alert").wait_for()
    press("Cancel")
    press("Terminate")
    shown.get_by_text("End this instance now?").wait_for()
    one.page.keyboard.press("Escape")
    shown.get_by_text("End this instance now?").wait_for(state="detached")
    press("Terminate")
    shown.get_by_label("Reason").fill("enough of it")
    press("Terminate")
    shown.locator(".pill", has_text="Terminated").wait_for()
    shown.locator("pre", has_text="enough of it").wait_for()
    press("Purge")
    shown.get_by_text("Delete this instance with its history?").wait_for()
    press("Purge")
    one.row("trip").wait_for(state="detached")
    assert not one.page.locator("#instance").is_visible()
    assert not hub.client.status("trip")
    assert [line for line in one.problems if "400" not in line] == []


def test_what_an_instance_holds_is_shown_as_text(visit: Callable[..., Visit], hub: dfnb.DurableApp) -> None:
    attack = ATTACK.replace("/", "")
    hub.client.start("waits", {"x": f"</pre><script>window.hurt=1</script>{ATTACK}"}, instance_id=attack)
    one = visit()
    one.enter()
    shown = one.open(attack)
    shown.get_by_text("</script>").wait_for()
    hub.client.raise_event(attack, "go", ATTACK)
    shown.locator(".pill", has_text="Completed").wait_for()
    shown.get_by_text("History").click()
    shown.get_by_text("EventRaised").wait_for()
    assert one.page.evaluate("[window.hurt, document.querySelectorAll('img, pre script').length]") == [None, 0]
    assert one.problems == []


def test_long_lists_have_pages_and_filters(visit: Callable[..., Visit], hub: dfnb.DurableApp) -> None:
    hub.client.start_many("waits", range(60), instance_ids=[f"trip-{number:02}" for number in range(60)])
    hub.client.start("echo", 1, instance_id="other")
    hub.client.wait("other", 10)
    one = visit()
    one.enter()
    one.row("other").wait_for()
    assert one.page.locator("#rows tr").count() == 50
    one.page.get_by_role("button", name="Next page").click()
    one.row("trip-00").wait_for()
    one.page.get_by_role("button", name="Newer").click()
    one.row("other").wait_for()
    one.page.get_by_label("Status").select_option("Running")
    one.row("other").wait_for(state="detached")
    one.page.get_by_label("Id begins with").fill("trip-07")
    one.page.locator("#rows tr").nth(1).wait_for(state="detached")
    one.row("trip-07").wait_for()
    one.page.get_by_label("Id begins with").fill("nothing")
    one.page.get_by_text("No instance fits.").wait_for()
    assert one.problems == []


def test_the_page_goes_on_when_the_server_comes_back(
    visit: Callable[..., Visit], hub: dfnb.DurableApp, listener: Listener, listen: Callable[[int], Listener]
) -> None:
    one = visit()
    one.enter()
    listener.stop()
    one.page.get_by_text("not connected").wait_for()
    one.page.get_by_text("The server does not answer.").first.wait_for()
    hub.client.start("echo", 1, instance_id="meanwhile")
    second = listen(listener.port)
    one.row("meanwhile").wait_for()
    one.page.get_by_text("live", exact=True).wait_for()
    second.stop()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_fits_a_narrow_screen_in_both_schemes(visit: Callable[..., Visit], hub: dfnb.DurableApp, dark: bool) -> None:
    hub.client.start("waits", "x" * 300, instance_id=LONG)
    one = visit(width=360, dark=dark)
    one.enter()
    assert one.page.evaluate("document.documentElement.scrollWidth") == 360
    one.open(LONG)
    assert one.page.evaluate("document.documentElement.scrollWidth") == 360
    show = "status => document.querySelectorAll('.pill').forEach(pill => { pill.dataset.status = status; })"
    for status in ("Running", "Completed", "Failed", "Suspended", "Terminated"):
        one.page.evaluate(show, status)
        assert faint(one.page) == [], status
    back = one.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert back == ("rgb(22, 25, 29)" if dark else "rgb(255, 255, 255)")


def test_the_page_can_be_used_with_the_keyboard_alone(visit: Callable[..., Visit], hub: dfnb.DurableApp) -> None:
    hub.client.start("waits", None, instance_id="trip")
    one = visit()
    one.enter()
    one.row("trip").wait_for()
    one.page.get_by_label("Id begins with").focus()
    one.page.keyboard.press("Tab")
    one.page.keyboard.press("Enter")
    heading = one.page.locator("#instance h2", has_text="waits")
    heading.wait_for()
    assert heading.evaluate("element => element === document.activeElement")
    one.page.keyboard.press("Tab")
    one.page.keyboard.press("Enter")  # Close comes first
    heading.wait_for(state="detached")
    assert one.page.evaluate("document.activeElement.textContent") == "trip"
