"""The body of an answer, read with an end in sight: a kilobyte may unpack to gigabytes, so it is unpacked in small steps."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable, Iterator

import httpx

ACCEPTED = "gzip, deflate"
"""What may be asked for. Another coding stays as it came."""
_STEP = 1 << 18
_GZIP = zlib.MAX_WBITS | 16


async def read_body(
    response: httpx.Response, longest: int, too_large: Callable[[], Exception], *, on_more: Callable[[], None] = lambda: None
) -> bytes:
    """The unpacked body, read to its end. Raises what `too_large` makes if it is longer; httpx's errors, such as DecodingError.

    `on_more` is called whenever a piece has come.
    """
    is_read = response.is_stream_consumed  # by the transport or a hook of the user's
    unpack = _Plain() if is_read else _unpacker(response)
    parts: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes() if is_read else response.aiter_raw():
        on_more()
        for part in unpack.feed(chunk):
            size += len(part)
            if size > longest:
                raise too_large()
            parts.append(part)
    return b"".join(parts)


async def read_lines(response: httpx.Response, longest: int) -> AsyncIterator[str]:
    """The lines of a text that goes on, as they come. ValueError for one that is longer; httpx's errors."""
    unpack = _unpacker(response)
    begun = b""
    async for chunk in response.aiter_raw():
        for part in unpack.feed(chunk):
            *whole, begun = (begun + part).split(b"\n")
            for line in whole:
                yield line.rstrip(b"\r").decode("utf-8", "replace")
            if len(begun) > longest:
                raise ValueError(f"a line of the answer is longer than {longest // 1_000_000} MB")


class _Plain:
    def feed(self, chunk: bytes) -> Iterator[bytes]:
        yield chunk


class _Zlib:
    """Unpacks gzip, or deflate: with zlib's header as the standard has it, or without as some servers do."""

    def __init__(self, is_gzip: bool, request: httpx.Request | None) -> None:
        self._stream = zlib.decompressobj(_GZIP) if is_gzip else None
        self._begin = b""
        self._request = request

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        if self._stream is None:
            self._begin += chunk
            if len(self._begin) < 2:
                return
            chunk = self._begin
            self._stream = zlib.decompressobj(zlib.MAX_WBITS if _has_header(chunk) else -zlib.MAX_WBITS)
        try:
            while True:
                part = self._stream.decompress(chunk, _STEP)
                chunk = self._stream.unconsumed_tail
                if part:
                    yield part
                if not chunk and len(part) < _STEP:
                    return
        except zlib.error as error:
            raise httpx.DecodingError(f"the answer cannot be unpacked: {error}", request=self._request) from error


def _has_header(begin: bytes) -> bool:
    return begin[0] & 15 == zlib.DEFLATED and int.from_bytes(begin[:2], "big") % 31 == 0


def _unpacker(response: httpx.Response) -> _Plain | _Zlib:
    codings = [one.strip().lower() for one in response.headers.get_list("content-encoding", split_commas=True)]
    codings = [one for one in codings if one not in ("", "identity")]
    if len(codings) > 1:
        said = f"the answer is packed more than once ({', '.join(codings)[:100]}), as no honest server does"
        raise httpx.DecodingError(said, request=response.request)
    return _Zlib(codings[0] == "gzip", response.request) if codings in (["gzip"], ["deflate"]) else _Plain()
