from __future__ import annotations

import msgspec
import pytest

from dfnb.durable_http.description import Poll
from dfnb.durable_http.messages import Request
from dfnb.durable_http.retry_after import Pace
from dfnb.durable_http.state import PollState, begin, cancel_request, description, onward
from dfnb.errors import DefinitionError

HEADERS = (("Authorization", "t"), ("Accept", "a"), ("Content-Type", "c"))
POST = Request("POST", "https://a.example/x?key=1", HEADERS, b"\x00\xff")


def test_a_call_begins_with_its_own_request() -> None:
    state = begin(POST, now=5, deadline_at=9, seed=3, pace=Pace(every=2))
    assert (state.request, state.first, state.started_at, state.deadline_at) == (POST, POST, 5, 9)
    assert (state.phase, state.dialect, state.attempt, state.seed, state.pace.every) == ("first", "auto", 0, 3, 2)


@pytest.mark.parametrize("poll", ["auto", None, "openeo", Poll(status="s", ok="done")])
def test_a_state_survives_being_written_down(poll: str | Poll | None) -> None:
    state = begin(POST, poll, now=5, deadline_at=9, pace=Pace(every=2))
    assert msgspec.json.decode(msgspec.json.encode(state), type=PollState) == state
    assert description(state) is not None


@pytest.mark.parametrize("url", ["", "/relative", "ftp://a.example/", "https://", "a.example/x"])
def test_a_call_needs_a_url_of_http(url: str) -> None:
    with pytest.raises(ValueError, match="must start with http"):
        begin(Request("GET", url), now=0)


def test_a_wrong_dialect_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(DefinitionError, match="did you mean 'fabric'"):
        begin(POST, "fabrik", now=0)
    with pytest.raises(DefinitionError, match=r"df.Poll\(...\)"):
        begin(POST, 5, now=0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "headers", "repeatable"),
    [
        ("GET", (), True),
        ("put", (), True),
        ("DELETE", (), True),
        ("POST", (), False),
        ("PATCH", (), False),
        ("POST", (("idempotency-key", "k"),), True),
        ("POST", (("Repeatability-Request-ID", "k"),), True),
    ],
)
def test_what_may_be_sent_twice(method: str, headers: tuple[tuple[str, str], ...], repeatable: bool) -> None:
    assert begin(Request(method, "https://a.example", headers), now=0).repeatable is repeatable
    assert begin(Request(method, "https://a.example", headers), now=0, repeatable=not repeatable).repeatable is not repeatable


def test_credentials_stay_at_home() -> None:
    state = begin(POST, now=0)
    assert onward(state, "https://a.example/s") == Request("GET", "https://a.example/s", HEADERS[:2])
    for url in ("https://b.example/s", "http://a.example/s", "https://a.example:8443/s", "https://a.example.evil.example/"):
        assert onward(state, url) == Request("GET", url, (("Accept", "a"),), None, False)


def test_credentials_go_where_the_user_lets_them() -> None:
    state = begin(POST, Poll(origins="https://west.api.example"), now=0)
    assert onward(state, "https://west.api.example/s").trusted
    assert not onward(state, "https://east.api.example/s").trusted
    assert not onward(begin(POST, Poll(auth="never"), now=0), "https://a.example/s").trusted


def test_nothing_is_cancelled_before_it_was_started() -> None:
    assert cancel_request(begin(POST, Poll(cancel="DELETE {status}"), now=0)) is None
