from __future__ import annotations

import time

import pytest

import dfnb
from dfnb.client.shown import date_and_time
from dfnb.definitions import DEFAULT
from dfnb.notebook import display, table_twins
from dfnb.notebook.formatters import instances_table


def shown(shell, value) -> dict[str, str]:
    return shell.display_formatter.format(value)[0]


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0.2, "<1 ms"), (12, "12 ms"), (1240, "1.24 s"), (59_900, "59 s"), (65_000, "1 min 5 s"), (7_260_000, "2 h 1 min"),
        (90_000_000, "1 d 1 h"),
    ],
)
def test_a_span_has_at_most_two_units(milliseconds, text):
    assert display.span(milliseconds) == text


def test_an_instance_is_one_line_of_text_in_a_terminal(echo, shell):
    run = dfnb.start("ask", instance_id="q1")
    bundle = shown(shell, run)
    assert bundle["text/plain"].startswith("<Instance ask 'q1': Running, waiting for event answer since ")
    assert "application/vnd.jupyter.widget-view+json" not in bundle
    run.terminate("enough")
    run.wait(5)
    assert shown(shell, run)["text/plain"] == "<Instance ask 'q1': Terminated>"


ESCAPE = "\x1b]52;c;ZXZpbA==\x07"


def test_texts_of_others_do_not_reach_the_terminal_as_commands(echo, shell):
    echo(f"""%%orchestrator
def told(context):
    context.set_custom_status({ESCAPE!r})
    yield context.call_entity(df.EntityId("kept", "k"), "keep", {ESCAPE!r})
    raise ValueError({ESCAPE!r})
""")
    echo("%%entity\ndef kept(context):\n    context.set_state(context.get_input())")
    run = dfnb.start("told")
    run.wait(10)
    entity = dfnb.current().client.entity("@kept@k")
    with pytest.raises(dfnb.InstanceFailedError):
        run.result(0)
    for value in (run, run.history(), instances_table(), entity, dfnb.current().client.entities("kept")):
        text = shown(shell, value)["text/plain"]
        assert ("\x1b" in text, "\x07" in text) == (False, False)
    assert r"\x1b]52;c;ZXZpbA==\x07" in shown(shell, run)["text/plain"]


def test_a_cell_of_a_table_is_one_line():
    assert display.columns(("a", "b"), [("x\ny", "\x1b"), ("z", "")]) == "a     b\nx\\ny  \\x1b\nz"


def test_an_instance_that_waits_for_a_cell_says_so(echo, shell):
    echo("%%orchestrator\ndef lost(context):\n    yield context.call_activity('not_yet')")
    run = dfnb.start("lost")
    assert "waiting for the cell that defines not_yet" in shown(shell, run)["text/plain"]
    assert ">the cell that defines not_yet<" in shown(shell, run.status())["text/html"]


def test_statuses_pages_and_lists_have_html(echo, shell):
    run = dfnb.start("say", "<b>", instance_id="a1")
    status = run.wait(5)
    for value in (status, dfnb.current().client.instances(), [status], run.history(), DEFAULT.require("activity", "echo")):
        html = shown(shell, value)["text/html"]
        assert html.startswith('<div class="dfnb"><style>')
        assert "<b>" not in html
        assert "http" not in html
    assert "&lt;b&gt;" in shown(shell, status)["text/html"]


def test_other_lists_are_left_alone(run, shell):
    for value in ([], [1, 2], [None]):
        assert list(shown(shell, value)) == ["text/plain"]


def test_a_table_of_instances_has_text(echo, shell):
    dfnb.start("say", "x", instance_id="a1").wait(5)
    assert shown(shell, instances_table())["text/plain"].splitlines()[1].startswith("Completed  say   a1")
    assert shown(shell, instances_table([]))["text/plain"] == "no instances"


def test_nothing_is_registered_any_more_after_unloading(run, shell):
    run("%unload_ext dfnb")
    printers = shell.display_formatter.formatters["text/html"].type_printers
    assert dfnb.Instance not in printers
    assert list not in printers


def test_entities_have_text_and_html(counter, shell):
    client = dfnb.current().client
    client.signal_entities([("@counter@x", "add", 5), ("@counter@x", "fail")])
    dfnb.start("read", "@counter@x").wait(5)
    handle = client.entity("@counter@x")
    for value in (handle, handle.operations(), handle.status(), client.entities()):
        html = shown(shell, value)["text/html"]
        assert html.startswith('<div class="dfnb"><style>')
        assert "<bad>" not in html
        assert "http" not in html
    text = shown(shell, handle)["text/plain"].splitlines()
    assert text[0].startswith("entity @counter@x: 3 operations; last operation 20")
    assert text[1] == "5"
    assert text[2].split() == ["number", "operation", "status", "sent", "by", "ran", "at", "took", "input", "result"]
    assert [line.split()[1:3] for line in text[3:]] == [["get", "Completed"], ["fail", "Failed"], ["add", "Completed"]]
    assert shown(shell, client.entities())["text/plain"].splitlines()[1].startswith("counter  x    20")
    assert shown(shell, handle.status())["text/plain"] == "<DurableEntityStatus @counter@x: state 5, 3 operations>"


def test_an_entity_that_is_not_there_says_so(counter, shell):
    client = dfnb.current().client
    assert shown(shell, client.entity("@counter@x"))["text/plain"] == "<EntityHandle @counter@x: no such entity>"
    assert "no such entity" in shown(shell, client.entity("@counter@x"))["text/html"]
    assert shown(shell, client.entities())["text/plain"] == "no entities"
    dfnb.close()
    assert "closed" in shown(shell, client.entity("@counter@x"))["text/plain"]
    assert "closed" in shown(shell, client.entity("@counter@x"))["text/html"]


def test_the_history_of_a_call_names_entity_and_operation(counter):
    dfnb.start("read", "@counter@x", instance_id="r1").wait(5)
    lines = counter("%dfnb history r1").text.splitlines()
    assert [line.split()[-2:] for line in lines if "Entity" in line] == [["@counter@x", "get"], ["@counter@x", "get"]]


def kept(**values) -> dict:
    """A picture as a notebook keeps it."""
    return {"kind": "instance", "id": "a1", "name": "ask", "status": "Running", "created": 1_000.0, "waits": [], **values}


def test_a_long_text_is_closed_at_first_and_a_short_one_is_there():
    for name in ("custom", "output", "failure"):
        long = display.instance_html(kept(**{name: "x" * 10_000}))
        assert f"<details><summary>{'x' * 99}… (10,000 characters)</summary><pre>{'x' * 10_000}</pre></details>" in long
        lines = display.instance_html(kept(**{name: "\n".join("<abcdefgh>")}))
        assert "<summary>&lt; a b c d e f g h &gt;… (19 characters)</summary>" in lines
        assert "<details>" not in display.instance_html(kept(**{name: "x" * 400}))


def test_what_a_notebook_keeps_of_a_running_instance_has_dates():
    now = time.time() * 1000
    waits = [{"text": "event go", "since": now}, {"text": "timer", "until": now + 60_000}, {"text": "job", "next": now + 60_000}]
    call = {"name": "job", "status": "202", "state": "Running", "polls": 1, "next": now + 60_000}
    picture = kept(created=now, waits=waits, calls=[call])
    later = date_and_time(now + 60_000)
    html = display.instance_html(picture)
    assert f"since {date_and_time(now)}, as of {date_and_time(now)[:10]}" in html
    assert f"event go since {date_and_time(now)}<" in html
    assert f"timer until {later}<" in html
    assert html.count(f"next request at {later}") == 2
    assert "as of" not in display.instance_html({**picture, "ended": now + 5})
    table = table_twins.page({
        "kind": "table", "order": ["a1"], "rows": {"a1": picture}, "more": False, "note": "", "total": 1, "counts": {},
    })  # fmt: skip
    assert f"since {date_and_time(now)}" in table
