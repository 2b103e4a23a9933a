"""Texts and dependencies that go into a spec or a control file, checked for what could break out.

A spec file is the input of a macro processor: a per cent sign begins a macro, which may run a
program, and a line that begins with one may begin a section. Those in texts are doubled; those that
would still mean something are refused. In a control file an end of line begins another field.
"""

from __future__ import annotations

import re
from typing import Final

from sysgraft.errors import UsageError

_DEPENDENCY: Final = re.compile(r"[0-9A-Za-z(/][0-9A-Za-z .+_~^:|()<>=/-]*")
# Two names with nothing between them, which rpm takes for two packages: it knows relations as words
# in parentheses only, dpkg none.
_WORDS: Final = re.compile(r"[0-9A-Za-z._+~^:/()-]+ +[0-9A-Za-z._+~^:/-]")
_MAX_LINE: Final = 1000
_MAX_LINES: Final = 200


def one_line(text: str, option: str) -> str:
    """`text` without space around it; raises `UsageError` if it is no single line of text."""
    text = text.strip()
    if len(text) > _MAX_LINE or not text.isprintable():
        raise UsageError(f"{option} has to be one line of text: {text[:80]!r}")
    return text


def some_lines(text: str, option: str) -> list[str]:
    """The lines of `text`, without space behind them.

    Raises:
        UsageError: it is no text, or too long.
    """
    lines = [line.expandtabs().rstrip() for line in text.strip().split("\n")]
    if len(lines) > _MAX_LINES:
        raise UsageError(f"{option} has more than {_MAX_LINES} lines")
    for line in lines:
        if len(line) > _MAX_LINE or not line.isprintable():
            raise UsageError(f"{option} has to be lines of text: {line[:80]!r}")
    return lines


def dependency(text: str, option: str) -> str:
    """`text`, if it may be a relation to another package.

    Raises:
        UsageError: it has characters that no such relation has.
    """
    text = text.strip()
    several = not text.startswith("(") and _WORDS.search(text)
    if not _DEPENDENCY.fullmatch(text) or several or len(text) > _MAX_LINE:
        raise UsageError(
            f"{option} wants one package, maybe with a version: {text!r}",
            hint="give the option again for another one",
        )
    return text


def in_spec(text: str) -> str:
    """A line of text as it has to stand in a spec file, so that rpm has it as it is.

    Raises:
        UsageError: it begins with a per cent sign, or ends with a backslash.
    """
    if text.lstrip().startswith("%"):
        raise UsageError(f"a line for an rpm package may not begin with %: {text[:80]!r}")
    if text.endswith("\\"):
        raise UsageError(f"a line for an rpm package may not end with \\: {text[:80]!r}")
    return text.replace("%", "%%")


def folded(lines: list[str]) -> str:
    """Lines as the continuation of a field of a control file (deb-control(5), Description)."""
    return "\n".join(map(_continuation, lines))


def _continuation(line: str) -> str:
    if not line.strip():
        return " ."
    # A dot at the beginning is kept for later use, unless the line is shown as it is.
    return f"  {line}" if line.startswith(".") else f" {line}"
