from __future__ import annotations

import inspect

import dfnb
from dfnb.definitions import DEFAULT

BODY = "def double(n: int) -> int:\n    # twice\n    return 2 * n"


def test_a_cell_defines_what_the_decorator_defines(run):
    run(f"%%activity --timeout 3\n{BODY}")
    by_cell = DEFAULT.require("activity", "double")
    run(f"@dfnb.activity(timeout=3)\n{BODY}")
    by_decorator = DEFAULT.require("activity", "double")
    assert by_cell.fingerprint == by_decorator.fingerprint
    assert (by_cell.timeout, by_cell.input_type, by_cell.name) == (3.0, int, "double")


def test_the_function_stays_a_plain_callable_with_its_source(run, shell):
    run(f"%%activity\n\n{BODY}")
    double = shell.user_ns["double"]
    assert double(4) == 8
    assert inspect.getsource(double).rstrip() == BODY


def test_one_stable_line_says_new_unchanged_or_changed(run):
    first = run(f"%%activity\n{BODY}").text
    assert first.startswith("activity double (")
    assert first.endswith("): new\n")
    assert run(f"%%activity\n\n\n{BODY}  # a comment").text == first.replace("new", "unchanged")
    assert run(f"%%activity\n{BODY} + 1").text.endswith("): changed\n")


def test_a_traceback_in_the_body_shows_the_line_of_the_cell(run):
    run("%%activity\n\n\ndef fail():\n    raise KeyError('here')")
    text = run("fail()").text
    assert "----> 5     raise KeyError('here')" in text


def test_the_function_is_the_last_or_the_one_named(run):
    cell = "def one(): pass\ndef two(): pass"
    assert "activity two" in run(f"%%activity\n{cell}").text
    assert "activity one" in run(f"%%activity one\n{cell}").text
    assert "activity one" in run(f"%%activity --name one\n{cell}").text
    assert "activity other" in run(f"%%activity one --name other\n{cell}").text
    assert DEFAULT.require("activity", "other").function() is None


def test_a_cell_without_the_function_is_told_in_a_sentence(run):
    none = run("%%activity\nx = 1")
    assert isinstance(none.error, dfnb.DefinitionError)
    assert none.text == "DefinitionError: this cell defines no function; write `def name(...):` at the left edge below %%activity\n"
    assert "did you mean 'one'?" in run("%%activity ome\ndef one(): pass").text


def test_a_syntax_error_shows_the_line_of_the_cell_and_nothing_of_ours(run):
    cell = run("%%activity\n\ndef broken(:\n    pass")
    assert "line 3" in cell.text
    assert "SyntaxError" in cell.text
    assert "dfnb" not in cell.text


def test_an_error_while_defining_shows_the_users_frames_only(run):
    cell = run("%%activity\ndef inner():\n    return 1 / 0\ninner()\ndef good(): pass")
    assert isinstance(cell.error, ZeroDivisionError)
    assert "line 4" in cell.text
    assert "line 3, in inner" in cell.text
    assert "cells.py" not in cell.text
    assert "get_ipython" not in cell.text
    assert DEFAULT.get("activity", "good") is None


def test_a_refused_definition_is_one_sentence(run):
    cell = run("%%orchestrator\nasync def late(context):\n    pass")
    assert cell.text.startswith("DefinitionError: orchestrator 'late' must not be `async def`")
    assert cell.text.count("\n") == 1


def test_magics_and_awaits_in_a_body_work(run):
    assert run("%%activity\nfolder = !echo here\nasync def slow(n):\n    return n").error is None
    assert DEFAULT.require("activity", "slow").is_async


def test_a_traceback_names_the_cell_that_defined_the_function(run, shell):
    run("None")
    before = shell.execution_count
    shell.run_cell("%%activity\ndef divide(x):\n    return 1 / x", store_history=True)
    file = shell.user_ns["divide"].__code__.co_filename
    assert shell.compile.format_code_name(file) == ("Cell", f"In[{before}]")
