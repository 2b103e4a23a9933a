"""A second look at a disk with a GUID partition table: what else is wrong, what every byte holds.

UEFI specification 2.10, chapter 5. `problems` compares the protective MBR and the backup table
with the primary one that `sysgraft.formats.gpt.parse` read; `regions` names every byte. Nothing
here refuses a disk or repairs it: who asks decides what a sentence is worth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import FormatError
from sysgraft.formats.gpt_records import (
    CHS_OF_SECTOR_1,
    CHS_TOO_LARGE,
    MBR_RECORD,
    MBR_RECORDS,
    read_header,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.blob import Blob
    from sysgraft.formats.gpt import Table
    from sysgraft.formats.gpt_records import Header

UNAUTHENTICATED: Final = ("slack",)
"""Regions in which a changed bit goes unnoticed: no reader of a GPT uses them."""


class Region(NamedTuple):
    """The bytes ``[start, end)`` of a disk and what they hold."""

    start: int
    end: int
    name: str


# --- Problems ------------------------------------------------------------------------------------


def problems(blob: Blob, table: Table) -> tuple[str, ...]:
    """What is wrong beside the primary `table` that `parse` read from `blob`: sentences."""
    primary = read_header(blob, table.sector_size, 1)
    return (
        *_mbr_problems(blob, table.sector_size),
        *_header_problems(blob, table, primary),
        *_backup_problems(blob, table, primary),
    )


def _mbr_problems(blob: Blob, sector_size: int) -> Iterator[str]:
    sector = blob.read_at(0, sector_size)
    last = blob.size // sector_size - 1
    boot, start_chs, kind, end_chs, first, size = MBR_RECORD.unpack_from(sector, MBR_RECORDS)
    if any(sector[:MBR_RECORDS]):
        # Nobody boots an extension; what stands here can make other tools see another disk.
        yield "the boot code of the protective MBR is not empty"
    if sector[510:512] != b"\x55\xaa":
        yield "the protective MBR lacks its signature"
    if (boot, kind, first) != (0, 0xEE, 1) or size not in (min(last, 0xFFFF_FFFF), 0xFFFF_FFFF):
        yield "the protective MBR does not cover the disk"
    if start_chs != CHS_OF_SECTOR_1 or end_chs not in (CHS_TOO_LARGE, _chs(last)):
        yield "the protective MBR has wrong CHS addresses"
    if any(sector[MBR_RECORDS + MBR_RECORD.size : 510]):
        yield "the MBR has partitions of its own"
    if any(sector[512:]):
        yield "the bytes after the MBR are not zero"


def _chs(lba: int) -> bytes:
    """The CHS address of a sector on a disk of 255 heads and 63 sectors a track."""
    cylinder, rest = divmod(lba, 255 * 63)
    if cylinder > 1023:
        return CHS_TOO_LARGE
    head, sector = divmod(rest, 63)
    return bytes([head, (cylinder >> 8) << 6 | (sector + 1), cylinder & 0xFF])


def _header_problems(blob: Blob, table: Table, primary: Header) -> Iterator[str]:
    if primary.reserved:
        yield "the reserved field of the header is not zero"
    if _padding_used(blob, table, 1):
        yield "the bytes after the header are not zero"


def _backup_problems(blob: Blob, table: Table, primary: Header) -> Iterator[str]:
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
        backup = read_header(blob, table.sector_size, last)
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


def _entries_at(blob: Blob, table: Table, lba: int) -> bytes:
    return blob.read_at(lba * table.sector_size, table.entry_count * table.entry_size)


def _padding_used(blob: Blob, table: Table, lba: int) -> bool:
    return any(blob.read_at(lba * table.sector_size, table.sector_size)[table.header_size :])


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
    yield Region(0, MBR_RECORDS, "mbr-boot-code")
    yield Region(MBR_RECORDS, 512, "protective-mbr")
    yield Region(512, sector, "protective-mbr-padding")
    yield Region(sector, sector + header, "primary-header")
    yield Region(sector + header, 2 * sector, "primary-header-padding")
    yield Region(primary, primary + entries, "primary-entries")
    for part in table.partitions:
        yield Region(part.offset, part.offset + part.size, f"partition:{part.name}")
    yield Region(backup_entries, backup_entries + entries, "backup-entries")
    yield Region(backup, backup + header, "backup-header")
    yield Region(backup + header, backup + sector, "backup-header-padding")
