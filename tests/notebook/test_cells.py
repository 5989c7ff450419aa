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


COUNTER = "def counter(context: df.DurableEntityContext):\n    context.set_state(context.get_state() or context.get_input())"


def test_an_entity_is_a_function_or_a_class(run):
    assert run(f"%%entity\n{COUNTER}").text.startswith("entity counter (")
    body = "from dataclasses import dataclass\n\nclass Account:\n    balance: int = 0\n    def pay(self, n): self.balance -= n"
    first = run(f"%%entity\n{body}").text
    assert first.startswith("entity Account (")
    assert first.endswith("): new\n")
    assert run(f"%%entity\n{body}  # all of it").text == first.replace("new", "unchanged")
    assert run(f"%%entity\n{body} + 1").text.endswith("): changed\n")
    assert "entity account (" in run(f"%%entity --name account\n{body}").text
    assert DEFAULT.names("entity") == ["account", "counter"]


def test_an_entity_cell_and_its_decorator_define_the_same(run):
    body = "class Account:\n    def pay(self, n): pass"
    run(f"%%entity\n{body}")
    by_cell = DEFAULT.require("entity", "Account")
    run(f"@dfnb.entity\n{body}")
    assert by_cell.source.strip() == body
    assert by_cell.fingerprint == DEFAULT.require("entity", "Account").fingerprint


def test_which_class_of_a_cell_is_meant_can_be_said(run):
    body = "class One:\n    def go(self): pass\ndef helper(context): pass"
    assert "entity helper" in run(f"%%entity\n{body}").text
    assert "entity One" in run(f"%%entity One\n{body}").text
    assert "defines no function or class named 'Oen'; did you mean 'One'?" in run(f"%%entity Oen\n{body}").text
    assert "write `def name(context):` or `class Name:` at the left edge below %%entity" in run("%%entity\nx = 1").text
    assert "this cell defines no function; " in run("%%activity\nclass One:\n    def go(self): pass").text
