from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError

import pytest

from dfnb.threads import LoopThread

WAIT = 20


async def forever() -> None:
    await asyncio.Event().wait()


def test_coroutines_run_on_the_thread_and_can_be_cancelled_from_outside() -> None:
    thread = LoopThread("test-loop")
    begun, ended = threading.Event(), threading.Event()

    async def work() -> None:
        begun.set()
        try:
            await forever()
        finally:
            ended.set()

    future = thread.run(work)
    assert begun.wait(WAIT)
    future.cancel()
    assert ended.wait(WAIT)
    thread.close(WAIT)


def test_a_coroutine_that_ends_the_program_does_not_end_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    thread = LoopThread("test-loop")

    async def leave() -> None:
        raise SystemExit(3)

    async def stay() -> int:
        return 1

    assert isinstance(thread.run(leave).exception(WAIT), SystemExit)
    assert thread.run(stay).result(WAIT) == 1
    thread.close(WAIT)
    assert "a helper thread failed" in caplog.text


def test_what_was_asked_for_is_told_of_an_end_that_comes_before_the_loop_has_begun(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    thread = LoopThread("test-loop")
    may_begin = threading.Event()
    serve = LoopThread._serve

    def late(self: LoopThread, loop: asyncio.AbstractEventLoop) -> None:
        may_begin.wait(WAIT)
        serve(self, loop)

    monkeypatch.setattr(LoopThread, "_serve", late)
    future = thread.run(forever)
    thread.close(0.0)
    may_begin.set()
    with pytest.raises(CancelledError):
        future.result(WAIT)
    assert not caplog.records


def test_closing_cancels_what_runs_and_refuses_what_comes_later() -> None:
    thread = LoopThread("test-loop")
    future = thread.run(forever)
    thread.close(WAIT)
    assert future.cancelled()
    with pytest.raises(RuntimeError, match="test-loop is closed"):
        thread.run(forever)
