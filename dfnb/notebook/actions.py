"""The buttons of a live view: which of them an instance's state allows, and what each does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from dfnb.client.instance import Instance
from dfnb.client.sync import DurableOrchestrationClient
from dfnb.errors import DfnbError, InstanceFinishedError, InstanceNotFoundError
from dfnb.records.history import ExecutionResumed, ExecutionRewound, ExecutionSuspended, ExecutionTerminated, HistoryEvent

Picture = dict[str, Any]

_BY_STATUS = {
    "Pending": ["terminate"],
    "Running": ["suspend", "raise", "terminate"],
    "ContinuedAsNew": ["suspend", "raise", "terminate"],
    "Suspended": ["resume", "raise", "terminate"],
    "Completed": ["restart", "purge"],
    "Failed": ["rewind", "restart", "purge"],
    "Terminated": ["restart", "purge"],
    "Canceled": ["restart", "purge"],
}


def allowed(status: str) -> list[str]:
    """What may be asked of an instance in that state."""
    return _BY_STATUS.get(status, [])


def perform(client: DurableOrchestrationClient, instance_id: str, request: Picture) -> Picture:
    """Do what a button asks for and say so; DfnbError or ValueError says why not."""
    action = str(request.get("action"))
    run = client.instance(instance_id)
    handler = _HANDLERS.get(action)
    if handler is None:
        raise ValueError(f"there is no action {action!r}")
    return handler(run, request)


def perform_many(client: DurableOrchestrationClient, ids: Iterable[str], request: Picture) -> Picture:
    """The same for several instances, on disk together; those that have ended or gone in the meantime are counted, not an error."""
    action, ids = str(request.get("action")), list(ids)
    if action == "purge":
        done = client.purge_ended(ids).instances_deleted
        return {"done": _counted(done, "purged", len(ids) - done, "had not ended or gone", "")}
    if action in _MESSAGES:
        return _send_many(client, ids, action, request)
    done, failed = 0, ""
    for id in ids:
        try:
            perform(client, id, request)
            done += 1
        except DfnbError as error:
            failed = failed or str(error)
    return {"done": _counted(done, "done", len(ids) - done, "not", failed)}


def _send_many(client: DurableOrchestrationClient, ids: list[str], action: str, request: Picture) -> Picture:
    make, past = _MESSAGES[action]
    sent: list[Future[None]] = []
    ended, failed = 0, ""
    for id in ids:
        try:
            sent.append(client.send(id, make(_reason(request)), action))
        except (InstanceFinishedError, InstanceNotFoundError):
            ended += 1
        except DfnbError as error:
            failed = failed or str(error)
    for future in sent:
        client.settle(future)
    return {"done": _counted(len(sent), past, ended, "had ended or gone", failed)}


def _counted(done: int, past: str, others: int, why: str, failed: str) -> str:
    return ", ".join(filter(None, [f"{done:,} {past}", f"{others:,} {why}" if others else "", failed]))


def _reason(request: Picture) -> str | None:
    return str(request.get("reason") or "") or None


def _suspend(run: Instance, request: Picture) -> Picture:
    run.suspend(_reason(request))
    return {"done": "suspended"}


def _resume(run: Instance, request: Picture) -> Picture:
    run.resume(_reason(request))
    return {"done": "it goes on"}


def _raise(run: Instance, request: Picture) -> Picture:
    name, text = str(request.get("name") or ""), str(request.get("data") or "")
    try:
        data = json.loads(text) if text.strip() else None
    except ValueError as error:
        raise ValueError(f"the data of the event is not JSON: {error}") from None
    run.raise_event(name, data)
    return {"done": f"event {name} was raised"}


def _terminate(run: Instance, request: Picture) -> Picture:
    run.terminate(_reason(request))
    return {"done": "it is asked to end"}


def _rewind(run: Instance, request: Picture) -> Picture:
    run.rewind(_reason(request))
    return {"done": "its failed tasks run again"}


def _restart(run: Instance, request: Picture) -> Picture:
    started = run.restart(new_id=not request.get("sameId"))
    return {"done": f"started again as {started.id}", "instance": started.id}


def _purge(run: Instance, request: Picture) -> Picture:
    run.purge()
    return {"done": "purged"}


_HANDLERS: dict[str, Callable[[Instance, Picture], Picture]] = {
    "suspend": _suspend, "resume": _resume, "raise": _raise, "terminate": _terminate, "rewind": _rewind, "restart": _restart,
    "purge": _purge,
}  # fmt: skip

_MESSAGES: dict[str, tuple[Callable[[str | None], HistoryEvent], str]] = {
    "suspend": (ExecutionSuspended, "suspended"), "resume": (ExecutionResumed, "resumed"),
    "terminate": (ExecutionTerminated, "terminated"), "rewind": (lambda reason: ExecutionRewound((), reason), "rewound"),
}  # fmt: skip
