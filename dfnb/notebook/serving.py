"""``%dfnb serve``: what it reads, and what it says. Its output is saved with the notebook, so the key is in it once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from IPython.core.error import UsageError

from dfnb.app import DurableApp
from dfnb.client.links import BASE_PATH
from dfnb.notebook import arguments
from dfnb.records.short_repr import cut, visible
from dfnb.server.serving import Server

USAGE = (
    "serve [--port N] [--host H] [--public-url URL] [--no-key] [--allowed-host NAME] [--cors ORIGIN] [--trust-forwarded] "
    "[--links scoped|key] [--route-prefix P] [--show-key] [--rotate-key] [--stop]"
)
_TEXTS = {"host": "host", "public-url": "public_url", "links": "links", "route-prefix": "route_prefix"}
_MANY = {"allowed-host": "allowed_hosts", "cors": "cors_origins"}
OPTIONS = ("port", *_TEXTS, *_MANY)
FLAGS = ("no-key", "trust-forwarded", "show-key", "rotate-key", "stop")
_KEPT = "it is saved with this output: clear it before you hand the notebook on"


def serve(app: DurableApp, line: str) -> str:
    """Carry out ``%dfnb serve`` and return what there is to say."""
    words, options = arguments.words_and_options(line, OPTIONS, FLAGS, tuple(_MANY))
    if words:
        raise UsageError(f"serve takes options only; did you mean --port {words[0]}?")
    if "stop" in options:
        return _stopped(app, options)
    before = app.server
    server = app.serve(**_settings(options))
    new = server.rotate_key() if "rotate-key" in options else None
    lines = [f"dfnb: {where(server)}", *_addresses(server), *_key(server, server is not before, new, "show-key" in options)]
    return "\n  ".join([*lines, *_hint(server, os.environ)])


def where(server: Server) -> str:
    outside = f", from outside at {server.public_url}" if server.public_url != server.url else ""
    return f"serving at {server.url}{outside}"


def failed(server: Server) -> str:
    """That requests were answered with a 500, and where to see why."""
    latest, number = server.failures[0], len(server.failures)
    requests = "1 request has" if number == 1 else f"{number} requests have"
    told = visible(f"{latest.route}: {cut(latest.error, 100)}")
    return f"{requests} failed, the latest {told}; `dfnb.current().server.failures` has the details"


def _stopped(app: DurableApp, options: Mapping[str, str]) -> str:
    if len(options) > 1:
        raise UsageError("--stop stands alone")
    if not app.stop_serving():
        return "dfnb: no server is running"
    return "dfnb: the server is stopped; instances go on, and `%dfnb serve` brings it back"


def _settings(options: Mapping[str, str]) -> dict[str, Any]:
    """The settings that were given; nothing for those that were not."""
    found: dict[str, Any] = {field: options[name] for name, field in _TEXTS.items() if name in options}
    found |= {field: tuple(filter(None, options[name].split(","))) for name, field in _MANY.items() if name in options}
    if "port" in options:
        found["port"] = _port(options["port"])
    if "no-key" in options:
        found["require_key"] = False
    if "trust-forwarded" in options:
        found["trust_forwarded"] = True
    if found.get("links", "key") not in ("key", "scoped"):
        raise UsageError(f"--links is scoped or key, not {found['links']}")
    return found


def _port(text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"--port takes a number from 0 (any free one) to 65535, not {text!r}")
    return int(text)


def _addresses(server: Server) -> list[str]:
    base = server.public_url
    code = "?code=KEY" if server.key is not None else ""
    return [
        f"status page: {base}/",
        f"start an instance: POST {base}{BASE_PATH}/orchestrators/NAME{code} with its input as JSON",
    ]


def _key(server: Server, has_begun: bool, new: str | None, shown: bool) -> list[str]:
    if server.key is None:
        return ["no key is asked for: every program on this machine may start and end instances"]
    if new is not None:
        return [f"key: {new}", f"{_KEPT}; the key and the links handed out before open nothing any more"]
    if shown or (has_begun and server.key_is_new):
        return [f"key: {server.key}", _KEPT]
    return ["the key is as before; `%dfnb serve --show-key` prints it"]


def _hint(server: Server, environ: Mapping[str, str]) -> list[str]:
    """On a JupyterHub, where the kernel's own loopback is out of reach for everybody outside."""
    prefix = environ.get("JUPYTERHUB_SERVICE_PREFIX")
    if not prefix or server.settings.own_origin is not None:
        return []
    home = environ.get("JUPYTERHUB_PUBLIC_URL") or f"https://YOUR-HUB{prefix}"
    url = f"{home.rstrip('/')}/proxy/{server.settings.port}"
    return [f"on JupyterHub, links work outside with jupyter-server-proxy and `%dfnb serve --public-url {url}`"]
