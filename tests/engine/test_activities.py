from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dfnb.definitions import Registry, define
from dfnb.engine.activities import (
    ActivityCall,
    ActivityCancelled,
    ActivityOutcome,
    ActivityRunner,
    activity_info,
)
from dfnb.engine.clock import FakeClock
from dfnb.records.failure import FailureDetails
from dfnb.records.history import TaskCompleted, TaskFailed

SOON = 20.0


class Bench:
    """A runner with a place where its outcomes arrive."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.clock = FakeClock()
        self.outcomes: list[ActivityOutcome] = []
        self._arrived = threading.Condition()
        self._runners: list[ActivityRunner] = []

    def runner(self, *functions: Callable[..., Any], **options: Any) -> ActivityRunner:
        for function in functions:
            self.define(function)
        runner = ActivityRunner(self.registry, self.deliver, self.clock, **options)
        self._runners.append(runner)
        return runner

    def define(self, function: Callable[..., Any], **options: Any) -> None:
        self.registry.register(define("activity", function, **options))

    def deliver(self, outcomes: Sequence[ActivityOutcome]) -> None:
        with self._arrived:
            self.outcomes.extend(outcomes)
            self._arrived.notify_all()

    def wait(self, count: int = 1) -> list[ActivityOutcome]:
        """The outcomes by task, once there are `count` of them."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.outcomes) >= count, SOON), self.outcomes
            return sorted(self.outcomes, key=lambda outcome: outcome.call.task)

    def close(self) -> None:
        for runner in self._runners:
            runner.close(0)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def call(name: str, value: Any = None, *, task: int = 0, key: int = 1, generation: int = 0, attempt: int = 1) -> ActivityCall:
    text = None if value is None else json.dumps(value)
    return ActivityCall(key, f"instance-{key}", generation, task, name, text, attempt)


def result(outcome: ActivityOutcome) -> Any:
    assert isinstance(outcome.event, TaskCompleted), outcome
    return None if outcome.event.result is None else json.loads(outcome.event.result)


def failure(outcome: ActivityOutcome) -> FailureDetails:
    assert isinstance(outcome.event, TaskFailed), outcome
    return outcome.event.failure


def add_one(x: int) -> int:
    return x + 1


async def add_two(x: int) -> int:
    await asyncio.sleep(0)
    return x + 2


def test_a_plain_function_runs_on_a_daemon_thread_and_delivers_its_result(bench: Bench):
    def where() -> list[Any]:
        return [threading.current_thread().daemon, threading.current_thread() is threading.main_thread()]

    bench.runner(add_one, where).submit([call("add_one", 41, task=1), call("where", task=2)])
    first, second = bench.wait(2)
    assert (result(first), first.event.task, first.at) == (42, 1, bench.clock.now())
    assert first.event.took is not None
    assert result(second) == [True, False]


def test_ten_thousand_trivial_activities_all_have_one_outcome(bench: Bench):
    runner = bench.runner(add_one, add_two)
    runner.submit([call("add_one" if n % 3 else "add_two", n, task=n, key=n % 50) for n in range(10_000)])
    outcomes = bench.wait(10_000)
    assert [result(outcome) for outcome in outcomes] == [n + (1 if n % 3 else 2) for n in range(10_000)]
    assert len(bench.outcomes) == 10_000


def test_the_bound_holds_over_threads_and_coroutines(bench: Bench):
    lock, running, most = threading.Lock(), 0, 0

    def enter(by: int) -> None:
        nonlocal running, most
        with lock:
            running += by
            most = max(most, running)

    def blocking(n: int) -> int:
        enter(1)
        time.sleep(0.002)
        enter(-1)
        return n

    async def waiting(n: int) -> int:
        enter(1)
        await asyncio.sleep(0.002)
        enter(-1)
        return n

    runner = bench.runner(blocking, waiting, max_concurrent=4)
    runner.submit([call(("blocking", "waiting")[n % 2], n, task=n) for n in range(80)])
    bench.wait(80)
    assert most == 4


def test_blocking_activities_wait_for_each_other_up_to_the_bound(bench: Bench):
    barrier = threading.Barrier(20)

    def meet() -> int:
        return barrier.wait(SOON)

    bench.runner(meet, max_concurrent=20).submit([call("meet", task=n) for n in range(20)])
    assert sorted(result(outcome) for outcome in bench.wait(20)) == list(range(20))


def test_raising_the_bound_starts_what_waits(bench: Bench):
    barrier = threading.Barrier(3)

    def meet() -> int:
        return barrier.wait(SOON)

    runner = bench.runner(meet, max_concurrent=1)
    runner.submit([call("meet", task=n) for n in range(3)])
    assert runner.queued >= 2
    runner.max_concurrent = 3
    bench.wait(3)
    with pytest.raises(ValueError, match="at least 1"):
        runner.max_concurrent = 0


def test_a_slow_activity_does_not_hold_back_finished_results(bench: Bench):
    release = threading.Event()

    def slow() -> None:
        release.wait(SOON)

    runner = bench.runner(add_one, slow, max_concurrent=1)
    runner.submit([call("add_one", n, task=n) for n in range(5)] + [call("slow", task=9)])
    assert [result(outcome) for outcome in bench.wait(5)] == [1, 2, 3, 4, 5]
    assert (runner.running, runner.queued) == (1, 0)
    release.set()
    bench.wait(6)


def test_an_exception_is_a_failure_with_the_users_frames_only(bench: Bench):
    def broken(x: int) -> None:
        try:
            {}["missing"]
        except KeyError as error:
            raise ValueError(f"bad {x}") from error

    async def broken_too() -> None:
        raise LookupError("async")

    bench.runner(broken, broken_too).submit([call("broken", 3, task=1), call("broken_too", task=2)])
    details, second = map(failure, bench.wait(2))
    assert (details.error_type, details.message) == ("builtins.ValueError", "bad 3")
    assert details.inner_failure is not None
    assert details.inner_failure.error_type == "builtins.KeyError"
    for trace in (details.stack_trace, second.stack_trace):
        assert trace.count("File ") == 1
        assert "test_activities.py" in trace


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()])
def test_not_even_system_exit_ends_a_worker(bench: Bench, error: BaseException):
    def leave() -> None:
        raise error

    async def leave_too() -> None:
        raise error

    runner = bench.runner(leave, leave_too, add_one, add_two, max_concurrent=1)
    runner.submit([call(name, 1, task=n) for n, name in enumerate(["leave", "leave_too", "add_one", "add_two"])])
    outcomes = bench.wait(4)
    assert failure(outcomes[0]).error_type.endswith(type(error).__name__)
    assert failure(outcomes[1]).error_type.endswith(type(error).__name__)
    assert [result(outcome) for outcome in outcomes[2:]] == [2, 3]


def test_system_exit_in_a_task_a_coroutine_started_does_not_end_the_loop(bench: Bench):
    async def spawn() -> None:
        async def leave() -> None:
            raise SystemExit

        await asyncio.gather(asyncio.create_task(leave()), return_exceptions=True)

    runner = bench.runner(spawn, add_two)
    runner.submit([call("spawn", task=1)])
    bench.wait(1)
    runner.submit([call("add_two", 1, task=2)])
    assert result(bench.wait(2)[1]) == 3


def test_a_result_that_is_not_json_fails_with_a_sentence(bench: Bench):
    def make() -> object:
        return {"lock": threading.Lock()}

    bench.runner(make).submit([call("make")])
    details = failure(bench.wait()[0])
    assert details.error_type == "dfnb.errors.PayloadError"
    assert details.message.startswith("the result of activity 'make' cannot be written as JSON: at [\"lock\"]")


def test_an_input_that_does_not_fit_its_annotation_fails_with_a_sentence(bench: Bench):
    bench.runner(add_one).submit([call("add_one", "many")])
    details = failure(bench.wait()[0])
    assert details.error_type == "dfnb.errors.PayloadError"
    assert details.message.startswith("the input of activity 'add_one' cannot be used")


def test_a_default_is_used_when_there_is_no_input(bench: Bench):
    def greet(name: str = "you") -> str:
        return f"hello {name}"

    bench.runner(greet).submit([call("greet", task=1), call("greet", "Ada", task=2)])
    assert [result(outcome) for outcome in bench.wait(2)] == ["hello you", "hello Ada"]


def test_activity_info_tells_the_try(bench: Bench):
    def plain() -> list[Any]:
        info = activity_info()
        return [info.instance_id, info.task_id, info.name, info.attempt, info.cancelled]

    async def coroutine() -> list[Any]:
        return plain()

    bench.runner(plain, coroutine).submit([call("plain", task=1, attempt=3), call("coroutine", task=2, key=8)])
    first, second = bench.wait(2)
    assert result(first) == ["instance-1", 1, "plain", 3, False]
    assert result(second) == ["instance-8", 2, "coroutine", 1, False]
    with pytest.raises(RuntimeError, match="only inside an activity"):
        activity_info()


def test_prints_of_concurrent_activities_do_not_mix_and_reach_no_stream(bench: Bench, capfd: pytest.CaptureFixture[str]):
    barrier = threading.Barrier(2)

    def talk(word: str) -> None:
        for n in range(20):
            print(word, end=" ")
            barrier.wait(SOON)
            print(n)
        logging.getLogger("dfnb.tests.talk").warning("%s is done", word)
        print("to stderr", file=sys.stderr)

    async def whisper(word: str) -> None:
        print(word, end=" ")
        await asyncio.sleep(0)
        print("quietly")

    runner = bench.runner(talk, whisper)
    runner.submit([call("talk", "left", task=1), call("talk", "right", task=2)])
    runner.submit([call("whisper", "a", task=3), call("whisper", "b", task=4)])
    left, right, a, b = bench.wait(4)
    for outcome, word in ((left, "left"), (right, "right")):
        assert [line.text for line in outcome.logs if line.stream == "stdout"] == [f"{word} {n}" for n in range(20)]
        rest = [(line.stream, line.text) for line in outcome.logs[20:]]
        assert rest == [("WARNING", f"{word} is done"), ("stderr", "to stderr")]
        assert {(line.task, line.attempt) for line in outcome.logs} == {(outcome.call.task, 1)}
    assert [outcome.logs[0].text for outcome in (a, b)] == ["a quietly", "b quietly"]
    assert capfd.readouterr() == ("", "")


def test_a_thread_that_runs_out_of_time_fails_at_once_and_is_replaced(bench: Bench):
    told = threading.Event()
    late = threading.Event()

    def stuck() -> str:
        print("begun")
        info = activity_info()
        assert info.wait_cancelled(SOON)
        told.set()
        late.wait(SOON)
        return "too late"

    bench.define(stuck, timeout=0.03)
    runner = bench.runner(add_one, max_concurrent=1)
    runner.submit([call("stuck", task=1), call("add_one", 1, task=2)])
    first, second = bench.wait(2)
    details = failure(first)
    assert details.error_type == "builtins.TimeoutError"
    assert details.message.startswith("activity 'stuck' was given up after its timeout of 0.03 s")
    assert details.stack_trace == ""
    assert [line.text for line in first.logs] == ["begun"]
    assert first.event.took is not None
    assert first.event.took >= 30_000
    assert result(second) == 2
    assert told.wait(SOON)
    late.set()
    runner.submit([call("add_one", 2, task=3)])
    assert len(bench.wait(3)) == 3


def test_a_coroutine_that_runs_out_of_time_is_cancelled(bench: Bench):
    cleaned = threading.Event()

    async def stuck() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            cleaned.set()

    bench.define(stuck, timeout=0.03)
    bench.runner(max_concurrent=1).submit([call("stuck", task=1), call("stuck", task=2)])
    assert [failure(outcome).error_type for outcome in bench.wait(2)] == ["builtins.TimeoutError"] * 2
    assert cleaned.wait(SOON)


def test_a_coroutine_that_blocks_times_out_too_and_stops_no_thread(bench: Bench):
    release = threading.Event()

    async def blocking() -> None:
        release.wait(SOON)

    bench.define(blocking, timeout=0.03)
    runner = bench.runner(add_one, max_concurrent=2)
    runner.submit([call("blocking", task=1), call("add_one", 1, task=2)])
    first, second = bench.wait(2)
    assert failure(first).error_type == "builtins.TimeoutError"
    assert result(second) == 2
    release.set()


def test_a_time_limit_that_is_kept_changes_nothing(bench: Bench):
    bench.define(add_one, timeout=60)
    bench.define(add_two, timeout=60)
    bench.runner().submit([call("add_one", 1, task=1), call("add_two", 1, task=2)])
    assert [result(outcome) for outcome in bench.wait(2)] == [2, 3]


def test_cancel_asks_a_running_thread_to_stop(bench: Bench):
    running = threading.Event()

    def poll() -> None:
        running.set()
        activity_info().wait_cancelled(SOON)
        activity_info().raise_if_cancelled()

    runner = bench.runner(poll)
    runner.submit([call("poll", key=5)])
    assert running.wait(SOON)
    runner.cancel(6)
    runner.cancel(5, generation=1)
    runner.cancel(5)
    assert failure(bench.wait()[0]).error_type == f"{ActivityCancelled.__module__}.ActivityCancelled"


def test_cancel_stops_a_running_coroutine(bench: Bench):
    running = threading.Event()

    async def sleep() -> None:
        running.set()
        await asyncio.sleep(3600)

    runner = bench.runner(sleep)
    runner.submit([call("sleep", key=5)])
    assert running.wait(SOON)
    runner.cancel(5, generation=0)
    details = failure(bench.wait()[0])
    assert details.error_type.endswith("ActivityCancelled")
    assert details.message == "activity 'sleep' of instance 'instance-5' was stopped"


def test_cancel_forgets_what_waits(bench: Bench):
    release = threading.Event()

    def hold() -> None:
        release.wait(SOON)

    runner = bench.runner(hold, add_one, add_two, max_concurrent=1)
    runner.submit([call("hold", task=1, key=1)])
    runner.submit([call(name, 1, task=2, key=2) for name in ("add_one", "add_two", "unknown")])
    runner.submit([call("add_one", 1, task=3, key=3)])
    runner.cancel(2)
    assert runner.missing() == {}
    release.set()
    assert [outcome.call.key for outcome in bench.wait(2)] == [1, 3]


def test_an_unknown_activity_waits_until_it_is_defined(bench: Bench):
    runner = bench.runner(add_one)
    waiting = call("geocode", "Oslo", task=1, key=7)
    runner.submit([waiting, call("add_one", 1, task=2)])
    assert result(bench.wait(1)[0]) == 2
    assert runner.missing() == {"geocode": [waiting]}

    def geocode(city: str) -> str:
        return city.upper()

    runner.definition_changed("geocode")
    assert runner.missing() == {"geocode": [waiting]}
    bench.define(geocode)
    runner.definition_changed("geocode")
    assert result(bench.wait(2)[0]) == "OSLO"
    assert runner.missing() == {}


def test_strict_fails_an_unknown_activity_with_a_hint(bench: Bench):
    bench.runner(add_one, strict=True).submit([call("ad_one", 1)])
    details = failure(bench.wait()[0])
    assert details.error_type == "dfnb.errors.NotRegisteredError"
    assert details.message == "no activity named 'ad_one' is defined here; did you mean 'add_one'?"


def test_a_waiting_call_runs_the_newest_definition(bench: Bench):
    release = threading.Event()

    def hold() -> None:
        release.wait(SOON)

    def answer() -> str:
        return "old"

    runner = bench.runner(hold, answer, max_concurrent=1)
    runner.submit([call("hold", task=1), call("answer", task=2)])

    def new() -> str:
        return "new"

    bench.define(new, name="answer")
    release.set()
    assert result(bench.wait(2)[1]) == "new"


def test_deliver_may_fail_without_ending_a_worker(caplog: pytest.LogCaptureFixture):
    bench = Bench()
    arrived = threading.Event()
    bench.define(add_one)

    def deliver(outcomes: Sequence[ActivityOutcome]) -> None:
        if outcomes[0].call.task == 1:
            raise OSError("the hub is closed")
        arrived.set()

    runner = ActivityRunner(bench.registry, deliver, bench.clock, max_concurrent=1)
    runner.submit([call("add_one", 1, task=1)])
    runner.submit([call("add_one", 1, task=2)] * 2)
    while not arrived.wait(0.01):
        runner.submit([call("add_one", 1, task=2)])
    runner.close(1)
    assert "the hub is closed" in caplog.text


def test_close_asks_to_stop_and_drops_what_stopped_for_it(bench: Bench):
    running = threading.Barrier(3)

    def polite() -> None:
        running.wait(SOON)
        activity_info().wait_cancelled(SOON)
        activity_info().raise_if_cancelled()

    def finishing() -> str:
        running.wait(SOON)
        activity_info().wait_cancelled(SOON)
        return "done"

    runner = bench.runner(polite, finishing, max_concurrent=2)
    runner.submit([call("polite", task=1), call("finishing", task=2), call("polite", task=3)])
    running.wait(SOON)
    runner.close(SOON)
    assert [(outcome.call.task, result(outcome)) for outcome in bench.outcomes] == [(2, "done")]
    runner.submit([call("polite", task=4)])
    assert runner.queued == 0


def test_close_never_blocks_longer_than_its_timeout(bench: Bench):
    running = threading.Barrier(3)
    release = threading.Event()

    def stuck() -> str:
        running.wait(SOON)
        release.wait(SOON)
        return "too late"

    async def blocking() -> str:
        return stuck()

    runner = bench.runner(stuck, blocking)
    runner.submit([call("stuck", task=1), call("blocking", task=2)])
    running.wait(SOON)
    before = time.monotonic()
    runner.close(0.1)
    assert time.monotonic() - before < 2
    release.set()
    assert bench.outcomes == []


def test_close_cancels_coroutines_so_that_they_can_clean_up(bench: Bench):
    running, cleaned = threading.Event(), threading.Event()

    async def sleep() -> None:
        running.set()
        try:
            await asyncio.sleep(3600)
        finally:
            cleaned.set()

    runner = bench.runner(sleep)
    runner.submit([call("sleep")])
    assert running.wait(SOON)
    runner.close(0.1)
    assert cleaned.is_set()
    assert bench.outcomes == []


def test_threads_end_when_the_runner_closes(bench: Bench):
    runner = bench.runner(add_one, add_two)
    runner.submit([call("add_one", n, task=n) for n in range(100)] + [call("add_two", 1, task=100)])
    bench.wait(101)
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("dfnb-")]
    runner.close(SOON)
    for thread in ours:
        thread.join(SOON)
        assert not thread.is_alive()


def test_a_thread_pool_as_executor_runs_the_function_itself(bench: Bench):
    lock = threading.Lock()
    names: list[str] = []

    def locked() -> bool:
        names.append(threading.current_thread().name)
        print("in the pool")
        return lock.acquire(blocking=False)

    with ThreadPoolExecutor(1, thread_name_prefix="theirs") as executor:
        bench.runner(locked, add_two, executor=executor).submit([call("locked", task=1), call("add_two", 1, task=2)])
        first, second = bench.wait(2)
    assert result(first) is True
    assert [line.text for line in first.logs] == ["in the pool"]
    assert names == ["theirs_0"]
    assert result(second) == 3


def test_the_executor_of_an_activity_wins_over_that_of_the_app(bench: Bench):
    def where() -> str:
        return threading.current_thread().name.partition("_")[0]

    def where_else() -> str:
        return where()

    with ThreadPoolExecutor(1, thread_name_prefix="app") as app, ThreadPoolExecutor(1, thread_name_prefix="own") as own:
        bench.define(where, executor=own)
        bench.runner(where_else, executor=app).submit([call("where", task=1), call("where_else", task=2)])
        assert [result(outcome) for outcome in bench.wait(2)] == ["own", "app"]


def test_an_executor_that_was_shut_down_is_a_failure(bench: Bench):
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    bench.define(add_one, executor=executor)
    runner = bench.runner(add_two, max_concurrent=1)
    runner.submit([call("add_one", 1, task=1), call("add_two", 1, task=2)])
    first, second = bench.wait(2)
    assert failure(first).message.startswith("the executor failed to run activity 'add_one': RuntimeError")
    assert result(second) == 3
