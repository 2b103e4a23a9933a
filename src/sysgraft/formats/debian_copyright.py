"""Debian's machine-readable copyright files, version 1.0: what one says of some of its files.

A file about thousands of files is as long as all their terms together. An excerpt has the header,
the paragraphs that are about the files that are passed on, and the licences these name, each word
as it was. Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/, paragraphs as
in Debian Policy 5.1. Whether a licence permits anything is not judged.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, LimitError
from sysgraft.formats.glob import Glob

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

MAX_SIZE: Final = 4 << 20
"""Bytes of a copyright file; linux-firmware's in Debian 13 has 343 KB."""
MAX_PATTERNS: Final = 20_000
"""Patterns of one file; linux-firmware's in Debian 13 has under a thousand."""

_FORMAT: Final = re.compile(r"https?://\S*/copyright-format/1\.0/?")
_FIELD: Final = re.compile(r"([!-9;-~]{1,100}):[ \t]*(.*)")
# Of files that are not in the package.
_LEFT_OUT: Final = ("files-excluded", "files-included")
_OPERATORS: Final = re.compile(r",?\s+(?:and|or)\s+")
_EXCEPTION: Final = re.compile(r"\s+with\s+.*")


def excerpt(data: bytes, names: Collection[str]) -> bytes | None:
    """The part of a copyright file that is about `names`.

    Args:
        data: the file.
        names: paths of files, as its patterns have them.

    Returns:
        A copyright file of the same format, whose field ``X-Excerpt-Of`` has the digest of the
        whole one; None if it is not of this format, says nothing of one of the files, or lacks
        the text of a licence, so that only the whole file will do.
    """
    if len(data) > MAX_SIZE:
        return None
    try:
        header, others = _taken_apart(data.decode())
        about = _paragraphs_about(names, [each for each in others if each.has("files")])
        licences = [each for each in others if each.has("license") and not each.has("files")]
        named = _named(about, licences)
    except (FormatError, LimitError, UnicodeDecodeError):
        return None
    chosen = [each for each in others if each in about or each in named]
    digest = hashlib.sha256(data).hexdigest()
    texts = [header.without(_LEFT_OUT) + f"X-Excerpt-Of: sha256:{digest}\n"]
    return "\n".join(texts + [each.text for each in chosen]).encode()


@dataclass(frozen=True, eq=False)
class _Paragraph:
    """Fields in their order, names in lower case, values as written; comments are dropped."""

    fields: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        return self.without(())

    def without(self, names: Sequence[str]) -> str:
        return "".join(value for name, value in self.fields if name not in names)

    def has(self, name: str) -> bool:
        return any(name == each for each, _ in self.fields)

    def field(self, name: str) -> str:
        """What stands behind the colon; FormatError unless there is one such field."""
        found = [value for each, value in self.fields if each == name]
        if len(found) != 1:
            raise FormatError(f"a paragraph with {len(found)} fields {name}")
        return found[0].partition(":")[2].strip()


def _taken_apart(text: str) -> tuple[_Paragraph, list[_Paragraph]]:
    """The header, and what follows it."""
    header, *others = list(_paragraphs(text)) or [_Paragraph(())]
    if not _FORMAT.fullmatch(header.field("format")):
        raise FormatError("not of this format")
    return header, others


def _paragraphs(text: str) -> Iterator[_Paragraph]:
    fields: list[tuple[str, str]] = []
    for line in text.split("\n"):
        if line.startswith("#"):
            continue
        if not line.strip():
            if fields:
                yield _Paragraph(tuple(fields))
            fields = []
        elif line[0] in " \t":
            if not fields:
                raise FormatError("a line goes on, and none is before it")
            name, value = fields.pop()
            fields.append((name, f"{value}{line}\n"))
        elif field := _FIELD.fullmatch(line):
            fields.append((field[1].lower(), f"{line}\n"))
        else:
            raise FormatError("a line without a field")
    if fields:
        yield _Paragraph(tuple(fields))


def _paragraphs_about(names: Collection[str], paragraphs: Sequence[_Paragraph]) -> list[_Paragraph]:
    """The last paragraph that matches each name counts, as the format has it."""
    left = set(names)
    found = []
    count = 0
    for paragraph in reversed(paragraphs):
        patterns = paragraph.field("files").split()
        count += len(patterns)
        if count > MAX_PATTERNS:
            raise LimitError(f"more than {MAX_PATTERNS} patterns")
        matching = _matching(patterns, left)
        if matching:
            found.append(paragraph)
            left -= matching
    if left:
        raise FormatError("nothing is said of a file")
    return found


def _matching(patterns: Sequence[str], names: Collection[str]) -> set[str]:
    # Only ``*``, ``?`` and backslashes are special here.
    globs = [Glob(pattern.replace("[", r"\[")) for pattern in patterns]
    return {name for name in names if any(glob.matches(name) for glob in globs)}


def _named(about: Sequence[_Paragraph], licences: Sequence[_Paragraph]) -> list[_Paragraph]:
    """The paragraphs with the texts of licences; each one that has no text in place needs one."""
    known = {each.field("license").partition("\n")[0].strip(): each for each in licences}
    found = []
    for paragraph in about:
        expression, _, text = paragraph.field("license").partition("\n")
        for name in _OPERATORS.split(expression.strip()):
            licence = known.get(name) or known.get(_EXCEPTION.sub("", name))
            if licence is not None:
                found.append(licence)
            elif not text.strip():
                raise FormatError("a licence without a text")
    return found
