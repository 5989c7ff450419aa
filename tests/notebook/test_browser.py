from __future__ import annotations

from pathlib import Path

import pytest

from .lab import open_lab

pytestmark = [pytest.mark.browser, pytest.mark.slow]

DEFINE = """import dfnb, dfnb as df
from datetime import timedelta
%load_ext dfnb"""
TRIP = """%%orchestrator
def trip(context: df.DurableOrchestrationContext):
    context.set_custom_status("asking")
    approval = context.wait_for_external_event("approval")
    timer = context.create_timer(timedelta(hours=1))
    yield context.task_any([approval, timer])
    timer.cancel()
    return (yield context.call_activity("book", context.get_input()))"""
BOOK = """%%activity
def book(city: str) -> str:
    print("booking", city)
    return f"a week in {city}\""""
WIDGET = "application/vnd.jupyter.widget-view+json"


def mimes(notebook, number: int) -> set[str]:
    return {mime for output in notebook.cells[number].outputs for mime in output.get("data", {})}


def test_a_live_view_counts_follows_and_leaves_html_behind(chromium_path: str, tmp_path: Path):
    with open_lab(chromium_path, tmp_path) as lab:
        lab.run(DEFINE)
        lab.run(TRIP)
        number = lab.run('run = %dfnb start trip "Oslo" --id my-trip\nrun')
        view = lab.output(number)
        view.get_by_text("Running").wait_for()
        view.get_by_text("event approval since").wait_for()
        view.get_by_text("(in 59 min").first.wait_for()  # counted in the browser
        view.get_by_text("asking", exact=True).wait_for()

        lab.saved()
        lab.reload()  # widgets come back by themselves
        view.get_by_text("event approval since").wait_for()

        table = lab.output(lab.run("dfnb.notebook.instances_table([run])"))
        table.get_by_text("my-trip").wait_for()
        lab.run('run.raise_event("approval")')
        view.get_by_text("the cell that defines book").wait_for()
        lab.run(BOOK)
        view.get_by_text("Completed", exact=True).wait_for()
        view.get_by_text("a week in Oslo").wait_for()
        table.get_by_text("Completed", exact=True).wait_for()

        end = lab.run('other = %dfnb start trip "Lima"\nother.raise_event("approval"); other.wait(20)\nother')
        lab.output(end).locator("[data-mime-type='text/html']").wait_for()
        assert mimes(lab.saved(), end) == {"text/html", "text/plain"}

        lab.restart()
        lab.run(DEFINE)
        again = lab.output(lab.run('dfnb.instance("my-trip")'))
        again.get_by_text("a week in Oslo").wait_for()
        assert lab.problems == []


def test_the_widget_of_an_ended_instance_is_not_saved(chromium_path: str, tmp_path: Path):
    with open_lab(chromium_path, tmp_path, theme="JupyterLab Dark") as lab:
        lab.run(DEFINE)
        lab.run(TRIP)
        lab.run(BOOK)
        number = lab.run('run = %dfnb start trip "Oslo"\nrun')
        assert WIDGET in mimes(lab.saved(), number)
        lab.run('run.raise_event("approval")')
        lab.output(number).locator("[data-mime-type='text/html'] .dfnb-pill").get_by_text("Completed").wait_for()
        assert mimes(lab.saved(), number) == {"text/html", "text/plain"}
        scheme = lab.output(number).locator(".dfnb").evaluate("element => getComputedStyle(element).colorScheme")
        assert scheme == "dark"
