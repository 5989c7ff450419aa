"""What every test may rely on: private Jupyter folders, a browser if there is one, and no silent skips in CI."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# How long an example takes says how busy the machine is, and nothing else.
settings.register_profile("patient", settings(), deadline=None)
settings.load_profile("patient")

# The one reason that may skip a test in CI: the test is about another operating system.
PLATFORM_REASON = "this platform"

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
_MAC_CHROME = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--crash-rounds", default=50, type=int, help="how often tests/crash kills its child (default 50)")


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() == "true"


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not (_in_ci() and report.skipped) or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if PLATFORM_REASON not in reason:
        report.outcome = "failed"
        report.longrepr = f"CI installs all that tests need, so a skip is a failure. {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.fixture(scope="session", autouse=True)
def _private_jupyter_folders(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """Kernels and shells started by tests see no settings, extensions or history of whoever runs them, and leave none."""
    folder = tmp_path_factory.mktemp("jupyter")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
            patch.setenv(name, str(folder / name.lower()))
        yield


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The browser's executable. Skips where there is none; CI installs one."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _BROWSERS)), None)
    if found is None and sys.platform == "darwin" and Path(_MAC_CHROME).exists():
        found = _MAC_CHROME
    if found is None:
        pytest.skip("no Chromium here: install it (Debian: apt-get install chromium) or set CHROMIUM to its path")
    return found
