"""A class as an entity: which method an operation means, and its objects' attributes to a stored state and back."""

from __future__ import annotations

import copy
import functools
import inspect
import sys
import types
import typing
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from dfnb.errors import PayloadError
from dfnb.records import payload
from dfnb.signatures import annotation_of, operation_inputs, operations_of

_SCALARS = frozenset({int, str, float, bool, type(None)})
_PLAIN = _SCALARS | {list, dict}
_MARKER = '"__class__"'


class Method:
    """One operation of a class: which of its parameters gets the input, and whether it wants the context."""

    __slots__ = ("_input_name", "_optional", "_parameters", "input_type", "name")

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        inputs = operation_inputs(function)
        given = inputs[0] if inputs else None
        self.name = name
        self.input_type = annotation_of(function, given)
        self._input_name = given.name if given is not None else None
        self._optional = given is not None and (given.default is not given.empty or given.kind is given.VAR_POSITIONAL)
        wanted = [p for p in list(inspect.signature(function).parameters.values())[1:] if p.name in ("context", self._input_name)]
        by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)
        self._parameters = tuple((p.name, p.kind in by_place) for p in wanted)

    def call(self, instance: object, get_input: Callable[[Any], Any], context: object) -> Any:
        """Run it on an object; no input leaves a parameter that has a default to its default."""
        positional, named = [], {}
        for parameter, by_place in self._parameters:
            value = context
            if parameter == self._input_name:
                value = get_input(self.input_type)
                if value is None and self._optional:
                    continue
            if by_place:
                positional.append(value)
            else:
                named[parameter] = value
        return getattr(instance, self.name)(*positional, **named)


class EntityClass:
    """What is known of an entity's class. It keeps no reference to the class, which a notebook may define anew many times."""

    __slots__ = ("_by_folded_name", "_computed", "_defaults", "_hints", "_is_state_only", "_methods", "_slots")

    def __init__(self, kind: type) -> None:
        self._methods = {name: Method(name, function) for name, function in operations_of(kind).items()}
        self._by_folded_name = _unambiguous(self._methods)
        self._hints = _annotated_attributes(kind)
        self._is_state_only = "state" in self._hints
        members = [(name, member) for base in kind.__mro__ for name, member in vars(base).items()]
        self._slots = {name: member for name, member in members if isinstance(member, types.MemberDescriptorType)}
        self._computed = {name for name, member in members if isinstance(member, functools.cached_property)}
        defaults = {name: getattr(kind, name) for name in self._hints if hasattr(kind, name)}
        self._defaults = {name: value for name, value in defaults.items() if not hasattr(value, "__get__")}

    @property
    def operations(self) -> list[str]:
        """Their names."""
        return [*self._methods]

    def method(self, operation: str) -> Method | None:
        """The method of exactly that name, else the only one whose name is equal ignoring case."""
        return self._methods.get(operation) or self._by_folded_name.get(operation.casefold())

    def wake(self, kind: type, state: str | None) -> object:
        """A new object of the class with the stored state. PayloadError if the state does not fit it."""
        instance: object = kind()
        fresh = self._attributes(instance)
        for name, default in self._defaults.items():
            if name not in fresh:
                fresh[name] = copy.deepcopy(default)
                self._set(instance, name, fresh[name])
        if self._is_state_only:
            self._set(instance, "state", fresh.get("state") if state is None else payload.decode(state, self._hints["state"]))
        elif state is not None:
            self._restore(instance, state, fresh)
        return instance

    def state_of(self, instance: object) -> Any:
        """What is to be stored: the attribute `state` if the class annotates one, else all attributes; None for none."""
        attributes = self._attributes(instance)
        return attributes.get("state") if self._is_state_only else attributes or None

    def _restore(self, instance: object, state: str, fresh: Mapping[str, Any]) -> None:
        stored = payload.decode_plain(state)
        if not isinstance(stored, dict):
            shown = state if len(state) <= 40 else f"{state[:40]}..."
            raise PayloadError(f"a class keeps an object of its attributes there, and it is {shown}")
        marked = _MARKER in state
        for name, value in stored.items():
            try:
                self._set(instance, name, _revived(value, self._hints.get(name), fresh.get(name), marked))
            except PayloadError as error:
                raise PayloadError(f"attribute {name!r}: {error}") from error.__cause__

    def _attributes(self, instance: object) -> dict[str, Any]:
        found = dict(getattr(instance, "__dict__", ()))
        for name in self._slots:
            if hasattr(instance, name):
                found[name] = getattr(instance, name)
        for name in self._computed & found.keys():
            del found[name]
        return found

    def _set(self, instance: object, name: str, value: Any) -> None:
        """Past `__setattr__`, which a frozen class refuses. An attribute the class no longer has room for is left out."""
        slot = self._slots.get(name)
        if slot is not None:
            slot.__set__(instance, value)
        elif hasattr(instance, "__dict__"):
            instance.__dict__[name] = value


_KNOWN: weakref.WeakKeyDictionary[type, EntityClass] = weakref.WeakKeyDictionary()


def entity_class(kind: type) -> EntityClass:
    """What is known of the class, looked at once."""
    known = _KNOWN.get(kind)
    if known is None:
        known = _KNOWN[kind] = EntityClass(kind)
    return known


def _unambiguous(methods: Mapping[str, Method]) -> dict[str, Method]:
    folded = [name.casefold() for name in methods]
    return {name.casefold(): method for name, method in methods.items() if folded.count(name.casefold()) == 1}


# ---- attributes


def _annotated_attributes(kind: type) -> dict[str, Any]:
    """The annotated attributes of the class and its bases with their types, None for a type that cannot be made out."""
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__[:-1]):
        namespace = _namespace(base)
        for name, annotation in inspect.get_annotations(base).items():
            if "ClassVar" not in str(annotation):
                found[name] = _resolved(name, annotation, namespace)
    return found


def _namespace(base: type) -> dict[str, Any]:
    """What the annotations of a class may refer to. A cell's functions know their namespace better than `sys.modules` does."""
    module = sys.modules.get(base.__module__)
    names = dict(vars(module)) if module is not None else {}
    for function in operations_of(base).values():
        names.update(getattr(function, "__globals__", {}))
    return {**names, base.__name__: base}


def _resolved(name: str, annotation: Any, namespace: dict[str, Any]) -> Any:
    holder = type(name, (), {"__annotations__": {name: annotation}})
    try:
        return typing.get_type_hints(holder, globalns=namespace, include_extras=True)[name]
    except Exception:  # an annotation is the user's own expression and may fail in any way; the value then stays as it is
        return None


def _revived(stored: Any, hint: Any, fresh: Any, marked: bool) -> Any:
    """A stored attribute as its annotation says; without one, as what the class itself puts there at first."""
    kind = stored.__class__
    if hint is None:
        return _alike(stored, fresh, marked)
    if kind is hint and kind in _SCALARS:
        return stored
    return _refilled(fresh, payload.decode(payload.encode(stored), hint))


def _alike(stored: Any, fresh: Any, marked: bool) -> Any:
    kind = type(fresh)
    if kind in _PLAIN and not marked:
        return stored
    text = payload.encode(stored)
    try:
        return _refilled(fresh, payload.decode(text, None if kind in _PLAIN else kind))
    except PayloadError:  # the code puts something else there later on
        return payload.decode(text)


def _refilled(fresh: Any, value: Any) -> Any:
    """A Counter, defaultdict or other dict stays what it is at first, its factory included."""
    if type(value) is not dict or not isinstance(fresh, dict) or type(fresh) is dict:
        return value
    fresh.clear()
    fresh.update(value)
    return fresh
