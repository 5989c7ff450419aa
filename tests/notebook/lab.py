"""A private JupyterLab with a page open on one notebook, for tests that must see what a person would see."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).parent.parent.parent
_TOKEN = "lab"
_KERNEL = "window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel"
BROWSER_OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
_SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    "notebook-extension/tracker": {"windowingMode": "none"},  # cells off the screen are in the page too
    "docmanager-extension/plugin": {"autosave": False},
}


class Lab:
    """What a test does with the open notebook."""

    def __init__(self, page: Any, notebook: Path) -> None:
        self.page = page
        self.notebook = notebook
        self.problems: list[str] = []
        page.on("pageerror", self._note)

    def _note(self, error: Any) -> None:
        """A script of a widget comes from a blob; JupyterLab has problems of its own when a panel is folded."""
        where = error.stack or str(error)
        if "blob:" in where or "/static/lab/" not in where:
            self.problems.append(where)

    def run(self, source: str) -> int:
        """Append a cell, run it, wait until the kernel is idle; the cell's number."""
        number = self.begin(source)
        self.wait_idle()
        return number

    def begin(self, source: str) -> int:
        """Append a cell and have it run; the cell's number, at once."""
        number: int = self.page.evaluate(
            """source => {
                const panel = window.jupyterapp.shell.currentWidget, model = panel.content.model.sharedModel;
                model.insertCell(model.cells.length, {cell_type: 'code', source, metadata: {}, outputs: []});
                panel.content.deselectAll();
                panel.content.activeCellIndex = model.cells.length - 1;
                const {kernel} = panel.sessionContext.session;
                window.dfnbBegan = false;
                kernel.iopubMessage.connect(function hear(_, message) {  // a kernel is busy with messages of widgets, too
                    if (message.header.msg_type !== 'execute_input') return;
                    window.dfnbBegan = true;
                    kernel.iopubMessage.disconnect(hear);
                });
                window.jupyterapp.commands.execute('notebook:run-cell');
                return model.cells.length - 1;
            }""",
            source,
        )
        self.page.wait_for_function("() => window.dfnbBegan")
        return number

    def view(self, source: str) -> Any:
        """The output of a cell whose value is shown live."""
        view = self.output(self.run(source))
        view.scroll_into_view_if_needed()  # what is out of sight draws nothing
        view.locator(".dfnb-live .dfnb-card").wait_for()
        return view

    def clear(self) -> None:
        """Delete all cells; the kernel goes on."""
        self.page.evaluate(
            """() => {
                const model = window.jupyterapp.shell.currentWidget.content.model.sharedModel;
                model.deleteCellRange(0, model.cells.length);
                model.insertCell(0, {cell_type: 'code', source: '', metadata: {}, outputs: []});
            }"""
        )

    def wait_idle(self) -> None:
        self._kernel_is("status === 'idle'")

    def is_busy(self) -> bool:
        """Whether a cell is running."""
        busy: bool = self.page.evaluate(f"() => {_KERNEL}.status === 'busy'")
        return busy

    def _kernel_is(self, condition: str) -> None:
        self.page.wait_for_function(f"() => {{ const {{status, connectionStatus}} = {_KERNEL} ?? {{}}; return {condition}; }}")

    def output(self, number: int) -> Any:
        """The output area of a cell."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(number).locator(".jp-OutputArea")

    def restart(self) -> None:
        """Restart the kernel without asking."""
        self.page.evaluate(f"() => {_KERNEL}.restart()")
        self._kernel_is("connectionStatus === 'connected' && status === 'idle'")

    def reload(self) -> None:
        """Load the page anew, as a person would with F5; the kernel goes on."""
        self.page.reload()
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")
        self.wait_idle()

    def saved(self) -> nbformat.NotebookNode:
        """Save the notebook and read it back from disk."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        return nbformat.read(self.notebook, as_version=4)

    def theme(self, name: str) -> None:
        """Change the colours of the whole page, as the menu does."""
        self.page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", f"JupyterLab {name}")
        self.page.wait_for_selector(f"body[data-jp-theme-name='JupyterLab {name}']", state="attached")

    def wide(self, width: int) -> None:
        """Give the page another width; what stands beside the notebook is there only on a wide one."""
        self.page.set_viewport_size({"width": width, "height": 1500})
        self.page.evaluate(
            """wide => {
                const {shell, commands} = window.jupyterapp;
                if (shell.leftCollapsed === wide) return commands.execute('application:toggle-left-area');
            }""",
            width > 900,
        )

    def count_messages(self) -> None:
        """From now on, note the news that views are told, for `told`."""
        self.page.evaluate(
            f"""() => {{
                window.dfnbTold = [];
                {_KERNEL}.iopubMessage.connect((_, message) => {{
                    const {{method, content}} = message.content?.data ?? {{}};
                    if (message.header.msg_type === 'comm_msg' && method === 'custom' && content.n !== undefined)
                        window.dfnbTold.push({{at: Date.now(), view: message.content.comm_id}});
                }});
            }}"""
        )

    def told(self, number: int) -> list[float]:
        """When the view of that cell was told news, in milliseconds."""
        times: list[float] = self.page.evaluate(
            """number => {
                const {outputs} = window.jupyterapp.shell.currentWidget.content.model.sharedModel.cells[number];
                const id = outputs[0].data['application/vnd.jupyter.widget-view+json'].model_id;
                return window.dfnbTold.filter(({view}) => view === id).map(({at}) => at);
            }""",
            number,
        )
        return times

    def keep(self, name: str, what: Any = None) -> None:
        """Keep a screenshot for people to look at, if DFNB_SCREENSHOTS names a folder for them."""
        folder = os.environ.get("DFNB_SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            (what or self.page).screenshot(path=Path(folder) / f"{name}.png")


@contextlib.contextmanager
def open_lab(chromium: str, folder: Path, *, theme: str = "JupyterLab Light") -> Iterator[Lab]:
    """JupyterLab on a free port with an empty notebook, its configuration folders all below `folder`."""
    work = folder / "work"
    work.mkdir()
    notebook = work / "trip.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}  # without it the page asks for one
    nbformat.write(nbformat.v4.new_notebook(metadata={"kernelspec": kernel}), notebook)
    with _server(folder, work, theme) as address, _page(chromium, dark="Dark" in theme) as page:
        page.goto(f"{address}/lab/tree/{notebook.name}?token={_TOKEN}&reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        lab = Lab(page, notebook)
        lab.wait_idle()
        yield lab


@contextlib.contextmanager
def _server(folder: Path, work: Path, theme: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "lab.log"
    with log.open("w") as into:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
                "--ServerApp.port_retries=0", f"--IdentityProvider.token={_TOKEN}", f"--ServerApp.root_dir={work}",
                "--LabApp.news_url=", "--LabApp.expose_app_in_browser=True",
            ],
            env=_environment(folder, theme), stdout=into, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        address = f"http://127.0.0.1:{port}"
        _until(lambda: _answers(f"{address}/api?token={_TOKEN}") or process.poll() is not None, 60)
        assert process.poll() is None, log.read_text()
        yield address
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment(folder: Path, theme: str) -> dict[str, str]:
    settings = folder / "settings"
    for name, value in {**_SETTINGS, "apputils-extension/themes": {"theme": theme}}.items():
        file = settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value))
    private = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "JUPYTERLAB_WORKSPACES_DIR")
    return {
        **os.environ,
        **{name: str(folder / name.lower()) for name in private},
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _until(condition: Callable[[], bool], seconds: float) -> None:
    """A server tells nobody when it is up, so it is asked."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"nothing after {seconds} s"
        time.sleep(0.1)


@contextlib.contextmanager
def _page(chromium: str, *, dark: bool) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=BROWSER_OPTIONS)
        context = browser.new_context(viewport={"width": 1200, "height": 1500}, color_scheme="dark" if dark else "light")
        page = context.new_page()
        page.set_default_timeout(30_000)
        try:
            yield page
        finally:
            browser.close()
