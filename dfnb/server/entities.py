"""The operations on entities: signal, read, list, delete."""

from __future__ import annotations

import json

from starlette.responses import Response

from dfnb.hub.protocol import SignalRequest
from dfnb.records.entity_id import EntityId
from dfnb.server import answers
from dfnb.server.answers import Refused
from dfnb.server.call import Call, off_loop
from dfnb.server.guard import is_json
from dfnb.server.instances import page_size, paged

_NO_KEY = "$"
"""The key of an entity that is called without one: the original reads its empty key by this word, and no key is empty here."""


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
        try:
            id = _id_of(call)
        except ValueError as error:
            raise Refused(answers.message(400, str(error))) from None
        if call.house.registry.get("entity", id.name) is None:
            name = call.params["entityName"]
            known = ", ".join(call.house.registry.names("entity")) or "none"
            raise Refused(answers.message(400, f"The entity '{name}' is not registered here. Registered are: {known}"))
        return id

    async def _input(self, call: Call) -> str | None:
        """No body is no input; JSON is itself, everything else a text."""
        body = await call.body()
        if not body:
            return None
        if is_json(call.request.headers.get("content-type", "")):
            try:
                text = await call.json_text(body, whole=False)
            except Refused as refused:
                raise Refused(_could_not_parse(refused)) from None
            return None if text.strip() == "null" else text
        return answers.encode(body.decode("utf-8", "replace")).decode()

    async def get_entity(self, call: Call) -> Response:
        try:
            id = _id_of(call)
        except ValueError:  # no entity can have such an id
            return answers.empty(404)
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


def _id_of(call: Call) -> EntityId:
    """The entity in the path. ValueError if none can have that id."""
    return EntityId(call.params["entityName"], call.params.get("entityKey", _NO_KEY))


def _could_not_parse(refused: Refused) -> Response:
    told = json.loads(bytes(refused.response.body))
    return answers.message(400, f"Could not parse JSON content: {told['ExceptionMessage']}")
