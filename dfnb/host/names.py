"""What a piece of code reads, binds and calls, told from its syntax alone."""

from __future__ import annotations

import ast
import dataclasses

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclasses.dataclass(frozen=True, slots=True)
class CalledName:
    """A call by name: ``df.start()`` is `start` of `df`, ``start()`` is `start` of nothing."""

    name: str
    of: str | None = None

    def __str__(self) -> str:
        return f"{self.of}.{self.name}" if self.of else self.name


@dataclasses.dataclass(slots=True)
class Names:
    """What code does with names while it runs. Of functions in it: decorators and defaults, unless they were looked into."""

    uses: set[str] = dataclasses.field(default_factory=set)
    binds: set[str] = dataclasses.field(default_factory=set)
    calls: list[CalledName] = dataclasses.field(default_factory=list)
    waits: str = ""
    """How it waits by its syntax, in words; empty if it does not."""

    @property
    def outer(self) -> set[str]:
        """The names it takes from around it."""
        return self.uses - self.binds


def names_in(node: ast.AST) -> Names:
    """What a statement does when it runs."""
    look = _Look()
    look.visit(node)
    return look.names


def names_within(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Names:
    """What a function does when it is called, and the functions in it too."""
    look = _Look(deep=True)
    for argument in ast.walk(function.args):
        if isinstance(argument, ast.arg):
            look.names.binds.add(argument.arg)
    for statement in function.body:
        look.visit(statement)
    return look.names


class _Look(ast.NodeVisitor):
    def __init__(self, *, deep: bool = False) -> None:
        self._deep = deep
        self.names = Names()

    def visit_Name(self, node: ast.Name) -> None:
        (self.names.binds if isinstance(node.ctx, ast.Store) else self.names.uses).add(node.id)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.generic_visit(node)
        if isinstance(node.target, ast.Name):
            self.names.uses.add(node.target.id)

    def visit_Import(self, node: ast.Import) -> None:
        self.names.binds |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.names.binds |= {alias.asname or alias.name for alias in node.names}

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self.names.binds.add(node.name)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func
        if isinstance(called, ast.Name):
            self.names.calls.append(CalledName(called.id))
        elif isinstance(called, ast.Attribute):
            self.names.calls.append(CalledName(called.attr, ast.unparse(called.value)))
        self.generic_visit(node)

    def _waits(self, node: ast.AST) -> None:
        self.names.waits = "loops with while" if isinstance(node, ast.While) else "awaits"
        self.generic_visit(node)

    visit_Await = visit_AsyncFor = visit_AsyncWith = visit_While = _waits

    def visit_comprehension(self, node: ast.comprehension) -> None:
        if node.is_async:
            self._waits(node)
        else:
            self.generic_visit(node)

    # code with names of its own

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, (*_FUNCTIONS, ast.Lambda)):
            self._visit_function(node)
        elif isinstance(node, ast.ClassDef):
            self._visit_class(node)
        elif isinstance(node, _COMPREHENSIONS):
            self._visit_inner(list(ast.iter_child_nodes(node)))
        else:
            super().generic_visit(node)

    def _visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        inside = node.body if isinstance(node.body, list) else [node.body]
        for part in ast.iter_child_nodes(node):
            if part not in inside:
                self.visit(part)
        if self._deep:
            self._visit_inner([node.args, *inside])
        if not isinstance(node, ast.Lambda):
            self.names.binds.add(node.name)

    def visit_arg(self, node: ast.arg) -> None:
        if node.annotation is not None:
            self.visit(node.annotation)

    def _visit_class(self, node: ast.ClassDef) -> None:
        for part in (*node.bases, *node.keywords, *node.decorator_list):
            self.visit(part)
        self._visit_inner(node.body)
        self.names.binds.add(node.name)

    def _visit_inner(self, nodes: list[ast.AST] | list[ast.stmt]) -> None:
        """What is bound inside stays inside."""
        inner = _Look(deep=self._deep)
        for node in nodes:
            inner.names.binds |= {argument.arg for argument in ast.walk(node) if isinstance(argument, ast.arg)}
            inner.visit(node)
        self.names.uses |= inner.names.outer
        self.names.calls += inner.names.calls
        self.names.waits = self.names.waits or inner.names.waits
