"""What stands in a recorded call for a value that is not recorded: references to secrets and token sources.

Here is only how they look in text. Which of them is believed, and what is sent for it, the room knows that sends.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from dfnb.records import payload

_ROOM = "dfnb.durable_http."
_ENVELOPE = {"__class__", "__module__", "__data__"}
_MARKER = re.compile(r"secret~(?P<kind>[a-z]{1,16})(?P<fields>(?:~[A-Za-z0-9_-]{0,600}){1,8})~\.[a-z2-7]{20}")
_TAG = re.compile(r"(?P<before>secret~[a-z]{1,16}(?:~[A-Za-z0-9_-]{0,600}){1,8}~\.|\"name\":\[[^\]]*\],\"tag\":\")[a-z2-7]{20}")


def is_secret(value: Any) -> bool:
    """Whether a value is a secret, or a text with secrets in it, as an object."""
    return type(value).__module__ == f"{_ROOM}secrets"


def rebuilt(text: str) -> Any:
    """Recorded JSON with its references as objects. Whatever else looks like an object is data, sent as it is."""
    return json.loads(text, object_hook=_hook(lambda envelope: payload.decode(json.dumps(envelope))))


def plain(text: str) -> Any:
    """Recorded JSON for people: secrets as ``<secret: NAME>``, a token source as its own record."""
    return _walked(json.loads(text, object_hook=_hook(_shown)))


def _hook(read: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    def hook(data: dict[str, Any]) -> Any:
        is_reference = data.keys() == _ENVELOPE and str(data["__module__"]).startswith(_ROOM)
        return read(data) if is_reference else data

    return hook


def _shown(envelope: dict[str, Any]) -> Any:
    match envelope:
        case {"__class__": "Secret", "__data__": data}:
            return _secret(data)
        case {"__class__": "SecretText", "__data__": [*parts]}:
            return "".join(part if isinstance(part, str) else _secret(part) for part in parts)
    return envelope["__data__"]


def _secret(data: Any) -> str:
    match data:
        case {"kind": str(kind), "name": [*fields]}:
            return f"<secret: {_name(kind, list(map(str, fields)))}>"
    return "<secret>"


def _name(kind: str, fields: list[str]) -> str:
    return "/".join(fields[2:] if kind == "basic" else fields)


def _walked(value: Any) -> Any:
    if isinstance(value, dict):
        return {hidden(key): _walked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_walked(item) for item in value]
    return hidden(value) if isinstance(value, str) else value


def hidden(text: str) -> str:
    """A text with ``<secret: NAME>`` for each secret named in it."""
    if "secret~" not in text:
        return text
    return _MARKER.sub(lambda found: f"<secret: {_name(found['kind'], _fields(found['fields']))}>", text)


def _fields(written: str) -> list[str]:
    return [_unescaped(field) for field in written[1:].split("~")]


def _unescaped(field: str) -> str:
    raw = re.sub("-([0-9a-f]{2})", lambda code: chr(int(code[1], 16)), field).encode("latin-1")
    return raw.decode("utf-8", "replace")


def without_tags(text: str) -> str:
    """A recorded call without what proves its references: two are the same although they were signed in two processes."""
    return _TAG.sub(lambda found: found["before"], text) if "secret" in text.lower() else text
