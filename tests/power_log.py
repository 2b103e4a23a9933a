"""What a virtual disk was told to write: the log of QEMU's driver ``blklogwrites``, read strictly.

The format is that of Linux' dm-log-writes (``drivers/md/dm-log-writes.c``): a superblock, then
entries of one sector each with their data behind them. Entries stand in the order in which the disk
finished them. A guest cannot write marks into it; it writes a sector that says so (`SIGN`) into the
last MiB of the disk, where no partition is.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

SECTOR: Final = 512
"""Bytes that a disk writes whole or not at all."""
MARKS: Final = 1 << 20
"""Bytes at the end of the disk where marks are."""
SIGN: Final = b"sysgraft-mark "
"""How a mark begins; its name follows, then zeros."""

_MAGIC: Final = 0x6A736677736872
_VERSION: Final = 1
_SUPER: Final = struct.Struct("<QQQI")
_ENTRY: Final = struct.Struct("<QQQQ")
_FLUSH: Final = 1
_FUA: Final = 2
_DISCARD: Final = 4
_MAX_ENTRIES: Final = 1 << 20
_MAX_LOG: Final = 4 << 30


class Write(NamedTuple):
    """A write; a discard is one of zeros, which may not happen either.

    Attributes:
        sector: where it begins.
        data: whole sectors.
        fua: whether it was durable when it was done.
    """

    sector: int
    data: bytes
    fua: bool = False


class Flush(NamedTuple):
    """All that was done before is durable."""


class Mark(NamedTuple):
    """A new part begins."""

    name: str


Event = Write | Flush | Mark


class LogError(Exception):
    """The log is none, or damaged."""


def parse(log: bytes, disk_size: int) -> list[Event]:
    """Read the log of a disk.

    Raises:
        LogError: it is damaged, too long, or has what QEMU does not write.
    """
    if len(log) > _MAX_LOG or len(log) < SECTOR:
        raise LogError(f"a log of {len(log)} bytes")
    magic, version, count, sector_size = _SUPER.unpack_from(log)
    if (magic, version, sector_size) != (_MAGIC, _VERSION, SECTOR) or any(log[28:SECTOR]):
        raise LogError("not a log in sectors of 512 bytes")
    if count > _MAX_ENTRIES:
        raise LogError(f"a log of {count} entries")
    events = list(_events(log, count, disk_size))
    marks = (disk_size - MARKS) // SECTOR
    return [_mark(each, marks) if isinstance(each, Write) else each for each in events]


def _events(log: bytes, count: int, disk_size: int) -> Iterator[Event]:
    place = SECTOR
    for number in range(count):
        if place + SECTOR > len(log):
            raise LogError(f"entry {number} is missing")
        sector, sectors, flags, data_size = _ENTRY.unpack_from(log, place)
        if any(log[place + _ENTRY.size : place + SECTOR]) or data_size:
            raise LogError(f"entry {number} is no entry")
        place += SECTOR
        size = sectors * SECTOR
        if sector * SECTOR + size > disk_size:
            raise LogError(f"entry {number} lies beyond the disk")
        if flags == _FLUSH and not size:
            yield Flush()
        elif flags == _DISCARD:
            yield Write(sector, bytes(size))
        elif flags in (0, _FUA):
            # Zeros at the end may be a hole that the file does not have.
            data = log[place : place + size]
            if len(data) < size and number < count - 1:
                raise LogError(f"the data of entry {number} is cut off")
            yield Write(sector, data.ljust(size, b"\0"), fua=bool(flags))
            place += size
        else:
            raise LogError(f"entry {number} has the flags {flags:#x}")


def _mark(write: Write, first: int) -> Event:
    """A write, or the mark that it is."""
    if write.sector < first or not write.data.startswith(SIGN):
        return write
    return Mark(write.data[len(SIGN) :].rstrip(b"\0").decode("ascii"))


def render(events: list[Event], disk_size: int) -> bytes:
    """A log as QEMU would write it, for tests of what reads it."""
    pieces = [_SUPER.pack(_MAGIC, _VERSION, len(events), SECTOR).ljust(SECTOR, b"\0")]
    for event in events:
        if isinstance(event, Flush):
            pieces.append(_ENTRY.pack(0, 0, _FLUSH, 0).ljust(SECTOR, b"\0"))
            continue
        if isinstance(event, Mark):
            sector, fua = (disk_size - MARKS) // SECTOR, False
            data = (SIGN + event.name.encode("ascii")).ljust(SECTOR, b"\0")
        else:
            sector, data, fua = event
        head = _ENTRY.pack(sector, len(data) // SECTOR, _FUA if fua else 0, 0)
        pieces += (head.ljust(SECTOR, b"\0"), data)
    return b"".join(pieces)
