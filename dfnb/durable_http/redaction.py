"""What must not be written down is taken out of texts, bytes, headers and URLs, in every shape it usually comes back in.

A `Redactor` is told the values that went into one request, and afterwards knows them again: as they are, percent-encoded,
escaped for JSON or HTML, and inside base64 at any position (``Basic`` credentials). What it writes instead has the name only:
``<secret: DOC_KEY>``, ``<token: management.azure.com>``.

Values shorter than four characters are no secrets anybody can keep: they are replaced only where they are a whole header, a
whole query value or a whole JSON string, since taking every ``1`` out of a text would spoil it and hide nothing. Values
shorter than six bytes are not looked for inside base64, where they would be found by accident.

Not known again: a value that was hashed, encrypted, compressed, broken over lines, or (but for errors, which name hosts)
written in other case.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from typing import AnyStr, NamedTuple
from urllib.parse import quote, quote_plus, unquote

SHORT = 4  # characters; a shorter value is replaced only where it stands alone
SHORT_IN_BASE64 = 6  # bytes
REDACTED = "<redacted>"

SENSITIVE_HEADERS = frozenset({
    "api-key", "apikey", "authentication", "authorization", "cookie", "ocp-apim-subscription-key", "proxy-authorization",
    "set-cookie", "x-access-token", "x-amz-security-token", "x-api-key", "x-auth-token", "x-csrf-token",
    "x-functions-key", "x-goog-api-key", "x-goog-iam-authorization-token", "x-identity-header", "x-ms-authorization-auxiliary",
    "x-ms-copy-source-authorization", "x-subscription-key", "x-vault-token", "x-xsrf-token", "private-token",
})  # fmt: skip
"""Headers whose values are never written down, whoever put them there; in lower case, compared ignoring case."""

SENSITIVE_QUERY = frozenset({
    "access_token", "api-key", "api_key", "apikey", "assertion", "auth", "client_assertion", "client_secret", "code",
    "id_token", "jwt", "key", "passwd", "password", "pwd", "refresh_token", "sas", "secret", "sig", "signature",
    "subscription-key", "token", "x-amz-credential", "x-amz-security-token", "x-amz-signature", "x-functions-key",
    "x-goog-credential", "x-goog-signature",
})  # fmt: skip
"""Names in a query (or a fragment) whose values are never written down; in lower case, compared ignoring case."""

_QUERY_PART = re.compile(r"(?P<before>[?&#;](?P<name>[^=&#;?\s\"'<>]{1,64})=)(?P<value>[^&#;\s\"'<>]*)")
_PASSWORD_IN_URL = re.compile(r"(?P<before>\b[a-zA-Z][a-zA-Z0-9+.-]{0,31}://)(?P<login>[^/?#\s\"'<>@]{1,4096})@")
_TOLD = re.compile(r"(?:[A-Za-z][\w-]{0,31} )?<(?:secret|token): [^<>]*>")  # "Bearer <secret: KEY>" and nothing else
_BASE64_CHARACTER = r"[A-Za-z0-9+/_-]?"
_ROUNDS = 10


class Shape(NamedTuple):
    """One way a value is written."""

    form: str
    text: str


def shapes(value: str) -> Iterator[Shape]:
    """Every way of writing a value that is looked for literally; the same text may come more than once."""
    yield Shape("plain", value)
    for encoded in (quote(value, safe=""), quote(value), quote_plus(value)) if _encodable(value) else ():
        yield Shape("url", encoded)
        yield Shape("url", re.sub("%..", lambda code: code[0].lower(), encoded))
    for escaped in _json_shapes(value):
        yield Shape("json", escaped)
        yield Shape("json", escaped.replace("/", "\\/"))
        yield Shape("json", json.dumps(escaped, ensure_ascii=False)[1:-1])  # JSON text inside JSON text
    yield Shape("html", html.escape(value))
    yield Shape("html", html.escape(value).replace("&#x27;", "&#39;"))
    yield Shape("html", html.escape(value, quote=False))


def _json_shapes(value: str) -> Iterator[str]:
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield json.dumps(value)[1:-1]
    yield re.sub(r"\\u[0-9a-f]{4}", lambda code: "\\u" + code[0][2:].upper(), json.dumps(value)[1:-1])


def base64_cores(value: str) -> Iterator[str]:
    """The characters every base64 text with this value in it contains, for each of the three places it can start at."""
    raw = value.encode("utf-8", "surrogatepass")
    if len(raw) < SHORT_IN_BASE64:
        return
    for offset in range(3):
        first, last = -(-offset * 8 // 6), (offset + len(raw)) * 8 // 6  # the characters made of this value's bits alone
        standard = base64.b64encode(b"\0" * offset + raw).decode()[first:last]
        yield standard
        yield standard.translate(_URL_SAFE)


_URL_SAFE = str.maketrans("+/", "-_")


def _encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


class Redactor:
    """Knows the values that went into a request, and takes them out of whatever is written down about it."""

    __slots__ = ("_bytes", "_cores", "_headers", "_learned", "_names", "_query", "_shapes", "_shown", "_texts")

    def __init__(self, headers: Iterable[str] = (), query: Iterable[str] = ()) -> None:
        self._headers = SENSITIVE_HEADERS | {name.lower() for name in headers}
        self._query = SENSITIVE_QUERY | {name.lower() for name in query}
        self._names: dict[str, str] = {}
        self._shown: dict[str, str] = {}
        self._shapes: dict[str, frozenset[str]] = {}
        self._texts: list[tuple[str, str]] = []
        self._bytes: list[tuple[bytes, bytes]] = []
        self._cores: list[tuple[str, str]] = []
        self._learned = True

    def __repr__(self) -> str:
        return f"Redactor({', '.join(sorted(set(self._names.values())))})"

    def __reduce_ex__(self, protocol: object) -> str:
        raise TypeError("a Redactor holds live values of secrets, so it is never copied or written down")

    def add(self, value: str, shown: str) -> None:
        """From now on `value` is written as `shown`, for example ``<secret: DOC_KEY>``."""
        if value and value not in self._names:
            self._names[value] = shown
            self._learned = False

    def _learn(self) -> None:
        """Every shape of every value with what to write instead; the longest first, as one may be a part of another."""
        long = [value for value in self._names if len(value) >= SHORT]
        for value in long:
            if value not in self._shapes:
                self._shapes[value] = frozenset(shape.text for shape in shapes(value))
        self._shown = {value: self._instead(value) for value in self._names}
        found = {text: self._shown[value] for value in long for text in self._shapes[value]}
        self._texts = sorted(found.items(), key=lambda pair: -len(pair[0]))
        self._bytes = [(raw, _raw(shown)) for text, shown in self._texts for raw in encodings(text)]
        self._cores = [(core, self._shown[value]) for value in long for core in dict.fromkeys(base64_cores(value))]
        self._learned = True

    def _instead(self, value: str) -> str:
        """What is written for a value; something plainer if the name would give a value away."""
        candidates = (self._names[value], REDACTED, "***", "---", "")
        return next(text for text in candidates if not any(part in text for known in self._shapes.values() for part in known))

    def redact(self, text: AnyStr) -> AnyStr:
        """The text without any value it was told; everything else stays as it is."""
        if not self._names or not text:
            return text
        if not self._learned:
            self._learn()
        if isinstance(text, str):
            return self._alone(text) or self._replace(text, self._texts, self._cores, REDACTED)
        cores = [(_raw(core), _raw(shown)) for core, shown in self._cores]
        return _raw(self._alone(_readable(text))) or self._replace(text, self._bytes, cores, _raw(REDACTED))

    def redact_error(self, text: str) -> str:
        """The text of an error, where a value may be in other case too, as in the name of a host."""
        text = self.redact(text)
        instead = "".join(self._shown.values()).lower()
        for value, shown in self._texts:
            if value.lower() not in instead:
                text = re.sub(re.escape(value), shown.replace("\\", r"\\"), text, flags=re.IGNORECASE)
        return text

    def _alone(self, text: str) -> str:
        """What to write for a text that is nothing but one short value, plain or as JSON; "" for any other."""
        quoted = len(text) > 2 and text[0] == text[-1] == '"'
        value = text[1:-1] if quoted else text
        if len(value) >= SHORT or value not in self._names:
            return ""
        shown = self._shown[value] or "***"
        return f'"{shown}"' if quoted else shown

    def _replace(
        self, text: AnyStr, pairs: list[tuple[AnyStr, AnyStr]], cores: list[tuple[AnyStr, AnyStr]], instead: AnyStr
    ) -> AnyStr:
        """Until nothing is left: what is written and its neighbours may spell a value anew."""
        for _ in range(_ROUNDS):
            before = text
            for value, shown in pairs:
                text = text.replace(value, shown)
            for core, shown in cores:
                if core in text:
                    text = _without(core, shown, text)
            text = self._short_in_json(text)
            if text == before:
                return text
        return instead if not any(value in instead for value, _ in pairs) else instead[:0]

    def _short_in_json(self, text: AnyStr) -> AnyStr:
        for value in self._names:
            if len(value) < SHORT:
                written, shown = json.dumps(value), json.dumps(self._shown[value])
                text = text.replace(written, shown) if isinstance(text, str) else text.replace(_raw(written), _raw(shown))
        return text

    def header(self, name: str, value: str) -> str:
        """The value of a header as it may be written down: names in `SENSITIVE_HEADERS` keep nothing but whose value it was."""
        if name.lower() in self._headers:
            return self._told(value)
        return self.url(value) if "://" in value or "?" in value else self.redact(value)

    def headers(self, pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        """All headers as they may be written down, in their order."""
        return tuple((name, self.header(name, value)) for name, value in pairs)

    def url(self, url: str) -> str:
        """The URL as it may be written down: no known value, no password, nothing from `SENSITIVE_QUERY`.

        It is for reading: what stands in for a value is not percent-encoded.
        """
        url = _PASSWORD_IN_URL.sub(lambda found: f"{found['before']}{_without_password(found['login'])}@", url)
        return self.redact(_QUERY_PART.sub(self._query_part, url))

    def _query_part(self, found: re.Match[str]) -> str:
        value = unquote(found["value"].replace("+", " "))
        if value and unquote(found["name"]).lower() in self._query:
            return found["before"] + self._told(value)
        redacted = self.redact(value)
        return found[0] if redacted == value else found["before"] + redacted

    def _told(self, value: str) -> str:
        """Whose value it was, if that is all there is in it; of anything else nothing."""
        redacted = self.redact(value)
        return redacted if _TOLD.fullmatch(redacted) else REDACTED


def _without_password(login: str) -> str:
    user, colon, _ = login.partition(":")
    return f"{user}:{REDACTED}" if colon else REDACTED


def _without(core: AnyStr, shown: AnyStr, text: AnyStr) -> AnyStr:
    """The text without a core and the character before and behind it, which have a part of the value's bits as well."""
    near = _BASE64_CHARACTER if isinstance(core, str) else _raw(_BASE64_CHARACTER)
    return re.sub(near + re.escape(core) + near, lambda _: shown, text)


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def encodings(text: str) -> Iterator[bytes]:
    """The text as bytes: UTF-8, and Latin-1 where that differs."""
    yield _raw(text)
    if not text.isascii() and all(ord(character) < 256 for character in text):
        yield text.encode("latin-1")


def _readable(data: bytes) -> str:
    return data.decode("utf-8", "replace") if len(data) < 4096 else ""
