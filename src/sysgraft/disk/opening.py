"""Opens a disk or the image of one: its tables, and what the kernel calls it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sysgraft.base.blob import SubBlob
from sysgraft.errors import UsageError, in_file
from sysgraft.formats import mbr
from sysgraft.formats.gpt_tables import read_tables
from sysgraft.host import block
from sysgraft.host.files import OpenFile
from sysgraft.host.mounts import MOUNTS, SWAPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sysgraft.base.blob import Blob
    from sysgraft.formats.gpt import Partition
    from sysgraft.formats.gpt_tables import Tables
    from sysgraft.formats.mbr import Mbr


class Machine(NamedTuple):
    """Where a machine says what it has mounted; tests have one of their own.

    Attributes:
        mounts: the table of mounts.
        swaps: the table of swap space.
        sysfs: the kernel's view of devices.
        number: gives the number of a device file.
    """

    mounts: str = MOUNTS
    swaps: str = SWAPS
    sysfs: str = block.SYSFS
    number: Callable[[str], str] = block.device_number


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk that is open.

    Attributes:
        path: as the caller named it.
        blob: its bytes.
        tables: its partition tables; None without a GPT.
        mbr: what sector 0 says.
        numbers: of the devices that are this disk or begin in it, and where: itself, or the loop
            devices on an image.
        sector_size: in which the kernel counts on it; None where that is not known.
    """

    path: str
    blob: Blob
    tables: Tables | None
    mbr: Mbr
    numbers: Mapping[str, int]
    sector_size: int | None

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """Those of the table in use."""
        return self.tables.partitions if self.tables else ()

    def partition_on(self, device: str, machine: Machine) -> int | None:
        """The only partition of this disk that a device rests on; None if there is another too."""
        stack = block.stack_of(device, sysfs=machine.sysfs)
        found: set[int | None] = set()
        for number in stack:
            place = block.partition_place(number, sysfs=machine.sysfs)
            if place is not None:
                found.add(place.number if self.numbers.get(place.disk) == 0 else None)
            elif offset := self.numbers.get(number):
                starts = {part.offset: part.index + 1 for part in self.partitions}
                found.add(starts.get(offset))
        return found.pop() if len(found) == 1 else None

    def content(self, partition: Partition) -> Blob | None:
        """The bytes of a partition; None if it does not lie on the disk."""
        inside = partition.offset + partition.size <= self.blob.size
        if partition.size <= 0 or not inside:
            return None
        return SubBlob(self.blob, partition.offset, partition.size)


@contextlib.contextmanager
def open_disk(path: str, machine: Machine) -> Iterator[Disk]:
    """Open a disk or image for reading.

    Raises:
        InputError: it cannot be read.
        FormatError: it has tables for two sector sizes.
        UsageError: it is a partition.
    """
    number = machine.number(path)
    if number and (place := block.partition_place(number, sysfs=machine.sysfs)):
        hint = "give the disk that it is on"
        raise UsageError(f"this is partition {place.number} of a disk", file=path, hint=hint)
    numbers = {number: 0} if number else block.loops_on(path, sysfs=machine.sysfs)
    block.forget_cached(path)
    with OpenFile(path) as blob, in_file(path):
        yield Disk(
            path=path,
            blob=blob,
            tables=read_tables(blob),
            mbr=mbr.parse(blob),
            numbers=numbers,
            sector_size=block.sector_size_of(number, sysfs=machine.sysfs) if number else None,
        )
