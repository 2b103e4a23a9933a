"""Changes to types and attributes in partition tables that are there: bytes to write, in order.

UEFI specification 2.10, §5.3.2: "software must update the backup before the primary". Nothing but
the type, the attribute bits and the checksums over them changes, whatever else a table holds; a
table that is damaged is made anew from the other one. Partitions are not moved, added or removed.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

from sysgraft.errors import FormatError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from sysgraft.formats.gpt_tables import Copy, Tables

_U32: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")
# Fields of a header and of an entry, see `gpt_records`.
_HEADER_CRC, _MY_LBA, _ALTERNATE_LBA, _ENTRIES_LBA, _ENTRIES_CRC = 16, 24, 32, 72, 88
_ATTRIBUTES: Final = 48


class Change(NamedTuple):
    """What becomes of one partition.

    Attributes:
        number: of the partition, from 1.
        type_uuid: its new type, None for the one it has.
        set_bits: attribute bits to be set.
        clear_bits: attribute bits to be cleared.
    """

    number: int
    type_uuid: UUID | None = None
    set_bits: int = 0
    clear_bits: int = 0


class Write(NamedTuple):
    """Bytes for a place on the disk, whole sectors."""

    offset: int
    data: bytes


class Edit(NamedTuple):
    """What becomes of the tables.

    Attributes:
        primary: the primary one.
        backup: the backup.
        writes: two groups, each one table, the first to be on the disk before the second begins:
            so one is whole at any time. Empty groups for tables that are so already.
    """

    primary: Copy
    backup: Copy
    writes: tuple[tuple[Write, ...], ...]


def edit(tables: Tables, changes: Sequence[Change]) -> Edit:
    """Bring changes into both tables.

    A damaged table is written first, else the backup; one that differs from the primary table is
    made anew as a damaged one is.

    Raises:
        UsageError: a partition to be changed is not there.
        FormatError: both tables are damaged, lie on each other or on partitions, or one cannot be
            made anew where it belongs.
    """
    used = tables.used
    if used is None:
        raise FormatError("both partition tables are damaged")
    there = {part.index + 1 for part in used.partitions}
    if missing := [each.number for each in changes if each.number not in there]:
        raise UsageError(f"there is no partition {missing[0]}")
    differ = any(flaw.code == "tables-differ" for flaw in tables.flaws)
    old = None if differ else tables.backup
    primary = _changed(tables.primary or _made_primary(tables, used), used, changes)
    backup = _changed(old or _made_backup(tables, used), used, changes)
    size = tables.sector_size
    _refuse_overlap(primary, backup, used, size)
    writes = {
        "primary": tuple(_writes(tables.primary, primary, size)),
        "backup": tuple(_writes(old, backup, size)),
    }
    order = ("backup", "primary") if tables.primary else ("primary", "backup")
    return Edit(primary, backup, tuple(writes[name] for name in order))


def _changed(copy: Copy, used: Copy, changes: Sequence[Change]) -> Copy:
    """The copy with the entries of the table in use, and the changes in them."""
    size = used.entries_size
    entries = bytearray(used.entries[:size] + copy.entries[size:])
    for change in changes:
        at = (change.number - 1) * used.header.entry_size
        if change.type_uuid is not None:
            entries[at : at + 16] = change.type_uuid.bytes_le
        (bits,) = _U64.unpack_from(entries, at + _ATTRIBUTES)
        bits = (bits | change.set_bits) & ~change.clear_bits
        _U64.pack_into(entries, at + _ATTRIBUTES, bits)
    return replace(copy, entries=bytes(entries), sector=_sealed(copy, crc32(entries[:size])))


def _sealed(copy: Copy, entries_crc: int) -> bytes:
    """The header's sector with its two checksums."""
    sector = bytearray(copy.sector)
    _U32.pack_into(sector, _ENTRIES_CRC, entries_crc)
    _U32.pack_into(sector, _HEADER_CRC, 0)
    _U32.pack_into(sector, _HEADER_CRC, crc32(sector[: copy.header.size]))
    return bytes(sector)


def _writes(old: Copy | None, new: Copy, sector_size: int) -> Iterator[Write]:
    """Sectors that differ, all of them where there is no old table; the header comes last.

    A header with its entries behind it is one write, so that a power cut has less room between.
    """
    start = new.header.entries_lba * sector_size
    if new.header.entries_lba == new.lba + 1:
        before = old.entries if old else b""
        end = _changed_end(before, new.entries, sector_size)
        if end or old is None or new.sector != old.sector:
            yield Write(new.lba * sector_size, new.sector + new.entries[:end])
        return
    if old is None:
        yield Write(start, new.entries)
        yield Write(new.lba * sector_size, new.sector)
        return
    for at in range(0, len(new.entries), sector_size):
        piece = new.entries[at : at + sector_size]
        if piece != old.entries[at : at + sector_size]:
            yield Write(start + at, piece)
    if new.sector != old.sector:
        yield Write(new.lba * sector_size, new.sector)


def _changed_end(old: bytes, new: bytes, sector_size: int) -> int:
    """The end of the last sector that differs."""
    differing = (
        at + sector_size
        for at in range(0, len(new), sector_size)
        if old[at : at + sector_size] != new[at : at + sector_size]
    )
    return max(differing, default=0)


# --- A table made anew ---------------------------------------------------------------------------


def _made_primary(tables: Tables, used: Copy) -> Copy:
    place = tables.primary_place
    if place is None:
        raise FormatError(
            "where the primary table has to go is something else than an old one",
            hint="see what it is, and save it; sgdisk's recovery menu may put the table elsewhere",
        )
    if place + len(used.entries) // tables.sector_size > used.header.first_usable:
        raise FormatError("there is no room for a primary table before the partitions")
    return _made(used, lba=1, entries_lba=place)


def _made_backup(tables: Tables, used: Copy) -> Copy:
    lba = used.header.alternate_lba
    entries_lba = lba - len(used.entries) // tables.sector_size
    if not used.header.last_usable < entries_lba <= lba <= tables.last_lba:
        raise FormatError(
            f"there is no room for a backup table that ends with sector {lba}",
            hint="move it to the end of the disk first: sgdisk --move-second-header",
        )
    return _made(used, lba=lba, entries_lba=entries_lba)


def _made(used: Copy, *, lba: int, entries_lba: int) -> Copy:
    sector = bytearray(used.sector)
    _U64.pack_into(sector, _MY_LBA, lba)
    _U64.pack_into(sector, _ALTERNATE_LBA, used.lba)
    _U64.pack_into(sector, _ENTRIES_LBA, entries_lba)
    header = used.header._replace(my_lba=lba, alternate_lba=used.lba, entries_lba=entries_lba)
    filled = used.entries[: used.entries_size].ljust(len(used.entries), b"\0")
    return replace(used, lba=lba, sector=bytes(sector), header=header, entries=filled)


def _refuse_overlap(primary: Copy, backup: Copy, used: Copy, sector_size: int) -> None:
    """Writing one thing must not change another: the MBR, four spans of tables, partitions."""
    spans = sorted([(0, 0), *primary.spans(sector_size), *backup.spans(sector_size)])
    for (_, end), (start, _) in pairwise(spans):
        if start <= end:
            raise FormatError(f"the partition tables would lie on each other in sector {start}")
    for part in used.partitions:
        if any(part.first_lba <= end and start <= part.last_lba for start, end in spans):
            raise FormatError(f"partition {part.index + 1} lies where a table has to go")
