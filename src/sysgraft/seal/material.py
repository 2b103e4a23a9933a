"""The files a boot is made of, wherever they lie.

From single files (``--uki``, ``--extra``, ``--global``) as they will be put beside an image, or
from an EFI system partition (`sysgraft.seal.esp_material`). Which of them the stub takes is decided
by `sysgraft.measure.sidecars` and `sysgraft.measure.addons`; nothing is read here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sysgraft.errors import InputError, UsageError
from sysgraft.formats.fat import fold
from sysgraft.measure.sidecars import Entry
from sysgraft.seal.volume import FolderVolume, list_folder, unchanging

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sysgraft.base.blob import Blob

MAX_FILES: Final = 4096
"""Files of one folder: a FAT directory that holds more is slow to read for any firmware."""
LOADER_FOLDERS: Final = ("credentials", "extensions", "addons")
"""Folders below ``loader`` that the stub looks into."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file.

    Attributes:
        name: its last part, as the stub sees it.
        label: how to name it in a message.
        blob: its content.
    """

    name: str
    label: str
    blob: Blob


@dataclass(slots=True)
class Folder:
    """What a folder holds that the stub may look at.

    Attributes:
        files: by name.
        entries: all names, also those of folders.
    """

    files: dict[str, Source] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    _folded: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def add(self, source: Source) -> None:
        """One more file.

        Raises:
            UsageError: FAT could not hold it beside another one.
        """
        if len(self._folded) != len(self.files):
            self._folded = {fold(name): name for name in self.files}
        other = self._folded.setdefault(fold(source.name), source.name)
        if other in self.files:
            raise UsageError(
                f"{self.files[other].label} and {source.label} would be one file on FAT"
            )
        if len(self.files) >= MAX_FILES:
            raise UsageError(f"more than {MAX_FILES} files in one folder")
        self.files[source.name] = source
        self.entries.append(Entry(source.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """The files of a boot.

    Attributes:
        image: the UKI; None where only its sidecars are known.
        own: the folder beside it, ``NAME.efi.extra.d``.
        loader: folders below ``loader``, by name.
        loaders: programs that run before it, the first one first.
        extras: what its boot entry lists as ``extra``, in that order.
        options: the command line its boot entry gives it, None if there is none.
        profile: the profile its boot entry chooses.
        is_own_entry: whether the image is a boot entry by itself, without a text file.
        notes: what a person should know.
    """

    image: Source | None
    own: Folder
    loader: Mapping[str, Folder]
    loaders: tuple[Source, ...] = ()
    extras: tuple[Source, ...] = ()
    options: str | None = None
    profile: int = 0
    is_own_entry: bool = False
    notes: tuple[str, ...] = ()


def from_files(
    uki: str,
    extras: Iterable[str] = (),
    *,
    global_folder: str = "",
    loaders: Iterable[str] = (),
) -> Material:
    """The files of a boot as they were named one by one.

    Args:
        uki: the image; empty if it is not known.
        extras: files, or folders whose files are meant.
        global_folder: the partition's folder ``loader``.
        loaders: programs that run before the image.

    Raises:
        InputError: a file or folder is not there.
        UsageError: two files would have the same name.
    """
    return Material(
        image=source(uki) if uki else None,
        own=folder_of(extras),
        loader=_loader_folders(global_folder) if global_folder else {},
        loaders=tuple(source(each) for each in loaders),
    )


def source(path: str) -> Source:
    """A file by its path.

    Raises:
        InputError: it is not there.
    """
    if not os.path.exists(path):
        raise InputError("there is no such file", file=path)
    return Source(os.path.basename(os.path.abspath(path)), path, unchanging(path))


def folder_of(paths: Iterable[str]) -> Folder:
    """The files with these paths, and those in the folders with these paths, as one folder."""
    found = Folder()
    for path in paths:
        if os.path.isdir(path):
            _add_folder(found, path)
        else:
            found.add(source(path))
    return found


def _add_folder(found: Folder, path: str) -> None:
    for entry in list_folder(path):
        if entry.is_folder:
            found.entries.append(entry)
        else:
            found.add(source(os.path.join(path, entry.name)))


def _loader_folders(path: str) -> dict[str, Folder]:
    volume = FolderVolume(path)
    found = {}
    for name in LOADER_FOLDERS:
        folder = found[name] = Folder()
        for entry in volume.entries(name):
            if entry.is_folder:
                folder.entries.append(entry)
                continue
            spelled = volume.find(f"{name}/{entry.name}") or entry.name
            folder.add(Source(entry.name, volume.label(spelled), volume.open(spelled)))
    return found
