from __future__ import annotations

import threading
from typing import Any

from dfnb.notebook.answers import Answers


class Asked:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.replied = threading.Event()

    def reply(self, message: dict[str, Any]) -> None:
        self.replied.set()
        if self.error is not None:
            raise self.error


def test_a_view_that_is_gone_does_not_leave_the_others_without_answers() -> None:
    answers = Answers()
    gone, there = Asked(RuntimeError("the comm is closed")), Asked()
    try:
        answers.put(gone, {"ask": "history"})
        answers.put(there, {"ask": "history"})
        assert gone.replied.wait(10)
        assert there.replied.wait(10)
    finally:
        answers.close()
