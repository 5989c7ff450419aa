"""Tables of what a hub holds, as values: which client, which question. A notebook shows them, and keeps them up to date."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dfnb.client.sync import DurableOrchestrationClient


@dataclasses.dataclass(frozen=True)
class InstancesTable:
    """Instances: those given, or the newest that fit every condition. A notebook shows it live."""

    client: DurableOrchestrationClient
    ids: Sequence[str] | None = None
    runtime_status: Any = None
    name: str | None = None
    prefix: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    limit: int = 100
    """How many are shown at once; a live table gives more when it is scrolled."""

    def __repr__(self) -> str:
        return f"<InstancesTable{_said(self, 'runtime_status', 'name', 'prefix', 'created_from', 'created_to')}>"


@dataclasses.dataclass(frozen=True)
class EntitiesTable:
    """Entities that have a state. A notebook shows it live."""

    client: DurableOrchestrationClient
    name: str | None = None
    prefix: str | None = None
    limit: int = 100

    def __repr__(self) -> str:
        return f"<EntitiesTable{_said(self, 'name', 'prefix')}>"


def _said(table: Any, *fields: str) -> str:
    return "".join(f" {field}={getattr(table, field)!r}" for field in fields if getattr(table, field) is not None)
