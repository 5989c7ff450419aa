"""Imports a module for its definitions, under its own name."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType

from dfnb.app import DurableApp, current
from dfnb.errors import HubClosedError
from dfnb.host.failed import DefinitionsFailed, NotServable, in_words


def import_module(path: Path) -> ModuleType:
    """Import a file with its folder first on the path, so that its classes keep the module that other programs know them by.

    NotServable if it cannot be imported by its name, DefinitionsFailed if its code fails.
    """
    name = path.stem
    if not path.is_file():
        raise NotServable(f"there is no file {path}; give the path of a .ipynb or .py file")
    if "." in name or _is_taken(name, path):
        raise NotServable(f"{path.name} cannot be imported by its name: {_whose(name)}; rename it")
    sys.path.insert(0, str(path.resolve().parent))
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise DefinitionsFailed(f"{path.name}, {_where(error, path)}", traceback.format_exc()) from error


def _is_taken(name: str, path: Path) -> bool:
    loaded = sys.modules.get(name)
    return loaded is not None and Path(getattr(loaded, "__file__", None) or "").resolve() != path.resolve()


def _whose(name: str) -> str:
    return f"a module {name} is there already" if "." not in name else "a dot in a name divides packages"


def _where(error: BaseException, path: Path) -> str:
    """The line of the module that failed, and how."""
    if isinstance(error, SyntaxError) and error.filename == str(path.resolve()):
        return f"line {error.lineno or 1}: {in_words(error)}"
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == str(path.resolve())]
    return f"line {lines[-1] if lines else 1}: {in_words(error)}"


def app_of(module: ModuleType) -> DurableApp | None:
    """The app that the module opened at its top level, if it did: the current one, or the only one it keeps in a variable."""
    try:
        return current()
    except HubClosedError:
        kept = {id(value): value for value in vars(module).values() if isinstance(value, DurableApp) and not value.is_closed}
    if len(kept) > 1:
        raise NotServable(f"{module.__name__}.py opens {len(kept)} hubs; a service has one: open it with dfnb.open(...)")
    return next(iter(kept.values()), None)
