"""The operations on entities: signal, read, list, delete."""

from __future__ import annotations

import re

from starlette.responses import Response

from dfnb.hub.protocol import SignalRequest
from dfnb.records.entity_id import EntityId
from dfnb.server import answers
from dfnb.server.answers import Refused
from dfnb.server.call import Call, off_loop
from dfnb.server.guard import is_json
from dfnb.server.instances import page_size, paged

_FORBIDDEN_IN_KEY = re.compile(r"[/\\?#\x00-\x1f\x7f-\x9f]")

_WRONG_ID = "an entity's key may not contain / \\ ? # or control characters, its name no @ either"


class EntityHandlers:
    """One method for each operation of the table of routes."""

    async def signal_entity(self, call: Call) -> Response:
        return await self._signal(call, call.query.text("op") or "")

    async def delete_entity(self, call: Call) -> Response:
        return await self._signal(call, "delete", destroy=True)

    async def _signal(self, call: Call, operation: str, *, destroy: bool = False) -> Response:
        id = self._entity(call)
        text = await self._input(call)
        await call.settled(call.client.submit_signals([SignalRequest(str(id), operation, text, destroy=destroy)]))
        return answers.empty(202)

    def _entity(self, call: Call) -> EntityId:
        name, key = call.params["entityName"], call.params.get("entityKey", "")
        if _FORBIDDEN_IN_KEY.search(key) or "@" in name or _FORBIDDEN_IN_KEY.search(name):
            raise Refused(answers.message(400, _WRONG_ID))
        if call.house.registry.get("entity", name) is None:
            known = ", ".join(call.house.registry.names("entity")) or "none"
            raise Refused(answers.message(400, f"The entity '{name}' is not registered here. Registered are: {known}"))
        return EntityId(name, key)

    async def _input(self, call: Call) -> str | None:
        """No body is no input; JSON is itself, everything else a text."""
        body = await call.body()
        if not body:
            return None
        if is_json(call.request.headers.get("content-type", "")):
            try:
                text = call.house.guard.json_text(body, whole=False)
            except Refused as refused:
                raise Refused(_could_not_parse(refused)) from None
            return None if text.strip() == "null" else text
        return answers.encode(body.decode("utf-8", "replace")).decode()

    async def get_entity(self, call: Call) -> Response:
        key = call.params["entityKey"]
        id = EntityId(call.params["entityName"], "" if key == "$" else key)
        state = await off_loop(call.client.read_entity_state, id)
        return answers.data(state.entity_state) if state.entity_exists else answers.empty(404)

    async def list_entities(self, call: Call) -> Response:
        query = call.query
        page = await off_loop(
            call.client.entities,
            call.params.get("entityName"),
            last_operation_from=query.time("lastOperationTimeFrom"),
            last_operation_to=query.time("lastOperationTimeTo"),
            fetch_state=query.flag("fetchState"),
            limit=page_size(call),
            continuation_token=call.request.headers.get("x-ms-continuation-token") or None,
        )
        return paged([status.to_json() for status in page], page.continuation_token)


def _could_not_parse(refused: Refused) -> Response:
    import json

    told = json.loads(bytes(refused.response.body))
    return answers.message(400, f"Could not parse JSON content: {told['ExceptionMessage']}")
