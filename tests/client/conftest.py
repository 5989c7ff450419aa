"""A hub in memory with small definitions, and a way to wait for what one wants to see."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

import dfnb
from dfnb.client.status import DurableOrchestrationStatus
from dfnb.client.sync import DurableOrchestrationClient
from dfnb.engine.clock import FakeClock

Reach = Callable[[str, Callable[[DurableOrchestrationStatus], bool]], DurableOrchestrationStatus]


class Money:
    """A custom object in the scheme of Azure's Python SDK."""

    def __init__(self, amount: int) -> None:
        self.amount = amount

    @staticmethod
    def to_json(money: Money) -> int:
        return money.amount

    @staticmethod
    def from_json(amount: int) -> Money:
        return Money(amount)


@pytest.fixture
def broken() -> dict[str, bool]:
    """Whether the activity `sell` fails now."""
    return {"sell": True}


@pytest.fixture
def registry(broken: dict[str, bool]) -> dfnb.Registry:
    made = dfnb.Registry()

    @dfnb.activity(registry=made)
    def add_one(x: int) -> int:
        return x + 1

    @dfnb.activity(registry=made)
    def sell(what: str) -> str:
        if broken["sell"]:
            try:
                raise KeyError(what)
            except KeyError as error:
                raise ValueError(f"no {what} left") from error
        return f"sold {what}"

    @dfnb.orchestrator(registry=made)
    def echo(context: dfnb.DurableOrchestrationContext) -> Any:
        return context.get_input()

    @dfnb.orchestrator(registry=made)
    def money(context: dfnb.DurableOrchestrationContext) -> Any:
        return Money(7)

    @dfnb.orchestrator(registry=made)
    def add(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        return (yield context.call_activity("add_one", context.get_input()))

    @dfnb.orchestrator(registry=made)
    def waits(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        context.set_custom_status("open")
        return (yield context.wait_for_external_event("go"))

    @dfnb.orchestrator(registry=made)
    def shop(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        return (yield context.call_activity("sell", "milk"))

    @dfnb.orchestrator(registry=made)
    def parent(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        return (yield context.call_sub_orchestrator("waits", None, f"{context.instance_id}-child"))

    return made


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def app(registry: dfnb.Registry) -> Generator[dfnb.DurableApp]:
    with dfnb.DurableApp(durability="memory", registry=registry) as opened:
        yield opened


@pytest.fixture
def client(app: dfnb.DurableApp) -> DurableOrchestrationClient:
    return app.client


@pytest.fixture
def reach(client: DurableOrchestrationClient) -> Reach:
    """Wait, on the hub's own news, until an instance's status is as wanted."""
    return lambda instance_id, holds: reached(client, instance_id, holds)


def reached(
    client: DurableOrchestrationClient, instance_id: str, holds: Callable[[DurableOrchestrationStatus], bool], seconds: float = 10
) -> DurableOrchestrationStatus:
    news = threading.Event()
    end = client.watch(lambda ids: news.set())
    try:
        while not holds(status := client.status(instance_id)):
            assert news.wait(seconds), f"{instance_id} stays {status!r}"
            news.clear()
        return status
    finally:
        end()


def is_status(*names: str) -> Callable[[DurableOrchestrationStatus], bool]:
    return lambda status: status.runtime_status is not None and status.runtime_status.value in names


def waits_for(words: str) -> Callable[[DurableOrchestrationStatus], bool]:
    return lambda status: words in status.waiting_for
