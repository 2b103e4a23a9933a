"""FAT volumes (FAT12, FAT16, FAT32, long names): looked into without mounting them.

Microsoft FAT: General Overview of On-Disk Format 1.03 (fatgen103). `open_volume` reads the boot
sector; directories and allocation table are read when they are asked for, and a file's content is
a blob that is never loaded. It writes and repairs nothing, does not read exFAT, and does not
recover deleted files. `sysgraft.formats.esp` finds the volume in a disk image.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import BytesBlob
from sysgraft.base.text import one_line
from sysgraft.errors import FormatError, InputError, LimitError, UsageError
from sysgraft.formats import fat_directory as directory
from sysgraft.formats.fat_boot import Geometry, read_geometry
from sysgraft.formats.fat_directory import DIRECTORY, Entry
from sysgraft.formats.fat_table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.blob import Blob

__all__ = ["Entry", "Geometry", "Volume", "open_volume"]

MAX_DIRECTORY: Final = 2 << 20
"""Bytes of a directory, the specification's limit: 65,536 entries."""
MAX_ENTRIES: Final = 1 << 18
"""Entries that `Volume.walk` reads: up to 100 MB of memory. An EFI system partition has dozens."""
MAX_FOLDERS: Final = 64 << 20
"""Bytes of directories that `Volume.walk` reads in all: they may share their clusters."""
MAX_DEPTH: Final = 128
"""Directories inside one another: Windows and UEFI stop at paths of about 260 letters."""

_NO_LABEL: Final = "NO NAME"


def open_volume(blob: Blob) -> Volume:
    """The FAT volume that `blob` begins with.

    Raises:
        FormatError: it is none, or its boot sector is damaged; also by its subclasses.
    """
    return Volume(blob, read_geometry(blob))


class Volume:
    """A FAT volume.

    Paths are names with slashes or backslashes between them, with or without one in front; upper
    and lower case are the same, and short names are found too. Everything raises `FormatError`
    where the volume is damaged, and `TruncatedError` where it cannot be read.

    Attributes:
        geometry: where its parts are.
        root: the root directory.
    """

    __slots__ = ("_blob", "_table", "geometry", "root")

    def __init__(self, blob: Blob, geometry: Geometry) -> None:
        self._blob = blob
        self._table = Table(blob, geometry)
        self.geometry = geometry
        self.root = Entry("", "", DIRECTORY, 0, geometry.root_cluster)

    @property
    def label(self) -> str:
        """The volume's name, from its root directory or else from the boot sector."""
        found = self._folder(self.root).label
        if found is None:
            found = directory.decode_label(self.geometry.label) if self.geometry.label else ""
        return "" if found == _NO_LABEL else found

    def list(self, path: str = "") -> tuple[Entry, ...]:
        """What a directory holds, in its own order.

        Raises:
            InputError: there is no such directory.
        """
        found = self.find(path)
        if found is None or not found.is_dir:
            raise InputError(f"there is no folder {one_line(path)} in the FAT volume")
        return self._folder(found).entries

    def find(self, path: str) -> Entry | None:
        """What has this path; None if nothing has."""
        found = self.root
        for name in path.replace("\\", "/").split("/"):
            if not name:
                continue
            if not found.is_dir:
                return None
            wanted = fold(name)
            entries = self._folder(found).entries
            match = (e for e in entries if wanted in (fold(e.name), fold(e.short_name)))
            entry = next(match, None)
            if entry is None:
                return None
            found = entry
        return found

    def free_runs(self, path: str) -> tuple[int, ...]:
        """How many entries are free in a directory, run by run: what it takes without growing.

        Raises:
            InputError: there is no such directory.
        """
        found = self.find(path)
        if found is None or not found.is_dir:
            raise InputError(f"there is no folder {one_line(path)} in the FAT volume")
        return directory.free_runs(self._folder_data(found))

    def walk(self) -> Iterator[tuple[str, Entry]]:
        """Every path and what it is, directories before what is in them.

        Raises:
            LimitError: there are more than `MAX_ENTRIES`, more than `MAX_DEPTH` inside one another,
                or the directories have more than `MAX_FOLDERS` bytes.
        """
        seen: set[int] = set()
        count = size = 0
        waiting = [_named("", (self.root,))]
        while waiting:
            path, entry = next(waiting[-1], ("", None))
            if entry is None:
                waiting.pop()
                continue
            if entry is not self.root:
                yield path, entry
            if not entry.is_dir:
                continue
            if entry.first_cluster in seen:
                raise FormatError(f"the folder {one_line(path)} is another one too")
            seen.add(entry.first_cluster)
            data = self._folder_data(entry)
            size += len(data)
            if size > MAX_FOLDERS:
                raise LimitError(f"more than {MAX_FOLDERS} bytes of folders in a FAT volume")
            inside = self._parse(data).entries
            count += len(inside)
            if count > MAX_ENTRIES or len(waiting) > MAX_DEPTH:
                raise LimitError(
                    f"more than {MAX_ENTRIES} files in a FAT volume, or {MAX_DEPTH} folders deep"
                )
            waiting.append(_named(f"{path}/" if path else "", inside))

    def content(self, entry: Entry) -> Blob:
        """A file's content, readable at any offset; nothing of it is read yet.

        Raises:
            UsageError: it is a directory.
            LimitError: it is in too many pieces.
        """
        if entry.is_dir:
            raise UsageError(f"{one_line(entry.name)} is a folder")
        return self._table.content(entry.first_cluster, entry.size) if entry.size else _EMPTY

    def _folder(self, entry: Entry) -> directory.Folder:
        return self._parse(self._folder_data(entry))

    def _parse(self, data: bytes) -> directory.Folder:
        return directory.parse(data, wide_clusters=self.geometry.bits == 32)

    def _folder_data(self, entry: Entry) -> bytes:
        geometry = self.geometry
        if entry is self.root and geometry.bits != 32:
            size = min(geometry.root_size, MAX_DIRECTORY)
            return self._blob.read_at(geometry.root_offset, size)
        return b"".join(self._clusters(entry))

    def _clusters(self, entry: Entry) -> Iterator[bytes]:
        size = self.geometry.cluster_size
        most = max(1, MAX_DIRECTORY // size)
        for number, cluster in enumerate(islice(self._table.chain(entry.first_cluster), most + 1)):
            if number == most:
                raise LimitError(f"the folder {one_line(entry.name)} is larger than 2 MiB")
            yield self._blob.read_at(self.geometry.data_offset + (cluster - 2) * size, size)


_EMPTY: Final = BytesBlob(b"")


def _named(prefix: str, entries: tuple[Entry, ...]) -> Iterator[tuple[str, Entry]]:
    """Paths are made one at a time: they can be long, and many."""
    for entry in entries:
        yield prefix + entry.name, entry


def fold(name: str) -> str:
    """The form in which two names that FAT takes for the same are equal.

    Letter by letter in upper case, without the letters that become two.
    """
    if name.isascii():
        return name.upper()
    return "".join(upper if len(upper := letter.upper()) == 1 else letter for letter in name)
