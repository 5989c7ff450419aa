from __future__ import annotations

import re

import pytest

import dfnb
from dfnb.errors import cells_named
from dfnb.notebook.snapshot import InstanceTracker


def test_an_error_of_ours_shows_the_users_lines_and_one_sentence(run):
    cell = run("def helper():\n    dfnb.start('nobody')\nhelper()")
    lines = cell.text.splitlines()
    assert lines[1:4:2] == ["    helper()", "    dfnb.start('nobody')"]
    assert lines[2].endswith(", line 2, in helper")
    assert lines[2].startswith("Cell In[")
    assert lines[4].startswith("NotRegisteredError: no orchestrator named 'nobody'")
    assert len(lines) == 5


def test_a_failed_result_shows_where_the_activity_failed(echo):
    echo("%%activity\ndef echo(word):\n    raise ValueError('bad ' + word)")
    cell = echo("dfnb.start('say', 'word').result(5)")
    assert isinstance(cell.error, dfnb.InstanceFailedError)
    text = cell.text
    assert "line 3, in echo\n    raise ValueError('bad ' + word)\nValueError: bad word\n" in text
    assert text.index("ValueError: bad word") < text.index("InstanceFailedError: Orchestrator function 'say' failed")
    assert "dfnb/" not in text
    assert "^^^" not in text


def test_an_error_that_came_from_another_thread_shows_no_lines_of_the_library_that_brought_it(run):
    cell = run("""
from concurrent.futures import Future
failed = Future()
failed.set_exception(dfnb.InstanceNotFoundError("a"))
failed.result()
""")
    assert "futures" not in cell.text.replace("concurrent.futures import", "")
    assert cell.text.splitlines()[-1] == "InstanceNotFoundError: no instance with id 'a' in this hub"


@pytest.mark.parametrize(
    "slip",
    [
        "dfnb.start('say', 1, instance_id='')", "dfnb.start('say', 1, instance_id='x' * 500)", "dfnb.start(3)",
        "dfnb.follow('notaurl')", "dfnb.connect('nowhere.duckdb')", "dfnb.RetryOptions(0, 0)",
        "dfnb.start('say').wait(timeout='x')",
    ],
    ids=["no-id", "long-id", "no-orchestrator", "no-url", "no-hub", "no-interval", "no-seconds"],
)  # fmt: skip
def test_an_argument_that_is_refused_shows_the_users_line_and_one_sentence(echo, slip: str):
    lines = echo(slip).text.splitlines()
    assert lines[0].startswith("Cell In[")
    assert lines[1] == f"    {slip}"
    assert re.fullmatch(r"(ValueError|TypeError|FileNotFoundError): .+", lines[2])
    assert len(lines) == 3


def test_percent_tb_shows_all_of_a_refused_argument(echo):
    echo("dfnb.start(3)")
    assert "definitions.py" in echo("%tb").text


@pytest.mark.parametrize(
    "cell",
    [
        "def mine():\n    raise ValueError('mine')\nmine()", "dfnb.start_many('say', 5)",
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    dfnb.start(3)",
    ],
    ids=["of-the-user", "of-an-operation", "while-handling"],
)
def test_what_no_raise_statement_of_ours_made_alone_is_shown_at_length(echo, cell: str):
    assert "Traceback (most recent call last)" in echo(cell).text


def test_a_wait_that_takes_too_long_for_asyncio_says_what_goes_on(echo):
    cell = echo("""
import asyncio
@dfnb.orchestrator
def waits(context):
    yield context.wait_for_external_event("go")
run = dfnb.start("waits", instance_id="a")
await asyncio.wait_for(run, 0.01)
""")
    assert isinstance(cell.error, TimeoutError)
    assert cell.text.splitlines()[1:] == [
        "    await asyncio.wait_for(run, 0.01)", "TimeoutError: stopped waiting for a; it goes on in the background"
    ]


def test_without_the_extension_errors_are_shown_as_ever(echo):
    echo("%unload_ext dfnb")
    assert "Traceback (most recent call last)" in echo("dfnb.RetryOptions(0, 0)").text


RECORDED = """Traceback (most recent call last):
  File "/tmp/ipykernel_77/4711.py", line 8, in geocode
    raise OSError("busy")
    ^^^^^^^^^^^^^^^^^^^^^
  File "C:\\Temp\\ipykernel_78\\12.py", line 2, in other
  File "/home/me/trip.py", line 3, in helper"""


def test_a_recorded_traceback_names_cells_and_not_the_files_that_kernels_make_up_for_them():
    known = {"/tmp/ipykernel_77/4711.py": ("Cell", "In[4]")}
    assert cells_named(RECORDED, known.get).splitlines() == [
        "Traceback (most recent call last):",
        "  Cell In[4], line 8, in geocode",
        '    raise OSError("busy")',
        "  Cell of another kernel, line 2, in other",
        '  File "/home/me/trip.py", line 3, in helper',
    ]
    assert "Cell of another kernel, line 8" in cells_named(RECORDED, None)


def test_a_view_shows_a_failure_with_the_names_of_cells(run):
    run("@dfnb.activity\ndef broken(x):\n    raise OSError('busy')\n"
        "@dfnb.orchestrator\ndef calls(context):\n    yield context.call_activity('broken', 1)\n"
        "run = dfnb.start('calls', instance_id='c1'); run.wait(20)")  # fmt: skip
    trace = InstanceTracker(dfnb.current().client, "c1")
    trace.look()
    assert "Cell In[" in trace.full()["trace"]
    assert "ipykernel" not in trace.full()["trace"]
