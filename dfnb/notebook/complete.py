"""TAB completion behind our magics: commands, ids, orchestrators, events, operations, options."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from dfnb import app as apps
from dfnb.client.entities import EntityHandle
from dfnb.client.instance import Instance
from dfnb.definitions import DEFAULT
from dfnb.errors import DfnbError
from dfnb.notebook.commands import COMMANDS
from dfnb.records.entity_id import EntityId
from dfnb.records.instance import OrchestrationRuntimeStatus
from dfnb.records.web import AuthLevel
from dfnb.signatures import METHODS, operations_of

Shell = Any

_IDS_OFFERED = 50
_LINE = re.compile(r"(?:^|=)\s*%dfnb\s(?P<line>.*)$")
_CELL = re.compile(r"^\s*%%(?P<kind>orchestrator|activity|entity|http_trigger)\s(?P<line>.*)$")
_CELL_OPTIONS = {
    "orchestrator": ["--name"], "activity": ["--name", "--timeout", "--executor"], "entity": ["--name"],
    "http_trigger": ["--methods", "--auth", "--name"],
}  # fmt: skip
_TAKES_ENTITY = frozenset({"signal", "entity"})
_TAKES_INSTANCE = frozenset({
    "wait", "raise", "terminate", "suspend", "resume", "restart", "rewind", "purge", "show", "inspect", "history", "http",
})  # fmt: skip
_TAKES_PATH = frozenset({"open", "scan-secrets", "attach"})


def register(shell: Shell) -> Callable[[], None]:
    """Add our matcher to the shell's completer; returns what takes it away."""

    @context_matcher()
    def dfnb_matcher(context: CompletionContext) -> SimpleMatcherResult:
        offers = candidates(context.text_until_cursor, shell.user_ns)
        if offers is None:
            return SimpleMatcherResult(completions=[], suppress=False)
        variables = all(kind == "variable" for _, kind in offers)  # they may stand within brackets
        fragment = re.search(r"\w*$" if variables else r"\S*$", context.text_until_cursor)
        typed = fragment[0] if fragment is not None else ""
        fitting = [SimpleCompletion(text, type=kind) for text, kind in offers if text.startswith(typed)]
        return SimpleMatcherResult(completions=fitting, suppress=True, matched_fragment=typed)

    matchers = shell.Completer.custom_matchers
    matchers.append(dfnb_matcher)
    return lambda: matchers.remove(dfnb_matcher) if dfnb_matcher in matchers else None


def candidates(typed: str, user_ns: Mapping[str, Any]) -> list[tuple[str, str]] | None:
    """What may stand at the end of the line, each with its kind; None when the line is not ours or is the user's own Python."""
    cell = _CELL.search(typed)
    if cell is not None:
        return _cell_arguments(cell["kind"], cell["line"].split(" "), user_ns)
    line = _LINE.search(typed)
    if line is None:
        return None
    words = line["line"].split(" ")
    if len(words) == 1:
        return _as("command", COMMANDS)
    try:
        return _command_arguments(words[0], words[1:], user_ns)
    except (DfnbError, ValueError):
        return []  # no hub is open, or what stands before is no id: there is nothing to offer


def _as(kind: str, texts: Iterable[str]) -> list[tuple[str, str]]:
    return [(text, kind) for text in texts]


def _cell_arguments(kind: str, words: list[str], user_ns: Mapping[str, Any]) -> list[tuple[str, str]]:
    if len(words) > 1 and words[-2] == "--executor":
        executors = [name for name, value in user_ns.items() if callable(getattr(value, "submit", None)) and name[0] != "_"]
        return _as("variable", executors)
    if len(words) > 1 and words[-2] == "--name":
        return _as("function", DEFAULT.names(kind))
    if len(words) > 1 and words[-2] == "--auth":
        return _as("level", [level.value for level in AuthLevel])
    if len(words) > 1 and words[-2] == "--methods":
        return _as("method", METHODS)
    return _as("param", _CELL_OPTIONS[kind])


def _command_arguments(name: str, words: list[str], user_ns: Mapping[str, Any]) -> list[tuple[str, str]] | None:
    command = COMMANDS.get(name)
    if command is None:
        return []
    before = words[-2] if len(words) > 1 else ""
    if before.startswith("--") and before[2:] in command.options:
        return _option_values(name, before[2:])
    if words[-1].startswith("--"):
        return _as("param", [f"--{option}" for option in (*command.options, *command.flags)])
    if len(words) == 1:
        return _first_argument(name, user_ns)
    if name == "raise" and len(words) == 2:
        return _as("event", _events_waited_for(words[0], user_ns))
    if name == "signal" and len(words) == 2:
        return _as("function", _operations(words[0], user_ns))
    if name in ("start", "raise", "signal"):
        return _as("variable", [known for known in user_ns if not known.startswith("_")])
    return _as("param", [f"--{option}" for option in (*command.options, *command.flags)])


def _option_values(command: str, option: str) -> list[tuple[str, str]] | None:
    if option == "status":
        return _as("status", [status.value for status in OrchestrationRuntimeStatus])
    if option == "durability":
        return _as("level", ["durable", "relaxed", "memory"])
    kind = "entity" if command == "entities" else "orchestrator"
    return _as("function", DEFAULT.names(kind)) if option == "name" else None


def _first_argument(name: str, user_ns: Mapping[str, Any]) -> list[tuple[str, str]] | None:
    if name == "start":
        return _as("function", apps.current().registry.names("orchestrator"))
    if name == "help":
        return _as("command", COMMANDS)
    if name == "test-mode":
        return _as("mode", ["on", "off"])
    if name in _TAKES_INSTANCE:
        held = [known for known, value in user_ns.items() if isinstance(value, Instance) and known[0] != "_"]
        page = apps.current().client.instances(limit=_IDS_OFFERED)
        return [*_as("instance", held), *_as("id", [str(status.instance_id) for status in page])]
    if name in _TAKES_ENTITY:
        held = [known for known, value in user_ns.items() if isinstance(value, EntityHandle) and known[0] != "_"]
        return [*_as("instance", held), *_as("id", _entity_ids(new_ones=name == "signal"))]
    if name in _TAKES_PATH:
        return None
    return _as("param", [f"--{flag}" for flag in (*COMMANDS[name].options, *COMMANDS[name].flags)])


def _entity_ids(*, new_ones: bool) -> list[str]:
    """Entities there are and, where there may be new ones, the beginning of an id for each name that is defined."""
    app = apps.current()
    ids = [str(status.entity_id) for status in app.client.entities(fetch_state=False, limit=_IDS_OFFERED)]
    return [*ids, *(f"@{name.lower()}@" for name in app.registry.names("entity"))] if new_ones else ids


def _operations(word: str, user_ns: Mapping[str, Any]) -> list[str]:
    """The methods of an entity class; of an entity function, the operations that ran lately."""
    app, held = apps.current(), user_ns.get(word)
    id = held.id if isinstance(held, EntityHandle) else EntityId.get_entity_id(word)
    definition = app.registry.get("entity", id.name)
    if definition is not None and isinstance(definition.function, type):
        return list(operations_of(definition.function))
    return list(dict.fromkeys(one.name for one in app.client.entity_operations(id, _IDS_OFFERED) if one.name))


def _events_waited_for(word: str, user_ns: Mapping[str, Any]) -> list[str]:
    held = user_ns.get(word)
    record = apps.current().client.record(held.id if isinstance(held, Instance) else word)
    return [wait.name for wait in record.waits if wait.kind == "event"]
