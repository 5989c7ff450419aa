"""What holds for the script and the style of live views, read as text."""

from __future__ import annotations

import pytest

from dfnb.notebook.display import static_text
from dfnb.notebook.widgets import _SCRIPTS, StatusWidget, script, style

_LARGEST = 60_000


def test_the_script_is_small():
    assert len(script().encode()) < _LARGEST


_OUTWARD = [
    "//", "import(", "XMLHttpRequest", "WebSocket", "eval(", "new Function", "innerHTML", "insertAdjacentHTML", "document.write",
]


@pytest.mark.parametrize("word", _OUTWARD)
def test_the_script_needs_no_network_and_makes_no_code_of_texts(word: str):
    assert word not in script()


def test_the_style_needs_no_network():
    assert "url(" not in style()
    assert "@import" not in style()


def test_the_script_is_one_module_with_one_way_in():
    assert script().count("export ") == 1
    assert script().endswith("export default{initialize,render};")


@pytest.mark.parametrize("name", _SCRIPTS)
def test_no_template_of_the_script_is_one_that_loses_text(name: str):
    """What makes the script small takes a template in a template for code: there, spare space and `//` would be left out."""
    for line in map(str.strip, static_text(name).splitlines()):
        assert line.count("`") % 2 == 0, line
        assert line.startswith("//") or "`" not in line or ("//" not in line and "  " not in line), line


def test_the_widget_carries_script_and_style():
    assert StatusWidget._esm == script()
    assert StatusWidget._css == style()


def test_a_saved_output_does_not_carry_the_style_of_live_parts():
    assert "dfnb-live" not in static_text("view.css")
