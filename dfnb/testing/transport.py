"""The fake API as an httpx transport: no socket, and the errors that httpx raises for broken connections."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Protocol

import httpx

from dfnb.testing.alarms import Alarms
from dfnb.testing.wire import ReceivedRequest, Reply


class Api(Protocol):
    """What the transport asks of an API."""

    alarms: Alarms

    def receive(self, method: str, url: str, headers: tuple[tuple[str, str], ...], body: bytes) -> tuple[ReceivedRequest, Reply]:
        """The request as it was recorded, and its answer."""


class AsyncApiTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """For ``httpx.Client(transport=...)`` and ``httpx.AsyncClient(transport=...)``: every URL leads to the API.

    A client's timeout for reading is kept, by the API's clock.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer in this thread."""
        request.read()
        reply, wait = self._received(request)
        if wait:
            self._api.alarms.wait(self._api.alarms.due(wait))
        return self._response(request, reply)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer on the running asyncio loop, which is not blocked while an answer is late."""
        await request.aread()
        reply, wait = self._received(request)
        if wait:
            await self._api.alarms.sleep(self._api.alarms.due(wait))
        return self._response(request, reply)

    def _received(self, request: httpx.Request) -> tuple[Reply, float]:
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw)
        _, reply = self._api.receive(request.method, str(request.url), headers, request.content)
        return reply, min(reply.delay, _patience(request))

    @staticmethod
    def _response(request: httpx.Request, reply: Reply) -> httpx.Response:
        if reply.delay > _patience(request):
            raise httpx.ReadTimeout("The read operation timed out", request=request)
        if reply.cut is not None and reply.cut < 0:
            raise _broken(reply, request)
        headers = [(name.encode(), value.encode("latin-1", "replace")) for name, value in reply.headers]
        return httpx.Response(reply.status, headers=headers, stream=_Stream(reply, request), request=request)


class _Stream(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __init__(self, reply: Reply, request: httpx.Request) -> None:
        self._reply = reply
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        yield from self._reply.chunks()
        if self._reply.cut is not None:
            raise _broken(self._reply, self._request)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


def _patience(request: httpx.Request) -> float:
    timeouts = request.extensions.get("timeout") or {}
    read: float | None = timeouts.get("read")
    return float("inf") if read is None else read


def _broken(reply: Reply, request: httpx.Request) -> httpx.TransportError:
    if reply.reset:
        return httpx.ReadError("[Errno 104] Connection reset by peer", request=request)
    if reply.cut is not None and reply.cut >= 0:
        said = f"(received {reply.cut} bytes, expected {len(reply.body)})"
        return httpx.RemoteProtocolError(f"peer closed connection without sending complete message body {said}", request=request)
    return httpx.RemoteProtocolError("Server disconnected without sending a response.", request=request)
