"""Where a remote hub is: what one may give `connect`, taken apart."""

from __future__ import annotations

import dataclasses
import re
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from dfnb.client.links import BASE_PATH

_BASES = re.compile(r"/(?:runtime/webhooks/durabletask|admin/extensions/durabletaskextension|durabletask)(?=/|$)", re.IGNORECASE)
_INSTANCE = re.compile(r"/instances/(?P<id>[^/]+)", re.IGNORECASE)
_KEPT = {"taskhub": "taskHub", "connection": "connection"}
_WITHOUT_SCHEME = re.compile(r"(localhost|[\w.-]+):\d+(/.*)?", re.ASCII)


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """The base of the API, the key that opens it, and what every request's query has. `instance_id`: the one the URL was of."""

    base: str
    key: str | None = dataclasses.field(default=None, repr=False)
    query: tuple[tuple[str, str], ...] = ()
    instance_id: str | None = None

    @property
    def shown(self) -> str:
        """The address for people."""
        return self.base.removesuffix(BASE_PATH)


def is_url(text: str) -> bool:
    """Whether a text is meant as a URL, and not as a path."""
    return "://" in text or _WITHOUT_SCHEME.fullmatch(text) is not None


def read_address(text: str, key: str | None = None) -> Address:
    """The address in any URL of the API, or in that of the site. ValueError with a sentence for what is none."""
    url = text.strip()
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, has_port = parts.hostname, parts.port is not None
    except ValueError:
        parts, host, has_port = SplitResult("", "", "", "", ""), None, False
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("the address of a hub is a URL such as http://127.0.0.1:7071, or the path of its file")
    if parts.username is not None or parts.password is not None:
        raise ValueError("leave name and password out of the URL; the key is given as key=")
    if key is not None and not (isinstance(key, str) and key.isascii() and key.isprintable()):
        raise ValueError("a key is a text of printable ASCII characters")
    named = parse_qsl(parts.query)
    own = next((value for name, value in named if name.lower() == "code" and value), None)
    query = tuple((_KEPT[name.lower()], value) for name, value in named if name.lower() in _KEPT)
    netloc = f"[{host}]" if ":" in host else host
    site = f"{parts.scheme}://{netloc}{f':{parts.port}' if has_port else ''}"
    path, instance_id = _split(parts.path)
    return Address(site + path, (key or own) or None, query, instance_id)


def _split(path: str) -> tuple[str, str | None]:
    """The path of the base, and which instance the rest is of."""
    found = _BASES.search(path)
    if found is None:
        return path.rstrip("/") + BASE_PATH, None
    of = _INSTANCE.match(path, found.end())
    return path[: found.end()], unquote(of["id"]) if of is not None else None
