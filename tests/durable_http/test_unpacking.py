"""The body of an answer: unpacked as httpx would, and never more of it than is wanted."""

from __future__ import annotations

import asyncio
import gzip
import random
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterable

import httpx
import pytest

from dfnb.durable_http.unpacking import read_body, read_lines

TEXT = random.Random(3).randbytes(5_000).hex().encode() + b"\0" * 2_000_000
REQUEST = httpx.Request("GET", "https://api.example/x")


class TooLargeError(Exception):
    pass


class Stream(httpx.AsyncByteStream):
    def __init__(self, parts: Iterable[bytes]) -> None:
        self.parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            yield part


def answer(parts: Iterable[bytes], coding: str = "") -> httpx.Response:
    return httpx.Response(200, headers={"Content-Encoding": coding} if coding else {}, stream=Stream(parts), request=REQUEST)


def read(response: httpx.Response, longest: int = 10_000_000) -> bytes:
    return asyncio.run(read_body(response, longest, TooLargeError))


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize("size", [1, 7, 1_000_000])
@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("", TEXT), ("identity", TEXT), ("GZIP", gzip.compress(TEXT)), ("deflate", zlib.compress(TEXT)),
        ("deflate", raw_deflate(TEXT)), ("identity, gzip", gzip.compress(TEXT)), ("of-its-own", TEXT),
    ],
    ids=["plain", "identity", "gzip", "deflate", "deflate without a header", "identity and gzip", "unknown"],
)  # fmt: skip
def test_a_body_is_what_was_packed_in_pieces_of_any_size(coding: str, packed: bytes, size: int) -> None:
    pieces = [packed[at : at + size] for at in range(0, len(packed), size)] if len(packed) < 1_000_000 or size > 1 else [packed]
    assert read(answer(pieces, coding)) == TEXT


@pytest.mark.parametrize("coding", ["gzip", "deflate", ""])
def test_an_empty_body_is_empty(coding: str) -> None:
    assert read(answer([], coding)) == b""


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_what_cannot_be_unpacked_is_an_error_of_httpx(coding: str) -> None:
    with pytest.raises(httpx.DecodingError, match="cannot be unpacked"):
        read(answer([b"\xff" * 100], coding))


def test_the_longest_is_allowed_and_one_more_is_not() -> None:
    assert read(answer([gzip.compress(b"x" * 500_000)], "gzip"), 500_000) == b"x" * 500_000
    with pytest.raises(TooLargeError):
        read(answer([gzip.compress(b"x" * 500_001)], "gzip"), 500_000)


def test_what_is_too_large_is_not_unpacked_to_its_end() -> None:
    bomb = gzip.compress(b"\0" * 100_000_000)
    tracemalloc.start()
    with pytest.raises(TooLargeError):
        read(answer([bomb], "gzip"), 1_000_000)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 5_000_000


@pytest.mark.parametrize("codings", [["gzip, gzip"], ["gzip", "deflate"], ["x, y, z"]], ids=lambda codings: " and ".join(codings))
def test_what_is_packed_more_than_once_is_refused_unread(codings: list[str]) -> None:
    def never() -> Iterable[bytes]:
        raise AssertionError("was read")
        yield b""

    headers = [("Content-Encoding", coding) for coding in codings]
    response = httpx.Response(200, headers=headers, stream=Stream(never()), request=REQUEST)
    with pytest.raises(httpx.DecodingError, match=r"packed more than once \(\w+, \w+"):
        read(response)


def test_what_a_transport_has_read_is_taken_as_it_is() -> None:
    async def once() -> tuple[bytes, bytes]:
        there = httpx.MockTransport(
            lambda request: httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=gzip.compress(b"text"))
        )
        async with httpx.AsyncClient(transport=there) as client:
            mocked = await client.send(REQUEST, stream=True)
            known = answer([gzip.compress(b"text")], "gzip")
            await known.aread()
            return await read_body(mocked, 100, TooLargeError), await read_body(known, 100, TooLargeError)

    assert asyncio.run(once()) == (b"text", b"text")


# ---- lines


async def lines_of(response: httpx.Response, longest: int = 100) -> list[str]:
    return [line async for line in read_lines(response, longest)]


@pytest.mark.parametrize("size", [1, 4, 100])
@pytest.mark.parametrize("coding", ["", "gzip"])
def test_lines_come_one_by_one_and_what_is_begun_is_none(coding: str, size: int) -> None:
    text = "a\r\n\nblå\nbegun".encode()
    packed = gzip.compress(text) if coding else text
    pieces = [packed[at : at + size] for at in range(0, len(packed), size)]
    assert asyncio.run(lines_of(answer(pieces, coding))) == ["a", "", "blå"]


def test_a_line_that_is_too_long_is_not_waited_for() -> None:
    with pytest.raises(ValueError, match="a line of the answer is longer"):
        asyncio.run(lines_of(answer([b"x" * 60, b"x" * 60])))


def test_each_piece_that_has_come_is_told() -> None:
    told: list[int] = []
    response = answer([b"ab", b"c"])
    asyncio.run(read_body(response, 100, TooLargeError, on_more=lambda: told.append(response.num_bytes_downloaded)))
    assert told == [2, 3]
