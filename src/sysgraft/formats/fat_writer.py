"""New FAT volumes (FAT32; FAT16 where one is too small for it), planned first and then written.

Microsoft FAT: General Overview of On-Disk Format 1.03 (fatgen103). `plan_volume` lays every file
out in one run of clusters, folders first; the volume is then a list of pieces, of which the
content of files comes from their blobs. The same files and options give the same bytes. Nothing is
added to a volume that is there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.base.blob import BytesBlob
from sysgraft.base.pieces import Piece
from sysgraft.base.text import one_line
from sysgraft.errors import InputError, LimitError, UsageError
from sysgraft.formats import fat_layout as layouts
from sysgraft.formats import fat_records as records
from sysgraft.formats.fat import MAX_DEPTH, MAX_DIRECTORY, fold
from sysgraft.formats.fat_names import problem, short_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sysgraft.base.blob import Blob
    from sysgraft.formats.fat_layout import Layout

NO_LABEL: Final = "NO NAME"
"""What a volume without a name is called in its boot sector."""

# Entries that stay free in every folder: one that grows can be lost in a power cut (ADR 0022).
_SPARE: Final = 32
_LABEL: Final = 11
_ROOT: Final = 2
_LABEL_LETTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -_")


class NewFile(NamedTuple):
    """A file: its path on the volume with slashes, and what it holds."""

    path: str
    content: Blob


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


@dataclass(slots=True)
class _Folder:
    """A folder with what is in it, by name."""

    path: str
    folders: dict[str, _Folder] = field(default_factory=dict)
    files: dict[str, NewFile] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return sorted([*self.folders, *self.files])

    def size(self, *, is_root: bool) -> int:
        """Bytes of its entries; the root has the volume's name, the others have the dots."""
        return records.directory_size(self.names, (1 if is_root else 2) + _SPARE)


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
    _folders: Sequence[_Folder]
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

    def _folder_offset(self, folder: _Folder) -> int:
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

    def _folder_data(self, folder: _Folder) -> bytes:
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
            path = _joined(folder.path, name)
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
    tree = list(_flat(_tree(files, folders)))
    ordered = [each for folder in tree for _, each in sorted(folder.files.items())]
    _check_sizes(tree, ordered)
    if size is None:
        layout = _smallest(tree, ordered, options.sector_size, spare)
    else:
        layout = layouts.layout_of(size, options.sector_size)
    used = _needed(layout, tree, ordered)
    _check_room(layout, tree, used, spare)
    return VolumePlan(layout, options, used, tree, ordered)


# --- The tree ------------------------------------------------------------------------------------


def _tree(files: Iterable[NewFile], folders: Iterable[str]) -> _Folder:
    root = _Folder("")
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


def _folder_at(root: _Folder, path: str) -> _Folder:
    folder = root
    names = path.split("/") if path else []
    if len(names) >= MAX_DEPTH:
        raise LimitError(f"more than {MAX_DEPTH} folders inside one another", file=path)
    for name in names:
        inside = _joined(folder.path, name)
        if name not in folder.folders:
            _check_name(name, inside)
            folder.folders[name] = _Folder(inside)
        folder = folder.folders[name]
    return folder


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _check_name(name: str, path: str) -> None:
    wrong = problem(name)
    if wrong:
        raise InputError(wrong, file=path)


def _flat(folder: _Folder) -> Iterator[_Folder]:
    """A folder and all in it, each before what is in it."""
    _check_clashes(folder)
    yield folder
    for _, inside in sorted(folder.folders.items()):
        yield from _flat(inside)


def _check_clashes(folder: _Folder) -> None:
    seen: dict[str, str] = {}
    for name in sorted([*folder.folders, *folder.files]):
        other = seen.setdefault(fold(name), name)
        if other is not name or (name in folder.files and name in folder.folders):
            raise InputError(
                f"on FAT its name is that of {one_line(_joined(folder.path, other))} too",
                file=_joined(folder.path, name),
            )


# --- Sizes ---------------------------------------------------------------------------------------


def _check_sizes(tree: Sequence[_Folder], files: Sequence[NewFile]) -> None:
    for each in files:
        if each.content.size > layouts.MAX_FILE:
            raise LimitError(
                f"{each.content.size} bytes; a file on FAT has {layouts.MAX_FILE} at most",
                file=each.path,
            )
    for folder in tree:
        if folder.size(is_root=not folder.path) > MAX_DIRECTORY:
            raise LimitError("a folder on FAT has 65536 entries at most", file=folder.path or "/")


def _folder_clusters(layout: Layout, folder: _Folder) -> int:
    """Clusters of a folder; the root directory of FAT16 has none."""
    if not folder.path and layout.root_size:
        return 0
    return max(1, layout.clusters_of(folder.size(is_root=not folder.path)))


def _needed(layout: Layout, tree: Sequence[_Folder], files: Sequence[NewFile]) -> int:
    clusters = sum(_folder_clusters(layout, folder) for folder in tree)
    return clusters + sum(layout.clusters_of(each.content.size) for each in files)


def _smallest(
    tree: Sequence[_Folder], files: Sequence[NewFile], sector_size: int, spare: int
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


def _check_room(layout: Layout, tree: Sequence[_Folder], used: int, spare: int) -> None:
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
