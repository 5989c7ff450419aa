"""Requests that stay: long polls and streams of events, and that nothing of them is left."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from dfnb.client.links import BASE_PATH

SSE = {"accept": "text/event-stream"}
SOON = 10


class Stream:
    """An answer that is read while it is being sent."""

    def __init__(self) -> None:
        self.head: dict[str, Any] = {}
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._rest = b""

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.head = message
        else:
            self._pieces.put_nowait(message.get("body", b""))
            if not message.get("more_body", False):
                self._pieces.put_nowait(None)

    async def event(self) -> dict[str, str] | None:
        """The next event that is no comment; None at the end of the stream."""
        while True:
            while b"\n\n" not in self._rest:
                piece = await asyncio.wait_for(self._pieces.get(), SOON)
                if piece is None:
                    assert not self._rest
                    return None
                self._rest += piece
            text, _, self._rest = self._rest.partition(b"\n\n")
            if not text.startswith(b":"):
                return dict(line.split(": ", 1) for line in text.decode().split("\n"))

    async def state(self) -> str:
        event = await self.event()
        assert event is not None
        return str(json.loads(event["data"])["runtimeStatus"])


@asynccontextmanager
async def following(server: Any, path: str, **facts: Any) -> AsyncIterator[tuple[Stream, asyncio.Event, asyncio.Task[None]]]:
    hangs_up, stream = asyncio.Event(), Stream()
    scope, receive = server.request("GET", path, hangs_up=hangs_up, **{"headers": SSE, **facts})
    task = asyncio.create_task(server.app(scope, receive, stream.send))
    try:
        yield stream, hangs_up, task
    finally:
        hangs_up.set()
        await asyncio.wait_for(task, SOON)


def nothing_is_left(server: Any) -> bool:
    return not server.app.changes._tickets and server.app._house.followers.count == 0 and server.app.changes._end is None


async def until_one_waits(server: Any, number: int = 1) -> None:
    while sum(map(len, server.app.changes._tickets.values())) < number:
        await asyncio.sleep(0)


# long polls


def test_a_long_poll_is_answered_when_the_instance_ends(server: Any) -> None:
    server.bring("Running", "x")

    async def ask() -> None:
        poll = asyncio.create_task(server.asking("GET", "/instances/x", headers={"prefer": "wait=60"}))
        await until_one_waits(server)
        assert not poll.done()
        server.client.raise_event("x", "go", 7)
        answer = await asyncio.wait_for(poll, SOON)
        assert (answer.status, answer.json()["output"]) == (200, 7)

    asyncio.run(ask())
    assert nothing_is_left(server)


def test_a_long_poll_that_runs_out_is_answered_with_the_present_status(server: Any) -> None:
    server.bring("Running", "x")
    answer = server.ask("GET", "/instances/x", headers={"prefer": "wait=0"})
    assert (answer.status, answer.json()["runtimeStatus"]) == (202, "Running")
    assert nothing_is_left(server)


@pytest.mark.parametrize("query", ["", "?showInput=false"])
@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}'])
def test_a_caller_that_names_its_status_waits_for_another(server: Any, query: str, form: str) -> None:
    server.bring("Running", "x")
    tag = server.ask("GET", f"/instances/x{query}").headers["etag"]

    async def ask() -> None:
        headers = {"prefer": "wait=60", "if-none-match": form.format(tag)}
        poll = asyncio.create_task(server.asking("GET", f"/instances/x{query}", headers=headers))
        await until_one_waits(server)
        server.client.suspend("x")
        answer = await asyncio.wait_for(poll, SOON)
        assert (answer.status, answer.json()["runtimeStatus"]) == (202, "Suspended")
        assert answer.headers["etag"] != tag
        again = await server.asking("GET", f"/instances/x{query}", headers={"prefer": "wait=60", "if-none-match": tag})
        assert again.json()["runtimeStatus"] == "Suspended"

    asyncio.run(ask())
    assert nothing_is_left(server)


def test_a_long_poll_of_a_missing_or_purged_instance_is_a_404(server: Any) -> None:
    assert server.ask("GET", "/instances/x", headers={"prefer": "wait=60"}).status == 404
    server.bring("Running", "x")

    async def ask() -> None:
        tag = (await server.asking("GET", "/instances/x")).headers["etag"]
        poll = asyncio.create_task(server.asking("GET", "/instances/x", headers={"prefer": "wait=60", "if-none-match": tag}))
        await until_one_waits(server)
        await asyncio.to_thread(server.client.purge, "x", force=True)
        assert (await asyncio.wait_for(poll, SOON)).status in (200, 404)

    asyncio.run(ask())
    assert nothing_is_left(server)


def test_a_drain_answers_all_who_wait(server: Any) -> None:
    server.bring("Running", "x")

    async def ask() -> None:
        async with following(server, "/instances/x") as (stream, _, task), following(server, "/changes") as (_, _, changes):
            poll = asyncio.create_task(server.asking("GET", "/instances/x", headers={"prefer": "wait=60"}))
            assert await stream.state() == "Running"
            await until_one_waits(server, 3)
            await server.app.drain()
            assert (await asyncio.wait_for(poll, SOON)).status == 202
            assert await stream.event() is None
            await asyncio.wait_for(asyncio.gather(task, changes), SOON)

    asyncio.run(ask())
    assert nothing_is_left(server)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_caller_that_hangs_up_waits_no_more(server: Any, method: str) -> None:
    server.bring("Completed", "x")
    server.bring("Running", "y")

    async def ask() -> None:
        hangs_up, stream = asyncio.Event(), Stream()
        path = "/instances/y" if method == "GET" else "/orchestrators/waits"
        scope, receive = server.request(method, path, headers={"prefer": "wait=60"}, body=b"1", hangs_up=hangs_up)
        poll = asyncio.create_task(server.app(scope, receive, stream.send))
        await until_one_waits(server)
        hangs_up.set()
        await asyncio.wait_for(poll, SOON)
        assert stream.head["status"] == 202

    asyncio.run(ask())
    assert nothing_is_left(server)


class TestWhatOpensNothingAnyMore:
    """Keys that were replaced and links that have expired, while somebody waits with them."""

    @staticmethod
    def link(server: Any, **facts: Any) -> str:
        url = server.app.links.management("x", verbs=["status", "restart"], **facts)["statusQueryGetUri"]
        return str(url).partition(BASE_PATH)[2]

    def test_new_keys_answer_a_long_poll(self, server: Any) -> None:
        server.bring("Running", "x")

        async def ask() -> None:
            headers = {"prefer": "wait=60"}
            by_link = asyncio.create_task(server.asking("GET", self.link(server), headers=headers, key=False))
            by_key = asyncio.create_task(server.asking("GET", "/instances/x", headers=headers, key=server.keys.system))
            await until_one_waits(server, 2)
            server.keys.rotate()
            server.app.changes.wake()
            for poll in (by_link, by_key):
                answer = await asyncio.wait_for(poll, SOON)
                assert (answer.status, b"Running" in answer.body) == (401, False)

        asyncio.run(ask())
        assert nothing_is_left(server)

    def test_new_keys_end_a_stream_before_it_says_more(self, server: Any) -> None:
        server.bring("Running", "x")

        async def follow() -> None:
            link = self.link(server)
            async with (
                following(server, link, key=False) as (by_link, _, one),
                following(server, "/instances/x") as (by_key, _, two),
                following(server, "/changes") as (changes, _, three),
            ):
                assert [await stream.state() for stream in (by_link, by_key)] == ["Running", "Running"]
                await until_one_waits(server, 3)
                server.keys.rotate()
                server.client.raise_event("x", "go", "secret")
                assert [await stream.event() for stream in (by_link, by_key, changes)] == [None, None, None]
                await asyncio.wait_for(asyncio.gather(one, two, three), SOON)

        asyncio.run(follow())
        assert nothing_is_left(server)

    def test_who_waits_without_a_key_is_not_sent_away(self, serve: Callable[..., Any]) -> None:
        server = serve(require_key=False)

        async def follow() -> None:
            async with following(server, "/changes", key=False) as (stream, _, _):
                await until_one_waits(server)
                server.keys.rotate()
                server.app.changes.wake()
                server.client.start("echo", 1, instance_id="a")
                assert (await stream.event() or {})["data"] == '["a"]'

        asyncio.run(follow())
        assert nothing_is_left(server)

    def test_an_expired_link_answers_a_long_poll(self, server: Any) -> None:
        server.bring("Running", "x")

        async def ask() -> None:
            link = self.link(server, expires_in=timedelta(seconds=1))
            poll = asyncio.create_task(server.asking("GET", link, headers={"prefer": "wait=60"}, key=False))
            await until_one_waits(server)
            server.clock.advance(timedelta(seconds=2))
            answer = await asyncio.wait_for(poll, SOON)
            assert (answer.status, answer.json()["Message"]) == (401, "this link has expired")

        asyncio.run(ask())
        assert nothing_is_left(server)

    def test_an_expired_link_ends_a_stream(self, server: Any) -> None:
        server.bring("Running", "x")

        async def follow() -> None:
            link = self.link(server, expires_in=timedelta(seconds=1))
            async with following(server, link, key=False) as (stream, _, task):
                assert await stream.state() == "Running"
                server.clock.advance(timedelta(seconds=2))
                assert await stream.event() is None
                await asyncio.wait_for(task, SOON)

        asyncio.run(follow())
        assert nothing_is_left(server)


# streams


def test_a_stream_has_each_change_and_ends_with_the_instance(server: Any) -> None:
    server.bring("Running", "x")

    async def follow() -> None:
        async with following(server, "/instances/x") as (stream, _, task):
            first = await stream.event()
            assert first is not None
            assert first["event"] == "status"
            assert first["data"].encode() == (await server.asking("GET", "/instances/x")).body
            assert dict(stream.head["headers"])[b"content-type"] == b"text/event-stream; charset=utf-8"
            server.client.suspend("x")
            second = await stream.event()
            assert second is not None
            assert json.loads(second["data"])["runtimeStatus"] == "Suspended"
            assert second["id"] != first["id"]
            server.client.resume("x")
            assert await stream.state() == "Running"
            server.client.raise_event("x", "go", "line\nbreak")
            last = await stream.event()
            assert last is not None
            assert json.loads(last["data"])["output"] == "line\nbreak"
            assert await stream.event() is None
            await asyncio.wait_for(task, SOON)

    asyncio.run(follow())
    assert nothing_is_left(server)


def test_a_stream_of_an_ended_instance_is_one_event(server: Any) -> None:
    server.bring("Completed", "x")
    answer = server.ask("GET", "/instances/x", headers=SSE)
    assert answer.status == 200
    assert answer.body.count(b"event: status") == 1
    assert nothing_is_left(server)


@pytest.mark.parametrize("path", ["/instances/x", "/instances/x?showInput=false"])
def test_a_browser_that_has_heard_of_the_end_and_comes_back_is_told_to_stay_away(server: Any, path: str) -> None:
    server.bring("Completed", "x")
    seen = server.ask("GET", path).headers["etag"].strip('"')
    answer = server.ask("GET", path, headers={**SSE, "last-event-id": seen})
    assert (answer.status, answer.body) == (204, b"")


def test_a_browser_that_missed_the_end_is_told_of_it_when_it_comes_back(server: Any) -> None:
    server.bring("Running", "x")
    seen = server.ask("GET", "/instances/x").headers["etag"].strip('"')
    server.client.terminate("x", "enough")
    answer = server.ask("GET", "/instances/x", headers={**SSE, "last-event-id": seen})
    assert answer.status == 200
    assert answer.body.count(b"event: status") == 1
    assert b'"runtimeStatus":"Terminated"' in answer.body
    assert nothing_is_left(server)


def test_a_stream_goes_on_behind_the_last_event_that_was_seen(server: Any) -> None:
    server.bring("Running", "x")

    async def follow() -> None:
        async with following(server, "/instances/x") as (stream, _, _):
            seen = await stream.event()
        assert seen is not None
        async with following(server, "/instances/x", headers={**SSE, "last-event-id": seen["id"]}) as (stream, _, _):
            await until_one_waits(server)
            server.client.suspend("x")
            assert await stream.state() == "Suspended"

    asyncio.run(follow())
    assert nothing_is_left(server)


def test_a_stream_of_nothing_is_a_404(server: Any) -> None:
    answer = server.ask("GET", "/instances/x", headers=SSE)
    assert (answer.status, answer.body) == (404, b"")


def test_a_purge_in_mid_stream_is_told(server: Any) -> None:
    server.bring("Running", "x")

    async def follow() -> None:
        async with following(server, "/instances/x") as (stream, _, _):
            assert await stream.state() == "Running"
            await asyncio.to_thread(server.client.purge, "x", force=True)
            events = []
            while (event := await stream.event()) is not None:
                events.append(event["event"])
            assert events in (["purged"], ["status"])  # the pause between two events may hide the short end before it

    asyncio.run(follow())
    assert nothing_is_left(server)


def test_a_hub_that_is_closed_in_mid_stream_purges_nothing(server: Any) -> None:
    server.bring("Running", "x")

    async def follow() -> None:
        async with following(server, "/instances/x") as (stream, _, task):
            assert await stream.state() == "Running"
            await asyncio.to_thread(server.hub.close)
            await server.app.drain()
            assert await stream.event() is None
            await asyncio.wait_for(task, SOON)

    asyncio.run(follow())


@pytest.mark.parametrize("path", ["/instances/x", "/changes"])
def test_a_follower_that_hangs_up_leaves_nothing(server: Any, path: str) -> None:
    server.bring("Running", "x")

    async def follow() -> None:
        async with following(server, path) as (_, hangs_up, task):
            await until_one_waits(server)
            hangs_up.set()
            await asyncio.wait_for(task, SOON)

    asyncio.run(follow())
    assert nothing_is_left(server)


def test_one_follower_too_many_is_asked_to_come_later(serve: Callable[..., Any]) -> None:
    server = serve(max_followers=2)
    server.bring("Running", "x")

    async def follow() -> None:
        async with following(server, "/instances/x") as (stream, _, _), following(server, "/changes"):
            assert await stream.state() == "Running"
            await until_one_waits(server, 2)
            for path, headers in (("/instances/x", SSE), ("/changes", SSE), ("/instances/x", {"prefer": "wait=5"})):
                answer = await server.asking("GET", path, headers=headers)
                assert (answer.status, answer.headers["retry-after"]) == (503, "5")
            assert (await server.asking("GET", "/instances/x")).status == 202
        answer = await server.asking("GET", "/instances/x", headers={"prefer": "wait=0"})
        assert answer.status == 202

    asyncio.run(follow())
    assert nothing_is_left(server)


def test_changes_name_the_instances_that_changed(server: Any) -> None:
    async def follow() -> None:
        async with following(server, "/changes") as (stream, _, _):
            await until_one_waits(server)
            server.client.start("echo", 1, instance_id="a")
            event = await stream.event()
            assert event is not None
            assert (event["event"], json.loads(event["data"])) == ("changes", ["a"])

    asyncio.run(follow())
    assert nothing_is_left(server)


def test_a_thousand_followers_of_one_instance_are_all_told(server: Any) -> None:
    server.bring("Running", "x")

    async def follow() -> None:
        polls = [asyncio.create_task(server.asking("GET", "/instances/x", headers={"prefer": "wait=60"})) for _ in range(1000)]
        await until_one_waits(server, 1000)
        server.client.raise_event("x", "go", 7)
        answers = await asyncio.wait_for(asyncio.gather(*polls), 60)
        assert {answer.body for answer in answers} == {answers[0].body}

    asyncio.run(follow())
    assert nothing_is_left(server)
