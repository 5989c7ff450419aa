from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from dfnb.notebook import live

from .conftest import Kernel, printed
from .test_publisher import Hub

WIDGET = "application/vnd.jupyter.widget-view+json"
DEFINE = """import dfnb
%load_ext dfnb
@dfnb.orchestrator
def ask(context):
    answer = yield context.wait_for_external_event("answer")
    return answer
"""


def of_kind(messages, kind):
    return [message["content"] for message in messages if message["msg_type"] == kind]


def deltas(messages):
    return [data["content"] for data in (m["data"] for m in of_kind(messages, "comm_msg")) if data.get("method") == "custom"]


def is_update(message) -> bool:
    return message["msg_type"] == "update_display_data"


@pytest.mark.slow
def test_a_live_view_follows_the_instance_until_html_takes_its_place(kernel: Kernel):
    loaded = kernel.run("import sys\n" + DEFINE + "print('anywidget' in sys.modules)")
    assert printed(loaded) == "dfnb: hub dfnb.duckdb, engine running, 0 instances resumed\nFalse\n"
    shown = kernel.run("run = dfnb.start('ask', instance_id='q1')\nrun")
    (bundle,) = of_kind(shown, "display_data")
    assert set(bundle["data"]) == {WIDGET, "text/html", "text/plain"}
    assert bundle["data"]["text/plain"].startswith("<Instance ask 'q1': Running, waiting for event answer since")
    states = [opened["data"].get("state", {}) for opened in of_kind(shown, "comm_open")]
    (state,) = [state["snapshot"] for state in states if "snapshot" in state]
    assert (state["n"], state["status"], state["waits"][0]["text"]) == (0, "Running", "event answer")

    answered = kernel.run("run.raise_event('answer', 'yes')")
    if not any(map(is_update, answered)):
        answered += kernel.until(is_update)
    sent = deltas(answered)
    assert [delta["n"] for delta in sent] == list(range(1, len(sent) + 1))
    assert sent[-1]["set"]["output"] == "yes"
    (last,) = of_kind(answered, "update_display_data")
    assert set(last["data"]) == {"text/html", "text/plain"}
    assert last["transient"] == bundle["transient"]
    assert "Completed" in last["data"]["text/html"]


@pytest.mark.slow
def test_nothing_is_sent_while_nothing_changes(kernel: Kernel):
    kernel.run(DEFINE + "dfnb.start('ask', instance_id='q1')")
    kernel.run("dfnb.instance('q1')")
    quiet = kernel.run("import time\nfor _ in range(5): time.sleep(0.1)")
    assert deltas(quiet) == []


@pytest.mark.slow
def test_a_cell_that_is_run_again_has_one_live_view(kernel: Kernel):
    kernel.run(DEFINE + "dfnb.start('ask', instance_id='q1')")
    first = of_kind(kernel.run("dfnb.instances()", cell="t"), "comm_open")
    again = kernel.run("dfnb.instances()", cell="t")
    closed = {closed["comm_id"] for closed in of_kind(again, "comm_close")}
    assert closed & {opened["comm_id"] for opened in first}
    kernel.run("dfnb.instances()", cell="other")
    told = kernel.run("dfnb.start('ask', instance_id='q2')")
    while len({m["comm_id"] for m in of_kind(told, "comm_msg")}) < 2:  # both tables that are there, and none that is gone
        told += kernel.until(lambda message: message["msg_type"] == "comm_msg")
    assert not closed & {m["comm_id"] for m in of_kind(told, "comm_msg")}


@pytest.mark.slow
def test_stopping_the_engine_is_said_where_the_view_was(kernel: Kernel):
    kernel.run(DEFINE + "dfnb.start('ask', instance_id='q1')")
    kernel.run("dfnb.instance('q1')")
    stopped = kernel.run("dfnb.close()")
    if not any(map(is_update, stopped)):
        stopped += kernel.until(is_update)
    assert any("the engine was stopped" in update["data"]["text/html"] for update in of_kind(stopped, "update_display_data"))


@pytest.mark.slow
def test_after_a_restart_the_instance_is_there_again(kernel: Kernel):
    kernel.run(DEFINE + "dfnb.start('ask', instance_id='q1')")
    kernel.restart()
    again = kernel.run(DEFINE + "dfnb.instance('q1')")
    assert "1 instance resumed" in printed(again)
    assert "Running" in of_kind(again, "display_data")[0]["data"]["text/plain"]


@pytest.mark.slow
def test_without_live_views_the_twins_are_shown(kernel: Kernel):
    kernel.run("import os; os.environ['DFNB_LIVE'] = '0'")
    shown = kernel.run(DEFINE + "dfnb.start('ask', instance_id='q1')")
    (bundle,) = of_kind(shown, "display_data")
    assert set(bundle["data"]) == {"text/html", "text/plain"}
    assert of_kind(shown, "comm_open") == []


@pytest.mark.slow
def test_a_second_kernel_is_told_who_owns_the_hub_and_can_open_another(kernel: Kernel, tmp_path):
    kernel.run("import dfnb\n%load_ext dfnb")
    second = Kernel(tmp_path)
    try:
        said = printed(second.run("%load_ext dfnb"))
        assert "is in use by process" in said
        assert said.count("\n") == 1
        assert "hub other.duckdb, engine running" in printed(second.run("%dfnb open other.duckdb"))
    finally:
        second.close()


def test_there_is_no_live_view_outside_a_kernel(run):
    assert not live.is_live()


class SlowTracker:
    """Its hub is far away: a look takes until it is let go on."""

    client, restarted, ids, open_ids, is_over = Hub(), False, None, (), False

    def __init__(self) -> None:
        self.looks, self.go_on = threading.Event(), threading.Event()
        self.picture = {"kind": "instance", "status": "Pending"}

    def full(self) -> dict[str, Any]:
        return dict(self.picture)

    def look(self) -> dict[str, Any]:
        self.looks.set()
        assert self.go_on.wait(20)
        self.picture["status"] = "Running"
        return {"set": {"status": "Running"}}


def test_a_page_that_is_loaded_anew_does_not_wait_for_a_look_that_takes_long():
    tracker = SlowTracker()
    view = live.View(cast(live.Tracker, tracker))
    looking = threading.Thread(target=view.publish)
    looking.start()
    assert tracker.looks.wait(20)
    assert (view.snapshot()["n"], view.snapshot()["status"]) == (0, "Pending")
    tracker.go_on.set()
    looking.join(20)
    assert (view.snapshot()["n"], view.snapshot()["status"]) == (1, "Running")
