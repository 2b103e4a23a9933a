"""Subvolumes of a btrfs: what they are called, what is in them, which one is mounted by default.

btrfs on-disk format: the directory 6 of the root tree has one entry, ``default``, which names the
subvolume that a mount without ``subvol=`` gives; subvolumes know where they lie by their
``ROOT_BACKREF``. File systems on several devices are refused, file contents are not read.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import FormatError, LimitError, UnsupportedError
from sysgraft.formats.btrfs.chunks import CHUNK_KEY, ChunkMap, parse_chunk
from sysgraft.formats.btrfs.superblock import read_superblock
from sysgraft.formats.btrfs.tree import Forest, Root

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.blob import Blob
    from sysgraft.formats.btrfs.superblock import Superblock
    from sysgraft.formats.btrfs.tree import Key

TOP_LEVEL: Final = 5
"""BTRFS_FS_TREE_OBJECTID: the subvolume that all others lie in."""

MAX_SUBVOLUMES: Final = 10_000
"""Ours; snapshots of years."""

MAX_NAMES: Final = 10_000
"""Ours: names at the top of a subvolume."""

MAX_DEPTH: Final = 64
"""Ours: folders and subvolumes that one lies in."""

MAX_LOOKUPS: Final = 10_000
"""Ours: folders of which the names are looked up, in all."""

_LARGEST: Final = (1 << 64) - 1
_FIRST_CHUNK_TREE: Final = 256
_ROOT_TREE_DIRECTORY: Final = 6
_FIRST_FREE: Final = 256  # subvolumes and files are counted from here
_TOP_FOLDER: Final = 256
_LAST_FREE: Final = _LARGEST - 255
# Types of keys.
_INODE_REF, _DIR_ITEM, _DIR_INDEX, _ROOT_ITEM, _ROOT_BACKREF = 12, 84, 96, 132, 144

_ENTRY: Final = struct.Struct("<QBQQHHB")  # key of what it names, transaction, sizes, kind
_REF: Final = struct.Struct("<QQH")  # folder, sequence, size of the name
_INODE_NAME: Final = struct.Struct("<QH")  # index, size of the name
# Of a root item: 160 generation, 176 address, 238 level.
_ROOT: Final = struct.Struct("<160xQ8xQ54xB")


class Subvolume(NamedTuple):
    """A subvolume.

    Attributes:
        number: its ID.
        path: from the top level; empty for the top level itself.
    """

    number: int
    path: str


class _Place(NamedTuple):
    """Where a subvolume lies: in which other one, in which folder of it, under which name."""

    parent: int
    folder: int
    name: str


class Volume:
    """A btrfs on one device."""

    __slots__ = ("_folder_names", "_forest", "_lookups", "_paths", "_places", "_root")

    def __init__(self, forest: Forest, superblock: Superblock) -> None:
        self._forest = forest
        self._root = Root(superblock.root, superblock.root_level, superblock.generation)
        self._places: dict[int, _Place] | None = None
        self._folder_names: dict[tuple[int, int], tuple[str, int]] = {}
        self._paths: dict[int, tuple[str, ...]] = {TOP_LEVEL: ()}
        self._lookups = 0

    def default(self) -> int:
        """The ID of the default subvolume.

        Raises:
            FormatError: there is none, or the file system is damaged.
        """
        for key, name in self._entries(self._root, _ROOT_TREE_DIRECTORY, _DIR_ITEM):
            if name == b"default" and key[1] == _ROOT_ITEM:
                return key[0]
        raise FormatError("the btrfs names no default subvolume")

    def subvolumes(self) -> tuple[Subvolume, ...]:
        """All of them, the top level first, the others by their IDs.

        Raises:
            LimitError: there are more than `MAX_SUBVOLUMES`.
        """
        numbers = [TOP_LEVEL, *sorted(self._known())]
        return tuple(Subvolume(number, self.path(number)) for number in numbers)

    def path(self, number: int) -> str:
        """Where a subvolume is, from the top level.

        Raises:
            FormatError: it is not there.
            LimitError: it lies deeper than `MAX_DEPTH`.
        """
        waiting: list[tuple[int, tuple[str, ...]]] = []
        at, depth = number, 0
        while at not in self._paths:
            place = self._known().get(at)
            if place is None:
                raise FormatError(f"the btrfs has no subvolume {at}")
            own = (*reversed(self._folders(place)), place.name)
            depth += len(own)
            if depth > MAX_DEPTH:
                raise LimitError(f"a btrfs subvolume that lies more than {MAX_DEPTH} folders deep")
            waiting.append((at, own))
            at = place.parent
        path = self._paths[at]
        for each, own in reversed(waiting):
            path = (*path, *own)
            if len(path) > MAX_DEPTH:
                raise LimitError(f"a btrfs subvolume that lies more than {MAX_DEPTH} folders deep")
            self._paths[each] = path
        return "/".join(path)

    def names(self, number: int) -> frozenset[str]:
        """What is at the top of a subvolume.

        Raises:
            FormatError: there is no such subvolume, or it is damaged.
            LimitError: there are more than `MAX_NAMES` names.
        """
        found: set[str] = set()
        for _, name in self._entries(self._tree(number), _TOP_FOLDER, _DIR_INDEX):
            if len(found) >= MAX_NAMES:
                raise LimitError(f"more than {MAX_NAMES} names at the top of a btrfs subvolume")
            found.add(_decoded(name))
        return frozenset(found)

    def _known(self) -> dict[int, _Place]:
        if self._places is None:
            self._places = dict(self._backrefs())
        return self._places

    def _backrefs(self) -> Iterator[tuple[int, _Place]]:
        first, last = (_FIRST_FREE, 0, 0), (_LAST_FREE, 0xFF, _LARGEST)
        count = 0
        for key, data in self._forest.items(self._root, first, last):
            if key[1] != _ROOT_BACKREF:
                continue
            count += 1
            if count > MAX_SUBVOLUMES:
                raise LimitError(f"a btrfs with more than {MAX_SUBVOLUMES} subvolumes")
            _need(data, _REF.size)
            folder, _, size = _REF.unpack_from(data)
            _need(data, _REF.size + size)
            yield key[0], _Place(key[2], folder, _decoded(data[_REF.size : _REF.size + size]))

    def _folders(self, place: _Place) -> list[str]:
        """The folders of the other subvolume that it lies in, the innermost first."""
        names: list[str] = []
        folder = place.folder
        while folder != _TOP_FOLDER:
            if len(names) > MAX_DEPTH:
                raise LimitError(f"a btrfs folder that lies more than {MAX_DEPTH} deep")
            name, folder = self._folder(place.parent, folder)
            names.append(name)
        return names

    def _folder(self, tree: int, folder: int) -> tuple[str, int]:
        """The name of a folder, and the one that it lies in; each is looked up once."""
        if found := self._folder_names.get((tree, folder)):
            return found
        self._lookups += 1
        if self._lookups > MAX_LOOKUPS:
            raise LimitError(f"more than {MAX_LOOKUPS} folders that btrfs subvolumes lie in")
        first, last = (folder, _INODE_REF, 0), (folder, _INODE_REF, _LARGEST)
        item = next(self._forest.items(self._tree(tree), first, last), None)
        if item is None:
            raise FormatError(f"a btrfs folder {folder} without a name")
        _need(item.data, _INODE_NAME.size)
        _, size = _INODE_NAME.unpack_from(item.data)
        _need(item.data, _INODE_NAME.size + size)
        name = _decoded(item.data[_INODE_NAME.size : _INODE_NAME.size + size])
        self._folder_names[tree, folder] = name, item.key[2]
        return name, item.key[2]

    def _tree(self, number: int) -> Root:
        first, last = (number, _ROOT_ITEM, 0), (number, _ROOT_ITEM, _LARGEST)
        item = next(self._forest.items(self._root, first, last), None)
        if item is None:
            raise FormatError(f"the btrfs has no subvolume {number}")
        _need(item.data, _ROOT.size)
        generation, address, level = _ROOT.unpack_from(item.data)
        if level >= 8:
            raise FormatError(f"a btrfs tree of {level + 1} levels")
        return Root(address, level, generation)

    def _entries(self, tree: Root, folder: int, kind: int) -> Iterator[tuple[Key, bytes]]:
        """The entries of a directory: the key of what they name, and the name."""
        first, last = (folder, kind, 0), (folder, kind, _LARGEST)
        for item in self._forest.items(tree, first, last):
            at = 0
            while at < len(item.data):
                _need(item.data, at + _ENTRY.size)
                *key, _, extra, size, _ = _ENTRY.unpack_from(item.data, at)
                at += _ENTRY.size
                _need(item.data, at + size + extra)
                yield (key[0], key[1], key[2]), item.data[at : at + size]
                at += size + extra


def open_volume(blob: Blob) -> Volume:
    """The btrfs that `blob` begins with.

    Raises:
        FormatError: it is none, or damaged.
        UnsupportedError: it is on several devices, or has checksums or chunks not read here.
    """
    superblock = read_superblock(blob)
    if superblock.devices != 1:
        raise UnsupportedError(
            f"a btrfs on {superblock.devices} devices",
            hint="ask the kernel once it is mounted: btrfs subvolume get-default PATH",
        )
    chunks = ChunkMap()
    chunks.add_array(superblock.chunks, superblock.device)
    forest = Forest(blob, superblock, chunks)
    tree = Root(superblock.chunk_root, superblock.chunk_root_level, superblock.chunk_generation)
    first, last = (_FIRST_CHUNK_TREE, CHUNK_KEY, 0), (_FIRST_CHUNK_TREE, CHUNK_KEY, _LARGEST)
    for item in list(forest.items(tree, first, last)):
        chunks.add(parse_chunk(item.key[2], item.data, superblock.device)[0])
    return Volume(forest, superblock)


def _need(data: bytes, size: int) -> None:
    if len(data) < size:
        raise FormatError("an item of a btrfs tree is cut off")


def _decoded(name: bytes) -> str:
    """As Python has names of files: what is not UTF-8 stays, and compares with mountinfo."""
    return name.decode("utf-8", "surrogateescape")
