from __future__ import annotations

import copy
import datetime
import http.server
import json
import logging
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfnb.durable_http import tokens as tokens_module
from dfnb.durable_http.redaction import Redactor
from dfnb.durable_http.tokens import (
    CallableTokenSource,
    CredentialTokenSource,
    ManagedIdentityOptions,
    ManagedIdentityTokenSource,
    Token,
    Tokens,
    as_token_source,
    default_credential,
    host_of,
    scope_of,
)
from dfnb.errors import DefinitionError, TokenError
from dfnb.records.payload import decode, encode

MANAGEMENT = "https://management.core.windows.net"
SCOPE = MANAGEMENT + "/.default"
SOURCE = ManagedIdentityTokenSource(MANAGEMENT)
JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl"


class Access(NamedTuple):
    token: str
    expires_on: float


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class FakeCredential:
    """Counts what it is asked; each token lives an hour of the clock given."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.asked: list[tuple[tuple[str, ...], dict[str, Any]]] = []
        self.fails: Exception | None = None
        self.closed = False

    def get_token(self, *scopes: str, **options: Any) -> Access:
        self.asked.append((scopes, options))
        if self.fails is not None:
            raise self.fails
        return Access(f"token-{len(self.asked)}", self.clock.now + 3600)

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def no_registered_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "_registered", {})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def credential(clock: Clock) -> FakeCredential:
    return FakeCredential(clock)


@pytest.fixture
def tokens(clock: Clock, credential: FakeCredential) -> Tokens:
    return Tokens(clock, lambda options: credential)


# ---- what is asked for


@pytest.mark.parametrize(
    ("resource", "scope"),
    [
        (MANAGEMENT, SCOPE),
        (MANAGEMENT + "/", SCOPE),
        (SCOPE, SCOPE),
        (SCOPE + "/", SCOPE),
        (SCOPE + "/.default", SCOPE),
        (f" {MANAGEMENT}/.Default ", SCOPE),
        ("https://database.windows.net//.default", "https://database.windows.net//.default"),
        ("https://vault.azure.net", "https://vault.azure.net/.default"),
        ("api://3f2c", "api://3f2c/.default"),
        ("00000003-0000-0000-c000-000000000000", "00000003-0000-0000-c000-000000000000/.default"),
    ],
)
def test_a_resource_gets_one_default_however_it_is_written(resource: str, scope: str) -> None:
    assert scope_of(resource) == scope
    assert scope_of(scope_of(resource)) == scope


@given(st.text("ah:/.deflut ", max_size=30))
def test_a_scope_is_never_doubled(resource: str) -> None:
    try:
        scope = scope_of(resource)
    except DefinitionError:
        return
    assert scope.endswith("/.default")
    assert not scope.removesuffix("/.default").endswith("/.default")


@pytest.mark.parametrize("resource", [None, "", " ", "/.default", 7])
def test_a_resource_must_name_something(resource: Any) -> None:
    with pytest.raises(DefinitionError, match="resource"):
        ManagedIdentityTokenSource(resource)


def test_a_token_is_called_after_its_host() -> None:
    assert host_of(SCOPE) == "management.core.windows.net"
    assert host_of("00000003-0000") == "00000003-0000"


# ---- what is recorded


def test_sources_are_recorded_in_the_form_of_azure_functions() -> None:
    assert ManagedIdentityTokenSource(SCOPE).to_json() == {"kind": "AzureManagedIdentity", "resource": SCOPE}
    assert ManagedIdentityTokenSource(
        SCOPE, ManagedIdentityOptions("https://login.partner.microsoftonline.cn", "t1")
    ).to_json() == {
        "kind": "AzureManagedIdentity",
        "resource": SCOPE,
        "options": {"authorityhost": "https://login.partner.microsoftonline.cn", "tenantid": "t1"},
    }
    assert ManagedIdentityOptions(client_id="c").to_json() == {"authorityhost": None, "tenantid": None, "clientid": "c"}


def test_a_recorded_source_is_the_same_source() -> None:
    for source in (SOURCE, ManagedIdentityTokenSource(SCOPE, ManagedIdentityOptions("h", "t", "c")), CallableTokenSource(max)):
        assert as_token_source(source) is source
        assert as_token_source(source.to_json()) == source
        assert decode(encode(source)) == source
    assert as_token_source(None) is None
    assert isinstance(as_token_source(max), CallableTokenSource)


@pytest.mark.parametrize("wrong", [{"kind": "Other"}, {}, {"kind": "Callable"}, "text", 5, FakeCredential(Clock())])
def test_what_is_no_source_gets_a_sentence(wrong: Any) -> None:
    with pytest.raises(DefinitionError, match=r"token source|CredentialTokenSource"):
        as_token_source(wrong)


# ---- caching


def test_a_token_is_kept_until_five_minutes_before_it_ends(tokens: Tokens, clock: Clock, credential: FakeCredential) -> None:
    first = tokens.get(SOURCE)
    clock.now += 3299
    assert tokens.get(ManagedIdentityTokenSource(SCOPE + "/")) is first
    clock.now += 1
    assert tokens.get(SOURCE).value == "token-2"
    assert [scopes for scopes, _ in credential.asked] == [(SCOPE,), (SCOPE,)]


def test_a_short_lived_token_is_kept_for_half_its_life(clock: Clock) -> None:
    made: list[float] = []

    def short() -> Access:
        made.append(clock.now)
        return Access("t", clock.now + 60)

    tokens = Tokens(clock)
    for _ in range(2):
        tokens.get(CallableTokenSource(short))  # made anew each time, as an orchestrator does when it is replayed
        clock.now += 29
    assert len(made) == 1
    clock.now += 1
    tokens.get(CallableTokenSource(short))
    assert len(made) == 2


def test_each_configuration_has_its_own_credential_and_token(clock: Clock) -> None:
    made: list[ManagedIdentityOptions] = []
    credentials: list[FakeCredential] = []

    def make(options: ManagedIdentityOptions) -> FakeCredential:
        made.append(options)
        credentials.append(FakeCredential(clock))
        return credentials[-1]

    tokens = Tokens(clock, make)
    tenant = ManagedIdentityOptions(tenant_id="t1")
    for options in (None, tenant, ManagedIdentityOptions(), ManagedIdentityOptions(tenant_id="t1")):
        tokens.get(ManagedIdentityTokenSource(MANAGEMENT, options))
    tokens.get(ManagedIdentityTokenSource("https://vault.azure.net", tenant))
    assert made == [ManagedIdentityOptions(), tenant]
    assert credentials[1].asked == [
        ((SCOPE,), {"tenant_id": "t1"}),
        (("https://vault.azure.net/.default",), {"tenant_id": "t1"}),
    ]
    tokens.close()
    assert all(credential.closed for credential in credentials)


def test_a_refused_token_is_forgotten_once(tokens: Tokens) -> None:
    refused = tokens.get(SOURCE)
    tokens.forget(SOURCE, refused)
    fresh = tokens.get(SOURCE)
    tokens.forget(SOURCE, refused)  # a second call that was refused with the old one
    assert tokens.get(SOURCE) is fresh
    tokens.forget(SOURCE)
    assert tokens.get(SOURCE) is not fresh


def test_a_text_is_asked_for_each_time_and_an_object_kept(clock: Clock) -> None:
    made = iter(range(9))
    tokens = Tokens(clock)
    text = CallableTokenSource(lambda: f"t{next(made)}", name="text")
    assert [tokens.get(text).value for _ in range(2)] == ["t0", "t1"]
    for ends in (clock.now + 900, datetime.datetime.fromtimestamp(clock.now + 900, datetime.UTC), str(clock.now + 900)):
        kept = CallableTokenSource(lambda ends=ends: Access(f"t{next(made)}", ends), name=f"kept{type(ends)}")  # type: ignore[misc]
        assert tokens.get(kept) is tokens.get(kept)


def test_a_cell_run_again_has_its_new_function_asked(clock: Clock) -> None:
    tokens = Tokens(clock)
    record = CallableTokenSource(lambda: Access("old", clock.now + 3600), name="api").to_json()
    source = as_token_source(record)
    assert source is not None
    assert tokens.get(source).value == "old"
    CallableTokenSource(lambda: Access("new", clock.now + 3600), name="api")
    assert tokens.get(source).value == "new"


def test_a_credential_of_ones_own_is_asked_for_the_resource(clock: Clock, credential: FakeCredential) -> None:
    source = CredentialTokenSource(credential, MANAGEMENT, name="robot")
    assert repr(source) == "CredentialTokenSource(name='robot')"
    assert Tokens(clock).get(source).value == "token-1"
    assert credential.asked == [((SCOPE,), {})]
    again = CredentialTokenSource(credential, MANAGEMENT + "/", name="robot")
    assert again.key == source.key
    CredentialTokenSource(credential, "https://vault.azure.net", name="robot")
    assert Tokens(clock).get(again).value == "token-2"
    assert credential.asked[1] == (("https://vault.azure.net/.default",), {})  # the name means the later one now
    with pytest.raises(DefinitionError, match="object has none"):
        CredentialTokenSource(object(), MANAGEMENT, name="x")  # type: ignore[arg-type]


# ---- many at once


def together(monkeypatch: pytest.MonkeyPatch, tokens: Tokens, count: int, fetch: Any) -> tuple[list[Any], int]:
    """What `count` threads get that all wait before the first request is answered, and how many requests there were."""
    asked, answer, waiting = threading.Event(), tokens_module._answer, threading.Semaphore(0)
    calls: list[int] = []

    def slow() -> Any:
        calls.append(threading.get_ident())
        asked.set()
        for _ in range(count - 1):
            assert waiting.acquire(timeout=20)
        return fetch()

    def announced(future: Any) -> Token:
        waiting.release()
        return answer(future)

    def ask() -> Any:
        try:
            return tokens.get(source)
        except TokenError as error:
            return error

    monkeypatch.setattr(tokens_module, "_answer", announced)
    source = CallableTokenSource(slow)
    with ThreadPoolExecutor(count) as pool:
        first = pool.submit(ask)
        assert asked.wait(20)
        others = [pool.submit(ask) for _ in range(count - 1)]
        return [one.result(20) for one in (first, *others)], len(calls)


def test_many_threads_make_one_request(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = Tokens(clock)
    got, calls = together(monkeypatch, tokens, 24, lambda: Access("t", clock.now + 3600))
    assert calls == 1
    assert len({id(token) for token in got}) == 1


def test_a_failure_is_told_to_all_and_not_kept(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Access:
        raise ValueError("hunter2")

    tokens = Tokens(clock)
    got, calls = together(monkeypatch, tokens, 12, fail)
    assert calls == 1
    assert all(isinstance(error, TokenError) for error in got)
    assert len({id(error) for error in got}) == 12
    assert tokens.get(CallableTokenSource(lambda: Access("t", clock.now + 3600), name="slow")).value == "t"


def test_a_failed_refresh_is_followed_by_a_good_one(tokens: Tokens, credential: FakeCredential) -> None:
    credential.fails = ValueError("down")
    with pytest.raises(TokenError, match=r"no token for management.core.windows.net: ValueError was raised"):
        tokens.get(SOURCE)
    credential.fails = None
    assert tokens.get(SOURCE).value == "token-2"


def test_an_interrupt_leaves_nobody_waiting(clock: Clock) -> None:
    def stop() -> str:
        raise KeyboardInterrupt

    tokens = Tokens(clock)
    source = CallableTokenSource(stop)
    with pytest.raises(KeyboardInterrupt):
        tokens.get(source)
    assert not tokens._asked


# ---- nothing of it is seen


def test_a_token_shows_nothing_of_itself(tokens: Tokens) -> None:
    token = tokens.get(SOURCE)
    assert repr(token) == str(token) == f"{token}" == "<token: management.core.windows.net>"
    assert repr(tokens) == "Tokens(<token: management.core.windows.net>)"
    for held in (token, tokens):
        with pytest.raises(TypeError, match="memory"):
            pickle.dumps(held)
        with pytest.raises(TypeError, match="memory"):
            copy.copy(held)


def test_the_header_is_made_and_redacted(tokens: Tokens) -> None:
    redactor = Redactor()
    header = tokens.get(SOURCE).authorization(redactor)
    assert header == "Bearer token-1"
    assert redactor.header("Authorization", header) == "Bearer <token: management.core.windows.net>"
    assert redactor.redact("you sent token-1") == "you sent <token: management.core.windows.net>"


def test_an_error_has_no_token_no_text_of_others_and_no_cause(clock: Clock) -> None:
    def leaking() -> str:
        raise RuntimeError(JWT)

    with pytest.raises(TokenError) as failed:
        Tokens(clock).get(CallableTokenSource(leaking))
    assert (
        str(failed.value) == "no token for leaking: RuntimeError was raised while it was fetched; fetch it in a cell to see why"
    )
    assert failed.value.__cause__ is None
    assert failed.value.__context__ is None


@pytest.mark.parametrize(
    ("found", "sentence"), [(None, "not NoneType"), ("", "not str"), (7, "not int"), ("two\nlines", "no HTTP header can hold")]
)
def test_what_is_no_token_gets_a_sentence(clock: Clock, found: Any, sentence: str) -> None:
    with pytest.raises(TokenError, match=sentence):
        Tokens(clock).get(CallableTokenSource(lambda: found, name="odd"))


def test_a_source_whose_cell_has_not_run_is_waited_for(clock: Clock) -> None:
    source = as_token_source({"kind": "Callable", "name": "later"})
    assert source is not None
    with pytest.raises(TokenError, match="run the cell that makes it") as missing:
        Tokens(clock).get(source)
    assert missing.value.waits_for_cell
    with pytest.raises(DefinitionError, match="needs a function and a name"):
        CallableTokenSource(lambda: "t")


def test_azure_is_imported_at_the_first_token_only() -> None:
    code = "import sys, dfnb.durable_http.tokens as t; t.Tokens(); t.ManagedIdentityTokenSource('a'); print('azure' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


# ---- the real azure-identity, against an endpoint of our own


class IdentityEndpoint(http.server.ThreadingHTTPServer):
    """Answers like the identity endpoint of App Service and like the metadata service of a machine."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.requests: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answering(http.server.BaseHTTPRequestHandler):
    server: IdentityEndpoint

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.server.requests.append((parts.path, query, {name.lower(): value for name, value in self.headers.items()}))
        body = json.dumps(self._answer()).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self) -> dict[str, str]:
        if self.server.status != 200:
            return {"statusCode": "400", "message": f"header-secret was wrong, so {JWT} was not given"}
        ends = int(time.time()) + 3600
        return {"access_token": f"{JWT}{len(self.server.requests)}", "expires_on": str(ends), "expires_in": "3600",
                "token_type": "Bearer", "resource": "r"}  # fmt: skip

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[IdentityEndpoint]:
    for name in [name for name in os.environ if name.startswith(("AZURE_", "IDENTITY_", "MSI_", "IMDS_"))]:
        monkeypatch.delenv(name)
    with IdentityEndpoint() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def app_service(endpoint: IdentityEndpoint, monkeypatch: pytest.MonkeyPatch) -> IdentityEndpoint:
    monkeypatch.setenv("IDENTITY_ENDPOINT", endpoint.url + "/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "header-secret")
    return endpoint


@pytest.fixture
def real() -> Iterator[Tokens]:
    tokens = Tokens()
    yield tokens
    tokens.close()


def test_a_real_managed_identity_is_asked_once(app_service: IdentityEndpoint, real: Tokens) -> None:
    token = real.get(ManagedIdentityTokenSource(SCOPE))
    assert token.value == JWT + "1"
    assert 3500 < token.expires_on - time.time() <= 3600
    assert real.get(SOURCE) is token
    ((path, query, headers),) = app_service.requests
    assert path == "/msi/token"
    assert query["resource"] == MANAGEMENT
    assert headers["x-identity-header"] == "header-secret"


def test_a_user_assigned_identity_is_named(app_service: IdentityEndpoint, real: Tokens) -> None:
    options = ManagedIdentityOptions("login.microsoftonline.us", "11111111-1111-1111-1111-111111111111", client_id="client-7")
    assert real.get(ManagedIdentityTokenSource(MANAGEMENT, options)).value == JWT + "1"
    assert app_service.requests[0][1]["client_id"] == "client-7"


def test_the_metadata_service_of_a_machine_answers_too(endpoint: IdentityEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    from azure.identity import ManagedIdentityCredential

    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", endpoint.url)
    with ManagedIdentityCredential() as credential:
        source = CredentialTokenSource(credential, SCOPE, name="machine")
        assert Tokens().get(source).value == JWT + "1"
    path, query, headers = endpoint.requests[0]
    assert path == "/metadata/identity/oauth2/token"
    assert query["resource"] == MANAGEMENT
    assert headers["metadata"] == "true"


def test_a_refusal_of_the_real_endpoint_leaks_nothing(
    app_service: IdentityEndpoint, monkeypatch: pytest.MonkeyPatch, real: Tokens
) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
    app_service.status = 400
    with pytest.raises(TokenError, match=r"no token for management\.core\.windows\.net: ") as failed:
        real.get(SOURCE)
    assert "header-secret" not in str(failed.value)
    assert JWT not in str(failed.value)
    assert failed.value.__cause__ is failed.value.__context__ is None
    app_service.status = 200
    assert real.get(SOURCE).value.startswith(JWT)


def test_no_log_has_the_token(app_service: IdentityEndpoint, real: Tokens, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    real.get(SOURCE)
    assert caplog.records
    assert JWT not in caplog.text
    assert "header-secret" not in caplog.text


def test_the_default_chain_takes_every_option(endpoint: IdentityEndpoint) -> None:
    options = ManagedIdentityOptions("https://login.microsoftonline.us", "11111111-1111-1111-1111-111111111111", "client-7")
    credential = default_credential(options)
    assert type(credential).__name__ == "DefaultAzureCredential"
    credential.close()  # type: ignore[attr-defined]


def test_tokens_are_fresh_or_not_by_the_clock() -> None:
    token = Token("t", "<token: x>", 1000.0, 0.0)
    assert token.fresh(699.0)
    assert not token.fresh(700.0)
