"""Who may ask: tokens and keys that a fake API requires."""

from __future__ import annotations

from dfnb.testing.fake_identity import FakeIdentity
from dfnb.testing.wire import ReceivedRequest, Reply, reply_of


class Gate:
    """Knows the tokens that "Bearer" accepts, and refuses what has none."""

    def __init__(self) -> None:
        self.tokens: set[str] = set()
        self.identities: list[FakeIdentity] = []

    def knows(self, token: str) -> bool:
        """Whether "Bearer" accepts this token; any, when none was issued or named."""
        if not self.identities and not self.tokens:
            return bool(token)
        return token in self.tokens or any(identity.knows(token) for identity in self.identities)

    def refusal(self, request: ReceivedRequest, requires: str | None) -> Reply | None:
        """A 401 for a request that does not have what is required: "Bearer", "Bearer TOKEN", "name" or "name: value"."""
        if requires is None or self._passes(request, requires):
            return None
        scheme = "Bearer" if requires.startswith("Bearer") else "ApiKey"
        what = "Bearer" if scheme == "Bearer" else requires.split(":")[0]
        error = {"error": {"code": "AuthenticationFailed", "message": f"this endpoint requires {what}"}}
        return reply_of(error, 401, (("WWW-Authenticate", f'{scheme} realm="fake"'),))

    def _passes(self, request: ReceivedRequest, requires: str) -> bool:
        if requires.startswith("Bearer"):
            scheme, _, token = (request.header("Authorization") or "").partition(" ")
            wanted = requires.removeprefix("Bearer").strip()
            return scheme.lower() == "bearer" and (token == wanted if wanted else self.knows(token))
        name, _, value = requires.partition(":")
        given = request.header(name.strip())
        return bool(given) and (not value.strip() or given == value.strip())
