"""A fake API on a clock that is moved by hand, and a call that is followed to its end by the real polling core."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from dfnb.durable_http.description import Poll
from dfnb.durable_http.messages import Answer, Request
from dfnb.durable_http.polling import Finished, advance, begin
from dfnb.testing import AsyncApi, FakeClock

Follow = Callable[..., Finished]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def api(clock: FakeClock) -> Iterator[AsyncApi]:
    with AsyncApi(clock) as api:
        yield api


@pytest.fixture
def client(api: AsyncApi) -> Iterator[httpx.Client]:
    with httpx.Client(transport=api.transport(), base_url=api.url) as client:
        yield client


@pytest.fixture
def served(api: AsyncApi) -> Iterator[httpx.Client]:
    """The same through a real socket."""
    with api.serve() as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture
def follow(api: AsyncApi, clock: FakeClock, client: httpx.Client) -> Follow:
    """Send, read, wait by moving the clock, send again, until the polling core says that it is over."""

    def send(request: Request) -> Answer:
        try:
            response = client.request(request.method, request.url, headers=list(request.headers), content=request.body)
        except httpx.TransportError as problem:
            return Answer(0, url=request.url, at=clock.now(), error=str(problem))
        headers = tuple((name.decode(), value.decode()) for name, value in response.headers.raw)
        return Answer(response.status_code, headers, response.content, str(response.url), clock.now())

    def follow(method: str, url: str, poll: str | Poll | None = "auto", headers: dict[str, str] | None = None) -> Finished:
        given = tuple((headers or {}).items())
        state = begin(Request(method, url if "://" in url else api.url + url, given, b"{}"), poll, now=clock.now())
        for _ in range(1000):
            step = advance(state, send(state.request))
            if isinstance(step, Finished):
                return step
            clock.advance(max(0, step.at - clock.now()) / 1e6)
            state = step.state
        raise AssertionError(f"no end in sight: {state}")

    return follow
