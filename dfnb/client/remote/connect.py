"""`dfnb.connect`: from an address, or the path of a hub's file, to a client."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfnb import side_file
from dfnb.client.remote.address import is_url, read_address
from dfnb.errors import RemoteError

if TYPE_CHECKING:
    from dfnb.client.remote.client import RemoteOrchestrationClient

_SIDE_FILE = ".server"


def connect(
    url_or_path: str | os.PathLike[str], key: str | None = None, *, transport: Any = None, timeout: float = 30.0
) -> RemoteOrchestrationClient:
    """A client of a hub elsewhere, with the interface of the client of one's own.

    `url_or_path`: the address of a dfnb server or of a Durable Functions app, any URL of its API (a ``code=`` in it is taken as the
    key), or the path of a hub file that another process serves: address and key are read from the file beside it, and the key is
    sent only to who proves to have it. `transport`: an async transport of httpx. `timeout`: seconds for an answer. It asks once
    and raises RemoteUnavailableError when nobody is there, RemoteRefusedError when the key is wrong or missing, RemoteError when
    it is another kind of server.
    """
    own = None
    if isinstance(url_or_path, str) and is_url(url_or_path):
        address = read_address(url_or_path, key)
    else:
        url, own = _read_path(Path(url_or_path))
        address = read_address(url, key or own)
    from dfnb.client.remote.client import RemoteOrchestrationClient  # here and not above: few connect, and all would pay

    client = RemoteOrchestrationClient(address, _checked(transport), timeout)
    try:
        if own is not None:
            client.check_proof(own)
        client.check()
    except BaseException:
        client.close()
        raise
    return client


def _read_path(path: Path) -> tuple[str, str | None]:
    """Address and key of the server of a hub file."""
    if not path.name:
        raise ValueError("connect takes an address such as http://127.0.0.1:7071, or the path of a hub file")
    hub = path.with_name(path.name.removesuffix(_SIDE_FILE))
    facts = side_file.read(hub)
    if facts is not None and facts.serving:
        return facts.url, facts.key
    if not hub.exists() and facts is None:
        raise FileNotFoundError(f"there is no hub file {hub}; give its path, or an address with http:// or https:// in front")
    raise RemoteError(f"{hub}", "is not running; start it where the hub is open, with `%dfnb serve`")


def _checked(transport: Any) -> Any:
    if transport is None or hasattr(transport, "handle_async_request"):
        return transport
    raise TypeError("transport takes an async transport of httpx, such as httpx.AsyncHTTPTransport() or httpx.MockTransport(...)")
