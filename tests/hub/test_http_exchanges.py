"""What the hub keeps of HTTP calls: each exchange, large bodies once, and where a call goes on after a restart."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfnb.hub import bodies
from dfnb.hub.hub import TaskHub
from dfnb.hub.protocol import StartRequest
from dfnb.records.failure import FailureDetails
from dfnb.records.history import HttpCallCompleted, HttpCallFailed, HttpCallScheduled, OrchestratorStarted
from dfnb.records.http import Exchange, response_text
from dfnb.records.instance import InstanceRecord

from .conftest import Hand

LARGE = bodies.INLINE + 1
BODIES = [
    b"", b"plain", "caf\xe9 ü €".encode(), b"caf\xe9", b"\x00\x01\xff", b"with \x00 in it", b"\xef\xbb\xbfbom", b"x" * LARGE,
    b"\xff" * LARGE, ("ü" * LARGE).encode(), b"\x00" * LARGE,
]  # fmt: skip


def exchange(number: int = 1, task: int = 1, **facts: Any) -> Exchange:
    return Exchange(0, task, number, "first", 1_000, 5, "GET", "https://api.example/x", **facts)


def record_of(hub: TaskHub, id: str) -> InstanceRecord:
    record = hub.find(id)
    assert record is not None
    return record


def write(hand: Hand, id: str, *exchanges: Exchange) -> None:
    hand.hub.record_exchanges(record_of(hand.hub, id).key, exchanges)
    hand.commit()


def kept(hub: TaskHub) -> int:
    count: int = hub.sql("SELECT count(*) FROM http_body").fetchall()[0][0]
    return count


def test_an_exchange_is_read_back_as_it_was_written(hand: Hand) -> None:
    hand.start("a")
    whole = exchange(
        3, request_headers=(("X-A", "1"), ("X-A", "2"), ("X-Ü", "ü")), request_body=b'{"a": 1}', status=202,
        response_headers=(("Location", "/y"),), response_body=b"later", asked=7, due_at=99, note="odd", error=None,
    )  # fmt: skip
    failed = exchange(4, error="ReadError: gone")
    write(hand, "a", whole, failed)
    assert hand.hub.exchanges(record_of(hand.hub, "a")) == [whole, failed]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: f"{body[:8]!r} of {len(body)}")
def test_any_body_is_read_back_byte_for_byte(hand: Hand, body: bytes) -> None:
    hand.start("a")
    write(hand, "a", exchange(request_body=body, response_body=body))
    (read,) = hand.hub.exchanges(record_of(hand.hub, "a"))
    assert (read.request_body, read.response_body) == (body, body)
    told = hand.hub.sql("SELECT request_bytes, response_bytes, response_body FROM http_exchanges").fetchall()
    text = body.decode(errors="ignore") if body and bodies.as_text(body) is not None else None
    assert told == [(len(body), len(body), text)]


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "utf-16", "no-such-charset"])
@pytest.mark.parametrize("body", BODIES, ids=lambda body: f"{body[:8]!r} of {len(body)}")
def test_answers_in_histories_are_read_back_equal(hand: Hand, body: bytes, charset: str) -> None:
    content, kind = response_text(body, f"text/plain; charset={charset}")
    answer = HttpCallCompleted(1, 200, (("X", "y"),), content, kind, "https://api.example/x", note="odd")
    failure = HttpCallFailed(2, FailureDetails("HttpTimeoutError", "late"), msgspec.structs.replace(answer, task=2))
    hand.start("a")
    hand.add("a", HttpCallScheduled(1, "GET x", "{}"), HttpCallScheduled(2, "GET x", "{}"))
    hand.add("a", OrchestratorStarted(), answer, failure)
    read = [row.event for row in hand.history("a") if isinstance(row.event, HttpCallCompleted | HttpCallFailed)]
    assert read == [answer, failure]
    state = hand.hub._by_id["a"]
    replayed = [row.event for row in hand.hub.histories([state])[state.key]]
    assert replayed[-2:] == [answer, failure]


def test_a_large_body_is_kept_once_by_its_hash(hand: Hand) -> None:
    hand.start("a", "b")
    for id in ("a", "b"):
        write(hand, id, *(exchange(number, response_body=b"x" * LARGE) for number in range(1, 4)))
    assert kept(hand.hub) == 1
    write(hand, "a", exchange(4, request_body=b"y" * LARGE))
    assert kept(hand.hub) == 2


def test_large_bodies_are_known_again_after_reopening(open_hub: Callable[..., TaskHub], hand_of: Callable[[TaskHub], Hand]) -> None:
    for number in (1, 2):
        hub = open_hub()
        hand = hand_of(hub)
        if number == 1:
            hand.start("a")
        write(hand, "a", exchange(number, response_body=b"x" * LARGE))
        assert kept(hub) == 1
        hub.close()


@pytest.mark.parametrize("how", ["sweep", "close"])
def test_bodies_go_with_the_last_instance_that_refers_to_them(
    open_hub: Callable[..., TaskHub], hand_of: Callable[[TaskHub], Hand], how: str
) -> None:
    hub = open_hub()
    hand = hand_of(hub)
    hand.start("a", "b", "c")
    for id in ("a", "b"):
        write(hand, id, exchange(response_body=b"x" * LARGE))
    hand.add("c", HttpCallScheduled(1, "GET x", "{}"))
    hand.add("c", OrchestratorStarted(), HttpCallCompleted(1, 200, content="z" * LARGE))
    for gone, left in (("a", 2), ("b", 1), ("c", 0)):
        hand.end(gone)
        hub.flush()
        assert hub.purge([record_of(hub, gone)]) == 1
        if how == "sweep":
            hub.sweep_bodies()
        else:
            hub.close()
            hub = open_hub()
            hand = hand_of(hub)
        assert kept(hub) == left
        assert hub.sql("SELECT count(*) FROM http_exchange").fetchall() == [({"a": 1, "b": 0, "c": 0}[gone],)]


def test_a_hub_has_one_key_for_ever_and_another_hub_another(open_hub: Callable[..., TaskHub], tmp_path: Path) -> None:
    first = open_hub()
    key = first.hub_key()
    assert len(key) >= 16
    first.compact()
    assert first.hub_key() == key
    first.close()
    assert open_hub().hub_key() == key
    assert open_hub(path=tmp_path / "other.duckdb").hub_key() != key


@pytest.mark.parametrize("purpose", ["first", "poll", "retry"])
def test_a_call_goes_on_from_its_latest_exchange(
    open_hub: Callable[..., TaskHub], hand_of: Callable[[TaskHub], Hand], purpose: str
) -> None:
    hub = open_hub()
    hand = hand_of(hub)
    hand.start("a")
    hand.add("a", HttpCallScheduled(1, "GET x", "{}"), HttpCallScheduled(2, "GET y", "{}"))
    write(hand, "a", exchange(1, work="w1", due_at=50), msgspec.structs.replace(exchange(2, work="w2", due_at=60), purpose=purpose))
    write(hand, "a", msgspec.structs.replace(exchange(2, work="stop"), purpose="cancel", method="", url=""))
    hub.close(abandon=True)
    hub = open_hub()
    found = {task: waiting for _, task, _, waiting in hub.open_calls()}
    assert found[1] is not None
    assert (found[1].work, found[1].due_at, found[1].attempt) == ("w2", 60, 2)
    assert found[2] is None
    assert [(call[2], waiting.work) for call, waiting in hub.open_cancels()] == [(1, "stop")]


def test_pauses_of_hosts_are_bounded(hand: Hand) -> None:
    hand.start("a")
    write(hand, "a", exchange(1, status=429, asked=10**15), exchange(2, status=503, asked=10), exchange(3, status=202, asked=10**9))
    assert hand.hub.paused_hosts(0, 3_600_000_000) == [("https://api.example/x", 1_000 + 5 + 3_600_000_000)]
    assert hand.hub.paused_hosts(2_000, 3_600_000_000) == []


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["exchange", "finish", "ask", "reopen", "crash", "flush"]), st.integers(1, 3), st.sampled_from(BODIES)
    ),
    max_size=14,
)


@given(STEPS)
@settings(max_examples=25, deadline=None)
def test_what_is_open_after_reopening_is_what_was_open(steps: list[tuple[str, int, bytes]]) -> None:
    """Calls that are asked for, exchange, and end, with restarts in between, against a plain dict of them."""
    with tempfile.TemporaryDirectory() as folder:
        now = iter(range(10**15, 2 * 10**15, 10**6)).__next__
        hub = TaskHub(str(Path(folder, "hub.duckdb")), now=now)
        try:
            hub.start_instances([StartRequest("work", "a")])
            hand = Hand(hub, now)
            hand.turn()
            open_: dict[int, str | None] = {}
            told: list[bytes] = []
            asked: set[int] = set()
            for number, (step, task, body) in enumerate(steps, 1):
                if step == "ask" and task not in asked:
                    asked.add(task)
                    open_[task] = None
                    hand.add("a", HttpCallScheduled(task, "GET x", "{}"))
                elif step == "exchange" and task in open_:
                    open_[task] = f"work {number}"
                    told.append(body)
                    write(hand, "a", exchange(number, task, work=open_[task], due_at=number, response_body=body))
                elif step == "finish" and task in open_:
                    del open_[task]
                    told.append(body)
                    hub.record_exchanges(record_of(hub, "a").key, [exchange(number, task, response_body=body)])
                    hand.add("a", HttpCallCompleted(task, 200, content="x" * len(body)))
                elif step == "flush":
                    hub.flush()
                elif step in ("reopen", "crash"):
                    hub.close(abandon=step == "crash")
                    hub = TaskHub(str(Path(folder, "hub.duckdb")), now=now)
                    hand = Hand(hub, now)
                found = {task: waiting.work if waiting else None for _, task, _, waiting in hub.open_calls()}
                assert found == open_
            assert [one.response_body for one in hub.exchanges(record_of(hub, "a"))] == told
        finally:
            hub.close()
