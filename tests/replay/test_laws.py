"""The laws of replay, over a corpus of orchestrators, with hypothesis choosing what happens to them and where they are cut."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dfnb.errors import HttpCallError, HttpTimeoutError, LockingRulesViolationError, NonDeterminismError, TaskFailedError
from dfnb.records.entity_id import EntityId
from dfnb.records.failure import FailureDetails
from dfnb.records.history import (
    EntityLockGranted,
    EntityLockRequested,
    EntityOperationCalled,
    EntityOperationCompleted,
    EntityOperationFailed,
    EntityOperationSignaled,
    EntityUnlockSent,
    EventRaised,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionStarted,
    ExecutionSuspended,
    HistoryEvent,
    HttpCallCompleted,
    HttpCallFailed,
    HttpCallScheduled,
    OrchestratorStarted,
    Recorded,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCanceled,
    TimerCreated,
    TimerFired,
)
from dfnb.records.retry import RetryOptions, RetryPolicy
from dfnb.replay.orchestrator import Decision, OrchestrationReplay

SECOND = 1_000_000
START = 1_767_225_600 * SECOND

notes: list[tuple[bool, Any]] = []
"""What the corpus saw: whether it was replaying, and some value that must be the same at every replay."""


living: list[OrchestrationReplay] = []


@pytest.fixture(autouse=True)
def _let_go() -> Iterator[None]:
    yield
    close_all()


def close_all() -> None:
    while living:
        living.pop().close()


def note(context: Any, value: Any = None) -> None:
    notes.append((context.is_replaying, value))


# ---- the corpus


def chain(context: Any) -> Any:
    value = 0
    for _ in range(4):
        value = yield context.call_activity("add", value)
        note(context, value)
    return value


def fan_out(context: Any) -> Any:
    results = yield context.task_all([context.call_activity("work", n) for n in range(4)])
    note(context, results)
    return results


def nested(context: Any) -> Any:
    first = context.task_all([context.call_activity("a"), context.call_activity("b")])
    second = context.task_any([context.call_activity("c"), context.create_timer(timedelta(seconds=5))])
    winner = yield context.task_any([first, second])
    note(context, winner is first)
    rest = yield context.task_all([first, second])
    note(context)
    return rest[0]


def deadline(context: Any) -> Any:
    timer = context.create_timer(timedelta(seconds=30))
    work = context.call_activity("slow")
    winner = yield context.task_any([work, timer])
    note(context, winner is work)
    if winner is timer:
        return "late"
    timer.cancel()
    after = yield context.call_activity("after", str(work.result))
    return after


def fifo(context: Any) -> Any:
    first = context.wait_for_external_event("e")
    second = context.wait_for_external_event("e")
    later = yield second
    note(context, later)
    early = yield first
    last = yield context.wait_for_external_event("e")
    note(context, last)
    return [early, later, last]


def retried(context: Any) -> Any:
    policy = RetryPolicy(timedelta(seconds=2), 3, backoff_coefficient=2.0)
    value = yield context.call_activity_with_retry("flaky", policy, 1)
    note(context, value)
    child = yield context.call_sub_orchestrator_with_retry("kid", RetryOptions(1000, 2), value)
    note(context, child)
    return child


def eternal(context: Any) -> Any:
    count = context.get_input() or 0
    found = yield context.wait_for_external_event("e")
    note(context, found)
    yield context.call_activity("tick", count)
    if count < 2:
        context.continue_as_new(count + 1)
        return None
    return count


def guarded(context: Any) -> Any:
    done = []
    try:
        done.append((yield context.call_activity("risky")))
    except TaskFailedError as error:
        note(context, str(error))
        done.append((yield context.call_activity("compensate", error.details.message)))
    finally:
        note(context)
        done.append((yield context.call_activity("clean")))
    return done


def _helper(context: Any, n: int) -> Any:
    one = yield context.call_activity("help", n)
    note(context, one)
    two = yield context.call_activity("help", n + 1)
    return [one, two]


def helped(context: Any) -> Any:
    first = yield from _helper(context, 1)
    second = yield from _helper(context, 3)
    return first + second


def talkative(context: Any) -> Any:
    for step in range(3):
        context.set_custom_status({"step": step})
        note(context, context.custom_status)
        yield context.call_activity("step", step)
    context.set_custom_status(None)
    return "done"


def unyielded(context: Any) -> Any:
    forgotten = context.call_activity("forgotten")
    kept = yield context.call_activity("kept")
    note(context, forgotten.is_completed)
    again = yield context.call_activity("again")
    return [kept, again]


def timely(context: Any) -> Any:
    seen = [context.current_utc_datetime.isoformat(), context.new_uuid()]
    note(context, tuple(seen))
    yield context.create_timer(timedelta(seconds=3))
    note(context, (context.current_utc_datetime, context.new_uuid(), str(context.new_guid())))
    yield context.call_activity("a", context.new_uuid())
    note(context, [(h.event_id, h.event_type, h.timestamp) for h in context.histories])
    return seen


def family(context: Any) -> Any:
    kids = [context.call_sub_orchestrator("kid", n) for n in range(2)]
    first = yield kids[0]
    note(context, first)
    work = yield context.call_activity("between", first)
    second = yield kids[1]
    note(context, second)
    return [first, work, second]


def impatient(context: Any) -> Any:
    event = context.wait_for_external_event("e")
    timer = context.create_timer(timedelta(seconds=9))
    yield context.task_any([event, timer])
    note(context, (event.is_completed, timer.is_completed))
    if timer.is_completed:
        event.cancel()
        raise TimeoutError("nobody came")
    timer.cancel()
    return event.result


A, B, C = (EntityId("account", key) for key in "abc")


def counted(context: Any) -> Any:
    context.signal_entity(C, "begin")
    value = yield context.call_entity(C, "add", 1)
    note(context, value)
    yield context.signal_entity(C, "end", value, timedelta(seconds=2))
    rest = yield context.task_all([context.call_entity(C, "get"), context.call_activity("a"), context.call_entity(A, "get")])
    note(context, rest)
    return rest


def transfer(context: Any) -> Any:
    with (yield context.lock_entities([B, A, B])) as lock:
        note(context, (context.locked_entities, lock.is_held))
        taken = yield context.call_entity(A, "withdraw", 5)
        context.signal_entity(C, "taken", taken)
        yield context.task_all([context.call_entity(B, "deposit", taken), context.call_activity("log")])
    note(context, (context.is_locked, lock.is_held))
    context.signal_entity(A, "audit")
    return (yield context.call_entity(C, "get"))


def compensated(context: Any) -> Any:
    try:
        with (yield context.lock_entities([A])):
            value = yield context.call_entity(A, "risky")
            note(context, value)
    except TaskFailedError as error:
        note(context, (str(error), context.is_locked))
        with (yield context.lock_entities([B, C])):
            yield context.call_entity(B, "undo", error.details.message)
            yield context.call_entity(C, "count")
        raise
    with (yield context.lock_entities([A, C])):
        return (yield context.call_entity(C, "done", value))


def hurried(context: Any) -> Any:
    count = context.get_input() or 0
    asked = context.lock_entities([A, C])
    timer = context.create_timer(timedelta(seconds=2))
    winner = yield context.task_any([asked, timer])
    note(context, (winner is asked, context.is_locked))
    with (yield asked) as lock:
        timer.cancel()
        yield context.call_entity(A, "use", count)
        if count == 0:
            context.continue_as_new(1)
            return None
        yield context.wait_for_external_event("e")
        lock.release()
        note(context, context.is_locked)
        return (yield context.call_entity(B, "after"))


def called(context: Any) -> Any:
    answer = yield context.call_http("POST", "https://host/start", {"at": context.new_uuid()}, deadline=timedelta(hours=1))
    note(context, (answer.status_code, answer.headers.get("location"), answer.content_bytes))
    pages = yield context.task_all([context.call_http("GET", f"https://host/{n}?{answer.content}") for n in range(3)])
    note(context, pages)
    return pages[0]


def polite(context: Any) -> Any:
    timer = context.create_timer(timedelta(seconds=4))
    call = context.call_http("GET", "https://slow", headers={"Authorization": "plain"}, timeout=3)
    try:
        winner = yield context.task_any([call, timer])
        note(context, (winner is call, call.is_failed))
        if winner is timer:
            yield context.call_activity("give up")
        else:
            timer.cancel()
        answer = yield call
        note(context, answer)
    except HttpTimeoutError as error:
        note(context, (str(error), error.response))
        answer = yield context.call_http("GET", "https://other")
    except HttpCallError as error:
        note(context, error.response.status_code if error.response else None)
        raise
    with (yield context.lock_entities([A])):
        again = yield context.call_http("PUT", "https://host/x", answer)
        yield context.call_entity(A, "set", again)
    return again.ok


def refused(context: Any) -> Any:
    early = context.call_entity(B, "early")
    lock = context.lock_entities([A, C])
    held = []
    said = [_said(lambda: context.call_entity(A, "x")), _said(lambda: context.lock_entities([B]))]
    with (yield lock):
        held.append(context.call_entity(A, "first"))
        said += [_said(lambda: context.call_entity(A, "second")), _said(lambda: context.call_entity(B, "x"))]
        said += [_said(lambda: context.signal_entity(C, "x")), _said(lambda: context.call_sub_orchestrator("kid"))]
        try:
            yield context.task_all([held[0], early])
        except LockingRulesViolationError as error:
            said.append(str(error))
        held.append((yield context.task_any([early, held[0]])).result)
        note(context, said)
    return [(yield early), (yield held[0])]


def _said(call: Callable[[], Any]) -> str:
    with pytest.raises(LockingRulesViolationError) as caught:
        call()
    return str(caught.value)


CORPUS: list[Callable[[Any], Any]] = [
    chain, fan_out, nested, deadline, fifo, retried, eternal, guarded, helped, talkative, unyielded, timely, family, impatient,
    counted, transfer, compensated, hurried, refused, called, polite,
]
BOOM = FailureDetails("builtins.ValueError", "boom")
HTTP_FAILURES = [FailureDetails("dfnb.errors.HttpTimeoutError", "slow"), FailureDetails("dfnb.errors.HttpConnectionError", "no")]


# ---- feeding a core as the engine does

ANSWERED = (
    TaskScheduled, TimerCreated, SubOrchestrationInstanceCreated, EntityOperationCalled, EntityLockRequested, HttpCallScheduled,
)  # fmt: skip
"""What the code asks for that something answers."""


@dataclasses.dataclass
class Turn:
    pending: list[HistoryEvent]
    inputs: list[HistoryEvent]
    at: int
    decision: Decision
    notes: list[tuple[bool, Any]]


class Generation:
    """One generation fed live, and the history that is recorded of it."""

    def __init__(self, function: Callable[[Any], Any], number: int, at: int, begin: list[HistoryEvent]) -> None:
        self.function = function
        self.number = number
        self.core = self.fresh()
        self.rows: list[Recorded] = []
        self.turns: list[Turn] = []
        self.taken_again: list[EntityLockRequested | None] = []
        self.take([], begin, at)

    def __repr__(self) -> str:
        return "\n".join([self.function.__name__, *(f"  {row.turn} {row.at - START} {row.event!r}" for row in self.rows)])

    def fresh(self) -> OrchestrationReplay:
        living.append(OrchestrationReplay(self.function, generation=self.number))
        return living[-1]

    def take(self, pending: list[HistoryEvent], inputs: list[HistoryEvent], at: int) -> Decision:
        number = len(self.turns) + 1
        before = len(notes)
        if any(isinstance(event, ExecutionRewound) for event in pending):
            self.core = self.fresh()
            self.core.replay([*self.rows, *(Recorded(0, at, event) for event in pending)])
            self.taken_again.append(self.core.open_lock())
        decision = self.core.turn(at, [*pending, *inputs])
        self.rows += [Recorded(0, at, event) for event in pending]
        self.rows += [Recorded(number, at, event) for event in inputs]
        self.rows += [Recorded(number, self.core.now, event) for event in decision.outputs]
        self.turns.append(Turn(pending, inputs, at, decision, notes[before:]))
        return decision

    def rows_until(self, turn: int) -> list[Recorded]:
        """The history as it stood right after that turn."""
        last = max(i for i, row in enumerate(self.rows) if row.turn == turn)
        return self.rows[: last + 1]

    def open(self) -> dict[int, HistoryEvent]:
        """What was asked for and not answered. What was locked or being locked at a failure is taken again with the rewind."""
        found: dict[int, HistoryEvent] = {}
        again = iter(self.taken_again)
        for row in self.rows:
            event = row.event
            if isinstance(event, ANSWERED):
                found[event.task] = event
            elif isinstance(event, ExecutionRewound):
                found = {n: e for n, e in found.items() if n not in event.tasks and not isinstance(e, EntityLockRequested)}
                lock = next(again)
                if lock is not None:
                    found[lock.task] = lock
            elif not isinstance(event, OrchestratorStarted | ExecutionStarted) and hasattr(event, "task"):
                found.pop(event.task, None)
        return found


def answer(draw: Any, asked: HistoryEvent) -> HistoryEvent:
    fails = draw(st.integers(0, 3)) == 0
    if isinstance(asked, TimerCreated):
        return TimerFired(asked.task)
    if isinstance(asked, TaskScheduled):
        return TaskFailed(asked.task, BOOM) if fails else TaskCompleted(asked.task, str(asked.task * 10))
    if isinstance(asked, EntityOperationCalled):
        return EntityOperationFailed(asked.task, BOOM) if fails else EntityOperationCompleted(asked.task, str(asked.task * 100))
    if isinstance(asked, EntityLockRequested):
        return EntityLockGranted(asked.task)
    if isinstance(asked, HttpCallScheduled):
        answered = HttpCallCompleted(asked.task, draw(st.sampled_from([200, 404])), (("Location", "/x"),), f"{asked.task}")
        return HttpCallFailed(asked.task, draw(st.sampled_from(HTTP_FAILURES)), answered) if fails else answered
    assert isinstance(asked, SubOrchestrationInstanceCreated)
    if fails:
        return SubOrchestrationInstanceFailed(asked.task, BOOM)
    return SubOrchestrationInstanceCompleted(asked.task, f'"kid {asked.task}"')


@st.composite
def runs(draw: Any, functions: list[Callable[[Any], Any]] | None = None) -> list[Generation]:
    """A run of one of the corpus: its generations, each with its history, fed live to the end or to where drawing stopped."""
    function = draw(st.sampled_from(functions or CORPUS))
    close_all()
    notes.clear()
    at = START
    generation = Generation(function, 0, at, [ExecutionStarted(function.__name__, "id")])
    generations = [generation]
    suspended = False
    rewinds = 0
    for count in range(draw(st.integers(1, 14))):
        at += draw(st.integers(0, 3)) * SECOND
        end = generation.turns[-1].decision.end
        if end is not None and end.status == "ContinuedAsNew":
            began = ExecutionStarted(function.__name__, "id", end.result)
            held = [ExecutionSuspended()] if suspended else []
            generation = Generation(function, len(generations), at, [began, *held, *generation.turns[-1].decision.carried])
            generations.append(generation)
        elif end is not None and end.status == "Failed" and rewinds < 2:
            rewinds += 1
            again = TaskScheduled | EntityOperationCalled | HttpCallScheduled
            given_up = [n for n, event in generation.open().items() if isinstance(event, again)]
            generation.take([ExecutionRewound((*end.failed_tasks, *given_up))], [OrchestratorStarted()], at)
        elif end is not None:
            break
        else:
            inputs: list[HistoryEvent] = []
            choices = list(generation.open().values())
            for asked in draw(st.permutations(choices))[: draw(st.integers(0, 3))] if choices else []:
                inputs.append(answer(draw, asked))
            if draw(st.integers(0, 2)) == 0:
                inputs.append(EventRaised("e", str(count)))
            if draw(st.integers(0, 6)) == 0:
                suspended = not suspended
                inputs.insert(draw(st.integers(0, len(inputs))), ExecutionSuspended() if suspended else ExecutionResumed())
            if inputs:
                cut = draw(st.integers(0, len(inputs)))  # the first of them had been written down before the turn
                generation.take(inputs[:cut], inputs[cut:] or [OrchestratorStarted()], at)
    return generations


law = settings(
    max_examples=120, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def cuts(generation: Generation) -> Iterator[tuple[int, OrchestrationReplay, list[tuple[bool, Any]]]]:
    """A fresh core for each turn of the history, having replayed up to there, and what the corpus noted meanwhile."""
    for cut in range(1, len(generation.turns) + 1):
        before = len(notes)
        core = generation.fresh()
        core.replay(generation.rows_until(cut))
        yield cut, core, notes[before:]


# ---- the laws


@law
@given(runs())
def test_a_history_replayed_to_any_turn_goes_on_exactly_as_it_had_gone_on_live(generations: list[Generation]) -> None:
    for generation in generations:
        for cut, core, _ in cuts(generation):
            assert core.waits() == generation.turns[cut - 1].decision.waits
            for number, turn in enumerate(generation.turns[cut:], cut + 1):
                if any(isinstance(event, ExecutionRewound) for event in turn.pending):
                    core = generation.fresh()
                    waiting = [Recorded(0, turn.at, event) for event in turn.pending]
                    core.replay([*generation.rows_until(number - 1), *waiting])
                again = core.turn(turn.at, [*turn.pending, *turn.inputs])
                assert again.outputs == turn.decision.outputs
                assert again.waits == turn.decision.waits
                assert again.carried == turn.decision.carried


@law
@given(runs())
def test_replay_itself_decides_nothing(generations: list[Generation]) -> None:
    for generation in generations:
        for cut, core, _ in cuts(generation):
            end = generation.turns[cut - 1].decision.end
            decision = core.turn(generation.turns[cut - 1].at, [OrchestratorStarted()])
            assert decision.outputs == ()
            assert decision.waits == (() if end is not None else generation.turns[cut - 1].decision.waits)


@law
@given(runs())
def test_is_replaying_is_true_exactly_while_old_turns_are_fed(generations: list[Generation]) -> None:
    for generation in generations:
        if any(isinstance(row.event, ExecutionRewound) for row in generation.rows):
            continue
        lived = [turn.notes for turn in generation.turns]
        assert all(not replaying for seen in lived for replaying, _ in seen)
        for cut, core, replayed in cuts(generation):
            values = [value for seen in lived[:cut] for _, value in seen]
            assert replayed == [(True, value) for value in values]
            for turn in generation.turns[cut:]:
                before = len(notes)
                core.turn(turn.at, [*turn.pending, *turn.inputs])
                assert notes[before:] == turn.notes


@law
@given(runs())
def test_a_rewound_history_is_stable_however_often_it_is_replayed(generations: list[Generation]) -> None:
    for generation in generations:
        for row in generation.rows:
            if isinstance(row.event, ExecutionRewound):
                break
        else:
            continue
        whole = generation.turns[-1].decision
        for _ in range(2):
            core = generation.fresh()
            core.replay(generation.rows)
            assert core.waits() == whole.waits
        failed = [turn.decision.end for turn in generation.turns if turn.decision.end and turn.decision.end.status == "Failed"]
        markers = [row for row in generation.rows if isinstance(row.event, ExecutionRewound)]
        assert len(failed) - len(markers) in (0, 1)


ASKED = (*ANSWERED, EntityOperationSignaled, EntityUnlockSent)


@st.composite
def broken(draw: Any) -> tuple[Generation, list[Recorded], int]:
    """A history in which one thing the code asked for is another, and the number of the event where that shows."""
    generation = draw(runs())[0]
    rows = list(generation.rows)
    places = [i for i, row in enumerate(rows) if isinstance(row.event, ASKED)]
    rewound = any(isinstance(row.event, ExecutionRewound) for row in rows)
    if not places or rewound:
        return generation, [], 0
    place = draw(st.sampled_from(places))
    row = rows[place]
    change = draw(st.sampled_from(["name", "kind", "more", "less"]))
    task = row.event.task
    if change == "less":
        del rows[place]
        if not any(other.turn == row.turn for other in rows):
            return generation, [], 0
        same = [i for i, other in enumerate(rows) if other.turn == row.turn]
        later = [i for i in same if i >= place and isinstance(rows[i].event, (*ASKED, ExecutionCompleted))]
        return generation, rows, later[0] + 1 if later else same[-1] + 2
    other = TaskScheduled(task if change == "name" else 99, "other")
    if change == "kind":
        kind = TaskScheduled(task, "other") if isinstance(row.event, TimerCreated) else TimerCreated(task, START)
        rows[place] = Recorded(row.turn, row.at, kind)
    elif change == "name":
        rows[place] = Recorded(row.turn, row.at, other)
    else:
        rows.insert(place, Recorded(row.turn, row.at, other))
    return generation, rows, place + 1


@law
@given(broken())
def test_a_changed_call_is_refused_with_the_number_of_its_event(case: tuple[Generation, list[Recorded], int]) -> None:
    generation, rows, number = case
    if not rows:
        return
    with pytest.raises(NonDeterminismError) as caught:
        generation.fresh().replay(rows)
    assert caught.value.event_number == number


def test_every_orchestrator_of_the_corpus_can_complete() -> None:
    ended = set()
    for function in CORPUS:
        at = START
        generation = Generation(function, 0, at, [ExecutionStarted(function.__name__, "id")])
        for count in range(20):
            end = generation.turns[-1].decision.end
            if end is not None and end.status == "ContinuedAsNew":
                began = ExecutionStarted(function.__name__, "id", end.result)
                generation = Generation(function, 1, at, [began, *generation.turns[-1].decision.carried])
            elif end is not None:
                ended.add((function.__name__, end.status))
                break
            else:
                at += SECOND
                asked = [event for event in generation.open().values() if not isinstance(event, TimerCreated)]
                results = [_good(event) for event in asked or generation.open().values()]
                generation.take([], [EventRaised("e", str(count)), *results], at)
    assert ended == {(function.__name__, "Completed") for function in CORPUS}


def _good(asked: HistoryEvent) -> HistoryEvent:
    if isinstance(asked, TaskScheduled):
        return TaskCompleted(asked.task, "1")
    if isinstance(asked, TimerCreated):
        return TimerFired(asked.task)
    if isinstance(asked, EntityOperationCalled):
        return EntityOperationCompleted(asked.task, "1")
    if isinstance(asked, EntityLockRequested):
        return EntityLockGranted(asked.task)
    if isinstance(asked, HttpCallScheduled):
        return HttpCallCompleted(asked.task, 200)
    assert isinstance(asked, SubOrchestrationInstanceCreated)
    return SubOrchestrationInstanceCompleted(asked.task, "1")


def test_a_cancelled_timer_is_recorded_once() -> None:
    generation = Generation(deadline, 0, START, [ExecutionStarted("deadline", "id")])
    generation.take([], [TaskCompleted(2, "1")], START + SECOND)
    assert [row.event for row in generation.rows if isinstance(row.event, TimerCanceled)] == [TimerCanceled(1)]
