"""Commands that mend a disk, with the tools every installer has."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from sysgraft.disk.report import Mend

if TYPE_CHECKING:
    from uuid import UUID

    from sysgraft.disk.opening import Disk
    from sysgraft.disk.report import PartitionReport
    from sysgraft.formats.btrfs.volume import Subvolume
    from sysgraft.formats.gpt import Partition

# Types matter at the next boot only: the kernel need not read the table again, which it refuses
# while something is mounted.
_SFDISK: Final = ("sfdisk", "--no-tell-kernel")
# What sfdisk calls the attributes that every partition may have (libfdisk/src/gpt.c).
_NAMED: Final = {0: "RequiredPartition", 1: "NoBlockIOProtocol", 2: "LegacyBIOSBootable"}

_SFDISK_DROPS: Final = sum(1 << bit for bit in range(3, 48))
"""Attributes that UEFI reserves, for which sfdisk has no word: it would clear them."""


_SET_DEFAULT: Final = ("btrfs", "subvolume", "set-default")


def argument(path: str) -> str:
    """A path as a program takes it for one, whatever it begins with."""
    return f"./{path}" if path.startswith("-") else path


def set_type(disk: str, number: int, type_uuid: UUID, why: str) -> Mend:
    """Give a partition a type."""
    return Mend(why, (*_SFDISK, "--part-type", argument(disk), str(number), str(type_uuid)))


def set_uuid(disk: str, number: int, uuid: UUID, why: str) -> Mend:
    """Give a partition a name."""
    return Mend(why, (*_SFDISK, "--part-uuid", argument(disk), str(number), str(uuid)))


def clear_bit(disk: str, partition: Partition, bit: int, why: str) -> Mend:
    """Take an attribute from a partition, and leave it the others."""
    number, name = partition.index + 1, argument(disk)
    if partition.attributes & _SFDISK_DROPS:
        return Mend(why, ("sgdisk", "-A", f"{number}:clear:{bit.bit_length() - 1}", name))
    bits = attribute_words(partition.attributes & ~bit)
    return Mend(why, (*_SFDISK, "--part-attrs", name, str(number), bits))


def attribute_words(attributes: int) -> str:
    """Attributes as sfdisk takes them."""
    named = [name for bit, name in _NAMED.items() if attributes >> bit & 1]
    typed = [str(bit) for bit in range(48, 64) if attributes >> bit & 1]
    return " ".join([*named, *([f"GUID:{','.join(typed)}"] if typed else [])])


def set_default(disk: Disk, part: PartitionReport, default: Subvolume, wanted: Subvolume) -> Mend:
    """Have a mount without options give another subvolume.

    What is not mounted is so for the moment, in a folder made for that: nothing else may be there.
    """
    was, name = (each.path or "the top level" for each in (default, wanted))
    why, number = f"mount {name} by default, not {was}", str(wanted.number)
    if part.role.place:
        return Mend(why, (*_SET_DEFAULT, number, part.role.place))
    if not disk.is_device:
        attach = shlex.join(("losetup", "--find", "--show", "--partscan", argument(disk.path)))
        told = f"{attach}; mount its partition {part.number} at PLACE"
        return Mend(f"{why}: {told}; {shlex.join((*_SET_DEFAULT, number, 'PLACE'))}")
    device = f"/dev/disk/by-partuuid/{part.partition.uuid}"
    lines = (
        "place=$(mktemp -d)",
        f'mount {device} "$place"',
        f'{shlex.join((*_SET_DEFAULT, number))} "$place"',
        'umount "$place"',
        'rmdir "$place"',
    )
    return Mend(why, ("sh", "-euc", "; ".join(lines)), lines)
