"""HTTP triggers through the wire format: routes, keys, what functions are given, and what becomes of what they return."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import threading
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from starlette.requests import Request

import dfnb
from dfnb.client.keys import HubKeys
from dfnb.client.links import Links, scoped_code
from dfnb.server.answers import Refused, empty
from dfnb.server.failures import FailedRequests
from dfnb.server.guard import Guard
from dfnb.server.settings import ServerSettings
from dfnb.server.triggers import Triggers, find

Send = Callable[..., httpx.Response]


@pytest.fixture
def registry() -> dfnb.Registry:
    made = dfnb.Registry()

    @dfnb.orchestrator(registry=made)
    def echo(context: dfnb.DurableOrchestrationContext) -> Any:
        return context.get_input()

    return made


@pytest.fixture
def app(registry: dfnb.Registry) -> Generator[dfnb.DurableApp]:
    with dfnb.DurableApp(durability="memory", registry=registry) as opened:
        yield opened


class Door:
    """The part of a server that hands requests to triggers."""

    def __init__(self, app: dfnb.DurableApp, **settings: Any) -> None:
        self.settings = ServerSettings(**settings)
        self.keys = HubKeys(app._hub)
        self.failures = FailedRequests(lambda: 0)
        self.guard = Guard(self.settings, self.keys, lambda: 0)
        self.triggers = Triggers(
            app.registry, app.client, self.settings, self.guard, lambda request: "https://out.example", self.failures
        )
        app.client.links = Links(
            lambda: "https://out.example", lambda id, scope: scoped_code(self.keys.links, id, scope), lambda: 0
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        try:
            response = await self.triggers.handle(request) or empty(418)
        except Refused as refused:
            response = refused.response
        await response(scope, receive, send)

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def sent() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self), base_url="http://inside") as client:
                return await client.request(method, path, **options)

        return asyncio.run(sent())


@pytest.fixture
def door(app: dfnb.DurableApp) -> Generator[Door]:
    made = Door(app)
    yield made
    made.triggers.close()


@pytest.fixture
def send(door: Door) -> Send:
    return door.send


def trigger(registry: dfnb.Registry, route: str | None = None, **options: Any) -> Callable[[Any], Any]:
    return dfnb.http_trigger(route, auth_level=options.pop("auth_level", "anonymous"), registry=registry, **options)


# ---- routes


def test_the_route_of_a_function_without_one_is_its_name(registry: dfnb.Registry, send: Send) -> None:
    @trigger(registry)
    def hello(req: dfnb.HttpRequest) -> str:
        return f"hello {req.params.get('name')}"

    answer = send("GET", "/api/hello?name=first&name=last")
    assert (answer.status_code, answer.text) == (200, "hello last")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


def test_no_route_and_no_such_method_are_404_and_other_paths_are_not_ours(registry: dfnb.Registry, send: Send) -> None:
    trigger(registry, "a", methods="POST")(lambda_named("a"))
    assert [send("GET", "/api/a").status_code, send("GET", "/api/b").status_code] == [404, 404]
    assert send("OPTIONS", "/api/a").status_code == 404
    assert send("POST", "/API/A").status_code == 200
    assert [send("POST", "/a").status_code, send("POST", "/apix/a").status_code] == [418, 418]


def lambda_named(name: str) -> Callable[[Any], str]:
    def function(req: Any) -> str:
        return name

    function.__name__ = name
    return function


def test_without_a_prefix_what_fits_no_route_is_left_to_others(app: dfnb.DurableApp, registry: dfnb.Registry) -> None:
    trigger(registry, "a")(lambda_named("a"))
    door = Door(app, route_prefix="")
    assert [door.send("GET", "/a").text, door.send("GET", "/b").status_code] == ["a", 418]


def test_the_most_specific_route_answers_and_another_one_for_other_methods(registry: dfnb.Registry) -> None:
    for name, route, methods in [
        ("rest", "orders/{*rest}", "GET"), ("one", "orders/{id}", "GET,POST"), ("number", "orders/{id:int}", "GET"),
        ("new", "orders/new", "GET"), ("file", "orders/{name}.txt", "GET"),
    ]:  # fmt: skip
        trigger(registry, route, methods=methods)(lambda_named(name))

    def answers(method: str, path: str) -> str:
        found = find(registry, method, path)
        return "" if found is None else found.definition.name

    assert answers("GET", "orders/NEW") == "new"
    assert answers("POST", "orders/new") == "one"
    assert answers("GET", "orders/17") == "number"
    assert answers("GET", "orders/a.txt") == "file"
    assert answers("GET", "orders/a") == "one"
    assert answers("GET", "orders/a/b") == "rest"
    assert answers("POST", "orders/a/b") == ""


@pytest.mark.parametrize("path", ["/api/f/..", "/api/f/%2e%2e", "/api/f/a%00b", "/api/f/%ff", "/api/f/a%0d%0ab"])
def test_paths_that_play_tricks_fit_no_route(registry: dfnb.Registry, door: Door, path: str) -> None:
    @trigger(registry, "f/{*rest}")
    def f(req: dfnb.HttpRequest) -> str:
        return req.route_params["rest"]

    scope = {
        "type": "http", "method": "GET", "path": "/api/f", "raw_path": path.encode(), "root_path": "", "query_string": b"",
        "headers": [],
    }  # fmt: skip
    response = asyncio.run(door.triggers.handle(Request(scope)))
    assert response is not None
    assert response.status_code == 404


def test_a_function_registered_again_replaces_the_one_before(registry: dfnb.Registry, send: Send) -> None:
    for text in ("old", "new"):
        trigger(registry, "a", name="a")(lambda_named(text))
    assert send("GET", "/api/a").text == "new"


# ---- keys


@pytest.mark.parametrize(
    ("level", "allowed"),
    [("anonymous", ["none", "wrong", "function", "system"]), ("function", ["function", "system"]), ("admin", ["system"])],
)
def test_each_level_is_opened_by_its_keys(registry: dfnb.Registry, door: Door, level: str, allowed: list[str]) -> None:
    trigger(registry, "a", auth_level=level)(lambda_named("a"))
    keys = {"none": None, "wrong": "x", "function": door.keys.function, "system": door.keys.system}
    for name, key in keys.items():
        expected = 200 if name in allowed else 401
        in_query = door.send("GET", "/api/a", params={"code": key} if key else {})
        in_header = door.send("GET", "/api/a", headers={"x-functions-key": key} if key else {})
        assert [in_query.status_code, in_header.status_code] == [expected, expected]
        assert (in_query.content == b"") is (expected == 401)


def test_a_link_to_an_instance_opens_no_trigger(registry: dfnb.Registry, door: Door, app: dfnb.DurableApp) -> None:
    trigger(registry, "a", auth_level="function")(lambda_named("a"))
    link = app.client.create_http_management_payload("i")["statusQueryGetUri"]
    assert door.send("GET", f"/api/a?code={link.partition('code=')[2]}").status_code == 401


def test_without_keys_everybody_may_call(app: dfnb.DurableApp, registry: dfnb.Registry) -> None:
    trigger(registry, "a", auth_level="admin")(lambda_named("a"))
    assert Door(app, require_key=False).send("GET", "/api/a").status_code == 200


# ---- what a function is given


def test_a_request_has_all_that_was_sent(registry: dfnb.Registry, send: Send) -> None:
    @trigger(registry, "orders/{id}/{item?}")
    def order(req: dfnb.HttpRequest) -> Any:
        return {
            "method": req.method, "url": req.url, "route": dict(req.route_params), "params": dict(req.params),
            "header": req.headers["X-MINE"], "json": req.get_json(), "body": req.get_body().decode(),
        }  # fmt: skip

    answer = send("POST", "/api/orders/a%20b%2Fc?x=1&y=", json=[1], headers={"x-mine": "here"})
    assert answer.json() == {
        "method": "POST", "url": "https://out.example/api/orders/a%20b%2Fc?x=1&y=", "route": {"id": "a b%2Fc"},
        "params": {"x": "1", "y": ""}, "header": "here", "json": [1], "body": "[1]",
    }  # fmt: skip


def test_forms_and_files_are_read(registry: dfnb.Registry, send: Send) -> None:
    @trigger(registry, "up")
    def up(req: dfnb.HttpRequest) -> Any:
        files = {name: [file.filename, file.content_type, file.read().decode()] for name, file in req.files.items()}
        return [dict(req.form), files]

    several = send("POST", "/api/up", data={"a": "é"}, files={"f": ("x.txt", b"hello", "text/plain")})
    assert several.json() == [{"a": "é"}, {"f": ["x.txt", "text/plain", "hello"]}]
    assert send("POST", "/api/up", data={"a": "1"}).json() == [{"a": "1"}, {}]
    assert send("POST", "/api/up", json={"a": 1}).json() == [{}, {}]


def test_plain_functions_get_the_plain_client_and_coroutines_the_other(registry: dfnb.Registry, send: Send) -> None:
    @trigger(registry)
    def plain(req: dfnb.HttpRequest, client: dfnb.DurableOrchestrationClient) -> Any:
        instance = client.start("echo", req.get_json())
        return client.wait_for_completion_or_create_check_status_response(req, instance.id)

    @trigger(registry)
    async def other(req: dfnb.HttpRequest, client: dfnb.AsyncDurableOrchestrationClient) -> Any:
        id = await client.start_new("echo", client_input=req.get_json())
        return client.create_check_status_response(req, id)

    assert send("POST", "/api/plain", json={"a": 1}).json() == {"a": 1}
    started = send("POST", "/api/other", json={"a": 1})
    assert (started.status_code, started.headers["retry-after"]) == (202, "10")
    assert started.headers["location"] == started.json()["statusQueryGetUri"]
    assert started.headers["location"].startswith("https://out.example/runtime/webhooks/durabletask/instances/")


def test_objects_of_a_class_come_only_from_who_has_the_key(app: dfnb.DurableApp, registry: dfnb.Registry, door: Door) -> None:
    @trigger(registry)
    def body(req: dfnb.HttpRequest) -> Any:
        try:
            return req.get_json()
        except ValueError as error:
            return dfnb.HttpResponse(str(error), status_code=400)

    marked = {"__class__": "Popen", "__module__": "subprocess", "__data__": ["true"]}
    for key in ("", "wrong", door.keys.function):
        answer = door.send("POST", "/api/body", json=[marked], headers={"x-functions-key": key})
        assert (answer.status_code, "only who has the hub's key" in answer.text) == (400, True)
    assert door.send("POST", "/api/body", json=marked, headers={"x-functions-key": door.keys.system}).json() == marked
    assert Door(app, require_key=False).send("POST", "/api/body", json=marked).json() == marked


def test_a_body_that_is_too_long_is_refused_before_the_function_runs(app: dfnb.DurableApp, registry: dfnb.Registry) -> None:
    called = []
    trigger(registry, "a", name="a")(lambda req: called.append(req))
    assert Door(app, max_body=10).send("POST", "/api/a", content=b"x" * 11).status_code == 413
    assert called == []


# ---- what it returns


NEW_YEAR = datetime(2030, 1, 1, tzinfo=UTC)


@dataclasses.dataclass
class Point:
    x: int
    at: datetime


@pytest.mark.parametrize(
    ("value", "status", "content_type", "body"),
    [
        (None, 204, None, b""),
        ("é", 200, "text/plain; charset=utf-8", "é".encode()),
        (b"\x00", 200, "application/octet-stream", b"\x00"),
        ({"a": [1, "é"]}, 200, "application/json; charset=utf-8", '{"a":[1,"é"]}'.encode()),
        (0, 200, "application/json; charset=utf-8", b"0"),
        (False, 200, "application/json; charset=utf-8", b"false"),
        (2**70, 200, "application/json; charset=utf-8", str(2**70).encode()),
        (Point(1, NEW_YEAR), 200, "application/json; charset=utf-8", b'{"x":1,"at":"2030-01-01T00:00:00Z"}'),
        (dfnb.HttpResponse("<b>", mimetype="text/html"), 200, "text/html; charset=utf-8", b"<b>"),
        (dfnb.HttpResponse(b"1", status_code=201, headers={"Content-Type": "x/y", "Content-Length": "9"}), 201, "x/y", b"1"),
        (dfnb.HttpResponse("lost", status_code=204), 204, None, b""),
    ],
    ids=["none", "text", "bytes", "object", "zero", "false", "big", "dataclass", "html", "headers", "no body"],
)
def test_what_is_returned_becomes_an_answer(
    registry: dfnb.Registry, send: Send, value: Any, status: int, content_type: str | None, body: bytes
) -> None:
    trigger(registry, "a", name="a")(lambda req: value)
    answer = send("GET", "/api/a")
    assert (answer.status_code, answer.headers.get("content-type"), answer.content) == (status, content_type, body)


def test_a_response_of_another_library_is_taken_unless_it_injects_headers(registry: dfnb.Registry, send: Send) -> None:
    class Foreign:
        def __init__(self, headers: dict[str, str]) -> None:
            self.status_code, self.headers, self.mimetype, self.charset = 200, headers, "text/plain", "utf-8"

        def get_body(self) -> bytes:
            return b"x"

    trigger(registry, "good", name="good")(lambda req: Foreign({"X-A": "1"}))
    trigger(registry, "bad", name="bad")(lambda req: Foreign({"X-A": "1\r\nSet-Cookie: a=b"}))
    assert send("GET", "/api/good").headers["x-a"] == "1"
    bad = send("GET", "/api/bad")
    assert (bad.status_code, "set-cookie" in bad.headers) == (500, False)


async def fails_async(req: Any) -> None:
    raise ValueError("hunter2")


def fails(req: Any) -> None:
    raise ValueError("hunter2")


def ends(req: Any) -> None:
    raise SystemExit("hunter2")


def runs_dry(req: Any) -> None:
    raise StopIteration("hunter2")


def unfit(req: Any) -> Any:
    return {"hunter2"}.union, float("nan")


@pytest.mark.parametrize("function", [fails, fails_async, ends, runs_dry, unfit], ids=lambda function: function.__name__)
def test_an_error_gives_500_with_an_id_and_its_details_to_the_log_and_the_list_only(
    registry: dfnb.Registry, door: Door, send: Send, caplog: pytest.LogCaptureFixture, function: Any
) -> None:
    trigger(registry, "a", name="broken")(function)
    with caplog.at_level(logging.ERROR, "dfnb.server"):
        answer = send("GET", "/api/a?code=hunter3")
    assert answer.status_code == 500
    assert list(answer.json()) == ["Message", "Id"]
    assert "hunter2" not in answer.text
    assert answer.json()["Id"] in caplog.text
    assert "Traceback" in caplog.text
    (kept,) = door.failures
    assert (kept.id, kept.route) == (answer.json()["Id"], "GET /api/a")
    assert "Traceback" in kept.traceback
    assert "hunter3" not in caplog.text


# ---- where it runs


def test_a_blocking_function_and_a_busy_coroutine_do_not_stop_the_server(registry: dfnb.Registry, door: Door) -> None:
    release = threading.Event()

    @trigger(registry)
    def blocks(req: Any) -> str:
        release.wait(20)
        return "plain"

    @trigger(registry)
    async def hogs(req: Any) -> str:
        release.wait(20)  # what no coroutine should do
        return "hog"

    trigger(registry, "free")(lambda_named("free"))

    async def three() -> list[str]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://inside") as client:
            slow = [asyncio.ensure_future(client.get(f"/api/{name}")) for name in ("blocks", "hogs")]
            quick = await client.get("/api/free")
            assert not any(task.done() for task in slow)
            release.set()
            return [quick.text, *[(await task).text for task in slow]]

    assert asyncio.run(three()) == ["free", "plain", "hog"]


def test_a_coroutine_is_cancelled_when_its_caller_hangs_up(registry: dfnb.Registry, door: Door) -> None:
    begun, cancelled = threading.Event(), threading.Event()

    @trigger(registry)
    async def waits(req: Any) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    sent: list[Any] = []

    async def hang_up() -> None:
        messages = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> Any:
            message = next(messages, None)
            if message is None:
                await asyncio.to_thread(begun.wait, 20)
                return {"type": "http.disconnect"}
            return message

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http", "method": "POST", "path": "/api/waits", "raw_path": b"/api/waits", "query_string": b"", "headers": [],
        }  # fmt: skip
        await door(scope, receive, send)

    asyncio.run(hang_up())
    assert cancelled.wait(20)
    assert sent[0]["status"] == 499


def test_closing_cancels_what_waits(registry: dfnb.Registry, door: Door, caplog: pytest.LogCaptureFixture) -> None:
    begun = threading.Event()

    @trigger(registry)
    async def waits(req: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def close() -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://inside") as client:
            request = asyncio.ensure_future(client.get("/api/waits"))
            await asyncio.to_thread(begun.wait, 20)
            await asyncio.to_thread(door.triggers.close, 20)
            return (await request).status_code

    assert asyncio.run(close()) == 500


def test_json_answers_are_what_json_reads(registry: dfnb.Registry, send: Send) -> None:
    trigger(registry, "a", name="a")(lambda req: {"text": 'a"\n\u2028'})
    assert json.loads(send("GET", "/api/a").content) == {"text": 'a"\n\u2028'}
