"""Why a service does not start, in sentences for whoever typed the command."""

from __future__ import annotations


def in_words(error: BaseException) -> str:
    """An error on one line."""
    said = error.msg if isinstance(error, SyntaxError) else str(error).strip().partition("\n")[0]
    name = next(kind.__name__ for kind in type(error).__mro__ if not kind.__name__.startswith("_"))  # some are Python's own affair
    return f"{name}: {said}" if said else name


class NotServable(Exception):
    """The command cannot be carried out as it was given."""


class DefinitionsFailed(Exception):
    """The notebook's or module's own code failed: where and how, in a sentence; `traceback` tells it at length."""

    def __init__(self, sentence: str, traceback: str = "") -> None:
        super().__init__(sentence)
        self.traceback = traceback
