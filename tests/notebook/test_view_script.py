"""What holds for the script and the style of live views, read as text."""

from __future__ import annotations

import re

import pytest
import rjsmin

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


def test_what_makes_the_script_small_leaves_all_texts_as_they_are():
    """It takes a template in a template for code, and would leave out space in it."""
    written = [text for name in _SCRIPTS for text in texts(static_text(name))]
    assert texts(script()) == written
    assert len(written) > 500


def test_a_template_in_a_template_loses_space():
    source = "x = `${y ? ` (in ${y})` : ``}`;"
    assert texts(source) == ["", " (in ", ")", "", ""]
    assert texts(rjsmin.jsmin(source)) != texts(source)


_PIECE = re.compile(
    r"""(?P<left_out>//[^\n]*|\s+)
    | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | [\w$]+ | .""",
    re.DOTALL | re.VERBOSE,
)
_PATTERN = re.compile(r"/(?:[^/\\\[\n]|\\.|\[(?:[^\]\\]|\\.)*\])+/")
_OF_TEMPLATE = re.compile(r"((?:[^`\\$]|\\.|\$(?!\{))*)(`|\$\{)", re.DOTALL)


def texts(source: str) -> list[str]:
    """All that is text in a script: strings, the parts of templates, regular expressions."""
    found: list[str] = []
    braces: list[str] = []  # those that are open; a template's are "${"
    at, before = 0, "("
    while at < len(source):
        pattern = _PATTERN.match(source, at) if before in "(,=:[!&|?{};" else None
        piece = pattern or _PIECE.match(source, at)
        assert piece is not None
        at = piece.end()
        if pattern or piece.lastgroup == "text":
            found.append(piece[0])
        if piece[0] == "{":
            braces.append("{")
        if piece[0] == "`" or (piece[0] == "}" and braces.pop() == "${"):
            part = _OF_TEMPLATE.match(source, at)
            assert part is not None
            at = part.end()
            found.append(part[1])
            braces += ["${"] if part[2] == "${" else []
        if pattern or piece.lastgroup != "left_out":
            before = piece[0][-1]
    return found


def test_the_widget_carries_script_and_style():
    assert StatusWidget._esm == script()
    assert StatusWidget._css == style()


def test_a_saved_output_does_not_carry_the_style_of_live_parts():
    assert "dfnb-live" not in static_text("view.css")
