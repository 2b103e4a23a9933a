"""Reads EROFS images: what `writer` makes, and what mkfs.erofs makes.

Compact and extended inodes; flat, inline, chunk-based and compressed data, with tails in a packed
file or behind the inode; inline and shared attributes, long attribute prefixes; blocks of 512 bytes
to 64 KiB. Not handled, and refused as `UnsupportedError`: data on further devices, compressed
metadata, 48-bit addresses.

The image may be hostile: whatever it holds, the outcome is a result or a `FormatError`, within the
limits of `limits`.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from sysgraft.base.tree import Inode, Tree, printable
from sysgraft.errors import FormatError, LimitError
from sysgraft.formats.erofs.attributes import Attributes
from sysgraft.formats.erofs.data import open_data
from sysgraft.formats.erofs.directory import follow, iter_entries
from sysgraft.formats.erofs.inode import decode_device
from sysgraft.formats.erofs.limits import MAX_ENTRIES, Budget
from sysgraft.formats.erofs.locate import find_owners
from sysgraft.formats.erofs.volume import Volume
from sysgraft.formats.erofs.walk import name_path, read_target, resolve, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sysgraft.base.blob import Blob
    from sysgraft.formats.erofs.dirent import Entry
    from sysgraft.formats.erofs.superblock import Superblock
    from sysgraft.formats.erofs.volume import Found


class Reader:
    """An EROFS image.

    Attributes:
        superblock: what the image says about itself; its checksum has been verified.

    Raises:
        TruncatedError: the image ends before its superblock says it does.
        UnsupportedError: it needs a feature this reader does not have.
        FormatError: it is no EROFS image, or its checksum is wrong.
    """

    def __init__(self, blob: Blob) -> None:
        self._volume = Volume(blob)
        self._attributes = Attributes(self._volume)
        self.superblock: Superblock = self._volume.superblock

    def read_tree(self, *, max_entries: int = MAX_ENTRIES) -> Tree:
        """The whole tree; contents are read from the image when they are asked for.

        A file's size may exceed the image's (holes, blocks in common): read contents in parts.

        Args:
            max_entries: paths it may have, the root included.

        Raises:
            LimitError: the tree is larger than allowed.
            FormatError: anything in it makes no sense; names the path.
        """
        budget = Budget(max_entries)
        inodes: dict[int, Inode] = {}
        tree: dict[bytes, Inode] = {}
        for visit in walk(self._volume, budget):
            nid = visit.found.nid
            if nid not in inodes:
                inodes[nid] = self._inode(visit.found, visit.path, budget)
            tree[visit.path] = inodes[nid]
        return tree

    def lookup(self, path: bytes) -> Inode | None:
        """The inode at `path`, or None; reads only what is on the way.

        Symbolic links on the way are followed inside the image, as in a chroot, at most 40; one
        at the end is not. Two calls make two `Inode` objects, for hard links too.

        Raises:
            FormatError: what is on the way makes no sense, or links lead in circles.
        """
        found = resolve(self._volume, path, follow_last=False)
        return None if found is None else self._inode(found, path, Budget())

    def listdir(self, path: bytes) -> list[bytes]:
        """The names in the directory at `path`, sorted; links are followed, at the end too.

        Raises:
            LimitError: there are more than `limits.MAX_ENTRIES`.
            FormatError: there is no directory at `path`, or it makes no sense.
        """
        found = resolve(self._volume, path, follow_last=True)
        if found is None or not stat.S_ISDIR(found.disk.mode):
            raise FormatError(f"no directory in the image: {printable(path) or '/'}")
        return [entry.name for entry in self._entries(found, Budget())]

    def select(
        self,
        path: bytes,
        wanted: Callable[[bytes], bool],
        *,
        max_entries: int,
    ) -> dict[bytes, Inode]:
        """The inodes of those names in the directory at `path` that are `wanted`, sorted by name.

        Nothing is read of the others. Hard links are one `Inode`. Empty where there is no
        directory at `path`; links are followed on the way, not at the end.

        Raises:
            LimitError: more than `max_entries` are wanted.
            FormatError: what is on the way, the directory or an inode makes no sense.
        """
        above = resolve(self._volume, path, follow_last=False)
        if above is None or not stat.S_ISDIR(above.disk.mode):
            return {}
        budget = Budget()
        entries = [entry for entry in self._entries(above, budget) if wanted(entry.name)]
        if len(entries) > max_entries:
            raise LimitError(
                f"{printable(path)}: {len(entries)} files of this kind, at most {max_entries} are"
                " looked at",
            )
        inodes = {
            entry.nid: self._inode(follow(self._volume, entry), path + b"/" + entry.name, budget)
            for entry in {entry.nid: entry for entry in entries}.values()
        }
        return {entry.name: inodes[entry.nid] for entry in entries}

    def _entries(self, found: Found, budget: Budget) -> Iterator[Entry]:
        """What is in a directory, paid for as it comes."""
        for entry in iter_entries(self._volume, found, parent=None, budget=budget):
            budget.spend_entry(len(entry.name))
            yield entry

    def locate(self, offset: int) -> str | None:
        """What the byte at `offset` of the image belongs to, None for nothing.

        A path for a file's data, else ``directory PATH``, ``metadata of PATH`` or ``superblock``.
        Each call goes through the whole tree, leaving out what is damaged.
        """
        return next(iter(self.owners(offset, 1)), None)

    def owners(self, offset: int, length: int) -> tuple[str, ...]:
        """All that the bytes ``[offset, offset + length)`` belong to; see `locate`."""
        return find_owners(self._volume, offset, length)

    def _inode(self, found: Found, path: bytes, budget: Budget) -> Inode:
        try:
            return self._make_inode(found, path, budget)
        except FormatError as error:
            raise name_path(path, error) from error

    def _make_inode(self, found: Found, path: bytes, budget: Budget) -> Inode:
        disk, volume = found.disk, self._volume
        is_device = stat.S_ISCHR(disk.mode) or stat.S_ISBLK(disk.mode)
        is_file, is_link = stat.S_ISREG(disk.mode), stat.S_ISLNK(disk.mode)
        return Inode(
            mode=disk.mode,
            uid=disk.uid,
            gid=disk.gid,
            mtime=disk.mtime,
            mtime_nsec=disk.mtime_nsec,
            xattrs=self._attributes.of(found, budget),
            content=open_data(volume, found, name=printable(path)) if is_file else None,
            target=read_target(volume, found) if is_link else b"",
            rdev=decode_device(disk.union) if is_device else (0, 0),
        )
