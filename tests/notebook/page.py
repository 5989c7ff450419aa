"""A page with one live view and nothing else: the real script in a real browser, the kernel's half played by `kernel_half.js`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dfnb.notebook.widgets import script, style

from .lab import BROWSER_OPTIONS

_ADDRESS = "http://localhost/view"
_HTML = """<!doctype html><html><head><meta charset="utf-8"><style>{style}
body {{ margin: 12px; font-family: system-ui, sans-serif; background: #fff; color: #1f2328; }}
body[data-jp-theme-light="false"] {{ background: #1b1b1b; color: #e6e6e6; }}
</style></head><body data-jp-theme-light="{light}"><script>{kernel}</script></body></html>"""


class ViewPage:
    """What a test does with the view."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))

    def open(self, picture: str = "picture()", *, light: bool = True, before: str = "") -> None:
        """Load the page anew and show a picture, given as JavaScript."""
        kernel = Path(__file__).with_name("kernel_half.js").read_text(encoding="utf-8")
        html = _HTML.format(style=style(), light=str(light).lower(), kernel=kernel)
        self.page.unroute_all()
        self.page.route("**/*", lambda route: route.fulfill(body=html, content_type="text/html"))
        self.page.goto(_ADDRESS)
        self.page.evaluate(f"script => {{ {before}; return harness.start(script, {picture}); }}", script())

    def run(self, code: str) -> Any:
        """The value of JavaScript in the page."""
        return self.page.evaluate(code)

    def until(self, condition: str) -> None:
        self.page.wait_for_function(f"() => {condition}")

    def drawn(self) -> None:
        """Wait until what was asked for is on the screen."""
        frames = "requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(done)))"
        self.page.evaluate(f"() => new Promise(done => {frames})")

    def tab(self, name: str) -> Any:
        """Open a tab; its panel."""
        self.page.get_by_role("tab", name=name).click()
        return self.page.get_by_role("tabpanel")

    def cut_off(self, selector: str) -> list[str]:
        """The texts among the elements that have less room than they need."""
        found: list[str] = self.page.locator(selector).evaluate_all(
            "all => all.filter(one => one.scrollWidth > one.clientWidth).map(one => one.textContent)"
        )
        return found


@contextlib.contextmanager
def open_page(chromium: str, *, width: int = 1000, height: int = 900, **context: Any) -> Iterator[ViewPage]:
    """A browser with an empty page; `context` is what the browser is told of the user's wishes."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=BROWSER_OPTIONS)
        page = browser.new_context(viewport={"width": width, "height": height}, **context).new_page()
        page.set_default_timeout(10_000)
        try:
            yield ViewPage(page)
        finally:
            browser.close()
