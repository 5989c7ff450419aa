from __future__ import annotations

import contextlib
import contextvars
import io
import logging
import pickle
import sys
import threading
from collections.abc import Iterator

import pytest

from dfnb.engine import capture
from dfnb.engine.capture import Sink


@contextlib.contextmanager
def streams() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    """Two streams in the place of the real ones. Not a fixture: pytest swaps the streams between set-up and test."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield out, err


@contextlib.contextmanager
def installed() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    with streams() as both:
        capture.install()
        try:
            yield both
        finally:
            capture.uninstall()


def sink(**options: object) -> Sink:
    return Sink(lambda: 7, 3, 2, **options)  # type: ignore[arg-type]


def shown(collected: Sink) -> list[tuple[str, str]]:
    return [(line.stream, line.text) for line in collected.lines()]


def test_printed_lines_go_to_the_sink_and_nowhere_else():
    with installed() as (out, err):
        with capture.to(sink()) as mine:
            print("one\ntwo")
            print("three", end="")
            print("wrong", file=sys.stderr)
        lines = mine.lines()
        assert [(line.stream, line.text) for line in lines] == [
            ("stdout", "one"), ("stdout", "two"), ("stderr", "wrong"), ("stdout", "three")
        ]  # fmt: skip
        assert {(line.task, line.attempt, line.at) for line in lines} == {(3, 2, 7)}
        assert out.getvalue() == err.getvalue() == ""


def test_outside_a_sink_text_goes_through_unchanged():
    with installed() as (out, err):
        print("seen", end="")
        print("error", file=sys.stderr, end="")
        assert (out.getvalue(), err.getvalue()) == ("seen", "error")


def test_two_threads_do_not_mix():
    with installed():
        barrier = threading.Barrier(2)

        def talk(word: str, into: Sink) -> None:
            with capture.to(into):
                for _ in range(50):
                    print(word, end=" ")
                    barrier.wait(10)
                    print(word)

        sinks = {word: sink() for word in ("left", "right")}
        threads = [threading.Thread(target=talk, args=item) for item in sinks.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for word, into in sinks.items():
            assert shown(into) == [("stdout", f"{word} {word}")] * 50


def test_a_copied_context_writes_to_the_same_sink():
    with installed():
        with capture.to(sink()) as mine:
            context = contextvars.copy_context()
        context.run(print, "from inside")
        assert shown(mine) == [("stdout", "from inside")]


def test_everything_else_is_asked_of_the_real_stream():
    with installed() as (out, _):
        assert sys.stdout.getvalue() == ""
        sys.stdout.note = 5
        assert out.note == 5
        with pytest.raises(AttributeError):
            sys.stdout.set_parent({})
        sys.stdout.writelines(["a", "b"])
        assert out.getvalue() == "ab"


def test_a_proxy_pickles_as_the_stream_of_the_process_that_loads_it():
    with installed():
        assert pickle.loads(pickle.dumps(sys.stdout)) is sys.stdout


def test_uninstall_restores_the_streams():
    with streams() as (out, err):
        capture.install()
        capture.install()
        capture.uninstall()
        assert sys.stdout is not out
        capture.uninstall()
        assert (sys.stdout, sys.stderr) == (out, err)


def test_uninstall_leaves_a_stream_that_someone_else_replaced():
    with streams() as (_, err):
        capture.install()
        theirs = io.StringIO()
        sys.stdout = theirs
        capture.uninstall()
        assert sys.stdout is theirs
        assert sys.stderr is err


def test_install_again_after_a_stale_proxy_was_put_back():
    with streams() as (out, _):
        capture.install()
        stale = sys.stdout
        capture.uninstall()
        sys.stdout = stale
        capture.install()
        with capture.to(sink()) as mine:
            print("once")
        capture.uninstall()
        assert shown(mine) == [("stdout", "once")]
        assert sys.stdout is out


def test_records_are_captured_with_level_and_traceback():
    with installed():
        logger = logging.getLogger("dfnb.tests.capture")
        with capture.to(sink()) as mine:
            logger.warning("low on %s", "disk")
            logger.debug("the level does not let this pass")
            try:
                _ = 1 / 0
            except ZeroDivisionError:
                logger.exception("no luck")
        (first, text), (second, trace) = shown(mine)
        assert (first, text) == ("WARNING", "low on disk")
        assert second == "ERROR"
        assert trace.startswith("no luck\nTraceback")
        assert trace.endswith("ZeroDivisionError: division by zero")


def test_a_record_is_not_sprayed_through_a_console_handler_as_well():
    with streams() as (_, err):
        logger = logging.getLogger("dfnb.tests.console")
        old, kept = logging.StreamHandler(sys.stderr), logging.StreamHandler(io.StringIO())
        capture.install()
        new = logging.StreamHandler(sys.stderr)
        for handler in (old, new, kept):
            logger.addHandler(handler)
        try:
            with capture.to(sink()) as mine:
                logger.warning("inside")
            logger.warning("outside")
        finally:
            capture.uninstall()
            logger.handlers.clear()
        assert shown(mine) == [("WARNING", "inside")]
        assert err.getvalue() == "outside\noutside\n"
        assert kept.stream.getvalue() == "inside\noutside\n"


def test_a_handler_that_prints_is_not_captured_twice():
    with installed():
        class Printing(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                print("printed", record.getMessage())

        logger = logging.getLogger("dfnb.tests.printing")
        logger.addHandler(Printing())
        with capture.to(sink()) as mine:
            logger.error("bad")
        logger.handlers.clear()
        assert shown(mine) == [("ERROR", "bad")]


def test_logging_outside_behaves_as_if_nothing_was_installed(monkeypatch: pytest.MonkeyPatch):
    with installed() as (_, err):
        root = logging.getLogger()
        monkeypatch.setattr(root, "handlers", [])
        logging.getLogger("dfnb.tests.nobody").warning("last resort")
        assert err.getvalue() == "last resort\n"
        logging.basicConfig(stream=err, format="configured %(message)s")
        logging.getLogger("dfnb.tests.nobody").warning("now")
        assert err.getvalue().endswith("configured now\n")


def test_a_record_whose_arguments_do_not_fit_is_kept_all_the_same(monkeypatch: pytest.MonkeyPatch):
    with installed():
        logger = logging.getLogger("dfnb.tests.args")
        monkeypatch.setattr(logger, "propagate", False)
        with capture.to(sink()) as mine:
            logger.warning("%d files", "many")
        ((level, text),) = shown(mine)
        assert level == "WARNING"
        assert text.startswith("%d files (its arguments do not fit")


def test_too_many_lines_are_cut_with_one_line_that_says_so():
    mine = sink()
    mine.write("stdout", "x\n" * 1_500)
    lines = shown(mine)
    assert len(lines) == 1_001
    assert lines[-1] == ("WARNING", "(500 more lines, 500 characters, were cut here)")


def test_too_much_text_is_cut():
    mine = sink()
    mine.write("stdout", "y" * 3_000_000)
    mine.write("stdout", "z\n")
    lines = shown(mine)
    assert sum(len(text) for _, text in lines) < 1_000_200
    assert lines[-1][1].endswith("were cut here)")


def test_of_a_progress_bar_only_the_last_state_is_kept():
    mine = sink()
    for percent in range(101):
        mine.write("stderr", f"\r{percent}%")
    mine.write("stderr", "\ndos\r\n")
    assert shown(mine) == [("stderr", "100%"), ("stderr", "dos")]


def test_a_line_written_piece_by_piece_is_one_line():
    mine = sink()
    for _ in range(5_000):
        mine.write("stdout", "ab")
    assert shown(mine) == [("stdout", "ab" * 5_000)]


def test_text_no_file_can_hold_is_escaped():
    mine = sink()
    mine.write("stdout", "caf\u00e9 \ud800\n")
    assert shown(mine) == [("stdout", "caf\u00e9 \\ud800")]


def test_what_is_printed_while_replaying_is_dropped():
    with installed():
        replaying = True
        with capture.to(sink(drop_while=lambda: replaying)) as mine:
            print("old")
            logging.getLogger("dfnb.tests.replay").warning("old")
            replaying = False
            print("new")
        assert shown(mine) == [("stdout", "new")]


def test_what_comes_after_the_lines_were_taken_is_dropped():
    mine = sink()
    mine.write("stdout", "in time")
    assert shown(mine) == [("stdout", "in time")]
    mine.write("stdout", "too late\n")
    assert shown(mine) == [("stdout", "in time")]


def test_a_write_wrapped_for_a_while_does_not_call_itself():
    """IPython does this around every cell."""
    with installed() as (out, _):
        stream = sys.stdout
        before = stream.write
        seen = []

        def wrapper(text: str) -> int:
            seen.append(text)
            return before(text)

        stream.write = wrapper  # type: ignore[method-assign]
        print("within", end=" ")
        stream.write = before  # type: ignore[method-assign]
        print("after", end="")
        assert (seen, out.getvalue()) == (["within", " "], "within after")
