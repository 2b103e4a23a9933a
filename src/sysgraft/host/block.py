"""Which block devices a file lies on: its file system's device, and the ones below that.

Linux tells in ``/sys/dev/block/MAJOR:MINOR/slaves`` what a device mapper volume or a partition of
one is made of, in ``partition`` beside it which partition it is, and the folder above is the disk.
Where that is not there, nothing is known.
"""

from __future__ import annotations

import os
import re
import stat
from typing import Final, NamedTuple

from sysgraft.host.files import open_quickly

SYSFS: Final = "/sys"
_MAX_DEVICES: Final = 256
"""Devices of one stack; what is deeper is no stack that boots."""
_KPARTX: Final = re.compile(r"part([0-9]{1,4})-")
_MAX_PATH: Final = 4096
"""PATH_MAX."""


def device_number(path: str) -> str:
    """The number ``MAJOR:MINOR`` of a block device; empty if it is none."""
    try:
        status = os.stat(path)
    except OSError:
        return ""
    return _text(status.st_rdev) if stat.S_ISBLK(status.st_mode) else ""


def devices_below(path: str, *, sysfs: str = SYSFS) -> frozenset[str]:
    """The numbers of all block devices that a file or folder rests on.

    Args:
        path: the file.
        sysfs: where the kernel's view of devices is.
    """
    try:
        status = os.stat(path)
    except OSError:
        return frozenset()
    return stack_of(_text(status.st_dev), sysfs=sysfs)


def stack_of(number: str, *, sysfs: str = SYSFS) -> frozenset[str]:
    """The numbers of a block device and of all that it is made of."""
    found: set[str] = set()
    waiting = [number]
    while waiting and len(found) < _MAX_DEVICES:
        device = waiting.pop()
        if device not in found:
            found.add(device)
            waiting += _slaves(os.path.join(sysfs, "dev/block", device))
    return frozenset(found)


class PartitionPlace(NamedTuple):
    """Which partition a device is: the number of its disk, and its own in the table."""

    disk: str
    number: int


def partition_place(number: str, *, sysfs: str = SYSFS) -> PartitionPlace | None:
    """Which partition the device ``MAJOR:MINOR`` is; None if it is none.

    Partitions of device mapper disks (multipath, RAID of the firmware) are volumes of their own,
    which kpartx names ``partN-…``.
    """
    folder = os.path.realpath(os.path.join(sysfs, "dev/block", number))
    text = _read(os.path.join(folder, "partition"))
    if text.isdecimal():
        disk = _read(os.path.join(os.path.dirname(folder), "dev"))
        return PartitionPlace(disk, int(text)) if disk else None
    mapped = _KPARTX.match(_read(os.path.join(folder, "dm/uuid"), 128))
    below = _slaves(folder) if mapped else []
    return PartitionPlace(below[0], int(mapped[1])) if mapped and len(below) == 1 else None


def loops_on(path: str, *, sysfs: str = SYSFS) -> dict[str, int]:
    """The loop devices whose content is in a file: their numbers, and where in it they begin."""
    wanted = os.path.realpath(path)
    folder = os.path.join(sysfs, "block")
    try:
        names = sorted(name for name in os.listdir(folder) if name.startswith("loop"))
    except OSError:
        return {}
    found = {}
    for name in names:
        loop = os.path.join(folder, name, "loop")
        offset = _read(os.path.join(loop, "offset"))
        backed = _read(os.path.join(loop, "backing_file"), _MAX_PATH) == wanted
        if backed and offset.isdecimal():
            found[_read(os.path.join(folder, name, "dev"))] = int(offset)
    return found


def sector_size_of(number: str, *, sysfs: str = SYSFS) -> int | None:
    """The bytes of a sector in which the kernel counts on a disk; None where it does not say."""
    text = _read(os.path.join(sysfs, "dev/block", number, "queue/logical_block_size"))
    return int(text) if text.isdecimal() else None


def upper_of(number: str, *, sysfs: str = SYSFS) -> str:
    """A device that holds a whole disk: RAID, multipath, LVM; empty if none does.

    The partitions of a device mapper disk, which are volumes above it, hold nothing of it.
    """
    folder = os.path.join(sysfs, "dev/block", number, "holders")
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return ""
    for name in names:
        held_by = _read(os.path.join(folder, name, "dev"))
        place = partition_place(held_by, sysfs=sysfs) if held_by else None
        if place is None or place.disk != number:
            mapped = _read(os.path.join(folder, name, "dm/name"), 128)
            return f"/dev/mapper/{mapped}" if mapped else f"/dev/{name}"
    return ""


def partitions_of(number: str, *, sysfs: str = SYSFS) -> dict[int, tuple[int | None, int | None]]:
    """Where the kernel has the partitions of a disk: first byte and size, None where not told."""
    folder = os.path.join(sysfs, "dev/block", number)
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return {}
    found = {}
    for name in names:
        text = _read(os.path.join(folder, name, "partition"))
        if text.isdecimal():
            start, size = (_read(os.path.join(folder, name, each)) for each in ("start", "size"))
            found[int(text)] = (_sectors(start), _sectors(size))
    return found


def _sectors(text: str) -> int | None:
    """The kernel counts 512 bytes here on every disk."""
    return int(text) * 512 if text.isdecimal() else None


def forget_cached(path: str) -> None:
    """Have the next read of a block device come from the device.

    A mounted btrfs writes past what the kernel keeps of its device.
    """
    if not device_number(path) or not hasattr(os, "posix_fadvise"):
        return
    try:
        fd = open_quickly(path)
    except OSError:
        return
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def _text(number: int) -> str:
    return f"{os.major(number)}:{os.minor(number)}"


def _slaves(folder: str) -> list[str]:
    """What a device is made of."""
    try:
        names = os.listdir(os.path.join(folder, "slaves"))
    except OSError:
        return []
    found = (_read(os.path.join(folder, "slaves", name, "dev")) for name in names)
    return [number for number in found if number]


def _read(path: str, limit: int = 32) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(limit).strip("\n ")
    except (OSError, ValueError):
        return ""
