from __future__ import annotations

import base64
import gzip
import json
import zipfile
from pathlib import Path
from urllib.parse import quote

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfnb.durable_http.redaction import Redactor
from dfnb.durable_http.scan import Leak, Scan, leaks_in, scan_for

KEY = 'h4nter/"two"+'
VALUES = {"DOC_KEY": KEY}


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (f"x {KEY} y", "plain"),
        (f"?a={quote(KEY, safe='')}", "url"),
        (json.dumps({"a": KEY}), "json"),
        (base64.b64encode(f"user:{KEY}".encode()).decode(), "base64"),
        (KEY.replace('"', "&quot;"), "html"),
    ],
)
def test_a_value_is_found_however_it_is_written(text: str, form: str) -> None:
    found = leaks_in(text, VALUES, "row 7")
    assert (form, "DOC_KEY", "row 7") in [(leak.form, leak.name, leak.where) for leak in found]
    assert leaks_in(text.encode(), VALUES, "row 7") == found
    assert KEY not in repr(found)


def test_nothing_is_found_where_nothing_is() -> None:
    assert leaks_in("DOC_KEY <secret: DOC_KEY>", VALUES) == leaks_in(b"", VALUES) == ()
    assert leaks_in("anything", {"EMPTY": ""}) == ()


@given(st.text(min_size=6, max_size=30), st.text(max_size=20), st.text(max_size=20))
def test_what_was_redacted_has_no_leak(value: str, before: str, after: str) -> None:
    redactor = Redactor()
    redactor.add(value, "<secret: K>")
    for text in (before + value + after, json.dumps([before, value]), quote(before + value, errors="replace")):
        assert leaks_in(redactor.redact(text), {"K": value}) == ()


def test_files_and_folders_are_searched(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "log.txt").write_text(f"key={KEY}", encoding="utf-8")
    (tmp_path / "clean.txt").write_text("key=<secret: DOC_KEY>", encoding="utf-8")
    (tmp_path / "wide.txt").write_text(KEY, encoding="utf-16")
    scan = scan_for(VALUES, [tmp_path])
    assert {Path(leak.where).name for leak in scan.leaks} == {"log.txt", "wide.txt"}
    assert not scan.clean
    assert scan_for(VALUES, [tmp_path / "clean.txt"]) == Scan()
    assert str(Leak("K", "plain", "f", 3)) == "f: the value of K (plain) at 3"


@pytest.mark.parametrize("before", [0, (1 << 20) - 5, (1 << 20) - 1, 1 << 20, (3 << 20) - 7])
def test_a_value_on_the_seam_of_two_pieces_is_found(tmp_path: Path, before: int) -> None:
    file = tmp_path / "big.bin"
    file.write_bytes(b"." * before + KEY.encode() + b"." * 99)
    (leak,) = (leak for leak in scan_for(VALUES, [file]).leaks if leak.form == "plain")
    assert leak.at == before


def test_a_value_across_the_lines_of_a_notebook_output_is_found(tmp_path: Path) -> None:
    key = "first line\nsecond line"
    output = {"output_type": "stream", "name": "stdout", "text": ["a first line\n", "second line b"]}
    notebook = {"cells": [{"cell_type": "code", "source": ["1"], "outputs": [output]}], "nbformat": 4}
    file = tmp_path / "n.ipynb"
    file.write_text(json.dumps(notebook), encoding="utf-8")
    (leak,) = scan_for({"K": key}, [file]).leaks
    assert leak.where.endswith("n.ipynb (as text)")
    file.write_text("no JSON", encoding="utf-8")
    assert scan_for({"K": key}, [file]).clean


def test_what_is_packed_is_unpacked(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.gz", "wb") as file:
        file.write(KEY.encode() * 3)
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.txt", KEY * 30)
    found = {leak.where.removeprefix(str(tmp_path)).strip("/\\") for leak in scan_for(VALUES, [tmp_path]).leaks}
    assert found == {"a.gz (unpacked)", "b.zip/inner.txt"}


def test_the_bytes_of_a_duckdb_file_prove_nothing_and_its_rows_do(tmp_path: Path) -> None:
    file = tmp_path / "hub.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute("create table t as select 'url ' || i || ? as body from range(20000) r(i)", [KEY])
        rows = connection.execute("select body from t limit 3").fetchall()
    assert scan_for(VALUES, [file]).unproven == (str(file),)
    scan = scan_for(VALUES, [file], [("t.body", body) for (body,) in rows] + [("t.none", None)])
    assert "t.body" in {leak.where for leak in scan.leaks}


def test_what_cannot_be_read_or_searched_is_said(tmp_path: Path) -> None:
    (tmp_path / "broken.gz").write_bytes(b"\x1f\x8bnothing")
    scan = scan_for({"PIN": "42", "EMPTY": ""}, [tmp_path / "missing", tmp_path / "broken.gz"])
    assert len(scan.unread) == 2
    assert scan.too_short == ("PIN",)
    assert not scan.clean
