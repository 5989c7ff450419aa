from __future__ import annotations

import socket

import httpx
import pytest

from dfnb.durable_http.addresses import is_public, lookup, pinned, public_address
from dfnb.errors import PrivateAddressError


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "240.0.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fd00::1", "ff02::1", "::ffff:127.0.0.1",
        "::ffff:169.254.169.254", "64:ff9b::10.0.0.1", "2002:7f00:1::", "2001:0:7f00:1::", "text", "",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


def test_one_private_address_among_public_ones_is_enough() -> None:
    with pytest.raises(PrivateAddressError, match=r"evil.example is 10.0.0.1, which is no public address") as refused:
        public_address("evil.example", 443, lambda host, port: ["8.8.8.8", "10.0.0.1"])
    assert (refused.value.host, refused.value.address) == ("evil.example", "10.0.0.1")
    with pytest.raises(OSError, match="no address"):
        public_address("none.example", 443, lambda host, port: [])


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "2130706433", "0x7f.1"])
def test_this_machine_is_not_public_however_it_is_written(host: str) -> None:
    with pytest.raises((PrivateAddressError, socket.gaierror)):
        public_address(host, 80)


def test_the_connection_goes_to_the_address_that_was_judged() -> None:
    asked: list[tuple[str, int]] = []

    def once(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["2606:4700::1111" if host.startswith("six") else "8.8.8.8"]

    sent: list[httpx.Request] = []
    transport = httpx.MockTransport(lambda request: sent.append(request) or httpx.Response(200))  # type: ignore[func-returns-value]
    for url in ("https://four.example/a?b=1", "http://six.example:8080/"):
        request = httpx.Request("POST", url, json={"a": 1}, extensions={"timeout": {}})
        transport.handle_request(pinned(request, once))
    assert asked == [("four.example", 443), ("six.example", 8080)]
    assert [str(request.url) for request in sent] == ["https://8.8.8.8/a?b=1", "http://[2606:4700::1111]:8080/"]
    assert [request.headers["host"] for request in sent] == ["four.example", "six.example:8080"]
    assert sent[0].extensions == {"sni_hostname": "four.example", "timeout": {}}
    assert sent[0].read() == b'{"a":1}'


def test_addresses_come_from_the_system() -> None:
    assert set(lookup("127.0.0.1", 80)) == {"127.0.0.1"}
