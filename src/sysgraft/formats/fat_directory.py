"""Directories of a FAT volume: names, sizes and times.

Microsoft FAT: General Overview of On-Disk Format 1.03, "FAT Directory Structure" and "FAT Long
Directory Entries". Names of the short form are in code page 437, as UEFI and Linux read them. A
long name that does not belong to the entry behind it is passed over, like a deleted entry.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import FormatError
from sysgraft.formats.fat_boot import ENTRY_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

READ_ONLY: Final = 0x01
HIDDEN: Final = 0x02
SYSTEM: Final = 0x04
VOLUME_ID: Final = 0x08
DIRECTORY: Final = 0x10
ARCHIVE: Final = 0x20

# 0 name, 11 attributes, 12 case flags, 13 hundredths of the creation time, 14 creation time and 16
# date, 18 access date, 20 first cluster (upper half), 22 write time and 24 date, 26 first cluster
# (lower half), 28 size.
_ENTRY: Final = struct.Struct("<11sBBBHHHHHHHI")
_FREE: Final = 0xE5
_FREE_LETTER: Final = 0x05  # stands for a name's first byte E5
_DOTS: Final = (b".".ljust(11), b"..".ljust(11))
# Case flags of Windows NT for a name without a long form: the base, the extension in lower case.
_LOWER_BASE: Final = 0x08
_LOWER_EXTENSION: Final = 0x10

# A long name's entry: 0 order and flag of the last part, 1 five units, 11 attributes (all of the
# first four), 13 checksum of the short name, 14 six units, 26 zero, 28 two units.
_LONG: Final = struct.Struct("<B10sBBB12sH4s")
_LONG_ATTRIBUTES: Final = 0x0F
_LONG_MASK: Final = 0x3F
_LAST_PART: Final = 0x40
_MAX_PARTS: Final = 20
_MAX_NAME: Final = 255
_UNITS: Final = 13
"""UTF-16 units in one part of a long name."""
_PLAIN: Final = re.compile(r"[A-Z0-9_-]{1,8}(\.[A-Z0-9_-]{1,3})?")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or directory.

    Attributes:
        name: the long name, or the short one where there is none.
        short_name: the name in the form 8.3.
        attributes: a sum of the flags of this module.
        size: bytes of a file, 0 of a directory.
        first_cluster: where its content begins, 0 if it is empty.
        created: when, to 10 ms, in an unstated time zone; None if that is not stored.
        modified: when it was last written, to 2 s, likewise.
        accessed: the day of the last access, likewise.
    """

    name: str
    short_name: str
    attributes: int
    size: int
    first_cluster: int
    created: datetime | None = None
    modified: datetime | None = None
    accessed: datetime | None = None

    @property
    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return bool(self.attributes & DIRECTORY)


class Folder(NamedTuple):
    """What a directory holds: its entries in order, and the volume's name if it is here."""

    entries: tuple[Entry, ...]
    label: str | None


def parse(data: bytes, *, wide_clusters: bool) -> Folder:
    """Read a directory, without the entries for itself and the one above.

    Args:
        data: its content, as much as its clusters hold.
        wide_clusters: whether numbers of clusters have 32 bits, as on FAT32.

    Raises:
        FormatError: a name that could not be one.
    """
    entries: list[Entry] = []
    label = None
    long_name = _LongName()
    for raw in _records(data):
        attributes = raw[11]
        if raw[0] == _FREE:
            long_name.clear()
        elif attributes & _LONG_MASK == _LONG_ATTRIBUTES:
            long_name.add(raw)
        elif attributes & VOLUME_ID:
            label = decode_label(raw[:11]) if label is None else label
            long_name.clear()
        elif raw[:11] not in _DOTS:
            entries.append(_entry(raw, long_name.take(raw[:11]), wide_clusters=wide_clusters))
    return Folder(tuple(entries), label)


def free_runs(data: bytes) -> tuple[int, ...]:
    """How many entries of a directory are free, run by run; behind its end all of them are."""
    runs: list[int] = []
    length = 0
    for offset in range(0, len(data) - ENTRY_SIZE + 1, ENTRY_SIZE):
        if data[offset] == 0:
            return (*runs, length + (len(data) - offset) // ENTRY_SIZE)
        if data[offset] == _FREE:
            length += 1
        elif length:
            runs.append(length)
            length = 0
    return (*runs, length) if length else tuple(runs)


def entries_of(name: str) -> int:
    """How many entries a new name takes: one in the form 8.3 in capitals, or parts and one.

    Linux writes names that are not in capitals as long ones (vfat's ``shortname=mixed``).
    """
    if _PLAIN.fullmatch(name):
        return 1
    units = len(name.encode("utf-16-le", "surrogatepass")) // 2
    return 1 - (-units // _UNITS)


def _records(data: bytes) -> Iterator[bytes]:
    for offset in range(0, len(data) - ENTRY_SIZE + 1, ENTRY_SIZE):
        if data[offset] == 0:
            return
        yield data[offset : offset + ENTRY_SIZE]


def _entry(raw: bytes, long_name: str | None, *, wide_clusters: bool) -> Entry:
    (name, attributes, case, hundredths, created, created_day, accessed_day, upper, modified,
     modified_day, lower, size) = _ENTRY.unpack(raw)  # fmt: skip
    short_name = _short_name(name, 0)
    is_dir = bool(attributes & DIRECTORY)
    return Entry(
        name=long_name or _short_name(name, case),
        short_name=short_name,
        attributes=attributes,
        size=0 if is_dir else size,
        first_cluster=lower | (upper << 16 if wide_clusters else 0),
        created=_time(created_day, created, hundredths),
        modified=_time(modified_day, modified),
        accessed=_time(accessed_day, 0),
    )


def decode_label(raw: bytes) -> str:
    """A volume's name: eleven bytes."""
    return _letters(raw).decode("cp437").rstrip(" ")


def _letters(raw: bytes) -> bytes:
    return bytes([_FREE]) + raw[1:] if raw[0] == _FREE_LETTER else raw


def _short_name(raw: bytes, case: int) -> str:
    letters = _letters(raw)
    if letters[:1] == b" " or any(byte < 0x20 or byte in b"./\\" for byte in letters):
        raise FormatError(f"a directory has the impossible file name {raw!r}")
    text = letters.decode("cp437")
    base, extension = text[:8].rstrip(" "), text[8:].rstrip(" ")
    if case & _LOWER_BASE:
        base = base.lower()
    if case & _LOWER_EXTENSION:
        extension = extension.lower()
    return f"{base}.{extension}" if extension else base


def _time(day: int, time: int, hundredths: int = 0) -> datetime | None:
    """Date: 7 bits years since 1980, 4 month, 5 day. Time: 5 hours, 6 minutes, 5 half seconds."""
    extra, hundredths = divmod(hundredths if hundredths < 200 else 0, 100)
    try:
        return datetime(  # noqa: DTZ001 - no time zone is stored
            1980 + (day >> 9),
            day >> 5 & 0x0F,
            day & 0x1F,
            time >> 11,
            time >> 5 & 0x3F,
            (time & 0x1F) * 2 + extra,
            hundredths * 10_000,
        )
    except ValueError:  # zeros where it is not stored
        return None


def checksum(short_name: bytes) -> int:
    """What the parts of a long name say of the eleven bytes of the short one."""
    value = 0
    for byte in short_name:
        value = ((value >> 1 | value << 7) + byte) & 0xFF
    return value


class _LongName:
    """Collects the parts of a long name, which come last one first, before the entry's own."""

    __slots__ = ("_checksum", "_next", "_parts")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._parts: list[bytes] = []
        self._next = self._checksum = 0

    def add(self, raw: bytes) -> None:
        order, first, _, _, checksum_, second, _, third = _LONG.unpack(raw)
        if order & _LAST_PART:
            self.clear()
            self._next, self._checksum = order & ~_LAST_PART, checksum_
        if order & ~_LAST_PART != self._next or checksum_ != self._checksum or not self._next:
            self.clear()
            return
        self._parts.append(first + second + third)
        self._next -= 1

    def take(self, short_name: bytes) -> str | None:
        """The name, if its parts are all there and belong to this short name."""
        parts, is_whole = self._parts, not self._next and self._checksum == checksum(short_name)
        self.clear()
        if not parts or not is_whole or len(parts) > _MAX_PARTS:
            return None
        units = b"".join(reversed(parts))
        length = next((at for at in range(0, len(units), 2) if units[at : at + 2] == b"\0\0"), None)
        name = units[:length].decode("utf-16-le", "replace")
        return name if _is_name(name) else None


def _is_name(name: str) -> bool:
    if not name or len(name) > _MAX_NAME or name in (".", ".."):
        return False
    return all(letter >= " " and letter not in "/\\" for letter in name)
