"""WHENCE: what linux-firmware says of each file, and under which terms it may be passed on.

The file ``WHENCE`` at the top of linux-firmware, read as its ``check_whence.py`` and
``copy-firmware.sh`` do: records between lines of dashes; ``Driver:``, ``File:``, ``RawFile:`` (to
be left uncompressed), ``Source:``, ``Link: NAME -> TARGET`` (relative to the link's folder),
``Version:``, ``Info:``, ``Licence:`` or ``License:``. Names may be quoted or have their spaces
escaped. A driver's string is not the name of a module. What does not fit is reported with its line
and passed over; free text is kept only where it is a licence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import LimitError

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SIZE: Final = 16 << 20
"""Bytes of a WHENCE; that of 2025 has 300 KB."""
MAX_LICENCE: Final = 64 << 10
"""Characters of one record's terms that are kept."""

_SEPARATOR: Final = re.compile(r"-{5,}\s*$")
_KEY: Final = re.compile(r"(Driver|File|RawFile|Source|Link|Version|Info|Licen[cs]e):\s*(.*)$")
_ARROW: Final = " -> "
# Lengths are bounded so that no text makes the search try again and again.
_LICENCE_FILE: Final = re.compile(
    r"(?<![\w./+-])(?:[\w.+-]{1,64}/){0,4}(?:LICEN[CS]E|COPYING|GPL)[\w.+-]{0,64}(?<![.,])"
)


class Entry(NamedTuple):
    """A file or a link.

    Attributes:
        path: relative to the firmware folder.
        target: where a link points, relative to its folder; empty for a file.
        is_raw: whether it has to stay uncompressed.
        line: number of the line that names it.
    """

    path: str
    target: str
    is_raw: bool
    line: int


@dataclass(slots=True)
class Record:
    """One record.

    Attributes:
        drivers: what ``Driver:`` says, before the ``-`` and its description.
        entries: files and links.
        versions: what ``Version:`` says.
        licence: the terms, lines joined.
        line: number of its first line.
    """

    line: int
    drivers: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    licence: str = ""

    def licence_files(self) -> tuple[str, ...]:
        """Names in the terms that look like licence files, each once."""
        return tuple(dict.fromkeys(_LICENCE_FILE.findall(self.licence)))


class Problem(NamedTuple):
    """Something that breaks the format.

    Attributes:
        line: its number.
        message: what is wrong.
    """

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Whence:
    """A WHENCE.

    Attributes:
        records: in the order of the file, those without files left out.
        problems: in the order of the file.
    """

    records: tuple[Record, ...]
    problems: tuple[Problem, ...]


def parse(data: bytes) -> Whence:
    """Read a WHENCE.

    Raises:
        LimitError: it is larger than `MAX_SIZE`.
    """
    if len(data) > MAX_SIZE:
        raise LimitError(f"a WHENCE of {len(data)} bytes, the limit is {MAX_SIZE}")
    reader = _Reader()
    for number, line in enumerate(data.decode("utf-8", "backslashreplace").split("\n"), 1):
        reader.take(number, line.rstrip("\r"))
    records = tuple(record for record in reader.records if record.entries)
    return Whence(records, tuple(reader.problems))


class _Reader:
    def __init__(self) -> None:
        self.records = [Record(1)]
        self.problems: list[Problem] = []
        self._seen: dict[str, int] = {}
        self._in_licence = False
        self._actions: dict[str, Callable[[int, str], None]] = {
            "Driver": self._driver,
            "File": self._file,
            "RawFile": self._raw_file,
            "Link": self._link,
            "Version": lambda _, value: self.records[-1].versions.append(value.strip()),
        }

    def take(self, number: int, line: str) -> None:
        if _SEPARATOR.match(line):
            self._in_licence = False
            self.records.append(Record(number + 1))
            return
        found = _KEY.match(line)
        if found is None:
            if self._in_licence:
                self._more_licence(line)
            return
        key, value = found.groups()
        self._in_licence = key.startswith("Licen")
        if self._in_licence:
            self._more_licence(value)
        elif key in self._actions:
            self._actions[key](number, value)

    def _more_licence(self, text: str) -> None:
        record = self.records[-1]
        if len(record.licence) < MAX_LICENCE:
            record.licence = f"{record.licence}\n{text.strip()}".strip()[:MAX_LICENCE]

    def _driver(self, _number: int, value: str) -> None:
        name = re.split(r"\s+-+\s+|:\s|\s-|\s\(", value.strip(), maxsplit=1)[0]
        self.records[-1].drivers.extend(filter(None, re.split(r"[\s,]+|\band\b", name)))

    def _file(self, number: int, value: str) -> None:
        self._add(number, value, is_raw=False)

    def _raw_file(self, number: int, value: str) -> None:
        self._add(number, value, is_raw=True)

    def _link(self, number: int, value: str) -> None:
        path, arrow, target = value.partition(_ARROW)
        if not arrow or not target.strip():
            self._problem(number, "a Link without a target")
            return
        self._add(number, path, target=_unquoted(target), is_raw=False)

    def _add(self, number: int, name: str, *, target: str = "", is_raw: bool) -> None:
        path = _unquoted(name)
        if not path or any(part in ("", ".", "..") for part in path.split("/")) or "\0" in path:
            self._problem(number, f"a name that leads out of the folder, or is none: {path[:80]!r}")
        elif path in self._seen:
            self._problem(number, f"{path[:80]!r} was named in line {self._seen[path]} already")
        else:
            self._seen[path] = number
            self.records[-1].entries.append(Entry(path, target, is_raw, number))

    def _problem(self, number: int, message: str) -> None:
        self.problems.append(Problem(number, message))


def _unquoted(name: str) -> str:
    name = name.strip()
    if len(name) > 1 and name.startswith('"') and name.endswith('"'):
        return name[1:-1]
    return name.replace("\\ ", " ")
