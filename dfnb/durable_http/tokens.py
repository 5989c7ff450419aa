"""Tokens: where a request's ``Authorization`` comes from, fetched when it is sent and kept in memory only.

A *source* says whose token is wanted and is all that is ever recorded: `ManagedIdentityTokenSource` (azure-identity),
`CredentialTokenSource` (a credential object of the user's own), `CallableTokenSource` (any function). `Tokens` fetches, caches
and refreshes: one request for all who wait for the same token, a new one five minutes before the old one ends.

Of a failure only what is safe is told: the type, and what azure-identity says of it after the environment's own secrets and
anything that looks like a token were taken out. The original exception is not chained, since it holds the answer.
"""

from __future__ import annotations

import datetime
import itertools
import operator
import os
import re
import sys
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn, Protocol
from urllib.parse import urlsplit

from dfnb.durable_http.redaction import REDACTED, Redactor
from dfnb.errors import DefinitionError, TokenError

REFRESH_BEFORE = 300.0  # seconds before a token ends
_DEFAULT = "/.default"
_KIND = "AzureManagedIdentity"
SECRET_VARIABLES = (
    "AZURE_CLIENT_SECRET",
    "AZURE_PASSWORD",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "IDENTITY_HEADER",
    "MSI_SECRET",
)
"""Variables of the environment from which azure-identity takes credentials."""
_TOKEN_LIKE = re.compile(r"eyJ[\w-]{6,}\.[\w-]+(?:\.[\w-]*)?|[A-Za-z0-9+/_=~.-]{80,}|(?i:bearer\s+)\S+")
_LONGEST_REASON = 1000

_serial = itertools.count()
_registered: dict[str, _Registered] = {}


class _Registered(NamedTuple):
    """A function by its name, what it was made of, and a number that tells it from the one it replaced."""

    serial: int
    made_of: tuple[Any, ...]
    function: Callable[[], Any]


def _register(name: str, function: Callable[[], Any], *made_of: Any) -> None:
    """Under its name from now on; the same again changes nothing, so that its token stays good."""
    known = _registered.get(name)
    if known is None or len(known.made_of) != len(made_of) or any(map(operator.is_not, known.made_of, made_of)):
        _registered[name] = _Registered(next(_serial), made_of, function)


class Token:
    """A token and when it ends (seconds since 1970). Shows neither itself nor any part of it."""

    __slots__ = ("_value", "expires_on", "fetched_at", "shown")

    def __init__(self, value: str, shown: str, expires_on: float, fetched_at: float) -> None:
        self._value = value
        self.shown = shown
        self.expires_on = expires_on
        self.fetched_at = fetched_at

    @property
    def value(self) -> str:
        """The token itself, for the request that is being sent."""
        return self._value

    def fresh(self, now: float) -> bool:
        """Whether it is good for a while yet: five minutes, or half its life if that is shorter."""
        return now < self.expires_on - min(REFRESH_BEFORE, (self.expires_on - self.fetched_at) / 2)

    def authorization(self, redactor: Redactor) -> str:
        """The value of the `Authorization` header, the token told to the redactor."""
        redactor.add(self._value, self.shown)
        return f"Bearer {self._value}"

    def __repr__(self) -> str:
        return self.shown

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"{self.shown} is neither copied nor pickled: a token stays in memory")


class TokenSource(Protocol):
    """Whose token; a value that can be recorded and compared."""

    @property
    def whose(self) -> str:
        """What stands where the token would, as in ``<token: management.azure.com>``."""

    @property
    def key(self) -> Hashable:
        """Equal for sources whose tokens are the same."""

    def fetch(self, tokens: Tokens) -> Any:
        """A text, or an object with `token` and `expires_on`."""

    def to_json(self) -> dict[str, Any]:
        """The source as it is recorded."""


class Credential(Protocol):
    """What azure-identity and others call a credential."""

    def get_token(self, *scopes: str, **options: Any) -> Any:
        """An object with `token` and `expires_on`."""


@dataclass(frozen=True, slots=True)
class ManagedIdentityOptions:
    """Which Microsoft Entra authority and tenant to ask, and for which user-assigned identity."""

    authority_host: str | None = None
    tenant_id: str | None = None
    client_id: str | None = None

    def to_json(self) -> dict[str, str | None]:
        """The form of Azure Functions; `clientid` is ours and written only if given."""
        written = {"authorityhost": self.authority_host, "tenantid": self.tenant_id}
        return written if self.client_id is None else {**written, "clientid": self.client_id}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ManagedIdentityOptions:
        """The options a record holds."""
        return cls(data.get("authorityhost"), data.get("tenantid"), data.get("clientid"))


@dataclass(frozen=True, slots=True)
class ManagedIdentityTokenSource:
    """A token of this machine's or this user's Azure identity, for `resource`; written with or without ``/.default``."""

    resource: str
    options: ManagedIdentityOptions | None = None
    kind: str = field(default=_KIND, init=False)

    def __post_init__(self) -> None:
        scope_of(self.resource)
        if self.options is not None and not isinstance(self.options, ManagedIdentityOptions):
            raise DefinitionError(f"options must be a ManagedIdentityOptions, not {type(self.options).__name__}")

    @property
    def scope(self) -> str:
        """What is asked of Microsoft Entra: the resource with exactly one ``/.default``."""
        return scope_of(self.resource)

    @property
    def whose(self) -> str:
        """The host of the resource."""
        return host_of(self.resource)

    @property
    def key(self) -> Hashable:
        """Scope and options."""
        return self.kind, self.scope, self.options or ManagedIdentityOptions()

    def fetch(self, tokens: Tokens) -> Any:
        """A token from the one credential for these options."""
        options = self.options or ManagedIdentityOptions()
        credential = tokens.credential(options)
        if options.tenant_id:
            return credential.get_token(self.scope, tenant_id=options.tenant_id)
        return credential.get_token(self.scope)

    def to_json(self) -> dict[str, Any]:
        """The form of Azure Functions."""
        written: dict[str, Any] = {"kind": self.kind, "resource": self.resource}
        return written if self.options is None else {**written, "options": self.options.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ManagedIdentityTokenSource:
        """The source a record holds."""
        options = data.get("options")
        return cls(data["resource"], None if options is None else ManagedIdentityOptions.from_json(options))


class CallableTokenSource:
    """Whatever a function returns: the token's text, or an object with `token` and `expires_on`.

    A text is asked for anew for each request, since it does not say how long it lasts. The source is recorded by name: after a
    restart the cell that makes it must have run again.
    """

    __slots__ = ("name",)

    name: str

    def __init__(self, function: Callable[[], Any], *, name: str | None = None) -> None:
        self.name = _checked(name or getattr(function, "__name__", None), function)
        _register(self.name, function, function)

    @property
    def whose(self) -> str:
        """Its name."""
        return self.name

    @property
    def key(self) -> Hashable:
        """The name and which function it means now, so that a cell that was run again has its new function asked."""
        known = _registered.get(self.name)
        return "callable", self.name, known and known.serial

    def fetch(self, tokens: Tokens) -> Any:
        """What the function returns."""
        known = _registered.get(self.name)
        if known is None:
            reason = f"no token source named {self.name!r} is known yet; run the cell that makes it"
            raise TokenError(self.whose, reason, waits_for_cell=True)
        return known.function()

    def to_json(self) -> dict[str, Any]:
        """The name."""
        return {"kind": "Callable", "name": self.name}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CallableTokenSource:
        """The source a record holds; it works once the cell that makes it has run."""
        source = object.__new__(CallableTokenSource)
        source.name = str(data["name"])
        return source

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CallableTokenSource) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"


class CredentialTokenSource(CallableTokenSource):
    """A token of a credential object of your own: anything with ``get_token(scope)``, such as those of azure-identity."""

    __slots__ = ()

    def __init__(self, credential: Credential, resource: str, *, name: str) -> None:
        scope = scope_of(resource)
        if not callable(getattr(credential, "get_token", None)):
            raise DefinitionError(f"a credential has a method get_token(scope); {type(credential).__name__} has none")
        self.name = _checked(name, credential.get_token)
        _register(self.name, lambda: credential.get_token(scope), credential, sys.intern(scope))


def _checked(name: object, function: object) -> str:
    if not callable(function) or not isinstance(name, str) or not name or name == "<lambda>":
        raise DefinitionError('a token source needs a function and a name: CallableTokenSource(function, name="my-api")')
    return name


def as_token_source(value: Any) -> TokenSource | None:
    """What was given as `token_source=`: a source, its recorded form, a function, or None."""
    if value is None or isinstance(value, ManagedIdentityTokenSource | CallableTokenSource):
        return value
    if isinstance(value, Mapping):
        return _from_record(value)
    if hasattr(value, "get_token"):
        raise DefinitionError("say what the credential is for: CredentialTokenSource(credential, RESOURCE, name='my-login')")
    if callable(value):
        return CallableTokenSource(value)
    raise DefinitionError(f"a token source is a ManagedIdentityTokenSource or a function, not {type(value).__name__}")


def _from_record(data: Mapping[str, Any]) -> TokenSource:
    match data:
        case {"kind": "AzureManagedIdentity", "resource": str()}:
            return ManagedIdentityTokenSource.from_json(data)
        case {"kind": "Callable", "name": str()}:
            return CallableTokenSource.from_json(data)
    raise DefinitionError(f"a token source of kind {data.get('kind')!r} is not known; known are {_KIND} and Callable")


def scope_of(resource: str) -> str:
    """The scope to ask for: `resource` with exactly one ``/.default``, however it was written."""
    if not isinstance(resource, str) or not resource.strip():
        raise DefinitionError("a token source needs a resource, such as 'https://management.core.windows.net'")
    base = resource.strip()
    while base.rstrip("/").lower().endswith(_DEFAULT):
        base = base.rstrip("/")[: -len(_DEFAULT)]
        if base.endswith("/"):  # "https://host//.default": an audience that ends in a slash, meant so
            return base + _DEFAULT
    if not base.strip("/"):
        raise DefinitionError(f"the resource {resource!r} names nothing; write 'https://management.core.windows.net'")
    return base.rstrip("/") + _DEFAULT


def host_of(resource: str) -> str:
    """What a resource is called for short: its host, or itself without ``/.default``."""
    base = scope_of(resource)[: -len(_DEFAULT)].rstrip("/")
    return urlsplit(base).hostname or base


def default_credential(options: ManagedIdentityOptions) -> Credential:
    """azure-identity's default chain, imported at the first token."""
    from azure.identity import DefaultAzureCredential

    arguments: dict[str, Any] = {}
    if options.authority_host:
        arguments["authority"] = options.authority_host
    if options.client_id:
        arguments["managed_identity_client_id"] = options.client_id
    if options.tenant_id:
        arguments.update(dict.fromkeys(_TENANT_ARGUMENTS, options.tenant_id), additionally_allowed_tenants=[options.tenant_id])
    return DefaultAzureCredential(**arguments)


_TENANT_ARGUMENTS = (
    "interactive_browser_tenant_id",
    "workload_identity_tenant_id",
    "shared_cache_tenant_id",
    "visual_studio_code_tenant_id",
    "broker_tenant_id",
)


class Tokens:
    """Fetches tokens, keeps them while they are good, and asks once for all who wait for the same one. Thread-safe."""

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        make_credential: Callable[[ManagedIdentityOptions], Credential] = default_credential,
    ) -> None:
        self._clock = clock
        self._make_credential = make_credential
        self._lock = threading.Lock()
        self._making = threading.Lock()
        self._credentials: dict[ManagedIdentityOptions, Credential] = {}
        self._tokens: dict[Hashable, Token] = {}
        self._asked: dict[Hashable, Future[Token]] = {}
        _caches.add(self)

    def __repr__(self) -> str:
        return f"Tokens({', '.join(sorted(token.shown for token in self._tokens.values()))})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("tokens are neither copied nor pickled: they stay in memory")

    def get(self, source: TokenSource) -> Token:
        """A token that is good for a while yet. May take a network request, so never on an event loop. TokenError if none."""
        key = source.key
        with self._lock:
            token = self._tokens.get(key)
            if token is not None and token.fresh(self._clock()):
                return token
            asked = self._asked.get(key)
            if asked is None:
                mine = self._asked[key] = Future()
        if asked is not None:
            return _answer(asked)
        return self._ask(source, key, mine)

    def forget(self, source: TokenSource, token: Token | None = None) -> None:
        """Fetch anew next time, because the token was refused; only if it is still the one kept, when `token` is given."""
        with self._lock:
            kept = self._tokens.get(source.key)
            if token is None or kept is token:
                self._tokens.pop(source.key, None)

    def credential(self, options: ManagedIdentityOptions) -> Credential:
        """The one credential for these options."""
        with self._making:
            if options not in self._credentials:
                self._credentials[options] = self._make_credential(options)
            return self._credentials[options]

    def close(self) -> None:
        """Forget everything, and close the credentials' connections."""
        with self._lock, self._making:
            credentials, self._credentials, self._tokens = self._credentials, {}, {}
        for credential in credentials.values():
            close = getattr(credential, "close", None)
            if close is not None:
                close()

    def _ask(self, source: TokenSource, key: Hashable, mine: Future[Token]) -> Token:
        """Ask for all who wait; whatever happens, they get an answer."""
        try:
            outcome = self._fetched(source)
        except BaseException:
            self._settle(key, mine, TokenError(source.whose, "the request was interrupted; it is made anew when asked again"))
            raise
        self._settle(key, mine, outcome)
        if isinstance(outcome, TokenError):
            raise outcome
        return outcome

    def _fetched(self, source: TokenSource) -> Token | TokenError:
        """The token, or why there is none. The exception itself stays behind: it may hold what must not be written down."""
        try:
            return _token(source, source.fetch(self), self._clock())
        except TokenError as error:
            return TokenError(*error.args)
        except Exception as error:
            return TokenError(source.whose, _reason(error))

    def _settle(self, key: Hashable, mine: Future[Token], outcome: Token | TokenError) -> None:
        with self._lock:
            del self._asked[key]
            if isinstance(outcome, Token):
                self._tokens[key] = outcome
        if isinstance(outcome, Token):
            mine.set_result(outcome)
        else:
            mine.set_exception(outcome)


_caches: weakref.WeakSet[Tokens] = weakref.WeakSet()


def kept_tokens() -> tuple[Token, ...]:
    """Every token that is kept in this process, so that one can prove that none of them is anywhere else."""
    return tuple(token for cache in list(_caches) for token in list(cache._tokens.values()))


def _answer(asked: Future[Token]) -> Token:
    """What the one who asked was told; an error of one's own, as tracebacks grow."""
    failure = asked.exception()
    if isinstance(failure, TokenError):
        raise TokenError(*failure.args)
    return asked.result()


def _token(source: TokenSource, found: Any, now: float) -> Token:
    value = found if isinstance(found, str) else getattr(found, "token", None)
    if not isinstance(value, str) or not value:
        raise TokenError(source.whose, f"a text or an object with `token` was expected, not {type(found).__name__}")
    if not value.isascii() or not value.isprintable():
        raise TokenError(source.whose, "it has characters that no HTTP header can hold; see whether it ends in a line break")
    return Token(value, f"<token: {source.whose}>", _seconds(getattr(found, "expires_on", None), now), now)


def _seconds(expires_on: Any, now: float) -> float:
    """When it ends. Not said, or said unreadably, means: use it once."""
    if isinstance(expires_on, datetime.datetime):
        return expires_on.timestamp()
    try:
        return now if expires_on is None else float(expires_on)
    except (TypeError, ValueError):
        return now


def _reason(error: Exception) -> str:
    """What may be told of a failure: of azure-identity's the cleaned text, of any other only the type."""
    kind = type(error).__name__
    if isinstance(error, ImportError):
        return f"{error.name or 'a package'} cannot be imported; install it with: pip install azure-identity"
    if type(error).__module__.partition(".")[0] != "azure":
        return f"{kind} was raised while it was fetched; fetch it in a cell to see why"
    return f"{kind}: {_cleaned(str(error))}"


def _cleaned(text: str) -> str:
    redactor = Redactor()
    for name in SECRET_VARIABLES:
        redactor.add(os.environ.get(name, ""), f"<secret: {name}>")
    return _TOKEN_LIKE.sub(REDACTED, redactor.redact(" ".join(text.split())))[:_LONGEST_REASON]
