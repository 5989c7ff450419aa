"""One request over the wire: what is put in, what is told, and what becomes of errors."""

from __future__ import annotations

import asyncio
import gzip
import math
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import httpx
import pytest

from dfnb.durable_http import sending
from dfnb.durable_http.calls import CallWork, begin_call, read_answer
from dfnb.durable_http.messages import Answer
from dfnb.durable_http.retry_after import Pace
from dfnb.durable_http.secrets import Secret
from dfnb.durable_http.sending import HostGate, Sender, Sent, make_client, waits_asked
from dfnb.durable_http.tokens import Tokens
from dfnb.records.http import DurableHttpRequest
from dfnb.testing import AsyncApi, FakeClock, Generated, Reply, Slow

T = TypeVar("T")
Send = Callable[..., Sent]


def work_of(method: str, uri: Any, clock: FakeClock, **parts: Any) -> CallWork:
    text = DurableHttpRequest(method, uri, **parts).encode(clock.now())
    return begin_call(text, instance_id="run", generation=0, task=1, now=clock.now(), pace=Pace())


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def api(clock: FakeClock) -> Any:
    with AsyncApi(clock) as api:
        yield api


def sender_of(clock: FakeClock, factory: Any, **options: Any) -> Sender:
    given = {"clients": {"": factory}, "tokens": Tokens(), "public_only": False, "longest": 1_000_000, **options}
    return Sender(clock.now, **given)


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    return asyncio.run(work())


@pytest.fixture
def send(api: AsyncApi, clock: FakeClock) -> Send:
    def send(method: str, uri: Any, factory: Any = None, *, longest: int = 1_000_000, **parts: Any) -> Sent:
        async def once() -> Sent:
            sender = sender_of(clock, factory or api.transport, longest=longest)
            try:
                return await sender.send(work_of(method, uri, clock, **parts))
            finally:
                await sender.close()

        return run(once)

    return send


def test_what_was_sent_and_what_came_are_told(api: AsyncApi, send: Send, clock: FakeClock) -> None:
    api.site("/x", 201, "made", headers=[("X-A", "1"), ("X-A", "2")])
    sent = send("POST", f"{api.url}/x", content={"a": 1}, headers={"X-B": "b"})
    assert (sent.answer.status, sent.answer.body, sent.kind, sent.waits_for, sent.sent_at) == (201, b"made", "", "", clock.now())
    assert [value for name, value in sent.answer.headers if name == "X-A"] == ["1", "2"]
    assert (sent.url, sent.request_body) == (f"{api.url}/x", b'{"a": 1}')
    assert ("X-B", "b") in sent.request_headers


def test_values_are_sent_and_names_are_told(api: AsyncApi, send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEND_KEY", 'geheim "1"/&')
    api.site("/x", body=lambda request: Reply(200, [("X-Url", request.url)], request.body))
    key = Secret.env("SEND_KEY")
    sent = send("POST", f"{api.url}/x?k=" + key, content={"k": key}, headers={"X-Key": "Key " + key})
    (request,) = api.requests
    value = 'geheim "1"/&'
    assert (request.json(), request.query["k"], request.header("X-Key")) == ({"k": value}, value, f"Key {value}")
    assert "geheim" not in repr((sent.url, sent.request_headers, sent.request_body, sent.answer))
    assert "<secret: SEND_KEY>" in sent.url
    assert b"<secret: SEND_KEY>" in sent.request_body


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ConnectError("refused"), "connection"), (httpx.ReadTimeout("slow"), "timeout"),
        (httpx.RemoteProtocolError("gone"), "connection"), (OSError("no route"), "connection"),
        (httpx.DecodingError("bad gzip"), "connection"), (ZeroDivisionError("a user's transport"), "connection"),
    ],
)  # fmt: skip
def test_errors_are_told_with_their_kind(send: Send, api: AsyncApi, error: Exception, kind: str) -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        raise error

    sent = send("GET", f"{api.url}/x", lambda: httpx.MockTransport(broken))
    assert (sent.kind, sent.answer.status) == (kind, 0)
    assert str(error) in (sent.answer.error or "")


def test_an_exchange_ends_at_its_timeout_or_at_the_deadline(send: Send, api: AsyncApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_LAST_LOOK", 0.02)
    api.site("/slow")
    api.always("/slow", Slow(math.inf))
    late = send("GET", f"{api.url}/slow", timeout=0.02)
    assert (late.kind, late.answer.error) == ("timeout", "no answer within 0.02 s")
    for deadline in (0.02, 1e-6):
        ended = send("GET", f"{api.url}/slow", deadline=deadline, timeout=60)
        assert (ended.kind, ended.answer.error) == ("deadline", "no answer came before the deadline")


def test_an_answer_that_is_too_large_is_not_read_to_its_end(send: Send, api: AsyncApi) -> None:
    api.site("/big", body=Generated(5_000_000))
    sent = send("GET", f"{api.url}/big", longest=2_000_000)
    assert sent.kind == "connection"
    assert "larger than 2 MB" in (sent.answer.error or "")
    assert len(send("GET", f"{api.url}/big", longest=5_000_000).answer.body) == 5_000_000


@pytest.mark.parametrize(
    ("given", "own", "asked"),
    [
        ({}, {}, "gzip, deflate"), ({"Accept-Encoding": "gzip, deflate, br, zstd"}, {}, "gzip, deflate"),
        ({"Accept-Encoding": "identity"}, {}, "identity"), ({"Accept-Encoding": "br"}, {"accept-encoding": "zstd"}, "zstd"),
    ],
    ids=["usual", "all that httpx knows", "client's", "call's"],
)  # fmt: skip
def test_only_what_can_be_unpacked_in_steps_is_asked_for_unless_the_call_asks_itself(
    send: Send, given: dict[str, str], own: dict[str, str], asked: str
) -> None:
    seen: list[str] = []

    def there(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["Accept-Encoding"])
        return httpx.Response(200, headers={"Content-Encoding": "of-its-own"}, stream=httpx.ByteStream(b"as it came"))

    client = httpx.AsyncClient(headers=given, transport=httpx.MockTransport(there))
    sent = send("GET", "https://a.example", lambda: client, headers=own)
    assert (seen, sent.answer.body) == ([asked], b"as it came")


def test_an_answer_that_unpacks_to_too_much_is_a_failed_request(send: Send, api: AsyncApi) -> None:
    packed = gzip.compress(b"1" * 3_000_000)
    api.site("/once", headers=[("Content-Encoding", "gzip")], body=packed)
    api.site("/twice", headers=[("Content-Encoding", "gzip, gzip")], body=gzip.compress(packed))
    once, twice = send("GET", f"{api.url}/once"), send("GET", f"{api.url}/twice")
    assert (once.kind, twice.kind) == ("connection", "connection")
    assert "larger than 1 MB" in (once.answer.error or "")
    assert "packed more than once (gzip, gzip)" in (twice.answer.error or "")
    assert len(send("GET", f"{api.url}/once", longest=3_000_000).answer.body) == 3_000_000


def test_a_secret_in_the_name_of_a_host_is_not_in_the_error(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEND_HOST", "Own-Tenant-77")

    def there(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(f"cannot connect to {request.url.host}", request=request)

    sent = send("GET", "https://" + Secret.env("SEND_HOST") + ".example/x", lambda: httpx.MockTransport(there))
    assert "own-tenant-77" not in repr(sent).lower()
    assert "<secret: SEND_HOST>.example" in (sent.answer.error or "")


def test_untrusted_requests_carry_no_credentials(api: AsyncApi, clock: FakeClock) -> None:
    api.site("/s")

    def own_token() -> str:
        return "tok-1"

    async def both() -> Sent:
        sender = sender_of(clock, api.transport)
        work = work_of("POST", f"{api.url}/work", clock, headers={"X-Key": "k"}, token_source=own_token)
        outcome = read_answer(
            work, Answer(202, (("Location", "https://elsewhere.example/s"),), url=f"{api.url}/work", at=clock.now()), task=1
        )
        sent = await sender.send(outcome.work)  # type: ignore[union-attr]
        await sender.close()
        return sent

    sent = run(both)
    (request,) = api.requests
    assert request.origin == "https://elsewhere.example"
    assert (request.header("Authorization"), request.header("X-Key")) == (None, None)
    assert "Authorization" not in dict(sent.request_headers)


def test_a_token_takes_the_place_of_another_authorization(api: AsyncApi, send: Send) -> None:
    api.site("/x")

    def own_token() -> str:
        return "tok-77193"

    sent = send("GET", f"{api.url}/x", headers={"authorization": "Basic eA=="}, token_source=own_token)
    assert api.requests[0].header("Authorization") == "Bearer tok-77193"
    assert "tok-77193" not in repr(sent)
    assert dict(sent.request_headers)["Authorization"].startswith("Bearer <token")


# ---- clients


def test_a_factory_gives_a_client_or_a_transport() -> None:
    async def close(*clients: httpx.AsyncClient) -> None:
        for client in clients:
            await client.aclose()

    own = httpx.AsyncClient(verify=False)
    assert make_client(lambda: own) is own
    made = make_client(lambda: httpx.MockTransport(lambda request: httpx.Response(200)))
    assert (made.follow_redirects, made.timeout.read) == (False, None)
    asyncio.run(close(own, made))
    with pytest.raises(TypeError, match=r"must return an httpx\.AsyncClient or an async transport, not int"):
        make_client(lambda: 3)


def test_cookies_are_not_kept_between_calls(api: AsyncApi, clock: FakeClock) -> None:
    api.site("/x", headers=[("Set-Cookie", "who=me; Path=/")])

    async def twice() -> None:
        sender = sender_of(clock, api.transport)
        for _ in range(2):
            await sender.send(work_of("GET", f"{api.url}/x", clock))
        await sender.close()

    run(twice)
    assert [request.header("Cookie") for request in api.requests] == [None, None]


# ---- hosts


def test_a_pause_is_for_the_origin_and_ends() -> None:
    gate = HostGate()
    gate.pause("https://a.example/x", 100)
    gate.pause("https://A.example:443/y", 50)
    assert gate.paused_until("https://a.example/z", 99) == 100
    assert gate.paused_until("https://b.example/z", 99) is None
    assert gate.paused_until("http://a.example/z", 99) is None
    assert gate.paused_until("https://a.example/z", 100) is None


def test_only_so_many_have_a_place_at_one_host() -> None:
    async def most() -> tuple[int, int]:
        gate, inside, seen = HostGate(2), 0, []

        async def one(host: str) -> None:
            nonlocal inside
            async with gate.place(f"https://{host}.example/"):
                inside += 1
                seen.append(inside)
                await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*(one("a") for _ in range(8)))
        same = max(seen)
        await asyncio.gather(*(one(f"h{n}") for n in range(8)))
        return same, max(seen)

    assert asyncio.run(most()) == (2, 8)


@pytest.mark.parametrize(
    ("status", "headers", "asked", "pause"),
    [
        (429, (("retry-after", "7"),), 7, 7), (503, (("Retry-After", "7"),), 7, 7), (429, (), 7, None),
        (202, (("Retry-After", "7"),), 7, None), (429, (("Retry-After", "x"),), None, None),
        (429, (("Retry-After", "9"),), 9_000, 100),
    ],
)  # fmt: skip
def test_only_a_busy_server_is_left_alone_by_all(status: int, headers: Any, asked: int | None, pause: int | None) -> None:
    assert waits_asked(Answer(status, headers), asked, 100) == pause
