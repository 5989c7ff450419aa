"""The keys that open a hub's server: made at random for each hub and kept in it, so that they outlive a restart."""

from __future__ import annotations

import base64
import hashlib
import hmac

from dfnb.hub.protocol import ClientSide


class HubKeys:
    """`system` opens everything, `function` triggers of the auth level ``function``; `links` and `callbacks` sign what they say,
    and `settings` signs those that a server is started with again.

    Text keys are 43 characters that need no quoting in a URL.
    """

    def __init__(self, hub: ClientSide) -> None:
        self._hub = hub
        self._read()

    def _read(self) -> None:
        self.system = _text(self._hub.hub_key("system"))
        self.function = _text(self._hub.hub_key("function"))
        self.links = self._hub.hub_key("links")
        self.callbacks = self._hub.hub_key("callbacks")
        self.settings = self._hub.hub_key("settings")

    def rotate(self) -> None:
        """Replace the keys of callers and of links: what was handed out before opens nothing any more.

        That of callbacks stays, since it opens nothing here and receivers would refuse what is signed with another.
        """
        for name in ("system", "function", "links"):
            self._hub.renew_hub_key(name)
        self._read()

    def rotate_callbacks(self) -> None:
        """Replace the key that callbacks are signed with: receivers need the new secret."""
        self._hub.renew_hub_key("callbacks")
        self._read()

    def callback_secret(self) -> str:
        """What receivers of callbacks check signatures with, in the form that libraries for Standard Webhooks take."""
        return f"whsec_{base64.b64encode(self.callbacks).decode()}"

    def __repr__(self) -> str:
        return "<HubKeys>"


def proof(key: str, nonce: str, origin: str) -> str:
    """What only a server at `origin` that has the hub's key can answer to `nonce`, a text that is used once."""
    said = "\0".join(("dfnb proof", nonce, origin))
    return hmac.new(key.encode(), said.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def _text(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode().rstrip("=")
