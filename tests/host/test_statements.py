"""A service runs what defines, and nothing that starts, waits, shows, or needs what was left out."""

from __future__ import annotations

import ast
import textwrap

import pytest

from dfnb.host.statements import Chooser


def left_out(*cells: str) -> list[str]:
    """Ask about every statement in turn; what does not run, as its code and why."""
    chooser = Chooser()
    statements = [statement for cell in cells for statement in ast.parse(textwrap.dedent(cell)).body]
    return [f"{ast.unparse(statement)} - {reason}" for statement in statements if (reason := chooser.why_not(statement))]


@pytest.mark.parametrize(
    "statement",
    [
        "import os, dfnb as df",
        "from datetime import timedelta",
        "def f(x):\n    while True:\n        print(df.start('x').result())",
        "async def g():\n    await f()",
        "class Order:\n    total: int = 0\n    def start(self):\n        return self.start()",
        "LIMIT = 3 * 4",
        "limit: int = 5",
        "names = ['a', *'bcd']",
        "squares = {n: n * n for n in range(3)}",
        "os.environ['KEY'] = key = secrets.token_hex()",
        "os.environ.setdefault('KEY', 'x')",
        "logging.basicConfig()",
        "with open('settings.json') as file:\n    settings = json.load(file)",
        "try:\n    import numpy\nexcept ImportError as error:\n    numpy = None",
        "if True:\n    mode = 'test'",
        "for name in ('a', 'b'):\n    table[name] = len(name)",
        "main = df.Orchestrator.create(f)",
        "callback = lambda: df.start('x')",
        "'''a text'''",
        "path = os.path.join('a', 'b')",
        "@df.activity(name='x')\ndef h(x):\n    return df.sql('SELECT 1')",
    ],
)
def test_what_defines_runs(statement: str) -> None:
    assert left_out("import dfnb as df", statement) == []


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("run = df.start('order')", "calls start"),
        ("run.result(timeout=3)", "calls result"),
        ("answers = [r.wait() for r in runs]", "calls wait"),
        ("run.raise_event('go')", "calls raise_event"),
        ("handle = df.instance('x')", "calls instance"),
        ("time.sleep(1)", "calls sleep"),
        ("print('hello')", "calls print"),
        ("asyncio.run(main())", "calls run"),
        ("await run", "awaits"),
        ("answer = await run", "awaits"),
        ("async with a as b:\n    x = 1", "awaits"),
        ("found = [x async for x in things]", "awaits"),
        ("while not done:\n    pass", "loops with while"),
        ("if ready:\n    df.start('order')", "calls start"),
        ("assert 1 == 1", "only checks"),
        ("total", "only shows a value"),
        ("run.state['x']", "only shows a value"),
        ("client = df.current().client", "needs an open hub (df.current)"),
        ("rows = df.sql('SELECT 1').df()", "needs an open hub (df.sql)"),
        ("df.instances(limit=3)", "needs an open hub (df.instances)"), ("df.entities()", "needs an open hub (df.entities)"),
        ("df.definitions()", "needs an open hub (df.definitions)"), ("df.stats()", "needs an open hub (df.stats)"),
        ("app = df.DurableApp('x.duckdb')", "needs an open hub (df.DurableApp)"),
        ("with df.open('x.duckdb') as app:\n    y = 1", "needs an open hub (df.open)"),
        ("get_ipython().run_line_magic('dfnb', 'list')", "is a magic or a shell command"),
        ("files = get_ipython().getoutput('ls')", "is a magic or a shell command"),
        ("@start('now')\ndef f(): ...", "calls start"),
        ("def f(x=df.start('a')): ...", "calls start"),
        ("class A:\n    run = df.start('a')", "calls start"),
    ],
)
def test_what_starts_waits_or_shows_does_not(statement: str, reason: str) -> None:
    (said,) = left_out("import dfnb as df", statement)
    assert said.endswith(f" - {reason}")


def test_opening_a_file_is_not_opening_a_hub() -> None:
    assert left_out("import dfnb as df", "text = open('a.txt').read()") == []
    assert left_out("from dfnb import open", "app = open('a.duckdb')") == [
        "app = open('a.duckdb') - needs an open hub (open)"
    ]


def test_what_uses_a_name_that_was_left_out_is_left_out_too() -> None:
    said = left_out("run = df.start('a')", "id = run.id", "url = f'/{id}'", "other = 1")
    assert said[1:] == ["id = run.id - uses run, which was left out", "url = f'/{id}' - uses id, which was left out"]


def test_a_name_bound_again_is_there_again() -> None:
    assert left_out("total = run.result()", "total = 0", "half = total / 2") == ["total = run.result() - calls result"]


def test_a_name_whose_latest_value_was_left_out_is_missing() -> None:
    said = left_out("total = 0", "total = run.result()", "total += 1")
    assert said[1:] == ["total += 1 - uses total, which was left out"]


def test_names_of_comprehensions_and_functions_are_their_own() -> None:
    assert left_out("run = df.start('a')", "ids = [run for run in range(3)]", "def f(run):\n    return run") == [
        "run = df.start('a') - calls start"
    ]


def test_calling_a_function_that_needs_what_was_left_out_is_left_out() -> None:
    said = left_out(
        "import dfnb as df",
        "def total():\n    return sum(balances())",
        "def balances():\n    return [one.state for one in client.entities()]",
        "client = df.current().client",
        "before = total()",
        "def rows():\n    return df.sql('SELECT 1')",
        "first = rows()",
        "def again(n):\n    return again(n - 1) if n else 0",
        "zero = again(3)",
    )
    assert said == [
        "client = df.current().client - needs an open hub (df.current)",
        "before = total() - calls total, which calls balances, which uses client, which was left out",
        "first = rows() - calls rows, which needs an open hub (df.sql)",
    ]


def test_a_function_may_print_loop_and_wait_inside() -> None:
    assert left_out("def load():\n    print('loading')\n    while True:\n        return 3", "limit = load()") == []
