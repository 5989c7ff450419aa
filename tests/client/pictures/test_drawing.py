from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from dfnb.client.pictures.drawing import SvgPicture, element, fitted, label, number, picture, width_of


def drawn(text: str = "<b> & \"c\" 'd' \x00\ud800") -> SvgPicture:
    return picture(text, text, (100, 20.5), [label(1, 2, text), element("path", d="M1 2", stroke_width=0.5, class_="good")])


def test_a_picture_is_valid_xml_whatever_its_texts_are() -> None:
    root = ET.fromstring(drawn().svg)
    assert root.get("viewBox") == "0 0 100 20.5"
    assert [child.tag.rpartition("}")[2] for child in root] == ["title", "desc", "style", "text", "path"]
    assert root[0].text == root[1].text == root[3].text == "<b> & \"c\" 'd' ��"


def test_a_picture_names_its_title_and_description_for_those_who_do_not_see_it() -> None:
    root = ET.fromstring(drawn("trip").svg)
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == f"{root[0].get('id')} {root[1].get('id')}"


def test_a_picture_needs_no_network_and_no_script() -> None:
    svg = drawn().svg.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "http" not in svg
    assert "script" not in svg
    assert "prefers-color-scheme:dark" in svg


def test_a_picture_shows_itself_as_an_image_with_its_words(tmp_path: Path) -> None:
    one = drawn("a<b")
    assert one._repr_svg_() == str(one) == one.svg
    html = ET.fromstring(one._repr_html_().replace('"></div>', '"/></div>'))[0]
    assert html.get("alt") == "a<b. a<b"
    assert (html.get("src") or "").startswith("data:image/svg+xml,%3Csvg xmlns=")
    assert repr(one) == "<SvgPicture a<b: 100 x 20.5>"
    assert one.save(tmp_path / "a.svg").read_text(encoding="utf-8") == one.svg


@pytest.mark.parametrize(
    ("value", "text"), [(1, "1"), (1.04, "1"), (1.06, "1.1"), (-0.5, "-0.5"), (123456.7, "123457"), (99999.9, "99999.9")]
)
def test_coordinates_are_short(value: float, text: str) -> None:
    assert float(number(value)) == float(text)


def test_texts_are_cut_to_their_room() -> None:
    assert fitted("short", 100) == "short"
    cut = fitted("a much longer text\nthan fits", 100)
    assert cut.startswith("a much long")
    assert cut.endswith("…")
    assert width_of(cut) <= 100
    assert fitted("anything", 1) == "…"
    assert width_of("漢") > width_of("a")


def test_a_wide_picture_is_scrolled_before_its_texts_get_too_small() -> None:
    assert "min-width:640px" in picture("a", "b", (960, 20), [])._repr_html_()
    assert "min-width:300px" in picture("a", "b", (300, 20), [])._repr_html_()


def test_a_picture_has_a_ground_of_its_own_for_light_and_for_dark() -> None:
    light, _, dark = drawn("trip").svg.partition("@media(prefers-color-scheme:dark)")
    assert "color:#1f2328;background:#fff" in light
    assert "color:#e6edf3;background:#111" in dark
