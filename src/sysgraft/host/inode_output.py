"""Gives files on disk the owner, mode, attributes and times of a tree's inode.

Only root may give files away or set most attributes, and not every file system has attributes: what
cannot be done is counted, with the first file and the reason. A file whose owner could not be kept
loses its set-ID bits: they would lend the rights of whoever extracts.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.base.tree import Inode, printable

if TYPE_CHECKING:
    from collections.abc import Callable

# macOS' Python has none.
_set_xattr: Final[Callable[..., None] | None] = getattr(os, "setxattr", None)
_SET_ID: Final = stat.S_ISUID | stat.S_ISGID
_NANOSECONDS: Final = 1_000_000_000


class NotKept(NamedTuple):
    """What could not be kept of some files.

    Attributes:
        what: "owners", "modes", "set-ID bits", "attributes", "times"; "symbolic links" and "special
            files" that are missing; "hard links" that are files of their own.
        number: of how many files (of attributes: how many).
        first: the first of them, its path in the tree.
        reason: why not, of the first.
    """

    what: str
    number: int
    first: bytes
    reason: str


class Keeper:
    """Keeps what can be kept, and counts the rest."""

    def __init__(self) -> None:
        self._missed: dict[str, NotKept] = {}

    @property
    def not_kept(self) -> tuple[NotKept, ...]:
        """What could not be kept."""
        return tuple(self._missed.values())

    def miss(self, what: str, path: bytes, error: Exception | str) -> None:
        """Count something that could not be kept."""
        known = self._missed.get(what)
        if known is None:
            reason = error.strerror if isinstance(error, OSError) else None
            self._missed[what] = NotKept(what, 1, path, reason or str(error) or "not possible here")
        else:
            self._missed[what] = known._replace(number=known.number + 1)

    def keep_open(self, fd: int, path: bytes, inode: Inode) -> None:
        """Give an open file or folder what `inode` has."""
        # A change of owner clears set-ID bits and file capabilities, so it comes first.
        is_given = self._try("owners", path, lambda: os.fchown(fd, inode.uid, inode.gid))
        self._set_xattrs(fd, path, inode)
        mode = self._mode(path, inode, is_given=is_given)
        self._try("modes", path, lambda: os.fchmod(fd, mode))
        self._try("times", path, lambda: os.utime(fd, ns=_times(inode)))

    def keep_named(self, fd: int, name: bytes, path: bytes, inode: Inode) -> None:
        """The same for what cannot be opened, which has a name in the folder `fd`."""
        is_given = self._try(
            "owners",
            path,
            lambda: os.chown(name, inode.uid, inode.gid, dir_fd=fd, follow_symlinks=False),
        )
        # There is no call for attributes by descriptor and name; Linux has this path instead.
        place = b"/proc/self/fd/%d/" % fd + name
        self._set_xattrs(place, path, inode)
        if not inode.is_symlink:
            mode = self._mode(path, inode, is_given=is_given)
            self._try("modes", path, lambda: os.chmod(name, mode, dir_fd=fd))
        self._try(
            "times",
            path,
            lambda: os.utime(name, ns=_times(inode), dir_fd=fd, follow_symlinks=False),
        )

    def _try(self, what: str, path: bytes, act: Callable[[], None]) -> bool:
        try:
            act()
        except (OSError, OverflowError, NotImplementedError) as error:
            self.miss(what, path, error)
            return False
        return True

    def _mode(self, path: bytes, inode: Inode, *, is_given: bool) -> int:
        mode = stat.S_IMODE(inode.mode)
        # Of a folder the bit lends no rights: new files in it get its group.
        if is_given or inode.is_dir or not mode & _SET_ID:
            return mode
        self.miss("set-ID bits", path, "the owner could not be kept")
        return mode & ~_SET_ID

    def _set_xattrs(self, place: int | bytes, path: bytes, inode: Inode) -> None:
        for name, value in inode.xattrs:
            if _set_xattr is None:
                self.miss("attributes", path, "Python cannot set any on this system")
                continue
            try:
                if isinstance(place, int):
                    _set_xattr(place, name, value)
                else:
                    _set_xattr(place, name, value, follow_symlinks=False)
            except OSError as error:
                reason = f"{printable(name)}: {error.strerror or error}"
                self.miss("attributes", path, reason)


def _times(inode: Inode) -> tuple[int, int]:
    """Of access and modification, in nanoseconds: an image has one time for each file."""
    moment = inode.mtime * _NANOSECONDS + inode.mtime_nsec
    return moment, moment
