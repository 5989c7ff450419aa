"""The helpers of HTTP functions, with links as a server makes them."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any, NamedTuple

import pytest

import dfnb
from dfnb.client.links import Links, read_code, scoped_code
from dfnb.client.sync import DurableOrchestrationClient

KEY = b"k" * 32
NAMES = [
    "id", "statusQueryGetUri", "sendEventPostUri", "terminatePostUri", "rewindPostUri", "purgeHistoryDeleteUri", "restartPostUri",
    "suspendPostUri", "resumePostUri",
]  # fmt: skip


class Request(NamedTuple):
    """A request of another library."""

    url: str


@pytest.fixture
def client(app: dfnb.DurableApp) -> DurableOrchestrationClient:
    def code(instance_id: str, scope: Any) -> str:
        return scoped_code(KEY, instance_id, scope)

    app.client.links = Links(lambda: "http://127.0.0.1:7071", code, lambda: 1_000_000)
    return app.client


REQUEST = dfnb.HttpRequest("POST", "http://here:7071/api/order?code=x", origin="https://out.example/prefix")


def body(response: dfnb.HttpResponse) -> Any:
    return json.loads(response.get_body())


def test_without_a_server_a_sentence_says_how_to_start_one(app: dfnb.DurableApp) -> None:
    with pytest.raises(dfnb.HubClosedError, match=r"run `%dfnb serve`, or app\.serve\(\)"):
        app.client.create_check_status_response(REQUEST, "a")
    with pytest.raises(dfnb.HubClosedError, match="%dfnb serve"):
        app.async_client.create_http_management_payload("a")


def test_the_check_status_response_has_the_links_and_tells_where_to_ask(client: DurableOrchestrationClient) -> None:
    response = client.create_check_status_response(REQUEST, "a b")
    links = body(response)
    assert (response.status_code, response.mimetype) == (202, "application/json")
    assert list(links) == NAMES
    assert links["id"] == "a b"
    assert links["statusQueryGetUri"].startswith("https://out.example/prefix/runtime/webhooks/durabletask/instances/a%20b?taskHub=")
    assert dict(response.headers) == {"Retry-After": "10", "Location": links["statusQueryGetUri"]}
    assert b": " not in response.get_body()


def test_the_flag_for_failures_goes_into_the_status_link_only(client: DurableOrchestrationClient) -> None:
    response = client.create_check_status_response(REQUEST, "a", True)
    flagged = [name for name, url in body(response).items() if "returnInternalServerErrorOnFailure=true" in url]
    assert flagged == ["statusQueryGetUri"]
    assert response.headers["location"].endswith("&returnInternalServerErrorOnFailure=true")


def test_links_begin_as_the_request_does_and_as_the_server_where_there_is_none(client: DurableOrchestrationClient) -> None:
    for request, origin in [
        (REQUEST, "https://out.example/prefix/runtime"),
        (Request("https://there.example:8443/api/x?y"), "https://there.example:8443/runtime"),
        (None, "http://127.0.0.1:7071/runtime"),
    ]:
        assert client.get_client_response_links(request, "a")["statusQueryGetUri"].startswith(origin)


def test_a_management_payload_takes_an_id_or_a_request_and_an_id(client: DurableOrchestrationClient) -> None:
    assert list(client.create_http_management_payload("a")) == NAMES
    assert client.create_http_management_payload(instance_id="a") == client.create_http_management_payload("a")
    assert client.create_http_management_payload(REQUEST, "a")["statusQueryGetUri"].startswith("https://out.example")
    with pytest.raises(TypeError, match="takes an instance's id"):
        client.create_http_management_payload(REQUEST)


def test_links_can_be_limited_to_verbs_and_a_time(client: DurableOrchestrationClient) -> None:
    response = client.create_check_status_response(None, "a", verbs=["raiseEvent"], expires_in=timedelta(minutes=1))
    links = body(response)
    assert list(links) == ["id", "sendEventPostUri"]
    assert "Location" not in response.headers
    scope = read_code(KEY, "a", links["sendEventPostUri"].partition("code=")[2])
    assert scope is not None
    assert (set(scope.verbs), scope.expires_at) == ({"raiseEvent"}, 61_000_000)
    with pytest.raises(ValueError, match="verbs takes some of"):
        client.create_http_management_payload("a", verbs=["fly"])


def waited(client: DurableOrchestrationClient, instance_id: str, **options: Any) -> list[dfnb.HttpResponse]:
    """What both clients answer."""
    other = dfnb.AsyncDurableOrchestrationClient(client)
    return [
        client.wait_for_completion_or_create_check_status_response(REQUEST, instance_id, **options),
        asyncio.run(other.wait_for_completion_or_create_check_status_response(REQUEST, instance_id, **options)),
    ]


@pytest.mark.parametrize("output", [{"a": [1, None]}, "text é", 0, None], ids=["object", "text", "zero", "null"])
def test_an_instance_that_completes_in_time_gives_its_output(client: DurableOrchestrationClient, output: Any) -> None:
    instance = client.start("echo", output)
    for response in waited(client, instance.id):
        assert (response.status_code, response.mimetype, body(response)) == (200, "application/json", output)
        assert "Location" not in response.headers


def test_one_that_does_not_end_in_time_gives_its_links(client: DurableOrchestrationClient) -> None:
    instance = client.start("waits")
    for response in waited(client, instance.id, timeout_in_milliseconds=20, retry_interval_in_milliseconds=10):
        assert (response.status_code, response.headers["Retry-After"]) == (202, "10")
        assert body(response)["id"] == instance.id
        assert "returnInternal" not in response.headers["Location"]


def test_an_id_that_no_instance_has_gives_links_at_once(client: DurableOrchestrationClient) -> None:
    for response in waited(client, "nobody", timeout_in_milliseconds=600_000):
        assert (response.status_code, body(response)["id"]) == (202, "nobody")


@pytest.mark.parametrize(("flag", "code"), [(None, 500), (True, 500), (False, 200)])
def test_a_failed_instance_gives_its_status_with_500_unless_told_otherwise(
    client: DurableOrchestrationClient, flag: bool | None, code: int
) -> None:
    instance = client.start("shop")
    for response in waited(client, instance.id, return_internal_server_error_on_failure=flag):
        assert (response.status_code, body(response)["runtimeStatus"]) == (code, "Failed")


def test_the_flag_given_while_waiting_is_in_the_link(client: DurableOrchestrationClient) -> None:
    instance = client.start("waits")
    options = {"timeout_in_milliseconds": 0, "retry_interval_in_milliseconds": 0, "return_internal_server_error_on_failure": True}
    for response in waited(client, instance.id, **options):
        assert response.headers["Location"].endswith("&returnInternalServerErrorOnFailure=true")


def test_a_terminated_instance_gives_its_status(client: DurableOrchestrationClient) -> None:
    instance = client.start("waits")
    instance.terminate("enough")
    for response in waited(client, instance.id):
        status = body(response)
        assert (response.status_code, status["runtimeStatus"], status["output"]) == (200, "Terminated", "enough")


def test_an_interval_longer_than_the_timeout_is_refused(client: DurableOrchestrationClient) -> None:
    with pytest.raises(ValueError, match="Total timeout 1 should be bigger than retry timeout 2"):
        waited(client, "a", timeout_in_milliseconds=1000, retry_interval_in_milliseconds=2000)
