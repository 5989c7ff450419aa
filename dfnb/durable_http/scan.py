"""Proof that no secret's value is in a text, in a file, in a notebook with its outputs.

DuckDB compresses what it stores, so not to find a value in the bytes of its file proves nothing: such files are listed in
`Scan.unproven`, and the caller gives the rows as `texts`.
"""

from __future__ import annotations

import gzip
import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import AnyStr, Protocol

from dfnb.durable_http.redaction import SHORT, base64_cores, encodings, shapes

_CHUNK = 1 << 20
_DUCKDB = b"DUCK"  # at byte 8


@dataclass(frozen=True, slots=True)
class Leak:
    """A secret's value was found: whose, how it was written and where. Never the value."""

    name: str
    form: str
    where: str
    at: int

    def __str__(self) -> str:
        return f"{self.where}: the value of {self.name} ({self.form}) at {self.at}"


@dataclass(frozen=True, slots=True)
class Scan:
    """What was found, and what the search cannot speak for."""

    leaks: tuple[Leak, ...] = ()
    unproven: tuple[str, ...] = ()  # files that keep text compressed: their rows must be given too
    unread: tuple[str, ...] = ()  # files that could not be read, and why
    too_short: tuple[str, ...] = ()  # secrets of less than four characters, which are everywhere

    @property
    def clean(self) -> bool:
        """Whether nothing was found in all that could be read."""
        return not self.leaks and not self.unread


def leaks_in(data: str | bytes, values: Mapping[str, str], where: str = "text") -> tuple[Leak, ...]:
    """The first place of each value, by its name, in each way it is written there (plain, url, json, html, base64)."""
    if isinstance(data, str):
        return _found(data, _text_needles(values), where, 0)
    return _found(data, _byte_needles(values), where, 0)


def scan_for(
    values: Mapping[str, str], paths: Iterable[str | os.PathLike[str]], texts: Iterable[tuple[str, str | bytes | None]] = ()
) -> Scan:
    """Look for values (by name) in files, in folders of files, and in texts (each with a word on where it is from)."""
    needles = _byte_needles(values)
    leaks: dict[tuple[str, str, str], Leak] = {}
    unproven, unread = [], []
    for path in _files(paths):
        try:
            found = list(_scan_file(path, needles))
            if _is_duckdb(path):
                unproven.append(str(path))
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
            unread.append(f"{path}: {type(error).__name__}: {error}")
            continue
        leaks.update({(leak.name, leak.form, leak.where): leak for leak in found})
    for where, text in texts:
        if text is not None:
            leaks.update({(leak.name, leak.form, where): leak for leak in leaks_in(text, values, where)})
    short = tuple(name for name, value in values.items() if 0 < len(value) < SHORT)
    return Scan(tuple(leaks.values()), tuple(unproven), tuple(unread), short)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _text_needles(values: Mapping[str, str]) -> list[tuple[str, str, str]]:
    needles: dict[tuple[str, str], str] = {}
    for name, value in values.items():
        if len(value) < SHORT:
            continue
        for shape in shapes(value):
            needles.setdefault((name, shape.text), shape.form)
        for core in base64_cores(value):
            needles.setdefault((name, core), "base64")
    return [(name, form, text) for (name, text), form in needles.items()]


def _byte_needles(values: Mapping[str, str]) -> list[tuple[str, str, bytes]]:
    texts = _text_needles(values)
    narrow = [(name, form, raw) for name, form, text in texts for raw in encodings(text)]
    wide = [(name, form, text.encode("utf-16-le", "surrogatepass")) for name, form, text in texts]
    return narrow + wide


def _found(data: AnyStr, needles: list[tuple[str, str, AnyStr]], where: str, offset: int) -> tuple[Leak, ...]:
    leaks: dict[tuple[str, str], Leak] = {}
    for name, form, needle in needles:
        at = data.find(needle)
        if at >= 0:
            leaks.setdefault((name, form), Leak(name, form, where, offset + at))
    return tuple(leaks.values())


def _files(paths: Iterable[str | os.PathLike[str]]) -> Iterator[Path]:
    for path in map(Path, paths):
        yield from sorted(inner for inner in path.rglob("*") if inner.is_file()) if path.is_dir() else [path]


def _is_duckdb(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(12)[8:] == _DUCKDB


def _scan_file(path: Path, needles: list[tuple[str, str, bytes]]) -> Iterator[Leak]:
    """The bytes as they are, and what is packed in them."""
    with path.open("rb") as file:
        yield from _scan_stream(file, needles, str(path))
    if path.suffix == ".gz":
        with gzip.open(path) as unpacked:
            yield from _scan_stream(unpacked, needles, f"{path} (unpacked)")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as member:
                    yield from _scan_stream(member, needles, f"{path}/{name}")
    if path.suffix == ".ipynb":
        yield from _found(_notebook_text(path), needles, f"{path} (as text)", 0)


def _scan_stream(file: _Readable, needles: list[tuple[str, str, bytes]], where: str) -> Iterator[Leak]:
    """Piece by piece, each with the end of the one before, so that a value on the seam is found."""
    overlap = max((len(needle) for _, _, needle in needles), default=1) - 1
    tail, offset = b"", 0
    while piece := file.read(_CHUNK):
        data = tail + piece
        yield from _found(data, needles, where, offset - len(tail))
        offset += len(piece)
        tail = data[-overlap:] if overlap else b""


def _notebook_text(path: Path) -> bytes:
    """Sources and outputs as they are read: the JSON file has each line of a text apart."""
    try:
        notebook = json.loads(path.read_bytes())
    except ValueError:
        return b""  # its bytes were looked at already
    return "\n".join(_texts(notebook)).encode("utf-8", "surrogatepass")


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list):
        if value and all(isinstance(item, str) for item in value):
            yield "".join(value)
        else:
            for item in value:
                yield from _texts(item)
