"""Where firmware files are at hand: a machine's own folder, other folders, extensions.

A shelf is a tree whose paths are relative to the firmware folder. Folders are read here; who reads
images hands in trees of theirs (`Shelf.of_tree`). Links may lead from one shelf into another, since
they are merged; one that leaves the firmware folder is followed on its own machine.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from sysgraft.base.tree import Inode, is_below
from sysgraft.errors import FormatError, InputError
from sysgraft.formats import appstream
from sysgraft.host.files import OpenFile, Seen
from sysgraft.host.folders import walk
from sysgraft.host.sysfs import SysfsFolder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sysgraft.base.tree import Tree
    from sysgraft.host.folders import Found

FIRMWARE: Final = b"usr/lib/firmware"
"""The firmware folder of a machine, and of an extension."""

Kind = Literal["host", "extension", "folder"]

_FOLDERS: Final = ("usr/lib/firmware", "lib/firmware")
_METAINFO: Final = "usr/share/metainfo"


@dataclass(frozen=True, slots=True)
class Shelf:
    """A place with firmware.

    Attributes:
        label: what people call it: a file or folder.
        kind: the machine's own folder, an extension it could have, or any other folder.
        tree: what is there, by paths below the firmware folder.
        packages: the packages of some files, by the names drivers ask for.
    """

    label: str
    kind: Kind
    tree: Tree
    packages: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_tree(cls, label: str, tree: Tree, kind: Kind = "extension") -> Shelf:
        """The firmware of a whole file system, such as an extension's."""
        lead = FIRMWARE + b"/"
        inside = {path[len(lead) :]: inode for path, inode in tree.items() if path.startswith(lead)}
        return cls(label, kind, inside)


def host_shelf(root: str) -> Shelf | None:
    """The firmware of the machine whose root is `root`; None where it has none.

    Raises:
        InputError: something there cannot be read.
    """
    folder = next((each for each in _FOLDERS if os.path.isdir(os.path.join(root, each))), None)
    return None if folder is None else _read(root, folder, root, "host")


def folder_shelf(path: str) -> Shelf:
    """The firmware of a folder: a firmware folder itself, or one with ``usr/lib/firmware`` in it.

    Raises:
        InputError: there is no such folder, or something in it cannot be read.
    """
    if not os.path.isdir(path):
        raise InputError("there is no such folder", file=path)
    inside = next((each for each in _FOLDERS if os.path.isdir(os.path.join(path, each))), "")
    return _read(path, inside, path, "folder")


def _read(root: str, folder: str, label: str, kind: Kind) -> Shelf:
    files = SysfsFolder(root)
    # Links such as /lib -> usr/lib are the machine's own way to the folder.
    start = files.resolve(folder) if folder else ""
    place = os.path.join(files.source, start or "")
    tree = {found.path: _inode(found, files, start or "") for found in walk(place)}
    return Shelf(label, kind, tree, read_packages(files))


def _inode(found: Found, files: SysfsFolder, start: str) -> Inode:
    mode = found.status.st_mode
    if stat.S_ISLNK(mode) and _leaves(found):
        path = files.resolve(os.path.join(start, os.fsdecode(found.path)))
        place = os.path.join(files.source, path) if path else ""
        if place and os.path.isfile(place):
            return Inode(stat.S_IFREG | 0o644, content=OpenFile(place, follow=False))
    if stat.S_ISREG(mode):
        content = OpenFile(os.fsdecode(found.place), expected=Seen.of(found.status), follow=False)
        return Inode(mode, content=content)
    return Inode(mode, target=found.target)


def _leaves(found: Found) -> bool:
    """Whether a link leads out of the folder that is read."""
    if found.target.startswith(b"/"):
        return True
    above = os.path.dirname(found.path)
    reached = os.path.normpath(os.path.join(above, found.target))
    return is_below(reached, b"..")


def read_packages(files: SysfsFolder) -> dict[str, str]:
    """Packages by the names of firmware files, as the metainfo files of a system tell."""
    found: dict[str, str] = {}
    for name in files.names(_METAINFO):
        data = files.read(f"{_METAINFO}/{name}", appstream.MAX_SIZE)
        try:
            package = appstream.parse(data) if data and name.endswith(".xml") else None
        except FormatError:
            continue
        if package is not None:
            found.update(dict.fromkeys(package.firmware, package.name))
    return found
