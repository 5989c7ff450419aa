from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import pathlib
import sys
import threading
import types
import typing
import uuid
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, TypedDict, TypeVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfnb.errors import PayloadError
from dfnb.records.payload import decode, encode

HERE = __name__


class Point:
    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and (self.x, self.y) == (other.x, other.y)

    __hash__ = None  # type: ignore[assignment]

    @staticmethod
    def to_json(point: Point) -> dict[str, Any]:
        return {"x": point.x, "y": point.y}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Point:
        return cls(data["x"], data["y"])


@dataclasses.dataclass
class Order:
    n: int
    when: dt.datetime | None = None
    tags: list[str] = dataclasses.field(default_factory=list)


class Parcel(msgspec.Struct, rename="camel", tag="parcel"):
    net_weight: float
    order: Order


class Pair(NamedTuple):
    a: int
    b: str


class Shape(TypedDict):
    n: int


class Colour(enum.Enum):
    RED = "red"


class Model:
    """What a pydantic model looks like from here."""

    def __init__(self, n: int) -> None:
        self.n = n

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        assert mode == "json"
        return {"n": self.n}

    @classmethod
    def model_validate(cls, data: Any) -> Model:
        if not isinstance(data["n"], int):
            raise ValueError("n must be an int")
        return cls(data["n"])


def round_trip(value: Any, type: Any = None) -> Any:
    return decode(encode(value), type)


# ---- plain JSON

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
json_values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@settings(deadline=None)
@given(json_values)
def test_json_values_survive_the_round_trip(value: Any) -> None:
    text = encode(value)
    assert decode(text) == value
    assert text is None or (text.encode() and json.loads(text) == value)


@settings(deadline=None)
@given(scalars)
def test_the_fast_path_writes_what_the_json_module_writes(value: Any) -> None:
    assert encode(value) == (None if value is None else json.dumps(value, ensure_ascii=False))


def test_none_is_no_text() -> None:
    assert encode(None) is None
    assert decode(None) is None
    assert decode(None, int) is None
    assert decode("null") is None


def test_not_a_number_and_infinity_survive() -> None:
    assert math.isnan(round_trip(math.nan))
    assert round_trip([math.inf, -math.inf]) == [math.inf, -math.inf]


def test_nul_characters_and_lone_surrogates_survive_as_valid_utf8() -> None:
    for text in ("a\0b", "\ud800", "é\udfff", "😀"):
        for value in (text, [text], {text: 1}):
            written = encode(value)
            assert written is not None
            assert "\0" not in written
            assert written.encode()
            assert decode(written) == value


def test_text_beyond_ascii_is_kept_readable() -> None:
    assert encode({"stad": "Tromsø"}) == '{"stad":"Tromsø"}'


def test_keys_and_tuples_become_what_json_has_for_them() -> None:
    assert round_trip({2: (1, 2), None: 3, True: 4}) == {"2": [1, 2], "null": 3, "true": 4}


def test_blanks_around_the_text_do_not_matter() -> None:
    assert decode(' {"a": 1}\n') == {"a": 1}


# ---- objects with an obvious JSON form


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (dt.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=dt.UTC), dt.datetime),
        (dt.datetime(2026, 1, 2), dt.datetime),
        (dt.date(2026, 1, 2), dt.date),
        (dt.time(3, 4), dt.time),
        (dt.timedelta(days=3, seconds=1.5), dt.timedelta),
        (uuid.UUID(int=7), uuid.UUID),
        (decimal.Decimal("1.10"), decimal.Decimal),
        (pathlib.PurePosixPath("a/b"), pathlib.PurePosixPath),
        (Colour.RED, Colour),
        ({"a", "b"}, set[str]),
        (frozenset({1}), frozenset[int]),
        (b"\0\xff", bytes),
        (Order(1, dt.datetime(2026, 1, 2), ["x"]), Order),
        ([Order(1)], list[Order]),
        (Parcel(1.5, Order(2)), Parcel),
        (Pair(1, "b"), Pair),
        ({1: Order(1)}, dict[int, Order]),
        (collections.deque([1]), collections.deque),
        (10**30, int),
    ],
)
def test_a_value_comes_back_as_its_annotated_type(value: Any, kind: Any) -> None:
    if kind is collections.deque:
        assert round_trip(value, kind) == [1]
    else:
        assert round_trip(value, kind) == value
        assert round_trip([value], list[kind]) == [value]


def test_untyped_objects_come_back_as_plain_data() -> None:
    assert round_trip(Order(1, dt.datetime(2026, 1, 2))) == {"n": 1, "when": "2026-01-02T00:00:00", "tags": []}
    assert round_trip(dt.timedelta(seconds=90)) == "PT90S"
    assert round_trip(types.MappingProxyType({"a": 1})) == {"a": 1}


def test_a_set_is_written_in_the_same_order_everywhere() -> None:
    assert encode({"b", "a", "c"}) == '["a","b","c"]'
    assert encode({1, "a", None}) == '[null,1,"a"]'


def test_numpy_values_are_written_as_numbers_and_lists() -> None:
    np = pytest.importorskip("numpy")
    value = {"a": np.int64(3), "b": np.float32(0.5), "c": np.arange(4).reshape(2, 2), "d": np.bool_(True), "e": np.float64(1.5)}
    assert round_trip(value) == {"a": 3, "b": 0.5, "c": [[0, 1], [2, 3]], "d": True, "e": 1.5}


def test_a_missing_time_of_pandas_is_null() -> None:
    pd = pytest.importorskip("pandas")
    assert encode([pd.NaT, pd.Timestamp("2026-01-02")]) == '[null,"2026-01-02T00:00:00"]'


def test_models_are_dumped_and_validated() -> None:
    assert encode(Model(3)) == '{"n":3}'
    assert round_trip(Model(3), Model).n == 3
    assert round_trip([Model(3)], list[Model])[0].n == 3
    with pytest.raises(PayloadError, match=r"does not fit Model: Model\.model_validate raised ValueError: n must be an int"):
        decode('{"n":"x"}', Model)


# ---- to_json and from_json


def test_an_object_with_to_json_carries_its_class() -> None:
    assert json.loads(encode(Point(1, 2)) or "") == {"__class__": "Point", "__module__": HERE, "__data__": {"x": 1, "y": 2}}


def test_an_object_with_to_json_comes_back_nested_and_untyped() -> None:
    value = {"a": [Point(1, Point(2, 3))]}
    assert round_trip(value) == value


@pytest.mark.parametrize("kind", [Point, Point | None, Any, object])
def test_a_rebuilt_object_fits_its_type(kind: Any) -> None:
    assert round_trip(Point(1, 2), kind) == Point(1, 2)


def test_plain_data_becomes_the_wanted_class() -> None:
    assert decode('{"x":1,"y":2}', Point) == Point(1, 2)
    assert decode('[{"x":1,"y":2}]', list[Point]) == [Point(1, 2)]


def test_to_json_wins_over_dataclass_fields() -> None:
    @dataclasses.dataclass
    class Secretive:
        a: int

        def to_json(self) -> str:
            return f"a={self.a}"

        @classmethod
        def from_json(cls, data: str) -> Secretive:
            return cls(int(data[2:]))

    assert json.loads(encode(Secretive(4)) or "")["__data__"] == "a=4"
    assert round_trip(Secretive(4), Secretive) == Secretive(4)
    assert round_trip([Secretive(4)], list[Secretive]) == [Secretive(4)]


def test_the_wanted_class_is_taken_when_the_module_is_another_kernels() -> None:
    text = '{"__class__":"Point","__module__":"function_app","__data__":{"x":1,"y":2}}'
    assert decode(text, Point) == Point(1, 2)
    assert decode(f"[{text}]", list[Point | None]) == [Point(1, 2)]


@pytest.mark.parametrize(
    ("name", "module", "said"),
    [
        ("Point", "never_imported", "module 'never_imported' is not loaded here; import it first"),
        ("Missing", "__main__", "has no such class; run the cell that defines it"),
        ("Missing", "json", "has no such class"),
        ("JSONDecoder", "json", "has no from_json"),
    ],
)
def test_a_class_that_cannot_be_found_is_a_sentence(name: str, module: str, said: str) -> None:
    with pytest.raises(PayloadError, match=said):
        decode(json.dumps({"__class__": name, "__module__": module, "__data__": 1}))
    assert "never_imported" not in sys.modules


@pytest.mark.parametrize("data", [{"__class__": "A"}, {"__class__": 1, "__module__": 2, "__data__": 3}])
def test_what_only_looks_like_a_marker_stays_a_dict(data: dict[str, Any]) -> None:
    assert round_trip(data) == data


def test_a_failing_from_json_is_named() -> None:
    with pytest.raises(PayloadError, match=r"does not fit Point: Point\.from_json raised KeyError: 'y'") as caught:
        decode('{"x":1}', Point)
    assert isinstance(caught.value.__cause__, KeyError)


# ---- types


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("5", int, 5),
        ("5", float, 5.0),
        ('"a"', str, "a"),
        ("true", bool, True),
        ("[1]", list, [1]),
        ("null", None | int, None),
        ("[1,2]", tuple[int, int], (1, 2)),
        ('"a"', Literal["a"], "a"),
        ('{"n":1}', Shape, {"n": 1}),
        ("5", TypeVar("T"), 5),
        ("5", threading.Thread, 5),
        ("[5]", list[threading.Thread], [5]),
        ("5", "int", 5),
        ("5", typing.Callable, 5),
    ],
)
def test_text_is_read_as_the_type(text: str, kind: Any, value: Any) -> None:
    result = decode(text, kind)
    assert (result, type(result)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ('"5"', int, "does not fit int: Expected `int`, got `str`"),
        ("true", int, "Expected `int`, got `bool`"),
        ("1.5", int, "Expected `int`, got `float`"),
        ('{"n":"x"}', Order, r"does not fit Order: Expected `int`, got `str` - at `\$.n`"),
        ("[1,null]", list[int], r"does not fit list\[int\]: .* at `\$\[1\]`"),
        ('"b"', Literal["a"], "Invalid enum value"),
    ],
)
def test_a_mismatch_says_what_was_expected_and_where(text: str, kind: Any, said: str) -> None:
    with pytest.raises(PayloadError, match=said):
        decode(text, kind)


@pytest.mark.parametrize("text", ["", "{", "abc", "1 2", "[" * 200_000])
def test_text_that_is_not_json_is_a_sentence(text: str) -> None:
    with pytest.raises(PayloadError, match=r"the (JSON )?text is n"):
        decode(text)


# ---- what cannot be written


def cyclic() -> list[Any]:
    value: list[Any] = [1]
    value.append({"me": value})
    return value


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(200_000):
        value = [value]
    return value


def numbers() -> Iterator[int]:
    yield 1


class Broken:
    def to_json(self) -> str:
        raise RuntimeError("no disk")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (object(), r"^the input cannot be written as JSON: object has no JSON form; give the class to_json and from_json"),
        ([1, 2, 3, {"when": 1j}], r"at \[3\]\[\"when\"\]: complex has no JSON form"),
        (Order(1, None, [1j]), r"at \[\"tags\"\]\[0\]: complex"),  # type: ignore[list-item]
        (Point([1j], 1), r"at \[\"__data__\"\]\[\"x\"\]\[0\]: complex"),
        ({"a": {(1, 2): 3}}, r"at \[\"a\"\]: the key \(1, 2\) is a tuple; JSON keys are text"),
        (cyclic(), r"at \[1\]\[\"me\"\]: it contains itself"),
        (deep(), "nested too deeply"),
        pytest.param(10**5000, "digits", id="a huge number"),
        ([10**5000], r"at \[0\]: .*digits"),
        (numbers(), "generator can be read only once; pass list"),
        ([Broken()], r"at \[0\]: Broken.to_json raised RuntimeError: no disk"),
        (Point, "type has no JSON form"),
    ],
)
def test_what_cannot_be_written_is_named_with_its_place(value: Any, said: str) -> None:
    with pytest.raises(PayloadError, match=said):
        encode(value, what="the input")


def test_a_failing_to_json_is_the_cause() -> None:
    with pytest.raises(PayloadError) as caught:
        encode(Broken())
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_tables_are_refused_with_advice() -> None:
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    for table in (pd.DataFrame({"a": [1]}), pd.Series([1])):
        with pytest.raises(PayloadError, match=r'at \["t"\]: .* is a table; pass `.to_dict\("records"\)`, or'):
            encode({"t": table})
    with pytest.raises(PayloadError, match="is a table; pass its rows as a list of dicts, or write a Parquet file"):
        encode(pl.DataFrame({"a": [1]}))
