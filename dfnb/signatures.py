"""Whether a function or class can be an orchestrator, activity, entity or HTTP trigger; where not, an error says what to change."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Iterable
from typing import Any

from dfnb.errors import DefinitionError
from dfnb.records.route_template import RouteTemplate, parse


def own_name(kind: str, function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", None)
    if name is None or name == "<lambda>":
        what = "a lambda" if name else f"a {type(function).__name__} object"
        raise DefinitionError(f"{what} has no name of its own; define the {kind} with `def`, or give it one with name=")
    return str(name)


def check_name(kind: str, name: object) -> str:
    if not isinstance(name, str) or not name.strip():
        raise DefinitionError(f"the name of an {kind} must be a text that is not empty, not {name!r}")
    if any(character in "/\\?#" or not character.isprintable() for character in name):
        raise DefinitionError(f"the {kind} name {name!r} must not contain / \\ ? # or control characters: it is part of URLs")
    if kind == "entity" and "@" in name:
        raise DefinitionError(f"the entity name {name!r} must not contain @: it stands between name and key in an entity's id")
    return name


def check_shape(kind: str, name: str, function: Callable[..., Any]) -> None:
    is_generator, is_async = _yields(function), _awaits(function)
    if kind == "entity":
        _check_entity(name, function)
    if kind == "http_trigger":
        _check_trigger(name, function)
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
    return is_a(inspect.isgeneratorfunction, function) or is_a(inspect.isasyncgenfunction, function)


def _awaits(function: Callable[..., Any]) -> bool:
    return is_a(inspect.iscoroutinefunction, function) or is_a(inspect.isasyncgenfunction, function)


def is_a(test: Callable[[Any], bool], function: Callable[..., Any]) -> bool:
    return test(function) or test(underlying(function))


def check_options(kind: str, name: str, function: Callable[..., Any], timeout: object, executor: object) -> None:
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
    if is_a(inspect.iscoroutinefunction, function):
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
    needed = [p.name for p in inputs if not may_be_left_out(p)]
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


def input_parameter(kind: str, name: str, function: Callable[..., Any]) -> inspect.Parameter | None:
    """The parameter that takes the input (or the context), if there is one; DefinitionError if a call could not fit."""
    if kind == "entity" and inspect.isclass(function):
        return None
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some builtins do not tell
        return inspect.Parameter("input", inspect.Parameter.POSITIONAL_ONLY)
    if kind == "http_trigger":
        _check_trigger_parameters(name, parameters)
        return parameters[0]
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


# ---- HTTP triggers: a function of the request, or of the request and a client

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


def _check_trigger(name: str, function: Callable[..., Any]) -> None:
    if inspect.isclass(function):
        raise DefinitionError(f"http_trigger {name!r} must be a function, not a class: `def {name}(req):`")
    if _yields(function):
        raise DefinitionError(
            f"http_trigger {name!r} must not contain `yield`: it returns one answer, e.g. a text (only orchestrators yield)"
        )


def _check_trigger_parameters(name: str, parameters: list[inspect.Parameter]) -> None:
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in _VARIADIC]
    by_name_only = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if not [p for p in parameters if p.kind in _POSITIONAL] or len(needed) > 2 or by_name_only:
        given = f"it takes {', '.join(needed)}" if needed else "it takes no parameter"
        raise DefinitionError(
            f"http_trigger {name!r} must take the request, and a client if it wants one; {given}: `def {name}(req, client):` "
            "(what is in the route is in `req.route_params`)"
        )


def takes_client(function: Callable[..., Any]) -> bool:
    """Whether a trigger wants the client: by a second parameter without a default, or one that is called so."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return False
    positional = [p for p in parameters if p.kind in _POSITIONAL]
    return len(positional) > 1 and (not may_be_left_out(positional[1]) or positional[1].name == "client")


def check_methods(name: str, methods: Iterable[str] | str) -> tuple[str, ...]:
    """The HTTP methods in capitals, each once."""
    words = methods.replace(",", " ").split() if isinstance(methods, str) else list(methods)
    found = tuple(dict.fromkeys(str(word).strip().upper() for word in words))
    wrong = [method for method in found if method not in METHODS]
    if wrong or not found:
        given = ", ".join(map(repr, wrong)) or "nothing"
        raise DefinitionError(f"the methods of http_trigger {name!r} are some of {', '.join(METHODS)}, not {given}")
    return found


def check_route(name: str, route: str | None) -> RouteTemplate:
    """The parsed route; that of a trigger without one is its name."""
    if route is not None and not isinstance(route, str):
        raise DefinitionError(f"the route of http_trigger {name!r} is a text such as 'orders/{{id}}', not {route!r}")
    try:
        return parse(name if route is None else route.strip())
    except ValueError as error:
        raise DefinitionError(f"http_trigger {name!r}: {error}") from None


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def may_be_left_out(parameter: inspect.Parameter) -> bool:
    return parameter.default is not parameter.empty or parameter.kind is parameter.VAR_POSITIONAL


def annotation_of(function: Callable[..., Any], parameter: inspect.Parameter | None) -> Any:
    """The type a function's parameter is annotated with; None if there is none, or none that can be made out."""
    if parameter is None:
        return None
    try:
        return typing.get_type_hints(underlying(function), include_extras=True).get(parameter.name)
    except Exception:  # an annotation is the user's own expression and may fail in any way; the input then stays as it is
        return None


def underlying(function: Any) -> Any:
    """The function behind a partial or a callable object."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isroutine(function) or inspect.isclass(function):
        return function
    return type(function).__call__
