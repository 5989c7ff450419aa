"""The keys a hub keeps, and the look at an instance that needs no file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dfnb.hub.hub import TaskHub


def test_a_key_is_made_when_first_asked_for_and_stays(hub: TaskHub) -> None:
    key = hub.hub_key("purpose")
    assert len(key) == 32
    assert hub.hub_key("purpose") == key
    assert hub.hub_key("other") != key != hub.hub_key()


def test_a_renewed_key_replaces_only_its_own(hub: TaskHub) -> None:
    before, other = hub.hub_key("purpose"), hub.hub_key("other")
    fresh = hub.renew_hub_key("purpose")
    assert fresh != before
    assert (hub.hub_key("purpose"), hub.hub_key("other")) == (fresh, other)


def test_keys_are_kept_in_the_file(open_hub: Callable[..., TaskHub]) -> None:
    first = open_hub()
    kept, renewed = first.hub_key("a"), first.renew_hub_key("b")
    first.close()
    again = open_hub()
    assert (again.hub_key("a"), again.hub_key("b")) == (kept, renewed)


def test_keys_are_in_no_view(hub: TaskHub) -> None:
    key = hub.hub_key("purpose")
    for view in ("instances", "history", "activities", "entities", "http_exchanges", "logs", "definitions"):
        assert key not in [cell for row in hub.sql(f"FROM {view}").fetchall() for cell in row]


def test_a_peek_sees_what_find_sees_of_open_and_just_ended_instances(hub: TaskHub, hand: Any) -> None:
    hand.start("a", "b")
    hand.end("b")
    for id in ("a", "b"):
        assert hub.peek(id) == hub.find(id) is not None
        assert hub.peek(id) is hub.peek(id)
    assert hub.peek("none") is None


def test_a_peek_of_what_ended_before_the_hub_was_opened_tells_nothing(
    open_hub: Callable[..., TaskHub], hand_of: Callable[[TaskHub], Any]
) -> None:
    first = open_hub()
    hand_of(first).start("a", "b")
    hand_of(first).end("b")
    first.close()
    again = open_hub()
    assert again.peek("b") is None
    assert again.find("b") is not None
    assert again.peek("a") == again.find("a") is not None
