"""A whole engine on a clock moved by hand, over DuckDB in memory and on disk."""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import dfnb
from dfnb.records.instance import InstanceRecord
from dfnb.testing import FakeClock

from .http_lab import HttpLab

PATIENCE = 20.0


class Lab:
    """An app with definitions and a clock of its own; it can crash and be opened again."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.clock = FakeClock()
        self.registry = dfnb.Registry()
        self.orchestrator = functools.partial(dfnb.orchestrator, registry=self.registry)
        self.activity = functools.partial(dfnb.activity, registry=self.registry)
        self.options: dict[str, Any] = {}
        self._app: dfnb.DurableApp | None = None

    @property
    def on_disk(self) -> bool:
        return self.path != ":memory:"

    @property
    def app(self) -> dfnb.DurableApp:
        return self._app if self._app is not None else self.open()

    @property
    def client(self) -> dfnb.DurableOrchestrationClient:
        return self.app.client

    def open(self, **options: Any) -> dfnb.DurableApp:
        self.options |= options
        self._app = dfnb.DurableApp(self.path, registry=self.registry, clock=self.clock, **self.options)
        return self._app

    def reopen(self, *, crash: bool = True, **options: Any) -> dfnb.DurableApp:
        """Open the hub again, after a crash or a polite end."""
        if crash:
            self.app.abandon()
        else:
            self.app.close(timeout=1)
        return self.open(**options)

    def start(self, orchestrator: Any, input: Any = None, **options: Any) -> dfnb.Instance:
        return self.client.start(orchestrator, input, **options)

    def run(self, orchestrator: Any, input: Any = None) -> Any:
        return self.start(orchestrator, input).result(PATIENCE)

    def failure(self, orchestrator: Any, input: Any = None) -> dfnb.FailureDetails:
        """How the instance failed."""
        details = self.start(orchestrator, input).wait(PATIENCE).failure_details
        assert details is not None
        return details

    def until(self, instance: dfnb.Instance, holds: Callable[[InstanceRecord], bool]) -> InstanceRecord:
        """Wait until the instance's committed state is as wanted."""
        changed = threading.Event()
        end = self.client.watch(lambda ids: changed.set() if instance.id in ids else None)
        try:
            while not holds(record := self.client.record(instance.id)):
                if not changed.wait(PATIENCE):
                    raise AssertionError(f"{record} never became what was wanted; history: {instance.history()}")
                changed.clear()
        finally:
            end()
        return record

    def waiting(self, instance: dfnb.Instance, *kinds: str) -> InstanceRecord:
        """Wait until the instance waits for exactly these kinds of things."""
        return self.until(instance, lambda record: tuple(wait.kind for wait in record.waits) == kinds)

    def close(self) -> None:
        if self._app is not None:
            self._app.close(timeout=1)


@pytest.fixture(params=["memory", "disk"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    made = Lab(":memory:" if request.param == "memory" else str(tmp_path / "hub.duckdb"))
    yield made
    made.close()


@pytest.fixture
def disk_lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(str(tmp_path / "hub.duckdb"))
    yield made
    made.close()


@pytest.fixture
def make_lab(tmp_path: Path) -> Callable[[], Lab]:
    """Makes labs, each with a file of its own; who makes one closes it."""
    numbers = itertools.count()
    return lambda: Lab(str(tmp_path / f"hub{next(numbers)}.duckdb"))


@pytest.fixture
def http(disk_lab: Lab) -> Iterator[HttpLab]:
    """An app on disk whose HTTP calls go to a fake API, both on the clock moved by hand."""
    made = HttpLab(disk_lab)
    yield made
    made.close()
