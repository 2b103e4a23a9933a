"""A file tree in memory: paths and inodes, with file contents left where they are.

A `Tree` maps relative path bytes (``b""`` is the root directory, no leading or trailing slash)
to an `Inode`. Hard links are two paths to the same `Inode` object. Every path's parent must be
a directory of the same tree; `check_tree` holds a tree to that. Sources make trees, the image
writers consume them.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from sysgraft.base.text import one_line
from sysgraft.errors import FormatError

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob


@dataclass(frozen=True, slots=True, eq=False)
class Inode:
    """One file system object; two are equal only if they are the same object.

    Attributes:
        mode: type and permission bits, as in ``st_mode``.
        uid: owner.
        gid: group.
        mtime: modification time in seconds since the epoch, UTC.
        mtime_nsec: its nanoseconds, 0 to 999,999,999.
        xattrs: full names and values (``b"security.capability"``), sorted by name.
        content: the data of a regular file, else None.
        target: where a symbolic link points, else empty.
        rdev: ``(major, minor)`` of a device node.
    """

    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    mtime_nsec: int = 0
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    content: Blob | None = None
    target: bytes = b""
    rdev: tuple[int, int] = (0, 0)

    @property
    def is_dir(self) -> bool:
        """Whether this is a directory."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        """Whether this is a regular file."""
        return stat.S_ISREG(self.mode)

    @property
    def is_symlink(self) -> bool:
        """Whether this is a symbolic link."""
        return stat.S_ISLNK(self.mode)

    @property
    def is_whiteout(self) -> bool:
        """Whether this is an overlayfs whiteout: a character device 0:0."""
        return stat.S_ISCHR(self.mode) and self.rdev == (0, 0)


Tree: TypeAlias = Mapping[bytes, Inode]
MutableTree: TypeAlias = MutableMapping[bytes, Inode]


def parent(path: bytes) -> bytes:
    """The path of the directory that holds `path`."""
    return path.rpartition(b"/")[0]


def is_below(path: bytes, prefix: bytes) -> bool:
    """Whether `path` is `prefix` or lies below it; everything lies below the root."""
    if not prefix:
        return True
    return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in (b"", b"/")


def check_tree(tree: Tree) -> None:
    """Raise `FormatError` unless every path is clean and its parent is a directory."""
    if b"" not in tree or not tree[b""].is_dir:
        raise FormatError("the tree has no root directory")
    for path in tree:
        if path and not _is_clean(path):
            raise FormatError(f"not a clean relative path: {printable(path)}")
        above = tree.get(parent(path))
        if path and (above is None or not above.is_dir):
            raise FormatError(f"not inside a directory: {printable(path)}")


def _is_clean(path: bytes) -> bool:
    return b"\0" not in path and all(part not in (b"", b".", b"..") for part in path.split(b"/"))


def printable(path: bytes) -> str:
    """A path for messages: UTF-8 where it is, escapes where it is not or would hurt a terminal."""
    return one_line(path.decode("utf-8", "backslashreplace"))
