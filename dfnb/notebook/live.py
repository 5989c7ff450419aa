"""Live views: the only hop from the hub's threads to the browser.

The hub says which instances changed, on its writer thread, which only notes the views concerned. One publisher thread looks at
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
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.display import DisplayHandle, publish_display_data

from dfnb.errors import DfnbError, HubClosedError
from dfnb.notebook import display, terminal
from dfnb.notebook.answers import Answers
from dfnb.notebook.followed import FollowedTracker
from dfnb.notebook.snapshot import STOPPED, InstanceTracker, Picture
from dfnb.notebook.tables import TableTracker

logger = logging.getLogger("dfnb")

_PAUSE_SECONDS = 0.1
_SHARE_OF_TIME = 5
"""Looking may take a fifth of the publisher's time: a view that is slow to read is read less often."""

_LINGER_SECONDS = 30.0
"""A view that somebody is looking into stays a while after the end before the static twin takes its place."""

_numbers = itertools.count(1)

Tracker = InstanceTracker | TableTracker | FollowedTracker


class View:
    """One output of one cell: a widget that follows a tracker, until static HTML replaces it."""

    def __init__(self, tracker: Tracker, publisher: Publisher) -> None:
        from dfnb.notebook.widgets import StatusWidget

        self._trail: list[Tracker] = [tracker]
        self._lock = threading.Lock()
        self._number = 0
        self._again = False
        self._awaited: set[str] = set()
        self._publisher = publisher
        self._asked_at = float("-inf")
        self.stopped = False
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

    def show(self) -> None:
        """Put it into the output of the running cell."""
        self._handle.display({**self._widget.mime(), **display.bundle(self.root.still())}, raw=True)

    def snapshot(self) -> Picture:
        """All there is to see now, with the number of the last message it accounts for."""
        with self._lock:
            return {**self._full(), "n": self._number, "now": time.time() * 1000}

    def _full(self) -> Picture:
        return {**self.tracker.full(), "back": [_name(tracker) for tracker in self._trail[:-1]]}

    # what the browser says: on the kernel's thread, so it is only handed on

    def _on_message(self, message: Picture) -> None:
        if "ask" in message:
            self._asked_at = time.monotonic()
            answers().put(self, message)
        elif message.get("seen") != self._number:
            self._again = True
            self._publisher.touch(self)

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
            self._publisher.touch(self)

    def _answer(self, message: Picture) -> Picture:
        if message["ask"] != "go":
            return self.tracker.answer(message)
        with self._lock:
            self._go(str(message.get("instance")))
            return self._full()

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
            stopped = self.stopped and [tracker for tracker in {root, shown} if not tracker.is_over]
            for tracker in stopped or ():
                tracker.say(STOPPED)
            delta = {} if shown.is_over and self.stopped else shown.look()  # what has ended may have been rewound
            if root is not shown and not root.is_over:
                root.look()
            if isinstance(shown, TableTracker) and shown.again_in is not None:
                self._publisher.touch_later(self, shown.again_in)
            again, self._again = self._again or shown.restarted or bool(stopped and shown.is_over), False
            if again:
                delta = {"full": self._full()}
            if delta:
                self._number += 1
                self._widget.send({"n": self._number, "now": time.time() * 1000, **delta})
        self._await_close()
        return not self._is_done()

    def _is_done(self) -> bool:
        if not self.root.is_over:
            return False
        linger = self._asked_at + _LINGER_SECONDS - time.monotonic()
        if linger > 0 and not self.stopped:
            self._publisher.touch_later(self, linger)
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
                        self._publisher.touch(self)  # gone since: the next look says so

    def _on_end(self, id: str, future: Future[Any]) -> None:
        self._awaited.discard(id)  # rewound, it ends again
        self.stopped = self.stopped or isinstance(future.exception(), HubClosedError)
        self._publisher.touch(self)


def _name(tracker: Tracker) -> str:
    return tracker.id if isinstance(tracker, InstanceTracker) else "table"


def _whole(tracker: Tracker) -> Picture:
    """What the twin shows that nothing will replace."""
    return tracker.whole() if isinstance(tracker, InstanceTracker) else tracker.still()


class Publisher:
    """One thread that keeps all views up to date."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._views: dict[Any, list[View]] = {}
        self._ends: dict[Any, Callable[[], None]] = {}
        self._dirty: dict[View, None] = {}
        self._later: dict[View, float] = {}
        self._closed = False
        self._thread: threading.Thread | None = None

    def follow(self, view: View) -> None:
        client = view.root.client
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

    def touch_later(self, view: View, seconds: float) -> None:
        """Have a view looked at when that time has passed."""
        with self._news:
            self._later[view] = time.monotonic() + seconds
            self._news.notify()

    def _take_later(self) -> float | None:
        """Move what is due to what is looked at; how long until the next."""
        now = time.monotonic()
        due = [view for view, at in self._later.items() if at <= now]
        for view in due:
            del self._later[view]
        self._dirty.update(dict.fromkeys(due))
        return min(self._later.values()) - now if self._later else None

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
                while not self._closed and not self._dirty:
                    pause = self._take_later()
                    if not self._dirty:
                        self._news.wait(pause)
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
        client = view.root.client
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
_answers: list[Answers] = []


def answers() -> Answers:
    """The one thread that answers the questions of all views, made when first needed."""
    if not _answers:
        _answers.append(Answers())
    return _answers[0]


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
    while _answers:
        _answers.pop().close()


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
    view = View(tracker, publisher())
    view.show()
    if not tracker.is_over:
        publisher().follow(view)


__all__ = ["close", "is_live", "publisher", "show", "stop_views", "touch_all"]
