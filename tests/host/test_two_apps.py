"""Two apps in two processes that work together over HTTP alone, though one of them is killed in the middle."""

from __future__ import annotations

import threading
from pathlib import Path

import httpx
import pytest

import dfnb
from dfnb import side_file

from .conftest import Serve

WAREHOUSE = """
import dfnb

@dfnb.orchestrator
def pick(context):
    shelf = yield context.wait_for_external_event("found")
    return {"item": context.get_input(), "shelf": shelf}
"""
API = "/runtime/webhooks/durabletask"
pytestmark = pytest.mark.slow


@pytest.fixture
def deliver(tmp_path: Path):
    """An app of this process whose orchestrator has the other app do something and waits for it."""
    registry = dfnb.Registry()

    @dfnb.orchestrator(registry=registry)
    def deliver(context: dfnb.DurableOrchestrationContext):
        picked = yield context.call_http(
            "POST", f"{context.get_input()}{API}/orchestrators/pick/one", content="tea",
            headers={"x-functions-key": dfnb.Secret.env("WAREHOUSE_KEY")},
        )  # fmt: skip
        return picked.json()["output"]

    settings = dfnb.HttpSettings(pace=dfnb.Pace(floor=0.05, cap=3.0))
    with dfnb.DurableApp(tmp_path / "shop.duckdb", registry=registry, http=settings) as app:
        yield app


def polls(app: dfnb.DurableApp, id: str, count: int) -> None:
    """Wait until an instance's call has sent so many polls."""
    news = threading.Event()
    end = app.client.watch(lambda ids: news.set())
    try:
        while sum(one.purpose == "poll" for one in app.client.http(id)) < count:
            assert news.wait(30), app.client.http(id)
            news.clear()
    finally:
        end()


def test_an_app_waits_for_another_one_over_its_death(
    tmp_path: Path, serve: Serve, deliver: dfnb.DurableApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "warehouse.py").write_text(WAREHOUSE)
    hub = tmp_path / "warehouse.duckdb"
    command = ("warehouse.py", "--hub", str(hub), "--port", "0")
    first = serve(*command)
    url = first.ready()
    facts = side_file.read(hub)
    assert facts is not None
    monkeypatch.setenv("WAREHOUSE_KEY", str(facts.key))

    run = deliver.client.start("deliver", url)
    polls(deliver, run.id, 1)
    first.process.kill()
    first.end()
    assert serve(*command).ready() == url  # the same address and the same keys: its links still work

    answer = httpx.post(f"{url}{API}/instances/one/raiseEvent/found", params={"code": facts.key}, json=7)
    assert answer.status_code == 202
    assert run.result(60) == {"item": "tea", "shelf": 7}
    log = run.http()
    assert [one.purpose for one in log].count("first") == 1
    assert log[-1].status == 200
    ((said, bodies),) = deliver.sql(
        "SELECT string_agg(concat(url, request_headers, response_headers)), string_agg(response_body) FROM http_exchanges"
    ).fetchall()
    assert str(facts.key) not in said + bodies
    assert "code=L1." not in said  # the codes of links open something too; bodies are kept as they came
