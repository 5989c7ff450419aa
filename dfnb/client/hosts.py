"""Names of hosts: those that mean this machine, and how one is written in a URL."""

from __future__ import annotations

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
"""Where a server listens for all addresses of its machine, and what programs on it call then."""


def in_url(host: str) -> str:
    """A host to call, as it stands in a URL, for one to listen at."""
    called = EVERYWHERE.get(host, host)
    return f"[{called}]" if ":" in called else called
