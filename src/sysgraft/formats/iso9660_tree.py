"""What a new ISO 9660 volume is to hold, as a tree of folders in the order of its path table.

ECMA-119 §9.3 and §9.4.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import InputError, LimitError
from sysgraft.formats.iso9660_names import check_path, identifiers, order
from sysgraft.formats.iso9660_records import SELF, Extent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sysgraft.base.blob import Blob

MAX_FOLDERS: Final = 0xFFFF
"""A path table counts them in 16 bits."""
_NOWHERE: Final = Extent(0, 0)


class NewFile(NamedTuple):
    """A file: its path in the volume with slashes, and what it holds."""

    path: str
    content: Blob


@dataclass(slots=True)
class Folder:
    """A folder with what is in it, by name, its place and its number in the path table."""

    path: str
    above: Folder | None
    identifier: bytes = SELF
    folders: dict[str, Folder] = field(default_factory=dict)
    files: dict[str, NewFile] = field(default_factory=dict)
    identifiers: Mapping[str, bytes] = field(default_factory=dict)
    number: int = 1
    extent: Extent = _NOWHERE

    def in_order(self) -> list[str]:
        """Its names in the order of its records."""
        return sorted([*self.folders, *self.files], key=lambda name: order(self.identifiers[name]))


def make_tree(files: Iterable[NewFile]) -> Folder:
    """The root of a tree with these files.

    Raises:
        InputError: a name cannot be kept, or is there twice.
        LimitError: there are too many folders inside one another.
    """
    root = Folder("", None)
    for each in files:
        check_path(each.path)
        *above, name = each.path.split("/")
        folder = root
        for part in above:
            path = f"{folder.path}/{part}" if folder.path else part
            folder = folder.folders.setdefault(part, Folder(path, folder))
        if name in folder.files:
            raise InputError("the ISO image would have it twice", file=each.path)
        folder.files[name] = each
    return root


def numbered(root: Folder) -> list[Folder]:
    """All folders in the order of the path table: level by level, by the one above, by name.

    Raises:
        InputError: a file and a folder have the same name.
        LimitError: there are more than `MAX_FOLDERS`.
    """
    found, level = [], [root]
    while level:
        following = []
        for folder in level:
            found.append(folder)
            folder.number = len(found)
            _identify(folder)
            following += [
                folder.folders[name] for name in folder.in_order() if name in folder.folders
            ]
        level = following
    if len(found) > MAX_FOLDERS:
        raise LimitError(f"more than {MAX_FOLDERS} folders in an ISO image")
    return found


def _identify(folder: Folder) -> None:
    for name in folder.folders.keys() & folder.files.keys():
        raise InputError("the ISO image would have it twice", file=f"{folder.path}/{name}")
    names = [*folder.folders, *folder.files]
    folder.identifiers = identifiers(names, folder.folders)
    for name, inside in folder.folders.items():
        inside.identifier = folder.identifiers[name]
