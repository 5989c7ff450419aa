from __future__ import annotations

import builtins
import dataclasses
import json
import logging
import os
import pickle
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dfnb.engine
from dfnb.definitions import Definition, define
from dfnb.engine.activities import activity_info
from dfnb.engine.info import ActivityInfo, CancelFlag
from dfnb.engine.trampoline import Answer, pack, read_answer, run_bytes
from dfnb.errors import DefinitionError

INFO = ActivityInfo("instance-1", 4, "f", 2, CancelFlag())


def activity(function: Callable[..., Any], **options: Any) -> Definition:
    return define("activity", function, name="f", **options)


def run(function: Callable[..., Any], value: Any = None) -> Answer:
    text = None if value is None else json.dumps(value)
    return read_answer(run_bytes(pack(activity(function), text, INFO)))


@dataclasses.dataclass
class Place:
    city: str


def test_arguments_and_results_cross_as_bytes():
    def shout(place: Place) -> Place:
        return Place(place.city.upper())

    answer = run(shout, {"city": "Oslo"})
    assert (answer.result, answer.failure) == ('{"city":"OSLO"}', None)
    assert answer.took >= 0


def test_a_coroutine_function_runs_in_a_loop_of_its_own():
    async def double(x: int) -> int:
        return 2 * x

    async def broken() -> None:
        raise KeyError("k")

    assert run(double, 4).result == "8"
    failure = run(broken).failure
    assert failure is not None
    assert failure.error_type == "builtins.KeyError"
    assert failure.stack_trace.count("File ") == 1


def test_prints_and_records_come_back_as_lines():
    def talk() -> None:
        print("hello")
        print("error", file=sys.stderr)
        logging.getLogger("dfnb.tests.talk").error("logged")

    lines = run(talk).lines
    assert [(line.stream, line.text) for line in lines] == [("stdout", "hello"), ("stderr", "error"), ("ERROR", "logged")]
    assert {(line.task, line.attempt) for line in lines} == {(4, 2)}


def test_activity_info_works_there_and_is_never_cancelled():
    def info() -> list[Any]:
        known = activity_info()
        return [known.instance_id, known.task_id, known.name, known.attempt, known.cancelled, known.wait_cancelled(0)]

    assert json.loads(run(info).result or "") == ["instance-1", 4, "f", 2, False, False]


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(1), KeyboardInterrupt()])
def test_whatever_the_function_raises_is_an_answer(error: BaseException):
    def leave() -> None:
        raise error

    failure = run(leave).failure
    assert failure is not None
    assert failure.error_type == f"builtins.{type(error).__name__}"


def test_text_no_file_can_hold_is_still_an_answer():
    def odd() -> None:
        raise ValueError("\ud800")

    failure = run(odd).failure
    assert failure is not None
    assert failure.message.encode()


def test_bytes_that_are_no_activity_are_an_answer():
    for payload in (b"", b"nonsense", pickle.dumps((("i", 1, "lost", 1), b"cgone_module\nf\n."))):
        failure = read_answer(run_bytes(payload)).failure
        assert failure is not None
    assert failure.error_type == "dfnb.errors.DefinitionError"
    assert failure.message.startswith("activity 'lost' cannot be loaded in the executor's process (ModuleNotFoundError")


def test_what_cannot_be_pickled_is_a_sentence_that_names_the_activity():
    lock = threading.Lock()

    def locked() -> bool:
        return lock.locked()

    with pytest.raises(DefinitionError, match=r"activity 'f' cannot be sent to its executor .*make what cannot be pickled"):
        pack(activity(locked), None, INFO)


def test_without_cloudpickle_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    real = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name == "cloudpickle":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(DefinitionError, match=r"install `dfnb\[executors\]`"):
        pack(activity(len), None, INFO)


def test_the_executor_itself_does_not_cross():
    class Executor:
        lock = threading.Lock()

        def submit(self) -> None: ...

    def one() -> int:
        return 1

    definition = activity(one, executor=Executor())
    assert read_answer(run_bytes(pack(definition, None, INFO))).result == "1"


# ---- real executors, with functions that live in __main__ as those of a notebook's cells do

NOTEBOOK = '''
import asyncio, json, multiprocessing, os, sys, threading
from concurrent.futures import ProcessPoolExecutor
from dfnb.definitions import Registry, define
from dfnb.engine.activities import ActivityCall, ActivityRunner, activity_info
from dfnb.engine.clock import SystemClock

factor = 10

class Trouble(Exception): ...

def helper(x):
    return x * factor

CELL = """
import dataclasses

@dataclasses.dataclass
class Place:
    city: str

def scale(x: int) -> list:
    print("scaling", x)
    return [helper(x), os.getpid(), activity_info().attempt]

def shout(place: Place) -> Place:
    return Place(place.city.upper())

def fail():
    raise Trouble("from the cell")

def unsendable():
    return lock.locked()

def die():
    os._exit(3)

def exit():
    sys.exit("bye")
"""
lock = threading.Lock()
exec(compile(CELL, "<cell 1>", "exec"), globals())

registry = Registry()
for function in (scale, shout, fail, unsendable, exit, die):
    registry.register(define("activity", function))

outcomes, arrived = [], threading.Condition()
def deliver(batch):
    with arrived:
        outcomes.extend(batch)
        arrived.notify_all()

def run(*calls):
    done = len(outcomes) + len(calls)
    runner.submit([ActivityCall(1, "i", 0, task, name, value, 1) for task, (name, value) in enumerate(calls)])
    with arrived:
        assert arrived.wait_for(lambda: len(outcomes) >= done, 60), outcomes

def main(executor):
    global runner
    runner = ActivityRunner(registry, deliver, SystemClock(), executor=executor)
    run(("scale", "1"), ("scale", "2"), ("shout", '{"city": "Oslo"}'), ("fail", None), ("unsendable", None), ("exit", None))
    run(("die", None))
    print(json.dumps({"pid": os.getpid(), "outcomes": [
        [o.call.name, o.event.result if hasattr(o.event, "result") else [o.event.failure.error_type, o.event.failure.message,
         o.event.failure.stack_trace], [line.text for line in o.logs]] for o in outcomes]}))
    runner.close(1)
'''

EXECUTORS = {
    "spawn": "main(ProcessPoolExecutor(2, mp_context=multiprocessing.get_context('spawn')))",
    "loky": "from loky import get_reusable_executor\nmain(get_reusable_executor(max_workers=2))",
}


@pytest.mark.parametrize("executor", EXECUTORS)
def test_functions_of_cells_run_in_other_processes(executor: str, tmp_path: Path):
    said = _python(NOTEBOOK + EXECUTORS[executor], tmp_path)
    by_name: dict[str, list[Any]] = {}
    for name, ended, lines in said["outcomes"]:
        by_name.setdefault(name, []).append((ended, lines))

    scaled = sorted(json.loads(ended) for ended, _ in by_name["scale"])
    assert [(value, attempt) for value, _, attempt in scaled] == [(10, 1), (20, 1)]
    assert said["pid"] not in [pid for _, pid, _ in scaled]
    assert sorted(lines for _, lines in by_name["scale"]) == [["scaling 1"], ["scaling 2"]]
    assert by_name["shout"] == [('{"city":"OSLO"}', [])]

    kind, message, trace = by_name["fail"][0][0]
    assert (kind, message) == ("__main__.Trouble", "from the cell")
    assert trace.count("File ") == 1
    assert '"<cell 1>"' in trace
    assert by_name["exit"][0][0][:2] == ["builtins.SystemExit", "bye"]
    assert by_name["unsendable"][0][0][1].startswith("activity 'unsendable' cannot be sent to its executor")
    kind, message, _ = by_name["die"][0][0]
    assert kind.endswith(("BrokenProcessPool", "TerminatedWorkerError"))
    assert message.startswith("the executor failed to run activity 'die'")


def test_importing_the_trampoline_is_light(tmp_path: Path):
    script = "import json, sys, dfnb.engine.trampoline; print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"
    heavy = {"IPython", "cloudpickle", "httpx", "ipywidgets", "starlette", "azure"}
    assert not heavy.intersection(_python(script, tmp_path))


def _python(script: str, folder: Path) -> Any:
    root = str(Path(dfnb.engine.__file__).parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
