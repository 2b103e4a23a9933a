"""Makes disks with partitions, and machines that have mounted them, for tests."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID, uuid5

from sysgraft.disk.opening import Machine
from sysgraft.formats import gpt
from sysgraft.formats.partition_types import type_uuid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DISK: Final = UUID("6913f4b6-6690-4a57-a202-f1b53c56dbdf")
SIZE: Final = 12 << 20
MIB: Final = 1 << 20
MACHINE_ID: Final = "0123456789abcdef0123456789abcdef"

EXT4: Final = bytes(1080) + b"\x53\xef" + bytes(42) + b"\x42" + bytes(4096)
"""With extents, which ext3 has not."""
LUKS: Final = b"LUKS\xba\xbe\0\1" + bytes(4096)
EXT3: Final = bytes(1080) + b"\x53\xef" + bytes(34) + b"\x04" + bytes(4096)
"""With a journal."""
RAID: Final = bytes(4096) + struct.pack("<II120xQ", 0xA92B4EFC, 1, 8) + bytes(4096)
"""A member of an md array, metadata 1.2."""
LVM: Final = bytes(512) + b"LABELONE" + bytes(16) + b"LVM2 001" + bytes(4096)
SWAP_ID: Final = UUID("11111111-2222-4333-8444-555555555555")
SWAP: Final = (bytes(1036) + SWAP_ID.bytes).ljust(4086, b"\0") + b"SWAPSPACE2"


class Part(NamedTuple):
    """A partition of one MiB or more, in its turn.

    Attributes:
        kind: its role, or the UUID of its type.
        content: what it begins with.
        name: its label.
        attributes: its flags.
        mib: how large it is.
        uuid: its name; None for one of the kit's own.
        arch: of its type.
    """

    kind: str
    content: bytes = b""
    name: str = ""
    attributes: int = 0
    mib: int = 1
    uuid: UUID | None = None
    arch: str = "x86-64"

    @property
    def type_uuid(self) -> UUID:
        """Its type."""
        if len(self.kind) == 36:
            return UUID(self.kind)
        by_arch = self.kind.partition("-")[0] in ("root", "usr")
        return type_uuid(self.kind, self.arch if by_arch else None)


def part_uuid(number: int) -> UUID:
    """The name that the kit gives a partition."""
    return UUID(bytes=uuid5(DISK, str(number)).bytes, version=4)


def table_of(
    parts: Sequence[Part | None], *, size: int = SIZE, sector_size: int = 512
) -> gpt.Table:
    """A table with these partitions; None leaves an entry and a MiB free."""
    made, at = [], 1
    for index, part in enumerate(parts):
        if part is not None:
            first, count = at * MIB // sector_size, part.mib * MIB // sector_size
            made.append(
                gpt.Partition(
                    index=index,
                    type_uuid=part.type_uuid,
                    uuid=part.uuid or part_uuid(index + 1),
                    first_lba=first,
                    last_lba=first + count - 1,
                    attributes=part.attributes,
                    name=part.name,
                    sector_size=sector_size,
                )
            )
        at += part.mib if part else 1
    return gpt.new_table(size, disk_uuid=DISK, partitions=made, sector_size=sector_size)


def disk_of(parts: Sequence[Part | None], *, size: int = SIZE, sector_size: int = 512) -> bytearray:
    """The bytes of a disk."""
    table = table_of(parts, size=size, sector_size=sector_size)
    disk = bytearray(size)
    for offset, data in gpt.render(table, size):
        disk[offset : offset + len(data)] = data
    for entry in table.partitions:
        part = parts[entry.index]
        if part is not None:
            disk[entry.offset : entry.offset + len(part.content)] = part.content
    return disk


@dataclass
class Fake:
    """A machine with a disk at 8:0 that has what it is told to have mounted.

    Attributes:
        folder: where its files are.
        disk: the path that is the disk.
    """

    folder: Path
    disk: str
    _mounts: list[str] = field(default_factory=list)
    _swaps: list[str] = field(default_factory=list)
    _numbers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._numbers[self.disk] = "8:0"
        self._device("8:0", "sda")

    def _device(self, number: str, name: str, partition: int | None = None) -> Path:
        parent = self.folder / "sys/devices" / (f"sda/{name}" if partition else name)
        parent.mkdir(parents=True, exist_ok=True)
        (parent / "dev").write_text(f"{number}\n")
        if partition:
            (parent / "partition").write_text(f"{partition}\n")
        (parent / "slaves").mkdir(exist_ok=True)
        link = self.folder / "sys/dev/block" / number
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(parent)
        return parent

    def partition(self, number: int) -> str:
        """The device of a partition of the disk."""
        self._device(f"8:{number}", f"sda{number}", number)
        self._numbers[f"/dev/sda{number}"] = f"8:{number}"
        return f"8:{number}"

    def mapped(self, minor: int, *below: str) -> str:
        """A device mapper volume that is made of others."""
        number = f"253:{minor}"
        folder = self._device(number, f"dm-{minor}")
        for each in below:
            (folder / "slaves" / each.replace(":", "-")).symlink_to(
                (self.folder / "sys/dev/block" / each).resolve()
            )
        self._numbers[f"/dev/dm-{minor}"] = number
        return number

    def place(self, number: int, start: int, size: int) -> None:
        """Where the kernel has a partition, in units of 512 bytes."""
        folder = self.folder / f"sys/devices/sda/sda{number}"
        (folder / "start").write_text(f"{start}\n")
        (folder / "size").write_text(f"{size}\n")

    def held(self, name: str, *, mapped: str = "", uuid: str = "") -> None:
        """Have another device hold the whole disk."""
        holder = self._device("9:127", name)
        (self.folder / "sys/devices/sda/holders").mkdir(exist_ok=True)
        (self.folder / "sys/devices/sda/holders" / name).symlink_to(holder)
        (holder / "slaves/sda").symlink_to(self.folder / "sys/devices/sda")
        if mapped:
            (holder / "dm").mkdir()
            (holder / "dm/name").write_text(f"{mapped}\n")
            (holder / "dm/uuid").write_text(f"{uuid}\n")

    def sector_size(self, size: int) -> None:
        """What the kernel says of the disk."""
        queue = self.folder / "sys/devices/sda/queue"
        queue.mkdir(exist_ok=True)
        (queue / "logical_block_size").write_text(f"{size}\n")

    def mount(
        self, device: str, place: str, kind: str = "ext4", *, source: str = "x", seen: str = "/"
    ) -> None:
        """Mount a device."""
        number = len(self._mounts) + 20
        self._mounts.append(f"{number} 1 {device} {seen} {place} rw - {kind} {source} rw")

    def swap(self, path: str) -> None:
        """Use a device as swap space."""
        self._swaps.append(f"{path} partition 1024 0 -2")

    @property
    def machine(self) -> Machine:
        """What it says."""
        (self.folder / "mounts").write_text("\n".join(self._mounts) + "\n")
        head = "Filename Type Size Used Priority"
        (self.folder / "swaps").write_text("\n".join([head, *self._swaps]) + "\n")
        return Machine(
            mounts=str(self.folder / "mounts"),
            swaps=str(self.folder / "swaps"),
            sysfs=str(self.folder / "sys"),
            number=lambda path: self._numbers.get(path, ""),
        )


def nothing_mounted(folder: Path) -> Machine:
    """A machine that has mounted nothing, and has no devices."""
    return Machine(
        mounts=str(folder / "none"),
        swaps=str(folder / "none"),
        sysfs=str(folder / "none"),
        number=lambda _: "",
    )
