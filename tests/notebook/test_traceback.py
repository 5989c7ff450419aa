from __future__ import annotations

import dfnb


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
