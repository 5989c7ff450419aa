"""A handle on one instance: look, wait, signal."""

from __future__ import annotations

import concurrent.futures
import numbers
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from dfnb.client import html
from dfnb.client.history import History
from dfnb.client.http_log import HttpLog
from dfnb.client.status import DurableOrchestrationStatus
from dfnb.errors import DfnbError, InstanceFailedError, RemoteUnavailableError, WaitTimeoutError
from dfnb.hub.protocol import Ended
from dfnb.records import payload
from dfnb.records.log import LogLine
from dfnb.records.short_repr import visible

if TYPE_CHECKING:
    from dfnb.client.pictures.drawing import SvgPicture
    from dfnb.client.sync import DurableOrchestrationClient

_LOOK_SECONDS = 0.1


class WaitInterrupted(KeyboardInterrupt):
    """A wait was interrupted; the instance goes on."""

    def _render_traceback_(self) -> list[str]:
        return [f"KeyboardInterrupt: {self}"]


class Instance:
    """One instance, by its id. Cheap to make and to keep; everything it tells is asked of the hub when needed.

    ``await instance`` gives the output, like `result()`.
    """

    def __init__(self, client: DurableOrchestrationClient, id: str, name: str) -> None:
        self._client = client
        self.id = id
        self.name = name

    @property
    def client(self) -> DurableOrchestrationClient:
        return self._client

    # look

    def status(
        self, *, show_history: bool = False, show_history_output: bool = False, show_input: bool = True
    ) -> DurableOrchestrationStatus:
        """The instance's committed state."""
        return self._client.status(
            self.id, show_history=show_history, show_history_output=show_history_output, show_input=show_input
        )

    def history(self) -> History:
        """All recorded events, oldest first: a list that shows as a table."""
        return History(self._client.history(self.id))

    def logs(self) -> list[LogLine]:
        """What its orchestrator and activities printed and logged."""
        return self._client.logs(self.id)

    def http(self, *, latest: int | None = None) -> HttpLog:
        """Every request its HTTP calls have sent, or the latest ones, and what came back: a list that shows as a table."""
        return self._client.http(self.id, latest=latest)

    def timeline(self) -> SvgPicture:
        """Its tasks as bars on a time axis: a picture that shows itself, with `svg` and `save(path)`."""
        from dfnb.client.pictures.take import timeline_of  # here and not above: few ask for pictures

        return timeline_of(self._client, self.id)

    def graph(self) -> SvgPicture:
        """Its tasks in the order of cause and effect, of its latest generation: a picture like that of `timeline`."""
        from dfnb.client.pictures.take import graph_of

        return graph_of(self._client, self.id)

    # wait

    def wait(self, timeout: float | None = None) -> DurableOrchestrationStatus:
        """Wait until the instance has ended; its final status. WaitTimeoutError after `timeout` seconds."""
        self._ended(timeout)
        return self.status()

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the end and return the output. InstanceFailedError if it failed or was terminated."""
        return _output(self._ended(timeout))

    def _ended(self, timeout: float | None) -> Ended:
        if not isinstance(timeout, numbers.Real | None):
            raise TypeError(f"timeout is a number of seconds, or None to wait for the end, not {timeout!r}")
        future = self._client.when_ended(self.id)
        try:
            return self._waited(future, timeout)
        finally:
            future.cancel()  # who stops waiting leaves nothing behind

    def _waited(self, future: concurrent.futures.Future[Ended], timeout: float | None) -> Ended:
        left = timeout
        while True:
            nap = _LOOK_SECONDS if left is None else min(_LOOK_SECONDS, max(left, 0))
            try:
                return future.result(nap)
            except concurrent.futures.TimeoutError:
                if left is not None:
                    left -= nap
                    if left <= 0:
                        raise WaitTimeoutError(self.id, timeout or 0, self._what_for()) from None
            except KeyboardInterrupt:
                raise WaitInterrupted(f"stopped waiting for {self.id}; it goes on in the background") from None

    def _what_for(self) -> str:
        try:
            return self._client.waiting_for(self._client.record(self.id))
        except RemoteUnavailableError:
            return ""  # the server is away for a moment, which the wait does not mind

    def __await__(self) -> Generator[Any, None, Any]:
        return self._awaited().__await__()

    async def _awaited(self) -> Any:
        """Wakes itself every 0.1 s: a bare await of the future could not be interrupted in a kernel."""
        import asyncio  # here and not above: a program that never awaits starts 40 ms sooner without it

        from dfnb.client.cancelled import WaitCancelled

        waiting = asyncio.wrap_future(self._client.when_ended(self.id))
        try:
            while not waiting.done():
                await asyncio.wait({waiting}, timeout=_LOOK_SECONDS)
        except asyncio.CancelledError:
            waiting.cancel()
            raise WaitCancelled(f"stopped waiting for {self.id}; it goes on in the background") from None
        return _output(waiting.result())

    # signal

    def raise_event(self, event_name: str, event_data: Any = None) -> None:
        """Give the instance an event."""
        self._client.raise_event(self.id, event_name, event_data)

    def terminate(self, reason: str | None = None, *, recursive: bool = False) -> None:
        """End the instance now."""
        self._client.terminate(self.id, reason, recursive=recursive)

    def suspend(self, reason: str | None = None) -> None:
        """Stop the instance's code from going on."""
        self._client.suspend(self.id, reason)

    def resume(self, reason: str | None = None) -> None:
        """Let the suspended instance go on."""
        self._client.resume(self.id, reason)

    def rewind(self, reason: str | None = None) -> None:
        """Run the failed tasks of the failed instance again."""
        self._client.rewind(self.id, reason)

    def restart(self, *, new_id: bool = True) -> Instance:
        """Start it again with the same input, under a new id or the same."""
        return self._client.restart(self.id, new_id)

    def purge(self, *, force: bool = False) -> None:
        """Delete the ended instance with its history."""
        self._client.purge(self.id, force=force)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Instance) and (self.id, self._client) == (other.id, other._client)

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<Instance {visible(self.name)} {self.id!r}>"

    def _repr_html_(self) -> str:
        """How it stands now; with the extension loaded, a notebook shows it live instead."""
        try:
            return self.status()._repr_html_()
        except DfnbError as error:  # the hub may be closed by the time it is shown
            head = [html.span("dfnb-name", self.name), html.span("dfnb-id", self.id)]
            return html.card("", head, [html.row("note", html.span("", str(error)))])


def _output(ended: Ended) -> Any:
    record, end = ended.record, ended.end
    if end.status == "Completed":
        return payload.decode(end.result)
    reason = end.result if end.status == "Terminated" else None
    raise InstanceFailedError(record.id, record.name, end.status, end.failure, reason)
