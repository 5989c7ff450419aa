"""An app that serves: one server, found again after a restart, and no matter to what runs."""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

import dfnb
from dfnb import side_file
from dfnb.errors import PortInUseError
from dfnb.server.settings import ServerSettings

BASE = "/runtime/webhooks/durabletask"
Open = Callable[..., dfnb.DurableApp]


@pytest.fixture
def registry() -> dfnb.Registry:
    made = dfnb.Registry()

    @dfnb.orchestrator(registry=made)
    def ask(context: dfnb.DurableOrchestrationContext) -> Iterator[Any]:
        return (yield context.wait_for_external_event("answer"))

    return made


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    return tmp_path / "hub.duckdb"


@pytest.fixture
def opened(hub: Path, registry: dfnb.Registry) -> Iterator[Open]:
    apps = []

    def make(path: str | Path = hub, **options: Any) -> dfnb.DurableApp:
        apps.append(dfnb.DurableApp(path, registry=registry, **options))
        return apps[-1]

    yield make
    for app in apps:
        app.close()


def status_of(url: str, key: str | None, instance_id: str) -> httpx.Response:
    return httpx.get(f"{url}{BASE}/instances/{instance_id}", headers={"x-functions-key": key or ""})


def test_what_is_served_answers_and_needs_the_key(opened: Open) -> None:
    app = opened()
    server = app.serve(port=0)
    app.client.start("ask", instance_id="a")
    assert app.server is server
    assert status_of(server.url, server.key, "a").json()["instanceId"] == "a"
    assert status_of(server.url, "wrong", "a").status_code == 401
    assert server.is_running
    assert str(server.key) not in repr(server) + repr(app)


def test_links_lead_to_the_server_that_runs(opened: Open) -> None:
    app = opened()
    assert app.client.links is None
    server = app.serve(port=0)
    app.client.start("ask", instance_id="a")
    assert app.client.links is server.links
    assert httpx.get(server.links.management("a")["statusQueryGetUri"]).json()["runtimeStatus"] in ("Pending", "Running")
    server.stop()
    assert app.client.links is None
    assert app.server is None


def test_instances_go_on_without_a_server(opened: Open) -> None:
    app = opened()
    run = app.client.start("ask")
    app.serve(port=0)
    assert app.stop_serving()
    assert not app.stop_serving()
    run.raise_event("answer", 42)
    assert run.result(10) == 42


def test_serving_again_with_nothing_new_changes_nothing(opened: Open) -> None:
    app = opened()
    server = app.serve(port=0)
    assert app.serve() is server
    assert app.serve(port=0) is server
    assert app.serve(ServerSettings(port=server.settings.port)) is server


def test_other_settings_replace_the_server_at_its_address(opened: Open) -> None:
    app = opened()
    first = app.serve(port=0)
    second = app.serve(port=0, route_prefix="")
    assert (second is not first, first.is_running, second.url) == (True, False, first.url)
    assert (second.settings.route_prefix, second.key) == ("", first.key)


def test_the_server_at_work_stays_when_another_cannot_start(opened: Open) -> None:
    app = opened()
    server = app.serve(port=0)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PortInUseError):
        app.serve(port=taken.getsockname()[1])
    assert app.server is not None
    assert app.server.url == server.url
    assert status_of(server.url, server.key, "none").status_code == 404


def test_options_alone_do_not_move_the_server_to_another_port(opened: Open) -> None:
    app = opened()
    first = app.serve(port=0)
    second = app.serve(public_url="https://example.org/dfnb")
    assert (second is not first, second.url, second.public_url) == (True, first.url, "https://example.org/dfnb")
    assert app.serve(public_url="https://example.org/dfnb") is second


def test_a_server_that_can_neither_be_replaced_nor_go_on_is_gone(
    opened: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = opened()
    before = app.serve(port=0)

    def taken(settings: ServerSettings) -> socket.socket:
        raise PortInUseError(settings.host, settings.port)

    with monkeypatch.context() as all_ports:
        all_ports.setattr("dfnb.server.listener.bind", taken)
        with pytest.raises(PortInUseError, match="port 9 of"):
            app.serve(port=9)
    assert "could not be started again either" in caplog.text
    assert (app.server, app.client.links) == (None, None)
    again = app.serve(port=0)
    assert (again is not before, again.is_running, again.url) == (True, True, before.url)


def test_a_server_that_has_stopped_by_itself_is_not_taken_for_one_that_runs(opened: Open) -> None:
    app = opened()
    before = app.serve(port=0)
    before.shut(None)
    again = app.serve(port=0)
    assert (again is not before, again.is_running) == (True, True)


def test_a_setting_that_cannot_be_meant_is_refused_before_anything_happens(opened: Open) -> None:
    app = opened()
    with pytest.raises(ValueError, match="without a key only this machine"):
        app.serve(host="0.0.0.0", require_key=False)
    assert app.server is None


def test_a_closed_app_serves_no_more(opened: Open) -> None:
    app = opened()
    server = app.serve(port=0)
    app.close()
    assert not server.is_running
    with pytest.raises(dfnb.HubClosedError):
        app.serve(port=0)


# the side file, and the next opening


def test_the_next_opening_is_at_the_same_address_with_the_same_key(opened: Open) -> None:
    app = opened()
    server = app.serve(port=0, link_lifetime=timedelta(hours=1), allowed_hosts=("box",))
    app.client.start("ask", instance_id="a")
    link = server.links.management("a")["statusQueryGetUri"]
    app.close()
    again = opened(restore_server=True)
    assert again.server_problem == ""
    assert again.server is not None
    assert (again.server.url, again.server.key, again.server.settings) == (server.url, server.key, server.settings)
    assert httpx.get(link).json()["instanceId"] == "a"


@pytest.mark.parametrize("end", ["close", "abandon"])
def test_the_side_file_is_left_for_the_next_owner(opened: Open, hub: Path, end: str) -> None:
    app = opened()
    server = app.serve(port=0)
    getattr(app, end)()
    facts = side_file.read(hub)
    assert facts is not None
    assert (facts.url, facts.key, facts.pid, facts.serving) == (server.url, server.key, os.getpid(), True)


def test_a_server_that_was_stopped_stays_stopped(opened: Open, hub: Path) -> None:
    app = opened()
    url = app.serve(port=0).url
    app.stop_serving()
    app.close()
    facts = side_file.read(hub)
    assert facts is not None
    assert (facts.pid, facts.serving) == (None, False)
    again = opened(restore_server=True)
    assert again.server is None
    assert again.serve(port=0).url == url


def test_a_server_comes_back_only_where_that_is_wanted(opened: Open) -> None:
    app = opened()
    app.serve(port=0)
    app.close()
    assert opened().server is None


def test_a_taken_port_is_told_in_a_sentence_and_the_hub_opens(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    app = opened()
    server = app.serve(port=0)
    app.close()
    with socket.create_server(("127.0.0.1", server.settings.port)), caplog.at_level(logging.INFO, "dfnb"):
        again = opened(restore_server=True)
    assert again.state.running
    assert again.server is None
    assert again.server_problem.startswith(f"the server at {server.url} was not started again: port ")
    assert again.server_problem in caplog.text


def test_any_free_port_may_be_another_one_when_that_of_last_time_is_taken(opened: Open) -> None:
    app = opened()
    server = app.serve(port=0)
    app.stop_serving()
    with socket.create_server(("127.0.0.1", server.settings.port)):
        assert app.serve(port=0).url != server.url


@pytest.mark.parametrize("settings", [{"host": "0.0.0.0", "require_key": False}, {"port": "x"}, {"links": "open"}], ids=str)
def test_settings_that_cannot_be_meant_open_nothing(opened: Open, hub: Path, settings: dict[str, Any]) -> None:
    app = opened()
    key = app.serve(port=0).key
    app.close()
    keyless = settings.get("require_key") is False
    facts = side_file.ServerFacts(url="http://127.0.0.1:1", key=None if keyless else key, serving=True, settings=settings)
    side_file.write(hub, facts)
    again = opened(restore_server=True)
    assert again.server is None
    assert again.server_problem.startswith("the server at http://127.0.0.1:1 was not started again: ")


OPENING = [
    {"require_key": False}, {"host": "0.0.0.0"}, {"allowed_hosts": ["evil.example"]}, {"cors_origins": ["*"]}, {"links": "key"},
    {"trust_forwarded": True}, {"public_url": "https://evil.example"},
]  # fmt: skip


@pytest.mark.parametrize("settings", OPENING, ids=lambda settings: next(iter(settings)))
@pytest.mark.parametrize("altered", [True, False], ids=["altered", "new"])
def test_a_side_file_that_somebody_else_wrote_opens_nothing(
    opened: Open, hub: Path, settings: dict[str, Any], altered: bool
) -> None:
    app = opened()
    key = app.serve(port=0).key
    app.close()
    facts = side_file.read(hub) if altered else side_file.ServerFacts(url="http://127.0.0.1:1", serving=True)
    assert facts is not None
    side_file.write(hub, dataclasses.replace(facts, key=key if settings.get("require_key", True) else None, settings=settings))
    again = opened(restore_server=True)
    assert again.server is None
    assert again.server_problem.startswith("the server is not started again by itself: its settings come from another place; ")


def test_a_copied_folder_opens_nothing(opened: Open, hub: Path, tmp_path: Path) -> None:
    app = opened()
    app.serve(port=0, allowed_hosts=("box",))
    app.close()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for file in (hub, side_file.path_for(hub)):
        shutil.copy(file, elsewhere)
    copied = opened(elsewhere / hub.name, restore_server=True)
    assert copied.server is None
    assert "another place" in copied.server_problem
    copied.serve(port=0, allowed_hosts=("box",))
    copied.close()
    assert opened(elsewhere / hub.name, restore_server=True).server is not None


def test_what_opens_no_more_than_the_defaults_is_started_again_wherever_it_comes_from(opened: Open, hub: Path) -> None:
    app = opened()
    server = app.serve(port=0, route_prefix="")
    app.close()
    facts = side_file.read(hub)
    assert facts is not None
    side_file.write(hub, dataclasses.replace(facts, signature=""))
    again = opened(restore_server=True)
    assert again.server is not None
    assert (again.server.url, again.server.settings.route_prefix) == (server.url, "")


def test_new_keys_leave_the_settings_vouched_for(opened: Open) -> None:
    app = opened()
    server = app.serve(port=0, allowed_hosts=("box",))
    server.rotate_key()
    app.close()
    again = opened(restore_server=True)
    assert again.server is not None
    assert again.server.settings.allowed_hosts == ("box",)


def test_the_side_file_of_an_older_hub_starts_nothing(opened: Open, hub: Path) -> None:
    app = opened()
    app.serve(port=0)
    app.close()
    hub.unlink()
    again = opened(restore_server=True)
    assert (again.server, again.server_problem) == (None, "")


def test_new_keys_shut_out_who_had_the_old_ones(opened: Open, hub: Path) -> None:
    app = opened()
    server = app.serve(port=0)
    app.client.start("ask", instance_id="a")
    old, link = server.key, server.links.management("a")["statusQueryGetUri"]
    new = server.rotate_key()
    assert new == server.key != old
    assert status_of(server.url, old, "a").status_code == 401
    assert httpx.get(link).status_code == 401
    assert status_of(server.url, new, "a").status_code in (200, 202)
    facts = side_file.read(hub)
    assert facts is not None
    assert facts.key == new


def test_new_keys_end_the_streams_that_the_old_ones_opened(opened: Open) -> None:
    server = opened().serve(port=0)
    headers = {"accept": "text/event-stream", "x-functions-key": str(server.key)}
    with httpx.stream("GET", f"{server.url}{BASE}/changes", headers=headers, timeout=10) as stream:
        lines = stream.iter_lines()
        assert next(lines) == ": here"
        server.rotate_key()
        assert "".join(lines) == ""


def test_a_key_is_new_once(opened: Open) -> None:
    app = opened()
    assert app.serve(port=0).key_is_new
    assert not app.serve(port=0, retry_after=1).key_is_new
    app.close()
    again = opened(restore_server=True)
    assert again.server is not None
    assert not again.server.key_is_new


def test_without_a_key_none_is_written_down(opened: Open, hub: Path) -> None:
    app = opened()
    server = app.serve(port=0, require_key=False)
    facts = side_file.read(hub)
    assert facts is not None
    assert (server.key, server.key_is_new, facts.key) == (None, False, None)
    app.client.start("ask", instance_id="a")
    assert status_of(server.url, None, "a").status_code in (200, 202)


def test_a_hub_in_memory_leaves_no_file(opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = opened(":memory:")
    url = app.serve(port=0).url
    app.stop_serving()
    assert app.serve(port=0).url == url
    app.close()
    assert list(tmp_path.iterdir()) == []


def test_a_side_file_that_cannot_be_written_is_told_and_the_server_runs(
    opened: Open, hub: Path, caplog: pytest.LogCaptureFixture
) -> None:
    side_file.path_for(hub).mkdir()
    app = opened()
    server = app.serve(port=0)
    assert server.is_running
    assert "no other process finds this server" in caplog.text


def test_whoever_finds_the_hub_in_use_is_told_where_it_is_served(opened: Open, hub: Path) -> None:
    server = opened().serve(port=0)
    done = program("""
    import sys, dfnb
    try:
        dfnb.DurableApp(sys.argv[1])
    except dfnb.HubInUseError as error:
        print(error.address)
        print(error)
    """, hub)
    address, sentence = done.stdout.splitlines()
    assert (address, done.stderr) == (server.url, "")
    assert f"`%dfnb attach {hub}` or dfnb.connect({str(hub)!r})" in sentence
    assert server.key not in sentence


def test_a_killed_owner_is_not_taken_for_the_one_who_serves(opened: Open, hub: Path) -> None:
    killed = program("""
    import os, signal, sys, dfnb
    app = dfnb.DurableApp(sys.argv[1])
    app.serve(port=0)
    os.kill(os.getpid(), signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    """, hub)
    assert killed.returncode != 0
    app = opened()
    address = program("""
    import sys, dfnb
    try:
        dfnb.DurableApp(sys.argv[1])
    except dfnb.HubInUseError as error:
        print(error.address)
    """, hub).stdout.strip()
    assert address == "None"
    app.close()
    assert opened(restore_server=True).server is not None


def test_a_program_that_serves_and_forgets_to_close_ends_quietly(hub: Path) -> None:
    done = program("""
    import sys, dfnb, socket
    app = dfnb.DurableApp(sys.argv[1])
    server = app.serve(port=0)
    raw = socket.create_connection(("127.0.0.1", server.settings.port))
    raw.sendall(b"GET / HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n\\r\\n")
    raw.recv(10)
    raw.close()
    """, hub)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def program(text: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(text), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


# mounted elsewhere


def test_the_app_alone_can_be_mounted(opened: Open) -> None:
    app = opened()
    made = app.asgi(public_url="https://example.org/flows")
    assert app.server is None
    assert app.client.links is made.links
    assert made.links.management("a")["statusQueryGetUri"].startswith(f"https://example.org/flows{BASE}/instances/a?")
    server = app.serve(port=0)
    assert app.client.links is server.links
    app.stop_serving()
    assert app.client.links is made.links
