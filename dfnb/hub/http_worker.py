"""The worker side of the hub for HTTP calls: their exchanges, and which of them wait for the time of their next request.

Called from the engine's thread unless a method says otherwise.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence

from msgspec import structs

from dfnb.errors import HubError
from dfnb.hub import bodies
from dfnb.hub.entity_worker import EntityWorkerSide
from dfnb.hub.http_state import CallKey, CallStep, WaitingCall
from dfnb.hub.sql import query
from dfnb.hub.state import InstanceState, Message, OpenTask
from dfnb.records.history import HistoryEvent, HttpCallCompleted, HttpCallFailed
from dfnb.records.http import Exchange, Pairs
from dfnb.records.instance import Wait

LARGE = (HttpCallCompleted.kind, HttpCallFailed.kind)
_EVENT_KIND, _EVENT_NAME = 4, 8
_REQUEST_HASH, _RESPONSE_HASH = 12, 17
"""Where in their rows these columns stand: see the schema."""


class HttpWorkerSide(EntityWorkerSide):
    """What the engine asks of the hub about HTTP calls."""

    def deliver_call(self, step: CallStep) -> None:
        """What came of a request. From any thread."""
        key, generation, _ = step.call
        with self.changed:
            state = self._states.get(key)
            if step.event is None:
                self._call_steps.append(step)
            elif state is not None:  # it was not purged meanwhile
                self._put(state, Message(step.event, step.at, generation, step.attempt, exchanges=step.exchanges))
            self.changed.notify_all()

    def take_call_steps(self) -> list[tuple[InstanceState | None, CallStep]]:
        """What came of requests whose calls are not over: written down by this, and waiting for their time after the commit."""
        with self.changed:
            steps, self._call_steps = self._call_steps, []
            known = [(self._states.get(step.call[0]), step) for step in steps]
        for state, step in known:
            if step.waiting is not None and state is not None and _is_wanted(state, step):
                self.record_exchanges(step.call[0], step.exchanges)
                self._calls[step.call] = step.waiting
                self._batch.timers.append((step.waiting.due_at, *step.call))
            else:
                self.record_exchanges(step.call[0], [_without_work(exchange) for exchange in step.exchanges])
        return known

    def take_due_calls(self) -> list[tuple[InstanceState, CallKey, WaitingCall]]:
        """Calls whose next request is to be sent now."""
        with self.changed:
            due, self._due_calls = self._due_calls, []
            found = [(self._states.get(call[0]), call, self._calls.pop(call, None)) for call in due]
        return [(state, call, waiting) for state, call, waiting in found if state is not None and waiting is not None]

    def drop_call(self, call: CallKey) -> WaitingCall | None:
        """Have a call not be sent any more; what it was waiting with, if it was waiting."""
        with self.changed:
            return self._calls.pop(call, None)

    def open_calls(self) -> list[tuple[InstanceState, int, OpenTask, WaitingCall | None]]:
        """Calls that were asked for and are not over, and where they stood: after a restart they go on from there."""
        found = [
            (state, task, entry)
            for state in self._states.values()
            for task, entry in (state.open or {}).items()
            if entry.kind == "http"
        ]
        if not found:
            return []
        keys = sorted({state.key for state, _, _ in found})
        rows = self._read(lambda cursor: cursor.execute(query("latest_work"), [keys]).fetchall())
        latest = {tuple(row[:3]): WaitingCall(row[3], row[4] or 0, row[5]) for row in rows}
        return [(state, task, entry, latest.get((state.key, state.generation, task))) for state, task, entry in found]

    def open_cancels(self) -> list[tuple[CallKey, WaitingCall]]:
        """Cancel requests that were decided on before a restart and have not been answered."""
        rows = self._read(lambda cursor: cursor.execute(query("open_cancels")).fetchall())
        return [((key, generation, task), WaitingCall(work, 0, attempt)) for key, generation, task, work, attempt in rows]

    def take_planned_cancels(self) -> list[tuple[CallKey, WaitingCall]]:
        """Cancel requests that the present batch decides on; they leave when it is on disk."""
        planned, self._planned = self._planned, []
        return planned

    def with_times(self, state: InstanceState, waits: tuple[Wait, ...]) -> tuple[Wait, ...]:
        """Waits for HTTP calls with the time of the next request, and with what else it waits for."""
        return tuple(self._timed(state, wait) if wait.kind == "http" else wait for wait in waits)

    def _timed(self, state: InstanceState, wait: Wait) -> Wait:
        waiting = self._calls.get((state.key, state.generation, wait.task or 0))
        entry = state.take_open(wait.task or 0)
        if waiting is None or entry is None:
            return wait
        name = f"{entry.name} ({waiting.why})" if waiting.why else entry.name
        return structs.replace(wait, name=name, until=waiting.due_at)

    def arm_call(self, call: CallKey, waiting: WaitingCall) -> None:
        """Have a call wait for its time, without writing anything."""
        with self.changed:
            self._wait_for_time(call, waiting)
            state = self._states.get(call[0])
            if state is not None and state.record is not None:  # the row that tells it may be older than the last exchange
                state.waits = self.with_times(state, state.waits)
                state.record = structs.replace(state.record, waits=state.waits)

    def paused_hosts(self, since: int, longest: int) -> list[tuple[str, int]]:
        """URLs whose servers have asked to be left alone, and until when; each for at most so many microseconds."""
        rows = self._read(lambda cursor: cursor.execute(query("paused_hosts"), [longest, since]).fetchall())
        return [(url, until) for url, until in rows]

    # within the present batch

    def record_exchanges(self, key: int, exchanges: Sequence[Exchange]) -> None:
        """Add exchanges of an instance to the present batch."""
        for exchange in exchanges:
            if exchange.purpose == "cancel" and exchange.work is not None:
                call = (key, exchange.generation, exchange.task)
                self._planned.append((call, WaitingCall(exchange.work, 0, exchange.attempt)))
            pos = self._next_pos
            self._next_pos += 1
            self._batch.exchanges.append((
                pos, key, exchange.generation, exchange.task, exchange.attempt, exchange.purpose, exchange.sent_at,
                exchange.took, exchange.method, exchange.url, _pairs(exchange.request_headers),
                *self._placed(exchange.request_body), len(exchange.request_body), exchange.status,
                _pairs(exchange.response_headers), *self._placed(exchange.response_body), len(exchange.response_body),
                exchange.asked, exchange.due_at, exchange.note or None, exchange.error, exchange.work,
            ))  # fmt: skip

    def _placed(self, body: bytes) -> tuple[str | None, str | None]:
        """A body for its row: itself if it is small, otherwise the hash under which it is kept."""
        if not body:
            return None, None
        text = bodies.as_text(body) if len(body) <= bodies.INLINE else None
        return (text, None) if text is not None else (None, self._kept(body))

    def _kept(self, body: bytes) -> str:
        if self._known_bodies is None:
            rows = self._read(lambda cursor: cursor.execute(query("body_hashes")).fetchall())
            self._known_bodies = {hash for (hash,) in rows}
        hash = bodies.hash_of(body)
        if hash not in self._known_bodies:
            self._known_bodies.add(hash)
            self._batch.bodies.append(bodies.body_row(hash, body))
        return hash

    def _name_and_data(self, event: HistoryEvent, name: str | None, data: str | None) -> tuple[str | None, str | None]:
        """What an event's row has; a large answer refers to its body."""
        if isinstance(event, HttpCallFailed | HttpCallCompleted):
            head, body = event.split_content()
            if len(body) > bodies.INLINE:
                return self._kept(body), head
        return name, data

    # bodies that nobody refers to any more

    def close(self, *, abandon: bool = False) -> None:
        """As the working set does, after the bodies of purged instances are gone. The engine has stopped."""
        if self._bodies_left and not (abandon or self._closed):
            with contextlib.suppress(HubError):  # a full disk, at worst: they go another time
                self.sweep_bodies()
        super().close(abandon=abandon)

    def sweep_bodies(self) -> None:
        """Delete the bodies that no exchange and no event refers to, not even in the batch being made."""
        self._journal.drain()
        batch = self._batch
        needed = [hash for row in batch.exchanges for hash in (row[_REQUEST_HASH], row[_RESPONSE_HASH]) if hash is not None]
        needed += [row[_EVENT_NAME] for row in batch.rows if row[_EVENT_KIND] in LARGE and row[_EVENT_NAME] is not None]
        sweep = self._journal.run(lambda connection: connection.execute(query("delete_unused_bodies"), [needed]).fetchall())
        gone = {hash for (hash,) in sweep.result()}
        if self._known_bodies is not None:
            self._known_bodies -= gone
        self._bodies_left = False

    # after a commit

    def _wait_for_time(self, call: CallKey, waiting: WaitingCall) -> None:
        self._calls[call] = waiting
        self._push_timer((waiting.due_at, *call))


def _is_wanted(state: InstanceState, step: CallStep) -> bool:
    """Whether the instance still waits for the call, and not for a new one since a rewind."""
    _, generation, task = step.call
    entry = state.take_open(task)
    return not state.is_terminal and state.generation == generation and entry is not None and entry.attempt == step.attempt


def _without_work(exchange: Exchange) -> Exchange:
    """An exchange from which no restart goes on."""
    return structs.replace(exchange, work=None) if exchange.work is not None else exchange


def _pairs(pairs: Pairs) -> str | None:
    return json.dumps(pairs, ensure_ascii=False) if pairs else None
