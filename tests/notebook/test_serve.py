"""``%dfnb serve`` in a shell, and in a kernel that restarts."""

from __future__ import annotations

import contextlib
import random
import socket

import httpx
import pytest
from IPython.core.error import UsageError

import dfnb
from dfnb.errors import PortInUseError
from dfnb.notebook import commands

from .conftest import printed

BASE = "/runtime/webhooks/durabletask"


@pytest.fixture(autouse=True)
def _no_jupyterhub(monkeypatch):
    for name in ("JUPYTERHUB_SERVICE_PREFIX", "JUPYTERHUB_PUBLIC_URL"):
        monkeypatch.delenv(name, raising=False)


def test_the_first_serve_prints_the_addresses_and_the_key(echo):
    text = echo("%dfnb serve --port 0").text
    server = dfnb.current().server
    assert text.splitlines() == [
        f"dfnb: serving at {server.url}",
        f"  status page: {server.url}/",
        f"  start an instance: POST {server.url}{BASE}/orchestrators/NAME?code=KEY with its input as JSON",
        f"  key: {server.key}",
        "  it is saved with this output: clear it before you hand the notebook on",
    ]
    answer = httpx.post(f"{server.url}{BASE}/orchestrators/say?code={server.key}", json="hello")
    assert answer.status_code == 202
    assert dfnb.instance(answer.json()["id"]).result(5) == "hello"


def test_the_key_is_printed_once_unless_it_is_asked_for(echo):
    echo("%dfnb serve --port 0")
    key, url = dfnb.current().server.key, dfnb.current().server.url
    for line in ("%dfnb serve", "%dfnb serve --port 0", "%dfnb serve --retry", "%dfnb", "%dfnb serve --route-prefix hooks"):
        assert key not in echo(line).text
        assert dfnb.current().server.url == url
    assert "the key is as before; `%dfnb serve --show-key` prints it" in echo("%dfnb serve").text
    assert f"  key: {key}\n" in echo("%dfnb serve --show-key").text


def test_the_server_keeps_its_settings_when_nothing_is_said(echo):
    echo("%dfnb serve --port 0 --route-prefix hooks --links key --allowed-host a --allowed-host b --cors https://x.example")
    before = dfnb.current().server
    echo("%dfnb serve")
    echo("%dfnb serve --show-key")
    assert dfnb.current().server is before
    settings = before.settings
    assert (settings.route_prefix, settings.links, settings.allowed_hosts) == ("hooks", "key", ("a", "b"))
    assert settings.cors_origins == ("https://x.example",)


def test_a_public_address_is_what_is_printed(echo):
    text = echo("%dfnb serve --port 0 --public-url https://example.org/flows --trust-forwarded").text
    server = dfnb.current().server
    assert text.startswith(f"dfnb: serving at {server.url}, from outside at https://example.org/flows\n")
    assert f"POST https://example.org/flows{BASE}/orchestrators/NAME" in text
    assert server.settings.trust_forwarded


def test_without_a_key_the_danger_is_said(echo):
    text = echo("%dfnb serve --port 0 --no-key").text
    assert "no key is asked for: every program on this machine may start and end instances" in text
    assert "code=" not in text


def test_new_keys_are_printed(echo):
    echo("%dfnb serve --port 0")
    server = dfnb.current().server
    old = server.key
    text = echo("%dfnb serve --rotate-key").text
    assert dfnb.current().server is server
    assert server.key != old
    assert f"  key: {server.key}\n" in text


def test_stop_ends_the_server_and_nothing_else(echo):
    echo("%dfnb serve --port 0")
    run = dfnb.start("ask")
    text = echo("%dfnb serve --stop").text
    assert text == "dfnb: the server is stopped; instances go on, and `%dfnb serve` brings it back\n"
    assert dfnb.current().server is None
    run.raise_event("answer", 1)
    assert run.result(5) == 1
    assert echo("%dfnb serve --stop").text == "dfnb: no server is running\n"


def test_the_status_tells_where_it_is_served(echo):
    assert "serving" not in echo("%dfnb").text
    echo("%dfnb serve --port 0")
    assert f"  serving at {dfnb.current().server.url}\n" in echo("%dfnb").text


def test_a_failed_request_is_told_by_the_status_and_shown_by_the_server(echo):
    echo("%%http_trigger /boom --auth anonymous\ndef boom(req):\n    raise RuntimeError('inner detail')")
    echo("%dfnb serve --port 0")
    assert "failed" not in echo("%dfnb").text
    url = dfnb.current().server.url
    answer = httpx.get(f"{url}/api/boom?code=hidden").json()
    assert "`app.server.failures`" in answer["Message"]
    said = "  1 request has failed, the latest GET /api/boom: RuntimeError: inner detail; `dfnb.current().server.failures` has"
    assert said in echo("%dfnb").text
    echo("%dfnb serve --port 0 --route-prefix hooks")  # another server of the same hub
    text = echo("dfnb.current().server.failures").text
    assert answer["Id"] in text
    assert "raise RuntimeError('inner detail')" in text
    assert "hidden" not in text


def test_a_port_in_use_is_one_sentence(echo):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        cell = echo(f"%dfnb serve --port {port}")
    assert isinstance(cell.error, PortInUseError)
    assert cell.text.startswith(f"PortInUseError: port {port} of 127.0.0.1 is in use")
    assert cell.text.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("serve 7071", "did you mean --port 7071?"),
        ("serve --port many", "--port takes a number from 0"),
        ("serve --port 70000", "port is a number from 0"),
        ("serve --prot 1", "did you mean --port?"),
        ("serve --links open", "--links is scoped or key, not open"),
        ("serve --host 0.0.0.0 --no-key", "without a key only this machine"),
        ("serve --public-url example.org", "public_url is an address"),
        ("serve --stop --port 0", "--stop stands alone"),
    ],
    ids=lambda value: value if value.startswith("serve") else "",
)
def test_what_cannot_be_meant_is_a_sentence(run, line, said):
    with pytest.raises(UsageError, match=said.replace("?", r"\?")):
        commands.run({}, line)
    assert dfnb.current().server is None


def test_on_jupyterhub_the_way_outside_is_told(run, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ada/")
    text = run("%dfnb serve --port 0").text
    port = dfnb.current().server.settings.port
    assert f"`%dfnb serve --public-url https://YOUR-HUB/user/ada/proxy/{port}`" in text
    monkeypatch.setenv("JUPYTERHUB_PUBLIC_URL", "https://hub.example.org/user/ada/")
    assert f"`%dfnb serve --public-url https://hub.example.org/user/ada/proxy/{port}`" in run("%dfnb serve").text
    assert "JupyterHub" not in run(f"%dfnb serve --public-url https://hub.example.org/user/ada/proxy/{port}").text
    assert dfnb.current().server.settings.port == port


@pytest.fixture
def port():
    """A free port below those that the system hands out: nobody is given it while the server is away."""
    for number in random.sample(range(20_000, 30_000), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", number)):
            return number
    raise AssertionError("a hundred ports were in use")


def test_loading_again_brings_the_server_back_and_says_so(echo, port):
    echo(f"%dfnb serve --port {port}")
    server = dfnb.current().server
    echo("%unload_ext dfnb")
    assert not server.is_running
    text = echo("%load_ext dfnb").text
    assert text == f"dfnb: hub dfnb.duckdb, engine running, 0 instances resumed, serving at {server.url}\n"
    assert dfnb.current().server.key == server.key


@pytest.mark.parametrize("line", ["%dfnb open dfnb.duckdb", "dfnb.open('dfnb.duckdb')"])
def test_opening_in_a_cell_brings_the_server_back(echo, port, line):
    echo(f"%dfnb serve --port {port}")
    url = dfnb.current().server.url
    echo("dfnb.close()")
    echo(line)
    assert dfnb.current().server.url == url


def test_a_server_that_cannot_come_back_is_a_line_and_no_error(echo, port):
    echo(f"%dfnb serve --port {port}")
    server = dfnb.current().server
    echo("%unload_ext dfnb")
    with socket.create_server(("127.0.0.1", server.settings.port)):
        cell = echo("%load_ext dfnb")
    first, second = cell.text.splitlines()
    assert cell.error is None
    assert first == "dfnb: hub dfnb.duckdb, engine running, 0 instances resumed"
    assert second.startswith(f"  the server at {server.url} was not started again: port {server.settings.port} of 127.0.0.1")


def test_a_restarted_kernel_is_at_the_same_address_with_the_same_key(kernel, port):
    kernel.run("import dfnb\n%load_ext dfnb")
    kernel.run("%%orchestrator\ndef ask(context):\n    return (yield context.wait_for_external_event('answer'))")
    said = printed(kernel.run(f"%dfnb serve --port {port}"))
    kernel.run("dfnb.start('ask', instance_id='a')")
    url = said.split("\n")[0].removeprefix("dfnb: serving at ")
    key = said.partition("key: ")[2].split("\n")[0]
    link = printed(kernel.run("print(dfnb.current().client.links.management('a')['statusQueryGetUri'])")).strip()
    kernel.restart()
    said = "dfnb: " + printed(kernel.run("%load_ext dfnb")).partition("dfnb: ")[2]
    assert said.startswith("dfnb: hub dfnb.duckdb, engine running, 1 instance resumed, serving at ")
    assert said.strip().endswith(url)
    assert key not in said
    assert httpx.get(link).json()["instanceId"] == "a"
    assert httpx.get(f"{url}{BASE}/instances/a?code={key}").status_code in (200, 202)
