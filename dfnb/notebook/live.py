"""Live views: the only hop from the hub's threads to the browser.

The hub says which instances changed, on its writer thread, which only notes the views concerned. A publisher thread looks at
what changed and sends it, at most ten times a second, and nothing when nothing changed. When the instance has ended, static HTML
takes the widget's place, so that a saved notebook shows it.
"""

from __future__ import annotations

import functools
import itertools
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.display import DisplayHandle, publish_display_data

from dfnb.errors import DfnbError, HubClosedError
from dfnb.notebook import display, terminal
from dfnb.notebook.followed import FollowedTracker
from dfnb.notebook.publisher import Publisher
from dfnb.notebook.snapshot import STOPPED, InstanceTracker, Picture
from dfnb.notebook.tables import TableTracker

logger = logging.getLogger("dfnb")

_LINGER_SECONDS = 30.0
"""A view that somebody is looking into stays a while after the end before the static twin takes its place."""

_numbers = itertools.count(1)

Tracker = InstanceTracker | TableTracker | FollowedTracker


class View:
    """One output of one cell: a widget that follows a tracker, until static HTML replaces it.

    `stays`: the widget stays when the instance has ended, as somebody wants to look into it.
    """

    def __init__(self, tracker: Tracker, *, stays: bool = False) -> None:
        from dfnb.notebook.widgets import StatusWidget

        self._trail: list[Tracker] = [tracker]
        self._lock = threading.Lock()
        self._number = 0
        self._again = False
        self._awaited: set[str] = set()
        self._asked_at = float("-inf")
        self._stays = stays
        self._stopped = False
        self._now: Picture = {**self._full(), "n": 0}
        self._widget = StatusWidget(self.snapshot, self._on_message)
        self._handle = DisplayHandle(f"dfnb-{os.getpid()}-{next(_numbers)}")

    @property
    def root(self) -> Tracker:
        """What the view was made for: its end is the view's end."""
        return self._trail[0]

    @property
    def tracker(self) -> Tracker:
        """What the view shows now: the root, or an instance one has gone to from there."""
        return self._trail[-1]

    @property
    def client(self) -> Any:
        """Whose news it shows."""
        return self.root.client

    def show(self) -> None:
        """Put it into the output of the running cell."""
        self._handle.display({**self._widget.mime(), **display.bundle(self.root.still())}, raw=True)

    def snapshot(self) -> Picture:
        """What was sent so far, as a whole, with the last message's number. At once: it is asked on the kernel's own thread."""
        return {**self._now, "now": time.time() * 1000}

    def _full(self) -> Picture:
        return {**self.tracker.full(), "back": [_name(tracker) for tracker in self._trail[:-1]]}

    def stop(self) -> None:
        """Its hub is about to be closed."""
        self._stopped = True

    def close(self) -> None:
        """Its output is gone: nobody is told anything any more."""
        publisher(self.client).drop(self)
        self._widget.close()

    # what the browser says: on the kernel's thread, so it is only handed on

    def _on_message(self, message: Picture) -> None:
        if "ask" in message:
            self._asked_at = time.monotonic()
            publisher(self.client).answers.put(self, message)
        elif message.get("seen") != self._number:
            self._again = True
            publisher(self.client).touch(self)

    def reply(self, message: Picture) -> None:
        """Answer one question, on the thread for that."""
        try:
            answer = self._answer(message)
        except (DfnbError, ValueError, TypeError) as error:
            answer = {"error": str(error)}
        except Exception:
            logger.exception("dfnb: a question of a live view failed")
            answer = {"error": "this failed; the log of the kernel has the details"}
        self._widget.send({"answer": message.get("id"), **answer})
        if message.get("ask") in ("do", "go", "question"):
            publisher(self.client).touch(self)

    def _answer(self, message: Picture) -> Picture:
        if message["ask"] != "go":
            return self.tracker.answer(message)
        with self._lock:
            self._go(str(message.get("instance")))
            self._now = {**self._full(), "n": self._number}
            return dict(self._now)

    def _go(self, id: str) -> None:
        """To another instance, or back to where one came from."""
        names = [_name(tracker) for tracker in self._trail]
        if id in names:
            del self._trail[names.index(id) + 1 :]
        else:
            tracker = InstanceTracker(self.root.client, self.root.client.record(id).id)
            tracker.look()
            self._trail.append(tracker)
        self._again = True

    def concerns(self, ids: frozenset[str]) -> bool:
        concerned = [tracker for tracker in self._trail if tracker.ids is None or not tracker.ids.isdisjoint(ids)]
        for tracker in concerned:
            if isinstance(tracker, TableTracker):
                tracker.note(ids)
        return bool(concerned)

    # what it is told

    def publish(self) -> bool:
        """Send what changed. False once nothing more will."""
        with self._lock:
            shown, root = self.tracker, self.root
            stopped = self._stopped and [tracker for tracker in {root, shown} if not tracker.is_over]
            for tracker in stopped or ():
                tracker.say(STOPPED)
            delta = {} if shown.is_over and self._stopped else shown.look()  # what has ended may have been rewound
            if root is not shown and not root.is_over:
                root.look()
            if isinstance(shown, TableTracker) and shown.again_in is not None:
                publisher(self.client).touch_later(self, shown.again_in)
            again, self._again = self._again or shown.restarted or bool(stopped and shown.is_over), False
            if delta or again:
                self._send(delta, again)
        self._await_close()
        return not self._is_done()

    def _send(self, delta: Picture, again: bool) -> None:
        full = self._full()
        self._number += 1
        self._now = {**full, "n": self._number}
        self._widget.send({"n": self._number, "now": time.time() * 1000, **({"full": full} if again else delta)})

    def _is_done(self) -> bool:
        if not self.root.is_over or (self._stays and not self._stopped):
            return False
        linger = self._asked_at + _LINGER_SECONDS - time.monotonic()
        if linger > 0 and not self._stopped:
            publisher(self.client).touch_later(self, linger)
            return False
        self._handle.update(display.bundle(_whole(self.root)), raw=True)
        return True

    def _await_close(self) -> None:
        """Hear of the hub's closing through the futures of instances that are open."""
        for tracker in self._trail:
            for id in tracker.open_ids:
                if id not in self._awaited:
                    self._awaited.add(id)
                    try:
                        tracker.client.when_ended(id).add_done_callback(functools.partial(self._on_end, id))
                    except DfnbError:
                        publisher(self.client).touch(self)  # gone since: the next look says so

    def _on_end(self, id: str, future: Future[Any]) -> None:
        self._awaited.discard(id)  # rewound, it ends again
        self._stopped = self._stopped or isinstance(future.exception(), HubClosedError)
        publisher(self.client).touch(self)


def _name(tracker: Tracker) -> str:
    return tracker.id if isinstance(tracker, InstanceTracker) else "table"


def _whole(tracker: Tracker) -> Picture:
    """What the twin shows that nothing will replace."""
    return tracker.whole() if isinstance(tracker, InstanceTracker) else tracker.still()


_publishers: weakref.WeakKeyDictionary[Any, Publisher] = weakref.WeakKeyDictionary()
_finding = threading.Lock()
_cells: dict[str, list[View]] = {}
"""The views in the outputs of cells, by the cells' ids."""


def publisher(client: Any) -> Publisher:
    """The one publisher of a hub's views, made when first needed."""
    with _finding:
        found = _publishers.get(client)
        if found is None:
            found = _publishers[client] = Publisher()
        return found


def touch_all() -> None:
    """A cell was run that some view may wait for."""
    for one in list(_publishers.values()):
        one.touch()


def stop_views(client: Any) -> None:
    """The hub of this client is about to be closed."""
    publisher(client).stop_views()


def close() -> None:
    """Stop following everything; what is shown stays as it is."""
    for one in list(_publishers.values()):
        one.close()
    _cells.clear()


def register(shell: Any) -> Callable[[], None]:
    """Have the views of a cell end when it is run again, which takes them from the page. Returns what undoes it."""
    shell.events.register("pre_run_cell", _on_run)
    return functools.partial(shell.events.unregister, "pre_run_cell", _on_run)


def _on_run(info: Any) -> None:
    for view in _cells.pop(getattr(info, "cell_id", None) or "", ()):
        view.close()


def _running_cell() -> str | None:
    """The id of the cell whose output is written to; None where front ends do not tell."""
    shell: Any = get_ipython()
    told: str | None = shell.get_parent().get("metadata", {}).get("cellId")
    return told


def is_live() -> bool:
    """Whether outputs can be live: in a kernel, unless ``DFNB_LIVE=0`` or test mode is on."""
    return getattr(get_ipython(), "kernel", None) is not None and terminal.is_live()


def show(tracker: Tracker, *, inspect: bool = False) -> None:
    """Display what a tracker follows: live while it can change or if it is to be looked into, else as it is."""
    tracker.look()
    if isinstance(tracker, InstanceTracker) and terminal.is_here():
        terminal.show(tracker)
        return
    if (tracker.is_over and not inspect) or not is_live():
        publish_display_data(dict(display.bundle(_whole(tracker))))
        return
    view = View(tracker, stays=inspect and tracker.is_over)
    view.show()
    cell = _running_cell()
    if cell is not None:
        _cells.setdefault(cell, []).append(view)
    publisher(view.client).follow(view)


__all__ = ["close", "is_live", "publisher", "register", "show", "stop_views", "touch_all"]
