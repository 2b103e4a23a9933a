r"""Modaliases: which patterns of a kernel's modules match what a device says it is.

A device's modalias (``/sys/…/modalias``) is held against the ``alias`` patterns of all modules with
``fnmatch(3)`` and no flags, as kmod does (``libkmod/libkmod-index.c``): ``*`` and ``?`` match any
character, ``[…]`` one of a set, ``\`` takes the next character as it is. Outside of sets ``-`` and
``_`` are the same (kmod's ``alias_normalize``). Character classes such as ``[[:alpha:]]``, which no
kernel writes, are not known.

A table looks at the patterns whose literal beginning is the modalias' own, and of those at the ones
whose longest literal piece is in it: a device costs about as many steps as it has characters,
however many patterns other buses have.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, LimitError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_MODALIAS: Final = 4096
"""Characters of a device's modalias: a page of sysfs. The longest that exist, of DMI, have 600."""
MAX_PATTERN: Final = 4096
"""Characters of a pattern."""
MAX_SETS: Final = 128
"""``?`` and ``[…]`` of a pattern; those that give ranges of USB revisions have three."""
MAX_PATTERNS: Final = 2_000_000
"""Patterns of a table; Debian's kernel has 27,000."""

_TOKEN: Final = re.compile(r"\\(.)|(\*)|(\?)|\[([!^]?\]?[^]]*)\]|(.)", re.DOTALL)
_SPECIAL: Final = re.compile(r"[*?\[\\]")


def normalize(text: str) -> str:
    """`text` with ``-`` as ``_``, except within ``[…]``."""
    if "-" not in text:
        return text
    if "[" not in text:
        return text.replace("-", "_")
    parts = re.split(r"(\[[^]]*\])", text)
    return "".join(p if p.startswith("[") else p.replace("-", "_") for p in parts)


class Pattern:
    """One pattern, taken apart at its ``*``.

    Args:
        text: as the module has it.

    Raises:
        LimitError: it is longer than `MAX_PATTERN`, or has more than `MAX_SETS` sets.
        FormatError: a set in it is empty or reversed.
    """

    __slots__ = ("_first", "_last", "_middle", "_whole", "needle", "prefix")

    def __init__(self, text: str) -> None:
        if len(text) > MAX_PATTERN:
            raise LimitError(f"a module alias of {len(text)} characters, at most {MAX_PATTERN}")
        text = normalize(text)
        special = _SPECIAL.search(text)
        self.prefix = text[: special.start()] if special else text
        pieces: list[str | _Sets] = [text] if special is None else _pieces(text)
        self._whole = len(pieces) == 1
        self._first = pieces[0]
        self._last = pieces[-1] if len(pieces) > 1 else ""
        self._middle = pieces[1:-1]
        literal = [each for each in (*self._middle, self._last) if isinstance(each, str)]
        self.needle: str = max(literal, key=len, default="")

    def matches(self, modalias: str) -> bool:
        """Whether a modalias, normalized already, matches."""
        start = _at(self._first, modalias, 0)
        if start < 0 or self._whole:
            return start == len(modalias)
        end = len(modalias) - _length(self._last)
        if end < start or _at(self._last, modalias, end) < 0:
            return False
        for piece in self._middle:
            start = _search(piece, modalias, start, end)
            if start < 0:
                return False
        return True


class _Sets:
    """A piece with ``?`` or ``[…]`` in it; each character of it matches one of a modalias."""

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
        raise LimitError(f"a module alias with {sets} sets of characters, at most {MAX_SETS}")
    return [_piece(part) for part in parts]


def _piece(part: list[tuple[str, str]]) -> str | _Sets:
    if all(character for character, _ in part):
        return "".join(character for character, _ in part)
    try:
        return _Sets("".join(expression for _, expression in part), len(part))
    except re.error as error:
        raise FormatError(f"a set of characters in a module alias: {error}") from error


def _set(chosen: str) -> str:
    """The regular expression of what is between brackets."""
    negated = chosen[:1] in ("!", "^") and len(chosen) > 1
    body = re.sub(r"[\\\[\]^&~|]", r"\\\g<0>", chosen[negated:])
    return f"[{'^' if negated else ''}{body}]"


class AliasTable:
    """Patterns, each of which stands for something.

    Args:
        entries: patterns and what they stand for, most important first. A pattern that cannot be
            read matches nothing, and is in `refused`.

    Attributes:
        refused: patterns that are broken or too long.

    Raises:
        LimitError: there are more than `MAX_PATTERNS`.
    """

    def __init__(self, entries: Iterable[tuple[str, str]]) -> None:
        self.refused: list[str] = []
        self._by_prefix: dict[str, list[tuple[int, str, str]]] = {}
        self._compiled: dict[str, Pattern | None] = {}
        self._known: dict[str, tuple[str, ...]] = {}
        for number, (text, value) in enumerate(entries):
            if number >= MAX_PATTERNS:
                raise LimitError(f"more than {MAX_PATTERNS} module aliases")
            special = _SPECIAL.search(text)
            prefix = text[: special.start()] if special else text
            key = prefix.replace("-", "_")
            self._by_prefix.setdefault(key, []).append((number, text, value))
        self._lengths = sorted({len(prefix) for prefix in self._by_prefix})

    def look_up(self, modalias: str) -> tuple[str, ...]:
        """What the patterns that match stand for, each once, most important first.

        Raises:
            LimitError: the modalias is longer than `MAX_MODALIAS`.
        """
        if len(modalias) > MAX_MODALIAS:
            raise LimitError(f"a modalias of {len(modalias)} characters, at most {MAX_MODALIAS}")
        text = modalias.replace("-", "_")
        found = self._known.get(text)
        if found is None:
            hits = sorted(hit for bucket in self._buckets(text) for hit in self._hits(bucket, text))
            found = self._known[text] = tuple(dict.fromkeys(value for _, value in hits))
        return found

    def _buckets(self, text: str) -> Iterator[list[tuple[int, str, str]]]:
        for length in self._lengths:
            if length > len(text):
                return
            bucket = self._by_prefix.get(text[:length])
            if bucket is not None:
                yield bucket

    def _hits(self, bucket: list[tuple[int, str, str]], text: str) -> Iterator[tuple[int, str]]:
        compiled = self._compiled
        for number, source, value in bucket:
            pattern = compiled.get(source) or self._compile(source)
            if pattern is not None and pattern.needle in text and pattern.matches(text):
                yield number, value

    def _compile(self, text: str) -> Pattern | None:
        if text not in self._compiled:
            try:
                self._compiled[text] = Pattern(text)
            except FormatError:
                self._compiled[text] = None
                self.refused.append(text)
        return self._compiled[text]
