"""The URLs by which outside callers reach instances, and the codes that open them.

Field names, their order and the shape of each URL are those of the built-in HTTP APIs of Azure Durable Functions.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
from collections.abc import Callable, Iterable
from datetime import timedelta
from urllib.parse import quote

BASE_PATH = "/runtime/webhooks/durabletask"

VERBS = {
    "status": "q", "raiseEvent": "e", "terminate": "t", "rewind": "w", "purge": "p", "restart": "s", "suspend": "z", "resume": "r",
}  # fmt: skip
"""What a link may do, each with the letter that stands for it in a code."""

_LETTERS = {letter: verb for verb, letter in VERBS.items()}
_PREFIX = "L1"


@dataclasses.dataclass(frozen=True, slots=True)
class Scope:
    """What a code in a link opens: these verbs of one instance, until a time in microseconds since 1970 (None: for ever)."""

    verbs: frozenset[str]
    expires_at: int | None = None


def scoped_code(key: bytes, instance_id: str, scope: Scope) -> str:
    """A code that opens no more than `scope` of the instance, signed with the hub's key for links."""
    letters = "".join(sorted(VERBS[verb] for verb in scope.verbs))
    expiry = "0" if scope.expires_at is None else f"{max(1, scope.expires_at // 1_000_000):x}"
    return f"{_PREFIX}.{letters}.{expiry}.{_signature(key, instance_id, letters, expiry)}"


def read_code(key: bytes, instance_id: str, code: str) -> Scope | None:
    """What a code opens of this instance; None for one not made for it. Whether it has expired is for the caller to see."""
    parts = code.split(".")
    if len(parts) != 4 or parts[0] != _PREFIX:
        return None
    _, letters, expiry, signature = parts
    if not hmac.compare_digest(signature.encode("utf-8", "replace"), _signature(key, instance_id, letters, expiry).encode()):
        return None
    return Scope(frozenset(_LETTERS[letter] for letter in letters), None if expiry == "0" else int(expiry, 16) * 1_000_000)


def _signature(key: bytes, instance_id: str, letters: str, expiry: str) -> str:
    message = "\n".join((_PREFIX, letters, expiry, instance_id)).encode("utf-8", "surrogatepass")
    return base64.urlsafe_b64encode(hmac.digest(key, message, hashlib.sha256)).decode().rstrip("=")


@dataclasses.dataclass(frozen=True, slots=True)
class Links:
    """Makes the links of a server.

    `origin`: what is in front of the path, such as ``http://127.0.0.1:7071``. `code` gives the ``code`` parameter for an instance
    and a scope, None for a server without keys. `lifetime`: how long links last when nothing else is said.
    """

    origin: Callable[[], str]
    code: Callable[[str, Scope], str | None]
    now: Callable[[], int]
    task_hub: str = "dfnb"
    connection: str = "Storage"
    lifetime: timedelta | None = None

    def management(
        self, instance_id: str, *, origin: str | None = None, verbs: Iterable[str] | None = None,
        expires_in: timedelta | None = None, scope: Scope | None = None,
    ) -> dict[str, str]:
        """All links of one instance, by the original's field names.

        `verbs` leaves out the links of all other verbs (of `VERBS`), and the code opens only these. ValueError for an unknown one.
        `scope` says the same, and until when, in one.
        """
        scope = scope if scope is not None else self.scope(verbs, expires_in)
        base = f"{origin or self.origin()}{BASE_PATH}/instances/{quote(instance_id, safe='@:')}"
        query = self._query(self.code(instance_id, scope))
        shapes = {
            "statusQueryGetUri": ("status", f"?{query}"),
            "sendEventPostUri": ("raiseEvent", f"/raiseEvent/{{eventName}}?{query}"),
            "terminatePostUri": ("terminate", f"/terminate?reason={{text}}&{query}"),
            "rewindPostUri": ("rewind", f"/rewind?reason={{text}}&{query}"),
            "purgeHistoryDeleteUri": ("purge", f"?{query}"),
            "restartPostUri": ("restart", f"/restart?{query}"),
            "suspendPostUri": ("suspend", f"/suspend?reason={{text}}&{query}"),
            "resumePostUri": ("resume", f"/resume?reason={{text}}&{query}"),
        }
        links = {name: f"{base}{behind}" for name, (verb, behind) in shapes.items() if verb in scope.verbs}
        return {"id": instance_id, **links}

    def scope(self, verbs: Iterable[str] | None = None, expires_in: timedelta | None = None) -> Scope:
        """The scope these words mean; all verbs and the usual lifetime when nothing is said."""
        chosen = frozenset(VERBS if verbs is None else [verbs] if isinstance(verbs, str) else verbs)
        unknown = sorted(chosen - VERBS.keys())
        if unknown or not chosen:
            raise ValueError(f"verbs takes some of {', '.join(VERBS)}, not {', '.join(unknown) or 'nothing'}")
        lifetime = expires_in if expires_in is not None else self.lifetime
        if lifetime is not None and lifetime <= timedelta(0):
            raise ValueError("expires_in must be longer than nothing")
        return Scope(chosen, None if lifetime is None else self.now() + lifetime // timedelta(microseconds=1))

    def creation(self, code: str | None, *, origin: str | None = None) -> dict[str, str]:
        """The links that start instances; `code` is the hub's own key."""
        base = f"{origin or self.origin()}{BASE_PATH}/orchestrators/{{functionName}}[/{{instanceId}}]"
        query = f"?code={quote(code, safe='')}" if code else "?"
        wait = "timeout={timeoutInSeconds}&pollingInterval={intervalInSeconds}"
        return {
            "createNewInstancePostUri": base + query.rstrip("?"),
            "createAndWaitOnNewInstancePostUri": f"{base}?{wait}" + (f"&{query[1:]}" if code else ""),
        }

    def _query(self, code: str | None) -> str:
        hub = f"taskHub={quote(self.task_hub, safe='')}&connection={quote(self.connection, safe='')}"
        return hub if code is None else f"{hub}&code={quote(code, safe='')}"
