"""What an HTTP trigger is given and gives back: the members of `azure.functions.HttpRequest` and `HttpResponse`."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator, Mapping
from typing import Any


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


class HttpRequest:
    """A request as an HTTP trigger sees it.

    `params` are those of the query (of several with one name, the last), `route_params` those of the route's template. `form` and
    `files` are read from the body when first asked for.
    """

    def __init__(
        self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
        params: Mapping[str, str] | None = None, route_params: Mapping[str, Any] | None = None,
    ) -> None:
        self.method = method
        self.url = url
        self.headers = HttpHeaders(headers)
        self.params: Mapping[str, str] = dict(params or {})
        self.route_params: Mapping[str, Any] = dict(route_params or {})
        self._body = bytes(body)

    def get_body(self) -> bytes:
        """The body as it came."""
        return self._body

    def get_json(self) -> Any:
        """The body, read as JSON. ValueError if it is none."""
        try:
            return json.loads(self._body)
        except ValueError as error:
            raise ValueError(f"the body of this request is not JSON: {error}") from None

    def __repr__(self) -> str:
        return f"<HttpRequest {self.method} {self.url}>"
