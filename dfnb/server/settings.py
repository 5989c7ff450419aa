"""How a hub's server behaves."""

from __future__ import annotations

import dataclasses
import re
from datetime import timedelta
from typing import Literal
from urllib.parse import urlsplit

from dfnb.client.hosts import EVERYWHERE, LOOPBACK
from dfnb.records.short_repr import said_only

DEFAULT_PORT = 7071
_PREFIX = re.compile(r"[\w.~-]+(/[\w.~-]+)*", re.ASCII)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """What `DurableApp.serve` takes. Times are in seconds, sizes in bytes. ValueError for what cannot be meant."""

    host: str = "127.0.0.1"
    """Where to listen; anything but loopback lets other machines in."""
    port: int = DEFAULT_PORT
    """0 takes a free one."""
    public_url: str | None = None
    """What outside callers put in front of the path: a tunnel's or a proxy's address, with its path if it has one."""
    require_key: bool = True
    """False opens the API to everybody who can reach it; allowed on loopback only."""
    allowed_hosts: tuple[str, ...] = ()
    """More names that the ``Host`` header may have, besides loopback names, `host` and that of `public_url`."""
    trust_forwarded: bool = False
    """Whether ``X-Forwarded-Host``, ``-Proto`` and ``-Prefix`` are believed. Only behind a proxy that sets them itself."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call the API from a browser; none by default."""
    links: Literal["scoped", "key"] = "scoped"
    """Whether handed-out links open one instance only, or carry the hub's key as the original's do."""
    link_lifetime: timedelta | None = None
    """How long scoped links last; None: until the keys are rotated."""
    task_hub: str = "dfnb"
    """The name of the hub in links, and the only one that the parameter ``taskHub`` may have."""
    connection: str = "Storage"
    route_prefix: str = "api"
    """What is in front of the routes of HTTP triggers."""
    retry_after: int | None = None
    """What answers to status queries advise, in seconds; None: 1 to 10, by what the instance waits for."""
    max_body: int = 32 << 20
    max_depth: int = 200
    """How deeply JSON may be nested."""
    max_connections: int = 4_096
    max_followers: int = 2_048
    """How many long polls and event streams may be open at once."""
    longest_wait: float = 230.0
    """The longest a request may ask to be kept waiting."""
    head_timeout: float = 10.0
    """How long a connection may take until a request's headers are complete."""
    body_timeout: float = 60.0
    """How long the body may take."""
    answer_timeout: float = 30.0
    """How long a caller may take less than 1 KiB a second of an answer that waits for it."""
    drain_timeout: float = 3.0
    """How long requests under way are waited for when the server stops."""

    __repr__ = said_only

    def __post_init__(self) -> None:
        if not isinstance(self.port, int) or not 0 <= self.port <= 65_535:
            raise ValueError(f"port is a number from 0 (any free one) to 65535, not {self.port!r}")
        if not self.require_key and self.host not in LOOPBACK:
            raise ValueError(f"without a key only this machine may reach the server; leave host at 127.0.0.1, not {self.host}")
        if self.public_url is not None:
            _check_url(self.public_url)
        if not _PREFIX.fullmatch(self.route_prefix) and self.route_prefix:
            raise ValueError(f"route_prefix is a path such as 'api', without slashes around it, not {self.route_prefix!r}")
        if self.retry_after is not None and self.retry_after < 0:
            raise ValueError("retry_after is a number of seconds, 0 or more")

    @property
    def host_names(self) -> frozenset[str]:
        """The names, in lower case and without a port, under which the server may be called."""
        public = urlsplit(self.public_url).hostname if self.public_url else None
        named = {self.host.lower(), *(name.lower() for name in self.allowed_hosts)} - EVERYWHERE.keys()
        return frozenset({*LOOPBACK, *named, *([public] if public else [])})

    @property
    def opens(self) -> bool:
        """Whether these let in more callers than the defaults, or hand more to them."""
        more = self.allowed_hosts or self.cors_origins or self.trust_forwarded or self.public_url is not None
        return bool(more) or self.host not in LOOPBACK or not self.require_key or self.links == "key"

    @property
    def own_origin(self) -> str | None:
        """`public_url` without a slash at its end."""
        return self.public_url.rstrip("/") if self.public_url else None


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError(f"public_url is an address such as https://example.org/dfnb, without ? and #, not {url!r}")
