"""The management API as coroutines: what one asks of it, and what its answers mean."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec

from dfnb.client.keys import proof
from dfnb.client.remote import extras
from dfnb.client.remote.exchanges import Exchanges
from dfnb.client.remote.history import HistoryReader, Row
from dfnb.client.remote.shapes import end_of, is_over, record_of, wrong_in
from dfnb.client.remote.wire import Wire, retry_after
from dfnb.errors import (
    InstanceConflictError,
    InstanceExistsError,
    InstanceFinishedError,
    InstanceNotFoundError,
    NotRegisteredError,
    PayloadError,
    RemoteError,
    RemoteRefusedError,
)
from dfnb.hub.http_state import CallSummary, ExchangeLine
from dfnb.hub.protocol import Ended, StartRequest
from dfnb.records.history import ExecutionCompleted
from dfnb.records.http import Exchange
from dfnb.records.instance import InstanceRecord
from dfnb.records.log import LogLine

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
Json = dict[str, Any]

_HISTORIES_KEPT = 256
_LOGS_KEPT = 16
_LINES_AT_ONCE = 10_000
_LISTED_KEPT_SECONDS = 1.0
_NO_FUNCTION = re.compile(r"The function '(?P<name>[^']*)' doesn't exist")
_NO_ENTITY = re.compile(r"[Ee]ntity '[^']*' is not registered|The function '[^']*' doesn't exist")
_QUOTED = re.compile(r"'([^']+)'")
_LISTED = re.compile(r"(?:defined are|registered are): (?P<names>.+)", re.IGNORECASE)
_STATUS_WORD = re.compile(r"with the status (?P<status>\w+)|is (?P<own>Pending|Running|Suspended|ContinuedAsNew)\b")
_TOKEN = "x-ms-continuation-token"
_EVERYTHING = {"showHistory": "true", "showHistoryOutput": "true"}

ADVICE = {
    "suspend": "resume it first",
    "resume": "only a suspended instance can be resumed",
    "rewind": "only a failed instance can be rewound",
    "restart": "terminate it first, or restart it with a new id",
    "purge": "terminate it first, or purge with force=True",
}


class Look(NamedTuple):
    """One look at a status: the JSON (None: no such instance; unchanged: empty), its ETag, and what the server advises."""

    shown: Json | None
    etag: str | None
    retry_after: float | None
    is_unchanged: bool = False


class Page(NamedTuple):
    """One page of a list."""

    items: list[Json]
    token: str | None


class Api:
    """Asks one management API."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._refuses_extras = False
        self._tells_whole = False
        """Whether it is an older server, which tells exchanges only with all they carried."""
        self._histories: OrderedDict[tuple[str, int], HistoryReader] = OrderedDict()
        self._exchanges: OrderedDict[tuple[str, int], Exchanges] = OrderedDict()
        self._listed: dict[str, tuple[float, Json]] = {}

    @property
    def has_extras(self) -> bool:
        """Whether it is a dfnb server that tells this caller more than the original would."""
        return self.wire.version is not None and not self._refuses_extras

    async def probe(self) -> None:
        """Find out at once whether somebody is there, speaks this API and takes the key."""
        only = self.wire.address.instance_id
        if only is not None:
            await self.status(only, {"showInput": "false"})
            return
        response = await self.wire.send("GET", "instances", {"top": "1", "showInput": "false"})
        if response.status_code != 200 or not isinstance(self.wire.json(response), list):
            raise RemoteError(
                self.wire.address.shown,
                f"has no API of Durable Functions at {self.wire.address.base} (it answers {response.status_code}); "
                "give the address of the site, or any URL of that API",
            )

    async def check_proof(self, key: str) -> None:
        """Find out whether who is there has the key, without showing it. RemoteError if not."""
        import hmac
        import secrets

        nonce = secrets.token_urlsafe(24)
        try:
            response = await self.wire.send("GET", "whoami", {"nonce": nonce}, with_key=False)
            told = self.wire.json(response) if response.status_code == 200 else None
        except RemoteRefusedError:
            told = None
        given = str(told.get("proof")) if isinstance(told, dict) else ""
        if not hmac.compare_digest(given.encode(), proof(key, nonce, self.wire.address.shown).encode()):
            raise RemoteError(
                self.wire.address.shown,
                "is not the one of this hub, so it was not given the key; another program may have taken the port since. "
                "Start the hub's server again, with `%dfnb serve`, or give an address and key=",
            )

    # one instance

    async def look(self, instance_id: str, *, wait: float = 0.0, etag: str | None = None) -> Look:
        """The present status. `wait`: a dfnb server may take so many seconds until it has ended, or is not `etag` any more."""
        headers = {"Prefer": f"wait={wait:.0f}"} if wait else {}
        if etag is not None:
            headers["If-None-Match"] = etag
        params = {} if etag is not None else {"showInput": "false"}  # an ETag is that of the whole status
        response = await self.wire.send("GET", _instance(instance_id), params, headers=headers, longer=wait)
        advice = retry_after(response)
        if response.status_code == 304:
            return Look({}, etag, advice, is_unchanged=True)
        return Look(self._status(response), response.headers.get("ETag"), advice)

    async def status(self, instance_id: str, params: Mapping[str, str] | None = None) -> Json | None:
        """The status object; None when there is no such instance."""
        return self._status(await self.wire.send("GET", _instance(instance_id), params))

    def _status(self, response: httpx.Response) -> Json | None:
        if response.status_code == 404:
            return None
        shown = self.wire.json(response) if response.status_code in (200, 202) else None
        if not isinstance(shown, dict) or "runtimeStatus" not in shown:
            raise self.wire.failed(response)
        self._check_status(shown)
        return shown

    def _check_status(self, shown: Any) -> None:
        wrong = wrong_in(shown)
        if wrong:
            raise self.wire.strange(wrong)

    async def known(self, instance_id: str, params: Mapping[str, str] | None = None) -> Json:
        """The same; InstanceNotFoundError when there is none."""
        shown = await self.status(instance_id, params)
        if shown is None:
            raise InstanceNotFoundError(instance_id)
        return shown

    async def record(self, instance_id: str) -> InstanceRecord:
        """The record; one made up from the status where the server does not tell its own."""
        told = await self._extra(instance_id, "record", extras.read_record)
        if told is not None:
            return told
        listed = self._listed.pop(instance_id, None)
        if listed is not None and time.monotonic() - listed[0] < _LISTED_KEPT_SECONDS:
            return record_of(listed[1])
        return record_of(await self.known(instance_id, {"showInput": "false"}))

    async def events(self, record: InstanceRecord, after: int) -> list[Row]:
        """The events behind a position."""
        told = await self._extra(record.id, "events", extras.read_events, {"after": str(after)})
        if told is not None:
            return told
        shown = await self.known(record.id, _EVERYTHING)
        try:
            return self._reader(record.id, record_of(shown).key).read(shown.get("historyEvents") or (), after)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise self.wire.strange(f"an event that cannot be read ({error})") from error

    def _reader(self, instance_id: str, key: int) -> HistoryReader:
        """The reader of one generation, which knows what it has told before."""
        return _kept(self._histories, (instance_id, key), lambda: HistoryReader(instance_id), _HISTORIES_KEPT)

    async def ended(self, instance_id: str) -> Ended:
        """How an instance that has ended did so."""
        record = await self.record(instance_id)
        end = await self.end(record)
        return Ended(record, end)

    async def end(self, record: InstanceRecord) -> ExecutionCompleted:
        """The end of an instance that has ended."""
        if self.has_extras and record.ended_pos is not None:
            rows = await self._extra(record.id, "events", extras.read_events, {"after": str(record.ended_pos - 1)})
            for position, _, row in rows or ():
                if position == record.ended_pos and isinstance(row.event, ExecutionCompleted):
                    return row.event
        failed = {"showHistory": "true"} if record.status == "Failed" else {}
        return end_of(await self.known(record.id, {"showInput": "false", **failed}))

    async def logs(self, instance_id: str) -> list[LogLine]:
        return await self._extra(instance_id, "logs", extras.read_logs) or []

    async def exchanges(self, instance_id: str, latest: int | None) -> list[Exchange] | None:
        """None from a server that does not tell them."""
        params = {} if latest is None else {"latest": str(latest)}
        return await self._extra(instance_id, "exchanges", extras.read_exchanges, params)

    async def exchange_lines(self, record: InstanceRecord, after: int) -> list[ExchangeLine]:
        """Those behind a position, without what they carried; none from a server that does not tell them."""
        found: list[ExchangeLine] = []
        while not self._tells_whole:
            params = {"bodies": "false", "after": str(after), "latest": "1"}  # all that an older server heeds is the last
            told = await self._extra(record.id, "exchanges", extras.read_lines, params)
            if told is None:
                self._tells_whole = self.has_extras
                break
            found += told
            if len(told) < _LINES_AT_ONCE:
                break
            after = told[-1].pos
        return found if not self._tells_whole else (await self._all_exchanges(record)).lines(after)

    async def exchange_at(self, record: InstanceRecord, pos: int) -> Exchange | None:
        """The one at a position that `exchange_lines` has told, whole."""
        if self._tells_whole:
            known = (await self._all_exchanges(record)).known
            return known[pos] if 0 <= pos < len(known) else None
        found = await self._extra(record.id, "exchanges", extras.read_exchanges, {"at": str(pos)})
        return found[0] if found else None

    async def _all_exchanges(self, record: InstanceRecord) -> Exchanges:
        known = _kept(self._exchanges, (record.id, record.key), Exchanges, _LOGS_KEPT)
        await known.refresh(lambda latest: self.exchanges(record.id, latest))
        return known

    async def calls(self, instance_id: str, limit: int) -> list[CallSummary]:
        return await self._extra(instance_id, "calls", extras.read_calls, {"limit": str(limit)}) or []

    async def children(self, instance_id: str) -> list[InstanceRecord] | None:
        """None from a server that does not tell them."""
        return await self._extra(instance_id, "children", extras.read_records)

    async def source(self, instance_id: str) -> str | None:
        return await self._extra(instance_id, "source", extras.read_source)

    async def _extra(
        self, instance_id: str, what: str, read: Callable[[bytes], T], params: Mapping[str, str] | None = None
    ) -> T | None:
        """What only a dfnb server tells, and only who has its key; None from others."""
        if not self.has_extras:
            return None
        try:
            response = await self.wire.send("GET", f"{_instance(instance_id)}/{what}", params)
        except RemoteRefusedError:
            self._refuses_extras = True  # a link to one instance opens no more than what the original has
            return None
        if response.status_code == 404:
            raise InstanceNotFoundError(instance_id)
        if response.status_code != 200:
            raise self.wire.failed(response)
        try:
            return read(response.content)
        except (msgspec.DecodeError, TypeError, ValueError, RecursionError) as error:
            problem = f"tells its {what} in another form than this version of dfnb knows ({error})"
            raise RemoteError(self.wire.address.shown, problem) from None

    # many

    async def page(self, path: str, params: Mapping[str, str], token: str | None) -> Page:
        """One page of a list."""
        response = await self.wire.send("GET", path, params, headers={_TOKEN: token} if token else {})
        if response.status_code == 400:
            raise ValueError(self.wire.words(response) or "the server refuses this question")
        items = self.wire.json(response)
        if response.status_code != 200 or not isinstance(items, list):
            raise self.wire.failed(response)
        if not all(isinstance(item, dict) for item in items):
            raise self.wire.strange("a list of other things than objects")
        return Page(items, response.headers.get(_TOKEN) or None)

    async def instances(self, params: Mapping[str, str], token: str | None) -> Page:
        """One page of instances."""
        page = await self.page("instances", params, token)
        for one in page.items:
            self._check_status(one)
        if not self.has_extras:
            now = time.monotonic()
            self._listed = {str(one.get("instanceId")): (now, one) for one in page.items}
        return page

    # changes

    async def start(self, request: StartRequest, callback_url: str | None = None) -> None:
        path = f"orchestrators/{segment(request.name)}/{segment(request.id)}"
        response = await self._change("POST", path, {"callbackUrl": callback_url} if callback_url else None, request.input)
        if response.status_code in (200, 202):
            return
        said = self.wire.words(response)
        missing = _NO_FUNCTION.match(said)
        if missing is not None:
            raise NotRegisteredError("orchestrator", missing["name"], _names_in(said, missing["name"]))
        if response.status_code == 409 or "already exists" in said:
            found = _STATUS_WORD.search(said)
            raise InstanceExistsError(request.id, (found["status"] or found["own"]) if found is not None else "Running")
        raise self._refused(response, said)

    async def tell(
        self, instance_id: str, what: str, operation: str, params: Mapping[str, str] | None = None, body: str | None = None
    ) -> None:
        """Send a message to an instance; `operation` names it in the errors."""
        response = await self._change("POST", f"{_instance(instance_id)}/{what}", params, body)
        if response.status_code not in (200, 202):
            await self._why_not(response, instance_id, operation)

    async def _why_not(self, response: httpx.Response, instance_id: str, operation: str) -> None:
        """Raise what the same refusal is in a hub of one's own."""
        if response.status_code == 404:
            raise InstanceNotFoundError(instance_id)
        if response.status_code == 410:
            raise InstanceFinishedError(instance_id, await self._status_word(instance_id), operation)
        said = self.wire.words(response)
        if response.status_code == 400 and "does not match a valid" in said:
            raise InstanceNotFoundError(instance_id)
        if response.status_code in (409, 500) and operation in ADVICE:
            status = await self._status_word(instance_id)
            if response.status_code == 409 or _does_not_fit(status, operation):
                raise InstanceConflictError(instance_id, status, operation, ADVICE[operation])
        raise self._refused(response, said)

    async def _status_word(self, instance_id: str) -> str:
        shown = await self.status(instance_id, {"showInput": "false"})
        return str(shown["runtimeStatus"]) if shown is not None else "gone"

    def _refused(self, response: httpx.Response, said: str) -> Exception:
        if response.status_code == 400:
            is_json = said.startswith(("Invalid JSON", "Could not parse JSON"))
            return PayloadError(said) if is_json else ValueError(said or "the server says that an argument is wrong")
        return self.wire.failed(response)

    async def restart(self, instance_id: str, new_id: bool) -> str:
        """The id of the new instance."""
        params = {"restartWithNewInstanceId": "true" if new_id else "false"}
        response = await self._change("POST", f"{_instance(instance_id)}/restart", params)
        if response.status_code not in (200, 202):
            await self._why_not(response, instance_id, "restart")
        told = self.wire.json(response)
        if not isinstance(told, dict) or not isinstance(told.get("id"), str):
            raise self.wire.strange("a restart without the id of the new instance")
        return str(told["id"])

    async def purge(self, instance_id: str, force: bool) -> int:
        """How many were deleted. One that has not ended stays, unless `force`; the original itself does not ask."""
        shown = await self.status(instance_id, {"showInput": "false"})
        if shown is None:
            return 0
        if not is_over(shown) and not force:
            raise InstanceConflictError(instance_id, str(shown["runtimeStatus"]), "purge", ADVICE["purge"])
        response = await self._change("DELETE", _instance(instance_id), {"force": "true"} if force else None)
        return await self._deleted(response, instance_id)

    async def _deleted(self, response: httpx.Response, instance_id: str) -> int:
        if response.status_code == 404:
            return 0
        if response.status_code != 200:
            await self._why_not(response, instance_id, "purge")
        return self._count_in(response)

    def _count_in(self, response: httpx.Response) -> int:
        told = self.wire.json(response)
        if not isinstance(told, dict) or not isinstance(told.get("instancesDeleted"), int):
            raise self.wire.strange("a purge without the number of deleted instances")
        return int(told["instancesDeleted"])

    async def purge_many(self, params: Mapping[str, str]) -> int:
        """How many were deleted."""
        response = await self._change("DELETE", "instances", params)
        if response.status_code == 404:
            return 0
        if response.status_code != 200:
            raise self._refused(response, self.wire.words(response))
        return self._count_in(response)

    async def signal(self, method: str, name: str, key: str, params: Mapping[str, str], body: str | None) -> None:
        """Send an operation to an entity."""
        response = await self._change(method, f"entities/{segment(name)}/{segment(key)}", params, body)
        if response.status_code in (200, 202):
            return
        said = self.wire.words(response)
        if response.status_code == 400 and _NO_ENTITY.search(said):
            raise NotRegisteredError("entity", name, _names_in(said, name))
        raise self._refused(response, said)

    async def entity_state(self, name: str, key: str) -> tuple[bool, Any]:
        """Whether it has a state, and which."""
        response = await self.wire.send("GET", f"entities/{segment(name)}/{segment(key)}")
        if response.status_code == 404:
            return False, None
        if response.status_code != 200:
            raise self.wire.failed(response)
        return True, self.wire.json(response)

    async def _change(
        self, method: str, path: str, params: Mapping[str, str] | None, body: str | None = None
    ) -> httpx.Response:
        self._listed.clear()  # what a list said before may be wrong now
        return await self.wire.send(method, path, params, body=body)


def _kept(store: OrderedDict[tuple[str, int], T], key: tuple[str, int], make: Callable[[], T], most: int) -> T:
    """What is in the store, or made for it; what was not asked for longest is forgotten."""
    found = store.pop(key, None)
    found = make() if found is None else found
    store[key] = found
    if len(store) > most:
        store.popitem(last=False)
    return found


def segment(text: str) -> str:
    """A text as one segment of a path. A lone dot or two would be taken for a way, so they are escaped too."""
    return quote(text, safe="@") if text.strip(".") else text.replace(".", "%2E")


def _instance(instance_id: str) -> str:
    """The path of an instance; the empty id would be the path of all of them."""
    if not isinstance(instance_id, str) or not instance_id or "/" in instance_id:
        raise InstanceNotFoundError(instance_id)
    return f"instances/{segment(instance_id)}"


def _does_not_fit(status: str, operation: str) -> bool:
    """Whether the original refuses the operation in that state, which it does with a bare 500."""
    if operation == "suspend":
        return status == "Suspended"
    if operation == "resume":
        return status in ("Running", "Pending", "ContinuedAsNew")
    return status in ("Running", "Pending", "ContinuedAsNew", "Suspended")


def _names_in(said: str, wanted: str) -> list[str]:
    """The names that a sentence lists besides the one that was wanted, for a did-you-mean."""
    rest = said.partition("Additional info:")[2] or said
    listed = _LISTED.search(rest)
    names = listed["names"].rstrip(".").split(", ") if listed is not None else _QUOTED.findall(rest)
    return [name for name in names if name not in (wanted, "none")]
