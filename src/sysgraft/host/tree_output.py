"""Puts a file tree into an empty folder: contents, modes, owners, attributes, times, hard links.

A tree may come from anywhere. It leads nowhere outside the folder: folders are opened one by one,
no link is followed, links are made last, and nothing is written where something is already. Two
names that the file system takes for one (upper and lower case, kinds of accents) are an error.

What this user may not do, or this file system cannot hold, is left out and counted.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING, Final

from sysgraft.base.tree import check_tree, parent, printable
from sysgraft.errors import OutputError
from sysgraft.host.files import pwrite_all
from sysgraft.host.filled_folder import DIRECTORY
from sysgraft.host.inode_output import Keeper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sysgraft.base.blob import Blob
    from sysgraft.base.progress import Progress
    from sysgraft.base.tree import Inode, Tree

_CHUNK: Final = 1 << 20
_HOLE: Final = bytes(64 << 10)  # zeros of this size, and aligned to it, are not written
# How systems answer where something is not allowed, or not possible on a file system.
_NOT_HERE: Final = frozenset(
    {errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
)
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class TreeOutput:
    """Fills one folder with one tree.

    Args:
        tree: what goes in.
        progress: told about the bytes of contents.

    Attributes:
        keeper: counts what could not be kept.

    Raises:
        FormatError: the tree is none.
    """

    def __init__(self, tree: Tree, progress: Progress) -> None:
        check_tree(tree)
        self._tree = tree
        self._progress = progress
        self._buffer = bytearray(_CHUNK)
        self._root = -1
        self._first: dict[Inode, bytes] = {}
        self._below: dict[bytes, list[bytes]] = {}
        self.keeper = Keeper()
        for path in sorted(tree):
            if path:
                self._below.setdefault(parent(path), []).append(path)

    def fill(self, root: int) -> None:
        """Put everything into the empty folder with the descriptor `root`.

        Its own mode and the like are for `finish`.

        Raises:
            OutputError: something cannot be written.
            FormatError: a content cannot be read.
        """
        self._root = root
        self._first = {}
        self.keeper = Keeper()
        total = sum(inode.content.size for inode in set(self._tree.values()) if inode.content)
        self._progress.start("extract", total)
        for folder in sorted(self._below):
            self._make_all(folder, links=False)
        for folder in sorted(self._below):
            self._make_all(folder, links=True)
        folders = [path for path, inode in self._tree.items() if path and inode.is_dir]
        for path in sorted(folders, reverse=True):
            with self._opened(path) as fd:
                self.keeper.keep_open(fd, path, self._tree[path])
        self._progress.finish()

    def finish(self, root: int) -> None:
        """Give the folder itself what it has in the tree."""
        self.keeper.keep_open(root, b"", self._tree[b""])

    @contextlib.contextmanager
    def _opened(self, folder: bytes) -> Iterator[int]:
        """The descriptor of a folder of the tree; whatever its path, no link is followed."""
        fd = os.dup(self._root)
        try:
            for name in folder.split(b"/") if folder else ():
                above, fd = fd, os.open(name, DIRECTORY, dir_fd=fd)
                os.close(above)
            yield fd
        finally:
            os.close(fd)

    def _make_all(self, folder: bytes, *, links: bool) -> None:
        """Make what is in a folder: the symbolic links, or all but them."""
        paths = [path for path in self._below[folder] if self._tree[path].is_symlink is links]
        if not paths:
            return
        with self._opened(folder) as fd:
            for path in paths:
                name = path.rpartition(b"/")[2]
                try:
                    self._make(fd, name, path)
                except FileExistsError as error:
                    raise OutputError(
                        f"{printable(path)}: another file took this name; this file system does"
                        " not tell the two names apart",
                        hint="extract to a file system that tells upper and lower case apart",
                    ) from error
                except OSError as error:
                    reason = error.strerror or error
                    raise OutputError(f"{printable(path)} cannot be written: {reason}") from error

    def _make(self, fd: int, name: bytes, path: bytes) -> None:
        inode = self._tree[path]
        if inode.is_dir:
            os.mkdir(name, 0o700, dir_fd=fd)
            return
        first = self._first.get(inode)
        if first is not None and self._try("hard links", path, lambda: self._link(fd, name, first)):
            return
        if inode.content is not None:
            self._write(fd, name, path, inode.content)
        elif not self._make_empty(fd, name, path, inode):
            return
        self._first.setdefault(inode, path)

    def _try(self, what: str, path: bytes, act: Callable[[], None]) -> bool:
        """Whether the file system and the user's rights allowed something."""
        try:
            act()
        except NotImplementedError as error:
            self.keeper.miss(what, path, error)
            return False
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
            self.keeper.miss(what, path, error)
            return False
        return True

    def _link(self, fd: int, name: bytes, first: bytes) -> None:
        with self._opened(parent(first)) as other:
            known = first.rpartition(b"/")[2]
            os.link(known, name, src_dir_fd=other, dst_dir_fd=fd, follow_symlinks=False)

    def _make_empty(self, fd: int, name: bytes, path: bytes, inode: Inode) -> bool:
        """Whether a symbolic link, device, pipe or socket could be made."""
        if inode.is_symlink:
            target = inode.target
            made = self._try("symbolic links", path, lambda: os.symlink(target, name, dir_fd=fd))
        else:
            kind, device = stat.S_IFMT(inode.mode) | 0o600, os.makedev(*inode.rdev)
            made = self._try("special files", path, lambda: os.mknod(name, kind, device, dir_fd=fd))
        if made:
            self.keeper.keep_named(fd, name, path, inode)
        return made

    def _write(self, fd: int, name: bytes, path: bytes, content: Blob) -> None:
        file = os.open(name, _NEW_FILE, 0o600, dir_fd=fd)
        try:
            self._copy(content, file)
            self.keeper.keep_open(file, path, self._tree[path])
        finally:
            os.close(file)

    def _copy(self, content: Blob, file: int) -> None:
        for offset in range(0, content.size, _CHUNK):
            size = min(_CHUNK, content.size - offset)
            view = memoryview(self._buffer)[:size]
            content.readinto_at(offset, view)
            for start, end in self._filled(size):
                pwrite_all(file, offset + start, view[start:end])
            self._progress.advance(size)
        if content.size:
            os.ftruncate(file, content.size)

    def _filled(self, size: int) -> Iterator[tuple[int, int]]:
        """The parts of the buffer that are not long stretches of zeros."""
        start = 0
        for at in range(0, size - len(_HOLE) + 1, len(_HOLE)):
            if not self._buffer[at] and self._buffer.startswith(_HOLE, at):
                if start < at:
                    yield start, at
                start = at + len(_HOLE)
        if start < size:
            yield start, size
