"""The magics. Each reads its line and calls what does the work."""

from __future__ import annotations

import threading
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from dfnb import app as apps
from dfnb.client.sync import DurableOrchestrationClient
from dfnb.definitions import Definition, Kind
from dfnb.errors import HubClosedError, InstanceNotFoundError, nearest
from dfnb.notebook import cells, commands
from dfnb.records.instance import InstanceRecord
from dfnb.server.serving import Server
from dfnb.server.settings import ServerSettings

_ASK_FOR_HELP = frozenset({"--help", "-h", "?"})
_OPEN_STATUSES = ("Running", "Suspended")
_CHECKED_AT_MOST = 100
_CHECK_SECONDS = 0.5


def _cell_magic_help(function: Any) -> Any:
    """The usage that `magic_arguments` writes, with the two signs of a cell magic."""
    function.__doc__ = function.__doc__.replace("  %", "  %%", 1)
    return function


@magics_class
class DfnbMagics(Magics):
    """``%%orchestrator``, ``%%activity``, ``%%entity``, ``%%http_trigger`` and ``%dfnb``."""

    shell: Any

    @_cell_magic_help
    @magic_arguments()
    @argument("function", nargs="?", help="which function of the cell, when it has several (default: the last)")
    @argument("--name", help="the orchestrator's name (default: the function's)")
    @no_var_expand
    @cell_magic
    def orchestrator(self, line: str, cell: str) -> None:
        """Define an orchestrator: a generator that takes the context and yields what it waits for.

        The same as the decorator ``@dfnb.orchestrator``. Its code runs again at every replay, so that it must not read clocks,
        files or the network itself; lines that do are warned of.
        """
        if line.strip() in _ASK_FOR_HELP:
            print(self.orchestrator.__doc__)
            return
        self._define("orchestrator", line, cell, parse_argstring(self.orchestrator, line))

    @_cell_magic_help
    @magic_arguments()
    @argument("function", nargs="?", help="which function of the cell, when it has several (default: the last)")
    @argument("--name", help="the activity's name (default: the function's)")
    @argument("--timeout", type=float, metavar="SECONDS", help="how long one try may take")
    @argument("--executor", metavar="VARIABLE", help="a variable that holds a concurrent.futures executor to run it in")
    @no_var_expand
    @cell_magic
    def activity(self, line: str, cell: str) -> None:
        """Define an activity: a plain function, or ``async def``, that takes one input and returns a value.

        The same as the decorator ``@dfnb.activity``. It runs at least once for each call; its result is recorded once.
        """
        if line.strip() in _ASK_FOR_HELP:
            print(self.activity.__doc__)
            return
        given = parse_argstring(self.activity, line)
        self._define("activity", line, cell, given, timeout=given.timeout, executor=self._executor(given.executor))

    @_cell_magic_help
    @magic_arguments()
    @argument("function", nargs="?", help="which function or class of the cell, when it has several (default: the last)")
    @argument("--name", help="the entity's name (default: the function's or class's); upper and lower case are the same")
    @no_var_expand
    @cell_magic
    def entity(self, line: str, cell: str) -> None:
        """Define an entity: a function that takes the context of one operation, or a class whose methods are the operations.

        The same as the decorator ``@dfnb.entity``. Each entity of that name, told apart by its key, has a state of its own, and
        its operations run one after the other; a failing one leaves the state as it was.
        """
        if line.strip() in _ASK_FOR_HELP:
            print(self.entity.__doc__)
            return
        self._define("entity", line, cell, parse_argstring(self.entity, line))

    @_cell_magic_help
    @magic_arguments()
    @argument("route", nargs="?", help="a path such as /orders/{id:int}/{item?}, behind /api (default: the function's name)")
    @argument("--methods", metavar="GET,POST", default="GET,POST", help="what it answers to, with commas (default: GET,POST)")
    @argument("--auth", metavar="LEVEL", default="function", help="who may call: anonymous, function (default) or admin")
    @argument("--name", help="the trigger's name (default: the function's)")
    @no_var_expand
    @cell_magic
    def http_trigger(self, line: str, cell: str) -> None:
        """Define an HTTP trigger: the last function of the cell, plain or ``async def``, of a request and, if wanted, a client.

        The same as the decorator ``@dfnb.http_trigger``. It returns an HttpResponse, a text, bytes, None or any JSON value. While a
        server runs (``%dfnb serve``) it answers from the moment the cell was run.
        """
        if line.strip() in _ASK_FOR_HELP:
            print(self.http_trigger.__doc__)
            return
        given = parse_argstring(self.http_trigger, line)
        route, methods = (None if word is None else word.strip("\"'") for word in (given.route, given.methods))
        self._define("http_trigger", line, cell, given, route=route, methods=methods, auth_level=given.auth)

    def _executor(self, name: str | None) -> Any:
        if name is None:
            return None
        names = self.shell.user_ns
        if name not in names:
            close = nearest(name, [known for known in names if not known.startswith("_")])
            hint = f"did you mean {close[0]}?" if close else "make the executor in a cell before this one"
            raise UsageError(f"there is no variable {name!r} for --executor; {hint}")
        return names[name]

    def _define(self, kind: Kind, line: str, body: str, given: Any, **options: Any) -> None:
        cell = cells.read(self.shell, kind, line, body)
        function = cells.choose(kind, cell, given.name, getattr(given, "function", None))
        name = given.name or function
        in_flight = _InFlight(name) if kind == "orchestrator" else None
        definition, outcome = cells.define(self.shell, kind, cell, function, name=given.name, **options)
        moved = in_flight.outcome(definition.fingerprint) if in_flight is not None else ""
        where = f", {_where_it_answers(definition)}" if kind == "http_trigger" else ""
        print(f"{kind} {definition.name} ({definition.fingerprint}): {outcome}{moved}{where}")
        if kind == "orchestrator":
            for finding in cells.findings(cell, function):
                print(f"  warning: {finding}")

    @no_var_expand
    @line_magic
    def dfnb(self, line: str) -> Any:
        """The status of the hub, or one of its commands: ``%dfnb help`` lists them.

        ``%dfnb start NAME INPUT`` starts an instance and returns it; ``wait``, ``raise``, ``terminate``, ``suspend``, ``resume``,
        ``restart``, ``rewind``, ``purge``, ``show``, ``history`` and ``http`` take its id; ``list`` shows all; ``signal``,
        ``entity`` and ``entities`` are about entities, ``definitions`` about what cells have defined; ``inspect`` looks into an
        instance that has ended, too. ``serve`` lets other programs in, ``attach`` works with a hub elsewhere, ``follow`` with any
        URL that answers 202. ``open``, ``stop``, ``compact`` are about the hub's file, and ``scan-secrets`` proves that no secret's
        value is in it; ``nest`` lets cells run loops within the kernel's, ``test-mode`` makes outputs that are always the same.
        """
        return commands.run(self.shell.user_ns, line)


def _where_it_answers(trigger: Definition) -> str:
    """Methods and URL; without a server the path, and how to start one."""
    server = _server()
    prefix = server.settings.route_prefix if server is not None else ServerSettings.route_prefix
    path = "".join(f"/{part}" for part in (prefix, trigger.route) if part)
    reached = f"{','.join(trigger.methods)} {server.public_url if server is not None else ''}{path}"
    return reached if server is not None else f"{reached} (`%dfnb serve` makes it reachable)"


def _server() -> Server | None:
    try:
        return apps.current().server
    except HubClosedError:
        return None


class _InFlight:
    """The instances that run on some code of an orchestrator when its cell is run again: did they move to the new one?"""

    def __init__(self, name: str) -> None:
        self._client: DurableOrchestrationClient | None = None
        self._before: dict[str, InstanceRecord] = {}
        try:
            self._client = apps.current().client
            page = self._client.instances(name=name, runtime_status=_OPEN_STATUSES, limit=_CHECKED_AT_MOST)
        except HubClosedError:
            return  # nothing is open, so nothing is in flight
        for status in page:
            record = self._find(str(status.instance_id))
            if record is not None:
                self._before[record.id] = record

    def _find(self, id: str) -> InstanceRecord | None:
        try:
            return self._client.record(id) if self._client is not None else None
        except InstanceNotFoundError:
            return None

    def outcome(self, fingerprint: str) -> str:
        """In words, once the engine has looked at them; empty when there is nothing to tell."""
        concerned = {id: record for id, record in self._before.items() if record.code != fingerprint or record.held}
        if not concerned or self._client is None:
            return ""
        news = threading.Event()
        end = self._client.watch(lambda ids: news.set() if not ids.isdisjoint(concerned) else None)
        try:
            while (waiting := [id for id, record in concerned.items() if self._find(id) is record]) and news.wait(_CHECK_SECONDS):
                news.clear()
        finally:
            end()
        now = [record for id in concerned if (record := self._find(id)) is not None]
        held = [record for record in now if record.held]
        moved = len(now) - len(held) - len(waiting)
        words = [f"{moved} in flight moved to it" if moved else "", f"{len(held)} held" if held else ""]
        told = ", ".join(filter(None, words))
        return f", {told}" + (f" ({held[0].id}: {held[0].held})" if held else "") if told else ""
