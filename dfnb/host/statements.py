"""Which statements of a notebook's plain cells a service runs: those that define, not those that start, wait for or show something.

A notebook is a page of experiments around its definitions. Run as a service it must not start again whatever was once tried, and
must not wait for what has not happened yet. The rule, in the order in which it is asked:

* a magic or a shell command (``%dfnb list``, ``!pip``) does not run; neither does a ``while`` loop, an ``assert``, nor what awaits;
* nor what calls something with a name of `STOPS`, or needs an open hub: ``df.current()``, ``df.sql()``, others of `NEEDS_A_HUB`;
* nor an expression that is no call: it only shows a value;
* nor what uses a name that only such a statement binds, or calls a function of the notebook that does or that needs a hub;
* everything else runs: imports, functions, classes, assignments, calls that set something up.
"""

from __future__ import annotations

import ast

from dfnb.host.names import Names, names_in, names_within

STOPS = frozenset({
    "start", "start_many", "start_new", "schedule_new_orchestration", "restart", "rewind",
    "raise_event", "signal", "signal_entity", "signal_entities", "suspend", "resume", "terminate", "purge", "purge_many",
    "wait", "result", "sleep", "run_until_complete", "serve", "stop", "close", "abandon", "instance",
    "display", "print", "input",
})  # fmt: skip
"""A call of a function or method with one of these names starts something, steers it, waits for it, ends it or shows it."""

NEEDS_A_HUB = frozenset({
    "current", "open", "DurableApp", "start", "start_many", "instance", "sql", "instances", "entities", "definitions", "stats",
    "connect", "follow",
})  # fmt: skip
"""What of dfnb's own functions works on an open hub only, or would open one."""


class Chooser:
    """Asked about the statements of a notebook in their order; what it says of one depends on those before."""

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}
        """Names that nothing bound, because the statement that would was left out: each with what was said of that statement."""
        self._functions: dict[str, Names] = {}
        self._dfnb: set[str] = set()
        self._of_dfnb: set[str] = set()

    def why_not(self, statement: ast.stmt) -> str:
        """Why a statement does not run: a verb and more, such as ``calls start``; empty if it does."""
        names = names_in(statement)
        reason = _by_itself(statement, names) or self._by_what_it_needs(names, _uses(statement, names))
        if reason:
            self.missing.update((name, reason) for name in names.binds)
        else:
            self.ran(statement)
        return reason

    def ran(self, statement: ast.stmt) -> None:
        """Take note of what a statement binds that runs in any case."""
        self._note_imports(statement)
        for name in names_in(statement).binds:
            self.missing.pop(name, None)
            self._functions.pop(name, None)
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            self._functions[statement.name] = names_within(statement)

    def _note_imports(self, statement: ast.stmt) -> None:
        for node in ast.walk(statement):
            if isinstance(node, ast.Import):
                self._dfnb |= {alias.asname or alias.name for alias in node.names if alias.name == "dfnb"}
            elif isinstance(node, ast.ImportFrom) and node.module == "dfnb":
                self._of_dfnb |= {alias.asname or alias.name for alias in node.names if alias.name in NEEDS_A_HUB}

    def _by_what_it_needs(self, names: Names, uses: set[str], within: frozenset[str] = frozenset()) -> str:
        """Functions of the notebook are asked about when they are called: what they need may come after them."""
        for call in names.calls:
            if (call.of in self._dfnb and call.name in NEEDS_A_HUB) or (call.of is None and call.name in self._of_dfnb):
                return f"needs an open hub ({call})"
        gone = sorted(uses & self.missing.keys())
        if gone:
            return f"uses {gone[0]}, which was left out"
        for name in sorted({call.name for call in names.calls if call.of is None} - within):
            function = self._functions.get(name)
            reason = function and self._by_what_it_needs(function, function.outer, within | {name})
            if reason:
                return f"calls {name}, which {reason}"
        return ""


def _by_itself(statement: ast.stmt, names: Names) -> str:
    if isinstance(statement, ast.Assert):
        return "only checks"
    if isinstance(statement, ast.Expr) and not isinstance(statement.value, ast.Call | ast.Constant | ast.Await):
        return "only shows a value"
    for call in names.calls:
        if call.name == "get_ipython" or (call.of or "").startswith("get_ipython()"):
            return "is a magic or a shell command"
        if call.name in STOPS or str(call) == "asyncio.run":
            return f"calls {call.name}"
    return names.waits


def _uses(statement: ast.stmt, names: Names) -> set[str]:
    """The names that must be there before. A simple statement reads before it binds: ``x = x + 1`` needs an x."""
    return names.outer if isinstance(statement, ast.For | ast.If | ast.Try | ast.With | ast.Match) else names.uses
