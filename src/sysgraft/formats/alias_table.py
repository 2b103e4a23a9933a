"""Modaliases: which patterns of a kernel's modules match what a device says it is.

A device's modalias (``/sys/…/modalias``) is held against the ``alias`` patterns of all modules with
``fnmatch(3)`` and no flags, as kmod does (``libkmod/libkmod-index.c``). Outside of sets ``-`` and
``_`` are the same (kmod's ``alias_normalize``).

A table looks at the patterns whose literal beginning is the modalias' own, and of those at the ones
whose longest literal piece is in it: a device costs about as many steps as it has characters,
however many patterns other buses have.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, LimitError
from sysgraft.formats.glob import Glob, literal_beginning

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_MODALIAS: Final = 4096
"""Characters of a device's modalias: a page of sysfs. The longest that exist, of DMI, have 600."""
MAX_PATTERNS: Final = 2_000_000
"""Patterns of a table; Debian's kernel has 27,000."""


def normalize(text: str) -> str:
    """`text` with ``-`` as ``_``, except within ``[…]``."""
    if "-" not in text:
        return text
    if "[" not in text:
        return text.replace("-", "_")
    parts = re.split(r"(\[[^]]*\])", text)
    return "".join(p if p.startswith("[") else p.replace("-", "_") for p in parts)


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
        self._compiled: dict[str, Glob | None] = {}
        self._known: dict[str, tuple[str, ...]] = {}
        for number, (text, value) in enumerate(entries):
            if number >= MAX_PATTERNS:
                raise LimitError(f"more than {MAX_PATTERNS} module aliases")
            key = literal_beginning(text).replace("-", "_")
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

    def _compile(self, text: str) -> Glob | None:
        if text not in self._compiled:
            try:
                self._compiled[text] = Glob(normalize(text))
            except FormatError:
                self._compiled[text] = None
                self.refused.append(text)
        return self._compiled[text]
