"""The hub's SQL files, read once."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources


@cache
def _sections() -> dict[str, str]:
    text = resources.files("dfnb.hub").joinpath("schema.sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- section: (\w+)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def schema(*sections: str) -> str:
    """The statements that make those sections of the schema; all of them without a name."""
    return "\n".join(_sections()[section] for section in sections or _sections())


@cache
def _queries() -> dict[str, str]:
    text = resources.files("dfnb.hub").joinpath("queries.sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)[1:]
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}


def query(name: str) -> str:
    """The statement of that name in `queries.sql`."""
    return _queries()[name]


def placeholders(count: int) -> str:
    return ",".join("?" * count)
