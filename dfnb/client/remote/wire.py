"""One request to a management API and its answer: the key goes along, and trouble on the way becomes a sentence."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from dfnb.client.hosts import LOOPBACK
from dfnb.client.remote.address import Address
from dfnb.errors import RemoteError, RemoteRefusedError, RemoteUnavailableError

if TYPE_CHECKING:
    import asyncio

    import httpx

_VERSION = "x-dfnb-version"
_KEY_HEADER = "x-functions-key"
_LONGEST_WORDS = 500
_BUSY = frozenset({408, 429, 500})
"""Also what an app says that is throttled or starting: a question may be asked again, while of a change it is not known."""
_AWAY = frozenset({502, 503, 504})
_LONGEST = 256_000_000
_LONGEST_LINE = 16_000_000
_SLOWEST = 65_536
"""Bytes a second: an answer that comes in more slowly may not take longer than the timeout."""
_SILENCE = 60.0
_OF_THE_WAY = frozenset({"content-encoding", "content-length", "transfer-encoding"})
_AT_ONCE = 16
"""How many requests are under way at once: httpx gets slow with more, and so would the server."""
JSON_TYPE = "application/json"


class Wire:
    """Sends requests from one event loop.

    `version` is that of a dfnb server, None for another app.
    """

    def __init__(self, address: Address, transport: httpx.AsyncBaseTransport | None, timeout: float) -> None:
        self.address = address
        self.version: str | None = None
        self.is_known = False
        """Whether there was an answer, so that `version` says who is there."""
        self._transport = transport
        self._timeout = timeout
        self._client: httpx.AsyncClient | None = None
        self._places: asyncio.Semaphore | None = None

    async def send(
        self, method: str, path: str, params: Mapping[str, str] | None = None, *, body: str | None = None,
        headers: Mapping[str, str] | None = None, longer: float = 0.0, with_key: bool = True,
    ) -> httpx.Response:
        """The answer, whatever its status, but for one that refuses the key or says that nobody is there.

        `longer`: how many seconds the server may take besides the usual ones.
        """
        import httpx

        typed = {"Content-Type": JSON_TYPE} if body is not None else {}
        request = self._opened().build_request(
            method, self.url(path), params={**dict(self.address.query), **(params or {})},
            content=None if body is None else body.encode(), headers={**typed, **(headers or {})},
            timeout=httpx.Timeout(self._timeout + longer, connect=min(self._timeout, 10.0), pool=None),
        )
        if not with_key:
            request.headers.pop(_KEY_HEADER, None)
        try:
            if longer:  # it will be kept waiting, which is not to keep others waiting
                response = await self._sent(request, longer)
            else:
                async with self._place():
                    response = await self._sent(request, longer)
        except httpx.DecodingError as error:
            raise RemoteError(self.address.shown, f"cannot be understood: {error}") from None
        except (httpx.HTTPError, TimeoutError) as error:
            raise self._unavailable(error) from None
        self._check(response)
        return response

    def _place(self) -> asyncio.Semaphore:
        if self._places is None:
            import asyncio

            self._places = asyncio.Semaphore(_AT_ONCE)
        return self._places

    async def _sent(self, request: httpx.Request, longer: float) -> httpx.Response:
        import httpx

        try:
            return await self._read(request, longer)
        except (httpx.RemoteProtocolError, httpx.ReadError):
            if request.method != "GET":
                raise
            return await self._read(request, longer)  # a kept connection that the server had let go: a read may be repeated

    async def _read(self, request: httpx.Request, longer: float) -> httpx.Response:
        """The answer with its body: not for ever, and not without bound."""
        import asyncio

        import httpx

        from dfnb.durable_http.unlogged import unlogged
        from dfnb.durable_http.unpacking import read_body

        end = asyncio.get_running_loop().time() + self._timeout + longer
        async with asyncio.timeout_at(end) as limit:
            with unlogged():
                response = await self._opened().send(request, stream=True)
            try:
                body = await read_body(
                    response, _LONGEST, self._too_large,
                    on_more=lambda: limit.reschedule(end + response.num_bytes_downloaded / _SLOWEST),
                )
            finally:
                await response.aclose()
        headers = [pair for pair in response.headers.multi_items() if pair[0].lower() not in _OF_THE_WAY]
        return httpx.Response(response.status_code, headers=headers, content=body, request=request)

    @asynccontextmanager
    async def stream(self, path: str) -> AsyncIterator[httpx.Response]:
        """An answer that goes on, as server-sent events do; it may be silent for a while, but not for ever."""
        import asyncio

        import httpx

        from dfnb.durable_http.unlogged import unlogged

        request = self._opened().build_request(
            "GET", self.url(path), params=dict(self.address.query), headers={"Accept": "text/event-stream"},
            timeout=httpx.Timeout(self._timeout, read=_SILENCE, pool=None),
        )
        try:
            async with asyncio.timeout(max(self._timeout, _SILENCE)):
                with unlogged():
                    response = await self._opened().send(request, stream=True)
            try:
                self._note_version(response)
                yield response
            finally:
                await response.aclose()
        except (httpx.HTTPError, TimeoutError) as error:
            raise self._unavailable(error) from None

    def lines(self, response: httpx.Response) -> AsyncIterator[str]:
        """The lines of such an answer. ValueError for what is none."""
        from dfnb.durable_http.unpacking import read_lines

        return read_lines(response, _LONGEST_LINE)

    def url(self, path: str) -> str:
        return f"{self.address.base}/{path}"

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            import httpx

            key = self.address.key
            self._client = httpx.AsyncClient(
                transport=self._transport, follow_redirects=False,
                headers={_KEY_HEADER: key} if key is not None else {},  # not in the URL: libraries write URLs into logs
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=32),
                trust_env=urlsplit(self.address.base).hostname not in LOOPBACK,
            )
        return self._client

    async def close(self) -> None:
        """Let the connections go."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    # what is wrong

    def _note_version(self, response: httpx.Response) -> None:
        self.is_known = True
        self.version = response.headers.get(_VERSION, self.version)

    def _check(self, response: httpx.Response) -> None:
        self._note_version(response)
        status = response.status_code
        if status in (401, 403):
            raise RemoteRefusedError(self.address.shown, self.words(response), has_key=self.address.key is not None)
        if status in _AWAY or (status in _BUSY and response.request.method == "GET"):
            said = self.words(response)
            problem = f"it answers {status}{f': {said}' if said else ''}"
            raise RemoteUnavailableError(self.address.shown, problem, retry_after(response), has_answered=True)
        if 300 <= status < 400 and status != 304:
            place = urlsplit(response.headers.get("Location", ""))
            where = f"{place.scheme}://{place.netloc}" if place.netloc else "another address"
            raise RemoteError(self.address.shown, f"sends its callers on to {where}; connect to that one")

    def _unavailable(self, error: Exception) -> RemoteUnavailableError:
        import httpx

        late = isinstance(error, httpx.TimeoutException | TimeoutError)
        said = f"no answer within {self._timeout:g} s" if late else str(error) or type(error).__name__
        return RemoteUnavailableError(self.address.shown, self._without_key(said))

    def _too_large(self) -> RemoteError:
        said = f"answers with more than {_LONGEST // 1_000_000} MB, and the rest was not read; ask for less at a time"
        return RemoteError(self.address.shown, said)

    def strange(self, what: str) -> RemoteError:
        """The error for an answer in a form of its own."""
        return RemoteError(self.address.shown, f"answers with something that a Durable Functions app does not say: {what}")

    def failed(self, response: httpx.Response) -> RemoteError:
        """The error for an answer that means nothing more special."""
        said = self.words(response)
        return RemoteError(self.address.shown, f"answers {response.status_code}{f': {said}' if said else ''}")

    def words(self, response: httpx.Response) -> str:
        """What the server says of an error, without the key; empty when it says nothing."""
        try:
            told = response.json()
        except (ValueError, RecursionError):
            is_text = response.headers.get("content-type", "").startswith("text/plain")
            told = response.text if is_text else ""
        if isinstance(told, dict):
            told = told.get("ExceptionMessage") or told.get("Message") or ""
        text = told if isinstance(told, str) else ""
        return self._without_key(text.strip())[:_LONGEST_WORDS]

    def _without_key(self, text: str) -> str:
        key = self.address.key
        return text.replace(key, "<redacted>").replace(quote(key, safe=""), "<redacted>") if key else text

    def json(self, response: httpx.Response) -> Any:
        """The JSON of an answer. RemoteError if it is none, as with a page of some other site."""
        try:
            return json.loads(response.content)
        except RecursionError:
            raise self.strange("JSON that is nested too deeply") from None
        except ValueError:
            raise RemoteError(
                self.address.shown, f"answers {response.status_code} with something that is not JSON; is this the right address?"
            ) from None


def retry_after(response: httpx.Response) -> float | None:
    """How many seconds the server asks to be left alone; None when it does not say."""
    from dfnb.durable_http.retry_after import read

    asked = read(response.headers.get_list("Retry-After"), response.headers.get("Date"), time.time_ns() // 1_000)
    return None if asked.seconds is None else max(0.0, asked.seconds)
