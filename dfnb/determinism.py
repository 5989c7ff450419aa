"""What an orchestrator's body must not do, found by reading it: its code runs again at every replay."""

from __future__ import annotations

import ast
import dataclasses
import textwrap
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One call that may answer differently at replay. `line` counts from 1 in the source that was checked."""

    line: int
    call: str
    advice: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.call}: {self.advice}"


def check(source: str, function_name: str | None = None) -> list[Finding]:
    """The calls in the first top-level function (or the one named) that are not deterministic; none if it cannot be parsed."""
    try:
        tree = ast.parse(textwrap.dedent(source))
    except (SyntaxError, ValueError):
        return []
    functions = (node for node in tree.body if isinstance(node, _Function))
    chosen = next((f for f in functions if function_name in (None, f.name)), None)
    if chosen is None:
        return []
    reader = _Reader(_Scope(_own_nodes(tree.body)))
    reader.read_function(chosen)
    return sorted(set(reader.findings), key=lambda finding: (finding.line, finding.call))


_ACTIVITY = "do it in an activity"
_ADVICE = {
    "use context.current_utc_datetime": """
        datetime.now datetime.utcnow datetime.today datetime.datetime.now datetime.datetime.utcnow datetime.datetime.today
        datetime.date.today time.time time.time_ns time.monotonic time.monotonic_ns time.perf_counter time.perf_counter_ns
        time.process_time time.localtime time.gmtime time.ctime
        pandas.Timestamp.now pandas.Timestamp.utcnow pandas.Timestamp.today
    """,
    "use context.new_uuid()": "uuid.uuid1 uuid.uuid4",
    "use yield context.create_timer(...)": "time.sleep asyncio.sleep",
    f"{_ACTIVITY}, or use context.new_uuid()": "random.* secrets.* numpy.random.* os.urandom",
    f"{_ACTIVITY}, or use yield context.call_http(...)": """
        requests.* httpx.* aiohttp.* urllib.request.* socket.* http.client.*
    """,
    f"{_ACTIVITY}, or pass the value as input": "os.environ os.environ.* os.getenv",
    _ACTIVITY: """
        open io.open pathlib.Path().* pathlib.Path.cwd pathlib.Path.home shutil.* glob.* tempfile.*
        os.listdir os.scandir os.walk os.stat os.remove os.unlink os.rename os.replace os.mkdir os.makedirs os.rmdir os.getcwd
        os.path.exists os.path.isfile os.path.isdir os.path.getsize os.path.getmtime
        pandas.read_* polars.read_* polars.scan_* duckdb.*
        input threading.* subprocess.* multiprocessing.* concurrent.futures.* os.system os.popen os.getpid
        asyncio.run asyncio.create_task asyncio.gather asyncio.to_thread
    """,
}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Pure members of the families above, and those that are deterministic once they are given a seed.
_HARMLESS = _words("""
    secrets.compare_digest urllib.request.Request httpx.URL httpx.Timeout httpx.Headers httpx.QueryParams requests.Request
""")
_SEEDED = _words("random.Random numpy.random.default_rng numpy.random.RandomState numpy.random.SeedSequence")
_PATH_READS = _words("""
    read_text read_bytes write_text write_bytes open exists is_file is_dir iterdir glob rglob walk stat lstat unlink mkdir rmdir
    touch rename replace resolve absolute cwd home expanduser
""")

# Names that usually mean these modules, also when the import stands in another cell.
_MODULES = _words("""
    datetime time random secrets numpy os uuid asyncio requests httpx aiohttp urllib socket pathlib threading subprocess
    multiprocessing shutil glob tempfile pandas polars duckdb open input
""")
_USUAL = {name: name for name in _MODULES} | {
    "dt": "datetime",
    "date": "datetime.date",
    "np": "numpy",
    "pd": "pandas",
    "pl": "polars",
    "Path": "pathlib.Path",
    "sleep": "time.sleep",
    "uuid1": "uuid.uuid1",
    "uuid4": "uuid.uuid4",
    "urlopen": "urllib.request.urlopen",
}


def _advice_for(path: str, call: ast.Call | None) -> str | None:
    if path in _HARMLESS or (path in _SEEDED and call is not None and (call.args or call.keywords)):
        return None
    if path.startswith("pathlib.Path().") and path.rpartition(".")[2] not in _PATH_READS:
        return None
    for advice, patterns in _ADVICE.items():
        if any(fnmatchcase(path, pattern) for pattern in patterns.split()):
            return advice
    return None


def _own_nodes(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All nodes of a body, those of nested functions and classes left out (but not their names)."""
    for node in body:
        yield node
        if not isinstance(node, _Function | ast.ClassDef | ast.Lambda):
            yield from _own_nodes(ast.iter_child_nodes(node))


def _imported(node: ast.AST) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            root = alias.name.partition(".")[0]
            yield (alias.asname, alias.name) if alias.asname else (root, root)
    elif isinstance(node, ast.ImportFrom) and node.level == 0:
        for alias in node.names:
            yield alias.asname or alias.name, f"{node.module}.{alias.name}"


class _Scope:
    """What the names bound in one function, or at top level, stand for: a module's path, or something of the user's own."""

    def __init__(self, nodes: Iterable[ast.AST], arguments: ast.arguments | None = None, outer: _Scope | None = None) -> None:
        self._outer = outer
        self._paths: dict[str, str | None] = {}
        if arguments is not None:
            self._paths.update((node.arg, None) for node in ast.walk(arguments) if isinstance(node, ast.arg))
        self._bind(list(nodes))

    def _bind(self, nodes: list[ast.AST]) -> None:
        for node in nodes:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self._paths[node.id] = None
            elif isinstance(node, _Function | ast.ClassDef) or (isinstance(node, ast.ExceptHandler) and node.name):
                self._paths[str(node.name)] = None
        for node in nodes:
            self._paths.update(_imported(node))
        for node in nodes:
            self._bind_path_object(node)

    def _bind_path_object(self, node: ast.AST) -> None:
        """A variable that holds a `Path(...)` is known as one."""
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            path = self.path_of(node.value)
            if path == "pathlib.Path()":
                self._paths[node.targets[0].id] = path

    def _look_up(self, name: str) -> str | None:
        if name in self._paths:
            return self._paths[name]
        return self._outer._look_up(name) if self._outer is not None else _USUAL.get(name)

    def path_of(self, node: ast.AST) -> str | None:
        """The dotted path an expression names, with aliases resolved; None when it is the user's own."""
        if isinstance(node, ast.Name):
            return self._look_up(node.id)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            return self.path_of(node.left)
        if isinstance(node, ast.Attribute):
            base = self.path_of(node.value)
            return f"{base}.{node.attr}" if base else None
        if isinstance(node, ast.Call):
            base = self.path_of(node.func)
            return f"{base}()" if base else None
        return None


class _Reader(ast.NodeVisitor):
    """Walks one function, its helpers included, and notes what it must not call."""

    def __init__(self, scope: _Scope) -> None:
        self._scope = scope
        self.findings: list[Finding] = []

    def read_function(self, function: _Function) -> None:
        self._within(function.args, function.body)

    def _within(self, arguments: ast.arguments, body: list[ast.stmt] | list[ast.expr]) -> None:
        outer = self._scope
        self._scope = _Scope(_own_nodes(body), arguments, outer)
        for node in body:
            self.visit(node)
        self._scope = outer

    def _visit_helper(self, node: _Function) -> None:
        for part in (*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(part)
        self.read_function(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_helper(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._visit_helper(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._within(node.args, [node.body])

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:  # annotations of local variables are never evaluated
            self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        if self._note(node.func, node):
            for part in (*node.args, *node.keywords):
                self.visit(part)
        else:
            self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if not self._note_environment(node):
            self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        self._note_environment(node)

    def _note_environment(self, node: ast.expr) -> bool:
        return self._scope.path_of(node) == "os.environ" and self._note(node, None)

    def _note(self, node: ast.expr, call: ast.Call | None) -> bool:
        path = self._scope.path_of(node)
        advice = _advice_for(path, call) if path else None
        if advice:
            self.findings.append(Finding(node.lineno, ast.unparse(node), advice))
        return advice is not None
