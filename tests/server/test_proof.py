"""The proof that a server has a hub's key, for callers who keep theirs to themselves until then."""

from __future__ import annotations

from typing import Any

import pytest

from dfnb.client.keys import proof

NONCE = "0123456789abcdef"


def test_the_proof_needs_no_key_and_is_of_the_servers_own_address(server: Any) -> None:
    answer = server.ask("GET", f"/whoami?nonce={NONCE}", key=False)
    assert answer.json() == {"proof": proof(server.app.keys.system, NONCE, server.app.own_origin)}
    assert server.ask("GET", f"/whoami?nonce={NONCE}", key=False).headers["cache-control"] == "no-store"


def test_the_proof_differs_with_the_key_the_nonce_and_the_address() -> None:
    made = {proof(*words) for words in (("k", "n", "http://a"), ("j", "n", "http://a"), ("k", "m", "http://a"), ("k", "n", "http://b"))}
    assert len(made) == 4


@pytest.mark.parametrize("query", ["", "?nonce=", "?nonce=short", f"?nonce={'x' * 129}"], ids=["none", "empty", "short", "long"])
def test_a_nonce_that_is_none_is_refused(server: Any, query: str) -> None:
    assert server.ask("GET", f"/whoami{query}", key=False).status == 400
