"""The partition table of a master boot record: which kind of disk it says this is.

UEFI specification 2.10 §5.2: sector 0 has four records behind the boot code, and a signature. It
tells a protective MBR (the disk has a GPT), a hybrid one (a GPT, and partitions of its own that
other systems see instead) and a plain one apart. Logical partitions inside an extended one are not
followed, nothing is written, and the GPT itself is the matter of `sysgraft.formats.gpt_tables`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from sysgraft.formats.gpt_records import MBR_RECORD, MBR_RECORDS

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob

Kind = Literal["none", "protective", "hybrid", "plain"]

SIZE: Final = 512
"""Bytes of a master boot record, on disks of every sector size."""

SIGNATURE: Final = b"\x55\xaa"

GPT_PROTECTIVE: Final = 0xEE
"""The type of the record that keeps programs without a notion of GPT away (UEFI 2.10, 5.2.3)."""

_INACTIVE, _ACTIVE = 0x00, 0x80

# What fdisk calls the types that a Linux disk has.
_TYPES: Final = {
    0x05: "extended",
    0x0B: "FAT32",
    0x0C: "FAT32",
    0x0E: "FAT16",
    0x0F: "extended",
    0x07: "NTFS or exFAT",
    0x82: "Linux swap",
    0x83: "Linux",
    0x8E: "Linux LVM",
    0xEA: "Linux extended boot",
    0xEE: "GPT",
    0xEF: "EFI system",
    0xFD: "Linux RAID",
}


class Record(NamedTuple):
    """One used record.

    Attributes:
        number: from 1, as Linux counts.
        active: whether a BIOS boots from it.
        kind: the type byte.
        first_lba: its first sector.
        sectors: how many it has.
    """

    number: int
    active: bool
    kind: int
    first_lba: int
    sectors: int

    @property
    def type_name(self) -> str:
        """The type in words, in hexadecimal where nobody uses it for Linux."""
        return _TYPES.get(self.kind, f"type {self.kind:#04x}")


class Mbr(NamedTuple):
    """A master boot record.

    Attributes:
        kind: what it says the disk has; ``none`` where there is no such record.
        records: the used ones.
    """

    kind: Kind
    records: tuple[Record, ...]


def parse(blob: Blob) -> Mbr:
    """What sector 0 says; a boot sector of a file system has no records, and is ``none``."""
    if blob.size < SIZE:
        return Mbr("none", ())
    sector = blob.read_at(0, SIZE)
    fields = [MBR_RECORD.unpack_from(sector, MBR_RECORDS + 16 * each) for each in range(4)]
    if sector[510:512] != SIGNATURE:
        return Mbr("none", ())
    records = tuple(
        Record(number, raw[0] == _ACTIVE, raw[2], raw[4], raw[5])
        for number, raw in enumerate(fields, 1)
        if raw[2] and (raw[5] or raw[2] == GPT_PROTECTIVE)
    )
    strange = any(raw[0] not in (_INACTIVE, _ACTIVE) for raw in fields)
    if strange and not any(map(_protects, records)):
        return Mbr("none", ())
    return Mbr(_kind(records), records)


def _protects(record: Record) -> bool:
    """What the kernel holds it to (``pmbr_part_valid`` in block/partitions/efi.c)."""
    return record.kind == GPT_PROTECTIVE and record.first_lba == 1


def _kind(records: tuple[Record, ...]) -> Kind:
    own = [record for record in records if record.kind != GPT_PROTECTIVE]
    if not any(map(_protects, records)):
        return "plain" if own else "none"
    return "hybrid" if own else "protective"
