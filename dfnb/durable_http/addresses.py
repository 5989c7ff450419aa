"""The rule that requests go to public addresses only, for URLs that came out of somebody else's answer.

A host is looked up once, every address it has is judged, and the connection goes to the address that was judged: a name
that answers differently the second time gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable

import httpx

from dfnb.errors import PrivateAddressError

Lookup = Callable[[str, int], Iterable[str]]
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # an IPv4 address in its last 32 bits


def lookup(host: str, port: int) -> list[str]:
    """Every address of a host, as the system tells it."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[4][0]) for place in found))


def is_public(address: str) -> bool:
    """Whether an address is meant to be reached from everywhere; no IPv4 address hidden in an IPv6 one escapes."""
    try:
        parsed: _Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return _judged(mapped) if mapped is not None else all(_judged(part) for part in (parsed, *_hidden(parsed)))


def _judged(address: _Address) -> bool:
    return address in _NAT64 or (address.is_global and not (address.is_multicast or address.is_reserved))


def _hidden(address: _Address) -> list[_Address]:
    if isinstance(address, ipaddress.IPv4Address):
        return []
    inner = [address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [part for part in inner if part is not None]


def public_address(host: str, port: int, lookup: Lookup = lookup) -> str:
    """The address to connect to. PrivateAddressError if any address of the host is not a public one."""
    addresses = list(lookup(host.strip("[]"), port))
    for address in addresses:
        if not is_public(address):
            raise PrivateAddressError(host, address)
    if not addresses:
        raise OSError(f"{host} has no address")
    return addresses[0]


def pinned(request: httpx.Request, lookup: Lookup = lookup) -> httpx.Request:
    """The same request, to the one address that was judged; host header and certificate stay those of the name.

    May ask a name server, so never on an event loop.
    """
    url = request.url
    address = public_address(url.host, url.port or (443 if url.scheme == "https" else 80), lookup)
    extensions = {"sni_hostname": url.host, **request.extensions}
    return httpx.Request(
        request.method,
        url.copy_with(host=address),
        headers=request.headers,  # has the Host header of the name already
        stream=request.stream,
        extensions=extensions,
    )
