"""For tests of orchestrators, yours and ours: a clock to move by hand, small and saved histories, and a fake of slow HTTP APIs."""

from dfnb.engine.clock import FakeClock
from dfnb.testing.async_api import AsyncApi
from dfnb.testing.faults import (
    Body,
    DoubledHeaders,
    Drop,
    Empty,
    Fault,
    Header,
    HtmlError,
    Huge,
    LowerCaseHeaders,
    Redirect,
    Reset,
    ServerError,
    Slow,
    Throttle,
)
from dfnb.testing.har import HarTransport
from dfnb.testing.history import (
    HistoryBuilder,
    ReplayResult,
    load_history,
    orchestrator_generator_wrapper,
    replay,
    save_history,
)
from dfnb.testing.wire import Generated, ReceivedRequest, Reply

__all__ = [
    "AsyncApi",
    "Body",
    "DoubledHeaders",
    "Drop",
    "Empty",
    "FakeClock",
    "Fault",
    "Generated",
    "HarTransport",
    "Header",
    "HistoryBuilder",
    "HtmlError",
    "Huge",
    "LowerCaseHeaders",
    "ReceivedRequest",
    "Redirect",
    "ReplayResult",
    "Reply",
    "Reset",
    "ServerError",
    "Slow",
    "Throttle",
    "load_history",
    "orchestrator_generator_wrapper",
    "replay",
    "save_history",
]
