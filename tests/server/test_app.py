"""The management API as an ASGI app: paths, the envelope of answers, where it says it is, and mounting it elsewhere."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from dfnb.client.links import BASE_PATH
from dfnb.server.routes import ROUTES
from dfnb.version import package_version


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_each_route_has_a_handler(server: Any, route: Any) -> None:
    found = [getattr(one, route.operation) for one in server.app._handlers if hasattr(one, route.operation)]
    assert len(found) == 1
    assert inspect.iscoroutinefunction(found[0])


def test_paths_ignore_case_and_slashes_at_the_end(server: Any) -> None:
    for path in (f"{BASE_PATH}/instances", f"{BASE_PATH.upper()}/INSTANCES", f"{BASE_PATH}/instances/", f"{BASE_PATH}/Instances//"):
        assert (path, server.ask("GET", path, at_base=False).status) == (path, 200)


def test_what_has_no_route_is_a_404_without_a_body_key_or_not(server: Any) -> None:
    for method, path in [
        ("GET", "/orchestrators"),
        ("PUT", "/instances/x"),
        ("POST", "/instances/x/explode"),
        ("HEAD", "/instances"),
        ("GET", "/"),
    ]:
        for key in (True, False):
            answer = server.ask(method, path, key=key)
            assert (method, path, answer.status, answer.body) == (method, path, 404, b"")
            assert "content-type" not in answer.headers


def test_every_answer_has_the_version_and_is_not_to_be_kept(server: Any) -> None:
    for path, key in (("/instances", True), ("/instances", False), ("/nothing", True), ("/instances/x", True)):
        headers = server.ask("GET", path, key=key).headers
        assert headers["x-dfnb-version"] == (package_version() or "0")
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")


def test_there_is_one_task_hub_and_any_connection(serve: Callable[..., Any]) -> None:
    server = serve(task_hub="Shop")
    for query in ("taskHub=Shop", "TASKHUB=shop&connection=Other", "taskHub=", ""):
        assert server.ask("GET", f"/instances?{query}").status == 200
    answer = server.ask("GET", "/instances?taskHub=other")
    assert answer.status == 400
    assert "one task hub, 'Shop', not 'other'" in answer.json()["ExceptionMessage"]
    assert "?taskHub=Shop&connection=Storage&code=" in server.ask("POST", "/orchestrators/echo").json()["statusQueryGetUri"]


def test_every_verb_may_make_it_primary(server: Any) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = server.ask(method, "/makePrimary")
        assert (answer.status, answer.body) == (200, b"")


# where it is


def links_begin_with(server: Any, **facts: Any) -> str:
    answer = server.ask("POST", "/orchestrators/waits", **facts)
    begin, _, _ = answer.json()["statusQueryGetUri"].partition(BASE_PATH)
    assert answer.headers["location"].startswith(begin)
    status = server.ask("GET", f"/instances/{answer.json()['id']}", **facts)
    assert status.headers["location"].startswith(f"{begin}{BASE_PATH}/instances/")
    return str(begin)


FORWARDED = {"x-forwarded-host": "hub.example.org, inner", "x-forwarded-proto": "https", "x-forwarded-prefix": "/user/me/"}


def test_links_begin_with_what_the_caller_used(server: Any) -> None:
    assert links_begin_with(server) == "http://127.0.0.1:7071"
    assert links_begin_with(server, host="localhost:9000", scheme="https") == "https://localhost:9000"
    assert links_begin_with(server, headers=FORWARDED) == "http://127.0.0.1:7071"


def test_links_begin_with_the_public_address(serve: Callable[..., Any]) -> None:
    server = serve(public_url="https://hub.example.org/user/me/proxy/7071/")
    assert links_begin_with(server) == "https://hub.example.org/user/me/proxy/7071"
    assert links_begin_with(server, host="hub.example.org") == "https://hub.example.org/user/me/proxy/7071"
    assert server.app.links.management("x")["statusQueryGetUri"].startswith("https://hub.example.org/user/me/proxy/7071/runtime/")


def test_a_proxy_is_believed_only_when_that_is_switched_on(serve: Callable[..., Any]) -> None:
    server = serve(trust_forwarded=True)
    assert links_begin_with(server, headers=FORWARDED) == "https://hub.example.org/user/me"
    assert links_begin_with(server) == "http://127.0.0.1:7071"
    for name, value in [
        ("host", "evil.com/x?"),
        ("host", "a@b"),
        ("proto", "javascript"),
        ("prefix", "//evil.com"),
        ("prefix", '/a"b'),
        ("prefix", "a"),
    ]:
        assert links_begin_with(server, headers={f"x-forwarded-{name}": value}) == "http://127.0.0.1:7071"


def test_mounted_elsewhere_it_says_so_in_its_links(server: Any) -> None:
    outer = server.app
    server.app = Starlette(routes=[Mount("/hub", app=outer)])
    answer = server.ask("POST", "/hub" + BASE_PATH + "/orchestrators/waits/x", at_base=False)
    assert answer.status == 202
    assert answer.json()["statusQueryGetUri"].startswith(f"http://127.0.0.1:7071/hub{BASE_PATH}/instances/x?")
    path = answer.json()["statusQueryGetUri"].removeprefix("http://127.0.0.1:7071")
    status = server.ask("GET", path, key=False, at_base=False)
    assert (status.status, status.headers["location"]) == (202, f"http://127.0.0.1:7071{path}")


def test_without_a_request_links_begin_with_where_it_listens(serve: Callable[..., Any]) -> None:
    assert serve(port=8080).app.links.management("x")["statusQueryGetUri"].startswith("http://127.0.0.1:8080/")
    assert serve(host="0.0.0.0").app.links.management("x")["statusQueryGetUri"].startswith("http://127.0.0.1:7071/")
    assert serve(host="::1").app.links.management("x")["statusQueryGetUri"].startswith("http://[::1]:7071/")
    server = serve()
    server.app.own_origin = "http://127.0.0.1:41234"
    assert server.app.links.management("x")["statusQueryGetUri"].startswith("http://127.0.0.1:41234/")


# ASGI


def test_it_takes_part_in_the_lifespan_of_a_server_and_refuses_web_sockets(server: Any) -> None:
    async def talk(scope: dict[str, Any], *received: str) -> list[str]:
        messages, sent = iter(received), []

        async def receive() -> dict[str, str]:
            return {"type": next(messages)}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message["type"])

        await server.app(scope, receive, send)
        return sent

    told = asyncio.run(talk({"type": "lifespan"}, "lifespan.startup", "lifespan.shutdown"))
    assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert asyncio.run(talk({"type": "websocket"}, "websocket.connect")) == ["websocket.close"]


def test_a_closed_hub_is_a_503_that_says_when_to_come_back(server: Any) -> None:
    server.bring("Running", "x")
    server.hub.close()
    for method, path in [
        ("POST", "/orchestrators/echo"),
        ("POST", "/instances/x/terminate"),
        ("GET", "/instances"),
        ("POST", "/entities/store/k"),
    ]:
        answer = server.ask(method, path)
        assert (path, answer.status, answer.headers.get("retry-after")) == (path, 503, "1")
        assert "the hub is closed" in answer.json()["ExceptionMessage"]


def test_an_error_nobody_thought_of_is_a_500_without_its_trace(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*args: object, **options: object) -> None:
        raise ZeroDivisionError("in /home/me")

    monkeypatch.setattr(type(server.client), "instances", breaks)
    answer = server.ask("GET", "/instances")
    assert answer.status == 500
    assert list(answer.json()) == ["Message", "ExceptionMessage", "ExceptionType"]
    assert "/home/me" not in answer.body.decode()
