"""Secrets: values that are named in a request and exist only while it is sent.

A `Secret` is a reference: where the value is (an environment variable, the keyring, a function) and nothing else. It can stand
anywhere in a request: alone, added to text, in an f-string, deep in a JSON body. What is recorded is the reference.

Inside text a reference is a *marker*, ``secret~env~DOC_KEY~.mjx5k2...``. Its shape and why:

* Only letters, digits and ``-._~``: the characters no URL, header, form or JSON encoder changes, so that a marker can be
  substituted after the text around it was encoded.
* It ends in a tag, made of kind and name with a key that only this machine knows. Texts travel: what a server answered, an
  event brought or an activity returned may be put into the next request. Were ``<secret: AWS_KEY>`` enough to name a secret, a
  server could answer with that text and have the value sent to it. So how a secret is *shown* never resolves, a marker with a
  wrong tag is plain text that is sent as it is, and a `Secret` rebuilt from JSON keeps the tag it came with: one that was not
  made by code here refuses to resolve, and is never signed anew.
* The key is random for each process, until `use_key` gives the one kept with the hub; then what was recorded resolves after a
  restart too. A tag from another hub's file or export is worth nothing here.
* Markers are not values, but each of them can make its secret be sent: `shown` turns them into names for whatever is looked
  at, and an answer that repeats a marker has it redacted like the value.

What is not covered: a marker that was encoded further (base64, a hash) does not resolve; for ``Basic`` there is `Secret.basic`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import importlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NoReturn, Self
from urllib.parse import quote, quote_plus

from dfnb.durable_http.redaction import Redactor
from dfnb.errors import DefinitionError, SecretNotAvailableError

Form = Literal["plain", "header", "url", "form", "json"]
"""What the text around a marker is, so that the value is encoded as it needs to be there."""

_MARKER = re.compile(r"secret~(?P<kind>[a-z]{1,16})(?P<fields>(?:~[A-Za-z0-9_-]{0,600}){1,8})~\.(?P<tag>[a-z2-7]{20})")
_PLAIN_CHARACTER = re.compile(rb"[A-Za-z0-9_]")
_LONGEST_NAME = 200
_KINDS = {"env": 1, "keyring": 2, "callable": 1}

_keys = [os.urandom(32)]  # the first signs, all are believed
_callables: dict[str, Callable[[], str]] = {}
_known: dict[Secret, None] = {}  # every secret named by code here, so that one can prove that none of their values is anywhere


def use_key(key: bytes) -> None:
    """Sign with this key from now on; what was signed with earlier ones in this process stays good."""
    if len(key) < 16:
        raise ValueError(f"a key for secrets must have 16 bytes or more, not {len(key)}; make one with os.urandom(32)")
    if key in _keys:
        _keys.remove(key)
    _keys.insert(0, key)


def _tag(key: bytes, kind: str, fields: Iterable[str]) -> str:
    told = json.dumps([kind, *fields]).encode()
    return base64.b32encode(hmac.digest(key, told, hashlib.sha256)).decode()[:20].lower()


class _Text:
    """What a secret and a text with secrets in it have in common: they grow by addition, and show no value."""

    __slots__ = ()

    @property
    def parts(self) -> tuple[str | Secret, ...]:
        """The pieces, in order."""
        raise NotImplementedError

    @property
    def marker(self) -> str:
        """The text with a marker for each secret."""
        return "".join(part if isinstance(part, str) else part.marker for part in self.parts)

    def __add__(self, other: object) -> SecretText:
        return self._joined(*self.parts, *(other.parts if isinstance(other, _Text) else (other,)))

    def __radd__(self, other: object) -> SecretText:
        return self._joined(other, *self.parts)

    def _joined(self, *parts: object) -> SecretText:
        texts = [part for part in parts if isinstance(part, str | Secret)]
        return SecretText(*texts) if len(texts) == len(parts) else NotImplemented

    def __str__(self) -> str:
        return "".join(map(str, self.parts))

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        if spec:
            raise TypeError(f"{self} cannot be formatted with {spec!r}: its value is known only when it is sent")
        return self.marker

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretText) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{self} cannot be changed")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"{self} is not pickled: a secret stays in this process; make it again where it is needed")


class Secret(_Text):
    """A value that is named here and read only when a request is sent; never stored, logged or shown.

    ``str()`` and ``repr()`` give ``<secret: NAME>``. Make one with `Secret.env`, `Secret.keyring`, `Secret.callable` or
    `Secret.basic`.
    """

    __slots__ = ("_carried", "fields", "kind")

    kind: str
    fields: tuple[str, ...]
    _carried: str | None

    def __init__(self) -> None:
        raise TypeError("make a secret with Secret.env(NAME), Secret.keyring(SERVICE, USER) or Secret.callable(FUNCTION)")

    @classmethod
    def _of(cls, kind: str, *fields: str, carried: str | None = None) -> Secret:
        secret = object.__new__(cls)
        for name, value in (("kind", kind), ("fields", fields), ("_carried", carried)):
            object.__setattr__(secret, name, value)
        if carried is None:
            _known.setdefault(secret)
        return secret

    @classmethod
    def env(cls, name: str) -> Secret:
        """The value of an environment variable."""
        return cls._of("env", _checked(name, "the name of an environment variable"))

    @classmethod
    def keyring(cls, service: str, user: str) -> Secret:
        """A password kept in the system's keyring, read with the `keyring` package."""
        return cls._of("keyring", _checked(service, "the service of a keyring entry"), _checked(user, "its user"))

    @classmethod
    def callable(cls, function: Callable[[], str], *, name: str | None = None) -> Secret:
        """What a function returns; after a restart, the cell that says this must have run again."""
        if not callable(function):
            raise DefinitionError(f"Secret.callable takes a function without parameters, not {type(function).__name__}")
        name = _checked(name or str(getattr(function, "__name__", "")), "the name of a secret")
        if name == "<lambda>":
            raise DefinitionError('a lambda has no name to find it again by; write Secret.callable(lambda: ..., name="my-key")')
        _callables[name] = function
        return cls._of("callable", name)

    @classmethod
    def basic(cls, user: str, password: Secret) -> SecretText:
        """The value of an `Authorization` header for user and password: ``Basic`` and both in base64."""
        if ":" in user:
            raise DefinitionError(f"the user {user!r} cannot have a colon: Basic credentials end the user at the first one")
        if not isinstance(password, Secret) or password.kind not in _KINDS:
            raise DefinitionError("Secret.basic takes a user and a secret, as in Secret.basic('me', Secret.env('PASSWORD'))")
        secret = cls._of("basic", user, password.kind, *password.fields, carried=None if password.proven else "")
        return SecretText("Basic ", secret)

    @property
    def name(self) -> str:
        """What it is called where its value would stand."""
        return "/".join(self.fields[2:] if self.kind == "basic" else self.fields)

    @property
    def parts(self) -> tuple[str | Secret, ...]:
        """Itself."""
        return (self,)

    @property
    def tag(self) -> str:
        """Says that code here made this reference; one that came with data has the tag it came with."""
        return _tag(_keys[0], self.kind, self.fields) if self._carried is None else self._carried

    @property
    def proven(self) -> bool:
        """Whether code here made this reference, or signed what it came from."""
        if self._carried is None:
            return True
        return any(hmac.compare_digest(self._carried.encode(), _tag(key, self.kind, self.fields).encode()) for key in _keys)

    @property
    def marker(self) -> str:
        """The reference as a piece of text that can stand in URLs, headers and bodies."""
        return "~".join(("secret", self.kind, *map(_escape, self.fields), "." + self.tag))

    def __str__(self) -> str:
        return f"<secret: {self.name}>"

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self.kind, self.fields) == (other.kind, other.fields)

    def __hash__(self) -> int:
        return hash((self.kind, self.fields))

    def to_json(self) -> dict[str, Any]:
        """The reference as it is recorded."""
        return {"kind": self.kind, "name": list(self.fields), "tag": self.tag}

    @classmethod
    def from_json(cls, data: Any) -> Secret:
        """The reference a record holds. It resolves only if it was made here: anybody can write JSON."""
        match data:
            case {"kind": str(kind), "name": [str(), *_] as fields, "tag": str(tag)} if all(isinstance(f, str) for f in fields):
                return cls._of(kind, *fields, carried=tag)
        raise ValueError("it is no reference to a secret")


class SecretText(_Text):
    """Text with secrets in it, such as ``"Bearer " + Secret.env("KEY")``; put together when it is sent."""

    __slots__ = ("_parts",)

    _parts: tuple[str | Secret, ...]

    def __init__(self, *parts: str | Secret) -> None:
        object.__setattr__(self, "_parts", parts)

    @property
    def parts(self) -> tuple[str | Secret, ...]:
        """The pieces, in order."""
        return self._parts

    def to_json(self) -> list[Any]:
        """The pieces as they are recorded."""
        return [part if isinstance(part, str) else part.to_json() for part in self._parts]

    @classmethod
    def from_json(cls, data: Any) -> SecretText:
        """The text a record holds; its secrets resolve only if they were made here."""
        return cls(*(part if isinstance(part, str) else Secret.from_json(part) for part in data))


# ---- in requests


def marked(value: Any) -> Any:
    """A part of a request as it is recorded: a marker for each secret in it, plain data otherwise.

    Markers already in text are signed anew with the present key, so that they still hold after a restart.
    """
    if isinstance(value, _Text):
        for part in value.parts:
            _require_proof(part)
        return value.marker
    if isinstance(value, str):
        return _substituted(value, lambda secret: Secret._of(secret.kind, *secret.fields).marker)
    return _walked(value, marked)


def resolve(value: Any, redactor: Redactor, *, form: Form = "plain") -> Any:
    """The value to send, every secret in it read now and told to the redactor.

    Text, bytes and nested data are taken as they are or as `marked` made them. SecretNotAvailableError if one cannot be read.
    """
    if isinstance(value, _Text):
        return "".join(part if isinstance(part, str) else _read(part, redactor, form) for part in value.parts)
    if isinstance(value, str):
        return _substituted(value, lambda secret: _read(secret, redactor, form))
    if isinstance(value, bytes):
        return _in_bytes(value, lambda secret: _read(secret, redactor, form))
    return _walked(value, lambda part: resolve(part, redactor, form=form))


def shown(value: Any) -> Any:
    """The same for people: ``<secret: NAME>`` for each secret and each marker made here."""
    if isinstance(value, _Text):
        return shown(str(value))
    if isinstance(value, str):
        return _substituted(value, str)
    return _in_bytes(value, str) if isinstance(value, bytes) else _walked(value, shown)


def secrets_in(value: Any) -> tuple[Secret, ...]:
    """Every secret a part of a request names, each once."""
    found: dict[Secret, None] = {}

    def note(secret: Secret) -> str:
        found[secret] = None
        return ""

    def look(part: Any) -> Any:
        if isinstance(part, _Text):
            found.update(dict.fromkeys(piece for piece in part.parts if isinstance(piece, Secret)))
            return "".join(look(piece) for piece in part.parts if isinstance(piece, str))
        if isinstance(part, str):
            return _substituted(part, note)
        return _in_bytes(part, note) if isinstance(part, bytes) else _walked(part, look)

    look(value)
    return tuple(found)


def _walked(value: Any, step: Callable[[Any], Any]) -> Any:
    if isinstance(value, Mapping):
        return {step(key) if isinstance(key, str | _Text) else key: step(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [step(item) for item in value] if isinstance(value, list) else tuple(step(item) for item in value)
    return value


def _substituted(text: str, write: Callable[[Secret], str]) -> str:
    """The text with `write(secret)` for each marker made here; anything that only looks like one stays."""
    if "secret~" not in text:
        return text

    def one(found: re.Match[str]) -> str:
        fields = found["fields"][1:].split("~")
        secret = Secret._of(found["kind"], *map(_unescape, fields), carried=found["tag"])
        return write(secret) if secret.proven else found[0]

    return _MARKER.sub(one, text)


def _in_bytes(data: bytes, write: Callable[[Secret], str]) -> bytes:
    if b"secret~" not in data:
        return data
    text = _substituted(data.decode("latin-1"), lambda secret: write(secret).encode().decode("latin-1"))
    return text.encode("latin-1")


def _escape(field: str) -> str:
    raw = field.encode("utf-8", "surrogatepass")
    return "".join(chr(byte) if _PLAIN_CHARACTER.match(bytes((byte,))) else f"-{byte:02x}" for byte in raw)


def _unescape(field: str) -> str:
    raw = re.sub("-([0-9a-f]{2})", lambda code: chr(int(code[1], 16)), field).encode("latin-1")
    return raw.decode("utf-8", "replace")


def _checked(name: str, what: str) -> str:
    if not isinstance(name, str) or not name:
        raise DefinitionError(f"{what} must be a text that is not empty")
    if len(_escape(name)) > 3 * _LONGEST_NAME:
        raise DefinitionError(f"{what} is too long: {_LONGEST_NAME} characters are the most")
    return name


def known_secrets() -> tuple[Secret, ...]:
    """Every secret that code in this process has named, or that was read here to be sent."""
    return tuple(_known)


# ---- reading the value


def _require_proof(part: str | Secret) -> None:
    if isinstance(part, Secret) and not part.proven:
        reason = (
            "this reference came with data (an answer, an event, an input, or another hub's file) and was not made here. "
            "Name the secret in the code that sends the request"
        )
        raise SecretNotAvailableError(part.name, reason)


def _read(secret: Secret, redactor: Redactor, form: Form) -> str:
    _require_proof(secret)
    _known.setdefault(secret)
    value = _value(secret.kind, secret.fields, redactor, str(secret))
    redactor.add(secret.marker, str(secret))
    return _FORMS[form](value, secret)


def _value(kind: str, fields: tuple[str, ...], redactor: Redactor, shown: str) -> str:
    """The value, told to the redactor before anything else can happen to it."""
    if kind == "basic":
        password = _value(fields[1], fields[2:], redactor, shown)
        value = base64.b64encode(f"{fields[0]}:{password}".encode()).decode()
    else:
        value = _READERS[kind](*fields)
    redactor.add(value, shown)
    return value


def _from_environment(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        state = "is not set" if value is None else "is empty"
        raise SecretNotAvailableError(name, f"the environment variable {name} {state}; set it, then start the kernel again")
    return value


def _from_keyring(service: str, user: str) -> str:
    name = f"{service}/{user}"
    try:
        backend = importlib.import_module("keyring")
    except ImportError:
        backend = None
    if backend is None:
        raise SecretNotAvailableError(name, "the package keyring is not installed; install it with: pip install keyring")
    value = _called(name, lambda: backend.get_password(service, user), "the keyring")
    if value is None:
        raise SecretNotAvailableError(name, f"the keyring has no such entry; add it with: keyring set {service} {user}")
    return _text(name, value, "the keyring")


def _from_callable(name: str) -> str:
    function = _callables.get(name)
    if function is None:
        reason = f"no function of that name is known yet; run the cell that says Secret.callable(..., name={name!r})"
        raise SecretNotAvailableError(name, reason, waits_for_cell=True)
    return _text(name, _called(name, function, "its function"), "its function")


def _called(name: str, function: Callable[[], Any], what: str) -> Any:
    """What it returns. Of what it raises only the type is told: the text may have the value in it."""
    try:
        return function()
    except Exception as error:
        kind = type(error).__name__
    raise SecretNotAvailableError(name, f"{what} raised {kind}; call it in a cell to see why")


def _text(name: str, value: object, what: str) -> str:
    if not isinstance(value, str) or not value:
        found = "an empty text" if value == "" else type(value).__name__
        raise SecretNotAvailableError(name, f"{what} returned {found} where a text was expected")
    return value


_READERS: dict[str, Callable[..., str]] = {"env": _from_environment, "keyring": _from_keyring, "callable": _from_callable}


def _for_header(value: str, secret: Secret) -> str:
    """Checked here, because those who send would quote the value in their complaint."""
    if not value.isascii() or not value.isprintable():
        what = "a line break" if "\n" in value or "\r" in value else "a character"
        raise SecretNotAvailableError(secret.name, f"its value has {what} that no HTTP header can hold; store it without")
    return value


_FORMS: dict[str, Callable[[str, Secret], str]] = {
    "plain": lambda value, secret: value,
    "header": _for_header,
    "url": lambda value, secret: quote(value, safe=""),
    "form": lambda value, secret: quote_plus(value),
    "json": lambda value, secret: json.dumps(value, ensure_ascii=False)[1:-1],
}
