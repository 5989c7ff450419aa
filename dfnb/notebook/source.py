"""The code an instance runs, and the line it has come to."""

from __future__ import annotations

import ast
from typing import Any

from dfnb.client.sync import DurableOrchestrationClient
from dfnb.definitions import Definition
from dfnb.engine.capture import Sink, to
from dfnb.errors import DfnbError
from dfnb.records.history import Recorded
from dfnb.records.instance import InstanceRecord
from dfnb.replay.orchestrator import OrchestrationReplay

Picture = dict[str, Any]

_LONGEST_HISTORY = 20_000


def code_of(client: DurableOrchestrationClient, record: InstanceRecord) -> Picture:
    """Source, version, the current line (from 1) if it can be told, and a note where something has to be said."""
    source = client.source_of(record)
    definition = client.definition(record.name)
    if source is None:
        note = "the source of this version was not kept" if record.code else "a remote app does not tell its source"
        return {"source": "", "line": None, "version": record.code or "", "note": note}
    note = version_note(record, definition)
    line = None
    if definition is not None and definition.fingerprint == record.code and not record.is_terminal:
        line, trouble = _line(client, record, definition, source)
        note = note or trouble
    return {"source": source, "line": line, "version": record.code or "", "note": note}


def version_note(record: InstanceRecord, definition: Definition | None) -> str:
    """What there is to say when the instance runs on other code than the cell has now."""
    if record.held:
        return f"held: {record.held}"
    if definition is None or record.code is None or definition.fingerprint == record.code or record.is_terminal:
        return ""
    return f"it runs on {record.code}; the cell has {definition.fingerprint} now"


def _line(
    client: DurableOrchestrationClient, record: InstanceRecord, definition: Definition, source: str
) -> tuple[int | None, str]:
    rows = [row for _, generation, row in client.history_after(record) if generation == record.generation]
    if len(rows) > _LONGEST_HISTORY:
        return None, f"the current line is not looked for in histories of more than {_LONGEST_HISTORY:,} events"
    offset = _replayed(definition, record.generation, rows)
    first = _first_line(source, definition.function.__name__)
    return (first + offset - 1, "") if offset is not None and first is not None else (None, "")


def _replayed(definition: Definition, generation: int, rows: list[Recorded]) -> int | None:
    """Where the code stands after its history; what it prints meanwhile is not kept."""
    core = OrchestrationReplay(definition.function, generation=generation, input_type=definition.input_type)
    with to(Sink(lambda: 0, drop_while=lambda: True)):
        try:
            core.replay(rows)
            return core.line
        except DfnbError:
            return None  # the code no longer agrees with the history: the engine holds the instance and says where
        finally:
            core.close()


def _first_line(source: str, name: str) -> int | None:
    """The line at which a function begins in a source, its decorators included."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a cell with lines that only IPython reads
        return next((n for n, text in enumerate(source.splitlines(), 1) if text.lstrip().startswith(f"def {name}")), None)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return None
