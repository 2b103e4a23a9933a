"""Commands that mend a disk, with the tools every installer has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.disk.report import Mend

if TYPE_CHECKING:
    from uuid import UUID

    from sysgraft.disk.report import PartitionReport
    from sysgraft.formats.btrfs.volume import Subvolume
    from sysgraft.formats.gpt import Partition

# Types matter at the next boot only: the kernel need not read the table again, which it refuses
# while something is mounted.
_SFDISK: Final = ("sfdisk", "--no-tell-kernel")
# What sfdisk calls the attributes that every partition may have (libfdisk/src/gpt.c).
_NAMED: Final = {0: "RequiredPartition", 1: "NoBlockIOProtocol", 2: "LegacyBIOSBootable"}

_PLACE: Final = "/mnt"
"""Where a file system is mounted for the moment."""


def set_type(disk: str, number: int, type_uuid: UUID, why: str) -> Mend:
    """Give a partition a type."""
    return Mend(why, (*_SFDISK, "--part-type", disk, str(number), str(type_uuid)))


def set_uuid(disk: str, number: int, uuid: UUID, why: str) -> Mend:
    """Give a partition a name."""
    return Mend(why, (*_SFDISK, "--part-uuid", disk, str(number), str(uuid)))


def clear_bit(disk: str, partition: Partition, bit: int, why: str) -> Mend:
    """Take an attribute from a partition, and leave it the others."""
    bits = attribute_words(partition.attributes & ~bit)
    return Mend(why, (*_SFDISK, "--part-attrs", disk, str(partition.index + 1), bits))


def attribute_words(attributes: int) -> str:
    """Attributes as sfdisk takes them."""
    named = [name for bit, name in _NAMED.items() if attributes >> bit & 1]
    typed = [str(bit) for bit in range(48, 64) if attributes >> bit & 1]
    return " ".join([*named, *([f"GUID:{','.join(typed)}"] if typed else [])])


def set_default(part: PartitionReport, default: Subvolume, wanted: Subvolume) -> tuple[Mend, ...]:
    """Have a mount without options give another subvolume."""
    place, device = part.role.place, f"/dev/disk/by-partuuid/{part.partition.uuid}"
    was, name = (each.path or "the top level" for each in (default, wanted))
    set_it = Mend(
        f"mount {name} by default, not {was}",
        ("btrfs", "subvolume", "set-default", str(wanted.number), place or _PLACE),
    )
    if place:
        return (set_it,)
    return (
        Mend(f"reach the btrfs in partition {part.number}", ("mount", device, _PLACE)),
        set_it,
        Mend(f"let go of partition {part.number}", ("umount", _PLACE)),
    )
