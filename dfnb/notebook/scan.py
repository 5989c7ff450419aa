"""Proof that no value of a secret or token is in the hub, in notebooks with their outputs, or in other files.

DuckDB compresses what it stores, so of the hub not only the bytes of its files are looked at, but every text and every blob of
every table too. What was deleted may be left behind in unused parts of the file; `%dfnb compact` rewrites it without them.
"""

from __future__ import annotations

import dataclasses
import glob
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from IPython.core.error import UsageError

from dfnb.app import DurableApp
from dfnb.durable_http.redaction import Redactor
from dfnb.durable_http.scan import Leak, Scan, leaks_in, scan_for
from dfnb.durable_http.secrets import Secret, known_secrets, resolve, secrets_in
from dfnb.durable_http.secrets import shown as without_markers
from dfnb.durable_http.tokens import SECRET_VARIABLES, kept_tokens
from dfnb.errors import SecretNotAvailableError
from dfnb.notebook import display
from dfnb.notebook.where import MEMORY, shown
from dfnb.records.http_references import rebuilt

_PIECE = 2_000_000
_MOST_ROWS = 50_000
_NOTEBOOKS = ("*.ipynb", ".ipynb_checkpoints/*.ipynb")
_COLUMNS = """SELECT table_name, column_name, bool_or(column_name = 'instance') OVER (PARTITION BY table_name),
        if(data_type = 'BLOB', 'octet_length', 'strlen')
    FROM duckdb_columns() WHERE NOT internal AND table_name IN (SELECT table_name FROM duckdb_tables() WHERE NOT internal)
    QUALIFY data_type IN ('VARCHAR', 'BLOB') ORDER BY table_name, column_index"""
_REQUESTS = "SELECT DISTINCT data FROM event WHERE kind = 50 AND data ILIKE '%secret%'"
_INSTANCE = "SELECT id FROM instance WHERE key = ?"


class LeakTable(list[Leak]):
    """Where values of secrets were found, never the values; shows as a table."""

    titles = ("secret", "written as", "place")

    def lines(self) -> list[tuple[str, ...]]:
        return [(leak.name, leak.form, leak.where if leak.at < 0 else f"{leak.where}, byte {leak.at}") for leak in self]

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(display.columns(self.titles, self.lines()))

    def _repr_html_(self) -> str:
        return display.lines_table_html(self.titles, self.lines())


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What a search found, and what it was about."""

    leaks: LeakTable
    names: tuple[str, ...]
    places: tuple[str, ...]
    doubts: tuple[str, ...] = ()
    """What the search cannot speak for, a sentence each."""

    def __str__(self) -> str:
        if not self.names:
            found = "no secret is known in this kernel: run the cells that name them, then scan again"
        else:
            whose = f"{len(self.names)} {'secret' if len(self.names) == 1 else 'secrets'} ({', '.join(self.names)})"
            number = len({leak.name for leak in self.leaks})
            found = f"LEAK: values of {number} of" if number else "no value of"
            found += f" {whose} {'were' if number else 'was'} found in {', '.join(self.places)}"
        return "\n".join([f"dfnb: {found}", *(f"  {doubt}" for doubt in self.doubts)])


def search(app: DurableApp, paths: Sequence[str] = ()) -> Report:
    """Look for every known value in the hub, and in the files and folders given, or else in the notebooks of this folder."""
    files = [_existing(path) for path in paths] or [path for pattern in _NOTEBOOKS for path in sorted(Path().glob(pattern))]
    values, unknown = known_values(app)
    if not values:
        return Report(LeakTable(), (), (), unknown)
    own = _hub_files(app.path)
    scan = scan_for(values, [*own, *files])
    rows = _Rows(app, values)
    leaks = LeakTable([*rows.leaks(), *scan.leaks])
    hub = f"the hub {shown(app.path)} ({rows.texts:,} texts in {rows.columns} columns"
    places = [f"{hub}, {len(own)} {_files(len(own))} as bytes)" if own else f"{hub})", *_told(files, bool(paths))]
    return Report(leaks, tuple(values), tuple(places), (*unknown, *_doubts(scan, own)))


def _existing(path: str) -> Path:
    if not Path(path).expanduser().exists():
        raise UsageError(f"there is no file or folder {path}")
    return Path(path).expanduser()


def _hub_files(path: str) -> list[Path]:
    """The hub's file, its write-ahead log, and whatever else lies beside it under its name."""
    return [] if path == MEMORY else sorted(map(Path, glob.glob(glob.escape(path) + "*")))


def _told(files: Sequence[Path], given: bool) -> list[str]:
    if given:
        return [shown(str(path)) for path in files]
    return [f"{len(files)} {'notebook' if len(files) == 1 else 'notebooks'} of this folder as last saved"] if files else []


def _files(number: int) -> str:
    return "file" if number == 1 else "files"


def _doubts(scan: Scan, own: Iterable[Path]) -> Iterator[str]:
    ours = {path.resolve() for path in own}
    for path in scan.unproven:
        if Path(path).resolve() not in ours:
            yield f"{shown(path)} keeps its texts compressed: open it with `%dfnb open` and scan again"
    for sentence in scan.unread:
        yield f"could not be read: {sentence}"
    if scan.too_short:
        yield f"too short to be looked for: {', '.join(scan.too_short)}"


# ---- which values


class _Values(Redactor):
    """Is told values as a redactor is, and keeps them by name."""

    __slots__ = ("by_name",)

    def __init__(self) -> None:
        super().__init__()
        self.by_name: dict[str, str] = {}

    def add(self, value: str, shown: str) -> None:
        if not value or without_markers(value) != value or value in self.by_name.values():
            return  # a reference is not a value
        name, number = shown.strip("<>").removeprefix("secret: "), 2
        while name in self.by_name:
            name, number = f"{name.partition(' #')[0]} #{number}", number + 1
        self.by_name[name] = value


def known_values(app: DurableApp) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """The values of all secrets and tokens that this process or the hub knows of, by name; and why others are unknown."""
    found, unknown = _Values(), []
    for secret in dict.fromkeys([*known_secrets(), *_recorded_secrets(app)]):
        try:
            resolve(secret, found)
        except SecretNotAvailableError as error:
            unknown.append(f"not looked for: {error}")
    for token in kept_tokens():
        found.add(token.value, token.shown)
    for name in SECRET_VARIABLES:
        found.add(os.environ.get(name, ""), f"<secret: {name}>")
    return found.by_name, tuple(unknown)


def _recorded_secrets(app: DurableApp) -> Iterator[Secret]:
    """Those that calls of this hub name, the cells of which may not have run since the kernel was started."""
    for (request,) in app.sql(_REQUESTS).fetchall():
        yield from (secret for secret in secrets_in(rebuilt(request)) if secret.proven)


# ---- in the hub


class _Row(NamedTuple):
    value: str | bytes
    instance: int | None


class _Column(NamedTuple):
    table: str
    name: str
    of_instance: bool
    measure: str
    """The function that tells how many bytes a value has."""

    def __str__(self) -> str:
        return f"table {self.table}, column {self.name}"


class _Rows:
    """Every text and blob in the tables of a hub."""

    def __init__(self, app: DurableApp, values: Mapping[str, str]) -> None:
        self._app = app
        self._values = values
        self.columns = 0
        self.texts = 0

    def leaks(self) -> Iterator[Leak]:
        """The first place of each value in each column."""
        for column in map(_Column._make, self._app.sql(_COLUMNS).fetchall()):
            self.columns += 1
            yield from self._column_leaks(column)

    def _column_leaks(self, column: _Column) -> Iterator[Leak]:
        seen: set[tuple[str, str]] = set()
        for piece in self._pieces(column):
            for leak in leaks_in(_joined(piece), self._values):
                if (leak.name, leak.form) not in seen:
                    seen.add((leak.name, leak.form))
                    yield Leak(leak.name, leak.form, f"hub, {column}{self._whose(piece, leak)}", -1)

    def _pieces(self, column: _Column) -> Iterator[list[_Row]]:
        """The rows, about two million bytes at once."""
        sizes = f'SELECT max(rowid), avg({column.measure}("{column.name}")) FROM "{column.table}"'
        ((last, average),) = self._app.sql(sizes).fetchall()
        step = max(1, min(_MOST_ROWS, int(_PIECE / max(1, average or 1))))
        shown_columns = f'"{column.name}", {"instance" if column.of_instance else "NULL"}'
        query = f'SELECT {shown_columns} FROM "{column.table}" WHERE "{column.name}" IS NOT NULL AND rowid BETWEEN ? AND ?'
        for first in range(0, (-1 if last is None else last) + 1, step):
            rows = self._app.sql(query, [first, first + step - 1]).fetchall()
            self.texts += len(rows)
            if rows:
                yield list(map(_Row._make, rows))

    def _whose(self, piece: Iterable[_Row], leak: Leak) -> str:
        """Which instance's row it is, if the rows are of instances."""
        values = {leak.name: self._values[leak.name]}
        key = next((row.instance for row in piece if any(one.form == leak.form for one in leaks_in(row.value, values))), None)
        found = self._app.sql(_INSTANCE, [key]).fetchall() if key is not None else []
        return f", instance {found[0][0]}" if found else ""


def _joined(piece: Sequence[_Row]) -> str | bytes:
    texts = [row.value for row in piece]
    if isinstance(texts[0], str):
        return "\n".join(map(str, texts))
    return b"\n".join(text for text in texts if isinstance(text, bytes))
