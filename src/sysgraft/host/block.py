"""Which block devices a file lies on: its file system's device, and the ones below that.

Linux tells in ``/sys/dev/block/MAJOR:MINOR/slaves`` what a device mapper volume or a partition of
one is made of. Where that is not there, nothing is known.
"""

from __future__ import annotations

import os
import stat
from typing import Final

SYSFS: Final = "/sys"
_MAX_DEVICES: Final = 256
"""Devices of one stack; what is deeper is no stack that boots."""


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
    found: set[str] = set()
    waiting = [_text(status.st_dev)]
    while waiting and len(found) < _MAX_DEVICES:
        device = waiting.pop()
        if device not in found:
            found.add(device)
            waiting += _slaves(os.path.join(sysfs, "dev/block", device))
    return frozenset(found)


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


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read(32).strip()
    except (OSError, ValueError):
        return ""
