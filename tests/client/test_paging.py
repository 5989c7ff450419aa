"""Continuation tokens: what goes in comes out, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from dfnb.client.paging import read_token, token


def test_a_token_keeps_its_numbers() -> None:
    assert read_token(token(1_767_225_600_000_000, 7), 2) == (1_767_225_600_000_000, 7)
    assert read_token(None, 2) is None
    assert read_token("", 1) is None


@pytest.mark.parametrize("text", ["x", "e30=", "WyJhIl0=", "bnVsbA==", "\xff", token(1), token(1, 2, 3), token()])
def test_what_no_page_gave_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="the continuation token is not one that an earlier page gave"):
        read_token(text, 2)
