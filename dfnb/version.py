"""Which version of dfnb this is."""

from __future__ import annotations

import importlib.metadata


def package_version() -> str:
    """The version that is installed; empty when dfnb is used from its source folder."""
    try:
        return importlib.metadata.version("dfnb")
    except importlib.metadata.PackageNotFoundError:
        return ""
