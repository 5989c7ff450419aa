"""What stands behind ``%dfnb COMMAND``: words, options, values, instance ids. What is wrong is a UsageError of one sentence."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from IPython.core.error import UsageError

from dfnb.client.entities import EntityHandle
from dfnb.client.instance import Instance
from dfnb.client.sync import DurableOrchestrationClient
from dfnb.errors import nearest
from dfnb.records.entity_id import EntityId

Options = dict[str, str]


def split(text: str) -> list[str]:
    """Words, with quotes as in a shell."""
    try:
        return shlex.split(text)
    except ValueError:
        raise UsageError(f"a quote is not closed in: {text}") from None


def words_and_options(
    text: str, takes_value: Sequence[str] = (), flags: Sequence[str] = (), many: Sequence[str] = ()
) -> tuple[list[str], Options]:
    """The plain words of a line, and its options by name. A flag's value is empty; what may be given often has commas between."""
    words: list[str] = []
    options: Options = {}
    rest = split(text)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            words.append(word)
            continue
        name, has_value, value = word[2:].partition("=")
        _check_known(name, takes_value, flags)
        if name in flags:
            options[name] = ""
            continue
        if not has_value:
            value = rest.pop(0) if rest else _complain(f"--{name} needs a value behind it")
        options[name] = f"{options[name]},{value}" if name in many and name in options else value
    return words, options


def _check_known(name: str, takes_value: Sequence[str], flags: Sequence[str]) -> None:
    known = [*takes_value, *flags]
    if name not in known:
        close = nearest(name, known)
        there_are = ", ".join(f"--{option}" for option in known) or "none here"
        said = f"did you mean --{close[0]}?" if close else f"there are {there_are}"
        _complain(f"there is no option --{name}; {said}")


def _complain(sentence: str) -> str:
    raise UsageError(sentence)


def first_word(text: str, what: str) -> tuple[str, str]:
    """The first word, and everything behind it as it was typed."""
    found = re.match(r"""\s*("(?:[^"\\]|\\.)*"|'[^']*'|\S+)\s*""", text)
    if found is None:
        raise UsageError(f"which {what}? Type it behind the command; `%dfnb help` shows how")
    return split(found[1])[0] if found[1][0] in "\"'" else found[1], text[found.end() :]


def take_options(text: str, names: Sequence[str]) -> tuple[str, Options]:
    """Take ``--name value`` off the front and the end of a line whose middle is a value in any form."""
    options: Options = {}
    choice = "|".join(names)
    value = r"""(?:=|\s+)("[^"]*"|'[^']*'|[^\s"'\])}]+)"""  # no closing sign: then it is part of a text
    for pattern in (rf"^\s*--({choice}){value}(?=\s|$)", rf"(?:^|\s)--({choice}){value}\s*$"):
        while (found := re.search(pattern, text)) is not None:
            options.setdefault(found[1], found[2].strip("\"'"))
            text = text[: found.start()] + text[found.end() :]
    stray = re.match(r"\s*--([\w-]+)", text)
    if stray is not None:
        _check_known(stray[1], names, ())
        _complain(f"--{stray[1]} needs a value behind it")
    return text.strip(), options


_VARIABLE = re.compile(r"\$(\w+)|\{(\w+)\}")


def path(word: str, user_ns: Mapping[str, Any]) -> str:
    """A path as it stands, or that in ``$variable`` or ``{variable}``."""
    variable = _VARIABLE.fullmatch(word)
    return str(_variable(variable[1] or variable[2], user_ns)) if variable is not None else word


def value(text: str, user_ns: Mapping[str, Any]) -> Any:
    """JSON, ``$variable``, ``{variable}`` or a Python expression; None for nothing."""
    text = text.strip()
    if not text:
        return None
    variable = _VARIABLE.fullmatch(text)
    if variable is not None:
        return _variable(variable[1] or variable[2], user_ns)
    try:
        return json.loads(text)
    except ValueError:
        return _expression(text, user_ns)


def _variable(name: str, user_ns: Mapping[str, Any]) -> Any:
    if name not in user_ns:
        raise UsageError(f"there is no variable {name!r}{_meant(name, user_ns)}")
    return user_ns[name]


def _expression(text: str, user_ns: Mapping[str, Any]) -> Any:
    try:
        code = compile(ast.parse(text, "<input>", "eval"), "<input>", "eval")
    except (SyntaxError, ValueError):
        raise UsageError(f"{text} is neither JSON nor a Python expression; put a text in quotes: {json.dumps(text)}") from None
    try:
        return eval(code, dict(user_ns))
    except NameError as error:
        raise UsageError(f"{error}{_meant(error.name or '', user_ns)}; put a text in quotes: {json.dumps(text)}") from None
    except Exception as error:
        raise UsageError(f"{text} cannot be computed: {type(error).__name__}: {error}") from None


def _meant(name: str, user_ns: Mapping[str, Any]) -> str:
    close = nearest(name, [known for known in user_ns if not known.startswith("_")])
    return f" (did you mean {close[0]}?)" if close else ""


_LENGTHS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def moment(text: str) -> datetime:
    """A time in ISO form (without a zone: the local one), or ``+30s``, ``+5m``, ``+2h``, ``+1d`` from now."""
    later = re.fullmatch(r"\+(\d+(?:\.\d+)?)([smhd])?", text)
    if later is not None:
        return datetime.now(UTC) + timedelta(seconds=float(later[1]) * _LENGTHS[later[2] or "s"])
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise UsageError(f"{text!r} is not a time; write it like 2030-01-31T18:00 or +30s, +5m, +2h, +1d") from None


def number(text: str, what: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < float("inf"):
        raise UsageError(f"{what} takes a number that is not negative, not {text!r}")
    return found


def count(text: str, what: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"{what} takes a whole number from 1 on, not {text!r}")
    return int(text)


def instance(word: str, client: DurableOrchestrationClient, user_ns: Mapping[str, Any]) -> Instance:
    """The instance meant: its id, a variable that holds its handle, or the beginning of an id that only one has."""
    variable = _VARIABLE.fullmatch(word)
    held = user_ns.get(variable[1] or variable[2] if variable is not None else word)
    if isinstance(held, Instance) and held.client is client:
        return held
    page = client.instances(instance_id_prefix=word, limit=10)
    found = {str(status.instance_id): status for status in page}
    if word in found or len(found) == 1:
        return client.instance(word if word in found else next(iter(found)))
    if not found:
        raise UsageError(f"no instance has an id that begins with {word!r}; `%dfnb list` shows them")
    try:
        return client.instance(word)  # more than a page begin with it, and one may be exactly it
    except LookupError:
        shown = ", ".join(list(found)[:3])
        raise UsageError(f"several instances have an id that begins with {word!r}: {shown}, ...; type more of it") from None


def entity(word: str, client: DurableOrchestrationClient, user_ns: Mapping[str, Any]) -> EntityHandle:
    """The entity meant: its id as ``@name@key``, or a variable that holds its id or handle."""
    variable = _VARIABLE.fullmatch(word)
    if variable is not None:
        held = _variable(variable[1] or variable[2], user_ns)
    else:
        held = user_ns[word] if isinstance(user_ns.get(word), EntityHandle | EntityId) else word
    return client.entity(held.id if isinstance(held, EntityHandle) else held)
