"""The virtual machines of the RestartVm sample."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from dfnb.durable_http.polling import Finished
from dfnb.testing import AsyncApi

Follow = Callable[..., Finished]
GROUP = "/subscriptions/mySubId/resourceGroups/myRG/providers/Microsoft.Compute/virtualMachines"
VERSION = "?api-version=2019-03-01"
TOKEN = {"Authorization": "Bearer t"}


def test_a_machine_is_restarted_as_in_the_sample(api: AsyncApi, follow: Follow) -> None:
    api.arm(polls=2)
    ended = follow("POST", f"{GROUP}/myVM/restart{VERSION}", headers=TOKEN)
    assert (ended.why, ended.answer.status, ended.answer.body) == ("ok", 200, b"")
    operations = "/subscriptions/mySubId/providers/Microsoft.Compute/locations/westeurope"
    assert [request.path for request in api.requests] == [
        f"{GROUP}/myVM/restart",
        *[f"{operations}/operations/1"] * 3,
        f"{operations}/operationresults/1",
    ]
    assert {request.header("authorization") for request in api.requests} == {"Bearer t"}


@pytest.mark.parametrize(("verb", "power"), [("start", "running"), ("powerOff", "stopped"), ("deallocate", "deallocated")])
def test_power_changes_when_the_operation_has_ended_well(api: AsyncApi, follow: Follow, verb: str, power: str) -> None:
    machines = api.arm({"myVM": "stopped" if power == "running" else "running"})
    before = machines.power("myVM")
    assert follow("POST", f"{GROUP}/myVM/{verb}{VERSION}", headers=TOKEN).why == "ok"
    assert (before != power, machines.power("myVM")) == (True, power)


def test_a_failed_operation_leaves_the_machine_as_it_was(api: AsyncApi, follow: Follow) -> None:
    machines = api.arm(fails={"code": "AllocationFailed", "message": "no room"})
    ended = follow("POST", f"{GROUP}/myVM/deallocate{VERSION}", headers=TOKEN)
    assert (ended.failed, b"AllocationFailed" in ended.answer.body) == (True, True)
    assert machines.power("myVM") == "running"


def test_machines_are_made_listed_and_deleted(api: AsyncApi, follow: Follow, client: httpx.Client) -> None:
    api.arm({"a": "running", "b": "stopped"})
    client.headers.update(TOKEN)
    assert client.get("/subscriptions").json()["value"][0]["subscriptionId"] == "mySubId"
    assert follow("PUT", f"{GROUP}/c{VERSION}", headers=TOKEN).why == "ok"
    assert follow("DELETE", f"{GROUP}/a{VERSION}", headers=TOKEN).why == "ok"
    assert [one["name"] for one in client.get(f"{GROUP}{VERSION}").json()["value"]] == ["b", "c"]
    assert client.get(f"{GROUP}/a{VERSION}").status_code == 404
    seen = client.get(f"{GROUP}/b{VERSION}&$expand=instanceView").json()["properties"]
    assert seen["instanceView"]["statuses"][0]["code"] == "PowerState/stopped"
    assert client.get(f"{GROUP}/c/instanceView{VERSION}").json()["statuses"][0]["code"] == "PowerState/running"


def test_a_machine_in_work_says_so(api: AsyncApi, client: httpx.Client) -> None:
    api.arm()
    client.headers.update(TOKEN)
    client.post(f"{GROUP}/a/restart{VERSION}")
    assert client.get(f"{GROUP}/a{VERSION}").json()["properties"]["provisioningState"] == "Updating"


def test_what_arm_refuses_is_refused(api: AsyncApi, client: httpx.Client) -> None:
    api.arm()
    assert client.post(f"{GROUP}/a/restart{VERSION}").status_code == 401
    client.headers.update(TOKEN)
    assert client.post(f"{GROUP}/a/restart").json()["error"]["code"] == "MissingApiVersionParameter"
    assert client.post(f"{GROUP}/a/dance{VERSION}").json()["error"]["code"] == "InvalidAction"
