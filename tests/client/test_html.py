"""Pieces of HTML: every text escaped, nothing where there is nothing."""

from __future__ import annotations

from dfnb.client import html


def test_texts_are_escaped() -> None:
    for made in (html.span("a", "<b>"), html.cell("a", "<b>"), html.pre("<b>"), html.table(["<b>"], "<tr></tr>")):
        assert "&lt;b&gt;" in made
        assert "<b>" not in made


def test_what_is_empty_is_left_out() -> None:
    assert html.row("state", "") == html.table(["a"], "") == html.lines_table(["a"], []) == ""


def test_a_table_of_texts_has_a_line_for_each() -> None:
    made = html.lines_table(["number", "name", "state"], [("1", "a", "<"), ("2", "b", ">")])
    assert made.count("<tr>") == 3
    assert made.count('<td class="dfnb-mono">') == 2


def test_a_card_tells_its_state() -> None:
    card = '<div class="dfnb-card" data-state="Held"><div class="dfnb-head">a b</div>c</div>'
    assert html.card("Held", ["a", "b"], ["", "c"]) == card
