"""The pure heart of a durable HTTP call: one answer in, what to do next out.

`PollState` is all that a call is between two exchanges, and it is written down there; whoever holds the wire and the clock sends
`state.request` when it is due, and hands the answer to `advance`. Nothing here waits, sends or looks at a clock.

    first ──▶ start ──▶ poll ⟲ ──▶ result ──▶ Finished
      └───────────────────┴────────────┴──────────▲
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from msgspec.structs import replace

from dfnb.durable_http import retry_after, urls
from dfnb.durable_http.description import parse_request
from dfnb.durable_http.dialects import KNOWN, recognise
from dfnb.durable_http.documents import Document
from dfnb.durable_http.messages import Answer, Request, header, header_values
from dfnb.durable_http.places import Scene, look, look_for, parse_place
from dfnb.durable_http.retry_after import SECOND
from dfnb.durable_http.state import AskAgain, Finished, PollState, Step, Why, begin, cancel_request, description, onward
from dfnb.durable_http.wrapped import unwrap

__all__ = ["AskAgain", "Finished", "PollState", "Step", "advance", "begin", "cancel_request", "description"]

MAX_REDIRECTS = 10
_REDIRECTS = (301, 302, 303, 307, 308)
_SHOWN = 200
_Verdict = Literal["running", "ok", "fail", "unclear"]


def advance(state: PollState, answer: Answer) -> Step:
    """Read one answer: ask again, or finished. A fold; it never raises, whatever the answer holds."""
    return _Turn(state, answer).step()


class _Turn:
    """The reading of one answer: the state so far, what the answer says, and the notes that come up."""

    __slots__ = ("answer", "document", "notes", "poll", "state")

    def __init__(self, state: PollState, answer: Answer) -> None:
        self.state = replace(state, attempt=state.attempt + 1, last_status=answer.status)
        self.answer = answer
        self.poll = description(state)
        self.document = Document(answer.body)
        self.notes: list[str] = []

    def _set(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)

    def step(self) -> Step:
        if self.answer.error is None and self.answer.status in _REDIRECTS:
            reference = header(self.answer.headers, "Location")
            if reference is not None:
                return self._redirect(reference)
        return _PHASES[self.state.phase](self)

    # -- the phases

    def first(self) -> Step:
        """The answer to the first request: done, or something to poll?"""
        if self.answer.error is not None:
            return self._finish("error", self._said())
        if self._throttled() and (self.answer.status == 429 or self.state.repeatable):
            return self._ask_again_counted("the server is busy")
        if self.state.dialect == "auto":
            name = recognise(self.state.first, self.answer)
            if name is None:
                return self._finish("answered")
            self._set(dialect=name)
            self.poll = KNOWN[name]
        if self.state.dialect == "off" or self.answer.status not in self.poll.begins:
            return self._finish("answered")
        return self._locate()

    def start(self) -> Step:
        """The answer to the request that starts the job."""
        if self._throttled():
            return self._wait()
        if self._worth_another_try():
            return self._ask_again_counted()
        if not 200 <= self.answer.status < 300:
            return self._finish("error" if self.answer.error is not None else "fail", self._said())
        self._to_poll()
        return self._wait()

    def polled(self) -> Step:
        """The answer to a poll."""
        if self._throttled():
            return self._wait()
        if not 200 <= self.answer.status < 300:
            return self._not_well()
        match self._verdict():
            case "running":
                return self._still_running()
            case "ok":
                return self._done()
            case "fail":
                return self._finish("fail", self._said())
            case _:
                return self._ask_again_counted("the answer has no status that can be read")

    def resulted(self) -> Step:
        """The answer to the request for the result."""
        if self._throttled() or self.answer.status == 202:
            return self._wait()
        if self._worth_another_try():
            return self._ask_again_counted()
        if 200 <= self.answer.status < 300:
            return self._finish("ok")
        if self.poll.no_result and self.poll.no_result.encode() in self.answer.body[:65_536]:
            nothing = replace(self.answer, status=204, body=b"")
            return self._finish("ok", f"the server has no result to give ({self.poll.no_result})", nothing)
        return self._finish("error" if self.answer.error is not None else "fail", self._said())

    # -- what a first answer leads to

    def _locate(self) -> Step:
        found = look_for(self.poll.locate, self._scene())
        told = self.poll.start or (found is not None and found[0].startswith("header:"))
        if not told:  # nothing but the body says whether this is a job
            verdict = self._verdict()
            if verdict in ("ok", "fail"):
                return self._done() if verdict == "ok" else self._finish("fail", self._said())
            if verdict == "unclear" and self.answer.status != 202 and not self.poll.accepted:
                return self._finish("answered")
        if found is None:
            return self._finish("answered", "the answer does not say where to ask again" if self.answer.status == 202 else "")
        return self._begin_polling(*found)

    def _begin_polling(self, place: str, reference: str) -> Step:
        target = urls.follow(self._here(), reference)
        if target.url is None:
            return self._finish("refused", target.refusal)
        location = header(self.answer.headers, "Location")
        self._set(
            status_url=target.url,
            located_by=place,
            located_at=self.answer.at,
            first_location=urls.follow(self._here(), location).url if location is not None else None,
            failures=0,
        )
        self._remember_cancel()
        self._note_other_origin(target.url)
        if self.poll.start:
            return self._send_start()
        self._to_poll()
        return self._wait()

    def _send_start(self) -> Step:
        method, place = parse_request(self.poll.start)
        reference = look(place, self._scene())
        target = urls.follow(self._here(), reference or "")
        if target.url is None:
            return self._finish("refused", target.refusal)
        self._set(phase="start", request=onward(self.state, target.url, method), first=self._bodyless())
        return self._at_once()

    def _to_poll(self) -> None:
        """From now on the job is polled; the first request's body is let go, unless it is what is sent again."""
        again = self.state.located_by == "same"
        self._set(phase="poll", first=self.state.first if again else self._bodyless())

    def _bodyless(self) -> Request:
        return replace(self.state.first, body=None)

    def _poll_request(self) -> Request:
        if self.state.located_by == "same":
            return self.state.first
        return onward(self.state, self.state.status_url or self.state.first.url)

    # -- what a poll's answer leads to

    def _verdict(self) -> _Verdict:
        if self.poll.error and self.document.has(self.poll.error):
            return "fail"
        if not self.poll.status:
            return "running" if self.answer.status in self.poll.pending else "ok"
        word = self._word()
        if word is None:
            return self._without_word()
        self._set(word=word[:_SHOWN])
        if _among(word, self.poll.ok):
            return "ok"
        if _among(word, self.poll.fail):
            return "fail"
        if self.poll.running and not _among(word, self.poll.running):
            self.notes.append(f"the status {word[:_SHOWN]!r} is unknown; taken as not yet")
        return "running"

    def _word(self) -> str | None:
        return next((word for path in self.poll.status if (word := self.document.text(path)) is not None), None)

    def _without_word(self) -> _Verdict:
        if self.answer.status == 202 or self.answer.status in self.poll.pending:
            return "running"
        if self.answer.status == 204:
            return "ok"
        if not self.document.readable and not self.document.empty:
            return "unclear"
        return self.poll.absent

    def _still_running(self) -> Step:
        found = self._moved_to()
        if found is not None:
            target = urls.follow(self._here(), found)
            if target.url is None:
                return self._finish("refused", target.refusal)
            if target.url != self.state.status_url:
                self._note_other_origin(target.url)
            self._set(status_url=target.url)
        self._set(progress=self._progress())
        self._remember_cancel()
        return self._wait()

    def _moved_to(self) -> str | None:
        """Where the next poll goes, if this answer says so: a Location may change with each 202."""
        place = self.state.located_by
        return look(place, self._scene()) if place.startswith(("header:", "body:")) else None

    def _progress(self) -> str | None:
        found = look_for(self.poll.progress, self._scene())
        return _plain(found[1]) if found is not None else self.state.progress

    def _not_well(self) -> Step:
        """A poll was answered with an error, or not at all."""
        word = self._word() if self.poll.status else None
        if word is not None and _among(word, self.poll.fail):
            self._set(word=word[:_SHOWN])
            return self._finish("fail", self._said())
        if self._worth_another_try():
            return self._ask_again_counted()
        if self.answer.status == 404 and self.answer.at <= self.state.located_at + int(self.poll.grace * SECOND):
            self.notes.append("404: not there yet")
            return self._wait(default=0.0)
        return self._finish("fail", self._said())

    def _done(self) -> Step:
        """The job has ended well: take its result from where it is."""
        answer = self.answer
        if self.poll.wrapped:
            answer = unwrap(answer)
            if answer.status >= 400:
                return self._finish("fail", f"the operation itself ended with status {answer.status}", answer)
        elsewhere = look_for(self.poll.result, self._scene()) if self._result_may_be_elsewhere() else None
        if elsewhere is None:
            return self._finish("ok", answer=answer)
        target = urls.follow(self._here(), elsewhere[1])
        if target.url is None:
            return self._finish("refused", target.refusal)
        if target.url == self.state.status_url or (self.state.phase == "first" and target.url == self.state.first.url):
            return self._finish("ok", answer=answer)
        return self._fetch_result(target.url)

    def _result_may_be_elsewhere(self) -> bool:
        """An answer with no content has no result, and one that is known to be done by having no word is the result."""
        return self.answer.status != 204 and not (self.poll.status and self._word() is None)

    def _fetch_result(self, url: str) -> Step:
        self._note_other_origin(url)
        self._set(phase="result", first=self._bodyless(), failures=0)
        self._set(request=onward(self.state, url))
        return self._at_once()

    # -- redirects

    def _redirect(self, reference: str) -> Step:
        status, state = self.answer.status, self.state
        target = urls.follow(self._here(), reference)
        if target.url is None:
            return self._finish("refused", target.refusal)
        if state.redirects >= MAX_REDIRECTS:
            return self._finish("refused", f"redirected more than {MAX_REDIRECTS} times in a row; the last one was not followed")
        if state.phase == "poll" and status in self.poll.result_codes:
            self.state = replace(state, redirects=state.redirects + 1)
            return self._fetch_result(target.url)
        request = self._redirected(target.url)
        if request.body is not None and not request.trusted:
            return self._finish("refused", "redirected to another origin with a body to send; it was not sent there")
        self._note_other_origin(target.url)
        moved = state.phase == "poll" and status in (301, 308)
        self.state = replace(
            state, request=request, redirects=state.redirects + 1, status_url=target.url if moved else state.status_url
        )
        return self._at_once()

    def _redirected(self, url: str) -> Request:
        """RFC 9110 section 15.4: 307 and 308 keep method and body, 303 turns into GET, and so do 301 and 302 of a POST."""
        method = self.state.request.method.upper()
        to_get = method != "HEAD" and (self.answer.status == 303 or (self.answer.status in (301, 302) and method == "POST"))
        if to_get:
            return onward(self.state, url)
        state = self.state
        whole = (state.phase == "first" or state.located_by == "same") and state.request.body == state.first.body
        return onward(state, url, method, keep=whole and method == state.first.method.upper())

    # -- what all share

    def _throttled(self) -> bool:
        if self.answer.status == 429:
            return self.state.phase != "first" or self._asked().seconds is not None
        return self.answer.status == 503 and self._asked().seconds is not None

    def _worth_another_try(self) -> bool:
        return self.answer.error is not None or self.answer.status in self.poll.transient

    def _ask_again_counted(self, why: str = "") -> Step:
        """Try once more, ever later, but not for ever."""
        failures = self.state.failures + 1
        self.notes.append(f"{why or self._said()} (try {failures} of {self.poll.tries})")
        if failures >= self.poll.tries:
            return self._finish("exhausted")
        self._set(failures=failures)
        return self._wait(default=min(2.0**failures, 3600.0), keep_failures=True)

    def _asked(self) -> retry_after.Asked:
        scene = self._scene()
        said = (self._values(place, scene) for place in self.poll.wait)
        values = next((values for values in said if any(value.strip() for value in values)), [])
        return retry_after.read(values, header(self.answer.headers, "Date"), self.answer.at)

    def _values(self, place: str, scene: Scene) -> list[str]:
        """All that stands at a place: a header may be there twice."""
        kind, name, _ = parse_place(place)
        if kind == "header":
            return header_values(self.answer.headers, name)
        found = look(place, scene)
        return [found] if found is not None else []

    def _wait(self, default: float | None = None, *, keep_failures: bool = False) -> Step:
        state, at = self.state, self.answer.at
        if state.deadline_at is not None and at >= state.deadline_at:
            return self._finish("deadline", "the deadline has passed")
        asked = self._asked()
        planned = retry_after.plan(
            self.poll.paced(state.pace), at, asked.seconds, seed=state.seed, attempt=state.attempt, default=default
        )
        self.notes += filter(None, (asked.note, planned.note))
        due = planned.due
        if state.deadline_at is not None and due > state.deadline_at:
            due = state.deadline_at
            self.notes.append("asked once more at the deadline")
        failures = state.failures if keep_failures else 0
        request = self._poll_request() if state.phase == "poll" else state.request  # a detour, or a moved Location, ends here
        self.state = replace(state, redirects=0, failures=failures, request=request)
        return AskAgain(self.state, due, asked.seconds, self._note())

    def _at_once(self) -> AskAgain:
        return AskAgain(self.state, self.answer.at, None, self._note())

    def _finish(self, why: Why, note: str = "", answer: Answer | None = None) -> Finished:
        answer = self.answer if answer is None else answer
        if note:
            self.notes.append(note)
        failed = answer.status >= 400 if why == "answered" else why != "ok"
        return Finished(answer, failed, why, self.state, self._note())

    def _note(self) -> str:
        return "; ".join(self.notes)

    def _said(self) -> str:
        """What came back, in a few words."""
        if self.answer.error is not None:
            return _plain(self.answer.error)
        word = f" and says {self.state.word!r}" if self.state.word and self._word() else ""
        return f"the server answered {self.answer.status}{word}"

    def _here(self) -> str:
        """The URL that references in this answer are relative to."""
        return self.answer.url if urls.origin(self.answer.url) is not None else self.state.request.url

    def _scene(self) -> Scene:
        state = self.state
        return Scene(
            state.first.method, state.first.url, state.status_url, state.first_location, self.answer.headers, self.document
        )

    def _remember_cancel(self) -> None:
        for text in self.poll.cancel:
            method, place = parse_request(text)
            reference = look(place, self._scene())
            target = urls.follow(self._here(), reference) if reference is not None else None
            if target is not None and target.url is not None:
                self._set(cancel=f"{method} {target.url}")
                return

    def _note_other_origin(self, url: str) -> None:
        if not onward(self.state, url).trusted and urls.origin(url) != urls.origin(self.state.first.url):
            self.notes.append(f"on to another origin, {urls.origin(url)}, without credentials")


_PHASES: dict[str, Callable[[_Turn], Step]] = {
    "first": _Turn.first,
    "start": _Turn.start,
    "poll": _Turn.polled,
    "result": _Turn.resulted,
}


def _among(word: str, words: tuple[str, ...] | str) -> bool:
    folded = word.casefold()
    return any(folded == other.casefold() for other in words)


def _plain(text: str) -> str:
    """A server's text, short enough to store and show."""
    return text.encode("utf-8", "replace").decode()[:_SHOWN]

