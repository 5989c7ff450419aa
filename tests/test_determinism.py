from __future__ import annotations

import textwrap

import pytest

from dfnb.determinism import Finding, check


def calls(source: str, function_name: str | None = None) -> list[str]:
    return [finding.call for finding in check(textwrap.dedent(source), function_name)]


def advice(expression: str, before: str = "") -> str:
    (finding,) = check(f"{before}\ndef f(context):\n    x = {expression}\n    yield x\n")
    assert finding.line == 3 + before.count("\n")
    return finding.advice


@pytest.mark.parametrize(
    "expression",
    [
        "datetime.now()",
        "datetime.datetime.utcnow()",
        "dt.datetime.now()",
        "date.today()",
        "datetime.today()",
        "time.time()",
        "time.monotonic()",
        "time.perf_counter()",
        "time.time_ns()",
        "pd.Timestamp.now()",
    ],
)
def test_the_clock_is_read_from_the_context(expression: str) -> None:
    assert advice(expression) == "use context.current_utc_datetime"


@pytest.mark.parametrize(
    "expression",
    ["random.random()", "secrets.token_hex()", "np.random.rand(3)", "numpy.random.default_rng()", "os.urandom(4)"],
)
def test_random_values_come_from_an_activity(expression: str) -> None:
    assert "activity" in advice(expression)


@pytest.mark.parametrize("expression", ["uuid.uuid4()", "uuid.uuid1()", "uuid4()"])
def test_ids_come_from_the_context(expression: str) -> None:
    assert advice(expression) == "use context.new_uuid()"


@pytest.mark.parametrize("expression", ["time.sleep(1)", "asyncio.sleep(1)", "sleep(1)"])
def test_sleep_becomes_a_timer(expression: str) -> None:
    assert advice(expression) == "use yield context.create_timer(...)"


@pytest.mark.parametrize(
    "expression",
    [
        "requests.get(u)",
        "httpx.Client()",
        "urllib.request.urlopen(u)",
        "socket.socket()",
        "open('f')",
        "input()",
        "Path('f').read_text()",
        "(Path('d') / 'f').read_text()",
        "pathlib.Path('f').exists()",
        "os.listdir()",
        "os.getenv('A')",
        "os.environ['A']",
        "os.environ.get('A')",
        "threading.Thread()",
        "subprocess.run('ls')",
        "pd.read_csv('f')",
    ],
)
def test_the_outside_world_is_for_activities(expression: str) -> None:
    assert "do it in an activity" in advice(expression)


@pytest.mark.parametrize(
    ("before", "expression"),
    [
        ("from time import sleep as s", "s(1)"),
        ("import numpy as n", "n.random.rand()"),
        ("import numpy.random as r", "r.rand()"),
        ("from datetime import datetime as d", "d.now()"),
        ("import urllib.request", "urllib.request.urlopen('u')"),
        ("from os import environ as env", "env['A']"),
        ("from random import randint", "randint(1, 2)"),
    ],
)
def test_import_aliases_are_resolved(before: str, expression: str) -> None:
    assert advice(expression, before)


def test_an_import_inside_the_body_is_resolved() -> None:
    assert calls("def f(context):\n    from time import time as now\n    yield now()") == ["now"]


def test_what_the_context_offers_is_fine() -> None:
    source = """
        def f(context):
            a = context.new_uuid(), context.current_utc_datetime.date(), context.get_input()
            yield context.create_timer(context.current_utc_datetime + datetime.timedelta(days=1))
            return datetime.datetime(2020, 1, 1), uuid.uuid5(ns, 'x'), os.path.join('a', 'b'), Path('a').name, a
    """
    assert calls(source) == []


def test_seeded_generators_and_pure_helpers_are_fine() -> None:
    assert calls("def f(context):\n    yield random.Random(7), np.random.default_rng(1), httpx.URL('u')") == []


@pytest.mark.parametrize(
    "body",
    [
        "random = context.get_input()\n    random.shuffle()",
        "for time in [1]: time.time()",
        "with context.x() as os: os.getenv('A')",
        "def sleep(n): pass\n    sleep(1)",
        "g = lambda uuid: uuid.uuid4()",
        "[open(1) for open in [str]]",
    ],
)
def test_a_shadowing_local_name_is_the_users_own(body: str) -> None:
    assert calls(f"def f(context):\n    {body}\n    yield 1") == []


def test_a_parameter_named_like_a_module_is_the_users_own() -> None:
    assert calls("def f(time):\n    yield time.sleep(1)") == []


def test_a_top_level_name_of_the_same_cell_is_the_users_own() -> None:
    assert calls("def f(context):\n    yield sleep(1)\n\ndef sleep(n):\n    pass") == []


def test_nested_helpers_count_and_other_functions_do_not() -> None:
    source = """
        import time

        def f(context):
            def helper():
                return time.time()
            yield helper()

        def g(x):
            return time.monotonic()
    """
    assert calls(source) == ["time.time"]
    assert calls(source, "g") == ["time.monotonic"]
    assert calls(source, "missing") == []


def test_a_variable_that_holds_a_path_is_known() -> None:
    assert calls("def f(context):\n    p = Path('a') / 'b'\n    yield p.read_text(), p.stem") == ["p.read_text"]


def test_decorator_and_defaults_of_the_orchestrator_run_once_and_do_not_count() -> None:
    assert calls("@register(time.time())\ndef f(context, t=time.time()):\n    yield t") == []


def test_arguments_of_a_reported_call_are_read_too_and_lines_are_in_order() -> None:
    findings = check("def f(context):\n    time.sleep(\n        random.random())\n    yield uuid.uuid4()")
    assert [(f.line, f.call) for f in findings] == [(2, "time.sleep"), (3, "random.random"), (4, "uuid.uuid4")]


def test_leading_comments_and_indentation_keep_line_numbers() -> None:
    assert check("# %%orchestrator\n\ndef f(context):\n    yield time.time()\n")[0].line == 4
    assert check("    # c\n    def f(context):\n        yield time.time()\n")[0].line == 3


def test_source_that_cannot_be_parsed_gives_no_findings() -> None:
    assert check("def f(:") == []
    assert check("") == []
    assert check("x = 1") == []


def test_a_finding_reads_as_one_line() -> None:
    assert str(Finding(3, "time.sleep", "use a timer")) == "line 3: time.sleep: use a timer"
