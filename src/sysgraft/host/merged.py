"""Which files below ``/usr`` came with an extension.

A merge puts overlays over ``/usr`` and ``/opt``. A file in one keeps a device number of its layer's
own (Linux ``Documentation/filesystems/overlayfs``, "Inode properties", without ``xino``), and
``os-release`` is never an extension's (os-release(5): systemd refuses such images).
"""

from __future__ import annotations

import os
from typing import Final

_BASE: Final = "usr/lib/os-release"


def merged_files(folder: str, *, root: str = "/") -> tuple[str, ...]:
    """The files of a folder that are not of the base's file system, sorted by name.

    Args:
        folder: relative to the root, below ``usr``.
        root: the folder that stands for ``/``.
    """
    try:
        base = os.stat(os.path.join(root, _BASE)).st_dev
        with os.scandir(os.path.join(root, folder)) as entries:
            found = [entry.name for entry in entries if _device(entry) not in (None, base)]
    except OSError:
        return ()
    return tuple(sorted(found))


def _device(entry: os.DirEntry[str]) -> int | None:
    """The number of its file system; None for what is no file."""
    try:
        return entry.stat().st_dev if entry.is_file() else None
    except OSError:
        return None
