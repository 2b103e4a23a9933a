"""Writes a file tree as a cpio archive in the ``newc`` form: what Linux unpacks as an initrd.

Format: Linux Documentation/driver-api/early-userspace/buffer-format.rst, as ``init/initramfs.c``
reads it; GNU cpio, BusyBox and libarchive read it the same way. `plan` needs only names, sizes and
attributes; `Archive.chunks` then reads the contents, one piece after the other. The same tree
makes the same bytes, whatever the order of its mapping. It does not compress, and does not write
the checksummed form (``070702``). Reading is the matter of `sysgraft.formats.cpio_reader`.
"""

from __future__ import annotations

import stat
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.base.blob import BytesBlob, chunks
from sysgraft.base.tree import check_tree, printable
from sysgraft.errors import FormatError, LimitError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sysgraft.base.blob import Blob
    from sysgraft.base.tree import Inode, Tree

MAX_FILE: Final = (1 << 32) - 1
"""Bytes of one file: the size has eight hexadecimal digits."""
MAX_PATH: Final = 4095
"""Bytes of a path: the kernel passes over an entry whose name is longer, and says nothing."""
MAX_NAME: Final = 255
"""Bytes of one part of a path: no file system the kernel could unpack it to takes more."""
MAX_TARGET: Final = 4095
"""Bytes of a symbolic link's target, the limit of Linux."""
MAX_MAJOR: Final = (1 << 12) - 1
MAX_MINOR: Final = (1 << 20) - 1
"""The largest numbers of a device in Linux, ``new_encode_dev``."""

# An entry is a header, the name with a NUL, zeros up to a multiple of 4, the data, zeros again.
# The header is the magic and 13 numbers of eight hexadecimal digits: inode, mode, uid, gid, nlink,
# mtime, size, major and minor of the file system, major and minor of the device, length of the
# name with its NUL, checksum (0 in this form).
MAGIC: Final = b"070701"
HEADER: Final = 110
TRAILER: Final = b"TRAILER!!!"
"""The name of the entry that ends an archive."""

CHUNK: Final = 1 << 20
"""Bytes handled at once: the most that is held of any content."""
_U32: Final = (1 << 32) - 1
_EXAMPLES: Final = 3
_EMPTY: Final = BytesBlob(b"")


@dataclass(frozen=True, slots=True)
class LostXattrs:
    """What the format cannot store: extended attributes, file capabilities among them.

    Attributes:
        inodes: how many files and directories have some.
        examples: the first of their paths.
    """

    inodes: int
    examples: tuple[bytes, ...]


class _Entry(NamedTuple):
    path: bytes
    inode: Inode
    number: int
    links: int
    data: Blob


class Archive:
    """A planned archive; never changes, and gives the same bytes every time.

    Attributes:
        size: its exact length in bytes, a multiple of 4.
        entry_count: its entries, the trailer not counted.
        lost_xattrs: the extended attributes that are not in it.
    """

    __slots__ = ("_entries", "entry_count", "lost_xattrs", "size")

    def __init__(self, entries: Sequence[_Entry], lost_xattrs: LostXattrs) -> None:
        self._entries = entries
        self.entry_count = len(entries)
        self.lost_xattrs = lost_xattrs
        self.size = sum(map(_size, entries)) + len(_TRAILER_BYTES)

    def chunks(self) -> Iterator[bytes]:
        """The archive from its beginning, in pieces of at most `CHUNK` bytes.

        Raises:
            TruncatedError: a content ends before its size.
        """
        held = bytearray()
        for piece in self._pieces():
            if len(held) + len(piece) > CHUNK:
                yield bytes(held)
                held.clear()
            held += piece
        yield bytes(held)

    def _pieces(self) -> Iterator[bytes]:
        for entry in self._entries:
            yield _head(entry)
            yield from chunks(entry.data, CHUNK)
            yield bytes(-entry.data.size % 4)
        yield _TRAILER_BYTES


def plan(tree: Tree) -> Archive:
    """Decide what the archive of `tree` is; no content is read.

    The root directory is the entry ``.``, the first, as dracut and mkinitramfs write it. Without
    it the mode of ``/`` would be the kernel's choice: 0755, or 1777 where the root is a tmpfs.

    Args:
        tree: what to store; contents must stay readable and the same until `Archive.chunks` ends.

    Raises:
        FormatError: the tree is not one, or holds what an initrd cannot; names the path.
        LimitError: something is too large for the format or the kernel; names the path.
    """
    check_tree(tree)
    paths = sorted(tree)  # a directory's path is the beginning of its children's: it comes first
    links = Counter(id(tree[path]) for path in paths)
    left = links.copy()
    numbers: dict[int, int] = {}
    entries = []
    for path in paths:
        inode = tree[path]
        key = id(inode)
        left[key] -= 1
        number = numbers.setdefault(key, len(numbers) + 1)
        data = _data(path, inode, links[key], is_last=not left[key])
        entries.append(_Entry(path or b".", inode, number, links[key], data))
    return Archive(entries, _lost_xattrs(tree, paths))


def _data(path: bytes, inode: Inode, links: int, *, is_last: bool) -> Blob:
    """What follows an entry's name.

    Of hard links the last carries the data and the others are empty, as GNU cpio and the kernel's
    own ``gen_init_cpio`` write them. The kernel cuts a file to the size of the entry it reads
    unless that is 0, so both orders work for it; other readers were written for this one.
    """
    try:
        _check_path(path)
        _check_inode(inode, links)
    except FormatError as error:
        name = printable(path) if len(path) <= MAX_PATH else printable(path[:64]) + "..."
        raise type(error)(f"{name or '/'}: {error.message}") from error
    if inode.is_symlink:
        return BytesBlob(inode.target)  # the kernel makes each a link of its own
    return inode.content if is_last and inode.content is not None else _EMPTY


def _check_path(path: bytes) -> None:
    if path == TRAILER:
        raise FormatError("this name ends a cpio archive, so no file can have it")
    if len(path) > MAX_PATH:
        raise LimitError(f"a path of {len(path)} bytes; the limit is {MAX_PATH}")
    longest = max(map(len, path.split(b"/")))
    if longest > MAX_NAME:
        raise LimitError(f"a name of {longest} bytes; the limit is {MAX_NAME}")


def _check_inode(inode: Inode, links: int) -> None:
    if not 0 <= inode.mode <= 0xFFFF or stat.S_IFMT(inode.mode) not in _CHECKS:
        raise FormatError(f"no such file type: mode {inode.mode:#o}")
    if not (0 <= inode.uid <= _U32 and 0 <= inode.gid <= _U32):
        raise FormatError(f"no such owner: {inode.uid}:{inode.gid}")
    if inode.content is not None and not inode.is_file:
        raise FormatError("content in what is not a regular file")
    _CHECKS[stat.S_IFMT(inode.mode)](inode, links)


def _check_directory(_inode: Inode, links: int) -> None:
    if links > 1:
        raise FormatError("a directory with two paths")


def _check_file(inode: Inode, _links: int) -> None:
    if inode.content is None:
        raise FormatError("a regular file without content")
    if inode.content.size > MAX_FILE:
        raise LimitError(
            f"a file of {inode.content.size} bytes; in a cpio archive one can have {MAX_FILE}"
        )


def _check_symlink(inode: Inode, _links: int) -> None:
    if not inode.target or b"\0" in inode.target:
        raise FormatError("a symbolic link whose target is empty or holds a NUL")
    if len(inode.target) > MAX_TARGET:
        raise LimitError(f"a target of {len(inode.target)} bytes; the limit is {MAX_TARGET}")


def _check_device(inode: Inode, _links: int) -> None:
    major, minor = inode.rdev
    if not (0 <= major <= MAX_MAJOR and 0 <= minor <= MAX_MINOR):
        raise LimitError(f"no such device: {major}:{minor}")


def _check_other(_inode: Inode, _links: int) -> None:
    pass


_CHECKS: Final = {
    stat.S_IFDIR: _check_directory,
    stat.S_IFREG: _check_file,
    stat.S_IFLNK: _check_symlink,
    stat.S_IFCHR: _check_device,
    stat.S_IFBLK: _check_device,
    stat.S_IFIFO: _check_other,
    stat.S_IFSOCK: _check_other,
}


def _lost_xattrs(tree: Tree, paths: Sequence[bytes]) -> LostXattrs:
    firsts: dict[int, bytes] = {}
    for path in paths:
        if tree[path].xattrs:
            firsts.setdefault(id(tree[path]), path)
    return LostXattrs(len(firsts), tuple(firsts.values())[:_EXAMPLES])


def _size(entry: _Entry) -> int:
    return _padded(HEADER + len(entry.path) + 1) + _padded(entry.data.size)


def _padded(length: int) -> int:
    return length + -length % 4


def _head(entry: _Entry) -> bytes:
    """An entry's header and name, up to where its data begins.

    An mtime outside the 32 bits of its field becomes the nearest one inside.
    """
    inode = entry.inode
    is_device = stat.S_ISCHR(inode.mode) or stat.S_ISBLK(inode.mode)
    return _encode(
        entry.path,
        number=entry.number,
        mode=inode.mode,
        owner=(inode.uid, inode.gid),
        links=entry.links,
        mtime=min(max(inode.mtime, 0), _U32),
        size=entry.data.size,
        device=inode.rdev if is_device else (0, 0),
    )


def _encode(
    name: bytes,
    *,
    number: int,
    mode: int,
    owner: tuple[int, int],
    links: int,
    mtime: int,
    size: int,
    device: tuple[int, int],
) -> bytes:
    fields = (number, mode, *owner, links, mtime, size, 0, 0, *device, len(name) + 1, 0)
    head = MAGIC + b"".join(b"%08x" % field for field in fields) + name + b"\0"
    return head + bytes(-len(head) % 4)


_TRAILER_BYTES: Final = _encode(
    TRAILER, number=0, mode=0, owner=(0, 0), links=1, mtime=0, size=0, device=(0, 0)
)
