"""The server of one hub: started, replaced, stopped, found again after a restart.

Light to import: uvicorn and starlette are loaded when a server starts.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakSet

import msgspec

from dfnb import side_file
from dfnb.client import html
from dfnb.client.keys import HubKeys
from dfnb.client.links import Links
from dfnb.client.sync import DurableOrchestrationClient
from dfnb.definitions import Registry
from dfnb.errors import PortInUseError, ServeError
from dfnb.server.failures import FailedRequests
from dfnb.server.settings import ServerSettings
from dfnb.side_file import ServerFacts

if TYPE_CHECKING:
    import socket

    from dfnb.server.app import ManagementApp
    from dfnb.server.listener import Listener

logger = logging.getLogger("dfnb")

_FROM_ELSEWHERE = (
    "the server is not started again by itself: its settings come from another place; run `%dfnb serve ...` with those you want to "
    "start it"
)


class Server:
    """A hub's running server. `settings` are those at work, with the port it got; `asked` those it was asked for."""

    def __init__(self, serving: Serving, app: ManagementApp, listener: Listener, asked: ServerSettings, key_is_new: bool) -> None:
        self._serving = serving
        self._listener = listener
        self.app = app
        self.asked = asked
        self.settings = app.settings
        self.key_is_new = key_is_new
        """Whether this hub was never served with this key before."""

    @property
    def url(self) -> str:
        """Where programs on this machine reach it."""
        return self._listener.url

    @property
    def public_url(self) -> str:
        """Where others reach it: `public_url` of the settings, else the same as `url`."""
        return self.settings.own_origin or self.url

    @property
    def key(self) -> str | None:
        """What opens everything; None when no key is asked for."""
        return self._serving.keys.system if self.settings.require_key else None

    @property
    def links(self) -> Links:
        """Makes the links of instances."""
        return self.app.links

    @property
    def failures(self) -> FailedRequests:
        """The latest requests that were answered with a 500 and why, the newest first; they are gone with the process."""
        return self.app.failures

    @property
    def is_running(self) -> bool:
        return self._listener.is_listening

    def stop(self) -> None:
        """Stop serving; instances go on. The next opening of the hub does not start it again."""
        self._serving.stop(self)

    def rotate_key(self) -> str:
        """Take new keys: what was handed out before, keys and links, opens nothing any more."""
        return self._serving.rotate_key()

    def shut(self, timeout: float | None) -> None:
        self._listener.stop(timeout)

    def __repr__(self) -> str:
        return f"<Server {self.url}{'' if self.is_running else ' (stopped)'}>"

    def _repr_html_(self) -> str:
        """Where it is reached and by whom; the key is not shown."""
        keyed = "a key is asked for" if self.settings.require_key else "no key is asked for"
        head = [html.span("dfnb-quiet", "server"), html.span("dfnb-id", self.url), html.span("dfnb-quiet", keyed)]
        public = html.row("public URL", html.span("dfnb-id", self.public_url) if self.public_url != self.url else "")
        return html.card("Running" if self.is_running else "", head, [public])


class Serving:
    """What an app has of serving: at most one server, and the side file that tells of it. `hub_path` None: a hub in memory."""

    def __init__(
        self, client: DurableOrchestrationClient, registry: Registry, make_keys: Callable[[], HubKeys], now: Callable[[], int],
        hub_path: str | None,
    ) -> None:
        self._client = client
        self._registry = registry
        self._make_keys = make_keys
        self._keys: HubKeys | None = None
        self._now = now
        self._failures = FailedRequests(now)
        self._hub_path = hub_path
        self._lock = threading.RLock()
        self._facts: ServerFacts | None = None
        self._mounted: Links | None = None
        self._apps: WeakSet[ManagementApp] = WeakSet()
        self.server: Server | None = None

    @property
    def keys(self) -> HubKeys:
        with self._lock:
            if self._keys is None:
                self._keys = self._make_keys()
            return self._keys

    # start

    def serve(self, settings: ServerSettings | None, options: dict[str, Any]) -> Server:
        """The server, with these settings: the one that runs if it has them, or if nothing is said; else one in its place.

        All that is not said is as usual; only the port stays, because links were made with it.
        """
        with self._lock:
            running = self._alive()
            if running is None:
                self._facts = self._read()
            elif settings is None and not options:
                return running
            elif settings is None:
                options = {"port": running.settings.port, **options}
            asked = dataclasses.replace(settings if settings is not None else ServerSettings(), **options)
            if running is not None and asked in (running.asked, running.settings):
                return running
            return self._start(asked) if running is None else self._replace(running, asked)

    def _alive(self) -> Server | None:
        """The server that runs; one that has stopped by itself is let go."""
        if self.server is not None and not self.server.is_running:
            self.shut(None)
        return self.server

    def restore(self) -> str:
        """Start the server again that ran when the hub was last open; the answer is empty, or a sentence on why it is not back.

        Settings that open more than the defaults count only if this user chose them here: a folder may come from anybody.
        """
        with self._lock:
            facts = self._facts = self._read()
            if facts is None or not facts.serving:
                return ""
            try:
                asked = msgspec.convert(facts.settings, ServerSettings)
                if facts.key != (self.keys.system if asked.require_key else None):
                    return ""  # the file is of another hub, that was here before
                if asked.opens and not self._is_vouched_for(facts):
                    return _FROM_ELSEWHERE
                self._start(asked, at=_port(facts.url))
            except (ServeError, msgspec.ValidationError, ValueError) as error:
                return f"the server at {facts.url} was not started again: {error}"
            return ""

    def asgi(self, settings: ServerSettings | None, options: dict[str, Any]) -> ManagementApp:
        """The ASGI app alone, for a server of the user's own."""
        from dfnb.server.app import ManagementApp

        chosen = dataclasses.replace(settings if settings is not None else ServerSettings(), **options)
        app = ManagementApp(self._client, self.keys, chosen, self._registry, self._now, self._failures)
        with self._lock:
            self._apps.add(app)
            self._mounted = app.links
            if self.server is None:
                self._client.links = app.links
        return app

    def _start(self, asked: ServerSettings, at: int = 0) -> Server:
        from dfnb.server.app import ManagementApp
        from dfnb.server.listener import Listener

        listening = self._bind(asked, at)
        try:
            settings = dataclasses.replace(asked, port=listening.getsockname()[1])
            app = ManagementApp(self._client, self.keys, settings, self._registry, self._now, self._failures)
            listener = Listener(app, settings, listening)
        except BaseException:
            listening.close()
            raise
        app.own_origin = listener.url
        self._apps.add(app)
        key = self.keys.system if asked.require_key else None
        key_is_new = key is not None and (self._facts is None or self._facts.key != key)
        self.server = Server(self, app, listener, asked, key_is_new)
        self._client.links = app.links
        self._write(ServerFacts(url=listener.url, key=key, pid=os.getpid(), serving=True, settings=_differences(asked)))
        return self.server

    def _bind(self, asked: ServerSettings, at: int) -> socket.socket:
        """A socket; with any port being right, that of last time if it is free. `at`: just this port, unless 0."""
        from dfnb.server.listener import bind

        if asked.port or at:
            return bind(dataclasses.replace(asked, port=asked.port or at))
        last = _port(self._facts.url) if self._facts is not None else 0
        try:
            return bind(dataclasses.replace(asked, port=last))
        except PortInUseError:
            return bind(asked)

    def _replace(self, running: Server, asked: ServerSettings) -> Server:
        self.shut(None)
        try:
            return self._start(asked)
        except BaseException:
            self._go_back_to(running)
            raise

    def _go_back_to(self, before: Server) -> None:
        try:
            self._start(before.asked, at=before.settings.port)
        except ServeError as error:  # the error that is told is that of the server that was asked for
            logger.warning("dfnb: the server that ran before could not be started again either: %s", error)

    # stop

    def stop(self, only: Server | None = None) -> bool:
        """Stop serving, for good; whether there was a server. `only`: if it is this one."""
        with self._lock:
            stopped = self.server
            if stopped is None or only not in (None, stopped):
                return False
            self.shut(None)
            if self._facts is not None:
                self._write(dataclasses.replace(self._facts, serving=False, pid=None))
            return True

    def shut(self, timeout: float | None) -> None:
        """Let the server go, which the next opening of the hub may start again."""
        with self._lock:
            stopped, self.server = self.server, None
            self._client.links = self._mounted
            if stopped is not None:
                stopped.shut(timeout)

    def rotate_key(self) -> str:
        """Take new keys, and tell the side file and the requests that stay."""
        with self._lock:
            self.keys.rotate()
            for app in list(self._apps):
                app.changes.wake()
            if self._facts is not None and self._facts.key is not None:
                self._write(dataclasses.replace(self._facts, key=self.keys.system))
            return self.keys.system

    # the side file

    def _read(self) -> ServerFacts | None:
        return side_file.read(self._hub_path) if self._hub_path is not None else self._facts

    def _is_vouched_for(self, facts: ServerFacts) -> bool:
        return self._hub_path is not None and side_file.is_vouched_for(facts, self._hub_path, self.keys.settings)

    def _write(self, facts: ServerFacts) -> None:
        self._facts = facts
        if self._hub_path is None:
            return
        try:
            side_file.write(self._hub_path, side_file.signed(facts, self._hub_path, self.keys.settings))
        except OSError as error:
            path = side_file.path_for(self._hub_path)
            logger.warning("dfnb: %s could not be written, so that no other process finds this server: %s", path, error)


def _differences(settings: ServerSettings) -> dict[str, Any]:
    """What differs from the defaults, so that another version's defaults count after an update."""
    chosen, usual = msgspec.to_builtins(settings), msgspec.to_builtins(ServerSettings())
    return {name: value for name, value in chosen.items() if value != usual[name]}


def _port(url: str) -> int:
    return urlsplit(url).port or 0
