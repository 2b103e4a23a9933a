r"""Globs, matched in bounded time: ``fnmatch(3)`` without flags.

``*`` and ``?`` match any character, ``[…]`` one of a set, ``\`` takes the next character as it is.
Character classes such as ``[[:alpha:]]`` are not known. A pattern is taken apart at its ``*``, and
each piece is looked for from where the one before it ends: no pattern makes this try twice.
"""

from __future__ import annotations

import re
from typing import Final

from sysgraft.errors import FormatError, LimitError

MAX_PATTERN: Final = 4096
"""Characters of a pattern."""
MAX_SETS: Final = 128
"""``?`` and ``[…]`` of a pattern; those that give ranges of USB revisions have three."""

_TOKEN: Final = re.compile(r"\\(.)|(\*)|(\?)|\[([!^]?\]?[^]]*)\]|(.)", re.DOTALL)
_SPECIAL: Final = re.compile(r"[*?\[\\]")


def literal_beginning(text: str) -> str:
    """What everything that matches a pattern begins with."""
    special = _SPECIAL.search(text)
    return text[: special.start()] if special else text


class Glob:
    """One pattern, taken apart at its ``*``.

    Args:
        text: the pattern.

    Attributes:
        needle: the longest piece without sets behind the first ``*``: in everything that matches.

    Raises:
        LimitError: it is longer than `MAX_PATTERN`, or has more than `MAX_SETS` sets.
        FormatError: a set in it is empty or reversed.
    """

    __slots__ = ("_first", "_last", "_middle", "_whole", "needle")

    def __init__(self, text: str) -> None:
        if len(text) > MAX_PATTERN:
            raise LimitError(f"a pattern of {len(text)} characters, at most {MAX_PATTERN}")
        pieces = _pieces(text)
        self._whole = len(pieces) == 1
        self._first = pieces[0]
        self._last = pieces[-1] if len(pieces) > 1 else ""
        self._middle = pieces[1:-1]
        literal = [each for each in (*self._middle, self._last) if isinstance(each, str)]
        self.needle: str = max(literal, key=len, default="")

    def matches(self, text: str) -> bool:
        """Whether all of `text` matches."""
        start = _at(self._first, text, 0)
        if start < 0 or self._whole:
            return start == len(text)
        end = len(text) - _length(self._last)
        if end < start or _at(self._last, text, end) < 0:
            return False
        for piece in self._middle:
            start = _search(piece, text, start, end)
            if start < 0:
                return False
        return True


class _Sets:
    """A piece with ``?`` or ``[…]`` in it; each character of it matches one of a text."""

    __slots__ = ("expression", "length")

    def __init__(self, expression: str, length: int) -> None:
        self.expression = re.compile(expression, re.DOTALL)
        self.length = length


def _length(piece: str | _Sets) -> int:
    return len(piece) if isinstance(piece, str) else piece.length


def _at(piece: str | _Sets, text: str, start: int) -> int:
    """Where `piece` ends in `text` if it begins at `start`; negative if it does not."""
    if isinstance(piece, str):
        return start + len(piece) if text.startswith(piece, start) else -1
    found = piece.expression.match(text, start)
    return found.end() if found else -1


def _search(piece: str | _Sets, text: str, start: int, end: int) -> int:
    """Where the first `piece` between two places ends; negative if there is none."""
    if isinstance(piece, str):
        found = text.find(piece, start, end)
        return found + len(piece) if found >= 0 else -1
    match = piece.expression.search(text, start, end)
    return match.end() if match else -1


def _pieces(text: str) -> list[str | _Sets]:
    if "?" not in text and "[" not in text and "\\" not in text:
        return list(text.split("*"))
    parts: list[list[tuple[str, str]]] = [[]]
    sets = 0
    for escaped, star, one, chosen, literal in _TOKEN.findall(text):
        if star:
            parts.append([])
            continue
        character = escaped or literal
        sets += not character
        expression = re.escape(character) if character else "." if one else _set(chosen)
        parts[-1].append((character, expression))
    if sets > MAX_SETS:
        raise LimitError(f"a pattern with {sets} sets of characters, at most {MAX_SETS}")
    return [_piece(part) for part in parts]


def _piece(part: list[tuple[str, str]]) -> str | _Sets:
    if all(character for character, _ in part):
        return "".join(character for character, _ in part)
    try:
        return _Sets("".join(expression for _, expression in part), len(part))
    except re.error as error:
        raise FormatError(f"a set of characters in a pattern: {error}") from error


def _set(chosen: str) -> str:
    """The regular expression of what is between brackets."""
    negated = chosen[:1] in ("!", "^") and len(chosen) > 1
    found = []
    rest = chosen[negated:]
    while rest:
        is_range = len(rest) > 2 and rest[1] == "-"
        ends = (rest[0], rest[2]) if is_range else (rest[0],)
        found.append("-".join(map(re.escape, ends)))
        rest = rest[3:] if is_range else rest[1:]
    return f"[{'^' if negated else ''}{''.join(found)}]"
