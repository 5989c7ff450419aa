from __future__ import annotations

import json

import pytest

import dfnb
from dfnb.durable_http import secrets, tokens
from dfnb.durable_http.tokens import CallableTokenSource, Tokens
from dfnb.notebook.scan import LeakTable

VALUE = "k1/very+secret"
RETURNS = """import os
from dfnb.durable_http.secrets import Secret
key = Secret.env("DFNB_TEST_KEY")
"""
LEAKS = """%%orchestrator
def leaks(context):
    return {"told": context.get_input()}
"""


@pytest.fixture
def named(run, monkeypatch):
    """Run cells in a kernel that has named one secret."""
    monkeypatch.setattr(secrets, "_known", {})
    monkeypatch.setattr(tokens, "_caches", type(tokens._caches)())
    for name in tokens.SECRET_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DFNB_TEST_KEY", VALUE)
    assert run(RETURNS).error is None
    run(LEAKS)
    return run


def save_notebook(path, *texts: str) -> None:
    outputs = [{"output_type": "stream", "name": "stdout", "text": list(texts)}]
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": [], "outputs": outputs}]}), encoding="utf-8")


def test_a_clean_hub_is_told_with_what_was_searched(named, tmp_path):
    dfnb.start("leaks", "nothing").wait(5)
    save_notebook(tmp_path / "a.ipynb", "fine")
    cell = named("%dfnb scan-secrets")
    assert cell.error is None
    assert cell.value is None
    assert cell.text.startswith("dfnb: no value of 1 secret (DFNB_TEST_KEY) was found in the hub dfnb.duckdb (")
    assert " files as bytes), 1 notebook of this folder as last saved\n" in cell.text


@pytest.mark.parametrize("compacted", [False, True])
def test_a_value_in_the_hub_is_found_with_its_place_even_once_it_is_compressed(named, compacted):
    app = dfnb.current()
    for _ in range(20):
        dfnb.start("leaks", "x" * 500).wait(5)
    run = dfnb.start("leaks", f"Bearer {VALUE}", instance_id="trip-1")
    run.wait(5)
    if compacted:
        app.compact()
    cell = named("%dfnb scan-secrets")
    assert isinstance(cell.value, LeakTable)
    assert cell.text.startswith("dfnb: LEAK: values of 1 of 1 secret (DFNB_TEST_KEY) were found in the hub dfnb.duckdb (")
    places = [leak.where for leak in cell.value if leak.where.startswith("hub, ")]
    assert places == ["hub, table event, column data, instance trip-1"]
    for shown in (cell.text, cell.value._repr_html_(), repr(cell.value)):
        assert VALUE not in shown
    assert "hub, table event, column data, instance trip-1" in cell.text


def test_a_value_in_a_notebooks_output_is_found(named, tmp_path):
    save_notebook(tmp_path / "a.ipynb", "fine")
    save_notebook(tmp_path / "b.ipynb", "key: k1/", "very+secret")
    (leak,) = named("%dfnb scan-secrets").value
    assert leak.where == "b.ipynb (as text)"


def test_files_and_folders_may_be_named_instead(named, tmp_path):
    save_notebook(tmp_path / "b.ipynb", VALUE)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "run.log").write_text(f"sent {VALUE}", encoding="utf-8")
    (leak,) = named("%dfnb scan-secrets logs").value
    assert (leak.where, leak.form) == (str(tmp_path.joinpath("logs", "run.log").relative_to(tmp_path)), "plain")
    assert "there is no file or folder nowhere" in named("%dfnb scan-secrets nowhere").text


def test_a_hub_in_memory_has_no_files(named):
    named("%dfnb open :memory:")
    assert "found in the hub in memory (" in named("%dfnb scan-secrets").text


def test_what_cannot_be_looked_for_is_said(named, monkeypatch):
    monkeypatch.setenv("DFNB_TEST_PIN", "123")
    named('Secret.env("DFNB_TEST_PIN"), Secret.env("DFNB_TEST_GONE")')
    text = named("%dfnb scan-secrets").text
    assert "  too short to be looked for: DFNB_TEST_PIN\n" in text
    assert "  not looked for: " in text
    assert "DFNB_TEST_GONE is not set" in text


def test_another_hubs_compressed_file_is_no_proof(named, tmp_path):
    with dfnb.DurableApp(tmp_path / "other.duckdb", registry=dfnb.Registry()):
        pass
    assert "other.duckdb keeps its texts compressed: open it with `%dfnb open`" in named("%dfnb scan-secrets other.duckdb").text


def test_without_any_secret_there_is_nothing_to_prove(named, monkeypatch):
    monkeypatch.setattr(secrets, "_known", {})
    assert named("%dfnb scan-secrets").text == (
        "dfnb: no secret is known in this kernel: run the cells that name them, then scan again\n"
    )


def test_functions_passwords_and_tokens_are_looked_for_too(named):
    named('Secret.callable(lambda: "from-a-function", name="mine")')
    named('Secret.basic("me", key)')
    kept = Tokens()
    kept.get(CallableTokenSource(lambda: "a-token-of-mine", name="api"))
    dfnb.start("leaks", ["from-a-function", "a-token-of-mine"]).wait(5)
    cell = named("%dfnb scan-secrets")
    assert {leak.name for leak in cell.value} == {"mine", "token: api"}
    assert "4 secrets (DFNB_TEST_KEY, mine, DFNB_TEST_KEY #2, token: api)" in cell.text


def test_a_secret_that_only_a_recorded_call_names_is_looked_for(named, monkeypatch):
    named("""%%orchestrator
def call(context):
    yield context.call_http("GET", "http://127.0.0.1:9/", headers={"X-Key": key}, timeout=0.5)
""")
    dfnb.start("call").wait(10)
    monkeypatch.setattr(secrets, "_known", {})
    assert "no value of 1 secret (DFNB_TEST_KEY) was found" in named("%dfnb scan-secrets").text
