"""The default client's transport against a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest

from dfnb.durable_http.sending import default_client
from dfnb.testing import AsyncApi, Drop, Header, Reset, Slow


@pytest.fixture
def api() -> Iterator[AsyncApi]:
    with AsyncApi() as made:
        yield made


def visit(work: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with default_client() as client:
            return await work(client)

    return asyncio.run(run())


def test_a_url_is_sent_as_it_is_spelled(api: AsyncApi) -> None:
    api.site("/signed", body="ok")
    with api.serve() as base:
        visit(lambda client: client.get(f"{base}/signed?sig=a%2Fb%3D%20c+d&x=%7e"))
    assert api.requests[-1].url.endswith("/signed?sig=a%2Fb%3D%20c+d&x=%7e")


def test_a_header_that_comes_twice_stays_two(api: AsyncApi) -> None:
    api.site("/twice", body="ok")
    api.faults("/twice", Header("X-Many", "one", "two"))
    with api.serve() as base:
        answer = visit(lambda client: client.get(f"{base}/twice"))
    assert answer.headers.get_list("X-Many") == ["one", "two"]


def test_no_cookie_is_kept(api: AsyncApi) -> None:
    api.site("/cookie", body="ok", headers=[("Set-Cookie", "who=me")])

    async def twice(client: httpx.AsyncClient) -> None:
        await client.get(f"{base}/cookie")
        await client.get(f"{base}/cookie")

    with api.serve() as base:
        visit(twice)
    assert "cookie" not in dict(api.requests[-1].headers)


def test_a_redirect_is_an_answer(api: AsyncApi) -> None:
    api.redirect("/from", "/to")
    with api.serve() as base:
        assert visit(lambda client: client.get(f"{base}/from")).status_code == 302


def test_an_answer_that_breaks_off_is_an_error_of_httpx(api: AsyncApi) -> None:
    api.site("/long", body="x" * 5_000)
    api.faults("/long", Reset(after=100))
    with api.serve() as base, pytest.raises(httpx.ReadError, match="broke off"):
        visit(lambda client: client.get(f"{base}/long"))


def test_a_connection_that_is_dropped_before_a_post_is_answered_is_an_error_and_no_repetition(api: AsyncApi) -> None:
    api.site("/post", body="ok", method="POST")
    api.faults("/post", Drop())
    with api.serve() as base, pytest.raises(httpx.ReadError):
        visit(lambda client: client.post(f"{base}/post", json={}))
    assert api.count("POST", "/post") == 1


def test_a_host_that_is_not_there_is_a_connect_error() -> None:
    with pytest.raises(httpx.ConnectError):
        visit(lambda client: client.get("http://127.0.0.1:9/"))


def test_an_answer_that_takes_too_long_is_a_timeout(api: AsyncApi) -> None:
    api.site("/slow", body="ok")
    api.faults("/slow", Slow(5))
    with api.serve() as base, pytest.raises(httpx.ReadTimeout):
        visit(lambda client: client.get(f"{base}/slow", timeout=0.1))
