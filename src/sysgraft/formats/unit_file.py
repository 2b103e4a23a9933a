"""systemd's unit files and their drop-ins: sections with the assignments in them.

systemd.syntax(7): ``[Section]``, ``Key=Value``, comments with ``#`` and ``;``, a backslash at the
end continues a line and leaves a space, comments between continued lines are dropped. What a key
means, quoting and specifiers are not known here; an empty value, which resets a list, is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sysgraft.errors import FormatError, LimitError

MAX_SIZE: Final = 1 << 20
"""Bytes of a unit file (systemd's LONG_LINE_MAX is one line of as many)."""

_COMMENTS: Final = ("#", ";")


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit file, or a drop-in.

    Attributes:
        assignments: section, key and value, in the order of the file.
    """

    assignments: tuple[tuple[str, str, str], ...]

    def values(self, section: str, key: str) -> tuple[str, ...]:
        """The values of all assignments of a key."""
        return tuple(v for s, k, v in self.assignments if (s, k) == (section, key))

    def words(self, section: str, key: str) -> tuple[str, ...]:
        """The words of a list; an empty assignment drops those before it."""
        words: list[str] = []
        for value in self.values(section, key):
            words = [*words, *value.split()] if value else []
        return tuple(words)


def parse(data: bytes) -> Unit:
    """Read a unit file; lines that are none of the above are passed over, as systemd does.

    Raises:
        LimitError: more than `MAX_SIZE` bytes.
        FormatError: text that is not UTF-8.
    """
    if len(data) > MAX_SIZE:
        raise LimitError(f"a unit file of {len(data)} bytes, the limit is {MAX_SIZE}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"not UTF-8 at byte {error.start} of a unit file") from None
    section = ""
    found = []
    for line in _joined(text):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif "=" in line and section:
            key, _, value = line.partition("=")
            found.append((section, key.rstrip(), value.lstrip()))
    return Unit(tuple(found))


def _joined(text: str) -> list[str]:
    """The lines that count, continued ones as one."""
    lines: list[str] = []
    pending: list[str] = []
    for raw in text.split("\n"):
        line = raw.strip(" \t\r")
        if line.startswith(_COMMENTS) or not (line or pending):
            continue
        goes_on = line.endswith("\\")
        pending.append(line[:-1] if goes_on else line)
        if not goes_on:
            lines.append(" ".join(pending).strip())
            pending = []
    return lines + ([" ".join(pending).strip()] if pending else [])
