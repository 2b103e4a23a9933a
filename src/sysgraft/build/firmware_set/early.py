"""The early set: firmware in an initrd part, and microcode in an archive of its own.

Linux takes microcode from an uncompressed cpio archive before all others (x86: Documentation/
arch/x86/microcode.rst): ``kernel/x86/microcode/GenuineIntel.bin`` and ``AuthenticAMD.bin``, each
all files of its vendor one behind the other. That is what goes into a UKI's ``.ucode``; the rest
is an initrd like others, in a UKI or an addon. Both are not compressed as a whole: what is in them
is, file by file, or must not be.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import JoinedBlob
from sysgraft.base.tree import Inode, parent
from sysgraft.build.firmware_set.trees import FIRMWARE
from sysgraft.formats import cpio

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sysgraft.base.blob import Blob
    from sysgraft.base.tree import MutableTree, Tree
    from sysgraft.build.firmware_set.packing import Packed

MICROCODE: Final = {
    "intel-ucode/": "kernel/x86/microcode/GenuineIntel.bin",
    "amd-ucode/": "kernel/x86/microcode/AuthenticAMD.bin",
}
"""Folders of linux-firmware and Debian, and where Linux wants what is in them."""


def is_microcode(path: str) -> bool:
    """Whether a path below the firmware folder is microcode for a processor."""
    return path.startswith(tuple(MICROCODE))


def microcode_archive(packed: Sequence[Packed], *, epoch: int) -> cpio.Archive:
    """The archive of the early microcode among `packed`, uncompressed."""
    tree: MutableTree = {}
    for folder, place in MICROCODE.items():
        parts = [
            each.plain
            for each in packed
            if each.path.startswith(folder) and each.chosen.is_early and each.plain is not None
        ]
        if parts:
            content: Blob = JoinedBlob(parts)
            inode = Inode(mode=stat.S_IFREG | 0o644, mtime=epoch, content=content)
            tree[place.encode()] = inode
    return cpio.plan(with_folders(tree, epoch))


def initrd_archive(packed: Iterable[Packed], *, epoch: int) -> cpio.Archive:
    """The archive of the other early files and links."""
    tree: MutableTree = {
        f"{FIRMWARE}/{each.path}".encode("utf-8", "surrogateescape"): each.chosen.inode
        for each in packed
        if each.chosen.is_early and not is_microcode(each.path)
    }
    return cpio.plan(with_folders(tree, epoch))


def with_folders(tree: Tree, epoch: int) -> MutableTree:
    """The tree with every folder that its paths need."""
    whole: MutableTree = {}
    for path in tree:
        above = parent(path)
        while above not in whole:
            whole[above] = Inode(mode=stat.S_IFDIR | 0o755, mtime=epoch)
            above = parent(above)
    return {**whole, **tree}
