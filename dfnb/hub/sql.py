"""The hub's SQL files, read once."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources


@cache
def schema() -> str:
    return resources.files("dfnb.hub").joinpath("schema.sql").read_text(encoding="utf-8")


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
