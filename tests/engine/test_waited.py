"""How long an event was waited for, as the history tells it."""

from __future__ import annotations

from typing import Any

import dfnb
from dfnb.engine.waited import with_length
from dfnb.records.history import EventRaised, TaskCompleted
from dfnb.records.instance import Wait


def test_each_wait_is_over_with_the_first_event_of_its_name() -> None:
    waits = [Wait("event", "go", since=3), Wait("timer", until=9), Wait("event", "go", since=5)]
    go, no = EventRaised("go"), EventRaised("no")
    rows = [(EventRaised("go", "1"), 7), (TaskCompleted(1), 8), (go, 8), (go, 9), (no, 9)]
    assert with_length(rows, lambda: waits) == [
        (EventRaised("go", "1", 4), 7), (TaskCompleted(1), 8), (EventRaised("go", took=3), 8), (EventRaised("go"), 9),
        (EventRaised("no"), 9),
    ]  # fmt: skip


def test_what_was_told_of_another_wait_does_not_count() -> None:
    assert with_length([(EventRaised("go", took=4), 7)], list) == [(EventRaised("go"), 7)]
    assert with_length([(EventRaised("go"), 1)], lambda: [Wait("event", "go", since=2)]) == [(EventRaised("go", took=0), 1)]


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
