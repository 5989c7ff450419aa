"""Threads for functions of the user: bounded, idle ones used again, none of them in the way of the program's exit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from typing import Any

import pytest

from dfnb.server.user_code import DaemonThreads, UserCode

WAIT = 20


@pytest.fixture
def threads() -> Generator[DaemonThreads]:
    made = DaemonThreads("test-code", 2)
    yield made
    made.close()


def test_threads_are_used_again(threads: DaemonThreads) -> None:
    assert len({threads.submit(threading.get_ident).result(WAIT) for _ in range(10)}) <= 2


def test_no_more_threads_than_allowed_run_and_the_rest_waits(threads: DaemonThreads) -> None:
    release, running = threading.Event(), threading.Semaphore(0)

    def work() -> int:
        running.release()
        release.wait(WAIT)
        return threading.get_ident()

    futures = [threads.submit(work) for _ in range(4)]
    assert running.acquire(timeout=WAIT)
    assert running.acquire(timeout=WAIT)
    assert not running.acquire(blocking=False)
    release.set()
    assert len({future.result(WAIT) for future in futures}) == 2


def test_threads_do_not_keep_a_program_alive(threads: DaemonThreads) -> None:
    assert threads.submit(lambda: threading.current_thread().daemon).result(WAIT) is True


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), KeyboardInterrupt()], ids=lambda error: type(error).__name__)
def test_every_error_is_told_and_the_thread_goes_on(threads: DaemonThreads, error: BaseException) -> None:
    def fail() -> None:
        raise error

    assert threads.submit(fail).exception(WAIT) is error
    assert threads.submit(lambda: 1).result(WAIT) == 1


def test_a_stop_iteration_reaches_who_awaits(threads: DaemonThreads) -> None:
    async def awaited() -> Any:
        return await asyncio.wrap_future(threads.submit(lambda: next(iter(()))))

    with pytest.raises(RuntimeError, match="raised StopIteration"):
        asyncio.run(awaited())


def test_work_that_was_given_up_before_its_turn_is_not_done(threads: DaemonThreads) -> None:
    release, done = threading.Event(), []
    busy = [threads.submit(lambda: release.wait(WAIT)) for _ in range(2)]
    assert threads.submit(lambda: done.append(1)).cancel()
    release.set()
    assert all(future.result(WAIT) for future in busy)
    threads.submit(lambda: None).result(WAIT)
    assert done == []


def test_after_closing_nothing_new_begins(threads: DaemonThreads) -> None:
    release, running = threading.Event(), threading.Semaphore(0)
    busy = [threads.submit(lambda: running.release() or release.wait(WAIT)) for _ in range(2)]
    assert all(running.acquire(timeout=WAIT) for _ in busy)
    waiting = threads.submit(lambda: None)
    threads.close()
    assert waiting.cancelled()
    with pytest.raises(RuntimeError, match="closed"):
        threads.submit(lambda: None)
    release.set()
    assert all(future.result(WAIT) for future in busy)


def test_coroutines_run_on_one_loop_that_is_not_the_callers() -> None:
    code = UserCode()

    async def loop() -> tuple[int, str]:
        return id(asyncio.get_running_loop()), threading.current_thread().name

    first, second = (code.run(loop, (), is_async=True).result(WAIT) for _ in range(2))
    assert first == second
    assert first[1] == "dfnb-triggers"
    code.close(WAIT)
