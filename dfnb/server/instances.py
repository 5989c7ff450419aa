"""The operations on orchestrations: start, status, list, purge, events, and what changes their state."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from dfnb.client.links import BASE_PATH
from dfnb.client.status import DurableOrchestrationStatus
from dfnb.client.sync import check_event_name
from dfnb.errors import InstanceConflictError, InstanceNotFoundError, NotRegisteredError
from dfnb.hub.protocol import StartRequest
from dfnb.records.history import (
    EventRaised,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
)
from dfnb.records.plain_json import names_a_class
from dfnb.server import answers
from dfnb.server.answers import Refused
from dfnb.server.call import Call, applied, off_loop, preferences, preferred_wait
from dfnb.server.follow import Known, follow_status, wait_for_end
from dfnb.server.guard import is_json
from dfnb.server.query import read_time
from dfnb.server.status import Statuses, status_answer

_NO_FUNCTION = "The function '{}' doesn't exist, is disabled, or is not an orchestrator function. Additional info: {}"
_NO_DATE = "Please provide value for 'createdTimeFrom' parameter."
_PURGE_FILTERS = ("createdTimeFrom", "createdTimeTo", "runtimeStatus", "instanceIdPrefix")
_PURGED_BY = frozenset({
    *map(str.lower, _PURGE_FILTERS), "code", "clientid", "taskhub", "connection", "connectionname", "showinput", "showhistory",
})  # fmt: skip
"""The parameters of a purge in lower case, and those that say nothing of which instances: another may be meant as a filter."""
_LARGEST_PAGE = 1_000
_ADVICE_AT_START = "10"


class InstanceHandlers:
    """One method for each operation of the table of routes."""

    def __init__(self, statuses: Statuses) -> None:
        self._statuses = statuses

    # start

    async def start(self, call: Call) -> Response:
        body = await call.body()
        text = await call.json_text(body) if body.strip() else None
        name = self._orchestrator(call)
        checked = call.client.request(name, None, instance_id=call.params.get("instanceId"))
        request = StartRequest(name, checked.id, _input(text), None, checked.code, fresh=checked.fresh)
        if call.query.given("callbackUrl"):
            url = call.query.text("callbackUrl")
            await call.settled(await off_loop(call.client.submit_with_callback, request, url, call.origin + BASE_PATH))
        else:
            await self._submit(call, request)
        return await self._started(call, request.id)

    def _orchestrator(self, call: Call) -> str:
        wanted = call.params["functionName"]
        registry = call.house.registry
        names = registry.names("orchestrator")
        found = wanted if wanted in names else next((name for name in names if name.lower() == wanted.lower()), None)
        if found is None and registry.get("orchestrator", wanted) is None:
            error = NotRegisteredError("orchestrator", wanted, names)
            raise Refused(answers.bad_argument(_NO_FUNCTION.format(wanted, error)))
        return found or wanted

    async def _submit(self, call: Call, request: StartRequest) -> None:
        """Starts under ids of the caller's look into the file first, which is done elsewhere."""
        future = call.client.submit([request]) if request.fresh else await off_loop(call.client.submit, [request])
        await call.settled(future)

    async def _started(self, call: Call, instance_id: str) -> Response:
        """Links at once, or what came of it if the caller wanted to wait for that."""
        asked, preferred = self._asked_wait(call), preferred_wait(call)
        seconds = asked if asked is not None else preferred
        waited = ("wait",) if asked is None and preferred is not None else ()
        if seconds is not None and await wait_for_end(call, instance_id, seconds):
            status = await off_loop(call.client.status, instance_id)
            if status:  # nobody has purged it meanwhile
                return self._ended(status, applied(*waited))
        payload = call.links.management(instance_id, origin=call.origin, scope=call.scope)
        payload.pop("rewindPostUri", None)  # as in the original
        headers = {"Retry-After": _ADVICE_AT_START}
        if "statusQueryGetUri" in payload:  # the caller's own link may not allow it
            headers["Location"] = payload["statusQueryGetUri"]
        at_once = ("respond-async",) if "respond-async" in preferences(call.request) else ()
        return answers.data(payload, 202, {**headers, **applied(*at_once, *waited)})

    def _asked_wait(self, call: Call) -> float | None:
        """How long to wait by the original's own parameters, which win over ``Prefer``."""
        timeout, interval = call.query.seconds("timeout"), call.query.seconds("pollingInterval")
        if timeout is None or interval is None:
            return None
        if interval > timeout:
            text = f"Total timeout {timeout:g} should be bigger than retry timeout {interval:g}"
            raise Refused(answers.bad_argument(text))
        return min(timeout, call.house.settings.longest_wait)

    def _ended(self, status: DurableOrchestrationStatus, headers: Mapping[str, str]) -> Response:
        completed = status.runtime_status is not None and status.runtime_status.value == "Completed"
        return answers.data(status.output if completed else status.to_json(), 200, headers)

    # look

    async def get_status(self, call: Call) -> Response:
        id = call.params["instanceId"]
        if "text/event-stream" in call.request.headers.get("accept", ""):
            return await follow_status(call, self._statuses, id)
        seconds = preferred_wait(call)
        show_input = call.query.flag("showInput", True)
        if seconds is not None:
            known = call.request.headers.get("if-none-match")
            await wait_for_end(call, id, seconds, Known(self._statuses, known, show_input) if known else None)
        if not call.query.flag("showHistory"):
            shown = await self._statuses.show(id, show_input)
            response = status_answer(call, shown.record, shown.body, shown.etag)
        else:
            response = await self._with_history(call, id, show_input)
        response.headers.update(applied("wait") if seconds is not None else {})
        return response

    async def _with_history(self, call: Call, instance_id: str, show_input: bool) -> Response:
        record = await off_loop(call.client.record, instance_id)
        status = await off_loop(
            call.client.status, instance_id, show_history=True, show_history_output=call.query.flag("showHistoryOutput"),
            show_input=show_input,
        )  # fmt: skip
        if not status:
            raise InstanceNotFoundError(instance_id)
        return status_answer(call, record, answers.encode(status.to_json()), None)

    async def list_instances(self, call: Call) -> Response:
        query = call.query
        page = await off_loop(
            call.client.instances,
            created_time_from=query.time("createdTimeFrom"),
            created_time_to=query.time("createdTimeTo"),
            runtime_status=query.statuses() or None,
            instance_id_prefix=query.text("instanceIdPrefix"),
            limit=page_size(call),
            continuation_token=call.request.headers.get("x-ms-continuation-token") or None,
            show_input=query.flag("showInput", True),
            include_entities=query.flag("includeEntities"),
        )
        return paged([status.to_json() for status in page], page.continuation_token)

    # purge

    async def purge_instance(self, call: Call) -> Response:
        force = call.query.flag("force")
        try:
            result = await off_loop(call.client.purge, call.params["instanceId"], force=force)
        except InstanceConflictError as error:
            advice = "terminate it first, or purge it with ?force=true"
            raise InstanceConflictError(error.instance_id, error.status, error.operation, advice) from None
        return answers.data({"instancesDeleted": result.instances_deleted}) if result.instances_deleted else answers.empty(404)

    async def purge_instances(self, call: Call) -> Response:
        begin = call.query.text("createdTimeFrom")
        created_from = read_time(begin)
        if created_from is None:
            return answers.data(_NO_DATE, 400)
        if call.query.given("createdTimeTo") and call.query.time("createdTimeTo") is None:
            return answers.bad_argument("createdTimeTo is not a time; write it like 2026-01-31T12:00:00Z")
        unusable = sorted(call.query.names - _PURGED_BY)
        if unusable:
            return answers.bad_argument(f"a purge takes no {', '.join(unusable)}; it takes {', '.join(_PURGE_FILTERS)}")
        statuses = call.query.statuses() if call.query.given("runtimeStatus") else None
        result = await off_loop(
            call.client.purge_many,
            created_time_from=created_from,
            created_time_to=call.query.time("createdTimeTo"),
            runtime_status=statuses,
            instance_id_prefix=(call.query.text("instanceIdPrefix") or "") if call.query.given("instanceIdPrefix") else None,
        )
        return answers.data({"instancesDeleted": result.instances_deleted}) if result.instances_deleted else answers.empty(404)

    # events and states

    async def raise_event(self, call: Call) -> Response:
        id = call.params["instanceId"]
        if (await off_loop(call.client.record, id)).is_terminal:
            return answers.empty(410)
        if not is_json(call.request.headers.get("content-type", "")):
            return answers.message(400, "Only application/json request content is supported")
        text = await call.json_text(await call.body(), whole=False)
        if call.scope is not None and names_a_class(text):
            return answers.message(403, "only who has the hub's key may send objects of a class; send plain JSON")
        name = check_event_name(call.params["eventName"])
        return await self._send(call, EventRaised(name, _input(text)), "raise an event to")

    async def terminate(self, call: Call) -> Response:
        return await self._send(call, ExecutionTerminated(call.query.text("reason")), "terminate")

    async def suspend(self, call: Call) -> Response:
        return await self._send(call, ExecutionSuspended(call.query.text("reason")), "suspend")

    async def resume(self, call: Call) -> Response:
        return await self._send(call, ExecutionResumed(call.query.text("reason")), "resume")

    async def rewind(self, call: Call) -> Response:
        return await self._send(call, ExecutionRewound((), call.query.text("reason")), "rewind")

    async def _send(self, call: Call, event: HistoryEvent, operation: str) -> Response:
        await call.settled(await off_loop(call.client.send, call.params["instanceId"], event, operation))
        return answers.empty(202)

    async def restart(self, call: Call) -> Response:
        fresh = call.query.flag("restartWithNewInstanceId", True)
        try:
            started = await off_loop(call.client.restart, call.params["instanceId"], fresh)
        except NotRegisteredError as error:
            return answers.bad_argument(_NO_FUNCTION.format(error.name, error))
        return await self._started(call, started.id)


def _input(text: str | None) -> str | None:
    """JSON text as it is stored: null is nothing."""
    return None if text is None or text.strip() == "null" else text


def page_size(call: Call) -> int:
    wanted = call.query.number("top", 100)
    return min(wanted, _LARGEST_PAGE) if wanted > 0 else 100


def paged(items: list[dict[str, object]], token: str | None) -> Response:
    """A page of a list; the header for the next one is always there, empty on the last."""
    return answers.data(items, 200, {"x-ms-continuation-token": token or ""})
