"""What a new FAT volume is to hold, as a tree of folders.

Names are held to `sysgraft.formats.fat_names` here, and to one another: two that differ in case
alone are one on FAT.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.base.text import one_line
from sysgraft.errors import InputError, LimitError
from sysgraft.formats import fat_records as records
from sysgraft.formats.fat import MAX_DEPTH, fold
from sysgraft.formats.fat_names import problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sysgraft.base.blob import Blob

# Entries that stay free in every folder: one that grows can be lost in a power cut (ADR 0022).
_SPARE: Final = 32


class NewFile(NamedTuple):
    """A file: its path on the volume with slashes, and what it holds."""

    path: str
    content: Blob


@dataclass(slots=True)
class Folder:
    """A folder with what is in it, by name."""

    path: str
    folders: dict[str, Folder] = field(default_factory=dict)
    files: dict[str, NewFile] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Of all in it, sorted."""
        return sorted([*self.folders, *self.files])

    def size(self, *, is_root: bool) -> int:
        """Bytes of its entries; the root has the volume's name, the others have the dots."""
        return records.directory_size(self.names, (1 if is_root else 2) + _SPARE)


def make_tree(files: Iterable[NewFile], folders: Iterable[str]) -> Folder:
    """The root of a tree with these files and folders.

    Raises:
        InputError: FAT cannot hold a name, or a file is there twice.
        LimitError: there are too many folders inside one another.
    """
    root = Folder("")
    for path in folders:
        _folder_at(root, path)
    for each in files:
        above, _, name = each.path.rpartition("/")
        folder = _folder_at(root, above)
        _check_name(name, each.path)
        if name in folder.files or name in folder.folders:
            raise InputError("the FAT volume would have it twice", file=each.path)
        folder.files[name] = each
    return root


def _folder_at(root: Folder, path: str) -> Folder:
    folder = root
    names = path.split("/") if path else []
    if len(names) >= MAX_DEPTH:
        raise LimitError(f"more than {MAX_DEPTH} folders inside one another", file=path)
    for name in names:
        inside = joined(folder.path, name)
        if name not in folder.folders:
            _check_name(name, inside)
            folder.folders[name] = Folder(inside)
        folder = folder.folders[name]
    return folder


def joined(folder: str, name: str) -> str:
    """The path of what is in a folder."""
    return f"{folder}/{name}" if folder else name


def _check_name(name: str, path: str) -> None:
    wrong = problem(name)
    if wrong:
        raise InputError(wrong, file=path)


def flat(folder: Folder) -> Iterator[Folder]:
    """A folder and all folders in it, each before what is in it.

    Raises:
        InputError: FAT takes two names for the same.
    """
    _check_clashes(folder)
    yield folder
    for _, inside in sorted(folder.folders.items()):
        yield from flat(inside)


def _check_clashes(folder: Folder) -> None:
    seen: dict[str, str] = {}
    for name in sorted([*folder.folders, *folder.files]):
        other = seen.setdefault(fold(name), name)
        if other is not name or (name in folder.files and name in folder.folders):
            raise InputError(
                f"on FAT its name is that of {one_line(joined(folder.path, other))} too",
                file=joined(folder.path, name),
            )
