from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta

import pytest

import dfnb
from dfnb.client import shown, test_mode
from dfnb.client.sync import DurableOrchestrationClient, new_instance_id


@pytest.fixture
def frozen() -> Iterator[None]:
    test_mode.switch(True)
    yield
    test_mode.switch(False)


def test_ids_are_counted_from_one_each_time_it_goes_on(frozen: None) -> None:
    assert [new_instance_id(), new_instance_id()] == ["instance-1", "instance-2"]
    test_mode.switch(True)
    assert new_instance_id() == "instance-3"
    test_mode.switch(False)
    assert len(new_instance_id()) == 32
    test_mode.switch(True)
    assert new_instance_id() == "instance-1"


def test_times_are_shown_frozen_and_told_as_they_are(frozen: None, client: DurableOrchestrationClient) -> None:
    run = client.start("waits")
    status = run.status()
    assert repr(status) in (
        "<DurableOrchestrationStatus waits 'instance-1': Running, waiting for event go since 12:00:00>",
        "<DurableOrchestrationStatus waits 'instance-1': Pending>",
        "<DurableOrchestrationStatus waits 'instance-1': Running>",
    )
    assert status.created_time is not None
    assert status.created_time.year < 2030 or status.created_time.hour != 12
    assert (shown.clock(0), shown.date_and_time(0), shown.span(5), shown.brief(7)) == (
        "12:00:00", "2030-01-01 12:00:00", "1 s", "1 s",
    )  # fmt: skip
    run.terminate()
    run.wait(10)


def test_an_ended_instance_of_an_earlier_run_makes_room_for_its_id(frozen: None, client: DurableOrchestrationClient) -> None:
    first = client.start("waits")
    first.terminate()
    first.wait(10)
    test_mode.switch(False)
    test_mode.switch(True)
    again = client.start("waits")
    assert again.id == first.id
    with pytest.raises(dfnb.InstanceExistsError):
        client.start("waits", instance_id="instance-1")
    again.terminate()
    again.wait(10)


def test_without_it_times_are_real() -> None:
    assert not test_mode.is_on()
    assert shown.span(timedelta(hours=2).total_seconds() * 1000) == "2 h 0 min"


@pytest.mark.parametrize(("value", "on"), [("1", True), ("0", False), ("", False)])
def test_the_environment_turns_it_on(value: str, on: bool) -> None:
    code = "from dfnb.client import test_mode; print(test_mode.is_on())"
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={"DFNB_TEST_MODE": value, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == str(on)
