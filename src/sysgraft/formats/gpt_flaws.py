"""What is wrong with the partition tables of a disk, in words, and where its partitions are wrong.

UEFI specification 2.10, §5.3, and what the kernel (``is_gpt_valid`` in ``block/partitions/efi.c``)
and libblkid take no table with. The two tables beside each other are the matter of
`sysgraft.formats.gpt_tables`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from sysgraft.formats import gpt_records as records

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from sysgraft.formats.gpt import Partition
    from sysgraft.formats.gpt_records import Header

Code = Literal[
    "primary-damaged",
    "backup-damaged",
    "backup-misplaced",
    "backup-foreign",
    "backups-differ",
    "tables-differ",
    "tables-overlap",
    "partitions-overlap",
    "partition-outside",
    "usable-outside",
    "entry-size",
    "duplicate-uuid",
]

HARMLESS: Final[tuple[Code, ...]] = ("backup-misplaced",)
"""Flaws that keep nobody from reading the table: the disk has grown since it was made."""


class Flaw(NamedTuple):
    """What is wrong with the tables of a disk: which kind of thing, and a sentence."""

    code: Code
    text: str


def form_flaws(header: Header, last: int) -> Iterator[Flaw]:
    """What the kernel and libblkid take no table with (``is_gpt_valid``)."""
    if header.entry_size != records.ENTRY.size:
        text = f"entries of {header.entry_size} bytes: the kernel takes those of 128 only"
        yield Flaw("entry-size", text)
    first_usable, last_usable = header.first_usable, header.last_usable
    if not first_usable <= last_usable <= last:
        text = f"sectors {first_usable} to {last_usable} are said to be usable"
        yield Flaw("usable-outside", f"{text}, the disk ends with sector {last}")


def partition_flaws(header: Header, partitions: tuple[Partition, ...], last: int) -> Iterator[Flaw]:
    """Partitions that lie nowhere, on each other, or have one name."""
    for part in partitions:
        where = f"partition {part.index + 1} is at sectors {part.first_lba} to {part.last_lba}"
        if part.first_lba > part.last_lba:
            yield Flaw("partition-outside", f"{where}, which is no place")
        elif part.last_lba > last:
            yield Flaw("partition-outside", f"{where}, the disk ends with sector {last}")
        elif part.first_lba < header.first_usable or part.last_lba > header.last_usable:
            limits = f"{header.first_usable} to {header.last_usable}"
            yield Flaw("partition-outside", f"{where}, outside {limits}")
    in_order = sorted(partitions, key=lambda part: part.first_lba)
    for one, other in pairwise(in_order):
        if other.first_lba <= one.last_lba:
            text = f"partitions {one.index + 1} and {other.index + 1} overlap"
            yield Flaw("partitions-overlap", text)
    yield from _same_uuids(partitions)


def _same_uuids(partitions: tuple[Partition, ...]) -> Iterator[Flaw]:
    seen: dict[UUID, int] = {}
    for part in partitions:
        first = seen.setdefault(part.uuid, part.index)
        if first != part.index:
            text = f"partitions {first + 1} and {part.index + 1} have the same UUID {part.uuid}"
            yield Flaw("duplicate-uuid", text)
