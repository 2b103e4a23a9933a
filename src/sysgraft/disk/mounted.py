"""What this machine has mounted from a disk, and so which role its partitions have.

Of the running system, or of one that an installer has mounted at a folder. Encrypted and logical
volumes are followed down to the partition they are on.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from sysgraft.disk.roles import PLACES
from sysgraft.errors import InputError, UsageError
from sysgraft.formats.partition_types import type_uuid
from sysgraft.host.mounts import Mount, read_mounts, read_swaps
from sysgraft.host.small import read_small

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sysgraft.disk.content import Content
    from sysgraft.disk.opening import Disk, Machine

_MAX_FSTAB: Final = 1 << 20
_ESP_PLACES: Final = ("/efi", "/boot/efi")


class Found(NamedTuple):
    """A role that a partition has on this machine.

    Attributes:
        role: what it is.
        why: how that is known.
        mount: what is mounted from it, None for swap space.
    """

    role: str
    why: str
    mount: Mount | None = None


class Seen(NamedTuple):
    """What is mounted.

    Attributes:
        partitions: roles of partitions of the disk, by their numbers.
        elsewhere: roles that something on another disk has, and where it is mounted.
    """

    partitions: Mapping[int, Found]
    elsewhere: Mapping[str, str]

    @property
    def root_is_here(self) -> bool:
        """Whether the system that was looked at has its root on this disk."""
        return any(found.role == "root" for found in self.partitions.values())


def look(disk: Disk, contents: Mapping[int, Content], root: str, machine: Machine) -> Seen:
    """Which roles the partitions of a disk have.

    Args:
        disk: the disk.
        contents: what its partitions hold, by their numbers.
        root: the folder that the system's root is mounted at; empty for the running one.
        machine: where it says what is mounted.

    Raises:
        UsageError: nothing is mounted at `root`.
    """
    partitions: dict[int, Found] = {}
    elsewhere: dict[str, str] = {}
    mounted = tuple(_mounted(read_mounts(machine.mounts), os.path.realpath(root or os.sep)))
    if root and (not mounted or mounted[0][0] != "root"):
        hint = "--root takes the folder at which an installer has mounted the new root"
        raise UsageError("nothing is mounted here", file=root, hint=hint)
    for role, mount in mounted:
        device = _device(mount, machine)
        number = _partition(disk, device, machine)
        if number is not None:
            found = _role_of_boot(disk, number, role, mount)
            partitions.setdefault(number, Found(found, f"mounted at {mount.place}", mount))
        elif device and not disk.is_stale(device, machine):
            elsewhere.setdefault(role, mount.place)
    for number in _swaps_in_use(disk, machine):
        partitions.setdefault(number, Found("swap", "in use as swap space"))
    # A disk of which nothing is in use is of no interest to the system that runs.
    if not partitions and not root:
        return Seen({}, {})
    fstab = _below(os.path.realpath(root or os.sep), "/etc/fstab")
    for number in _swaps_of(fstab, disk, contents, machine):
        partitions.setdefault(number, Found("swap", f"swap space by {fstab}"))
    return Seen(partitions, elsewhere)


# --- Mounts --------------------------------------------------------------------------------------


def _mounted(mounts: tuple[Mount, ...], root: str) -> Iterator[tuple[str, Mount]]:
    """Roles by what is mounted where, the root first: a subvolume of it is no partition of its own.

    What is at /boot is taken for the ESP if it is a FAT volume and nothing else is.
    """
    # The last one at a place hides the others; one that waits to be made is none.
    at = {mount.place: mount for mount in mounts if mount.kind != "autofs"}
    found = {
        place: at[_below(root, place)]
        for place in (*PLACES.values(), *_ESP_PLACES)
        if _below(root, place) in at
    }
    esp = next((found[place] for place in _ESP_PLACES if place in found), None)
    boot = found.get(PLACES["xbootldr"])
    if boot and not esp and boot.kind == "vfat":
        esp, boot = boot, None
    for role, place in PLACES.items():
        mount = {"esp": esp, "xbootldr": boot}.get(role, found.get(place))
        if mount is not None:
            yield role, mount


def _role_of_boot(disk: Disk, number: int, role: str, mount: Mount) -> str:
    """The role of what is at /boot in place of an ESP, which may be elsewhere and not mounted."""
    if role != "esp" or mount.place.endswith(_ESP_PLACES):
        return role
    esp, xbootldr = type_uuid("esp"), type_uuid("xbootldr")
    types = {part.index + 1: part.type_uuid for part in disk.partitions}
    own = types.pop(number, None)
    is_other = own == xbootldr or (own != esp and esp in types.values())
    return "xbootldr" if is_other else role


def _below(root: str, place: str) -> str:
    return os.path.join(root, place.lstrip("/")).rstrip("/") or os.sep


def _device(mount: Mount, machine: Machine) -> str:
    """The device of a mount; file systems that may have several say it as their source only."""
    if not mount.number.startswith("0:"):
        return mount.number
    return machine.number(mount.source) if os.path.isabs(mount.source) else ""


def _partition(disk: Disk, device: str, machine: Machine) -> int | None:
    return disk.partition_on(device, machine) if device else None


# --- Swap space ----------------------------------------------------------------------------------


def _swaps_in_use(disk: Disk, machine: Machine) -> Iterator[int]:
    for path in read_swaps(machine.swaps):
        number = _partition(disk, machine.number(path), machine)
        if number is not None:
            yield number


def _swaps_of(
    fstab: str, disk: Disk, contents: Mapping[int, Content], machine: Machine
) -> Iterator[int]:
    for what in _swaps_in(fstab):
        number = _named(what, disk, contents, machine)
        if number is not None:
            yield number


def _swaps_in(fstab: str) -> Iterator[str]:
    """The first words of lines about swap space (fstab(5))."""
    try:
        text = read_small(fstab, _MAX_FSTAB, "table of file systems")
    except InputError:
        return
    for line in text.decode("utf-8", "replace").splitlines():
        words = line.split()
        if len(words) >= 3 and words[2] == "swap" and not words[0].startswith("#"):
            yield words[0].replace('"', "")


def _named(what: str, disk: Disk, contents: Mapping[int, Content], machine: Machine) -> int | None:
    """The partition of the disk that a word of fstab is about."""
    tag, _, value = what.partition("=")
    folder, _, name = what.rpartition("/")
    kind = {"by-partuuid": "PARTUUID", "by-uuid": "UUID"}.get(os.path.basename(folder), "")
    if kind:
        tag, value = kind, name
    wanted = _uuid(value)
    if tag == "PARTUUID":
        uuids = {part.uuid: part.index + 1 for part in disk.partitions}
        return uuids.get(wanted) if wanted else None
    if tag == "UUID":
        numbers = (number for number, each in contents.items() if each.uuid == wanted)
        return next(numbers, None) if wanted else None
    return _partition(disk, machine.number(what), machine) if what.startswith("/") else None


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
