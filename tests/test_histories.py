"""Saved runs of older versions of dfnb, which must replay for ever. The code here is what those runs ran: never change it."""

from __future__ import annotations

import functools
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import dfnb
from dfnb.errors import NonDeterminismError
from dfnb.testing import load_history, replay, save_history

HISTORIES = Path(__file__).parent / "histories"


def chain(context: Any) -> Any:
    value = context.get_input()
    for _ in range(3):
        value = yield context.call_activity("add", value)
    context.set_custom_status("almost")
    return [value, context.new_uuid()]


def fan_out_with_failures(context: Any) -> Any:
    tasks = [context.call_activity_with_retry("shaky", dfnb.RetryOptions(1000, 2), n) for n in range(4)]
    try:
        yield context.task_all(tasks)
    except dfnb.TaskFailedError as error:
        rest = [task.result for task in tasks if not task.is_failed]
        return [str(error), rest]


def approval(context: Any) -> Any:
    deadline = context.create_timer(timedelta(hours=72))
    answer = context.wait_for_external_event("approval")
    winner = yield context.task_any([answer, deadline])
    if winner is answer:
        deadline.cancel()
        return answer.result
    return "nobody answered"


def counting(context: Any) -> Any:
    count = context.get_input()
    name = yield context.wait_for_external_event("next")
    if count == 2:
        return name
    context.continue_as_new(count + 1)


def family(context: Any) -> Any:
    first = yield context.call_sub_orchestrator("chain", 1)
    try:
        yield context.call_sub_orchestrator("nobody", instance_id="taken")
    except dfnb.TaskFailedError as error:
        kind = error.details.error_type
    return [first[0], kind]


def mended(context: Any) -> Any:
    values = yield context.task_all([context.call_activity("mending", n) for n in range(3)])
    try:
        last = yield context.call_activity("mending", 7)
    finally:
        yield context.call_activity("add", 1)
    return [*values, last]


def transfer(context: Any) -> Any:
    first, second = dfnb.EntityId("account", "first"), dfnb.EntityId("account", "second")
    context.signal_entity(dfnb.EntityId("ledger", "all"), "begun", context.instance_id)
    with (yield context.lock_entities([second, first])):
        balance = yield context.call_entity(first, "balance")
        try:
            yield context.task_all([context.call_entity(first, "add", -5), context.call_entity(second, "add", 5)])
        except dfnb.TaskFailedError as error:
            balance = yield context.call_entity(first, "add", 5)
            reason = str(error)
    yield context.signal_entity(dfnb.EntityId("ledger", "all"), "ended", balance, timedelta(seconds=30))
    return [balance, reason]


def site_check(context: Any) -> Any:
    key = dfnb.Secret.env("SITE_KEY")
    answers = []
    for n, site in enumerate(context.get_input()):
        try:
            answer = yield context.call_http(
                "POST", f"https://{site}/check?key={key}", {"site": site, "n": n}, {"api-key": key, "Accept": ["text/html", "*/*"]},
                dfnb.ManagedIdentityTokenSource("https://management.core.windows.net"), timeout=30, deadline=timedelta(hours=1),
                retry_options=dfnb.RetryOptions(5000, 3, backoff_coefficient=2), status_codes_to_retry=[429, 503],
            )
            answers.append([answer.status_code, answer.headers.get_list("x-seen"), len(answer.content_bytes)])
        except dfnb.HttpTimeoutError as error:
            answers.append([str(error), error.response["statusCode"] if error.response else None])
    pages = yield context.task_all([context.call_http("GET", "https://host/a"), context.call_http("GET", "https://host/b")])
    return [*answers, pages]


def unfinished(context: Any) -> Any:
    yield context.call_activity("add", 1)
    yield context.task_all([context.wait_for_external_event("never"), context.create_timer(timedelta(days=1))])


ORCHESTRATORS = [chain, fan_out_with_failures, approval, counting, family, mended, transfer, site_check, unfinished]
ENDS: dict[str, tuple[str, Any]] = {
    "chain": ("Completed", 4),
    "fan_out_with_failures": ("Completed", ["Activity function 'shaky' failed: ValueError: 1 fails", [0, 2]]),
    "approval": ("Completed", {"by": "Ann"}),
    "counting": ("Completed", "third"),
    "family": ("Completed", [4, "dfnb.errors.InstanceExistsError"]),
    "mended": ("Completed", [0, 1, 2, 7]),
    "transfer": ("Completed", [20, "Operation 'add' of entity '@account@second' failed: ValueError: the account is closed"]),
    "site_check": ("Completed", [
        [200, ["1", "2"], 5], [404, [], 2],
        ["HTTP call 'POST https://c.example/check' failed: HttpTimeoutError: no answer within 30 s", 503],
        [{"statusCode": 200, "headers": {}, "content": "A"}, {"statusCode": 204, "headers": {"Date": "now"}, "content": ""}],
    ]),
    "unfinished": ("Running", None),
}


def saved(name: str) -> str:
    return (HISTORIES / f"{name}.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("function", ORCHESTRATORS, ids=lambda function: function.__name__)
def test_saved_histories_still_replay(function: Any) -> None:
    result = replay(function, saved(function.__name__))
    output = result.output[0] if function is chain else result.output
    assert (result.status, output) == ENDS[function.__name__]


@pytest.mark.parametrize("function", ORCHESTRATORS, ids=lambda function: function.__name__)
def test_saved_histories_are_written_as_they_were_read(function: Any) -> None:
    text = saved(function.__name__)
    assert save_history(load_history(text)) + "\n" == text


@pytest.mark.parametrize("function", ORCHESTRATORS, ids=lambda function: function.__name__)
def test_saved_histories_refuse_other_code(function: Any) -> None:
    def other(context: Any) -> Any:
        yield context.call_activity("something else")

    with pytest.raises(NonDeterminismError):
        replay(other, saved(function.__name__))


@functools.cache
def _tries(name: str, n: int) -> list[int]:
    return []


def shaky(n: int) -> int:
    """Fails always for odd numbers, once for 2."""
    tries = _tries("shaky", n)
    tries.append(n)
    if n % 2 or (n == 2 and len(tries) == 1):
        raise ValueError(f"{n} fails")
    return n


def mending(n: int) -> int:
    """Fails the first time for 1 and 7."""
    tries = _tries("mending", n)
    tries.append(n)
    if n in (1, 7) and len(tries) == 1:
        raise ValueError(f"{n} fails")
    return n
