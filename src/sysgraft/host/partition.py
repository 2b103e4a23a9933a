"""Which partition of a disk a folder is mounted from, as firmware would name it.

Linux tells in ``/sys/dev/block/MAJOR:MINOR`` where a partition is (Documentation/ABI/stable/
sysfs-block; in units of 512 bytes whatever the disk's own), the disk's GPT what it is called.
"""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from sysgraft.errors import FormatError, InputError, in_file
from sysgraft.formats import gpt
from sysgraft.formats.device_path import Partition
from sysgraft.host.files import OpenFile
from sysgraft.host.remounting import mount_of_folder
from sysgraft.host.sysfs import SysfsFolder, read_text

_UNIT: Final = 512


class DiskPartition(NamedTuple):
    """A partition and its disk.

    Attributes:
        partition: as device paths name it.
        device: the disk, such as ``/dev/vda``.
    """

    partition: Partition
    device: str


def partition_of_folder(folder: str, *, root: str = "/") -> DiskPartition:
    """The partition that a folder is mounted from.

    Args:
        folder: a mounted folder.
        root: below which the kernel shows devices, and has their nodes.

    Raises:
        InputError: it is on no partition of a GPT, or the disk cannot be read.
    """
    mount = mount_of_folder(folder)
    if mount is None:
        raise InputError("nobody knows where it is mounted from", file=folder)
    files = SysfsFolder(root)
    place = files.resolve(f"sys/dev/block/{mount.number}") or ""
    start = read_text(files, f"{place}/start")
    device = _device_name(files, os.path.dirname(place))
    if not start.isdecimal() or not device or not read_text(files, f"{place}/partition"):
        raise InputError(
            f"{mount.source} is no partition of a disk",
            file=folder,
            hint="firmware starts files of a partition only",
        )
    path = os.path.join(root, "dev", device)
    return DiskPartition(_find(path, int(start) * _UNIT), path)


def _device_name(files: SysfsFolder, disk: str) -> str:
    lines = read_text(files, f"{disk}/uevent").splitlines()
    return next((e.removeprefix("DEVNAME=") for e in lines if e.startswith("DEVNAME=")), "")


def _find(device: str, offset: int) -> Partition:
    """The partition of a disk that begins at a byte."""
    with OpenFile(device) as blob, in_file(device):
        for each in gpt.parse(blob).partitions:
            if each.offset == offset:
                blocks = each.last_lba - each.first_lba + 1
                return Partition(each.index + 1, each.first_lba, blocks, each.uuid)
        raise FormatError(f"its GPT has no partition that begins at byte {offset}")
