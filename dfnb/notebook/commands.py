"""The subcommands of ``%dfnb``: each reads its line, asks the client, and says or returns what came of it."""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from IPython.core.error import UsageError

from dfnb import app as apps
from dfnb.app import DefinitionsTable, DurableApp
from dfnb.client import test_mode
from dfnb.client.entities import EntityHandle, EntityPage
from dfnb.client.http_log import HttpLog
from dfnb.client.instance import Instance
from dfnb.client.remote.follow import Followed
from dfnb.client.status import DurableOrchestrationStatus
from dfnb.client.tables import EntitiesTable, InstancesTable
from dfnb.errors import HubClosedError, nearest
from dfnb.notebook import arguments, live, serving
from dfnb.notebook import attach as attaching
from dfnb.notebook.formatters import HistoryTable
from dfnb.notebook.snapshot import InstanceTracker
from dfnb.notebook.where import shown
from dfnb.records.instance import OrchestrationRuntimeStatus
from dfnb.records.short_repr import visible

if TYPE_CHECKING:
    from dfnb.client.remote.client import RemoteOrchestrationClient
    from dfnb.notebook.scan import LeakTable

Names = Mapping[str, Any]
"""The user's namespace."""

_COUNTED_AT_MOST = 1_000


class Command(NamedTuple):
    """One subcommand: how it is typed, what it does, and what may follow it."""

    run: Callable[[Names, str], Any]
    usage: str
    about: str
    options: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


COMMANDS: dict[str, Command] = {}


def _command(
    usage: str, about: str, *, options: tuple[str, ...] = (), flags: tuple[str, ...] = ()
) -> Callable[[Callable[[Names, str], Any]], Callable[[Names, str], Any]]:
    def register(function: Callable[[Names, str], Any]) -> Callable[[Names, str], Any]:
        COMMANDS[usage.split()[0]] = Command(function, usage, about, options, flags)
        return function

    return register


def run(user_ns: Names, line: str) -> Any:
    """Carry out one line; without a command, show the status."""
    name, _, rest = line.strip().partition(" ")
    if not name:
        return _show_status()
    command = COMMANDS.get(name)
    if command is None:
        close = nearest(name, COMMANDS)
        hint = f"did you mean `%dfnb {close[0]}`?" if close else f"there are {', '.join(COMMANDS)}"
        raise UsageError(f"%dfnb has no command {name!r}; {hint}")
    if rest.strip() in ("--help", "-h", "?"):
        return _help(user_ns, name)
    try:
        return command.run(user_ns, rest.strip())
    except (ValueError, TypeError) as error:
        if hasattr(error, "_render_traceback_"):
            raise  # one of ours: it shows itself
        raise UsageError(str(error)) from None


# ---- the hub


def opened(app: DurableApp) -> str:
    """The one line that says what is open."""
    resumed = app.resumed
    served = f", {serving.where(app.server)}" if app.server is not None else ""
    problem = f"\n  {visible(app.server_problem)}" if app.server_problem else ""
    return f"dfnb: hub {shown(app.path)}, engine {_engine(app)}, {resumed} {_instances(resumed)} resumed{served}{problem}"


def _engine(app: DurableApp) -> str:
    return "running" if app.state.running else "stopped"


def _instances(number: int) -> str:
    return "instance" if number == 1 else "instances"


def _show_status() -> None:
    app = apps.current()
    state, counts = app.state, app.client.counts()
    total = sum(counts.values())
    by_status = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
    print(f"dfnb: hub {shown(app.path)}, engine {_engine(app)}")
    print(f"  {total} {_instances(total)}{f': {by_status}' if by_status else ''}")
    entities = _counted_entities(app)
    if entities:
        print(f"  {entities}")
    print(f"  activities: {state.activities_running} running, {state.activities_queued} queued")
    for name, calls in sorted(state.activities_waiting.items()):
        print(f"  {calls} {'call waits' if calls == 1 else 'calls wait'} for the cell that defines {name}")
    if app.server is not None:
        print(f"  {serving.where(app.server)}")
        if app.server.failures:
            print(f"  {serving.failed(app.server)}")
    if state.problem:
        print(f"  problem: {state.problem}")


def _counted_entities(app: DurableApp) -> str:
    """How many entities there are, in words; empty for none. Beyond a thousand nobody counts."""
    page = app.client.entities(fetch_state=False, limit=_COUNTED_AT_MOST)
    if not page:
        return ""
    number = f"more than {len(page)}" if page.continuation_token is not None else str(len(page))
    return f"{number} {'entity' if number == '1' else 'entities'}"


def leave() -> None:
    """Have the views of the hub that is open, if one is, say that it is about to be closed."""
    with contextlib.suppress(HubClosedError):
        live.stop_views(apps.current().client)


@_command(
    "open PATH [--durability durable|relaxed|memory] [--strict]", "open a hub; the one open before is closed",
    options=("durability",), flags=("strict",),
)
def _open(user_ns: Names, rest: str) -> None:
    words, options = arguments.words_and_options(rest, ("durability",), ("strict",))
    if len(words) != 1:
        raise UsageError("open takes one path, such as `%dfnb open trip.duckdb`")
    leave()
    app = apps.open(
        arguments.path(words[0], user_ns), durability=options.get("durability", "durable"), strict="strict" in options,
        restore_server=True,
    )
    print(opened(app))


@_command("stop", "stop the engine and close the hub; what has not ended goes on when it is opened again")
def _stop(user_ns: Names, rest: str) -> None:
    app = apps.current()
    left = app.state.open_instances
    leave()
    apps.close()
    goes_on = f"; {left} {_instances(left)} will go on when it is opened again" if left else ""
    print(f"dfnb: hub {shown(app.path)} is closed{goes_on}")


@_command(
    serving.USAGE, "let other programs start, ask, feed and stop instances over HTTP, until --stop; the hub remembers it",
    options=serving.OPTIONS, flags=serving.FLAGS,
)
def _serve(user_ns: Names, rest: str) -> None:
    print(serving.serve(apps.current(), rest))


@_command("compact", "rewrite the hub file without the space that purged instances left")
def _compact(user_ns: Names, rest: str) -> None:
    before, after = apps.current().compact()
    if after < before:
        print(f"dfnb: hub file compacted from {_size(before)} to {_size(after)}")
    else:
        print(f"dfnb: the hub file has nothing to give back; it has {_size(after)}")


def _size(number: int) -> str:
    return f"{number / 1e6:.1f} MB" if number >= 100_000 else f"{number / 1e3:.1f} kB"


# ---- hubs elsewhere


@_command(
    attaching.ATTACH,
    "work with a hub elsewhere: another kernel's by the path of its hub file, any by its URL; the key from the environment",
    options=attaching.ATTACH_OPTIONS,
)
def _attach(user_ns: Names, rest: str) -> RemoteOrchestrationClient:
    return attaching.attach(user_ns, rest)


@_command(attaching.FOLLOW, "follow any URL that answers 202 until it is done, live", options=("poll",))
def _follow(user_ns: Names, rest: str) -> Followed:
    return attaching.follow_url(user_ns, rest)


# ---- one instance


def _instance(user_ns: Names, word: str) -> Instance:
    return arguments.instance(word, apps.current().client, user_ns)


def _instance_and_words(user_ns: Names, rest: str) -> tuple[Instance, str | None]:
    word, behind = arguments.first_word(rest, "instance")
    text = behind.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1]
    return _instance(user_ns, word), text or None


@_command(
    "start NAME [INPUT] [--id ID] [--at TIME]",
    "start an instance; INPUT is JSON, a Python expression, $variable or {variable}; TIME like 2030-01-31T18:00 or +5m",
    options=("id", "at"),
)
def _start(user_ns: Names, rest: str) -> Instance:
    front, at_front = arguments.take_options(rest, ("id", "at"))
    name, behind = arguments.first_word(front, "orchestrator")
    text, options = arguments.take_options(behind, ("id", "at"))
    options = at_front | options
    app = apps.current()
    app.registry.require("orchestrator", name)
    at = arguments.moment(options["at"]) if "at" in options else None
    given = arguments.value(text, user_ns)
    return app.client.start(name, given, instance_id=options.get("id"), start_at=at)


@_command("wait ID [--timeout SECONDS]", "wait until an instance has ended, and show how", options=("timeout",))
def _wait(user_ns: Names, rest: str) -> DurableOrchestrationStatus:
    words, options = arguments.words_and_options(rest, ("timeout",))
    word, _ = arguments.first_word(" ".join(words), "instance")
    timeout = arguments.number(options["timeout"], "--timeout") if "timeout" in options else None
    return _instance(user_ns, word).wait(timeout)


@_command("raise ID EVENT [DATA]", "give an event to an instance; DATA is written like the INPUT of start")
def _raise(user_ns: Names, rest: str) -> None:
    word, behind = arguments.first_word(rest, "instance")
    event, text = arguments.first_word(behind, "event")
    found = _instance(user_ns, word)
    found.raise_event(event, arguments.value(text, user_ns))
    print(f"event {event} was raised to {found.id}")


@_command("terminate ID [REASON]", "end an instance now; the reason becomes its output")
def _terminate(user_ns: Names, rest: str) -> None:
    found, reason = _instance_and_words(user_ns, rest)
    found.terminate(reason)
    print(f"instance {found.id} is asked to end")


@_command("suspend ID [REASON]", "stop an instance's code from going on; its events are kept")
def _suspend(user_ns: Names, rest: str) -> None:
    found, reason = _instance_and_words(user_ns, rest)
    found.suspend(reason)
    print(f"instance {found.id} is suspended")


@_command("resume ID [REASON]", "let a suspended instance go on")
def _resume(user_ns: Names, rest: str) -> None:
    found, reason = _instance_and_words(user_ns, rest)
    found.resume(reason)
    print(f"instance {found.id} goes on")


@_command("rewind ID [REASON]", "run the failed tasks of a failed instance again")
def _rewind(user_ns: Names, rest: str) -> None:
    found, reason = _instance_and_words(user_ns, rest)
    found.rewind(reason)
    print(f"the failed tasks of instance {found.id} run again")


@_command("restart ID [--same-id]", "start it again with the same input, under a new id or the same", flags=("same-id",))
def _restart(user_ns: Names, rest: str) -> Instance:
    words, options = arguments.words_and_options(rest, (), ("same-id",))
    word, _ = arguments.first_word(" ".join(words), "instance")
    return _instance(user_ns, word).restart(new_id="same-id" not in options)


@_command(
    "purge ID [--force] | --all-ended [--status STATUS]",
    "delete an ended instance with its history, or all that have ended; --force: one that has not, too",
    options=("status",), flags=("all-ended", "force"),
)
def _purge(user_ns: Names, rest: str) -> None:
    words, options = arguments.words_and_options(rest, ("status",), ("all-ended", "force"))
    client = apps.current().client
    if "all-ended" in options:
        deleted = client.purge_many(runtime_status=options.get("status")).instances_deleted
    elif "status" in options or len(words) != 1:
        raise UsageError("purge takes the id of one instance, or --all-ended, which may have --status behind it")
    else:
        deleted = client.purge(_instance(user_ns, words[0]).id, force="force" in options).instances_deleted
    print(f"{deleted} {_instances(deleted)} purged")


@_command("show ID", "show an instance; live while it has not ended")
def _show(user_ns: Names, rest: str) -> None:
    word, _ = arguments.first_word(rest, "instance")
    found = _instance(user_ns, word)
    live.show(InstanceTracker(found.client, found.id, found.name))


@_command("inspect ID", "an instance in a live view with its history, HTTP exchanges and payloads, also when it has ended")
def _inspect(user_ns: Names, rest: str) -> None:
    word, _ = arguments.first_word(rest, "instance")
    found = _instance(user_ns, word)
    live.show(InstanceTracker(found.client, found.id, found.name), inspect=True)


@_command("history ID", "the recorded events of an instance, oldest first")
def _history(user_ns: Names, rest: str) -> HistoryTable:
    word, _ = arguments.first_word(rest, "instance")
    found = _instance(user_ns, word)
    return HistoryTable(found.history())


@_command(
    "http ID [--latest N] [--har PATH]",
    "every request that an instance's HTTP calls have sent, polls included, or the latest N; --har writes them to a file",
    options=("latest", "har"),
)
def _http(user_ns: Names, rest: str) -> HttpLog:
    words, options = arguments.words_and_options(rest, ("latest", "har"))
    word, _ = arguments.first_word(" ".join(words), "instance")
    latest = arguments.count(options["latest"], "--latest") if "latest" in options else None
    log = _instance(user_ns, word).http(latest=latest)
    if "har" in options:
        path = arguments.path(options["har"], user_ns)
        try:
            written = log.save_har(path)
        except OSError as error:
            raise UsageError(f"the archive cannot be written to {path}: {error.strerror}") from None
        print(f"{len(log)} {'exchange' if len(log) == 1 else 'exchanges'} written to {shown(str(written))}")
    return log


# ---- many


@_command(
    "list [--status STATUS] [--name NAME] [--prefix TEXT] [--limit N] [--live]", "the newest instances as a table",
    options=("status", "name", "prefix", "limit"), flags=("live",),
)
def _list(user_ns: Names, rest: str) -> Any:
    words, options = arguments.words_and_options(rest, ("status", "name", "prefix", "limit"), ("live",))
    if words:
        raise UsageError(f"list takes options only; did you mean --prefix {words[0]}?")
    client, limit = apps.current().client, arguments.count(options.get("limit", "50"), "--limit")
    status, name, prefix = (options.get(option) for option in ("status", "name", "prefix"))
    if "live" in options:
        return InstancesTable(client, None, OrchestrationRuntimeStatus.parse(status).value if status else None, name, prefix)
    return client.instances(runtime_status=status, name=name, instance_id_prefix=prefix, limit=limit)


# ---- entities


@_command(
    "signal @NAME@KEY OPERATION [INPUT] [--at TIME]",
    "send an operation to an entity; INPUT and TIME are written like those of start",
    options=("at",),
)
def _signal(user_ns: Names, rest: str) -> None:
    front, at_front = arguments.take_options(rest, ("at",))
    word, behind = arguments.first_word(front, "entity")
    operation, last = arguments.first_word(behind, "operation")
    text, options = arguments.take_options(last, ("at",))
    options = at_front | options
    at = arguments.moment(options["at"]) if "at" in options else None
    found = arguments.entity(word, apps.current().client, user_ns)
    found.signal(operation, arguments.value(text, user_ns), signal_time=at)
    print(f"operation {operation} was sent to {found.id}")


@_command("entity @NAME@KEY", "an entity: its state and its latest operations")
def _entity(user_ns: Names, rest: str) -> EntityHandle:
    word, _ = arguments.first_word(rest, "entity")
    found = arguments.entity(word, apps.current().client, user_ns)
    if not found.status():
        raise UsageError(f"there is no entity {found.id} in this hub; `%dfnb entities` shows those there are")
    return found


@_command(
    "entities [--name NAME] [--limit N] [--live]", "the entities that have a state, as a table", options=("name", "limit"),
    flags=("live",),
)
def _entities(user_ns: Names, rest: str) -> EntityPage | EntitiesTable:
    words, options = arguments.words_and_options(rest, ("name", "limit"), ("live",))
    if words:
        raise UsageError(f"entities takes options only; did you mean --name {words[0]}, or `%dfnb entity {words[0]}`?")
    limit = arguments.count(options.get("limit", "50"), "--limit")
    client = apps.current().client
    return EntitiesTable(client, options.get("name")) if "live" in options else client.entities(options.get("name"), limit=limit)


# ---- all at once


@_command("definitions", "what cells have defined, and what instances wait for, as a live table")
def _definitions(user_ns: Names, rest: str) -> DefinitionsTable:
    words, _ = arguments.words_and_options(rest)
    if words:
        raise UsageError("definitions takes nothing behind it")
    return DefinitionsTable(apps.current())


# ---- the rest


@_command(
    "scan-secrets [PATH ...]",
    "prove that no value of a secret or token is in the hub, nor in the notebooks of this folder (or the files and folders given)",
)
def _scan_secrets(user_ns: Names, rest: str) -> LeakTable | None:
    from dfnb.notebook import scan  # here and not above: few ask for it, and it loads what else only sends requests

    words, _ = arguments.words_and_options(rest)
    report = scan.search(apps.current(), [arguments.path(word, user_ns) for word in words])
    print(report)
    return report.leaks or None


@_command("test-mode on|off", "for documentation and nbval: counted ids, shown times that are always the same, nothing live")
def _test_mode(user_ns: Names, rest: str) -> None:
    if rest not in ("on", "off"):
        raise UsageError("test-mode takes on or off; it is " + ("on" if test_mode.is_on() else "off") + " now")
    test_mode.switch(rest == "on")
    print(f"dfnb: test mode is {rest}")


_SAFE_NEST = (1, 7, 3)


@_command("nest", "let your own cells nest event loops (nest_asyncio2), for code that calls asyncio.run in a cell")
def _nest(user_ns: Names, rest: str) -> None:
    found = importlib.metadata.version("nest-asyncio2")
    if _numbers(found) < _SAFE_NEST:
        raise UsageError(
            f"nest-asyncio2 {found} silently drops cells that are queued behind a nested loop; "
            f"install {'.'.join(map(str, _SAFE_NEST))} or newer and restart the kernel"
        )
    import nest_asyncio2

    nest_asyncio2.apply()
    print(f"event loops can be nested in this kernel now (nest-asyncio2 {found}); only a restart undoes it")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdecimal())


@_command("help [COMMAND]", "what there is, and how it is typed")
def _help(user_ns: Names, rest: str) -> None:
    if rest and rest not in COMMANDS:
        run(user_ns, rest)  # says that there is no such command
    shown_commands = [COMMANDS[rest]] if rest else COMMANDS.values()
    for command in shown_commands:
        print(f"%dfnb {command.usage}\n    {command.about}")
    if not rest:
        print("An ID may be the beginning of one that is unique, or a variable that holds an instance.")
