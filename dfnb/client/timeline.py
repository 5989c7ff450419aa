"""The tasks of an instance as rows on a time axis, folded from its events one by one. Pure: events in, rows out.

Times in rows are milliseconds since 1970. The names of a row's fields are short, as thousands of rows go to the browser:
`i` its number, `k` kind, `n` name, `s` start, `e` end, `st` state, `t` tries, `u` due time of a timer, `x` due time of the next
try or request, `p` times of polls (of many some, evenly thinned), `pc` their number, `ra` how long the server asked to be left
alone, `c` a child's id, `id` and `g` the task's number and generation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from dfnb.hub.http_state import ExchangeLine
from dfnb.records.history import (
    EntityLockGranted,
    EntityLockRequested,
    EntityOperationCalled,
    EntityOperationCompleted,
    EntityOperationFailed,
    EntityOperationSignaled,
    EventRaised,
    ExecutionCompleted,
    HistoryEvent,
    HttpCallCompleted,
    HttpCallFailed,
    HttpCallScheduled,
    Recorded,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCanceled,
    TimerCreated,
    TimerFired,
)
from dfnb.records.instance import InstanceRecord

Row = dict[str, Any]

_POLLS_KEPT = 60
_LONGEST_NOTE = 160
_OPEN = frozenset({"Running", "Waiting"})


class Timeline:
    """All tasks of one instance in the order in which they were scheduled."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._index: dict[tuple[int, int], int] = {}
        self._waits: dict[str, int] = {}
        self._changed: dict[int, None] = {}
        self._strides: dict[int, int] = {}

    def take_changed(self) -> dict[str, Row]:
        """The rows that are new or other since the last time, by their number."""
        changed, self._changed = self._changed, {}
        return {str(i): dict(self.rows[i]) for i in changed}

    # events

    def feed(self, events: Iterable[tuple[int, int, Recorded]]) -> None:
        """Take in events as `history_after` gives them, oldest first."""
        for _, generation, row in events:
            handler = _HANDLERS.get(type(row.event))
            if handler is not None:
                handler(self, generation, row.at / 1000, row.event)

    def _add(self, generation: int, at: float, kind: str, name: str, task: int | None = None, **more: Any) -> Row:
        row = {"i": len(self.rows), "k": kind, "n": name, "s": at, "e": None, "st": "Running", "g": generation, "id": task, **more}
        if task is not None:
            self._index[generation, task] = row["i"]
        self.rows.append(row)
        self._changed[row["i"]] = None
        return row

    def _row(self, generation: int, task: int) -> Row | None:
        index = self._index.get((generation, task))
        if index is None:
            return None
        self._changed[index] = None
        return self.rows[index]

    def _scheduled(self, kind: str, generation: int, at: float, task: int, name: str, **more: Any) -> None:
        """A task of a number that is there already is tried again."""
        before = self._row(generation, task)
        if before is None:
            self._add(generation, at, kind, name, task, **more)
            return
        tries = before.setdefault("t", [[before["s"], before["e"] or at, int(before["st"] == "Completed")]])
        tries.append([at, None, 0])
        before.pop("x", None)
        before |= {"e": None, "st": "Running", **more}

    def _ended(self, generation: int, at: float, task: int, state: str, note: str = "") -> None:
        row = self._row(generation, task)
        if row is None:
            return
        row |= {"e": at, "st": state}
        row.pop("x", None)
        if row.get("t"):
            row["t"][-1] = [row["t"][-1][0], at, int(state == "Completed")]
        if note:
            row["note"] = note[:_LONGEST_NOTE]

    def _timer(self, generation: int, at: float, event: TimerCreated) -> None:
        due = event.fire_at / 1000
        row = self._row(generation, event.task) if event.retry else None
        if row is None:
            self._add(generation, at, "timer", "timer", event.task, u=due)
            return
        row.setdefault("t", [[row["s"], row["e"] or at, 0]])
        row |= {"x": due, "st": "Waiting", "e": None}

    def _fired(self, generation: int, at: float, event: TimerFired) -> None:
        row = self._row(generation, event.task)
        if row is not None and row["k"] == "timer":
            self._ended(generation, at, event.task, "Completed")

    def _raised(self, generation: int, at: float, event: EventRaised) -> None:
        """From when it was waited for. Of one of which nothing tells that, it is known only when it came: a point."""
        open_row = self._waits.pop(event.name, None)
        row = self.rows[open_row] if open_row is not None else self._add(generation, at, "event", event.name)
        self._changed[row["i"]] = None
        since = row["s"] if event.took is None else at - event.took / 1000
        row |= {"s": since, "e": at, "st": "Completed"}

    def _over(self, generation: int, at: float, event: ExecutionCompleted) -> None:
        for row in self.rows:
            if row["st"] in _OPEN:
                self._changed[row["i"]] = None
                row |= {"e": at, "st": "Canceled"}
                row.pop("x", None)
        self._waits.clear()

    # what no event tells

    def wait_for(self, record: InstanceRecord) -> None:
        """The events an instance waits for have a row from the moment it began to wait."""
        asked = {wait.name: wait for wait in record.waits if wait.kind == "event"}
        says_all = record.is_terminal or not any(wait.kind in ("definition", "held", "more") for wait in record.waits)
        for name in [name for name in self._waits if says_all and name not in asked]:
            row = self.rows[self._waits.pop(name)]
            self._changed[row["i"]] = None
            row |= {"e": record.updated_at / 1000, "st": "Canceled"}
        for name, wait in asked.items():
            if name not in self._waits:
                since = (wait.since if wait.since is not None else record.updated_at) / 1000
                self._waits[name] = self._add(record.generation, since, "event", name, st="Waiting")["i"]

    def exchanged(self, lines: Iterable[ExchangeLine]) -> None:
        """What HTTP calls have sent: each poll a mark on the row of its call."""
        for line in lines:
            row = self._row(line.generation, line.task)
            if row is None:
                continue
            if line.purpose in ("poll", "result"):
                self._polled(row, line.sent_at / 1000)
            row.pop("ra", None)
            row.pop("x", None)
            if line.due_at is not None and row["e"] is None:
                row["x"] = line.due_at / 1000
                if line.asked is not None:
                    row["ra"] = line.asked / 1000

    def _polled(self, row: Row, at: float) -> None:
        """One mark more: the first and the last always stay, and when there are too many, every second of the others goes."""
        number, stride, marks = row.get("pc", 0), self._strides.get(row["i"], 1), [*row.get("p", ())]
        if marks and (number - 1) % stride:  # the one before stayed only because it was the last
            marks.pop()
        marks.append(at)
        if len(marks) > _POLLS_KEPT:
            self._strides[row["i"]] = stride * 2
            marks = [*marks[:-1:2], at]
        row |= {"p": marks, "pc": number + 1}


Handler = Callable[[Timeline, int, float, Any], None]


def _scheduling(kind: str, name: Callable[[Any], str]) -> Handler:
    def handle(timeline: Timeline, generation: int, at: float, event: Any) -> None:
        more = {"c": event.instance_id} if isinstance(event, SubOrchestrationInstanceCreated) else {}
        timeline._scheduled(kind, generation, at, event.task, name(event), **more)

    return handle


def _ending(state: str) -> Handler:
    def handle(timeline: Timeline, generation: int, at: float, event: Any) -> None:
        failure = getattr(event, "failure", None)
        timeline._ended(generation, at, event.task, state, failure.summary if failure is not None else "")

    return handle


def _answered(timeline: Timeline, generation: int, at: float, event: HttpCallCompleted) -> None:
    timeline._ended(generation, at, event.task, "Failed" if event.failed else "Completed", event.note)


def _signaled(timeline: Timeline, generation: int, at: float, event: EntityOperationSignaled) -> None:
    row = timeline._add(generation, at, "signal", f"{event.entity} {event.name}", event.task)
    row |= {"e": at, "st": "Completed"}


_HANDLERS: dict[type[HistoryEvent], Handler] = {
    TaskScheduled: _scheduling("activity", lambda event: event.name),
    TaskCompleted: _ending("Completed"),
    TaskFailed: _ending("Failed"),
    SubOrchestrationInstanceCreated: _scheduling("orchestration", lambda event: event.name),
    SubOrchestrationInstanceCompleted: _ending("Completed"),
    SubOrchestrationInstanceFailed: _ending("Failed"),
    EntityOperationCalled: _scheduling("entity", lambda event: f"{event.entity} {event.name}"),
    EntityOperationCompleted: _ending("Completed"),
    EntityOperationFailed: _ending("Failed"),
    EntityOperationSignaled: _signaled,
    EntityLockRequested: _scheduling("lock", lambda event: ", ".join(event.entities)),
    EntityLockGranted: _ending("Completed"),
    HttpCallScheduled: _scheduling("http", lambda event: event.name),
    HttpCallCompleted: _answered,
    HttpCallFailed: _ending("Failed"),
    TimerCreated: Timeline._timer,
    TimerFired: Timeline._fired,
    TimerCanceled: _ending("Canceled"),
    EventRaised: Timeline._raised,
    ExecutionCompleted: Timeline._over,
}
