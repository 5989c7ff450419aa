"""A script without what only people need in it: comments, spare space, signs that may be left out, long names.

It reads JavaScript as this house writes it: every statement ends with a semicolon or a brace, and no statement is empty.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

_TOKEN = re.compile(
    r"""(?P<gap>\s+|//[^\n]*|/\*.*?\*/)|(?P<word>[\w$]+)|(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"""|(?P<sign>=>|\+\+|--|\?\.|\.\.\.|.)""",
    re.DOTALL,
)
_TEMPLATE = re.compile(r"[`}](?:[^`\\$]|\\.|\$(?!\{))*(?:`|\$\{)", re.DOTALL)
_PATTERN = re.compile(r"/(?:[^/\\\[\n]|\\.|\[(?:[^\]\\]|\\.)*\])+/[a-z]*")
_BEFORE_A_PATTERN = frozenset("(,=:[!&|?{};") | {"return", "=>"}
_ENDS_A_STATEMENT = frozenset(";{}")
_SHORTER = {"const": "let", "true": "!0", "false": "!1"}


def squeeze(source: str) -> str:
    """The same script in fewer characters."""
    tokens = list(_tokens(source))
    names = _short_names(tokens)
    made: list[str] = []
    for token in _joined_declarations(tokens):
        if token[0] in "}]" and made and made[-1] in ((";", ",") if token == "}" else (",",)):
            made.pop()
        elif token == "=>" and _has_one_plain_parameter(made):
            made[-3:] = [made[-2]]
        short = names.get(token) or _SHORTER.get(token, token)
        if made and _would_run_together(made[-1], short):
            made.append(" ")
        made.append(short)
    return "".join(made)


def _tokens(source: str) -> Iterator[str]:
    """Words, texts and signs; a template comes in pieces around the code in it."""
    at, last, braces = 0, "", [""]
    while at < len(source):
        pattern = _TOKEN
        if source[at] == "`" or (source[at] == "}" and braces[-1] == "${"):
            pattern = _TEMPLATE
        elif source[at] == "/" and source[at + 1] not in "/*" and last in _BEFORE_A_PATTERN:
            pattern = _PATTERN
        found = pattern.match(source, at)
        assert found is not None
        token, at = found[0], found.end()
        if found.lastgroup == "gap":
            continue
        if token[0] == "}":
            braces.pop()
        if token == "{" or (pattern is _TEMPLATE and token.endswith("${")):
            braces.append(token[-2:])
        last = token
        yield token


def _joined_declarations(tokens: Iterable[str]) -> Iterator[str]:
    """A `const` or `let` right behind another needs no word of its own."""
    held, starts, declares = "", True, [False]
    for token in tokens:
        declaration = token in ("const", "let")
        if held and declaration and declares[-1]:
            held, starts = "", False
            yield ","
            continue
        if held:
            yield held
            held = ""
        if starts and token not in _ENDS_A_STATEMENT:
            declares[-1] = declaration
        if token[0] in ")]}":
            declares.pop()
        if token[-1] in "([{" and not _is_text(token):
            declares.append(False)
        starts = token in _ENDS_A_STATEMENT
        if token == ";":
            held = token
        else:
            yield token
    if held:
        yield held


def _short_names(tokens: Sequence[str]) -> dict[str, str]:
    """New names for those that are declared here and are nowhere a property: for these, everywhere the same is as good."""
    counts = Counter(token for token in tokens if _is_word(token))
    kept, declared, brackets = set[str](), set[str](), [""]
    for at, token in enumerate(tokens):
        before, after = tokens[at - 1] if at else "", tokens[at + 1] if at + 1 < len(tokens) else ""
        if token[0] in ")]}":
            brackets.pop()
        if token[-1] in "([{" and not _is_text(token):
            brackets.append(token[-1:] if token != "${" else "")
        if not _is_word(token):
            continue
        in_braces = brackets[-1] == "{"
        is_shorthand = in_braces and before[-1:] in ("{", ",") and after in (",", "}", "=", "(")
        is_method = in_braces and after == "(" and (before[-1:] in ("}", ";") or before in ("async", "get", "set", "static"))
        if before in (".", "?.") or after == ":" or is_shorthand or is_method:
            kept.add(token)
        is_parameter = before == "(" and after == ")" and (tokens[at + 2] == "=>" or tokens[at - 2] == "catch")
        if before in ("const", "let", "function", "class") or is_parameter:
            declared.add(token)
    wanted = [name for name, _ in counts.most_common() if name in declared - kept and len(name) > 2 and not name[0].isdigit()]
    free = (name for name in _two_letters() if name not in counts)
    return dict(zip(wanted, free, strict=False))


def _two_letters() -> Iterator[str]:
    for first in string.ascii_letters:
        for second in string.ascii_letters:
            if f"{first}{second}" not in ("as", "do", "if", "in", "is", "of"):
                yield f"{first}{second}"


def _has_one_plain_parameter(made: list[str]) -> bool:
    return len(made) > 3 and made[-1] == ")" and made[-3] == "(" and _is_word(made[-2]) and not _is_word(made[-4][-1])


def _would_run_together(one: str, other: str) -> bool:
    return (_is_word(one[-1]) and _is_word(other[0])) or (one[-1] == other[0] and one[-1] in "+-")


def _is_text(token: str) -> bool:
    return token[0] in "\"'/" or (token[0] in "`}" and token[-1] == "`")


def _is_word(text: str) -> bool:
    return re.fullmatch(r"[\w$]+", text) is not None
