"""The command line reads what is typed and hands it on; what it does is tested in `tests/host`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from dfnb import __main__ as command_line
from dfnb.host import service

ROOT = Path(__file__).parent.parent


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[service.Service]:
    """What `dfnb serve` was asked for, in place of doing it."""
    seen: list[service.Service] = []
    monkeypatch.setattr(service, "serve", lambda given: seen.append(given) or 0)
    return seen


def test_run_writes_the_copy_where_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    nbformat.write(new_notebook(cells=[new_code_cell("20 + 1")]), "one.ipynb")
    assert command_line.main(["run", "one.ipynb", "--output", "copy.ipynb"]) == 0
    assert "21" in capfd.readouterr().out
    assert Path("copy.ipynb").is_file()


def test_serve_without_options_is_strict_and_asks_for_a_key_on_loopback(asked: list[service.Service]) -> None:
    assert command_line.main(["serve", "orders.ipynb"]) == 0
    (given,) = asked
    assert given == service.Service(source=Path("orders.ipynb"))
    assert (given.strict, given.settings.host, given.settings.port, given.settings.require_key) == (True, "127.0.0.1", 7071, True)


def test_every_option_of_serve_reaches_its_setting(asked: list[service.Service]) -> None:
    words = (
        "--hub h.duckdb --no-strict --all-cells --verbose --log-instances --show-key --port 0 --host localhost --no-key "
        "--public-url https://example.org/x --allowed-host a --allowed-host b --cors http://page --trust-forwarded "
        "--route-prefix v1 --links key"
    )
    assert command_line.main(["serve", "orders.py", *words.split()]) == 0
    (given,) = asked
    assert (given.hub, given.strict, given.all_cells, given.verbose) == ("h.duckdb", False, True, True)
    assert (given.log_instances, given.show_key) == (True, True)
    told: dict[str, Any] = {
        "port": 0, "host": "localhost", "require_key": False, "public_url": "https://example.org/x", "allowed_hosts": ("a", "b"),
        "cors_origins": ("http://page",), "trust_forwarded": True, "route_prefix": "v1", "links": "key",
    }  # fmt: skip
    assert {name: getattr(given.settings, name) for name in told} == told


def test_settings_that_cannot_be_meant_are_one_sentence(
    asked: list[service.Service], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main(["serve", "orders.py", "--no-key", "--host", "0.0.0.0"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("dfnb: without a key only this machine may reach the server")
    assert said.count("\n") == 1
    assert asked == []


def test_the_version_is_that_of_the_package(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command_line, "package_version", lambda: "1.2.3")
    with pytest.raises(SystemExit) as ended:
        command_line.main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, "dfnb 1.2.3\n")


def test_an_interrupt_while_it_starts_is_one_word(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(given: service.Service) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(service, "serve", interrupted)
    assert command_line.main(["serve", "orders.py"]) == 130
    assert capsys.readouterr().err == "dfnb: interrupted\n"


def test_help_says_which_cells_run() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "dfnb", "serve", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "%%orchestrator, %%activity, %%entity or %%http_trigger" in answer.stdout
    assert "exit codes: 0 after Ctrl-C or SIGTERM" in answer.stdout
    assert answer.stderr == ""
