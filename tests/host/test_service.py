"""`dfnb serve` in a process of its own: definitions, hub, server, until a signal comes or the process is killed."""

from __future__ import annotations

import json
import signal
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dfnb

from .conftest import Serve

Write = Callable[..., Path]
Ask = Callable[..., tuple[int, Any]]

API = "/runtime/webhooks/durabletask"
INTRO = "import dfnb as df\n\n%load_ext dfnb"
GREET = "%%activity\ndef greet(name: str) -> str:\n    return f'Hello {name}'"
HELLO = """%%orchestrator
def hello(context: df.DurableOrchestrationContext):
    decided = yield context.wait_for_external_event("go")
    return (yield context.call_activity("greet", context.get_input())) + decided
"""
TRIED = "run = df.start('hello', 'me')\nrun.result()"
MODULE = '''
import dataclasses
import dfnb

@dataclasses.dataclass
class Order:
    item: str

@dfnb.activity
def pack(order: Order) -> str:
    return f"{type(order).__module__}.{order.item}"

@dfnb.orchestrator
def ship(context):
    return (yield context.call_activity("pack", Order(context.get_input())))
'''
POLITE = [signal.SIGTERM] if sys.platform == "win32" else [signal.SIGTERM, signal.SIGINT]
pytestmark = pytest.mark.slow


def facts(hub: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(f"{hub}.server").read_text())
    return found


def finished(ask: Ask, link: str) -> Any:
    """Wait for the end of an instance; its output."""
    code, status = ask(link + "&timeout=50")
    while code == 202:
        code, status = ask(link)
    return status["output"]


def test_a_notebook_serves_goes_on_after_a_kill_and_ends_politely(
    tmp_path: Path, serve: Serve, write_notebook: Write, ask: Ask
) -> None:
    write_notebook("trip.ipynb", INTRO, GREET, HELLO, TRIED)
    hub = tmp_path / "trip.duckdb"
    first = serve("trip.ipynb", "--port", "0", "--verbose", "--log-instances")
    url = first.ready()
    key = facts(hub)["key"]
    code, links = ask(f"{url}{API}/orchestrators/hello?code={key}", "you")
    assert code == 202
    assert ask(links["statusQueryGetUri"])[1]["runtimeStatus"] in ("Pending", "Running")
    first.until(r"INFO hello \w+: (Pending|Running)")
    first.process.kill()
    first.end()
    assert "left out: cell 4, line 1: `run = df.start('hello', 'me')` calls start" in first.log
    assert "activities: greet\n" in first.log
    assert "orchestrators: hello\n" in first.log
    assert f"{API}/orchestrators/hello 202" in first.log
    assert key not in first.log
    assert first.output() == ""

    second = serve("trip.ipynb", "--port", "0")  # not the same: another process may have it by now
    moved = second.ready()
    assert "1 instance resumed" in second.log
    assert ask(links["sendEventPostUri"].replace("{eventName}", "go").replace(url, moved), "!")[0] == 202
    assert finished(ask, links["statusQueryGetUri"].replace(url, moved)) == "Hello you!"
    assert second.end(signal.SIGTERM) == 0
    assert "the hub is closed; 0 instances go on" in second.log
    assert facts(hub)["serving"] is False
    if sys.platform != "win32":
        assert stat.S_IMODE(Path(f"{hub}.server").stat().st_mode) == 0o600


@pytest.mark.parametrize("number", POLITE, ids=lambda number: number.name)
def test_a_module_serves_and_its_classes_keep_their_name(tmp_path: Path, serve: Serve, ask: Ask, number: signal.Signals) -> None:
    (tmp_path / "orders.py").write_text(MODULE)
    served = serve("orders.py", "--port", "0", "--no-key")
    code, links = ask(f"{served.ready()}{API}/orchestrators/ship", "book")
    assert code == 202
    assert finished(ask, links["statusQueryGetUri"]) == "orders.book"
    assert served.end(number) == 0
    assert "WARNING no key is asked for" in served.log
    with dfnb.DurableApp(tmp_path / "dfnb.duckdb") as app:
        assert app.client.counts() == {"Completed": 1}


def test_an_app_that_the_module_opens_is_served(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "own.py").write_text(f"{MODULE}\napp = dfnb.open('kept.duckdb')")
    served = serve("own.py", "--port", "0", "--show-key")
    served.ready()
    assert served.end(signal.SIGTERM) == 0
    assert served.output() == f"key: {facts(tmp_path / 'kept.duckdb')['key']}\n"
    assert not (tmp_path / "dfnb.duckdb").exists()
    refused = serve("own.py", "--hub", "other.duckdb")
    assert refused.end() == 2
    assert "opens the hub" in refused.log


def test_an_unknown_name_fails_unless_it_may_wait(serve: Serve, write_notebook: Write, ask: Ask) -> None:
    missing = "%%orchestrator\ndef lost(context):\n    return (yield context.call_activity('nowhere'))"
    write_notebook("lost.ipynb", INTRO, missing)
    strict = serve("lost.ipynb", "--port", "0", "--no-key")
    _, links = ask(f"{strict.ready()}{API}/orchestrators/lost", 1)
    assert "nowhere" in str(finished(ask, links["statusQueryGetUri"]))
    strict.end(signal.SIGTERM)
    lenient = serve("lost.ipynb", "--port", "0", "--no-key", "--no-strict")
    _, links = ask(f"{lenient.ready()}{API}/orchestrators/lost", 1)
    assert lenient.end(signal.SIGTERM) == 0
    assert "the hub is closed; 1 instance goes on" in lenient.log


def test_all_cells_run_and_the_hub_of_the_cells_is_served(serve: Serve, write_notebook: Write, ask: Ask) -> None:
    started = "run = df.start('hello', 'me', instance_id='mine')"
    write_notebook("all.ipynb", INTRO, GREET, HELLO, started)
    served = serve("all.ipynb", "--port", "0", "--no-key", "--all-cells", "--hub", "chosen.duckdb")
    code, status = ask(f"{served.ready()}{API}/instances/mine")
    assert (code, status["name"]) == (202, "hello")
    assert "chosen.duckdb" in served.log
    assert served.end(signal.SIGTERM) == 0


def test_triggers_are_told_with_their_urls_and_levels(serve: Serve, write_notebook: Write) -> None:
    trigger = "@df.http_trigger('orders/{id}', methods='POST', auth_level='anonymous')\ndef order(req):\n    return 'ok'"
    write_notebook("web.ipynb", INTRO, trigger, "df.instances()")
    served = serve("web.ipynb", "--port", "0", "--public-url", "https://example.org/x/", "--route-prefix", "v1")
    assert "for others at https://example.org/x" in served.until("serving at").string
    assert "3 cells ran; 1 statement that does not define was left out (--verbose lists them)" in served.log
    assert "INFO http trigger order: POST https://example.org/x/v1/orders/{id} (anonymous)\n" in served.log
    assert served.end(signal.SIGTERM) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C reaches whole groups on this platform")
def test_a_second_interrupt_ends_at_once_and_loses_nothing(tmp_path: Path, serve: Serve, ask: Ask) -> None:
    stuck = "import threading\nimport dfnb\n@dfnb.activity\ndef stick(x):\n    print(threading.Event().wait(50))\n"
    (tmp_path / "stuck.py").write_text(
        f"{stuck}\n@dfnb.orchestrator\ndef hold(context):\n    yield context.call_activity('stick', 1)\n"
    )
    served = serve("stuck.py", "--port", "0", "--no-key", "--log-instances")
    assert ask(f"{served.ready()}{API}/orchestrators/hold/mine", 1)[0] == 202
    served.until("hold mine: Running")
    served.process.send_signal(signal.SIGINT)
    served.until("SIGINT: no new requests")
    assert served.end(signal.SIGINT) == 130
    with dfnb.DurableApp(tmp_path / "dfnb.duckdb") as app:
        assert app.resumed == 1


def test_a_failing_cell_ends_it_before_anything_is_opened(tmp_path: Path, serve: Serve, write_notebook: Write) -> None:
    write_notebook("bad.ipynb", INTRO, GREET, "x = 1\ny = 1 / 0")
    served = serve("bad.ipynb")
    assert served.end() == 1
    assert served.log == "dfnb: cell 3, line 2: ZeroDivisionError: division by zero\n"
    assert [path.name for path in tmp_path.iterdir()] == ["bad.ipynb"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("none.ipynb", "there is no file none.ipynb"), ("none.py", "there is no file none.py"),
        ("text.txt", "neither a notebook (.ipynb) nor a module (.py)"), ("empty.ipynb", "empty.ipynb defines nothing"),
    ],
    ids=["no-notebook", "no-module", "neither", "empty"],
)  # fmt: skip
def test_what_cannot_be_served_is_one_sentence(serve: Serve, write_notebook: Write, name: str, sentence: str) -> None:
    write_notebook("empty.ipynb", "x = 1")
    served = serve(name)
    assert served.end() == 2
    assert sentence in served.log
    assert served.log.count("\n") == 1


def test_a_hub_in_use_is_one_sentence(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "orders.py").write_text(MODULE)
    first = serve("orders.py", "--port", "0")
    first.ready()
    second = serve("orders.py", "--port", "0")
    assert second.end() == 2
    assert f"is in use by process {first.process.pid}" in second.log
    assert second.log.count("\n") == 1
    assert first.end(signal.SIGTERM) == 0


def test_a_port_in_use_is_one_sentence_and_the_hub_is_closed_again(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "orders.py").write_text(MODULE)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        served = serve("orders.py", "--port", str(port))
        assert served.end() == 2
    said = [line for line in served.log.splitlines() if line.startswith("dfnb: ")]
    assert len(said) == 1
    assert str(port) in said[0]
    dfnb.DurableApp(tmp_path / "dfnb.duckdb").close()
