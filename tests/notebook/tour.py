"""Cells for tests in JupyterLab: an orchestration with a task of each kind, and an API that answers 202 as often as it is told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from dfnb.testing import AsyncApi


@contextlib.contextmanager
def served_api() -> Iterator[str]:
    """The API that the cells call, outside of the kernel, so that it outlives it; the cell that says where it is."""
    api = AsyncApi()
    api.job("/jobs", polls=float("inf"), retry_after=1)
    api.job("/quick", polls=2, result={"area": 12}, retry_after=0)
    with api.serve() as url:
        yield f'API = "{url}"'


SETUP = """import os
import dfnb, dfnb as df
from datetime import timedelta
from dfnb.notebook import live

os.environ["TOUR_KEY"] = "sesame-open"
%load_ext dfnb"""

TOUR = """%%orchestrator
def tour(context: df.DurableOrchestrationContext):
    context.set_custom_status("on the way")
    seat = df.EntityId("seat", "14C")
    job = context.call_http("POST", f"{API}/jobs", content={"scene": 7}, headers={"x-key": df.Secret.env("TOUR_KEY")})
    quick = context.call_http("POST", f"{API}/quick", content={"scene": 8})
    route = context.call_activity_with_retry("find_route", df.RetryOptions(200, 3), context.instance_id)
    leg = context.call_sub_orchestrator("leg", "Oslo", instance_id=f"{context.instance_id}-leg")
    with (yield context.lock_entities([seat])):
        yield context.call_entity(seat, "take", context.instance_id)
    late = context.create_timer(timedelta(hours=1))
    approval = context.wait_for_external_event("approval")
    yield context.task_any([approval, late, job])
    late.cancel()
    return {"approval": approval.result, "route": (yield route)}"""

OTHERS = """tries = {}

@df.activity
def find_route(name: str) -> str:
    tries[name] = tries.get(name, 0) + 1
    print("try", tries[name], "of", name)
    if tries[name] < 2:
        raise OSError("the line is busy")
    return "by train"

@df.activity
def book(city: str) -> str:
    return f"a ticket to {city}"

@df.entity
def seat(context):
    context.set_state(context.get_input())
    context.set_result(True)

@df.orchestrator
def leg(context):
    ticket = yield context.call_activity("book", context.get_input())
    return [ticket, (yield context.wait_for_external_event("board"))]

@df.orchestrator
def ask(context):
    return (yield context.wait_for_external_event("answer"))

@df.orchestrator
def brittle(context):
    yield context.wait_for_external_event("go")
    return (yield context.call_activity("find_route", context.instance_id))

@df.orchestrator
def busy(context):
    for number in range(context.get_input()):
        yield context.call_activity("book", str(number))
    yield context.wait_for_external_event("enough")"""

CELLS = (SETUP, TOUR, OTHERS)
