"""One operation of an entity, run alone: state and input in, an outcome out."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import functools
import gc
import random
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfnb.definitions import Registry, orchestrator
from dfnb.records import payload
from dfnb.records.entity_id import EntityId
from dfnb.replay.entity import DurableEntityContext, OrchestrationStarted, Outcome, SignalSent, run_operation
from dfnb.replay.entity_class import entity_class

COUNTER = EntityId("counter", "Home")
OTHER = EntityId("Other", "o")
NOW = 1_700_000_000_000_000


def run(
    function: Callable[..., Any], operation: str = "do", input: Any = None, state: str | None = None, **options: Any
) -> Outcome:
    text = payload.encode(input)
    return run_operation(function, COUNTER, state, operation, text, **{"now": NOW, "seed": "seed", "name": "Counter", **options})


def ok(outcome: Outcome) -> Outcome:
    assert outcome.failure is None, outcome.failure.summary
    return outcome


def failed(outcome: Outcome) -> str:
    assert outcome.failure is not None
    assert (outcome.result, outcome.signals, outcome.starts) == (None, (), ())
    return outcome.failure.summary


def counter(context: DurableEntityContext) -> None:
    value = context.get_state(lambda: 0)
    if context.operation_name == "add":
        value += context.get_input()
    context.set_state(value)
    context.set_result(value)


# ---- the context


def test_a_counter_counts() -> None:
    assert run(counter, "add", 5) == Outcome("5", "5")
    assert run(counter, "add", 2, state="5") == Outcome("7", "7")
    assert run(counter, "get", state="7") == Outcome("7", "7")


def test_the_context_says_who_is_asked_what_by_whom_and_when() -> None:
    def look(context: DurableEntityContext) -> Any:
        assert context.entity_id is COUNTER
        assert context.current_utc_datetime == dt.datetime(2023, 11, 14, 22, 13, 20, tzinfo=dt.UTC)
        return [context.entity_name, context.entity_key, context.operation_name, context.caller_id, context.is_newly_constructed]

    assert ok(run(look, "Look")).result == '["counter","Home","Look",null,true]'
    assert ok(run(look, "Look", state="0", caller="@x@y")).result == '["counter","Home","Look","@x@y",false]'


def test_an_entity_is_newly_constructed_for_the_whole_of_its_first_operation() -> None:
    def first(context: DurableEntityContext) -> bool:
        context.set_state(1)
        return context.is_newly_constructed

    assert run(first) == Outcome("1", "true")


def test_input_is_decoded_as_the_type_asked_for() -> None:
    def take(context: DurableEntityContext) -> Any:
        return [context.get_input(), str(context.get_input(dt.date)), context.get_input() is None]

    assert ok(run(take, input="2024-01-31")).result == '["2024-01-31","2024-01-31",false]'
    assert ok(run(take)).result == '[null,"None",true]'
    said = failed(run(lambda context: context.get_input(int), "add", "x"))
    assert said.startswith("PayloadError: the input of operation 'add' of entity @counter@Home cannot be read: the value does not")


@dataclasses.dataclass
class Account:
    owner: str
    balance: int = 0


def test_state_is_decoded_as_the_type_asked_for_and_is_a_fresh_copy() -> None:
    def take(context: DurableEntityContext) -> Any:
        account = context.get_state(expected_type=Account)
        account.balance += 100
        context.get_state()["balance"] = -1
        return [account.balance, context.get_state(expected_type=Account).balance]

    text = '{"owner":"Ada","balance":1}'
    assert run(take, state=text) == Outcome(text, "[101,1]")
    said = failed(run(lambda context: context.get_state(expected_type=Account), state="5"))
    assert said.startswith("PayloadError: the stored state of entity @counter@Home cannot be read: the value does not fit Account")


def test_the_initial_value_is_not_stored_until_it_is_set() -> None:
    assert run(lambda context: context.get_state(lambda: [0])) == Outcome(None, "[0]")
    assert run(lambda context: context.get_state(int)) == Outcome(None, "0")
    assert run(lambda context: context.get_state()) == Outcome(None)


def test_an_initial_value_that_is_no_function_is_refused_with_a_hint() -> None:
    said = failed(run(lambda context: context.get_state(0), state="5"))
    assert said == "TypeError: get_state takes a function that makes the first value: `get_state(lambda: 0)`"


@pytest.mark.parametrize("value", [0, "", False, [], {}])
def test_falsy_states_and_results_survive(value: Any) -> None:
    def keep(context: DurableEntityContext) -> None:
        context.set_state(value)
        context.set_result(value)

    text = payload.encode(value)
    assert run(keep) == Outcome(text, text)
    assert run(lambda context: context.get_state(lambda: "none"), state=text).result == text


def test_none_removes_the_state() -> None:
    def forget(context: DurableEntityContext) -> Any:
        context.set_state(None)
        return context.get_state(lambda: "none")

    assert run(forget, state="5") == Outcome(None, '"none"')


def test_state_is_written_down_as_it_is_when_it_is_set() -> None:
    def change_later(context: DurableEntityContext) -> None:
        items = [1]
        context.set_state(items)
        items.append(2)

    assert run(change_later).state == "[1]"


def test_state_that_cannot_be_written_fails_the_operation_and_leaves_the_old_state() -> None:
    said = failed(outcome := run(lambda context: context.set_state({"lock": threading.Lock()}), state="5"))
    assert said.startswith("PayloadError: the state of entity @counter@Home cannot be written as JSON: at [\"lock\"]: _thread.lock")
    assert outcome.state == "5"


def test_a_result_that_cannot_be_written_fails_the_operation() -> None:
    def answer(context: DurableEntityContext) -> Any:
        context.set_state(6)
        return object()

    said = failed(outcome := run(answer, "ask", state="5"))
    assert said.startswith("PayloadError: the result of operation 'ask' cannot be written as JSON")
    assert outcome.state == "5"


def test_a_refused_state_that_the_code_catches_changes_nothing() -> None:
    def careful(context: DurableEntityContext) -> str:
        context.set_state(6)
        with pytest.raises(TypeError):
            context.set_state(object())
        return "kept"

    assert run(careful, state="5") == Outcome("6", '"kept"')


def test_the_return_value_is_the_result_unless_one_was_set() -> None:
    def both(context: DurableEntityContext) -> int:
        context.set_result(None if context.get_input() else 1)
        return 2

    assert run(lambda context: 2).result == "2"
    assert run(both).result == "1"
    assert run(both, input=True).result is None


def generator(context: Any) -> Iterator[int]:
    yield 1


async def coroutine(context: Any) -> int:
    return 1


async def async_generator(context: Any) -> Any:
    yield 1


@pytest.mark.parametrize("function", [generator, coroutine, async_generator])
def test_code_that_would_never_run_is_an_error(function: Callable[..., Any]) -> None:
    said = failed(run(lambda context: function(context), "add", state="5"))
    assert said.startswith(f"TypeError: operation 'add' returned a {function.__name__.replace('_', ' ')}, whose code never runs")


def test_destruction_at_the_end_goes_before_a_state_set_afterwards() -> None:
    def end(context: DurableEntityContext) -> Any:
        context.destruct_on_exit()
        before = context.get_state(lambda: "none")
        context.set_state(7)
        return [before, context.get_state()]

    assert run(end, state="5") == Outcome(None, '["none",7]')
    assert run(counter, "add", 1, state=run(end, state="5").state) == Outcome("1", "1")


# ---- messages


def test_signals_are_sent_in_order_at_once_or_later() -> None:
    def send(context: DurableEntityContext) -> None:
        context.signal_entity(OTHER, "add", 5)
        context.signal_entity(entityId=COUNTER, operationName="reset", operationInput=None)
        context.signal_entity(OTHER, "add", 0, dt.datetime(2030, 1, 1))
        east = dt.timezone(dt.timedelta(hours=1))
        context.signal_entity(OTHER, "add", False, signal_time=dt.datetime(2030, 1, 1, 1, tzinfo=east))
        context.signal_entity(OTHER, "tick", signal_time=dt.timedelta(seconds=1.5))

    in_2030 = 1_893_456_000_000_000
    assert ok(run(send)).signals == (
        SignalSent("@other@o", "add", "5", None),
        SignalSent("@counter@Home", "reset", None, None),
        SignalSent("@other@o", "add", "0", in_2030),
        SignalSent("@other@o", "add", "false", in_2030),
        SignalSent("@other@o", "tick", None, NOW + 1_500_000),
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("@other@o", "add"), "TypeError: signal_entity takes an EntityId, e.g. EntityId('counter', 'x'), not '@other@o'"),
        ((None, "add"), "TypeError: signal_entity takes an EntityId"),
        ((OTHER, ""), "ValueError: signal_entity needs the operation's name, a text that is not empty, not ''"),
        ((OTHER, 5), "ValueError: signal_entity needs the operation's name"),
        ((OTHER, "add", {1, print}), "PayloadError: the input of operation 'add' of entity @other@o cannot be written as JSON"),
        ((OTHER, "add", 1, 5), "TypeError: signal_time is a datetime, or a timedelta from now, not 5"),
        ((OTHER, "add", 1, dt.timedelta.max), "ValueError: signal_time 999999999 days, 23:59:59.999999 is after the year 9999"),
    ],
)
def test_a_signal_that_cannot_be_sent_is_a_sentence(arguments: Any, said: str) -> None:
    assert failed(run(lambda context: context.signal_entity(*arguments))).startswith(said)


def test_orchestrations_are_started_by_name_or_function_with_an_id_given_or_made() -> None:
    @orchestrator(name="Audit", registry=Registry())
    def audit(context: Any) -> Iterator[Any]:
        yield context

    def start(context: DurableEntityContext) -> list[str]:
        ids = [context.schedule_new_orchestration(audit, {"n": 1}), context.schedule_new_orchestration("report")]
        return [*ids, context.schedule_new_orchestration(name="report", input=0, instance_id="mine")]

    outcome = ok(run(start))
    first, second, third = payload.decode(outcome.result)
    assert outcome.starts == (
        OrchestrationStarted("Audit", first, '{"n":1}', True),
        OrchestrationStarted("report", second, None, True),
        OrchestrationStarted("report", "mine", "0", False),
    )
    assert third == "mine"
    assert len({first, second, third}) == 3
    assert ok(run(start)) == outcome
    assert payload.decode(ok(run(start, seed="another")).result)[0] != first


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("",), "ValueError: orchestrator name cannot be empty"),
        ((counter,), "ValueError: counter is not registered as an orchestrator; decorate it with @dfnb.orchestrator"),
        (("f", object()), "PayloadError: the input of orchestration 'f' cannot be written as JSON"),
        (("f", 1, ""), "ValueError: an instance id is a text of 1 to 256 characters, not ''"),
        (("f", 1, 5), "ValueError: an instance id is a text of 1 to 256 characters, not 5"),
        (("f", 1, "x" * 257), "ValueError: an instance id is a text of 1 to 256 characters"),
        (("f", 1, "@a@b"), "ValueError: the instance id '@a@b' must not start with @"),
        (("f", 1, "a/b"), "ValueError: the instance id 'a/b' must not start with @ or contain"),
        (("f", 1, "a\nb"), "ValueError: the instance id 'a\\nb' must not"),
    ],
)
def test_an_orchestration_that_cannot_be_started_is_a_sentence(arguments: Any, said: str) -> None:
    assert failed(run(lambda context: context.schedule_new_orchestration(*arguments))).startswith(said)


# ---- failures


def test_a_failing_operation_changes_and_sends_nothing() -> None:
    def half_done(context: DurableEntityContext) -> None:
        context.set_state(999)
        context.set_result(999)
        context.signal_entity(OTHER, "add", 1)
        context.schedule_new_orchestration("audit")
        raise ValueError("bad")

    assert failed(outcome := run(half_done, state="5")) == "ValueError: bad"
    assert outcome.state == "5"
    assert failed(outcome := run(half_done)) == "ValueError: bad"
    assert outcome.state is None
    assert outcome.failure is not None
    assert "half_done" in outcome.failure.stack_trace


def test_destruction_is_undone_by_a_failure() -> None:
    def end(context: DurableEntityContext) -> None:
        context.destruct_on_exit()
        raise ValueError("bad")

    assert run(end, state="5").state == "5"


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), RecursionError("deep")])
def test_whatever_is_raised_is_a_failure(error: BaseException) -> None:
    def leave(context: DurableEntityContext) -> None:
        raise error

    assert failed(run(leave)).startswith(type(error).__name__)


def test_exit_in_a_cell_does_not_end_the_engine() -> None:
    assert failed(run(lambda context: sys.exit("bye"))) == "SystemExit: bye"


def test_a_stored_state_that_is_no_json_fails_the_operation() -> None:
    assert "cannot be read: the text is not JSON" in failed(run(counter, state="{"))


# ---- classes: which method


class Meter:
    def __init__(self) -> None:
        self.value = 0

    def add(self, n: int) -> int:
        self.value += n
        return self.value

    def step(self, by: int = 10) -> int:
        return self.add(by)

    def get(self) -> int:
        return self.value

    def Reset(self) -> None:
        self.value = 0

    def same(self) -> str:
        return "lower"

    def SAME(self) -> str:
        return "upper"

    def _secret(self) -> None: ...

    @staticmethod
    def tool() -> None: ...


def test_public_methods_are_operations() -> None:
    assert run(Meter, "add", 5) == Outcome('{"value":5}', "5")
    assert run(Meter, "get", state='{"value":5}') == Outcome('{"value":5}', "5")
    assert run(Meter, "get", "an input nobody takes", state='{"value":5}').result == "5"


def test_a_parameter_with_a_default_may_get_no_input() -> None:
    assert run(Meter, "step").result == "10"
    assert run(Meter, "step", 3).result == "3"
    assert failed(run(Meter, "add")).startswith("TypeError: unsupported operand")


def test_operations_are_found_ignoring_case_if_only_one_is_meant() -> None:
    assert run(Meter, "ADD", 5).result == "5"
    assert run(Meter, "reset", state='{"value":5}').state == '{"value":0}'
    assert (run(Meter, "same").result, run(Meter, "SAME").result) == ('"lower"', '"upper"')
    assert failed(run(Meter, "Same")).startswith("UnknownOperationError")


def test_an_unknown_operation_is_answered_with_the_nearest_ones() -> None:
    said = failed(outcome := run(Meter, "ad", 5, state='{"value":5}'))
    assert said == "UnknownOperationError: entity 'Counter' has no operation 'ad'; did you mean 'add'?"
    assert outcome.state == '{"value":5}'
    assert failed(run(Meter, "_secret")).endswith("it has: Reset, SAME, add, delete, get, same, step")
    assert failed(run(Meter, "tool")).startswith("UnknownOperationError")
    assert failed(run(Meter, "__init__")).startswith("UnknownOperationError")


def test_every_class_can_be_deleted() -> None:
    assert run(Meter, "delete", state='{"value":5}') == Outcome(None)
    assert run(Meter, "Delete", state="not even JSON") == Outcome(None)


def test_a_class_may_say_itself_what_delete_means() -> None:
    class Kept(Meter):
        def delete(self) -> str:
            return "no"

    assert run(Kept, "delete", state='{"value":5}') == Outcome('{"value":5}', '"no"')
    assert run(Kept, "DELETE").result == '"no"'


def test_inherited_methods_are_operations_and_private_ones_hide_nothing() -> None:
    class Special(Meter):
        add = None  # type: ignore[assignment]

        def twice(self, n: int) -> int:
            return n * 2

    assert run(Special, "twice", 2).result == "4"
    assert run(Special, "get").result == "0"
    assert failed(run(Special, "add", 2)).startswith("UnknownOperationError")


@dataclasses.dataclass
class Order:
    item: str
    price: float = 1


def test_input_is_decoded_by_its_annotation() -> None:
    class Shop:
        def buy(self, order: Order) -> float:
            return order.price * 2

        def many(self, orders: list[Order]) -> int:
            return sum(isinstance(order, Order) for order in orders)

        def odd(self, x: "Missing") -> Any:  # type: ignore[name-defined] # noqa: F821, UP037
            return x

    assert run(Shop, "buy", {"item": "tea", "price": 3}).result == "6.0"
    assert run(Shop, "many", [{"item": "tea"}, {"item": "cup"}]).result == "2"
    assert run(Shop, "odd", [1]).result == "[1]"
    assert failed(run(Shop, "buy", {"price": 3})).startswith(
        "PayloadError: the input of operation 'buy' of entity @counter@Home cannot be read: the value does not fit Order"
    )


def test_a_parameter_named_context_gets_the_context() -> None:
    class Shop:
        def first(self, context: DurableEntityContext, order: Order) -> list[str]:
            return [context.operation_name, order.item]

        def last(self, order: Order, context: Any = None) -> list[str]:
            return [context.operation_name, order.item]

        def named(self, *, context: Any) -> str:
            return str(context.entity_key)

        def placed(self, n: int = 1, /, context: Any = None) -> list[Any]:
            return [n, context.entity_key]

        def spread(self, *n: int, context: Any, **rest: Any) -> list[Any]:
            return [*n, context.entity_key]

    assert run(Shop, "first", {"item": "tea"}).result == '["first","tea"]'
    assert run(Shop, "last", {"item": "tea"}).result == '["last","tea"]'
    assert run(Shop, "named").result == '"Home"'
    assert (run(Shop, "placed").result, run(Shop, "placed", 2).result) == ('[1,"Home"]', '[2,"Home"]')
    assert (run(Shop, "spread").result, run(Shop, "spread", 2).result) == ('["Home"]', '[2,"Home"]')


def test_a_class_may_use_all_of_the_context() -> None:
    class Shop:
        def __init__(self) -> None:
            self.sold = 0

        def sell(self, context: DurableEntityContext) -> str:
            self.sold += 1
            context.signal_entity(OTHER, "restock")
            context.set_result("sold")
            return "ignored"

        def close(self, context: DurableEntityContext) -> None:
            context.destruct_on_exit()

        def force(self, context: DurableEntityContext) -> None:
            self.sold = -1
            context.set_state({"sold": context.get_state(lambda: {"sold": 40})["sold"] + 2})

    sold = ok(run(Shop, "sell"))
    assert (sold.state, sold.result, sold.signals) == ('{"sold":1}', '"sold"', (SignalSent("@other@o", "restock", None, None),))
    assert run(Shop, "close", state='{"sold":1}') == Outcome(None)
    assert run(Shop, "force") == Outcome('{"sold":42}')


def test_decorated_methods_keep_their_signature() -> None:
    def logged(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def inner(self: Any, *args: Any, **kwargs: Any) -> Any:
            return [method(self, *args, **kwargs)]

        return inner

    class Shop:
        @logged
        def buy(self, order: Order) -> str:
            return order.item

    assert run(Shop, "buy", {"item": "tea"}).result == '["tea"]'


def test_a_coroutine_returned_by_a_method_is_an_error() -> None:
    class Hidden:
        def ask(self) -> Any:
            return coroutine(None)

    assert failed(run(Hidden, "ask")).startswith("TypeError: operation 'ask' returned a coroutine")


# ---- classes: the state


def again(kind: type, state: str | None, operation: str, input: Any = None) -> str | None:
    return ok(run(kind, operation, input, state=state)).state


@dataclasses.dataclass
class Wallet:
    account: Account = dataclasses.field(default_factory=lambda: Account("nobody"))
    seen: set[str] = dataclasses.field(default_factory=set)
    opened: dt.date | None = None

    def book(self, amount: int) -> None:
        self.account.balance += amount
        self.seen.add(str(amount))
        self.opened = self.opened or dt.date(2024, 1, 31)


def test_a_dataclass_keeps_its_fields_as_they_are_annotated() -> None:
    state = again(Wallet, again(Wallet, None, "book", 5), "book", 7)
    assert state == '{"account":{"owner":"nobody","balance":12},"seen":["5","7"],"opened":"2024-01-31"}'


def test_a_failing_method_leaves_the_stored_attributes() -> None:
    class Strict(Meter):
        def add(self, n: int) -> int:
            super().add(n)
            if self.value < 0:
                raise ValueError("negative")
            return self.value

    assert failed(outcome := run(Strict, "add", -9, state='{"value":5}')) == "ValueError: negative"
    assert outcome.state == '{"value":5}'


def test_a_typed_state_is_the_whole_state() -> None:
    class Total:
        state: Account = Account("nobody")

        def add(self, n: int) -> int:
            self.note = "not stored"
            self.state.balance += n
            return self.state.balance

        def end(self) -> None:
            self.state = None  # type: ignore[assignment]

    state = again(Total, None, "add", 5)
    assert state == '{"owner":"nobody","balance":5}'
    assert run(Total, "add", 2, state=state) == Outcome('{"owner":"nobody","balance":7}', "7")
    assert Total.state.balance == 0
    assert again(Total, state, "end") is None


def test_a_typed_state_without_a_first_value_begins_as_none() -> None:
    class Latest:
        state: dt.date

        def put(self, day: dt.date) -> bool:
            before, self.state = self.state, day
            return before is None

    assert run(Latest, "put", "2024-01-31") == Outcome('"2024-01-31"', "true")
    assert run(Latest, "put", "2024-02-01", state='"2024-01-31"') == Outcome('"2024-02-01"', "false")


@pytest.mark.parametrize("value", [0, "", False, []])
def test_falsy_typed_states_survive(value: Any) -> None:
    class Cell:
        state: Any = "unset"

        def put(self, value: Any) -> None:
            self.state = value

        def get(self) -> Any:
            return self.state

    state = again(Cell, None, "put", value)
    assert run(Cell, "get", state=state).result == payload.encode(value)


def test_a_default_in_the_class_belongs_to_each_entity() -> None:
    class Inbox:
        items: list[str] = []  # noqa: RUF012
        size: int = 0
        LIMIT: ClassVar[int] = 3

        def put(self, item: str) -> None:
            self.items.append(item)

    class Elsewhere:
        strings: "ClassVar[Missing]" = 1  # type: ignore[name-defined] # noqa: F821, UP037
        n: int = 0

        def get(self) -> None: ...

    assert again(Elsewhere, None, "get") == '{"n":0}'
    assert again(Inbox, None, "put", "a") == '{"items":["a"],"size":0}'
    assert again(Inbox, None, "put", "b") == '{"items":["b"],"size":0}'
    assert Inbox.items == []


class Color(enum.Enum):
    RED = "r"


class Point:
    def __init__(self, x: int) -> None:
        self.x = x

    @staticmethod
    def to_json(point: Point) -> dict[str, int]:
        return {"x": point.x}

    @staticmethod
    def from_json(data: dict[str, int]) -> Point:
        return Point(data["x"])


def test_an_attribute_without_annotation_comes_back_as_what_the_class_first_puts_there() -> None:
    class Bag:
        def __init__(self) -> None:
            self.names = set[str]()
            self.counts = collections.Counter[str]()
            self.lists = collections.defaultdict[str, list[int]](list)
            self.since = dt.datetime(2024, 1, 1)
            self.color = Color.RED
            self.pair = (1, 2)
            self.point = Point(1)
            self.points = [Point(2)]
            self.later: Any = None
            self.total = 0

        def check(self) -> None:
            self.names.add("a")
            self.counts.update("aa")
            self.lists["x"].append(1)
            self.since += dt.timedelta(days=1)
            self.pair += (3,)
            self.total += 0.5  # type: ignore[assignment]
            assert self.color is Color.RED
            self.point.x += self.points[0].x

    state = again(Bag, again(Bag, None, "check"), "check")
    back = payload.decode_plain(state)
    assert back["names"] == ["a"]
    assert back["counts"] == {"a": 4}
    assert back["lists"] == {"x": [1, 1]}
    assert (back["since"], back["pair"], back["total"]) == ("2024-01-03T00:00:00", [1, 2, 3, 3], 1.0)
    assert back["point"]["__data__"] == {"x": 5}


def test_an_attribute_that_later_holds_something_else_is_read_as_it_is() -> None:
    class Loose:
        def __init__(self) -> None:
            self.found: Any = ()

        def put(self, value: Any) -> None:
            self.found = value

        def get(self) -> Any:
            return self.found

    assert run(Loose, "get", state=again(Loose, None, "put", {"a": 1})).result == '{"a":1}'


def test_slots_frozen_classes_and_structs_keep_their_attributes() -> None:
    @dataclasses.dataclass(slots=True)
    class Slotted:
        n: int = 0

        def add(self, by: int) -> None:
            self.n += by

    @dataclasses.dataclass(frozen=True)
    class Frozen:
        n: int = 0

        def add(self, by: int) -> None:
            object.__setattr__(self, "n", self.n + by)

    class Packed(msgspec.Struct):
        n: int = 0

        def add(self, by: int) -> None:
            self.n += by

    for kind in (Slotted, Frozen, Packed):
        assert again(kind, again(kind, None, "add", 2), "add", 3) == '{"n":5}'


def test_a_computed_attribute_is_not_stored() -> None:
    class Cached:
        def __init__(self) -> None:
            self.n = 1

        @functools.cached_property
        def double(self) -> int:
            return self.n * 2

        def get(self) -> int:
            return self.double

    assert run(Cached, "get") == Outcome('{"n":1}', "2")


def test_a_class_without_attributes_has_no_state() -> None:
    class Bell:
        def ring(self) -> str:
            return "ding"

    assert run(Bell, "ring") == Outcome(None, '"ding"')


def test_a_changed_class_gets_its_new_defaults_and_keeps_the_old_values() -> None:
    class Newer(Meter):
        def __init__(self) -> None:
            super().__init__()
            self.unit = "km"

    assert again(Newer, '{"value":5,"old":true}', "get") == '{"value":5,"unit":"km","old":true}'


def test_a_state_that_does_not_fit_the_class_fails_the_operation_and_stays() -> None:
    said = failed(outcome := run(Meter, "add", 5, state="5"))
    assert said.endswith("@counter@Home cannot be read: a class keeps an object of its attributes there, and it is 5")
    assert outcome.state == "5"
    said = failed(run(Wallet, "book", 5, state='{"account":7}'))
    assert said.startswith("PayloadError: the stored state of entity @counter@Home cannot be read: attribute 'account': the value")


def test_attributes_that_cannot_be_written_fail_the_operation() -> None:
    class Locked(Meter):
        def grab(self) -> None:
            self.lock = threading.Lock()

    said = failed(outcome := run(Locked, "grab", state='{"value":5}'))
    assert said.startswith("PayloadError: the state of entity @counter@Home cannot be written as JSON: at [\"lock\"]")
    assert outcome.state == '{"value":5}'


def test_a_constructor_that_fails_fails_the_operation() -> None:
    class Broken:
        def __init__(self) -> None:
            raise OSError("no disk")

        def get(self) -> None: ...

    assert failed(run(Broken, "get")) == "OSError: no disk"


def test_an_annotation_that_cannot_be_made_out_leaves_the_others_their_types() -> None:
    class Half:
        strange: "Missing" = None  # type: ignore[name-defined] # noqa: F821, UP037
        days: set[int] = set()  # noqa: RUF012

        def add(self, day: int) -> None:
            self.days.add(day)

    assert again(Half, again(Half, None, "add", 2), "add", 1) == '{"strange":null,"days":[1,2]}'


def test_a_class_is_looked_at_once_and_not_kept_alive() -> None:
    kind: Any = type("Once", (Meter,), {})
    assert entity_class(kind) is entity_class(kind)
    assert entity_class(kind) is not entity_class(Meter)
    gone = weakref.ref(kind)
    del kind
    gc.collect()
    assert gone() is None


# ---- laws


@given(st.lists(st.tuples(st.sampled_from(["add", "boom", "delete", "get"]), st.integers(-5, 5)), max_size=20))
def test_function_and_class_do_what_a_plain_variable_does(steps: list[tuple[str, int]]) -> None:
    def plain(context: DurableEntityContext) -> Any:
        value = context.get_state(lambda: 0)
        if context.operation_name in ("add", "boom"):
            value += context.get_input()
            context.set_state(value)
        if context.operation_name == "boom":
            raise ValueError
        if context.operation_name == "delete":
            context.destruct_on_exit()
        return value if context.operation_name != "delete" else None

    class Typed:
        state: int = 0

        def add(self, n: int) -> int:
            self.state += n
            return self.state

        def boom(self, n: int) -> None:
            self.add(n)
            raise ValueError

        def get(self) -> int:
            return self.state

    expected, by_function, by_class = 0, None, None
    for operation, n in steps:
        first, second = run(plain, operation, n, by_function), run(Typed, operation, n, by_class)
        by_function, by_class = first.state, second.state
        expected = {"add": expected + n, "delete": 0}.get(operation, expected)
        assert (payload.decode(by_function) or 0) == (payload.decode(by_class) or 0) == expected
        assert first.result == second.result
        assert (first.failure is None) == (second.failure is None) == (operation != "boom")


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_nothing_that_is_stored_or_sent_makes_it_raise(state: str, operation: str, input: str) -> None:
    for function in (counter, Meter, Wallet):
        outcome = run_operation(function, COUNTER, state, operation, input, now=NOW, seed="s", name="Counter")
        assert isinstance(outcome, Outcome)
        assert outcome.failure is None or outcome.state == state


def test_the_order_of_attributes_does_not_depend_on_hashes() -> None:
    names = random.Random(1).sample("abcdefghij", 10)
    kind = type("Many", (), {"__annotations__": dict.fromkeys(names, int), **dict.fromkeys(names, 0), "get": lambda self: None})
    assert list(payload.decode(run(kind, "get").state)) == names
