"""An app whose HTTP calls go to a fake API on the app's own clock, which is moved on whenever nothing is left but to wait."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dfnb
from dfnb.client.http_log import HttpExchange
from dfnb.durable_http.retry_after import Pace
from dfnb.engine.http import HttpSettings
from dfnb.errors import HttpCallError
from dfnb.records.http import DurableHttpResponse
from dfnb.records.instance import InstanceRecord
from dfnb.testing import AsyncApi

if TYPE_CHECKING:
    from .conftest import Lab

PATIENCE = 60.0


class HttpLab:
    """Makes calls from orchestrations of one call each, and follows them to their end."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.clock = lab.clock
        self.api = AsyncApi(lab.clock)
        self.answers: list[DurableHttpResponse] = []
        self.errors: list[HttpCallError] = []
        self._numbers = itertools.count(1)
        self.open()

    def settings(self, **changes: Any) -> HttpSettings:
        return HttpSettings(**{"client": self.api.transport, **changes})

    def open(self, **changes: Any) -> dfnb.DurableApp:
        return self.lab.open(http=self.settings(**changes))

    def reopen(self, *, crash: bool = True) -> None:
        self.lab.reopen(crash=crash)

    def close(self) -> None:
        self.lab.close()
        self.api.close()

    # calls

    def url(self, path: str) -> str:
        return path if "://" in path else self.api.url + path

    def begin(self, method: str, path: Any, *args: Any, **options: Any) -> dfnb.Instance:
        """Start an orchestration that makes one call."""
        url = self.url(path) if isinstance(path, str) else path

        @self.lab.orchestrator(name=f"call{next(self._numbers)}")
        def once(context: Any) -> Any:
            try:
                answer = yield context.call_http(method, url, *args, **options)
            except HttpCallError as error:
                if not context.is_replaying:
                    self.errors.append(error)
                raise
            if not context.is_replaying:
                self.answers.append(answer)
            return answer.status_code

        return self.lab.start(once)

    def answer(self, method: str, path: Any, *args: Any, **options: Any) -> DurableHttpResponse:
        """The answer of a call that is followed to its end; its error is raised."""
        before = len(self.answers), len(self.errors)
        self.instance = self.begin(method, path, *args, **options)
        self.follow(self.instance)
        if len(self.errors) > before[1]:
            raise self.errors[-1]
        assert len(self.answers) > before[0], self.instance.status().failure_details
        return self.answers[-1]

    def exchanges(self, instance: dfnb.Instance | None = None) -> list[HttpExchange]:
        return list((instance or self.instance).http())

    def notes(self) -> str:
        """What was odd about the latest call, all exchanges together."""
        return "; ".join(exchange.note for exchange in self.exchanges() if exchange.note)

    # time

    def follow(self, *instances: dfnb.Instance, holds: Callable[[], bool] | None = None) -> None:
        """Move the clock from one due time to the next until all have ended, or until it holds."""
        changed = threading.Event()
        end = self.lab.client.watch(lambda ids: changed.set())
        try:
            while not (holds is not None and holds()):
                records = [self.lab.client.record(one.id) for one in instances]
                waiting = [record for record in records if not record.is_terminal]
                if not waiting:
                    assert holds is None, "all have ended, and it does not hold"
                    return
                due = self._due(waiting)
                if due is not None:
                    self.clock.advance((due - self.clock.now()) / 1e6)
                elif not changed.wait(PATIENCE if holds is None else 0.05) and holds is None:
                    raise AssertionError(f"nothing moves: {waiting}; requests: {self.api.requests}")
                changed.clear()
        finally:
            end()

    def sleep_until_due(self, instance: dfnb.Instance) -> None:
        """Wait until the instance's call waits for its time, without moving the clock."""
        self.lab.until(instance, lambda record: self._due([record]) is not None)

    def _due(self, records: list[InstanceRecord]) -> int | None:
        """When the earliest of them goes on; None while one of them has something under way."""
        waits = [wait for record in records for wait in record.waits]
        now = self.clock.now()
        idle = all(record.waits for record in records)
        if not idle or any(wait.kind == "http" and (wait.until is None or wait.until <= now) for wait in waits):
            return None
        return min((wait.until for wait in waits if wait.until is not None and wait.until > now), default=None)


def quick(api: AsyncApi, **changes: Any) -> HttpSettings:
    """Settings for an app on the machine's clock: polls every 10 milliseconds."""
    return HttpSettings(**{"client": api.transport, "pace": Pace(every=0.01, floor=0.01), **changes})
