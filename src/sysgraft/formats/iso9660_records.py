"""The records of an ISO 9660 volume: descriptors, directory records, path tables.

ECMA-119 (4th edition, which is ISO 9660): §8.4 primary volume descriptor, §9.1 directory records,
§9.4 path tables. Only one volume set of one volume is written, and no extended attributes.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Final, NamedTuple

SECTOR: Final = 2048
"""Bytes of a logical sector, and of a logical block here."""
SYSTEM_AREA: Final = 16
"""Sectors before the first descriptor, for whatever starts the computer."""
MAX_SECTION: Final = (1 << 32) - SECTOR
"""Bytes of one section of a file: a larger file has several (§6.5.1)."""
MAX_RECORD: Final = 254
"""Bytes of a directory record, which are even (§9.1)."""
SELF: Final = b"\0"
ABOVE: Final = b"\1"
"""Identifiers of a directory itself and of the one above."""

_IDENTIFIER: Final = b"CD001"
_DIRECTORY: Final = 0x02
_MORE_SECTIONS: Final = 0x80
# Length, of extended attributes; extent and size twice each; time; flags, unit, gap; volume; name.
_RECORD: Final = struct.Struct("<BB8s8s7sBBB4sB")
_FIRST_YEAR: Final = 1900
_LAST: Final = int(datetime(2155, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())


class Extent(NamedTuple):
    """Where something is: its first sector, and its bytes."""

    sector: int
    size: int


def both16(number: int) -> bytes:
    """A number of 16 bits in both byte orders (§7.2.3)."""
    return struct.pack("<H", number) + struct.pack(">H", number)


def both32(number: int) -> bytes:
    """A number of 32 bits in both byte orders (§7.3.3)."""
    return struct.pack("<I", number) + struct.pack(">I", number)


def short_time(seconds: int) -> bytes:
    """A time of seven bytes, in UTC (§9.1.5)."""
    when = datetime.fromtimestamp(min(max(seconds, 0), _LAST), UTC)
    year = when.year - _FIRST_YEAR
    return bytes([year, when.month, when.day, when.hour, when.minute, when.second, 0])


def _long_time(seconds: int) -> bytes:
    """A time of seventeen bytes, in UTC (§8.4.26.1)."""
    when = datetime.fromtimestamp(min(max(seconds, 0), _LAST), UTC)
    return f"{when:%Y%m%d%H%M%S}00".encode() + b"\0"


_NO_TIME: Final = b"0" * 16 + b"\0"


def record_head(identifier: bytes) -> int:
    """Bytes of a directory record before its system use field."""
    return _RECORD.size + len(identifier) + (1 - len(identifier) % 2)


def directory_record(
    identifier: bytes,
    extent: Extent,
    *,
    time: int,
    is_directory: bool,
    more: bool = False,
    system_use: bytes = b"",
) -> bytes:
    """A directory record.

    Args:
        identifier: the name.
        extent: of the directory, or of a section of the file.
        time: in seconds since 1970.
        is_directory: whether it is one.
        more: whether another section of the same file follows.
        system_use: what Rock Ridge adds.
    """
    size = record_head(identifier) + len(system_use)
    size += size % 2
    flags = (_DIRECTORY if is_directory else 0) | (_MORE_SECTIONS if more else 0)
    head = _RECORD.pack(
        size, 0, both32(extent.sector), both32(extent.size), short_time(time), flags, 0, 0,
        both16(1), len(identifier),
    )  # fmt: skip
    data = (head + identifier).ljust(record_head(identifier), b"\0") + system_use
    return data.ljust(size, b"\0")


def sections(extent: Extent) -> list[Extent]:
    """The sections of a file that lies in one piece; an empty file has one as well."""
    found: list[Extent] = []
    position = 0
    while position < extent.size or not found:
        size = min(MAX_SECTION, extent.size - position)
        found.append(Extent(extent.sector + position // SECTOR, size))
        position += MAX_SECTION
    return found


# --- Descriptors and path tables -----------------------------------------------------------------


class Tables(NamedTuple):
    """Where the path tables are: the sectors of both, and the bytes of one."""

    little: int
    big: int
    size: int


def primary_descriptor(
    volume_id: str, *, sectors: int, tables: Tables, root: Extent, time: int
) -> bytes:
    """The primary volume descriptor."""
    when = _long_time(time)
    fields = (
        b"\1" + _IDENTIFIER + b"\1\0",
        _text("", 32),
        _text(volume_id, 32),
        bytes(8) + both32(sectors) + bytes(32),
        both16(1) + both16(1) + both16(SECTOR),
        both32(tables.size),
        struct.pack("<II", tables.little, 0) + struct.pack(">II", tables.big, 0),
        directory_record(SELF, root, time=time, is_directory=True),
        _text("", 128) + _text("", 128) + _text("", 128) + _text("SYSGRAFT", 128),
        _text("", 37) * 3,
        when + when + _NO_TIME + _NO_TIME,
        b"\1\0",
    )
    return b"".join(fields).ljust(SECTOR, b"\0")


def terminator() -> bytes:
    """The descriptor behind the last one."""
    return (b"\xff" + _IDENTIFIER + b"\1").ljust(SECTOR, b"\0")


def boot_descriptor(system: bytes, data: bytes) -> bytes:
    """A boot record (§8.2): whose it is, and what that one wants to have there."""
    head = b"\0" + _IDENTIFIER + b"\1" + system.ljust(32, b"\0") + bytes(32)
    return (head + data).ljust(SECTOR, b"\0")


def path_record(identifier: bytes, sector: int, above: int, *, big: bool) -> bytes:
    """An entry of a path table: a directory, its sector, and the number of the one above."""
    numbers = struct.pack(">IH" if big else "<IH", sector, above)
    data = bytes([len(identifier), 0]) + numbers + identifier
    return data + bytes(len(data) % 2)


def _text(text: str, length: int) -> bytes:
    return text.encode("ascii").ljust(length)
