"""GUID partition tables: read strictly, written whole.

UEFI specification 2.10, chapter 5: protective MBR, header, entry array, and the backup of the last
two at the end of the disk. `parse` reads the primary table and refuses what breaks the rules a
reader relies on, `render` gives the bytes to write. It does not repair, does not fall back to the
backup table and does not choose where partitions go. The single records are read and written by
`sysgraft.formats.gpt_records`; `sysgraft.formats.gpt_check` takes the second look at a whole disk.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final
from uuid import UUID
from zlib import crc32

from sysgraft.errors import FormatError, TruncatedError, UsageError
from sysgraft.formats import gpt_records as records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sysgraft.base.blob import Blob

SECTOR_SIZES: Final = (512, 1024, 2048, 4096)
"""Where systemd looks for the header, ``probe_sector_size`` in ``src/shared/dissect-image.c``."""

ENTRIES_SIZE: Final = 128 * 128
"""Bytes of the entry array as written here, the specification's minimum."""

# Attribute bits 48 to 63 belong to the partition type; these are systemd's, `src/systemd/sd-gpt.h`.
GROWFS: Final = 1 << 59
READ_ONLY: Final = 1 << 60
NO_AUTO: Final = 1 << 63


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
    header_size: int = records.HEADER.size

    @property
    def entries_sectors(self) -> int:
        """Sectors the entry array takes."""
        return -(-self.entry_count * self.entry_size // self.sector_size)


def probe(blob: Blob) -> int | None:
    """The sector size of the GPT in `blob`, or None if it holds none.

    Raises:
        FormatError: there are headers for two sector sizes, so readers could disagree.
    """
    found = [size for size in SECTOR_SIZES if records.starts_with_magic(blob, size)]
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
    header = records.read_header(blob, sector_size, 1)
    records.check_entry_form(header.entry_count, header.entry_size)
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
    entries = records.read_entries(blob, header, sector_size)
    used = tuple(used_entries(entries, header.entry_size, sector_size))
    _check_partitions(table, used)
    return replace(table, partitions=used)


def used_entries(
    entries: bytes,
    entry_size: int,
    sector_size: int,
    name_of: Callable[[int, bytes], str] = records.decode_name,
) -> Iterator[Partition]:
    """The used entries of an array.

    Args:
        entries: the array.
        entry_size: bytes per entry.
        sector_size: bytes per sector.
        name_of: reads a name, told which entry's it is.
    """
    for index in range(len(entries) // entry_size):
        raw = records.ENTRY.unpack_from(entries, index * entry_size)
        kind, uuid, first, last, attributes, name = raw
        if any(kind):
            yield Partition(
                index=index,
                type_uuid=UUID(bytes_le=kind),
                uuid=UUID(bytes_le=uuid),
                first_lba=first,
                last_lba=last,
                attributes=attributes,
                name=name_of(index, name),
                sector_size=sector_size,
            )


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
    records.check_entry_form(table.entry_count, table.entry_size)
    _check_slots(table)
    _check_layout(table, disk_size)
    _check_partitions(table, table.partitions)
    entries = _pack_entries(table)
    header = _primary_header(table, entries)
    backup = header._replace(my_lba=table.backup_lba, alternate_lba=1, entries_lba=entries_lba)
    front = b"".join(
        (
            records.pack_mbr(table.backup_lba, table.sector_size),
            records.pack_header(header, table.sector_size),
            bytes((table.entries_lba - 2) * table.sector_size),
            entries,
        )
    )
    return (0, front), (
        entries_lba * table.sector_size,
        entries + records.pack_header(backup, table.sector_size),
    )


def _check_slots(table: Table) -> None:
    slots = [part.index for part in table.partitions]
    if len(set(slots)) != len(slots) or not set(slots) <= set(range(table.entry_count)):
        raise UsageError("two partitions in one entry, or one beyond the last entry")
    if any(part.sector_size != table.sector_size for part in table.partitions):
        raise UsageError("a partition counts in other sectors than its table")


def _primary_header(table: Table, entries: bytes) -> records.Header:
    return records.Header(
        *records.HEADER_START,
        my_lba=1,
        alternate_lba=table.backup_lba,
        first_usable=table.first_usable_lba,
        last_usable=table.last_usable_lba,
        disk_uuid=table.disk_uuid.bytes_le,
        entries_lba=table.entries_lba,
        entry_count=table.entry_count,
        entry_size=table.entry_size,
        entries_crc=crc32(entries[: table.entry_count * table.entry_size]),
    )


def _pack_entries(table: Table) -> bytes:
    entries = bytearray(table.entries_sectors * table.sector_size)
    for part in table.partitions:
        records.ENTRY.pack_into(
            entries,
            part.index * table.entry_size,
            part.type_uuid.bytes_le,
            part.uuid.bytes_le,
            part.first_lba,
            part.last_lba,
            part.attributes,
            records.encode_name(part.name),
        )
    return bytes(entries)
