"""The records of a GUID partition table: protective MBR, header, entry.

UEFI specification 2.10 §5.2.3, §5.3.2 and §5.3.3: where each field is, what a header must look
like to be read, and how one is written with its checksum. Where tables and partitions may be on a
disk is the matter of `sysgraft.formats.gpt`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

from sysgraft.errors import FormatError, LimitError, UnsupportedError, UsageError

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob

MAX_ENTRIES: Final = 1024
"""systemd's limit; the specification has none and every tool writes 128."""

MAX_ENTRY_SIZE: Final = 4096
"""Ours: with `MAX_ENTRIES` the array stays below 4 MiB. Every tool writes 128."""

MAGIC: Final = b"EFI PART"
"""What a header begins with (UEFI 2.10, 5.3.2)."""

_REVISION_1_0: Final = 0x0001_0000

# 0 signature, 8 revision, 12 header size, 16 CRC-32 of the header with this field zero,
# 20 reserved, 24 LBA of this header, 32 of the other one, 40 first and 48 last usable LBA,
# 56 disk UUID, 72 LBA of the entries, 80 their count and 84 size, 88 CRC-32 of all entries.
HEADER: Final = struct.Struct("<8s4I4Q16sQ3I")
HEADER_START: Final = (MAGIC, _REVISION_1_0, HEADER.size, 0, 0)
"""The first five fields of every header written here, its checksum still zero."""

# 0 type UUID (zero: unused), 16 partition UUID, 32 first and 40 last LBA, 48 attributes,
# 56 name in UTF-16, up to 36 units.
ENTRY: Final = struct.Struct("<16s16sQQQ72s")

# The one MBR record: 0 boot indicator, 1 CHS of sector 1, 4 type, 5 CHS of the last sector,
# 8 first LBA, 12 number of sectors as far as 32 bits go.
MBR_RECORD: Final = struct.Struct("<B3sB3sII")
MBR_RECORDS: Final = 446
CHS_OF_SECTOR_1: Final = bytes([0, 2, 0])
CHS_TOO_LARGE: Final = bytes([0xFF, 0xFF, 0xFF])


class Header(NamedTuple):
    """A header, its fields as they are on the disk; `pack_header` fills in `crc`."""

    magic: bytes
    revision: int
    size: int
    crc: int
    reserved: int
    my_lba: int
    alternate_lba: int
    first_usable: int
    last_usable: int
    disk_uuid: bytes
    entries_lba: int
    entry_count: int
    entry_size: int
    entries_crc: int


def starts_with_magic(blob: Blob, offset: int) -> bool:
    """Whether a header may begin at this byte."""
    end = offset + len(MAGIC)
    return blob.size >= end and blob.read_at(offset, len(MAGIC)) == MAGIC


def read_header(blob: Blob, sector_size: int, lba: int) -> Header:
    """Read the header in sector `lba`.

    Raises:
        FormatError: it is none, its checksum is wrong, or it says it is elsewhere.
        UnsupportedError: its revision is not 1.0.
    """
    sector = blob.read_at(lba * sector_size, sector_size)
    header = Header._make(HEADER.unpack_from(sector))
    if header.magic != MAGIC:
        raise FormatError("the header does not begin with EFI PART")
    if header.revision != _REVISION_1_0:
        raise UnsupportedError(f"the header's revision is {header.revision:#x}, not 0x10000")
    if not HEADER.size <= header.size <= sector_size:
        raise FormatError(f"the header says it has {header.size} bytes")
    # The checksum covers itself as zeros.
    if crc32(sector[20 : header.size], crc32(sector[:16] + bytes(4))) != header.crc:
        raise FormatError("the header's checksum does not match")
    if header.my_lba != lba:
        raise FormatError(f"the header in sector {lba} says it is in sector {header.my_lba}")
    return header


def check_entry_form(count: int, size: int) -> None:
    """Whether a header may announce so many entries of so many bytes.

    Raises:
        LimitError: there are more than `MAX_ENTRIES`, or they are larger than `MAX_ENTRY_SIZE`.
        FormatError: there are none, or they have a size that is not possible.
    """
    if count > MAX_ENTRIES or size > MAX_ENTRY_SIZE:
        raise LimitError(
            f"{count} entries of {size} bytes, the limits are {MAX_ENTRIES} and {MAX_ENTRY_SIZE}",
        )
    if not count or size < ENTRY.size or size & (size - 1):
        raise FormatError(f"{count} entries of {size} bytes are not possible")


def read_entries(blob: Blob, header: Header, sector_size: int) -> bytes:
    """All entries of this header's table; raises `FormatError` if their checksum is wrong."""
    size = header.entry_count * header.entry_size
    entries = blob.read_at(header.entries_lba * sector_size, size)
    if crc32(entries) != header.entries_crc:
        raise FormatError("the partition entries' checksum does not match")
    return entries


def pack_header(header: Header, sector_size: int) -> bytes:
    """The sector with this header and its checksum."""
    blank = header._replace(crc=0)
    sealed = blank._replace(crc=crc32(HEADER.pack(*blank)))
    return HEADER.pack(*sealed).ljust(sector_size, b"\0")


def pack_mbr(last_lba: int, sector_size: int) -> bytes:
    """Sector 0 with the protective MBR of a disk whose last sector is `last_lba`."""
    record = MBR_RECORD.pack(0, CHS_OF_SECTOR_1, 0xEE, CHS_TOO_LARGE, 1, min(last_lba, 0xFFFF_FFFF))
    mbr = (bytes(MBR_RECORDS) + record).ljust(510, b"\0") + b"\x55\xaa"
    return mbr.ljust(sector_size, b"\0")


def decode_name(index: int, raw: bytes) -> str:
    """The name of entry `index` up to the first NUL; raises `FormatError` if it is not UTF-16."""
    try:
        return raw.decode("utf-16-le").partition("\0")[0]
    except UnicodeDecodeError:
        raise FormatError(f"the name of partition {index + 1} is not UTF-16") from None


def encode_name(name: str) -> bytes:
    """The name as an entry holds it, up to 72 bytes; raises `UsageError` if it cannot."""
    try:
        raw = name.encode("utf-16-le")
    except UnicodeEncodeError:
        raise UsageError(f"not a partition name: {name!r}") from None
    if len(raw) > 72 or "\0" in name:
        raise UsageError(f"a partition name has up to 36 UTF-16 units, no NUL: {name!r}")
    return raw
