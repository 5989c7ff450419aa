"""For tests of orchestrators, yours and ours: a clock to move by hand, small histories, saved histories, and their replay."""

from dfnb.engine.clock import FakeClock
from dfnb.testing.history import (
    HistoryBuilder,
    ReplayResult,
    load_history,
    orchestrator_generator_wrapper,
    replay,
    save_history,
)

__all__ = [
    "FakeClock",
    "HistoryBuilder",
    "ReplayResult",
    "load_history",
    "orchestrator_generator_wrapper",
    "replay",
    "save_history",
]
