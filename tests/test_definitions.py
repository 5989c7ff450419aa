from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dfnb.definitions import (
    DEFAULT,
    Definition,
    Entity,
    Orchestrator,
    Registry,
    WithBuiltIns,
    activity,
    declare,
    define,
    entity,
    http_trigger,
    name_of,
    orchestrator,
)
from dfnb.errors import DefinitionError, NotRegisteredError


def trip(context: Any) -> Iterator[Any]:
    yield context


def geocode(city: str) -> dict[str, float]:
    return {city: 1.0}


async def fetch(url: str) -> str:
    return url


def made(source: str, name: str = "f") -> Any:
    """A function whose source cannot be had."""
    namespace: dict[str, Any] = {}
    exec(textwrap.dedent(source), namespace)
    return namespace[name]


@pytest.fixture
def registry() -> Registry:
    return Registry()


# ---- define


def test_a_definition_holds_what_the_function_says() -> None:
    definition = define("activity", geocode, timeout=3)
    assert (definition.kind, definition.name, definition.function) == ("activity", "geocode", geocode)
    assert definition.source.startswith("def geocode(city: str)")
    assert (definition.input_type, definition.takes_input, definition.is_async) == (str, True, False)
    assert (definition.timeout, definition.executor) == (3.0, None)
    assert len(definition.fingerprint) == 12
    assert int(definition.fingerprint, 16) >= 0


def test_defining_registers_nothing() -> None:
    define("activity", geocode)
    assert DEFAULT.get("activity", "geocode") is None


def test_an_async_activity_is_known_as_one() -> None:
    assert define("activity", fetch).is_async
    assert define("activity", functools.partial(fetch), name="f").is_async


def test_a_sync_wrapper_around_an_async_function_is_sync() -> None:
    @functools.wraps(fetch)
    def in_a_loop(url: str) -> str:
        return url

    assert not define("activity", in_a_loop).is_async


def test_an_activity_without_parameters_takes_no_input() -> None:
    definition = define("activity", lambda: 1, name="one")
    assert not definition.takes_input
    assert definition.arguments(None) == ()
    assert definition.arguments(5) == ()


def test_no_input_leaves_a_parameter_with_a_default_to_its_default() -> None:
    definition = define("activity", lambda step=2: step, name="step")
    assert definition.arguments(None) == ()
    assert definition.arguments(5) == (5,)
    assert define("activity", geocode).arguments(None) == (None,)


def test_more_parameters_with_defaults_are_fine() -> None:
    assert define("activity", lambda a, b=1, *, c=2: a, name="f").takes_input
    assert define("orchestrator", lambda context, b=1: context, name="f").takes_input


def test_builtins_methods_partials_and_callable_objects_can_be_activities() -> None:
    class Scorer:
        def __call__(self, text: str) -> int:
            return len(text)

        def score(self, text: str) -> int:
            return len(text)

    assert define("activity", len).name == "len"
    assert define("activity", max).takes_input
    assert define("activity", Scorer().score).input_type is str
    assert define("activity", Scorer(), name="scorer").input_type is str
    assert define("activity", functools.partial(pow, 2), name="power").takes_input


def test_an_annotation_that_cannot_be_resolved_is_no_type() -> None:
    assert define("activity", made("def f(x: 'Missing'): return x")).input_type is None
    assert define("activity", made("def f(x): return x")).input_type is None


def test_an_orchestrator_has_the_input_type_it_was_given() -> None:
    assert define("orchestrator", trip).input_type is None
    assert define("orchestrator", trip, input_type=int).input_type is int


def generator(x: Any) -> Iterator[int]:
    yield x


async def async_generator(x: Any) -> AsyncIterator[int]:
    yield x


@pytest.mark.parametrize(
    ("kind", "function", "options", "said"),
    [
        ("activity", "geocode", {}, r"'geocode' is not a function; write @activity, or @activity\(name=...\)"),
        ("orchestrator", lambda: 1, {"name": "f"}, "must take exactly one parameter, the context; it takes no parameter"),
        ("orchestrator", lambda a, b: 1, {"name": "f"}, "the context; it takes a, b"),
        ("orchestrator", lambda a, *, b: 1, {"name": "f"}, "the context; it takes a, b"),
        ("orchestrator", fetch, {}, "must not be `async def`; write it as a plain generator"),
        ("orchestrator", async_generator, {}, "must not be `async def`"),
        ("entity", lambda: 1, {"name": "f"}, "entity 'f' must take exactly one parameter"),
        ("activity", lambda a, b: 1, {"name": "f"}, "not a, b: pass one value, e.g. a dict or list"),
        ("activity", lambda *, a: 1, {"name": "f"}, "pass one value"),
        ("activity", generator, {}, "must not contain `yield`"),
        ("activity", async_generator, {}, "must not contain `yield`"),
        ("activity", lambda: 1, {}, "a lambda has no name of its own; .* give it one with name="),
        ("activity", functools.partial(geocode), {}, "a partial object has no name of its own"),
        ("activity", geocode, {"name": ""}, "must be a text that is not empty"),
        ("activity", geocode, {"name": 5}, "must be a text that is not empty, not 5"),
        ("activity", geocode, {"name": "a/b"}, "must not contain"),
        ("activity", geocode, {"name": "a\nb"}, "must not contain"),
        ("activity", geocode, {"name": "a?b"}, "must not contain"),
        ("activity", geocode, {"timeout": 0}, "greater than zero, not 0"),
        ("activity", geocode, {"timeout": True}, "greater than zero"),
        ("activity", geocode, {"timeout": float("nan")}, "greater than zero"),
        ("activity", geocode, {"timeout": "5"}, "greater than zero, not '5'"),
        ("activity", geocode, {"executor": 5}, "must be an object with a submit method"),
        ("activity", geocode, {"executor": concurrent.futures.ThreadPoolExecutor}, "must be an object with a submit method"),
        ("orchestrator", trip, {"timeout": 5}, "timeout and executor are for activities"),
        ("entity", trip, {}, "entity 'trip' must not contain `yield`: an entity's operation is done in one step"),
        ("entity", async_generator, {}, "entity 'async_generator' must not be `async def`"),
        ("entity", fetch, {}, "must not be `async def`: .* wait in an activity, and send the entity what came of it"),
        ("entity", lambda a, b: 1, {"name": "f"}, "the context; it takes a, b"),
        ("entity", lambda a: 1, {"name": "a@b"}, "the entity name 'a@b' must not contain @"),
        ("entity", lambda a: 1, {"name": "a#b"}, "must not contain"),
        ("entity", lambda a: 1, {"name": "f", "timeout": 5}, "timeout and executor are for activities"),
    ],
)
def test_what_cannot_be_a_definition_is_a_sentence(kind: Any, function: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        define(kind, function, **options)


def test_an_executor_is_kept_and_refused_for_async_functions() -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert define("activity", geocode, executor=pool).executor is pool
        with pytest.raises(DefinitionError, match="use a plain `def` with an executor"):
            define("activity", fetch, executor=pool)


# ---- fingerprint


def fingerprint(source: str) -> str:
    return define("activity", made(source), source=textwrap.dedent(source)).fingerprint


def test_comments_blank_lines_and_decorators_do_not_change_the_fingerprint() -> None:
    plain = fingerprint("def f(x):\n    return x + 1")
    assert fingerprint("# %%activity --name f\n\ndef f(x):  # adds\n\n    # one\n    return (x+1)\n") == plain
    function = made("def f(x):\n    return x + 1")
    assert define("activity", function, source="@activity(name='g')\ndef f(x):\n    return x + 1").fingerprint == plain
    assert fingerprint("def f(x):\n    return x + 2") != plain


def test_without_source_the_code_itself_is_the_fingerprint() -> None:
    def of(source: str) -> str:
        return define("activity", made(source)).fingerprint

    first = of("def f(x):\n    g = lambda y: y in {1, 2}\n    return g(x) + 1")
    assert define("activity", made("def f(x): return x")).source == ""
    assert of("\n\n# moved\ndef f(x):\n    g = lambda y: y in {2, 1}\n\n    return g(x) + 1") == first
    assert of("def f(x):\n    g = lambda y: y in {1, 3}\n    return g(x) + 1") != first
    assert of("def f(x):\n    g = lambda y: y in {1, 2}\n    return h(x) + 1") != first


def test_a_text_of_another_function_is_not_taken_for_the_source() -> None:
    code = """
from dfnb.definitions import define
made = {}
exec("def f(x):\\n    return x", made)
print(repr(define("activity", made["f"]).source))
"""
    root = Path(__file__).parent.parent
    answer = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert answer.stdout == "''\n"


def test_source_that_cannot_be_parsed_falls_back_to_the_code() -> None:
    function = made("def f(x): return x")
    assert define("activity", function, source="%time def f(:").fingerprint == define("activity", function).fingerprint


# ---- registry


def version(body: str) -> Definition:
    source = f"def f(x):\n    return {body}"
    return define("activity", made(source), source=source)


def test_registering_says_new_unchanged_or_changed(registry: Registry) -> None:
    first, again, other = version("x"), version("x"), version("x + 1")
    assert registry.register(first) == "new"
    assert registry.register(again) == "unchanged"
    assert registry.get("activity", "f") is again
    assert registry.register(other) == "changed"
    assert registry.all() == [other]


def test_kinds_do_not_share_names(registry: Registry) -> None:
    declare("orchestrator", trip, registry=registry, name="x")
    assert registry.get("activity", "x") is None
    assert (registry.names("orchestrator"), registry.names("activity")) == (["x"], [])


def test_a_missing_name_is_answered_with_the_nearest_one(registry: Registry) -> None:
    declare("activity", geocode, registry=registry)
    assert registry.require("activity", "geocode").function is geocode
    with pytest.raises(NotRegisteredError, match="did you mean 'geocode'"):
        registry.require("activity", "geocoed")


def test_a_removed_definition_is_gone(registry: Registry) -> None:
    registry.register(version("x"))
    assert registry.remove("activity", "f")
    assert not registry.remove("activity", "f")
    assert registry.get("activity", "f") is None


def test_subscribers_hear_each_registration_outside_the_lock(registry: Registry) -> None:
    heard: list[tuple[str, str, list[str]]] = []

    def listen(definition: Definition, outcome: str) -> None:
        heard.append((definition.name, outcome, registry.names("activity")))

    unsubscribe = registry.subscribe(listen)
    registry.subscribe(listen)
    registry.register(version("x"))
    unsubscribe()
    unsubscribe()
    registry.register(version("x"))
    assert heard == [("f", "new", ["f"]), ("f", "new", ["f"]), ("f", "unchanged", ["f"])]


def test_many_threads_may_register_at_once(registry: Registry) -> None:
    definitions = [dataclasses.replace(version("x"), name=f"f{n}") for n in range(50)]
    threads = [threading.Thread(target=lambda: [registry.register(d) for d in definitions]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(registry.names("activity")) == 50


# ---- decorators


def test_decorators_return_the_plain_function(registry: Registry) -> None:
    def add(x: int) -> int:
        return x + 1

    assert activity(registry=registry)(add) is add
    assert activity(name="plus", timeout=2.5, registry=registry)(add) is add
    assert add(1) == 2
    assert registry.require("activity", "plus").timeout == 2.5
    assert registry.names("activity") == ["add", "plus"]


def test_decorators_work_without_arguments_on_the_default_registry() -> None:
    try:

        @orchestrator
        def bare_orchestrator(context: Any) -> Iterator[Any]:
            yield context

        @activity
        def bare_activity(x: int) -> int:
            return x

        assert DEFAULT.require("orchestrator", "bare_orchestrator").function is bare_orchestrator
        assert DEFAULT.require("activity", "bare_activity").input_type is int
    finally:
        DEFAULT.remove("orchestrator", "bare_orchestrator")
        DEFAULT.remove("activity", "bare_activity")


def test_the_legacy_form_registers_under_the_functions_own_name() -> None:
    def legacy(context: Any) -> Iterator[Any]:
        yield context

    try:
        assert Orchestrator.create(legacy) is legacy
        assert DEFAULT.require("orchestrator", "legacy").function is legacy
    finally:
        DEFAULT.remove("orchestrator", "legacy")


def test_a_function_that_takes_no_attribute_is_registered_all_the_same(registry: Registry) -> None:
    assert activity(registry=registry)(len) is len
    assert registry.require("activity", "len").function is len


def test_a_decorated_function_is_fingerprinted_without_its_decorator(registry: Registry) -> None:
    @activity(registry=registry)
    def f(x: int) -> int:
        return x

    undecorated = "def f(x: int) -> int:\n    return x"
    assert registry.require("activity", "f").fingerprint == define("activity", f, source=undecorated).fingerprint


# ---- names


def test_a_reference_is_a_name_or_a_decorated_function(registry: Registry) -> None:
    def add(x: int) -> int:
        return x

    activity(name="plus", registry=registry)(add)
    assert name_of("activity", "add") == "add"
    assert name_of("activity", add) == "plus"


def undecorated(x: int) -> int:
    return x


def test_a_reference_to_nothing_is_refused(registry: Registry) -> None:
    @orchestrator(registry=registry)
    def flow(context: Any) -> Iterator[Any]:
        yield context

    refused: list[tuple[str | Callable[..., Any], str]] = [
        ("", "activity name cannot be empty"),
        (flow, "flow is registered as an orchestrator, not as an activity"),
        (undecorated, "undecorated is not registered as an activity; decorate it with @dfnb.activity"),
        (len, "len is not registered as an activity; .* pass the name as a string"),
    ]
    for reference, said in refused:
        with pytest.raises(ValueError, match=said):
            name_of("activity", reference)


# ---- entities


class Counter:
    """An entity."""

    LIMITS = [0, 10]  # noqa: RUF012

    def __init__(self) -> None:
        self.value = 0

    def add(self, n: int) -> int:
        self.value += n
        return self.value

    def _hidden(self, a: int, b: int) -> None: ...

    @staticmethod
    def helper(a: int, b: int) -> None: ...


def test_entity_names_are_found_ignoring_case_and_shown_as_written(registry: Registry) -> None:
    definition, outcome = declare("entity", Counter, registry=registry)
    assert (definition.name, definition.function, outcome) == ("Counter", Counter, "new")
    assert registry.get("entity", "counter") is registry.require("entity", "COUNTER") is definition
    assert registry.names("entity") == ["Counter"]
    assert declare("entity", Counter, registry=registry, name="counter")[1] == "unchanged"
    assert registry.names("entity") == ["counter"]
    assert registry.remove("entity", "cOUNTER")
    assert registry.get("entity", "Counter") is None


def test_other_names_keep_their_case(registry: Registry) -> None:
    declare("activity", geocode, registry=registry)
    assert registry.get("activity", "Geocode") is None


def test_the_entity_decorator_takes_functions_and_classes_and_leaves_them_as_they_are(registry: Registry) -> None:
    def plain(context: Any) -> None: ...

    assert entity(registry=registry)(plain) is plain
    assert entity(name="Konto", registry=registry)(Counter) is Counter
    assert Counter().add(2) == 2
    assert registry.names("entity") == ["Konto", "plain"]
    assert name_of("entity", plain) == "plain"
    assert name_of("entity", Counter) == "Konto"
    with pytest.raises(ValueError, match="plain is registered as an entity, not as an activity"):
        name_of("activity", plain)


def test_a_class_does_not_inherit_the_name_of_its_base(registry: Registry) -> None:
    base = entity(registry=registry)(type("Base", (Counter,), {}))

    class Special(base):  # type: ignore[misc,valid-type]
        pass

    with pytest.raises(ValueError, match="Special is not registered as an entity"):
        name_of("entity", Special)
    assert registry.require("entity", "base").function is base


def test_the_legacy_form_of_an_entity_registers_under_its_own_name() -> None:
    def legacy_counter(context: Any) -> None: ...

    try:
        assert Entity.create(legacy_counter) is legacy_counter
        assert entity(Counter) is Counter
        assert DEFAULT.require("entity", "LEGACY_counter").function is legacy_counter
        assert DEFAULT.require("entity", "counter").function is Counter
    finally:
        DEFAULT.remove("entity", "legacy_counter")
        DEFAULT.remove("entity", "counter")


def test_a_context_may_stand_beside_an_operations_input() -> None:
    class Account:
        def book(self, context: Any, amount: int) -> None: ...
        def close(self, *, context: Any) -> None: ...
        def note(self, text: str = "", *more: str, **rest: str) -> None: ...

    assert define("entity", Account).name == "Account"


def with_method(method: Any) -> type:
    return type("C", (), {"f": method})


class NeedsAnOwner:
    def __init__(self, owner: str, limit: int, notes: str = "") -> None: ...
    def add(self) -> None: ...


class Shares:
    items = []  # type: ignore[var-annotated]  # noqa: RUF012

    def add(self) -> None: ...


class HasItsOwn:
    items: list[int] = []  # noqa: RUF012
    _cache: dict[str, int] = {}  # noqa: RUF012

    def add(self) -> None: ...


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (NeedsAnOwner, "'NeedsAnOwner' must be constructible without arguments, .* give owner, limit a default"),
        (type("C", (), {"_hidden": lambda self: 1}), "'C' has no public method; its methods are its operations"),
        (with_method(fetch), "operation 'f' of entity 'C' must not be `async def`"),
        (with_method(generator), "operation 'f' of entity 'C' must not contain `yield`"),
        (with_method(async_generator), "operation 'f' of entity 'C' must not be `async def`"),
        (with_method(lambda self, a, b: 1), "must take one input at most, not a, b: pass one value"),
        (with_method(lambda self, a, *, b: 1), "must take one input at most, not a, b"),
        (Shares, "attribute 'items' of entity class 'Shares' is one list shared by all entities .* annotate it: `items: list`"),
    ],
)
def test_a_class_that_cannot_be_an_entity_is_told_why(kind: type, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        define("entity", kind)


def test_an_annotated_list_belongs_to_each_entity() -> None:
    assert define("entity", HasItsOwn).name == "HasItsOwn"


def test_a_dataclass_with_a_required_field_is_refused() -> None:
    @dataclasses.dataclass
    class Account:
        balance: int

        def book(self, amount: int) -> None: ...

    with pytest.raises(DefinitionError, match="give balance a default"):
        define("entity", Account)


def test_the_source_of_a_class_is_the_class_alone(registry: Registry) -> None:
    @entity(registry=registry)
    @dataclasses.dataclass
    class Local:
        value: int = 0

        def add(self, n: int) -> None:
            self.value += n

    source = registry.require("entity", "local").source
    assert source.startswith("@entity(registry=registry)\n@dataclasses.dataclass\nclass Local:")
    assert source.endswith("self.value += n\n")


def test_a_class_whose_module_has_no_file_is_found_by_its_methods(tmp_path: Any) -> None:
    """As in a notebook's kernel, where the cell is known by the name its code was compiled with."""
    cell = tmp_path / "cell.py"
    cell.write_text("x = 1\nclass Meter:\n    total: int = 0\n    def add(self, n):\n        self.total += n\ny = 2\n")
    namespace: dict[str, Any] = {"__name__": "no_such_module"}
    exec(compile(cell.read_text(), str(cell), "exec"), namespace)
    source = define("entity", namespace["Meter"]).source
    assert source == "class Meter:\n    total: int = 0\n    def add(self, n):\n        self.total += n\n"


def class_fingerprint(source: str) -> str:
    return define("entity", Counter, source=source).fingerprint


def test_the_entity_decorator_does_not_change_a_class_but_others_do() -> None:
    plain = "class Counter:\n    def add(self, n): ..."
    assert class_fingerprint("@df.entity(name='c')\n" + plain) == class_fingerprint("@entity\n" + plain + "  # adds")
    assert class_fingerprint("@entity\n@dataclass\n" + plain) != class_fingerprint(plain)
    assert class_fingerprint(plain.replace("add", "sub")) != class_fingerprint(plain)


def test_a_class_without_source_is_fingerprinted_by_its_methods() -> None:
    def of(body: str) -> str:
        return define("entity", made(f"class C:\n    def add(self, n): {body}", "C")).fingerprint

    assert of("return n + 1") == of("return n + 1")
    assert of("return n + 1") != of("return n + 2")


# ---- what the house brings


def test_built_ins_are_made_when_first_looked_for_found_by_name_and_never_listed(registry: Registry) -> None:
    calls: list[int] = []

    def make() -> list[Definition]:
        calls.append(1)
        return [define("activity", double, name="dfnb.double")]

    def double(x: int) -> int:
        return 2 * x

    known = WithBuiltIns(registry, make)
    activity(name="own", registry=known)(double)
    assert registry.get("activity", "own") is not None
    assert known.get("activity", "missing") is None
    assert calls == []
    assert known.require("activity", "dfnb.double").function is double
    assert known.get("orchestrator", "dfnb.double") is None
    assert (calls, known.names("activity"), registry.get("activity", "dfnb.double")) == ([1], ["own"], None)


# ---- HTTP triggers


def test_a_trigger_has_its_route_methods_and_level(registry: Registry) -> None:
    @http_trigger("/orders/{id:int}", methods=["post", "GET", "POST"], auth_level="Admin", name="order", registry=registry)
    async def handle(req: Any, client: Any) -> None: ...

    found = registry.require("http_trigger", "order")
    assert (found.route, found.methods, found.auth_level.value) == ("orders/{id:int}", ("POST", "GET"), "admin")
    assert (found.is_async, found.takes_client, found.function) == (True, True, handle)


def test_a_bare_trigger_is_named_and_routed_as_its_function(registry: Registry) -> None:
    def order(req: Any) -> None: ...

    _, outcome = declare("http_trigger", order, registry=registry)
    found = registry.require("http_trigger", "order")
    assert (found.route, found.methods, found.auth_level.value, outcome) == ("order", ("GET", "POST"), "function", "new")
    assert not found.takes_client
    assert http_trigger(order) is order
    assert DEFAULT.remove("http_trigger", "order")


@pytest.mark.parametrize(
    ("source", "takes"),
    [
        ("def f(req): pass", False),
        ("def f(req, client): pass", True),
        ("def f(req, client=None): pass", True),
        ("def f(req, n=3): pass", False),
        ("def f(*everything): pass", False),
        ("def f(req, /, starter, *, n=1): pass", True),
    ],
)
def test_a_trigger_gets_the_client_when_it_wants_one(source: str, takes: bool) -> None:
    assert define("http_trigger", made(source)).takes_client is takes


@pytest.mark.parametrize(
    ("source", "options", "sentence"),
    [
        ("def f(): pass", {}, "must take the request, and a client if it wants one; it takes no parameter"),
        ("def f(req, id, client): pass", {}, "it takes req, id, client: .*req.route_params"),
        ("def f(req, *, client): pass", {}, "must take the request"),
        ("def f(req):\n    yield 1", {}, "must not contain `yield`"),
        ("async def f(req):\n    yield 1", {}, "must not contain `yield`"),
        ("class f:\n    def __init__(self, req): pass", {}, "must be a function, not a class"),
        ("def f(req): pass", {"methods": ["GET", "FLY"]}, "the methods of http_trigger 'f' are some of GET, .*, not 'FLY'"),
        ("def f(req): pass", {"methods": ""}, "not nothing"),
        ("def f(req): pass", {"auth_level": "root"}, "known are anonymous, function, admin"),
        ("def f(req): pass", {"route": "a/{id}/{ID}"}, "http_trigger 'f': the route .* has two parameters named 'ID'"),
        ("def f(req): pass", {"route": 5}, "is a text such as 'orders/{id}', not 5"),
        ("def f(req): pass", {"timeout": 5}, "timeout and executor are for activities"),
    ],
)
def test_what_cannot_be_a_trigger_is_told_in_a_sentence(source: str, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DefinitionError, match=sentence):
        define("http_trigger", made(source), **options)


def test_two_triggers_cannot_answer_the_same_requests(registry: Registry) -> None:
    def one(req: Any) -> None: ...
    def other(req: Any) -> None: ...

    declare("http_trigger", one, route="orders/{id}", registry=registry)
    with pytest.raises(DefinitionError, match=r"GET /Orders/\{number\} is answered by http_trigger 'one' already; .* name='one'"):
        declare("http_trigger", other, route="Orders/{number}", methods="GET,PUT", registry=registry)
    assert registry.get("http_trigger", "other") is None
    declare("http_trigger", other, route="Orders/{number}", methods="PUT", registry=registry)
    declare("http_trigger", other, name="one", route="Orders/{number}", registry=registry)
    assert registry.names("http_trigger") == ["one", "other"]


def test_a_trigger_has_changed_when_it_is_reached_in_another_way(registry: Registry) -> None:
    def order(req: Any) -> None: ...

    outcomes = [
        declare("http_trigger", order, registry=registry, **options)[1]
        for options in ({}, {}, {"methods": "GET"}, {"methods": "GET", "route": "x"}, {"methods": "GET", "route": "/x"})
    ]
    assert outcomes == ["new", "unchanged", "changed", "changed", "unchanged"]
