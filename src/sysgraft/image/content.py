"""The files inside an extension image: release files and a summary.

EROFS is read with our own reader. Other file systems are recognised, not read; what depends on
their content is then skipped, with the reason.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import LimitError, UnsupportedError
from sysgraft.formats import extension_release, fstype
from sysgraft.formats.erofs.reader import Reader
from sysgraft.image.matching import Candidate

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob
    from sysgraft.base.tree import Inode, Tree
    from sysgraft.formats.extension_release import ExtensionRelease, Kind

# As systemd's read_env_file family: release files are a few lines.
_RELEASE_MAX: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Summary:
    """What a tree holds; sizes in bytes."""

    directories: int
    files: int
    symlinks: int
    others: int
    content_bytes: int


def open_filesystem(blob: Blob) -> Reader:
    """The reader of an EROFS file system.

    Raises:
        UnsupportedError: another file system, or none that is known.
        FormatError: a broken one.
    """
    kind = fstype.probe(blob)
    if kind != "erofs":
        raise UnsupportedError(f"the content of a {kind or 'nameless'} file system is not read")
    return Reader(blob)


def release_candidates(reader: Reader, kind: Kind) -> tuple[Candidate, ...]:
    """The release files of one kind, as `image.matching` wants them."""
    folder = reader.lookup(kind.directory)
    if folder is None or not folder.is_dir:
        return ()
    found = []
    for name in sorted(reader.listdir(kind.directory)):
        split = extension_release.split_path(kind.directory + b"/" + name)
        inode = reader.lookup(kind.directory + b"/" + name)
        if split is not None and inode is not None:
            found.append(Candidate(split[1], strict=_strict(inode), regular=inode.is_file))
    return tuple(found)


def _strict(inode: Inode) -> bool | None:
    value = dict(inode.xattrs).get(extension_release.STRICT_XATTR)
    return None if value is None else extension_release.parse_strict(value)


def read_release(reader: Reader, kind: Kind, name: str) -> ExtensionRelease:
    """One release file, parsed.

    Raises:
        FormatError: it is no regular file, too large, or not in os-release's syntax.
    """
    path = extension_release.path(kind, name)
    inode = reader.lookup(path)
    if inode is None or inode.content is None:
        raise UnsupportedError(f"extension-release.{name} is not a regular file")
    if inode.content.size > _RELEASE_MAX:
        raise LimitError(f"extension-release.{name} has more than {_RELEASE_MAX} bytes")
    return extension_release.parse(inode.content.read_at(0, inode.content.size), kind)


def summarise(tree: Tree) -> Summary:
    """Counts over a tree; hard links count once."""
    inodes = list({id(inode): inode for inode in tree.values()}.values())
    kinds = [stat.S_IFMT(inode.mode) for inode in inodes]
    known = [kinds.count(kind) for kind in (stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK)]
    return Summary(
        directories=known[0],
        files=known[1],
        symlinks=known[2],
        others=len(kinds) - sum(known),
        content_bytes=sum(inode.content.size for inode in inodes if inode.content is not None),
    )
