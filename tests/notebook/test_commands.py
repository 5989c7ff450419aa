from __future__ import annotations

import json
import re

import httpx
import pytest
from IPython.core.error import UsageError

import dfnb
from dfnb.client.status import InstancePage
from dfnb.engine.http import HttpSettings
from dfnb.notebook import commands


def test_start_returns_the_instance(echo, shell):
    echo('run = %dfnb start say "hello" --id greeting')
    assert shell.user_ns["run"].id == "greeting"
    assert shell.user_ns["run"].result(5) == "hello"


def test_start_takes_variables_and_expressions(echo, shell):
    echo("word = 'hi'")
    for text in ("$word", "{word}", "word", "word.lower()"):
        echo(f"run = %dfnb start say {text}")
        assert shell.user_ns["run"].result(5) == "hi"


def test_start_at_a_time_waits_for_it(echo, shell):
    echo("run = %dfnb start say 1 --at +1h")
    assert "waiting for its start time" in shell.user_ns["run"].status().waiting_for


def test_wait_and_raise_know_ids_by_their_beginning_and_by_variables(echo, shell):
    echo("run = %dfnb start ask --id question-1")
    assert echo("%dfnb raise que answer {'n': 42}").text == "event answer was raised to question-1\n"
    assert echo("%dfnb wait run --timeout 5").value.output == {"n": 42}
    assert echo("%dfnb wait question-1").value.output == {"n": 42}


def test_an_id_that_several_instances_share_the_beginning_of_is_not_guessed(echo):
    dfnb.start("ask", instance_id="q1")
    dfnb.start("ask", instance_id="q12")
    assert "several instances" in echo("%dfnb terminate q").text
    assert echo("%dfnb terminate q1 no longer needed").error is None
    assert dfnb.instance("q1").wait(5).output == "no longer needed"
    assert dfnb.instance("q12").status().runtime_status.value == "Running"


def test_wait_runs_out_in_a_sentence(echo):
    dfnb.start("ask", instance_id="q1")
    cell = echo("%dfnb wait q1 --timeout 0.05")
    assert isinstance(cell.error, dfnb.WaitTimeoutError)
    assert cell.text.startswith("WaitTimeoutError: instance 'q1' has not ended after 0.05 s; it is waiting for event answer")
    assert cell.text.count("\n") == 1


def test_suspend_resume_restart_rewind_and_purge(echo):
    dfnb.start("ask", instance_id="q1")
    assert echo("%dfnb suspend q1").text == "instance q1 is suspended\n"
    assert "resume it first" in echo("%dfnb suspend q1").text
    assert echo("%dfnb resume q1").text == "instance q1 goes on\n"
    again = echo("%dfnb restart q1").value
    assert again.id != "q1"
    assert "cannot purge instance 'q1' while it is Running" in echo("%dfnb purge q1").text
    assert "only a failed instance can be rewound" in echo("%dfnb rewind q1").text
    again.terminate()
    again.wait(5)
    assert echo("%dfnb purge --all-ended").text == "1 instance purged\n"
    assert echo("%dfnb purge q1 --force").text == "1 instance purged\n"


def test_rewind_runs_what_failed_again(echo):
    echo("%%activity\ndef echo(word):\n    raise ValueError('not yet')")
    run = dfnb.start("say", "x", instance_id="s1")
    assert run.wait(5).runtime_status.value == "Failed"
    echo("%%activity\ndef echo(word):\n    return word")
    assert echo("%dfnb rewind s1").text == "the failed tasks of instance s1 run again\n"
    assert run.result(5) == "x"


def test_list_filters_and_shows_a_table(echo):
    dfnb.start("say", "x", instance_id="a1").wait(5)
    dfnb.start("ask", instance_id="b1")
    page = echo("%dfnb list").value
    assert isinstance(page, InstancePage)
    assert {status.instance_id for status in page} == {"a1", "b1"}
    assert "Running    ask   b1" in echo("%dfnb list").text
    assert [s.instance_id for s in echo("%dfnb list --status running").value] == ["b1"]
    assert [s.instance_id for s in echo("%dfnb list --name say").value] == ["a1"]
    assert [s.instance_id for s in echo("%dfnb list --prefix b --limit 5").value] == ["b1"]
    assert "is not a runtime status" in echo("%dfnb list --status done").text
    assert "did you mean --prefix b1?" in echo("%dfnb list b1").text


def test_history_shows_each_event(echo):
    dfnb.start("say", "x", instance_id="a1").wait(5)
    text = echo("%dfnb history a1").text
    for word in ("ExecutionStarted", "TaskScheduled", "TaskCompleted", "ExecutionCompleted", "echo"):
        assert word in text


def test_show_says_in_a_line_how_it_stands(echo):
    dfnb.start("ask", instance_id="q1")
    assert "<Instance ask 'q1': Running, waiting for event answer since " in echo("%dfnb show q1").text


def test_the_status_tells_what_waits_for_a_cell(echo):
    echo("%%orchestrator\ndef lost(context):\n    yield context.call_activity('not_yet')")
    dfnb.start("lost")
    app = dfnb.current()
    run = dfnb.start("say", "x")
    run.wait(5)
    text = echo("%dfnb").text
    assert text.startswith("dfnb: hub dfnb.duckdb, engine running\n  2 instances: 1 Completed, 1 Running\n")
    assert app.state.activities_waiting == {"not_yet": 1}
    assert "  1 call waits for the cell that defines not_yet\n" in text


def test_stop_and_open_go_on_where_it_was(echo):
    dfnb.start("ask", instance_id="q1")
    assert echo("%dfnb stop").text == "dfnb: hub dfnb.duckdb is closed; 1 instance will go on when it is opened again\n"
    assert "no hub is open" in echo("%dfnb").text
    assert echo("%dfnb open dfnb.duckdb").text == "dfnb: hub dfnb.duckdb, engine running, 1 instance resumed\n"
    dfnb.instance("q1").raise_event("answer", 1)
    assert dfnb.instance("q1").result(5) == 1
    assert "durability is one of" in echo("%dfnb open x.duckdb --durability high").text


def test_compact_tells_the_size_and_when_there_is_nothing_to_gain(echo):
    dfnb.start("say", "x" * 2_000_000, instance_id="large").wait(20)
    dfnb.current().client.purge("large")
    assert re.fullmatch(r"dfnb: hub file compacted from \d\.\d MB to .*\n", echo("%dfnb compact").text)
    assert echo("%dfnb compact").text.startswith("dfnb: the hub file has nothing to give back; it has ")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("strat x", "did you mean `%dfnb start`?"),
        ("zzz", "there are open, stop"),
        ("start", "which orchestrator?"),
        ("start sya 1", "did you mean 'say'?"),
        ("start say two words", "neither JSON nor a Python expression"),
        ("start say 1 --id a/b", "contains '/'"),
        ("wait", "which instance?"),
        ("wait nobody", "no instance has an id that begins with 'nobody'"),
        ("raise q1", "which event?"),
        ("list --limit none", "takes a whole number"),
        ("purge", "--all-ended"),
        ("open", "open takes one path"),
        ("signal", "which entity?"),
        ("signal @counter@x", "which operation?"),
        ("signal counter add 1", "'counter' is not an entity id of the form @name@key"),
        ("signal @conter@x add 1", "no entity named 'conter' is defined here"),
        ("signal @counter@x add 1 --at soon", "'soon' is not a time"),
        ("signal $nothing add 1", "there is no variable 'nothing'"),
        ("entity @counter@nobody", "there is no entity @counter@nobody in this hub; `%dfnb entities` shows those there are"),
        ("entities --limit 0", "takes a whole number"),
        ("entities counter", "did you mean --name counter, or"),
        ("help strat", "did you mean `%dfnb start`?"),
    ],
)
def test_what_is_typed_wrong_is_answered_in_one_sentence(echo, line, sentence):
    cell = echo(f"%dfnb {line}")
    assert cell.error is not None
    assert sentence in cell.text
    assert cell.text.strip().count("\n") == 0


def test_help_lists_every_command(run):
    text = run("%dfnb help").text
    assert all(f"%dfnb {command.usage}" in text for command in commands.COMMANDS.values())
    assert run("%dfnb help wait").text == run("%dfnb wait --help").text


def test_nest_refuses_versions_that_lose_cells(run, monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.7.2")
    cell = run("%dfnb nest")
    assert isinstance(cell.error, UsageError)
    assert "nest-asyncio2 1.7.2 silently drops cells" in cell.text


def test_open_takes_a_path_from_a_variable(run, tmp_path):
    for given in ("{hub}", "$hub"):
        assert run(f"hub = {str(tmp_path / 'other.duckdb')!r}\n%dfnb open {given}").error is None
        assert dfnb.current().path == str((tmp_path / "other.duckdb").resolve())


def settled(id):
    """Wait until all that was sent to the entity before has run: a call comes after it."""
    return dfnb.start("read", id).result(5)


def test_signal_sends_an_operation(counter):
    assert counter("%dfnb signal @counter@x add 5").text == "operation add was sent to @counter@x\n"
    assert settled("@counter@x") == 5
    counter("n = 2\nx = df.EntityId('counter', 'x')\nhandle = dfnb.current().client.entity(x)\nid = str(x)")
    for word, given in (("x", "$n"), ("handle", "{n}"), ("$id", "n"), ("{x}", "n + 0"), ("@Counter@x", "2")):
        assert counter(f"%dfnb signal {word} add {given}").error is None
    assert settled("@counter@x") == 15


def test_signal_at_a_time_waits_for_it(counter):
    counter("%dfnb signal @counter@x add 5 --at +1h")
    assert settled("@counter@x") is None
    assert dfnb.current().client.entity("@counter@x").status().waiting == 1


def test_entity_shows_state_and_operations(counter):
    counter("%dfnb signal @counter@x add 5")
    counter("%dfnb signal @counter@x fail")
    settled("@counter@x")
    cell = counter("%dfnb entity @counter@x")
    assert cell.value == dfnb.current().client.entity("@counter@x")
    assert "entity @counter@x: 3 operations; last operation " in cell.text
    assert "ValueError: <bad>" in cell.text


def test_entities_are_listed(counter):
    for id in ("@counter@x", "@counter@y"):
        counter(f"%dfnb signal {id} add 5")
        settled(id)
    page = counter("%dfnb entities").value
    assert [one.entity_id.key for one in page] == ["x", "y"]
    assert page.continuation_token is None
    assert len(counter("%dfnb entities --name Counter --limit 1").value) == 1
    assert counter("%dfnb entities --name other").value == []
    assert "no entities" in counter("%dfnb entities --name other").text


def test_the_status_counts_entities_when_there_are_any(counter):
    assert "entit" not in counter("%dfnb").text
    for number, words in ((1, "1 entity"), (2, "2 entities")):
        counter(f"%dfnb signal @counter@{number} add 5")
        settled(f"@counter@{number}")
        assert f"\n  {words}\n  activities:" in counter("%dfnb").text


def test_http_shows_each_exchange_and_writes_an_archive(run, shell, tmp_path):
    dfnb.current().http = HttpSettings(clients={"": lambda: httpx.MockTransport(lambda request: httpx.Response(200, text="hi"))})
    run("%%orchestrator\ndef ask_once(context):\n    yield context.call_http('GET', 'https://host/a?code=abcdefgh')")
    dfnb.start("ask_once", instance_id="a1").wait(5)
    cell = run("%dfnb http a")
    assert [one.status for one in cell.value] == [200]
    assert run("%dfnb http a --latest 1").value == cell.value
    assert "1/1   first    GET https://host/a?code=<redacted>  200 OK" in cell.text
    html = shell.display_formatter.format(cell.value)[0]["text/html"]
    assert html.startswith('<div class="dfnb"><style>')
    assert "<details><summary>GET https://host/a?code=&lt;redacted&gt;</summary>" in html
    assert "200 OK" in shell.display_formatter.format(cell.value[0])[0]["text/html"]
    assert run("%dfnb http a1 --har run.har").text.startswith("1 exchange written to run.har\n")
    assert json.loads((tmp_path / "run.har").read_text(encoding="utf-8")) == cell.value.har()
    refused = run("%dfnb http a1 --har nowhere/run.har")
    assert isinstance(refused.error, UsageError)
    assert "the archive cannot be written to nowhere/run.har: No such file" in refused.text


def test_http_of_an_instance_without_calls_says_so(echo):
    dfnb.start("say", "x", instance_id="a1").wait(5)
    assert echo("%dfnb http a1").text.endswith("no HTTP call has sent a request\n")


def test_live_tables_are_text_where_nothing_is_live(echo, shell):
    echo("dfnb.start('ask', instance_id='q1')")
    titles = (("list --live --status running", "waiting for"), ("entities --live", "no entities"), ("definitions", "version"))
    for line, title in titles:
        assert title in shell.display_formatter.format(echo(f"%dfnb {line}").value)[0]["text/plain"]
    assert "is not a runtime status" in echo("%dfnb list --live --status odd").text
    assert "nothing behind it" in echo("%dfnb definitions x").text
