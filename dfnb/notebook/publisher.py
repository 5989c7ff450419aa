"""The thread that keeps the live views of one hub up to date.

A hub, or one that is far away, has a thread of its own: a server that is slow to answer holds up nobody else's views.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Protocol

from dfnb.notebook.answers import Answers

logger = logging.getLogger("dfnb")

_PAUSE_SECONDS = 0.1
_SHARE_OF_TIME = 5
"""Looking may take a fifth of the thread's time: what is slow to read is read less often."""


class Followed(Protocol):
    """A view, as far as the publisher knows it."""

    @property
    def client(self) -> Any: ...

    def publish(self) -> bool: ...

    def concerns(self, ids: frozenset[str]) -> bool: ...

    def stop(self) -> None: ...


class Publisher:
    """Looks at views of which something changed, at most ten times a second. Its thread ends with the last view."""

    def __init__(self) -> None:
        self.answers = Answers()
        self._news = threading.Condition()
        self._views: list[Followed] = []
        self._dirty: dict[Followed, None] = {}
        self._later: dict[Followed, float] = {}
        self._thread: threading.Thread | None = None

    def follow(self, view: Followed) -> None:
        """Keep a view up to date until it says that nothing more will change, or is dropped."""
        with self._news:
            self._views.append(view)
            self._dirty[view] = None
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, args=[view.client], name="dfnb-live", daemon=True)
                self._thread.start()
            self._news.notify()

    def touch(self, view: Followed | None = None) -> None:
        """Have a view looked at, or all of them."""
        with self._news:
            self._dirty.update(dict.fromkeys([view] if view is not None else self._views))
            self._news.notify()

    def touch_later(self, view: Followed, seconds: float) -> None:
        """Have a view looked at when that time has passed."""
        with self._news:
            self._later[view] = time.monotonic() + seconds
            self._news.notify()

    def drop(self, view: Followed) -> None:
        """Follow a view no longer."""
        with self._news:
            if view in self._views:
                self._views.remove(view)
            self._dirty.pop(view, None)
            self._later.pop(view, None)
            self._news.notify()

    def stop_views(self) -> None:
        """The hub is about to be closed: what is shown stays, and says so."""
        with self._news:
            for view in self._views:
                view.stop()
        self.touch()

    def close(self) -> None:
        """Let go of all views; what they show stays as it is."""
        with self._news:
            self._views.clear()
            self._news.notify()
            thread = self._thread
        if thread is not None:
            thread.join(1)
        self.answers.close()

    def _note(self, ids: frozenset[str]) -> None:
        """On the hub's writer thread, after each commit."""
        with self._news:
            concerned = [view for view in self._views if view.concerns(ids)]
            if concerned:
                self._dirty.update(dict.fromkeys(concerned))
                self._news.notify()

    # the thread

    def _run(self, client: Any) -> None:
        unwatch = client.watch(self._note)  # here, as one who is far away may take its time
        try:
            while views := self._wait():
                began = time.perf_counter()
                for view in views:
                    self._publish(view)
                pause = max(_PAUSE_SECONDS, _SHARE_OF_TIME * (time.perf_counter() - began))
                with self._news:
                    self._news.wait_for(lambda: not self._views, timeout=pause)
        finally:
            unwatch()

    def _wait(self) -> list[Followed]:
        """The views to be looked at; none once there are no views, and the thread ends."""
        with self._news:
            while self._views:
                pause = self._take_later()
                if self._dirty:
                    due, self._dirty = list(self._dirty), {}
                    return due
                self._news.wait(pause)
            self._dirty.clear()
            self._later.clear()
            self._thread = None
            return []

    def _take_later(self) -> float | None:
        """Move what is due to what is looked at; how long until the next."""
        now = time.monotonic()
        due = [view for view, at in self._later.items() if at <= now]
        for view in due:
            del self._later[view]
        self._dirty.update(dict.fromkeys(due))
        return min(self._later.values()) - now if self._later else None

    def _publish(self, view: Followed) -> None:
        try:
            goes_on = view.publish()
        except Exception:  # a front end that is gone must not stop the other views
            logger.debug("dfnb: a live view was given up", exc_info=True)
            goes_on = False
        if not goes_on:
            self.drop(view)
