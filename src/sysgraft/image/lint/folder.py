"""A target's files, from a folder on this machine: a base's root, or a kernel's modules.

No link is followed, not even one that takes a folder's place meanwhile. What cannot be read is
left out. Contents are read later, from the files.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from sysgraft.base.tree import Inode
from sysgraft.errors import InputError
from sysgraft.host import folders
from sysgraft.host.files import OpenFile, Seen

if TYPE_CHECKING:
    from sysgraft.host.folders import Found

BASE_FOLDERS: Final = (b"usr", b"opt", b"etc")
"""What of a base extensions are merged with."""


def read_base(root: str) -> dict[bytes, Inode]:
    """The files of a base, by their paths below `root`.

    Raises:
        InputError: there is no ``usr`` folder in it, or it cannot be read.
        LimitError: there are too many files.
    """
    if folders.folder_in(root, "usr") is None:
        raise InputError(
            "there is no folder usr in it",
            file=root,
            hint="give the root folder of the base, such as an unpacked image",
        )
    tree: dict[bytes, Inode] = {}
    for folder in BASE_FOLDERS:
        place = folders.folder_in(root, os.fsdecode(folder))
        if place is not None:
            tree |= read_folder(place, prefix=folder)
    return tree


def read_folder(place: str, *, prefix: bytes) -> dict[bytes, Inode]:
    """What is in one folder; paths begin with `prefix`, the folder's own among them.

    Raises:
        InputError: it cannot be read.
        LimitError: there are too many files.
    """
    tree = {prefix: Inode(stat.S_IFDIR | 0o755)}
    for found in folders.walk(place, skip=lambda _: True):
        tree[prefix + b"/" + found.path] = _inode(found)
    return tree


def _inode(found: Found) -> Inode:
    status = found.status
    content = None
    if stat.S_ISREG(status.st_mode):
        place = os.fsdecode(found.place)
        content = OpenFile(place, expected=Seen.of(status), follow=False)
    return Inode(
        mode=status.st_mode,
        uid=status.st_uid,
        gid=status.st_gid,
        content=content,
        target=found.target,
    )
