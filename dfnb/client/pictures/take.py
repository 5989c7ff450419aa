"""Reads what a picture of an instance is made of, and has it drawn."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dfnb.client.pictures.bars import Subject, timeline_picture
from dfnb.client.pictures.drawing import SvgPicture
from dfnb.client.pictures.graph import graph_picture
from dfnb.client.pictures.steps import steps_of
from dfnb.client.timeline import Timeline
from dfnb.records.instance import InstanceRecord

if TYPE_CHECKING:
    from dfnb.client.sync import DurableOrchestrationClient


def timeline_of(client: DurableOrchestrationClient, instance_id: str) -> SvgPicture:
    """The timeline of an instance as it is now."""
    record = client.record(instance_id)
    timeline = Timeline()
    timeline.feed(client.history_after(record))
    timeline.wait_for(record)
    if any(row["k"] == "http" for row in timeline.rows):
        timeline.exchanged(client.exchange_lines(record))
    return timeline_picture(subject_of(record), timeline.rows)


def graph_of(client: DurableOrchestrationClient, instance_id: str) -> SvgPicture:
    """The graph of an instance as it is now."""
    record = client.record(instance_id)
    return graph_picture(record.id, record.status, steps_of(client.history_after(record), record.waits))


def subject_of(record: InstanceRecord) -> Subject:
    ended = record.updated_at / 1000 if record.is_terminal else None
    return Subject(record.id, record.name, record.status, record.created_at / 1000, ended, time.time() * 1000)
