"""A task hub: both sides over one working set."""

from __future__ import annotations

from dfnb.hub.client_side import HubClientSide
from dfnb.hub.worker_side import HubWorkerSide


class TaskHub(HubClientSide, HubWorkerSide):
    """A task hub in one DuckDB file (`:memory:` for none)."""

    def compact(self) -> tuple[int, int]:
        """Rewrite the file without what deleted instances have left; its size before and after, in bytes."""
        if self._bodies_left:
            self._as_chore(self.sweep_bodies)
        return super().compact()
