"""Live views: the only hop from the hub's threads to the browser.

The hub says which instances changed, on its writer thread, which only notes the views concerned. One publisher thread looks at
what changed and sends it, at most ten times a second, and nothing when nothing changed. When the instance has ended, static HTML
takes the widget's place, so that a saved notebook shows it.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.display import DisplayHandle, publish_display_data

from dfnb.errors import DfnbError, HubClosedError
from dfnb.notebook import display
from dfnb.notebook.snapshot import STOPPED, InstanceTracker, Picture, Tracker

logger = logging.getLogger("dfnb")

_PAUSE_SECONDS = 0.1
_SHARE_OF_TIME = 5
"""Looking may take a fifth of the publisher's time: a view that is slow to read is read less often."""

_numbers = itertools.count(1)


class View:
    """One output of one cell: a widget that follows a tracker, until static HTML replaces it."""

    def __init__(self, tracker: Tracker, publisher: Publisher) -> None:
        from dfnb.notebook.widgets import StatusWidget

        self.tracker = tracker
        self._lock = threading.Lock()
        self._number = 0
        self._again = False
        self._awaited: set[str] = set()
        self._publisher = publisher
        self.stopped = False
        self._widget = StatusWidget(self.snapshot, self._on_seen)
        self._handle = DisplayHandle(f"dfnb-{os.getpid()}-{next(_numbers)}")

    def show(self) -> None:
        """Put it into the output of the running cell."""
        self._handle.display({**self._widget.mime(), **display.bundle(self.tracker.full())}, raw=True)

    def snapshot(self) -> Picture:
        """All there is to see now, with the number of the last message it accounts for."""
        with self._lock:
            return {**self.tracker.full(), "n": self._number, "now": time.time() * 1000}

    def _on_seen(self, number: int) -> None:
        """The browser says how far it has come; runs on the kernel's thread, so it only asks the publisher."""
        if number != self._number:
            self._again = True
            self._publisher.touch(self)

    def concerns(self, ids: frozenset[str]) -> bool:
        mine = self.tracker.ids
        return mine is None or not mine.isdisjoint(ids)

    def publish(self) -> bool:
        """Send what changed. False once nothing more will."""
        with self._lock:
            if self.stopped and not self.tracker.is_over:
                self.tracker.say(STOPPED)
            delta = {} if self.tracker.is_over else self.tracker.look()
            again, self._again = self._again or self.tracker.restarted or self.tracker.is_over, False
            if again:
                delta = {"full": self.tracker.full()}
            if delta:
                self._number += 1
                self._widget.send({"n": self._number, "now": time.time() * 1000, **delta})
        self._await_close()
        if self.tracker.is_over:
            self._handle.update(display.bundle(self.tracker.full()), raw=True)
        return not self.tracker.is_over

    def _await_close(self) -> None:
        """Hear of the hub's closing through the futures of instances that are open."""
        tracker = self.tracker
        ids = [tracker.id] if isinstance(tracker, InstanceTracker) else tracker.open_ids
        for id in ids if not tracker.is_over else ():
            if id not in self._awaited:
                self._awaited.add(id)
                try:
                    tracker.client.when_ended(id).add_done_callback(self._on_end)
                except DfnbError:
                    self._publisher.touch(self)  # gone since: the next look says so

    def _on_end(self, future: Future[Any]) -> None:
        self.stopped = self.stopped or isinstance(future.exception(), HubClosedError)
        self._publisher.touch(self)


class Publisher:
    """One thread that keeps all views up to date."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._views: dict[Any, list[View]] = {}
        self._ends: dict[Any, Callable[[], None]] = {}
        self._dirty: dict[View, None] = {}
        self._closed = False
        self._thread: threading.Thread | None = None

    def follow(self, view: View) -> None:
        client = view.tracker.client
        with self._news:
            self._views.setdefault(client, []).append(view)
            if client not in self._ends:
                self._ends[client] = client.watch(lambda ids: self._note(client, ids))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="dfnb-live", daemon=True)
                self._thread.start()
        self.touch(view)

    def touch(self, view: View | None = None) -> None:
        """Have a view looked at, or all of them."""
        with self._news:
            self._dirty.update(dict.fromkeys([view] if view is not None else itertools.chain(*self._views.values())))
            self._news.notify()

    def stop_views(self) -> None:
        """The hub is about to be closed: what is shown stays, and says so."""
        with self._news:
            for view in itertools.chain(*self._views.values()):
                view.stopped = True
        self.touch()

    def _note(self, client: Any, ids: frozenset[str]) -> None:
        """On the writer thread, after each commit."""
        with self._news:
            concerned = [view for view in self._views.get(client, ()) if view.concerns(ids)]
            if concerned:
                self._dirty.update(dict.fromkeys(concerned))
                self._news.notify()

    def close(self) -> None:
        """Let go of all views; what they show stays as it is."""
        with self._news:
            self._closed = True
            self._views.clear()
            ends, self._ends = list(self._ends.values()), {}
            self._news.notify()
        for end in ends:
            end()
        if self._thread is not None:
            self._thread.join(1)

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._closed or bool(self._dirty))
                if not self._dirty:
                    return
                views, self._dirty = list(self._dirty), {}
            began = time.perf_counter()
            for view in views:
                self._publish(view)
            pause = max(_PAUSE_SECONDS, _SHARE_OF_TIME * (time.perf_counter() - began))
            with self._news:
                self._news.wait_for(lambda: self._closed, timeout=pause)

    def _publish(self, view: View) -> None:
        try:
            goes_on = view.publish()
        except Exception:  # a front end that is gone must not stop the other views
            logger.debug("dfnb: a live view was given up", exc_info=True)
            goes_on = False
        if not goes_on:
            self._drop(view)

    def _drop(self, view: View) -> None:
        client = view.tracker.client
        with self._news:
            views = self._views.get(client, [])
            if view in views:
                views.remove(view)
            end = None if views else self._ends.pop(client, None)
            if not views:
                self._views.pop(client, None)
        if end is not None:
            end()


_publisher: list[Publisher] = []


def publisher() -> Publisher:
    """The one publisher of this process, made when first needed."""
    if not _publisher:
        _publisher.append(Publisher())
    return _publisher[0]


def touch_all() -> None:
    """A cell was run that some view may wait for."""
    for one in _publisher:
        one.touch()


def stop_views() -> None:
    """The hub is about to be closed."""
    for one in _publisher:
        one.stop_views()


def close() -> None:
    """Stop the publisher thread."""
    while _publisher:
        _publisher.pop().close()


def is_live() -> bool:
    """Whether outputs can be live: in a kernel, unless ``DFNB_LIVE=0``."""
    shell = get_ipython()
    return getattr(shell, "kernel", None) is not None and os.environ.get("DFNB_LIVE", "") != "0"


def show(tracker: Tracker) -> None:
    """Display what a tracker follows: live while it can change, else as it is."""
    tracker.look()
    if tracker.is_over or not is_live():
        publish_display_data(dict(display.bundle(tracker.full())))
        return
    view = View(tracker, publisher())
    view.show()
    publisher().follow(view)


__all__ = ["close", "is_live", "publisher", "show", "stop_views", "touch_all"]
