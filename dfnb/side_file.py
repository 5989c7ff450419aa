"""The small file beside a hub file that tells where, and with which key, the hub is served.

Other processes find the hub's owner by it, and the next owner starts the server again with it. A folder that is handed on may
have one in it, so what it says is signed for one place.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import hmac
import logging
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

logger = logging.getLogger("dfnb")

_LARGEST = 65_536
_OTHERS_MAY_WRITE = (stat.S_IWGRP | stat.S_IWOTH) if os.name == "posix" else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """Where a hub is served, or was when its server was last heard of. `settings`: what to start it again with."""

    url: str
    key: str | None = field(default=None, repr=False)
    pid: int | None = None
    serving: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    signature: str = field(default="", repr=False)


def path_for(hub_path: str | os.PathLike[str]) -> Path:
    """The side file of a hub file."""
    return Path(f"{os.fspath(hub_path)}.server")


def read(hub_path: str | os.PathLike[str]) -> ServerFacts | None:
    """What the side file says. None when there is none, and with a line in the log when it cannot be used."""
    path = path_for(hub_path)
    try:
        return msgspec.json.decode(_text(path), type=ServerFacts)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, _ForeignError) as error:
        logger.warning("dfnb: %s was left out of account: %s", path, error)
        return None


class _ForeignError(Exception):
    """A file that dfnb did not write here; its settings could open the hub to others."""


def _text(path: Path) -> bytes:
    no_link = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with open(os.open(path, os.O_RDONLY | no_link), "rb") as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise _ForeignError("it is no file")
        if hasattr(os, "getuid") and facts.st_uid != os.getuid():
            raise _ForeignError("it belongs to another user")
        if facts.st_mode & _OTHERS_MAY_WRITE and not _may_others_write(path.with_suffix("")):
            raise _ForeignError("others may write it")
        return file.read(_LARGEST)


def _may_others_write(hub: Path) -> bool:
    """So it is with all files where modes are not kept."""
    try:
        return bool(hub.stat().st_mode & _OTHERS_MAY_WRITE)
    except OSError:
        return False


def signed(facts: ServerFacts, hub_path: str | os.PathLike[str], key: bytes) -> ServerFacts:
    """The facts, vouched for by who has the key, for this hub at this path, of this user of this machine."""
    return dataclasses.replace(facts, signature=_signature(facts, hub_path, key))


def is_vouched_for(facts: ServerFacts, hub_path: str | os.PathLike[str], key: bytes) -> bool:
    """Whether the facts were signed with the key, here, and are as they were then."""
    return hmac.compare_digest(facts.signature.encode(), _signature(facts, hub_path, key).encode())


def _signature(facts: ServerFacts, hub_path: str | os.PathLike[str], key: bytes) -> str:
    from socket import gethostname

    user = str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    said = msgspec.json.encode([dataclasses.replace(facts, signature=""), os.path.realpath(hub_path), gethostname(), user])
    return hmac.digest(key, said, hashlib.sha256).hex()


def serving_address(hub_path: str | os.PathLike[str], owner: int | None) -> str | None:
    """Where the hub's owner, by its process id if that is known, serves it; None when it does not."""
    facts = read(hub_path)
    if facts is None or not facts.serving or (owner is not None and facts.pid != owner):
        return None
    return facts.url


def write(hub_path: str | os.PathLike[str], facts: ServerFacts) -> None:
    """Put the facts there, whole or not at all, and readable by nobody else at any time. OSError when that fails."""
    path = path_for(hub_path)
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.encode(facts))
        fresh.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise


def forget(hub_path: str | os.PathLike[str]) -> None:
    """Remove the side file, if there is one."""
    path_for(hub_path).unlink(missing_ok=True)
