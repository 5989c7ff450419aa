"""The end of an instance told to a URL: the orchestrator that carries it, and the activities that write and sign what is sent.

What is sent is an event in the structured JSON form of CloudEvents 1.0, signed as Standard Webhooks says. It is sent again, with
a new signature, until the receiver has answered 2xx, for about three days; 410 ends it at once.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Generator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import msgspec

from dfnb.client.callbacks import CARRIER
from dfnb.client.status import DurableOrchestrationStatus
from dfnb.client.sync import DurableOrchestrationClient
from dfnb.definitions import Definition, define
from dfnb.engine.info import activity_info
from dfnb.errors import DfnbError, HttpCallError, TaskFailedError
from dfnb.replay.context import DurableOrchestrationContext

SIGN = "dfnb.sign"
EVENT = "dfnb.callback_event"
METHOD = "dfnb.last_method"

FIRST_PAUSE = timedelta(seconds=10)
LONGEST_PAUSE = timedelta(hours=1)
PATIENCE = timedelta(days=3)
_ONE_TRY = timedelta(minutes=4)
"""Receivers take a signature that is at most five minutes old."""
_ANSWER = timedelta(seconds=30)
_LARGEST_EVENT = 1 << 18
_TYPE = "application/cloudevents+json"
_GONE = 410


class CallbackError(DfnbError):
    """The end of an instance could not be told to its callback URL in three days."""


def definitions(client: DurableOrchestrationClient, key: Callable[[], bytes], now: Callable[[], int]) -> list[Definition]:
    """What makes callbacks of one hub work. `key`: what they are signed with; it is never written down."""
    scribe = _Scribe(client, key, now)
    return [
        define("orchestrator", call_back, name=CARRIER),
        define("activity", scribe.event, name=EVENT),
        define("activity", scribe.sign, name=SIGN),
        define("activity", scribe.last_method, name=METHOD),
    ]


# ---- the orchestrator


def call_back(context: DurableOrchestrationContext) -> Generator[Any, Any, dict[str, Any]]:
    """Run the wanted orchestrator under its id, then tell the URL how that ended."""
    order = context.get_input()
    context.set_custom_status(f"waits for the end of {order['id']!r}")
    ended = yield from _run(context, order)
    facts = {**ended, "name": order["name"], "id": order["id"], "source": order["source"], "event": context.new_uuid()}
    body = yield context.call_activity(EVENT, facts)
    if body is None:
        context.set_custom_status(None)
        return {"delivered": False, "tries": 0, "why": "the id was taken by another instance"}
    return (yield from _deliver(context, order, facts["event"], body))


def _run(context: DurableOrchestrationContext, order: dict[str, Any]) -> Generator[Any, Any, dict[str, Any]]:
    """How the wanted orchestrator ended, in few words: should it be purged before anybody looks, they are all there is."""
    wanted = json.loads(order["input"]) if order["input"] is not None else None
    status, refused = "Completed", False
    try:
        yield context.call_sub_orchestrator(order["name"], wanted, order["id"], order["version"])
    except TaskFailedError as error:
        terminated = error.details.error_type == "dfnb.errors.InstanceFailedError"
        status = "Terminated" if terminated else "Failed"
        refused = error.details.error_type == "dfnb.errors.InstanceExistsError"
    except Exception:  # it has completed: its output is an object that cannot be made again here, and need not be
        status = "Completed"
    return {"status": status, "refused": refused, "at": context.current_utc_datetime.isoformat()}


def _deliver(
    context: DurableOrchestrationContext, order: dict[str, Any], id: str, body: str
) -> Generator[Any, Any, dict[str, Any]]:
    host, end = urlsplit(order["url"]).netloc, f"the end of {order['id']!r}"
    give_up_at = context.current_utc_datetime + PATIENCE
    pause, tries = FIRST_PAUSE, 0
    context.set_custom_status(f"tells {host} of {end}")
    while True:
        tries += 1
        status, why = yield from _try(context, order["url"], id, body)
        if status == _GONE or not why:
            context.set_custom_status(f"has told {host} of {end}" if not why else f"{host} wants to hear no more")
            return {"delivered": not why, "tries": tries, "status": status}
        again = context.current_utc_datetime + pause
        if again > give_up_at:
            raise CallbackError(f"{host} could not be told of {end} in {tries} tries; the last one: {why}")
        context.set_custom_status(f"tells {host} of {end}: try {tries + 1} at {again:%Y-%m-%d %H:%M:%S} UTC, because {why}")
        yield context.create_timer(again)
        pause = min(2 * pause, LONGEST_PAUSE)


def _try(context: DurableOrchestrationContext, url: str, id: str, body: str) -> Generator[Any, Any, tuple[int | None, str]]:
    """One request: the status of its answer, and why that is no receipt, empty if it is one."""
    signature = yield context.call_activity(SIGN, {"id": id, "body": body})
    try:
        answer = yield context.call_http(
            "POST", url, body, {"Content-Type": _TYPE, **signature}, is_raw_str=True, asynchronous_pattern_enabled=False,
            timeout=_ANSWER, deadline=_ONE_TRY,
        )  # fmt: skip
    except HttpCallError as error:
        return None, error.details.summary
    if answer.url != url and (yield context.call_activity(METHOD)) != "POST":
        return answer.status_code, "it was redirected as a GET, which tells nobody anything"
    return answer.status_code, "" if 200 <= answer.status_code < 300 else f"the answer was {answer.status_code}"


# ---- the activities


class _Scribe:
    """Writes events of one hub's instances, and signs them."""

    def __init__(self, client: DurableOrchestrationClient, key: Callable[[], bytes], now: Callable[[], int]) -> None:
        self._client = client
        self._key = key
        self._now = now

    # coroutines, because plain activities may be sent to an executor, perhaps in another process

    async def event(self, facts: dict[str, Any]) -> str | None:
        """The event as JSON; None if there is nothing to tell, because the id was another instance's."""
        return await asyncio.to_thread(self._event, facts, activity_info().instance_id)

    def _event(self, facts: dict[str, Any], carrier: str) -> str | None:
        status = self._client.status(facts["id"])
        ours = status.parent_instance_id == carrier and status.is_terminal
        if facts["refused"] and not ours:
            return None
        return _written(_event(facts, _data(facts, status if ours else None), _time(status, facts) if ours else facts["at"]))

    async def last_method(self, _: None) -> str:
        """The method of the latest request that the carrier has sent: a 303, a 301 or a 302 turns it into a GET."""
        return (await asyncio.to_thread(self._client.http, activity_info().instance_id, latest=1))[0].method

    async def sign(self, message: dict[str, Any]) -> dict[str, str]:
        """The headers that go with an event now."""
        return await asyncio.to_thread(self._sign, message)

    def _sign(self, message: dict[str, Any]) -> dict[str, str]:
        stamp = str(self._now() // 1_000_000)
        signed = f"{message['id']}.{stamp}.{message['body']}".encode()
        signature = base64.b64encode(hmac.digest(self._key(), signed, hashlib.sha256)).decode()
        return {"webhook-id": message["id"], "webhook-timestamp": stamp, "webhook-signature": f"v1,{signature}"}


def _event(facts: dict[str, Any], data: dict[str, Any], time: str) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": facts["event"],
        "source": facts["source"],
        "type": f"dfnb.orchestration.{data['runtimeStatus'].lower()}",
        "subject": facts["id"],
        "time": time.replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": data,
    }


def _data(facts: dict[str, Any], status: DurableOrchestrationStatus | None) -> dict[str, Any]:
    """The status as the status URL shows it; what is left of it for an instance that was purged at once."""
    known = {"name": facts["name"], "instanceId": facts["id"], "runtimeStatus": facts["status"]}
    unknown = dict.fromkeys(("input", "customStatus", "output", "createdTime"))
    when = datetime.fromisoformat(facts["at"]).strftime("%Y-%m-%dT%H:%M:%SZ")
    return status.to_json() if status is not None else {**known, **unknown, "lastUpdatedTime": when}


def _time(status: DurableOrchestrationStatus, facts: dict[str, Any]) -> str:
    return status.last_updated_time.isoformat() if status.last_updated_time is not None else facts["at"]


def _written(event: dict[str, Any]) -> str:
    """The event within what receivers take: large payloads are left out, and the status URL still has them."""
    text = _json(event)
    for name in ("input", "output"):
        if len(text) > _LARGEST_EVENT:
            left_out = " ".join(filter(None, [event.get("dfnbleftout"), name]))
            event = {**event, "dfnbleftout": left_out, "data": {**event["data"], name: None}}
            text = _json(event)
    return text


def _json(value: Any) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except (OverflowError, TypeError, ValueError):  # a number beyond 64 bits, or half of a character
        return json.dumps(value, separators=(",", ":"))
