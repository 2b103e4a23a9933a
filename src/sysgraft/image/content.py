"""The files inside an extension image: release files and a summary.

EROFS is read with our own reader, squashfs by a process beside this one. Other file systems are
recognised, not read; what depends on their content is then skipped, with the reason. Paths are
those of the mounted image: a usr partition's files are below ``usr``, and it has none elsewhere.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from sysgraft.base.tree import Inode, parent, printable
from sysgraft.errors import FormatError, LimitError, UnsupportedError
from sysgraft.formats import extension_release, fstype
from sysgraft.formats.erofs.limits import MAX_ENTRIES
from sysgraft.formats.erofs.reader import Reader
from sysgraft.image.matching import Candidate

if TYPE_CHECKING:
    from collections.abc import Callable

    from sysgraft.base.blob import Blob
    from sysgraft.base.tree import Tree
    from sysgraft.formats.erofs.superblock import Superblock
    from sysgraft.formats.extension_release import ExtensionRelease, Kind
    from sysgraft.image.dissect import Member

# As systemd's read_env_file family: release files are a few lines.
_RELEASE_MAX: Final = 64 << 10

MAX_RELEASES: Final = 100
"""Release files of one kind in an image: it needs one, or one for each name it goes by."""


class Summary(NamedTuple):
    """What a tree holds; sizes in bytes."""

    directories: int
    files: int
    symlinks: int
    others: int
    content_bytes: int


class FileSystem(Protocol):
    """The files of an image; what the methods do is said at EROFS' `Reader`."""

    @property
    def superblock(self) -> Superblock | None:
        """What an EROFS file system says about itself; None for others."""

    def read_tree(self, *, max_entries: int = ...) -> Tree:
        """The whole tree."""

    def lookup(self, path: bytes) -> Inode | None:
        """The inode at `path`, or None."""

    def listdir(self, path: bytes) -> list[bytes]:
        """The names in the directory at `path`, sorted."""

    def select(
        self, path: bytes, wanted: Callable[[bytes], bool], *, max_entries: int
    ) -> dict[bytes, Inode]:
        """The inodes of those names in the directory at `path` that are `wanted`."""

    def owners(self, offset: int, length: int) -> tuple[str, ...]:
        """What the bytes ``[offset, offset + length)`` belong to, as far as that is known."""


def open_filesystem(blob: Blob, member: Member | None = None) -> FileSystem:
    """The files of a file system; their paths are those of the mounted image.

    Args:
        blob: the file system.
        member: the partition it is in; None for an image without a table.

    Raises:
        UnsupportedError: another file system than EROFS and squashfs, or squashfs without the
            library that reads it.
        FormatError: a broken one.
    """
    kind = fstype.probe(blob)
    inner: FileSystem
    if kind == "erofs":
        inner = Reader(blob)
    elif kind == "squashfs":
        from sysgraft.image.squashfs import SquashfsReader  # noqa: PLC0415  starts processes

        inner = SquashfsReader(blob)
    else:
        raise UnsupportedError(f"the content of a {kind or 'nameless'} file system is not read")
    return UsrReader(inner) if member and member.designator == "usr" else inner


_USR: Final = b"usr"
# The empty folder that systemd mounts a lone usr partition in (mount_root_tmpfs(), mode=0755).
_EMPTY_ROOT: Final = Inode(stat.S_IFDIR | 0o755)
# What `Reader.owners` puts before a path.
_OWNER_LEADS: Final = ("metadata of ", "directory ")


class UsrReader:
    """A file system that is mounted at ``/usr``, with nothing beside it.

    A directory that is reached through a link is an `UnsupportedError`: links are followed as if
    the file system was mounted at ``/``, where an absolute one leads elsewhere.
    """

    def __init__(self, inner: FileSystem) -> None:
        self._inner = inner

    @property
    def superblock(self) -> Superblock | None:
        """As `FileSystem.superblock`."""
        return self._inner.superblock

    def read_tree(self, *, max_entries: int = MAX_ENTRIES) -> Tree:
        """As `FileSystem.read_tree`, with the root directory that the mounted image has."""
        tree = self._inner.read_tree(max_entries=max_entries)
        return {b"": _EMPTY_ROOT} | {_mounted(path): inode for path, inode in tree.items()}

    def lookup(self, path: bytes) -> Inode | None:
        """As `FileSystem.lookup`."""
        if not path:
            return _EMPTY_ROOT
        inside = self._inside(path)
        return None if inside is None else self._inner.lookup(inside)

    def listdir(self, path: bytes) -> list[bytes]:
        """As `FileSystem.listdir`."""
        if not path:
            return [_USR]
        inside = self._inside(path)
        if inside is None:
            raise FormatError(f"no directory in the image: {printable(path)}")
        return self._inner.listdir(inside)

    def select(
        self,
        path: bytes,
        wanted: Callable[[bytes], bool],
        *,
        max_entries: int,
    ) -> dict[bytes, Inode]:
        """As `FileSystem.select`; nothing is selected of the root directory."""
        inside = self._inside(path)
        return {} if inside is None else self._inner.select(inside, wanted, max_entries=max_entries)

    def owners(self, offset: int, length: int) -> tuple[str, ...]:
        """As `FileSystem.owners`."""
        return tuple(_mounted_owner(owner) for owner in self._inner.owners(offset, length))

    def _inside(self, path: bytes) -> bytes | None:
        """The path in the file system, None for what is not below ``usr``."""
        if path != _USR and not path.startswith(_USR + b"/"):
            return None
        inside = path[len(_USR) + 1 :]
        self._refuse_link(parent(inside))
        return inside

    def _refuse_link(self, directory: bytes) -> None:
        """Raise for a link among the names of `directory`, from the top."""
        names = directory.split(b"/")
        for count in range(1, len(names) + 1):
            above = b"/".join(names[:count])
            inode = self._inner.lookup(above)
            if inode is not None and inode.is_symlink:
                raise UnsupportedError(
                    f"{printable(_mounted(above))} is a symbolic link, which is not followed in a"
                    " usr partition",
                )


def _mounted(path: bytes) -> bytes:
    return _USR + b"/" + path if path else _USR


def _mounted_owner(owner: str) -> str:
    if owner == "superblock":
        return owner
    lead = next((lead for lead in _OWNER_LEADS if owner.startswith(lead)), "")
    path = owner.removeprefix(lead)
    return f"{lead}usr" if path == "/" else f"{lead}usr/{path}"


def release_files(reader: FileSystem, kind: Kind) -> dict[str, Inode]:
    """The release files of one kind by the names behind the dot; hard links are one `Inode`.

    Raises:
        LimitError: there are more than `MAX_RELEASES`.
        FormatError: their folder or one of them makes no sense.
    """

    def name_of(file_name: bytes) -> str | None:
        split = extension_release.split_path(kind.directory + b"/" + file_name)
        return None if split is None else split[1]

    found = reader.select(
        kind.directory,
        lambda file_name: name_of(file_name) is not None,
        max_entries=MAX_RELEASES,
    )
    return {name: inode for key, inode in found.items() if (name := name_of(key)) is not None}


def release_candidates(reader: FileSystem, kind: Kind) -> tuple[Candidate, ...]:
    """The release files of one kind, as `image.matching` wants them; raises as `release_files`."""
    return tuple(
        Candidate(name, strict=_strict(inode), regular=inode.is_file)
        for name, inode in release_files(reader, kind).items()
    )


def _strict(inode: Inode) -> bool | None:
    value = dict(inode.xattrs).get(extension_release.STRICT_XATTR)
    return None if value is None else extension_release.parse_strict(value)


def read_release(reader: FileSystem, kind: Kind, name: str) -> ExtensionRelease:
    """One release file, parsed.

    Raises:
        FormatError: it is no regular file, too large, or not in os-release's syntax.
    """
    return parse_release(reader.lookup(extension_release.path(kind, name)), kind, name)


def parse_release(inode: Inode | None, kind: Kind, name: str) -> ExtensionRelease:
    """The release file `name` that `inode` is; raises as `read_release`."""
    if inode is None or inode.content is None:
        # systemd follows a link within the image; what is signed has no need of one.
        raise FormatError(f"extension-release.{name} is not a regular file")
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
