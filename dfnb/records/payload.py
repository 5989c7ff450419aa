"""A value to JSON text and back: what inputs, results, events and custom status look like once written down.

`None` is no text at all. Objects whose class has `to_json` are written the way Azure Functions writes them, as
``{"__class__": ..., "__module__": ..., "__data__": ...}``, and come back through `from_json`. Everything else that has an
obvious JSON form is written in it, and comes back as the annotated type.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import inspect
import json
import math
import pathlib
import sys
import typing
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import Any

import msgspec

from dfnb.errors import PayloadError

_MARKER = '"__class__"'
_MARKER_KEYS = {"__class__", "__module__", "__data__"}
_KEY_TYPES = (str, int, float, bool, type(None))
_PLAIN_TYPES = frozenset({int, str, float, bool, list, dict})
_NO_ANNOTATION = inspect.Parameter.empty
_BIG = 2**63


class _UnsupportedType(Exception):
    """The wanted type says nothing about how to build it from plain data."""


# ---- value to text


def encode(value: Any, *, what: str = "value") -> str | None:
    """The value as JSON text, valid UTF-8; None for None. PayloadError says where `what` holds something unwritable."""
    kind = type(value)
    if kind is str:
        text = _quote(value)
    elif value is None:
        return None
    elif kind is bool:
        return "true" if value else "false"
    elif kind is int and -_BIG < value < _BIG:
        return int.__repr__(value)
    elif kind is float and math.isfinite(value):
        return float.__repr__(value)
    else:
        text = _write(value, what)
    return text if text.isascii() else _storable(text)


def _write(value: Any, what: str) -> str:
    try:
        return _encoder.encode(value)
    except RecursionError:
        reason = "it is nested too deeply; flatten it, or write it to a file and pass the path"
        raise PayloadError(f"{what} cannot be written as JSON: {reason}") from None
    except (TypeError, ValueError) as error:
        raise PayloadError(f"{what} cannot be written as JSON: {_diagnose(value, error)}") from error.__cause__


def _storable(text: str) -> str:
    """Text a UTF-8 column can hold: lone surrogates become the escapes JSON has for them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def _plain(value: Any) -> Any:
    """One step from an object towards plain JSON data; PayloadError if there is none."""
    kind = type(value)
    if _is_table(kind):
        raise PayloadError(_advice(value))
    if hasattr(kind, "to_json"):
        data = _call(kind.to_json, value, kind, "to_json")
        return {"__class__": kind.__name__, "__module__": kind.__module__, "__data__": data}
    if hasattr(kind, "model_dump"):
        return _call(lambda model: model.model_dump(mode="json"), value, kind, "model_dump")
    for types, simplify in _SIMPLIFIERS:
        if isinstance(value, types):
            return simplify(value)
    return _fields(value, kind)


def _fields(value: Any, kind: type) -> Any:
    if hasattr(kind, "__dataclass_fields__"):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(kind, "__attrs_attrs__"):
        return {field.name: getattr(value, field.name) for field in kind.__attrs_attrs__}
    if hasattr(kind, "__array_interface__") and hasattr(kind, "tolist"):
        return value.tolist()
    raise PayloadError(_advice(value))


def _struct_fields(value: msgspec.Struct) -> Any:
    config = value.__struct_config__
    names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
    items = [(written, getattr(value, name)) for written, name in names]
    tag = [(config.tag_field, config.tag)] if config.tag_field else []
    if config.array_like:
        return [item for _, item in tag + items]
    return {name: item for name, item in tag + items if item is not msgspec.UNSET}


def _time(value: Any) -> str | None:
    return str(value.isoformat()) if value == value else None  # pandas' NaT is a datetime that equals nothing


def _in_order(items: Iterable[Any]) -> list[Any]:
    """A set as a list that is the same in every process."""
    items = list(items)
    try:
        return sorted(items)
    except TypeError:
        return sorted(items, key=lambda item: (type(item).__name__, repr(item)))


_SIMPLIFIERS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (msgspec.Struct, _struct_fields),
    (enum.Enum, lambda value: value.value),
    ((datetime.datetime, datetime.date, datetime.time), _time),
    ((datetime.timedelta, bytes, bytearray, memoryview), msgspec.to_builtins),  # ISO 8601 duration; base64
    ((uuid.UUID, decimal.Decimal, pathlib.PurePath), str),
    (Set, _in_order),
    (Mapping, dict),
    (deque, list),
)

_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_plain)
_quote: Callable[[str], str] = json.encoder.encode_basestring


def _call(method: Callable[[Any], Any], argument: Any, kind: type, name: str) -> Any:
    try:
        return method(argument)
    except Exception as error:
        raise PayloadError(f"{kind.__name__}.{name} raised {type(error).__name__}: {error}") from error


# ---- saying what is wrong


def _is_table(kind: type) -> bool:
    return any(base.__module__.partition(".")[0] in _TABLE_MAKERS and base.__name__ in _TABLES for base in kind.__mro__)


_TABLE_MAKERS = {"pandas", "polars", "pyarrow", "duckdb", "_duckdb"}
_TABLES = {"DataFrame", "LazyFrame", "Series", "Table", "RecordBatch", "DuckDBPyRelation"}


def _advice(value: Any) -> str:
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}" if kind.__module__ != "builtins" else kind.__qualname__
    if _is_table(kind):
        rows = '`.to_dict("records")`' if kind.__module__.startswith("pandas") else "its rows as a list of dicts"
        return f"{name} is a table; pass {rows}, or write a Parquet file and pass its path"
    if inspect.isgenerator(value) or isinstance(value, Iterator):
        return f"{name} can be read only once; pass list(...) of it"
    if inspect.isawaitable(value):
        return f"{name} has no value yet; await it first"
    return f"{name} has no JSON form; give the class to_json and from_json, or use plain data (dict, list, str, numbers)"


def _diagnose(value: Any, error: Exception) -> str:
    """Where in the value it went wrong, and why. Slow, so only asked after a failure."""
    try:
        found = _first_trouble(value, "", ())
    except RecursionError:
        found = None
    if found is None:
        return str(error)
    path, reason = found
    return f"at {path}: {reason}" if path else reason


def _first_trouble(value: Any, path: str, parents: tuple[int, ...]) -> tuple[str, str] | None:
    if isinstance(value, str | float | bool | None):
        return None
    if id(value) in parents:
        return path, "it contains itself; pass a copy without the circular reference"
    try:
        children = _children(value)
    except (PayloadError, ValueError) as error:
        return path, str(error)
    troubles = (_first_trouble(child, path + step, (*parents, id(value))) for step, child in children)
    return next((trouble for trouble in troubles if trouble), None)


def _children(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, int):
        int.__repr__(value)  # raises for a number of too many digits
        return []
    if isinstance(value, list | tuple):
        return [(f"[{index}]", item) for index, item in enumerate(value)]
    if isinstance(value, dict):
        return [(f"[{_checked_key(key)}]", item) for key, item in value.items()]
    return [("", _plain(value))]


def _checked_key(key: Any) -> str:
    if isinstance(key, _KEY_TYPES):
        return json.dumps(key, ensure_ascii=False)
    raise PayloadError(f"the key {key!r} is a {type(key).__name__}; JSON keys are text, so use str(...) or a list of pairs")


# ---- text to value


def decode(text: str | None, type: Any = None) -> Any:
    """The value a JSON text holds, as `type` if one is given; None for None. PayloadError if it does not fit."""
    if text is None:
        return None
    value = _load(text, _decoder) if _MARKER not in text else _load(text, _rebuilding(type))
    if type is None or type is Any or type is object or type is _NO_ANNOTATION:
        return value
    kind = value.__class__
    return value if kind is type and kind in _PLAIN_TYPES else _fit(value, type)


def _load(text: str, decoder: json.JSONDecoder) -> Any:
    try:
        value, end = decoder.raw_decode(text)
        return value if end == len(text) else decoder.decode(text)
    except RecursionError:
        raise PayloadError("the JSON text is nested too deeply to be read") from None
    except json.JSONDecodeError:
        return _load_strange(text, decoder)
    except ValueError as error:
        raise PayloadError(f"the JSON text cannot be read: {error}") from None


def _load_strange(text: str, decoder: json.JSONDecoder) -> Any:
    """Text with blanks around the value is fine; anything else is refused with the place."""
    try:
        return decoder.decode(text)
    except json.JSONDecodeError as error:
        raise PayloadError(f"the text is not JSON: {error}") from None


_decoder = json.JSONDecoder()


def _rebuilding(wanted: Any) -> json.JSONDecoder:
    classes = {kind.__name__: kind for kind in _classes_in(wanted) if hasattr(kind, "from_json")}
    return json.JSONDecoder(object_hook=lambda data: _rebuild(data, classes))


def _classes_in(wanted: Any) -> Iterator[type]:
    if inspect.isclass(wanted):
        yield wanted
    for part in typing.get_args(wanted):
        yield from _classes_in(part)


def _rebuild(data: dict[str, Any], wanted: Mapping[str, type]) -> Any:
    """The object a marker stands for; a wanted class goes before the module's, which may be another kernel's."""
    if data.keys() != _MARKER_KEYS:
        return data
    name, module = data["__class__"], data["__module__"]
    if not (isinstance(name, str) and isinstance(module, str)):
        return data
    return _from_json(wanted.get(name) or _find_class(module, name), data["__data__"])


def _find_class(module: str, name: str) -> type:
    home = sys.modules.get(module)
    if home is None:
        raise PayloadError(f"the value is a {module}.{name}, but module {module!r} is not loaded here; import it first")
    kind = getattr(home, name, None)
    if not inspect.isclass(kind):
        where = "run the cell that defines it" if module == "__main__" else "define it there at module level"
        raise PayloadError(f"the value is a {module}.{name}, but {module!r} has no such class; {where}")
    return kind


def _from_json(kind: Any, data: Any) -> Any:
    if not hasattr(kind, "from_json"):
        name = f"{kind.__module__}.{kind.__name__}"
        raise PayloadError(f"the value is a {name}, which has no from_json; give it one to read it back")
    return _call(kind.from_json, data, kind, "from_json")


def _fit(value: Any, wanted: Any) -> Any:
    try:
        if _reads_itself(wanted):
            return _build(wanted, value)
        return msgspec.convert(value, wanted, str_keys=True, dec_hook=_build)
    except msgspec.ValidationError as error:
        raise PayloadError(f"the value does not fit {_name_of(wanted)}: {error}") from error.__cause__
    except PayloadError as error:
        raise PayloadError(f"the value does not fit {_name_of(wanted)}: {error}") from error.__cause__
    except (_UnsupportedType, TypeError, NameError):
        return value  # the annotation is one only the user's own code understands


def _reads_itself(wanted: Any) -> bool:
    return inspect.isclass(wanted) and (hasattr(wanted, "from_json") or hasattr(wanted, "model_validate"))


def _build(wanted: Any, value: Any) -> Any:
    """The value as a class that msgspec does not know how to make."""
    kind = typing.get_origin(wanted) or wanted
    if not inspect.isclass(kind):
        raise _UnsupportedType
    if isinstance(value, kind):
        return value
    if hasattr(kind, "from_json"):
        return _from_json(kind, value)
    if hasattr(kind, "model_validate"):
        return _call(kind.model_validate, value, kind, "model_validate")
    if issubclass(kind, pathlib.PurePath) and isinstance(value, str):
        return kind(value)
    raise _UnsupportedType


def _name_of(wanted: Any) -> str:
    return wanted.__name__ if inspect.isclass(wanted) and not typing.get_args(wanted) else str(wanted)


def decode_plain(text: str | None) -> Any:
    """The stored JSON as plain data, custom objects left as their markers; text that is not JSON as it is."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text
