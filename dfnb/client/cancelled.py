"""What an interrupted ``await`` raises; apart from the rest, since it needs asyncio."""

from __future__ import annotations

import asyncio


class WaitCancelled(asyncio.CancelledError):
    """An awaited instance's cell was interrupted; the instance goes on."""

    def _render_traceback_(self) -> list[str]:
        return [f"CancelledError: {self}"]
