"""Ends told to a URL: what is sent, how it is signed, and that it is sent until it is received."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import dfnb
from dfnb.callbacks import FIRST_PAUSE, LONGEST_PAUSE, PATIENCE
from dfnb.engine.http import HttpSettings
from dfnb.errors import InstanceExistsError
from dfnb.records.instance import InstanceRecord
from dfnb.testing import AsyncApi, FakeClock, ReceivedRequest, Reply, ServerError

SECONDS = 20.0
URL = f"{AsyncApi.url}/done"


class Money:
    """Can be written and not read."""

    @staticmethod
    def to_json(money: Money) -> int:
        return 7

    @staticmethod
    def from_json(amount: int) -> Money:
        raise ValueError(amount)


class Coin:
    """Can be written and read."""

    def __init__(self, amount: int) -> None:
        self.amount = amount

    @staticmethod
    def to_json(coin: Coin) -> int:
        return coin.amount

    @staticmethod
    def from_json(amount: int) -> Coin:
        return Coin(amount)


def make_registry() -> dfnb.Registry:
    made = dfnb.Registry()

    @dfnb.orchestrator(registry=made)
    def echo(context: dfnb.DurableOrchestrationContext) -> Any:
        return context.get_input()

    @dfnb.orchestrator(registry=made)
    def echo_kind(context: dfnb.DurableOrchestrationContext) -> Any:
        coin = context.get_input()
        return f"{type(coin).__name__} of {coin.amount}"

    @dfnb.orchestrator(registry=made)
    def pays(context: dfnb.DurableOrchestrationContext) -> Any:
        return Money()

    @dfnb.orchestrator(registry=made)
    def breaks(context: dfnb.DurableOrchestrationContext) -> Any:
        raise ValueError("no bread")

    @dfnb.orchestrator(registry=made)
    def waits(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        context.set_custom_status({"step": 1})
        return (yield context.wait_for_external_event("go"))

    @dfnb.orchestrator(registry=made)
    def count_down(context: dfnb.DurableOrchestrationContext) -> Any:
        left = context.get_input()
        if left > 0:
            context.continue_as_new(left - 1)
            return None
        return "down"

    return made


class Lab:
    """An app on a clock moved by hand, and who is called back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = FakeClock()
        self.registry = make_registry()
        self.api = AsyncApi(self.clock)
        self.api.site("/done", 204)
        self.app = self.open()

    def open(self, **options: Any) -> dfnb.DurableApp:
        settings = HttpSettings(client=self.api.transport)
        self.app = dfnb.DurableApp(self.path, registry=self.registry, clock=self.clock, http=settings, **options)
        return self.app

    def crash(self) -> dfnb.DurableApp:
        self.app.abandon()
        return self.open()

    def close(self) -> None:
        self.app.close(timeout=1)
        self.api.close()

    def start(self, name: str, input: Any = None, url: str = URL, **options: Any) -> dfnb.Instance:
        return self.app.client.start(name, input, callback_url=url, **options)

    def carrier(self, instance: dfnb.Instance) -> dfnb.Instance:
        parent = self.app.client.record(instance.id).parent_id
        assert parent is not None
        return self.app.client.instance(parent)

    def until(self, id: str, holds: Callable[[InstanceRecord], bool], *, move: bool = False) -> InstanceRecord:
        """Wait until the instance is as wanted; with `move`, move the clock from one due time to the next."""
        changed = threading.Event()
        end = self.app.client.watch(lambda ids: changed.set())
        try:
            while not holds(record := self.app.client.record(id)):
                due = min((wait.until for wait in record.waits if wait.kind == "timer" and wait.until is not None), default=None)
                if move and due is not None and due > self.clock.now():
                    self.clock.advance((due - self.clock.now()) / 1e6)
                elif not changed.wait(SECONDS):
                    raise AssertionError(f"{record} is not what was wanted")
                changed.clear()
        finally:
            end()
        return record

    def told(self, instance: dfnb.Instance) -> tuple[dict[str, Any], dfnb.DurableOrchestrationStatus]:
        """What was told of an instance at last, and how its carrier ended."""
        carrier = self.carrier(instance)
        self.until(carrier.id, lambda record: record.is_terminal, move=True)
        return self.api.requests[-1].json(), carrier.status()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path / "hub.duckdb")
    yield made
    made.close()


def signature(request: ReceivedRequest, secret: str) -> str:
    """What Standard Webhooks wants the signature of a request to be."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b".".join([str(request.header(name)).encode() for name in ("webhook-id", "webhook-timestamp")] + [request.body])
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


# what is told


def test_the_end_is_told_as_a_cloud_event_with_the_status(lab: Lab) -> None:
    instance = lab.start("echo", {"bread": 3}, instance_id="order-1")
    event, carrier = lab.told(instance)
    request = lab.api.requests[-1]
    assert (request.method, request.url) == ("POST", URL)
    assert request.header("content-type") == "application/cloudevents+json"
    assert event.pop("id") == request.header("webhook-id")
    assert event.pop("time").startswith(event["data"]["lastUpdatedTime"].removesuffix("Z"))
    assert event == {
        "specversion": "1.0", "source": "urn:dfnb", "type": "dfnb.orchestration.completed", "subject": "order-1",
        "datacontenttype": "application/json", "data": instance.status().to_json(),
    }  # fmt: skip
    assert event["data"]["output"] == {"bread": 3}
    assert carrier.output == {"delivered": True, "tries": 1, "status": 204}
    assert carrier.custom_status == "has told api.example of the end of 'order-1'"


def test_each_request_is_signed_with_a_secret_that_no_table_holds(lab: Lab) -> None:
    lab.told(lab.start("echo", 1))
    request, secret = lab.api.requests[-1], lab.app.callback_secret
    assert request.header("webhook-signature") == signature(request, secret)
    assert request.header("webhook-timestamp") == str(lab.clock.now() // 1_000_000)
    for table in ("instances", "history", "activities", "http_exchanges", "logs"):
        assert secret.removeprefix("whsec_") not in str(lab.app.sql(f"SELECT * FROM {table}").fetchall())


def test_a_failure_and_a_termination_are_told_as_such(lab: Lab) -> None:
    event, carrier = lab.told(lab.start("breaks"))
    assert event["type"] == "dfnb.orchestration.failed"
    assert "no bread" in event["data"]["output"]
    instance = lab.start("waits")
    instance.terminate("enough")
    event, _ = lab.told(instance)
    assert (event["type"], event["data"]["output"]) == ("dfnb.orchestration.terminated", "enough")
    assert carrier.output["delivered"] is True


def test_an_instance_that_continues_as_new_is_told_of_at_its_last_end(lab: Lab) -> None:
    event, _ = lab.told(lab.start("count_down", 3))
    assert (event["data"]["output"], lab.api.count()) == ("down", 1)


def test_an_instance_that_is_purged_at_once_is_told_of_all_the_same(lab: Lab) -> None:
    instance = lab.start("waits", instance_id="a")
    carrier = lab.carrier(instance)
    instance.purge(force=True)
    lab.until(carrier.id, lambda record: record.is_terminal, move=True)
    event = lab.api.requests[-1].json()
    assert (event["type"], event["subject"], event["data"]["runtimeStatus"]) == ("dfnb.orchestration.terminated", "a", "Terminated")


def test_an_output_that_cannot_be_made_again_here_is_told_as_it_was_written(lab: Lab) -> None:
    event, _ = lab.told(lab.start("pays"))
    assert event["type"] == "dfnb.orchestration.completed"
    assert event["data"]["output"] == {"__class__": "Money", "__module__": Money.__module__, "__data__": 7}


def test_the_input_reaches_the_orchestrator_as_the_object_it_was(lab: Lab) -> None:
    event, _ = lab.told(lab.start("echo_kind", Coin(2)))
    assert event["data"]["output"] == "Coin of 2"


def test_what_is_too_large_for_receivers_is_left_out_and_named(lab: Lab) -> None:
    event, _ = lab.told(lab.start("echo", "x" * 300_000))
    assert event["dfnbleftout"] == "input output"
    assert (event["data"]["input"], event["data"]["output"], event["data"]["runtimeStatus"]) == (None, None, "Completed")


def test_an_executor_in_another_process_does_not_matter(lab: Lab) -> None:
    lab.app.close()
    with ProcessPoolExecutor(1) as executor:
        lab.open(executor=executor)
        _, carrier = lab.told(lab.start("echo", 1))
        lab.app.close()
    assert carrier.output["delivered"] is True


def test_a_receiver_on_a_real_socket_is_told(lab: Lab) -> None:
    lab.app.http = HttpSettings()
    with lab.api.serve() as url:
        event, carrier = lab.told(lab.start("echo", "bread", url=f"{url}/done?for=us"))
        assert carrier.output["delivered"] is True
    assert (event["data"]["output"], lab.api.requests[-1].query) == ("bread", {"for": "us"})
    assert lab.api.requests[-1].header("webhook-signature") == signature(lab.api.requests[-1], lab.app.callback_secret)


# until it is received


def test_a_try_that_fails_is_repeated_later_with_a_new_signature_and_the_same_id(lab: Lab) -> None:
    lab.api.faults("/done", ServerError(500), ServerError(502), Reply(cut=-1))
    _, carrier = lab.told(lab.start("echo", 1))
    requests = lab.api.requests
    assert carrier.output == {"delivered": True, "tries": 4, "status": 204}
    assert len({request.header("webhook-id") for request in requests}) == 1
    assert len({request.body for request in requests}) == 1
    assert all(request.header("webhook-signature") == signature(request, lab.app.callback_secret) for request in requests)
    pauses = [(later.at - earlier.at) / 1e6 for earlier, later in itertools.pairwise(requests)]
    assert [round(pause) for pause in pauses] == [10, 20, 40]


def test_after_three_days_of_failures_the_carrier_fails_and_says_why(lab: Lab) -> None:
    lab.api.always("/done", ServerError(500))
    _, carrier = lab.told(lab.start("echo", 1))
    requests = lab.api.requests
    pauses = [later.at - earlier.at for earlier, later in itertools.pairwise(requests)]
    assert round(max(pauses) / 1e6) == LONGEST_PAUSE.total_seconds()
    assert PATIENCE - LONGEST_PAUSE < timedelta(microseconds=requests[-1].at - requests[0].at) <= PATIENCE
    assert carrier.failure_details is not None
    assert carrier.failure_details.summary == (
        f"CallbackError: api.example could not be told of the end of {requests[0].json()['subject']!r} in {len(requests)} tries; "
        "the last one: the answer was 500"
    )


def test_a_receiver_that_is_gone_is_not_called_again(lab: Lab) -> None:
    lab.api.always("/done", Reply(410))
    _, carrier = lab.told(lab.start("echo", 1))
    assert carrier.output == {"delivered": False, "tries": 1, "status": 410}
    assert carrier.custom_status == "api.example wants to hear no more"


def test_a_new_secret_is_used_at_once(lab: Lab) -> None:
    old = lab.app.callback_secret
    new = lab.app.rotate_callback_secret()
    assert old != new == lab.app.callback_secret
    lab.told(lab.start("echo", 1))
    assert lab.api.requests[-1].header("webhook-signature") == signature(lab.api.requests[-1], new)


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_that_loses_the_event_is_no_receipt(lab: Lab, status: int) -> None:
    lab.api.redirect("/moved", "/done", status)
    instance = lab.start("echo", 1, url=f"{AsyncApi.url}/moved")
    lab.until(lab.carrier(instance).id, lambda record: "redirected as a GET" in (record.custom_status or ""))


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_that_keeps_the_event_is_followed_and_what_is_received_there_is_received(lab: Lab, status: int) -> None:
    lab.api.redirect("/moved", "/done", status)
    _, carrier = lab.told(lab.start("echo", 1, url=f"{AsyncApi.url}/moved"))
    assert carrier.output == {"delivered": True, "tries": 1, "status": 204}
    moved, done = lab.api.requests
    assert (moved.method, done.method, done.path) == ("POST", "POST", "/done")
    assert (moved.body, dict(moved.headers)["webhook-signature"]) == (done.body, dict(done.headers)["webhook-signature"])


def test_accepted_is_a_receipt_and_not_something_to_poll(lab: Lab) -> None:
    lab.api.site("/later", 202, headers={"Location": "/status", "Retry-After": "5"})
    _, carrier = lab.told(lab.start("echo", 1, url=f"{AsyncApi.url}/later"))
    assert (carrier.output["status"], lab.api.count()) == (202, 1)


def test_a_private_address_is_not_called_where_that_is_forbidden(lab: Lab) -> None:
    lab.app.http = HttpSettings(public_only=True)
    instance = lab.start("echo", 1, url="http://127.0.0.1:9/done")
    record = lab.until(lab.carrier(instance).id, lambda record: "try 2" in (record.custom_status or ""))
    assert "127.0.0.1" in str(record.custom_status).partition("because")[2]
    assert lab.api.count() == 0


def test_a_crash_between_the_end_and_the_receipt_loses_nothing_and_no_cell_is_needed(lab: Lab) -> None:
    lab.api.faults("/done", ServerError(500))
    carrier = lab.carrier(lab.start("echo", 1))
    lab.until(carrier.id, lambda record: "try 2" in (record.custom_status or ""))
    lab.registry = dfnb.Registry()
    lab.crash()
    lab.until(carrier.id, lambda record: record.is_terminal, move=True)
    assert lab.app.client.status(carrier.id).output == {"delivered": True, "tries": 2, "status": 204}
    first, second = lab.api.requests
    assert (first.body, first.header("webhook-id")) == (second.body, second.header("webhook-id"))


def test_a_crash_while_the_instance_runs_loses_nothing(lab: Lab) -> None:
    instance = lab.start("waits", instance_id="a")
    lab.crash()
    lab.app.client.raise_event("a", "go", 7)
    event, _ = lab.told(lab.app.client.instance(instance.id))
    assert event["data"]["output"] == 7


# the start


def test_the_instance_is_there_when_its_start_is_acknowledged_and_both_are_listed(lab: Lab) -> None:
    for number in range(30):
        assert lab.start("waits", instance_id=f"w{number}").status().instance_id == f"w{number}"
    carrier = lab.app.client.status("w0:callback")
    assert (carrier.name, carrier.custom_status) == ("dfnb.callback", "waits for the end of 'w0'")
    assert {status.instance_id for status in lab.app.client.instances(instance_id_prefix="w0")} == {"w0", "w0:callback"}


def test_an_id_that_is_taken_is_refused_and_nothing_is_started(lab: Lab) -> None:
    lab.app.client.start("waits", instance_id="a")
    with pytest.raises(InstanceExistsError, match="'a' already exists and is Running"):
        lab.start("echo", instance_id="a")
    assert len(lab.app.client.instances()) == 1


def test_of_many_starts_with_one_id_at_the_same_time_one_succeeds_and_is_told_of(lab: Lab) -> None:
    gate = threading.Barrier(8)
    outcomes: list[int] = []
    refused: list[str] = []

    def begin(number: int) -> None:
        gate.wait()
        try:
            lab.app.client.start("waits", number, instance_id="a", callback_url=URL if number % 2 else None)
            outcomes.append(number)
        except InstanceExistsError as error:
            refused.append(error.instance_id)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(outcomes), refused) == (1, ["a"] * 7)
    assert lab.app.client.status("a").input_ == outcomes[0]


def test_an_id_may_be_used_again_while_its_last_end_is_still_being_told(lab: Lab) -> None:
    lab.api.faults("/done", ServerError(500))
    first = lab.carrier(lab.start("echo", 1, instance_id="a"))
    lab.until(first.id, lambda record: "try 2" in (record.custom_status or ""))
    second = lab.carrier(lab.start("echo", 2, instance_id="a"))
    assert (first.id, second.id) == ("a:callback", "a:callback2")
    lab.until(second.id, lambda record: record.is_terminal)
    lab.until(first.id, lambda record: record.is_terminal, move=True)
    assert [request.json()["data"]["output"] for request in lab.api.requests] == [1, 2, 1]


def test_built_ins_are_known_and_never_listed(lab: Lab) -> None:
    lab.told(lab.start("echo", 1))
    assert [name for name in lab.registry.names("orchestrator") if "dfnb" in name] == []
    with pytest.raises(dfnb.NotRegisteredError) as caught:
        lab.app.client.start("dfnb.callbak")
    assert "dfnb.callback" not in str(caught.value).replace("dfnb.callbak'", "")
    record = lab.app.client.instances(name="dfnb.callback")[0]
    source = lab.app.client.source_of(lab.app.client.record(str(record.instance_id)))
    assert "def call_back(" in str(source)


def test_a_url_that_nothing_can_be_told_to_is_refused_and_nothing_is_started(lab: Lab) -> None:
    with pytest.raises(ValueError, match="must begin with http"):
        lab.start("echo", 1, url="ftp://a.example/")
    assert len(lab.app.client.instances()) == 0


def test_a_later_start_has_no_callback(lab: Lab) -> None:
    when = lab.app.client.start("echo", 1).status().created_time
    assert when is not None
    with pytest.raises(ValueError, match="leave out start_at"):
        lab.start("echo", 1, start_at=when + FIRST_PAUSE)


def test_azures_client_starts_with_a_callback_too(lab: Lab) -> None:
    started = lab.app.async_client.start_new("echo", client_input=[1], callback_url=URL)
    event, _ = lab.told(lab.app.client.instance(asyncio.run(started)))
    assert event["data"]["output"] == [1]
