"""What tables ask of a remote hub, against a real dfnb server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import dfnb
from dfnb.client.remote.client import RemoteOrchestrationClient
from dfnb.client.remote.connect import connect
from dfnb.client.sync import DurableOrchestrationClient
from dfnb.errors import RemoteError
from dfnb.hub.protocol import InstanceQuery

from ..conftest import Reach, waits_for


@pytest.fixture
def remote(app: dfnb.DurableApp, reach: Reach) -> Iterator[RemoteOrchestrationClient]:
    app.client.start("waits", instance_id="w1")
    reach("w1", waits_for("event go"))
    app.client.start("echo", instance_id="e1").wait(20)
    server = app.serve(port=0)
    with connect(server.url, server.key) as connected:
        yield connected


def test_records_are_those_of_the_hub_as_far_as_they_are_told(
    remote: RemoteOrchestrationClient, client: DurableOrchestrationClient
) -> None:
    found = remote.records(InstanceQuery())
    assert [record.id for record in found] == ["e1", "w1"]
    assert found[1] == client.record("w1")
    assert (found[0].status, found[0].is_terminal) == ("Completed", True)
    assert [record.id for record in remote.records(InstanceQuery(statuses=("Running",), id_prefix="w"))] == ["w1"]


def test_many_are_found_and_counted(remote: RemoteOrchestrationClient, client: DurableOrchestrationClient) -> None:
    assert remote.find_many(["w1", "nobody"]) == {"w1": client.record("w1")}
    assert remote.overview(InstanceQuery(name="echo")).counts == {("echo", "Completed"): 1, ("waits", "Running"): 1}
    assert remote.count_entities() == {}


def test_only_what_has_ended_is_purged(remote: RemoteOrchestrationClient, client: DurableOrchestrationClient) -> None:
    assert remote.purge_ended(["e1", "w1", "nobody"]).instances_deleted == 1
    assert set(client.find_many(["e1", "w1"])) == {"w1"}


def test_figures_are_not_told(remote: RemoteOrchestrationClient) -> None:
    with pytest.raises(RemoteError, match="offers no way to read the figures"):
        remote.stats()
