"""The live view as a widget: one anywidget with the snapshot, told of changes by custom messages.

Imported at the first live view only: ipywidgets and anywidget cost some 50 ms.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import anywidget
import rjsmin
import traitlets

from dfnb.notebook.display import static_text
from dfnb.notebook.snapshot import Picture

_sending = threading.Lock()
_SCRIPTS = ("core.js", "list.js", "painting.js", "timeline.js", "panels.js", "instance.js", "table.js", "main.js")
_STYLES = ("view.css", "live.css", "table.css")


def script() -> str:
    """The files of the script as one ES module without comments and spare space: every view sends it to the browser."""
    return str(rjsmin.jsmin("\n".join(map(static_text, _SCRIPTS))))


def style() -> str:
    """The style of the static twins, and that of what only a live view has."""
    return "\n".join(map(static_text, _STYLES))


def _current(_: object, widget: StatusWidget) -> Picture:
    return widget.current()


class StatusWidget(anywidget.AnyWidget):
    """Shows what `current` gives. Its state is asked for, never pushed: a page that is reloaded gets the newest."""

    _esm = script()
    _css = style()
    snapshot = traitlets.Any().tag(sync=True, to_json=_current)

    def __init__(self, current: Callable[[], Picture], on_message: Callable[[Picture], None]) -> None:
        self.current = current
        super().__init__()
        self.on_msg(lambda widget, content, buffers: on_message(content) if isinstance(content, dict) else None)

    def send(self, content: Picture, buffers: Any = None) -> None:
        """From any thread; ipywidgets itself has no lock."""
        with _sending:
            super().send(content, buffers)

    def mime(self) -> dict[str, Any]:
        """The part of a display bundle that a front end with widgets shows."""
        shown = self._repr_mimebundle_()
        return {name: value for name, value in shown[0].items() if name.startswith("application/")} if shown else {}
