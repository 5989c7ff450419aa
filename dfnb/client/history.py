"""The recorded events of an instance as a list that is short to print and shows as a table in a notebook."""

from __future__ import annotations

from dfnb.records.history import Recorded


class History(list[Recorded]):
    """Recorded events, oldest first."""

    def __repr__(self) -> str:
        return f"<History: {len(self)} {'event' if len(self) == 1 else 'events'}>"
