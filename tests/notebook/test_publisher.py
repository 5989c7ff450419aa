"""The thread that keeps the views of one hub up to date."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from dfnb.notebook.publisher import Publisher

PATIENCE = 20.0


class Hub:
    """What a client tells: ids that changed."""

    def __init__(self, hold: threading.Event | None = None) -> None:
        self.callbacks: list[Callable[[frozenset[str]], None]] = []
        self.watched = threading.Event()
        self.left = threading.Event()
        self._hold = hold

    def watch(self, callback: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        if self._hold is not None:
            assert self._hold.wait(PATIENCE)
        self.callbacks.append(callback)
        self.watched.set()
        return self.left.set

    def tell(self, *ids: str) -> None:
        for callback in self.callbacks:
            callback(frozenset(ids))


class View:
    """Counts how often it was looked at; `goes_on` False: its next look is the last."""

    def __init__(self, client: Hub, id: str = "a") -> None:
        self.client: Any = client
        self.id = id
        self.goes_on = True
        self.is_stopped = False
        self.problem: Exception | None = None
        self.looked = threading.Semaphore(0)

    def publish(self) -> bool:
        self.looked.release()
        if self.problem is not None:
            raise self.problem
        return self.goes_on

    def concerns(self, ids: frozenset[str]) -> bool:
        return self.id in ids

    def stop(self) -> None:
        self.is_stopped = True

    def was_looked_at(self) -> bool:
        return self.looked.acquire(timeout=PATIENCE)


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def publisher() -> Publisher:
    return Publisher()


def test_a_view_is_looked_at_at_once_and_with_each_piece_of_news_that_concerns_it(hub: Hub, publisher: Publisher) -> None:
    one, other = View(hub, "a"), View(hub, "b")
    publisher.follow(one)
    publisher.follow(other)
    assert one.was_looked_at()
    assert other.was_looked_at()
    hub.tell("b", "c")
    assert other.was_looked_at()
    hub.tell("a")
    assert one.was_looked_at()
    assert not other.looked.acquire(blocking=False)
    publisher.close()
    assert hub.left.is_set()


@pytest.mark.parametrize("problem", [None, RuntimeError("the page is gone")], ids=["it has ended", "it fails"])
def test_the_thread_ends_with_the_last_view_and_comes_back_with_a_new_one(
    hub: Hub, publisher: Publisher, problem: Exception | None
) -> None:
    view = View(hub)
    view.goes_on, view.problem = False, problem
    publisher.follow(view)
    assert hub.left.wait(PATIENCE)
    again = View(hub)
    hub.watched.clear()
    publisher.follow(again)
    assert again.was_looked_at()
    assert hub.watched.is_set()
    publisher.close()


def test_a_view_that_is_dropped_is_not_looked_at_any_more(hub: Hub, publisher: Publisher) -> None:
    dropped, stays = View(hub), View(hub)
    publisher.follow(dropped)
    publisher.follow(stays)
    assert dropped.was_looked_at()
    assert stays.was_looked_at()
    publisher.drop(dropped)
    hub.tell("a")
    assert stays.was_looked_at()
    assert not dropped.looked.acquire(blocking=False)
    publisher.close()


def test_a_hub_that_is_slow_to_answer_holds_up_nobody_who_shows_a_view_of_it(publisher: Publisher) -> None:
    answers = threading.Event()
    slow = Hub(hold=answers)
    view = View(slow)
    publisher.follow(view)  # returns, though the hub has not answered yet
    assert not slow.watched.is_set()
    answers.set()
    assert view.was_looked_at()
    publisher.close()


def test_a_look_can_be_asked_for_at_a_later_time(hub: Hub, publisher: Publisher) -> None:
    view = View(hub)
    publisher.follow(view)
    assert view.was_looked_at()
    publisher.touch_later(view, 0.01)
    assert view.was_looked_at()
    publisher.close()


def test_all_views_are_told_when_the_hub_is_about_to_close(hub: Hub, publisher: Publisher) -> None:
    views = [View(hub), View(hub)]
    for view in views:
        publisher.follow(view)
        assert view.was_looked_at()
    publisher.stop_views()
    assert all(view.is_stopped and view.was_looked_at() for view in views)
    publisher.close()
