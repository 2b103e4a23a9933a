"""A tree turned into the inodes an image will hold, numbered in the order of their paths.

Joins hard links, counts links, adds ``.`` and ``..``, encodes attributes, and refuses what EROFS
cannot hold. The result depends on the tree's content alone, never on the order of its mapping.
Where anything is put is `layout`'s work.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import check_tree, parent, printable
from sysgraft.errors import FormatError
from sysgraft.formats.erofs.dirent import directory_size
from sysgraft.formats.erofs.inode import NANOSECONDS, encode_device
from sysgraft.formats.erofs.ondisk import (
    COMPACT_SIZE,
    EXTENDED_SIZE,
    MAX_NAME,
    MAX_PATH,
    MAX_TARGET,
    file_type,
)
from sysgraft.formats.erofs.xattr import encode_xattrs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.base.blob import Blob
    from sysgraft.base.tree import Inode, Tree

_U16: Final = 0xFFFF
_U32: Final = 0xFFFFFFFF
_S64: Final = 1 << 63


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """An inode to be written.

    Attributes:
        path: the first of its paths.
        inode: what it is.
        entries: of a directory, the names and the numbers of their nodes, in order.
        nlink: hard links; of a directory, 2 and one for each directory in it.
        size: bytes of its data.
        extended: whether it needs the 64-byte form.
        device: the device number as stored, else 0.
        xattrs: the encoded attributes.
    """

    path: bytes
    inode: Inode
    entries: Sequence[tuple[bytes, int]]
    nlink: int
    size: int
    extended: bool
    device: int
    xattrs: bytes

    @property
    def head_size(self) -> int:
        """Bytes of the fixed part and the attributes."""
        return (EXTENDED_SIZE if self.extended else COMPACT_SIZE) + len(self.xattrs)

    @property
    def has_data(self) -> bool:
        """Whether its kind has data at all, as opposed to devices and the like."""
        return self.inode.is_file or self.inode.is_dir or self.inode.is_symlink

    @property
    def content(self) -> Blob | None:
        """The data of a file or a symbolic link, else None."""
        if self.inode.is_symlink:
            return BytesBlob(self.inode.target)
        return self.inode.content if self.inode.is_file else None


def make_nodes(tree: Tree, *, build_time: int) -> list[Node]:
    """The nodes of `tree`, the root first.

    Args:
        tree: what to store.
        build_time: inodes of this mtime need none of their own.

    Raises:
        FormatError: the tree is not one, or holds what EROFS cannot; names the path.
        LimitError: attributes that are too long.
    """
    check_tree(tree)
    paths = sorted(tree)
    numbers = _number_inodes(tree, paths)
    firsts = _first_paths(paths, numbers)
    links, entries = _link(tree, paths, numbers)
    return [
        _make_node(path, tree[path], entries.get(path, ()), links[number], build_time)
        for number, path in enumerate(firsts)
    ]


def _number_inodes(tree: Tree, paths: list[bytes]) -> dict[bytes, int]:
    """The node number of every path; the paths of one inode share it."""
    known: dict[int, int] = {}
    return {path: known.setdefault(id(tree[path]), len(known)) for path in paths}


def _first_paths(paths: list[bytes], numbers: dict[bytes, int]) -> list[bytes]:
    firsts: list[bytes] = []
    for path in paths:
        if numbers[path] == len(firsts):
            firsts.append(path)
    return firsts


def _link(
    tree: Tree,
    paths: list[bytes],
    numbers: dict[bytes, int],
) -> tuple[list[int], dict[bytes, list[tuple[bytes, int]]]]:
    """Link counts by node number, and every directory's sorted entries by its path."""
    links = [0] * len(tree)
    entries: dict[bytes, list[tuple[bytes, int]]] = {}
    for path in paths:
        above, number = parent(path), numbers[path]
        if path:
            entries[above].append((_name(path), number))
        links[number] += 1
        if tree[path].is_dir:
            if links[number] > 1:
                raise FormatError(f"a directory with two paths: {printable(path)}")
            entries[path] = [(b".", number), (b"..", numbers[above])]
            links[number] += 1
            links[numbers[above]] += bool(path)
    for names in entries.values():
        names.sort()
    return links, entries


def _name(path: bytes) -> bytes:
    name = path.rpartition(b"/")[2]
    if len(name) > MAX_NAME or len(path) > MAX_PATH:
        raise FormatError(
            f"a name of {len(name)} bytes in a path of {len(path)}; {MAX_NAME} and"
            f" {MAX_PATH} are possible: {printable(path[:64])}...",
        )
    return name


def _make_node(
    path: bytes,
    inode: Inode,
    entries: Sequence[tuple[bytes, int]],
    nlink: int,
    build_time: int,
) -> Node:
    try:
        _check_inode(inode)
        size = _data_size(inode, entries)
        return Node(
            path=path,
            inode=inode,
            entries=entries,
            nlink=nlink,
            size=size,
            extended=_needs_extended(inode, nlink, size, build_time),
            device=_device(inode),
            xattrs=encode_xattrs(inode.xattrs),
        )
    except FormatError as error:
        raise type(error)(f"{printable(path) or '/'}: {error.message}") from error


def _check_inode(inode: Inode) -> None:
    if not (file_type(inode.mode) and 0 <= inode.mode <= _U16):
        raise FormatError(f"no such file type: mode {inode.mode:#o}")
    if not (0 <= inode.uid <= _U32 and 0 <= inode.gid <= _U32):
        raise FormatError(f"no such owner: {inode.uid}:{inode.gid}")
    if not (-_S64 <= inode.mtime < _S64 and 0 <= inode.mtime_nsec < NANOSECONDS):
        raise FormatError(f"no such time: {inode.mtime} s {inode.mtime_nsec} ns")


def _data_size(inode: Inode, entries: Sequence[tuple[bytes, int]]) -> int:
    if inode.is_dir:
        return directory_size(name for name, _ in entries)
    if inode.is_symlink:
        return _target_size(inode.target)
    if not inode.is_file:
        return 0
    if inode.content is None:
        raise FormatError("a regular file without content")
    return inode.content.size


def _target_size(target: bytes) -> int:
    if not 0 < len(target) <= MAX_TARGET or b"\0" in target:
        raise FormatError(
            f"a symbolic link's target has 1 to {MAX_TARGET} bytes and no NUL, this one has"
            f" {len(target)}: {printable(target[:64])}",
        )
    return len(target)


def _needs_extended(inode: Inode, nlink: int, size: int, build_time: int) -> bool:
    same_time = (inode.mtime, inode.mtime_nsec) == (build_time, 0)
    return not same_time or max(inode.uid, inode.gid, nlink) > _U16 or size > _U32


def _device(inode: Inode) -> int:
    is_device = stat.S_ISCHR(inode.mode) or stat.S_ISBLK(inode.mode)
    return encode_device(inode.rdev) if is_device else 0
