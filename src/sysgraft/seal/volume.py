"""An EFI system partition to look into: a folder it is mounted at or laid out in, or an image.

Names are found without regard to case, as firmware finds them. Nothing is written.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from sysgraft.errors import InputError, in_file
from sysgraft.formats import fat
from sysgraft.formats.esp import find_esp
from sysgraft.host.files import OpenFile
from sysgraft.measure.sidecars import Entry

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob


class Volume(Protocol):
    """A partition; paths have slashes between names and none in front."""

    @property
    def name(self) -> str:
        """How the caller named it."""

    def entries(self, folder: str) -> tuple[Entry, ...]:
        """What a folder holds; nothing if there is no such folder."""

    def find(self, path: str) -> str | None:
        """The path of a file as it is spelled there; None if there is none."""

    def open(self, path: str) -> Blob:
        """A file's content.

        Raises:
            InputError: there is no such file.
        """

    def label(self, path: str) -> str:
        """How to name a file of it in a message."""


class FolderVolume:
    """A folder that looks like the partition."""

    def __init__(self, root: str) -> None:
        self.name = root
        if not os.path.isdir(root):
            raise InputError("there is no such folder", file=root)

    def entries(self, folder: str) -> tuple[Entry, ...]:
        """See `Volume.entries`."""
        place = self._resolve(folder)
        if place is None or not os.path.isdir(os.path.join(self.name, place)):
            return ()
        return list_folder(os.path.join(self.name, place))

    def find(self, path: str) -> str | None:
        """See `Volume.find`."""
        place = self._resolve(path)
        return place if place and os.path.isfile(os.path.join(self.name, place)) else None

    def open(self, path: str) -> Blob:
        """See `Volume.open`."""
        place = self.find(path)
        if place is None:
            raise InputError("there is no such file", file=self.label(path))
        return OpenFile(os.path.join(self.name, place))

    def label(self, path: str) -> str:
        """See `Volume.label`."""
        return os.path.join(self.name, path)

    def _resolve(self, path: str) -> str | None:
        """The path as the folder spells it; an exact name goes before one in another case."""
        found = ""
        for part in filter(None, path.replace("\\", "/").split("/")):
            if part in (".", ".."):
                return None
            names = [each.name for each in list_folder(os.path.join(self.name, found))]
            alike = (name for name in names if fat.fold(name) == fat.fold(part))
            name = part if part in names else next(alike, "")
            if not name:
                return None
            found = f"{found}/{name}" if found else name
        return found


class ImageVolume:
    """A disk image with the partition in it, or an image of the partition."""

    def __init__(self, path: str) -> None:
        self.name = path
        with in_file(path):
            self._volume = fat.open_volume(find_esp(OpenFile(path)))

    def entries(self, folder: str) -> tuple[Entry, ...]:
        """See `Volume.entries`."""
        with in_file(self.name):
            found = self._volume.find(folder)
            if found is None or not found.is_dir:
                return ()
            inside = self._volume.list(folder)
            return tuple(Entry(each.name, each.is_dir) for each in inside)

    def find(self, path: str) -> str | None:
        """See `Volume.find`."""
        spelled = ""
        with in_file(self.name):
            for part in filter(None, path.replace("\\", "/").split("/")):
                found = self._volume.find(f"{spelled}/{part}")
                if found is None:
                    return None
                spelled = f"{spelled}/{found.name}" if spelled else found.name
            there = self._volume.find(spelled) if spelled else None
            return None if there is None or there.is_dir else spelled

    def open(self, path: str) -> Blob:
        """See `Volume.open`."""
        with in_file(self.label(path)):
            found = self._volume.find(path)
            if found is None or found.is_dir:
                raise InputError("there is no such file")
            return self._volume.content(found)

    def label(self, path: str) -> str:
        """See `Volume.label`."""
        return f"{self.name}:/{path}"


def open_volume(path: str) -> Volume:
    """The partition in a folder or an image.

    Raises:
        InputError: it is neither.
    """
    return FolderVolume(path) if os.path.isdir(path) else ImageVolume(path)


def list_folder(path: str) -> tuple[Entry, ...]:
    """What a folder holds, by name.

    Raises:
        InputError: it cannot be read.
    """
    with in_file(path), os.scandir(path) as found:
        return tuple(sorted(Entry(each.name, each.is_dir()) for each in found))
