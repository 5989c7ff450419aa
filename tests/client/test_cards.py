from __future__ import annotations

import dfnb
from dfnb.client import cards
from dfnb.client.status import InstancePage
from dfnb.client.sync import DurableOrchestrationClient


def test_a_status_is_a_card_without_a_notebook(client: DurableOrchestrationClient) -> None:
    run = client.start("waits", instance_id="w1")
    run.terminate("<enough>")
    status = run.wait(10)
    for html in (status._repr_html_(), run._repr_html_()):
        assert "Terminated" in html
        assert "w1" in html
        assert "&lt;enough&gt;" in html
        assert "<enough>" not in html
    assert "no such instance" in client.status("nobody")._repr_html_()


def test_a_page_is_a_table(client: DurableOrchestrationClient) -> None:
    client.start("waits", instance_id="w1").terminate("over")
    assert "<td" in client.instances()._repr_html_()
    assert InstancePage([], None)._repr_html_() == ""


def test_an_instance_of_a_closed_hub_says_so(app: dfnb.DurableApp) -> None:
    run = app.client.start("waits", instance_id="w1")
    app.close()
    assert "closed" in run._repr_html_()


def test_an_answer_shows_status_headers_and_body() -> None:
    html = cards.response_card(dfnb.DurableHttpResponse(200, {"Content-Type": "text/plain"}, "<b>" * 5_000))
    assert "200 OK" in html
    assert "text/plain" in html
    assert "&lt;b&gt;" in html
    assert len(html) < 20_000


def test_a_failure_shows_its_traceback_behind_a_fold() -> None:
    html = cards.failure_card(dfnb.FailureDetails("builtins.ValueError", "<bad>", "in line 1"))
    assert "ValueError: &lt;bad&gt;" in html
    assert "<details>" in html
    assert "<details>" not in cards.failure_card(dfnb.FailureDetails("builtins.ValueError", "bad"))
