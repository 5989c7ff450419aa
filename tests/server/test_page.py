"""The files of the status page: open to everybody, locked up by their policy, at home behind any prefix."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dfnb.server import page

from .conftest import Caller

FOLDER = Path(page.__file__).parent / "static"
FILES = sorted(path.name for path in FOLDER.iterdir())
SCRIPTS = [name for name in FILES if name.endswith(".js")]


def text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def test_the_page_needs_no_key_and_is_html(server: Caller) -> None:
    answer = server.ask("GET", "/", at_base=False, key=False)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.body == (FOLDER / "index.html").read_bytes()


def test_the_page_may_load_and_call_its_own_server_only(server: Caller) -> None:
    answer = server.ask("GET", "/", at_base=False, key=False)
    assert answer.headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", [name for name in FILES if name != "index.html"])
def test_each_file_is_served_with_its_type(server: Caller, name: str) -> None:
    answer = server.ask("GET", f"/static/{name}", at_base=False, key=False)
    kind = {"js": "text/javascript", "css": "text/css"}[name.partition(".")[2]]
    assert (answer.status, answer.headers["content-type"]) == (200, f"{kind}; charset=utf-8")
    assert answer.body == (FOLDER / name).read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        "/static", "/static/", "/static/index.html", "/static/../page.py", "/static/%2e%2e/page.py", "/static/page.js/",
        "/static/page.js%00", "/favicon.ico", "//",
    ],
)  # fmt: skip
def test_nothing_else_is_served(server: Caller, path: str) -> None:
    assert server.ask("GET", path, at_base=False, key=False).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_the_page_is_only_read(server: Caller, method: str) -> None:
    assert server.ask(method, "/", at_base=False).status == 404


def test_a_foreign_name_gets_no_page(server: Caller) -> None:
    assert server.ask("GET", "/", at_base=False, host="evil.example").status == 403


def test_the_page_without_its_slash_leads_to_the_one_with_it(server: Caller) -> None:
    answer = server.ask("GET", "", at_base=False, key=False, root_path="/hub")
    assert (answer.status, answer.headers["location"]) == (307, "http://127.0.0.1:7071/hub/")


def test_the_page_is_served_where_it_is_mounted(server: Caller) -> None:
    assert server.ask("GET", "/", at_base=False, key=False, root_path="/hub").status == 200
    assert server.ask("GET", "/static/page.js", at_base=False, key=False, root_path="/hub").status == 200


def test_all_addresses_in_the_page_are_relative() -> None:
    addresses = re.findall(r'(?:src|href)="([^"]+)"', text("index.html"))
    assert [one for one in addresses if one.startswith("/") or "://" in one.partition("data:")[0]] == []
    imports = [one for name in SCRIPTS for one in re.findall(r'from "([^"]+)"', text(name))]
    assert {one.removeprefix("./") for one in imports} <= set(SCRIPTS)
    assert not re.search(r"url\(|@import", text("page.css"))


def test_the_page_has_no_inline_script_or_style() -> None:
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", text("index.html"))


def test_everything_goes_in_as_text() -> None:
    dangerous = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|srcdoc|\beval\(|new Function"
    assert [name for name in SCRIPTS if re.search(dangerous, text(name))] == []


def test_the_scripts_are_small() -> None:
    assert sum(len(text(name).encode()) for name in SCRIPTS) < 25_000
