"""The real azure-identity gets its tokens from the fake, and the fake knows them again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from dfnb.durable_http.tokens import CredentialTokenSource, ManagedIdentityOptions, ManagedIdentityTokenSource, Tokens
from dfnb.errors import TokenError
from dfnb.testing import AsyncApi, ServerError

MANAGEMENT = "https://management.core.windows.net"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith(("AZURE_", "IDENTITY_", "MSI_", "IMDS_"))]:
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture
def tokens() -> Iterator[Tokens]:
    tokens = Tokens()
    yield tokens
    tokens.close()


def test_an_app_service_gives_the_real_azure_identity_a_token(
    api: AsyncApi, environment: pytest.MonkeyPatch, tokens: Tokens
) -> None:
    identity = api.identity(client_ids=("client-7",))
    with api.serve() as url:
        for name, value in identity.environment(url).items():
            environment.setenv(name, value)
        token = tokens.get(ManagedIdentityTokenSource(f"{MANAGEMENT}/.default")).value
        mine = tokens.get(ManagedIdentityTokenSource(MANAGEMENT, ManagedIdentityOptions(client_id="client-7"))).value
    assert identity.tokens == (token, mine)
    assert api.check(token)
    assert not api.check("another")
    assert [request.query.get("client_id") for request in api.requests] == [None, "client-7"]
    assert {request.query["resource"] for request in api.requests} == {MANAGEMENT}


def test_a_machine_gives_the_real_azure_identity_a_token(api: AsyncApi, environment: pytest.MonkeyPatch, tokens: Tokens) -> None:
    from azure.identity import ManagedIdentityCredential

    identity = api.identity()
    with api.serve() as url:
        for name, value in identity.imds_environment(url).items():
            environment.setenv(name, value)
        with ManagedIdentityCredential() as credential:
            assert api.check(tokens.get(CredentialTokenSource(credential, MANAGEMENT, name="machine")).value)


def test_a_token_may_fail_and_then_succeed(api: AsyncApi, environment: pytest.MonkeyPatch, tokens: Tokens) -> None:
    from azure.identity import ManagedIdentityCredential

    identity = api.identity()
    api.faults("/msi/token", ServerError(400))
    with api.serve() as url:
        for name, value in identity.environment(url).items():
            environment.setenv(name, value)
        with ManagedIdentityCredential() as credential:
            source = CredentialTokenSource(credential, MANAGEMENT, name="flaky")
            with pytest.raises(TokenError):
                tokens.get(source)
            assert api.check(tokens.get(source).value)


def test_what_a_real_endpoint_refuses_is_refused(api: AsyncApi, client: httpx.Client) -> None:
    identity = api.identity(client_ids=("a",))
    imds, app_service = "/metadata/identity/oauth2/token", "/msi/token"
    header = {"X-IDENTITY-HEADER": identity.header}
    assert client.get(imds, params={"resource": "r"}).status_code == 400
    assert client.get(app_service, params={"resource": "r"}).status_code == 401
    assert client.get(app_service, headers=header).status_code == 400
    assert client.get(app_service, headers=header, params={"resource": "r", "client_id": "b"}).status_code == 400
    assert client.get(imds, headers={"Metadata": "true"}, params={"resource": "r"}).json()["resource"] == "r"


def test_a_token_ends(api: AsyncApi, client: httpx.Client) -> None:
    api.identity(expires_in=timedelta(0))
    got = client.get("/metadata/identity/oauth2/token", headers={"Metadata": "true"}, params={"resource": "r"}).json()
    assert not api.check(got["access_token"])
