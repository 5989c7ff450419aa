"""Every public class has a short text for its values: no addresses, no secrets, the same in every process."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

import dfnb
from dfnb.client.entities import EntityPage, OperationTable
from dfnb.client.history import History
from dfnb.client.http_log import http_log
from dfnb.client.status import InstancePage
from dfnb.records.http import Exchange

SECRET = "hush-hush-hush"
FUNCTIONS: dict[str, Any] = {}


@pytest.fixture(scope="module")
def app() -> Iterator[dfnb.DurableApp]:
    registry = dfnb.Registry()

    @dfnb.entity(registry=registry)
    def counter(context: dfnb.DurableEntityContext) -> None:
        FUNCTIONS["entity context"] = repr(context)
        context.set_state({"long": "x" * 5_000})

    @dfnb.orchestrator(registry=registry)
    def trip(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        FUNCTIONS["context"] = repr(context)
        timer = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
        FUNCTIONS["timer"] = repr(timer)
        FUNCTIONS["task"] = repr(context.task_any([timer, context.wait_for_external_event("go")]))
        timer.cancel()
        yield context.call_entity(dfnb.EntityId("counter", "a"), "set")
        return SECRET * 100

    with dfnb.DurableApp(durability="memory", registry=registry) as opened:
        opened.client.start("trip", SECRET, instance_id="t1").wait(20)
        yield opened


def exchange() -> Any:
    headers = (("authorization", SECRET), ("x", "y" * 5_000))
    url, body = "https://example.com/" + "a" * 5_000, SECRET.encode()
    record = Exchange(0, 1, 1, "first", 0, 5, "GET", url, headers, body, 200, headers, body)
    return http_log("t1", [record])


def client(app: dfnb.DurableApp) -> Any:
    return app.client


class Credential:
    def get_token(self, *scopes: str, **options: Any) -> str:
        return SECRET


VALUES: dict[str, Callable[[dfnb.DurableApp], Any]] = {
    "AsyncDurableOrchestrationClient": lambda app: app.async_client,
    "AuthLevel": lambda app: dfnb.AuthLevel.FUNCTION,
    "CallableTokenSource": lambda app: dfnb.CallableTokenSource(lambda: SECRET, name="mine"),
    "CleanEntityStorageResult": lambda app: app.client.clean_entity_storage(),
    "CredentialTokenSource": lambda app: dfnb.CredentialTokenSource(Credential(), "https://h", name="mine"),
    "DurableApp": lambda app: app,
    "DurableEntityContext": lambda app: FUNCTIONS["entity context"],
    "DurableEntityStatus": lambda app: app.client.entity("@counter@a").status(),
    "DurableHttpRequest": lambda app: dfnb.DurableHttpRequest(
        "GET", f"https://user:{SECRET}@h/a?code={SECRET}", content=SECRET, headers={"Authorization": SECRET}
    ),
    "DurableHttpResponse": lambda app: dfnb.DurableHttpResponse(200, {"Set-Cookie": SECRET}, SECRET),
    "DurableOrchestrationClient": client,
    "DurableOrchestrationContext": lambda app: FUNCTIONS["context"],
    "DurableOrchestrationStatus": lambda app: app.client.status("t1"),
    "EntityHandle": lambda app: app.client.entity("@counter@a"),
    "EntityId": lambda app: dfnb.EntityId("counter", "a"),
    "EntityStateResponse": lambda app: app.client.read_entity_state("@counter@a"),
    "FailureDetails": lambda app: dfnb.FailureDetails("builtins.ValueError", "bad" * 1_000, "trace" * 1_000),
    "HttpExchange": lambda app: exchange()[0],
    "HttpLog": lambda app: exchange(),
    "HttpRequest": lambda app: dfnb.HttpRequest("GET", f"https://h/a?code={SECRET}", body=SECRET.encode(), headers={"x": SECRET}),
    "HttpResponse": lambda app: dfnb.HttpResponse(SECRET, headers={"x": SECRET}),
    "HttpSettings": lambda app: dfnb.HttpSettings(client=lambda: None, clients={"a": exchange}, credential=lambda options: None),
    "Instance": lambda app: app.client.instance("t1"),
    "ManagedIdentityOptions": lambda app: dfnb.ManagedIdentityOptions(tenant_id="t"),
    "ManagedIdentityTokenSource": lambda app: dfnb.ManagedIdentityTokenSource("https://management.core.windows.net/"),
    "OrchestrationRuntimeStatus": lambda app: dfnb.OrchestrationRuntimeStatus.Running,
    "Pace": lambda app: dfnb.Pace(),
    "Poll": lambda app: dfnb.Poll(status="body:status", ok=("done",)),
    "PurgeHistoryResult": lambda app: app.client.purge("nobody"),
    "Registry": lambda app: app.registry,
    "RetryOptions": lambda app: dfnb.RetryOptions(1_000, 3),
    "RetryPolicy": lambda app: dfnb.RetryPolicy(timedelta(seconds=1), 3, handle=lambda failure: True),
    "Secret": lambda app: dfnb.Secret.env("DFNB_NO_SUCH"),
    "ServerSettings": lambda app: dfnb.ServerSettings(port=0, max_depth=50),
    "Task": lambda app: FUNCTIONS["task"],
    "TaskState": lambda app: dfnb.TaskState.RUNNING,
    "TimerTask": lambda app: FUNCTIONS["timer"],
}
"""A value of each public class; of those that only exist while code runs, the text they had then."""

NO_VALUES = {"Entity", "Orchestrator"}
"""Two namespaces of functions."""

ELSEWHERE = {"Followed", "RemoteOrchestrationClient", "Server"}
"""What needs a server has its own test."""

LISTS: dict[str, Callable[[dfnb.DurableApp], Any]] = {
    "Definition": lambda app: app.registry.require("orchestrator", "trip"),
    "EntityPage": lambda app: EntityPage(app.client.entities(), "token"),
    "History": lambda app: app.client.instance("t1").history(),
    "InstancePage": lambda app: InstancePage(app.client.instances(), "token"),
    "OperationTable": lambda app: app.client.entity("@counter@a").operations(),
    "SvgPicture": lambda app: app.client.instance("t1").timeline(),
}


def classes() -> list[str]:
    values = {name: getattr(dfnb, name) for name in dfnb.__all__}
    return [name for name, value in values.items() if inspect.isclass(value) and not issubclass(value, BaseException)]


def test_each_public_class_is_tested() -> None:
    assert sorted({*VALUES, *NO_VALUES, *ELSEWHERE} & set(classes())) == sorted(classes())


@pytest.mark.parametrize("name", sorted({**VALUES, **LISTS}))
def test_each_value_has_a_short_text(name: str, app: dfnb.DurableApp) -> None:
    value = {**VALUES, **LISTS}[name](app)
    text = value if isinstance(value, str) and value.startswith("<") else repr(value)
    assert 0 < len(text) <= 220, text
    assert " at 0x" not in text
    assert SECRET not in text
    assert "\n" not in text
    assert name in text or name in ("AuthLevel", "CredentialTokenSource", "Definition", "Task") or text.startswith(("<", "Secret"))


def test_a_server_tells_where_it_is_but_not_its_key(app: dfnb.DurableApp) -> None:
    server = app.serve(port=0)
    try:
        for text in (repr(server), server._repr_html_(), app._repr_html_(), repr(app)):
            assert server.key is not None
            assert server.key not in text
            assert " at 0x" not in text
        assert server.url in repr(server)
        assert server.url in app._repr_html_()
    finally:
        app.stop_serving()


def test_lists_are_counted(app: dfnb.DurableApp) -> None:
    assert repr(app.client.instances()) == "<InstancePage: 1 instance>"
    assert repr(InstancePage([], "more")) == "<InstancePage: 0 instances, and there are more>"
    assert repr(History()) == "<History: 0 events>"
    assert repr(OperationTable()) == "<OperationTable: 0 operations>"


def test_only_what_was_said_is_repeated() -> None:
    assert repr(dfnb.Poll()) == "Poll()"
    assert repr(dfnb.ServerSettings(port=0)) == "ServerSettings(port=0)"
    assert repr(dfnb.HttpSettings(client=exchange)) == "HttpSettings(client=<exchange>)"


def test_a_closed_hub_has_a_card_too() -> None:
    app = dfnb.DurableApp(durability="memory", registry=dfnb.Registry())
    app.close()
    assert "engine closed" in app._repr_html_()
    assert repr(app) == "<DurableApp ':memory:' (closed)>"
