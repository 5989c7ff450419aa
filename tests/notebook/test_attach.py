"""``%dfnb attach`` and ``%dfnb follow`` in a shell, and remote instances live in a kernel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.error import UsageError

import dfnb
from dfnb.client.remote.client import RemoteOrchestrationClient
from dfnb.client.remote.follow import Followed
from dfnb.errors import RemoteError, RemoteRefusedError
from dfnb.server.serving import Server

from .conftest import Kernel, Run, printed


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[dfnb.DurableApp]:
    """Another hub, with an orchestrator that waits for an event."""
    registry = dfnb.Registry()

    @dfnb.orchestrator(registry=registry)
    def ask(context: dfnb.DurableOrchestrationContext) -> Any:
        return (yield context.wait_for_external_event("answer"))

    (tmp_path / "far").mkdir()
    with dfnb.DurableApp(tmp_path / "far" / "far.duckdb", registry=registry) as app:
        yield app


@pytest.fixture
def server(elsewhere: dfnb.DurableApp) -> Server:
    return elsewhere.serve(port=0)


def test_attach_says_how_to_go_on_and_never_the_key(run: Run, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAR_KEY", server.key or "")
    cell = run(f"%dfnb attach {server.url} --key-env FAR_KEY")
    assert cell.text.startswith(f"dfnb: attached to {server.url}, dfnb ")
    assert "use it: remote = _, then remote.start(NAME, INPUT)" in cell.text
    assert server.key not in cell.text
    assert isinstance(cell.value, RemoteOrchestrationClient)
    assert run("remote = _\nremote.start('ask', instance_id='q1').name").value == "ask"
    assert "q1" not in run("%dfnb list").text
    run("remote.close()")


def test_a_variable_and_a_path_can_be_named(run: Run, server: Server, elsewhere: dfnb.DurableApp) -> None:
    path = Path(elsewhere.path)
    cell = run(f"%dfnb attach '{path}' as there")
    assert "use it: there.start(NAME, INPUT)" in cell.text
    assert run("where = '" + str(path) + "'\n%dfnb attach $where as here").error is None
    assert run("here.start('ask', instance_id='q2').status().waiting_for is not None").value is True
    run("there.close(); here.close()")


def test_a_key_may_come_from_a_variable(run: Run, server: Server) -> None:
    run(f"secret = {server.key!r}")
    assert run(f"%dfnb attach {server.url} --key $secret as far").error is None
    run("far.close()")


@pytest.mark.parametrize(
    ("line", "error", "words"),
    [
        ("attach", UsageError, "takes one address"),
        ("attach a b", UsageError, "takes one address"),
        ("attach http://x as 1", UsageError, "cannot be the name of a variable"),
        ("attach http://x as class", UsageError, "cannot be the name of a variable"),
        ("attach http://x --key a --key-env B", UsageError, "not both"),
        ("attach http://x --key-env DFNB_NO_SUCH_VARIABLE", UsageError, "has no variable"),
        ("attach ftp://x", UsageError, "is a URL such as"),
        ("attach nowhere.duckdb", UsageError, "there is no hub file"),
        ("follow", UsageError, "takes one URL"),
        ("follow ftp://x", UsageError, "http"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(run: Run, line: str, error: type[Exception], words: str) -> None:
    cell = run(f"%dfnb {line}")
    assert isinstance(cell.error, error), cell
    assert words in str(cell.error)


def test_a_missing_key_is_asked_for(run: Run, server: Server) -> None:
    cell = run(f"%dfnb attach {server.url}")
    assert isinstance(cell.error, RemoteRefusedError)
    assert "wants a key" in cell.text
    assert "Traceback" not in cell.text


def test_a_hub_that_is_open_but_not_served_says_what_to_do(run: Run, elsewhere: dfnb.DurableApp) -> None:
    cell = run(f"%dfnb attach {elsewhere.path}")
    assert isinstance(cell.error, RemoteError)
    assert "%dfnb serve" in cell.text


def test_a_client_and_a_followed_url_show_themselves(run: Run, server: Server, elsewhere: dfnb.DurableApp) -> None:
    elsewhere.client.start("ask", instance_id="q1")
    link = server.links.management("q1")["statusQueryGetUri"]
    cell = run(f"url = {link!r}\n%dfnb follow $url")
    assert isinstance(cell.value, Followed)
    elsewhere.client.raise_event("q1", "answer", "yes")
    assert cell.value.wait(20) == "Completed"
    shown = run("get_ipython().display_formatter.format(_)[0]['text/html']").value
    assert "ask" in shown
    assert "yes" in shown
    assert "code=L1" not in shown
    far = run(f"%dfnb attach {elsewhere.path} as far").value
    html = run("get_ipython().display_formatter.format(far)[0]['text/html']").value
    assert (server.url in html, server.key in html) == (True, False)
    far.close()


def of_kind(messages: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [message["content"] for message in messages if message["msg_type"] == kind]


def is_end(message: dict[str, Any]) -> bool:
    return message["msg_type"] == "update_display_data"


@pytest.mark.slow
def test_a_remote_instance_is_live_until_it_ends(kernel: Kernel, server: Server, elsewhere: dfnb.DurableApp) -> None:
    elsewhere.client.start("ask", instance_id="q1")
    kernel.run("import dfnb\n%load_ext dfnb")
    text = printed(kernel.run(f"%dfnb attach '{elsewhere.path}' as far"))
    assert "attached to" in text
    shown = kernel.run("far.instance('q1')")
    (bundle,) = of_kind(shown, "display_data")
    assert "application/vnd.jupyter.widget-view+json" in bundle["data"]
    assert "<Instance ask 'q1': Running, waiting for event answer" in bundle["data"]["text/plain"]
    elsewhere.client.raise_event("q1", "answer", "yes")
    assert "yes" in kernel.until(is_end)[-1]["content"]["data"]["text/html"]


@pytest.mark.slow
def test_a_followed_url_is_live_until_it_ends(kernel: Kernel, server: Server, elsewhere: dfnb.DurableApp) -> None:
    elsewhere.client.start("ask", instance_id="q1")
    link = server.links.management("q1")["statusQueryGetUri"]
    kernel.run("import dfnb\n%load_ext dfnb")
    shown = kernel.run(f"followed = dfnb.follow({link!r})\nfollowed")
    assert of_kind(shown, "display_data")
    elsewhere.client.raise_event("q1", "answer", "yes")
    last = kernel.until(is_end)[-1]["content"]["data"]
    assert "Completed" in last["text/html"]
    assert "yes" in last["text/html"]
