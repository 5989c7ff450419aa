"""The transport of the default HTTP client: httpx over aiohttp's connections.

httpx's own pool looks at every connection for every request; with fifty requests at once aiohttp's is five to ten times faster, and
polls come in swarms. Everything above sees httpx alone, and a client of the user's own brings its own transport.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import aiohttp
import httpx
from yarl import URL

_OURS = ("User-Agent", "Content-Type", "Accept", "Accept-Encoding")
"""Headers that httpx has set, or has left out on purpose."""


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends what it is given, to the letter: no cookies, no redirects, no other URL, no other headers.

    A GET that meets a kept connection which the server has just closed is sent again on a new one, as browsers do.
    """

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, its body still to be read. Raises httpx's errors."""
        session = self._session = self._session or _session()
        name = request.extensions.get("sni_hostname")
        with _errors_of_httpx(request):
            response = await session.request(
                request.method,
                URL(str(request.url), encoded=True),  # signed URLs are good for one spelling only
                headers=request.headers.multi_items(),
                data=await request.aread() or None,
                allow_redirects=False,
                timeout=_timeout(request),
                server_hostname=name if isinstance(name, str) else None,
            )
        return httpx.Response(response.status, headers=response.raw_headers, stream=_Body(response, request), request=request)

    async def aclose(self) -> None:
        """Let the connections go."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=httpx.create_ssl_context()),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=_OURS,
        auto_decompress=False,
        trust_env=True,
        max_line_size=65_536,
        max_field_size=65_536,
    )


def _timeout(request: httpx.Request) -> aiohttp.ClientTimeout:
    wanted = request.extensions.get("timeout", {})
    return aiohttp.ClientTimeout(total=None, sock_connect=wanted.get("connect"), sock_read=wanted.get("read"))


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse, request: httpx.Request) -> None:
        self._response = response
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _errors_of_httpx(self._request):
            async for chunk in self._response.content.iter_any():
                yield chunk

    async def aclose(self) -> None:
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()  # what is left of it would come before the next answer


@contextmanager
def _errors_of_httpx(request: httpx.Request) -> Iterator[None]:
    try:
        yield
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
        raise httpx.UnsupportedProtocol(str(error), request=request) from error
    except aiohttp.ConnectionTimeoutError as error:
        raise httpx.ConnectTimeout(str(error), request=request) from error
    except aiohttp.ServerTimeoutError as error:
        raise httpx.ReadTimeout(str(error), request=request) from error
    except aiohttp.ClientConnectorError as error:
        raise httpx.ConnectError(str(error), request=request) from error
    except aiohttp.ClientPayloadError as error:
        raise httpx.ReadError(f"the answer broke off: {error}", request=request) from error
    except (aiohttp.ClientConnectionError, ConnectionError) as error:
        raise httpx.ReadError(str(error) or "the server closed the connection", request=request) from error
    except aiohttp.ClientError as error:
        raise httpx.RemoteProtocolError(f"{type(error).__name__}: {error}", request=request) from error
