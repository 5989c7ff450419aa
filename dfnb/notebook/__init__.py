"""What one types and sees in a notebook: magics, completion, live views. `load` and `unload` are behind ``%load_ext dfnb``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from dfnb import app as apps
from dfnb.definitions import DEFAULT
from dfnb.errors import DfnbError, HubClosedError
from dfnb.notebook import commands, complete, formatters, live, traceback
from dfnb.notebook.formatters import instances_table
from dfnb.notebook.magics import DfnbMagics
from dfnb.notebook.where import hub_path

__all__ = ["instances_table", "load", "unload"]

Shell = Any

_MAGICS = {"cell": ("orchestrator", "activity", "entity", "http_trigger"), "line": ("dfnb",)}
_undo: dict[int, list[Callable[[], None]]] = {}


def load(shell: Shell) -> None:
    """Register all there is with the shell, open the hub unless one is open, and say so in one line."""
    if id(shell) not in _undo:
        shell.register_magics(DfnbMagics)
        _undo[id(shell)] = [
            lambda: _forget_magics(shell),
            complete.register(shell),
            formatters.register(shell),
            traceback.register(shell),
            live.register(shell),
            DEFAULT.subscribe(lambda definition, outcome: live.touch_all()),
        ]
    try:
        print(commands.opened(_open_hub(shell)))
    except DfnbError as error:
        print(f"dfnb: {error}")


def _open_hub(shell: Shell) -> apps.DurableApp:
    try:
        return apps.current()
    except HubClosedError:
        return apps.open(hub_path(shell.user_ns), restore_server=True)


def unload(shell: Shell) -> None:
    """Close the hub and take everything away again; for ``%reload_ext`` the hub stays open."""
    if not _is_reloading():
        commands.leave()
        apps.close()
        live.close()
    for step in reversed(_undo.pop(id(shell), [])):
        step()


def _is_reloading() -> bool:
    """IPython reloads by unloading and loading: an engine at work should not notice."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_name == "reload_extension":
            return True
    return False


def _forget_magics(shell: Shell) -> None:
    for kind, names in _MAGICS.items():
        for name in names:
            shell.magics_manager.magics[kind].pop(name, None)
