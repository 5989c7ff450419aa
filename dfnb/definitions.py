"""What the cells have defined: orchestrators, activities and entities by name, each with its source and fingerprint."""

from __future__ import annotations

import ast
import concurrent.futures
import dataclasses
import functools
import hashlib
import inspect
import textwrap
import threading
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeVar

from dfnb.errors import DefinitionError, NotRegisteredError

Kind = Literal["orchestrator", "activity", "entity"]
Outcome = Literal["new", "unchanged", "changed"]
AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


@dataclasses.dataclass(frozen=True, slots=True)
class Definition:
    """One orchestrator, activity or entity as it was defined. `fingerprint` changes when its code does."""

    kind: Kind
    name: str
    function: Callable[..., Any]
    source: str
    fingerprint: str
    input_type: Any = None
    takes_input: bool = True
    is_async: bool = False
    timeout: float | None = None
    executor: concurrent.futures.Executor | None = None
    input_optional: bool = False

    def arguments(self, value: Any) -> tuple[Any, ...]:
        """What to call an activity's function with: no input leaves a parameter that has a default to its default."""
        if not self.takes_input or (value is None and self.input_optional):
            return ()
        return (value,)


def _key(kind: str, name: str) -> tuple[str, str]:
    """What a definition is found by: entity names are compared in lower case."""
    return (kind, name.lower() if kind == "entity" else name)


class Registry:
    """The definitions known in this process, by kind and name. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._definitions: dict[tuple[str, str], Definition] = {}
        self._subscribers: dict[object, Callable[[Definition, str], None]] = {}

    def register(self, definition: Definition) -> Outcome:
        """Take in a definition, and say how it compares to the one it replaces."""
        key = _key(definition.kind, definition.name)
        with self._lock:
            before = self._definitions.get(key)
            self._definitions[key] = definition
            subscribers = tuple(self._subscribers.values())
        outcome = _compare(before, definition)
        for callback in subscribers:
            callback(definition, outcome)
        return outcome

    def get(self, kind: str, name: str) -> Definition | None:
        return self._definitions.get(_key(kind, name))

    def require(self, kind: str, name: str) -> Definition:
        """The definition; NotRegisteredError names the nearest ones if there is none."""
        definition = self.get(kind, name)
        if definition is None:
            raise NotRegisteredError(kind, name, self.names(kind))
        return definition

    def names(self, kind: str) -> list[str]:
        return sorted(definition.name for definition in self.all() if definition.kind == kind)

    def all(self) -> list[Definition]:
        with self._lock:
            return list(self._definitions.values())

    def remove(self, kind: str, name: str) -> bool:
        with self._lock:
            return self._definitions.pop(_key(kind, name), None) is not None

    def subscribe(self, callback: Callable[[Definition, str], None]) -> Callable[[], None]:
        """Have `callback(definition, outcome)` called after each `register`; returns the function that ends it."""
        ticket = object()  # the same callback may subscribe twice
        with self._lock:
            self._subscribers[ticket] = callback

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers.pop(ticket, None)

        return unsubscribe


def _compare(before: Definition | None, now: Definition) -> Outcome:
    if before is None:
        return "new"
    return "unchanged" if before.fingerprint == now.fingerprint else "changed"


DEFAULT = Registry()


# ---- from a function to a definition


def define(
    kind: Kind,
    function: Callable[..., Any],
    *,
    name: str | None = None,
    source: str | None = None,
    input_type: Any = None,
    timeout: float | None = None,
    executor: concurrent.futures.Executor | None = None,
) -> Definition:
    """The definition a function makes; DefinitionError says what is wrong with it. Registers nothing."""
    if not callable(function):
        raise DefinitionError(f"{function!r} is not a function; write @{kind}, or @{kind}(name=...) to give another name")
    chosen = _check_name(kind, _own_name(kind, function) if name is None else name)
    _check_shape(kind, chosen, function)
    _check_options(kind, chosen, function, timeout, executor)
    parameter = _input_parameter(kind, chosen, function)
    text = _source_of(function) if source is None else source
    return Definition(
        kind,
        chosen,
        function,
        text,
        _fingerprint(function, text),
        annotation_of(function, parameter) if input_type is None and kind == "activity" else input_type,
        takes_input=parameter is not None,
        is_async=_is_a(inspect.iscoroutinefunction, function),
        timeout=None if timeout is None else float(timeout),
        executor=executor,
        input_optional=parameter is not None and _may_be_left_out(parameter),
    )


def _own_name(kind: str, function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", None)
    if name is None or name == "<lambda>":
        what = "a lambda" if name else f"a {type(function).__name__} object"
        raise DefinitionError(f"{what} has no name of its own; define the {kind} with `def`, or give it one with name=")
    return str(name)


def _check_name(kind: str, name: object) -> str:
    if not isinstance(name, str) or not name.strip():
        raise DefinitionError(f"the name of an {kind} must be a text that is not empty, not {name!r}")
    if any(character in "/\\?#" or not character.isprintable() for character in name):
        raise DefinitionError(f"the {kind} name {name!r} must not contain / \\ ? # or control characters: it is part of URLs")
    if kind == "entity" and "@" in name:
        raise DefinitionError(f"the entity name {name!r} must not contain @: it stands between name and key in an entity's id")
    return name


def _check_shape(kind: str, name: str, function: Callable[..., Any]) -> None:
    is_generator, is_async = _yields(function), _awaits(function)
    if kind == "entity":
        _check_entity(name, function)
    if kind == "orchestrator" and is_async:
        raise DefinitionError(
            f"orchestrator {name!r} must not be `async def`; write it as a plain generator: `def {name}(context):` with "
            "`yield` where you would write `await`"
        )
    if kind == "activity" and is_generator:
        raise DefinitionError(
            f"activity {name!r} must not contain `yield`: an activity returns one value, e.g. a list (only orchestrators yield)"
        )


def _yields(function: Callable[..., Any]) -> bool:
    return _is_a(inspect.isgeneratorfunction, function) or _is_a(inspect.isasyncgenfunction, function)


def _awaits(function: Callable[..., Any]) -> bool:
    return _is_a(inspect.iscoroutinefunction, function) or _is_a(inspect.isasyncgenfunction, function)


def _is_a(test: Callable[[Any], bool], function: Callable[..., Any]) -> bool:
    return test(function) or test(_underlying(function))


def _check_options(kind: str, name: str, function: Callable[..., Any], timeout: object, executor: object) -> None:
    if kind != "activity" and (timeout is not None or executor is not None):
        raise DefinitionError(f"timeout and executor are for activities; {kind} {name!r} cannot have them")
    if timeout is not None and not (isinstance(timeout, int | float) and not isinstance(timeout, bool) and timeout > 0):
        raise DefinitionError(f"the timeout of activity {name!r} must be seconds, a number greater than zero, not {timeout!r}")
    if executor is not None:
        _check_executor(name, function, executor)


def _check_executor(name: str, function: Callable[..., Any], executor: object) -> None:
    if not callable(getattr(executor, "submit", None)) or isinstance(executor, type):
        raise DefinitionError(
            f"the executor of activity {name!r} must be an object with a submit method, "
            f"like concurrent.futures.ProcessPoolExecutor(), not {executor!r}"
        )
    if _is_a(inspect.iscoroutinefunction, function):
        raise DefinitionError(f"activity {name!r} is `async def` and runs on an event loop; use a plain `def` with an executor")


# ---- entities: a function, or a class whose public methods are the operations


def operations_of(kind: type) -> dict[str, Callable[..., Any]]:
    """The public methods of an entity class by name, inherited ones included."""
    members = {name: member for base in reversed(kind.__mro__[:-1]) for name, member in vars(base).items()}
    return {name: member for name, member in members.items() if not name.startswith("_") and _is_operation(member)}


def _is_operation(member: object) -> bool:
    return callable(member) and not isinstance(member, type | staticmethod | classmethod)


def operation_inputs(method: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters of a method that can take an operation's input: all but the object itself and `context`."""
    parameters = list(inspect.signature(method).parameters.values())[1:]
    return [p for p in parameters if p.name != "context" and p.kind is not p.VAR_KEYWORD]


def _check_entity(name: str, function: Callable[..., Any]) -> None:
    if inspect.isclass(function):
        _check_entity_class(name, function)
    else:
        _check_one_step(f"entity {name!r}", function)


def _check_one_step(subject: str, function: Callable[..., Any]) -> None:
    if _awaits(function):
        raise DefinitionError(
            f"{subject} must not be `async def`: an entity's operation is done in one step; wait in an activity, "
            "and send the entity what came of it"
        )
    if _yields(function):
        raise DefinitionError(
            f"{subject} must not contain `yield`: an entity's operation is done in one step; "
            "return a value, e.g. a list (only orchestrators yield)"
        )


def _check_entity_class(name: str, kind: type) -> None:
    needed = _needed_to_construct(kind)
    if needed:
        raise DefinitionError(
            f"entity class {name!r} must be constructible without arguments, for entities that have no state yet; "
            f"give {', '.join(needed)} a default"
        )
    operations = operations_of(kind)
    if not operations:
        raise DefinitionError(f"entity class {name!r} has no public method; its methods are its operations: `def add(self, n):`")
    for operation, method in operations.items():
        _check_operation(f"operation {operation!r} of entity {name!r}", method)
    _check_own_attributes(name, kind)


def _needed_to_construct(kind: type) -> list[str]:
    try:
        parameters = inspect.signature(kind).parameters.values()
    except (TypeError, ValueError):  # some bases do not tell
        return []
    return [p.name for p in parameters if p.default is p.empty and p.kind not in _VARIADIC]


def _check_operation(subject: str, method: Callable[..., Any]) -> None:
    _check_one_step(subject, method)
    try:
        inputs = operation_inputs(method)
    except (TypeError, ValueError):
        return
    needed = [p.name for p in inputs if not _may_be_left_out(p)]
    if len(needed) > 1:
        raise DefinitionError(
            f"{subject} must take one input at most, not {', '.join(needed)}: pass one value, e.g. a dict, or a dataclass "
            "(a parameter named `context` gets the DurableEntityContext)"
        )


def _check_own_attributes(name: str, kind: type) -> None:
    """A list in the class itself would be shared by all entities, and never saved; as a constant it is in capitals."""
    annotated = {attribute for base in kind.__mro__ for attribute in inspect.get_annotations(base)}
    for attribute, value in vars(kind).items():
        fine = attribute.startswith("_") or attribute.isupper() or attribute in annotated
        if isinstance(value, list | dict | set) and not fine:
            what = type(value).__name__
            raise DefinitionError(
                f"attribute {attribute!r} of entity class {name!r} is one {what} shared by all entities and is not saved; give "
                f"each its own in `__init__`, or annotate it: `{attribute}: {what}` (a constant is written in capitals)"
            )


def _input_parameter(kind: str, name: str, function: Callable[..., Any]) -> inspect.Parameter | None:
    """The parameter that takes the input (or the context), if there is one; DefinitionError if a call could not fit."""
    if kind == "entity" and inspect.isclass(function):
        return None
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some builtins do not tell
        return inspect.Parameter("input", inspect.Parameter.POSITIONAL_ONLY)
    positional = [p for p in parameters if p.kind in _POSITIONAL]
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in _VARIADIC]
    first = positional[0] if positional else None
    excess = [n for n in needed if first is None or n != first.name]
    if kind != "activity" and (first is None or excess):
        given = f"it takes {', '.join(needed)}" if needed else "it takes no parameter"
        raise DefinitionError(f"{kind} {name!r} must take exactly one parameter, the context; {given}: `def {name}(context):`")
    if excess:
        raise DefinitionError(
            f"activity {name!r} must take one parameter or none, not {', '.join(needed)}: pass one value, e.g. a dict or list"
        )
    return first


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _may_be_left_out(parameter: inspect.Parameter) -> bool:
    return parameter.default is not parameter.empty or parameter.kind is parameter.VAR_POSITIONAL


def annotation_of(function: Callable[..., Any], parameter: inspect.Parameter | None) -> Any:
    """The type a function's parameter is annotated with; None if there is none, or none that can be made out."""
    if parameter is None:
        return None
    try:
        return typing.get_type_hints(_underlying(function), include_extras=True).get(parameter.name)
    except Exception:  # an annotation is the user's own expression and may fail in any way; the input then stays as it is
        return None


def _underlying(function: Any) -> Any:
    """The function behind a partial or a callable object."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isroutine(function) or inspect.isclass(function):
        return function
    return type(function).__call__


# ---- source and fingerprint


def _source_of(function: Callable[..., Any]) -> str:
    own = _class_source(function) if inspect.isclass(function) else ""
    try:
        return own or textwrap.dedent(inspect.getsource(_underlying(function)))
    except (OSError, TypeError):  # typed at a prompt, made by exec, or built in
        return ""


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


def _fingerprint(function: Callable[..., Any], source: str) -> str:
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
    function = inspect.unwrap(_underlying(function))
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


# ---- decorators


def declare(
    kind: Kind, function: Callable[..., Any], *, registry: Registry = DEFAULT, **options: Any
) -> tuple[Definition, Outcome]:
    """Define, register and mark a function, as the decorators and the cell magics do."""
    definition = define(kind, function, **options)
    _mark(function, kind, definition.name)
    return definition, registry.register(definition)


def _mark(function: Any, kind: str, name: str) -> None:
    try:
        function.__dfnb__ = (kind, name)
    except (AttributeError, TypeError):
        return  # builtins and bound methods take no attributes; they are called by name


def _decorate(kind: Kind, function: Any, registry: Registry, options: dict[str, Any]) -> Any:
    def decorator(decorated: AnyFunction) -> AnyFunction:
        declare(kind, decorated, registry=registry, **options)
        return decorated

    return decorator if function is None else decorator(function)


@typing.overload
def orchestrator(function: AnyFunction) -> AnyFunction: ...
@typing.overload
def orchestrator(
    *, name: str | None = None, input_type: Any = None, registry: Registry = DEFAULT
) -> Callable[[AnyFunction], AnyFunction]: ...
def orchestrator(function: Any = None, *, name: str | None = None, input_type: Any = None, registry: Registry = DEFAULT) -> Any:
    """Register a function as an orchestrator; it stays the plain function it is."""
    return _decorate("orchestrator", function, registry, {"name": name, "input_type": input_type})


@typing.overload
def activity(function: AnyFunction) -> AnyFunction: ...
@typing.overload
def activity(
    *,
    name: str | None = None,
    timeout: float | None = None,
    executor: concurrent.futures.Executor | None = None,
    registry: Registry = DEFAULT,
) -> Callable[[AnyFunction], AnyFunction]: ...
def activity(
    function: Any = None,
    *,
    name: str | None = None,
    timeout: float | None = None,
    executor: concurrent.futures.Executor | None = None,
    registry: Registry = DEFAULT,
) -> Any:
    """Register a function as an activity; it stays the plain function it is. `timeout` is in seconds."""
    return _decorate("activity", function, registry, {"name": name, "timeout": timeout, "executor": executor})


@typing.overload
def entity(function: AnyFunction) -> AnyFunction: ...
@typing.overload
def entity(*, name: str | None = None, registry: Registry = DEFAULT) -> Callable[[AnyFunction], AnyFunction]: ...
def entity(function: Any = None, *, name: str | None = None, registry: Registry = DEFAULT) -> Any:
    """Register a function of the context, or a class whose public methods are operations, as an entity; it stays what it is."""
    return _decorate("entity", function, registry, {"name": name})


class Orchestrator:
    """Azure's older form: ``main = df.Orchestrator.create(orchestrator_function)``."""

    @staticmethod
    def create(fn: AnyFunction) -> AnyFunction:
        """Register the function as an orchestrator under its own name, and return it."""
        declare("orchestrator", fn)
        return fn


class Entity:
    """Azure's older form: ``main = df.Entity.create(entity_function)``."""

    @staticmethod
    def create(fn: AnyFunction) -> AnyFunction:
        """Register the function as an entity under its own name, and return it."""
        declare("entity", fn)
        return fn


def name_of(kind: str, reference: str | Callable[..., Any]) -> str:
    """The name a call refers to: a text as it is, a decorated function by the name it was registered under."""
    if isinstance(reference, str) or reference is None:
        if not reference:
            raise ValueError(f"{kind} name cannot be empty")
        return reference
    marks: Any = vars(reference) if inspect.isclass(reference) else {"__dfnb__": getattr(reference, "__dfnb__", None)}
    marked, name = marks.get("__dfnb__") or (None, "")  # a class does not inherit the mark of its base
    if marked == kind:
        return str(name)
    shown = getattr(reference, "__name__", None) or repr(reference)
    if marked is not None:
        raise ValueError(f"{shown} is registered as an {marked}, not as an {kind}; pass an {kind} or its name")
    raise ValueError(f"{shown} is not registered as an {kind}; decorate it with @dfnb.{kind}, or pass the name as a string")
