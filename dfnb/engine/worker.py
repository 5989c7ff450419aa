"""The engine's thread: runs batches while there is something to do, waits for news or the next timer otherwise.

It is a plain thread on a condition, not an event loop: waking one through a loop costs more than a turn.
"""

from __future__ import annotations

import logging
import threading

from dfnb.engine import capture
from dfnb.engine.batch import BatchEngine
from dfnb.engine.clock import Clock
from dfnb.errors import HubClosedError
from dfnb.hub.protocol import WorkerSide

logger = logging.getLogger("dfnb")


class Worker:
    """Runs one engine on a daemon thread of its own, so that an interrupt does not reach it and a restart need not wait for it."""

    def __init__(self, hub: WorkerSide, engine: BatchEngine, clock: Clock) -> None:
        self._hub = hub
        self._engine = engine
        self._clock = clock
        self._stopping = False
        self.failure: BaseException | None = None
        """What ended the thread against its will; None while all is well."""
        self._thread = threading.Thread(target=self._run, name="dfnb-engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def stop(self, timeout: float | None = None) -> bool:
        """Finish the batch under way, then end. False: that took longer than `timeout` seconds, and it is left to itself.

        The hub must be closed then, which takes nothing from it any more. What it had taken is found again at the next opening.
        """
        with self._hub.changed:
            self._stopping = True
            self._hub.changed.notify_all()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        capture.install()  # what it prints after it was left to itself belongs to no cell
        try:
            while self._wait():
                self._engine.run_batch()
        except HubClosedError:
            logger.debug("dfnb: the hub was closed under the engine")
        except BaseException as error:
            self.failure = error
            logger.critical("dfnb: the engine has stopped; what was acknowledged is on disk", exc_info=True)
        finally:
            self._engine.let_go()
            capture.uninstall()

    def _wait(self) -> bool:
        with self._hub.changed:
            while not self._stopping and not self._hub.has_ready(self._clock.now()):
                self._clock.wait(self._hub.changed, self._hub.next_due())
            return not self._stopping
