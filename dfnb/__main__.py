"""The command line: ``dfnb run`` executes a notebook and shows it, ``dfnb serve`` keeps its definitions up as a service."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dfnb.version import package_version

_SERVE = """\
Run the definitions of a notebook or module and stay up as a durable service: instances go on where they were, and other programs
start, ask, feed and stop them over HTTP, with the API of Azure Durable Functions.

Of a notebook these run: cells with %%orchestrator, %%activity, %%entity or %%http_trigger, and from other cells, those with %%time
or %%capture too, the statements that define: imports, functions, classes, assignments and calls that set something up. Left out is
what starts, waits or shows: magics and shell commands, `while`, `await`, `assert`, calls of start, wait, result, raise_event,
instance, sleep, print, display, close and the like, whatever needs an open hub (df.current(), df.sql()), values that are only
shown, and what uses a name that only such a statement binds. --verbose lists them; --all-cells runs everything as it is.

A module is imported by its own name. If it opens a hub (app = dfnb.open(...)), that one is served.
"""
_SERVE_END = """\
exit codes: 0 after Ctrl-C or SIGTERM; 130 after Ctrl-C while it starts, and after a second one, which ends at once; 1 when a cell
or the module failed, with nothing opened; 2 when the file cannot be read, or the hub or the port is in use.
"""
_SERVER_OPTIONS = (
    "host", "port", "public_url", "allowed_hosts", "cors_origins", "trust_forwarded", "route_prefix", "links", "require_key",
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command and return the exit code: 0 done, 1 the user's code failed, 2 it could not start, 130 interrupted."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a Windows console may not know every character a cell prints
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.command(arguments)
    except KeyboardInterrupt:
        print("dfnb: interrupted", file=sys.stderr)
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dfnb", description="Durable workflows in a notebook.")
    parser.add_argument("--version", action="version", version=f"dfnb {package_version() or 'from its source folder'}")
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_run(commands)
    _add_serve(commands)
    return parser


def _add_run(commands: Any) -> None:
    run = commands.add_parser("run", help="execute a notebook in a real kernel and print what each cell answers")
    run.add_argument("notebook", type=Path, help="the .ipynb file; its cells run in its own folder")
    run.add_argument("--output", type=Path, help="where to write the executed copy (default: NAME.executed.ipynb, here)")
    run.set_defaults(command=_run)


def _add_serve(commands: Any) -> None:
    serve = commands.add_parser(
        "serve", help="keep the definitions of a notebook or module up as a durable service",
        description=_SERVE, epilog=_SERVE_END, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    serve.set_defaults(command=_serve)
    add = serve.add_argument
    add("source", type=Path, help="a .ipynb or .py file")
    add("--hub", metavar="PATH", help="the hub's file (default: what %%load_ext dfnb opens for the notebook, beside it)")
    add("--no-strict", dest="strict", action="store_false", help="wait for names that nothing defines, instead of failing")
    add("--all-cells", action="store_true", help="run every cell as it is; the hub opens where the notebook opens it")
    add("--verbose", action="store_true", help="log each request and each statement that was left out, and errors at length")
    add("--log-instances", action="store_true", help="log each start and end of an instance")
    add("--show-key", action="store_true", help="print the key even when the output is no terminal")
    _add_server(serve.add_argument_group("server", "what is not given is as in ServerSettings").add_argument)


def _add_server(add: Any) -> None:
    add("--host", help="where to listen (default: 127.0.0.1, this machine only)")
    add("--port", type=int, help="default: 7071; 0 takes a free one")
    add("--public-url", metavar="URL", help="what callers outside put in front of the path: a tunnel's or proxy's address")
    add("--no-key", dest="require_key", action="store_false", default=None, help="ask for no key; on this machine only")
    add("--allowed-host", dest="allowed_hosts", metavar="NAME", action="append", help="one more name that requests may call it by")
    add("--cors", dest="cors_origins", metavar="ORIGIN", action="append", help="an origin whose pages may call it from a browser")
    add("--trust-forwarded", action="store_true", default=None, help="believe X-Forwarded-* of the proxy in front")
    add("--route-prefix", metavar="PATH", help="what is in front of the routes of HTTP triggers (default: api)")
    add("--links", choices=("scoped", "key"), help="whether links open one instance only (default) or carry the key")


def _run(arguments: argparse.Namespace) -> int:
    from dfnb.host.run import run  # here and not above: it loads what only a notebook's run needs

    return run(arguments.notebook, arguments.output)


def _serve(arguments: argparse.Namespace) -> int:
    from dfnb.host.failed import NotServable
    from dfnb.host.service import Service, serve, settings_from

    given = {name: getattr(arguments, name) for name in _SERVER_OPTIONS}
    try:
        settings = settings_from({
            name: tuple(value) if isinstance(value, list) else value for name, value in given.items() if value is not None
        })
    except NotServable as error:
        print(f"dfnb: {error}", file=sys.stderr)
        return 2
    return serve(Service(
        source=arguments.source, hub=arguments.hub, strict=arguments.strict, all_cells=arguments.all_cells,
        verbose=arguments.verbose, show_key=arguments.show_key, log_instances=arguments.log_instances, settings=settings,
    ))  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
