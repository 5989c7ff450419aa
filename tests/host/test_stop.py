"""Signals end a service once politely, and at the second Ctrl-C at once."""

from __future__ import annotations

import signal
import sys
import threading

import pytest

from dfnb.host.stop import Stop


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_wakes_the_wait_and_is_named(name: str) -> None:
    with Stop() as stop:
        signal.raise_signal(getattr(signal, name))
        stop.wait()
        assert stop.asked == name


def test_a_second_interrupt_ends_at_once_and_a_second_sigterm_does_not() -> None:
    codes: list[int] = []
    with Stop(codes.append) as stop:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert codes == []
        signal.raise_signal(signal.SIGINT)
        assert codes == [130]
        assert stop.asked == "SIGTERM"


def test_a_poke_from_another_thread_wakes_without_asking_to_stop() -> None:
    with Stop() as stop:
        thread = threading.Thread(target=stop.poke)
        thread.start()
        stop.wait()
        thread.join()
        assert stop.asked == ""


def test_pokes_beyond_the_buffer_are_dropped() -> None:
    with Stop() as stop:
        for _ in range(100_000):
            stop.poke()
        stop.wait()


def test_the_wait_ends_by_itself_when_asked() -> None:
    with Stop() as stop:
        stop.wait(0.001)
        assert stop.asked == ""


def test_a_pause_ends_with_a_signal_and_not_with_a_poke() -> None:
    with Stop() as stop:
        stop.poke()
        stop.pause(0.001)
        signal.raise_signal(signal.SIGTERM)
        stop.pause(1_000)
        assert stop.asked == "SIGTERM"


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Stop():
        pass
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert signal.set_wakeup_fd(-1) == -1


@pytest.mark.skipif(sys.platform == "win32", reason="SIGHUP is not on this platform")
def test_nohup_is_obeyed() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stop() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert stop.asked == ""
    finally:
        signal.signal(signal.SIGHUP, before)
