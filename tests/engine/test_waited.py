"""How long an event was waited for, as the history tells it."""

from __future__ import annotations

from typing import Any

import dfnb
from dfnb.engine.waited import with_length
from dfnb.records.history import EventRaised, TaskCompleted


def test_each_wait_is_over_with_the_first_event_of_its_name() -> None:
    go, no = EventRaised("go"), EventRaised("no")
    rows = [(EventRaised("go", "1"), 7), (TaskCompleted(1), 8), (go, 8), (go, 9), (no, 9)]
    assert with_length(rows, lambda name: [3, 5] if name == "go" else []) == [
        (EventRaised("go", "1", 4), 7), (TaskCompleted(1), 8), (EventRaised("go", took=3), 8), (go, 9), (no, 9),
    ]  # fmt: skip


def test_what_was_told_of_another_wait_does_not_count() -> None:
    assert with_length([(EventRaised("go", took=4), 7)], lambda name: []) == [(EventRaised("go"), 7)]
    assert with_length([(EventRaised("go"), 1)], lambda name: [2]) == [(EventRaised("go", took=0), 1)]


def test_of_many_that_are_waited_for_together_each_tells_it(disk_lab: Any) -> None:
    lab = disk_lab

    @lab.orchestrator
    def asks_many(context: dfnb.DurableOrchestrationContext) -> Any:
        return (yield context.task_all([context.wait_for_external_event(f"e{n}") for n in range(9)]))

    run = lab.start(asks_many)
    lab.until(run, lambda record: bool(record.waits))
    lab.clock.advance(2)
    for n in range(8, -1, -1):
        run.raise_event(f"e{n}")
    run.wait(20)
    assert [row.event.took for row in run.history() if isinstance(row.event, EventRaised)] == [2_000_000] * 9


def test_the_history_tells_how_long_an_event_was_waited_for_also_after_a_crash(disk_lab: Any) -> None:
    lab = disk_lab

    @lab.orchestrator
    def asks(context: dfnb.DurableOrchestrationContext) -> Any:
        yield context.wait_for_external_event("first")
        yield context.wait_for_external_event("then")
        return (yield context.wait_for_external_event("early"))

    run = lab.start(asks)
    lab.waiting(run, "event")
    lab.clock.advance(4)
    run.raise_event("early")
    run.raise_event("first")
    lab.until(run, lambda record: [wait.name for wait in record.waits] == ["then"])
    lab.reopen()
    lab.clock.advance(3)
    lab.client.raise_event(run.id, "then")
    lab.client.wait(run.id, timeout=20)
    seen = [row.event for row in lab.client.history(run.id) if isinstance(row.event, EventRaised)]
    assert [(event.name, event.took) for event in seen] == [("early", None), ("first", 4_000_000), ("then", 3_000_000)]
