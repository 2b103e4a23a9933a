"""The files in a squashfs file system, as `sysgraft.formats.erofs.reader.Reader` gives EROFS'.

The format is read by a child process (`sysgraft.host.squashfs`); this side walks the directories
and holds what it is told to the limits and rules of all trees. What a damaged byte belongs to is
not told.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import check_range, collect
from sysgraft.base.tree import Inode, Tree, printable
from sysgraft.errors import FormatError
from sysgraft.formats.erofs.inode import decode_device
from sysgraft.formats.erofs.limits import MAX_ENTRIES, Budget
from sysgraft.host.squashfs import MAX_READ, ROOT, SquashfsProcess
from sysgraft.image import tree_lookup

if TYPE_CHECKING:
    from collections.abc import Callable

    from sysgraft.base.blob import Blob
    from sysgraft.host.squashfs import DiskInode, Listing

MAX_SIZE: Final = 1 << 62
"""Bytes of one file; sparse files may be far larger than the image."""

_MAX_NAME: Final = 255
_MAX_TARGET: Final = 4095
_U32: Final = (1 << 32) - 1
_KINDS: Final = frozenset(
    {
        stat.S_IFREG,
        stat.S_IFDIR,
        stat.S_IFLNK,
        stat.S_IFCHR,
        stat.S_IFBLK,
        stat.S_IFIFO,
        stat.S_IFSOCK,
    }
)


class SquashfsReader:
    """A squashfs file system; see the methods of `Reader` for EROFS.

    Raises:
        UnsupportedError: the library that reads the format is not installed, or the compression
            is one it does not know.
        FormatError: its root directory makes no sense.
    """

    def __init__(self, blob: Blob, process: SquashfsProcess | None = None) -> None:
        self._process = process or SquashfsProcess(blob)
        self._root = self._process.listing(ROOT)
        self._tree: Tree | None = None

    @property
    def superblock(self) -> None:
        """None: it is not EROFS."""

    def read_tree(self, *, max_entries: int = MAX_ENTRIES) -> Tree:
        """The whole tree; contents are read when they are asked for.

        Raises:
            LimitError: the tree is larger than allowed.
            FormatError: anything in it makes no sense.
        """
        if self._tree is None or len(self._tree) > max_entries:
            self._tree = _Walk(self._process, Budget(max_entries)).tree(self._root)
        return self._tree

    def lookup(self, path: bytes) -> Inode | None:
        """As `Reader.lookup`."""
        return tree_lookup.lookup(self.read_tree(), path)

    def listdir(self, path: bytes) -> list[bytes]:
        """As `Reader.listdir`."""
        return tree_lookup.listdir(self.read_tree(), path)

    def select(
        self, path: bytes, wanted: Callable[[bytes], bool], *, max_entries: int
    ) -> dict[bytes, Inode]:
        """As `Reader.select`."""
        return tree_lookup.select(self.read_tree(), path, wanted, max_entries=max_entries)

    def owners(self, offset: int, length: int) -> tuple[str, ...]:  # noqa: ARG002
        """Nothing: what bytes belong to is not known."""
        return ()


class _Content:
    """A file's content, read through the child."""

    __slots__ = ("_process", "_ref", "size")

    def __init__(self, process: SquashfsProcess, ref: int, size: int) -> None:
        self._process = process
        self._ref = ref
        self.size = size

    def read_at(self, offset: int, length: int) -> bytes:
        return collect(self, offset, length)

    def readinto_at(self, offset: int, view: memoryview) -> None:
        check_range(self, offset, len(view))
        for start in range(0, len(view), MAX_READ):
            part = view[start : start + MAX_READ]
            part[:] = self._process.read(self._ref, offset + start, len(part))


class _Walk:
    """Every path, no directory twice."""

    def __init__(self, process: SquashfsProcess, budget: Budget) -> None:
        self._process = process
        self._budget = budget
        self._inodes: dict[int, Inode] = {}

    def tree(self, root: Listing) -> Tree:
        self._budget.spend_entry(0)
        tree = {b"": self._inode(root.inode, b"")}
        if not tree[b""].is_dir:
            raise FormatError("the root of the image is not a directory")
        todo = [(b"", root.inode.ref)]
        while todo:
            above, ref = todo.pop()
            listing = self._process.listing(ref) if above else root
            for entry in listing.entries:
                path = _joined(above, entry)
                if path in tree:
                    raise FormatError(f"{printable(path)} is there twice")
                self._budget.spend_entry(len(path))
                is_known = entry.ref in self._inodes
                tree[path] = self._inode(entry, path)
                if tree[path].is_dir:
                    if is_known:
                        raise FormatError(f"{printable(path)} is a directory in two places")
                    todo.append((path, entry.ref))
        return dict(sorted(tree.items()))

    def _inode(self, disk: DiskInode, path: bytes) -> Inode:
        """Hard links are one inode: they have the same reference."""
        if disk.ref not in self._inodes:
            _check(disk, path)
            self._inodes[disk.ref] = self._made(disk)
        return self._inodes[disk.ref]

    def _made(self, disk: DiskInode) -> Inode:
        is_file = stat.S_ISREG(disk.mode)
        is_device = stat.S_ISCHR(disk.mode) or stat.S_ISBLK(disk.mode)
        return Inode(
            mode=disk.mode,
            uid=disk.uid,
            gid=disk.gid,
            mtime=disk.mtime,
            xattrs=self._xattrs(disk),
            content=_Content(self._process, disk.ref, disk.size) if is_file else None,
            target=_bytes(disk.target) if stat.S_ISLNK(disk.mode) else b"",
            rdev=decode_device(disk.device) if is_device else (0, 0),
        )

    def _xattrs(self, disk: DiskInode) -> tuple[tuple[bytes, bytes], ...]:
        found = {_bytes(name): _bytes(value) for name, value in disk.xattrs}
        for name, value in found.items():
            self._budget.spend_attribute(len(name) + len(value))
        return tuple(sorted(found.items()))


def _check(disk: DiskInode, path: bytes) -> None:
    numbers = (disk.uid, disk.gid, disk.mtime, disk.device)
    in_range = all(0 <= number <= _U32 for number in numbers) and 0 <= disk.mode <= 0xFFFF
    has_kind = stat.S_IFMT(disk.mode) in _KINDS
    target = len(disk.target)
    has_target = 0 < target <= _MAX_TARGET and "\0" not in disk.target
    if stat.S_ISLNK(disk.mode) is not bool(target) or (target and not has_target):
        raise FormatError(f"{printable(path)}: a link to nowhere")
    if not in_range or not has_kind or not 0 <= disk.size <= MAX_SIZE:
        raise FormatError(f"{printable(path) or '/'}: an inode that makes no sense")


def _joined(path: bytes, entry: DiskInode) -> bytes:
    name = _bytes(entry.name)
    if name in (b"", b".", b"..") or {0, 47} & set(name) or len(name) > _MAX_NAME:
        raise FormatError(f"a name that cannot be: {printable(name[:_MAX_NAME])!r}")
    return path + b"/" + name if path else name


def _bytes(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise FormatError("the reader of the squashfs file system answered nonsense") from None
