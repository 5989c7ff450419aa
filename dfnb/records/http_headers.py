"""Headers by name, and as the pairs they are on the wire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Pairs = tuple[tuple[str, str], ...]


class Headers(dict[str, Any]):
    """Headers by name, compared ignoring case; several values of one name are a list, as in the original."""

    def __init__(self, pairs: Iterable[tuple[str, str]] | Mapping[str, Any] = ()) -> None:
        super().__init__()
        for name, value in pairs_of(pairs):
            before = self.get(name)
            if before is None:
                self[name] = value
            elif isinstance(before, list):
                before.append(value)
            else:
                self[name] = [before, value]

    def get_list(self, name: str) -> list[str]:
        """All values of a header, in order."""
        found = self.get(name, [])
        return list(found) if isinstance(found, list) else [found]

    def _known(self, name: object) -> Any:
        """The name as it is spelled here, or as it was given."""
        if not isinstance(name, str) or super().__contains__(name):
            return name
        folded = name.lower()
        return next((known for known in self if known.lower() == folded), name)

    def __missing__(self, name: str) -> Any:
        known = self._known(name)
        if known == name:
            raise KeyError(name)
        return self[known]

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(self._known(name), value)

    def __delitem__(self, name: str) -> None:
        super().__delitem__(self._known(name))

    def __contains__(self, name: object) -> bool:
        return super().__contains__(self._known(name))

    def get(self, name: str, default: Any = None) -> Any:
        """The value, or `default`."""
        return super().get(self._known(name), default)


def pairs_of(headers: Iterable[tuple[str, str]] | Mapping[str, Any] | None) -> Pairs:
    """Headers one value at a time; a list under a name is several."""
    items = headers.items() if isinstance(headers, Mapping) else headers or ()
    return tuple((name, one) for name, value in items for one in (value if isinstance(value, list | tuple) else [value]))
