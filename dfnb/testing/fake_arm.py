"""A fake of Azure Resource Manager's virtual machines: those of the seed's RestartVm sample.

Sources: Azure REST reference, "Virtual Machines" (get, list, create or update, delete, restart, start, power off, deallocate) and
"Subscriptions - List"; long-running answers as in `fake_azure.AzureArm`.
"""

from __future__ import annotations

import re
import threading
from typing import Any, NamedTuple

from dfnb.testing.fake_azure import AzureArm
from dfnb.testing.fake_dialects import Places
from dfnb.testing.jobs import Job
from dfnb.testing.wire import ReceivedRequest, Reply, reply_of

VERBS = ("restart", "start", "powerOff", "deallocate", "redeploy", "reapply")
_MACHINES = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)(?:/resourceGroups/(?P<group>[^/]+))?/providers/Microsoft\.Compute/virtualMachines"
    r"(?:/(?P<name>[^/]+)(?:/(?P<verb>[^/]+))?)?",
    re.IGNORECASE,
)
_AFTER = {"powerOff": "stopped", "deallocate": "deallocated"}


class Asked(NamedTuple):
    """What a path of virtual machines means."""

    subscription: str
    group: str | None
    name: str | None
    verb: str | None


class VirtualMachines(AzureArm):
    """The long-running operations; the machines themselves are asked of `FakeMachines`, not of a job."""

    def places(self, job: Job) -> Places:
        return {place: role for place, role in super().places(job).items() if place[1] != job.path}


class FakeMachines:
    """Virtual machines by name; one that is not known yet comes to be, running, when it is asked for."""

    def __init__(self, machines: dict[str, str]) -> None:
        self._lock = threading.Lock()
        self._power = dict(machines)
        self._jobs: dict[str, Job] = {}

    def power(self, name: str) -> str:
        """running, stopped, deallocated, or deleted: as the operations that have ended well left it."""
        with self._lock:
            self._settle(name)
            return self._power.setdefault(name, "running")

    def answer(self, request: ReceivedRequest) -> Reply | None:
        """The answer to a request that starts no job; None for one that does."""
        if request.path.rstrip("/") == "/subscriptions":
            return reply_of({"value": [{"subscriptionId": "mySubId", "displayName": "Fake", "state": "Enabled"}]})
        if "api-version" not in request.query:
            return refused("MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required.", 400)
        asked = read(request.path)
        if asked.name is None:
            return self._list(asked)
        if self.power(asked.name) == "deleted" and request.method != "PUT":
            return _not_found(asked.name)
        if request.method == "GET":
            return self._get(asked.name, asked.verb, request)
        if request.method == "POST" and asked.verb not in VERBS:
            return refused("InvalidAction", f"The action {asked.verb!r} is not known for virtual machines.", 400)
        return None

    def started(self, job: Job) -> None:
        """Remember the latest operation of a machine."""
        name = read(job.path).name or ""
        with self._lock:
            self._settle(name)
            self._jobs[name] = job

    def _settle(self, name: str) -> None:
        job = self._jobs.get(name)
        if job is None or not job.ended:
            return
        if job.state == "succeeded":
            left = "deleted" if job.request.method == "DELETE" else _AFTER.get(read(job.path).verb or "", "running")
            self._power[name] = left
        del self._jobs[name]

    def _get(self, name: str, verb: str | None, request: ReceivedRequest) -> Reply:
        view = {"statuses": [{"code": f"PowerState/{self.power(name)}", "level": "Info"}]}
        if verb is not None:
            return reply_of(view)
        machine = self._resource(name, request.path)
        if request.query.get("$expand") == "instanceView":
            machine["properties"]["instanceView"] = view
        return reply_of(machine)

    def _resource(self, name: str, path: str) -> dict[str, Any]:
        with self._lock:
            busy = name in self._jobs and not self._jobs[name].ended
        return {
            "name": name,
            "id": path,
            "type": "Microsoft.Compute/virtualMachines",
            "location": "westeurope",
            "properties": {
                "provisioningState": "Updating" if busy else "Succeeded",
                "hardwareProfile": {"vmSize": "Standard_B1s"},
            },
        }

    def _list(self, asked: Asked) -> Reply:
        group = asked.group or "myRG"
        base = f"/subscriptions/{asked.subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachines"
        names = [name for name in sorted(self._power) if self.power(name) != "deleted"]
        return reply_of({"value": [self._resource(name, f"{base}/{name}") for name in names]})


def read(path: str) -> Asked:
    """What a path means; the patterns of the endpoint have let only such paths through."""
    match = _MACHINES.fullmatch(path.rstrip("/"))
    return Asked(**match.groupdict()) if match is not None else Asked("", None, None, None)


def refused(code: str, message: str, status: int) -> Reply:
    """An error as Azure Resource Manager writes it."""
    return reply_of({"error": {"code": code, "message": message}}, status)


def _not_found(name: str) -> Reply:
    return refused("ResourceNotFound", f"The Resource 'Microsoft.Compute/virtualMachines/{name}' was not found.", 404)
