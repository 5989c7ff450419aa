"""Which file a notebook's hub lives in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any

DEFAULT = "dfnb.duckdb"
MEMORY = ":memory:"


def hub_path(user_ns: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> str:
    """``DFNB_HUB`` if it is set, else a file named after the notebook beside it, else ``dfnb.duckdb``."""
    chosen = environ.get("DFNB_HUB", "").strip()
    if chosen:
        return chosen if chosen == MEMORY else os.path.expanduser(chosen)
    stem = _notebook_stem(str(user_ns.get("__vsc_ipynb_file__") or environ.get("JPY_SESSION_NAME") or ""))
    return f"{stem}.duckdb" if stem else DEFAULT


def _notebook_stem(path: str) -> str:
    """The notebook's name without its ending; empty for a console or a path that names no notebook."""
    name = PureWindowsPath(path) if "\\" in path else PurePath(path)
    return name.stem if name.suffix == ".ipynb" else ""


def shown(path: str) -> str:
    """A path as short as it can be said: relative to the working folder when it lies within."""
    if path == MEMORY:
        return "in memory"
    try:
        return str(Path(path).resolve().relative_to(Path.cwd().resolve()))
    except (ValueError, OSError):  # elsewhere, or the working folder is gone
        return path
