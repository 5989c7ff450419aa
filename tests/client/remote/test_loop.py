"""Requests run on a thread of their own, and callers wait for them."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from dfnb.client.remote.address import read_address
from dfnb.client.remote.client import RemoteOrchestrationClient
from dfnb.client.remote.loop import RemoteLoop
from dfnb.errors import RemoteError, RemoteUnavailableError


async def nothing() -> None:
    return None


async def fail() -> None:
    raise TimeoutError("of the work itself")


def test_the_caller_gets_what_came_of_it() -> None:
    loop = RemoteLoop("test-remote", "http://x")

    async def name() -> str:
        return threading.current_thread().name

    assert loop.run(name()) == "test-remote"
    with pytest.raises(TimeoutError, match="of the work itself"):
        loop.run(fail())
    loop.close(nothing)


def test_an_interrupt_cancels_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = RemoteLoop("test-remote", "http://x")
    started, cancelled = threading.Event(), threading.Event()

    async def never() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    def interrupted(future: object) -> None:
        assert started.wait(10)
        raise KeyboardInterrupt

    monkeypatch.setattr("dfnb.client.remote.loop._result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        loop.run(never())
    assert cancelled.wait(10)
    loop.close(nothing)


def test_closing_runs_the_last_work_and_refuses_more() -> None:
    loop = RemoteLoop("test-remote", "http://x")
    loop.run(nothing())
    done = threading.Event()

    async def last() -> None:
        done.set()

    loop.close(last)
    loop.close(last)
    assert done.is_set()
    with pytest.raises(RemoteError, match="connect again"):
        loop.run(nothing())


def test_closing_what_was_never_used_starts_no_thread() -> None:
    before = threading.active_count()
    RemoteLoop("test-remote", "http://x").close(nothing)
    assert threading.active_count() == before


def test_leaving_does_not_wait_for_the_last_work_which_is_done_all_the_same() -> None:
    loop = RemoteLoop("test-remote", "http://x")
    loop.run(nothing())
    may_end, done = threading.Event(), threading.Event()

    async def last() -> None:
        await asyncio.to_thread(may_end.wait, 10)
        done.set()

    loop.leave(last)
    assert not done.is_set()
    with pytest.raises(RemoteError, match="connect again"):
        loop.run(nothing())
    may_end.set()
    assert done.wait(10)
    loop.close(nothing)  # there is nothing left to do


def test_a_client_that_is_forgotten_lets_its_thread_end() -> None:
    client = RemoteOrchestrationClient(read_address("http://127.0.0.1:9", "key"))
    with pytest.raises(RemoteUnavailableError):
        client.check()
    thread = client._loop._thread._thread
    assert thread is not None
    del client
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()
