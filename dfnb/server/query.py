"""The query string as the original reads it: names ignore case, what does not parse counts as absent."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from dfnb.records.instance import OrchestrationRuntimeStatus

_OFFSET_AS_BLANK = re.compile(r"(:\d\d(?:\.\d+)?) (\d\d:?\d\d)$")
_US_DATE = (
    "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M %p", "%m/%d/%Y %H:%M", "%m/%d/%Y",
)  # fmt: skip
_STATUS_BY_NUMBER = {
    "0": "Running", "1": "Completed", "2": "ContinuedAsNew", "3": "Failed", "4": "Canceled", "5": "Terminated", "6": "Pending",
    "7": "Suspended",
}  # fmt: skip


class Query:
    """The parameters of one request."""

    def __init__(self, query_string: bytes) -> None:
        pairs = parse_qsl(query_string.decode("utf-8", "replace"), keep_blank_values=True, errors="replace")
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name.lower(), []).append(value)

    def text(self, name: str) -> str | None:
        """The value; of several, all of them joined by commas; None for none or an empty one."""
        return ",".join(self._values.get(name.lower(), ())) or None

    @property
    def names(self) -> frozenset[str]:
        """Which parameters are there, in lower case."""
        return frozenset(self._values)

    def given(self, name: str) -> bool:
        """Whether it is there at all, even empty."""
        return name.lower() in self._values

    def flag(self, name: str, default: bool = False) -> bool:
        """``true`` or ``false`` in any letter case; everything else is the default."""
        word = (self.text(name) or "").strip().lower()
        return word == "true" if word in ("true", "false") else default

    def number(self, name: str, default: int) -> int:
        """A decimal integer."""
        word = (self.text(name) or "").strip()
        return int(word) if re.fullmatch(r"[+-]?[0-9]{1,18}", word) else default

    def seconds(self, name: str) -> float | None:
        """A decimal number, fractions allowed, never negative."""
        word = (self.text(name) or "").strip()
        return float(word) if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,12})?|\.[0-9]{1,12}", word) else None

    def time(self, name: str) -> datetime | None:
        """A time in ISO 8601, or in the form of an American clock; without a zone it is UTC."""
        return read_time(self.text(name))

    def statuses(self, name: str = "runtimeStatus") -> list[OrchestrationRuntimeStatus]:
        """A list of runtime statuses by name or number, joined by commas or repeated; ValueError names the known ones."""
        words = [word.strip() for word in (self.text(name) or "").split(",") if word.strip()]
        return [OrchestrationRuntimeStatus.parse(_STATUS_BY_NUMBER.get(word, word)) for word in words]


def read_time(text: str | None) -> datetime | None:
    """The time a text gives; None for no time. A blank before an offset was a plus that nobody encoded."""
    if not text:
        return None
    plain = _OFFSET_AS_BLANK.sub(r"\1+\2", text.strip())
    readings = (_by_iso(plain), *(_by_format(plain, form) for form in _US_DATE))
    found = next((reading for reading in readings if reading is not None), None)
    if found is None or found.tzinfo is not None:
        return found
    return found.replace(tzinfo=UTC)


def _by_iso(text: str) -> datetime | None:
    """.NET writes up to seven digits behind the second; Python reads six."""
    try:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    except ValueError:
        return None


def _by_format(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form)
    except ValueError:
        return None
