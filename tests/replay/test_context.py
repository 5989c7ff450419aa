"""What the context says, and what it refuses."""

from __future__ import annotations

import logging
import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from dfnb.records.entity_id import EntityId
from dfnb.records.history import EntityOperationSignaled, ExecutionStarted, ParentRef, Recorded, TimerCreated
from dfnb.records.times import to_datetime, to_microseconds
from dfnb.replay.orchestrator import OrchestrationReplay
from dfnb.testing import HistoryBuilder, replay

START = datetime(2026, 1, 1, tzinfo=UTC)
COUNTER = EntityId("Counter", "x")


def ask(what: Any, input: Any = None) -> Any:
    """What an orchestrator that only looks at its context sees."""
    seen: list[Any] = []

    def looks(context: Any) -> Any:
        seen.append(what(context))

    core = OrchestrationReplay(looks)
    started = ExecutionStarted("looks", "id", None if input is None else str(input), parent=ParentRef("boss", 0, 3), version="1.2")
    end = core.turn(to_microseconds(START), [started]).end
    if end is not None and end.failure is not None:
        raise ValueError(end.failure.summary)
    return seen[0]


def test_identity_time_and_version() -> None:
    assert ask(lambda c: (c.instance_id, c.parent_instance_id, c.name, c.version)) == ("id", "boss", "looks", "1.2")
    assert ask(lambda c: c.current_utc_datetime) == START
    assert ask(lambda c: (c.custom_status, c.will_continue_as_new, c.function_context, c.is_replaying)) == (None, False, {}, False)


def test_uuids_follow_azures_formula_and_count() -> None:
    space = uuid.uuid5(uuid.NAMESPACE_OID, "9e952958-5e33-4daf-827f-2fa12937b875")
    first = str(uuid.uuid5(space, "id_2026-01-01T00:00:00.000000Z_0"))
    second = uuid.uuid5(space, "id_2026-01-01T00:00:00.000000Z_1")
    assert ask(lambda c: (c.new_uuid(), c.new_guid())) == (first, second)


@pytest.mark.parametrize(
    ("given", "due"),
    [
        (timedelta(seconds=5), START + timedelta(seconds=5)),
        (timedelta(microseconds=1), START + timedelta(microseconds=1)),
        (datetime(2026, 1, 1, 0, 0, 5), START + timedelta(seconds=5)),
        (datetime(2026, 1, 1, 1, 0, 5, tzinfo=timezone(timedelta(hours=1))), START + timedelta(seconds=5)),
        (date(2026, 1, 2), START + timedelta(days=1)),
        (datetime(2020, 1, 1), datetime(2020, 1, 1, tzinfo=UTC)),
    ],
)
def test_timers_take_what_datetime_offers(given: Any, due: datetime) -> None:
    assert ask(lambda c: c.create_timer(given).fire_at) == due


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda c: c.call_activity(""), "cannot be empty"),
        (lambda c: c.call_activity(None), "cannot be empty"),
        (lambda c: c.call_activity(len), "not registered as an activity"),
        (lambda c: c.call_activity_with_retry("a", 5), "name, retry_options, input_"),
        (lambda c: c.call_activity("a", object()), "the input of activity 'a'"),
        (lambda c: c.call_sub_orchestrator("a", object()), "the input of sub-orchestration 'a'"),
        (lambda c: c.wait_for_external_event(""), "event's name"),
        (lambda c: c.create_timer(5), "datetime or a timedelta"),
        (lambda c: c.task_any([]), "wait for ever"),
        (lambda c: c.task_all([1]), "item 0 is 1"),
        (lambda c: c.task_all(c.call_activity("a")), "takes a list of tasks"),
        (lambda c: c.set_custom_status(object()), "the custom status"),
        (lambda c: c.call_entity("@counter@x", "add"), "call_entity takes an EntityId, not '@counter@x'; write EntityId("),
        (lambda c: c.call_entity(None, "add"), "takes an EntityId, not None"),
        (lambda c: c.call_entity(COUNTER, ""), "operation's name, not ''"),
        (lambda c: c.call_entity(COUNTER, "add", object()), "the input of operation 'add' of @counter@x"),
        (lambda c: c.signal_entity(5, "add"), "signal_entity takes an EntityId, not 5"),
        (lambda c: c.signal_entity(COUNTER, len), "operation's name"),
        (lambda c: c.signal_entity(COUNTER, "add", 1, 5), "signal_time, takes a datetime or a timedelta, not int"),
        (lambda c: c.lock_entities([]), "nothing to lock"),
        (lambda c: c.lock_entities(COUNTER), "takes a list of EntityIds"),
        (lambda c: c.continue_as_new(object()), "the input of continue_as_new"),
    ],
)
def test_wrong_arguments_are_told_at_the_call(call: Any, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        ask(call)
    assert said in str(caught.value)


def test_the_input_is_decoded_anew_each_time() -> None:
    def changes(context: Any) -> Any:
        context.get_input().append(1)
        return context.get_input()

    assert ask(changes, []) == []


def test_the_replay_safe_logger_is_silent_while_replaying(caplog: pytest.LogCaptureFixture) -> None:
    def logs(context: Any) -> Any:
        log = context.create_replay_safe_logger(logging.getLogger("safe"))
        for step in range(3):
            log.warning("step %d", step)
            yield context.call_activity("a", step)

    history = HistoryBuilder("logs").scheduled("a", 0).completed().scheduled("a", 1)
    core = OrchestrationReplay(logs)
    core.replay(history.rows)
    assert caplog.messages == []
    core.turn(history.rows[-1].at, [HistoryBuilder("x").scheduled("a").scheduled("a").completed(task=2).rows[-1].event])
    assert caplog.messages == ["step 2"]
    core.close()


def test_time_never_runs_backwards() -> None:
    seen: list[datetime] = []

    def looks(context: Any) -> Any:
        while True:
            seen.append(context.current_utc_datetime)
            yield context.wait_for_external_event("e")

    history = HistoryBuilder("looks").raised("e").rows
    history.append(Recorded(3, history[0].at - 10, history[-1].event))
    replay(looks, history)
    assert seen == [START, START + timedelta(seconds=1), START + timedelta(seconds=1)]


def test_microseconds_are_exact_both_ways() -> None:
    for value in (0, 1, -1, 253_402_300_799_999_999):
        assert to_microseconds(to_datetime(value)) == value
    assert TimerCreated(1, 5).fire_at == 5


@pytest.mark.parametrize(
    ("given", "due"),
    [
        (None, None),
        (timedelta(seconds=5), START + timedelta(seconds=5)),
        (datetime(2026, 1, 1, 0, 0, 5), START + timedelta(seconds=5)),
        (datetime(2026, 1, 1, 1, 0, 5, tzinfo=timezone(timedelta(hours=1))), START + timedelta(seconds=5)),
    ],
)
def test_a_signal_may_have_a_time(given: Any, due: datetime | None) -> None:
    def signals(context: Any) -> None:
        context.signal_entity(entityId=COUNTER, operationName="add", operationInput=0, signal_time=given)

    core = OrchestrationReplay(signals)
    decision = core.turn(to_microseconds(START), [ExecutionStarted("signals", "id")])
    due_at = None if due is None else to_microseconds(due)
    assert decision.outputs[0] == EntityOperationSignaled(1, "@counter@x", "add", "0", due_at)


def test_outside_a_critical_section_nothing_is_locked() -> None:
    assert ask(lambda c: (c.is_locked, c.locked_entities)) == (False, ())
    assert ask(lambda c: (c.lock_entities([COUNTER]), c.is_locked, c.locked_entities)[1:]) == (False, ())
