"""A fake of the managed-identity token endpoints, of which the real azure-identity gets tokens.

Sources: Microsoft Learn, "How to use managed identities for Azure resources on an Azure VM to acquire an access token" (IMDS,
``/metadata/identity/oauth2/token``, header Metadata: true) and "How to use managed identities for App Service" (the path of
IDENTITY_ENDPOINT, header X-IDENTITY-HEADER); both as azure-identity asks them.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from dfnb.testing.wire import ReceivedRequest, Reply, reply_of

IMDS_PATH = "/metadata/identity/oauth2/token"
APP_SERVICE_PATH = "/msi/token"


class FakeIdentity:
    """Issues tokens at both endpoints and knows them again. Its clock is the machine's, which azure-identity reads too."""

    def __init__(self, header: str, expires_in: timedelta, client_ids: tuple[str, ...] | None) -> None:
        self.header = header
        self._lasts = int(expires_in.total_seconds())
        self._client_ids = client_ids
        self._lock = threading.Lock()
        self._issued: dict[str, float] = {}

    @property
    def tokens(self) -> tuple[str, ...]:
        """All tokens issued so far."""
        with self._lock:
            return tuple(self._issued)

    def environment(self, base_url: str) -> dict[str, str]:
        """What an App Service puts into the environment, for an API served at `base_url`."""
        return {"IDENTITY_ENDPOINT": base_url + APP_SERVICE_PATH, "IDENTITY_HEADER": self.header}

    def imds_environment(self, base_url: str) -> dict[str, str]:
        """What makes azure-identity look for a machine's metadata service at `base_url`."""
        return {"AZURE_POD_IDENTITY_AUTHORITY_HOST": base_url}

    def knows(self, token: str) -> bool:
        """Whether it issued this token and the token has not ended."""
        with self._lock:
            return self._issued.get(token, 0.0) > time.time()

    def answer(self, request: ReceivedRequest) -> Reply:
        """The answer to a request for a token."""
        query = request.query
        if request.path == APP_SERVICE_PATH and request.header("X-IDENTITY-HEADER") != self.header:
            return _refused("The X-IDENTITY-HEADER is missing or wrong.", 401)
        if request.path == IMDS_PATH and (request.header("Metadata") or "").lower() != "true":
            return _refused("Required metadata header not specified")
        if not query.get("resource"):
            return _refused("The request is missing the query 'resource'.")
        named = query.get("client_id")
        if named and self._client_ids is not None and named not in self._client_ids:
            return _refused("Identity not found")
        return reply_of(self._issue(query))

    def _issue(self, query: Mapping[str, str]) -> dict[str, Any]:
        now = int(time.time())
        with self._lock:
            number = len(self._issued) + 1
            claims = {"aud": query["resource"], "iat": now, "exp": now + self._lasts, "jti": number}
            token = ".".join((_part({"alg": "none", "typ": "JWT"}), _part(claims), "fake-signature"))
            self._issued[token] = now + self._lasts
        return {
            "access_token": token,
            "client_id": query.get("client_id", "00000000-0000-0000-0000-000000000001"),
            "expires_in": str(self._lasts),
            "expires_on": str(now + self._lasts),
            "resource": query["resource"],
            "token_type": "Bearer",
        }


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _refused(why: str, status: int = 400) -> Reply:
    return reply_of({"error": "invalid_request", "error_description": why}, status)
