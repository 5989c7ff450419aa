"""The house has storeys: a file may import its own room and lower storeys, and only some rooms may touch the world."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
HOUSE = ROOT / "dfnb"

STOREYS = [
    {"errors", "records"},
    {"signatures", "side_file", "threads", "version"},
    {"fingerprint"},
    {"definitions", "determinism"},
    {"replay", "hub", "durable_http"},
    {"engine", "client"},
    {"server", "testing", "callbacks"},
    {"app"},
    {"notebook"},
    {"host"},
    {"__main__"},
]
STOREY = {room: height for height, rooms in enumerate(STOREYS) for room in rooms}
NEIGHBOURS = {("records", "errors"), ("definitions", "determinism"), ("determinism", "definitions")}
TYPES_ONLY = {("errors", "records")}

# Who may touch what, by room; a library that is not named here is free for all but the pure rooms.
ONLY = {
    "duckdb": {"hub"},
    "aiohttp": {"durable_http"},
    "azure": {"durable_http"},
    "starlette": {"server"},
    "uvicorn": {"server"},
    "httptools": {"server"},
    "IPython": {"notebook", "host"},
    "ipywidgets": {"notebook"},
    "anywidget": {"notebook"},
}
PURE_ROOMS = {"errors", "records", "replay"}
IMPURE = {"asyncio", "concurrent", "httpx", "multiprocessing", "random", "secrets", "socket", "subprocess", "threading", "time"}
CLOCKS_AND_DICE = {"datetime.now", "datetime.utcnow", "date.today", "datetime.today", "uuid.uuid1", "uuid.uuid4"}
MAY_START_THREADS = (
    "engine/", "hub/journal.py", "notebook/answers.py", "notebook/publisher.py", "server/listener.py", "server/user_code.py",
    "threads.py",
)  # fmt: skip
HEAVY = {"IPython", "aiohttp", "anywidget", "asyncio", "azure", "grpc", "httpx", "ipywidgets", "starlette", "uvicorn"}


class Import(NamedTuple):
    """One imported name, with full dots: ``from dfnb.hub import journal`` is ``dfnb.hub.journal``."""

    name: str
    line: int
    types_only: bool


def files_of_the_house() -> list[Path]:
    return [path for path in sorted(HOUSE.rglob("*.py")) if path != HOUSE / "__init__.py"]


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def room_of(path: Path) -> str:
    return path.relative_to(HOUSE).with_suffix("").parts[0]


def imports_of(path: Path) -> Iterator[Import]:
    tree = parse(path)
    types_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).parts[: -node.level] if node.level else ()
            module = ".".join((*package, *filter(None, [node.module])))
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (Import(name, node.lineno, id(node) in types_only) for name in names)


def imports_of_the_house() -> Iterator[tuple[Path, Import]]:
    return ((path, imported) for path in files_of_the_house() for imported in imports_of(path))


def allowed(room: str, other: str, *, types_only: bool) -> bool:
    if other not in STOREY:  # the front door, dfnb/__init__.py: it imports downwards, so only the roof may look back
        return STOREY[room] == len(STOREYS) - 1
    return (
        room == other
        or STOREY[other] < STOREY[room]
        or (room, other) in NEIGHBOURS
        or (types_only and (room, other) in TYPES_ONLY)
    )


def test_every_file_has_a_room_on_a_storey() -> None:
    assert {room_of(path) for path in files_of_the_house()} <= set(STOREY)


def test_imports_go_down_only() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{imported.line} imports {imported.name}"
        for path, imported in imports_of_the_house()
        if imported.name.split(".")[0] == "dfnb"
        and not allowed(room_of(path), (imported.name + ".").split(".")[1], types_only=imported.types_only)
    ]
    assert wrong == []


def test_each_library_is_touched_by_its_own_room_only() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{imported.line} imports {imported.name}"
        for path, imported in imports_of_the_house()
        if room_of(path) not in ONLY.get(imported.name.split(".")[0], {room_of(path)})
    ]
    assert wrong == []


def test_pure_rooms_know_no_clock_no_chance_no_thread_and_no_wire() -> None:
    wrong = []
    for path in (path for path in files_of_the_house() if room_of(path) in PURE_ROOMS):
        where = path.relative_to(ROOT)
        for imported in imports_of(path):
            if imported.name.split(".")[0] in IMPURE or imported.name in CLOCKS_AND_DICE:
                wrong.append(f"{where}:{imported.line} imports {imported.name}")
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.Attribute) and any(ast.unparse(node).endswith(name) for name in CLOCKS_AND_DICE):
                wrong.append(f"{where}:{node.lineno} reads {ast.unparse(node)}")
    assert wrong == []


def test_threads_start_where_they_may_only() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno} starts {ast.unparse(node.func)}"
        for path in files_of_the_house()
        if not path.relative_to(HOUSE).as_posix().startswith(MAY_START_THREADS)
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {"Thread", "Timer", "ThreadPoolExecutor"}
    ]
    assert wrong == []


def test_import_dfnb_loads_nothing_heavy() -> None:
    code = f"import sys, dfnb; print(*sorted({HEAVY!r} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout.split(), answer.stderr) == (0, [], "")


def distributions(*extras: str) -> set[str]:
    """The distributions that pyproject.toml declares, plain and for the extras given, names normalised."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in extras)]
    return {normal(re.match(r"[\w.-]+", requirement)[0]) for requirements in lists for requirement in requirements}  # type: ignore[index]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize(
    ("folder", "declared"),
    [
        ("dfnb", distributions("executors", "frames")),
        ("tests", distributions("executors", "frames", "test", "dev")),
    ],
)
def test_what_is_imported_is_declared(folder: str, declared: set[str]) -> None:
    owners = importlib.metadata.packages_distributions()
    ours = {"dfnb", "tests", *sys.stdlib_module_names}
    wrong = set()
    for path in sorted((ROOT / folder).rglob("*.py")):
        for imported in imports_of(path):
            top = imported.name.split(".")[0]
            if top not in ours and not declared & {normal(owner) for owner in owners.get(top, [top])}:
                wrong.add(f"{path.relative_to(ROOT)}:{imported.line} imports {imported.name}, which no dependency declares")
    assert sorted(wrong) == []
