"""New FAT volumes (FAT32; FAT16 where one is too small for it), planned first and then written.

Microsoft FAT: General Overview of On-Disk Format 1.03 (fatgen103). `plan_volume` lays every file
out in one run of clusters, folders first; the volume is then a list of pieces, of which the
content of files comes from their blobs. The same files and options give the same bytes. Nothing is
added to a volume that is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.base.blob import BytesBlob
from sysgraft.base.pieces import Piece
from sysgraft.errors import LimitError, UsageError
from sysgraft.formats import fat_layout as layouts
from sysgraft.formats import fat_records as records
from sysgraft.formats.fat import MAX_DIRECTORY
from sysgraft.formats.fat_names import short_names
from sysgraft.formats.fat_tree import NewFile, flat, joined, make_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sysgraft.formats.fat_layout import Layout
    from sysgraft.formats.fat_tree import Folder

__all__ = ["NewFile", "VolumeOptions", "VolumePlan", "plan_volume"]

NO_LABEL: Final = "NO NAME"
"""What a volume without a name is called in its boot sector."""

_LABEL: Final = 11
_ROOT: Final = 2
_LABEL_LETTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -_")


@dataclass(frozen=True, slots=True)
class VolumeOptions:
    """What a volume is like.

    Attributes:
        label: its name, up to eleven letters; empty for none.
        serial: its ID, 32 bits.
        time: of everything in it, in seconds since 1970.
        sector_size: 512 or 4096.
        hidden: sectors of the disk before it.
    """

    label: str = ""
    serial: int = 0
    time: int = 0
    sector_size: int = 512
    hidden: int = 0


class _Run(NamedTuple):
    """Clusters behind one another; 0 of them for an empty file."""

    first: int
    length: int


@dataclass(frozen=True)
class VolumePlan:
    """A volume before it is written.

    Attributes:
        layout: where its parts are.
        options: see there.
        used: clusters in use.
    """

    layout: Layout
    options: VolumeOptions
    used: int
    _folders: Sequence[Folder]
    _files: Sequence[NewFile]

    @property
    def size(self) -> int:
        """Bytes of the volume."""
        return self.layout.size

    @property
    def free(self) -> int:
        """Bytes of clusters that nothing is in."""
        return (self.layout.clusters - self.used) * self.layout.cluster_size

    def allocated(self, size: int) -> int:
        """Bytes that a file of so many bytes takes."""
        return self.layout.clusters_of(size) * self.layout.cluster_size

    def pieces(self) -> Iterator[Piece]:
        """The volume; what lies between the pieces is zeros."""
        yield Piece(0, BytesBlob(self._front()))
        table = records.Chains(self.layout.bits, self._ends())
        for offset in self.layout.fat_offsets:
            yield Piece(offset, table)
        for folder in self._folders:
            yield Piece(self._folder_offset(folder), BytesBlob(self._folder_data(folder)))
        for each in self._files:
            if each.content.size:
                yield Piece(self._offset(self._runs[each.path].first), each.content)

    @cached_property
    def _runs(self) -> dict[str, _Run]:
        """Where everything is, by path; the root directory of FAT16 is nowhere."""
        runs = {}
        following = _ROOT
        for folder in self._folders:
            count = _folder_clusters(self.layout, folder)
            runs[folder.path] = _Run(following if count else 0, count)
            following += count
        for each in self._files:
            count = self.layout.clusters_of(each.content.size)
            runs[each.path] = _Run(following if count else 0, count)
            following += count
        return runs

    def _ends(self) -> list[int]:
        return [run.first + run.length - 1 for run in self._runs.values() if run.length]

    def _offset(self, cluster: int) -> int:
        return self.layout.data_offset + (cluster - _ROOT) * self.layout.cluster_size

    def _folder_offset(self, folder: Folder) -> int:
        if not folder.path and self.layout.root_size:
            return self.layout.root_offset
        return self._offset(self._runs[folder.path].first)

    def _front(self) -> bytes:
        boot = layouts.boot_sector(
            self.layout,
            serial=self.options.serial,
            label=_label(self.options.label or NO_LABEL),
            hidden=self.options.hidden,
        )
        return layouts.reserved_area(self.layout, boot, used=self.used)

    def _folder_data(self, folder: Folder) -> bytes:
        when = records.stamp(self.options.time)
        if folder.path:
            above = folder.path.rpartition("/")[0]
            # The root directory is 0 here, wherever it is.
            number = self._runs[above].first if above else 0
            data = records.dot_records(when, own=self._runs[folder.path].first, above=number)
        else:
            label = self.options.label
            data = records.label_record(_label(label), when) if label else b""
        shorts = short_names(folder.names)
        for name in folder.names:
            path = joined(folder.path, name)
            data += records.file_records(
                name,
                shorts[name],
                when,
                cluster=self._runs[path].first,
                size=folder.files[name].content.size if name in folder.files else 0,
                is_dir=name in folder.folders,
            )
        return data


def plan_volume(
    files: Iterable[NewFile],
    options: VolumeOptions | None = None,
    *,
    folders: Iterable[str] = (),
    size: int | None = None,
    spare: int = 0,
) -> VolumePlan:
    """Lay out a volume.

    Args:
        files: what is in it; the folders they are in come with them.
        options: see there.
        folders: paths of folders that are in it even if nothing is in them.
        size: bytes of the volume, of which whole sectors are used; None for the smallest FAT32
            that holds all this, in whole MiB.
        spare: bytes that are to stay free at least.

    Raises:
        InputError: FAT cannot hold a name, or takes two for the same.
        LimitError: a file or a folder is too large.
        UsageError: the volume is too small; the message says how much is missing.
    """
    options = options or VolumeOptions()
    _label(options.label or NO_LABEL)
    tree = list(flat(make_tree(files, folders)))
    ordered = [each for folder in tree for _, each in sorted(folder.files.items())]
    _check_sizes(tree, ordered)
    if size is None:
        layout = _smallest(tree, ordered, options.sector_size, spare)
    else:
        layout = layouts.layout_of(size, options.sector_size)
    used = _needed(layout, tree, ordered)
    _check_room(layout, tree, used, spare)
    return VolumePlan(layout, options, used, tree, ordered)


# --- Sizes ---------------------------------------------------------------------------------------


def _check_sizes(tree: Sequence[Folder], files: Sequence[NewFile]) -> None:
    for each in files:
        if each.content.size > layouts.MAX_FILE:
            raise LimitError(
                f"{each.content.size} bytes; a file on FAT has {layouts.MAX_FILE} at most",
                file=each.path,
            )
    for folder in tree:
        if folder.size(is_root=not folder.path) > MAX_DIRECTORY:
            raise LimitError("a folder on FAT has 65536 entries at most", file=folder.path or "/")


def _folder_clusters(layout: Layout, folder: Folder) -> int:
    """Clusters of a folder; the root directory of FAT16 has none."""
    if not folder.path and layout.root_size:
        return 0
    return max(1, layout.clusters_of(folder.size(is_root=not folder.path)))


def _needed(layout: Layout, tree: Sequence[Folder], files: Sequence[NewFile]) -> int:
    clusters = sum(_folder_clusters(layout, folder) for folder in tree)
    return clusters + sum(layout.clusters_of(each.content.size) for each in files)


def _smallest(
    tree: Sequence[Folder], files: Sequence[NewFile], sector_size: int, spare: int
) -> Layout:
    """The smallest FAT32 that holds all, by trying: its own size has a say in what it takes."""
    size = layouts.smallest(sector_size)
    while True:
        layout = layouts.layout_of(size, sector_size)
        missing = _needed(layout, tree, files) + layout.clusters_of(spare) - layout.clusters
        if missing <= 0:
            return layout
        size += missing * layout.cluster_size
        size += -size % layouts.MIB


def _check_room(layout: Layout, tree: Sequence[Folder], used: int, spare: int) -> None:
    missing = (used + layout.clusters_of(spare) - layout.clusters) * layout.cluster_size
    if missing > 0:
        raise UsageError(
            f"the files do not fit into a FAT volume of {layout.size} bytes: {missing} are missing"
        )
    if layout.root_size and records.directory_size(tree[0].names, 1) > layout.root_size:
        raise UsageError("too many files at the top of a FAT16 volume; make it larger, for FAT32")


def _label(text: str) -> bytes:
    if len(text) > _LABEL or not set(text) <= _LABEL_LETTERS:
        raise UsageError(
            f"not a FAT volume's name: {text!r}",
            hint="it has up to eleven capital letters, digits, spaces, - and _",
        )
    return text.encode("ascii").ljust(_LABEL)
