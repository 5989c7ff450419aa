"""Ctrl-C and SIGTERM: the first ends the service politely, a second Ctrl-C at once."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

_INTERRUPTS = ("SIGINT", "SIGBREAK")  # Ctrl-C, and Ctrl-Break on Windows
_POLITE = ("SIGTERM", "SIGHUP")
_INTERRUPTED = 130


class Stop:
    """While entered, signals set `asked`, and `wait` returns at once when one comes. For the main thread.

    It waits for a byte on a socket: the interpreter writes one for each signal, on Windows too, where a lock would not wake up.
    """

    def __init__(self, at_once: Callable[[int], Any] = os._exit) -> None:
        self.asked = ""
        """The name of the signal that came first; empty until then."""
        self._at_once = at_once
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        self._ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        self._fd_before = signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
        for name in (*_INTERRUPTS, *_POLITE):
            number = getattr(signal, name, None)
            if number is not None and not (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):  # nohup means it
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._fd_before)
        self._ear.close()
        self._mouth.close()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self.asked and name in _INTERRUPTS:  # not SIGTERM: `timeout` sends one to the process and one to its group
            self._at_once(_INTERRUPTED)
        self.asked = self.asked or name

    def poke(self) -> None:
        """Wake `wait` up without a signal. From any thread."""
        try:
            self._mouth.send(b"\0")
        except BlockingIOError:
            return  # full: it wakes up anyway

    def wait(self, timeout: float | None = None) -> None:
        """Until a signal or a poke comes, or the seconds are over."""
        self._ear.settimeout(timeout)
        try:
            self._ear.recv(4_096)
        except TimeoutError:
            return

    def pause(self, seconds: float) -> None:
        """Until a signal comes or the seconds are over, whoever pokes."""
        end = time.monotonic() + seconds
        while not self.asked and (left := end - time.monotonic()) > 0:
            self.wait(left)
