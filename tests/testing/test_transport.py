"""The transport without sockets: any URL, sync and async, bodies of any kind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import httpx

from dfnb.testing import AsyncApi, FakeClock, Slow


def test_every_url_leads_to_the_api(api: AsyncApi, client: httpx.Client) -> None:
    api.site("/check", body="here")
    assert client.get("https://elsewhere.example:8443/check?x=1").text == "here"
    assert api.requests[0].url == "https://elsewhere.example:8443/check?x=1"


def test_async_clients_send_streams_and_read_answers(api: AsyncApi) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    async def main() -> list[str]:
        async with httpx.AsyncClient(transport=api.transport(), base_url=api.url) as client:
            first = await client.post("/echo", content=pieces())
            others = await asyncio.gather(*(client.post("/echo", content=str(number)) for number in range(200)))
            return [first.text, *(other.text for other in others)]

    api.site("/echo", body=lambda request: request.body)
    assert asyncio.run(main()) == ["onetwo", *map(str, range(200))]


def test_redirects_and_cookies_work_as_over_a_socket(api: AsyncApi, client: httpx.Client) -> None:
    api.redirect("/a", "/b")
    api.site("/b", body=lambda request: request.header("cookie") or "", headers={"Set-Cookie": "c=1"})
    assert client.get("/a", follow_redirects=True).text == ""
    assert client.get("/b").text == "c=1"


def test_a_sync_client_waits_in_its_thread(api: AsyncApi, clock: FakeClock) -> None:
    got: list[int] = []

    def ask() -> None:
        with httpx.Client(transport=api.transport(), base_url=api.url, timeout=None) as client:
            got.append(client.get("/check").status_code)

    api.site("/check")
    api.faults("/check", Slow(3600))
    thread = threading.Thread(target=ask)
    thread.start()
    api.wait_for(1)
    clock.advance(3599)
    assert got == []
    clock.advance(1)
    thread.join(20)
    assert got == [200]
