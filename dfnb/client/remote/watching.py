"""News of a remote hub: who waits for an instance's end is told of it, and who watches is told which instances changed.

A dfnb server streams the ids of what changed. Of others each awaited instance is asked for its status, as often as the server
advises but at least every five seconds, and while somebody watches the list is looked at too.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from dfnb.client.remote.api import Api, Look
from dfnb.client.remote.shapes import is_over
from dfnb.errors import InstanceNotFoundError, RemoteError, RemoteUnavailableError
from dfnb.hub.protocol import Ended

if TYPE_CHECKING:
    import asyncio

    import httpx

logger = logging.getLogger("dfnb")

Callback = Callable[[frozenset[str]], None]

LONGEST_PAUSE = 5.0
_SHORTEST_PAUSE = 0.2
_USUAL_PAUSE = 1.0
_LONGEST_REST = 60.0
"""The longest that a server which cannot answer is left alone as it asks."""
_LONG_POLL = 20.0
_LONG_POLLS = 256
_PATIENCE = 120.0
"""How many seconds a server may be away before those who wait are told."""
_LIST_QUESTION = {"top": "100", "showInput": "false"}


class Awaited:
    """One instance whose end somebody waits for. All of it belongs to the loop."""

    def __init__(self, news: asyncio.Event) -> None:
        self.futures: list[Future[Ended]] = []
        self.news = news
        self.etag: str | None = None
        self.shown: dict[str, Any] | None = None
        self.changed_before = False
        self.away = 0.0


class Watching:
    """Follows what is awaited and watched, on the loop it is given; everything but the constructor runs there."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._awaited: dict[str, Awaited] = {}
        self._callbacks: dict[int, Callback] = {}
        self._numbers = itertools.count()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._reader: asyncio.Task[None] | None = None
        """The task whose stream of changes is open."""
        self._has_no_stream = False

    @property
    def _streams(self) -> bool:
        """Whether the stream of changes is open, so that nobody has to ask. It ends with the task that reads it."""
        return self._reader is not None and self._reader is self._tasks.get("changes")

    # from outside

    async def await_end(self, instance_id: str, future: Future[Ended]) -> None:
        """Give the future the instance's end, once there is one; a cancelled one is forgotten."""
        import asyncio

        awaited = self._awaited.get(instance_id)
        if awaited is None:
            awaited = self._awaited[instance_id] = Awaited(asyncio.Event())
            self._spawn(f"instance {instance_id}", self._follow(instance_id, awaited))
        awaited.futures.append(future)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda done: self._on_done(loop, instance_id, done))
        self._follow_changes()

    def _on_done(self, loop: asyncio.AbstractEventLoop, instance_id: str, future: Future[Ended]) -> None:
        """From any thread."""
        if future.cancelled():
            with contextlib.suppress(RuntimeError):  # the loop is closed, and all is forgotten
                loop.call_soon_threadsafe(self._forget, instance_id, future)

    def _forget(self, instance_id: str, future: Future[Ended]) -> None:
        awaited = self._awaited.get(instance_id)
        if awaited is None or future not in awaited.futures:
            return
        awaited.futures.remove(future)
        if not awaited.futures:
            del self._awaited[instance_id]
            task = self._tasks.get(f"instance {instance_id}")
            if task is not None:
                task.cancel()
            self._rest()

    async def watch(self, callback: Callback) -> int:
        """Call back with the ids of what changed, until `unwatch`."""
        number = next(self._numbers)
        self._callbacks[number] = callback
        self._follow_changes()
        return number

    async def unwatch(self, number: int) -> None:
        self._callbacks.pop(number, None)
        self._rest()

    async def close(self) -> None:
        """Tell all who wait that there will be no more news."""
        import asyncio

        self._callbacks.clear()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for awaited in self._awaited.values():
            _fail(awaited, RemoteError(self._api.wire.address.shown, "was disconnected from; connect again to go on"))
        self._awaited.clear()

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        import asyncio

        task = self._tasks[name] = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(lambda done: self._tasks.pop(name, None) if self._tasks.get(name) is done else None)

    def _rest(self) -> None:
        """Nobody waits and nobody watches: let the server go."""
        if not self._awaited and not self._callbacks:
            for name in ("changes", "list"):
                task = self._tasks.pop(name, None)
                if task is not None:
                    task.cancel()

    # one instance

    async def _follow(self, instance_id: str, awaited: Awaited) -> None:
        try:
            while not await self._is_over(instance_id, awaited):
                pass
        except Exception as error:  # whatever it is, nobody may be left waiting
            self._awaited.pop(instance_id, None)
            _fail(awaited, error)
            self._note(frozenset([instance_id]))
        self._rest()

    async def _is_over(self, instance_id: str, awaited: Awaited) -> bool:
        """Look once and, if it goes on, pause until it may be worth another look."""
        awaited.news.clear()
        began = _now()
        try:
            look = await self._look(instance_id, awaited)
            if look.shown is None:
                raise InstanceNotFoundError(instance_id)
            self._compare(instance_id, awaited, look)
            if is_over(look.shown):
                await self._end(instance_id, awaited)
                return True
        except RemoteUnavailableError as error:
            if awaited.away > _PATIENCE:
                raise
            pause = max(min(LONGEST_PAUSE, max(_SHORTEST_PAUSE, awaited.away)), _asked(error))
            awaited.away += pause + _now() - began
            await self._pause(awaited, pause)
            return False
        if awaited.away:
            self._note(frozenset([instance_id]))  # whoever shows it may have looked in vain
            awaited.away = 0.0
        if self._streams:
            await awaited.news.wait()
            return False
        was_kept_waiting = self._may_long_poll() and (_now() - began >= 1.0 or look.etag != awaited.etag)
        awaited.etag = look.etag
        await self._pause(awaited, 0.0 if was_kept_waiting else _advised(look))
        return False

    async def _look(self, instance_id: str, awaited: Awaited) -> Look:
        if not self._may_long_poll():
            return await self._api.look(instance_id)
        return await self._api.look(instance_id, wait=_LONG_POLL, etag=awaited.etag if self._callbacks else None)

    def _may_long_poll(self) -> bool:
        """Whether to have a dfnb server keep the request: when it gives this caller no stream, as to one with a link only."""
        has_stream = self._api.has_extras and not self._has_no_stream
        return self._api.wire.version is not None and not has_stream and len(self._awaited) <= _LONG_POLLS

    def _compare(self, instance_id: str, awaited: Awaited, look: Look) -> None:
        """Tell the watchers what is new. The original's times are whole seconds, so after a change it is told once more."""
        if look.is_unchanged:
            return
        changed = look.shown != awaited.shown
        if changed or awaited.changed_before:
            self._note(frozenset([instance_id]))
        awaited.shown, awaited.changed_before = look.shown, changed

    async def _end(self, instance_id: str, awaited: Awaited) -> None:
        ended = await self._api.ended(instance_id)
        self._awaited.pop(instance_id, None)  # who comes from now on starts anew
        for future in awaited.futures:
            if future.set_running_or_notify_cancel():
                future.set_result(ended)
        self._note(frozenset([instance_id]))

    async def _pause(self, awaited: Awaited, seconds: float) -> None:
        import asyncio

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await awaited.news.wait()

    # all instances

    def _follow_changes(self) -> None:
        if self._api.has_extras and not self._has_no_stream:
            if "changes" not in self._tasks:
                self._spawn("changes", self._read_changes())
        elif self._callbacks and "list" not in self._tasks and self._api.wire.address.instance_id is None:
            self._spawn("list", self._compare_lists())

    async def _read_changes(self) -> None:
        """Read the stream of changes, and open it again when it breaks off."""
        import asyncio

        pause = _SHORTEST_PAUSE
        while not self._has_no_stream:
            with contextlib.suppress(RemoteUnavailableError, ValueError, RecursionError):
                async with self._api.wire.stream("changes") as response:
                    if response.status_code == 200:
                        pause = _SHORTEST_PAUSE
                        await self._read_stream(response)
                    else:
                        self._has_no_stream = response.status_code in (401, 403, 404)
            self._reader = None
            self._wake_all()
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, 2 * pause)
        self._tasks.pop("changes", None)
        self._follow_changes()

    async def _read_stream(self, response: httpx.Response) -> None:
        import asyncio

        async for ids in _events(self._api.wire.lines(response)):
            if not self._streams:  # its first line: from now on nothing is missed, but before something may have been
                self._reader = asyncio.current_task()
                self._wake_all()
            for id in ids & self._awaited.keys():
                self._awaited[id].news.set()
            self._note(ids)

    def _wake_all(self) -> None:
        for awaited in self._awaited.values():
            awaited.news.set()
        if self._awaited:
            self._note(frozenset(self._awaited))

    async def _compare_lists(self) -> None:
        """Look at the newest instances again and again for as long as somebody watches."""
        import asyncio

        before: dict[str, Any] | None = None
        while self._callbacks:
            pause = LONGEST_PAUSE
            try:
                page = await self._api.instances(_LIST_QUESTION, None)
                now = {str(one.get("instanceId")): one for one in page.items}
                if before is not None:
                    self._note(frozenset(id for id, one in now.items() if before.get(id) != one) | (before.keys() - now.keys()))
                before = now
            except (RemoteError, ValueError) as error:
                pause = max(pause, _asked(error))
                before = {}  # whoever shows them may have looked in vain too, so that all are told next time
            await asyncio.sleep(pause)

    def _note(self, ids: frozenset[str]) -> None:
        for callback in list(self._callbacks.values()) if ids else ():
            try:
                callback(ids)
            except Exception:  # one watcher's trouble is none of the others'
                logger.exception("dfnb: a callback of watch() failed")


async def _events(lines: AsyncIterator[str]) -> AsyncIterator[frozenset[str]]:
    """The ids in each event of the stream; none for a comment, which only says that the stream is alive."""
    import json

    async for line in lines:
        if line.startswith(":"):
            yield frozenset()
        elif line.startswith("data:"):
            told = json.loads(line[5:])
            yield frozenset(map(str, told if isinstance(told, list) else ()))


def _advised(look: Look) -> float:
    """How long to leave the server alone: as it advises, within bounds."""
    wanted = look.retry_after if look.retry_after is not None else _USUAL_PAUSE
    return max(_SHORTEST_PAUSE, min(LONGEST_PAUSE, wanted))


def _asked(error: Exception) -> float:
    """How long a server that cannot answer wants to be left alone, within bounds."""
    wanted = error.retry_after if isinstance(error, RemoteUnavailableError) else None
    return min(_LONGEST_REST, wanted or 0.0)


def _fail(awaited: Awaited, error: Exception) -> None:
    for future in awaited.futures:
        if not future.done() and future.set_running_or_notify_cancel():
            future.set_exception(error)


def _now() -> float:
    import asyncio

    return asyncio.get_running_loop().time()
