"""The status page: a few files that hold no data and hence need no key.

What the page shows, it asks of the API, with the key that its reader gives it.
"""

from __future__ import annotations

import functools
from pathlib import Path

from starlette.responses import Response

_FOLDER = Path(__file__).parent / "static"
_TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin"}


@functools.cache
def _files() -> dict[str, tuple[bytes, str]]:
    """What is served, by path: no path of a request ever becomes one of this machine."""
    files = [path for path in _FOLDER.iterdir() if path.suffix in _TYPES]
    found = {f"/static/{path.name}": (path.read_bytes(), _TYPES[path.suffix]) for path in files}
    found["/"] = found.pop("/static/index.html")
    return found


def page_answer(path: str) -> Response | None:
    """The page or one of its files; None for every other path."""
    found = _files().get(path)
    if found is None:
        return None
    body, kind = found
    return Response(body, headers={"content-type": kind, **_HEADERS})
