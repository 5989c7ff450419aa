from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from dfnb.engine import clock as clock_module
from dfnb.engine.clock import Clock, FakeClock, SystemClock

SOON = 10.0


def waiting_thread(clock: Clock, condition: threading.Condition, until: int | None) -> tuple[threading.Thread, threading.Event]:
    inside, ended = threading.Event(), threading.Event()

    def wait() -> None:
        with condition:
            inside.set()
            clock.wait(condition, until)
        ended.set()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    assert inside.wait(SOON)
    with condition:
        pass  # the condition is free again: the thread sleeps in it
    return thread, ended


def test_system_clock_tells_the_time_in_microseconds():
    before, now, after = time.time_ns() // 1000, SystemClock().now(), time.time_ns() // 1000
    assert before <= now <= after


def test_system_clock_never_goes_backwards(monkeypatch: pytest.MonkeyPatch):
    clock = SystemClock()
    first = clock.now()
    monkeypatch.setattr(time, "time_ns", lambda: (first - 5_000_000) * 1000)
    assert clock.now() == first


def test_system_clock_waits_until_the_time_comes():
    clock, condition = SystemClock(), threading.Condition()
    until = clock.now() + 20_000
    with condition:
        clock.wait(condition, until)
    assert clock.now() >= until


def test_system_clock_returns_when_notified():
    clock, condition = SystemClock(), threading.Condition()
    for until in (None, clock.now() + 3_600_000_000):
        _, ended = waiting_thread(clock, condition, until)
        with condition:
            condition.notify()
        assert ended.wait(SOON)


def test_system_clock_notices_a_changed_wall_clock(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clock_module, "_LONGEST_NAP", 0.01)
    clock, condition = SystemClock(), threading.Condition()
    until = clock.now() + 3_600_000_000
    _, ended = waiting_thread(clock, condition, until)
    monkeypatch.setattr(time, "time_ns", lambda: (until + 1) * 1000)
    assert ended.wait(SOON)


def test_fake_clock_stands_still_until_advanced():
    clock = FakeClock(datetime(2030, 1, 1, tzinfo=UTC))
    start = clock.now()
    assert datetime.fromtimestamp(start / 1e6, UTC) == datetime(2030, 1, 1, tzinfo=UTC)
    clock.advance(1.5)
    clock.advance(timedelta(minutes=1))
    assert clock.now() - start == 61_500_000


def test_fake_clock_wakes_who_waits_for_a_time():
    clock, condition = FakeClock(1_000), threading.Condition()
    _, ended = waiting_thread(clock, condition, 3_601_000_000)
    clock.advance(timedelta(hours=2))
    assert ended.wait(SOON)


def test_fake_clock_does_not_wait_for_what_has_passed():
    clock, condition = FakeClock(1_000), threading.Condition()
    with condition:
        clock.wait(condition, 1_000)


def test_fake_clock_wait_ends_when_notified():
    clock, condition = FakeClock(), threading.Condition()
    _, ended = waiting_thread(clock, condition, None)
    with condition:
        condition.notify()
    assert ended.wait(SOON)


def test_fake_clock_refuses_to_go_back():
    with pytest.raises(ValueError, match="less than nothing"):
        FakeClock().advance(-1)
