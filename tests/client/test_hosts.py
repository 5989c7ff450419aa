"""How a host is called that a server listens at."""

from __future__ import annotations

import pytest

from dfnb.client.hosts import in_url


@pytest.mark.parametrize(
    ("host", "called"),
    [
        ("localhost", "localhost"), ("192.0.2.7", "192.0.2.7"), ("fe80::1", "[fe80::1]"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]"),
        ("", "127.0.0.1"),
    ],
)  # fmt: skip
def test_a_host_in_a_url_can_be_called(host: str, called: str) -> None:
    assert in_url(host) == called
