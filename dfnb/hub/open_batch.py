"""The batch being made: everything that will be saved together, and what follows from it."""

from __future__ import annotations

from dfnb.hub.entity_state import EntityState
from dfnb.hub.journal import Row
from dfnb.hub.state import Ack, InstanceState
from dfnb.records.entity import EntityRecord
from dfnb.records.instance import InstanceRecord


class OpenBatch:
    """Rows, and the states and clients they concern."""

    __slots__ = (
        "acks", "bodies", "entities", "entity_records", "exchanges", "logs", "operations", "records", "replaced", "rows",
        "states", "timers",
    )

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.operations: list[Row] = []
        self.exchanges: list[Row] = []
        self.bodies: list[Row] = []
        self.logs: list[Row] = []
        self.states: dict[int, InstanceState] = {}
        self.records: dict[int, InstanceRecord] = {}
        self.entities: dict[int, EntityState] = {}
        self.entity_records: dict[int, EntityRecord] = {}
        self.acks: list[Ack] = []
        self.replaced: list[int] = []
        self.timers: list[tuple[int, int, int, int]] = []
        """(due, key, generation, task) of instances; of entities the key, and the operation's number for the task."""

    def tables(self) -> dict[str, list[Row]]:
        """The rows by table."""
        return {
            "event": self.rows, "operation": self.operations, "http_exchange": self.exchanges, "http_body": self.bodies,
            "log": self.logs,
        }
