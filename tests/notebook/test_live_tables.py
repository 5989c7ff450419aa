"""A live table in a real kernel: what is told, what can be asked."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Kernel
from .test_live import DEFINE, WIDGET, deltas, of_kind

pytestmark = pytest.mark.slow


def model_of(messages: Any, kind: str) -> tuple[str, dict[str, Any]]:
    """The id of the widget's comm, and the picture it began with."""
    for opened in of_kind(messages, "comm_open"):
        picture = opened["data"].get("state", {}).get("snapshot")
        if picture is not None and picture["kind"] == kind:
            return opened["comm_id"], picture
    raise AssertionError(f"no live table of kind {kind}")


def ask(kernel: Kernel, comm: str, **question: Any) -> dict[str, Any]:
    """Ask as the widget does; the answer."""
    content = {"comm_id": comm, "data": {"method": "custom", "content": {**question, "id": 7}}}
    kernel.client.shell_channel.send(kernel.client.session.msg("comm_msg", content))
    return deltas(kernel.until(lambda message: any(one.get("answer") == 7 for one in deltas([message]))))[-1]


def test_a_live_table_is_told_of_new_instances_and_answers(kernel: Kernel):
    kernel.run(DEFINE + "dfnb.start('ask', instance_id='q1')")
    shown = kernel.run("dfnb.instances()")
    (bundle,) = of_kind(shown, "display_data")
    assert set(bundle["data"]) == {WIDGET, "text/html", "text/plain"}
    comm, picture = model_of(shown, "table")
    assert (picture["order"], picture["total"], picture["counts"]) == (["q1"], 1, {"Running": 1})

    started = kernel.run("run = dfnb.start('ask', instance_id='q2')")
    if not any(told.get("set", {}).get("total") == 2 for told in deltas(started)):
        started += kernel.until(lambda message: any(told.get("set", {}).get("total") == 2 for told in deltas([message])))
    assert [told["set"]["order"] for told in deltas(started) if "order" in told.get("set", {})] == [["q2", "q1"]]

    assert ask(kernel, comm, ask="do", action="terminate", ids=["q1", "q2"]) == {"answer": 7, "done": "2 terminated"}
    assert "is not a runtime status" in ask(kernel, comm, ask="question", status=["Odd"])["error"]
    assert ask(kernel, comm, ask="go", instance="q1")["kind"] == "instance"
    assert ask(kernel, comm, ask="go", instance="table")["kind"] == "table"


@pytest.mark.parametrize(("shown", "kind"), [("dfnb.entities()", "entities"), ("dfnb.definitions()", "definitions")])
def test_entities_and_definitions_are_live_too(kernel: Kernel, shown: str, kind: str):
    kernel.run(DEFINE)
    _, picture = model_of(kernel.run(shown), kind)
    assert picture["total"] == (1 if kind == "definitions" else 0)


def test_stats_are_a_picture_that_needs_nothing(kernel: Kernel):
    kernel.run(DEFINE + "dfnb.start('ask', instance_id='q1')")
    messages = kernel.run("dfnb.stats()")
    (result,) = of_kind(messages, "execute_result")
    assert result["data"]["text/plain"] == "<HubStats: 1 instance: 1 Running>"
    assert "<svg" in result["data"]["text/html"]
    assert of_kind(messages, "comm_open") == []
