"""A notebook's or module's definitions as a durable service: definitions, then the hub, then the server, until a signal comes."""

from __future__ import annotations

import dataclasses
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dfnb import app as apps
from dfnb import side_file
from dfnb.app import DurableApp
from dfnb.definitions import Definition
from dfnb.errors import DfnbError
from dfnb.host import logs, missing
from dfnb.host.failed import DefinitionsFailed, NotServable
from dfnb.host.stop import Stop
from dfnb.notebook.where import DEFAULT as DEFAULT_HUB
from dfnb.notebook.where import MEMORY, hub_path
from dfnb.server.serving import Server
from dfnb.server.settings import ServerSettings

logger = logging.getLogger("dfnb")

_TOLD_EVERY = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Service:
    """What `dfnb serve` was asked for. `hub`: the file, None for the one that the notebook opens."""

    source: Path
    hub: str | None = None
    strict: bool = True
    all_cells: bool = False
    verbose: bool = False
    show_key: bool = False
    log_instances: bool = False
    settings: ServerSettings = dataclasses.field(default_factory=ServerSettings)


def serve(service: Service) -> int:
    """Run until Ctrl-C or SIGTERM; 0 after a clean end, 1 when the definitions failed, 2 when it could not start.

    KeyboardInterrupt leaves it when Ctrl-C comes while it starts.
    """
    logs.to_stderr(verbose=service.verbose)
    try:
        return _serve(service)
    except DefinitionsFailed as error:
        apps.close()  # what the code opened before it failed
        logger.debug("%s", error.traceback)
        return _refuse(str(error), 1)
    except (NotServable, DfnbError) as error:
        return _refuse(str(error), 2)


def _serve(service: Service) -> int:
    app = _opened(service)
    with Stop() as stop:
        try:
            return _run(service, app, stop)
        finally:
            left = app.state.open_instances
            app.close()
            logger.info("the hub is closed; %d %s when it is opened again", left, _go_on(left))


def _refuse(sentence: str, code: int) -> int:
    print(f"dfnb: {sentence}", file=sys.stderr)
    return code


def _cells(number: int) -> str:
    return f"{number} {'cell' if number == 1 else 'cells'}"


def _statements(number: int) -> str:
    return "1 statement that does not define was" if number == 1 else f"{number} statements that do not define were"


def _go_on(number: int) -> str:
    return "instance goes on" if number == 1 else "instances go on"


# ---- definitions and hub


def _opened(service: Service) -> DurableApp:
    """Run the definitions, then open the hub, so that resumed instances find their code."""
    app = _from_notebook(service) if service.source.suffix == ".ipynb" else _from_module(service)
    if not app.registry.all():
        app.close()
        raise NotServable(f"{service.source} defines nothing: no orchestrator, activity, entity or HTTP trigger")
    return app


def _from_notebook(service: Service) -> DurableApp:
    from dfnb.host import notebook

    cells = notebook.sources(service.source)
    path = service.source.resolve()
    hub = _hub(service, hub_path({"__vsc_ipynb_file__": str(path)}), path.parent)
    if service.all_cells:
        os.environ["DFNB_HUB"] = hub  # the cells open it themselves
    ran = notebook.run_cells(cells, path.parent, all_cells=service.all_cells)
    if ran.left_out:
        shown = "" if service.verbose else " (--verbose lists them)"
        logger.info("%s ran; %s left out%s", _cells(ran.cells), _statements(len(ran.left_out)), shown)
    app = _already_open(service) if service.all_cells else None
    app = app or apps.open(hub, strict=service.strict, restore_server=False)
    for sentence in missing.warnings(app.registry.all(), ran.missing):
        logger.warning("%s", sentence)
    return app


def _already_open(service: Service) -> DurableApp | None:
    try:
        app = apps.current()
    except DfnbError:
        return None
    logger.info("%s opened the hub %s itself: --hub and --strict had no say in it", service.source.name, app.path)
    return app


def _from_module(service: Service) -> DurableApp:
    from dfnb.host import module

    if service.source.suffix != ".py":
        raise NotServable(f"{service.source} is neither a notebook (.ipynb) nor a module (.py)")
    imported = module.import_module(service.source)
    app = module.app_of(imported)
    if app is not None and service.hub is not None:
        app.close()
        raise NotServable(f"{service.source.name} opens the hub {app.path} itself: leave out --hub, or let the module define only")
    if app is not None:
        return app
    return apps.open(_hub(service, DEFAULT_HUB, service.source.resolve().parent), strict=service.strict, restore_server=False)


def _hub(service: Service, default: str, folder: Path) -> str:
    """Where the hub lies: as asked for, seen from here; else by DFNB_HUB or beside the definitions."""
    if service.hub is not None:
        return service.hub if service.hub == MEMORY else str(Path(service.hub).expanduser().resolve())
    chosen = os.environ.get("DFNB_HUB", "").strip()
    if chosen:
        return chosen if chosen == MEMORY else str(Path(chosen).expanduser().resolve())
    return str(folder / default)


# ---- at work


def _run(service: Service, app: DurableApp, stop: Stop) -> int:
    try:
        server = app.serve(service.settings)
    except (DfnbError, ValueError) as error:
        return _refuse(str(error), 2)
    _tell(service, app, server)
    told = logs.InstanceLog(app.client, stop.poke) if service.log_instances else None
    while not stop.asked:
        stop.wait()
        if told is not None:
            stop.pause(_TOLD_EVERY)
            told.tell()
    logger.info("%s: no new requests; what runs is written down", stop.asked)
    app.stop_serving()
    if told is not None:
        told.end()
        told.tell()
    return 0


def _tell(service: Service, app: DurableApp, server: Server) -> None:
    """What is up, where, and what it offers."""
    logger.info("hub %s, %d %s", app.path, app.resumed, "instance resumed" if app.resumed == 1 else "instances resumed")
    for kind, plural in (("orchestrator", "orchestrators"), ("activity", "activities"), ("entity", "entities")):
        names = app.registry.names(kind)
        if names:
            logger.info("%s: %s", plural, ", ".join(names))
    for definition in app.registry.all():
        if definition.kind == "http_trigger":
            logger.info("http trigger %s: %s", definition.name, _trigger(definition, service.settings, server.public_url))
    outside = f", for others at {server.public_url}" if server.public_url != server.url else ""
    logger.info("serving at %s%s", server.url, outside)
    _tell_key(service, app, server)


def _trigger(definition: Definition, settings: ServerSettings, url: str) -> str:
    path = "/".join(filter(None, (url, settings.route_prefix, definition.route)))
    return f"{','.join(definition.methods)} {path} ({definition.auth_level.value})"


def _tell_key(service: Service, app: DurableApp, server: Server) -> None:
    """The key goes to a terminal or to whoever asks for it; a log is kept too long for it."""
    if not service.settings.require_key:
        logger.warning("no key is asked for: every program on this machine can start and end instances")
    elif service.show_key or sys.stdout.isatty():
        print(f"key: {server.key}", flush=True)
    elif app.path != MEMORY:
        logger.info("the key is in %s", side_file.path_for(app.path))
    else:
        logger.info("a hub in memory has a new key each time: --show-key prints it")


def settings_from(given: Mapping[str, Any]) -> ServerSettings:
    """The settings of a server from what was given on the command line. NotServable for what cannot be meant."""
    try:
        return ServerSettings(**given)
    except ValueError as error:
        raise NotServable(str(error)) from None
