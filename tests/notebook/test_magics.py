from __future__ import annotations

import pytest

import dfnb
from dfnb.definitions import DEFAULT

CALLS = "%%orchestrator\ndef call(context):\n    first = yield context.call_activity({first!r})\n    return first{more}"


def test_loading_says_one_line_and_twice_is_harmless(bare):
    assert bare("%load_ext dfnb").text == "dfnb: hub dfnb.duckdb, engine running, 0 instances resumed\n"
    app = dfnb.current()
    assert "already loaded" in bare("%load_ext dfnb").text
    assert bare("%reload_ext dfnb").text == "dfnb: hub dfnb.duckdb, engine running, 0 instances resumed\n"
    assert dfnb.current() is app
    assert not app.is_closed


def test_an_app_that_is_open_is_kept(bare, tmp_path):
    app = dfnb.open(tmp_path / "mine.duckdb")
    assert "hub mine.duckdb" in bare("%load_ext dfnb").text
    assert dfnb.current() is app


def test_unloading_closes_the_hub_and_takes_the_magics_away(run):
    app = dfnb.current()
    run("%unload_ext dfnb")
    assert app.is_closed
    assert "not found" in run("%dfnb").text


def test_a_file_that_cannot_be_opened_is_one_sentence_and_open_works_afterwards(bare, tmp_path, monkeypatch):
    foreign = tmp_path / "foreign.duckdb"
    foreign.write_bytes(b"no hub" * 1000)
    monkeypatch.setenv("DFNB_HUB", str(foreign))
    said = bare("%load_ext dfnb")
    assert said.error is None
    assert said.text.startswith("dfnb: ")
    assert "cannot be opened as a dfnb hub" in said.text
    assert said.text.count("\n") == 1
    assert "hub good.duckdb, engine running" in bare("%dfnb open good.duckdb").text


def test_an_orchestrator_is_checked_with_the_lines_of_the_cell(run):
    text = run("%%orchestrator\n\nimport time as t\n\ndef watch(context):\n    return t.time()").text.splitlines()
    assert text[1] == "  warning: line 6: t.time: use context.current_utc_datetime"
    assert len(text) == 2


@pytest.mark.parametrize("magic", ["orchestrator", "activity", "entity"])
def test_help_shows_how_the_magic_is_typed(run, magic):
    for cell in (f"%%{magic} --help\nx", f"%%{magic}?"):
        assert f"%%{magic} [--name NAME]" in run(cell).text


def test_a_wrong_magic_argument_is_one_sentence(run):
    assert run("%%activity --zzz x\ndef f(): pass").text.strip().startswith("UsageError: ")
    assert "invalid float value: 'soon'" in run("%%activity --timeout soon\ndef f(): pass").text


def test_an_executor_is_named_by_its_variable(run, shell):
    run("from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(1)")
    run("%%activity --executor pool\ndef f(n): return n")
    assert DEFAULT.require("activity", "f").executor is shell.user_ns["pool"]
    assert "did you mean pool?" in run("%%activity --executor pol\ndef f(n): return n").text
    shell.user_ns["pool"].shutdown()


def test_a_changed_cell_tells_which_instances_moved_and_which_are_held(run):
    run(CALLS.format(first="a", more=""))
    instance = dfnb.start("call", instance_id="w1")
    dfnb.start("call", instance_id="w2")
    assert run(CALLS.format(first="a", more=" or 1")).text.endswith("changed, 2 in flight moved to it\n")
    held = run(CALLS.format(first="b", more="")).text
    assert "changed, 2 held (w" in held
    assert "history has" in held
    assert run(CALLS.format(first="a", more="")).text.endswith("changed, 2 in flight moved to it\n")
    run("%%activity\ndef a(): return 5")
    assert instance.result(5) == 5




ORDER = "%%http_trigger {line}\nasync def order(req, client):\n    return {answer!r}"


def test_an_http_trigger_tells_where_it_will_answer_and_what_makes_it_reachable(run):
    said = run(ORDER.format(line="/orders/{id:int} --methods post --auth anonymous", answer="a")).text
    definition = DEFAULT.require("http_trigger", "order")
    assert said == (
        f"http_trigger order ({definition.fingerprint}): new, POST /api/orders/{{id:int}} (`%dfnb serve` makes it reachable)\n"
    )
    assert (definition.auth_level, definition.is_async, definition.takes_client) == (dfnb.AuthLevel.ANONYMOUS, True, True)
    assert ": unchanged, POST" in run(ORDER.format(line="/orders/{id:int} --methods POST --auth anonymous", answer="a")).text
    assert ": changed, GET,POST /api/orders" in run(ORDER.format(line="/orders/{id:int} --auth anonymous", answer="a")).text
    assert ": changed, GET,POST /api/order (" in run(ORDER.format(line="", answer="a")).text


def test_an_http_trigger_tells_its_url_while_a_server_runs(run):
    server = dfnb.current().serve(port=0)
    said = run(ORDER.format(line="/orders/{id} --auth anonymous", answer="a")).text
    assert said.endswith(f", GET,POST {server.url}/api/orders/{{id}}\n")


def test_an_http_trigger_of_another_name_is_the_last_function_of_the_cell(run):
    run("%%http_trigger --name first\ndef helper():\n    return 'x'\n\ndef answer(req):\n    return helper()")
    assert DEFAULT.require("http_trigger", "first").route == "first"
    assert DEFAULT.names("http_trigger") == ["first"]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("/a --methods GET,FLY", "the methods of http_trigger 'order' are some of GET, POST"),
        ("/a --auth nobody", "'nobody' is not an auth level; known are anonymous, function, admin"),
        ("/a/{id:itn}", "has the constraint 'itn', which is not known; did you mean"),
        ("/taken", "GET, POST /taken is answered by http_trigger 'other' already"),
    ],
)
def test_what_is_wrong_with_an_http_trigger_is_one_sentence(run, line, sentence):
    run("%%http_trigger /taken\ndef other(req):\n    return 1")
    said = run(ORDER.format(line=line, answer="a"))
    assert sentence in said.text
    assert "Traceback" not in said.text
    assert DEFAULT.get("http_trigger", "order") is None


def test_help_of_an_http_trigger_shows_how_it_is_typed(run):
    for cell in ("%%http_trigger --help\nx", "%%http_trigger?"):
        assert "%%http_trigger [--methods GET,POST] [--auth LEVEL] [--name NAME]" in run(cell).text
