"""The source of a definition, and a fingerprint of it that changes when its meaning may have."""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
import textwrap
import types
from collections.abc import Callable, Iterator
from typing import Any

from dfnb.signatures import underlying


def source_of(function: Callable[..., Any]) -> str:
    own = _class_source(function) if inspect.isclass(function) else ""
    try:
        text = own or textwrap.dedent(inspect.getsource(underlying(function)))
    except (OSError, TypeError):  # typed at a prompt, made by exec, or built in
        return ""
    return text if own or _tells_of(function, text) else ""


def _tells_of(function: Callable[..., Any], text: str) -> bool:
    """Whether a text can be a function's source: what exec made in a ``python -c`` may be taken for a part of that command."""
    code = getattr(underlying(function), "__code__", None)
    if code is None or code.co_name == "<lambda>":
        return True
    return re.search(rf"\bdef\s+{re.escape(code.co_name)}\b", text) is not None


def _class_source(kind: type) -> str:
    """The text of a class, found where its methods are: Python itself may not find a class that a notebook's cell defines."""
    for method in _own_functions(kind):
        if method.__qualname__ != f"{kind.__qualname__}.{method.__name__}":
            continue  # made elsewhere, e.g. by a decorator
        try:
            lines, line = inspect.findsource(method)
            classes = [node for node in ast.walk(ast.parse("".join(lines))) if isinstance(node, ast.ClassDef)]
        except (OSError, SyntaxError, ValueError):
            continue
        for node in classes:
            if node.name == kind.__name__ and node.lineno <= line + 1 <= (node.end_lineno or 0):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                return textwrap.dedent("".join(lines[first - 1 : node.end_lineno]))
    return ""


def _own_functions(kind: type) -> Iterator[types.FunctionType]:
    return (member for member in vars(kind).values() if isinstance(member, types.FunctionType))


def fingerprint_of(function: Callable[..., Any], source: str) -> str:
    text = _normal_form(source) or _code_form(function)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:12]


def _normal_form(source: str) -> str:
    """The source without what does not change its meaning: comments, blank lines, decorators of the functions, @entity."""
    try:
        tree = ast.parse(textwrap.dedent(source))
    except (SyntaxError, ValueError):
        return ""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.decorator_list = []
        elif isinstance(node, ast.ClassDef):  # others, like @dataclass, make the class what it is
            node.decorator_list = [decorator for decorator in node.decorator_list if not _is_entity_decorator(decorator)]
    return ast.unparse(tree)


def _is_entity_decorator(decorator: ast.expr) -> bool:
    return ast.unparse(decorator).partition("(")[0].rpartition(".")[2] == "entity"


def _code_form(function: Callable[..., Any]) -> str:
    function = inspect.unwrap(underlying(function))
    if inspect.isclass(function):
        methods = sorted(_own_functions(function), key=lambda method: method.__name__)
        return f"class({function.__qualname__}, {[_code_form(method) for method in methods]})"
    code = getattr(function, "__code__", None)
    if code is None:
        return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '')}"
    return _constant_form(code)


def _constant_form(value: Any) -> str:
    """A constant of a code object as text that is the same in every process; no line numbers, no file names."""
    if isinstance(value, types.CodeType):
        parts = (value.co_code, value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars)
        return f"code({parts!r}, {_constant_form(value.co_consts)})"
    if isinstance(value, tuple):
        return f"({', '.join(map(_constant_form, value))})"
    if isinstance(value, frozenset):
        return f"{{{', '.join(sorted(map(_constant_form, value)))}}}"
    return repr(value)
