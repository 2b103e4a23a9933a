"""Directories and allocation tables of a new FAT volume, as bytes.

Microsoft FAT: General Overview of On-Disk Format 1.03 (fatgen103), "FAT Directory Structure", "FAT
Long Directory Entries", "FAT Data Structure". `sysgraft.formats.fat_directory` reads what this
writes.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.base.blob import check_range, collect
from sysgraft.formats.fat_boot import ENTRY_SIZE
from sysgraft.formats.fat_directory import ARCHIVE, DIRECTORY, VOLUME_ID, checksum
from sysgraft.formats.fat_names import is_short

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

UNITS: Final = 13
"""UTF-16 units in one part of a long name."""

# The first and the last second that a date from 1980 on in 7 bits has; the time counts by two.
_FIRST: Final = int(datetime(1980, 1, 1, tzinfo=UTC).timestamp())
_LAST: Final = int(datetime(2107, 12, 31, 23, 59, 58, tzinfo=UTC).timestamp())

# As in `sysgraft.formats.fat_directory`.
_ENTRY: Final = struct.Struct("<11sBBBHHHHHHHI")
_LONG: Final = struct.Struct("<B10sBBB12sH4s")
_LONG_ATTRIBUTES: Final = 0x0F
_LAST_PART: Final = 0x40
_MEDIA: Final = 0xF8
_END: Final = {16: 0xFFFF, 32: 0x0FFF_FFFF}


class Stamp(NamedTuple):
    """A moment as a directory has it."""

    date: int
    time: int
    hundredths: int


def stamp(seconds: int) -> Stamp:
    """A time in seconds since 1970, in UTC; the nearest there is, where there is none."""
    when = datetime.fromtimestamp(min(max(seconds, _FIRST), _LAST), UTC)
    return Stamp(
        (when.year - 1980) << 9 | when.month << 5 | when.day,
        when.hour << 11 | when.minute << 5 | when.second // 2,
        when.second % 2 * 100,
    )


# --- Directories ---------------------------------------------------------------------------------


def records_of(name: str) -> int:
    """How many entries a name takes."""
    return 1 if is_short(name) else 1 - (-len(name) // UNITS)


def file_records(
    name: str, short: bytes, when: Stamp, *, cluster: int, size: int, is_dir: bool
) -> bytes:
    """The entries of a file or directory, those of its long name first."""
    long_name = b"" if is_short(name) else _long_records(name, short)
    attributes = DIRECTORY if is_dir else ARCHIVE
    return long_name + record(short, when, cluster=cluster, size=size, attributes=attributes)


def dot_records(when: Stamp, *, own: int, above: int) -> bytes:
    """The entries of a directory for itself and the one above, which is 0 for the root."""
    return b"".join(
        record(name.ljust(11), when, cluster=cluster, size=0, attributes=DIRECTORY)
        for name, cluster in ((b".", own), (b"..", above))
    )


def label_record(label: bytes, when: Stamp) -> bytes:
    """The entry of the root directory with the volume's name."""
    return record(label, when, cluster=0, size=0, attributes=VOLUME_ID)


def record(short: bytes, when: Stamp, *, cluster: int, size: int, attributes: int) -> bytes:
    """One entry; the volume's label was created and read at no time."""
    created = Stamp(0, 0, 0) if attributes == VOLUME_ID else when
    return _ENTRY.pack(
        short, attributes, 0, created.hundredths, created.time, created.date, created.date,
        cluster >> 16, when.time, when.date, cluster & 0xFFFF, size,
    )  # fmt: skip


def _long_records(name: str, short: bytes) -> bytes:
    units = name.encode("utf-16-le")
    count = -(-len(name) // UNITS)
    if len(name) % UNITS:
        units = (units + b"\0\0").ljust(count * UNITS * 2, b"\xff")
    return b"".join(_long_record(units, number, count, short) for number in range(count, 0, -1))


def _long_record(units: bytes, number: int, count: int, short: bytes) -> bytes:
    part = units[(number - 1) * UNITS * 2 : number * UNITS * 2]
    order = number | (_LAST_PART if number == count else 0)
    sum_ = checksum(short)
    return _LONG.pack(order, part[:10], _LONG_ATTRIBUTES, 0, sum_, part[10:22], 0, part[22:])


def directory_size(names: Sequence[str], further: int) -> int:
    """Bytes of a directory with these names and `further` entries of one record each."""
    return ENTRY_SIZE * (further + sum(map(records_of, names)))


# --- The allocation table ------------------------------------------------------------------------


class Chains:
    """An allocation table whose clusters are in use from the first on, every file in one run.

    Args:
        bits: 16 or 32.
        ends: the last cluster of each run, in order.
    """

    __slots__ = ("_bits", "_count", "_ends", "_width")

    def __init__(self, bits: int, ends: Sequence[int]) -> None:
        self._bits = bits
        self._width = bits // 8
        self._ends = ends
        self._count = (ends[-1] if ends else 1) + 1

    @property
    def size(self) -> int:
        """Bytes up to the last entry in use; those behind it are zeros."""
        return self._count * self._width

    def read_at(self, offset: int, length: int) -> bytes:
        """See `Blob.read_at`."""
        return collect(self, offset, length)

    def readinto_at(self, offset: int, view: memoryview) -> None:
        """See `Blob.readinto_at`."""
        check_range(self, offset, len(view))
        first = offset // self._width
        behind = -(-(offset + len(view)) // self._width)
        entries = array("H" if self._width == 2 else "I", self._entries(first, behind))
        if sys.byteorder == "big":
            entries.byteswap()
        within = offset - first * self._width
        view[:] = entries.tobytes()[within : within + len(view)]

    def _entries(self, first: int, behind: int) -> Iterator[int]:
        """The entries ``[first, behind)``; the first two are the medium's, and no clusters."""
        end_mark = _END[self._bits]
        yield from (end_mark & ~0xFF | _MEDIA, end_mark)[first:behind]
        entry, number = max(first, 2), bisect_left(self._ends, first)
        while entry < behind:
            end = self._ends[number]
            yield from range(entry + 1, min(end, behind) + 1)
            if end < behind:
                yield end_mark
            entry, number = end + 1, number + 1
