"""Gives activities their turns: who may run next, on how many threads, and when outcomes leave."""

from __future__ import annotations

import enum
import itertools
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from dfnb.engine.threads import Timers
from dfnb.threads import guarded

T = TypeVar("T")

_IDLE_SECONDS = 30.0
_TICK = 0.001
_TRIVIAL_PER_TICK = 8  # a thread that ends more items than this in a millisecond gains nothing from company
_BATCH = 64
_BATCH_SECONDS = 0.002


class Outbox(Generic[T]):
    """Hands finished things over in batches, where waiting for company costs nobody anything."""

    def __init__(self, deliver: Callable[[Sequence[T]], None]) -> None:
        self._deliver = deliver
        self._held: deque[T] = deque()
        self._flushed_at = 0.0

    def __len__(self) -> int:
        return len(self._held)

    def add(self, item: T) -> None:
        """Keep the item for the next `flush`, which comes at once when many are held or the oldest may be late."""
        self._held.append(item)
        if len(self._held) >= _BATCH or time.monotonic() - self._flushed_at > _BATCH_SECONDS:
            self.flush()

    def flush(self) -> None:
        batch: list[T] = []
        try:
            while True:
                batch.append(self._held.popleft())
        except IndexError:
            self._flushed_at = time.monotonic()
        if batch:
            guarded(lambda: self._deliver(batch))


class Slot(enum.Enum):
    """Who has the slot of an item after a thread of the pool has dealt with it."""

    FREE = enum.auto()  # the item is done
    LENT = enum.auto()  # the item goes on elsewhere; `release` comes later
    LOST = enum.auto()  # `release(thread_too=True)` was called while the thread was still busy: the thread must go


class WorkerPool(Generic[T]):
    """Runs items, at most `bound` at once: some on threads of its own, others elsewhere (a loop, an executor).

    Threads are added only while items wait *and* the present threads are slow with theirs. Ten thousand trivial items run on
    one or two threads, since more would only fight for the interpreter; a hundred blocking ones get a hundred threads within
    some milliseconds. All are daemons: `concurrent.futures` would join its threads and block a kernel's restart.
    """

    def __init__(
        self,
        run: Callable[[T], Slot],
        start_elsewhere: Callable[[list[T]], None],
        outbox: Outbox[Any],
        timers: Timers,
        bound: int,
    ) -> None:
        self._run = run
        self._start_elsewhere = start_elsewhere
        self._outbox = outbox
        self._timers = timers
        self._bound = bound
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._numbers = itertools.count()
        self._here: deque[tuple[int, T]] = deque()
        self._away: deque[tuple[int, T]] = deque()
        self._active = 0  # slots in use
        self._threads = 0
        self._members: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        self._idle = 0
        self._calls = 0  # idle threads that were called and have not come yet
        self._starting = 0
        self._finished = 0
        self._ticking = False
        self._last_tick = (0.0, 0)
        self._closed = False

    @property
    def bound(self) -> int:
        return self._bound

    @bound.setter
    def bound(self, bound: int) -> None:
        self._bound = bound
        self._proceed(0)

    @property
    def active(self) -> int:
        return self._active

    @property
    def queued(self) -> int:
        return len(self._here) + len(self._away)

    def put(self, here: Iterable[T] = (), elsewhere: Iterable[T] = ()) -> None:
        """Queue items; oldest first they get the slots that are or become free."""
        with self._lock:
            if self._closed:
                return
            self._here.extend(zip(self._numbers, here))  # noqa: B905 - the numbers never end
            self._away.extend(zip(self._numbers, elsewhere))  # noqa: B905
        self._proceed(0)

    def release(self, thread_too: bool = False) -> None:
        """Give back the slot of an item that ran elsewhere, or whose thread is given up."""
        with self._lock:
            self._threads -= thread_too
        self._proceed(1)

    def close(self) -> None:
        """Start nothing more; threads end when their item does."""
        with self._lock:
            self._closed = True
            self._here.clear()
            self._away.clear()
            self._changed.notify_all()

    def join(self) -> None:
        """Wait for the threads to end, however long their items take. Call `close` first."""
        for thread in list(self._members):
            thread.join()

    # ---- giving slots away

    def _proceed(self, slots_back: int) -> None:
        with self._lock:
            self._active -= slots_back
            starts = self._take_away()
            start_thread = self._call_thread()
            self._tick_soon()
        self._launch(starts, start_thread)

    def _launch(self, starts: list[T], threads: int) -> None:
        if starts:
            self._start_elsewhere(starts)
        for _ in range(threads):
            self._start_thread()

    def _take_away(self) -> list[T]:
        starts: list[T] = []
        while self._away and self._active < self._bound and self._is_turn_of_away():
            self._active += 1
            starts.append(self._away.popleft()[1])
        return starts

    def _is_turn_of_away(self) -> bool:
        enough_for_all = self._bound - self._active > len(self._here)
        return enough_for_all or not self._here or self._away[0][0] < self._here[0][0]

    def _call_thread(self) -> int:
        """Call one idle thread, or say that one has to be started (1), unless one is on its way already."""
        if not self._has_work() or self._calls or self._starting:
            return 0
        return self._add_thread()

    def _add_thread(self) -> int:
        if self._calls < self._idle:
            self._calls += 1
            self._changed.notify()
            return 0
        if self._threads >= self._bound:
            return 0
        self._threads += 1
        self._starting += 1
        return 1

    def _has_work(self) -> bool:
        return bool(self._here) and self._active < self._bound

    def _start_thread(self) -> None:
        try:
            thread = threading.Thread(target=self._work, name="dfnb-activity", daemon=True)
            thread.start()
            self._members.add(thread)
        except RuntimeError:  # the system gives no more threads: those we have go on
            with self._lock:
                self._threads -= 1
                self._starting -= 1
                if self._threads == 0:
                    raise

    # ---- a thread's life

    def _work(self) -> None:
        with self._lock:
            self._starting -= 1
        slots_back = 0
        while True:
            item = self._take(slots_back)
            slots_back = 0
            if item is not None:
                slot = self._run(item)
                del item
                if slot is Slot.LOST:
                    return
                slots_back = int(slot is Slot.FREE)
            else:
                self._outbox.flush()
                if not self._wait_for_call():
                    return

    def _take(self, slots_back: int) -> T | None:
        item = None
        with self._lock:
            self._active -= slots_back
            self._finished += slots_back
            starts = self._take_away() if self._away else []
            if self._here and self._active < self._bound:
                self._active += 1
                item = self._here.popleft()[1]
                self._tick_soon()
        if starts:
            self._start_elsewhere(starts)
        return item

    def _wait_for_call(self) -> bool:
        with self._lock:
            if self._has_work():
                return True
            self._idle += 1
            self._changed.wait_for(lambda: self._calls or self._closed, _IDLE_SECONDS)
            self._idle -= 1
            if self._calls and not self._closed:
                self._calls -= 1
                return True
            self._threads -= 1
            return False

    # ---- growing

    def _tick_soon(self) -> None:
        """See to it that waiting items get threads and held outcomes leave, even if all threads are stuck."""
        if self._ticking or self._closed:
            return
        if len(self._outbox) or (self._has_work() and len(self._here) > self._calls + self._starting):
            self._ticking = True
            self._last_tick = (time.monotonic(), self._finished)
            self._timers.after(_TICK, self._tick)

    def _tick(self) -> None:
        self._outbox.flush()
        with self._lock:
            self._ticking = False
            grow = self._growth()
            threads = sum(self._add_thread() for _ in range(grow))
            self._tick_soon()
        self._launch([], threads)

    def _growth(self) -> int:
        if not self._has_work():
            return 0
        began, finished_then = self._last_tick
        busy = max(1, self._threads - self._idle)
        ticks = (time.monotonic() - began) / _TICK
        if self._finished - finished_then > _TRIVIAL_PER_TICK * ticks * busy:
            return 0
        return min(busy, len(self._here), self._bound - self._active)
