"""What a dfnb server tells beyond the original's API, read back into our records."""

from __future__ import annotations

from typing import Any

import msgspec

from dfnb.hub.http_state import CallSummary, ExchangeLine
from dfnb.records.history import Recorded, parse_event
from dfnb.records.http import Exchange
from dfnb.records.instance import InstanceRecord
from dfnb.records.log import LogLine

_Event = tuple[int, int, int, int, int, int | None, int | None, str | None, str | None]
"""Position, generation, turn, time, then the columns of the event."""

read_record = msgspec.json.Decoder(InstanceRecord).decode
read_records = msgspec.json.Decoder(list[InstanceRecord]).decode
read_logs = msgspec.json.Decoder(list[LogLine]).decode
read_exchanges = msgspec.json.Decoder(list[Exchange]).decode
read_source = msgspec.json.Decoder(str | None).decode
_read_events = msgspec.json.Decoder(list[_Event]).decode
_read_lines = msgspec.json.Decoder(list[dict[str, Any]]).decode
_read_calls = msgspec.json.Decoder(list[dict[str, int | str | None]]).decode


def read_calls(body: bytes) -> list[CallSummary]:
    """How calls stand; what a newer server tells besides is left out."""
    return [CallSummary(**{name: one.get(name) for name in CallSummary._fields}) for one in _read_calls(body)]  # type: ignore[arg-type]


def read_lines(body: bytes) -> list[ExchangeLine] | None:
    """Exchanges without what they carried; None from an older server, which tells them whole."""
    lines = _read_lines(body)
    if any("pos" not in one for one in lines):
        return None
    return [msgspec.convert([one.get(name) for name in ExchangeLine._fields], ExchangeLine) for one in lines]


def read_events(body: bytes) -> list[tuple[int, int, Recorded]]:
    """Events with position and generation; kinds that only a newer server knows are left out."""
    rows = []
    for position, generation, turn, at, kind, task, took, name, data in _read_events(body):
        try:
            event = parse_event(kind, task or 0, took, name or "", data)
        except KeyError:
            continue
        rows.append((position, generation, Recorded(turn, at, event)))
    return rows
