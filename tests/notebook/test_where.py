from __future__ import annotations

from pathlib import Path

import pytest

from dfnb.notebook.where import hub_path, shown


@pytest.mark.parametrize(
    ("user_ns", "environ", "path"),
    [
        ({}, {}, "dfnb.duckdb"),
        ({}, {"JPY_SESSION_NAME": "folder/trip.ipynb"}, "trip.duckdb"),
        ({}, {"JPY_SESSION_NAME": "C:\\folder\\trip.ipynb"}, "trip.duckdb"),
        ({}, {"JPY_SESSION_NAME": "console-1"}, "dfnb.duckdb"),
        ({"__vsc_ipynb_file__": "/home/me/plan.ipynb"}, {"JPY_SESSION_NAME": "trip.ipynb"}, "plan.duckdb"),
        ({"__vsc_ipynb_file__": "/home/me/plan.ipynb"}, {"DFNB_HUB": "mine.duckdb"}, "mine.duckdb"),
        ({}, {"DFNB_HUB": ":memory:"}, ":memory:"),
        ({}, {"DFNB_HUB": " "}, "dfnb.duckdb"),
    ],
)
def test_the_hub_is_named_by_the_environment_else_by_the_notebook(user_ns, environ, path):
    assert hub_path(user_ns, environ) == path


def test_a_path_within_the_working_folder_is_shown_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert shown(str(tmp_path / "a.duckdb")) == "a.duckdb"
    elsewhere = str(tmp_path.parent / "b.duckdb")
    assert shown(elsewhere) == elsewhere
    assert shown(":memory:") == "in memory"
