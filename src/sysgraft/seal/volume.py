"""An EFI system partition to look into: a folder it is mounted at or laid out in, or an image.

Names are found without regard to case, as firmware finds them. Each folder is read once, when
something of it is asked for first: what is made or removed later is not noticed. Nothing is
written.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sysgraft.errors import InputError, in_file
from sysgraft.formats import fat
from sysgraft.formats.esp import find_esp
from sysgraft.host.files import OpenFile, Seen
from sysgraft.measure.sidecars import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def _parts(path: str) -> Iterable[str]:
    return filter(None, path.replace("\\", "/").split("/"))


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


class _Listing:
    """What a folder on the machine holds, by name as it is spelled and as FAT compares it."""

    __slots__ = ("_alike", "_exact", "entries")

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self.entries = entries
        self._exact = {each.name: each for each in entries}
        self._alike: dict[str, Entry] = {}
        for each in entries:
            self._alike.setdefault(fat.fold(each.name), each)

    def find(self, name: str) -> Entry | None:
        """An exact name goes before one in another case."""
        return self._exact.get(name) or self._alike.get(fat.fold(name))


class FolderVolume:
    """A folder that looks like the partition."""

    def __init__(self, root: str) -> None:
        self.name = root
        self._listings: dict[str, _Listing] = {}
        if not os.path.isdir(root):
            raise InputError("there is no such folder", file=root)

    def entries(self, folder: str) -> tuple[Entry, ...]:
        """See `Volume.entries`."""
        found = self._resolve(folder)
        if found is None or not found.is_folder:
            return ()
        return self._listing(found.name).entries

    def find(self, path: str) -> str | None:
        """See `Volume.find`."""
        found = self._resolve(path)
        if found is None or found.is_folder:
            return None
        return found.name if os.path.isfile(os.path.join(self.name, found.name)) else None

    def open(self, path: str) -> Blob:
        """See `Volume.open`."""
        place = self.find(path)
        if place is None:
            raise InputError("there is no such file", file=self.label(path))
        return unchanging(os.path.join(self.name, place))

    def label(self, path: str) -> str:
        """See `Volume.label`."""
        return os.path.join(self.name, path)

    def _listing(self, place: str) -> _Listing:
        """What a folder holds, whose path is spelled as it is."""
        if place not in self._listings:
            self._listings[place] = _Listing(list_folder(os.path.join(self.name, place)))
        return self._listings[place]

    def _resolve(self, path: str) -> Entry | None:
        """What has a path, its name being the path as it is spelled."""
        found = Entry("", is_folder=True)
        for part in _parts(path):
            if part in (".", "..") or not found.is_folder:
                return None
            each = self._listing(found.name).find(part)
            if each is None:
                return None
            found = Entry(_joined(found.name, each.name), each.is_folder)
        return found


@dataclass(frozen=True, slots=True)
class _Spelled:
    """A file or folder of an image.

    Attributes:
        path: as it is spelled there.
        entry: what FAT says of it.
    """

    path: str
    entry: fat.Entry


class ImageVolume:
    """A disk image with the partition in it, or an image of the partition."""

    def __init__(self, path: str) -> None:
        self.name = path
        self._listings: dict[str, tuple[fat.Entry, ...]] = {}
        self._names: dict[str, dict[str, fat.Entry]] = {}
        with in_file(path):
            self._volume = fat.open_volume(find_esp(OpenFile(path)))

    def entries(self, folder: str) -> tuple[Entry, ...]:
        """See `Volume.entries`."""
        with in_file(self.name):
            found = self._resolve(folder)
            if found is None or not found.entry.is_dir:
                return ()
            inside = self._listing(found.path)
            return tuple(Entry(each.name, each.is_dir) for each in inside)

    def find(self, path: str) -> str | None:
        """See `Volume.find`."""
        with in_file(self.name):
            found = self._resolve(path)
            return None if found is None or found.entry.is_dir else found.path

    def open(self, path: str) -> Blob:
        """See `Volume.open`."""
        with in_file(self.label(path)):
            found = self._resolve(path)
            if found is None or found.entry.is_dir:
                raise InputError("there is no such file")
            return self._volume.content(found.entry)

    def label(self, path: str) -> str:
        """See `Volume.label`."""
        return f"{self.name}:/{path}"

    def _listing(self, place: str) -> tuple[fat.Entry, ...]:
        if place not in self._listings:
            self._listings[place] = self._volume.list(place)
        return self._listings[place]

    def _inside(self, place: str) -> dict[str, fat.Entry]:
        """A folder's entries by long and short name; of equal names the first one counts."""
        if place not in self._names:
            names = self._names[place] = {}
            for each in self._listing(place):
                names.setdefault(fat.fold(each.name), each)
                names.setdefault(fat.fold(each.short_name), each)
        return self._names[place]

    def _resolve(self, path: str) -> _Spelled | None:
        found = _Spelled("", self._volume.root)
        for part in _parts(path):
            if not found.entry.is_dir:
                return None
            entry = self._inside(found.path).get(fat.fold(part))
            if entry is None:
                return None
            found = _Spelled(_joined(found.path, entry.name), entry)
        return found


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


def unchanging(path: str) -> OpenFile:
    """A file that has to stay as it is: values of half an old and half a new file are nobody's.

    Raises:
        InputError: it cannot be looked at.
    """
    with in_file(path):
        status = os.stat(path)
    return OpenFile(path, expected=Seen.of(status) if stat.S_ISREG(status.st_mode) else None)
