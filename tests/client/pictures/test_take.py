from __future__ import annotations

from dfnb.client.sync import DurableOrchestrationClient


def test_an_instance_has_both_pictures_while_it_runs_and_when_it_has_ended(client: DurableOrchestrationClient) -> None:
    run = client.start("waits", instance_id="w1")
    assert "w1" in run.timeline().svg
    assert run.graph().description == "Running. 1 event go: waiting."
    run.terminate("enough")
    run.wait(10)
    assert run.timeline().description.startswith("Terminated. ")
    assert run.graph().description.startswith("Terminated. ")
    assert run.timeline().svg == run.timeline().svg
