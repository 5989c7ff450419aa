"""What the cells have defined: orchestrators, activities, entities and HTTP triggers by name, with their source and fingerprint."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import inspect
import threading
import typing
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar

from dfnb.errors import DefinitionError, NotRegisteredError
from dfnb.fingerprint import fingerprint_of, source_of
from dfnb.records.route_template import parse
from dfnb.records.web import AuthLevel
from dfnb.signatures import (
    annotation_of,
    check_methods,
    check_name,
    check_options,
    check_route,
    check_shape,
    input_parameter,
    is_a,
    may_be_left_out,
    own_name,
    takes_client,
)

Kind = Literal["orchestrator", "activity", "entity", "http_trigger"]
Outcome = Literal["new", "unchanged", "changed"]
_METHODS = ("GET", "POST")
AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


@dataclasses.dataclass(frozen=True, slots=True)
class Definition:
    """One orchestrator, activity, entity or HTTP trigger as it was defined. `fingerprint` changes when its code does.

    `route` (without a slash in front), `methods`, `auth_level` and `takes_client` are of HTTP triggers only.
    """

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
    route: str = ""
    methods: tuple[str, ...] = ()
    auth_level: AuthLevel = AuthLevel.FUNCTION
    takes_client: bool = False

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name} ({self.fingerprint})>"

    def arguments(self, value: Any) -> tuple[Any, ...]:
        """What to call an activity's function with: no input leaves a parameter that has a default to its default."""
        if not self.takes_input or (value is None and self.input_optional):
            return ()
        return (value,)


_BUILT_IN = "dfnb."


def _key(kind: str, name: str) -> tuple[str, str]:
    """What a definition is found by: entity names are compared in lower case."""
    return (kind, name.lower() if kind == "entity" else name)


class Registry:
    """The definitions known in this process, by kind and name. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._definitions: dict[tuple[str, str], Definition] = {}
        self._subscribers: dict[object, Callable[[Definition, str], None]] = {}

    def __repr__(self) -> str:
        count = len(self._definitions)
        return f"<Registry: {count} {'definition' if count == 1 else 'definitions'}>"

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


class WithBuiltIns(Registry):
    """A registry that knows some definitions of the house besides: they are found by name and never listed.

    Their names begin with ``dfnb.``; `make` is called when the first of them is looked for.
    """

    def __init__(self, registry: Registry, make: Callable[[], Iterable[Definition]]) -> None:
        super().__init__()
        self._registry = registry
        self._make = make
        self._made: dict[tuple[str, str], Definition] | None = None

    def get(self, kind: str, name: str) -> Definition | None:
        found = self._registry.get(kind, name)
        return found if found is not None or not name.startswith(_BUILT_IN) else self._built_in().get((kind, name))

    def _built_in(self) -> dict[tuple[str, str], Definition]:
        with self._lock:
            if self._made is None:
                self._made = {(definition.kind, definition.name): definition for definition in self._make()}
            return self._made

    def register(self, definition: Definition) -> Outcome:
        return self._registry.register(definition)

    def all(self) -> list[Definition]:
        return self._registry.all()

    def remove(self, kind: str, name: str) -> bool:
        return self._registry.remove(kind, name)

    def subscribe(self, callback: Callable[[Definition, str], None]) -> Callable[[], None]:
        return self._registry.subscribe(callback)


def _compare(before: Definition | None, now: Definition) -> Outcome:
    if before is None:
        return "new"
    return "unchanged" if _essence(before) == _essence(now) else "changed"


def _essence(definition: Definition) -> tuple[object, ...]:
    """What a new definition may change: its code, and where a trigger is reached by whom."""
    return definition.fingerprint, definition.route, definition.methods, definition.auth_level


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
    route: str | None = None,
    methods: Iterable[str] | str = _METHODS,
    auth_level: AuthLevel | str = AuthLevel.FUNCTION,
) -> Definition:
    """The definition a function makes; DefinitionError says what is wrong with it. Registers nothing."""
    if not callable(function):
        raise DefinitionError(f"{function!r} is not a function; write @{kind}, or @{kind}(name=...) to give another name")
    chosen = check_name(kind, own_name(kind, function) if name is None else name)
    check_shape(kind, chosen, function)
    check_options(kind, chosen, function, timeout, executor)
    parameter = input_parameter(kind, chosen, function)
    text = source_of(function) if source is None else source
    made = Definition(
        kind,
        chosen,
        function,
        text,
        fingerprint_of(function, text),
        annotation_of(function, parameter) if input_type is None and kind == "activity" else input_type,
        takes_input=parameter is not None,
        is_async=is_a(inspect.iscoroutinefunction, function),
        timeout=None if timeout is None else float(timeout),
        executor=executor,
        input_optional=parameter is not None and may_be_left_out(parameter),
    )
    return _as_trigger(made, route, methods, auth_level) if kind == "http_trigger" else made


def _as_trigger(
    made: Definition, route: str | None, methods: Iterable[str] | str, auth_level: AuthLevel | str
) -> Definition:
    try:
        level = AuthLevel.parse(auth_level)
    except ValueError as error:
        raise DefinitionError(f"http_trigger {made.name!r}: {error}") from None
    return dataclasses.replace(
        made, route=check_route(made.name, route).text, methods=check_methods(made.name, methods), auth_level=level,
        takes_client=takes_client(made.function),
    )  # fmt: skip


# ---- decorators


def declare(
    kind: Kind, function: Callable[..., Any], *, registry: Registry = DEFAULT, **options: Any
) -> tuple[Definition, Outcome]:
    """Define, register and mark a function, as the decorators and the cell magics do."""
    definition = define(kind, function, **options)
    _check_free(definition, registry)
    _mark(function, kind, definition.name)
    return definition, registry.register(definition)


def _check_free(definition: Definition, registry: Registry) -> None:
    """Two triggers must not answer the same requests: which of them did would depend on the order of cells."""
    if definition.kind != "http_trigger":
        return
    shape = parse(definition.route).shape
    for other in registry.all():
        if other.kind != "http_trigger" or other.name == definition.name or parse(other.route).shape != shape:
            continue
        both = [method for method in definition.methods if method in other.methods]
        if both:
            raise DefinitionError(
                f"{', '.join(both)} /{definition.route} is answered by http_trigger {other.name!r} already; "
                f"give {definition.name!r} another route or other methods, or name={other.name!r} to replace that one"
            )


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


@typing.overload
def http_trigger(route: AnyFunction) -> AnyFunction: ...
@typing.overload
def http_trigger(
    route: str | None = None,
    methods: Iterable[str] | str = _METHODS,
    auth_level: AuthLevel | str = AuthLevel.FUNCTION,
    name: str | None = None,
    *,
    registry: Registry = DEFAULT,
) -> Callable[[AnyFunction], AnyFunction]: ...
def http_trigger(
    route: Any = None,
    methods: Iterable[str] | str = _METHODS,
    auth_level: AuthLevel | str = AuthLevel.FUNCTION,
    name: str | None = None,
    *,
    registry: Registry = DEFAULT,
) -> Any:
    """Register a function of a request, or of a request and a client, to answer HTTP requests; it stays the function it is.

    `route`: a template such as ``orders/{id:int}``, behind the server's prefix ``api``; the function's name without one.
    `auth_level`: ``anonymous``, ``function`` (the hub's function key) or ``admin`` (the hub's own key). A coroutine function is
    given an AsyncDurableOrchestrationClient, a plain one a DurableOrchestrationClient.
    """
    function = route if callable(route) else None
    options = {"route": None if function else route, "methods": methods, "auth_level": auth_level, "name": name}
    return _decorate("http_trigger", function, registry, options)


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
