"""The static twin in a real browser: light or dark as the page is, whatever the system prefers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from dfnb.client.pictures.bars import Subject, timeline_picture
from dfnb.notebook import display

from .lab import BROWSER_OPTIONS

pytestmark = [pytest.mark.browser, pytest.mark.slow]
LIGHT, DARK = re.findall("--dfnb-good: light-dark[(](#[0-9a-f]{6}), (#[0-9a-f]{6})", display.static_text("view.css"))[0]
MARKS = {
    "no mark": ("", "", LIGHT),
    "lab light": ("", 'data-jp-theme-light="true"', LIGHT),
    "lab dark": ("", 'data-jp-theme-light="false"', DARK),
    "code light": ("", 'class="vscode-light"', LIGHT),
    "code dark": ("", 'class="vscode-dark"', DARK),
    "code contrast": ("", 'class="vscode-high-contrast"', DARK),
    "code light contrast": ("", 'class="vscode-high-contrast-light vscode-high-contrast"', LIGHT),
    "a site's dark": ('data-theme="dark"', "", DARK),
    "declared": ('style="color-scheme: dark"', "", DARK),
}


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium_path, args=BROWSER_OPTIONS)
        yield started
        started.close()


@pytest.mark.parametrize("system", ["light", "dark"])
@pytest.mark.parametrize("mark", MARKS)
def test_it_is_dark_only_where_the_page_says_that_it_is(browser: Any, mark: str, system: Any) -> None:
    on_html, on_body, colour = MARKS[mark]
    page = browser.new_page(color_scheme=system)
    head = '<div data-state="Completed"><span class="dfnb-pill">Completed</span></div>'
    image = timeline_picture(Subject("t1", "trip", "Completed", 0, 9, 9), [])._repr_html_()
    page.set_content(f"<!doctype html><html {on_html}><body {on_body}>{display.page(head + image)}</body></html>")
    seen = "what => getComputedStyle(document.querySelector(what))"
    ink = re.findall(r"\d+", page.evaluate(f"({seen})('.dfnb-pill').color"))
    assert "#" + "".join(f"{int(part):02x}" for part in ink) == colour
    scheme = page.evaluate(f"({seen})('.dfnb-image').colorScheme")
    assert scheme == ("dark" if colour == DARK and mark != "declared" else "light")  # there it has a light ground
    page.close()
