"""How a server proves which hub it serves, to callers who will not show it their key before."""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response

from dfnb.client.keys import HubKeys, proof
from dfnb.server import answers
from dfnb.server.call import Call

_SHORTEST, _LONGEST = 16, 128


class ProofHandlers:
    """`origin`: where it is reached, which is part of the proof so that nobody can pass it on as their own."""

    def __init__(self, keys: HubKeys, origin: Callable[[], str]) -> None:
        self._keys = keys
        self._origin = origin

    async def prove(self, call: Call) -> Response:
        nonce = call.query.text("nonce") or ""
        if not _SHORTEST <= len(nonce) <= _LONGEST:
            wanted = f"{_SHORTEST} to {_LONGEST} characters"
            return answers.bad_argument(f"nonce has to be a text of {wanted} that was never used before")
        return answers.data({"proof": proof(self._keys.system, nonce, self._origin())})
