"""``%dfnb attach`` and ``%dfnb follow``: what they read and what they say. No key is ever in what they say."""

from __future__ import annotations

import keyword
import os
import re
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, cast

from IPython.core.error import UsageError

from dfnb.client.remote.connect import connect
from dfnb.client.remote.follow import Followed, follow
from dfnb.notebook import arguments

if TYPE_CHECKING:
    from dfnb.client.remote.client import RemoteOrchestrationClient

ATTACH = "attach URL|PATH [--key KEY | --key-env NAME] [as NAME]"
ATTACH_OPTIONS = ("key", "key-env")
FOLLOW = "follow URL [--poll DIALECT]"

_AS = re.compile(r"\s+as\s+(?P<name>\S+)\s*$")


def attach(user_ns: Mapping[str, Any], line: str) -> RemoteOrchestrationClient:
    """Connect, say how to use it, and put it into the variable that was named."""
    named = _AS.search(line)
    words, options = arguments.words_and_options(line[: named.start()] if named else line, ATTACH_OPTIONS)
    if len(words) != 1:
        raise UsageError("attach takes one address or the path of a hub file, such as `%dfnb attach http://127.0.0.1:7071`")
    name = _variable(named["name"]) if named else ""
    try:
        client = connect(arguments.path(words[0], user_ns), _key(options, user_ns))
    except FileNotFoundError as error:
        raise UsageError(str(error)) from None
    if name:
        cast("MutableMapping[str, Any]", user_ns)[name] = client
    print(f"dfnb: attached to {client.address}, {_who(client)}; `%dfnb` commands still speak to the hub of this notebook")
    how = name or "remote"
    first = "" if name else "remote = _, then "
    print(f"  use it: {first}{how}.start(NAME, INPUT), {how}.instance(ID), {how}.instances()")
    return client


def _who(client: RemoteOrchestrationClient) -> str:
    return f"dfnb {client.version}" if client.version is not None else "a Durable Functions app"


def _variable(name: str) -> str:
    if not name.isidentifier() or keyword.iskeyword(name):
        raise UsageError(f"{name} cannot be the name of a variable; type one behind `as`")
    return name


def _key(options: Mapping[str, str], user_ns: Mapping[str, Any]) -> str | None:
    if "key-env" in options:
        if "key" in options:
            raise UsageError("give --key or --key-env, not both")
        key = os.environ.get(options["key-env"])
        if not key:
            raise UsageError(f"the environment has no variable {options['key-env']}, or it is empty")
        return key
    return arguments.path(options["key"], user_ns) if "key" in options else None


def follow_url(user_ns: Mapping[str, Any], line: str) -> Followed:
    """Follow the URL; what comes back shows itself live."""
    words, options = arguments.words_and_options(line, ("poll",))
    if len(words) != 1:
        raise UsageError("follow takes one URL, such as the statusQueryGetUri of a started instance; quote it if it has blanks")
    return follow(arguments.path(words[0], user_ns), poll=options.get("poll"))
