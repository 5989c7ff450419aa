"""What an HTTP trigger is given and gives back: the members of `azure.functions.HttpRequest` and `HttpResponse`."""

from __future__ import annotations

import enum
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl

from dfnb.records.plain_json import STRICT, names_a_class

T = TypeVar("T")


class AuthLevel(enum.Enum):
    """Who may call a trigger: everybody, who has the function key or the hub's, or only who has the hub's."""

    ANONYMOUS = "anonymous"
    FUNCTION = "function"
    ADMIN = "admin"

    @classmethod
    def parse(cls, value: AuthLevel | str) -> AuthLevel:
        """The level of that name, ignoring case; ValueError names the known ones."""
        if isinstance(value, cls):
            return value
        for level in cls:
            if level.value == str(value).strip().lower():
                return level
        raise ValueError(f"{value!r} is not an auth level; known are {', '.join(level.value for level in cls)}")


class HttpHeaders(Mapping[str, str]):
    """Headers by name, upper and lower case the same; of several with one name, the values joined by commas."""

    def __init__(self, pairs: Mapping[str, str] | list[tuple[str, str]] | None = None) -> None:
        self._values: dict[str, tuple[str, str]] = {}
        for name, value in pairs.items() if isinstance(pairs, Mapping) else pairs or ():
            self._put(name, value)

    def _put(self, name: str, value: str) -> None:
        before = self._values.get(name.lower())
        self._values[name.lower()] = (name, value) if before is None else (before[0], f"{before[1]}, {value}")

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._values.values())

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __repr__(self) -> str:
        return f"HttpHeaders({dict(self)!r})"


class HttpResponseHeaders(MutableMapping[str, str]):
    """Headers that may be set, upper and lower case the same. ValueError for a name or value that would end the line."""

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values: dict[str, tuple[str, str]] = {}
        self.update(values or {})

    def __setitem__(self, name: str, value: str) -> None:
        self._values[_header_name(name).lower()] = (name, _header_value(name, value))

    def __delitem__(self, name: str) -> None:
        del self._values[name.lower()]

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._values.values())

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"HttpResponseHeaders({dict(self)!r})"


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def _header_name(name: object) -> str:
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of a header; it is made of letters, digits and -")
    return name


def _header_value(name: str, value: object) -> str:
    text = str(value)
    if any(ord(character) > 255 for character in text):
        raise ValueError(f"the header {name} must not contain {text!r}: only Latin-1 fits; percent-encode what is outside it")
    if any((ord(character) < 32 and character != "\t") or ord(character) == 127 for character in text):
        raise ValueError(f"the header {name} must not contain line breaks or control characters, as {text!r} does: leave them out")
    return text


class FormValues(Mapping[str, T], Generic[T]):
    """The fields or files of a form by name: of several with one name the first, and all of them with `getlist`."""

    def __init__(self, pairs: Iterable[tuple[str, T]] = ()) -> None:
        self._values: dict[str, list[T]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def getlist(self, name: str) -> list[T]:
        return list(self._values.get(name, ()))

    def __getitem__(self, name: str) -> T:
        return self._values[name][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"FormValues({self._values!r})"


class UploadedFile:
    """A file of a form: what it was called where it came from, its type, and its bytes as `stream` or by `read()`."""

    def __init__(self, name: str, filename: str, content_type: str, body: bytes) -> None:
        self.name = name
        self.filename = filename
        self.content_type = content_type
        self.stream = io.BytesIO(body)

    def read(self, size: int = -1) -> bytes:
        return self.stream.read(size)

    def __repr__(self) -> str:
        return f"<UploadedFile {self.filename!r} {self.content_type}>"


Form = tuple[list[tuple[str, str]], list[tuple[str, UploadedFile]]]
"""The fields and the files of a form, in order."""
FormReader = Callable[[str, bytes], Form]
"""Reads a body of some content type as a form. ValueError if it is none."""


def read_plain_form(content_type: str, body: bytes) -> Form:
    """The fields of a body as pages without files send it; nothing for another type."""
    if content_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        return [], []
    return parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=1_000), []


class HttpRequest:
    """A request as an HTTP trigger sees it.

    `params` are those of the query (of several with one name, the last), `route_params` those of the route's template. `form` and
    `files` are read from the body when first asked for. `origin`: what outside callers put in front of the server's paths.
    `may_name_classes`: whether the caller is trusted to send objects that an orchestrator will read as objects of a class.
    """

    def __init__(
        self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
        params: Mapping[str, str] | None = None, route_params: Mapping[str, Any] | None = None, origin: str | None = None,
        read_form: FormReader = read_plain_form, may_name_classes: bool = True,
    ) -> None:
        self.method = method
        self.url = url
        self.headers = HttpHeaders(headers)
        self.params: Mapping[str, str] = dict(params or {})
        self.route_params: Mapping[str, Any] = dict(route_params or {})
        self.origin = origin
        self._body = bytes(body)
        self._read_form = read_form
        self._may_name_classes = may_name_classes
        self._parsed: tuple[FormValues[str], FormValues[UploadedFile]] | None = None

    def get_body(self) -> bytes:
        """The body as it came."""
        return self._body

    def get_json(self) -> Any:
        """The body, read as JSON. ValueError if it is none, or if it names a class and the caller has not shown the hub's key."""
        try:
            text = self._body.decode(json.detect_encoding(self._body), "surrogatepass")
            value = STRICT.decode(text)
        except ValueError as error:
            raise ValueError(f"the body of this request is not JSON: {error}") from None
        except RecursionError:
            raise ValueError("the body of this request is JSON that is nested too deeply to be read") from None
        if not self._may_name_classes and names_a_class(text):
            raise ValueError("only who has the hub's key may send objects of a class; send plain JSON")
        return value

    @property
    def form(self) -> FormValues[str]:
        """The fields of the form in the body; empty if it is none. ValueError if it cannot be read."""
        return self._form()[0]

    @property
    def files(self) -> FormValues[UploadedFile]:
        """The files of the form in the body."""
        return self._form()[1]

    def _form(self) -> tuple[FormValues[str], FormValues[UploadedFile]]:
        if self._parsed is None:
            fields, files = self._read_form(self.headers.get("content-type", ""), self._body)
            self._parsed = FormValues(fields), FormValues(files)
        return self._parsed

    def __repr__(self) -> str:
        return f"<HttpRequest {self.method} {self.url.partition('?')[0]}>"  # the query may hold a key


class HttpResponse:
    """What an HTTP trigger answers: 200 unless `status_code` says otherwise. A text is sent in `charset`.

    Headers may be changed until the function returns.
    """

    def __init__(
        self, body: str | bytes | bytearray | None = None, *, status_code: int | None = None,
        headers: Mapping[str, str] | None = None, mimetype: str | None = None, charset: str | None = None,
    ) -> None:
        status_code = 200 if status_code is None else status_code
        if isinstance(status_code, bool) or not isinstance(status_code, int) or not 200 <= status_code <= 599:
            raise ValueError(f"status_code is a number from 200 to 599, not {status_code!r}")
        self.status_code = int(status_code)
        self.mimetype = _header_value("Content-Type", mimetype or "text/plain")
        self.charset = _header_value("Content-Type", charset or "utf-8")
        self.headers = HttpResponseHeaders(headers)
        self._body = _as_bytes(body, self.charset)

    def get_body(self) -> bytes:
        """The body as it will be sent."""
        return self._body

    def __repr__(self) -> str:
        return f"<HttpResponse {self.status_code} {self.mimetype}, {len(self._body)} bytes>"


def _as_bytes(body: object, charset: str) -> bytes:
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode(charset)
    if isinstance(body, bytes | bytearray):
        return bytes(body)
    raise TypeError(f"the body of an HttpResponse is str or bytes, not {type(body).__name__}; json.dumps(...) makes a text")
