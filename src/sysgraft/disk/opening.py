"""Opens a disk or the image of one: its tables, and what the kernel calls it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sysgraft.base.blob import SubBlob
from sysgraft.errors import InputError, UsageError, in_file
from sysgraft.formats import mbr
from sysgraft.formats.gpt_tables import read_tables
from sysgraft.host import block
from sysgraft.host.files import OpenFile
from sysgraft.host.mounts import MOUNTS, SWAPS, read_mounts, read_swaps

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
        is_device: whether it is a block device, not an image.
        upper: what holds all of it: another device, or the place where it is mounted.
        stale: partitions that the kernel has elsewhere than the table, by their numbers.
    """

    path: str
    blob: Blob
    tables: Tables | None
    mbr: Mbr
    numbers: Mapping[str, int]
    sector_size: int | None
    is_device: bool = False
    upper: str = ""
    stale: frozenset[int] = frozenset()

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
                ours = self.numbers.get(place.disk) == 0 and place.number not in self.stale
                found.add(place.number if ours else None)
            elif offset := self.numbers.get(number):
                starts = {part.offset: part.index + 1 for part in self.partitions}
                found.add(starts.get(offset))
        return found.pop() if len(found) == 1 else None

    def is_stale(self, device: str, machine: Machine) -> bool:
        """Whether a device rests on a partition that the kernel has elsewhere than the table."""
        places = (
            block.partition_place(number, sysfs=machine.sysfs)
            for number in block.stack_of(device, sysfs=machine.sysfs)
        )
        return any(
            place and self.numbers.get(place.disk) == 0 and place.number in self.stale
            for place in places
        )

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
        tables, found = read_tables(blob), mbr.parse(blob)
        seen = tables if found.kind in ("protective", "hybrid") else None
        yield Disk(
            path=path,
            blob=blob,
            tables=tables,
            mbr=found,
            numbers=numbers,
            sector_size=block.sector_size_of(number, sysfs=machine.sysfs) if number else None,
            is_device=bool(number),
            upper=_upper(number, machine) if number else "",
            stale=_stale(seen, numbers, machine) if seen else frozenset(),
        )


def refuse_held(disk: Disk) -> None:
    """Nothing is written to a disk that is part of something else.

    Raises:
        InputError: another device holds all of it, or it is mounted.
    """
    if disk.upper:
        hint = f"what is partitioned is {disk.upper}" if disk.upper.startswith("/dev/") else ""
        text = f"all of it is in use as {disk.upper}: nothing was written"
        raise InputError(text, file=disk.path, hint=hint or "unmount it first")


def _upper(number: str, machine: Machine) -> str:
    if above := block.upper_of(number, sysfs=machine.sysfs):
        return above
    for mount in read_mounts(machine.mounts):
        by_source = mount.number.startswith("0:") and mount.source.startswith("/")
        if number == (machine.number(mount.source) if by_source else mount.number):
            return f"the file system at {mount.place}"
    return "swap space" if number in map(machine.number, read_swaps(machine.swaps)) else ""


def _stale(tables: Tables, numbers: Mapping[str, int], machine: Machine) -> frozenset[int]:
    entries = {part.index + 1: part for part in tables.partitions}
    found = set()
    for number in (number for number, offset in numbers.items() if offset == 0):
        for index, (start, size) in block.partitions_of(number, sysfs=machine.sysfs).items():
            entry = entries.get(index)
            place = (entry.offset, entry.size) if entry else None
            if place is None or start not in (None, place[0]) or size not in (None, place[1]):
                found.add(index)
    return frozenset(found)
