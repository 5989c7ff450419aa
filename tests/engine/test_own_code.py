"""Which code the engine runs, and where it is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from dfnb.engine.own_code import OwnCode

PATIENCE = 20.0


def test_nobodys_code_is_slow_between_two_turns() -> None:
    own_code = OwnCode()
    assert own_code.slow(0) == ""
    with own_code.of("orchestrator", "trip", "one"):
        assert own_code.slow(1_000) == ""
    assert own_code.slow(0) == ""


def test_it_is_over_when_the_code_raises() -> None:
    own_code = OwnCode()
    with pytest.raises(KeyError), own_code.of("orchestrator", "trip", "one"):
        raise KeyError
    assert own_code.slow(0) == ""


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("orchestrator", "orchestrator 'trip' (instance 'one') has been running its own code for 0 s without yielding"),
        ("entity", "operation 'trip' of entity one has been running for 0 s"),
    ],
)
def test_the_line_is_that_of_the_function_dfnb_has_called_however_deep_it_is_now(kind: str, said: str) -> None:
    own_code = OwnCode()
    reached, go = threading.Event(), threading.Event()

    def deeper() -> None:
        reached.set()
        go.wait(PATIENCE)

    def trip() -> Iterator[None]:
        yield deeper()

    def engine() -> None:
        with own_code.of(kind, "trip", "one"):
            call_next(trip())

    thread = threading.Thread(target=engine)
    thread.start()
    reached.wait(PATIENCE)
    told = own_code.slow(0)
    go.set()
    thread.join()
    assert told == f"{said}, at line {trip.__code__.co_firstlineno + 1} of trip"
    assert own_code.slow(0) == ""


_AS_OURS: dict[str, object] = {"__name__": "dfnb.some_module"}
exec("def call_next(generator):\n    next(generator)", _AS_OURS)
call_next: Any = _AS_OURS["call_next"]
