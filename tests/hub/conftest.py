"""A hub of every kind, and a worker for it that tests drive by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dfnb.hub.hub import TaskHub
from dfnb.hub.protocol import StartRequest
from dfnb.records.history import ExecutionCompleted, ExecutionStarted, HistoryEvent, OrchestratorStarted, Recorded


class Hand:
    """The worker's side of a hub, one step at a time."""

    def __init__(self, hub: TaskHub, now: Callable[[], int]) -> None:
        self.hub = hub
        self.now = now

    def start(self, *ids: str, name: str = "work", **facts: Any) -> None:
        """Start instances and take in their first turns."""
        started = self.hub.start_instances([StartRequest(name, id, **facts) for id in ids])
        self.turn()
        started.result(5)

    def turn(self, *outputs: HistoryEvent, only: str | None = None, limit: int = 2_000) -> list[str]:
        """One batch: every ready instance (or only one) takes in its messages and adds these outputs. The ids of who had a turn."""
        ids = []
        for state, messages in self.hub.take_ready(self.now(), limit):
            ids.append(state.id)
            inputs = [*(state.pending or ()), *(message.event for message in messages)]
            first = bool(inputs) and isinstance(inputs[0], ExecutionStarted)
            state.pending = None
            turn = 1 if first else state.turn + 1
            rows = [(message.event, message.at) for message in messages] or [(OrchestratorStarted(), self.now())]
            self.hub.record(state, rows, turn)
            if only in (None, state.id):
                self.hub.record(state, [(event, self.now()) for event in outputs], turn)
            self.hub.finish_turn(state, (), messages)
        self.commit()
        return ids

    def add(self, id: str, *events: HistoryEvent) -> None:
        """A turn of one instance that nothing from outside has set going."""
        state = self.hub._by_id[id]
        self.hub.record(state, [(event, self.now()) for event in events], state.turn + 1)
        self.hub.finish_turn(state, ())
        self.commit()

    def end(self, id: str, result: str | None = "1", status: str = "Completed") -> None:
        self.add(id, ExecutionCompleted(status, result))

    def commit(self) -> None:
        """Commit what is open and wait until it is on disk."""
        self.hub.commit(lambda: None)
        assert self.hub._journal.drain()

    def history(self, id: str) -> list[Recorded]:
        record = self.hub.find(id)
        assert record is not None
        return [recorded for _, _, recorded in self.hub.history(record)]


@pytest.fixture
def now() -> Callable[[], int]:
    """A clock that moves by a second each time it is asked."""
    seconds = itertools.count(1_700_000_000)
    return lambda: next(seconds) * 1_000_000


@pytest.fixture
def open_hub(tmp_path: Path, now: Callable[[], int]) -> Iterator[Callable[..., TaskHub]]:
    """Opens hubs, by default always the same file, and closes what is left open."""
    opened: list[TaskHub] = []

    def open_one(durability: str = "durable", path: Path | None = None) -> TaskHub:
        opened.append(TaskHub(str(path or tmp_path / "hub.duckdb"), durability=durability, now=now))
        return opened[-1]

    yield open_one
    for hub in opened:
        hub.close()


@pytest.fixture(params=["durable", "relaxed", "memory"])
def hub(request: pytest.FixtureRequest, open_hub: Callable[..., TaskHub]) -> TaskHub:
    return open_hub(request.param)


@pytest.fixture
def hand(hub: TaskHub, now: Callable[[], int]) -> Hand:
    return Hand(hub, now)


@pytest.fixture
def hand_of(now: Callable[[], int]) -> Callable[[TaskHub], Hand]:
    return lambda hub: Hand(hub, now)
