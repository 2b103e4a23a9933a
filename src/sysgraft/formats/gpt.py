"""GUID partition tables: read strictly, written whole.

UEFI specification 2.10, chapter 5: protective MBR, header, entry array, and the backup of the last
two at the end of the disk. `parse` reads the primary table and refuses what breaks the rules a
reader relies on, `problems` tells what else is wrong, `render` gives the bytes to write, `regions`
names every byte. It does not repair, does not fall back to the backup table and does not choose
where partitions go.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID
from zlib import crc32

from sysgraft.errors import FormatError, LimitError, TruncatedError, UnsupportedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sysgraft.base.blob import Blob

SECTOR_SIZES: Final = (512, 1024, 2048, 4096)
"""Where systemd looks for the header, ``probe_sector_size`` in ``src/shared/dissect-image.c``."""

MAX_ENTRIES: Final = 1024
"""systemd's limit; the specification has none and every tool writes 128."""

MAX_ENTRY_SIZE: Final = 4096
"""Ours: with `MAX_ENTRIES` the array stays below 4 MiB. Every tool writes 128."""

ENTRIES_SIZE: Final = 128 * 128
"""Bytes of the entry array as written here, the specification's minimum."""

# Attribute bits 48 to 63 belong to the partition type; these are systemd's, `src/systemd/sd-gpt.h`.
GROWFS: Final = 1 << 59
READ_ONLY: Final = 1 << 60
NO_AUTO: Final = 1 << 63

UNAUTHENTICATED: Final = ("mbr-boot-code", "slack")
"""Regions in which a changed bit goes unnoticed: no reader of a GPT uses them."""

_MAGIC: Final = b"EFI PART"
_REVISION_1_0: Final = 0x0001_0000

# 0 signature, 8 revision, 12 header size, 16 CRC-32 of the header with this field zero,
# 20 reserved, 24 LBA of this header, 32 of the other one, 40 first and 48 last usable LBA,
# 56 disk UUID, 72 LBA of the entries, 80 their count and 84 size, 88 CRC-32 of all entries.
_HEADER: Final = struct.Struct("<8s4I4Q16sQ3I")

# 0 type UUID (zero: unused), 16 partition UUID, 32 first and 40 last LBA, 48 attributes,
# 56 name in UTF-16, up to 36 units.
_ENTRY: Final = struct.Struct("<16s16sQQQ72s")

# The one MBR record: 0 boot indicator, 1 CHS of sector 1, 4 type, 5 CHS of the last sector,
# 8 first LBA, 12 number of sectors as far as 32 bits go.
_MBR_RECORD: Final = struct.Struct("<B3sB3sII")
_MBR_RECORDS: Final = 446
_CHS_OF_SECTOR_1: Final = bytes([0, 2, 0])
_CHS_TOO_LARGE: Final = bytes([0xFF, 0xFF, 0xFF])


@dataclass(frozen=True, slots=True)
class Partition:
    """One used entry.

    Attributes:
        index: its place in the array, from 0; the partition number is one more.
        type_uuid: what it is for.
        uuid: which one it is.
        first_lba: its first sector.
        last_lba: its last sector, included.
        attributes: 64 flag bits.
        name: up to 36 UTF-16 units.
        sector_size: bytes per sector.
    """

    index: int
    type_uuid: UUID
    uuid: UUID
    first_lba: int
    last_lba: int
    attributes: int = 0
    name: str = ""
    sector_size: int = 512

    @property
    def offset(self) -> int:
        """Start on the disk in bytes."""
        return self.first_lba * self.sector_size

    @property
    def size(self) -> int:
        """Length in bytes."""
        return (self.last_lba - self.first_lba + 1) * self.sector_size

    @property
    def read_only(self) -> bool:
        """Whether it must be mounted read-only."""
        return bool(self.attributes & READ_ONLY)

    @property
    def no_auto(self) -> bool:
        """Whether readers that discover partitions must leave it alone."""
        return bool(self.attributes & NO_AUTO)

    @property
    def growfs(self) -> bool:
        """Whether its file system is to be grown on first mount."""
        return bool(self.attributes & GROWFS)


@dataclass(frozen=True, slots=True)
class Table:
    """A partition table; all positions in sectors of `sector_size` bytes.

    Attributes:
        sector_size: 512, 1024, 2048 or 4096.
        disk_uuid: names the whole disk.
        first_usable_lba: where partitions may begin.
        last_usable_lba: the last sector they may use.
        backup_lba: where the header says its copy is.
        partitions: the used entries in the order of the array.
        entries_lba: where the array begins.
        entry_count: used and unused entries.
        entry_size: bytes per entry.
        header_size: bytes of the header under its checksum.
    """

    sector_size: int
    disk_uuid: UUID
    first_usable_lba: int
    last_usable_lba: int
    backup_lba: int
    partitions: tuple[Partition, ...]
    entries_lba: int = 2
    entry_count: int = 128
    entry_size: int = 128
    header_size: int = _HEADER.size

    @property
    def entries_sectors(self) -> int:
        """Sectors the entry array takes."""
        return -(-self.entry_count * self.entry_size // self.sector_size)


class Region(NamedTuple):
    """The bytes ``[start, end)`` of a disk and what they hold."""

    start: int
    end: int
    name: str


class _Header(NamedTuple):
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


# --- Reading -------------------------------------------------------------------------------------


def probe(blob: Blob) -> int | None:
    """The sector size of the GPT in `blob`, or None if it holds none.

    Raises:
        FormatError: there are headers for two sector sizes, so readers could disagree.
    """
    found = [size for size in SECTOR_SIZES if _starts_with_magic(blob, size)]
    if len(found) > 1:
        raise FormatError(f"GPT headers for sector sizes {found[0]} and {found[1]}")
    return found[0] if found else None


def parse(blob: Blob) -> Table:
    """Read the primary table.

    Raises:
        FormatError: there is no GPT, or it breaks a rule; also by its subclasses.
    """
    sector_size = probe(blob)
    if sector_size is None:
        raise FormatError("there is no GPT: no header in sector 1")
    header = _read_header(blob, sector_size, 1)
    _check_entry_form(header.entry_count, header.entry_size)
    table = Table(
        sector_size=sector_size,
        disk_uuid=UUID(bytes_le=header.disk_uuid),
        first_usable_lba=header.first_usable,
        last_usable_lba=header.last_usable,
        backup_lba=header.alternate_lba,
        partitions=(),
        entries_lba=header.entries_lba,
        entry_count=header.entry_count,
        entry_size=header.entry_size,
        header_size=header.size,
    )
    _check_layout(table, blob.size)
    entries = _read_entries(blob, table, header.entries_crc)
    used = tuple(_used_entries(entries, header.entry_size, sector_size))
    _check_partitions(table, used)
    return replace(table, partitions=used)


def _starts_with_magic(blob: Blob, offset: int) -> bool:
    end = offset + len(_MAGIC)
    return blob.size >= end and blob.read_at(offset, len(_MAGIC)) == _MAGIC


def _read_header(blob: Blob, sector_size: int, lba: int) -> _Header:
    sector = blob.read_at(lba * sector_size, sector_size)
    header = _Header._make(_HEADER.unpack_from(sector))
    if header.magic != _MAGIC:
        raise FormatError("the header does not begin with EFI PART")
    if header.revision != _REVISION_1_0:
        raise UnsupportedError(f"the header's revision is {header.revision:#x}, not 0x10000")
    if not _HEADER.size <= header.size <= sector_size:
        raise FormatError(f"the header says it has {header.size} bytes")
    # The checksum covers itself as zeros.
    if crc32(sector[20 : header.size], crc32(sector[:16] + bytes(4))) != header.crc:
        raise FormatError("the header's checksum does not match")
    if header.my_lba != lba:
        raise FormatError(f"the header in sector {lba} says it is in sector {header.my_lba}")
    return header


def _check_entry_form(count: int, size: int) -> None:
    if count > MAX_ENTRIES or size > MAX_ENTRY_SIZE:
        raise LimitError(
            f"{count} entries of {size} bytes, the limits are {MAX_ENTRIES} and {MAX_ENTRY_SIZE}",
        )
    if not count or size < _ENTRY.size or size & (size - 1):
        raise FormatError(f"{count} entries of {size} bytes are not possible")


def _read_entries(blob: Blob, table: Table, crc: int) -> bytes:
    entries = _entries_at(blob, table, table.entries_lba)
    if crc32(entries) != crc:
        raise FormatError("the partition entries' checksum does not match")
    return entries


def _entries_at(blob: Blob, table: Table, lba: int) -> bytes:
    return blob.read_at(lba * table.sector_size, table.entry_count * table.entry_size)


def _used_entries(entries: bytes, entry_size: int, sector_size: int) -> Iterator[Partition]:
    for index in range(len(entries) // entry_size):
        raw = _ENTRY.unpack_from(entries, index * entry_size)
        kind, uuid, first, last, attributes, name = raw
        if any(kind):
            yield Partition(
                index=index,
                type_uuid=UUID(bytes_le=kind),
                uuid=UUID(bytes_le=uuid),
                first_lba=first,
                last_lba=last,
                attributes=attributes,
                name=_decode_name(index, name),
                sector_size=sector_size,
            )


def _decode_name(index: int, raw: bytes) -> str:
    try:
        return raw.decode("utf-16-le").partition("\0")[0]
    except UnicodeDecodeError:
        raise FormatError(f"the name of partition {index + 1} is not UTF-16") from None


def _check_layout(table: Table, disk_size: int) -> None:
    """The header, the array, the partitions and the end of the disk come in this order."""
    if table.entries_lba < 2:
        raise FormatError("the partition entries overlap the header")
    if table.entries_lba + table.entries_sectors > table.first_usable_lba:
        raise FormatError("the partition entries overlap the space for partitions")
    if table.first_usable_lba > table.last_usable_lba:
        raise FormatError("the space for partitions ends before it begins")
    end = (table.last_usable_lba + 1) * table.sector_size
    if end > disk_size:
        raise TruncatedError(f"partitions may reach to byte {end}, the disk ends at {disk_size}")


def _check_partitions(table: Table, used: tuple[Partition, ...]) -> None:
    for part in used:
        if not table.first_usable_lba <= part.first_lba <= part.last_lba <= table.last_usable_lba:
            raise FormatError(
                f"partition {part.index + 1} is at sectors {part.first_lba} to {part.last_lba}, "
                f"outside {table.first_usable_lba} to {table.last_usable_lba}",
            )
    for one, next_one in pairwise(sorted(used, key=lambda part: part.first_lba)):
        if next_one.first_lba <= one.last_lba:
            raise FormatError(f"partitions {one.index + 1} and {next_one.index + 1} overlap")
    if len({part.uuid for part in used}) != len(used):
        raise FormatError("two partitions have the same UUID")


# --- Second look ---------------------------------------------------------------------------------


def problems(blob: Blob, table: Table) -> tuple[str, ...]:
    """What is wrong beside the primary `table` that `parse` read from `blob`: sentences."""
    primary = _read_header(blob, table.sector_size, 1)
    return (
        *_mbr_problems(blob, table.sector_size),
        *_header_problems(blob, table, primary),
        *_backup_problems(blob, table, primary),
    )


def _mbr_problems(blob: Blob, sector_size: int) -> Iterator[str]:
    sector = blob.read_at(0, sector_size)
    last = blob.size // sector_size - 1
    boot, start_chs, kind, end_chs, first, size = _MBR_RECORD.unpack_from(sector, _MBR_RECORDS)
    if sector[510:512] != b"\x55\xaa":
        yield "the protective MBR lacks its signature"
    if (boot, kind, first) != (0, 0xEE, 1) or size not in (min(last, 0xFFFF_FFFF), 0xFFFF_FFFF):
        yield "the protective MBR does not cover the disk"
    if start_chs != _CHS_OF_SECTOR_1 or end_chs not in (_CHS_TOO_LARGE, _chs(last)):
        yield "the protective MBR has wrong CHS addresses"
    if any(sector[_MBR_RECORDS + _MBR_RECORD.size : 510]):
        yield "the MBR has partitions of its own"
    if any(sector[512:]):
        yield "the bytes after the MBR are not zero"


def _chs(lba: int) -> bytes:
    """The CHS address of a sector on a disk of 255 heads and 63 sectors a track."""
    cylinder, rest = divmod(lba, 255 * 63)
    if cylinder > 1023:
        return _CHS_TOO_LARGE
    head, sector = divmod(rest, 63)
    return bytes([head, (cylinder >> 8) << 6 | (sector + 1), cylinder & 0xFF])


def _header_problems(blob: Blob, table: Table, primary: _Header) -> Iterator[str]:
    if primary.reserved:
        yield "the reserved field of the header is not zero"
    if _padding_used(blob, table, 1):
        yield "the bytes after the header are not zero"


def _backup_problems(blob: Blob, table: Table, primary: _Header) -> Iterator[str]:
    last, odd = divmod(blob.size, table.sector_size)
    last -= 1
    if odd:
        yield "the disk does not end with a whole sector"
    if table.backup_lba != last:
        yield f"the backup header should be in sector {table.backup_lba}, the last one is {last}"
        return
    entries_lba = last - table.entries_sectors
    if table.last_usable_lba >= entries_lba:
        yield "the space for partitions overlaps the backup table"
        return
    try:
        backup = _read_header(blob, table.sector_size, last)
    except FormatError as error:
        yield f"backup table: {error.message}"
        return
    mirrored = primary._replace(
        crc=backup.crc, my_lba=last, alternate_lba=1, entries_lba=entries_lba
    )
    if backup != mirrored:
        yield "the backup header differs from the primary one"
    if _padding_used(blob, table, last):
        yield "the bytes after the backup header are not zero"
    if _entries_at(blob, table, entries_lba) != _entries_at(blob, table, table.entries_lba):
        yield "the backup partition entries differ from the primary ones"


def _padding_used(blob: Blob, table: Table, lba: int) -> bool:
    return any(blob.read_at(lba * table.sector_size, table.sector_size)[table.header_size :])


# --- Writing -------------------------------------------------------------------------------------


def new_table(
    disk_size: int, *, disk_uuid: UUID, partitions: Iterable[Partition], sector_size: int = 512
) -> Table:
    """A table of 128 entries for a disk of `disk_size` bytes, backup at its end."""
    last = disk_size // sector_size - 1
    entries_sectors = ENTRIES_SIZE // sector_size
    return Table(
        sector_size=sector_size,
        disk_uuid=disk_uuid,
        first_usable_lba=2 + entries_sectors,
        last_usable_lba=last - entries_sectors - 1,
        backup_lba=last,
        partitions=tuple(partitions),
    )


def render(table: Table, disk_size: int) -> tuple[tuple[int, bytes], ...]:
    """The two ``(offset, bytes)`` pieces to write: all before the partitions, all after them.

    The bytes between and around the structures in a piece are zeros.

    Raises:
        UsageError: the table is not for a disk of that size, or an entry cannot be written.
        FormatError: `parse` would refuse it.
    """
    entries_lba = table.backup_lba - table.entries_sectors
    if (table.backup_lba + 1) * table.sector_size != disk_size:
        raise UsageError(f"the partition table is not for a disk of {disk_size} bytes")
    if table.last_usable_lba >= entries_lba:
        raise UsageError("the space for partitions overlaps the backup table")
    _check_entry_form(table.entry_count, table.entry_size)
    _check_slots(table)
    _check_layout(table, disk_size)
    _check_partitions(table, table.partitions)
    entries = _pack_entries(table)
    backup = _pack_header(table, table.backup_lba, entries_lba, entries)
    front = b"".join(
        (
            _pack_mbr(table),
            _pack_header(table, 1, table.entries_lba, entries),
            bytes((table.entries_lba - 2) * table.sector_size),
            entries,
        )
    )
    return (0, front), (entries_lba * table.sector_size, entries + backup)


def _check_slots(table: Table) -> None:
    slots = [part.index for part in table.partitions]
    if len(set(slots)) != len(slots) or not set(slots) <= set(range(table.entry_count)):
        raise UsageError("two partitions in one entry, or one beyond the last entry")
    if any(part.sector_size != table.sector_size for part in table.partitions):
        raise UsageError("a partition counts in other sectors than its table")


def _pack_mbr(table: Table) -> bytes:
    record = _MBR_RECORD.pack(
        0, _CHS_OF_SECTOR_1, 0xEE, _CHS_TOO_LARGE, 1, min(table.backup_lba, 0xFFFF_FFFF)
    )
    mbr = (bytes(_MBR_RECORDS) + record).ljust(510, b"\0") + b"\x55\xaa"
    return mbr.ljust(table.sector_size, b"\0")


def _pack_header(table: Table, my_lba: int, entries_lba: int, entries: bytes) -> bytes:
    header = _Header(
        magic=_MAGIC,
        revision=_REVISION_1_0,
        size=_HEADER.size,
        crc=0,
        reserved=0,
        my_lba=my_lba,
        alternate_lba=table.backup_lba if my_lba == 1 else 1,
        first_usable=table.first_usable_lba,
        last_usable=table.last_usable_lba,
        disk_uuid=table.disk_uuid.bytes_le,
        entries_lba=entries_lba,
        entry_count=table.entry_count,
        entry_size=table.entry_size,
        entries_crc=crc32(entries[: table.entry_count * table.entry_size]),
    )
    header = header._replace(crc=crc32(_HEADER.pack(*header)))
    return _HEADER.pack(*header).ljust(table.sector_size, b"\0")


def _pack_entries(table: Table) -> bytes:
    entries = bytearray(table.entries_sectors * table.sector_size)
    for part in table.partitions:
        _ENTRY.pack_into(
            entries,
            part.index * table.entry_size,
            part.type_uuid.bytes_le,
            part.uuid.bytes_le,
            part.first_lba,
            part.last_lba,
            part.attributes,
            _encode_name(part.name),
        )
    return bytes(entries)


def _encode_name(name: str) -> bytes:
    try:
        raw = name.encode("utf-16-le")
    except UnicodeEncodeError:
        raise UsageError(f"not a partition name: {name!r}") from None
    if len(raw) > 72 or "\0" in name:
        raise UsageError(f"a partition name has up to 36 UTF-16 units, no NUL: {name!r}")
    return raw


# --- Naming every byte ---------------------------------------------------------------------------


def regions(table: Table, size: int) -> tuple[Region, ...]:
    """What every byte of a disk of `size` bytes holds, in order, each byte once."""
    covered: list[Region] = []
    position = 0
    for start, end, name in sorted(_structures(table)):
        begin, stop = max(start, position), min(end, size)
        if begin >= stop:
            continue
        if begin > position:
            covered.append(Region(position, begin, "slack"))
        covered.append(Region(begin, stop, name))
        position = stop
    if position < size:
        covered.append(Region(position, size, "slack"))
    return tuple(covered)


def _structures(table: Table) -> Iterator[Region]:
    sector, header = table.sector_size, table.header_size
    entries = table.entry_count * table.entry_size
    primary, backup = table.entries_lba * sector, table.backup_lba * sector
    backup_entries = backup - table.entries_sectors * sector
    yield Region(0, _MBR_RECORDS, "mbr-boot-code")
    yield Region(_MBR_RECORDS, 512, "protective-mbr")
    yield Region(512, sector, "protective-mbr-padding")
    yield Region(sector, sector + header, "primary-header")
    yield Region(sector + header, 2 * sector, "primary-header-padding")
    yield Region(primary, primary + entries, "primary-entries")
    for part in table.partitions:
        yield Region(part.offset, part.offset + part.size, f"partition:{part.name}")
    yield Region(backup_entries, backup_entries + entries, "backup-entries")
    yield Region(backup, backup + header, "backup-header")
    yield Region(backup + header, backup + sector, "backup-header-padding")
