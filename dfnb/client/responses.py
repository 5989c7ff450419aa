"""The clients' helpers for HTTP functions: answers that carry an instance's links, with the names and fields of Azure's SDK."""

from __future__ import annotations

import abc
import dataclasses
import json
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Protocol
from urllib.parse import urlsplit

from dfnb.client.links import Links
from dfnb.client.status import DurableOrchestrationStatus
from dfnb.errors import HubClosedError, InstanceNotFoundError, WaitTimeoutError
from dfnb.records.web import HttpResponse

Verbs = Iterable[str] | str | None

RETRY_AFTER = 10
"""What an answer to a start advises, in seconds."""
_FLAG = "returnInternalServerErrorOnFailure=true"


class Request(Protocol):
    """All that the helpers ask of a request: ours, Azure's or any other one with a URL."""

    @property
    def url(self) -> str: ...


class LinkResponses(abc.ABC):
    """Links of instances, as values and as answers. They need a server that answers behind them."""

    @property
    @abc.abstractmethod
    def links(self) -> Links | None:
        """Makes the links of the server that runs on this hub; None without one."""

    def create_check_status_response(
        self, request: Request | None, instance_id: str, return_internal_server_error_on_failure: bool = False, *,
        verbs: Verbs = None, expires_in: timedelta | None = None,
    ) -> HttpResponse:
        """202 with the instance's links, and where to ask how it goes. Whether there is such an instance is not looked at.

        `return_internal_server_error_on_failure`: the status link answers 500 once the instance has failed. `verbs` and
        `expires_in` limit what the links may do and for how long.
        """
        payload = self.get_client_response_links(request, instance_id, verbs=verbs, expires_in=expires_in)
        status_url = payload.get("statusQueryGetUri")
        headers = {"Retry-After": str(RETRY_AFTER)}
        if status_url is not None:
            if return_internal_server_error_on_failure:
                payload["statusQueryGetUri"] = status_url = f"{status_url}&{_FLAG}"
            headers["Location"] = status_url
        return _json_response(payload, 202, headers)

    def create_http_management_payload(
        self, request: Request | str | None = None, instance_id: str | None = None, *, verbs: Verbs = None,
        expires_in: timedelta | None = None,
    ) -> dict[str, str]:
        """The instance's links by their names; called with the id alone, or with a request in front of it."""
        if instance_id is None and isinstance(request, str):
            request, instance_id = None, request
        if instance_id is None or isinstance(request, str):
            raise TypeError("create_http_management_payload takes an instance's id, or a request and an id")
        return self.get_client_response_links(request, instance_id, verbs=verbs, expires_in=expires_in)

    def get_client_response_links(
        self, request: Request | None, instance_id: str, *, verbs: Verbs = None, expires_in: timedelta | None = None
    ) -> dict[str, str]:
        """The instance's links by their names, beginning as the URL of the request does."""
        if self.links is None:
            raise HubClosedError(
                "there are no links to hand out while no server answers behind them: run `%dfnb serve`, or app.serve()"
            )
        return self.links.management(instance_id, origin=_origin_of(request), verbs=verbs, expires_in=expires_in)


class _Client(Protocol):
    def create_check_status_response(
        self, request: Request | None, instance_id: str, return_internal_server_error_on_failure: bool = False, *,
        verbs: Verbs = None, expires_in: timedelta | None = None,
    ) -> HttpResponse: ...


class _Blocking(_Client, Protocol):
    def wait(self, instance_id: str, timeout: float | None = None) -> DurableOrchestrationStatus: ...


class _Async(_Client, Protocol):
    async def wait(self, instance_id: str, timeout: float | None = None) -> DurableOrchestrationStatus: ...


class BlockingResponses(LinkResponses):
    """The helpers of the client that blocks."""

    links: Links | None = None
    """Makes the links of the server that runs on this hub; None without one. The app sets it."""

    def wait_for_completion_or_create_check_status_response(
        self: _Blocking, request: Request | None, instance_id: str, timeout_in_milliseconds: float = 10_000,
        retry_interval_in_milliseconds: float = 1_000, return_internal_server_error_on_failure: bool | None = None, *,
        verbs: Verbs = None, expires_in: timedelta | None = None,
    ) -> HttpResponse:
        """The output, if the instance ends in time; else the answer of `create_check_status_response`.

        A failed instance gives 500 with its status, or 200 with `return_internal_server_error_on_failure=False`; True has the
        status link do the same. An id that no instance has is answered like one that has not ended yet.
        """
        seconds = _checked_wait(timeout_in_milliseconds, retry_interval_in_milliseconds)
        later = _Later(self, request, instance_id, return_internal_server_error_on_failure, verbs, expires_in)
        try:
            status = self.wait(instance_id, seconds)
        except (WaitTimeoutError, InstanceNotFoundError):
            return later.response()
        return later.response() if not status.is_terminal else later.of_ended(status)


class AsyncResponses(LinkResponses):
    """The helpers of the client with coroutines; only the one that waits is one."""

    async def wait_for_completion_or_create_check_status_response(
        self: _Async, request: Request | None, instance_id: str, timeout_in_milliseconds: float = 10_000,
        retry_interval_in_milliseconds: float = 1_000, return_internal_server_error_on_failure: bool | None = None, *,
        verbs: Verbs = None, expires_in: timedelta | None = None,
    ) -> HttpResponse:
        """The output, if the instance ends in time; else the answer of `create_check_status_response`.

        A failed instance gives 500 with its status, or 200 with `return_internal_server_error_on_failure=False`; True has the
        status link do the same. An id that no instance has is answered like one that has not ended yet.
        """
        seconds = _checked_wait(timeout_in_milliseconds, retry_interval_in_milliseconds)
        later = _Later(self, request, instance_id, return_internal_server_error_on_failure, verbs, expires_in)
        try:
            status = await self.wait(instance_id, seconds)
        except (WaitTimeoutError, InstanceNotFoundError):
            return later.response()
        return later.response() if not status.is_terminal else later.of_ended(status)


@dataclasses.dataclass(frozen=True, slots=True)
class _Later:
    """What both kinds of waiting answer."""

    client: _Client
    request: Request | None
    instance_id: str
    error_on_failure: bool | None
    verbs: Verbs
    expires_in: timedelta | None

    def response(self) -> HttpResponse:
        flag = bool(self.error_on_failure)
        return self.client.create_check_status_response(
            self.request, self.instance_id, flag, verbs=self.verbs, expires_in=self.expires_in
        )

    def of_ended(self, status: DurableOrchestrationStatus) -> HttpResponse:
        name = status.runtime_status.value if status.runtime_status is not None else ""
        if name == "Completed":
            return _json_response(status.output)
        return _json_response(status.to_json(), 500 if name == "Failed" and self.error_on_failure is not False else 200)


def _checked_wait(timeout: float, interval: float) -> float:
    """The timeout in seconds. Nothing is asked at intervals here, but one that could not work elsewhere is refused."""
    if interval > timeout:
        raise ValueError(f"Total timeout {timeout / 1000:g} should be bigger than retry timeout {interval / 1000:g}")
    return timeout / 1000


def _origin_of(request: Request | None) -> str | None:
    """What the request's URL begins with; the server that made the request knows better than its URL if a proxy's path is part."""
    if request is None:
        return None
    known = getattr(request, "origin", None)
    parts = urlsplit(str(request.url))
    return known or (f"{parts.scheme}://{parts.netloc}" if parts.netloc else None)


def _json_response(value: Any, status_code: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return HttpResponse(body, status_code=status_code, headers=headers, mimetype="application/json")
